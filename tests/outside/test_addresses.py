"""Where it listens without a service manager's sockets: addresses of both families, names, a unix socket."""

import http.client
import json
import re
import socket
import subprocess

import pytest
from client import Client
from fleet import until
from gateway import binary
from upgrading import Line


def listening(line):
    return until(lambda: re.findall(r"Listening on (.*)", line.log()))[-1].split(", ")


def no_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return True
    return False


needs_ipv6 = pytest.mark.skipif(no_ipv6(), reason="this machine has no IPv6")


@pytest.mark.parametrize(
    ("host_ip", "expected"),
    [
        ("127.0.0.1,127.0.0.2", ["http://127.0.0.1:", "http://127.0.0.2:"]),
        ("localhost", ["http://127.0.0.1:"]),
        pytest.param("127.0.0.1,[::1]", ["http://127.0.0.1:", "http://[::1]:"], marks=needs_ipv6),
        pytest.param("localhost, ::1", ["http://127.0.0.1:", "http://[::1]:"], marks=needs_ipv6),
    ],
)
def test_each_address_is_listened_on(host_ip, expected):
    with Line(host_ip=host_ip) as line:
        places = listening(line)
        assert [re.sub(r"\d+$", "", place) for place in places] == expected
        for place in places:
            assert Client(place).get("/v1/nodes").names() == ["there"]


@needs_ipv6
@pytest.mark.parametrize("host_ip", ["::", "[::]"])
def test_any_address_of_ipv6_alone_is_any_of_ipv4_too(host_ip):
    with Line(host_ip=host_ip) as line:
        (place,) = listening(line)
        port = place.rpartition(":")[2]
        for host in ("127.0.0.1", "[::1]"):
            assert Client(f"http://{host}:{port}").get("/v1").status == 200


@needs_ipv6
def test_any_address_of_both_families_at_one_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Line(host_ip="0.0.0.0,[::]", port=port) as line:
        assert listening(line) == [f"http://0.0.0.0:{port}", f"http://[::]:{port}"]
        for host in ("127.0.0.1", "[::1]"):
            assert Client(f"http://{host}:{port}").get("/v1").status == 200


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)

    def names(self):
        self.request("GET", "/v1/nodes", headers={"X-OpenStack-Ironic-API-Version": "1.80"})
        return [item["name"] for item in json.loads(self.getresponse().read())["nodes"]]


@pytest.mark.parametrize(("mode", "expected"), [("0660", 0o660), ("0o600", 0o600), ("777", 0o777)])
def test_a_unix_socket_replaces_addresses(mode, expected):
    with Line(unix_socket="@DIR@/api.sock", unix_socket_mode=mode) as line:
        path = line.directory / "api.sock"
        assert listening(line) == [f"unix://{path}"]
        assert path.stat().st_mode & 0o777 == expected
        assert Unix(path).names() == ["there"]
        # Handed on, and still what it was.
        assert line.upgrade().returncode == 0
        assert path.stat().st_mode & 0o777 == expected
        assert Unix(path).names() == ["there"]


@pytest.mark.parametrize("request_line", ["GET /healthcheck", "GET /", "GET /v1", "OPTIONS /", "OPTIONS /v1/nodes", "GET /v1/nodes"])
def test_a_check_of_a_unix_socket_need_not_say_by_which_name(unix_line, request_line):
    """HAProxy's `option httpchk` as it is, and any other of HTTP/1.0."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(unix_line.directory / "api.sock"))
        connection.sendall(f"{request_line} HTTP/1.0\r\nX-OpenStack-Ironic-API-Version: 1.80\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    assert answer.split()[1] == "200", answer
    assert "http://" not in answer or "http://localhost/v1" in answer


@pytest.fixture(scope="module")
def unix_line():
    with Line(unix_socket="@DIR@/api.sock") as line:
        yield line


def start(line):
    """Another gateway of the same configuration: its exit status and last words."""
    done = subprocess.run([binary(), "--config-file", line.configuration], capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, done.stderr


def test_a_unix_socket_that_is_served_or_none_is_not_taken_away():
    with Line(unix_socket="@DIR@/api.sock") as line:
        path = line.directory / "api.sock"
        status, said = start(line)
        assert (status, f"[api] unix_socket: cannot listen on {path}: " in said) == (78, True), said
        assert Unix(path).names() == ["there"]
        other = line.directory / "letter"
        other.write_text("dear")
        line.write(unix_socket=str(other))
        status, said = start(line)
        assert (status, "what is there is no socket" in said) == (78, True), said
        assert other.read_text() == "dear"


def test_what_a_dead_gateway_left_is_replaced():
    with Line(unix_socket="@DIR@/api.sock") as line:
        path = line.directory / "left.sock"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        line.write(unix_socket=str(path))
        assert line.upgrade().returncode == 0
        assert Unix(path).names() == ["there"]
