"""A location that fails: how long, how often and how loudly the gateway tries, and what it never repeats."""

import http.client
import json
import re
import signal
import socket
import subprocess
import threading
import time

import pytest
import scripted
from exchange import Gone
from fleet import LATEST, assert_unavailable, fleet, together, until
from standin import Standin, new_uuid, node

FLAT_DEEP = b'{"faultcode": "Client", "faultstring": "Request body JSON is nested too deeply. Please contact the service administrator."}'
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


@pytest.fixture(scope="module")
def module_hub():
    with fleet(2, every={"timeout": 1}) as hub:
        yield hub


def mend(hub):
    for site in hub.all():
        if not site.listening():
            site.up()
        site.nodes.clear()
    hub.heal()


@pytest.fixture
def hub(module_hub):
    mend(module_hub)
    yield module_hub
    mend(module_hub)


def known(hub, location="loc2", **fields):
    """A node whose place the gateway knows."""
    record = hub.sites[location].add(node(f"known-{new_uuid()[:8]}", **fields))
    assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
    hub.forget_requests()
    return record


# --- time


@pytest.mark.parametrize("kind", ["hangs", "drips"])
@pytest.mark.parametrize(("method", "path", "body"), [("GET", "/v1/nodes/{uuid}", None), WRITES[0], WRITES[-1]], ids=["GET", "PATCH", "POST"])
def test_the_timeout_bounds_an_exchange(hub, method, path, body, kind):
    """Body included: a site that sends a byte now and then is no better than one that sends none."""
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
        assert_unavailable(reply, "loc2")
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
    assert_unavailable(reply, "loc2")
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
        assert reply.status in (202, 503), reply
        assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200, "a read after that must find its way"


# --- the breaker


def test_the_breaker_opens_and_closes():
    with fleet(3, every={"timeout": 1, "breaker_failures": 3, "breaker_reset": 2}) as hub:
        record = known(hub)
        hub.loc2.fault(scripted.hang())
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
        assert len(hub.loc2.requests) - before <= 4
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
        assert_unavailable(reply, "loc1")
        assert sum(len(site.asked("PUT")) for site in pair) == 1


# --- start


def test_it_starts_with_every_location_down():
    sites = [Standin(), Standin()]
    for site in sites:
        site.down()
    started = time.monotonic()
    with fleet(*sites, wait=False, every={"probe_interval": 1}) as hub:
        assert time.monotonic() - started < 5
        reply = hub.get("/v1/nodes")
        assert reply.status == 503 and reply.header("Retry-After")
        for site in sites:
            site.up()
        until(lambda: hub.get("/v1/nodes").status == 200, what="the locations being taken in")


def test_it_starts_with_locations_that_hang():
    sites = [Standin(), Standin()]
    sites[1].fault(scripted.hang())
    started = time.monotonic()
    with fleet(*sites, wait=False) as hub:
        hub.loc1.add(node("here"))
        until(lambda: hub.get("/v1/nodes/here").status == 200)
        assert time.monotonic() - started < 5


# --- the end


def test_sigterm_lets_a_request_finish_and_ends_at_once_after():
    release = threading.Event()
    with fleet(2, every={"timeout": 20}, default={"graceful_shutdown_timeout": 20}) as hub:
        record = known(hub)
        rule = hub.loc2.fault(scripted.held(release), path="/v1/nodes/.+")
        # An idle keep-alive connection must not hold the end up.
        idle = http.client.HTTPConnection(hub.host, hub.port)
        idle.request("GET", "/v1")
        idle.getresponse().read()
        replies = []
        inflight = [
            threading.Thread(target=lambda: replies.append(hub.get(f"/v1/nodes/{record['uuid']}"))),
            threading.Thread(target=lambda: replies.append(hub.put(f"/v1/nodes/{record['uuid']}/maintenance", {"reason": "late"}))),
        ]
        for thread in inflight:
            thread.start()
        until(lambda: rule.hits >= 2, what="both requests at the location")
        process = hub.gateway.process
        process.signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        release.set()
        released = time.monotonic()
        assert process.wait(10) == 0
        assert time.monotonic() - released < 2, "it did not end when the last request was done"
        for thread in inflight:
            thread.join()
        assert sorted(reply.status for reply in replies) == [200, 202]
        idle.close()


