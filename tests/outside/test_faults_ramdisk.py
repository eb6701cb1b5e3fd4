"""What ramdisks ask: without credentials, and only where it is opened."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import projects
import pytest
from faults import GROUPS, hubs, writes
from fleet import assert_unavailable, fleet
from scripted import hang, html, late
from standin import Standin, new_uuid, node
from tenants import ADMIN

LOCATION = "X-Ironic-Proxy-Location"


module_hub, hub = hubs(3, groups=GROUPS, every={"timeout": 1}, api={"enable_ramdisk_endpoints": True})


def port(hub, at, address):
    """A port of a new node."""
    owner = hub.sites[at].add(node(f"node-{new_uuid()[:8]}"))
    hub.sites[at].ports.append({"uuid": new_uuid(), "address": address, "node_uuid": owner["uuid"], "name": None, "extra": {}})
    return owner


TRUSTED = ["X-Auth-Token", "Authorization", "OpenStack-System-Scope", "X-Roles", "X-User-Id"]
INVENTORY = {"inventory": {"interfaces": [{"mac_address": "52:54:00:AA:BB:03"}]}}


@pytest.mark.parametrize("with_token", [False, True])
def test_no_credentials_accompany_a_ramdisk(with_token):
    from standin import Standin, StandinKeystone

    with StandinKeystone({"gw": "secret"}) as keystone:
        sites = [Standin(credentials=("token", keystone.valid)) for _ in range(2)]
        options = {"auth_type": "password", "auth_url": keystone.endpoint, "username": "gw", "password": "secret",
                   "user_domain_id": "default", "system_scope": "all"}  # fmt: skip
        with fleet(*sites, groups="_:loc1,grp1:loc2", api={"enable_ramdisk_endpoints": True}, every=options) as hub:
            owner = port(hub, "loc2", "52:54:00:aa:bb:03")
            headers = {"X-Auth-Token": "stolen", "X-Roles": "admin", "OpenStack-System-Scope": "all"} if with_token else {}
            hub.forget_requests()
            found = hub.get("/v1/lookup?addresses=52:54:00:aa:bb:03", headers=headers)
            assert (found.status, found.json()["node"]["uuid"], found.header(LOCATION)) == (200, owner["uuid"], None)
            assert found.json()["node"]["links"][0]["href"].startswith(f"{hub.url}/")
            assert hub.post(f"/v1/heartbeat/{owner['uuid']}", {"callback_url": "http://x"}, headers=headers).status == 202
            told = hub.post("/v1/continue_inspection", INVENTORY, headers=headers)
            assert (told.status, told.json()["node"]["uuid"], told.header(LOCATION)) == (202, owner["uuid"], None)
            asked = [request for site in hub.all() for request in site.requests]
            passed = [one for one in asked if re.search("lookup|heartbeat|continue_inspection", one.path)]
            # Each location is asked once who it is, for the look-up and for the inspection.
            assert sorted(one.method for one in passed) == ["GET"] * 4 + ["POST"] * 2
            for request in passed:
                assert not [name for name in TRUSTED if request.header_values(name)], request.headers
            # Where to send it is the gateway's own question.
            assert all(request.header("X-Auth-Token") != "stolen" for request in asked)


def test_a_lookup_that_would_tell_the_token_again(hub):
    port(hub, "loc2", "52:54:00:aa:bb:04")
    path = "/v1/lookup?addresses=52:54:00:aa:bb:04"
    assert hub.get(path, version="1.62").status == 200
    hub.forget_requests()
    for version in ("1.61", "1.22", None):
        reply = hub.get(path, version=version)
        assert (reply.status, reply.text()) == (404, "Resource could not be found.")
    assert hub.asked() == {}


def test_a_machine_of_nobody_or_of_two_is_nobody_s_business(hub):
    for location in ("loc1", "loc2"):
        port(hub, location, "52:54:00:aa:bb:05")
    for addresses in ("52:54:00:aa:bb:05", "52:54:00:aa:bb:06", ""):
        reply = hub.get(f"/v1/lookup?addresses={addresses}")
        assert (reply.status, reply.text()) == (404, "Resource could not be found.")
        data = {"inventory": {"interfaces": [{"mac_address": addresses}]}}
        reply = hub.post("/v1/continue_inspection", data)
        assert (reply.status, reply.text()) == (404, "Resource could not be found.")
    reply = hub.post(f"/v1/heartbeat/{new_uuid()}", {})
    assert (reply.status, reply.text()) == (404, "Resource could not be found.")
    assert writes(hub) == {}
    hub.loc3.down()
    assert_unavailable(hub.get("/v1/lookup?addresses=52:54:00:aa:bb:06"), "loc3")


def macs(count):
    return [f"52:54:00:cc:{number // 256:02x}:{number % 256:02x}" for number in range(count)]


def test_each_location_is_asked_once_whatever_a_machine_has(hub):
    owner = port(hub, "loc2", macs(64)[63])
    hub.forget_requests()
    found = hub.get(f"/v1/lookup?addresses={','.join(macs(64))}")
    assert (found.status, found.json()["node"]["uuid"]) == (200, owner["uuid"]), found
    assert hub.asked() == {"loc1": 1, "loc2": 1, "loc3": 1}
    hub.forget_requests()
    data = {"inventory": {"interfaces": [{"mac_address": mac} for mac in macs(64)]}}
    told = hub.post("/v1/continue_inspection", data)
    assert (told.status, told.json()["node"]["uuid"]) == (202, owner["uuid"]), told
    assert hub.asked("GET") == {"loc1": 1, "loc2": 1, "loc3": 1} and hub.asked("POST") == {"loc2": 1}


@pytest.mark.parametrize("count", [65, 2000])
def test_more_addresses_than_a_machine_has(hub, count):
    asked = [
        hub.post("/v1/continue_inspection", {"inventory": {"interfaces": [{"mac_address": mac} for mac in macs(count)]}}),
        hub.get(f"/v1/lookup?addresses={','.join(macs(65))}"),
    ]
    for reply in asked:
        assert reply.status == 400 and "64" in reply.text(), reply
    assert hub.asked() == {}


def test_to_look_for_the_machine_of_an_inspection_makes_no_token(hub):
    """From 1.62 on the first look-up makes the agent's token and tells it, later ones do not: it is for the agent."""
    port(hub, "loc3", macs(1)[0])
    assert hub.post("/v1/continue_inspection", {"inventory": {"interfaces": [{"mac_address": macs(1)[0]}]}}).status == 202
    versions = {request.header("X-OpenStack-Ironic-API-Version") for site in hub.all() for request in site.asked("GET")}
    assert versions == {"1.61"}


