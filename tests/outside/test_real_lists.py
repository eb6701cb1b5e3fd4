"""Lists of nodes merged from three real Ironics: order, paging, filters, fields."""

import json
import string
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bed.ironic import Ironic
from client import GROUPS, LATEST, Api, fault, provision, raw, until, wipe
from gateway import Gateway, config
from order import union

ABSENT = "00000000-0000-4000-8000-00000000dead"

# What a real Ironic 39 sorts nodes by.
SORTABLE = (
    "id uuid instance_uuid instance_name name chassis_id power_state target_power_state provision_state "
    "target_provision_state provision_updated_at last_error driver resource_class reservation conductor_affinity "
    "conductor_group maintenance maintenance_reason fault console_enabled inspection_finished_at "
    "inspection_started_at automated_clean protected protected_reason owner lessee allocation_id description "
    "bios_interface boot_interface console_interface deploy_interface firmware_interface inspect_interface "
    "management_interface network_interface raid_interface rescue_interface retired retired_reason "
    "storage_interface power_interface vendor_interface boot_mode secure_boot shard parent_node "
    "disable_power_off health version created_at updated_at"
).split()

PROJECT = "9c1f2d3e4b5a69788796a5b4c3d2e1f0"
INSTANCE = "11111111-2222-4333-8444-555555555555"

# Few values, many equal ones, NULLs at every location, letters whose order depends on the collation.
FLEET = [
    ("loc1", {"name": "alpha", "resource_class": "small", "owner": PROJECT}),
    ("loc1", {"name": "Beta", "description": "rack one", "shard": "east"}),
    ("loc1", {"resource_class": "Large", "instance_uuid": INSTANCE, "instance_name": "vm-1"}),
    ("loc1", {"name": "delta", "automated_clean": False, "deploy_interface": "fake"}),
    ("loc1", {}),
    ("loc2", {"name": "ALPHA-2", "resource_class": "large", "lessee": PROJECT}),
    ("loc2", {"name": "beta-2", "resource_class": "small", "retired": True, "retired_reason": "old"}),
    ("loc2", {"name": "_under", "shard": "west", "automated_clean": True}),
    ("loc2", {"description": "Rack two", "owner": "else", "console_interface": "no-console"}),
    ("loc3", {"name": "Zulu", "resource_class": "Small", "shard": "east"}),
    ("loc3", {"name": "zebra", "resource_class": "small", "description": "rack one"}),
    ("loc3", {"name": "10", "owner": PROJECT, "instance_uuid": str(uuid.uuid4())}),
    ("loc3", {"name": "9", "bios_interface": "no-bios", "disable_power_off": True}),
]


@pytest.fixture(scope="module")
def fleet(direct):
    """FLEET, enrolled at the Ironics themselves, plus some states; the answers of creation in order."""
    nodes = []
    for location, spec in FLEET:
        nodes.append(direct[location].create(conductor_group=GROUPS[location], **spec))
    for index in (1, 6, 10):
        location = FLEET[index][0]
        answer = direct[location]("PUT", f"/v1/nodes/{nodes[index]['uuid']}/maintenance", json={"reason": "fan"})
        assert answer.status == 202
    for index in (3, 5, 9):
        provision(direct[FLEET[index][0]], nodes[index]["uuid"], "manage", "manageable")
    child = direct["loc2"].create(name="child", conductor_group="grp1", parent_node=nodes[5]["uuid"])
    yield [*nodes, child]
    for asked in direct.values():
        wipe(asked)


def uuids(items):
    return [item["uuid"] for item in items]


def test_the_default_list_has_every_node_once_with_ironic_s_fields(api, direct, fleet):
    answer = api.get("/v1/nodes")
    items = answer.json()["nodes"]
    assert uuids(items) == uuids(union(direct))
    assert "next" not in answer.json()
    theirs = direct["loc2"].list()
    for item in items:
        assert set(item) == set(theirs[0])
        assert [link["href"] for link in item["links"]] == [
            f"{api.url}/v1/nodes/{item['uuid']}",
            f"{api.url}/nodes/{item['uuid']}",
        ]


@pytest.mark.parametrize("query", ["/v1/nodes/detail", "/v1/nodes?detail=True", "/nodes/detail", "/v1/nodes?detail=true&limit=50"])
def test_details_are_what_the_ironics_say_but_for_links(api, direct, fleet, query):
    expected = union(direct, include_children="True") if "detail" == query[-6:] else union(direct)
    text = json.dumps(expected)
    for name in GROUPS:
        text = text.replace(direct[name].url, api.url)
    got = {node["uuid"]: node for node in api.ok("GET", query)["nodes"]}
    wanted = {node["uuid"]: node for node in json.loads(text)}
    # Where Ironic hides children and where not is Ironic's business.
    wanted = {identity: node for identity, node in wanted.items() if identity in got or node["parent_node"] is None}
    assert got == wanted


