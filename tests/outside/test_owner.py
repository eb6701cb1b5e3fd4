"""One way to the owner: a node that was re-enrolled elsewhere is followed wherever it is named, and never said not to be there."""

import re
import threading

import pytest
import scripted
from exchange import Answer
from fleet import assert_not_found, assert_unavailable, fleet, together, until
from refusals import Refused
from standin import Standin, new_uuid, node

LOCATION = "X-Ironic-Proxy-Location"
GROUPS = "_:loc1,grp1:loc2,grp2:loc3"
MAC = "52:54:00:0a:00:01"

class Site(Standin):
    """A stand-in that also has what belongs to a node, with Ironic's words for a node that it does not have."""

    def _routed(self, request, path, parameters, minor):
        words = [part for part in path if part != "v1"]
        if request.method == "GET":
            named = next((parameters[name][-1] for name in ("node_uuid", "node") if name in parameters), None)
            match words:
                case [("ports" | "portgroups") as kind] if named is not None:
                    return self._of_node(named, kind, 404)
                case ["volume", ("connectors" | "targets") as kind]:
                    return self._of_node(named, kind, 404)
                case ["nodes", ident, ("portgroups" | "history") as kind]:
                    return self._of_node(ident, kind, 404)
                case ["nodes", ident, "volume", ("connectors" | "targets") as kind]:
                    return self._of_node(ident, kind, 404)
                case ["nodes", "validate"]:
                    return super()._routed(request, ["v1", "nodes", named, "validate"], {}, minor)
                case ["nodes", ident, "allocation"]:
                    owner = self._owner(ident, 400)
                    return Answer.of_json(200, {"uuid": owner["uuid"], "node_uuid": owner["uuid"], "name": None, "links": []})
        if request.method == "POST" and words == ["allocations"]:
            for ident in self._body(request).get("candidate_nodes") or []:
                if self.find(ident) is None:
                    raise Refused(400, f"Nodes cannot be found: {ident}")
        if request.method == "POST" and words in (["portgroups"], ["volume", "connectors"], ["volume", "targets"]):
            body = self._body(request)
            self._owner(body["node_uuid"], 400)
            return Answer.of_json(201, {**body, "links": []})
        return super()._routed(request, path, parameters, minor)

    def _owner(self, ident, status):
        found = self.find(ident)
        if found is None:
            raise Refused(status, f"Node {ident} could not be found.")
        return found

    def _of_node(self, ident, kind, status):
        owner = self._owner(ident, status)
        return Answer.of_json(200, {kind: [{"uuid": owner["uuid"], "node_uuid": owner["uuid"], "links": []}]})

@pytest.fixture(scope="module")
def module_hub():
    with fleet(Site(), Site(), Site(), groups=GROUPS, every={"timeout": 1}, api={"enable_ramdisk_endpoints": True}) as hub:
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
        for records in site.objects.values():
            records.clear()
    hub.heal()

def patch(path, value, op="add"):
    return [{"op": op, "path": path, "value": value}]

def re_enrolled(hub):
    """A node that the gateway knows at loc1 by both its identifiers, and that is at loc2 now."""
    record = hub.loc1.add(node(f"mover-{new_uuid()[:8]}"))
    for ident in (record["uuid"], record["name"]):
        assert hub.get(f"/v1/nodes/{ident}").header(LOCATION) == "loc1"
    moved = hub.loc1.take(record["uuid"])
    hub.loc2.add({**moved, "conductor_group": "grp1"})
    hub.forget_requests()
    return record

def other_at(hub, name):
    """Another node, at this location, that the gateway does not know."""
    return hub.sites[name].add(node(f"other-{new_uuid()[:8]}"))

