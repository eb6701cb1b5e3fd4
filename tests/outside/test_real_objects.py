"""Everything that is neither a node nor owned by one, at three real Ironics through the gateway.

Drivers, conductors and shards are united; chassis and other definitions are the same everywhere; an allocation lies where
its node is.
"""

import json
import uuid

import pytest

from client import GROUPS, Refused, fault, owned, provision, until
from everywhere import having, repoint, uuids
from order import union

pytestmark = pytest.mark.usefixtures("clean")

ABSENT = "00000000-0000-4000-8000-00000000dead"
LOCATION = "X-Ironic-Proxy-Location"
STEP = {"interface": "bios", "step": "apply_configuration", "args": {"settings": []}}


# ---- united


def test_drivers_are_united(api, direct):
    drivers = api.ok("GET", "/v1/drivers")["drivers"]
    assert [driver["name"] for driver in drivers] == ["fake-hardware"]
    assert sorted(drivers[0]["hosts"]) == [f"{name}-conductor" for name in GROUPS]
    shown = api.ok("GET", "/v1/drivers/fake-hardware")
    assert sorted(shown["hosts"]) == [f"{name}-conductor" for name in GROUPS]
    theirs = direct["loc1"].ok("GET", "/v1/drivers/fake-hardware")
    assert set(shown) == set(theirs)
    for field in theirs:
        if field.startswith("enabled_"):
            assert sorted(shown[field]) == sorted(theirs[field])
        elif field not in ("hosts", "links", "properties"):
            assert shown[field] == theirs[field]
    assert all(link["href"].startswith(api.url) for link in shown["links"] + shown["properties"])
    for path in ("properties", "vendor_passthru/methods", "raid/logical_disk_properties"):
        ours = api.get(f"/v1/drivers/fake-hardware/{path}")
        theirs = direct["loc1"].get(f"/v1/drivers/fake-hardware/{path}")
        assert (ours.status, ours.json()) == (theirs.status, theirs.json())
    for path in ("/v1/drivers/none", "/v1/drivers/none/properties", "/v1/drivers?limit=1", "/v1/drivers?type=odd"):
        ours, theirs = api.get(path), direct["loc1"].get(path)
        assert (ours.status, ours.body) == (theirs.status, theirs.body)
    assert [driver["name"] for driver in api.ok("GET", "/v1/drivers?type=dynamic&detail=True")["drivers"]] == ["fake-hardware"]
    assert api.ok("GET", "/v1/drivers?type=classic")["drivers"] == []


def test_a_driver_s_vendor_method_needs_a_location_when_several_have_it(api, direct):
    path = "/v1/drivers/fake-hardware/vendor_passthru/none"
    assert api("POST", path, json={}).status == 400
    narrowed = api("POST", path, json={}, headers={LOCATION: "loc2"})
    theirs = direct["loc2"]("POST", path, json={})
    assert (narrowed.status, narrowed.body) == (theirs.status, theirs.body)


def test_conductors_are_merged_and_found(api, direct):
    items, _ = api.walk("next", "/v1/conductors", limit=1)
    assert [item["hostname"] for item in items] == [f"{name}-conductor" for name in GROUPS]
    names = [f"{name}-conductor" for name in GROUPS]
    assert [item["hostname"] for item in api.list("/v1/conductors", sort_key="hostname", sort_dir="desc")] == names[::-1]
    assert [item["hostname"] for item in api.list("/v1/conductors", marker=names[0])] == names[1:]
    assert [item["conductor_group"] for item in api.list("/v1/conductors", detail="True")] == list(GROUPS.values())
    for location in GROUPS:
        path = f"/v1/conductors/{location}-conductor"
        ours, theirs = api.ok("GET", path), json.loads(repoint(direct[location].get(path).body.decode(), direct, api))
        # The heartbeat goes on between the two questions.
        ours.pop("updated_at"), theirs.pop("updated_at")
        assert ours == theirs
    ours, theirs = api.get("/v1/conductors/none"), direct["loc1"].get("/v1/conductors/none")
    assert (ours.status, ours.body) == (404, theirs.body)


