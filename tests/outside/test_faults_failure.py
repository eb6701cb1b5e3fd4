"""A location that fails: how long, how often and how loudly the gateway tries, and what it never repeats."""

import http.client
import socket
import threading
import time

import pytest
import scripted
from client import request_bytes
from faults import hubs, known
from fleet import assert_fate_unknown, assert_unavailable, fleet, together, until
from standin import Standin, node

WRITES = [
    ("PATCH", "/v1/nodes/{uuid}", [{"op": "add", "path": "/extra/a", "value": 1}]),
    ("PUT", "/v1/nodes/{uuid}/states/power", {"target": "power on"}),
    ("PUT", "/v1/nodes/{uuid}/states/provision", {"target": "manage"}),
    ("PUT", "/v1/nodes/{uuid}/maintenance", {"reason": "x"}),
    ("DELETE", "/v1/nodes/{uuid}/maintenance", None),
    ("DELETE", "/v1/nodes/{uuid}", None),
    ("POST", "/v1/nodes/{uuid}/vendor_passthru/method", {"a": "x" * 500}),
]
WRITE_NAMES = [f"{method} {path.rpartition('}')[2]}" for method, path, _ in WRITES]


module_hub, hub = hubs(2, every={"timeout": 1}, api={"request_deadline": 2})


# --- time


@pytest.mark.parametrize("kind", ["hangs", "drips"])
@pytest.mark.parametrize(("method", "path", "body"), [("GET", "/v1/nodes/{uuid}", None), WRITES[0], WRITES[-1]], ids=["GET", "PATCH", "POST"])
def test_the_timeout_bounds_an_exchange(hub, method, path, body, kind):
    """Body included: one that sends a byte now and then is not silent, and ends with the request's deadline."""
    record = known(hub)
    hub.loc2.fault(scripted.hang() if kind == "hangs" else scripted.drip(0.05), path="/v1/nodes/.+")
    started = time.monotonic()
    try:
        reply = hub.call(method, path.format(uuid=record["uuid"]), body)
    except (http.client.IncompleteRead, ConnectionError):
        # The head was out already; a broken connection is the only honest end then.
        reply = None
    assert time.monotonic() - started < 3.2
    # Some answers have no body to drip.
    if reply is not None and (kind == "hangs" or reply.body):
        (assert_unavailable if method == "GET" else assert_fate_unknown)(reply, "loc2")
    if method != "GET":
        assert len(hub.loc2.asked(method)) == 1


def test_a_location_that_hangs_slows_nobody_else(hub):
    here, there = known(hub, "loc1"), known(hub, "loc2")
    hub.loc2.fault(scripted.hang())
    waiting = [threading.Thread(target=lambda: hub.get(f"/v1/nodes/{there['uuid']}")) for _ in range(40)]
    for thread in waiting:
        thread.start()
    until(lambda: len(hub.loc2.requests) >= 10, what="requests that wait at the hanging location")
    reply = hub.get(f"/v1/nodes/{here['uuid']}")
    assert reply.status == 200
    assert reply.seconds < 0.5
    for thread in waiting:
        thread.join()


# --- sent twice, or not


@pytest.mark.parametrize("fault", [scripted.reset(), scripted.close()], ids=["resets", "closes"])
def test_a_read_is_tried_again(hub, fault):
    record = known(hub)
    hub.loc2.fault(fault, path="/v1/nodes/.+", times=1)
    assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
    hub.loc2.heal()
    hub.loc2.fault(fault, times=1)
    assert hub.get("/v1/nodes").status == 200


@pytest.mark.parametrize(
    "fault",
    [scripted.reset(), scripted.close(), scripted.hang(), scripted.garbage(), scripted.html(503), scripted.html(502)],
    ids=["resets", "closes", "hangs", "talks garbage", "503 in HTML", "502 in HTML"],
)
@pytest.mark.parametrize(("method", "path", "body"), WRITES, ids=WRITE_NAMES)
def test_a_write_is_never_sent_twice(hub, method, path, body, fault):
    record = known(hub)
    # The connection is warm, as connections are; a fresh one would hide retries on reuse.
    hub.loc2.fault(fault, method=method)
    reply = hub.call(method, path.format(uuid=record["uuid"]), body)
    assert_fate_unknown(reply, "loc2")
    assert len(hub.loc2.asked(method)) == 1


