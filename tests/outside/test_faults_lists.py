"""Merged lists are whole or announced, and survive odd locations."""

import re

import pytest
import scripted
from faults import hubs
from fleet import assert_not_found, assert_unavailable, fleet, together, walk
from standin import Standin, new_uuid, node

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


module_hub, hub = hubs(3, every={"timeout": 1, "max_response_size": 1 << 20})


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