def test_shards_are_summed(api, direct, nodes):
    direct["loc1"].create(shard="east")
    direct["loc2"].create(shard="east", conductor_group="grp1")
    direct["loc3"].create(shard="west", conductor_group="grp2")
    shards = {shard["name"]: shard["count"] for shard in api.ok("GET", "/v1/shards")["shards"]}
    assert shards == {"None": 3, "east": 2, "west": 1}
    ours, theirs = api.get("/v1/shards/east"), direct["loc1"].get("/v1/shards/east")
    assert (ours.status, ours.body) == (404, theirs.body)


def test_the_volume_root_points_at_the_gateway(api, direct):
    assert api.get("/v1/volume").body.decode() == repoint(direct["loc1"].get("/v1/volume").body.decode(), direct, api)


# ---- the same everywhere


def replicated(kind, tag):
    return {
        "chassis": {"description": f"chassis {tag}", "extra": {"a": 1}},
        "deploy_templates": {"name": f"CUSTOM_{tag}", "steps": [{**STEP, "priority": 150}]},
        "runbooks": {"name": f"CUSTOM_{tag}", "steps": [{**STEP, "order": 1}]},
        "inspection_rules": {
            "description": f"rule {tag}",
            "actions": [{"op": "set-attribute", "args": {"path": "/extra/x", "value": "1"}}],
            "conditions": [],
        },
    }[kind]


REPLICATED = ["chassis", "deploy_templates", "runbooks", "inspection_rules"]


@pytest.mark.parametrize("kind", REPLICATED)
def test_a_replicated_object_lives_at_every_location_with_one_uuid(api, direct, kind):
    created = api("POST", f"/v1/{kind}", json=replicated(kind, "A"))
    assert created.status == 201, created.body.decode()
    thing = created.json()
    path = f"/v1/{kind}/{thing['uuid']}"
    assert created.headers["Location"] == f"{api.url}{path}"
    assert having(direct, path) == list(GROUPS)
    assert uuids(api.list(f"/v1/{kind}")) == [thing["uuid"]]
    by_name = [thing["name"]] if "name" in thing else []
    for ident in [thing["uuid"], *by_name]:
        shown = api.ok("GET", f"/v1/{kind}/{ident}")
        assert shown["uuid"] == thing["uuid"]
        assert all(link["href"].startswith(f"{api.url}/") for link in shown["links"])

    field, value = ("description", "changed") if kind in ("chassis", "inspection_rules") else ("extra", {"b": [1]})
    changed = api.patch(path, ("replace", f"/{field}", value))
    assert changed.status == 200, changed.body.decode()
    for name in GROUPS:
        assert direct[name].ok("GET", path)[field] == value

    gone = api("DELETE", path)
    assert (gone.status, gone.body) == (204, b"")
    assert having(direct, path) == []
    ours, theirs = api.get(path), direct["loc1"].get(path)
    assert (ours.status, ours.body) == (404, theirs.body)
    assert api("DELETE", path).status == 404


@pytest.mark.parametrize("kind", REPLICATED)
def test_lists_of_replicated_objects_have_each_once_and_page(api, direct, kind):
    made = [api.ok("POST", f"/v1/{kind}", json=replicated(kind, tag))["uuid"] for tag in "CABED"]
    lonely = direct["loc2"].ok("POST", f"/v1/{kind}", json=replicated(kind, "Z"))["uuid"]
    for style in ("next", "marker"):
        for limit in (1, 2, 6):
            items, _ = api.walk(style, f"/v1/{kind}", limit=limit)
            assert sorted(uuids(items)) == sorted([*made, lonely])
    key = "name" if kind in ("deploy_templates", "runbooks") else "description"
    for direction in ("asc", "desc"):
        items, _ = api.walk("marker", f"/v1/{kind}", limit=2, sort_key=key, sort_dir=direction, detail="True")
        values = [item[key] for item in items]
        assert values == sorted(values, reverse=direction == "desc") and len(values) == 6
    # What exists at one location only is found, changed and deleted there.
    assert api.ok("GET", f"/v1/{kind}/{lonely}")["uuid"] == lonely
    assert api("DELETE", f"/v1/{kind}/{lonely}").status == 204
    assert having(direct, f"/v1/{kind}/{lonely}") == []


