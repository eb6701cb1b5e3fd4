"""Three real Ironics that all have nothing but the default group, behind one gateway, used by the real command."""

import pytest

from client import Api, Refused, command, fault, until
from gateway import Gateway, config

GROUPS = "_:loc1,berlin:loc2,lyon:loc3,lyon-gpu:loc3"
LOCAL = {"loc2": {"local_groups": "berlin:_"}, "loc3": {"local_groups": "lyon:_,lyon-gpu:gpu"}}


@pytest.fixture(scope="module")
def gateway(alike):
    locations = {name: site.url for name, site in alike.items()}
    with Gateway(config(locations, groups=GROUPS, location_options=LOCAL)) as running:
        yield running


@pytest.fixture(scope="module")
def baremetal(gateway):
    return command(OS_AUTH_TYPE="none", OS_ENDPOINT=gateway.url)


def test_a_node_s_life_by_the_command_line(gateway, baremetal, there):
    api = Api(gateway.url)
    until(lambda: api.get("/v1/nodes").status == 200, what="all locations")
    for name, group in (("c", "lyon"), ("b", "berlin"), ("a", None)):
        where = ["--conductor-group", group] if group else []
        created = baremetal("node", "create", "--driver", "fake-hardware", "--name", name, *where)
        assert created["conductor_group"] == (group or "")
    for location, name in {"loc1": "a", "loc2": "b", "loc3": "c"}.items():
        assert there[location].ok("GET", f"/v1/nodes/{name}")["conductor_group"] == ""

    listed = baremetal("node", "list", "--long", "--conductor-group", "berlin")
    assert [(row["name"], row["conductor_group"]) for row in listed] == [("b", "berlin")]
    assert [row["name"] for row in baremetal("node", "list", "--conductor-group", "")] == ["a"]
    assert baremetal("node", "list", "--conductor-group", "gpu") == []
    # The command sorts what it got once more, by what it shows: so the order of the API is asked for too.
    for order in ("asc", "desc"):
        rows = baremetal("node", "list", "--fields", "name", "conductor_group", "--sort", f"conductor_group:{order}")
        assert {row["name"]: row["conductor_group"] for row in rows} == {"a": "", "b": "berlin", "c": "lyon"}
        got = api.ok("GET", f"/v1/nodes?fields=name,conductor_group&sort_key=conductor_group&sort_dir={order}&limit=2")
        expected = ["a", "b", "c"] if order == "asc" else ["c", "b", "a"]
        assert [item["name"] for item in got["nodes"]] == expected[:2]
        rest = api.ok("GET", got["next"].removeprefix(gateway.url))
        assert [item["name"] for item in rest["nodes"]] == expected[2:]

    # No conductor of loc3 serves gpu: Ironic's own words, with the name that clients know.
    with pytest.raises(Refused, match='conductor group "lyon-gpu"'):
        baremetal("node", "set", "c", "--conductor-group", "lyon-gpu", form=None)
    baremetal("node", "set", "b", "--conductor-group", "berlin", form=None)
    assert there["loc2"].ok("GET", "/v1/nodes/b")["conductor_group"] == ""
    with pytest.raises(Refused, match="(?i)lyon.*belongs to location loc3"):
        baremetal("node", "set", "b", "--conductor-group", "lyon", form=None)
    with pytest.raises(Refused, match="(?i)belongs to location loc1"):
        baremetal("node", "unset", "b", "--conductor-group", form=None)
    assert baremetal("node", "show", "b")["conductor_group"] == "berlin"

    groups = {row["hostname"]: row["conductor_group"] for row in api.ok("GET", "/v1/conductors")["conductors"]}
    assert groups == {"alike1-conductor": "", "alike2-conductor": "berlin", "alike3-conductor": "lyon"}


def test_ports_of_a_default_group(gateway, there):
    api = Api(gateway.url)
    until(lambda: api.get("/v1/nodes").status == 200, what="all locations")
    node = api.create(name="with-port", conductor_group="berlin")
    answer = api("POST", "/v1/ports", json={"node_uuid": node["uuid"], "address": "52:54:00:00:00:01"})
    assert answer.status == 201, answer.body.decode()
    assert api.ok("GET", "/v1/ports?conductor_groups=lyon-gpu")["ports"] == []
    refused = api.get("/v1/ports?conductor_groups=berlin")
    assert refused.status == 400 and "loc2" in fault(refused)
