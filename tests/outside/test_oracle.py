"""One Ironic is asked directly and through the gateway, thousands of odd things: the answers are of one kind."""

import re
from typing import NamedTuple

import oracle
import pytest
from oracle_cases import cases

from client import Api, until
from gateway import Gateway, config

ABSENT = "11111111-2222-4333-8444-555555555555"


class Allowed(NamedTuple):
    """A difference that may be: why, and which requests and statuses it is about (patterns; of statuses "theirs ours")."""

    reason: str
    request: str
    statuses: str


PERMITTED = [
    Allowed("where Ironic fails with a 500 of its own, we need not", r".*", r"500 [24]\d\d"),
    Allowed(
        "lists below a node that is named: Ironic has them by UUID only",
        r"GET \S+/\{(name|node)\}(\.json)?/(ports|portgroups|volume)",
        r"404 200",
    ),
    Allowed(
        "what changes something in a collection that we do not know names its location",
        r"(POST|PUT|PATCH|DELETE) (/v1/(nonsense|v1|v2|Nodes|ports\.json)|/V1|/v2|/v1\.json)",
        r"404 400",
    ),
    Allowed(
        "what is said to be no JSON, and is, is served as JSON at the location that is named",
        r"PUT \S+ .* Content-Type: .* X-Ironic-Proxy-Location: ",
        r"400 404",
    ),
]


@pytest.fixture
def names(direct, clean):
    """A node of the one Ironic, with something in most of its lists."""
    ironic = direct["loc1"]
    node = ironic.create(name="the-node", vendor_interface="fake", bios_interface="fake")
    ironic.ok("POST", "/v1/ports", json={"node_uuid": node["uuid"], "address": "52:54:00:aa:bb:01"})
    ironic.ok("POST", "/v1/chassis", json={})
    return {"node": node["uuid"], "name": "the-node", "absent": ABSENT}


@pytest.mark.timeout(900)
def test_odd_requests_are_answered_as_by_one_ironic(sites, names):
    url = sites["loc1"].url
    # A 500 that Ironic gives to a malformed question says nothing about the location.
    options = {"loc1": {"breaker_failures": 1000000}}
    with Gateway(config({"loc1": url}, api={"enable_ramdisk_endpoints": True}, location_options=options)) as gateway:
        until(lambda: Api(gateway.url).get("/v1/nodes").status == 200)
        different = oracle.compare(url, gateway.url, names, cases())
    faults = []
    for case, wanted, said, words in different:
        about = str(case), f"{wanted.status} {said.status}"
        if not any(re.match(row.request, about[0]) and re.fullmatch(row.statuses, about[1]) for row in PERMITTED):
            faults.append(f"{case}\n    Ironic: {wanted} {words[0][:200]}\n    we:     {said} {words[1][:200]}")
    assert not faults, f"{len(faults)} of other kinds:\n" + "\n".join(sorted(faults)[:100])