@pytest.mark.parametrize("kind", REPLICATED)
def test_refused_replicated_writes_are_ironic_s_and_leave_nothing(api, direct, kind):
    made = api.ok("POST", f"/v1/{kind}", json=replicated(kind, "A"))
    bodies = [{"foo": 1}, {**replicated(kind, "B"), "uuid": made["uuid"]}]
    if kind != "inspection_rules":
        # Of a rule Ironic takes any text.
        bodies.append({**replicated(kind, "B"), "uuid": "no-uuid"})
    if "name" in made:
        bodies.append(replicated(kind, "A"))
        bodies.append({**replicated(kind, "B"), "name": "a b"})
    for body in bodies:
        theirs, ours = direct["loc1"]("POST", f"/v1/{kind}", json=body), api("POST", f"/v1/{kind}", json=body)
        assert theirs.status in (400, 409), (body, theirs.body.decode())
        assert (ours.status, ours.body) == (theirs.status, theirs.body), body
    path = f"/v1/{kind}/{made['uuid']}"
    theirs = direct["loc1"].patch(path, ("replace", "/foo", 1))
    ours = api.patch(path, ("replace", "/foo", 1))
    assert (ours.status, ours.body) == (theirs.status, theirs.body)
    for name in GROUPS:
        assert uuids(direct[name].list(f"/v1/{kind}")) == [made["uuid"]]


def test_a_replicated_write_needs_every_location_and_is_undone_or_named(api, direct, sites):
    for kind in REPLICATED:
        api.ok("POST", f"/v1/{kind}", json=replicated(kind, "BEFORE"))
    sites["loc3"].stop()
    try:
        for kind in REPLICATED:
            answer = api("POST", f"/v1/{kind}", json=replicated(kind, "A"))
            assert answer.status == 503, answer.body.decode()
            assert "loc3" in fault(answer)
            for name in ("loc1", "loc2"):
                assert len(direct[name].list(f"/v1/{kind}")) == 1
            # Reading needs one that has it.
            identity = direct["loc1"].list(f"/v1/{kind}")[0]["uuid"]
            assert api.get(f"/v1/{kind}/{identity}").status == 200
            assert api("DELETE", f"/v1/{kind}/{identity}").status == 503
    finally:
        sites["loc3"].start()


def test_with_the_location_header_they_are_objects_of_one_location(api, direct):
    for kind in REPLICATED:
        thing = api.ok("POST", f"/v1/{kind}", json=replicated(kind, "A"), headers={LOCATION: "loc2"})
        assert having(direct, f"/v1/{kind}/{thing['uuid']}") == ["loc2"]
        assert api("DELETE", f"/v1/{kind}/{thing['uuid']}", headers={LOCATION: "loc2"}).status == 204


def test_the_nodes_of_a_chassis_come_from_all_locations(api, direct):
    chassis = api.ok("POST", "/v1/chassis", json={"description": "rack"})["uuid"]
    made = [api.create(chassis_uuid=chassis, conductor_group=group)["uuid"] for group in GROUPS.values()]
    assert uuids(api.ok("GET", f"/v1/chassis/{chassis}/nodes")["nodes"]) == made
    assert uuids(api.ok("GET", f"/v1/chassis/{chassis}/nodes/detail")["nodes"]) == made
    assert uuids(api.list(chassis_uuid=chassis)) == made
    for style in ("next", "marker"):
        assert uuids(api.walk(style, f"/v1/chassis/{chassis}/nodes", limit=1)[0]) == made
    refused = api("DELETE", f"/v1/chassis/{chassis}")
    assert refused.status == 400
    assert "contains nodes" in fault(refused)
    assert having(direct, f"/v1/chassis/{chassis}") == list(GROUPS)
    links = api.ok("GET", f"/v1/chassis/{chassis}")["nodes"]
    assert f"{api.url}/v1/chassis/{chassis}/nodes" in json.dumps(links)


