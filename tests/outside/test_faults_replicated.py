"""What is the same everywhere is written everywhere or nowhere."""

import re

import pytest
import scripted
from faults import GROUPS, SILENT, body, change, hubs, kept, silence, stock, writes
from fleet import assert_fate_unknown, assert_unavailable
from standin import new_uuid, node

LOCATION = "X-Ironic-Proxy-Location"
INCOMPLETE = "X-Ironic-Proxy-Incomplete"
REPLICATED = ["chassis", "deploy_templates", "runbooks", "inspection_rules"]


module_hub, hub = hubs(3, groups=GROUPS, every={"timeout": 1}, api={"enable_ramdisk_endpoints": True})


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
            "reset": scripted.reset(), "html": scripted.html(), "html 504": scripted.html(504), "hang": scripted.hang()}  # fmt: skip


# Sent, and no answer of Ironic's: whoever is slow, or has lost the connection, may still do it.
UNANSWERED = ("reset", "html", "html 504", "hang")

# The client's own fault is told as Ironic says it, not as something to be tried again.
REFUSALS = {"409": (409, "Locked"), "400": (400, "Odd")}


@pytest.mark.parametrize("kind", REPLICATED)
@pytest.mark.parametrize("failure", FAILURES)
def test_a_create_that_fails_midway_is_undone(hub, kind, failure):
    hub.loc2.fault(FAILURES[failure], method="POST")
    reply = hub.post(f"/v1/{kind}", body(kind))
    assert kept(hub, kind) == {"loc1": {}, "loc2": {}, "loc3": {}}
    if failure in REFUSALS:
        assert (reply.status, reply.text()) == REFUSALS[failure], reply
    else:
        assert_unavailable(reply, "loc1", "loc2", "loc3", status=504 if failure in UNANSWERED else 503)
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
    # Clients repeat a 503, and would make another one, or meet what is left.
    assert_unavailable(reply, "loc1", "loc2", "loc3", status=504)
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
    if failure in REFUSALS:
        assert (reply.status, reply.text()) == REFUSALS[failure], reply
    else:
        assert_unavailable(reply, "loc1", "loc2", "loc3", status=504 if failure in UNANSWERED else 503)
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


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_was_done_is_not_to_be_repeated_though_nobody_may_look(hub, method):
    """The token was revoked meanwhile."""
    ident = stock(hub, "runbooks")
    path = "/v1/runbooks" if method == "POST" else f"/v1/runbooks/{ident}"
    hub.loc1.fault(scripted.executed(scripted.reset()), method=method)
    # The first question is whether it is there, the second whether it was done, the third what it is like.
    asked = 3 if method == "POST" else 2
    hub.loc1.fault(scripted.html(401), method="GET", skip=asked)
    assert_fate_unknown(hub.call(method, path, body("runbooks", "NEW") if method == "POST" else change()), "loc1")


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_change_that_nobody_can_tell_of_is_taken_back_too(hub, method):
    ident = stock(hub, "runbooks")
    hub.loc2.fault(scripted.executed(scripted.reset()), method=method, times=1)
    # The first question is who has it; the second would tell.
    hub.loc2.fault(scripted.says(500, "Not now"), method="GET", skip=1)
    reply = hub.call(method, f"/v1/runbooks/{ident}", change() if method == "PATCH" else None)
    assert_unavailable(reply, "loc1", "loc2", "loc3", status=504)
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


@pytest.mark.parametrize("kind", REPLICATED)
@pytest.mark.parametrize("failure", [*FAILURES, "403"])
def test_absent_is_what_all_say_is_absent(hub, kind, failure):
    """By UUID and by name, of one location and of all."""
    paths = [f"/v1/{kind}/{new_uuid()}", *([f"/v1/{kind}/CUSTOM_NONE"] if kind in ("deploy_templates", "runbooks") else [])]
    ways = {**FAILURES, "403": scripted.says(403, "Not you")}
    for sites in ([hub.loc1], [hub.loc3], hub.all()):
        for site in sites:
            site.fault(ways[failure])
        for path in paths:
            assert hub.get(path).status == {"400": 400, "403": 403, "409": 409}.get(failure, 503), (path, sites)
        hub.heal()
        for path in paths:
            assert hub.get(path).status == 404


def test_two_objects_of_one_name(hub):
    first, second = stock(hub, "runbooks", "loc1"), stock(hub, "runbooks", "loc2")
    for method, query, content in (
        ("GET", "", None), ("GET", "?fields=name,steps", None), ("GET", "/traits", None), ("GET", "/novelty", None),
        ("PATCH", "", change()), ("DELETE", "", None), ("DELETE", "/traits", None),
    ):  # fmt: skip
        reply = hub.call(method, f"/v1/runbooks/CUSTOM_A{query}", content)
        assert reply.status == 400, reply
        assert set(re.findall(r"loc\d", reply.text())) == {"loc1", "loc2"}
    assert writes(hub) == {}
    assert {one["uuid"] for one in hub.get("/v1/runbooks").json()["runbooks"]} == {first, second}
    for ident in (first, second):
        assert hub.get(f"/v1/runbooks/{ident}").json()["uuid"] == ident
    assert hub.delete(f"/v1/runbooks/{second}").status == 204
    assert hub.get("/v1/runbooks/CUSTOM_A").json()["uuid"] == first
    assert hub.get("/v1/runbooks/CUSTOM_A/novelty").json()["novelty"] == first
    reply = hub.get("/v1/runbooks/CUSTOM_B/traits")
    assert (reply.status, reply.text()) == (404, "Runbook CUSTOM_B could not be found.")
    assert set(hub.get("/v1/runbooks/CUSTOM_A?fields=name").json()) == {"name", "links"}


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


@pytest.mark.parametrize("kind", REPLICATED)
def test_what_one_location_lacks_is_made_there(hub, kind):
    """As `sync` says: with the location header it is that location's own object."""
    ident, sent = stock(hub, kind, "loc1", "loc3"), {**body(kind)}
    there = {LOCATION: "loc2"}
    if "name" in sent and kind != "inspection_rules":
        reply = hub.post(f"/v1/{kind}", {**sent, "uuid": new_uuid()}, headers=there)
        assert reply.status == 409 and sent["name"] in reply.text(), reply
        assert hub.post(f"/v1/{kind}", sent, headers=there).status == 409
    assert writes(hub) == {}
    reply = hub.post(f"/v1/{kind}", {**sent, "uuid": ident}, headers=there)
    assert (reply.status, reply.json()["uuid"]) == (201, ident), reply
    assert hub.asked("POST") == {"loc2": 1}
    assert [set(records) for records in kept(hub, kind).values()] == [{ident}] * 3


def test_an_empty_uuid_of_a_rule_is_none(hub):
    """Ironic draws one for it, and each location would draw its own."""
    reply = hub.post("/v1/inspection_rules", {**body("inspection_rules"), "uuid": ""})
    assert reply.status == 201, reply
    assert [set(records) for records in kept(hub, "inspection_rules").values()] == [{reply.json()["uuid"]}] * 3
    assert all(site.asked("POST")[0].json()["uuid"] == reply.json()["uuid"] for site in hub.all())


@pytest.mark.parametrize("at", ["loc1", "loc3"])
def test_a_chassis_with_a_node_anywhere_stays_everywhere(hub, at):
    ident = stock(hub, "chassis")
    hub.sites[at].add(node("in-it", chassis_uuid=ident))
    reply = hub.delete(f"/v1/chassis/{ident}")
    text = f"Cannot complete the requested action because chassis {ident} contains nodes."
    assert (reply.status, reply.text()) == (400, text)
    assert writes(hub) == {}
