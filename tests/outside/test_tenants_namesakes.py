"""What others call like a project's own, at locations that answer while the project's own is at one that does not."""

import json
import re

import pytest
import scripted
from projects import LOCATION, MINE, OTHER, TENANT, hub
from records import KINDS
from standin import Standin, new_uuid, node
from tenants import ADMIN

# Each names a node, a part of one or an allocation, which are called `web`, `eth0`, `bond` and `own`.
BY_NAME = [
    ("GET", "nodes/{}", "web", None), ("GET", "nodes/{}/states", "web", None), ("PUT", "nodes/{}/maintenance", "web", {}), ("DELETE", "nodes/{}/maintenance", "web", None),
    ("PATCH", "nodes/{}", "web", [{"op": "add", "path": "/extra/a", "value": 1}]), ("GET", "nodes/{}/ports", "web", None),
    ("GET", "ports?node={}", "web", None), ("GET", "ports/detail?node={}&sort_key=address", "web", None), ("GET", "portgroups?node={}", "web", None),
    ("GET", "volume/connectors?node={}", "web", None), ("GET", "volume/targets?node={}&limit=1", "web", None), ("GET", "allocations?node={}", "web", None),
    ("GET", "ports?portgroup={}", "bond", None), ("GET", "ports/{}", "eth0", None), ("GET", "portgroups/{}", "bond", None),
    ("PATCH", "portgroups/{}", "bond", [{"op": "add", "path": "/extra", "value": {"a": 1}}]), ("GET", "allocations/{}", "own", None), ("DELETE", "allocations/{}", "own", None),
    ("POST", "allocations", "web", {"resource_class": "x", "candidate_nodes": ["{}"]}), ("POST", "allocations", "web", {"node": "{}"}),
    ("POST", "ports", "web", {"address": "52:54:00:00:00:99", "node_ident": "{}"}),
]  # fmt: skip
# Where it is not there Ironic says so with a 400 or, of what is to be made at it, with a 403.
ELSE = {"allocations?node={}": 400, "allocations": 400, "ports": 403}


@pytest.fixture(scope="module")
def house():
    with hub(Standin(), Standin()) as running:
        yield running


@pytest.fixture
def namesakes(house):
    """At each location something of each name: another project's at the first, the project's own at the second."""
    for place, (site, owner) in enumerate(zip(house.fleet.all(), (OTHER, MINE), strict=True)):
        for records in (site.nodes, site.ports, *site.objects.values()):
            records.clear()
        at = site.add(node("web", owner=owner))["uuid"]
        site.ports.append({"uuid": new_uuid(), "name": "eth0", "address": f"52:54:00:00:00:0{place}", "node_uuid": at})
        site.objects["portgroups"].append({"uuid": new_uuid(), "name": "bond", "address": None, "node_uuid": at})
        for kind in ("connectors", "targets"):
            site.objects[kind].append({"uuid": new_uuid(), "node_uuid": at})
        site.objects["allocations"].append({"uuid": new_uuid(), "name": "own", "owner": owner, "state": "active", "resource_class": "x", "node_uuid": None})
    house.fleet.forget_requests()
    yield house
    house.fleet.heal()


@pytest.mark.parametrize("version", ["1.115", "1.64", "1.60"])
@pytest.mark.parametrize(("method", "path", "name", "body"), BY_NAME, ids=lambda value: value if isinstance(value, str) else "")
def test_a_hidden_namesake_makes_nothing_absent_while_a_location_is_silent(namesakes, method, path, name, body, version):
    """Whoever is silent may have the caller's own, and a 404 would tell that somebody has the name."""
    if path == "ports" and version != "1.115":
        pytest.skip("before 1.94 no node is named so in a body")
    fleet, namesakes.version = namesakes.fleet, version

    def ask(ident):
        return namesakes.ask(TENANT, method, "/v1/" + path.format(ident), json.loads(json.dumps(body).replace("{}", ident)) if body else body)

    fleet.loc2.fault(scripted.close())
    for ident in (name, "nobody"):
        reply = ask(ident)
        assert (reply.status, fleet.loc1.asked("P.*")) == (503, []), (ident, reply)
    fleet.heal()
    absent = ask("nobody")
    assert absent.status == ELSE.get(path, 404), absent
    reply = ask(name)
    assert (reply.status < 300, reply.header(LOCATION) in ("loc2", None)) == (True, True), reply
    hidden = [*fleet.loc1.ports, *(one for kind in KINDS for one in fleet.loc1.objects[kind])]
    assert not any(one["uuid"] in reply.body.decode() for one in hidden), reply