def test_a_write_to_a_location_that_refuses_connections(hub):
    record = known(hub)
    hub.loc2.down()
    reply = hub.put(f"/v1/nodes/{record['uuid']}/states/power", {"target": "power on"})
    assert_unavailable(reply, "loc2")
    assert reply.seconds < 1
    hub.loc2.up()
    assert hub.put(f"/v1/nodes/{record['uuid']}/states/power", {"target": "power on"}).status == 202


def test_a_write_after_the_location_closed_idle_connections(hub):
    record = known(hub)
    for _ in range(10):
        assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
        hub.loc2.drop_connections()
        hub.forget_requests()
        reply = hub.put(f"/v1/nodes/{record['uuid']}/states/power", {"target": "power on"})
        assert len(hub.loc2.asked("PUT")) <= 1
        assert reply.status in (202, 503, 504), reply
        assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200, "a read after that must find its way"


# --- the breaker


def test_the_breaker_opens_and_closes():
    with fleet(3, every={"timeout": 1, "breaker_failures": 3, "breaker_reset": 2}) as hub:
        record = known(hub)
        hub.loc2.fault(scripted.hang(), path=".*")
        for _ in range(3):
            assert_unavailable(hub.get(f"/v1/nodes/{record['uuid']}"), "loc2")
        count = len(hub.loc2.requests)
        opened = time.monotonic()
        for _ in range(20):
            for path in (f"/v1/nodes/{record['uuid']}", "/v1/nodes/nobody", "/v1/nodes"):
                reply = hub.get(path)
                assert_unavailable(reply, "loc2")
                assert reply.seconds < 0.5, "not answered at once"
            reply = hub.put(f"/v1/nodes/{record['uuid']}/states/power", {"target": "power on"})
            assert_unavailable(reply, "loc2")
            if time.monotonic() - opened > 1.5:
                break
        assert len(hub.loc2.requests) == count, "the dead site was asked on"
        allowed = hub.get("/v1/nodes", headers={"X-Ironic-Proxy-Partial": "allow"})
        assert allowed.header("X-Ironic-Proxy-Incomplete") in ("loc2;reason=breaker", "loc2;reason=timeout")
        # While it stays dead, only a trial now and then.
        started, before = time.monotonic(), len(hub.loc2.requests)
        while time.monotonic() - started < 5:
            together(*[lambda: hub.get(f"/v1/nodes/{record['uuid']}") for _ in range(5)])
            time.sleep(0.02)
        assert len(hub.loc2.requests) - before <= 2 + (time.monotonic() - started) / 2
        # Well again: taken back without a restart.
        hub.loc2.heal()
        until(lambda: hub.get(f"/v1/nodes/{record['uuid']}").status == 200, what="the breaker closing")
        until(lambda: hub.get("/v1/nodes").status == 200)


def test_the_breaker_opens_on_refused_connections():
    with fleet(2, every={"breaker_failures": 3, "breaker_reset": 60}) as hub:
        record = known(hub)
        hub.loc2.down()
        for _ in range(4):
            assert_unavailable(hub.get(f"/v1/nodes/{record['uuid']}"), "loc2")
        hub.loc2.up()
        count = hub.loc2.connections
        for _ in range(5):
            assert_unavailable(hub.get(f"/v1/nodes/{record['uuid']}"), "loc2")
        assert hub.loc2.connections == count


def test_the_probe_closes_the_breaker():
    with fleet(2, every={"breaker_failures": 2, "breaker_reset": 1, "probe_interval": 1}) as hub:
        record = known(hub)
        hub.loc2.down()
        until(lambda: hub.get("/v1/nodes", headers={"X-Ironic-Proxy-Partial": "allow"}).header("X-Ironic-Proxy-Incomplete")
              == "loc2;reason=breaker", what="the breaker opening")  # fmt: skip
        hub.loc2.up()
        until(lambda: len(hub.loc2.requests) > 1, what="the probe")
        until(lambda: hub.get(f"/v1/nodes/{record['uuid']}").status == 200, what="the breaker closing")


@pytest.mark.parametrize("status", [400, 404, 409, 406])
def test_errors_of_clients_do_not_open_the_breaker(status):
    with fleet(2, every={"breaker_failures": 2, "breaker_reset": 60}) as hub:
        record = known(hub)
        hub.loc2.fault(scripted.says(status, "Your fault"), method="PUT")
        for _ in range(6):
            hub.put(f"/v1/nodes/{record['uuid']}/states/power", {"target": "power on"})
            hub.get("/v1/nodes/nobody")
            hub.get("/v1/nodes?limit=x")
        assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
        assert hub.get("/v1/nodes").status == 200


