"""Merged lists: whole or announced, and every walk the sorted union, whatever the locations do."""

import dataclasses
import json
import re
import urllib.parse

import pytest
import scripted
from fleet import LATEST, Client, assert_not_found, assert_unavailable, fleet, together, walk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standin import DEFAULT_FIELDS, Standin, new_uuid, node

INCOMPLETE = "X-Ironic-Proxy-Incomplete"
ALLOW = {"X-Ironic-Proxy-Partial": "allow"}
DENY = {"X-Ironic-Proxy-Partial": "deny"}
REASONS = {"connect", "timeout", "status", "body", "breaker", "quarantine", "refused", "busy"}

# Fault -> the reasons that may be given for it.
SILENCES = {
    "refuses connections": (None, {"connect"}),
    "hangs": (scripted.hang(), {"timeout"}),
    "hangs after the head": (scripted.hang_after_head(), {"timeout"}),
    "hangs in the body": (scripted.hang_in_body(), {"timeout"}),
    "drips": (scripted.drip(), {"timeout"}),
    "resets": (scripted.reset(), REASONS),
    "closes": (scripted.close(), REASONS),
    "cuts the body off": (scripted.cut_off(), {"body", "connect"}),
    "cuts the JSON off": (scripted.cut_json(), {"body"}),
    "cuts the chunks off": (scripted.cut_chunks(), {"body", "connect"}),
    "talks garbage": (scripted.garbage(), REASONS),
    "200 in HTML": (scripted.html(200), {"body"}),
    "404 in HTML": (scripted.html(404), {"status", "body"}),
    "502 in HTML": (scripted.html(502), {"status", "body"}),
    "500 in JSON": (scripted.says(500, "Oslo is broken"), {"status"}),
    "503 in JSON": (scripted.says(503, "busy"), {"status"}),
    "429 in JSON": (scripted.says(429, "busy"), {"status", "busy"}),
    "401": (scripted.says(401, "no"), {"refused"}),
    "403": (scripted.says(403, "Access was denied to the following resource: baremetal:node:list"), {"refused"}),
    "JSON too deep": (scripted.too_deep(), {"body"}),
    "body too large": (scripted.too_big(3 << 20), {"body"}),
    "another list": (scripted.answers(200, b'{"ports": []}'), {"body"}),
    "no list": (scripted.answers(200, b"[]"), {"body"}),
    "items that are no objects": (scripted.answers(200, b'{"nodes": [1, 2]}'), {"body"}),
    "nodes that are no list": (scripted.answers(200, b'{"nodes": {}}'), {"body"}),
    "trailing bytes": (scripted.answers(200, b'{"nodes": []} {"nodes": []}'), {"body"}),
    "an empty 200": (scripted.answers(200), {"body"}),
}


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


def mend(hub):
    for site in hub.all():
        if not site.listening():
            site.up()
        site.max_limit, site.database = 1000, "sqlite"
        site.nodes.clear()
    hub.heal()


@pytest.fixture(scope="module")
def module_hub():
    with fleet(3, every={"timeout": 1, "max_response_size": 1 << 20}) as hub:
        yield hub


@pytest.fixture
def hub(module_hub):
    mend(module_hub)
    yield module_hub
    mend(module_hub)


@pytest.fixture
def stocked(hub):
    """Two nodes at each location: n11, n12 at loc1, n21, …"""
    for index, site in enumerate(hub.all(), 1):
        for number in (1, 2):
            site.add(node(f"n{index}{number}", resource_class=f"class-{number}"))
    return hub


def strike(site, fault):
    if fault is None:
        site.down()
    else:
        site.fault(fault)


# --- whole or announced


