"""What nodes own (ports, port groups, volumes) lies where the node lies."""

import json

import pytest

from client import GROUPS, collection, fault, owned, until
from everywhere import having, repoint, uuids
from order import union

pytestmark = pytest.mark.usefixtures("clean")

ABSENT = "00000000-0000-4000-8000-00000000dead"
LOCATION = "X-Ironic-Proxy-Location"
OWNED = ["ports", "portgroups", "volume/connectors", "volume/targets"]
CHANGE = {"ports": ("pxe_enabled", False), "portgroups": ("standalone_ports_supported", False)}


@pytest.mark.parametrize("kind", OWNED)
def test_what_a_node_owns_is_created_found_changed_and_deleted_where_the_node_is(api, direct, nodes, kind):
    for location, node in nodes.items():
        created = api("POST", f"/v1/{kind}", json=owned(kind, node["uuid"], location))
        assert created.status == 201, created.body.decode()
        thing = created.json()
        path = f"/v1/{kind}/{thing['uuid']}"
        assert having(direct, path) == [location]
        assert created.headers["Location"] == f"{api.url}{path}"
        assert created.headers[LOCATION] == location

        expected = repoint(direct[location].get(path).body.decode(), direct, api)
        idents = [thing["uuid"], *([thing["name"]] if "name" in thing else [])]
        for ident in idents:
            shown = api.get(f"/v1/{kind}/{ident}")
            assert (shown.status, shown.body.decode()) == (200, expected)
            assert shown.headers[LOCATION] == location
        field, value = CHANGE.get(kind, ("extra", {"a": 1}))
        if kind.startswith("volume"):
            # Ironic wants the power off for this.
            api.ok("PUT", f"/v1/nodes/{node['uuid']}/states/power", json={"target": "power off"})
            until(lambda node=node: api.ok("GET", f"/v1/nodes/{node['uuid']}")["power_state"] == "power off")
        changed = until(
            lambda path=path, field=field, value=value: (
                answer if (answer := api.patch(path, ("replace", f"/{field}", value))).status != 409 else None
            ),
            what="an unlocked node",
        )
        assert changed.status == 200, changed.body.decode()
        assert direct[location].ok("GET", path)[field] == value

        gone = until(
            lambda path=path: answer if (answer := api("DELETE", path)).status != 409 else None, what="an unlocked node"
        )
        assert (gone.status, gone.body) == (204, b"")
        assert having(direct, path) == []
        theirs = direct["loc1"].get(path)
        ours = api.get(path)
        assert (ours.status, ours.body) == (404, theirs.body)


@pytest.mark.parametrize("kind", OWNED)
def test_lists_of_what_nodes_own_are_merged_paged_and_filtered(api, direct, nodes, kind):
    path, listed = f"/v1/{kind}", collection(kind)
    for number in range(3):
        for location, node in nodes.items():
            direct[location].ok("POST", path, json=owned(kind, node["uuid"], location, number))
    keys = {
        "ports": ["address", "name", "pxe_enabled", "node_id", "created_at"],
        "portgroups": ["address", "name", "mode", "created_at"],
        "volume/connectors": ["connector_id", "type", "created_at"],
        "volume/targets": ["volume_id", "boot_index", "volume_type"],
    }[kind]
    for key in [None, *keys]:
        for direction in ("asc", "desc"):
            expected = uuids(union(direct, path, key=key, direction=direction))
            assert len(expected) == 9
            query = {"sort_dir": direction, **({"sort_key": key} if key else {})}
            assert uuids(api.list(path, **query)) == expected
            for style, limit in (("next", 2), ("marker", 4)):
                assert uuids(api.walk(style, path, limit=limit, **query)[0]) == expected
    # In detail, as each Ironic says it.
    details = {item["uuid"]: item for item in api.ok("GET", f"{path}?detail=True")[listed]}
    assert details == {
        item["uuid"]: item for item in json.loads(repoint(json.dumps(union(direct, path)), direct, api))
    }
    if not kind.startswith("volume"):
        assert {item["uuid"]: item for item in api.ok("GET", f"{path}/detail")[listed]} == details
    # Of one node, by uuid and by name, walking included.
    for location, node in nodes.items():
        mine = uuids(direct[location].list(path, node=node["uuid"]))
        for ident in (node["uuid"], node["name"]):
            assert uuids(api.list(path, node=ident)) == mine
            assert uuids(api.walk("next", path, node=ident, limit=1)[0]) == mine
            assert uuids(api.ok("GET", f"/v1/nodes/{ident}/{kind}")[listed]) == mine
            assert uuids(api.walk("next", f"/v1/nodes/{ident}/{kind}", limit=2)[0]) == mine
    theirs = direct["loc1"].get(f"{path}?node={ABSENT}")
    ours = api.get(f"{path}?node={ABSENT}")
    assert (ours.status, ours.body) == (theirs.status, theirs.body)


