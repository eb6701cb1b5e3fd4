"""What others call like a project's own, at locations that answer while the project's own is at one that does not."""

import json

import pytest
import scripted
from projects import LOCATION, MINE, OTHER, TENANT, hub
from records import KINDS
from standin import Standin, new_uuid, node

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
