"""What a client's head may say of HTTP itself: old versions, offers, lengths, and where it reached us."""

import json
import socket

import pytest
from fleet import fleet
from hostile import head
from standin import node


TARGET = "6d1b3f6e-5c0e-4d3a-9a53-000000000001"


@pytest.fixture(scope="module")
def hub():
    with fleet(2, sections={"oslo_middleware": {"enable_proxy_headers_parsing": True}}) as hub:
        hub.loc1.add(node("target", uuid=TARGET))
        yield hub


def until_closed(hub, data, seconds=5):
    """All that comes back; fails if the connection stays open."""
    with socket.create_connection((hub.host, hub.port), timeout=seconds) as connection:
        connection.sendall(data)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received


# HAProxy's default `option httpchk` is the first.
@pytest.mark.parametrize("target", ["/", "/v1", "/healthcheck", "/v1/nodes", f"/v1/nodes/{TARGET}"])
@pytest.mark.parametrize("method", ["OPTIONS", "GET", "HEAD"])
def test_http_1_0_without_host_is_answered_and_closed(hub, method, target):
    received = until_closed(hub, f"{method} {target} HTTP/1.0\r\n\r\n".encode())
    first, _, body = received.partition(b"\r\n\r\n")
    status = int(first.split(b" ")[1])
    if method != "HEAD" or not target.startswith("/v1/nodes"):  # Ironic has no HEAD there.
        assert status == (204 if (method, target) == ("HEAD", "/healthcheck") else 200), first
    assert b"connection: close" in first.lower() and b"transfer-encoding" not in first.lower()
    if method == "GET" and target != "/healthcheck":
        # Without a name links lead to where the client reached us.
        links = json.loads(body).get("links") or json.loads(body)["versions"][0]["links"] if target == "/" else []
        assert all(link["href"].startswith(f"http://{hub.host}:{hub.port}") for link in links)


def test_http_1_0_keeps_the_connection_for_who_asks(hub):
    line = "GET /v1/nodes/target HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode()
    with socket.create_connection((hub.host, hub.port), timeout=5) as connection:
        for _ in range(3):
            connection.sendall(line)
            assert connection.recv(65536).startswith(b"HTTP/1.")


@pytest.mark.parametrize("target", ["/v1/nodes", "/v1", "/healthcheck"])
def test_http_1_1_needs_a_host(hub, target):
    [(status, _, _)] = hub.raw_replies(f"GET {target} HTTP/1.1\r\n\r\n".encode())
    assert status == 400


@pytest.mark.parametrize("length", ["21, 21", "21,21", "+21", "0x15", "21 21", "", "-1", "21, 22"])
@pytest.mark.parametrize(("method", "target"), [("POST", "/v1/nodes"), ("PATCH", "/v1/nodes/target"), ("PUT", "/v1/nodes/target/states/power")])
def test_a_length_is_one_number(hub, method, target, length):
    hub.forget_requests()
    data = head(method, target, f"Content-Length: {length}", "Content-Type: application/json") + b'{"target": "power on"}'
    assert [status for status, _, _ in hub.raw_replies(data)] == [400]
    assert not hub.asked(method)


@pytest.mark.parametrize(("name", "value"), [("X-Forwarded-Proto", "HTTPS"), ("X-Forwarded-Proto", "Https"), ("Forwarded", "proto=HTTPS;host=hub.example")])
def test_a_scheme_is_the_same_in_capitals(hub, name, value):
    for target in ("/v1", "/v1/nodes/target", "/v1/nodes"):
        [(status, _, body)] = hub.raw_replies(head("GET", target, f"{name}: {value}"))
        assert status == 200, body
        assert b"https://hub.example/v1" in body and b"http://hub" not in body


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_backslash_is_no_part_of_a_path(hub, method):
    hub.forget_requests()
    for target in ("/v1/nodes/a\\b", "/v1\\nodes", "/v1/nodes/target\\states\\power"):
        [(status, _, _)] = hub.raw_replies(head(method, target))
        assert status in (400, 404)
    assert not hub.asked()


@pytest.mark.parametrize(("method", "target"), [("POST", "/v1/nodes"), ("PATCH", "/v1/nodes/target"), ("PUT", "/v1/nodes/target/states/power")])
def test_a_client_that_hangs_up_in_its_body_is_no_failure_of_ours(hub, method, target):
    since = len(hub.gateway.log())
    with socket.create_connection((hub.host, hub.port), timeout=5) as connection:
        connection.sendall(head(method, target, "Content-Length: 100", "Content-Type: application/json") + b"[{")
    line = hub.logged(rf'"{method} {target} .*', since)
    assert "status: 500" not in line and "ERROR" not in hub.gateway.log()[since:]