@pytest.mark.parametrize("silence", SILENCES)
def test_whole_or_announced(stocked, silence):
    hub = stocked
    fault, reasons = SILENCES[silence]
    strike(hub.loc2, fault)
    queries = ["", "?sort_key=name", "?detail=True", "?limit=6&sort_dir=desc", "?resource_class=class-1&sort_key=resource_class"]
    replies = together(*[lambda query=query, headers=headers: hub.get(f"/v1/nodes{query}", headers=headers)
                         for query in queries for headers in ((), ALLOW)])  # fmt: skip
    for denied, allowed in zip(replies[::2], replies[1::2]):
        assert_unavailable(denied, "loc2")
        assert allowed.status == 200, allowed
        assert set(announced(allowed)) == {"loc2"}
        assert announced(allowed)["loc2"] in reasons
        assert not [name for name in allowed.names() if name.startswith("n2")]
        assert "next" not in allowed.json()
    assert replies[1].names() == ["n11", "n12", "n31", "n32"]
    assert replies[9].names() == ["n11", "n31"]


def test_a_whole_list_announces_nothing(stocked):
    for headers in ((), ALLOW, DENY):
        reply = stocked.get("/v1/nodes", headers=headers)
        assert reply.names() == ["n11", "n12", "n21", "n22", "n31", "n32"]
        assert reply.header(INCOMPLETE) is None


def test_a_location_that_fails_on_its_second_page(stocked):
    hub = stocked
    for index in range(3, 9):
        hub.loc2.add(node(f"n2{index}"))
    hub.loc2.max_limit = 3
    hub.loc2.fault(scripted.reset(), query="marker=")
    for query in ("", "?sort_key=name"):
        assert_unavailable(hub.get(f"/v1/nodes{query}"), "loc2")
        reply = hub.get(f"/v1/nodes{query}", headers=ALLOW)
        assert reply.status == 200
        assert set(announced(reply)) == {"loc2"}


def test_several_missing(stocked):
    stocked.loc1.down()
    stocked.loc3.fault(scripted.html())
    assert_unavailable(stocked.get("/v1/nodes"), "loc1", "loc3")
    reply = stocked.get("/v1/nodes", headers=ALLOW)
    assert set(announced(reply)) == {"loc1", "loc3"}
    assert reply.names() == ["n21", "n22"]


def test_all_missing_is_never_a_plain_empty_list(stocked):
    for site in stocked.all():
        site.down()
    assert_unavailable(stocked.get("/v1/nodes"), "loc1", "loc2", "loc3")
    reply = stocked.get("/v1/nodes", headers=ALLOW)
    if reply.status == 200:
        assert set(announced(reply)) == {"loc1", "loc2", "loc3"}
    else:
        assert_unavailable(reply, "loc1", "loc2", "loc3")


def test_partial_lists_by_configuration():
    with fleet(2, api={"partial_lists": "allow"}) as hub:
        hub.loc1.add(node("one"))
        hub.loc2.add(node("two"))
        hub.loc2.down()
        reply = hub.get("/v1/nodes")
        assert (reply.status, reply.names(), announced(reply)) == (200, ["one"], {"loc2": "connect"})
        assert_unavailable(hub.get("/v1/nodes", headers=DENY), "loc2")


def test_a_location_that_is_not_required():
    with fleet(3, each={"loc3": {"required": False}}) as hub:
        for index, site in enumerate(hub.all(), 1):
            site.add(node(f"n{index}"))
        hub.loc3.down()
        for query in ("", "?sort_key=name"):
            reply = hub.get(f"/v1/nodes{query}")
            assert (reply.status, reply.names()) == (200, ["n1", "n2"]), reply
            assert announced(reply) == {"loc3": "connect"}
        # For a single node it is a location like any other: nobody else knows what it has.
        assert_unavailable(hub.get("/v1/nodes/nobody"), "loc3")
        # A required one that is missing is still fatal.
        hub.loc2.down()
        reply = hub.get("/v1/nodes")
        assert reply.status == 503 and "loc2" in reply.text(), reply


def test_nothing_is_announced_of_a_location_that_was_not_asked(stocked):
    stocked.loc2.down()
    reply = stocked.get("/v1/nodes", headers={"X-Ironic-Proxy-Location": "loc1"})
    assert (reply.status, reply.names()) == (200, ["n11", "n12"]), reply
    assert reply.header(INCOMPLETE) is None
    assert reply.header("X-Ironic-Proxy-Location") == "loc1"


# --- markers