def test_sigterm_ends_an_idle_gateway_at_once():
    with fleet(2, default={"graceful_shutdown_timeout": 30}) as hub:
        idle = socket.create_connection((hub.host, hub.port))
        idle.sendall(request_bytes("GET", "/v1"))
        assert idle.recv(10)
        silent = socket.create_connection((hub.host, hub.port))
        started = time.monotonic()
        assert hub.gateway.stop() == 0
        assert time.monotonic() - started < 2
        idle.close()
        silent.close()


def test_sigterm_does_not_wait_for_ever():
    with fleet(2, every={"timeout": 25}, default={"graceful_shutdown_timeout": 1}) as hub:
        record = known(hub)
        rule = hub.loc2.fault(scripted.hang())
        with socket.create_connection((hub.host, hub.port)) as connection:
            connection.sendall(request_bytes("GET", f"/v1/nodes/{record['uuid']}"))
            until(lambda: rule.hits)
            started = time.monotonic()
            hub.gateway.stop()
            assert time.monotonic() - started < 4


# --- clients that leave


def request_bytes(method, path, body=b"", headers=()):
    lines = [f"{method} {path} HTTP/1.1", "Host: hub.example", f"X-OpenStack-Ironic-API-Version: {LATEST}", *headers]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


@pytest.mark.parametrize("path", ["/v1/nodes/{uuid}", "/v1/nodes", "/v1/nodes/{uuid}/states"])
def test_reads_of_a_client_that_left_are_cancelled(path):
    with fleet(2, every={"timeout": 20}) as hub:
        record = known(hub)
        left = threading.Event()

        def watch(exchange):
            try:
                exchange.wait(20)
            except Gone:
                left.set()
                raise

        hub.loc2.fault(watch)
        with socket.create_connection((hub.host, hub.port)) as connection:
            connection.sendall(request_bytes("GET", path.format(uuid=record["uuid"])))
            until(lambda: hub.loc2.requests)
        assert left.wait(5), "the location still works for nobody"


@pytest.mark.parametrize(("method", "path", "body"), [*WRITES, ("POST", "/v1/nodes", {"driver": "fake-hardware", "conductor_group": "grp1"})],
                         ids=[*WRITE_NAMES, "POST nodes"])  # fmt: skip
def test_a_write_of_a_client_that_left_is_finished(hub, method, path, body):
    record = known(hub)
    outcome = []

    def watch(exchange):
        try:
            exchange.wait(0.5)
            outcome.append("waited for")
        except Gone:
            outcome.append("abandoned")
            raise
        return exchange.true_answer()

    hub.loc2.fault(watch, method=method)
    data = b"" if body is None else json.dumps(body).encode()
    with socket.create_connection((hub.host, hub.port)) as connection:
        connection.sendall(request_bytes(method, path.format(uuid=record["uuid"]), data))
        until(lambda: hub.loc2.asked(method))
    assert until(lambda: outcome) == ["waited for"]


# --- bodies


def test_a_body_too_large(hub):
    record = known(hub)
    big = b'{"driver": "d", "extra": {"a": "' + b"x" * (1 << 20) + b'"}}'
    for call in (
        lambda body: hub.post("/v1/nodes", body),
        lambda body: hub.patch(f"/v1/nodes/{record['uuid']}", body),
        lambda body: hub.put(f"/v1/nodes/{record['uuid']}/states/power", body),
    ):
        for body in (big, iter([big[index : index + 65536] for index in range(0, len(big), 65536)])):
            try:
                reply = call(body)
            except ConnectionError:
                # It need not read what it refuses; then the client may still be sending when the connection is gone.
                continue
            assert reply.status == 413, reply
            assert reply.json()["faultcode"] == "Client"
            assert reply.json()["faultstring"].startswith("Request body is too large.")
    assert not any(request.complete for request in hub.loc2.requests if request.method in ("PATCH", "PUT"))
    assert not hub.loc1.nodes


def test_a_declared_length_is_refused_before_the_body(hub):
    for method, path, length in (("POST", "/v1/nodes", (1 << 20) + 1), ("PUT", "/v1/nodes/x/states/provision", (64 << 20) + 1)):
        head = f"{method} {path} HTTP/1.1\r\nHost: h\r\nX-OpenStack-Ironic-API-Version: 1.90\r\nContent-Length: {length}\r\n\r\n"
        [(status, _, body)] = hub.raw_replies(head.encode())
        assert status == 413
        assert json.loads(body)["faultstring"].startswith("Request body is too large.")
    assert hub.asked() == {}


