"""Bodies too long, too deep, too slow; answers that are too much."""

import contextlib
import http.client
import json
import re
import socket
import threading

import pytest
import scripted
from admin import SECTION, Admin
from client import Client, request_bytes
from faults import hubs, known
from fleet import LATEST, assert_unavailable, fleet, together, until
from gateway import memory
from metrics import read
from standin import node

FLAT_DEEP = b'{"faultcode": "Client", "faultstring": "Request body JSON is nested too deeply. Please contact the service administrator."}'
module_hub, hub = hubs(2, every={"timeout": 1})


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


@pytest.mark.parametrize("path", ["/v1/nodes/{uuid}/states/provision", "/v1/nodes/{uuid}/states/power", "/v1/nodes/{uuid}/vendor_passthru/x"])
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
        assert answer.startswith(b"HTTP/1.1 20"), answer
    assert [bytes(request.body) for request in hub.loc2.asked("PUT")] == [body]


@pytest.mark.parametrize("path", ["/v1/nodes/{uuid}/states/power", "/v1/nodes/{uuid}/vendor_passthru/x"])
def test_a_client_of_http_1_0_expects_nothing_but_the_answer(hub, path):
    data = request_bytes("PUT", path.format(uuid=known(hub)["uuid"]), b'{"target": "manage"}', ["Expect: 100-continue"])
    answer = hub.raw(data.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
    assert re.match(rb"HTTP/1\.[01] 20", answer), answer


def test_a_request_that_is_refused_is_not_told_to_continue(hub):
    data = request_bytes("POST", "/v1/nodes", b"{}", ["Expect: 100-continue", "OpenStack-API-Version: baremetal 1.999"])[:-2]
    with socket.create_connection((hub.host, hub.port), timeout=5) as connection:
        connection.sendall(data)
        assert connection.recv(65536).startswith(b"HTTP/1.1 406")


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


@pytest.mark.parametrize("form", ["_method=delete", "reason=x&%5Fmethod=DELETE", "a;_method=put"])
@pytest.mark.parametrize(("method", "below"), [("PUT", "/maintenance"), ("PUT", "/states/power"), ("POST", "/vifs"), ("DELETE", ""), ("DELETE", "/maintenance"), ("PUT", "/traits")])
def test_no_form_names_another_method(hub, method, below, form):
    """Pecan would take it in place of the one that was judged (`pecan/rest.py`)."""
    record = known(hub)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = hub.call(method, f"/v1/nodes/{record['uuid']}{below}", form.encode(), headers=headers)
    assert (reply.status, "_method" in reply.text()) == (400, True), reply
    assert not hub.asked(method)


def test_no_form_is_passed_on_unread(hub):
    record = known(hub)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for form in (iter([b"_method=", b"delete"]), b"a=" + b"a" * (1 << 17), iter([b"target=active"])):
        reply = hub.call("PUT", f"/v1/nodes/{record['uuid']}/states/provision", form, headers=headers)
        assert reply.status == 400, reply
    assert not hub.asked("PUT")


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
        assert reply.header("Retry-After") is None and reply.fault()["faultcode"] == "Server"
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


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_whoever_is_slow_with_a_drivers_method_slows_nobody_else(method):
    """Neither of the whole gateway nor of the location is anything held; and who has to wait for one of them is counted."""
    few = {"max_concurrent": 2, "connect_timeout": 1, "timeout": 10}
    release = threading.Event()
    with fleet(1, api={"max_requests_in_flight": 2}, every=few, sections={"admin": SECTION}) as hub, contextlib.ExitStack() as clients:
        record = known(hub, "loc1")
        path, admin = f"/v1/nodes/{record['uuid']}/vendor_passthru?method=flash", Admin(hub.gateway)
        hub.loc1.fault(scripted.held(release), path="/v1/nodes/.+/vendor_passthru")
        client = Client(hub.url)
        for _ in range(2):
            slow = clients.enter_context(socket.create_connection((client.host, client.port), timeout=10))
            head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nX-OpenStack-Ironic-API-Version: {LATEST}\r\n"
            slow.sendall(head.encode() + (b"Content-Length: 100\r\n\r\n{" if method == "POST" else b"\r\n"))
        until(lambda: read(admin)("ironic_proxy_location_in_flight", location="loc1") == 2, what="two that are slow")
        assert {hub.get(f"/v1/nodes/{record['uuid']}").status for _ in range(3)} == {200}
        before = read(admin)("ironic_proxy_location_requests_total", location="loc1", result="busy") or 0
        refused = hub.call(method, path, {} if method == "POST" else None)
        assert_unavailable(refused, "loc1")
        assert read(admin)("ironic_proxy_location_requests_total", location="loc1", result="busy") == before + 1
        until(lambda: "locations=loc1:busy:" in hub.gateway.log(), what="its line in the log")
        release.set()
