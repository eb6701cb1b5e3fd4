"""Finding a node among locations that fail: `404` is said only when every location said no, now."""

import http.client
import itertools
import json
import re
import time

import pytest
import scripted
from fleet import assert_not_found, assert_unavailable, fleet, together, until
from standin import Standin, new_uuid, node

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
        site.fault(fault, **where)


def mend(hub):
    for site in hub.all():
        if not site.listening():
            site.up()
    hub.heal()


@pytest.fixture(scope="module")
def module_hub():
    with fleet(3, every={"timeout": 1, "max_response_size": 1 << 20}) as hub:
        yield hub


@pytest.fixture
def hub(module_hub):
    mend(module_hub)
    for site in module_hub.all():
        site.nodes.clear()
    module_hub.forget_requests()
    yield module_hub
    mend(module_hub)


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


# --- a node that moved behind the gateway's back


def moved(hub):
    """A node that the gateway knows at loc1 and that is at loc2 now."""
    record = hub.loc1.add(node(f"mover-{new_uuid()[:8]}"))
    for ident in (record["uuid"], record["name"]):
        assert hub.get(f"/v1/nodes/{ident}").header("X-Ironic-Proxy-Location") == "loc1"
    hub.loc2.add(hub.loc1.take(record["uuid"]))
    hub.forget_requests()
    return record


@pytest.mark.parametrize("by", ["uuid", "name"])
def test_moved_get(hub, by):
    record = moved(hub)
    reply = hub.get(f"/v1/nodes/{record[by]}")
    assert reply.status == 200, reply
    assert reply.header("X-Ironic-Proxy-Location") == "loc2"
    hub.forget_requests()
    assert hub.get(f"/v1/nodes/{record[by]}").status == 200
    assert set(hub.asked()) == {"loc2"}, "the new place was not learnt"


