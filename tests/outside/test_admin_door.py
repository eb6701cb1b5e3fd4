"""The admin door: what it tells, whom, and that it stays open when the API is full or drains; the subcommands in front of it."""

import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import threading

import pytest
from admin import SECTION, Admin
from fleet import fleet, until
from gateway import binary
from scripted import hang, held
from standin import new_uuid, node


@pytest.fixture(scope="module")
def module_hub():
    with fleet(3, sections={"admin": {**SECTION, "listen": "127.0.0.1:0"}}) as hub:
        yield hub


@pytest.fixture
def hub(module_hub):
    yield module_hub
    module_hub.heal()


@pytest.fixture
def admin(hub):
    return Admin(hub.gateway)


def loopback(hub):
    """A connection to the door that can be read only; its port stands in the log."""
    address = until(lambda: [line for line in hub.gateway.log().splitlines() if "can be read on http://" in line], what="the door on loopback")
    host, _, port = address[-1].rpartition("http://")[2].strip().rpartition(":")
    return http.client.HTTPConnection(host, int(port), timeout=20)


def read(connection, method, path, body=None, headers=None):
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


# --- the socket


def test_the_socket_is_its_owners(admin):
    mode = os.stat(admin.socket).st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_a_socket_that_was_left_behind_is_no_obstacle(hub, admin):
    """Of a gateway that was killed: the new one takes its place."""
    assert hub.gateway.stop() == 0
    admin.socket.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(admin.socket))
    hub.gateway.start()
    assert admin.get("/live").status == 200


def test_systemd_says_where_the_socket_is(tmp_path):
    with fleet(1, env={"RUNTIME_DIRECTORY": str(tmp_path)}) as hub:
        status = subprocess.run([binary(), "status", "--socket", tmp_path / "admin.sock"], capture_output=True, text=True, check=False, timeout=30)
        assert (status.returncode, status.stderr) == (0, ""), hub.gateway.log()


def test_without_a_socket_there_is_no_door(tmp_path):
    with fleet(1) as hub:
        assert not list(hub.gateway.directory.glob("*.sock"))


# --- what it tells


def test_live_and_ready(admin):
    for path in ("/live", "/ready"):
        said = admin.get(path)
        assert (said.status, said.text) == (200, "OK\n")
        assert admin("HEAD", path).status == 200


def test_the_status_is_that_of_all(hub, admin):
    status = admin.get("/status").document
    assert status["stage"] == "serving"
    assert status["ready"] is True
    assert status["reason"] is None
    assert status["summary"].startswith("3 of 3 locations; ")
    assert status["api_versions"] == {"minimum": "1.1", "maximum": "1.115"}
    assert status["groups"] == {"_": "loc1", "grp1": "loc2", "grp2": "loc3"}
    assert [site["name"] for site in status["locations"]] == ["loc1", "loc2", "loc3"]
    assert admin.get("/locations").document["locations"] == status["locations"]


def test_a_location_is_told_of(hub, admin):
    record = hub.loc2.add(node("told"))
    assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
    site = admin.location("loc2")
    assert site["operator"] == {"state": "enabled", "reason": None, "by": None, "since": None, "source": "file"}
    assert site["observed"]["state"] == "up"
    assert site["usable"] is True
    assert site["groups"] == ["grp1"]
    assert str(hub.loc2.port) in site["endpoints"][0]
    assert site["breaker"] == "closed"
    assert site["versions"] == {"minimum": "1.1", "maximum": "1.115"}
    assert site["nodes"] >= 1
    assert site["latency"]["answers"] >= 1
    assert 0 < site["latency"]["p50"] <= site["latency"]["p90"] <= site["latency"]["p99"]


def test_a_location_that_is_down_is_told_of():
    with fleet(2, every={"breaker_failures": 1, "breaker_reset": 60}, sections={"admin": SECTION}) as hub:
        admin = Admin(hub.gateway)
        before = admin.location("loc2")["observed"]["since"]
        hub.loc2.down()
        assert hub.get("/v1/nodes").status == 503
        site = until(lambda: (site := admin.location("loc2"))["breaker"] == "open" and site, what="the open breaker")
        assert (site["observed"]["state"], site["observed"]["why"], site["usable"]) == ("down", "connect", False)
        assert site["observed"]["since"] > before
        assert site["operator"]["state"] == "enabled", "what is observed is no order"
        status = admin.get("/status").document
        assert status["ready"] is True
        assert re.fullmatch(r"1 of 2 locations, loc2 down \d+ s \(connect\); \d+ nodes", status["summary"])
        hub.loc1.down()
        assert hub.get("/v1/nodes").status == 503
        said = until(lambda: (said := admin.get("/ready")).status == 503 and said, what="not ready")
        assert said.text == "no location can be asked: loc1 (connect), loc2 (connect)\n"