@pytest.mark.parametrize("query", ["", "&sort_key=name", "&sort_key=name&sort_dir=desc", "&sort_dir=desc"])
def test_a_marker_whose_location_is_down(stocked, query):
    hub = stocked
    marker = hub.loc2.find("n21")["uuid"]
    unknown = new_uuid()
    for taught in (False, True):
        if taught:
            assert hub.get("/v1/nodes").status == 200
        hub.loc2.down()
        for headers in ((), ALLOW):
            reply = hub.get(f"/v1/nodes?limit=2&marker={marker}{query}", headers=headers)
            assert_unavailable(reply, "loc2")
        # Perhaps it is there.
        assert_unavailable(hub.get(f"/v1/nodes?limit=2&marker={unknown}{query}"), "loc2")
        hub.loc2.up()
    assert_not_found(hub.get(f"/v1/nodes?limit=2&marker={unknown}{query}"), unknown)


@pytest.mark.parametrize("query", ["", "&sort_key=name", "&sort_key=name&sort_dir=desc", "&sort_dir=desc"])
def test_a_marker_that_moved(stocked, query):
    hub = stocked
    assert hub.get("/v1/nodes").status == 200
    marker = hub.loc1.take("n11")
    hub.loc3.add(marker)
    reply = hub.get(f"/v1/nodes?marker={marker['uuid']}{query}")
    assert reply.status == 200, reply
    assert "n11" not in reply.names()


def test_a_marker_need_not_match_the_filters(stocked):
    marker = stocked.loc1.find("n12")["uuid"]
    reply = stocked.get(f"/v1/nodes?resource_class=class-1&marker={marker}")
    assert reply.names() == ["n21", "n31"]


# --- odd locations


def test_a_location_whose_next_loops(stocked):
    hub = stocked

    def same_page_for_ever(exchange):
        exchange.request.target = re.sub(r"marker=[^&]*", "", exchange.request.target)
        exchange.request.target = re.sub(r"[?&]+$", "", exchange.request.target)
        return exchange.site.answer(exchange.request)

    hub.loc2.max_limit = 2
    hub.loc2.fault(same_page_for_ever)
    for query in ("", "?sort_key=name"):
        hub.forget_requests()
        reply = hub.get(f"/v1/nodes{query}")
        assert_unavailable(reply, "loc2")
        assert len(hub.loc2.asked()) < 10


def test_a_location_whose_pages_are_empty_but_have_a_next(stocked):
    hub = stocked
    hub.loc2.fault(scripted.answers(200, b'{"nodes": [], "next": "http://127.0.0.1/v1/nodes?marker=x"}'))
    for query in ("", "?sort_key=name"):
        hub.forget_requests()
        reply = hub.get(f"/v1/nodes{query}")
        if reply.status == 200:
            assert reply.names() == ["n11", "n12", "n31", "n32"]
        else:
            assert_unavailable(reply, "loc2")
        assert len(hub.loc2.asked()) < 10


def test_next_of_a_location_is_never_followed(stocked):
    """It may point anywhere; credentials would go there."""
    hub = stocked
    for number in range(3, 6):
        hub.loc1.add(node(f"n1{number}"))
    hub.loc1.max_limit = 2
    with Standin([node("stranger")]) as stranger:
        away = f"{stranger.endpoint}/v1/nodes?marker={new_uuid()}"
        hub.loc1.fault(scripted.changed(lambda document: {**document, "next": away} if "next" in document else document))
        for query in ("", "?sort_key=name"):
            assert hub.get(f"/v1/nodes{query}").names()[:5] == ["n11", "n12", "n13", "n14", "n15"]
        assert stranger.connections == 0


@pytest.mark.parametrize("key", [None, "name", "resource_class"])
@pytest.mark.parametrize("limits", [(1, 1000, 3), (2, 2, 2), (3, 1, 1000)])
def test_locations_with_a_small_max_limit(hub, key, limits):
    wanted = []
    for index, (site, limit) in enumerate(zip(hub.all(), limits), 1):
        site.max_limit = limit
        for number in range(10, 17):
            wanted.append(site.add(node(f"n{index}{number}"))["name"])
    query = [] if key is None else [f"sort_key={key}"]
    for limit in (1, 5, 20, None):
        items, sizes = walk(hub, query, limit)
        assert [item["name"] for item in items] == wanted
        assert set(sizes[:-1]) <= {limit}


