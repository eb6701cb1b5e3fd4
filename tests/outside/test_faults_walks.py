"""Every walk is the sorted union, whatever the locations do."""

import dataclasses
import json
import re

import pytest
import scripted
from faults import hubs, mend
from fleet import LATEST, Client, assert_unavailable, fleet, walk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standin import Standin, new_uuid, node

INCOMPLETE = "X-Ironic-Proxy-Incomplete"
ALLOW = {"X-Ironic-Proxy-Partial": "allow"}
DENY = {"X-Ironic-Proxy-Partial": "deny"}
REASONS = {"connect", "timeout", "status", "body", "breaker", "quarantine", "refused", "busy"}

def announced(reply):
    """The header that announces what is missing, as name -> reason."""
    value = reply.header(INCOMPLETE)
    if value is None:
        return {}
    found = {}
    for part in value.split(","):
        matched = re.fullmatch(r"(loc\d+);reason=([a-z]+)", part.strip())
        assert matched and matched[2] in REASONS, value
        found[matched[1]] = matched[2]
    return found


module_hub, hub = hubs(3, every={"timeout": 1, "max_response_size": 1 << 20})


def strike(site, fault):
    if fault is None:
        site.down()
    else:
        site.fault(fault)


TEXTS = st.sampled_from([None, None, "", "a", "A", "b", "B", "aa", "Ab", "a-b", "a_b", "Z", "z", "10", "9", "\u00e9", "a b", '"q"', "\\"])
MOMENTS = st.sampled_from([None, *(f"2026-11-22T10:00:0{second}.{micro}+00:00" for second in (0, 1) for micro in ("000000", "500000"))])
KEYS = [None, "", "id", "chassis_id", "version", "conductor_affinity", "allocation_id", "name", "uuid", "resource_class", "description",
        "owner", "maintenance", "protected", "provision_state", "power_state", "created_at", "updated_at", "instance_uuid",
        "conductor_group", "driver", "automated_clean"]  # fmt: skip
CONCATENATED = {None, "", "id", "chassis_id", "version", "conductor_affinity", "allocation_id"}
FILTERS = {
    "": lambda record: True,
    "resource_class=a": lambda record: record["resource_class"] == "a",
    "maintenance=True": lambda record: record["maintenance"],
    "maintenance=false": lambda record: not record["maintenance"],
    "conductor_group=": lambda record: record["conductor_group"] == "",
    "conductor_group=g1": lambda record: record["conductor_group"] == "g1",
    "associated=yes": lambda record: record["instance_uuid"] is not None,
    "owner=a%20b": lambda record: record["owner"] == "a b",
    "provision_state=available": lambda record: record["provision_state"] == "available",
    "driver=nobody": lambda record: False,
}
SHAPES = ["", "fields=uuid", "fields=uuid,name", "fields=uuid,description,maintenance", "detail=True", "detail=False"]


@st.composite
def records(draw):
    fields = {
        "resource_class": draw(TEXTS),
        "description": draw(TEXTS),
        "owner": draw(TEXTS),
        "created_at": draw(MOMENTS) or "2026-11-22T09:00:00.000000+00:00",
        "updated_at": draw(MOMENTS),
        "maintenance": draw(st.booleans()),
        "protected": draw(st.booleans()),
        "automated_clean": draw(st.sampled_from([None, True, False])),
        "provision_state": draw(st.sampled_from(["enroll", "available", "active"])),
        "power_state": draw(st.sampled_from([None, "power on", "power off"])),
        "conductor_group": draw(st.sampled_from(["", "g1", "g2"])),
        "driver": draw(st.sampled_from(["fake-hardware", "ipmi", "redfish"])),
    }
    if draw(st.integers(0, 3)) == 0:
        fields["instance_uuid"] = new_uuid()
    name = draw(st.sampled_from([None, "n", "N", "m.x", "~", "0"]))
    # Names are unique per location; a suffix keeps them so without deciding the order.
    return node(None if name is None else f"{name}{new_uuid()[:6]}", **fields)


@dataclasses.dataclass
class World:
    locations: list
    limits: list
    databases: list
    key: str
    direction: str
    filter: str
    shape: str
    limit: int
    style: str
    path: str


@st.composite
def worlds(draw):
    count = draw(st.integers(1, 4))
    path = draw(st.sampled_from(["/v1/nodes", "/v1/nodes", "/v1/nodes/detail"]))
    return World(
        locations=[draw(st.lists(records(), max_size=9)) for _ in range(count)],
        limits=[draw(st.sampled_from([1, 2, 3, 1000])) for _ in range(count)],
        databases=[draw(st.sampled_from(["sqlite", "mysql", "postgres"])) for _ in range(count)],
        key=draw(st.sampled_from(KEYS)),
        direction=draw(st.sampled_from([None, "asc", "desc"])),
        filter=draw(st.sampled_from(list(FILTERS))),
        shape="" if path.endswith("detail") else draw(st.sampled_from(SHAPES)),
        limit=draw(st.sampled_from([1, 2, 3, 5, 8, None])),
        style=draw(st.sampled_from(["next", "marker"])),
        path=path,
    )


