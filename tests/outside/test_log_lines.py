"""The lines of the log: what one says of a request, whom it names, and how loud it is."""

import json
import os
import re
import threading

import pytest
from admin import SECTION, Admin
from fleet import fleet, until
from metrics import read
from scripted import hang
from standin import Standin, new_uuid, node
from test_log_and_files import Child

LINE = re.compile(
    r'^\S+ \S+ \d+ (?P<level>[A-Z]+) ironic_proxy\.access \[(?P<context>[^]]*)\] (?P<client>\S+) "(?P<method>\S+) (?P<target>\S+) \S+" '
    r"status: (?P<status>\d+) len: (?P<bytes>\d+) time: (?P<seconds>[\d.]+) location: (?P<location>\S+) error: (?P<error>\S+) "
    r"route: (?P<route>\S+) locations=(?P<locations>\S+)(?: slow: (?P<slow>\S+))?$",
    re.MULTILINE,
)


@pytest.fixture(scope="module")
def module_hub():
    with fleet(3) as hub:
        yield hub


@pytest.fixture
def hub(module_hub):
    yield module_hub
    module_hub.heal()


def line(hub, call):
    """The line of the request that `call` makes."""
    since = len(hub.gateway.log())
    call()
    return until(lambda: LINE.search(hub.gateway.log()[since:]), what="the line of a request")


def took(text):
    """`loc1:0.012,loc3:timeout:5.000`, by name: (reason, seconds)."""
    return {name: (reason.rstrip(":") or None, float(seconds)) for name, reason, seconds in re.findall(r"(\w+):((?:\w+:)?)([\d.]+)", text)}


# --- which site


def test_a_line_names_each_location_that_was_asked(hub):
    for site in hub.all():
        site.add(node(f"n-{new_uuid()[:8]}"))
    said = line(hub, lambda: hub.get("/v1/nodes"))
    assert (said["level"], said["status"], said["route"], said["slow"]) == ("INFO", "200", "/v1/nodes", None)
    asked = took(said["locations"])
    assert set(asked) == {"loc1", "loc2", "loc3"}
    assert all(reason is None and seconds <= float(said["seconds"]) + 0.001 for reason, seconds in asked.values())


def test_a_slow_request_is_a_warning_that_names_the_location(hub):
    hub.loc2.fault(hang(), path="/v1/nodes", times=1)
    said = line(hub, lambda: hub.get("/v1/nodes", headers={"X-Ironic-Proxy-Partial": "allow"}))
    assert (said["level"], said["status"], said["slow"]) == ("WARNING", "200", "loc2")
    asked = took(said["locations"])
    assert asked["loc2"][0] == "timeout" and 2 <= asked["loc2"][1] < 6
    assert asked["loc1"][0] is None and asked["loc1"][1] < 1


def test_one_node_is_one_location(hub):
    record = hub.loc3.add(node(f"n-{new_uuid()[:8]}"))
    hub.get(f"/v1/nodes/{record['uuid']}")
    said = line(hub, lambda: hub.get(f"/v1/nodes/{record['uuid']}"))
    assert (said["location"], set(took(said["locations"])), said["route"]) == ("loc3", {"loc3"}, "/v1/nodes/{node}")
    said = line(hub, lambda: hub.call("POST", f"/v1/nodes/{record['uuid']}/vendor_passthru/a", {}))
    assert set(took(said["locations"])) == {"loc3"}
    said = line(hub, lambda: hub.get("/v1"))
    assert (said["locations"], said["route"]) == ("-", "/v1")


def test_a_name_that_is_nobodys_is_told_once():
    """Whoever does not answer is looked for every second."""
    each = {"loc2": {"endpoint_override": "http://nobody.invalid:6385"}}
    with fleet(Standin(), Standin(), wait=False, each=each, every={"probe_interval": 0.05}) as hub:
        hub.logged("A host name of location `loc2` cannot be resolved")
        # Both are probed alike.
        hub.forget_requests()
        until(lambda: len(hub.loc1.asked("GET", "/")) >= 20, what="twenty probes")
        assert hub.gateway.log().count("cannot be resolved") == 1


def test_when_it_is_slow_is_configured():
    for slow, level in ((0, "INFO"), (0.000001, "WARNING")):
        with fleet(1, api={"slow_request": slow}) as hub:
            assert line(hub, lambda: hub.get("/v1/nodes"))["level"] == level


def test_of_many_locations_the_slowest_are_named():
    with fleet(20) as hub:
        hub.loc17.fault(hang(), path="/v1/nodes", times=1)
        said = line(hub, lambda: hub.get("/v1/nodes", headers={"X-Ironic-Proxy-Partial": "allow"}))
        assert said["locations"].startswith("loc17:timeout:")
        assert said["locations"].endswith(",+4")
        assert len(took(said["locations"])) == 16


# --- for programs