def test_the_same_uuid_twice_is_shown_twice(hub):
    ident = new_uuid()
    hub.loc1.add(node("a"))
    hub.loc1.add(node("d-one", ident))
    hub.loc2.add(node("d-two", ident))
    hub.loc2.add(node("z"))
    before = len(hub.gateway.log())
    for query in ("", "?sort_key=name", "?sort_key=uuid"):
        assert sorted(hub.get(f"/v1/nodes{query}").names()) == ["a", "d-one", "d-two", "z"]
    hub.logged(rf"WARN.*{ident}.*loc\d", before)


@pytest.mark.parametrize("query", [[], ["sort_key=name"], ["sort_key=name", "sort_dir=desc"], ["sort_dir=desc"]])
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_walk_past_the_same_uuid_twice_ends(hub, query, limit):
    ident = new_uuid()
    hub.loc1.add(node("a"))
    hub.loc1.add(node("d-one", ident))
    hub.loc2.add(node("d-two", ident))
    hub.loc2.add(node("z"))
    for style in ("next", "marker"):
        items, _ = walk(hub, query, limit, style, most=10)
        assert {item["uuid"] for item in items} >= {hub.loc1.find("a")["uuid"], ident, hub.loc2.find("z")["uuid"]}


def test_the_same_name_twice_is_shown_twice(hub):
    hub.loc1.add(node("twin"))
    hub.loc2.add(node("twin"))
    for query in ([], ["sort_key=name"], ["sort_key=name", "sort_dir=desc"]):
        for limit in (1, None):
            assert len(walk(hub, query, limit)[0]) == 2