def test_a_mac_address_is_found_and_kept_unique_over_all_locations(api, direct, nodes):
    for location, node in nodes.items():
        api.ok("POST", "/v1/ports", json=owned("ports", node["uuid"], location))
    for location in GROUPS:
        mac = owned("ports", "", location)["address"]
        found = api.list("/v1/ports", address=mac)
        assert [port["address"] for port in found] == [mac]
        assert uuids(found) == uuids(direct[location].list("/v1/ports"))
    assert api.list("/v1/ports", address="52:54:00:99:99:99") == []

    mac = owned("ports", "", "loc1")["address"]
    theirs = direct["loc1"]("POST", "/v1/ports", json={"node_uuid": nodes["loc1"]["uuid"], "address": mac})
    ours = api("POST", "/v1/ports", json={"node_uuid": nodes["loc2"]["uuid"], "address": mac})
    assert theirs.status == 409
    assert (ours.status, ours.body) == (409, theirs.body)
    other = direct["loc2"].list("/v1/ports")[0]["uuid"]
    assert api.patch(f"/v1/ports/{other}", ("replace", "/address", mac)).status == 409
    assert len(direct["loc2"].list("/v1/ports")) == 1


def test_a_port_is_created_by_the_name_of_its_node_too(api, direct, nodes):
    body = {"node_ident": "node-loc2", "address": "52:54:00:aa:bb:cc"}
    port = api.ok("POST", "/v1/ports", json=body)
    assert having(direct, f"/v1/ports/{port['uuid']}") == ["loc2"]
    # Here Ironic repeats the whole body, and that has the uuid that the gateway gave it.
    for wrong in ({}, {"node_uuid": ABSENT, "node_ident": "node-loc1"}):
        answer = api("POST", "/v1/ports", json={"address": "52:54:00:aa:bb:cd", **wrong})
        assert answer.status == 400
        assert fault(answer).startswith("Schema error for port: {")
    for wrong in ({"node_uuid": ABSENT}, {"node_ident": "nobody"}):
        body = {"address": "52:54:00:aa:bb:cd", **wrong}
        theirs, ours = direct["loc1"]("POST", "/v1/ports", json=body), api("POST", "/v1/ports", json=body)
        assert theirs.status == 400
        assert (ours.status, ours.body) == (theirs.status, theirs.body), wrong


def test_a_port_is_found_by_its_name_in_every_version(api, direct, nodes):
    port = api.ok("POST", "/v1/ports", json=owned("ports", nodes["loc2"]["uuid"], "loc2"))
    for version in ("1.1", "1.80", "1.88"):
        ours, theirs = api.get(f"/v1/ports/{port['name']}", version=version), direct["loc2"].get(f"/v1/ports/{port['name']}", version=version)
        assert ours.status == theirs.status == 200, (version, ours)
        assert {**ours.json(), "links": None} == {**theirs.json(), "links": None}


