"""What real Ironics cannot show of everything but nodes: writes that fail midway, locations that are down, newer Ironics."""

import http.client
import json
import re

import pytest
import scripted
from fleet import assert_unavailable, fleet, until
from standin import new_uuid, node
from routes import table

LOCATION = "X-Ironic-Proxy-Location"
UNVERIFIED = "X-Ironic-Proxy-Unverified"
INCOMPLETE = "X-Ironic-Proxy-Incomplete"
GROUPS = "_:loc1,grp1:loc2,grp2:loc3"
REPLICATED = ["chassis", "deploy_templates", "runbooks", "inspection_rules"]
# Ways in which a location cannot be asked.
SILENT = {"down": None, "html": scripted.html(), "hang": scripted.hang(), "401": scripted.says(401, "no"), "cut": scripted.cut_json()}


@pytest.fixture(scope="module")
def module_hub():
    with fleet(3, groups=GROUPS, every={"timeout": 1}, api={"enable_ramdisk_endpoints": True}) as hub:
        yield hub


@pytest.fixture
def hub(module_hub):
    mend(module_hub)
    yield module_hub
    mend(module_hub)


def mend(hub):
    for site in hub.all():
        if not site.listening():
            site.up()
        site.nodes.clear()
        site.ports.clear()
        site.drivers.clear()
        for records in site.objects.values():
            records.clear()
    hub.heal()


def silence(site, way):
    if SILENT[way] is None:
        site.down()
    else:
        site.fault(SILENT[way])


def writes(hub):
    """Everything but questions that any location got."""
    told = {name: [str(request) for request in site.requests if request.method != "GET"] for name, site in hub.sites.items()}
    return {name: requests for name, requests in told.items() if requests}


def body(kind, tag="A"):
    named = {"name": f"CUSTOM_{tag}", "steps": []} if kind in ("deploy_templates", "runbooks") else {"description": tag}
    return {"extra": {"kept": [1]}, **named}


def stock(hub, kind, *names, **members):
    """The same object at these locations (all), behind the gateway's back; returns its uuid."""
    ident = new_uuid()
    for name in names or hub.sites:
        record = {"created_at": "2026-11-22T10:00:00+00:00", "updated_at": None, **body(kind), **members, "uuid": ident}
        hub.sites[name].objects[kind].append(record)
    return ident


def kept(hub, kind):
    """What each location has: name -> {uuid: record}."""
    return {name: {one["uuid"]: one for one in site.objects[kind]} for name, site in hub.sites.items()}


def change(value="B"):
    return [{"op": "replace", "path": "/extra", "value": {"changed": value}}]


# --- written everywhere or nowhere


@pytest.mark.parametrize("kind", REPLICATED)
def test_one_uuid_everywhere(hub, kind):
    reply = hub.post(f"/v1/{kind}", body(kind))
    assert reply.status == 201, reply
    ident = reply.json()["uuid"]
    assert reply.header("Location") == f"{hub.url}/v1/{kind}/{ident}"
    assert reply.header(LOCATION) is None
    sent = [site.asked("POST")[0].json() for site in hub.all()]
    assert sent[0] == sent[1] == sent[2] and sent[0]["uuid"] == ident
    assert hub.asked("POST") == {"loc1": 1, "loc2": 1, "loc3": 1}


@pytest.mark.parametrize("kind", REPLICATED)
@pytest.mark.parametrize("way", SILENT)
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_nothing_is_written_when_a_location_cannot_be_asked(hub, kind, way, method):
    ident = stock(hub, kind)
    before = kept(hub, kind)
    silence(hub.loc2, way)
    if method == "POST":
        reply = hub.post(f"/v1/{kind}", body(kind, "NEW"))
    else:
        reply = hub.call(method, f"/v1/{kind}/{ident}", change() if method == "PATCH" else None)
    assert_unavailable(reply, "loc2")
    assert writes(hub) == {}
    assert kept(hub, kind) == before


FAILURES = {"500": scripted.says(500, "Out of disk"), "409": scripted.says(409, "Locked"), "400": scripted.says(400, "Odd"),
            "reset": scripted.reset(), "html": scripted.html(), "hang": scripted.hang()}  # fmt: skip