@pytest.mark.parametrize("way", ["away", "fails"])
def test_a_machine_that_was_found_is_served_while_another_location_is_ill(hub, way):
    """The location that knows it has made its token by then, and tells it once."""
    owner = port(hub, "loc2", macs(1)[0])
    hub.loc3.down() if way == "away" else hub.loc3.fault(html(500))
    found = hub.get(f"/v1/lookup?addresses={macs(1)[0]}")
    assert (found.status, found.json()["node"]["uuid"]) == (200, owner["uuid"]), found
    data = {"inventory": {"interfaces": [{"mac_address": macs(1)[0]}]}}
    told = hub.post("/v1/continue_inspection", data)
    assert (told.status, told.json()["node"]["uuid"]) == (202, owner["uuid"]), told
    assert hub.asked("POST") == {"loc2": 1}


def test_a_machine_that_was_found_does_not_wait_for_a_location_that_hangs():
    """Its agent hangs up after 30 s, by default as long as the location is waited for."""
    clocks = {"timeout": 30, "read_timeout": 30}
    api = {"enable_ramdisk_endpoints": True, "request_deadline": 30}
    with fleet(3, groups=GROUPS, every=clocks, api=api) as hub, ThreadPoolExecutor() as pool:
        owner = port(hub, "loc2", macs(1)[0])
        hub.loc3.fault(hang())
        began = time.monotonic()
        data = {"inventory": {"interfaces": [{"mac_address": macs(1)[0]}]}}
        told = pool.submit(hub.post, "/v1/continue_inspection", data)
        found = hub.get(f"/v1/lookup?addresses={macs(1)[0]}")
        assert (found.status, found.json()["node"]["uuid"]) == (200, owner["uuid"]), found
        assert told.result().status == 202, told.result()
        assert time.monotonic() - began < 15
        assert hub.asked("POST") == {"loc2": 1}