def rank(value):
    """NULL first; text by its lower case, then as it is; everything else by its nature."""
    if value is None:
        return (0,)
    if isinstance(value, str):
        return (1, value.lower(), value)
    return (1, value)


def sorted_union(world):
    """What a walk has to show: the uuids in the order that the gateway promises."""
    rows = []
    for index, nodes in enumerate(world.locations):
        for position, record in enumerate(nodes):
            if FILTERS[world.filter](record):
                value = () if world.key in CONCATENATED else rank(record[world.key])
                rows.append((value, index, position, record["uuid"]))
    rows.sort(reverse=world.direction == "desc")
    return [row[-1] for row in rows]


@pytest.fixture(scope="module")
def hubs():
    """Gateways with one to four locations."""
    with fleet(1) as one, fleet(2) as two, fleet(3) as three, fleet(4) as four:
        yield {1: one, 2: two, 3: three, 4: four}


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds())
def test_a_walk_is_the_sorted_union(hubs, world):
    hub = hubs[len(world.locations)]
    mend(hub)
    for site, nodes, limit, database in zip(hub.all(), world.locations, world.limits, world.databases):
        site.max_limit, site.database = limit, database
        for record in nodes:
            site.add(record)
    query = [part for part in (world.filter, world.shape) if part]
    if world.key is not None:
        query.append(f"sort_key={world.key}")
    if world.direction is not None:
        query.append(f"sort_dir={world.direction}")
    items, sizes = walk(hub, query, world.limit, world.style, path=world.path)
    wanted = sorted_union(world)
    assert [item["uuid"] for item in items] == wanted
    if world.limit is not None:
        # Every page but the last is full, and the last is not empty.
        assert sizes[:-1] == [world.limit] * (len(sizes) - 1)
        assert sizes[-1] or not wanted
    if world.shape.startswith("fields="):
        assert all(set(item) == {*world.shape[7:].split(","), "links"} for item in items)


STRIKES = {"resets": scripted.reset(), "502": scripted.html(), "cut JSON": scripted.cut_json(), "cut off": scripted.cut_off(),
           "401": scripted.says(401, "no"), "404 in HTML": scripted.html(404)}  # fmt: skip


def is_within(part, whole):
    """Whether `part` is `whole` with some left out, in its order."""
    rest = iter(whole)
    return all(item in rest for item in part)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds(), struck=st.integers(0, 3), skip=st.integers(0, 3), strike=st.sampled_from(list(STRIKES)), allow=st.booleans())
def test_a_page_is_never_silently_short(hubs, world, struck, skip, strike, allow):
    """A location fails from some question on; whatever is answered, a list that says nothing of it is whole."""
    hub = hubs[len(world.locations)]
    name = f"loc{struck % len(world.locations) + 1}"
    mend(hub)
    for site, nodes, limit, database in zip(hub.all(), world.locations, world.limits, world.databases):
        site.max_limit, site.database = limit, database
        for record in nodes:
            site.add(record)
    hub.sites[name].fault(STRIKES[strike], skip=skip)
    query = [part for part in (world.filter, world.shape) if part]
    query += [f"sort_key={world.key}"] if world.key is not None else []
    query += [f"sort_dir={world.direction}"] if world.direction is not None else []
    query += [f"limit={world.limit}"] if world.limit is not None else []
    reply = hub.get(f"{world.path}?{'&'.join(query)}", headers=ALLOW if allow else DENY)
    wanted = sorted_union(world)
    if reply.status == 200 and not announced(reply):
        assert reply.uuids() == wanted[: world.limit]
        assert ("next" in reply.json()) == (len(wanted) > len(reply.uuids()))
    elif reply.status == 200:
        assert allow and set(announced(reply)) == {name}
        assert is_within(reply.uuids(), wanted)
    else:
        assert_unavailable(reply, name)
        assert not allow or len(world.locations) == 1, "a partial list was allowed"


def test_the_model_of_this_file_is_that_of_the_standin():
    """One location by `id`: the stand-in, the model and the gateway agree, or the property above says nothing."""
    with Standin([node(f"n{index}") for index in range(5)], max_limit=2) as site:
        names, marker = [], ""
        while True:
            document = Client(site.endpoint).get(f"/v1/nodes?limit=2{marker}", version=LATEST).json()
            names += [item["name"] for item in document["nodes"]]
            if "next" not in document:
                break
            marker = f"&marker={document['nodes'][-1]['uuid']}"
    assert names == ["n0", "n1", "n2", "n3", "n4"]
    world = World([[node("b"), node("A"), node(None), node("a")]], [9], ["sqlite"], "name", "desc", "", "", None, "next", "/v1/nodes")
    names = {record["uuid"]: record["name"] for record in world.locations[0]}
    assert [names[ident] for ident in sorted_union(world)] == ["b", "a", "A", None]


def test_a_merge_of_large_pages_is_whole():
    sites = [Standin([node(f"n{index}-{number}", extra={"pad": "x" * 500}) for number in range(400)]) for index in range(3)]
    with fleet(*sites) as hub:
        reply = hub.get("/v1/nodes?detail=True")
        assert len(json.loads(reply.body)["nodes"]) == 1000
        assert len(walk(hub, ["detail=True"])[0]) == 1200