def test_the_ports_of_a_port_group(api, direct, nodes):
    for location, node in nodes.items():
        group = api.ok("POST", "/v1/portgroups", json=owned("portgroups", node["uuid"], location))
        body = {**owned("ports", node["uuid"], location, 7), "portgroup_uuid": group["uuid"]}
        port = api.ok("POST", "/v1/ports", json=body)
        for path in (
            f"/v1/portgroups/{group['uuid']}/ports",
            f"/v1/portgroups/{group['name']}/ports",
            f"/v1/portgroups/{group['uuid']}/ports/detail",
            f"/v1/ports?portgroup={group['uuid']}",
        ):
            assert uuids(api.ok("GET", path)["ports"]) == [port["uuid"]], path
    stranger = api.ok("GET", "/v1/portgroups/group-loc1-0")["uuid"]
    body = {"node_uuid": nodes["loc2"]["uuid"], "address": "52:54:00:dd:00:01", "portgroup_uuid": stranger}
    assert api("POST", "/v1/ports", json=body).status == 400


@pytest.mark.parametrize("kind", ["ports", "portgroups"])
def test_a_number_in_a_location_s_database_is_nobody_s_name(api, direct, nodes, kind):
    """Ironic shows a port, and deletes a port group, by it; at another location it is another one's."""
    made = {location: api.ok("POST", f"/v1/{kind}", json=owned(kind, node["uuid"], location))["uuid"] for location, node in nodes.items()}
    # As far as Ironic shows which number it has.
    shows = lambda number: direct["loc1"].get(f"/v1/ports/{number}").status == 200
    numbers = [number for number in range(1, 99) if kind == "portgroups" or shows(number)]
    assert numbers
    for number in numbers:
        path = f"/v1/{kind}/{number}"
        for asked in (api.get(path), api("DELETE", path), api.patch(path, ("replace", "/extra", {"taken": True}))):
            assert 400 <= asked.status < 405, asked.body.decode()
            assert fault(asked) in (f"{kind[:-1].capitalize()} {number} could not be found.", f"Expected UUID for port_uuid: {number}")
    for location, uuid in made.items():
        assert direct[location].ok("GET", f"/v1/{kind}/{uuid}")["extra"] == {}
    assert api.get("/v1/nodes").status == 200


def test_what_a_node_owns_cannot_move_to_a_node_elsewhere(api, direct, nodes):
    for kind in ("ports", "portgroups", "volume/connectors", "volume/targets"):
        thing = api.ok("POST", f"/v1/{kind}", json=owned(kind, nodes["loc1"]["uuid"], "loc1"))
        answer = api.patch(f"/v1/{kind}/{thing['uuid']}", ("replace", "/node_uuid", nodes["loc2"]["uuid"]))
        assert answer.status == 400, answer.body.decode()
        assert nodes["loc2"]["uuid"] in fault(answer)
        assert having(direct, f"/v1/{kind}/{thing['uuid']}") == ["loc1"]


@pytest.mark.parametrize("path", ["/v1/ports", "/v1/portgroups", "/v1/volume/connectors", "/v1/volume/targets"])
@pytest.mark.parametrize(
    "query", ["limit=-1", "limit=x", "sort_key=foo", "sort_key=extra", "sort_dir=up", f"marker={ABSENT}", "marker=x", "foo=bar"]
)
def test_refused_lists_are_byte_equal(api, direct, path, query):
    theirs, ours = (asked.get(f"{path}?{query}") for asked in (direct["loc1"], api))
    assert theirs.status >= 400
    assert (ours.status, ours.body) == (theirs.status, theirs.body)


@pytest.mark.parametrize("path", ["/v1/ports", "/v1/ports/x", "/v1/drivers", "/v1/chassis", "/v1/allocations/x", "/v1/volume"])
def test_head_is_405_as_by_ironic(api, direct, path):
    ours, theirs = api("HEAD", path), direct["loc1"]("HEAD", path)
    assert theirs.status == 405
    assert (ours.status, ours.body) == (405, b"")
