"""Where a node is made that names no conductor group: where its BMC stands, as `driver_info` says."""

import metal3
import pytest
from client import fault
from fleet import fleet
from standin import Standin, node

GROUPS = "_:loc1,berlin:loc2,lyon-gpu:loc3,lyon:loc3"
LOCATION = "X-Ironic-Proxy-Location"
EACH = {
    "loc1": {"bmc_addresses": "10.10.0.0/16"},
    "loc2": {
        "local_groups": "berlin:_",
        "bmc_addresses": "10.20.0.0/16, 2001:db8:20::/48, *.bmc.berlin.example.com, 10.99.0.0/24",
    },
    "loc3": {"bmc_addresses": "10.20.30.0/24,2001:db8:20:30::/64, odd.bmc.berlin.example.com,10.98.0.0/24"},
}


@pytest.fixture(scope="module")
def module_hub():
    with fleet(Standin(), Standin(), Standin(), groups=GROUPS, each=EACH) as hub:
        yield hub


@pytest.fixture
def hub(module_hub):
    for site in module_hub.all():
        site.nodes.clear()
    module_hub.heal()
    return module_hub


def create(hub, driver_info, headers=None, **members):
    return hub.post("/v1/nodes", {"driver": "ipmi", "driver_info": driver_info, **members}, headers=headers or {})


# Where loc2's BMCs are, and one host of each of the others.
BERLIN = ["10.20.0.5", "2001:db8:20::5", "2001:DB8:20::5", "node-1.bmc.berlin.example.com", "Node-1.BMC.Berlin.example.com"]
LYON = ["10.20.30.5", "2001:db8:20:30::5", "odd.bmc.berlin.example.com"]


@pytest.mark.parametrize("scheme", [*metal3.PLAIN, *metal3.URLS])
def test_what_metal3_s_operator_sends_goes_to_where_the_bmc_is(hub, scheme):
    """Whatever the form of the address: http and https, IPv6 with brackets and without, ports, paths, names in capitals."""
    for hosts, location, group in ((BERLIN, "loc2", "berlin"), (LYON, "loc3", "lyon-gpu"), (["10.10.0.9", "elsewhere.example.com"], "loc1", "")):
        for address, driver_info in metal3.every(hosts, scheme):
            reply = create(hub, driver_info, inspect_interface="agent")
            assert reply.status == 201, (address, reply)
            assert (reply.header(LOCATION), reply.json()["conductor_group"]) == (location, group), address
            sent = hub.sites[location].asked("POST")[-1].json()
            assert sent["driver_info"] == driver_info
            # The only group of loc2 is its default group: nothing is said of it there.
            assert sent.get("conductor_group") == ("lyon-gpu" if location == "loc3" else None)
            assert hub.asked("POST") == {location: 1}
            hub.heal()


@pytest.mark.parametrize(
    ("driver_info", "location", "group"),
    [
        ({"ipmi_address": "10.20.30.5"}, "loc3", "lyon-gpu"),
        ({"redfish_address": "https://[2001:db8:20:30::5]/redfish"}, "loc3", "lyon-gpu"),
        ({"redfish_address": "odd.bmc.berlin.example.com"}, "loc3", "lyon-gpu"),
        # An address says more than a name.
        ({"ipmi_address": "odd.bmc.berlin.example.com", "redfish_address": "https://10.20.0.1"}, "loc2", "berlin"),
        ({"ipmi_address": "10.10.0.1"}, "loc1", ""),
        ({"ipmi_address": "10.50.0.1"}, "loc1", ""),
        ({}, "loc1", ""),
        # None of these is a BMC.
        ({"ipmi_target_address": "10.20.0.1", "snmp_address": "10.20.0.1", "deploy_kernel": "http://10.20.0.1/k"}, "loc1", ""),
    ],
)
@pytest.mark.parametrize("members", [{}, {"conductor_group": None}], ids=["absent", "null"])
def test_the_closest_range_wins(hub, driver_info, location, group, members):
    reply = create(hub, driver_info, **members)
    assert (reply.status, reply.header(LOCATION), reply.json()["conductor_group"]) == (201, location, group)
    sent = hub.sites[location].asked("POST")[0].json()
    assert (sent.get("conductor_group") or "") == ("" if location == "loc2" else group)


@pytest.mark.parametrize(("group", "location"), [("", "loc1"), ("lyon", "loc3")])
def test_a_group_decides(hub, group, location):
    since = len(hub.gateway.log())
    reply = create(hub, {"ipmi_address": "10.20.0.5"}, conductor_group=group)
    assert (reply.status, reply.header(LOCATION), reply.json()["conductor_group"]) == (201, location, group)
    hub.logged(r"10\.20\.0\.5.*loc2", since)


