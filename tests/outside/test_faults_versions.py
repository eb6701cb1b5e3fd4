"""One range of microversions out of many: what is common, what is said, and what each location is told."""

import json
import re

import pytest
import scripted
from fleet import LATEST, Client, assert_unavailable, fleet, until
from standin import Standin, new_uuid, node

MINIMUM = "X-OpenStack-Ironic-API-Minimum-Version"
MAXIMUM = "X-OpenStack-Ironic-API-Maximum-Version"
VERSION = "X-OpenStack-Ironic-API-Version"


def form_b(status, title, description):
    return {"error_message": json.dumps({"code": status, "title": title, "description": description})}


def common_range(hub):
    """The range that the gateway shows, or None while it shows none."""
    reply = hub.get("/v1", version=None)
    return (reply.header(MINIMUM), reply.header(MAXIMUM)) if reply.status == 200 else None


def wait_range(hub, low, high):
    until(lambda: common_range(hub) == (low, high), what=f"the range {low} to {high}")
    hub.forget_requests()


@pytest.fixture(scope="module")
def mixed():
    """loc1 is new, loc2 is old, loc3 has given up its oldest versions."""
    sites = [Standin(), Standin(versions=("1.1", "1.100")), Standin(versions=("1.38", "1.110"))]
    with fleet(*sites, wait=False) as hub:
        wait_range(hub, "1.38", "1.100")
        yield hub


@pytest.fixture
def hub(mixed):
    for site in mixed.all():
        site.nodes.clear()
    mixed.heal()
    yield mixed


# --- the range


def test_version_documents_show_what_is_common(hub):
    root = hub.get("/", version=None)
    assert root.status == 200
    for entry in (root.json()["default_version"], root.json()["versions"][0], hub.get("/v1", version=None).json()["version"]):
        assert entry == {
            "id": "v1",
            "links": [{"href": f"{hub.url}/v1/", "rel": "self"}],
            "status": "CURRENT",
            "min_version": "1.38",
            "version": "1.100",
        }


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v1/nodes", "/v1/nodes/nobody", "/v1/nodes/here", "/v1/nodes/here/states", "/v1/nodes?limit=0"]
)
def test_every_answer_carries_the_common_range(hub, path):
    hub.loc2.add(node("here"))
    reply = hub.get(path, version="1.50")
    assert (reply.header(MINIMUM), reply.header(MAXIMUM), reply.header(VERSION)) == ("1.38", "1.100", "1.50"), reply


def test_answers_that_ironic_gives_without_version_headers(hub):
    reply = hub.get("/v1/nodes", version="abc")
    assert reply.status == 406
    assert reply.header(VERSION) is None and reply.header(MINIMUM) is None and reply.header(MAXIMUM) is None, reply


SPOKEN = [
    ({VERSION: "1.50"}, "1.50"),
    ({VERSION: " 1.50 "}, "1.50"),
    ({VERSION: "1.050"}, "1.50"),
    ({VERSION: "1.50, 1.60"}, "1.60"),
    ({VERSION: "latest"}, "1.100"),
    ({VERSION: "LATEST"}, "1.100"),
    ({VERSION: "1.38"}, "1.38"),
    ({VERSION: "1.100"}, "1.100"),
    ({}, "1.38"),
    ({VERSION: ""}, "1.38"),
    ({"OpenStack-API-Version": "baremetal 1.78"}, "1.78"),
    ({"OpenStack-API-Version": "baremetal latest"}, "1.100"),
    ({"OpenStack-API-Version": "BAREMETAL 1.62"}, "1.62"),
    ({"OpenStack-API-Version": "compute 2.10"}, "1.38"),
    ({"OpenStack-API-Version": "compute 2.10, baremetal 1.60"}, "1.60"),
    ({"OpenStack-API-Version": "bare-metal 1.62"}, "1.38"),
    ({"OpenStack-API-Version": "1.62"}, "1.38"),
    ({"OpenStack-API-Version": "baremetal 1.78", VERSION: "1.50"}, "1.78"),
    ({"OpenStack-API-Version": "compute 2.10", VERSION: "1.50"}, "1.50"),
    ([("OpenStack-API-Version", "compute 2.10"), ("OpenStack-API-Version", "baremetal 1.61")], "1.61"),
]


