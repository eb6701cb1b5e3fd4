"""A request that names its location speaks that location's own versions, by the header or below a path of its own."""

import json

import pytest
from client import fault
from fleet import fleet, until
from standin import Standin, new_uuid, node

LOCATION = "X-Ironic-Proxy-Location"
MAXIMUM = "X-OpenStack-Ironic-API-Maximum-Version"
MINIMUM = "X-OpenStack-Ironic-API-Minimum-Version"
VERSION = "X-OpenStack-Ironic-API-Version"
RANGES = {"loc1": ("1.1", "1.115"), "loc2": ("1.10", "1.82"), "loc3": ("1.1", "1.100")}


@pytest.fixture(scope="module")
def module_hub():
    sites = [Standin(versions=versions) for versions in RANGES.values()]
    with fleet(*sites, wait=False, api={"location_endpoints": True}) as hub:
        until(lambda: hub.get("/v1", version=None).header(MAXIMUM) == "1.82" and hub.get("/v1", version=None).header(MINIMUM) == "1.10")
        yield hub


@pytest.fixture
def hub(module_hub):
    for site in module_hub.all():
        site.nodes.clear()
        site.ports.clear()
        site.max_limit = 1000
    module_hub.heal()
    return module_hub


@pytest.fixture(params=["header", "path"])
def at(request, hub):
    """Asks one location, in both ways."""

    def ask(location, method, path, body=None, version=None, headers=()):
        headers = dict(headers)
        if request.param == "header":
            headers[LOCATION] = location
        else:
            path = f"/locations/{location}{path}"
        return hub.call(method, path, body, version=version, headers=headers)

    ask.base = lambda location: hub.url if request.param == "header" else f"{hub.url}/locations/{location}"
    return ask


@pytest.mark.parametrize("location", RANGES)
@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v1/nodes", "/v1/drivers"])
def test_every_answer_is_of_that_range(hub, at, location, path):
    for version, spoken in (("latest", RANGES[location][1]), (None, RANGES[location][0])):
        reply = at(location, "GET", path, version=version)
        assert reply.status == 200, reply
        assert (reply.header(MINIMUM), reply.header(MAXIMUM)) == RANGES[location]
        assert reply.header(VERSION) == spoken
    text = reply.body.decode()
    if path.startswith("/v1/"):
        return
    assert f'"{RANGES[location][1]}"' in text and at.base(location) + "/v1/" in text


def test_only_what_it_does_not_have_is_406(hub, at):
    assert at("loc1", "GET", "/v1/nodes", version="1.115").status == 200
    reply = at("loc2", "GET", "/v1/nodes", version="1.83")
    assert reply.status == 406
    assert "[1.10, 1.82]" in fault(reply)
    assert (reply.header(MINIMUM), reply.header(MAXIMUM)) == RANGES["loc2"]
    assert "[1.10, 1.82]" in fault(hub.get("/v1/nodes", version="1.115"))


def test_a_route_that_the_others_do_not_know(hub, at):
    hub.loc1.objects["runbooks"][:] = [{"uuid": new_uuid(), "name": "CUSTOM_A", "steps": [], "extra": {}}]
    assert hub.get("/v1/runbooks", version="latest").status == 404
    reply = at("loc1", "GET", "/v1/runbooks", version="latest")
    assert [item["name"] for item in reply.json()["runbooks"]] == ["CUSTOM_A"]
    assert at("loc2", "GET", "/v1/runbooks", version="latest").status == 404


def test_writes_and_links_stay_there(hub, at):
    base = at.base("loc1")
    made = at("loc1", "POST", "/v1/nodes", {"driver": "d", "name": "n"}, version="1.115")
    assert made.status == 201, made
    uuid = made.json()["uuid"]
    assert made.header("Location") == f"{base}/v1/nodes/{uuid}"
    assert made.json()["links"][0]["href"] == f"{base}/v1/nodes/{uuid}"
    # The others were asked whether the name is free, in a version that they have.
    assert {site: [r.status for r in hub.sites[site].asked("GET")] for site in ("loc2", "loc3")} == {
        "loc2": [404], "loc3": [404],
    }  # fmt: skip
    assert at("loc2", "POST", "/v1/nodes", {"driver": "d", "conductor_group": ""}, version="1.82").status == 400
    hub.loc2.add(node(name="n2"))
    assert at("loc1", "GET", "/v1/nodes/n2", version="1.115").status == 404
    for name in "abc":
        hub.loc1.add(node(name=name))
    seen, path = [], "/v1/nodes?limit=2&sort_key=name"
    while path:
        page = at("loc1", "GET", path, version="1.115").json()
        seen += [item["name"] for item in page["nodes"]]
        assert all(item["links"][0]["href"].startswith(f"{base}/v1/") for item in page["nodes"])
        assert page.get("next", base).startswith(base)
        path = page.get("next", "").removeprefix(base)
    assert seen == ["a", "b", "c", "n"]


