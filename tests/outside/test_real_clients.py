"""The real `baremetal` command and openstacksdk: they must not notice that it is not one Ironic."""

import openstack
import pytest

from client import GROUPS, LATEST, Refused, command, until
from gateway import Gateway, config

pytestmark = pytest.mark.usefixtures("clean")


@pytest.fixture
def cloud(gateway):
    """openstacksdk's bare metal proxy towards the gateway."""
    # Neither this machine's clouds.yaml nor its environment.
    connection = openstack.connect(load_yaml_config=False, load_envvars=False, auth_type="none", endpoint=gateway.url)
    yield connection.baremetal
    connection.close()


def test_a_node_s_life_by_the_command_line(api, baremetal, direct):
    for name, group in (("a1", None), ("b1", "grp1"), ("b2", "grp1"), ("c1", "grp2")):
        where = ["--conductor-group", group] if group else []
        created = baremetal(
            "node", "create", "--driver", "fake-hardware", "--deploy-interface", "fake", "--name", name, *where
        )
        assert created["conductor_group"] == (group or "")
    assert direct["loc2"].get("/v1/nodes/b1").status == 200
    assert direct["loc3"].get("/v1/nodes/c1").status == 200

    assert [row["name"] for row in baremetal("node", "list")] == ["a1", "b1", "b2", "c1"]
    # The command sorts what one page has: the page itself is in the default order.
    first = baremetal("node", "list", "--sort", "name:desc", "--limit", "3")
    assert [row["name"] for row in first] == ["b2", "b1", "a1"]
    rest = baremetal("node", "list", "--sort", "name:desc", "--limit", "3", "--marker", first[0]["uuid"])
    assert [row["name"] for row in rest] == ["c1"]
    long = baremetal("node", "list", "--long", "--conductor-group", "grp1")
    assert sorted(row["name"] for row in long) == ["b1", "b2"]

    baremetal("node", "set", "b1", "--extra", "rack=7", "--resource-class", "baremetal", form=None)
    shown = baremetal("node", "show", "b1")
    assert (shown["extra"]["rack"], shown["resource_class"]) == (7, "baremetal")
    baremetal("node", "unset", "b1", "--extra", "rack", form=None)
    assert direct["loc2"].ok("GET", "/v1/nodes/b1")["extra"] == {}
    # Fails on a single Ironic 39.
    baremetal("node", "unset", "a1", "--conductor-group", form=None)
    with pytest.raises(Refused, match="(?i)move|conductor group"):
        baremetal("node", "unset", "b1", "--conductor-group", form=None)

    baremetal("node", "manage", "b1", "--wait", "60", form=None)
    baremetal("node", "provide", "b1", "--wait", "60", form=None)
    baremetal("node", "deploy", "b1", "--wait", "60", form=None)
    assert direct["loc2"].ok("GET", "/v1/nodes/b1")["provision_state"] == "active"
    baremetal("node", "undeploy", "b1", "--wait", "60", form=None)
    assert direct["loc2"].ok("GET", "/v1/nodes/b1")["provision_state"] == "available"

    baremetal("node", "maintenance", "set", "c1", "--reason", "fan", form=None)
    assert direct["loc3"].ok("GET", "/v1/nodes/c1")["maintenance_reason"] == "fan"
    baremetal("node", "delete", "a1", "b1", "b2", "c1", form=None)
    assert baremetal("node", "list") == []
    with pytest.raises(Refused, match="Node b1 could not be found"):
        baremetal("node", "show", "b1")


def test_the_command_line_pages_through_everything(api, baremetal, direct):
    for number in range(7):
        name = list(GROUPS)[number % 3]
        direct[name].create(name=f"n{number}", conductor_group=GROUPS[name])
    # --limit 0 makes the client follow `next` to the end.
    rows = baremetal("node", "list", "--limit", "0", "--sort", "name")
    assert [row["name"] for row in rows] == [f"n{number}" for number in range(7)]


def test_the_command_line_negotiates_with_an_old_location(sites, direct):
    with Gateway(config({"loc1": sites["loc1"].url, "old": sites["old"].url}, groups="_:loc1,grp2:old")) as mixed:
        run = command(OS_AUTH_TYPE="none", OS_ENDPOINT=mixed.url)
        created = run("node", "create", "--driver", "fake-hardware", "--conductor-group", "grp2", "--name", "antique")
        assert created["name"] == "antique"
        direct["loc1"].create(name="modern")
        assert [row["name"] for row in run("node", "list")] == ["modern", "antique"]
        assert direct["old"].get("/v1/nodes/antique").status == 200


def test_the_sdk_enrols_changes_deploys_and_deletes(api, cloud, direct):
    nodes = {
        location: cloud.create_node(
            driver="fake-hardware", name=f"sdk-{location}", deploy_interface="fake", **({"conductor_group": group} if group else {})
        )
        for location, group in GROUPS.items()
    }
    assert [node.name for node in cloud.nodes()] == [f"sdk-{location}" for location in GROUPS]
    assert [node.name for node in cloud.nodes(details=True, limit=1, sort_key="name")] == sorted(node.name for node in nodes.values())
    for location, node in nodes.items():
        assert cloud.find_node(f"sdk-{location}").id == node.id
        assert cloud.get_node(node.id).conductor_group == GROUPS[location]
        cloud.update_node(node, extra={"rack": location})
        assert direct[location].ok("GET", f"/v1/nodes/{node.id}")["extra"] == {"rack": location}
        cloud.patch_node(node.id, [{"op": "add", "path": "/description", "value": "patched"}])
        cloud.set_node_traits(node.id, ["CUSTOM_SDK"])
        assert cloud.get_node(node.id, fields=["uuid", "traits"]).traits == ["CUSTOM_SDK"]
        cloud.set_node_power_state(node.id, "power on", wait=True, timeout=30)
        cloud.set_node_provision_state(node.id, "manage", wait=True, timeout=60)
        cloud.set_node_provision_state(node.id, "provide", wait=True, timeout=60)
        cloud.set_node_provision_state(node.id, "active", wait=True, timeout=60)
        assert direct[location].ok("GET", f"/v1/nodes/{node.id}")["provision_state"] == "active"
        cloud.set_node_provision_state(node.id, "deleted", wait=True, timeout=60)
    for node in nodes.values():
        cloud.delete_node(node)
    assert list(cloud.nodes()) == []
    assert cloud.find_node("sdk-loc1") is None


def test_the_sdk_waits_for_many_nodes_at_once(api, cloud, direct):
    ids = [direct[name].create(name=f"w-{name}", conductor_group=GROUPS[name])["uuid"] for name in GROUPS]
    for identity in ids:
        cloud.set_node_provision_state(identity, "manage")
    done = cloud.wait_for_nodes_provision_state(ids, "manageable", timeout=60)
    assert {node.provision_state for node in done} == {"manageable"}
    until(lambda: all(node.provision_state == "manageable" for node in cloud.nodes()))


def test_the_sdk_sees_the_version_range(api, cloud):
    data = cloud.get_endpoint_data()
    assert data.max_microversion == tuple(int(part) for part in LATEST.split("."))
