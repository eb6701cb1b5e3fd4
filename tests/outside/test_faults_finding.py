"""Finding a node among locations that fail: `404` is said only when every location said no, now."""

import http.client
import itertools
import re

import pytest
import scripted
from faults import hubs, mend
from fleet import assert_not_found, assert_unavailable, together
from standin import new_uuid, node

# What a location may do that leaves open whether it has the node.
SILENCES = {
    "refuses connections": None,
    "hangs": scripted.hang(),
    "hangs after the head": scripted.hang_after_head(),
    "hangs in the body": scripted.hang_in_body(),
    "drips": scripted.drip(),
    "resets": scripted.reset(),
    "closes": scripted.close(),
    "cuts the body off": scripted.cut_off(),
    "cuts the JSON off": scripted.cut_json(),
    "cuts the chunks off": scripted.cut_chunks(),
    "talks garbage": scripted.garbage(),
    "200 in HTML": scripted.html(200),
    "404 in HTML": scripted.html(404),
    "404 in plain text": scripted.answers(404, b"404 page not found\n", content_type="text/plain"),
    "404 of another service": scripted.answers(404, b'{"error": {"code": 404, "title": "Not Found", "message": "no"}}'),
    "404 without a body": scripted.answers(404),
    "502 in HTML": scripted.html(502),
    "504 in HTML": scripted.html(504),
    "500 in JSON": scripted.says(500, "Oslo is broken"),
    "503 in JSON": scripted.says(503, "Resource temporarily unavailable, please retry."),
    "429 in JSON": scripted.says(429, "Slow down"),
    "401": scripted.says(401, "no entry", [("WWW-Authenticate", 'Keystone uri="http://keystone.edge.example:5000"')]),
    "403": scripted.says(403, "Access was denied to the following resource: baremetal:node:get"),
    "403 in HTML": scripted.html(403),
    "redirects": scripted.answers(302, b"", [("Location", "http://127.0.0.1:1/v1/nodes")]),
    "JSON too deep": scripted.too_deep(),
    "body too large": scripted.too_big(3 << 20),
    "head too large": scripted.big_head(),
    "200 of another kind": scripted.answers(200, b"[]"),
    "200 without a body": scripted.answers(200),
    "200 of an empty object": scripted.answers(200, b"{}"),
    "200 that is a string": scripted.answers(200, b'"uuid"'),
    "200 of an invalid number": scripted.answers(200, b'{"uuid": 0123}'),
    "200 in broken UTF-8": scripted.answers(200, b'{"uuid": "\xff\xfe"}'),
}


def strike(site, fault, **where):
    if fault is None:
        site.down()
    else:
        # Not where the gateway looks whether a location is there at all, which it may do at any moment.
        site.fault(fault, **{"path": "/v1/.*", **where})


module_hub, hub = hubs(3, every={"timeout": 1, "max_response_size": 1 << 20})


# --- nobody has it


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_404_after_asking_everybody(hub, method):
    ident = new_uuid()
    body = [{"op": "add", "path": "/extra/a", "value": 1}] if method == "PATCH" else None
    assert_not_found(hub.call(method, f"/v1/nodes/{ident}", body), ident)
    assert set(hub.asked("GET")) == {"loc1", "loc2", "loc3"}
    assert hub.asked("PATCH") == hub.asked("DELETE") == {}


def test_404_by_name(hub):
    assert_not_found(hub.get("/v1/nodes/nobody"), "nobody")
    assert set(hub.asked("GET")) == {"loc1", "loc2", "loc3"}


def test_absence_is_not_remembered(hub):
    ident = new_uuid()
    assert_not_found(hub.get(f"/v1/nodes/{ident}"), ident)
    hub.loc3.add(node("late-comer", ident))
    assert hub.get(f"/v1/nodes/{ident}").json()["name"] == "late-comer"


def test_404_names_no_location(hub):
    reply = hub.get("/v1/nodes/nobody")
    assert reply.header("X-Ironic-Proxy-Location") is None
    assert b"loc" not in reply.body


# --- somebody cannot be asked


@pytest.mark.parametrize("silence", SILENCES)
def test_one_that_cannot_be_asked(hub, silence):
    here = hub.loc1.add(node("here"))
    strike(hub.loc2, SILENCES[silence])
    ident = new_uuid()
    by_uuid, by_name, by_patch, known, known_by_name = together(
        lambda: hub.get(f"/v1/nodes/{ident}"),
        lambda: hub.get("/v1/nodes/nobody"),
        lambda: hub.patch(f"/v1/nodes/{ident}", [{"op": "add", "path": "/extra/a", "value": 1}]),
        lambda: hub.get(f"/v1/nodes/{here['uuid']}"),
        lambda: hub.get("/v1/nodes/here"),
    )
    for reply in (by_uuid, by_name, by_patch):
        assert_unavailable(reply, "loc2")
        assert b"nginx" not in reply.body and b"keystone" not in reply.body and b"Oslo" not in reply.body
    assert known.status == 200, known
    assert known.json()["uuid"] == here["uuid"]
    assert known_by_name.status == 200, known_by_name
    assert known.header("X-Ironic-Proxy-Location") == known_by_name.header("X-Ironic-Proxy-Location") == "loc1"
    # The location is well again: the answer is the plain one, at once.
    mend(hub)
    assert_not_found(hub.get(f"/v1/nodes/{ident}"), ident)