def test_the_traits_of_a_runbook_are_the_same_everywhere(api, direct):
    runbook = api.ok("POST", "/v1/runbooks", json=replicated("runbooks", "A"))["uuid"]
    path = f"/v1/runbooks/{runbook}/traits"
    assert api("PUT", path, json={"traits": ["CUSTOM_X", "CUSTOM_Y"]}).status == 204
    assert api("PUT", f"{path}/CUSTOM_Z").status == 204
    assert api("DELETE", f"{path}/CUSTOM_X").status == 204
    for name in GROUPS:
        assert sorted(direct[name].ok("GET", path)["traits"]) == ["CUSTOM_Y", "CUSTOM_Z"]
    assert sorted(api.ok("GET", path)["traits"]) == ["CUSTOM_Y", "CUSTOM_Z"]
    assert api("DELETE", path).status == 204
    assert api.ok("GET", path)["traits"] == []


# ---- allocations


@pytest.fixture
def available(api, direct):
    """One available node at each location, resource class `bm-<location>`, trait CUSTOM_<LOCATION>."""
    made = {}
    for name, group in GROUPS.items():
        node = api.create(name=f"free-{name}", conductor_group=group, resource_class=f"bm-{name}")
        path = f"/v1/nodes/{node['uuid']}"
        direct[name].ok("PUT", f"{path}/traits", json={"traits": ["CUSTOM_ALL", f"CUSTOM_{name.upper()}"]})
        provision(direct[name], node["uuid"], "manage", "manageable")
        provision(direct[name], node["uuid"], "provide", "available")
        direct[name].ok("PUT", f"{path}/states/power", json={"target": "power off"})
        until(lambda path=path, name=name: direct[name].ok("GET", path)["power_state"] == "power off")
        made[name] = node
    return made


def settled(api, ident):
    return until(
        lambda: found if (found := api.ok("GET", f"/v1/allocations/{ident}"))["state"] != "allocating" else None,
        what="the allocation",
    )


def test_an_allocation_goes_where_a_node_fits(api, direct, available):
    for location, node in available.items():
        answer = api("POST", "/v1/allocations", json={"resource_class": f"bm-{location}", "name": f"al-{location}"})
        assert answer.status == 201, answer.body.decode()
        allocation = settled(api, f"al-{location}")
        assert (allocation["state"], allocation["node_uuid"]) == ("active", node["uuid"])
        assert having(direct, f"/v1/allocations/{allocation['uuid']}") == [location]
        assert api.ok("GET", f"/v1/nodes/{node['name']}/allocation")["uuid"] == allocation["uuid"]
        for ident in (node["uuid"], node["name"]):
            # Ironic itself forgets this filter for operators.
            assert uuids(api.list("/v1/allocations", node=ident)) == [allocation["uuid"]]
    assert len(api.list("/v1/allocations")) == 3
    assert uuids(api.walk("next", "/v1/allocations", limit=1)[0]) == uuids(union(direct, "/v1/allocations"))
    assert [item["name"] for item in api.list("/v1/allocations", resource_class="bm-loc2")] == ["al-loc2"]
    assert api.patch("/v1/allocations/al-loc2", ("replace", "/extra", {"a": 1})).json()["extra"] == {"a": 1}
    assert api("DELETE", "/v1/allocations/al-loc2").status == 204
    assert api("DELETE", "/v1/nodes/free-loc3/allocation").status == 204
    assert [item["name"] for item in api.list("/v1/allocations")] == ["al-loc1"]


def test_an_allocation_follows_candidates_and_traits(api, direct, available):
    for location, node in available.items():
        for ident in (node["uuid"], node["name"]):
            body = {"resource_class": f"bm-{location}", "candidate_nodes": [ident]}
            allocation = settled(api, api.ok("POST", "/v1/allocations", json=body)["uuid"])
            assert allocation["node_uuid"] == node["uuid"]
            assert api("DELETE", f"/v1/allocations/{allocation['uuid']}").status == 204
    for location, node in available.items():
        assert api.patch(f"/v1/nodes/{node['uuid']}", ("replace", "/resource_class", "same")).status == 200
    body = {"resource_class": "same", "traits": ["CUSTOM_LOC3"], "candidate_nodes": [node["uuid"] for node in available.values()]}
    assert settled(api, api.ok("POST", "/v1/allocations", json=body)["uuid"])["node_uuid"] == available["loc3"]["uuid"]
    body = {"resource_class": "same", "name": "free-loc2"}
    assert settled(api, api.ok("POST", "/v1/allocations", json=body)["uuid"])["node_uuid"] == available["loc2"]["uuid"]


