"""What a client may do with its connections, and what nobody else notices of it."""

import contextlib
import json
import re
import socket
import threading
import time

import pytest
import scripted
from fleet import fleet, together, until
from hostile import head
from standin import node

MANY = 1100


@pytest.fixture(scope="module")
def hub():
    # The thousand clients of one test may not all be gone when those of the next one come.
    with fleet(2, every={"timeout": 10}, api={"max_connections_per_address": 4096}) as hub:
        yield hub


@pytest.fixture(autouse=True)
def healed(hub):
    hub.heal()
    for site in hub.all():
        site.nodes.clear()
    yield


def connect(hub, seconds=10):
    return socket.create_connection((hub.host, hub.port), timeout=seconds)


def answer(connection):
    """One answer of a connection that stays open: (status, head, body)."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        assert piece, received
        received += piece
    first, _, body = received.partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)\r\ncontent-length: *(\d+)", first)[1])
    while len(body) < length:
        piece = connection.recv(65536)
        assert piece, received
        body += piece
    return int(first.split(b" ")[1]), first.lower(), body


def resident(hub):
    """MiB of memory that the gateway has."""
    status = open(f"/proc/{hub.gateway.process.pid}/status", encoding="utf-8").read()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) // 1024


# --- heads


@pytest.mark.parametrize(
    "lines",
    [["X-Padding: " + "x" * 66_000], [f"X-Line-{n}: x" for n in range(205)], ["X-Padding: " + "x" * 1_000_000], ["X: " + "y" * 700] * 100],
    ids=["one long line", "too many lines", "a MiB", "many long lines"],
)
@pytest.mark.parametrize("target", ["/v1/nodes", "/v1", "/healthcheck"])
def test_a_head_has_a_size(hub, target, lines):
    [(status, first, body)] = hub.raw_replies(head("GET", target, *lines))
    assert status == 431 and "connection: close" in first.lower()
    assert "64 KiB" in json.loads(json.loads(body)["error_message"])["faultstring"]
    assert not [request for request in hub.asked() if request.header("X-Padding")]


def test_a_long_target_is_too_large_too(hub):
    assert [status for status, _, _ in hub.raw_replies(head("GET", "/v1/nodes?" + "a" * 70_000))] == [431]


def test_a_head_below_the_bounds_is_taken(hub):
    lines = ["X-Padding: " + "x" * 300] * 190
    assert [status for status, _, _ in hub.raw_replies(head("GET", "/v1/nodes", *lines))] == [200]


def test_a_head_has_its_time(hub):
    """Also one that never stops moving."""
    with connect(hub, 15) as slow, connect(hub, 15) as silent:
        started = time.monotonic()
        slow.sendall(b"GET /v1/nodes HTTP/1.1\r\nHost: a\r\n")
        silent.sendall(b"GET /v1/no")
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - started < 14:
                slow.settimeout(0.3)
                with contextlib.suppress(TimeoutError):
                    assert b" 408 " in slow.recv(65536)
                    break
                slow.sendall(b"X-Drip: x\r\n")
        assert 9 < time.monotonic() - started < 12.5
        assert answer(silent)[0] == 408


def test_unfinished_heads_cost_little(hub):
    """A thousand, each as large as it can be made."""
    before = resident(hub)
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connect(hub)) for _ in range(1000)]
        for connection in connections:
            connection.setblocking(False)
            with contextlib.suppress(OSError):
                connection.send(b"GET /v1/nodes HTTP/1.1\r\nHost: a\r\nX-Padding: " + b"x" * 60_000)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.send(b"x" * 900_000)
        assert hub.get("/v1/nodes").status == 200
        # 64 KiB each, buffers grow by doubling; Pingora alone would hold a MiB each.
        assert resident(hub) - before < 300


def test_an_idle_client_costs_little():
    """What a connection was served with is given back: 10,000 of them are to fit into 150 MB."""
    with fleet(1) as hub, contextlib.ExitStack() as stack:

        def come(number, address):
            for _ in range(number):
                connection = stack.enter_context(socket.create_connection((hub.host, hub.port), 10, (address, 0)))
                connection.sendall(head("GET", "/v1"))
                assert answer(connection)[0] == 200

        come(100, "127.0.1.1")
        before = resident(hub)
        come(800, "127.0.1.2")
        # 2.5 KiB each; Pingora's own buffers and the room for a handshake would be 22 KiB more.
        assert resident(hub) - before < 8


# --- requests sent ahead


@pytest.mark.parametrize("times", [2, 3, 20])
def test_requests_sent_ahead_are_answered_in_order(hub, times):
    hub.loc1.add(node("target"))
    wanted = [("/v1/nodes/target", 200), ("/v1/nodes/nobody", 404), ("/v1", 200), ("/healthcheck", 200)]
    asked = [wanted[n % len(wanted)] for n in range(times)]
    with connect(hub) as connection:
        connection.sendall(b"".join(head("GET", target) for target, _ in asked) + head("GET", "/v1", "Connection: close"))
        received = b""
        while piece := connection.recv(65536):
            received += piece
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", received)]
    assert statuses == [status for _, status in asked] + [200]


def test_a_request_sent_ahead_of_a_slow_one_waits(hub):
    """It is neither lost nor taken for the end of the client, nor for a part of the body."""
    record = hub.loc1.add(node("target"))
    release = threading.Event()
    hub.loc1.fault(scripted.held(release), path="/v1/nodes/.+")
    body = b'{"target": "power on"}'
    put = head("PUT", f"/v1/nodes/{record['uuid']}/states/power", f"Content-Length: {len(body)}", "Content-Type: application/json")
    with connect(hub) as connection:
        connection.sendall(head("GET", f"/v1/nodes/{record['uuid']}") + put + body + head("GET", "/v1") + head("GET", "/v1", "Connection: close"))
        until(lambda: hub.loc1.asked("GET", "/v1/nodes/.+"), what="the first request")
        release.set()
        received = b""
        while piece := connection.recv(65536):
            received += piece
    assert [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", received)] == [200, 202, 200, 200]
    assert [request.body for request in hub.loc1.asked("PUT")] == [body]


# Answered by the gateway, by one location, by all, in a stream; a change, with and without a body.
REQUESTS = [("GET", "/v1"), ("GET", "/v1/nodes/{uuid}"), ("GET", "/v1/nodes?sort_key=name"), ("GET", "/v1/nodes/{uuid}/vendor_passthru/x"),
            ("PUT", "/v1/nodes/{uuid}/states/power"), ("DELETE", "/v1/nodes/{uuid}")]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_a_client_that_sends_nothing_more_still_reads(hub, method, path):
    """RFC 9112, 9.6: as `nc -N` does, and whoever calls `shutdown(SHUT_WR)`."""
    record = hub.loc1.add(node("target"))
    assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
    hub.loc1.fault(scripted.late(0.3), path="/v1/nodes.*")
    body = b'{"target": "power on"}' if method == "PUT" else b""
    lines = [f"Content-Length: {len(body)}", "Content-Type: application/json"] if body else []
    with connect(hub) as connection:
        connection.sendall(head(method, path.format(uuid=record["uuid"]), *lines) + body)
        connection.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert re.match(rb"HTTP/1\.1 20[024] ", received), received


def test_requests_sent_ahead_of_the_end_are_all_answered(hub):
    record = hub.loc1.add(node("target"))
    hub.loc1.fault(scripted.late(0.3), path="/v1/nodes.*", times=1)
    with connect(hub) as connection:
        connection.sendall(head("GET", f"/v1/nodes/{record['uuid']}") + head("GET", "/v1/nodes") + head("GET", "/v1"))
        connection.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert re.findall(rb"HTTP/1\.1 (\d+) ", received) == [b"200"] * 3


def test_after_chunks_the_connection_is_closed_and_says_so(hub):
    data = head("POST", "/v1/nodes", "Transfer-Encoding: chunked", "Content-Type: application/json")
    with connect(hub) as connection:
        connection.sendall(data + b'1a\r\n{"driver":"fake-hardware"}\r\n0\r\n\r\n' + head("GET", "/v1"))
        status, first, _ = answer(connection)
        assert status == 201 and b"connection: close" in first


# --- who waits for whom


def stalled(hub, stack, data):
    connections = [stack.enter_context(connect(hub)) for _ in range(MANY)]
    for connection in connections:
        connection.sendall(data)
    return connections


@pytest.mark.parametrize("kind", ["stalled in a body", "stalled in a large body", "stalled in a refused body", "silent", "stalled in a head"])
def test_stalled_clients_hold_nothing_that_others_need(hub, kind):
    record = hub.loc1.add(node("target"))
    target = f"/v1/nodes/{record['uuid']}/states/provision"
    typed = "Content-Type: application/json"
    data = {
        "stalled in a body": head("PUT", target, "Content-Length: 100", typed) + b'{"target',
        "stalled in a large body": head("PUT", target, "Content-Length: 60000000", typed) + b'{"target": "' + b"x" * 100_000,
        "stalled in a refused body": head("PUT", "/v1/nowhere/at/all", "Content-Length: 60000000", typed) + b"[",
        "silent": b"",
        "stalled in a head": b"GET /v1/nodes HTTP/1.1\r\n",
    }[kind]
    with contextlib.ExitStack() as stack:
        stalled(hub, stack, data)
        for path in ("/healthcheck", "/v1/nodes", f"/v1/nodes/{record['uuid']}"):
            reply = hub.get(path)
            assert reply.status == 200 and reply.seconds < 3, (path, reply)
        assert hub.put(f"/v1/nodes/{record['uuid']}/states/power", {"target": "power on"}).status == 202
    assert hub.get("/v1/nodes").status == 200


def test_an_answer_that_is_read_slowly_holds_nothing_and_is_not_cut():
    """The write clock measures silence, and the one permit there is is free meanwhile."""
    with fleet(1, api={"max_requests_in_flight": 1}) as hub:
        record = hub.loc1.add(node("large", extra={"padding": "x" * (12 << 20)}))
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect((hub.host, hub.port))
            slow.settimeout(10)
            slow.sendall(head("GET", f"/v1/nodes/{record['uuid']}", "Connection: close"))
            assert slow.recv(1)
            replies = together(*[lambda: hub.get("/v1") for _ in range(4)])
            assert [reply.status for reply in replies] == [200] * 4
            assert hub.get("/v1/nodes/nobody").status == 404
            received = 1
            while piece := slow.recv(1 << 20):
                received += len(piece)
        assert received > 12 << 20


def test_connections_of_one_address_are_bounded():
    with fleet(1, api={"max_connections_per_address": 20}) as hub, contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connect(hub)) for _ in range(60)]
        # Those above the bound are closed without a word.
        closed = 0
        for connection in connections:
            connection.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                closed += connection.recv(1) == b""
        assert 38 <= closed <= 42
        for connection in connections:
            connection.close()

        def served():
            with contextlib.suppress(ConnectionError):
                return hub.get("/v1/nodes").status == 200

        until(served, what="room again")


def test_open_files_are_as_many_as_may_be(hub):
    """More clients than a shell's soft limit has files; the rest of the hard one is for locations."""
    limits = open(f"/proc/{hub.gateway.process.pid}/limits", encoding="utf-8").read()
    soft, hard = re.search(r"Max open files\s+(\d+)\s+(\d+)", limits).groups()
    assert soft == hard


def test_an_upload_may_take_longer_than_an_answer():
    """The clock of the answer begins when the body has gone out: the location's 409 is not lost to it."""
    with fleet(1, api={"request_deadline": 1}, every={"timeout": 1, "response_timeout": 1}) as hub:
        record = hub.loc1.add(node("target"))
        hub.loc1.fault(scripted.says(409, "Node is locked"), method="PUT")
        part = b"x" * 50_000
        before, after = b'{"target": "active", "configdrive": "', b'"}'
        lines = [f"Content-Length: {len(before) + 5 * len(part) + len(after)}", "Content-Type: application/json", "Connection: close"]
        with socket.create_connection((hub.host, hub.port), timeout=10) as slow:
            slow.sendall(head("PUT", f"/v1/nodes/{record['uuid']}/states/provision", *lines) + before)
            for _ in range(5):
                slow.sendall(part)
                time.sleep(0.35)
            slow.sendall(after)
            assert slow.recv(1 << 16).startswith(b"HTTP/1.1 409")
