"""What is remembered of nodes: nodes that moved, what is learnt and forgotten, restarts."""

import concurrent.futures
import json
import time

import pytest
import scripted
from admin import SECTION, Admin
from faults import hubs
from fleet import assert_not_found, assert_unavailable, fleet, together, until
from standin import Standin, new_uuid, node

module_hub, hub = hubs(3, every={"timeout": 1, "max_response_size": 1 << 20})


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
        assert reply.header("Retry-After") is None
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
    # Without children it would teach UUIDs only (test_owner.py).
    assert len(hub.get("/v1/nodes?include_children=true").json()["nodes"]) == 3
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
    # Who came after the first poll began does not believe its no, since the node may have been made meanwhile; all of them share the next.
    assert polls == [1, 1] if there else max(polls) <= 2, polls


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


@pytest.mark.parametrize("named", [False, True], ids=["", "named"])
@pytest.mark.parametrize(
    ("method", "below", "body"),
    [("GET", "", None), ("GET", "/states", None), ("PUT", "/maintenance", {"reason": "x"}), ("POST", "/vendor_passthru/method", {"a": 1})],
    ids=["GET", "states", "PUT", "passthru"],
)
def test_what_is_known_is_served_before_any_probe_has_ended(method, below, body, named):
    """A restarted gateway knows where things are and what its locations speak: nobody waits for what they say of themselves."""
    with fleet(2) as hub:
        record = hub.loc2.add(node("kept"))
        assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
        assert hub.gateway.stop() == 0
        for site in hub.all():
            site.fault(scripted.hang(), path="/")
        headers = {"X-Ironic-Proxy-Location": "loc2"} if named else {}
        with concurrent.futures.ThreadPoolExecutor() as pool:
            # It waits at the socket, which is open all the time.
            asked = [pool.submit(hub.call, method, f"/v1/nodes/{record['uuid']}{below}", body, headers=headers) for _ in range(4)]
            hub.gateway.start()
            # The probe would be given up after two seconds, and READY=1 says that 0.7 s have passed.
            replies = [one.result(1) for one in asked]
        assert {reply.status for reply in replies} <= {200, 202}, replies


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
    with fleet(*sites, sections={"node_cache": {"max_entries": 100}, "admin": SECTION}) as hub:
        assert len(hub.get("/v1/nodes").json()["nodes"]) == 1000
        # 2000 idents were seen; which of them are kept is the cache's affair.
        assert 0 < Admin(hub.gateway).get("/status").document["directory_entries"] <= 100
        # Who was forgotten is found again.
        for record in hub.loc1.nodes[::100]:
            assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200


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