def test_an_allocation_that_nothing_fits_ends_in_error_and_wrong_ones_are_refused(api, direct, available):
    allocation = settled(api, api.ok("POST", "/v1/allocations", json={"resource_class": "none", "name": "vain"})["uuid"])
    assert allocation["state"] == "error"
    assert having(direct, f"/v1/allocations/{allocation['uuid']}") == ["loc1"]
    for body in ({}, {"resource_class": "x", "candidate_nodes": ["nobody"]}, {"resource_class": "x", "foo": 1}, {"resource_class": "x", "name": "vain"}):
        theirs, ours = direct["loc1"]("POST", "/v1/allocations", json=body), api("POST", "/v1/allocations", json=body)
        assert theirs.status in (400, 409)
        assert (ours.status, ours.body) == (theirs.status, theirs.body), body
    for path in ("/v1/allocations/nobody", f"/v1/allocations?node={ABSENT}", f"/v1/allocations?marker={ABSENT}"):
        ours, theirs = api.get(path), direct["loc1"].get(path)
        if "node=" in path:
            assert (ours.status, fault(ours)) == (400, f"Node {ABSENT} could not be found.")
        else:
            assert (ours.status, ours.body) == (theirs.status, theirs.body)


def test_an_allocation_of_a_node_in_use_is_called_like_its_instance(api, direct, available):
    """One Ironic takes the node's `instance_uuid` for an allocation without a UUID (`allocation.py`, "backfilling")."""
    for location, pin in (("loc2", {}), ("loc3", {LOCATION: "loc3"})):
        node, instance = available[location], str(uuid.uuid4())
        assert api.patch(f"/v1/nodes/{node['uuid']}", ("add", "/instance_uuid", instance)).status == 200
        provision(api, node["uuid"], "active", "active")
        body = {"node": node["name"], "name": f"al-{location}", "uuid": None}
        answer = api("POST", "/v1/allocations", json=body, headers=pin)
        assert answer.status == 201, answer.body.decode()
        made = answer.json()
        assert (made["uuid"], made["state"], made["node_uuid"]) == (instance, "active", node["uuid"])
        assert answer.headers["Location"] == f"{api.url}/v1/allocations/{instance}"
        again = api("POST", "/v1/allocations", json={"node": node["uuid"]}, headers=pin)
        assert (again.status, fault(again)) == (409, f"An allocation with UUID {instance} already exists.")
        assert having(direct, f"/v1/allocations/{instance}") == [location]
    assert len(api.list("/v1/allocations")) == 2
    # As an instance it is taken everywhere.
    body = {"resource_class": "bm-loc1", "uuid": instance}
    answer = api("POST", "/v1/allocations", json=body, headers={LOCATION: "loc1"})
    assert (answer.status, fault(answer)) == (409, f"An allocation with UUID {instance} already exists.")


def test_events_reach_every_location(api):
    event = {"event": "network.bind_port", "port_id": str(uuid.uuid4()), "mac_address": "52:54:00:00:00:01", "status": "ACTIVE"}
    body = {"events": [{**event, "device_id": str(uuid.uuid4()), "binding:host_id": str(uuid.uuid4()), "binding:vnic_type": "baremetal"}]}
    answer = api("POST", "/v1/events", json=body)
    assert (answer.status, answer.body) == (204, b"")


# ---- what this gateway does not know


def test_a_sub_resource_that_nobody_knows_is_the_location_s_to_refuse(api, direct, nodes):
    for location, node in nodes.items():
        ours = api.get(f"/v1/nodes/{node['uuid']}/future")
        theirs = direct[location].get(f"/v1/nodes/{node['uuid']}/future")
        assert (ours.status, ours.body) == (theirs.status, theirs.body)
    ours, theirs = api.get("/v1/futures"), direct["loc1"].get("/v1/futures")
    assert (ours.status, ours.body) == (theirs.status, theirs.body)
    assert api("POST", "/v1/futures", json={}).status in (400, 404)


# ---- every group of the command