@pytest.mark.parametrize("key", SORTABLE)
def test_every_sort_key_in_both_directions_and_both_ways_of_walking(api, direct, fleet, key):
    for direction, style, limit in [("asc", "next", 4), ("desc", "marker", 5), ("asc", "marker", 13), ("desc", "next", 3)]:
        expected = uuids(union(direct, key=key, direction=direction))
        items, pages = api.walk(style, sort_key=key, sort_dir=direction, limit=limit)
        assert uuids(items) == expected, (key, direction, style, limit)
        assert pages == -(-len(expected) // limit)


@pytest.mark.parametrize("key", [None, "resource_class", "name", "maintenance", "updated_at", "provision_state"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 100])
def test_small_pages_with_equal_and_missing_values(api, direct, fleet, key, direction, limit):
    query = {"sort_dir": direction, "limit": limit, **({"sort_key": key} if key else {})}
    expected = uuids(union(direct, key=key, direction=direction))
    for style in ("next", "marker"):
        items, _ = api.walk(style, **query)
        assert uuids(items) == expected


FILTERS = [
    {"resource_class": "small"},
    {"resource_class": "nothing"},
    {"maintenance": "True"},
    {"maintenance": "False"},
    {"associated": "True"},
    {"associated": "False"},
    {"provision_state": "manageable"},
    {"provision_state": "enroll"},
    {"driver": "fake-hardware"},
    {"driver": "ipmi"},
    {"conductor_group": "grp1"},
    {"conductor_group": ""},
    {"conductor_group": "GRP1"},
    {"owner": PROJECT},
    {"lessee": PROJECT},
    {"project": PROJECT},
    {"retired": "True"},
    {"description_contains": "rack"},
    {"shard": "east"},
    {"shard": "east,west"},
    {"sharded": "True"},
    {"sharded": "False"},
    {"include_children": "True"},
    {"instance_uuid": INSTANCE},
    {"instance_uuid": ABSENT},
    {"instance_name": "vm-1"},
    {"fault": "power failure"},
    {"conductor": "loc2-conductor"},
    {"resource_class": "small", "maintenance": "False", "sharded": "False"},
]


@pytest.mark.parametrize("filters", FILTERS, ids=lambda filters: "&".join(f"{k}={v}" for k, v in filters.items()))
def test_a_filter_counts_at_every_location_and_on_every_page(api, direct, fleet, filters):
    expected = uuids(union(direct, **filters))
    assert uuids(api.list(**filters)) == expected
    for style in ("next", "marker"):
        items, _ = api.walk(style, **filters, limit=2)
        assert uuids(items) == expected
        items, _ = api.walk(style, **filters, limit=1, sort_key="name", sort_dir="desc")
        assert uuids(items) == uuids(union(direct, key="name", direction="desc", **filters))


def test_the_children_of_a_parent_are_found(api, direct, fleet):
    parent, child = fleet[5], fleet[-1]
    assert uuids(api.list(parent_node=parent["uuid"])) == [child["uuid"]]
    assert api.list(parent_node=ABSENT) == []


def test_next_is_the_client_s_own_path_and_query_and_there_only_with_more(api, fleet):
    for path in ("/v1/nodes", "/nodes", "/v1/nodes/detail"):
        count = len(api.list(path))
        page = api.ok("GET", f"{path}?limit={count - 1}")
        last = page["nodes"][-1]["uuid"]
        assert page["next"].startswith(f"{api.url}{path}?")
        assert f"limit={count - 1}" in page["next"] and f"marker={last}" in page["next"]
        assert len(api.ok("GET", page["next"][len(api.url) :])["nodes"]) == 1
        assert "next" not in api.ok("GET", f"{path}?limit={count}")
        assert "next" not in api.ok("GET", path)


def test_next_keeps_filters_fields_and_order(api, direct, fleet):
    query = "resource_class=small&fields=name,driver&sort_key=name&sort_dir=desc&limit=1"
    names, url = [], f"/v1/nodes?{query}"
    while url:
        page = api.ok("GET", url)
        for node in page["nodes"]:
            assert set(node) == {"name", "driver", "links"}
            names.append(node["name"])
        url = page.get("next", "")[len(api.url) :]
    assert names == [node["name"] for node in union(direct, key="name", direction="desc", resource_class="small")]


@pytest.mark.parametrize(
    "fields", ["name", "uuid", "uuid,name", "name,uuid", "extra,properties", "driver_info", "", "resource_class,owner", "NAME", "name,name"]
)
@pytest.mark.parametrize("order", ["", "&sort_key=maintenance", "&sort_key=created_at&sort_dir=desc&limit=3"])
def test_items_have_exactly_the_fields_asked_for(api, direct, fleet, fields, order):
    ours = api.ok("GET", f"/v1/nodes?fields={fields}{order}")["nodes"]
    theirs = direct["loc1"].ok("GET", f"/v1/nodes?fields={fields}")["nodes"]
    assert ours
    for item in ours:
        # Their order changes in Ironic itself from one start to the next.
        assert set(item) == set(theirs[0])
        assert item["links"][0]["href"].startswith(f"{api.url}/v1/nodes/")


def test_fields_can_be_repeated(api, fleet):
    items = api.ok("GET", "/v1/nodes?fields=name&fields=driver")["nodes"]
    assert {frozenset(item) for item in items} == {frozenset({"name", "driver", "links"})}


def test_a_marker_outside_the_filter_is_a_position_all_the_same(api, direct, fleet):
    ordered = union(direct, key="name")
    for node in ordered:
        expected = [
            other["uuid"]
            for other in ordered[uuids(ordered).index(node["uuid"]) + 1 :]
            if other["resource_class"] == "small"
        ]
        found = api.list(resource_class="small", sort_key="name", marker=node["uuid"])
        assert uuids(found) == expected
    ordered = union(direct)
    for index, node in enumerate(ordered):
        assert uuids(api.list(marker=node["uuid"])) == uuids(ordered[index + 1 :])


def test_an_unknown_marker_is_404_in_ironic_s_words(api, direct, fleet):
    for order in ("", "&sort_key=name"):
        ours, theirs = (asked.get(f"/v1/nodes?marker={ABSENT}{order}") for asked in (api, direct["loc1"]))
        assert theirs.status == 404
        assert (ours.status, ours.body) == (404, theirs.body)


def test_an_unknown_chassis_is_404_and_a_known_one_counts_where_it_is(api, direct, fleet):
    ours, theirs = (asked.get(f"/v1/nodes?chassis_uuid={ABSENT}") for asked in (api, direct["loc1"]))
    assert (ours.status, ours.body) == (theirs.status, theirs.body)
    assert ours.status == 404
    chassis = direct["loc2"].ok("POST", "/v1/chassis", json={"description": "only here"})["uuid"]
    node = direct["loc2"].create(conductor_group="grp1", chassis_uuid=chassis)
    try:
        assert uuids(api.list(chassis_uuid=chassis)) == [node["uuid"]]
    finally:
        direct["loc2"].ok("DELETE", f"/v1/nodes/{node['uuid']}")
        direct["loc2"].ok("DELETE", f"/v1/chassis/{chassis}")


def test_the_same_uuid_at_two_locations_is_listed_from_both(api, direct, fleet):
    identity = str(uuid.uuid4())
    for name in ("loc1", "loc3"):
        direct[name].create(uuid=identity, name=f"double-{name}", conductor_group=GROUPS[name])
    try:
        for order in ({}, {"sort_key": "name"}, {"sort_key": "driver"}):
            found = [node["name"] for node in api.list(**order) if node["uuid"] == identity]
            assert sorted(found) == ["double-loc1", "double-loc3"]
    finally:
        for name in ("loc1", "loc3"):
            direct[name].ok("DELETE", f"/v1/nodes/{identity}")


def test_our_own_max_limit(locations, direct, fleet):
    with Gateway(config(locations, api={"max_limit": 4})) as gateway:
        api = Api(gateway.url)
        until(lambda: api.get("/v1/nodes").status == 200, what="all locations")
        expected = uuids(union(direct, key="name"))
        for limit in ({}, {"limit": 9}):
            page = api.ok("GET", "/v1/nodes", params={"sort_key": "name", **limit})
            assert uuids(page["nodes"]) == expected[:4]
            assert "next" in page
            for style in ("next", "marker"):
                items, pages = api.walk(style, sort_key="name", **limit)
                assert (uuids(items), pages) == (expected, -(-len(expected) // 4))


def test_a_location_with_a_smaller_max_limit_loses_nothing(sites, direct, fleet):
    with Ironic("small", group="grp1", api={"max_limit": 2}) as small:
        asked = Api(small.url)
        for number in range(7):
            asked.create(name=f"s{number}", conductor_group="grp1", **({"resource_class": "small"} if number % 2 else {}))
        everyone = {"loc1": direct["loc1"], "small": asked}
        with Gateway(config({name: one.url for name, one in everyone.items()})) as gateway:
            api = Api(gateway.url)
            until(lambda: api.get("/v1/nodes").status == 200, what="all locations")
            small_nodes, _ = asked.walk("marker", limit=2)
            default = uuids(union(everyone, locations=("loc1",))) + uuids(small_nodes)
            assert uuids(api.list()) == default
            for limit in (1, 3, 5, 1000):
                for style in ("next", "marker"):
                    assert uuids(api.walk(style, limit=limit)[0]) == default
                    assert uuids(api.walk(style, limit=limit, sort_dir="desc")[0]) == default[::-1]
                    named, _ = api.walk(style, limit=limit, sort_key="resource_class")
                    assert sorted(uuids(named)) == sorted(default)
                    classes = [(node["uuid"] in uuids(small_nodes[1::2])) for node in named if node["uuid"] in uuids(small_nodes)]
                    assert classes == [False] * 4 + [True] * 3


def test_an_error_of_a_list_is_said_once(api, fleet):
    answer = api.get("/v1/nodes?sort_dir=up")
    assert answer.status == 400
    assert fault(answer) == "Invalid sort direction: up. Acceptable values are 'asc' or 'desc'"


def test_semicolons_and_method_overrides_smuggle_nothing(api, direct, fleet):
    headers = {"OpenStack-API-Version": f"baremetal {LATEST}"}
    status, _, body = raw(api.url, "GET", "/v1/nodes?resource_class=small;limit=1", headers)
    assert status == 400 or json.loads(body)["nodes"] == []
    status, _, body = raw(api.url, "GET", f"/v1/nodes/{fleet[0]['uuid']}?_method=delete", headers)
    assert status in (400, 405)
    assert direct["loc1"].get(f"/v1/nodes/{fleet[0]['uuid']}").status == 200


# ---- any nodes, any question


WORDS = st.sampled_from(["a", "B", "b", "Z", "z", "a-1", "A-1", "10", "9"])
NODES = st.lists(
    st.fixed_dictionaries(
        {"location": st.sampled_from(list(GROUPS))},
        optional={
            "resource_class": WORDS,
            "owner": WORDS,
            "description": WORDS,
            "automated_clean": st.booleans(),
            "retired": st.booleans(),
            "instance": st.just(True),
            "name": st.text(string.ascii_letters + string.digits + "-_.~", min_size=1, max_size=5),
        },
    ),
    max_size=9,
)
QUESTIONS = st.lists(
    st.fixed_dictionaries(
        {
            "filters": st.fixed_dictionaries(
                {},
                optional={
                    "resource_class": WORDS,
                    "owner": WORDS,
                    "description_contains": st.sampled_from(["a", "1"]),
                    "associated": st.sampled_from(["True", "False"]),
                    "retired": st.sampled_from(["True", "False"]),
                    "conductor_group": st.sampled_from([*GROUPS.values(), "none"]),
                },
            ),
            "key": st.sampled_from([None, *SORTABLE]),
            "direction": st.sampled_from(["asc", "desc"]),
            "limit": st.integers(1, 6),
            "style": st.sampled_from(["next", "marker"]),
            "fields": st.sampled_from([None, "uuid", "uuid,extra"]),
        }
    ),
    min_size=3,
    max_size=8,
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(nodes=NODES, questions=QUESTIONS)
def test_any_walk_is_the_sorted_union(direct, gateway, nodes, questions):
    api = Api(gateway.url)
    for asked in direct.values():
        wipe(asked)
    taken = {None}
    for spec in nodes:
        spec = dict(spec)
        location = spec.pop("location")
        if spec.pop("instance", False):
            spec["instance_uuid"] = str(uuid.uuid4())
        # Names are unique over all locations; `.` and `..` cannot stand in a path.
        if spec.get("name") in {*taken, ".", ".."}:
            spec.pop("name", None)
        taken.add(spec.get("name"))
        direct[location].create(conductor_group=GROUPS[location], **spec)
    try:
        for question in questions:
            key, direction = question["key"], question["direction"]
            expected = uuids(union(direct, key=key, direction=direction, **question["filters"]))
            query = {"limit": question["limit"], "sort_dir": direction, **question["filters"]}
            if key:
                query["sort_key"] = key
            if question["fields"]:
                query["fields"] = question["fields"]
            items, pages = api.walk(question["style"], **query)
            assert uuids(items) == expected, question
            assert pages == max(1, -(-len(expected) // question["limit"]))
    finally:
        for asked in direct.values():
            wipe(asked)