@pytest.mark.parametrize("outcomes", list(itertools.product(["has it", "says no", "is silent"], repeat=3)), ids=", ".join)
def test_every_combination(hub, outcomes):
    uuids = [new_uuid() for _ in outcomes]
    # Names are remembered for a while, so each case has its own.
    shared, name_of_all = new_uuid(), f"shared-{new_uuid()[:8]}"
    owners, silent = [], []
    for (name, site), outcome, ident in zip(hub.sites.items(), outcomes, uuids):
        if outcome == "has it":
            owners.append(name)
            site.add(node(name_of_all, ident))
            site.add(node(None, shared))
        elif outcome == "is silent":
            silent.append(name)
            site.fault(scripted.html())
    by_uuid, by_name = hub.get(f"/v1/nodes/{shared}"), hub.get(f"/v1/nodes/{name_of_all}")
    if not owners:
        for reply, ident in ((by_uuid, shared), (by_name, name_of_all)):
            if silent:
                assert_unavailable(reply, *silent)
            else:
                assert_not_found(reply, ident)
        return
    assert (by_uuid.status, by_uuid.header("X-Ironic-Proxy-Location") in owners) == (200, True)
    if len(owners) == 1:
        assert (by_name.status, by_name.header("X-Ironic-Proxy-Location")) == (200, owners[0])
    else:
        assert by_name.status == 400
        assert set(re.findall(r"loc\d", by_name.text())) == set(owners)


def test_a_uuid_that_is_found_does_not_wait_for_the_others(hub):
    here = hub.loc1.add(node("here"))
    hub.loc2.fault(scripted.hang())
    reply = hub.get(f"/v1/nodes/{here['uuid']}")
    assert reply.status == 200
    assert reply.seconds < 0.7, "it waited for a location that hangs"


def test_all_that_could_not_be_asked_are_named(hub):
    hub.loc1.fault(scripted.html())
    hub.loc3.down()
    assert_unavailable(hub.get("/v1/nodes/nobody"), "loc1", "loc3")


def test_nobody_can_be_asked(hub):
    for site in hub.all():
        site.fault(scripted.reset())
    assert_unavailable(hub.get(f"/v1/nodes/{new_uuid()}"), "loc1", "loc2", "loc3")


def test_the_location_header_narrows_the_question(hub):
    ident = new_uuid()
    hub.loc2.down()
    assert_not_found(hub.get(f"/v1/nodes/{ident}", headers={"X-Ironic-Proxy-Location": "loc1"}), ident)
    assert set(hub.asked()) == {"loc1"}
    assert_unavailable(hub.get(f"/v1/nodes/{ident}", headers={"X-Ironic-Proxy-Location": "loc2"}), "loc2")


def test_an_unknown_location_header(hub):
    reply = hub.get("/v1/nodes/nobody", headers={"X-Ironic-Proxy-Location": "loc9"})
    assert reply.status == 400
    assert "loc9" in reply.text()
    assert hub.asked() == {}


def test_what_ironic_says_of_an_invalid_ident_is_relayed(hub):
    reply = hub.get("/v1/nodes/a:b")
    assert reply.status == 400
    assert reply.text() == "Expected UUID or name for node: a:b"


# --- two have it


def test_a_name_with_two_owners(hub):
    first, second = hub.loc1.add(node("twin")), hub.loc3.add(node("twin"))
    for reply in (hub.get("/v1/nodes/twin"), hub.delete("/v1/nodes/twin")):
        assert reply.status == 400, reply
        text = reply.text()
        assert set(re.findall(r"loc\d", text)) == {"loc1", "loc3"}
        assert "UUID" in text and "X-Ironic-Proxy-Location" in text
    assert hub.asked("DELETE") == {}
    for location, owner in (("loc1", first), ("loc3", second)):
        assert hub.get(f"/v1/nodes/{owner['uuid']}").header("X-Ironic-Proxy-Location") == location
        reply = hub.get("/v1/nodes/twin", headers={"X-Ironic-Proxy-Location": location})
        assert reply.json()["uuid"] == owner["uuid"]