def test_every_command_group_of_the_command_line(api, direct, baremetal, nodes):
    for location, node in nodes.items():
        where = ["--node", node["uuid"]]
        mac = owned("ports", "", location)["address"]
        port = baremetal("port", "create", mac, *where)
        assert having(direct, f"/v1/ports/{port['uuid']}") == [location]
        group = baremetal("port", "group", "create", "--name", f"pg-{location}", *where)
        assert having(direct, f"/v1/portgroups/{group['uuid']}") == [location]
    assert len(baremetal("port", "list")) == 3
    assert len(baremetal("port", "group", "list")) == 3
    assert [row["address"] for row in baremetal("port", "list", "--node", "node-loc3")] == [mac]
    assert baremetal("port", "show", "--address", mac)["node_uuid"] == nodes["loc3"]["uuid"]
    baremetal("port", "set", port["uuid"], "--extra", "a=1", form=None)
    baremetal("port", "delete", port["uuid"], form=None)
    baremetal("port", "group", "set", "pg-loc2", "--extra", "a=1", form=None)
    assert direct["loc2"].ok("GET", "/v1/portgroups/pg-loc2")["extra"] == {"a": 1}
    baremetal("port", "group", "delete", "pg-loc2", form=None)

    where = ["--node", nodes["loc2"]["uuid"]]
    connector = baremetal("volume", "connector", "create", "--type", "iqn", "--connector-id", "iqn.2017-01.x:a", *where)
    target = baremetal("volume", "target", "create", "--type", "iscsi", "--boot-index", "0", "--volume-id", "v1", *where)
    assert having(direct, f"/v1/volume/connectors/{connector['uuid']}") == ["loc2"]
    assert having(direct, f"/v1/volume/targets/{target['uuid']}") == ["loc2"]
    assert [row["node_uuid"] for row in baremetal("volume", "connector", "list")] == [nodes["loc2"]["uuid"]]
    assert baremetal("volume", "target", "show", target["uuid"])["volume_id"] == "v1"

    chassis = baremetal("chassis", "create", "--description", "rack")
    baremetal("chassis", "set", chassis["uuid"], "--description", "other", form=None)
    assert [row["description"] for row in baremetal("chassis", "list")] == ["other"]
    assert having(direct, f"/v1/chassis/{chassis['uuid']}") == list(GROUPS)
    baremetal("chassis", "delete", chassis["uuid"], form=None)

    template = baremetal("deploy", "template", "create", "CUSTOM_T", "--steps", json.dumps([{**STEP, "priority": 150}]))
    assert having(direct, f"/v1/deploy_templates/{template['uuid']}") == list(GROUPS)
    assert [row["name"] for row in baremetal("deploy", "template", "list")] == ["CUSTOM_T"]
    baremetal("deploy", "template", "delete", "CUSTOM_T", form=None)

    runbook = baremetal("runbook", "create", "--name", "CUSTOM_R", "--steps", json.dumps([{**STEP, "order": 1}]))
    baremetal("runbook", "trait", "add", "CUSTOM_R", "CUSTOM_X", form=None)
    assert having(direct, f"/v1/runbooks/{runbook['uuid']}/traits") == list(GROUPS)
    baremetal("runbook", "delete", "CUSTOM_R", form=None)

    actions = json.dumps([{"op": "set-attribute", "args": {"path": "/extra/x", "value": "1"}}])
    rule = baremetal("inspection", "rule", "create", "--actions", actions, "--conditions", "[]")
    assert having(direct, f"/v1/inspection_rules/{rule['uuid']}") == list(GROUPS)
    assert [row["uuid"] for row in baremetal("inspection", "rule", "list")] == [rule["uuid"]]
    baremetal("inspection", "rule", "delete", rule["uuid"], form=None)

    assert [row["name"] for row in baremetal("driver", "list")] == ["fake-hardware"]
    assert baremetal("driver", "show", "fake-hardware")["name"] == "fake-hardware"
    assert len(baremetal("conductor", "list")) == 3
    assert baremetal("conductor", "show", "loc2-conductor")["conductor_group"] == "grp1"
    assert [row["count"] for row in baremetal("shard", "list")] == [3]

    allocation = baremetal("allocation", "create", "--resource-class", "nothing", "--name", "al")
    assert [row["name"] for row in baremetal("allocation", "list")] == ["al"]
    baremetal("allocation", "delete", allocation["uuid"], form=None)
    with pytest.raises(Refused, match="Allocation al could not be found"):
        baremetal("allocation", "show", "al")
