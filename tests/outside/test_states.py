"""The states of a location: what each lets through, by UUID and by name, known and unknown, with and without the location header.

"Not found" and "could not ask" stay different facts, a list is whole or says that it is not, and what could not be done everywhere
is not begun.
"""

import re

import pytest
from admin import SECTION, Admin
from client import LATEST
from fleet import assert_not_found, assert_unavailable, fleet, until
from standin import Standin, new_uuid, node

STATES = ("enabled", "draining", "read_only", "maintenance")
# What a state lets through: reads, creates, other writes.
LETS = {"enabled": "rcw", "draining": "rw", "read_only": "r", "maintenance": ""}

WRITES = [
    ("PATCH", "", [{"op": "add", "path": "/extra/a", "value": 1}]),
    ("PUT", "/states/power", {"target": "power on"}),
    ("PUT", "/states/provision", {"target": "manage"}),
    ("PUT", "/maintenance", {"reason": "x"}),
    ("DELETE", "/maintenance", None),
    ("POST", "/vendor_passthru/method", {"a": 1}),
    ("DELETE", "", None),
]
READS = ["", "/states", "?fields=uuid,name"]


@pytest.fixture(scope="module")
def module_hub():
    with fleet(3, api={"enable_ramdisk_endpoints": True}, sections={"admin": SECTION}) as hub:
        yield hub


@pytest.fixture
def hub(module_hub):
    yield module_hub
    for name in module_hub.sites:
        Admin(module_hub.gateway).set(name, "enabled")
    for site in module_hub.all():
        site.nodes.clear()
        site.ports.clear()
        for records in site.objects.values():
            records.clear()
    module_hub.heal()
    until(lambda: module_hub.get("/v1/nodes").status == 200, what="all locations")


@pytest.fixture
def admin(hub):
    return Admin(hub.gateway)


def record_at(hub, known):
    """A node of loc3; the gateway knows where it is, or has never heard of it."""
    record = hub.loc3.add(node(f"n-{new_uuid()[:8]}"))
    if known:
        for ident in (record["uuid"], record["name"]):
            assert hub.get(f"/v1/nodes/{ident}").status == 200
    return record


def assert_ordered(reply, state, *names):
    """A 503 that names the state, and nothing else about the location."""
    assert_unavailable(reply, *(names or ["loc3"]))
    assert f"({state})" in reply.fault()["faultstring"], reply


PINNED = {"X-Ironic-Proxy-Location": "loc3"}


@pytest.mark.parametrize("pinned", [False, True], ids=["", "pinned"])
@pytest.mark.parametrize("known", [False, True], ids=["unknown", "known"])
@pytest.mark.parametrize("ident", ["uuid", "name"])
@pytest.mark.parametrize("state", STATES)
def test_things_of_a_location(hub, admin, state, ident, known, pinned):
    headers = PINNED if pinned else {}
    record = record_at(hub, known)
    admin.set("loc3", state)
    hub.forget_requests()
    for below in READS:
        reply = hub.get(f"/v1/nodes/{record[ident]}{below}", headers=headers)
        if "r" in LETS[state]:
            assert reply.status == 200, reply
        else:
            assert_ordered(reply, state)
    for method, below, body in WRITES:
        reply = hub.call(method, f"/v1/nodes/{record[ident]}{below}", body, headers=headers)
        if "w" in LETS[state]:
            assert reply.status in (200, 202, 204), (method, below, reply)
        else:
            assert_ordered(reply, state)
    if state == "maintenance":
        assert hub.loc3.requests == []
    elif state == "read_only":
        assert {request.method for request in hub.loc3.requests} == {"GET"}


@pytest.mark.parametrize("how", ["node_uuid", "addresses", "pinned"])
@pytest.mark.parametrize("state", STATES)
def test_a_ramdisks_lookup_is_a_write(hub, admin, state, how):
    """It makes the token of the machine's agent."""
    record = record_at(hub, known=True)
    hub.loc3.ports.append({"uuid": new_uuid(), "address": "52:54:00:00:00:03", "node_uuid": record["uuid"], "name": None, "extra": {}})
    admin.set("loc3", state)
    hub.forget_requests()
    asked = f"node_uuid={record['uuid']}" if how == "node_uuid" else "addresses=52:54:00:00:00:03"
    reply = hub.get(f"/v1/lookup?{asked}", headers=PINNED if how == "pinned" else {})
    if "w" in LETS[state]:
        assert (reply.status, reply.json()["node"]["uuid"]) == (200, record["uuid"]), reply
    else:
        assert_ordered(reply, state)
        assert not [request for request in hub.loc3.requests if "lookup" in request.path]


