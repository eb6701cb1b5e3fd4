"""Where an allocation is placed while locations fail."""


import pytest
import scripted
from faults import GROUPS, SILENT, hubs, silence, writes
from fleet import assert_unavailable
from standin import new_uuid, node

LOCATION = "X-Ironic-Proxy-Location"


module_hub, hub = hubs(3, groups=GROUPS, every={"timeout": 1}, api={"enable_ramdisk_endpoints": True})


def free(name, **fields):
    given = {"provision_state": "available", "power_state": "power off", "resource_class": "bm"}
    return node(name, **{**given, **fields})


def placed(hub, **members):
    return hub.post("/v1/allocations", {"resource_class": "bm", **members})


@pytest.mark.parametrize("way", SILENT)
def test_a_location_that_is_down_is_left_out_of_a_placement(hub, way):
    hub.loc1.add(free("a"))
    hub.loc2.add(free("b"))
    silence(hub.loc1, way)
    for _ in range(5):
        reply = placed(hub)
        assert (reply.status, reply.header(LOCATION)) == (201, "loc2"), reply


@pytest.mark.parametrize("way", SILENT)
def test_no_placement_where_nobody_else_has_a_node(hub, way):
    hub.loc1.add(free("a"))
    silence(hub.loc1, way)
    assert_unavailable(placed(hub), "loc1")
    assert not any(hub.sites[name].objects["allocations"] for name in hub.sites)


UNFIT = {"provision_state": "active", "power_state": None, "resource_class": "other", "instance_uuid": new_uuid(), "maintenance": True,
         "traits": ["CUSTOM_B"], "owner": "p2"}  # fmt: skip


@pytest.mark.parametrize("field", UNFIT)
def test_a_node_that_would_not_do_attracts_nothing(hub, field):
    good = {"traits": ["CUSTOM_A"], "owner": "p1"}
    for number in range(20):
        hub.loc2.add(free(f"unfit-{number}", **{**good, field: UNFIT[field]}))
    hub.loc3.add(free("fit", **good))
    for _ in range(5):
        reply = placed(hub, traits=["CUSTOM_A"], owner="p1")
        assert (reply.status, reply.header(LOCATION)) == (201, "loc3"), reply


def test_placements_spread_by_what_is_available(hub):
    for number in range(10):
        hub.loc1.add(free(f"a{number}"))
        hub.loc2.add(free(f"b{number}"))
    seen = {placed(hub).header(LOCATION) for _ in range(40)}
    assert seen == {"loc1", "loc2"}
    # By name there is no chance in it.
    assert {placed(hub, name="b3").header(LOCATION)} == {"loc2"}


def test_all_pages_of_a_location_are_looked_at(hub):
    hub.loc2.max_limit = 2
    try:
        for number in range(5):
            hub.loc2.add(free(f"n{number}", traits=["CUSTOM_LAST"] if number == 4 else []))
        reply = placed(hub, traits=["CUSTOM_LAST"])
        assert (reply.status, reply.header(LOCATION)) == (201, "loc2"), reply
    finally:
        hub.loc2.max_limit = 1000


def test_candidates_decide_and_only_their_location_s_are_sent(hub):
    here, there = hub.loc1.add(free("here", resource_class="none")), hub.loc2.add(free("there"))
    reply = placed(hub, candidate_nodes=[here["uuid"], "there"])
    assert (reply.status, reply.header(LOCATION)) == (201, "loc2"), reply
    assert hub.loc2.asked("POST")[0].json()["candidate_nodes"] == ["there"]
    reply = placed(hub, candidate_nodes=[there["uuid"], "nobody"])
    assert (reply.status, reply.text()) == (400, "Nodes cannot be found: nobody")
    hub.loc3.down()
    assert_unavailable(placed(hub, candidate_nodes=["nobody"]), "loc3")


def test_an_allocation_of_a_node_goes_to_the_node(hub):
    there = hub.loc3.add(node("there", provision_state="active"))
    for ident in ("there", there["uuid"]):
        reply = hub.post("/v1/allocations", {"node": ident})
        assert (reply.status, reply.header(LOCATION)) == (201, "loc3"), reply
    reply = hub.post("/v1/allocations", {"node": "nobody"})
    assert (reply.status, reply.text()) == (400, "Node nobody could not be found.")
    hub.loc1.down()
    assert_unavailable(hub.post("/v1/allocations", {"node": "nobody"}), "loc1")