def test_a_body_of_the_largest_size_passes(hub):
    body = b'{"driver": "d", "extra": {"a": "' + b"x" * ((1 << 20) - 35) + b'"}}'
    assert len(body) <= 1 << 20
    assert hub.post("/v1/nodes", body).status == 201
    assert len(hub.loc1.nodes[0]["extra"]["a"]) == (1 << 20) - 35


def test_body_limits_are_configured():
    with fleet(1, api={"max_json_body_size": 2, "max_json_body_size_provision": 4, "max_json_body_depth": 5}) as hub:
        record = hub.loc1.add(node("limited"))
        for size, status in ((1000, 201), (3000, 413)):
            assert hub.post("/v1/nodes", {"driver": "d", "extra": {"a": "x" * size}}).status == status
        for size, status in ((3000, 202), (5000, 413)):
            reply = hub.put(f"/v1/nodes/{record['uuid']}/states/provision", {"target": "manage", "configdrive": "x" * size})
            assert reply.status == status
        for depth, status in ((2, 201), (9, 400)):
            assert hub.post("/v1/nodes", {"driver": "d", "extra": nested(depth)}).status == status


def nested(depth):
    value = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_the_depth_of_a_body(hub, method):
    record = known(hub)
    path = "/v1/nodes" if method == "POST" else f"/v1/nodes/{record['uuid']}"

    def body(text):
        if method == "POST":
            return f'{{"driver": "d", "extra": {{"a": {text}}}}}'.encode()
        return f'[{{"op": "add", "path": "/extra/a", "value": {text}}}]'.encode()

    for fine in ("[" * 15 + "]" * 15, json.dumps("[" * 100 + "{" * 100), json.dumps('\\"[' * 100), json.dumps([[]] * 100)):
        assert hub.call(method, path, body(fine)).status in (200, 201), fine[:50]
    hub.forget_requests()
    for deep in ("[" * 30 + "]" * 30, '{"a":' * 30 + "1" + "}" * 30, "[" * 300000 + "]" * 300000, '[{"a":' * 60000, "[" * 200000):
        reply = hub.call(method, path, body(deep))
        assert (reply.status, reply.body) == (400, FLAT_DEEP), reply
    assert not hub.loc1.asked(method) and not hub.loc2.asked(method)


def test_expect_100_continue(hub):
    body = b'{"driver": "fake-hardware"}'
    with socket.create_connection((hub.host, hub.port), timeout=5) as connection:
        connection.sendall(request_bytes("POST", "/v1/nodes", body, ["Expect: 100-continue"])[: -len(body)])
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(4096)
        assert head.startswith(b"HTTP/1.1 100"), head
        connection.sendall(body)
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 201"), answer


@pytest.mark.parametrize("path", ["/v1/nodes/{uuid}/states/provision", "/v1/nodes/{uuid}/states/power"])
def test_expect_100_continue_of_a_request_that_is_routed(hub, path):
    record = known(hub)
    body = b'{"target": "manage"}'
    with socket.create_connection((hub.host, hub.port), timeout=5) as connection:
        data = request_bytes("PUT", path.format(uuid=record["uuid"]), body, ["Expect: 100-continue"])
        connection.sendall(data[: -len(body)])
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(4096)
        assert head.startswith(b"HTTP/1.1 100"), head
        connection.sendall(body)
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 202"), answer
    assert [bytes(request.body) for request in hub.loc2.asked("PUT")] == [body]


def test_a_request_that_is_refused_is_not_told_to_continue(hub):
    data = request_bytes("POST", "/v1/nodes", b"{}", ["Expect: 100-continue", "OpenStack-API-Version: baremetal 1.999"])[:-2]
    with socket.create_connection((hub.host, hub.port), timeout=5) as connection:
        connection.sendall(data)
        assert connection.recv(65536).startswith(b"HTTP/1.1 406")


