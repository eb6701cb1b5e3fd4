"""/healthcheck as oslo.middleware answers it, and the neighbours that ask: HAProxy, keepalived's scripts, the kubelet."""

import dataclasses
import http.client
import json
import re
import socket
import subprocess

import pytest
from balancer import HAProxy
from fleet import fleet, until
from gateway import DIRECTORY
from standin import node

FILE = f"{DIRECTORY}/disabled"


@pytest.fixture(scope="module")
def hub():
    with fleet(2, every={"breaker_failures": 1}, sections={"healthcheck": {"disable_by_file_path": FILE}}) as hub:
        yield hub


@pytest.fixture
def disabled(hub):
    path = hub.gateway.directory / "disabled"
    yield path
    path.unlink(missing_ok=True)


def address(hub):
    return hub.gateway.url.removeprefix("http://")


def asked(hub, accept=None, path="/healthcheck", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return hub.get(path, version=None, headers={**({"Accept": accept} if accept else {}), **headers})


def raw(hub, text):
    """What comes back on one connection, to its end."""
    host, port = address(hub).split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(text.encode())
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


# --- as oslo.middleware


@pytest.mark.parametrize(
    ("accept", "kind", "body"),
    [
        (None, "text/plain", "OK"),
        ("*/*", "text/plain", "OK"),
        ("image/png", "text/plain", "OK"),
        ("application/json", "application/json", {"detailed": False, "reasons": ["OK"]}),
        ("text/html", "text/html", "<TD>OK</TD>"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html", "<TD>OK</TD>"),
    ],
)
def test_the_form_is_the_one_that_is_accepted(hub, disabled, accept, kind, body):
    for well in (True, False):
        if not well:
            disabled.touch()
            body = json.loads(json.dumps(body).replace("OK", "DISABLED BY FILE"))
        reply = asked(hub, accept)
        assert reply.status == (200 if well else 503), reply
        assert reply.header("Content-Type").replace(" ", "").lower() == f"{kind};charset=utf-8"
        if isinstance(body, dict):
            assert reply.json() == body
        elif kind == "text/html":
            assert body in reply.body.decode()
        else:
            assert reply.body.decode() == body


def test_head(hub, disabled):
    assert hub.call("HEAD", "/healthcheck", version=None).status == 204
    disabled.touch()
    reply = hub.call("HEAD", "/healthcheck", version=None)
    assert (reply.status, reply.body) == (503, b"")


def test_requests_are_served_while_a_file_disables_it(hub, disabled):
    disabled.touch()
    assert asked(hub).status == 503
    assert hub.get("/v1/nodes").status == 200
    disabled.unlink()
    assert asked(hub).status == 200


def test_details_are_names_and_states():
    with fleet(2, every={"breaker_failures": 1, "breaker_reset": 60}, each={"loc2": {"state": "read_only"}}, sections={"healthcheck": {"detailed": True}}) as hub:
        assert asked(hub).body.decode() == "OK\nloc1: enabled, up\nloc2: read_only, up"
        document = asked(hub, "application/json").json()
        assert document["detailed"] is True
        assert [(row["class"], row["reason"]) for row in document["reasons"]] == [
            ("HealthcheckResult", "OK"),
            ("Location", "loc1: enabled, up"),
            ("Location", "loc2: read_only, up"),
        ]
        assert "<TD>loc2: read_only, up</TD>" in asked(hub, "text/html").body.decode()
        hub.loc1.down()
        assert hub.get("/v1/nodes").status == 503
        text = until(lambda: "down" in (text := asked(hub).body.decode()) and text, what="the location that is down")
        assert text == "OK\nloc1: enabled, down (connect)\nloc2: read_only, up"
        hub.loc2.down()
        assert hub.get("/v1/nodes").status == 503
        reply = until(lambda: (reply := asked(hub)).status == 503 and reply, what="nobody to ask")
        assert reply.body.decode().startswith("no location can be asked\n")
        for form in (None, "application/json", "text/html"):
            assert not re.search(r"127\.0\.0\.1|localhost", asked(hub, form).body.decode()), "no addresses"


def test_files_of_ports_and_files_that_enable():
    options = {"disable_by_file_paths": f"1:{DIRECTORY}/other", "enable_by_file_paths": f"{DIRECTORY}/a,{DIRECTORY}/b"}
    with fleet(1, sections={"healthcheck": options}) as hub:
        directory = hub.gateway.directory
        (directory / "other").touch()
        assert asked(hub).body == b"FILE PATH MISSING"
        (directory / "a").touch()
        assert asked(hub).status == 503
        (directory / "b").touch()
        assert asked(hub).status == 200
        port = address(hub).split(":")[1]
        assert hub.gateway.stop() == 0
        text = hub.gateway.config_path.read_text().replace("= 1:", f"= {port}:")
        hub.gateway.write_config(text)
        hub.gateway.start()
        reply = until(lambda: (reply := asked(hub)).body != b"no location can be asked" and reply, what="a location")
        assert reply.body == b"DISABLED BY FILE"


@pytest.mark.parametrize(
    ("options", "headers", "status"),
    [
        ({"allowed_source_ranges": "127.0.0.0/8"}, {}, 200),
        ({"allowed_source_ranges": "192.0.2.0/24,127.0.0.1"}, {}, 200),
        ({"allowed_source_ranges": "192.0.2.0/24"}, {}, 404),
        ({"ignore_proxied_requests": True}, {}, 200),
        ({"ignore_proxied_requests": True}, {"X_Forwarded_For": "192.0.2.1"}, 404),
        ({"enabled": False}, {}, 404),
    ],
)
def test_whose_path_it_is(options, headers, status):
    with fleet(1, sections={"healthcheck": options}) as hub:
        assert asked(hub, **headers).status == status


# --- HTTP as checks speak it


@pytest.mark.parametrize("request_line", ["GET /healthcheck", "GET /", "GET /v1", "OPTIONS /", "OPTIONS /v1/nodes", "GET /v1/nodes"])
@pytest.mark.parametrize("headers", ["", "Host: x\r\n"])
def test_http_1_0_is_answered_and_closed(hub, request_line, headers):
    answer = raw(hub, f"{request_line} HTTP/1.0\r\n{headers}\r\n")
    head = answer.partition("\r\n\r\n")[0].lower()
    assert head.split()[1] == "200", answer
    assert "transfer-encoding" not in head
    assert "connection: close" in head


def in_chunks(exchange):
    answer = exchange.true_answer()
    head = dataclasses.replace(answer, headers=[*answer.headers, ("Transfer-Encoding", "chunked")]).head()
    exchange.send(head + b"".join(b"2710\r\n" + b"z" * 10_000 + b"\r\n" for _ in range(5)) + b"0\r\n\r\n")


@pytest.mark.parametrize("headers", ["", "Connection: keep-alive\r\n"])
def test_http_1_0_gets_no_chunks_of_a_location(hub, headers):
    record = hub.loc1.add(node("chunky"))
    hub.loc1.fault(in_chunks, path=".*/vendor_passthru/.*")
    answer = raw(hub, f"GET /v1/nodes/{record['uuid']}/vendor_passthru/x HTTP/1.0\r\n{headers}\r\n")
    hub.loc1.heal()
    head, _, body = answer.partition("\r\n\r\n")
    assert "transfer-encoding" not in head.lower() and "connection: close" in head.lower()
    assert body == "z" * 50_000


def test_a_connection_without_a_byte_is_no_line_in_the_log(hub):
    before = len(hub.gateway.log().splitlines())
    host, port = address(hub).split(":")
    for _ in range(3):
        with socket.create_connection((host, int(port)), timeout=10):
            pass
    # The line of this request comes after whatever those would have written.
    assert hub.get("/v1/nodes").status == 200
    lines = hub.gateway.log().splitlines()[before:]
    assert len(lines) == 1, lines


# --- HAProxy


CHECKS = {
    "the default check": ["option httpchk"],
    "kolla's": ["option httpchk", "http-check send meth GET uri / ver HTTP/1.1 hdr Host localhost"],
    "the health check": ["option httpchk GET /healthcheck", "http-check expect string OK"],
    "its HEAD": ["option httpchk HEAD /healthcheck"],
    "a connection": [],
}


@pytest.mark.parametrize("check", CHECKS)
def test_haproxy_finds_it_up(hub, check):
    with HAProxy(address(hub), *CHECKS[check]) as balancer:
        row = balancer.wait("UP")
        assert row["check_status"].removeprefix("* ") in ("L7OK", "L4OK"), row
        record = hub.loc1.add(node("behind-haproxy"))
        with http_connection(balancer.url) as connection:
            connection.request("GET", f"/v1/nodes/{record['uuid']}")
            assert connection.getresponse().status == 200
        hub.loc1.nodes.clear()


@pytest.mark.parametrize("check", ["the health check", "its HEAD"])
def test_haproxy_sends_nothing_to_one_that_is_disabled(hub, disabled, check):
    with HAProxy(address(hub), *CHECKS[check]) as balancer:
        balancer.wait("UP")
        disabled.touch()
        balancer.wait("DOWN")
        with http_connection(balancer.url) as connection:
            connection.request("GET", "/v1/nodes")
            assert connection.getresponse().status == 503
        disabled.unlink()
        balancer.wait("UP")


def http_connection(url):
    class Closing(http.client.HTTPConnection):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.close()

    return Closing(url.removeprefix("http://"), timeout=10)


# --- keepalived: a script's exit status


SCRIPTS = [
    ["curl", "--silent", "--fail", "--max-time", "5", "--output", "/dev/null", "URL"],
    ["wget", "--quiet", "--tries=1", "--timeout=5", "-O", "/dev/null", "URL"],
    ["wget", "--quiet", "--tries=1", "--timeout=5", "--spider", "URL"],
    ["bash", "-c", 'exec 3<>/dev/tcp/HOST/PORT && printf "GET /healthcheck HTTP/1.0\\r\\n\\r\\n" >&3 && grep -q "^HTTP/1.. 200" <&3'],
]


@pytest.mark.parametrize("script", SCRIPTS, ids=["curl", "wget", "wget --spider", "bash"])
def test_a_script_of_keepalived_s(hub, disabled, script):
    host, port = address(hub).split(":")
    words = [word.replace("URL", f"{hub.gateway.url}/healthcheck").replace("HOST", host).replace("PORT", port) for word in script]

    def ends():
        return subprocess.run(words, capture_output=True, timeout=20, check=False).returncode

    assert ends() == 0
    disabled.touch()
    assert ends() != 0


# --- the kubelet


def probe(url, path, timeout=1):
    """As the kubelet's HTTP probe (`pkg/probe/http`): success is 200 to 399, redirects to the same host are followed, ten at most."""
    host = url.removeprefix("http://")
    for _ in range(10):
        with http_connection(url) as connection:
            connection.timeout = timeout
            connection.request("GET", path, headers={"Host": host, "User-Agent": "kube-probe/1.31", "Accept": "*/*", "Connection": "close"})
            answer = connection.getresponse()
            answer.read(10 << 10)
            location = answer.getheader("Location")
            if not (answer.status in (301, 302, 303, 307, 308) and location):
                return 200 <= answer.status < 400
            if not location.startswith("/") and location.removeprefix("http://").partition("/")[0] != host:
                return True
            path = location.removeprefix("http://" + host)
    return False


@pytest.mark.parametrize("path", ["/healthcheck", "/healthcheck/", "/", "/v1"])
def test_the_kubelet_finds_it_well(hub, path):
    assert probe(hub.gateway.url, path)


def test_the_kubelet_finds_it_unready(hub, disabled):
    disabled.touch()
    assert not probe(hub.gateway.url, "/healthcheck")
    assert probe(hub.gateway.url, "/v1"), "alive, all the same"


def test_who_answers_requests_is_not_probed():
    with fleet(2, every={"probe_interval": 0.3}) as hub:
        record = hub.loc1.add(node("busy"))

        def probed():
            assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
            return len(hub.loc2.asked("GET", "/")) >= 5

        until(probed, what="five probes of the one that is not asked")
        # Where it is gets looked up again now and then.
        assert len(hub.loc1.asked("GET", "/")) <= 1


def test_answers_tell_of_an_upgrade():
    with fleet(1) as hub:
        record = hub.loc1.add(node("here"))
        hub.loc1.versions = ("1.1", "1.100")
        assert hub.get(f"/v1/nodes/{record['uuid']}", version="1.90").status == 200
        until(lambda: hub.get("/v1", version=None).json()["version"]["version"] == "1.100", what="the new range")
        assert not [request for request in hub.loc1.requests if request.status == 406]
