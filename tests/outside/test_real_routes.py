"""What is below nodes and what ramdisks ask, where fake hardware can show it: the answers are those of the node's own Ironic."""

import json

import pytest

from client import GROUPS, Api, fault, provision, until
from gateway import Gateway, config

pytestmark = pytest.mark.usefixtures("clean")

LOCATION = "X-Ironic-Proxy-Location"
MAC = "52:54:00:0{}:00:01"


@pytest.fixture
def pairs(api, direct):
    """Two equal nodes at each location, one for us and one for who asks the location itself: location to both."""
    return {
        name: tuple(
            api.create(
                name=f"{whose}-{name}",
                conductor_group=group,
                bios_interface="fake",
                deploy_interface="fake",
                vendor_interface="fake",
                console_interface="fake",
                raid_interface="fake",
            )
            for whose in ("ours", "theirs")
        )
        for name, group in GROUPS.items()
    }


def same(api, direct, location, pair, method, path, **options):
    """Says it to either node, one through the gateway and one not, and compares. Returns our answer."""
    ours, theirs = pair
    expected = direct[location](method, f"/v1/nodes/{theirs['name']}{path}", **options)
    answer = api(method, f"/v1/nodes/{ours['name']}{path}", **options)
    wanted = expected.body.decode().replace(theirs["uuid"], ours["uuid"]).replace(theirs["name"], ours["name"])
    assert (answer.status, answer.body.decode()) == (expected.status, wanted.replace(direct[location].url, api.url)), path
    assert answer.headers[LOCATION] == location
    if "Location" in expected.headers:
        place = expected.headers["Location"].replace(theirs["name"], ours["name"]).replace(direct[location].url, api.url)
        assert answer.headers["Location"] == place
    return answer


def idle(direct, location, pair):
    """Waits until no conductor works at either node."""
    for node in pair:
        until(lambda node=node: direct[location].ok("GET", f"/v1/nodes/{node['uuid']}")["reservation"] is None)


ACTIONS = [
    ("PUT", "/states/raid", {"logical_disks": [{"size_gb": 100, "raid_level": "1"}]}, 204),
    ("PUT", "/states/boot_mode", {"target": "uefi"}, 202),
    ("PUT", "/states/secure_boot", {"target": True}, 202),
    ("PUT", "/states/console", {"enabled": True}, 202),
    ("GET", "/states/console", None, None),
    ("GET", "/management/indicators", None, 200),
    ("GET", "/management/indicators/led@system", None, 200),
    # What fake hardware does not have, Ironic refuses in words that must come through.
    ("PUT", "/management/indicators/led@system", {"state": "ON"}, None),
    ("PUT", "/management/inject_nmi", {}, None),
    ("GET", "/vmedia", None, None),
    ("POST", "/vmedia", {"device_type": "cdrom", "image_url": "http://127.0.0.1/image"}, None),
    ("DELETE", "/vmedia", None, None),
    ("GET", "/vendor_passthru/methods", None, 200),
    ("DELETE", "/traits", None, 204),
    ("GET", "/bios/none", None, 404),
    ("GET", "/allocation", None, 404),
    ("DELETE", "/allocation", None, 404),
]


@pytest.mark.parametrize("location", GROUPS)
def test_every_action_is_answered_as_by_the_node_s_own_ironic(api, direct, pairs, location):
    for method, path, body, status in ACTIONS:
        idle(direct, location, pairs[location])
        answer = same(api, direct, location, pairs[location], method, path, json=body)
        assert status is None or answer.status == status, (path, answer.body.decode())
    shown = [direct[location].ok("GET", f"/v1/nodes/{node['uuid']}") for node in pairs[location]]
    assert shown[0]["target_raid_config"] == shown[1]["target_raid_config"] != {}


def fail_to_clean(api, node):
    """Cleans it with a step that fails, which goes into its history."""
    step = {"interface": "bios", "step": "apply_configuration", "args": {"settings": []}}
    body = {"target": "clean", "clean_steps": [step], "disable_ramdisk": True}
    api.ok("PUT", f"/v1/nodes/{node}/states/provision", json=body)
    until(lambda: api.ok("GET", f"/v1/nodes/{node}/states")["provision_state"] == "clean failed")


@pytest.mark.parametrize("location", GROUPS)
def test_a_node_s_history_is_walked_page_by_page(api, direct, location):
    node = api.create(name="unlucky", conductor_group=GROUPS[location])
    for _ in range(3):
        provision(api, "unlucky", "manage", "manageable")
        fail_to_clean(api, "unlucky")
    listed = direct[location].ok("GET", f"/v1/nodes/{node['uuid']}/history")["history"]
    assert len(listed) == 3
    for ident in (node["uuid"], "unlucky"):
        # Ironic's own `next` forgets the node.
        for style in ("next", "marker"):
            items, _ = api.walk(style, f"/v1/nodes/{ident}/history", limit=1)
            assert [event["uuid"] for event in items] == [event["uuid"] for event in listed]
        for path in (f"/v1/nodes/{ident}/history", f"/v1/nodes/{ident}/history/{listed[1]['uuid']}"):
            ours, theirs = api.get(path), direct[location].get(path)
            assert (ours.status, ours.body.decode()) == (200, theirs.body.decode().replace(direct[location].url, api.url))