@pytest.mark.parametrize("pinned", [False, True], ids=["", "pinned"])
@pytest.mark.parametrize("state", STATES)
def test_creates(hub, admin, state, pinned):
    headers = PINNED if pinned else {}
    parent = record_at(hub, known=True)
    admin.set("loc3", state)
    hub.forget_requests()
    for path, body in (
        ("/v1/nodes", {"driver": "fake-hardware", "conductor_group": "grp2"}),
        ("/v1/ports", {"node_uuid": parent["uuid"], "address": "52:54:00:00:00:01"}),
    ):
        reply = hub.post(path, body, headers=headers)
        if "c" in LETS[state]:
            assert reply.status == 201, reply
        else:
            assert_ordered(reply, state)
            assert hub.loc3.asked("POST") == []
    # What belongs elsewhere is made there, in every state.
    assert hub.post("/v1/nodes", {"driver": "fake-hardware"}).status == 201


@pytest.mark.parametrize("state", STATES)
def test_lists(hub, admin, state):
    records = {site: site.add(node(f"n-{new_uuid()[:8]}"))["uuid"] for site in hub.all()}
    admin.set("loc3", state)
    for path in ("/v1/nodes", "/v1/nodes/detail", "/v1/nodes?fields=uuid", "/v1/nodes?sort_key=name", "/v1/ports"):
        strict, allowed = hub.get(path), hub.get(path, headers={"X-Ironic-Proxy-Partial": "allow"})
        if "r" in LETS[state]:
            assert strict.status == allowed.status == 200
            assert strict.header("X-Ironic-Proxy-Incomplete") is None
        else:
            assert_ordered(strict, state)
            assert allowed.status == 200
            assert allowed.header("X-Ironic-Proxy-Incomplete") == "loc3;reason=maintenance"
    there = {item["uuid"] for item in hub.get("/v1/nodes", headers={"X-Ironic-Proxy-Partial": "allow"}).json()["nodes"]}
    assert there == {uuid for site, uuid in records.items() if site is not hub.loc3 or "r" in LETS[state]}


@pytest.mark.parametrize("state", STATES)
def test_what_nobody_has(hub, admin, state):
    """In maintenance nobody can say that a thing is nowhere; in every other state all have said so."""
    admin.set("loc3", state)
    for ident in (new_uuid(), f"n-{new_uuid()[:8]}"):
        for method, body in (("GET", None), ("PATCH", WRITES[0][2]), ("DELETE", None)):
            reply = hub.call(method, f"/v1/nodes/{ident}", body)
            if state == "maintenance":
                assert_ordered(reply, state)
            else:
                assert_not_found(reply, ident)
        reply = hub.call("PUT", f"/v1/nodes/{ident}/states/power", {"target": "power on"})
        assert reply.status == (503 if state == "maintenance" else 404), reply


@pytest.mark.parametrize("state", STATES)
def test_things_of_other_locations(hub, admin, state):
    record = hub.loc1.add(node(f"n-{new_uuid()[:8]}"))
    admin.set("loc3", state)
    for ident in (record["name"], record["uuid"]):
        assert hub.get(f"/v1/nodes/{ident}").status == 200
        assert hub.patch(f"/v1/nodes/{ident}", WRITES[0][2]).status == 200


@pytest.mark.parametrize("state", STATES)
def test_what_is_the_same_everywhere(hub, admin, state):
    """Written everywhere or nowhere; new to no location, so a drain does not stop it."""
    admin.set("loc3", state)
    body = {"uuid": new_uuid(), "description": "a"}
    reply = hub.post("/v1/chassis", body)
    if "w" in LETS[state]:
        assert reply.status == 201, reply
        assert all(len(site.objects["chassis"]) == 1 for site in hub.all())
        assert hub.get(f"/v1/chassis/{body['uuid']}").status == 200
    else:
        assert_ordered(reply, state)
        assert not any(site.asked("POST") for site in hub.all()), "nothing was begun"


@pytest.mark.parametrize("change", ["PATCH", "DELETE"])
@pytest.mark.parametrize("state", ["read_only", "maintenance"])
def test_a_change_everywhere_is_not_begun(hub, admin, state, change):
    uuid = new_uuid()
    assert hub.post("/v1/chassis", {"uuid": uuid, "description": "a"}).status == 201
    admin.set("loc3", state)
    hub.forget_requests()
    body = [{"op": "replace", "path": "/description", "value": "b"}] if change == "PATCH" else None
    assert_ordered(hub.call(change, f"/v1/chassis/{uuid}", body), state)
    assert not any(site.asked(change) for site in hub.all())
    assert hub.get(f"/v1/chassis/{uuid}").status == 200


@pytest.mark.parametrize("state", ["read_only", "maintenance"])
def test_events_for_all_are_not_begun(hub, admin, state):
    admin.set("loc3", state)
    assert_ordered(hub.post("/v1/events", {"events": []}), state)
    assert not any(site.asked("POST") for site in hub.all())


# --- versions