@pytest.mark.parametrize("kind", REPLICATED)
@pytest.mark.parametrize("failure", FAILURES)
def test_a_create_that_fails_midway_is_undone(hub, kind, failure):
    hub.loc2.fault(FAILURES[failure], method="POST")
    reply = hub.post(f"/v1/{kind}", body(kind))
    assert_unavailable(reply, "loc1", "loc2", "loc3")
    assert kept(hub, kind) == {"loc1": {}, "loc2": {}, "loc3": {}}
    assert len(re.findall("undone", reply.text())) == 2, reply
    # Nothing is in the way of another try.
    hub.heal()
    assert hub.post(f"/v1/{kind}", body(kind)).status == 201


@pytest.mark.parametrize("kind", REPLICATED)
def test_a_create_that_was_done_though_nobody_said_so_is_done(hub, kind):
    for site in (hub.loc1, hub.loc3):
        site.fault(scripted.executed(scripted.reset()), method="POST")
    hub.loc2.fault(scripted.executed(scripted.says(500, "after the fact")), method="POST")
    reply = hub.post(f"/v1/{kind}", body(kind))
    assert reply.status == 201, reply
    assert hub.asked("POST") == {"loc1": 1, "loc2": 1, "loc3": 1}
    assert [set(records) for records in kept(hub, kind).values()] == [{reply.json()["uuid"]}] * 3


def test_what_cannot_be_undone_is_named(hub):
    hub.loc3.fault(scripted.says(500, "Out of disk"), method="POST")
    hub.loc1.fault(scripted.says(500, "Out of disk"), method="DELETE")
    reply = hub.post("/v1/runbooks", body("runbooks"))
    assert_unavailable(reply, "loc1", "loc2", "loc3")
    states = dict(re.findall(r"(loc\d): ([^;.]*)", reply.text()))
    assert "could not be undone" in states["loc1"], reply
    assert states["loc2"] == "undone", reply
    assert "Out of disk" in states["loc3"], reply
    assert [len(records) for records in kept(hub, "runbooks").values()] == [1, 0, 0]


@pytest.mark.parametrize("status", [400, 403, 406, 409])
def test_the_first_location_s_refusal_is_the_answer_and_nothing_is_written_elsewhere(hub, status):
    hub.loc1.fault(scripted.says(status, "As I say"), method="POST")
    reply = hub.post("/v1/deploy_templates", body("deploy_templates"))
    assert reply.text() == "As I say" and reply.status in (status, 503), reply
    assert set(writes(hub)) == {"loc1"}


@pytest.mark.parametrize("kind", REPLICATED)
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_change_that_fails_midway_is_undone(hub, kind, failure, method):
    ident = stock(hub, kind)
    before = kept(hub, kind)
    hub.loc2.fault(FAILURES[failure], method=method)
    reply = hub.call(method, f"/v1/{kind}/{ident}", change() if method == "PATCH" else None)
    assert_unavailable(reply, "loc1", "loc2", "loc3")
    for name, records in kept(hub, kind).items():
        assert set(records) == {ident}, f"{name}: {reply}"
        assert {**records[ident], "created_at": None} == {**before[name][ident], "created_at": None}, f"{name}: {reply}"
    hub.heal()
    assert hub.call(method, f"/v1/{kind}/{ident}", change() if method == "PATCH" else None).status in (200, 204)


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_change_that_was_done_though_nobody_said_so_leaves_all_locations_alike(hub, method):
    ident = stock(hub, "runbooks")
    hub.loc2.fault(scripted.executed(scripted.reset()), method=method, times=1)
    reply = hub.call(method, f"/v1/runbooks/{ident}", change() if method == "PATCH" else None)
    assert reply.status == (200 if method == "PATCH" else 204), reply
    extras = [records.get(ident, {}).get("extra") for records in kept(hub, "runbooks").values()]
    assert extras == [{"changed": "B"} if method == "PATCH" else None] * 3, reply


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_change_that_nobody_can_tell_of_is_taken_back_too(hub, method):
    ident = stock(hub, "runbooks")
    hub.loc2.fault(scripted.executed(scripted.reset()), method=method, times=1)
    # The first question is who has it; the second would tell.
    hub.loc2.fault(scripted.says(500, "Not now"), method="GET", skip=1)
    reply = hub.call(method, f"/v1/runbooks/{ident}", change() if method == "PATCH" else None)
    assert_unavailable(reply, "loc1", "loc2", "loc3")
    assert [records[ident]["extra"] for records in kept(hub, "runbooks").values()] == [{"kept": [1]}] * 3, reply