@pytest.mark.parametrize("location", GROUPS)
def test_vendor_methods_take_any_bytes(api, direct, pairs, location):
    for path, body in [
        ("/vendor_passthru/second_method", {"bar": "kazoo"}),
        ("/vendor_passthru/third_method_sync", {"bar": "meow"}),
        ("/vendor_passthru/third_method_sync", {"bar": "x", "links": [{"href": f"{direct[location].url}/v1/nodes"}]}),
        ("/vendor_passthru?method=third_method_sync", {"bar": "meow"}),
        ("/vendor_passthru/none", {"bar": "meow"}),
        ("/vendor_passthru", {}),
    ]:
        idle(direct, location, pairs[location])
        told = {"data": json.dumps(body, indent=3), "headers": {"Content-Type": "application/json"}}
        answer = same(api, direct, location, pairs[location], "POST", path, **told)
        assert (answer.status < 300) == (set(body) == {"bar"} and "none" not in path), answer.body.decode()
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        idle(direct, location, pairs[location])
        same(api, direct, location, pairs[location], method, "/vendor_passthru/second_method")


@pytest.mark.parametrize("location", GROUPS)
def test_bios_settings_of_a_cleaned_node(api, direct, pairs, location):
    step = {"interface": "bios", "step": "apply_configuration", "args": {"settings": [{"name": "Virt", "value": "on"}]}}
    ours, _ = pairs[location]
    provision(api, ours["name"], "manage", "manageable")
    provision(api, ours["name"], "clean", "manageable", clean_steps=[step])
    shown = api.ok("GET", f"/v1/nodes/{ours['name']}/bios/Virt")
    assert shown["Virt"]["value"] == "on"
    for ident in (ours["uuid"], ours["name"]):
        for path in ("bios", "bios/Virt", "bios?detail=True", "firmware", "children"):
            mine, there = (asked.get(f"/v1/nodes/{ident}/{path}") for asked in (api, direct[location]))
            assert (mine.status, mine.body.decode()) == (200, there.body.decode().replace(direct[location].url, api.url))


def test_what_belongs_to_a_node_is_listed_below_it(api, direct, pairs):
    for number, (location, (node, _)) in enumerate(pairs.items()):
        group = api.ok("POST", "/v1/portgroups", json={"node_uuid": node["uuid"], "name": f"group-{location}"})
        body = {"node_uuid": node["uuid"], "address": MAC.format(number), "portgroup_uuid": group["uuid"]}
        port = api.ok("POST", "/v1/ports", json=body)
        for ident in (node["uuid"], node["name"]):
            below = f"/v1/nodes/{ident}"
            for path, key, uuid in [
                ("/ports", "ports", port["uuid"]),
                ("/ports/detail", "ports", port["uuid"]),
                ("/portgroups", "portgroups", group["uuid"]),
                ("/portgroups/detail", "portgroups", group["uuid"]),
            ]:
                assert [item["uuid"] for item in api.ok("GET", below + path)[key]] == [uuid], path
            path = f"{below}/portgroups/{group['uuid']}/ports"
            ours, theirs = api.get(path), direct[location].get(path)
            # Ironic 39 offers this path and permits nobody to use it.
            assert (ours.status, ours.body) == (403, theirs.body)
            assert api.ok("GET", f"{below}/volume")["links"][0]["href"].startswith(api.url)
        assert [item["uuid"] for item in api.ok("GET", "/v1/portgroups/detail?node=" + node["name"])["portgroups"]] == [group["uuid"]]
    assert len(api.ok("GET", "/v1/portgroups/detail")["portgroups"]) == len(GROUPS)


def test_a_chassis_in_detail(api, direct):
    chassis = api.ok("POST", "/v1/chassis", json={"description": "rack", "extra": {"a": 1}})
    detail = api.ok("GET", "/v1/chassis/detail")["chassis"]
    assert [(item["uuid"], item["extra"]) for item in detail] == [(chassis["uuid"], {"a": 1})]