@pytest.mark.parametrize(("headers", "spoken"), SPOKEN, ids=[str(case[0]) for case in SPOKEN])
def test_what_is_asked_and_what_each_location_is_told(hub, headers, spoken):
    record = hub.loc2.add(node("here"))
    reply = hub.get("/v1/nodes", version=None, headers=headers)
    assert reply.status == 200, reply
    assert reply.header(VERSION) == spoken
    reply = hub.get(f"/v1/nodes/{record['uuid']}/states", version=None, headers=headers)
    assert (reply.status, reply.header(VERSION)) == (200, spoken)
    hub.post("/v1/nodes", {"driver": "fake-hardware"}, version=None, headers=headers)
    hub.patch(f"/v1/nodes/{record['uuid']}", [], version=None, headers=headers)
    for site in hub.all():
        for request in site.requests:
            assert re.fullmatch(r"1\.\d+", request.header(VERSION)), f"{request} got {request.header_values(VERSION)}"
            assert request.header("OpenStack-API-Version") is None
    # Our own questions may speak a version of our own; what is the client's is in the client's.
    routed = [request for request in hub.loc2.requests if request.path.endswith("/states") or request.method == "PATCH"]
    routed += hub.loc1.asked("POST")
    assert len(routed) == 3
    assert {request.header(VERSION) for request in routed} == {spoken}


# --- 406


REFUSED = [
    ({VERSION: "1.101"}, "Version 1.101 was requested but the minor version is not supported by this service."),
    ({VERSION: "1.115"}, "Version 1.115 was requested but the minor version is not supported by this service."),
    ({VERSION: "1.37"}, "Version 1.37 was requested but the minor version is not supported by this service."),
    ({VERSION: "1.1"}, "Version 1.1 was requested but the minor version is not supported by this service."),
    ({VERSION: "1.-1"}, "Version 1.-1 was requested but the minor version is not supported by this service."),
    ({VERSION: "2.0"}, "Mutually exclusive versions requested. Version 2.0 requested but not supported by this service."),
    ({VERSION: "0.9"}, "Mutually exclusive versions requested. Version 0.9 requested but not supported by this service."),
    ({"OpenStack-API-Version": "baremetal 1.999"}, "Version 1.999 was requested but the minor version is not supported by this service."),
]


@pytest.mark.parametrize(("headers", "text"), REFUSED, ids=[str(case[0]) for case in REFUSED])
def test_406_with_the_range(hub, headers, text):
    reply = hub.get("/v1/nodes", version=None, headers=headers)
    assert reply.status == 406
    assert reply.header("Content-Type") == "application/json"
    description = f"{text} The supported version range is: [1.38, 1.100]."
    assert reply.body.decode() == json.dumps(form_b(406, "Not Acceptable", description))
    assert (reply.header(MINIMUM), reply.header(MAXIMUM)) == ("1.38", "1.100")
    assert reply.header(VERSION) is None
    assert hub.asked() == {}
    on_root = hub.get("/", version=None, headers=headers)
    assert on_root.status == 406
    assert on_root.fault() == {"faultcode": "Client", "faultstring": description, "debuginfo": None}


@pytest.mark.parametrize("value", ["1", "1.2.3", "abc", "null", "1.", ".5", "1.5x", "1.5 x", "baremetal 1.50"])
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_406_of_what_is_no_version(hub, value, method):
    hub.loc1.add(node("here"))
    path = "/v1/nodes" if method in ("GET", "POST") else "/v1/nodes/here"
    body = {"driver": "fake-hardware"} if method == "POST" else [] if method == "PATCH" else None
    reply = hub.call(method, path, body, version=None, headers={VERSION: value})
    assert reply.status == 406, reply
    description = "Invalid value for X-OpenStack-Ironic-API-Version header"
    assert reply.body.decode() == json.dumps(form_b(406, "Not Acceptable", description))
    assert reply.header(MINIMUM) is None and reply.header(MAXIMUM) is None
    assert hub.asked() == {}


def test_406_about_a_field_is_the_locations(hub):
    own = Client(hub.loc1.endpoint).get("/v1/nodes?fields=owner", version="1.45")
    reply = hub.get("/v1/nodes?fields=owner", version="1.45")
    assert (reply.status, reply.body) == (own.status, own.body)
    assert reply.status == 406


# --- the documents


@pytest.mark.parametrize("version", [None, "1.1", "1.34", "1.50", "1.92", "1.115", "latest"])
@pytest.mark.parametrize("path", ["/", "/v1", "/v1/"])
def test_documents_are_those_of_one_ironic(version, path, new_hub):
    own = Client(new_hub.loc1.endpoint).get(path, version=version)
    reply = new_hub.get(path, version=version)
    assert reply.status == own.status == 200
    assert reply.body.replace(new_hub.url.encode(), b"BASE") == own.body.replace(new_hub.loc1.endpoint.encode(), b"BASE")
    for name in (MINIMUM, MAXIMUM, VERSION):
        assert reply.header(name) == own.header(name)