# Each way to name a node: called with the identifier, and another node beside it at loc2.
WAYS = {
    "show": lambda hub, ident, other: hub.get(f"/v1/nodes/{ident}"),
    "states": lambda hub, ident, other: hub.get(f"/v1/nodes/{ident}/states"),
    "validate": lambda hub, ident, other: hub.get(f"/v1/nodes/validate?node={ident}"),
    "ports below": lambda hub, ident, other: hub.get(f"/v1/nodes/{ident}/ports"),
    "portgroups below": lambda hub, ident, other: hub.get(f"/v1/nodes/{ident}/portgroups"),
    "connectors below": lambda hub, ident, other: hub.get(f"/v1/nodes/{ident}/volume/connectors"),
    "targets below": lambda hub, ident, other: hub.get(f"/v1/nodes/{ident}/volume/targets"),
    "history": lambda hub, ident, other: hub.get(f"/v1/nodes/{ident}/history"),
    "allocation below": lambda hub, ident, other: hub.get(f"/v1/nodes/{ident}/allocation"),
    "ports?node": lambda hub, ident, other: hub.get(f"/v1/ports?node={ident}"),
    "ports?node_uuid": lambda hub, ident, other: hub.get(f"/v1/ports?node_uuid={ident}"),
    "ports?node, sorted": lambda hub, ident, other: hub.get(f"/v1/ports?node={ident}&sort_key=address"),
    "portgroups?node": lambda hub, ident, other: hub.get(f"/v1/portgroups?node={ident}"),
    "connectors?node": lambda hub, ident, other: hub.get(f"/v1/volume/connectors?node={ident}"),
    "targets?node": lambda hub, ident, other: hub.get(f"/v1/volume/targets?node={ident}"),
    "allocations?node": lambda hub, ident, other: hub.get(f"/v1/allocations?node={ident}"),
    "patch": lambda hub, ident, other: hub.patch(f"/v1/nodes/{ident}", patch("/extra/a", 1)),
    "patch of its group": lambda hub, ident, other: hub.patch(f"/v1/nodes/{ident}", patch("/conductor_group", "grp1")),
    "patch of a parent": lambda hub, ident, other: hub.patch(f"/v1/nodes/{other}", patch("/parent_node", ident)),
    "power": lambda hub, ident, other: hub.put(f"/v1/nodes/{ident}/states/power", {"target": "power on"}),
    "maintenance": lambda hub, ident, other: hub.put(f"/v1/nodes/{ident}/maintenance", {"reason": "x"}),
    "vendor passthru": lambda hub, ident, other: hub.post(f"/v1/nodes/{ident}/vendor_passthru/look", {}),
    "a child": lambda hub, ident, other: hub.post(
        "/v1/nodes", {"driver": "fake-hardware", "conductor_group": "grp1", "parent_node": ident}
    ),
    "a port": lambda hub, ident, other: hub.post("/v1/ports", {"node_uuid": ident, "address": MAC}),
    "a portgroup": lambda hub, ident, other: hub.post("/v1/portgroups", {"node_uuid": ident}),
    "a connector": lambda hub, ident, other: hub.post("/v1/volume/connectors", {"node_uuid": ident}),
    "a target": lambda hub, ident, other: hub.post("/v1/volume/targets", {"node_uuid": ident}),
    "an allocation": lambda hub, ident, other: hub.post("/v1/allocations", {"node": ident}),
    "a candidate": lambda hub, ident, other: hub.post("/v1/allocations", {"resource_class": "x", "candidate_nodes": [ident]}),
    "a heartbeat": lambda hub, ident, other: hub.post(f"/v1/heartbeat/{ident}", {"callback_url": "http://x"}),
    "delete": lambda hub, ident, other: hub.delete(f"/v1/nodes/{ident}"),
}
# What is about a child goes to where the child is, whose location judges the parent.
OF_ITSELF = [way for way in WAYS if way not in ("patch of a parent", "a child")]
# By a name these are Ironic's own refusals, or not possible.
BY_UUID = {"a port", "a portgroup", "a connector", "a target", "ports?node_uuid"}

@pytest.mark.parametrize("by", ["uuid", "name"])
@pytest.mark.parametrize("way", WAYS)
def test_a_node_that_was_re_enrolled_elsewhere_is_followed(hub, way, by):
    if by == "name" and way in BY_UUID:
        pytest.skip("named by UUID only")
    record, other = re_enrolled(hub), other_at(hub, "loc2")
    reply = WAYS[way](hub, record[by], other["uuid"])
    assert reply.status in (200, 201, 202, 204), reply
    if way != "a heartbeat":
        assert reply.header(LOCATION) == "loc2", reply
    assert not any(site.asked(method) for site in (hub.loc3,) for method in ("POST", "PUT", "PATCH", "DELETE"))
    done = [request for request in hub.loc2.requests if request.method != "GET"]
    assert len(done) <= 1, f"executed twice: {done}"