@pytest.mark.parametrize("database", ["sqlite", "mysql", "postgres"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_null_sort_keys_lose_nothing(hub, database, direction):
    for index, site in enumerate(hub.all(), 1):
        site.database = database
        for number in range(7):
            site.add(node(f"n{index}{number}", resource_class=None if number % 2 == 0 else f"{'ab'[number % 4 // 2]}{number}"))
    everyone = sorted(record["name"] for site in hub.all() for record in site.nodes)
    for style in ("next", "marker"):
        items, _ = walk(hub, ["sort_key=resource_class", f"sort_dir={direction}", "fields=name,uuid"], 2, style)
        assert sorted(item["name"] for item in items) == everyone
        names = [item["name"] for item in items]
        nulls = [name for name in names if int(name[2]) % 2 == 0]
        # NULL comes first, whatever the databases say.
        assert (names[: len(nulls)] if direction == "asc" else names[-len(nulls) :]) == nulls


def test_one_question_per_location_at_the_same_time():
    with fleet(2, groups="_:loc1,a:loc1,b:loc1,c:loc1,d:loc2") as hub:
        for site in hub.all():
            site.fault(scripted.late(0.5))
        reply = hub.get("/v1/nodes")
        assert reply.status == 200
        assert hub.asked() == {"loc1": 1, "loc2": 1}
        assert reply.seconds < 0.95


def test_a_filter_of_groups_asks_every_location(hub):
    """The map says where nodes are made, not where they are."""
    hub.loc1.add(node("one", conductor_group="grp2"))
    hub.loc3.add(node("three", conductor_group="grp2"))
    assert hub.get("/v1/nodes?conductor_group=grp2").names() == ["one", "three"]
    assert set(hub.asked()) == {"loc1", "loc2", "loc3"}


# --- what the client asked for, and no more


@pytest.mark.parametrize("sort", ["", "&sort_key=name", "&sort_key=created_at", "&sort_key=owner&sort_dir=desc"])
@pytest.mark.parametrize("fields", ["uuid", "name", "", "driver,extra", "NAME,uuid,name", "resource_class"])
def test_fields(stocked, fields, sort):
    items, _ = walk(stocked, [f"fields={fields}", *sort.split("&")[1:]], 4)
    assert len(items) == 6
    wanted = {field.lower() for field in fields.split(",") if field} | {"links"}
    for item in items:
        assert set(item) == wanted


@pytest.mark.parametrize("sort", ["", "&sort_key=owner", "&sort_key=updated_at"])
def test_default_fields(stocked, sort):
    reply = stocked.get(f"/v1/nodes?limit=3{sort}")
    for item in reply.json()["nodes"]:
        assert set(item) == {*DEFAULT_FIELDS, "links"}


@pytest.mark.parametrize("path", ["/v1/nodes?detail=True", "/v1/nodes/detail?sort_dir=asc"])
@pytest.mark.parametrize("sort", ["", "&sort_key=created_at"])
def test_detail(stocked, path, sort):
    shown = Client(stocked.loc1.endpoint).get("/v1/nodes/n11").json()
    for item in stocked.get(path + sort).json()["nodes"]:
        assert set(item) == set(shown)


def test_items_are_passed_on_byte_for_byte(hub):
    ident = new_uuid()
    odd = (
        '"weight": 1.10, "huge": 123456789012345678901234567890, "exp": 1E+5, "minus": -0.0, "twice": 1, "twice": 2,'
        ' "text": "\\u00e9\\/\\ud83d\\ude00 \xe9", "extra": {"b": 1 , "a":[ ]}, "unknown_member": {"deep": [null, true]}'
    )
    item = '{"name": "odd", %s, "uuid": "%s", "links": []}' % (odd, ident)
    hub.loc2.fault(scripted.answers(200, ('{"nodes": [%s]}' % item).encode()), path="/v1/nodes")
    for query in ("?detail=True", "?detail=True&sort_key=name"):
        reply = hub.get(f"/v1/nodes{query}")
        assert odd.encode() in reply.body, reply.body


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=-1", "limit=abc", "limit=", "limit=1.5", "limit=2&limit=3", "marker=foo", "marker=", "marker=n11",
        "sort_key=foo", "sort_key=extra", "sort_key=traits", "sort_key=links", "sort_key=chassis_uuid", "sort_key=conductor",
        "sort_key=NAME", "sort_dir=foo", "sort_dir=ASC", "sort_dir=", "fields=id", "fields=uuid&detail=True", "detail=maybe",
        "detail=", "foo=bar", "foo=bar&baz=1", "provision_state=foo", "provision_state=", "associated=maybe", "fields=created_at",
        "include_children=x", "instance_uuid=abc",
    ],
)  # fmt: skip
def test_errors_are_ironics(stocked, query):
    own = Client(stocked.loc1.endpoint).get(f"/v1/nodes?{query}")
    reply = stocked.get(f"/v1/nodes?{query}")
    assert (reply.status, reply.body) == (own.status, own.body)


@pytest.mark.parametrize("query", ["limit=%2B2", "limit=1_0", "limit=99999999999999999999", "limit=2000", "sort_key=", "limit=+2"])
def test_limits_that_python_takes(stocked, query):
    own = Client(stocked.loc1.endpoint).get(f"/v1/nodes?{query}")
    reply = stocked.get(f"/v1/nodes?{query}")
    assert (own.status, reply.status) == (200, 200), reply
    size = {"limit=%2B2": 2, "limit=+2": 2}.get(query, 6)
    assert len(reply.names()) == size


@pytest.mark.parametrize("field", ["foo", "conductor"])
def test_a_field_that_ironic_answers_with_500(stocked, field):
    """It is not the locations that are at fault, so no retry is asked for."""
    reply = stocked.get(f"/v1/nodes?fields=uuid,{field}")
    if reply.status == 200:
        assert set(reply.json()["nodes"][0]) == {"uuid", "conductor", "links"}
    else:
        assert reply.status in (400, 500)
        assert field in reply.text()


@pytest.mark.parametrize(
    ("query", "version", "status"),
    [("conductor_group=x", "1.45", 406), ("owner=x", "1.49", 406), ("detail=True", "1.42", 400), ("sort_key=owner", "1.49", 406)],
)
def test_gates_are_those_of_the_clients_version(stocked, query, version, status):
    own = Client(stocked.loc1.endpoint).get(f"/v1/nodes?{query}", version=version)
    reply = stocked.get(f"/v1/nodes?{query}", version=version)
    assert own.status == reply.status == status
    assert reply.body == own.body