@pytest.fixture(scope="module")
def new_hub():
    with fleet(2) as hub:
        yield hub


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_the_root_answers_every_method(new_hub, method):
    assert new_hub.call(method, "/").status == 200
    assert new_hub.call(method, "/v1").status == 405


def test_options_and_head_are_ours(new_hub):
    new_hub.forget_requests()
    for path in ("/v1", "/v1/nodes", "/v1/nodes/x"):
        reply = new_hub.call("OPTIONS", path)
        assert (reply.status, reply.body) == (200, b"")
    # Ironic answers any method on "/" with its document.
    assert new_hub.call("OPTIONS", "/").body == new_hub.get("/").body
    for path in ("/", "/v1"):
        reply = new_hub.call("HEAD", path)
        assert (reply.status, reply.body) == (200, b"")
        assert int(reply.header("Content-Length")) == len(new_hub.get(path).body)
    assert new_hub.call("HEAD", "/v1/nodes/x").status == 405
    assert new_hub.asked() == {}


# --- quarantine


def test_quarantine_of_a_location_below_min_max_version():
    sites = [Standin(), Standin(versions=("1.1", "1.50"))]
    with fleet(*sites, api={"min_max_version": "1.90"}, wait=False) as hub:
        hub.loc1.add(node("here"))
        hub.loc2.add(node("there"))
        wait_range(hub, "1.1", "1.115")
        assert hub.get("/v1/nodes/here").status == 200
        reply = until(lambda: (r := hub.get("/v1/nodes")).status == 503 and b"loc2" in r.body and r, what="the quarantine of loc2")
        assert_unavailable(reply, "loc2")
        assert_unavailable(hub.get("/v1/nodes/there"), "loc2")
        assert_unavailable(hub.get("/v1/nodes/nobody"), "loc2")
        assert_unavailable(hub.post("/v1/nodes", {"driver": "fake-hardware", "conductor_group": "grp1"}), "loc2")
        reply = hub.get("/v1/nodes", headers={"X-Ironic-Proxy-Partial": "allow"})
        assert (reply.status, reply.header("X-Ironic-Proxy-Incomplete")) == (200, "loc2;reason=quarantine")
        assert reply.names() == ["here"]
        hub.logged(r"(WARN|ERROR).*loc2.*1\.50")


def test_quarantine_ends_with_an_upgrade():
    sites = [Standin(), Standin(versions=("1.1", "1.50"))]
    with fleet(*sites, api={"min_max_version": "1.90"}, every={"probe_interval": 1}, wait=False) as hub:
        hub.loc2.add(node("there"))
        wait_range(hub, "1.1", "1.115")
        until(lambda: hub.get("/v1/nodes/there").status == 503)
        hub.loc2.versions = ("1.1", "1.100")
        wait_range(hub, "1.1", "1.100")
        assert hub.get("/v1/nodes/there", version="1.100").status == 200


def test_ranges_with_nothing_in_common():
    sites = [Standin(versions=("1.1", "1.30")), Standin(versions=("1.46", "1.115"))]
    with fleet(*sites, wait=False) as hub:
        hub.loc1.add(node("old"))
        hub.loc2.add(node("new"))
        shown = until(lambda: common_range(hub), what="any range")
        until(lambda: len(hub.loc1.requests) and len(hub.loc2.requests), what="questions to both")
        shown = until(lambda: common_range(hub) in (("1.1", "1.30"), ("1.46", "1.115")) and common_range(hub), what=f"a sane range, not {shown}")
        version = shown[1]
        served, quarantined = ("old", "loc2") if version == "1.30" else ("new", "loc1")
        assert hub.get(f"/v1/nodes/{served}", version=version).status == 200
        reply = until(
            lambda: (r := hub.get("/v1/nodes", version=version)).status == 503 and quarantined.encode() in r.body and r,
            what=f"the quarantine of {quarantined}",
        )
        assert_unavailable(reply, quarantined)
        hub.logged(rf"(WARN|ERROR).*{quarantined}")


# --- locations that come and go


def test_no_range_is_known():
    sites = [Standin(), Standin()]
    for site in sites:
        site.down()
    with fleet(*sites, wait=False, every={"probe_interval": 1}) as hub:
        hub.loc2.add(node("there"))
        for path in ("/", "/v1", "/v1/nodes", "/v1/nodes/there"):
            reply = hub.get(path)
            assert reply.status == 503, reply
            assert reply.header("Retry-After") is None
            assert reply.header("Content-Type").startswith("application/json")
        # One comes up, and is taken in without a restart.
        hub.loc2.versions = ("1.1", "1.100")
        hub.loc2.up()
        wait_range(hub, "1.1", "1.100")
        assert hub.get("/v1/nodes/there", version="1.100").status == 200
        assert_unavailable(hub.get("/v1/nodes/nobody", version="1.100"), "loc1")
        # Then the other, whose range counts from then on.
        hub.loc1.versions = ("1.1", "1.90")
        hub.loc1.up()
        wait_range(hub, "1.1", "1.90")
        assert hub.get("/v1/nodes", version="1.90").names() == ["there"]