def test_a_machine_without_ports_is_inspected_where_its_bmc_is():
    """Ironic knows it by its BMC: ports are what an inspection makes."""
    ranges = {"loc1": "10.10.0.0/16", "loc2": "10.20.0.0/16,2001:db8:20::/48", "loc3": "10.30.0.0/16"}
    each = {name: {"bmc_addresses": one} for name, one in ranges.items()}
    with fleet(3, groups=GROUPS, each=each, api={"enable_ramdisk_endpoints": True}) as hub:
        owner = hub.loc2.add(node(driver_info={"ipmi_address": "10.20.0.5", "redfish_address": "2001:db8:20::5"}))
        elsewhere = port(hub, "loc1", macs(1)[0])

        def inspect(macs, **bmc):
            hub.forget_requests()
            return hub.post("/v1/continue_inspection", {"inventory": {"interfaces": [{"mac_address": mac} for mac in macs], **bmc}})

        for bmc in ({"bmc_address": "10.20.0.5"}, {"bmc_address": "0.0.0.0", "bmc_v6address": "2001:db8:20::5"}):
            for addresses in (macs(2)[1:], []):
                told = inspect(addresses, **bmc)
                assert (told.status, told.json()["node"]["uuid"]) == (202, owner["uuid"]), told
                assert hub.asked("POST") == {"loc2": 1}
        # Who is known by a port is known.
        assert inspect(macs(1), bmc_address="10.20.0.5").json()["node"]["uuid"] == elsewhere["uuid"]
        assert hub.asked("POST") == {"loc1": 1}
        for bmc in ("10.50.0.1", "", 7, None):
            assert inspect(macs(2)[1:], bmc_address=bmc).status == 404
            assert hub.asked("POST") == {}
        hub.loc1.down()
        assert_unavailable(inspect(macs(2)[1:], bmc_address="10.20.0.5"), "loc1")


def test_a_machine_that_nobody_knows_may_be_at_a_silent_location(hub):
    hub.loc3.fault(hang())
    data = {"inventory": {"interfaces": [{"mac_address": macs(1)[0]}]}}
    assert_unavailable(hub.get(f"/v1/lookup?addresses={macs(1)[0]}"), "loc3")
    assert_unavailable(hub.post("/v1/continue_inspection", data), "loc3")
    assert hub.asked("POST") == {}


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/lookup?addresses=52:54:00:aa:bb:07"), ("POST", "/v1/heartbeat/x"), ("POST", "/v1/continue_inspection")]
)
def test_ramdisk_routes_are_closed_unless_they_are_opened(method, path):
    with fleet(1) as hub:
        reply = hub.call(method, path, {} if method == "POST" else None)
        assert reply.status == 403 and reply.fault()["faultcode"] == "Client", reply
        assert hub.asked() == {}


ROUTES = {
    "baremetal:driver:ipa_lookup": ("GET", "/v1/lookup?addresses=52:54:00:aa:bb:21"),
    "baremetal:node:ipa_heartbeat": ("POST", "/v1/heartbeat/{}"),
    "baremetal:driver:ipa_continue_inspection": ("POST", "/v1/continue_inspection"),
}
MACHINE = {"inventory": {"interfaces": [{"mac_address": "52:54:00:aa:bb:21"}]}, "callback_url": "http://x"}


