"""Sub-resources and actions of nodes at three real Ironics."""

import uuid

import pytest

from client import GROUPS, provision, until
from everywhere import everywhere, owners, repoint

pytestmark = pytest.mark.usefixtures("clean")

LOCATION = "X-Ironic-Proxy-Location"


READS = [
    "",
    "?fields=name,uuid,extra",
    "?fields=driver&fields=name",
    "/validate",
    "/states",
    "/states/console",
    "/management/boot_device",
    "/management/boot_device/supported",
    "/management/indicators",
    "/vendor_passthru/methods",
    "/traits",
    "/vifs",
    "/ports",
    "/ports/detail",
    "/portgroups",
    "/portgroups/detail",
    "/volume",
    "/volume/connectors",
    "/volume/targets",
    "/bios",
    "/firmware",
    "/history",
    "/inventory",
    "/children",
    "/vmedia",
]


def test_every_sub_resource_answers_as_the_node_s_own_ironic_does(api, direct):
    for location, node in everywhere(api).items():
        direct[location].ok("PUT", f"/v1/nodes/{node['uuid']}/traits", json={"traits": ["CUSTOM_A", "HW_CPU_X86_VMX"]})
        for number in range(2):
            port = {"node_uuid": node["uuid"], "address": f"52:54:00:00:0{number}:0{location[-1]}"}
            direct[location].ok("POST", "/v1/ports", json=port)
        for path in READS:
            theirs = direct[location].get(f"/v1/nodes/{node['uuid']}{path}")
            for prefix in ("/v1", ""):
                ours = api.get(f"{prefix}/nodes/{node['uuid']}{path}")
                assert (ours.status, ours.body.decode()) == (
                    theirs.status,
                    repoint(theirs.body.decode(), direct, api),
                ), f"{location} {path}"
                assert ours.headers[LOCATION] == location
            # Ironic serves some of these by uuid only; by name through the gateway they work too.
            named = api.get(f"/v1/nodes/{node['name']}{path}")
            assert named.status == theirs.status, f"{location} {path} by name: {named.body.decode()}"
            if path.startswith(("/ports", "/portgroups", "/volume/", "/traits", "/vifs")):
                assert named.json() == ours.json()


def test_the_pages_of_a_node_s_ports_stay_with_the_node(api, direct):
    nodes = [api.create(name=name, conductor_group="grp1") for name in ("one", "two")]
    macs = {node["uuid"]: [] for node in nodes}
    for number in range(4):
        node = nodes[number % 2]["uuid"]
        mac = f"52:54:00:00:00:0{number}"
        macs[node].append(mac)
        direct["loc2"].ok("POST", "/v1/ports", json={"node_uuid": node, "address": mac})
    for ident, node in (("one", nodes[0]), (nodes[1]["uuid"], nodes[1])):
        for style in ("next", "marker"):
            items, _ = api.walk(style, f"/v1/nodes/{ident}/ports", limit=1)
            assert [port["address"] for port in items] == macs[node["uuid"]]


def test_maintenance_power_boot_device_traits_and_vifs(api, direct):
    for location, node in everywhere(api).items():
        path, there = f"/v1/nodes/{node['name']}", direct[location]

        def seen(there=there, node=node):
            return there.ok("GET", f"/v1/nodes/{node['uuid']}")

        assert api("PUT", f"{path}/maintenance", json={"reason": "cabling"}).status == 202
        assert (seen()["maintenance"], seen()["maintenance_reason"]) == (True, "cabling")
        assert api("DELETE", f"{path}/maintenance").status == 202
        assert seen()["maintenance"] is False

        powered = api("PUT", f"{path}/states/power", json={"target": "power on"})
        assert powered.status == 202, powered.body.decode()
        assert powered.headers["Location"] == f"{api.url}{path}/states"
        until(lambda seen=seen: seen()["power_state"] == "power on" and seen()["target_power_state"] is None)

        device = {"boot_device": "pxe", "persistent": True}
        assert api("PUT", f"{path}/management/boot_device", json=device).status == 204
        assert api.ok("GET", f"{path}/management/boot_device")["boot_device"] == "pxe"

        assert api("PUT", f"{path}/traits", json={"traits": ["CUSTOM_ONE"]}).status == 204
        added = api("PUT", f"{path}/traits/CUSTOM_TWO")
        assert added.status == 204
        assert added.headers["Location"] == f"{api.url}{path}/traits/CUSTOM_TWO"
        assert api("DELETE", f"{path}/traits/CUSTOM_ONE").status == 204
        assert there.ok("GET", f"/v1/nodes/{node['uuid']}/traits") == {"traits": ["CUSTOM_TWO"]}

        vif = str(uuid.uuid4())
        theirs = there("POST", f"/v1/nodes/{node['uuid']}/vifs", json={"id": vif})
        ours = api("POST", f"{path}/vifs", json={"id": vif})
        assert (ours.status, ours.body.decode()) == (theirs.status, theirs.body.decode())
        assert api.get(f"{path}/vifs").body.decode() == there.get(f"/v1/nodes/{node['uuid']}/vifs").body.decode()
        assert api("DELETE", f"{path}/vifs/{vif}").status == there(
            "DELETE", f"/v1/nodes/{node['uuid']}/vifs/{vif}"
        ).status