def test_a_location_that_was_never_seen_is_left_out():
    sites = [Standin(), Standin(versions=("1.1", "1.50"))]
    sites[1].down()
    with fleet(*sites, wait=False) as hub:
        hub.loc1.add(node("here"))
        wait_range(hub, "1.1", "1.115")
        assert hub.get("/v1/nodes/here").status == 200
        assert_unavailable(hub.get("/v1/nodes"), "loc2")


def test_the_last_known_range_counts_while_a_location_is_down():
    sites = [Standin(), Standin(versions=("1.1", "1.100"))]
    with fleet(*sites, wait=False, every={"probe_interval": 1}) as hub:
        wait_range(hub, "1.1", "1.100")
        hub.loc2.down()
        log = len(hub.loc1.requests)
        until(lambda: len(hub.loc1.requests) > log + 2, what="two more probes")
        assert common_range(hub) == ("1.1", "1.100")


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_the_last_known_range_survives_a_restart(how):
    sites = [Standin(), Standin(versions=("1.2", "1.100"))]
    with fleet(*sites, wait=False) as hub:
        wait_range(hub, "1.2", "1.100")
        if how == "kill":
            # Written when it was learnt, not only at a clean end.
            file = hub.gateway.directory / "state" / "directory.jsonl"
            until(lambda: file.exists() and '"minor":100' in file.read_text(), what="what loc2 speaks in the state file")
            hub.gateway.kill()
        else:
            assert hub.gateway.stop() == 0
        hub.loc2.down()
        hub.gateway.start()
        until(lambda: common_range(hub), what="a range")
        assert common_range(hub) == ("1.2", "1.100")
        assert hub.get("/v1/nodes", version=LATEST).status == 406


def test_a_range_is_refreshed_in_the_background():
    with fleet(2, every={"probe_interval": 1}) as hub:
        wait_range(hub, "1.1", "1.115")
        hub.loc2.versions = ("1.1", "1.109")
        wait_range(hub, "1.1", "1.109")
        hub.loc2.versions = ("1.1", "1.115")
        wait_range(hub, "1.1", "1.115")


def test_a_406_of_a_location_refreshes_its_range():
    """A location was downgraded and the next probe is far away."""
    with fleet(2) as hub:
        record = hub.loc2.add(node("there"))
        assert hub.get("/v1/nodes/there").status == 200
        hub.loc2.versions = ("1.1", "1.90")
        reply = hub.get(f"/v1/nodes/{record['uuid']}")
        assert reply.status == 406, reply
        assert reply.header(MAXIMUM) == "1.90"
        assert "[1.1, 1.90]" in reply.text()
        wait_range(hub, "1.1", "1.90")
        assert hub.get(f"/v1/nodes/{record['uuid']}", version="1.90").status == 200


def test_a_406_in_a_list_is_the_clients_answer():
    with fleet(2) as hub:
        hub.loc2.versions = ("1.1", "1.90")
        reply = hub.get("/v1/nodes")
        assert reply.status == 406, reply
        assert reply.header(MAXIMUM) == "1.90"
        wait_range(hub, "1.1", "1.90")
        assert hub.get("/v1/nodes", version="1.90").status == 200


@pytest.mark.parametrize("fault", [scripted.html(200), scripted.answers(200, b"{}"), scripted.garbage(), scripted.answers(404), scripted.hang()])
def test_a_site_that_is_no_ironic_has_no_range(fault):
    sites = [Standin(), Standin()]
    sites[1].fault(fault)
    with fleet(*sites, wait=False, every={"timeout": 1, "probe_interval": 1}) as hub:
        wait_range(hub, "1.1", "1.115")
        assert_unavailable(hub.get("/v1/nodes"), "loc2")
        assert_unavailable(hub.get(f"/v1/nodes/{new_uuid()}"), "loc2")
        hub.loc2.heal()
        until(lambda: hub.get("/v1/nodes").status == 200, what="loc2 being taken in")


def test_ranges_are_compared_as_numbers():
    """1.9 is older than 1.10."""
    sites = [Standin(versions=("1.9", "1.100")), Standin(versions=("1.10", "1.99"))]
    with fleet(*sites, wait=False) as hub:
        wait_range(hub, "1.10", "1.99")
