"""`explain` with a body: where a new node would go, and why; nothing is sent."""

import json

import pytest
from admin import SECTION, Admin
from fleet import fleet
from standin import Standin, node

LOCATION = "X-Ironic-Proxy-Location"
EACH = {
    "loc1": {"bmc_addresses": "10.10.0.0/16, 10.99.0.0/24"},
    "loc2": {"local_groups": "berlin:_", "bmc_addresses": "10.20.0.0/16, 10.98.0.0/24"},
    "loc3": {"local_groups": "lyon:gpu", "bmc_addresses": "*.lyon.example.com"},
}
OPTIONS = {"groups": "_:loc1,berlin:loc2,lyon:loc3", "each": EACH, "sections": {"admin": SECTION}}


@pytest.fixture(scope="module")
def hub():
    with fleet(Standin(), Standin(), Standin(), **OPTIONS) as running:
        yield running


@pytest.fixture
def explain(hub):
    """What the admin door says of a create; no location is asked for it."""
    admin = Admin(hub.gateway)
    hub.forget_requests()

    def asked(body, method="POST", path="/v1/nodes", headers=()):
        headers = {"X-OpenStack-Ironic-API-Version": "1.115", **dict(headers)}
        said = admin("POST", "/explain", {"method": method, "path": path, "headers": headers, "body": body})
        assert said.status == 200, said
        return said.document

    yield asked
    assert hub.asked() == {}


@pytest.mark.parametrize(
    ("body", "location", "sent", "why"),
    [
        ({}, "loc1", None, "default group"),
        ({"conductor_group": None}, "loc1", "", "default group"),
        ({"conductor_group": ""}, "loc1", "", "asks for the default group"),
        ({"conductor_group": "Berlin"}, "loc2", "", "conductor group berlin"),
        ({"conductor_group": "lyon"}, "loc3", "gpu", "conductor group lyon"),
        ({"driver_info": {"ipmi_address": "10.10.0.7"}}, "loc1", None, "10.10.0.7 is in 10.10.0.0/16"),
        ({"driver_info": {"redfish_address": "https://10.20.0.7:8443"}}, "loc2", None, "10.20.0.7 is in 10.20.0.0/16"),
        ({"driver_info": {"ipmi_address": "r1.lyon.example.com"}}, "loc3", "gpu", r"r1.lyon.example.com is in *.lyon.example.com"),
        ({"driver_info": {"ipmi_address": "10.50.0.7"}}, "loc1", None, "default group"),
        ({"conductor_group": "lyon", "driver_info": {"ipmi_address": "10.20.0.7"}}, "loc3", "gpu", "conductor group lyon"),
    ],
)
def test_where_a_node_would_go(hub, explain, body, location, sent, why):
    told = explain({"driver": "d", **body})
    assert [one["location"] for one in told["asked"]] == [location]
    assert (told["sent_with_group"], told["refused"]) == (sent, None)
    assert why in told["how"]
    # And there it goes.
    done = hub.post("/v1/nodes", {"driver": "d", **body})
    assert (done.status, done.header(LOCATION)) == (201, location)
    (there,) = hub.sites[location].asked("POST")
    assert there.json().get("conductor_group") == sent
    hub.heal()


@pytest.mark.parametrize(
    ("body", "headers", "why"),
    [
        ({"conductor_group": "paris"}, {}, "paris"),
        ({"conductor_group": "a b"}, {}, "a b"),
        ({"conductor_group": "lyon"}, {LOCATION: "loc2"}, "loc3"),
        ({"driver_info": {"ipmi_address": "10.20.0.7"}}, {LOCATION: "loc3"}, "loc2"),
        ({"driver_info": {"ipmi_address": "10.99.0.7", "redfish_address": "https://10.98.0.7"}}, {}, "loc1, loc2"),
        ([], {}, ""),
        ("text", {}, ""),
    ],
)
def test_what_would_be_refused(hub, explain, body, headers, why):
    body = {"driver": "d", **body} if isinstance(body, dict) else body
    refused = explain(body, headers=headers)["refused"]
    assert refused["status"] == 400 and why in refused["text"]
    done = hub.post("/v1/nodes", body, headers=headers)
    assert (done.status, done.text()) == (refused["status"], refused["text"])
    hub.heal()