def test_an_action_s_arguments_may_be_in_the_query_as_in_ironic(api, direct):
    node = api.create(name="by-query", conductor_group="grp2")
    assert api("PUT", "/v1/nodes/by-query/states/power?target=power%20on").status == 202
    until(lambda: direct["loc3"].ok("GET", f"/v1/nodes/{node['uuid']}")["power_state"] == "power on")


@pytest.mark.parametrize("location", GROUPS)
def test_a_node_goes_to_active_and_back(api, direct, location):
    node = api.create(name="traveller", conductor_group=GROUPS[location], deploy_interface="fake")
    first = provision(api, "traveller", "manage", "manageable")
    assert first.headers["Location"] == f"{api.url}/v1/nodes/traveller/states"
    provision(api, node["uuid"], "provide", "available")
    # Larger than what is buffered anywhere: it must pass through as it is.
    config_drive = "H4sI" + "A" * 3_000_000
    provision(api, "traveller", "active", "active", configdrive=config_drive)
    there = direct[location].ok("GET", f"/v1/nodes/{node['uuid']}")
    assert there["provision_state"] == "active"
    theirs = direct[location]("DELETE", f"/v1/nodes/{node['uuid']}")
    ours = api("DELETE", f"/v1/nodes/{node['uuid']}")
    assert theirs.status in (400, 409)
    assert (ours.status, ours.body) == (theirs.status, theirs.body)
    provision(api, "traveller", "deleted", "available")
    assert api("DELETE", "/v1/nodes/traveller").status == 204
    assert owners(direct, node["uuid"]) == []


def test_a_wrong_transition_is_told_in_ironic_s_words(api, direct):
    node = api.create(name="new", conductor_group="grp1")
    body = {"target": "active"}
    theirs = direct["loc2"]("PUT", f"/v1/nodes/{node['uuid']}/states/provision", json=body)
    ours = api("PUT", f"/v1/nodes/{node['uuid']}/states/provision", json=body)
    assert theirs.status == 400
    assert (ours.status, ours.body) == (theirs.status, theirs.body)


def test_node_validate_by_query(api, direct):
    for location, node in everywhere(api).items():
        theirs = direct[location].ok("GET", f"/v1/nodes/validate?node={node['uuid']}")
        for query in (f"node={node['name']}", f"node_uuid={node['uuid']}"):
            assert api.ok("GET", f"/v1/nodes/validate?{query}") == theirs


@pytest.mark.parametrize("path", ["/states/power/power%20on", "/maintenance/because", "/states/provision/manage"])
def test_paths_that_the_table_does_not_know_are_the_location_s(api, direct, path):
    """Ironic takes further segments for arguments; a newer one may have more below a node than we know."""
    _, theirs = (asked.create(name=name, conductor_group="grp1") for asked, name in ((api, "ours"), (direct["loc2"], "theirs")))
    expected = direct["loc2"]("PUT", f"/v1/nodes/{theirs['uuid']}{path}")
    answer = api("PUT", f"/v1/nodes/ours{path}")
    assert (answer.status, answer.body) == (expected.status, expected.body)
    assert answer.headers[LOCATION] == "loc2"
    assert api("PUT", f"/v1/nodes/nobody{path}").status == 404
