"""What a client writes in a query or a body never becomes another path: web servers in front of an Ironic take dots away, decode
slashes and cut at semicolons, and a gateway's credential may do at that path what the client's may not."""

import dataclasses
import posixpath
import re
import urllib.parse

import pytest
from admin import SECTION, Admin
from exchange import Answer
from fleet import fleet
from routes import spellings
from standin import Standin, new_uuid, node

ODD = {
    "up": "..",
    "here": ".",
    "slash": "a/b",
    "up and on": "../x",
    "encoded slash": "..%2Fx",
    "encoded dots": "%2e%2e",
    "semicolon": "a;b",
    "line end": "a\nb",
    "delete": "a\x7f",
    "a word of Ironic's": "states",
    "a list of Ironic's": "ports",
}
PINNED = {"X-Ironic-Proxy-Location": "loc2"}
STEPS = [{"interface": "deploy", "step": "x", "args": {}, "order": 1}]
TWISTED = re.compile(r"/\.{1,2}(/|$)|//|;|%2f|%3b|%25|%0|%7f", re.IGNORECASE)


class Behind(Standin):
    """An Ironic behind a web server that makes paths plain before it hands them on, as httpd and nginx do."""

    def answer(self, request):
        path, mark, query = request.target.partition("?")
        plain = posixpath.normpath(urllib.parse.unquote(path))
        if plain.startswith(("/v1/lookup", "/v1/heartbeat", "/v1/continue_inspection")):
            return Answer(202, b"", [("Content-Type", "application/json")])
        return super().answer(dataclasses.replace(request, target=urllib.parse.quote(plain) + mark + query))


def behind(**options):
    return fleet(Behind(), Behind(), sections={"admin": SECTION}, api={"enable_ramdisk_endpoints": True}, **options)


@pytest.fixture(scope="module")
def patient():
    with behind() as hub:
        yield hub


@pytest.fixture(scope="module")
def touchy():
    """Its breakers open at the fifth failure and stay open."""
    with behind(every={"breaker_failures": 5, "breaker_open_time": 600}) as hub:
        yield hub


def watched(hub):
    hub.heal()
    for site in hub.all():
        site.nodes.clear()
    hub.there = hub.loc2.add(node("there"))
    yield hub
    for site in hub.all():
        twisted = [f"{request.method} {request.target}" for request in site.requests if TWISTED.search(request.target.partition("?")[0])]
        assert not twisted
    assert hub.loc2.find(hub.there["uuid"]), "it was deleted"


@pytest.fixture
def hub(patient):
    yield from watched(patient)


@pytest.fixture
def touched(touchy):
    yield from watched(touchy)
    listed = touchy.get("/v1/nodes")
    assert listed.status == 200, f"a breaker is open: {listed}"


@pytest.mark.parametrize("headers", [{}, PINNED], ids=["", "pinned"])
@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_a_query_leads_nowhere_else(hub, value, headers):
    ident = hub.there["uuid"]
    count = 0
    for method, words, given, names in spellings():
        left = iter([ident] * given)
        path = "/".join(filter(None, (next(left, "") if word == "{}" else word for word in words)))
        for query in ([(name, value) for name in names], [(names[0], value)]):
            hub.call(method, f"/v1/{path}?{urllib.parse.urlencode(query)}", None if method == "GET" else {}, headers=headers)
            count += 1
    assert count > 100


MEMBERS = ("uuid", "name", "node_uuid", "portgroup_uuid", "chassis_uuid", "parent_node", "node", "candidate_nodes", "instance_uuid")
COLLECTIONS = {
    "nodes": {"driver": "fake-hardware"},
    "ports": {"address": "00:00:00:00:00:01"},
    "portgroups": {},
    "volume/connectors": {"type": "iqn", "connector_id": "c"},
    "volume/targets": {"volume_type": "iscsi", "boot_index": 0, "volume_id": "v"},
    "allocations": {"resource_class": "c"},
    "chassis": {},
    "deploy_templates": {"steps": STEPS},
    "runbooks": {"steps": STEPS},
    "inspection_rules": {"actions": [{"op": "fail", "args": ["x"]}]},
}


@pytest.mark.parametrize("headers", [{}, PINNED], ids=["", "pinned"])
@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_a_body_leads_nowhere_else(hub, value, headers):
    for collection, body in COLLECTIONS.items():
        whole = {"node_uuid": hub.there["uuid"]} if collection.startswith(("port", "volume")) else {}
        for member in MEMBERS:
            written = [value] if member == "candidate_nodes" else value
            hub.post(f"/v1/{collection}", {**body, **whole, member: written}, headers=headers)
    # The stand-in changes a UUID, which Ironic refuses.
    for member in MEMBERS[1:]:
        hub.patch(f"/v1/nodes/{hub.there['uuid']}", [{"op": "add", "path": f"/{member}", "value": value}], headers=headers)
    hub.post("/v1/events", {"events": [{"event": "network.bind_port", "port_id": value}]}, headers=headers)


# Each is repeated as often as it takes to open a breaker.
@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize(
    "query",
    ["ports?node=", "allocations?node=", "nodes/validate?node=", "nodes?marker="],
)
def test_no_query_counts_against_a_location(touched, query, value):
    for _ in range(6):
        reply = touched.get(f"/v1/{query}{urllib.parse.quote(value)}")
        assert 400 <= reply.status < 500 or query.startswith("allocations") and reply.status == 200, reply


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("member", ["name", "parent_node", "uuid"])
def test_no_body_counts_against_a_location(touched, member, value):
    for _ in range(6):
        touched.post("/v1/nodes", {"driver": "fake-hardware", member: value})
        if member != "uuid":
            touched.patch(f"/v1/nodes/{touched.there['uuid']}", [{"op": "add", "path": f"/{member}", "value": value}])


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_no_operator_s_typo_counts_against_a_location(touched, value):
    found = Admin(touched.gateway).get(f"/locate/{urllib.parse.quote(value, safe='')}?ask=true").document
    # The stand-in has no volumes.
    assert not [where for where in found["unknown"] if not where.startswith("volume")]
    assert found["found"] == []


@pytest.mark.parametrize("value", ["..", "."])
def test_what_ironic_takes_for_a_name_is_absent_in_its_words(touched, value):
    for query in ("ports?node=", "nodes/states?node_ident="):
        reply = touched.get(f"/v1/{query}{value}")
        assert (reply.status, reply.fault()["faultstring"]) == (404, f"Node {value} could not be found."), reply
    reply = touched.call("DELETE", f"/v1/nodes/{touched.there['uuid']}/vifs?vif_id={value}")
    assert reply.status == 400 and value in reply.text(), "a VIF has such a name at most in a path that cannot be sent"
    assert not touched.asked("DELETE")


class Lying(Behind):
    """Its node's allocation is called what leads to another thing."""

    def answer(self, request):
        if request.path.endswith("/allocation"):
            return Answer.of_json(200, {"uuid": "../nodes/x", "name": None, "links": []})
        return super().answer(request)


def test_what_a_location_says_leads_nowhere_either():
    with fleet(Lying([node("there")])) as hub:
        reply = hub.get("/v1/allocations?node=there&fields=uuid")
        assert reply.status == 503, reply
        asked = [request.target for request in hub.loc1.requests]
        assert any(target.endswith("/nodes/there/allocation") for target in asked), asked
        assert not [target for target in asked if TWISTED.search(target.partition("?")[0])]