def test_a_deleted_runbook_is_put_back_with_its_traits(hub):
    ident = stock(hub, "runbooks", traits=["CUSTOM_T"], owner=None)
    hub.loc3.fault(scripted.says(500, "Out of disk"), method="DELETE")
    assert_unavailable(hub.delete(f"/v1/runbooks/{ident}"), "loc1", "loc2", "loc3")
    assert [records[ident].get("traits") for records in kept(hub, "runbooks").values()] == [["CUSTOM_T"]] * 3
    # Traits and what is null are no part of a runbook that is made.
    sent = hub.loc1.asked("POST")[0].json()
    assert not {"traits", "owner", "links", "created_at"} & set(sent), sent

@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_change_that_cannot_be_undone_is_named(hub, method):
    ident = stock(hub, "chassis")
    hub.loc3.fault(scripted.says(500, "Out of disk"), method=method)
    # Its own part is done; what would undo it fails.
    undoing = {"PATCH": "PATCH", "DELETE": "POST"}[method]
    hub.loc1.fault(scripted.says(500, "No more"), method=undoing, skip=1 if undoing == method else 0)
    reply = hub.call(method, f"/v1/chassis/{ident}", change() if method == "PATCH" else None)
    assert_unavailable(reply, "loc1", "loc2", "loc3")
    states = dict(re.findall(r"(loc\d): ([^;.]*)", reply.text()))
    assert ("could not be undone" in states["loc1"], states["loc2"]) == (True, "undone"), reply


@pytest.mark.parametrize("kind", REPLICATED)
def test_only_those_that_have_it_are_changed(hub, kind):
    ident = stock(hub, kind, "loc2", "loc3")
    assert hub.patch(f"/v1/{kind}/{ident}", change()).status == 200
    assert set(writes(hub)) == {"loc2", "loc3"}
    hub.forget_requests()
    assert hub.delete(f"/v1/{kind}/{ident}").status == 204
    assert set(writes(hub)) == {"loc2", "loc3"}
    reply = hub.delete(f"/v1/{kind}/{ident}")
    assert reply.status == 404 and ident in reply.text(), reply


def test_the_traits_of_a_runbook_are_put_back(hub):
    ident = stock(hub, "runbooks", traits=["CUSTOM_OLD"])
    hub.loc3.fault(scripted.says(500, "Out of disk"), method="PUT")
    reply = hub.put(f"/v1/runbooks/{ident}/traits", {"traits": ["CUSTOM_NEW"]})
    assert_unavailable(reply, "loc1", "loc2", "loc3")
    assert [records[ident]["traits"] for records in kept(hub, "runbooks").values()] == [["CUSTOM_OLD"]] * 3


def test_reading_needs_one_that_has_it(hub):
    ident = stock(hub, "runbooks", "loc3")
    hub.loc1.down()
    assert hub.get(f"/v1/runbooks/{ident}").status == 200
    assert hub.get("/v1/runbooks/CUSTOM_A").status == 200
    for path in (f"/v1/runbooks/{new_uuid()}", "/v1/runbooks/CUSTOM_NONE"):
        assert_unavailable(hub.get(path), "loc1")
    assert_unavailable(hub.get("/v1/runbooks"), "loc1")
    reply = hub.get("/v1/runbooks", headers={"X-Ironic-Proxy-Partial": "allow"})
    assert [one["uuid"] for one in reply.json()["runbooks"]] == [ident]
    assert reply.header(INCOMPLETE).startswith("loc1;reason=")