@pytest.mark.parametrize("way", OF_ITSELF)
def test_a_node_that_may_be_where_nobody_can_ask_is_not_said_to_be_gone(hub, way):
    record, other = re_enrolled(hub), other_at(hub, "loc2")
    hub.loc2.down()
    assert_unavailable(WAYS[way](hub, record["uuid"], other["uuid"]), "loc2")

@pytest.mark.parametrize("by", ["uuid", "name"])
@pytest.mark.parametrize("silent", ["from the start", "when asked anew"])
@pytest.mark.parametrize("way", OF_ITSELF)
def test_where_a_node_was_is_not_left_while_that_location_is_silent(hub, way, silent, by):
    """Only the location that had it can say that it has it no longer; whoever says yes meanwhile draws nothing to itself."""
    if by == "name" and way in BY_UUID:
        pytest.skip("named by UUID only")
    record, other = re_enrolled(hub), other_at(hub, "loc2")
    if silent == "from the start":
        hub.loc1.down()
    else:
        hub.loc1.fault(scripted.reset(), method="GET", path=f"/v1/nodes/({record['uuid']}|{record['name']})")
    assert_unavailable(WAYS[way](hub, record[by], other["uuid"]), "loc1")
    assert not [request for request in hub.loc2.requests if request.method != "GET"]

def test_a_rename_to_the_name_that_it_has_already(hub):
    record = re_enrolled(hub)
    reply = hub.patch(f"/v1/nodes/{record['uuid']}", patch("/name", record["name"], "replace"))
    assert (reply.status, reply.header(LOCATION)) == (200, "loc2"), reply

def test_moves_are_refused_by_where_a_node_is_and_not_by_where_it_was(hub):
    record = re_enrolled(hub)
    for group in ("", "grp2"):
        reply = hub.patch(f"/v1/nodes/{record['uuid']}", patch("/conductor_group", group))
        assert reply.status == 400 and "loc2" in reply.text(), reply
    assert not hub.loc2.asked("PATCH")

# --- a UUID that two locations claim

def claimed(hub):
    """A node that the gateway knows at loc1, and that loc2 lists too."""
    record = hub.loc1.add(node("honest"))
    assert hub.get(f"/v1/nodes/{record['uuid']}").header(LOCATION) == "loc1"
    hub.loc2.add(node("impostor", record["uuid"]))
    assert len(hub.get("/v1/nodes").json()["nodes"]) == 2, "lists show both"
    hub.forget_requests()
    return record["uuid"]

def test_a_claim_draws_nothing_to_itself(hub):
    before = len(hub.gateway.log())
    ident = claimed(hub)
    secret = patch("/driver_info", {"ipmi_password": "secret"})
    for reply in (
        hub.get(f"/v1/nodes/{ident}"),
        hub.get(f"/v1/nodes/{ident}/states"),
        hub.get(f"/v1/nodes/{ident}/ports"),
        hub.get(f"/v1/ports?node={ident}"),
        hub.patch(f"/v1/nodes/{ident}", secret),
        hub.put(f"/v1/nodes/{ident}/states/power", {"target": "power on"}),
        hub.delete(f"/v1/nodes/{ident}"),
        hub.post("/v1/ports", {"node_uuid": ident, "address": MAC}),
        hub.post("/v1/allocations", {"node": ident}),
    ):
        assert reply.status == 400, reply
        assert set(re.findall(r"loc\d", reply.text())) == {"loc1", "loc2"} and LOCATION in reply.text(), reply
    assert not [request for site in hub.all() for request in site.requests if request.method != "GET"]
    hub.logged(rf"ERROR.*{ident}.*loc1.*loc2", before)
    for at in ("loc1", "loc2"):
        reply = hub.patch(f"/v1/nodes/{ident}", secret, headers={LOCATION: at})
        assert (reply.status, reply.header(LOCATION)) == (200, at), reply

def test_a_claim_that_was_seen_with_the_location_header(hub):
    record = hub.loc1.add(node("honest"))
    assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
    hub.loc2.add(node("impostor", record["uuid"]))
    assert hub.get(f"/v1/nodes/{record['uuid']}", headers={LOCATION: "loc2"}).json()["name"] == "impostor"
    assert hub.patch(f"/v1/nodes/{record['uuid']}", patch("/extra/a", 1)).status == 400
    assert not hub.loc2.asked("PATCH")

