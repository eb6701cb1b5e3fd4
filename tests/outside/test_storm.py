"""Two hundred locations go away at once, and come back at once: nobody polls them for it, and the log stays readable."""

import re

import pytest
import scripted
from admin import SECTION, Admin
from fleet import assert_unavailable, fleet, until
from metrics import grown, read
from standin import Standin, node

SITES = 200
ALLOW = {"X-Ironic-Proxy-Partial": "allow"}


@pytest.fixture(scope="module")
def hub():
    sites = [Standin([node(f"n{number}")]) for number in range(SITES)]
    with fleet(*sites, every={"breaker_failures": 2, "breaker_reset": 1, "probe_interval": 2, "connect_timeout": 2}, sections={"admin": SECTION}) as hub:
        yield hub


@pytest.fixture
def admin(hub):
    return Admin(hub.gateway)


def lines(hub, since):
    """What the log tells an operator."""
    return [line for line in hub.gateway.log()[since:].splitlines() if re.search(r" (WARNING|ERROR|CRITICAL) ", line) and "ironic_proxy.access" not in line]


def is_short(header, one, count):
    """A web server in front takes a head of 4 KiB, so 32 are named, and how many more there are."""
    *named, rest = header.split(", ")
    return len(named) == 32 and all(re.fullmatch(one, name) for name in named) and rest == f"*;more={count - 32}"


def test_a_write_that_fails_at_one_of_so_many(hub):
    """The one is named, wherever it stands."""
    last, body = hub.all()[-1], {"name": "CUSTOM_A", "steps": [{"interface": "bios", "step": "x", "args": {}, "order": 1}]}
    last.fault(scripted.says(500, "Out of disk; sorry"), method="POST")
    reply = hub.post("/v1/runbooks", body)
    hub.heal()
    assert_unavailable(reply, f"loc{SITES}", *(f"loc{number + 1}" for number in range(31)))
    assert f"everywhere. loc{SITES}: refused with 500 Out of disk; sorry; loc1: undone; " in reply.text(), reply
    assert f"; loc31: undone; and {SITES - 32} more. Please" in reply.text(), reply
    assert not any(site.objects["runbooks"] for site in hub.all())
    assert hub.post("/v1/runbooks", body).status == 201


def test_a_storm(hub, admin):
    sites = hub.all()
    first, others = sites[0], sites[1:]
    idents = [site.nodes[0]["uuid"] for site in sites]
    # So that all are known.
    assert len(hub.get("/v1/nodes").uuids()) == SITES
    hub.forget_requests()
    since = len(hub.gateway.log())
    before = read(admin)
    for site in others:
        site.down()
    for _ in range(3):
        reply = hub.get("/v1/nodes", headers=ALLOW)
        assert reply.uuids() == idents[:1], reply
        assert is_short(reply.header("X-Ironic-Proxy-Incomplete"), r"loc\d+;reason=\w+", SITES - 1)
    for number in range(1, 20):
        assert_unavailable(hub.get(f"/v1/nodes/{idents[number]}"), f"loc{number + 1}")
        assert hub.get(f"/v1/nodes/{idents[0]}").status == 200
    # One list that brings all breakers to open, the next by which they are; what is known is asked once.
    asked = first.asked("GET", "/v1/nodes.*")
    assert len(asked) == 3 + 19
    told = lines(hub, since)
    assert len(told) == SITES - 1, told[-5:]
    assert grown(before, read(admin), "ironic_proxy_partial_answers_total") == {(f"loc{number + 1}",): 3 for number in range(1, SITES)}
    # Whoever refuses, writes and logs names as many, and no more.
    since = len(hub.gateway.log())
    refused = hub.get("/v1/nodes")
    assert_unavailable(refused, *(f"loc{number + 1}" for number in range(1, 33)))
    assert refused.text().count("loc") == 32 and f"and {SITES - 1 - 32} more" in refused.text(), refused
    made = hub.post("/v1/nodes", {"driver": "fake-hardware", "name": "one-more"})
    assert made.status == 201 and is_short(made.header("X-Ironic-Proxy-Unverified"), r"loc\d+", SITES - 1), made
    assert len(re.findall(r"\bloc\d+\b", hub.logged("could not be asked whether", since))) == 32
    assert hub.call("DELETE", f"/v1/nodes/{made.json()['uuid']}").status == 204
    since = len(hub.gateway.log())
    hub.forget_requests()
    for site in others:
        site.up()
    until(lambda: hub.get("/v1/nodes", headers=ALLOW).header("X-Ironic-Proxy-Incomplete") is None, seconds=30, what="all of them", pause=0.5)
    assert len(hub.get("/v1/nodes").uuids()) == SITES
    lists = len(first.asked("GET", "/v1/nodes.*"))
    for site in others:
        # The trial that closed its breaker, its versions, and the lists.
        assert len(site.asked()) <= lists + 4, [request.target for request in site.asked()]
    assert lines(hub, since) == []