def test_two_objects_of_one_name(hub):
    first, second = stock(hub, "runbooks", "loc1"), stock(hub, "runbooks", "loc2")
    for method, content in (("GET", None), ("PATCH", change()), ("DELETE", None)):
        reply = hub.call(method, "/v1/runbooks/CUSTOM_A", content)
        assert reply.status == 400, reply
        assert set(re.findall(r"loc\d", reply.text())) == {"loc1", "loc2"}
    assert writes(hub) == {}
    assert {one["uuid"] for one in hub.get("/v1/runbooks").json()["runbooks"]} == {first, second}
    for ident in (first, second):
        assert hub.get(f"/v1/runbooks/{ident}").json()["uuid"] == ident
    assert hub.delete(f"/v1/runbooks/{second}").status == 204
    assert hub.get("/v1/runbooks/CUSTOM_A").json()["uuid"] == first


@pytest.mark.parametrize("at", ["loc1", "loc2", "loc3"])
def test_a_name_or_uuid_that_one_location_has_is_taken(hub, at):
    ident = stock(hub, "deploy_templates", at)
    for members, text in [
        ({}, "A deploy template with name CUSTOM_A already exists."),
        ({"name": "CUSTOM_B", "uuid": ident}, f"A deploy template with UUID {ident} already exists."),
    ]:
        reply = hub.post("/v1/deploy_templates", {**body("deploy_templates"), **members})
        assert (reply.status, reply.text()) == (409, text)
    assert writes(hub) == {}


@pytest.mark.parametrize("at", ["loc1", "loc3"])
def test_a_chassis_with_a_node_anywhere_stays_everywhere(hub, at):
    ident = stock(hub, "chassis")
    hub.sites[at].add(node("in-it", chassis_uuid=ident))
    reply = hub.delete(f"/v1/chassis/{ident}")
    text = f"Cannot complete the requested action because chassis {ident} contains nodes."
    assert (reply.status, reply.text()) == (400, text)
    assert writes(hub) == {}


# --- the location header


@pytest.mark.parametrize("row", table(), ids=" ".join)
def test_every_route_can_be_sent_to_one_location(hub, row):
    method, template = row
    there = hub.loc2.add(node("there"))
    for kind in hub.loc2.objects:
        stock(hub, kind)
    hub.loc2.drivers["there"] = {"hosts": []}
    path = "/v1/" + template.replace("{}", there["uuid"] if template.startswith(("nodes", "heartbeat")) else "there")
    content = {"POST": {"conductor_group": "grp1"}, "PUT": {}, "PATCH": change()}.get(method)
    reply = hub.call("POST" if method == "*" else method, path, content, headers={LOCATION: "loc2"})
    assert reply.status != 503, reply
    assert set(writes(hub)) <= {"loc2"}
    if method != "POST" or "{}" in template:
        # Before something is made the others are asked whether it is unique.
        assert set(hub.asked()) <= {"loc2"}
    assert hub.asked(), "nobody was asked"
    assert hub.call("POST" if method == "*" else method, path, content, headers={LOCATION: "loc9"}).status == 400


# --- unique over all locations


def port(hub, at, address):
    """A port of a new node."""
    owner = hub.sites[at].add(node(f"node-{new_uuid()[:8]}"))
    hub.sites[at].ports.append({"uuid": new_uuid(), "address": address, "node_uuid": owner["uuid"], "name": None, "extra": {}})
    return owner


@pytest.mark.parametrize("spelling", ["52:54:00:aa:bb:01", "52:54:00:AA:BB:01"])
def test_an_address_that_another_location_has(hub, spelling):
    port(hub, "loc3", "52:54:00:aa:bb:01")
    here = hub.loc1.add(node("here"))
    reply = hub.post("/v1/ports", {"node_uuid": here["uuid"], "address": spelling})
    assert (reply.status, reply.text()) == (409, "A port with MAC address 52:54:00:aa:bb:01 already exists.")
    assert writes(hub) == {}


@pytest.mark.parametrize("way", SILENT)
def test_an_address_that_cannot_be_verified(hub, way):
    here = hub.loc1.add(node("here"))
    assert hub.get(f"/v1/nodes/{here['uuid']}").status == 200
    silence(hub.loc3, way)
    reply = hub.post("/v1/ports", {"node_uuid": here["uuid"], "address": "52:54:00:aa:bb:02"})
    assert (reply.status, reply.header(UNVERIFIED)) == (201, "loc3"), reply
    assert len(hub.loc1.ports) == 1


