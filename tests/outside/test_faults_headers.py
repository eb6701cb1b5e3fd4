"""A hostile client: what passes to a location, judged by what the stand-ins recorded."""

import json
import re

import pytest
from faults import secret_hubs
from hostile import HOP_BY_HOP, IDENTITY, REFUSED, SENTINEL, TARGETS, assert_clean, everything, head
from standin import node

module_hub, hub = secret_hubs()


def test_what_passes_is_an_allow_list(hub):
    record = hub.loc2.add(node("target"))
    headers = [(name, SENTINEL) for name in IDENTITY if name not in ("X-Ironic-Proxy-Partial", "Authorization")]
    for reply in everything(hub, headers, record):
        assert reply.status in (200, 201, 202, 404), reply
    assert assert_clean(hub) >= 9


@pytest.mark.parametrize("name", [*IDENTITY, *HOP_BY_HOP])
def test_each_header_alone(hub, name):
    record = hub.loc2.add(node("target"))
    value = "allow" if name == "X-Ironic-Proxy-Partial" else SENTINEL
    for spelled in (name, name.upper(), name.lower()):
        hub.get(f"/v1/nodes/{record['uuid']}", headers={spelled: value})
        hub.put(f"/v1/nodes/{record['uuid']}/maintenance", {}, headers={spelled: value})
        hub.get("/v1/nodes", headers={spelled: value})
    assert name in HOP_BY_HOP or assert_clean(hub) >= 3
    assert_clean(hub)


@pytest.mark.parametrize(
    "name",
    ["X_Roles", "X_Auth_Token", "X_Project_Id", "OpenStack_System_Scope", "OPENSTACK_SYSTEM_SCOPE", "X_OpenStack_Ironic_API_Version",
     "Content_Length", "Transfer_Encoding", "X-Openstack_Request-Id", "_", "Authorization_", "User_Agent"],
)  # fmt: skip
def test_names_with_an_underscore_never_pass(hub, name):
    record = hub.loc2.add(node("target"))
    for value in (SENTINEL, "all", "5"):
        everything(hub, {name: value}, record)
    assert_clean(hub)


def test_identity_is_not_read_from_headers(hub):
    """What the location made of it, not only what it was sent."""
    reply = hub.post("/v1/nodes", {"driver": "d", "owner": "somebody"}, headers={"X-Project-Id": "zz", "X-Roles": "reader"})
    assert (reply.status, reply.json()["owner"]) == (201, "somebody")


@pytest.mark.parametrize(
    "nominated",
    ["X-Auth-Token", "Authorization", "OpenStack-System-Scope", "X-OpenStack-Ironic-API-Version", "Content-Type", "Content-Length", "Host",
     "X-OpenStack-Request-ID", "close, Authorization, OpenStack-System-Scope, X-OpenStack-Ironic-API-Version", "keep-alive, User-Agent"],
)  # fmt: skip
def test_connection_cannot_remove_what_is_ours(hub, nominated):
    record = hub.loc2.add(node("target"))
    for reply in everything(hub, {"Connection": nominated}, record):
        assert reply.status in (200, 201, 202, 400, 404), reply
    assert_clean(hub)


def test_hop_by_hop_headers_stay_here(hub):
    record = hub.loc2.add(node("target"))
    headers = [(name, SENTINEL) for name in HOP_BY_HOP if name not in ("Upgrade", "TE")]
    headers += [("TE", "trailers"), ("Connection", "X-Custom"), ("X-Custom", SENTINEL)]
    everything(hub, headers, record)
    assert assert_clean(hub)