@pytest.mark.parametrize("state", STATES)
def test_its_versions_count(state):
    """In maintenance its last known ones: the API does not change under clients because somebody works there."""
    with fleet(Standin(), Standin(versions=("1.1", "1.90")), wait=False, sections={"admin": SECTION}) as hub:
        until(lambda: hub.get("/v1", version=None).header("X-OpenStack-Ironic-API-Maximum-Version") == "1.90", what="both versions")
        Admin(hub.gateway).set("loc2", state)
        reply = hub.get("/v1", version=None)
        assert reply.header("X-OpenStack-Ironic-API-Maximum-Version") == "1.90"
        reply = hub.get("/v1/nodes", version=LATEST)
        assert reply.status == 406


# --- where a state comes from, and how long it lasts


@pytest.mark.parametrize("state", ["draining", "read_only", "maintenance"])
def test_the_file_sets_it(state):
    with fleet(2, each={"loc2": {"state": state}}, wait=False, sections={"admin": SECTION}) as hub:
        site = Admin(hub.gateway).location("loc2")
        assert (site["operator"]["state"], site["operator"]["source"]) == (state, "file")
        reply = hub.post("/v1/nodes", {"driver": "fake-hardware", "conductor_group": "grp1"})
        assert_ordered(reply, state, "loc2")
        if state == "maintenance":
            assert hub.loc2.requests == [], "a location in maintenance is not asked for its versions either"


def test_it_is_kept_with_who_why_and_when(hub, admin):
    done = admin.run("location", "loc3", "maintenance", "--reason", "new disks", env={"USER": "alice", "SUDO_USER": "alice"})
    assert done.returncode == 0, done
    assert re.fullmatch(r"loc3 is maintenance since \S+Z\n", done.stdout)
    before = admin.location("loc3")["operator"]
    assert before["reason"] == "new disks"
    assert re.fullmatch(r"alice \(uid \d+\)", before["by"])
    hub.forget_requests()
    hub.gateway.restart()
    assert admin.location("loc3")["operator"] == before
    assert_ordered(hub.get("/v1/nodes"), "maintenance")
    assert hub.loc3.asked("GET", "/v1/nodes") == []
    assert admin.run("location", "loc3", "enable").returncode == 0
    until(lambda: hub.get("/v1/nodes").status == 200, what="the location, in use again")


def test_the_file_that_says_something_new_counts():
    with fleet(2, sections={"admin": SECTION}) as hub:
        admin = Admin(hub.gateway)
        admin.set("loc2", "maintenance")
        assert hub.gateway.stop() == 0
        text = hub.gateway.config_path.read_text()
        hub.gateway.write_config(text.replace("[group:loc2]", "[group:loc2]\nstate = read_only"))
        hub.gateway.start()
        assert admin.location("loc2")["operator"]["state"] == "read_only"
        assert hub.gateway.stop() == 0
        hub.gateway.write_config(text)
        hub.gateway.start()
        operator = admin.location("loc2")["operator"]
        assert (operator["state"], operator["source"]) == ("enabled", "file"), "what the file says again is a newer word, too"
        hub.gateway.restart()
        assert admin.location("loc2")["operator"]["state"] == "enabled"


def test_a_state_that_cannot_be_kept_is_in_force():
    with fleet(2, sections={"admin": SECTION}) as hub:
        admin = Admin(hub.gateway)
        (hub.gateway.directory / "state" / "states.json").mkdir()
        done = admin.run("location", "loc2", "maintenance")
        assert done.returncode == 1
        assert "will be lost at a restart" in done.stderr
        assert_ordered(hub.get("/v1/nodes"), "maintenance", "loc2")


def test_one_that_is_not_required_is_announced():
    with fleet(2, each={"loc2": {"required": False}}, sections={"admin": SECTION}) as hub:
        Admin(hub.gateway).set("loc2", "maintenance")
        reply = hub.get("/v1/nodes")
        assert reply.status == 200
        assert reply.header("X-Ironic-Proxy-Incomplete") == "loc2;reason=maintenance"


def test_the_drivers_of_the_others_are_listed(hub, admin):
    admin.set("loc3", "maintenance")
    reply = hub.get("/v1/drivers", headers={"X-Ironic-Proxy-Partial": "allow"})
    assert reply.status == 200
    assert reply.header("X-Ironic-Proxy-Incomplete") == "loc3;reason=maintenance"


def test_it_is_no_failure(hub, admin):
    """What is not asked cannot fail: no breaker opens, and nothing is waited for afterwards."""
    record = record_at(hub, known=True)
    admin.set("loc3", "maintenance")
    hub.loc3.down()
    for _ in range(8):
        assert_ordered(hub.get(f"/v1/nodes/{record['uuid']}"), "maintenance")
    assert admin.location("loc3")["breaker"] == "closed"
    hub.loc3.up()
    admin.set("loc3", "enabled")
    assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200


def test_an_allocation_goes_where_new_ones_may_be_made(hub, admin):
    admin.set("loc3", "draining")
    reply = hub.post("/v1/allocations", {"resource_class": "x"}, headers=PINNED)
    assert_ordered(reply, "draining")
    assert hub.loc3.asked("POST") == []