def test_no_namesake_at_an_old_location_makes_a_project_s_own_absent():
    """Nothing there can be a project's; whoever is silent may have its own."""
    sites = [Standin([node("web", owner=OTHER)], versions=("1.1", "1.58")), Standin([node("web", owner=MINE)]), Standin()]
    for site in sites[:2]:
        site.objects["allocations"].append({"uuid": new_uuid(), "name": "own", "owner": MINE, "state": "active", "resource_class": "x", "node_uuid": None})
    asked = [("GET", "/v1/nodes/{}", "web", None), ("GET", "/v1/nodes/{}/states", "web", None), ("PUT", "/v1/nodes/{}/maintenance", "web", {}), ("GET", "/v1/allocations/{}", "own", None)]
    with hub(*sites) as running:
        running.fleet.loc2.fault(scripted.close())
        for method, path, name, body in asked:
            for ident in (name, "nobody"):
                reply = running.ask(TENANT, method, path.format(ident), body)
                assert reply.status == 503, (method, path, ident, reply)
        running.fleet.heal()
        for method, path, name, body in asked:
            reply = running.ask(TENANT, method, path.format(name), body)
            assert (reply.status in (200, 202), reply.header(LOCATION)) == (True, "loc2"), (method, path, reply)
            assert running.ask(TENANT, method, path.format("nobody"), body).status == 404


def test_no_answer_of_before_makes_a_hidden_name_absent():
    """All said no to it a moment ago: that helps to find it, and is no *no* of now."""
    sites = [Standin([node("web", owner=OTHER)]), Standin()]
    with hub(*sites) as running:
        assert running.get(ADMIN, "/v1/nodes/web").status == 200
        running.fleet.loc2.fault(scripted.close())
        for path in ("/v1/nodes/{}", "/v1/nodes/{}/states", "/v1/ports?node={}"):
            assert [running.get(TENANT, path.format(name)).status for name in ("web", "nobody")] == [503, 503], path
        running.fleet.heal()
        # One question to its owner and one to each other location, and one line in the log.
        hidden, asked = running.counted(TENANT, "GET", "/v1/nodes/web")
        assert (hidden.status, asked) == (404, {"loc1": 1, "loc2": 1}), hidden
        sites[1].add(node("web", owner=MINE))
        shown = running.get(TENANT, "/v1/nodes/web")
        assert (shown.status, shown.header(LOCATION)) == (200, "loc2"), shown
        assert running.get(TENANT, f"/v1/nodes/{sites[0].nodes[0]['uuid']}").status == 404
        running.fleet.logged(f"Denied by .* GET /v1/nodes/{sites[0].nodes[0]['uuid']}")
        assert len(re.findall("Denied by .* GET /v1/nodes/web$", running.fleet.gateway.log(), re.MULTILINE)) == 1


@pytest.mark.parametrize(("answer", "without"), [((400, "Expected UUID for port_uuid: eth0"), 404), ((406, "Not acceptable"), 503), ((500, "Oops"), 503)])
def test_an_error_of_one_location_tells_of_no_hidden_name(answer, without):
    """It is no answer to what the client has asked: a 400 is a *no*, and whoever says anything else has said nothing."""
    sites = [Standin([node("web", owner=OTHER)]), Standin(), Standin()]
    sites[0].ports.append({"uuid": new_uuid(), "name": "eth0", "address": "52:54:00:00:00:00", "node_uuid": sites[0].nodes[0]["uuid"]})
    with hub(*sites) as running:
        for silent, status in (("loc3", 503), (None, without)):
            running.fleet.heal()
            running.fleet.loc2.fault(scripted.says(*answer))
            if silent:
                running.fleet.sites[silent].fault(scripted.close())
            for path, name in (("/v1/nodes/{}", "web"), ("/v1/ports/{}", "eth0")):
                found = [running.get(TENANT, path.format(ident)) for ident in (name, "nobody")]
                assert [reply.status for reply in found] == [status, status], (path, silent, found)