@pytest.mark.parametrize("name", REFUSED)
def test_requests_that_can_be_read_in_two_ways(hub, name):
    hub.loc1.add(node("target"))
    hub.loc1.add(node("smuggled"))
    replies = hub.raw_replies(REFUSED[name])
    statuses = [status for status, _, _ in replies]
    assert all(400 <= status < 500 or status in (501, 505) for status in statuses), (statuses, replies)
    assert len(statuses) <= 1, "the rest was taken for a second request"
    # A body that turns out to be broken may have been begun to be handed on; it must never have been completed.
    assert not [str(request) for site in hub.all() for request in site.requests if request.complete]
    assert hub.get("/v1/nodes/target").status == 200, "the gateway is none the worse"


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "TLS/1.0", SENTINEL])
def test_upgrades_are_not_made(hub, protocol):
    hub.loc1.add(node("target"))
    for target in ("/v1/nodes/target", "/v1/nodes", "/v1"):
        lines = [f"Upgrade: {protocol}", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"]
        replies = hub.raw_replies(head("GET", target, *lines))
        # An offer, which is ignored (RFC 9110, 7.8).
        assert [status for status, _, _ in replies] == [200], replies
        assert "upgrade" not in replies[0][1].lower()
    assert_clean(hub)


def test_pipelined_requests_are_answered_in_order(hub):
    hub.loc1.add(node("target"))
    data = head("GET", "/v1/nodes/target") + head("GET", "/v1/nodes/nobody") + head("GET", "/v1")
    statuses = [status for status, _, _ in hub.raw_replies(data)]
    # A server may close instead of answering what was sent ahead, but must not mix the answers up.
    assert statuses and statuses == [200, 404, 200][: len(statuses)]


def test_the_absolute_form(hub):
    hub.loc1.add(node("target"))
    for target in ("http://evil.example/v1/nodes/target", f"http://{SENTINEL}/v1/nodes", "http://127.0.0.1:1/v1/nodes/target"):
        [(status, _, _)] = hub.raw_replies(head("GET", target))
        assert status in (200, 400, 404)
    assert_clean(hub)
    for site in hub.all():
        assert all(request.target.startswith("/v1/nodes") for request in site.requests)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_paths_and_queries_that_can_be_read_in_two_ways(hub, target, method):
    hub.loc1.add(node("target"))
    [(status, _, body)] = hub.raw_replies(head(method, target))
    assert status in (400, 404, 405), (status, body)
    if status != 405 and method == "GET":
        document = json.loads(body)
        assert set(document) in ({"error_message"}, {"faultcode", "faultstring", "debuginfo"}), body
    assert not [request for site in hub.all() for request in site.requests if request.method != "GET"]
    asked = [request.target for site in hub.all() for request in site.requests]
    # An ident may be looked for, but only as the one segment that we took it for.
    assert not [path for path in asked if re.search(r"%2f|%00|%0a|%0d|%ff|\.\.|;|_method|//", path, re.IGNORECASE)], asked
    assert hub.loc1.find("target")


def test_a_semicolon_that_is_data_stays_data(hub):
    hub.loc1.add(node("mine", owner="a;b&c=d+e f"))
    hub.loc1.add(node("other", owner="a"))
    for query in ("owner=a%3Bb%26c%3Dd%2Be%20f", "owner=a%3Bb%26c%3Dd%2Be+f"):
        assert hub.get(f"/v1/nodes?{query}").names() == ["mine"]


def test_encoded_paths_are_sent_in_one_form(hub):
    hub.loc1.add(node("tar-get.x~y_z"))
    reply = hub.get("/v1/nodes/tar%2Dget%2Ex%7Ey%5Fz/st%61tes")
    assert reply.status == 200, reply
    assert hub.loc1.requests[-1].path == "/v1/nodes/tar-get.x~y_z/states"


@pytest.mark.parametrize("path", ["/v1/lookup?addresses=52:54:00:00:00:01", "/v1/heartbeat/{uuid}", "/v1/continue_inspection", "/lookup"])
def test_ramdisk_routes_are_closed(hub, path):
    record = hub.loc1.add(node("target"))
    method = "GET" if "lookup" in path else "POST"
    body = None if method == "GET" else {"callback_url": "http://x"}
    reply = hub.call(method, path.format(uuid=record["uuid"]), body)
    assert reply.status == 403, reply
    assert hub.asked() == {}


def test_a_write_to_an_unknown_collection_needs_a_location(hub):
    reply = hub.post("/v1/gadgets", {"a": 1})
    assert reply.status == 400, reply
    assert "X-Ironic-Proxy-Location" in reply.text()
    assert hub.asked() == {}