def memory(process, what="VmRSS"):
    """KiB of a process."""
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        return int(re.search(rf"{what}:\s+(\d+)", status.read())[1])


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_large_configdrive_is_streamed(framing):
    size = 32 << 20
    piece = b"A" * 65536
    with fleet(2, every={"timeout": 60}) as hub:
        record = known(hub)
        hub.loc2.fault(lambda exchange: scripted.Answer(202), method="PUT")
        before = memory(hub.gateway.process)
        connection = http.client.HTTPConnection(hub.host, hub.port, timeout=60)
        connection.putrequest("PUT", f"/v1/nodes/{record['uuid']}/states/provision")
        connection.putheader("X-OpenStack-Ironic-API-Version", LATEST)
        connection.putheader("Content-Type", "application/json")
        start, end = b'{"target": "active", "configdrive": "', b'"}'
        if framing == "length":
            connection.putheader("Content-Length", str(len(start) + size + len(end)))
        else:
            connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()

        def send(data):
            connection.send(data if framing == "length" else f"{len(data):x}\r\n".encode() + data + b"\r\n")

        send(start)
        for index in range(size // len(piece)):
            send(piece)
            if index == 64:
                # 4 MiB are out and 28 are not: they must be on their way.
                until(lambda: hub.loc2.asked("PUT") and len(hub.loc2.asked("PUT")[0].body) > 1 << 20, what="the beginning of the body")
        send(end)
        if framing == "chunked":
            connection.send(b"0\r\n\r\n")
        answer = connection.getresponse()
        assert answer.status == 202, answer.read()
        connection.close()
        [request] = hub.loc2.asked("PUT")
        assert bytes(request.body) == start + b"A" * size + end
        grown = memory(hub.gateway.process, "VmHWM") - before
        assert grown < 12 * 1024, f"{grown} KiB more at the peak for a body of 32 MiB"


def test_a_client_that_stops_in_the_middle_of_a_body(hub):
    record = known(hub)
    data = request_bytes("PUT", f"/v1/nodes/{record['uuid']}/states/provision", b'{"target": "manage"}')
    with socket.create_connection((hub.host, hub.port)) as connection:
        connection.sendall(data[:-5])
    # Half a body must not be carried out, and the gateway is none the worse.
    assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
    assert hub.loc2.find(record["uuid"])["provision_state"] == "enroll"
    assert not [request for request in hub.loc2.asked("PUT") if request.complete]


# --- answers that are too much


def test_a_large_answer_of_one_location_is_bounded():
    with fleet(2, every={"max_response_size": 1 << 20}) as hub:
        record = known(hub)
        hub.loc2.fault(scripted.too_big(8 << 20), path="/v1/nodes/.+")
        try:
            assert_unavailable(hub.get(f"/v1/nodes/{record['uuid']}"), "loc2")
        except (http.client.IncompleteRead, ConnectionError):
            pass
        assert hub.get("/v1/nodes").status == 200


def test_too_many_requests_in_flight():
    release = threading.Event()
    with fleet(1, api={"max_requests_in_flight": 2}, every={"timeout": 10}) as hub:
        hub.loc1.add(node("held"))
        replies = []
        threads = [threading.Thread(target=lambda: replies.append(hub.get("/v1/nodes/held/states"))) for _ in range(2)]
        hub.loc1.fault(scripted.held(release), path="/v1/nodes/held/states")
        for thread in threads:
            thread.start()
        until(lambda: len(hub.loc1.asked("GET", "/v1/nodes/held/states")) == 2, what="both requests in flight")
        reply = hub.get("/v1/nodes")
        assert reply.status == 503, reply
        assert reply.header("Retry-After") and reply.fault()["faultcode"] == "Server"
        release.set()
        for thread in threads:
            thread.join()
        assert [reply.status for reply in replies] == [200, 200]
        assert hub.get("/v1/nodes").status == 200


def test_exchanges_with_one_location_are_bounded():
    with fleet(2, every={"timeout": 5, "max_concurrent": 4}) as hub:
        record = known(hub)
        most, now, lock = [0], [0], threading.Lock()

        def count(exchange):
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            try:
                exchange.wait(0.1)
                return exchange.true_answer()
            finally:
                with lock:
                    now[0] -= 1

        hub.loc2.fault(count)
        replies = together(*[lambda: hub.get(f"/v1/nodes/{record['uuid']}") for _ in range(16)])
        assert most[0] <= 4
        assert {reply.status for reply in replies} <= {200, 503}
        assert 200 in {reply.status for reply in replies}
