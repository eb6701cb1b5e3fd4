"""What a create tells of what others have: no more than one Ironic, which looks at the node first."""

import pytest
from projects import LOCATION, MINE, OTHER, TENANT, hub
from standin import Standin, new_uuid, node
from tenants import ADMIN

READER = {**TENANT, "X-Roles": "reader"}
MAC, IQN = "52:54:00:00:00:01", "iqn.2017-01.hidden"
# What others have of each at another location.
KEPT = {
    "ports": {"address": MAC, "name": "eth0"}, "portgroups": {"address": MAC, "name": "bond"},
    "volume/connectors": {"type": "iqn", "connector_id": IQN}, "volume/targets": {"volume_type": "iscsi", "boot_index": 0, "volume_id": "v"},
}  # fmt: skip


@pytest.fixture(scope="module")
def house():
    first, second = Standin(), Standin()
    theirs = second.add(node("theirs", owner=OTHER))["uuid"]
    for path, members in KEPT.items():
        kept = {"uuid": new_uuid(), "node_uuid": theirs, **members}
        (second.ports if path == "ports" else second.objects[path.rsplit("/", 1)[-1]]).append(kept)
    with hub(first, second) as running:
        yield running


def free(members):
    """The same of nobody's."""
    of = {"address": "52:54:00:00:00:99", "name": "free", "connector_id": "iqn.2017-01.free"}
    return {name: of.get(name, value) for name, value in members.items()}


def kept(house, path):
    [one] = house.fleet.loc2.ports if path == "ports" else house.fleet.loc2.objects[path.rsplit("/", 1)[-1]]
    return one


@pytest.mark.parametrize("who", [ADMIN, TENANT, READER], ids=["admin", "project", "reader"])
@pytest.mark.parametrize("path", KEPT)
@pytest.mark.parametrize("named", [{}, {"node_uuid": ""}, {"node_uuid": None}, {"node_uuid": 7}, {"node_uuid": "theirs"}, {"node_uuid": "nobody"}], ids=repr)
def test_without_a_node_nothing_is_told(house, path, named, who):
    said = []
    for uuid, members in ((kept(house, path)["uuid"], KEPT[path]), (new_uuid(), free(KEPT[path]))):
        reply, asked = house.counted(who, "POST", f"/v1/{path}", {"uuid": uuid, **members, **named})
        said.append((reply.status, reply.text(), reply.header(LOCATION), asked))
    assert said[0] == said[1]
    assert (said[0][0], said[0][3]) == (400, {"loc1": 1})


@pytest.mark.parametrize("path", KEPT)
def test_nothing_is_made_at_a_node_that_nobody_has(house, path):
    """One that comes meanwhile either."""
    absent, first = new_uuid(), house.fleet.loc1

    def comes(exchange):
        first.add(node("late", uuid=absent, owner=MINE))
        return exchange.true_answer()

    for name in ("absent", "late"):
        for members in (KEPT[path], free(KEPT[path])):
            if name == "late":
                first.fault(comes, "POST", f"/v1/{path}", times=1)
            reply = house.ask(ADMIN, "POST", f"/v1/{path}", {**members, "node_uuid": absent})
            assert (reply.status, reply.text(), reply.header(LOCATION)) == (400, f"Node {absent} could not be found.", None), reply
            first.heal()
            first.nodes.clear()


@pytest.mark.parametrize("path", KEPT)
def test_nothing_is_made_at_a_node_that_is_hidden(tmp_path, path):
    """Ironic judges it as nobody's, and then does not find it, whoever may create at what is nobody's."""
    rules = tmp_path / "policy.yaml"
    rules.write_text("".join(f'"baremetal:{name}:create": "role:member"\n' for name in ("port", "portgroup", "volume")))
    with hub(Standin([node("here", owner=MINE)]), Standin([node("theirs", owner=OTHER)]), sections={"oslo_policy": {"policy_file": rules}}) as running:
        mine, theirs = (site.nodes[0]["uuid"] for site in running.fleet.all())
        for hidden in (theirs, new_uuid()):
            refused = running.ask(TENANT, "POST", f"/v1/{path}", {**KEPT[path], "node_uuid": hidden})
            assert (refused.status, refused.text()) == (400, f"Node {hidden} could not be found."), refused
        if path == "ports":
            refused = running.ask(TENANT, "POST", "/v1/ports", {**KEPT[path], "node_ident": "theirs"})
            assert (refused.status, refused.text()) == (400, "Node None could not be found."), refused
        assert running.ask(TENANT, "POST", f"/v1/{path}", {**KEPT[path], "node_uuid": mine}).status == 201