# --- allocations


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


def test_the_name_of_an_allocation_is_unique(hub):
    hub.loc3.objects["allocations"].append({"uuid": new_uuid(), "name": "taken", "state": "active"})
    hub.loc1.add(free("a"))
    reply = placed(hub, name="taken")
    assert (reply.status, reply.text()) == (409, "An allocation with name taken already exists.")
    assert writes(hub) == {}


# --- drivers


def test_a_driver_s_method_goes_to_the_only_location_that_has_it(hub):
    hub.loc2.drivers["odd"] = {"hosts": ["h2"]}
    for location in hub.all():
        location.drivers["common"] = {"hosts": []}
    sent = b'\x00\xff{"links": [{"href": "http://x/v1/"}] '
    reply = hub.post("/v1/drivers/odd/vendor_passthru/method?a=1", sent, headers={"Content-Type": "application/octet-stream"})
    assert (reply.status, reply.body, reply.header(LOCATION)) == (200, sent, "loc2")
    request = hub.loc2.asked("POST")[0]
    assert (bytes(request.body), request.parameter("a"), request.header("Content-Type")) == (sent, "1", "application/octet-stream")
    assert set(writes(hub)) == {"loc2"}
    hub.forget_requests()
    reply = hub.post("/v1/drivers/common/vendor_passthru/method", {})
    assert reply.status == 400 and set(re.findall(r"loc\d", reply.text())) == {"loc1", "loc2", "loc3"}, reply
    assert writes(hub) == {}
    assert hub.post("/v1/drivers/common/vendor_passthru/method", {}, headers={LOCATION: "loc3"}).status == 200
    assert set(writes(hub)) == {"loc3"}
    reply = hub.post("/v1/drivers/none/vendor_passthru/method", {})
    assert (reply.status, reply.text()) == (404, "Could not find the following driver(s) or hardware type(s): none.")


def test_a_driver_s_method_while_somebody_may_have_the_driver_too(hub):
    hub.loc2.drivers["odd"] = {"hosts": ["h2"]}
    hub.loc3.down()
    assert_unavailable(hub.post("/v1/drivers/odd/vendor_passthru/method", {}), "loc3")
    assert writes(hub) == {}


def test_drivers_of_several_locations_are_one(hub):
    hub.loc1.drivers["ipmi"] = {"hosts": ["h1", "h9"], "enabled_boot_interfaces": ["pxe"], "default_boot_interface": "pxe",
                                "told": {"a": "from loc1"}}  # fmt: skip
    hub.loc2.drivers["ipmi"] = {"hosts": ["h2", "h9"], "enabled_boot_interfaces": ["ipxe", "pxe"], "default_boot_interface": "ipxe",
                                "told": {"a": "from loc2", "b": "from loc2"}}  # fmt: skip
    hub.loc3.drivers["redfish"] = {"hosts": ["h3"]}
    drivers = {one["name"]: one for one in hub.get("/v1/drivers").json()["drivers"]}
    assert set(drivers) == {"ipmi", "redfish"}
    for ipmi in (drivers["ipmi"], hub.get("/v1/drivers/ipmi").json()):
        assert ipmi["hosts"] == ["h1", "h2", "h9"]
        assert ipmi["enabled_boot_interfaces"] == ["ipxe", "pxe"]
        assert ipmi["default_boot_interface"] == "pxe", "not that of the default group's location"
        assert [link["href"] for link in ipmi["links"]] == [f"{hub.url}/v1/drivers/ipmi", f"{hub.url}/drivers/ipmi"]
    assert hub.get("/v1/drivers/ipmi/properties").json() == {"a": "from loc1", "b": "from loc2"}
    hub.loc2.down()
    for path in ("/v1/drivers", "/v1/drivers/ipmi", "/v1/drivers/ipmi/properties", "/v1/shards"):
        assert_unavailable(hub.get(path), "loc2")
        reply = hub.get(path, headers={"X-Ironic-Proxy-Partial": "allow"})
        assert reply.status == 200 and reply.header(INCOMPLETE).startswith("loc2;reason="), reply
    assert_unavailable(hub.get("/v1/drivers/none"), "loc2")