def test_vendor_methods_of_a_driver_in_only_one_location(api, direct, sites):
    """Fake hardware has none of a driver's own: the refusal is Ironic's, of the location that has the driver."""
    with Gateway(config({"loc2": sites["loc2"].url})) as single:
        only = Api(single.url)
        until(lambda: only.get("/v1/nodes").status == 200)
        for path in ("/vendor_passthru/none", "/vendor_passthru?method=none", "/vendor_passthru"):
            for method in ("GET", "POST"):
                ours = api(method, f"/v1/drivers/fake-hardware{path}", headers={LOCATION: "loc2"}, json={})
                alone = only(method, f"/v1/drivers/fake-hardware{path}", json={})
                theirs = direct["loc2"](method, f"/v1/drivers/fake-hardware{path}", json={})
                assert theirs.status in (400, 500)
                for answer in (ours, alone):
                    assert (answer.status, answer.body) == (theirs.status, theirs.body), (method, path)


# ---- ramdisks


@pytest.fixture
def ramdisk(locations):
    """A gateway that lets ramdisks in; asked without anybody's credentials."""
    with Gateway(config(locations, api={"enable_ramdisk_endpoints": True})) as running:
        asked = Api(running.url)
        until(lambda: asked.get("/v1/nodes").status == 200)
        yield asked


@pytest.mark.parametrize("location", GROUPS)
def test_a_ramdisk_finds_its_node_and_reports_what_it_found(ramdisk, direct, location):
    number = list(GROUPS).index(location)
    node = ramdisk.create(name=f"wakes-{location}", conductor_group=GROUPS[location], inspect_interface="agent")
    mac, path = MAC.format(number), f"/v1/nodes/{node['uuid']}"
    ramdisk.ok("POST", "/v1/ports", json={"node_uuid": node["uuid"], "address": mac})
    provision(ramdisk, node["name"], "manage", "manageable")
    assert ramdisk.get(f"/v1/lookup?addresses={mac}").status == 404
    ramdisk.ok("PUT", f"{path}/states/provision", json={"target": "inspect"})
    until(lambda: direct[location].ok("GET", path)["provision_state"] == "inspect wait")

    found = ramdisk.ok("GET", f"/v1/lookup?addresses=52:54:00:99:99:99,{mac.upper()}")
    assert found["node"]["uuid"] == node["uuid"]
    assert all(link["href"].startswith(f"{ramdisk.url}/") for link in found["node"]["links"])
    token = found["config"]["agent_token"]
    again = ramdisk.ok("GET", f"/v1/lookup?node_uuid={node['uuid']}")
    assert again["config"]["agent_token"] == "******"

    beat = {"callback_url": "https://127.0.0.1:9", "agent_version": "11.0.0", "agent_token": token}
    wrong = ramdisk("POST", f"/v1/heartbeat/{node['uuid']}", json={**beat, "agent_token": "wrong"})
    theirs = direct[location]("POST", f"/v1/heartbeat/{node['uuid']}", json={**beat, "agent_token": "wrong"})
    assert (wrong.status, wrong.body) == (400, theirs.body)
    taken = ramdisk("POST", f"/v1/heartbeat/{node['uuid']}", json=beat)
    assert (taken.status, taken.body) == (202, b""), taken.body.decode()

    data = {
        "inventory": {
            "interfaces": [{"name": "eth0", "mac_address": mac, "ipv4_address": None, "has_carrier": True}],
            "cpu": {"count": 4, "architecture": "x86_64"},
            "memory": {"physical_mb": 4096},
            "disks": [{"name": "/dev/sda", "size": 10 << 30}],
            "boot": {"current_boot_mode": "uefi", "pxe_interface": mac},
        }
    }
    told = until(
        lambda: answer if (answer := ramdisk("POST", "/v1/continue_inspection", json=data)).status != 409 else None
    )
    assert (told.status, told.json()["node"]["uuid"]) == (202, node["uuid"]), told.body.decode()
    assert all(link["href"].startswith(f"{ramdisk.url}/") for link in told.json()["node"]["links"])
    until(lambda: direct[location].ok("GET", path)["provision_state"] == "manageable")
    shown = ramdisk.get(f"/v1/nodes/{node['name']}/inventory")
    assert (shown.status, shown.body) == (200, direct[location].get(f"{path}/inventory").body)
    assert shown.json()["inventory"]["memory"]["physical_mb"] == 4096


def test_a_ramdisk_that_nobody_knows_is_told_nothing(ramdisk, direct):
    theirs = direct["loc1"].get("/v1/lookup?addresses=52:54:00:99:99:99")
    ours = ramdisk.get("/v1/lookup?addresses=52:54:00:99:99:99")
    assert (ours.status, ours.body) == (404, theirs.body)
    for path, body in [
        ("/v1/heartbeat/nobody", {"callback_url": "http://127.0.0.1:9", "agent_token": "x"}),
        ("/v1/continue_inspection", {"inventory": {"interfaces": [{"mac_address": "52:54:00:99:99:99"}]}}),
    ]:
        answer = ramdisk("POST", path, json=body)
        assert answer.status == 404, answer.body.decode()
        assert "loc" not in fault(answer)