def test_a_vendor_s_method_is_streamed_there(hub, at):
    found = hub.loc1.add(node(name="v"))
    at("loc1", "POST", f"/v1/nodes/{found['uuid']}/vendor_passthru/bmc_reset", b"{}", version="1.115")
    assert [r.path for r in hub.loc1.asked("POST")] == [f"/v1/nodes/{found['uuid']}/vendor_passthru/bmc_reset"]
    assert hub.asked("POST") == {"loc1": 1}


def test_paths_of_no_location(hub):
    for path in ("/locations/loc9/v1/nodes", "/locations//v1/nodes", "/locations/", "/locations", "/locations/loc9"):
        assert hub.get(path, version="1.50").status == 404, path
    assert hub.get("/locations/LOC1/v1/nodes", version="1.115").status == 200
    assert hub.get("/locations/loc1/nodes", version="1.115").status == 200
    assert hub.get("/locations/loc1/locations/loc1/v1/nodes", version="1.50").status == 404
    refused = hub.get("/locations/loc1/v1/nodes", headers={LOCATION: "loc2"})
    assert refused.status == 400 and "loc1" in fault(refused)
    assert hub.get("/locations/loc1/v1/nodes", headers={LOCATION: "loc1"}).status == 200
    assert hub.get("/", headers={LOCATION: "loc9"}).status == 400


def test_paths_are_served_where_they_are_wanted():
    with fleet(1) as hub:
        assert hub.get("/locations/loc1/v1/nodes").status == 404


def test_a_location_that_is_away_says_so(hub):
    hub.loc3.down()
    try:
        reply = hub.get("/locations/loc3/v1/nodes", version="1.50")
        assert reply.status == 503 and "loc3" in fault(reply)
        assert hub.get("/locations/loc1/v1/nodes", version="1.115").status == 200
    finally:
        hub.loc3.up()
    until(lambda: hub.get("/locations/loc3/v1/nodes", version="1.100").status == 200)


# --- nothing is written

WRITES = [
    ("POST", "/v1/nodes", {"driver": "d"}),
    ("PATCH", "/v1/nodes/{}", [{"op": "add", "path": "/extra/a", "value": 1}]),
    ("DELETE", "/v1/nodes/{}", None),
    ("PUT", "/v1/nodes/{}/states/power", {"target": "power on"}),
    ("PUT", "/v1/nodes/{}/states/provision", {"target": "manage"}),
    ("PUT", "/v1/nodes/{}/maintenance", {}),
    ("DELETE", "/v1/nodes/{}/maintenance", None),
    ("POST", "/v1/nodes/{}/vendor_passthru/x", {}),
    ("POST", "/v1/ports", {}),
    ("POST", "/v1/chassis", {}),
    ("POST", "/v1/allocations", {}),
    ("POST", "/v1/events", {"events": []}),
    ("POST", "/v1/drivers/d/vendor_passthru/x", {}),
    ("POST", "/v1/heartbeat/{}", {"callback_url": "x"}),
    ("POST", "/v1/tomorrows", {}),
    # Makes the token of the machine's agent.
    ("GET", "/v1/lookup?node_uuid={}", None),
    ("GET", "/v1/lookup?addresses=52:54:00:00:00:01", None),
]


@pytest.fixture(scope="module")
def reading():
    options = {"api": {"location_endpoints": True, "enable_ramdisk_endpoints": True}, "default": {"read_only": True}}
    with fleet(2, **options) as hub:
        yield hub


@pytest.mark.parametrize(("method", "path", "body"), WRITES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_read_only_gateway_writes_nothing(reading, method, path, body):
    found = reading.loc1.add(node())
    for prefix, headers in (("", {}), ("", {LOCATION: "loc1"}), ("/locations/loc1", {})):
        reply = reading.call(method, prefix + path.format(found["uuid"]), body, headers=headers)
        assert reply.status == 403, reply
        document = json.loads(reply.json()["error_message"])
        assert document["faultcode"] == "Client" and "read_only" in document["faultstring"]
    assert not [r for site in reading.all() for r in site.requests if r.method != "GET" or "lookup" in r.path]
    assert reading.get(f"/v1/nodes/{found['uuid']}").status == 200
    assert reading.get("/v1/nodes").status == 200