def test_json_has_numbers():
    with fleet(2, default={"use_json": True}) as hub:
        record = hub.loc1.add(node("here"))
        hub.loc2.fault(hang(), path="/v1/nodes/.*", times=1)
        since = len(hub.gateway.log())
        assert hub.get(f"/v1/nodes/{new_uuid()}").status == 503
        assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200

        def lines():
            found = [json.loads(text) for text in hub.gateway.log()[since:].splitlines()]
            found = [one for one in found if one["name"] == "ironic_proxy.access"]
            return found if len(found) == 2 else None

        slow, quick = until(lines, what="two lines")
        context = slow["context"]
        assert (slow["levelname"], context["slow"], context["status"]) == ("WARNING", "loc2", 503)
        assert type(context["bytes"]) is int and type(context["seconds"]) is float
        silent = [one for one in context["locations"] if one["name"] == "loc2"]
        assert [(one["reason"], 2 <= one["seconds"] < 6) for one in silent] == [("timeout", True)]
        context = quick["context"]
        assert (quick["levelname"], context["status"], context["method"], context["route"]) == ("INFO", 200, "GET", "/v1/nodes/{node}")
        assert (context["client"], context["user_id"], context["project_id"], context["slow"]) == ("127.0.0.1", "-", "-", "-")
        assert context["request_id"].startswith("req-")


# --- whom


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ({"X-Forwarded-For": "192.0.2.7"}, "192.0.2.7"),
        ({"X-Forwarded-For": "192.0.2.7, 10.0.0.1"}, "192.0.2.7"),
        ({"X-Forwarded-For": "2001:db8::7"}, "2001:db8::7"),
        ({"Forwarded": 'for="[2001:db8::7]:4711";proto=https, for=10.0.0.1'}, "2001:db8::7"),
        ({"Forwarded": "for=192.0.2.9:80", "X-Forwarded-For": "192.0.2.7"}, "192.0.2.9"),
        ({"Forwarded": "for=_hidden"}, "127.0.0.1"),
        ({"X-Forwarded-For": "a b\tc"}, "127.0.0.1"),
        ({}, "127.0.0.1"),
    ],
)
def test_the_client_is_who_the_balancer_says(balanced, headers, client):
    assert line(balanced, lambda: balanced.get("/v1", headers=headers))["client"] == client


@pytest.fixture(scope="module")
def balanced():
    with fleet(1, sections={"oslo_middleware": {"enable_proxy_headers_parsing": True}}) as hub:
        yield hub


def test_nobody_else_is_believed(hub):
    assert line(hub, lambda: hub.get("/v1", headers={"X-Forwarded-For": "192.0.2.7", "Forwarded": "for=192.0.2.8"}))["client"] == "127.0.0.1"


# --- how loud


@pytest.mark.parametrize("debug", [False, True])
def test_a_health_check_is_a_line_only_for_who_debugs(debug):
    with fleet(1, default={"debug": debug}) as hub:
        since = len(hub.gateway.log())
        assert hub.get("/healthcheck").status == 200
        assert hub.get("/v1").status == 200
        until(lambda: ' "GET /v1 ' in hub.gateway.log()[since:], what="a line")
        found = [match["level"] for match in LINE.finditer(hub.gateway.log()[since:]) if match["target"] == "/healthcheck"]
        assert found == (["DEBUG"] if debug else [])


@pytest.mark.parametrize("names_it", [True, False])
def test_the_journal_is_told_priorities(tmp_path, names_it):
    """systemd names the standard error that it gives a service; another one is no journal."""
    reader, writer = os.pipe()
    here = os.fstat(writer)
    environment = {**os.environ, "JOURNAL_STREAM": f"{here.st_dev}:{here.st_ino + (not names_it)}"}
    text = bytearray()
    with Standin() as site, Child(tmp_path, site, writer, env=environment) as child:
        os.close(writer)
        thread = threading.Thread(target=lambda: [text.extend(part) for part in iter(lambda: os.read(reader, 65536), b"")])
        thread.start()
        client = child.client()
        until(lambda: client.get("/v1/nodes").status == 200, what="an answer")
        site.fault(hang(), path="/v1/nodes", times=1)
        assert client.get("/v1/nodes").status == 503
    thread.join(10)
    os.close(reader)
    lines = text.decode().splitlines()
    levels = {"ERROR": "<3>", "WARNING": "<4>", "INFO": "<6>", "DEBUG": "<7>"}
    seen = set()
    for one in lines:
        found = re.match(r"(<\d>)?\d{4}-\S+ \S+ \d+ ([A-Z]+) ", one)
        assert found, one
        assert found[1] == (levels[found[2]] if names_it else None), one
        seen.add(found[2])
    assert {"INFO", "WARNING"} <= seen


def test_lines_that_nobody_took_are_counted(tmp_path):
    """/dev/full is a log without room."""
    with Standin() as site, open("/dev/full", "wb") as full, Child(tmp_path, site, full, sections={"admin": SECTION}) as child:
        client = child.client()
        until(lambda: client.get("/v1/nodes").status == 200, what="an answer")
        child.directory = tmp_path
        until(lambda: read(Admin(child))("ironic_proxy_log_lines_lost_total") >= 1, what="lines that are lost")