def test_where_a_thing_is(hub, admin):
    record = hub.loc3.add(node(f"n-{new_uuid()[:8]}"))
    nowhere = admin.get(f"/locate/{record['uuid']}").document
    assert (nowhere["asked"], nowhere["found"], nowhere["unknown"]) == (False, [], [])
    asked = admin.get(f"/locate/{record['uuid']}?ask=true").document
    assert [(thing["collection"], thing["location"], thing["known_by"]) for thing in asked["found"]] == [("nodes", "loc3", "asked")]
    known = admin.get(f"/locate/{record['uuid']}").document
    assert [(thing["location"], thing["known_by"], thing["belief"]) for thing in known["found"]] == [("loc3", "directory", "sure")]
    by_name = admin.get(f"/locate/{record['name']}?ask=true").document
    assert by_name["found"][0]["uuid"] == record["uuid"]


def test_what_could_not_be_asked_is_not_nowhere(hub, admin):
    hub.loc2.fault(hang(), path="/v1/nodes/.+")
    finding = admin.get(f"/locate/{new_uuid()}?ask=true").document
    assert finding["found"] == []
    assert "nodes: loc2 (timeout)" in finding["unknown"]


# --- whom


def test_on_loopback_it_is_read_and_not_changed(hub, admin):
    connection = loopback(hub)
    assert read(connection, "GET", "/live") == (200, "OK\n")
    assert read(connection, "GET", "/status")[0] == 200
    for method, path, body in (("PUT", "/locations/loc1/state", '{"state": "maintenance"}'), ("POST", "/reload", None), ("POST", "/drain", None)):
        status, text = read(connection, method, path, body)
        assert (status, "socket only" in text) == (403, True), path
    assert admin.location("loc1")["operator"]["state"] == "enabled"
    assert hub.get("/v1/nodes").status == 200


def test_a_page_in_a_browser_reads_nothing(hub):
    """A name of somebody's that resolves to 127.0.0.1."""
    assert read(loopback(hub), "GET", "/status", headers={"Host": "evil.example:9385"})[0] == 403
    assert read(loopback(hub), "GET", "/status", headers={"Host": "localhost:9385"})[0] == 200


def test_no_other_address_is_listened_on(tmp_path):
    with fleet(1) as hub:
        text = hub.gateway.config_path.read_text() + "\n[admin]\nlisten = 0.0.0.0:9385\n"
        path = tmp_path / "a.conf"
        path.write_text(text)
        done = subprocess.run([binary(), "--config-file", path, "--check-config"], capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 78
        assert "[admin] listen" in done.stderr
        assert "not a loopback address" in done.stderr


@pytest.mark.parametrize("path", ["/live", "/ready", "/status", "/metrics", "/locations", "/locations/loc1", "/locate/x", "/drain", "/reload"])
def test_nothing_of_it_is_on_the_api_door(hub, path):
    for method in ("GET", "POST", "PUT"):
        assert hub.call(method, path).status in (400, 404, 405), method


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nothing", None, 404),
        ("GET", "/locations/loc9", None, 404),
        ("PUT", "/locations/loc9/state", {"state": "enabled"}, 404),
        ("PUT", "/locations/loc1/state", {"state": "on"}, 400),
        ("PUT", "/locations/loc1/state", {"stat": "enabled"}, 400),
        ("DELETE", "/locations/loc1/state", None, 405),
        ("GET", "/drain", None, 405),
        ("POST", "/explain", {"method": "GET"}, 400),
        ("POST", "/explain", {"method": "G T", "path": "/v1"}, 400),
    ],
)
def test_what_is_no_question_is_told(admin, method, path, body, status):
    said = admin(method, path, body)
    assert said.status == status
    assert said.document["error"]


# --- always