# --- events


def test_events_are_told_to_all(hub):
    events = {"events": [{"event": "network.bind_port", "port_id": new_uuid()}]}
    reply = hub.post("/v1/events", events)
    assert (reply.status, reply.body) == (204, b"")
    assert [site.asked("POST", "/v1/events")[0].json() for site in hub.all()] == [events] * 3
    hub.loc2.fault(scripted.says(400, "No such event"), method="POST")
    reply = hub.post("/v1/events", events)
    assert (reply.status, reply.text()) == (400, "No such event")
    hub.heal()
    hub.loc3.down()
    assert_unavailable(hub.post("/v1/events", events), "loc3")


# --- ramdisks

TRUSTED = ["X-Auth-Token", "Authorization", "OpenStack-System-Scope", "X-Roles", "X-User-Id"]
INVENTORY = {"inventory": {"interfaces": [{"mac_address": "52:54:00:AA:BB:03"}]}}


@pytest.mark.parametrize("with_token", [False, True])
def test_no_credentials_accompany_a_ramdisk(with_token):
    from standin import Standin, StandinKeystone

    with StandinKeystone({"gw": "secret"}) as keystone:
        sites = [Standin(credentials=("token", keystone.valid)) for _ in range(2)]
        options = {"auth_type": "password", "auth_url": keystone.endpoint, "username": "gw", "password": "secret",
                   "user_domain_id": "default", "system_scope": "all"}  # fmt: skip
        with fleet(*sites, groups="_:loc1,grp1:loc2", api={"enable_ramdisk_endpoints": True}, every=options) as hub:
            owner = port(hub, "loc2", "52:54:00:aa:bb:03")
            headers = {"X-Auth-Token": "stolen", "X-Roles": "admin", "OpenStack-System-Scope": "all"} if with_token else {}
            hub.forget_requests()
            found = hub.get("/v1/lookup?addresses=52:54:00:aa:bb:03", headers=headers)
            assert (found.status, found.json()["node"]["uuid"], found.header(LOCATION)) == (200, owner["uuid"], None)
            assert found.json()["node"]["links"][0]["href"].startswith(f"{hub.url}/")
            assert hub.post(f"/v1/heartbeat/{owner['uuid']}", {"callback_url": "http://x"}, headers=headers).status == 202
            told = hub.post("/v1/continue_inspection", INVENTORY, headers=headers)
            assert (told.status, told.json()["node"]["uuid"], told.header(LOCATION)) == (202, owner["uuid"], None)
            asked = [request for site in hub.all() for request in site.requests]
            passed = [one for one in asked if re.search("lookup|heartbeat|continue_inspection", one.path)]
            assert len(passed) == 3
            for request in passed:
                assert not [name for name in TRUSTED if request.header_values(name)], request.headers
            # Where to send it is the gateway's own question.
            assert all(request.header("X-Auth-Token") != "stolen" for request in asked)


def test_a_lookup_that_would_tell_the_token_again(hub):
    port(hub, "loc2", "52:54:00:aa:bb:04")
    path = "/v1/lookup?addresses=52:54:00:aa:bb:04"
    assert hub.get(path, version="1.62").status == 200
    hub.forget_requests()
    for version in ("1.61", "1.22", None):
        reply = hub.get(path, version=version)
        assert (reply.status, reply.text()) == (404, "Resource could not be found.")
    assert hub.asked() == {}


