"""What real Ironics cannot show of drivers, events, unique addresses and newer Ironics."""

import http.client
import json
import re

import pytest
import scripted
from faults import GROUPS, SILENT, change, hubs, silence, stock, writes
from fleet import assert_fate_unknown, assert_unavailable, fleet, until
from standin import new_uuid, node
from routes import table

LOCATION = "X-Ironic-Proxy-Location"
UNVERIFIED = "X-Ironic-Proxy-Unverified"
INCOMPLETE = "X-Ironic-Proxy-Incomplete"


module_hub, hub = hubs(3, groups=GROUPS, every={"timeout": 1}, api={"enable_ramdisk_endpoints": True})


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


@pytest.mark.parametrize("fields", ["hosts", "type", "", "hosts,name", "links"])
def test_drivers_are_as_many_whatever_is_shown_of_them(hub, fields):
    for site, names in zip(hub.all(), (("ipmi", "redfish"), ("redfish", "ilo"), ("ipmi",)), strict=True):
        site.drivers = {name: {"hosts": [f"{name}-{names[0]}"]} for name in names}
    for headers, count in (({}, 3), ({LOCATION: "loc2"}, 2)):
        found = hub.get(f"/v1/drivers?fields={fields}", headers=headers).json()["drivers"]
        members = {name for name in fields.split(",") if name} | {"links"}
        assert [set(one) for one in found] == [members] * count, found
        if "hosts" in members and not headers:
            assert found[0]["hosts"] == ["ipmi-ipmi"] and found[1]["hosts"] == ["redfish-ipmi", "redfish-redfish"]


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
    # Who took them must not get them again.
    hub.loc3.fault(scripted.html(401), method="POST")
    assert_fate_unknown(hub.post("/v1/events", events), "loc3")
    hub.loc3.down()
    assert_fate_unknown(hub.post("/v1/events", events), "loc3")


def test_no_location_is_told_events_twice():
    """One of the others was upgraded or downgraded a moment ago, so that it refuses the version."""
    with fleet(2) as hub:
        hub.loc2.versions = ("1.1", "1.90")
        reply = hub.post("/v1/events", {"events": []}, version="latest")
        assert_fate_unknown(reply, "loc2")
        assert len(hub.loc1.asked("POST")) == 1


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