def test_a_node_that_has_moved_gets_what_is_made_for_it(hub):
    """Of a create Ironic says with a 400 that the node is not there."""
    for kind, content in [("ports", {"address": "52:54:00:aa:bb:09"}), ("allocations", {})]:
        record = hub.loc1.add(node("mover", provision_state="active"))
        assert hub.get(f"/v1/nodes/{record['uuid']}").header(LOCATION) == "loc1"
        hub.loc3.add(hub.loc1.take("mover"))
        name = "node_uuid" if kind == "ports" else "node"
        reply = hub.post(f"/v1/{kind}", {name: record["uuid"], **content})
        assert (reply.status, reply.header(LOCATION)) == (201, "loc3"), reply
        hub.loc3.take("mover")


def test_a_lost_answer_is_asked_for(hub):
    hub.loc2.add(free("b"))
    hub.loc2.fault(scripted.executed(scripted.reset()), method="POST")
    reply = placed(hub, name="lost")
    assert (reply.status, reply.json()["name"]) == (201, "lost")
    assert hub.asked("POST") == {"loc2": 1}


def test_a_lost_answer_is_asked_for_where_candidates_were_named(hub):
    """Ironic shows their UUIDs."""
    uuid, there = new_uuid(), hub.loc2.add(free("b"))
    hub.loc2.fault(scripted.executed(scripted.close()), method="POST")
    reply = placed(hub, uuid=uuid, candidate_nodes=["b"])
    assert (reply.status, reply.json()["uuid"], reply.json()["candidate_nodes"]) == (201, uuid, [there["uuid"]]), reply


def test_the_name_of_an_allocation_is_unique(hub):
    hub.loc3.objects["allocations"].append({"uuid": new_uuid(), "name": "taken", "state": "active"})
    hub.loc1.add(free("a"))
    reply = placed(hub, name="taken")
    assert (reply.status, reply.text()) == (409, "An allocation with name taken already exists.")
    assert writes(hub) == {}


def test_an_allocation_of_a_node_in_use_has_its_instance_s_uuid(hub):
    """A UUID of our own would be refused, and kept by Ironic as an allocation in error."""
    used = hub.loc3.add(node("used", provision_state="active", instance_uuid=new_uuid()))
    for headers in ({}, {LOCATION: "loc3"}):
        hub.loc3.fault(scripted.reset(), method="GET", query="fields=uuid,name,instance_uuid", times=3)
        assert_unavailable(hub.post("/v1/allocations", {"node": "used"}, headers=headers), "loc3")
        hub.loc3.heal()
        reply = hub.post("/v1/allocations", {"node": "used"}, headers=headers)
        assert (reply.status, reply.json()["uuid"]) == (201, used["instance_uuid"]), reply
        hub.loc3.objects["allocations"].clear()
    free_one, own = hub.loc3.add(node("free", provision_state="active")), new_uuid()
    assert hub.post("/v1/allocations", {"node": "free"}).json()["uuid"] not in (used["instance_uuid"], free_one["uuid"])
    assert hub.post("/v1/allocations", {"node": "used", "uuid": own}).json()["uuid"] == own


def test_an_instance_of_one_location_is_no_allocation_of_another(hub):
    used = hub.loc3.add(node("used", provision_state="active", instance_uuid=new_uuid()))
    hub.loc1.add(free("a"))
    reply = placed(hub, uuid=used["instance_uuid"])
    assert (reply.status, reply.text()) == (409, f"Instance {used['instance_uuid']} is already associated with a node.")
    assert writes(hub) == {}


def test_a_long_list_of_candidates_that_nobody_has_floods_no_location(hub):
    hub.loc1.add(free("a"))
    before = {name: len(hub.sites[name].requests) for name in hub.sites}
    reply = placed(hub, candidate_nodes=[new_uuid() for _ in range(2000)])
    assert reply.status == 400 and "cannot be found" in reply.text(), reply
    asked = {name: len(hub.sites[name].requests) - before[name] for name in hub.sites}
    assert all(count < 100 for count in asked.values()), asked