def test_two_places_are_refused(hub):
    reply = create(hub, {"ipmi_address": "10.99.0.1", "redfish_address": "https://10.98.0.1"})
    assert reply.status == 400, reply
    assert "loc2" in fault(reply) and "loc3" in fault(reply)
    assert hub.asked("POST") == {}
    assert create(hub, {"ipmi_address": "10.99.0.1", "redfish_address": "https://10.98.0.1"}, conductor_group="lyon").status == 201


def test_the_header_and_the_bmc_must_agree(hub):
    reply = create(hub, {"ipmi_address": "10.20.0.5"}, headers={LOCATION: "loc3"})
    assert reply.status == 400 and "loc2" in fault(reply)
    assert create(hub, {"ipmi_address": "10.20.0.5"}, headers={LOCATION: "loc2"}).status == 201


def test_a_version_without_groups_goes_where_no_group_is_needed(hub):
    asked = {"driver": "ipmi", "driver_info": {"ipmi_address": "10.20.0.5"}}
    assert hub.post("/v1/nodes", asked, version="1.30").header(LOCATION) == "loc2"
    asked = {"driver": "ipmi", "driver_info": {"ipmi_address": "10.20.30.5"}}
    reply = hub.post("/v1/nodes", asked, version="1.30")
    assert reply.status == 400 and "1.46" in fault(reply)


PATCHES = [
    {"op": "replace", "path": "/driver_info/ipmi_address", "value": "10.20.0.5"},
    {"op": "add", "path": "/driver_info/redfish_address", "value": "https://[2001:db8:20::5]:443/"},
    {"op": "replace", "path": "/driver_info", "value": {"ipmi_address": "10.20.0.5"}},
]


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch["path"])
def test_a_patch_with_another_location_s_bmc_is_told(hub, patch):
    found = hub.loc1.add(node(driver_info={"ipmi_address": "10.10.0.1"}))
    since = len(hub.gateway.log())
    assert hub.patch(f"/v1/nodes/{found['uuid']}", [patch]).status == 200
    hub.logged("loc2", since)


FORGED = "a\r\n2026-11-27 00:00:00.000 1 INFO ironic_proxy.audit [-] {}\n<3>FORGED \x1b[31m\x9b31m"


@pytest.mark.parametrize("members", [{"name": FORGED}, {"uuid": FORGED}, {"name": "x" * 256}], ids=["name", "uuid", "long"])
def test_what_a_new_node_is_called_writes_no_lines_into_the_log(hub, members):
    """A client's own word, said before Ironic has judged it."""
    since = len(hub.gateway.log())
    create(hub, {"ipmi_address": "10.20.0.5"}, **members)
    line = hub.logged(r".*goes to location `loc2`.*", since)
    assert " INFO ironic_proxy" in line and "FORGED" not in line and "xxx" not in line
    assert_unforged(hub.gateway.log()[since:])


def test_what_a_location_calls_its_groups_writes_no_lines_into_the_log(hub):
    hub.loc2.add(node(conductor_group=FORGED))
    since = len(hub.gateway.log())
    assert hub.get("/v1/nodes?fields=uuid,conductor_group").status == 200
    assert "FORGED" in hub.logged(r".*has the conductor group.*", since)
    assert_unforged(hub.gateway.log()[since:])


def assert_unforged(log):
    lines = log.removesuffix("\n").split("\n")
    assert all(" ironic_proxy" in line and "audit" not in line.split("[")[0] for line in lines), log
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for line in lines for c in line), log


def test_verified_addresses_and_unmatched_ones_are_refused():
    default = {"verify_bmc_address": True, "unmatched": "refuse"}
    with fleet(Standin(), Standin(), Standin(), groups=GROUPS, each=EACH, default=default) as hub:
        for driver_info in ({}, {"ipmi_address": "10.50.0.1"}):
            reply = create(hub, driver_info)
            assert reply.status == 400 and "conductor_group" in fault(reply)
        reply = create(hub, {"ipmi_address": "10.20.0.5"}, conductor_group="lyon")
        assert reply.status == 400 and "loc2" in fault(reply) and "10.20.0.5" in fault(reply)
        assert hub.asked("POST") == {}
        found = hub.loc1.add(node(driver_info={"ipmi_address": "10.10.0.1"}))
        for patch in PATCHES:
            reply = hub.patch(f"/v1/nodes/{found['uuid']}", [patch])
            assert reply.status == 400 and "loc2" in fault(reply)
        assert hub.asked("PATCH") == {}
        assert create(hub, {"ipmi_address": "10.20.0.5"}, conductor_group="berlin").status == 201
        assert create(hub, {"ipmi_address": "10.50.0.1"}, conductor_group="berlin").status == 201
        same = {"op": "replace", "path": "/driver_info/ipmi_address", "value": "10.10.0.2"}
        assert hub.patch(f"/v1/nodes/{found['uuid']}", [same]).status == 200