def test_a_machine_of_nobody_or_of_two_is_nobody_s_business(hub):
    for location in ("loc1", "loc2"):
        port(hub, location, "52:54:00:aa:bb:05")
    for addresses in ("52:54:00:aa:bb:05", "52:54:00:aa:bb:06", ""):
        reply = hub.get(f"/v1/lookup?addresses={addresses}")
        assert (reply.status, reply.text()) == (404, "Resource could not be found.")
        data = {"inventory": {"interfaces": [{"mac_address": addresses}]}}
        reply = hub.post("/v1/continue_inspection", data)
        assert (reply.status, reply.text()) == (404, "Resource could not be found.")
    reply = hub.post(f"/v1/heartbeat/{new_uuid()}", {})
    assert (reply.status, reply.text()) == (404, "Resource could not be found.")
    assert writes(hub) == {}
    hub.loc3.down()
    assert_unavailable(hub.get("/v1/lookup?addresses=52:54:00:aa:bb:06"), "loc3")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/lookup?addresses=52:54:00:aa:bb:07"), ("POST", "/v1/heartbeat/x"), ("POST", "/v1/continue_inspection")]
)
def test_ramdisk_routes_are_closed_unless_they_are_opened(method, path):
    with fleet(1) as hub:
        reply = hub.call(method, path, {} if method == "POST" else None)
        assert reply.status == 403 and reply.fault()["faultcode"] == "Client", reply
        assert hub.asked() == {}


# --- a newer Ironic


def novelty(hub, at, name):
    ident = new_uuid()
    hub.sites[at].objects["novelties"].append({"uuid": ident, "name": name, "extra": {"href": f"{hub.sites[at].endpoint}/v1/x"}})
    return ident


def test_a_collection_that_nobody_told_us_of(hub):
    made = [novelty(hub, at, f"n-{at}") for at in ("loc3", "loc1", "loc1")]
    listed = hub.get("/v1/novelties").json()["novelties"]
    assert sorted(one["uuid"] for one in listed) == sorted(made)
    for at, ident in zip(("loc3", "loc1"), made):
        item = hub.get(f"/v1/novelties/{ident}")
        assert item.status == 200
        assert item.json()["links"][0]["href"] == f"{hub.url}/v1/novelties/{ident}"
        assert item.json()["extra"]["href"] == f"{hub.sites[at].endpoint}/v1/x"
    assert hub.get("/v1/novelties/n-loc3").status == 200
    reply = hub.get("/v1/novelties/n-loc1")
    assert reply.status in (200, 400), reply
    assert hub.get(f"/v1/novelties/{made[0]}/novelty").json() == {"novelty": made[0]}
    reply = hub.get(f"/v1/novelties/{new_uuid()}")
    assert reply.status == 404 and "Novelty" in reply.text(), reply
    reply = hub.get("/v1/rarities")
    assert reply.status == 404, reply
    twin = hub.loc1.objects["novelties"][0]
    hub.loc2.objects["novelties"].append(twin)
    reply = hub.get(f"/v1/novelties/{twin['uuid']}")
    assert reply.status == 400 and {"loc1", "loc2"} == set(re.findall(r"loc\d", reply.text())), reply


def test_a_collection_that_nobody_told_us_of_is_whole(hub):
    made = [novelty(hub, at, f"n{number}") for number in range(5) for at in ("loc1", "loc2")]
    hub.loc2.max_limit = 2
    try:
        listed = hub.get("/v1/novelties")
    finally:
        hub.loc2.max_limit = 1000
    assert sorted(one["uuid"] for one in listed.json()["novelties"]) == sorted(made)
    assert "next" not in listed.json()


def test_changes_in_a_collection_that_nobody_told_us_of_name_their_location(hub):
    ident = novelty(hub, "loc2", "n")
    for method, path, content in [
        ("POST", "/v1/novelties", {"name": "x"}),
        ("PATCH", f"/v1/novelties/{ident}", change()),
        ("DELETE", f"/v1/novelties/{ident}", None),
    ]:
        reply = hub.call(method, path, content)
        assert reply.status == 400 and LOCATION in reply.text(), reply
    assert writes(hub) == {}
    for method, path, content, status in [
        ("POST", "/v1/novelties", {"name": "x"}, 201),
        ("PATCH", f"/v1/novelties/{ident}", change(), 200),
        ("DELETE", f"/v1/novelties/{ident}", None, 204),
    ]:
        reply = hub.call(method, path, content, headers={LOCATION: "loc2"})
        assert (reply.status, reply.header(LOCATION)) == (status, "loc2"), reply
    assert set(writes(hub)) == {"loc2"}