def test_a_claim_while_who_had_it_cannot_be_asked(hub):
    ident = claimed(hub)
    hub.loc1.down()
    for reply in (hub.get(f"/v1/nodes/{ident}"), hub.patch(f"/v1/nodes/{ident}", patch("/extra/a", 1))):
        assert_unavailable(reply, "loc1")
    assert not hub.loc2.asked("PATCH")

@pytest.mark.parametrize("by", ["uuid", "name"])
def test_a_claim_while_who_had_it_is_asked_anew(hub, by):
    """Its 400 is about something else, and then it is silent."""
    record = hub.loc1.add(node("honest", conductor_group=""))
    for ident in (record["uuid"], "honest"):
        assert hub.get(f"/v1/nodes/{ident}").header(LOCATION) == "loc1"
    hub.loc2.add(node("honest", record["uuid"], conductor_group="grp1"))
    hub.loc1.fault(scripted.reset(), method="GET", path=f"/v1/nodes/(honest|{record['uuid']})")
    elsewhere = [*patch("/conductor_group", "grp1", "replace"), *patch("/driver_info/password", "secret")]
    assert_unavailable(hub.patch(f"/v1/nodes/{record[by]}", elsewhere), "loc1")
    # Nor is it anybody else's from then on.
    reply = hub.patch(f"/v1/nodes/{record[by]}", patch("/extra/a", 1))
    assert (reply.status, reply.header(LOCATION)) == (200, "loc1"), reply
    assert not hub.loc2.asked("PATCH")

def test_who_had_it_is_served_while_who_claims_it_cannot_be_asked(hub):
    ident = claimed(hub)
    hub.loc2.down()
    reply = hub.patch(f"/v1/nodes/{ident}", patch("/extra/a", 1))
    assert (reply.status, reply.header(LOCATION)) == (200, "loc1"), reply
    hub.loc2.up()
    assert hub.patch(f"/v1/nodes/{ident}", patch("/extra/a", 2)).status == 400

@pytest.mark.parametrize("left", ["loc1", "loc2"])
def test_a_claim_is_settled_when_one_lets_go(hub, left):
    ident = claimed(hub)
    for site in (hub.loc1, hub.loc2):
        if site is not hub.sites[left]:
            site.take(ident)
    assert hub.patch(f"/v1/nodes/{ident}", patch("/extra/a", 1)).header(LOCATION) == left
    hub.forget_requests()
    assert hub.get(f"/v1/nodes/{ident}").header(LOCATION) == left
    assert set(hub.asked()) == {left}, "it is asked for still"

def test_a_claim_of_another_kind(hub):
    owner, ident = hub.loc1.add(node("owner")), new_uuid()
    port = {"uuid": ident, "address": MAC, "node_uuid": owner["uuid"], "name": None}
    hub.loc1.ports.append(port)
    assert hub.get(f"/v1/ports/{ident}").header(LOCATION) == "loc1"
    hub.loc2.ports.append(port)
    assert len(hub.get("/v1/ports").json()["ports"]) == 2
    assert hub.delete(f"/v1/ports/{ident}").status == 400
    assert not hub.asked("DELETE")

# --- names

def twins(hub):
    return hub.loc1.add(node("same")), hub.loc2.add(node("same"))

SIGHTS = {
    "nothing": lambda hub, one, two: None,
    "a list of one location": lambda hub, one, two: hub.get("/v1/nodes", headers={LOCATION: "loc1"}),
    "a page": lambda hub, one, two: hub.get("/v1/nodes?limit=1"),
    "a sorted page": lambda hub, one, two: hub.get("/v1/nodes?limit=1&sort_key=name"),
    "a filtered list": lambda hub, one, two: hub.get("/v1/nodes?resource_class=first"),
    "a list that lacks a location": lambda hub, one, two: hub.get("/v1/nodes", headers={"X-Ironic-Proxy-Partial": "allow"}),
    "all nodes": lambda hub, one, two: hub.get("/v1/nodes"),
    "all nodes, in detail": lambda hub, one, two: hub.get("/v1/nodes/detail"),
    "one by UUID": lambda hub, one, two: hub.get(f"/v1/nodes/{one['uuid']}"),
    "both by UUID": lambda hub, one, two: (hub.get(f"/v1/nodes/{one['uuid']}"), hub.get(f"/v1/nodes/{two['uuid']}")),
    "one with the header": lambda hub, one, two: hub.get("/v1/nodes/same", headers={LOCATION: "loc1"}),
    "a change by UUID": lambda hub, one, two: hub.patch(f"/v1/nodes/{one['uuid']}", patch("/extra/a", 1)),
}