@pytest.mark.parametrize("location", ["loc1", "loc2", "loc3"])
def test_a_named_location_needs_no_group(hub, explain, location):
    """A client that is pointed at one site need not know what its groups are called."""
    told = explain({"driver": "d"}, headers={LOCATION: location})
    assert [one["location"] for one in told["asked"]] == [location]
    sent = {"loc1": None, "loc2": None, "loc3": "gpu"}[location]
    done = hub.post("/v1/nodes", {"driver": "d"}, headers={LOCATION: location})
    assert (done.status, done.header(LOCATION)) == (201, location)
    (there,) = hub.sites[location].asked("POST")
    assert there.json().get("conductor_group") == sent == told["sent_with_group"]
    hub.heal()


@pytest.mark.parametrize(("state", "reason"), [("read_only", "read_only"), ("draining", "draining"), ("maintenance", "maintenance")])
def test_a_location_that_takes_nothing_new(hub, explain, state, reason):
    admin = Admin(hub.gateway)
    admin.set("loc2", state)
    try:
        told = explain({"driver": "d", "conductor_group": "berlin"})
        assert [(one["location"], one["not_asked"]) for one in told["asked"]] == [("loc2", reason)]
        done = hub.post("/v1/nodes", {"driver": "d", "conductor_group": "berlin"})
        assert (done.status, done.text()) == (told["refused"]["status"], told["refused"]["text"]) and done.status == 503
        assert explain({"driver": "d"})["refused"] is None
    finally:
        admin.set("loc2", "enabled")
        hub.heal()


def test_a_read_only_gateway():
    with fleet(1, default={"read_only": True}, sections={"admin": SECTION}) as hub:
        ask = {"method": "POST", "path": "/v1/nodes", "headers": {"X-OpenStack-Ironic-API-Version": "1.115"}, "body": {"driver": "d"}}
        assert Admin(hub.gateway)("POST", "/explain", ask).document["refused"]["status"] == 403


def test_a_thing_of_a_node_goes_to_its_node(hub, explain):
    record = hub.loc3.add(node("with-port"))
    hub.get("/v1/nodes/with-port")
    hub.forget_requests()
    told = explain({"node_uuid": record["uuid"], "address": "52:54:00:00:00:01"}, path="/v1/ports")
    assert [one["location"] for one in told["asked"]] == ["loc3"] and record["uuid"] in told["how"]


def test_by_the_command(hub):
    admin = Admin(hub.gateway)
    body = json.dumps({"driver": "d", "driver_info": {"ipmi_address": "10.20.0.7"}})
    version = "X-OpenStack-Ironic-API-Version: 1.115"
    done = admin.run("explain", "--header", version, "--body", body, "POST", "/v1/nodes")
    assert done.returncode == 0 and "10.20.0.7 is in 10.20.0.0/16" in done.stdout and "loc2" in done.stdout
    refused = admin.run("explain", "--header", version, "--body", '{"conductor_group": "paris"}', "POST", "/v1/nodes")
    assert refused.returncode == 1 and "paris" in refused.stdout
    wrong = admin.run("explain", "--body", "{", "POST", "/v1/nodes")
    assert wrong.returncode == 2 and "--body" in wrong.stderr


def test_what_is_too_large_to_be_explained_is_told(hub):
    admin = Admin(hub.gateway)
    done = admin.run("explain", "PUT", "/v1/nodes/x/states/provision", "--body", json.dumps({"configdrive": "A" * (100 << 10)}))
    assert done.returncode == 1 and "64 KiB" in done.stdout + done.stderr, done
    # More than the buffers of a socket hold: it is read before it is answered.
    body = {"configdrive": "A" * (3 << 20)}
    said = admin("POST", "/explain", {"method": "PUT", "path": "/v1/nodes/x/states/provision", "headers": [], "body": body})
    assert said.status == 413 and "64 KiB" in said.document["error"], said