def test_old_versions_list_by_every_key_of_theirs(stocked):
    items, _ = walk(stocked, [], 1, version="1.1")
    assert len(items) == 6
    assert set(items[0]) == {"uuid", "instance_uuid", "maintenance", "power_state", "provision_state", "links"}


def test_a_404_about_a_filter_is_nothing_found(stocked):
    chassis = new_uuid()
    text = f"Chassis {chassis} could not be found."
    stocked.loc1.fault(scripted.says(404, text), query="chassis_uuid=")
    stocked.loc3.fault(scripted.says(404, text), query="chassis_uuid=")
    stocked.loc2.nodes[0]["chassis_uuid"] = chassis
    for sort in ("", "&sort_key=name"):
        reply = stocked.get(f"/v1/nodes?chassis_uuid={chassis}{sort}")
        assert (reply.status, reply.names()) == (200, ["n21"]), reply
    stocked.loc2.fault(scripted.says(404, text), query="chassis_uuid=")
    for sort in ("", "&sort_key=name"):
        reply = stocked.get(f"/v1/nodes?chassis_uuid={chassis}{sort}")
        assert (reply.status, reply.text()) == (404, text)


def test_a_400_of_one_location_is_the_answer(stocked):
    stocked.loc2.fault(scripted.says(400, "Only here it is wrong"))
    reply = stocked.get("/v1/nodes?owner=x")
    assert (reply.status, reply.text()) == (400, "Only here it is wrong")


# --- next


def following(reply):
    """The parameters of the `next` link, as (path, dict), or None."""
    link = reply.json().get("next")
    if link is None:
        return None
    parts = urllib.parse.urlsplit(link)
    pairs = urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
    assert len(dict(pairs)) == len(pairs), f"repeated parameters: {link}"
    return parts.path, dict(pairs)


def test_next_only_if_there_is_more(stocked):
    for limit, more in ((5, True), (6, False), (7, False), (1000, False)):
        for sort in ("", "&sort_key=name"):
            reply = stocked.get(f"/v1/nodes?limit={limit}{sort}")
            assert (following(reply) is not None) == more, limit
    assert following(stocked.get("/v1/nodes")) is None


def test_next_is_the_clients_own_question(hub):
    for site in hub.all():
        for number in range(2):
            site.add(node(None, owner="a b&c=d", description="x", conductor_group="g"))
            site.add(node(None, owner="other"))
    query = "owner=a%20b%26c%3Dd&sort_key=description&fields=uuid,owner&maintenance=False&limit=4&conductor_group=g"
    reply = hub.get(f"/v1/nodes?{query}")
    path, parameters = following(reply)
    assert path == "/v1/nodes"
    assert parameters == {
        "owner": "a b&c=d",
        "sort_key": "description",
        "fields": "uuid,owner",
        "maintenance": "False",
        "conductor_group": "g",
        "limit": "4",
        "marker": reply.uuids()[-1],
    }
    items, _ = walk(hub, query.replace("&limit=4", "").split("&"), 4)
    assert len(items) == 6
    assert {item["owner"] for item in items} == {"a b&c=d"}


@pytest.mark.parametrize("path", ["/v1/nodes/detail", "/v1/nodes"])
def test_next_keeps_the_path(stocked, path):
    assert following(stocked.get(f"{path}?limit=2"))[0] == path


def test_our_max_limit():
    with fleet(2, api={"max_limit": 5}) as hub:
        for site in hub.all():
            for _ in range(6):
                site.add(node())
        for query in ("", "?limit=1000", "?sort_key=name"):
            reply = hub.get(f"/v1/nodes{query}")
            assert len(reply.uuids()) == 5
            assert following(reply)[1]["limit"] == "5"
        for query in ([], ["sort_key=uuid"]):
            assert len(walk(hub, query)[0]) == 12


def test_head_is_refused_as_ironic_refuses_it(stocked):
    reply = stocked.call("HEAD", "/v1/nodes")
    assert reply.status == 405
    assert reply.header("Allow") == "DELETE, GET, PATCH, POST"
    assert stocked.asked() == {}


# --- the walk is the sorted union


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