@pytest.mark.parametrize("sight", SIGHTS)
def test_a_name_that_two_nodes_have_is_nobody_s(hub, sight):
    one, two = twins(hub)
    one = hub.loc1.find(one["uuid"])
    one["resource_class"] = "first"
    if "lacks" in sight:
        hub.loc2.down()
    SIGHTS[sight](hub, one, two)
    if "lacks" in sight:
        hub.loc2.up()
    hub.forget_requests()
    for method, path, body in (
        ("GET", "", None),
        ("PATCH", "", patch("/extra/b", 2)),
        ("PUT", "/states/power", {"target": "power on"}),
        ("PUT", "/maintenance", {}),
        ("DELETE", "", None),
    ):
        reply = hub.call(method, f"/v1/nodes/same{path}", body)
        assert reply.status == 400 and set(re.findall(r"loc\d", reply.text())) == {"loc1", "loc2"}, reply
    assert not [request for site in hub.all() for request in site.requests if request.method != "GET"]

def test_a_name_of_which_not_everybody_was_asked_is_asked_for_again(hub):
    hub.loc1.add(node("same"))
    hub.loc2.down()
    assert hub.get("/v1/nodes/same").status == 200
    hub.loc2.up()
    hub.loc2.add(node("same"))
    assert hub.delete("/v1/nodes/same").status == 400
    assert not hub.asked("DELETE")

def test_a_name_that_was_made_while_a_location_could_not_be_asked(hub):
    hub.loc2.add(node("same"))
    hub.loc2.down()
    made = hub.post("/v1/nodes", {"driver": "fake-hardware", "name": "same"})
    assert (made.status, made.header("X-Ironic-Proxy-Unverified")) == (201, "loc2"), made
    hub.loc2.up()
    assert hub.delete("/v1/nodes/same").status == 400

def test_a_name_that_was_used_again_at_its_location(hub):
    """`/nodes/NAME/ports` needs a UUID, and shows the ports of who has the name now."""
    for generation in (1, 2):
        record = hub.loc1.add(node("reused"))
        hub.loc1.ports.append({"uuid": new_uuid(), "address": f"52:54:00:0a:01:0{generation}", "node_uuid": record["uuid"], "name": None})
        assert hub.get("/v1/nodes/reused").status == 200
        for _ in range(2):
            ports = hub.get("/v1/nodes/reused/ports").json()["ports"]
            assert [one["node_uuid"] for one in ports] == [record["uuid"]], f"generation {generation}"
        hub.loc1.find(record["uuid"])["name"] = f"former-{generation}"

@pytest.mark.parametrize("version", ["1.1", "1.80", "1.88"])
def test_a_port_is_found_by_its_name_in_every_version(hub, version):
    """As Ironic finds it, which shows the name from 1.88 on."""
    record = hub.loc2.add(node("ported"))
    hub.loc2.ports.append({"uuid": new_uuid(), "address": MAC, "node_uuid": record["uuid"], "name": "eth0"})
    for _ in range(2):
        reply = hub.get("/v1/ports/eth0", version=version)
        assert (reply.status, reply.header(LOCATION)) == (200, "loc2"), reply
        assert ("name" in reply.json()) == (version == "1.88")
    hub.loc1.ports.append(hub.loc2.ports.pop())
    assert hub.get("/v1/ports/eth0", version=version).header(LOCATION) == "loc1", "no 404 of where it was"
    assert hub.get("/v1/ports/eth1", version=version).status == 404

def test_a_port_is_found_by_its_name_where_not_all_show_names():
    with fleet(Standin(versions=("1.1", "1.80")), Standin(), every={"breaker_failures": 2}, wait=False) as hub:
        until(lambda: hub.get("/v1/nodes", version="1.80").status == 200)
        hub.loc2.ports.append({"uuid": new_uuid(), "address": MAC, "node_uuid": new_uuid(), "name": "eth0"})
        for _ in range(4):
            reply = hub.get("/v1/ports/eth0", version="1.80")
            assert (reply.status, reply.header(LOCATION)) == (200, "loc2"), reply
        assert hub.get("/v1/nodes", version="1.80").status == 200

# --- contradictions, and what was said too early