def statuses(fleet):
    """Of each route of ramdisks, by its rule; and what it says where it refuses."""
    uuid = fleet.loc1.ports[0]["node_uuid"]
    replies = {rule: fleet.call(method, path.format(uuid), MACHINE if method == "POST" else None) for rule, (method, path) in ROUTES.items()}
    for rule, reply in replies.items():
        assert reply.status in (200, 202) or reply.fault()["faultstring"] == f"Access was denied to the following resource: {rule}", reply
    return {rule: reply.status for rule, reply in replies.items()}


OPEN = {"baremetal:driver:ipa_lookup": 200, "baremetal:node:ipa_heartbeat": 202, "baremetal:driver:ipa_continue_inspection": 202}


@pytest.mark.parametrize("closed", ROUTES)
@pytest.mark.parametrize("check", ["!", "role:admin", "not rule:public_api", "user_id:%(node.owner)s", "system_scope:all"])
def test_an_operator_s_rule_closes_one_of_the_routes(tmp_path, closed, check):
    """Nobody asks a ramdisk who it is, so a rule that wants somebody lets none in; the other routes stay as they are."""
    (tmp_path / "policy.yaml").write_text(json.dumps({closed: check}))
    with projects.hub(Standin(), api={"enable_ramdisk_endpoints": True}, sections={"oslo_policy": {"policy_file": tmp_path / "policy.yaml"}}) as hub:
        port(hub.fleet, "loc1", "52:54:00:aa:bb:21")
        assert statuses(hub.fleet) == OPEN | {closed: 403}
        method, path = ROUTES[closed]
        hub.fleet.forget_requests()
        refused = hub.ask(ADMIN, method, path.format("x"), MACHINE if method == "POST" else None)
        assert (refused.status, hub.fleet.asked()) == (403, {}), "whoever asks, and no location is"


def test_rules_may_name_what_is_public(tmp_path):
    (tmp_path / "policy.yaml").write_text(json.dumps(dict.fromkeys(ROUTES, "rule:public_api")))
    with projects.hub(Standin(), api={"enable_ramdisk_endpoints": True}, sections={"oslo_policy": {"policy_file": tmp_path / "policy.yaml"}}) as hub:
        port(hub.fleet, "loc1", "52:54:00:aa:bb:21")
        assert statuses(hub.fleet) == OPEN


def test_without_keystone_there_are_no_rules(tmp_path):
    (tmp_path / "policy.yaml").write_text(json.dumps(dict.fromkeys(ROUTES, "!")))
    with fleet(1, api={"enable_ramdisk_endpoints": True}, sections={"oslo_policy": {"policy_file": tmp_path / "policy.yaml"}}) as hub:
        port(hub, "loc1", "52:54:00:aa:bb:21")
        assert statuses(hub) == OPEN


@pytest.mark.parametrize("how", ["addresses=52:54:00:aa:bb:20", "node_uuid={}"])
def test_a_lookup_waits_for_a_conductor_and_says_nothing_of_its_location(how):
    """The conductor makes the token of the agent, once: as with what it writes, however short reads are waited for."""
    clocks = {"read_timeout": 1, "response_timeout": 3, "breaker_failures": 1, "breaker_reset": 60}
    with fleet(2, groups="_:loc1,grp1:loc2", every=clocks, api={"enable_ramdisk_endpoints": True}) as hub:
        owner = port(hub, "loc2", "52:54:00:aa:bb:20")
        path = f"/v1/lookup?{how.format(owner['uuid'])}"
        hub.loc2.fault(late(1.5), path="/v1/lookup", times=1)
        found = hub.get(path)
        assert (found.status, found.json()["node"]["uuid"]) == (200, owner["uuid"]), found
        hub.loc2.fault(hang(), path="/v1/lookup", times=1)
        assert_unavailable(hub.get(path), "loc2")
        assert hub.get(f"/v1/nodes/{owner['uuid']}").status == 200