def test_it_answers_while_the_api_is_full():
    with fleet(1, api={"max_requests_in_flight": 1}, every={"timeout": 20}, sections={"admin": SECTION}) as hub:
        admin, event = Admin(hub.gateway), threading.Event()
        hub.loc1.fault(held(event), path="/v1/nodes", times=1)
        waiting = threading.Thread(target=lambda: hub.get("/v1/nodes"))
        waiting.start()
        try:
            until(lambda: admin.get("/status").document["requests_in_flight"] == 1, what="a request that waits")
            assert hub.get("/v1/nodes").status == 503, "the API is full"
            assert admin.get("/ready").status == 200
        finally:
            event.set()
            waiting.join()


@pytest.mark.parametrize("by", ["SIGTERM", "the door"])
def test_it_answers_while_the_api_drains(by):
    with fleet(1, every={"timeout": 20}, default={"graceful_shutdown_timeout": 20}, sections={"admin": SECTION}) as hub:
        admin, event = Admin(hub.gateway), threading.Event()
        hub.loc1.fault(held(event), path="/v1/nodes", times=1)
        replies = []
        waiting = threading.Thread(target=lambda: replies.append(hub.get("/v1/nodes").status))
        waiting.start()
        try:
            until(lambda: hub.loc1.asked("GET", "/v1/nodes"), what="a request that waits")
            if by == "SIGTERM":
                hub.gateway.process.signal(signal.SIGTERM)
            else:
                assert admin("POST", "/drain").status == 202
            said = until(lambda: (said := admin.get("/ready")).status == 503 and said, what="not ready")
            assert said.text == "draining\n"
            assert admin.get("/status").document["stage"] in ("leaving", "draining")
            assert admin.get("/live").status == 200
        finally:
            event.set()
            waiting.join()
        assert replies == [200]


# --- the subcommands


def test_status_for_people(hub, admin):
    done = admin.run("status")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("3 of 3 locations; ")
    head = next(index for index, line in enumerate(lines) if line.startswith("LOCATION"))
    assert [line.split()[:3] for line in lines[head + 1 :]] == [[f"loc{number}", "enabled", "up"] for number in (1, 2, 3)]
    column = lines[head].index("OBSERVED")
    assert all(line[column:].startswith("up") for line in lines[head + 1 :])


def test_the_configuration_names_the_socket(admin):
    done = admin.run("status", "--format", "json", by_config=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout).keys() == admin.get("/status").document.keys()


def test_exit_codes(hub, admin, tmp_path):
    record = hub.loc1.add(node(f"n-{new_uuid()[:8]}"))
    for arguments, code in (
        (["locate", "--ask", record["uuid"]], 0),
        (["locate", record["uuid"]], 0),
        (["locate", "--ask", new_uuid()], 1),
        (["explain", "GET", f"/v1/nodes/{record['uuid']}"], 0),
        (["explain", "GET", "/v1/nothing%2F"], 1),
        (["location", "loc9", "enable"], 1),
        (["location", "loc1", "nonsense"], 2),
        (["nonsense"], 2),
    ):
        done = admin.run(*arguments)
        assert done.returncode == code, (arguments, done)
    gone = subprocess.run([binary(), "status", "--socket", tmp_path / "x.sock"], capture_output=True, text=True, check=False, timeout=30)
    assert gone.returncode == 69
    assert "no gateway answers" in gone.stderr


def test_a_request_is_explained_and_not_sent(hub, admin):
    record = hub.loc2.add(node(f"n-{new_uuid()[:8]}"))
    hub.forget_requests()
    ask = {"method": "GET", "path": f"/v1/nodes/{record['uuid']}", "headers": {"X-OpenStack-Ironic-API-Version": "1.90"}}
    explained = admin("POST", "/explain", ask).document
    assert explained["route"] == "/v1/nodes/{}"
    assert explained["version"] == "1.90"
    assert explained["verdict"] == "allowed"
    assert explained["rule"] == "baremetal:node:get"
    assert [one["location"] for one in explained["asked"]] == ["loc1", "loc2", "loc3"]
    assert explained["asked"][0]["question"] == f"GET /v1/nodes/{record['uuid']}"
    ask["headers"]["X-Ironic-Proxy-Location"] = "loc2"
    assert [one["location"] for one in admin("POST", "/explain", ask).document["asked"]] == ["loc2"]
    ask["headers"]["X-OpenStack-Ironic-API-Version"] = "1.999"
    assert admin("POST", "/explain", ask).document["refused"]["status"] == 406
    assert hub.asked() == {}
