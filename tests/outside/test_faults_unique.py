"""What has to be unique is so over all locations."""


import pytest
import scripted
from faults import hubs, writes
from fleet import assert_unavailable, fleet
from standin import new_uuid, node

GROUPS = "_:loc1,mine:loc1,grp1:loc2,a.b-c_d:loc2,_x:loc3"
UNVERIFIED = "X-Ironic-Proxy-Unverified"


module_hub, hub = hubs(3, groups=GROUPS, every={"timeout": 1})


def test_a_name_that_another_location_has(hub):
    hub.loc3.add(node("taken"))
    reply = hub.post("/v1/nodes", {"driver": "fake-hardware", "name": "taken"})
    assert (reply.status, reply.text()) == (409, "A node with name taken already exists.")
    assert writes(hub) == {}


def test_a_uuid_that_another_location_has(hub):
    ident = new_uuid()
    hub.loc2.add(node(None, ident))
    reply = hub.post("/v1/nodes", {"driver": "fake-hardware", "uuid": ident})
    assert (reply.status, reply.text()) == (409, f"A node with UUID {ident} already exists.")
    assert writes(hub) == {}


def test_an_instance_that_another_location_has(hub):
    instance, ident = new_uuid(), new_uuid()
    hub.loc2.add(node("holder", instance_uuid=instance))
    reply = hub.post("/v1/nodes", {"driver": "fake-hardware", "uuid": ident, "instance_uuid": instance})
    wanted = f"Instance {instance} is already associated with a node, it cannot be associated with this other node {ident}"
    assert (reply.status, reply.text()) == (409, wanted)
    assert writes(hub) == {}


@pytest.mark.parametrize("members", [{"name": "fresh"}, {"uuid": new_uuid()}, {"instance_uuid": new_uuid()}])
@pytest.mark.parametrize("fault", [None, scripted.html(), scripted.hang(), scripted.says(401, "no")])
def test_uniqueness_that_cannot_be_verified(hub, members, fault):
    if fault is None:
        hub.loc3.down()
    else:
        hub.loc3.fault(fault)
    before = len(hub.gateway.log())
    reply = hub.post("/v1/nodes", {"driver": "fake-hardware", **members})
    assert reply.status == 201, reply
    assert reply.header(UNVERIFIED) == "loc3"
    hub.logged(r"WARN.*loc3", before)
    # What the others say still counts.
    other = hub.post("/v1/nodes", {"driver": "fake-hardware", **members})
    assert other.status == 409, other


@pytest.mark.parametrize(
    ("path", "members"),
    [
        ("/v1/nodes", {"driver": "fake-hardware", "name": "lost"}),
        ("/v1/ports", {"address": "52:54:00:12:34:99"}),
        ("/v1/portgroups", {"name": "lost", "address": "52:54:00:12:34:98"}),
        ("/v1/allocations", {"name": "lost", "resource_class": "small"}),
    ],
)
def test_a_create_whose_answer_was_lost_says_it_too(hub, path, members):
    if path in ("/v1/ports", "/v1/portgroups"):
        members = {**members, "node_uuid": hub.loc1.add(node(f"of-{path[4:]}"))["uuid"]}
        assert hub.get(f"/v1/nodes/{members['node_uuid']}").status == 200
    if path == "/v1/allocations":
        hub.loc1.add(node("free", provision_state="available", resource_class="small", power_state="power off"))
    hub.loc3.down()
    hub.loc1.fault(scripted.executed(scripted.reset()), method="POST")
    reply = hub.post(path, members)
    assert (reply.status, reply.header(UNVERIFIED)) == (201, "loc3"), reply


def test_verified_uniqueness_says_nothing(hub):
    reply = hub.post("/v1/nodes", {"driver": "fake-hardware", "name": "verified"})
    assert reply.header(UNVERIFIED) is None


def test_require_unique():
    with fleet(3, groups=GROUPS, api={"require_unique": True}) as hub:
        here = hub.loc1.add(node("here"))
        hub.loc3.down()
        reply = hub.post("/v1/nodes", {"driver": "fake-hardware", "name": "fresh"})
        assert_unavailable(reply, "loc3")
        reply = hub.patch(f"/v1/nodes/{here['uuid']}", [{"op": "replace", "path": "/name", "value": "fresh"}])
        assert_unavailable(reply, "loc3")
        assert writes(hub) == {}
        hub.loc3.up()
        assert hub.post("/v1/nodes", {"driver": "fake-hardware", "name": "fresh"}).status == 201


def test_a_rename_to_a_name_that_another_location_has(hub):
    here = hub.loc1.add(node("here"))
    hub.loc2.add(node("taken"))
    path = f"/v1/nodes/{here['uuid']}"
    for body in (
        b'[{"op": "replace", "path": "/name", "value": "taken"}]',
        b'[{"op": "add", "path": "/n\\u0061me", "value": "t\\u0061ken"}]',
        b'[{"op": "replace", "path": "/name", "value": "free"}, {"op": "replace", "path": "/name", "value": "taken"}]',
    ):
        reply = hub.patch(path, body)
        assert (reply.status, reply.text()) == (409, "A node with name taken already exists."), reply
    assert writes(hub) == {}
    # Its own name, and one that is free.
    for name in ("here", "free"):
        assert hub.patch(path, [{"op": "replace", "path": "/name", "value": name}]).status == 200
    hub.loc2.down()
    reply = hub.patch(path, [{"op": "replace", "path": "/name", "value": "other"}])
    assert (reply.status, reply.header(UNVERIFIED)) == (200, "loc2")


def test_an_instance_set_by_patch(hub):
    here, instance = hub.loc1.add(node("here")), new_uuid()
    hub.loc2.add(node("holder", instance_uuid=instance))
    reply = hub.patch(f"/v1/nodes/{here['uuid']}", [{"op": "add", "path": "/instance_uuid", "value": instance}])
    assert reply.status == 409 and instance in reply.text(), reply
    assert writes(hub) == {}