@pytest.mark.parametrize("path", ["", "/states", "/ports"])
def test_a_momentary_no_is_not_believed(hub, path):
    record = hub.loc1.add(node("there"))
    assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
    no = scripted.says(404, f"Node {record['uuid']} could not be found.")
    hub.loc1.fault(no, method="GET", path=f"/v1/nodes/{record['uuid']}{path}", times=1)
    reply = hub.get(f"/v1/nodes/{record['uuid']}{path}")
    assert (reply.status, reply.header(LOCATION)) == (200, "loc1"), reply

@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "", None),
        ("PATCH", "", patch("/extra/a", 1)),
        ("PUT", "/states/power", {"target": "power on"}),
        ("PUT", "/maintenance", {"reason": "x"}),
        ("DELETE", "/maintenance", None),
    ],
)
def test_a_momentary_no_to_a_change_is_repeated_once(hub, method, path, body):
    record = hub.loc1.add(node("there"))
    assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
    no = scripted.says(404, f"Node {record['uuid']} could not be found.")
    hub.loc1.fault(no, method=method, times=1)
    reply = hub.call(method, f"/v1/nodes/{record['uuid']}{path}", body)
    assert reply.status in (200, 202, 204), reply
    assert len(hub.loc1.asked(method)) == 2

@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
def test_a_contradiction_that_stays_is_no_404(hub, method):
    record = hub.loc1.add(node("there"))
    assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
    no = scripted.says(404, f"Node {record['uuid']} could not be found.")
    path = f"/v1/nodes/{record['uuid']}"
    # Who asks for the identifiers alone is told yes.
    for query in ("^$", "instance_info"):
        hub.loc1.fault(no, method=method, path=path, query=query)
    reply = hub.call(method, path + ("?fields=instance_info" if method == "GET" else ""), patch("/extra/a", 1) if method == "PATCH" else None)
    assert_unavailable(reply, "loc1")
    assert len(hub.loc1.asked(method, path)) <= 5

def test_a_poll_from_before_a_create_is_no_answer(hub):
    """The node is made, elsewhere and not through this gateway, after a location said no and before the others answered."""
    ident, go = new_uuid(), threading.Event()
    seen = threading.Event()

    def said_before(exchange):
        answer = exchange.true_answer()
        seen.set()
        while not go.is_set():
            exchange.wait(0.02)
        return answer

    hub.loc1.fault(said_before, method="GET", path=f"/v1/nodes/{ident}", times=1)
    hub.loc2.fault(said_before, method="GET", path=f"/v1/nodes/{ident}", times=1)

    def late():
        assert seen.wait(10)
        until(lambda: len(hub.loc2.asked("GET", f"/v1/nodes/{ident}")) == 1)
        hub.loc2.add(node("late", ident))
        answers = []
        reader = threading.Thread(target=lambda: answers.append(hub.get(f"/v1/nodes/{ident}")))
        reader.start()
        # It came in, or did not wait for the others at all.
        until(lambda: answers or len(hub.loc2.asked("GET", f"/v1/nodes/{ident}")) > 1 or reader.is_alive())
        threading.Timer(0.2, go.set).start()
        reader.join()
        return answers[0]

    early, reply = together(lambda: hub.get(f"/v1/nodes/{ident}"), late)
    assert_not_found(early, ident)
    assert (reply.status, reply.json()["name"]) == (200, "late"), reply


def test_a_list_without_children_says_nothing_of_their_names(hub):
    """Ironic leaves children out of a list: that nobody else showed a name there does not make it one location's alone."""
    hub.loc1.add(node("web"))
    hub.loc2.add(node("web", parent_node=hub.loc2.add(node("parent"))["uuid"]))
    for query in ("", "?sort_key=name", "?fields=uuid,name"):
        assert hub.get(f"/v1/nodes{query}").names().count("web") == 1
    for method, body in (("GET", None), ("PATCH", [{"op": "add", "path": "/extra/a", "value": 1}]), ("DELETE", None)):
        reply = hub.call(method, "/v1/nodes/web", body)
        assert reply.status == 400 and "loc1" in reply.text() and "loc2" in reply.text(), reply
    # With them it does.
    hub.loc1.add(node("alone"))
    assert "alone" in hub.get("/v1/nodes?include_children=true").names()
    hub.forget_requests()
    assert hub.get("/v1/nodes/alone").status == 200
    assert hub.asked() == {"loc1": 1}