@pytest.mark.parametrize("way", SILENT)
def test_a_collection_that_nobody_told_us_of_while_a_location_is_down(hub, way):
    novelty(hub, "loc1", "n")
    silence(hub.loc2, way)
    assert_unavailable(hub.get("/v1/novelties"), "loc2")
    assert_unavailable(hub.get(f"/v1/novelties/{new_uuid()}"), "loc2")
    reply = hub.get("/v1/novelties", headers={"X-Ironic-Proxy-Partial": "allow"})
    assert len(reply.json()["novelties"]) == 1 and reply.header(INCOMPLETE).startswith("loc2;reason="), reply


def test_what_is_new_below_what_we_know(hub):
    there = hub.loc3.add(node("there"))
    for ident in ("there", there["uuid"]):
        reply = hub.get(f"/v1/nodes/{ident}/newer_than_us")
        assert (reply.status, reply.json(), reply.header(LOCATION)) == (200, {"newer_than_us": there["uuid"]}, "loc3")
    reply = hub.get("/v1/nodes/nobody/newer_than_us")
    assert (reply.status, reply.text()) == (404, "Node nobody could not be found.")
    ident = stock(hub, "runbooks", "loc2", "loc3")
    assert hub.get(f"/v1/runbooks/{ident}/novelty").json() == {"novelty": ident}
    hub.loc3.fault(scripted.answers(202), method="POST")
    reply = hub.post("/v1/nodes/there/newer_than_us", {"a": 1})
    assert (reply.status, reply.header(LOCATION)) == (202, "loc3")
    assert hub.loc3.asked("POST")[0].json() == {"a": 1}
    hub.loc3.heal()
    hub.loc3.down()
    assert_unavailable(hub.get("/v1/nodes/there/newer_than_us"), "loc3")


# --- bodies


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("path", ["/v1/nodes/there/vendor_passthru/look", "/v1/drivers/odd/vendor_passthru/look"])
def test_a_question_with_a_body(hub, framing, path):
    """Vendor methods may be asked with GET and still take arguments in a body."""
    hub.loc2.add(node("there"))
    hub.loc2.drivers["odd"] = {"hosts": []}
    reply = hub.get(path, body=b'{"a": 1}' if framing == "length" else iter([b'{"a"', b": 1}"]))
    assert (reply.status, reply.body, reply.header(LOCATION)) == (200, b'{"a": 1}', "loc2"), reply
    patched = hub.patch(path, b"no patch at all", headers={"Content-Type": "text/plain"})
    assert (patched.status, patched.body, patched.header(LOCATION)) == (200, b"no patch at all", "loc2"), patched
    # And where nobody reads it, it is in nobody's way.
    connection = http.client.HTTPConnection(hub.host, hub.port, timeout=10)
    try:
        for _ in range(2):
            headers = {"X-OpenStack-Ironic-API-Version": "1.115"}
            connection.request("GET", "/v1/nodes/there?fields=name", b'{"a": 1}', headers)
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())["name"]) == (200, "there")
    finally:
        connection.close()


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_configdrive_is_handed_on_while_it_comes_in(hub, framing):
    there = hub.loc2.add(node("there", provision_state="available"))
    assert hub.get("/v1/nodes/there").status == 200
    whole = json.dumps({"target": "active", "configdrive": "H4sI" + "A" * (24 << 20)}).encode()
    seen = []

    def arrived():
        request = next(iter(hub.loc2.asked("PUT")), None)
        return request is not None and len(request.body)

    def pieces():
        yield whole[: 4 << 20]
        # The second piece is sent when the location has some of the first: it was not kept until the end.
        seen.append(until(arrived, what="the beginning of the body at the location"))
        yield whole[4 << 20 :]

    path = f"/v1/nodes/{there['uuid']}/states/provision"
    if framing == "chunked":
        reply = hub.put(path, pieces())
    else:
        reply = hub.put(path, whole)
    assert reply.status == 202, reply
    assert bytes(hub.loc2.asked("PUT")[0].body) == whole
    assert framing == "length" or 0 < seen[0] <= 4 << 20
