"""`ironic-proxy check`: the files, the gateway that runs, and with --online every location and both Keystones."""

import contextlib
import http.server
import json
import socketserver
import subprocess
import threading

import pytest
from admin import SECTION
from fleet import fleet, fleet_config
from gateway import DIRECTORY, binary
from scripted import html, with_headers
from standin import Standin, StandinKeystone, node


def conductor(hostname, group="", alive=True):
    return {"hostname": hostname, "conductor_group": group, "alive": alive, "drivers": []}


@pytest.fixture
def sites():
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(Standin()) for _ in range(2)]
        found[0].conductors = [conductor("c1")]
        found[1].conductors = [conductor("c2", "grp1")]
        yield found


def check(tmp_path, endpoints, *arguments, text=None, **options):
    path = tmp_path / "ironic-proxy.conf"
    (tmp_path / "state").mkdir(exist_ok=True)
    path.write_text((text or fleet_config(endpoints, **options)).replace(DIRECTORY, str(tmp_path)))
    words = [binary(), "--config-file", path, "check", *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def online(tmp_path, sites, *arguments, **options):
    return check(tmp_path, [site.endpoint for site in sites], "--online", *arguments, **options)


def test_all_is_well_and_nothing_is_changed(tmp_path, sites):
    done = online(tmp_path, sites)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done
    assert "[group:" not in done.stderr
    for site in sites:
        assert {request.method for request in site.requests} == {"GET"}
        assert len(site.requests) < 10


def test_without_online_nobody_is_asked(tmp_path, sites):
    done = check(tmp_path, [site.endpoint for site in sites])
    assert (done.returncode, done.stdout) == (0, "ok\n"), done
    assert not any(site.requests for site in sites)


def test_a_gateway_that_is_named_has_to_be_there(tmp_path, sites):
    done = check(tmp_path, [site.endpoint for site in sites], "--socket", tmp_path / "x.sock")
    assert (done.returncode, done.stdout) == (69, "ok\n")
    assert "no gateway answers" in done.stderr


class Erring(http.server.BaseHTTPRequestHandler):
    """A gateway whose admin door cannot answer."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b'{"error": "The gateway failed to serve the request."}'
        self.send_response(500)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "a unix socket"


def test_a_gateway_that_cannot_say_what_it_runs(tmp_path, sites):
    """Nothing seems to change then, and that is not the same as that nothing changes."""
    with socketserver.UnixStreamServer(str(tmp_path / "x.sock"), Erring) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        done = check(tmp_path, [site.endpoint for site in sites], "--socket", tmp_path / "x.sock")
    assert "what would change is not known: the gateway answers 500 to /locations" in done.stdout + done.stderr, done


def test_json(tmp_path, sites):
    sites[1].down()
    done = online(tmp_path, sites, "--format", "json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert [fault.partition(":")[0] + ":" for fault in document["faults"]] == ["[group:"], document
    assert "no connection" in document["faults"][0]


def faults(done):
    assert done.returncode == 1, done
    return [line for line in done.stderr.splitlines() if line.startswith("[")]


def warnings(done):
    assert done.returncode == 0, done
    return [line for line in done.stderr.splitlines() if line.startswith("warning: ")]


def test_one_that_cannot_be_reached(tmp_path, sites):
    sites[1].down()
    (fault,) = faults(online(tmp_path, sites))
    assert fault.startswith("[group:loc2]: http://127.0.0.1:")
    assert fault.endswith("no connection")


def test_one_endpoint_of_several(tmp_path, sites):
    with Standin() as other:
        gone = other.endpoint
    done = check(tmp_path, [sites[0].endpoint, f"{gone},{sites[1].endpoint}"], "--online")
    (warning,) = warnings(done)
    assert warning.startswith("warning: [group:loc2]: http://127.0.0.1:")


def test_what_is_no_ironic(tmp_path, sites):
    sites[1].fault(html(200), path=".*")
    (fault,) = faults(online(tmp_path, sites))
    assert "[group:loc2]: what answers is not the root of an Ironic" in fault


def test_a_credential_that_is_refused(tmp_path, sites):
    sites[1].credentials = ("basic", "user", "right")
    wrong = {"loc2": {"auth_type": "http_basic", "username": "user", "password": "wrong"}}
    (fault,) = faults(online(tmp_path, sites, each=wrong))
    assert "[group:loc2]: nodes cannot be read (refused)" in fault


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"system_scope": "all", "password": "right"}, None),
        ({"system_scope": "all", "password": "wrong"}, "no credential can be obtained"),
        ({"project_name": "service", "project_domain_name": "Default", "password": "right"}, "the token is not scoped to the system"),
    ],
)
def test_a_token(tmp_path, sites, options, fault):
    with StandinKeystone({"gw": "right"}) as keystone:
        sites[1].credentials = ("token", keystone.valid)
        section = {"auth_type": "password", "auth_url": f"{keystone.endpoint}/v3", "username": "gw", "user_domain_name": "Default", **options}
        done = online(tmp_path, sites, each={"loc2": section})
        if fault is None:
            assert done.returncode == 0, done
        else:
            assert fault in "\n".join(faults(done))


def test_the_keystone_of_clients(tmp_path, sites):
    with StandinKeystone({"gw": "right"}) as keystone:
        section = {"auth_type": "password", "auth_url": f"{keystone.endpoint}/v3", "username": "gw", "user_domain_name": "Default", "system_scope": "all"}
        for password, code in (("right", 0), ("wrong", 1)):
            sections = {"keystone_authtoken": {**section, "password": password}}
            done = online(tmp_path, sites, api={"auth_strategy": "keystone"}, sections=sections)
            assert done.returncode == code, done
            assert ("[keystone_authtoken]: no token can be obtained" in done.stderr) == bool(code)


def test_versions_that_do_not_fit(tmp_path, sites):
    sites[1].versions = ("1.1", "1.60")
    (fault,) = faults(online(tmp_path, sites, api={"min_max_version": "1.90"}))
    assert "[group:loc2]: its API versions 1.1 to 1.60 leave too little in common" in fault


def test_where_projects_have_nothing(tmp_path, sites):
    """An API that does not tell whose a node is."""
    sites[1].versions = ("1.1", "1.64")
    with StandinKeystone({"gw": "right"}) as keystone:
        section = {"auth_type": "password", "auth_url": f"{keystone.endpoint}/v3", "username": "gw", "user_domain_name": "Default"}
        sections = {"keystone_authtoken": {**section, "system_scope": "all", "password": "right"}}
        for access, told in (("policy", True), ("deny", False)):
            options = {"auth_strategy": "keystone", "project_scoped_access": access}
            done = online(tmp_path, sites, api=options, sections=sections)
            assert done.returncode == 0, done
            assert ("[group:loc2]: its newest API version is 1.64" in done.stderr) == told, done
            assert "[group:loc1]: its API ends" not in done.stderr


def test_a_clock_that_is_behind(tmp_path, sites):
    sites[1].fault(with_headers(("Date", "Thu, 01 Jan 2015 00:00:00 GMT")), path="/")
    (warning,) = warnings(online(tmp_path, sites))
    assert "[group:loc2]: its clock is " in warning
    assert "behind this machine's" in warning


def test_conductor_groups_against_the_map(tmp_path, sites):
    sites[0].conductors = [conductor("c1", alive=False), conductor("c3", "GRP1"), conductor("c4", "grp9")]
    told = warnings(online(tmp_path, sites))
    assert [line.removeprefix("warning: [group:loc1]: ") for line in told] == [
        "its conductor c3 serves the group grp1, which [DEFAULT] groups maps to loc2: new nodes of it go there",
        "its conductor c4 serves the group grp9, which [DEFAULT] groups does not map: no node can be created in it",
        "no live conductor serves the group _, which [DEFAULT] groups maps to it",
    ]


def test_one_in_maintenance_is_not_asked(tmp_path, sites):
    (warning,) = warnings(online(tmp_path, sites, each={"loc2": {"state": "maintenance"}}))
    assert "[group:loc2]: is in maintenance, so it is not asked" in warning
    assert sites[1].requests == []


def test_what_is_still_known_where_a_location_goes(tmp_path):
    with fleet(3, sections={"admin": SECTION}) as hub:
        record = hub.loc3.add(node("left"))
        assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
        text = hub.gateway.config_path.read_text()
        lessened = text[: text.index("[group:loc3]")] + text[text.index("[node_cache]") :]
        for groups, told in (
            ("_:loc1,grp1:loc2", ["location `loc3` is no longer in the file, and 1 nodes are known there"]),
            ("_:loc2,grp1:loc2", ["conductor group _ moves from location `loc1` to `loc2`", "location `loc3` is no longer in the file"]),
        ):
            done = check(tmp_path, [], text=lessened.replace("_:loc1,grp1:loc2,grp2:loc3", groups))
            lines = warnings(done)
            assert len(lines) == len(told), lines
            assert all(line.startswith(f"warning: {start}") for line, start in zip(lines, told, strict=True)), lines