def test_clients_that_leave_do_not_open_the_breaker():
    with fleet(2, every={"timeout": 5, "breaker_failures": 2, "breaker_reset": 60}) as hub:
        record = known(hub)
        rule = hub.loc2.fault(scripted.hang(), path=f"/v1/nodes/{record['uuid']}")
        for count in range(1, 6):
            with socket.create_connection((hub.host, hub.port)) as connection:
                connection.sendall(request_bytes("GET", f"/v1/nodes/{record['uuid']}"))
                until(lambda: rule.hits >= count)
        hub.loc2.heal()
        until(lambda: hub.get(f"/v1/nodes/{record['uuid']}").status == 200, seconds=3)


def test_a_client_that_stalls_does_not_open_the_breaker():
    """A body that the client does not send is not the location's fault."""
    with fleet(2, every={"timeout": 1, "breaker_failures": 2, "breaker_reset": 60}) as hub:
        record = known(hub)
        data = request_bytes("PUT", f"/v1/nodes/{record['uuid']}/states/provision", b'{"target": "manage"}')
        stalled = [socket.create_connection((hub.host, hub.port)) for _ in range(6)]
        for connection in stalled:
            connection.sendall(data[:-5])
        ended = time.monotonic() + 2.5
        while time.monotonic() < ended:
            assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
            time.sleep(0.05)
        for connection in stalled:
            connection.close()
        assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200


def test_a_success_between_failures_keeps_the_breaker_closed():
    with fleet(2, every={"breaker_failures": 3, "breaker_reset": 60}) as hub:
        record = known(hub)
        for _ in range(4):
            hub.loc2.fault(scripted.html(), times=2)
            hub.get(f"/v1/nodes/{record['uuid']}")
            hub.loc2.heal()
            assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200


# --- several endpoints of one location


def twins():
    """Two API servers of one Ironic."""
    first, second = Standin(), Standin()
    second.nodes, second.data = first.nodes, first.data
    return first, second


@pytest.mark.parametrize("broken", [0, 1])
def test_endpoints_fail_over(broken):
    pair = twins()
    with fleet(pair[0], Standin(), further={"loc1": [pair[1]]}) as hub:
        record = hub.loc1.add(node("twofold"))
        pair[broken].down()
        for _ in range(4):
            assert hub.get("/v1/nodes/twofold").status == 200
            assert hub.get("/v1/nodes").names() == ["twofold"]
            reply = hub.put(f"/v1/nodes/{record['uuid']}/states/power", {"target": "power on"})
            assert reply.status == 202, reply
        assert sum(len(site.asked("PUT")) for site in pair) == 4
        created = hub.post("/v1/nodes", {"driver": "fake-hardware"})
        assert created.status == 201, created
        assert len(hub.loc1.nodes) == 2
        pair[1 - broken].down()
        assert_unavailable(hub.get(f"/v1/nodes/{record['uuid']}"), "loc1")
        pair[broken].up()
        until(lambda: hub.get(f"/v1/nodes/{record['uuid']}").status == 200, what="the endpoint that came back")


@pytest.mark.parametrize("fault", [scripted.reset(), scripted.close(), scripted.html(502), scripted.garbage()], ids=["reset", "close", "502", "garbage"])
def test_reads_fail_over_between_endpoints(fault):
    pair = twins()
    with fleet(pair[0], further={"loc1": [pair[1]]}) as hub:
        hub.loc1.add(node("twofold"))
        pair[0].fault(fault)
        for _ in range(4):
            assert hub.get("/v1/nodes/twofold").status == 200
            assert hub.get("/v1/nodes").names() == ["twofold"]


def test_a_write_does_not_fail_over_once_it_was_sent():
    pair = twins()
    with fleet(pair[0], further={"loc1": [pair[1]]}) as hub:
        record = hub.loc1.add(node("twofold"))
        assert hub.get("/v1/nodes/twofold").status == 200
        for site in pair:
            site.fault(scripted.close(), method="PUT")
        reply = hub.put(f"/v1/nodes/{record['uuid']}/states/power", {"target": "power on"})
        assert_fate_unknown(reply, "loc1")
        assert sum(len(site.asked("PUT")) for site in pair) == 1