@pytest.mark.parametrize("by", ["uuid", "name"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [0, 1000, 60 * 1024])
def test_moved_patch_arrives_once(hub, by, framing, size):
    record = moved(hub)
    patch = [{"op": "add", "path": "/extra/blob", "value": "x" * size}]
    body = json.dumps(patch).encode()
    if framing == "chunked":
        body = iter([body[:17], body[17:]])
    reply = hub.patch(f"/v1/nodes/{record[by]}", body)
    assert reply.status == 200, reply
    assert reply.json()["extra"] == {"blob": "x" * size}
    arrived = hub.loc2.asked("PATCH")
    assert len(arrived) == 1
    assert arrived[0].json() == patch
    assert len(hub.loc1.asked("PATCH")) <= 1


def test_moved_put_arrives_byte_for_byte(hub):
    record = moved(hub)
    body = b'{"target":   "manage", "configdrive": "' + b"A" * 60000 + b'"}'
    reply = hub.put(f"/v1/nodes/{record['uuid']}/states/provision", body)
    assert reply.status == 202, reply
    arrived = hub.loc2.asked("PUT")
    assert [bytes(request.body) for request in arrived] == [body]
    assert hub.loc2.find(record["uuid"])["provision_state"] == "manageable"


def test_moved_with_a_body_too_large_to_keep(hub):
    record = moved(hub)
    body = b'{"target": "manage", "configdrive": "' + b"A" * (200 * 1024) + b'"}'
    reply = hub.put(f"/v1/nodes/{record['uuid']}/states/provision", body)
    # It exists, so whatever is said it is not that it does not.
    assert reply.status in (202, 503), reply
    if reply.status == 503:
        assert reply.header("Retry-After")
        reply = hub.put(f"/v1/nodes/{record['uuid']}/states/provision", body)
        assert reply.status == 202, reply
    complete = [request for request in hub.loc2.asked("PUT") if request.complete]
    assert [bytes(request.body) for request in complete] == [body]


def test_moved_delete(hub):
    record = moved(hub)
    assert hub.delete(f"/v1/nodes/{record['uuid']}").status == 204
    assert hub.loc2.find(record["uuid"]) is None


def test_moved_below_the_node(hub):
    record = moved(hub)
    assert hub.get(f"/v1/nodes/{record['name']}/states").status == 200
    assert hub.put(f"/v1/nodes/{record['name']}/maintenance", {"reason": "x"}).status == 202
    assert hub.loc2.find(record["uuid"])["maintenance_reason"] == "x"


def test_gone_and_a_location_cannot_be_asked(hub):
    record = hub.loc1.add(node("gone"))
    assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
    hub.loc1.take(record["uuid"])
    hub.loc3.down()
    assert_unavailable(hub.get(f"/v1/nodes/{record['uuid']}"), "loc3")
    assert_unavailable(hub.delete(f"/v1/nodes/{record['uuid']}"), "loc3")


def test_gone_everywhere(hub):
    record = hub.loc1.add(node("gone"))
    assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
    hub.loc1.take(record["uuid"])
    assert_not_found(hub.get(f"/v1/nodes/{record['uuid']}"), record["uuid"])
    assert_not_found(hub.delete(f"/v1/nodes/{record['uuid']}"), record["uuid"])


def test_a_404_about_something_else_is_relayed(hub):
    record = hub.loc1.add(node("traitless"))
    ident = record["uuid"]
    text = f"Node {ident} doesn't have a trait 'CUSTOM_ZZ'"
    for _ in range(2):
        reply = hub.delete(f"/v1/nodes/{ident}/traits/CUSTOM_ZZ")
        assert (reply.status, reply.text()) == (404, text), reply
    # The node is there, so nobody else needs to be asked.
    hub.loc2.down()
    reply = hub.delete(f"/v1/nodes/{ident}/traits/CUSTOM_ZZ")
    assert (reply.status, reply.text()) == (404, text), reply


# --- what is learnt and forgotten


def test_a_delete_forgets(hub):
    record = hub.loc1.add(node("short-lived"))
    assert hub.get("/v1/nodes/short-lived").status == 200
    assert hub.delete(f"/v1/nodes/{record['uuid']}").status == 204
    hub.forget_requests()
    assert_not_found(hub.get(f"/v1/nodes/{record['uuid']}"), record["uuid"])
    polls = [site.asked("GET", ".+")[0].at for site in hub.all()]
    assert max(polls) - min(polls) < 0.5 and len(hub.loc2.asked()) == len(hub.loc3.asked()) == 1
    assert_not_found(hub.get("/v1/nodes/short-lived"), "short-lived")


def test_a_rename_forgets_the_old_name(hub):
    record = hub.loc1.add(node("before"))
    assert hub.get("/v1/nodes/before").status == 200
    assert hub.patch("/v1/nodes/before", [{"op": "replace", "path": "/name", "value": "after"}]).status == 200
    hub.loc2.add(node("before"))
    hub.forget_requests()
    reply = hub.get("/v1/nodes/before")
    assert reply.header("X-Ironic-Proxy-Location") == "loc2"
    assert len(hub.loc1.asked()) == 1, "the old name was still known"
    hub.forget_requests()
    reply = hub.get("/v1/nodes/after")
    assert reply.json()["uuid"] == record["uuid"]


def test_lists_teach(hub):
    records = {f"loc{index}": getattr(hub, f"loc{index}").add(node(f"taught-{index}")) for index in (1, 2, 3)}
    assert len(hub.get("/v1/nodes").json()["nodes"]) == 3
    for location, record in records.items():
        for ident in (record["uuid"], record["name"]):
            hub.forget_requests()
            assert hub.get(f"/v1/nodes/{ident}").status == 200
            assert set(hub.asked()) == {location}


def test_a_create_teaches(hub):
    created = hub.post("/v1/nodes", {"driver": "fake-hardware", "name": "fresh"})
    assert created.status == 201, created
    for ident in (created.json()["uuid"], "fresh"):
        hub.forget_requests()
        assert hub.get(f"/v1/nodes/{ident}").status == 200
        assert set(hub.asked()) == {"loc1"}


def test_a_short_list_teaches_nothing_wrong(hub):
    """A list without uuids, or of another page, is no proof of anything."""
    record = hub.loc2.add(node("unlisted"))
    assert hub.get("/v1/nodes?fields=name").json()["nodes"][0]["name"] == "unlisted"
    assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
    assert hub.get("/v1/nodes/unlisted").status == 200


@pytest.mark.parametrize("there", [True, False])
def test_concurrent_misses_share_one_poll(hub, there):
    ident = new_uuid()
    if there:
        hub.loc2.add(node("popular", ident))
    for site in hub.all():
        site.fault(scripted.late(0.6))
    replies = together(*[lambda: hub.get(f"/v1/nodes/{ident}") for _ in range(20)])
    assert {reply.status for reply in replies} == {200 if there else 404}
    polls = [len(site.asked("GET", f"/v1/nodes/{ident}")) for site in (hub.loc1, hub.loc3)]
    assert polls == [1, 1]


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
    hub.loc2.fault(scripted.says(status, text, [("X-Extra", "kept")]), method="PATCH")
    reply = hub.patch(f"/v1/nodes/{record['uuid']}", [])
    assert (reply.status, reply.text()) == (status, text)
    assert reply.header("X-Ironic-Proxy-Location") == "loc2"
    assert reply.header("X-Extra") == "kept"
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


# --- the directory in the background and over restarts


def test_the_sweep_fills_the_directory():
    with fleet(2, sections={"node_cache": {"sweep_interval": 1}}) as hub:
        record = hub.loc2.add(node("swept"))
        hub.forget_requests()
        sweeps = until(lambda: len(hub.loc1.asked("GET", "/v1/nodes")) > 1 and hub.loc2.asked("GET", "/v1/nodes"), what="two sweeps")
        for request in sweeps:
            assert set((request.parameter("fields") or "").split(",")) <= {"uuid", "name"}, f"{request} asks for more than idents"
            assert request.parameter("detail") is None

        def known():
            hub.forget_requests()
            assert hub.get(f"/v1/nodes/{record['uuid']}?fields=uuid").status == 200
            return not hub.loc1.asked("GET", f"/v1/nodes/{record['uuid']}")

        until(known, what="finding the swept node without asking the others")


def test_the_directory_survives_a_restart():
    with fleet(3) as hub:
        records = [hub.loc2.add(node(f"kept-{index}")) for index in range(50)]
        assert len(hub.get("/v1/nodes").json()["nodes"]) == 50
        hub.gateway.restart()
        hub.wait_ready()
        for record in records[:5]:
            hub.forget_requests()
            assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
            assert set(hub.asked()) == {"loc2"}, "the directory was lost"


@pytest.mark.parametrize("damage", [b"", b"\x00" * 4096, b"{", "half"])
def test_a_damaged_state_is_ignored_with_a_warning(damage):
    with fleet(2) as hub:
        record = hub.loc2.add(node("kept"))
        assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
        assert hub.gateway.stop() == 0
        files = [path for path in (hub.gateway.directory / "state").rglob("*") if path.is_file()]
        assert files, "nothing was written to state_path"
        for path in files:
            content = path.read_bytes()
            path.write_bytes(content[: len(content) // 2] if damage == "half" else damage)
        before = len(hub.gateway.log())
        hub.gateway.start()
        hub.wait_ready()
        hub.logged("WARN", before)
        assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200


def test_a_state_that_cannot_be_written_stops_nothing():
    with fleet(1, default={"state_path": "/proc/no-such-place"}) as hub:
        hub.loc1.add(node("served"))
        assert hub.get("/v1/nodes/served").status == 200


def test_the_directory_is_bounded():
    sites = [Standin([node(f"many-{index}") for index in range(1000)]), Standin()]
    with fleet(*sites, sections={"node_cache": {"max_entries": 100}}) as hub:
        assert len(hub.get("/v1/nodes").json()["nodes"]) == 1000

        def polled(record):
            hub.forget_requests()
            assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
            return "loc2" in hub.asked()

        # 2000 idents were seen and 100 may be kept: most must have been dropped, whichever they are.
        assert sum(polled(record) for record in hub.loc1.nodes[::10]) >= 60


def test_names_expire_sooner_than_uuids():
    with fleet(2, sections={"node_cache": {"name_lifetime": 1}}) as hub:
        record = hub.loc1.add(node("volatile"))
        assert hub.get("/v1/nodes/volatile").status == 200
        hub.loc2.add(node("volatile"))
        # Every answer teaches the name anew, so it is asked for rarely.
        until(lambda: hub.get("/v1/nodes/volatile").status == 400, seconds=8, what="the name's expiry", pause=1.5)
        hub.forget_requests()
        assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
        assert set(hub.asked()) == {"loc1"}


def test_a_dead_location_costs_no_more_than_its_timeout():
    """Several dead locations are waited for at the same time."""
    with fleet(4, every={"timeout": 1}) as hub:
        for site in (hub.loc2, hub.loc3, hub.loc4):
            site.fault(scripted.hang())
        started = time.monotonic()
        assert_unavailable(hub.get("/v1/nodes/nobody"), "loc2", "loc3", "loc4")
        assert time.monotonic() - started < 2