def test_a_uuid_with_two_owners_is_served_by_one(hub):
    ident = new_uuid()
    hub.loc1.add(node("one", ident))
    hub.loc2.add(node("two", ident))
    reply = hub.get(f"/v1/nodes/{ident}")
    assert reply.status == 200
    assert (reply.header("X-Ironic-Proxy-Location"), reply.json()["name"]) in {("loc1", "one"), ("loc2", "two")}
    other = hub.get(f"/v1/nodes/{ident}", headers={"X-Ironic-Proxy-Location": "loc2"})
    assert other.json()["name"] == "two"


def test_uuids_are_compared_as_they_are_written(hub):
    lower = "abcdef01-2345-4678-9abc-def012345678"
    hub.loc1.add(node("lower", lower))
    hub.loc2.add(node("upper", lower.upper()))
    assert hub.get(f"/v1/nodes/{lower}").json()["name"] == "lower"
    assert hub.get(f"/v1/nodes/{lower.upper()}").json()["name"] == "upper"
    assert_not_found(hub.get(f"/v1/nodes/{lower.replace('-', '')}"), lower.replace("-", ""))


# --- our credentials


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_our_fault(hub, status):
    record = hub.loc1.add(node("guarded"))
    assert hub.get("/v1/nodes/guarded").status == 200
    text = "Access was denied to the following resource: baremetal:node:update"
    hub.loc1.fault(scripted.says(status, text, [("WWW-Authenticate", 'Basic realm="edge"')]))
    for reply in (
        hub.get(f"/v1/nodes/{record['uuid']}"),
        hub.patch(f"/v1/nodes/{record['uuid']}", [{"op": "add", "path": "/extra/a", "value": 1}]),
        hub.put(f"/v1/nodes/{record['uuid']}/states/power", {"target": "power on"}),
    ):
        assert_unavailable(reply, "loc1")
        assert b"Access was denied" not in reply.body and b"realm" not in reply.body
    hub.logged(r"ERROR.*loc1")


def test_a_403_of_ironic_itself_is_relayed(hub):
    record = hub.loc1.add(node("fort-knox", protected=True))
    reply = hub.delete(f"/v1/nodes/{record['uuid']}")
    assert reply.status == 403, reply
    assert reply.text() == f"Node {record['uuid']} is protected and cannot be undeployed, rebuilt or deleted."
    assert hub.loc1.find("fort-knox")


# --- what a location answers to a request of its own


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, 'The requested action "active" can not be performed on node "x" while it is in state "enroll".'),
        (409, "Node x is locked by host h, please retry after the current operation is completed."),
        (500, "'NoneType' object has no attribute 'lower'"),
    ],
)
def test_an_answer_to_a_routed_request_is_relayed(hub, status, text):
    record = hub.loc2.add(node("busy"))
    assert hub.get("/v1/nodes/busy").status == 200
    hub.loc2.fault(scripted.says(status, text, [("X-Extra", "kept back")]), method="PATCH")
    reply = hub.patch(f"/v1/nodes/{record['uuid']}", [])
    assert (reply.status, reply.text()) == (status, text)
    assert reply.header("X-Ironic-Proxy-Location") == "loc2"
    # What is not Ironic's own stays at the location.
    assert reply.header("X-Extra") is None
    assert len(hub.loc2.asked("PATCH")) == 1


@pytest.mark.parametrize("fault", ["502 in HTML", "200 in HTML", "cuts the body off", "resets", "closes", "hangs", "talks garbage"])
def test_a_routed_request_that_is_not_answered_by_ironic(hub, fault):
    record = hub.loc2.add(node("lonely"))
    assert hub.get("/v1/nodes/lonely").status == 200
    hub.loc2.fault(SILENCES[fault])
    try:
        assert_unavailable(hub.get(f"/v1/nodes/{record['uuid']}"), "loc2")
    except http.client.IncompleteRead:
        # What is streamed cannot be taken back; then only a broken connection is honest.
        assert fault == "cuts the body off"


# --- sub-collections by name


def test_sub_collections_by_name(hub):
    record = hub.loc2.add(node("ported"))
    hub.loc2.ports.append({"uuid": new_uuid(), "address": "52:54:00:00:00:01", "node_uuid": record["uuid"], "name": None})
    for ident in ("ported", record["uuid"]):
        reply = hub.get(f"/v1/nodes/{ident}/ports")
        assert reply.status == 200, reply
        assert [port["address"] for port in reply.json()["ports"]] == ["52:54:00:00:00:01"]
    hub.loc3.down()
    assert_unavailable(hub.get("/v1/nodes/nobody/ports"), "loc3")
    mend(hub)
    assert hub.get("/v1/nodes/nobody/ports").status == 404


def test_a_resource_below_a_node_that_is_newer_than_us(hub):
    record = hub.loc3.add(node("modern"))
    reply = hub.get("/v1/nodes/modern/newer_than_us")
    assert reply.status == 200, reply
    assert reply.json() == {"newer_than_us": record["uuid"]}
