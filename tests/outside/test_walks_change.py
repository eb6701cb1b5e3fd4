"""Walks while things change: what was there all through is listed exactly once, by replicas in turn too, or it is said that it is not."""

import contextlib
import re

import pytest
import scripted
from client import Client
from fleet import assert_unavailable, fleet, fleet_config
from gateway import Gateway
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standin import new_uuid, node

ALLOW = {"X-Ironic-Proxy-Partial": "allow"}
INCOMPLETE = "X-Ironic-Proxy-Incomplete"
SORTS = ["", "sort_dir=desc", "sort_key=name", "sort_key=owner", "sort_key=owner&sort_dir=desc", "sort_key=created_at", "sort_key=uuid"]
SHARED = [new_uuid() for _ in range(7)]
OWNERS = [None, None, "a", "A", "b", "B", "ab", "a_b", "\u00e9"]


@pytest.fixture(scope="module")
def pair():
    """Three sites, and two gateways in front of them; one has no memory of walks."""
    with fleet(3) as hub:
        text = fleet_config([site.endpoint for site in hub.all()], api={"walk_memory": 0})
        with Gateway(text) as gateway:
            yield hub, Client(gateway.url)


@pytest.fixture
def clean(pair):
    yield pair
    mend(pair[0])


def mend(hub):
    hub.heal()
    for site in hub.all():
        if not site.listening():
            site.up()
        site.max_limit, site.database = 1000, "sqlite"
        site.nodes.clear()


def pages(gateways, target, headers=()):
    """Page by page, each of the next gateway: the answer, which is a 200."""
    turn = 0
    while target:
        reply = gateways[turn % len(gateways)].get(target, headers=headers)
        assert reply.status == 200, f"{target}: {reply}"
        yield reply
        following = reply.json().get("next")
        target = following and following[following.index("/v1/") :]
        turn += 1
        assert turn < 100, "the walk does not end"


def add(site, number, owner=None, ident=None):
    created = f"2026-11-22T10:00:{number % 7:02}.000000+00:00"
    return site.add(node(f"{'nN'[number % 2]}{number}", ident, owner=owner, created_at=created))


@st.composite
def changes(draw):
    """What happens to which site after which page."""
    what = st.sampled_from(["delete", "delete", "insert", "insert", "change", "change", "rename"])
    return draw(st.lists(st.tuples(st.integers(0, 6), what, st.integers(0, 2), st.integers(0, 8)), max_size=8))


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    counts=st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
    owners=st.lists(st.sampled_from(OWNERS), min_size=27, max_size=27),
    limits=st.tuples(*[st.sampled_from([1, 2, 5, 1000])] * 3),
    databases=st.tuples(*[st.sampled_from(["sqlite", "mysql", "postgres"])] * 3),
    sort=st.sampled_from(SORTS),
    size=st.integers(1, 6),
    happening=changes(),
    twins=st.booleans(),
)
def test_what_stays_is_listed_once(pair, counts, owners, limits, databases, sort, size, happening, twins):
    """One gateway that remembers the walk."""
    hub, _ = pair
    mend(hub)
    numbers = iter(range(100))
    twin = new_uuid()
    for site, count, limit, database in zip(hub.all(), counts, limits, databases):
        site.max_limit, site.database = limit, database
        for _ in range(count):
            number = next(numbers)
            add(site, number, owners[number])
        if twins:
            add(site, next(numbers), "b", twin)
    stays = {(site.port, record["_id"]): record["name"] for site in hub.all() for record in site.nodes}
    ever = [record["uuid"] for site in hub.all() for record in site.nodes]
    shown = []
    for page, reply in enumerate(pages([hub], f"/v1/nodes?limit={size}&{sort}")):
        names = reply.names()
        assert len(names) == len(set(names)) <= size
        shown += reply.json()["nodes"]
        # Who is named by the next link must stay, or the walk ends with Ironic's own 404.
        last = reply.uuids()[-1:]
        for after, what, place, index in happening:
            site = hub.all()[place]
            if after != page or (what != "insert" and index >= len(site.nodes)):
                continue
            if what == "insert":
                add(site, next(numbers), owners[index])
                continue
            record = site.nodes[index]
            if what == "delete" and record["uuid"] not in last:
                site.nodes.remove(record)
                stays.pop((site.port, record["_id"]), None)
            elif what == "change":
                record["owner"] = owners[(index * 7 + page) % 27]
            elif what == "rename":
                record["name"] = f"z{next(numbers)}"
                if (site.port, record["_id"]) in stays:
                    stays[(site.port, record["_id"])] = None
    # By uuid, since names change; a twin is counted once for each site that has it, and may have been listed before it went.
    expected = sorted(
        record["uuid"] for site in hub.all() for record in site.nodes if (site.port, record["_id"]) in stays
    )
    listed = [item["uuid"] for item in shown]
    for ident in set(expected):
        assert expected.count(ident) <= listed.count(ident) <= ever.count(ident), (sort, size, ident)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    counts=st.tuples(st.integers(0, 7), st.integers(0, 7), st.integers(0, 7)),
    owners=st.lists(st.sampled_from(OWNERS), min_size=30, max_size=30),
    databases=st.tuples(*[st.sampled_from(["sqlite", "mysql", "postgres"])] * 3),
    sort=st.sampled_from(SORTS),
    size=st.integers(1, 5),
    twins=st.booleans(),
    only_one=st.booleans(),
)
def test_replicas_in_turn_list_the_same(pair, counts, owners, databases, sort, size, twins, only_one):
    hub, other = pair
    mend(hub)
    numbers = iter(range(100))
    twin = new_uuid()
    for site, count, database in zip(hub.all(), counts, databases):
        site.database = database
        for _ in range(count):
            number = next(numbers)
            add(site, number, owners[number])
        if twins:
            add(site, next(numbers), "b", twin)
    whole = [item["uuid"] for item in hub.get(f"/v1/nodes?{sort}").json()["nodes"]]
    assert sorted(whole) == sorted(record["uuid"] for site in hub.all() for record in site.nodes)
    gateways = [other] if only_one else [hub, other]
    listed = [ident for reply in pages(gateways, f"/v1/nodes?limit={size}&{sort}") for ident in reply.uuids()]
    assert listed == whole


@contextlib.contextmanager
def away(site):
    site.down()
    yield
    site.up()


@pytest.mark.parametrize("sort", SORTS)
def test_a_location_that_leaves_and_returns_between_pages(clean, sort):
    hub, other = clean
    for number in range(24):
        add(hub.all()[number % 3], number, OWNERS[number % 9])
    whole = [item["uuid"] for item in hub.get(f"/v1/nodes?{sort}").json()["nodes"]]
    homes = {record["uuid"]: site for site in hub.all() for record in site.nodes}
    for gateway in (hub, other):
        listed, target, turn = [], f"/v1/nodes?limit=4&{sort}", 0
        while target:
            with away(hub.all()[turn % 3]):
                reply = gateway.get(target)
                if reply.status == 200:
                    # Whole without it, or it said nothing of what it lacks.
                    assert reply.uuids() == whole[len(listed) : len(listed) + 4]
                    assert all(homes[ident].listening() for ident in reply.uuids())
                else:
                    assert_unavailable(reply, f"loc{turn % 3 + 1}")
                partial = gateway.get(target, headers=ALLOW)
                if partial.status == 200 and partial.header(INCOMPLETE) is None:
                    assert partial.uuids() == whole[len(listed) : len(listed) + 4]
            reply = gateway.get(target)
            assert reply.status == 200, reply
            listed += reply.uuids()
            following = reply.json().get("next")
            target, turn = following and following[following.index("/v1/") :], turn + 1
        assert listed == whole


@pytest.mark.parametrize("sort", SORTS)
def test_nothing_incomplete_is_remembered_as_if_it_was_whole(clean, sort):
    hub, _ = clean
    for number in range(12):
        add(hub.all()[number % 3], number, "same")
    whole = {record["uuid"] for site in hub.all() for record in site.nodes}
    with away(hub.loc2):
        first = hub.get(f"/v1/nodes?limit=3&{sort}", headers=ALLOW)
        assert first.status == 200
    following = first.json()["next"].removeprefix(hub.url)
    rest = [ident for reply in pages([hub], following) for ident in reply.uuids()]
    assert len(rest) == len(set(rest)) and not set(rest) & set(first.uuids())
    missing = whole - set(rest) - set(first.uuids())
    # What came before the marker of the location that was away was announced as missing; all behind it is there.
    assert not missing or first.header(INCOMPLETE), missing
    assert missing <= {record["uuid"] for record in hub.loc2.nodes}


def test_a_page_that_is_full_is_whole_whoever_else_is_silent(clean):
    hub, other = clean
    for number in range(12):
        add(hub.all()[number // 4], number)
    hub.loc3.fault(scripted.hang())
    for gateway in (hub, other):
        reply = gateway.get("/v1/nodes?limit=4")
        assert (reply.status, len(reply.uuids())) == (200, 4), reply
        assert reply.header(INCOMPLETE) is None and "next" in reply.json()
    hub.loc3.heal()
    target = reply.json()["next"].removeprefix(other.url)
    hub.loc3.down()
    reply = other.get(target)
    assert (reply.status, len(reply.uuids())) == (200, 4), reply
    # The walk is told when it gets there.
    assert_unavailable(other.get(reply.json()["next"].removeprefix(other.url)), "loc3")


def test_no_page_is_answered_from_memory(clean):
    hub, _ = clean
    records = [add(hub.all()[number % 3], number, "same") for number in range(12)]
    for sort in ("sort_key=name", ""):
        first = hub.get(f"/v1/nodes?limit=4&{sort}")
        following = first.json()["next"].removeprefix(hub.url)
        for state in ("power on", "power off"):
            for site in hub.all():
                for record in site.nodes:
                    record["power_state"] = state
            assert {item["power_state"] for item in hub.get(following).json()["nodes"]} == {state}
    assert len(records) == 12


@pytest.mark.parametrize("sort", ["sort_key=name", "sort_key=name&sort_dir=desc", "sort_key=owner"])
def test_what_another_walk_left_behind_is_not_taken_for_this_one(clean, sort):
    """An earlier walk through the other replica had a page that ended where this walk's did, before there was all that there is now."""
    hub, other = clean
    # So that pages end alike whatever is made in the middle.
    for number in [0, 1, 2, 3, 96, 97, 98, 99]:
        add(hub.all()[number % 3], number)
    for _ in pages([hub], f"/v1/nodes?limit=2&{sort}"):
        pass
    made = [add(hub.all()[number % 3], number)["uuid"] for number in range(48, 52)]
    first = other.get(f"/v1/nodes?limit=2&{sort}")
    following = first.json()["next"].removeprefix(other.url)
    rest = [ident for reply in pages([hub], following) for ident in reply.uuids()]
    assert set(made) <= {*first.uuids(), *rest}
    assert len(rest) == len(set(rest)) == 10


def onward(reply, hub):
    return reply.json()["next"].removeprefix(hub.url)


def rename(hub, old, new):
    [record] = [record for site in hub.all() for record in site.nodes if record["name"] == old]
    record["name"] = new


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("in_turn", [1, -1])
def test_two_walks_in_step_keep_apart(clean, direction, in_turn):
    """Both ask the same, and their pages end alike. What was renamed between their beginnings each lists once."""
    hub, _ = clean
    for number in range(0, 20, 2):
        add(hub.all()[number % 3], number)
    target = f"/v1/nodes?sort_key=name&sort_dir={direction}&limit=3"
    ours = hub.get(target)
    # One from the last page to the first, one the other way; all pages of the two end alike.
    for old, new in [("n8", "n11"), ("n10", "n9")] if direction == "asc" else [("n0", "n7"), ("n6", "n-6")]:
        rename(hub, old, new)
    theirs = hub.get(target)
    assert ours.names() != theirs.names()
    walks = [[ours], [theirs]]
    while any("next" in walk[-1].json() for walk in walks):
        for walk in walks[::in_turn]:
            if "next" in walk[-1].json():
                walk.append(hub.get(onward(walk[-1], hub)))
    everything = sorted(record["uuid"] for site in hub.all() for record in site.nodes)
    for walk in walks:
        assert sorted(ident for reply in walk for ident in reply.uuids()) == everything


@pytest.mark.parametrize("limits", [(2, 2), (2, 4), (4, 2)])
def test_two_walks_that_begin_alike_keep_apart(clean, limits):
    """Nothing had changed between their beginnings; what is renamed later each lists once."""
    hub, _ = clean
    for number in range(0, 20, 2):
        add(hub.all()[number % 3], number)
    walks = [[hub.get(f"/v1/nodes?sort_key=name&limit={limit}")] for limit in limits]
    # From the first page to the last one.
    rename(hub, "n0", "n99")
    while any("next" in walk[-1].json() for walk in walks):
        for walk in walks:
            if "next" in walk[-1].json():
                walk.append(hub.get(onward(walk[-1], hub)))
    everything = sorted(record["uuid"] for site in hub.all() for record in site.nodes)
    for walk in walks:
        assert sorted(ident for reply in walk for ident in reply.uuids()) == everything


def test_the_links_of_a_sorted_walk_name_it(clean):
    hub, other = clean
    for number in range(8):
        add(hub.all()[number % 3], number)
    target = "/v1/nodes?sort_key=name&maintenance=false&limit=2"
    plain = f"{target}&marker={hub.get(target).uuids()[-1]}"
    # Walks that list the same share what is remembered.
    [link] = {onward(hub.get(target), hub) for _ in range(3)}
    assert re.fullmatch(rf"{re.escape(plain)}&walk=[0-9a-f]{{16}}", link), link
    rename(hub, "n2", "n7-2")
    named = hub.get(target)
    assert onward(named, hub) != link
    # A page that is asked for again is the same, and the page of each walk is its own.
    for _ in range(2):
        assert hub.get(link).names() == ["n7-2", "N3"]
        assert hub.get(onward(named, hub)).names() == ["N3", "n4"]
    # Another gateway does not know the name, and one that is none is Ironic's to refuse.
    assert other.get(onward(named, hub)).names() == hub.get(onward(named, hub)).names()
    for name in ("", "1", "0123456789ABCDEF"):
        assert hub.get(f"{plain}&walk={name}").status == 400
    assert hub.get(f"{onward(named, hub)}&walk=0123456789abcdef").status == 400, "twice"
    # What is not remembered has no name: without memory, and where location follows location.
    assert onward(other.get(target), other) == f"{target}&marker={other.get(target).uuids()[-1]}"
    assert "walk" not in onward(hub.get("/v1/nodes?limit=2"), hub)


@pytest.mark.parametrize("has_memory", [True, False])
def test_first_pages_that_nobody_went_on_from_are_not_taken_for_another_gateway_s(clean, has_memory):
    """Each of them had ended where the other gateway's first page did, before there was all that there is now."""
    hub, without = clean
    for number in [0, 1, 2, 3, 96, 97, 98, 99]:
        add(hub.all()[number % 3], number)
    target = "/v1/nodes?sort_key=name&limit=2"
    for _ in range(3):
        hub.get(target)
    made = {add(hub.all()[number % 3], number)["uuid"] for number in range(48, 52)}
    with contextlib.ExitStack() as stack:
        other = without
        if has_memory:
            other = Client(stack.enter_context(Gateway(fleet_config([site.endpoint for site in hub.all()]))).url)
        # The link as it is, and a marker that a client makes of an item itself.
        for way in ("next", "marker", "next"):
            first = other.get(target)
            assert first.status == 200, first
            following = onward(first, other) if way == "next" else f"{target}&marker={first.uuids()[-1]}"
            rest = [ident for reply in pages([hub], following) for ident in reply.uuids()]
            assert made <= set(rest)
            assert len(rest) == len(set(rest)) == 10


def test_first_pages_push_no_walk_out(clean):
    hub, _ = clean
    for number in range(0, 20, 2):
        add(hub.all()[number % 3], number)
    everything = sorted(record["uuid"] for site in hub.all() for record in site.nodes)
    target = "/v1/nodes?sort_key=name&sort_dir=asc&limit=2"
    walk = [hub.get(target)]
    walk.append(hub.get(onward(walk[-1], hub)))
    for _ in range(101):
        hub.get(target)
    rename(hub, "n0", "n99")
    rename(hub, "n8", "n00")
    while "next" in walk[-1].json():
        walk.append(hub.get(onward(walk[-1], hub)))
    assert sorted(ident for reply in walk for ident in reply.uuids()) == everything


@pytest.mark.parametrize("kind", ["chassis", "runbooks", "deploy_templates"])
def test_what_stays_is_listed_once_where_it_is_the_same_everywhere(clean, kind):
    hub, _ = clean
    key = "description" if kind == "chassis" else "name"
    for site in hub.all():
        site.objects[kind] += [{"uuid": ident, key: f"X{number}"} for number, ident in enumerate(SHARED)]
    try:
        listed = []
        for reply in pages([hub], f"/v1/{kind}?sort_key={key}&limit=2"):
            listed += [item["uuid"] for item in reply.json()[kind]]
            for site in hub.all():
                site.objects[kind][5][key] = "A5"
                site.objects[kind][0][key] = "Z0"
        assert sorted(listed) == sorted(SHARED)
    finally:
        for site in hub.all():
            site.objects[kind].clear()


@pytest.mark.parametrize(("at_page", "place", "skipped"), [(1, 1, "n10"), (2, 2, "n14")])
def test_a_walk_goes_on_behind_a_page_that_lacks_a_location(clean, at_page, place, skipped):
    """The page says so. What the walk knows of the order is whole, so what is renamed later is listed once."""
    hub, _ = clean
    for number in range(0, 20, 2):
        add(hub.all()[number % 3], number, "same")
    everything = {record["uuid"] for site in hub.all() for record in site.nodes if record["name"] != skipped}
    walk, target = [], "/v1/nodes?sort_key=name&fields=uuid,name,owner&limit=2"
    if at_page == 2:
        walk = [hub.get(target)]
        target = onward(walk[0], hub)
    # The keys are read, and the bodies are not.
    hub.all()[place].fault(scripted.says(503, "away"), path="/v1/nodes", query="owner")
    walk.append(hub.get(target, headers=ALLOW))
    assert walk[-1].header(INCOMPLETE), walk[-1]
    hub.heal()
    # One that was given to behind the end, one that was not to before the marker.
    rename(hub, "n0", "n99")
    rename(hub, "n8", "n00")
    while "next" in walk[-1].json():
        walk.append(hub.get(onward(walk[-1], hub), headers=ALLOW))
        assert walk[-1].header(INCOMPLETE) is None
    assert sorted(ident for reply in walk for ident in reply.uuids()) == sorted(everything)


@pytest.mark.parametrize("what", ["fields=bogus", "detail=bogus"])
@pytest.mark.parametrize("which", ["sort_key=name&owner=nobody", "sort_key=name&marker={last}", "sort_key=created_at&owner=nobody", "sort_key=created_at"])
def test_a_sorted_list_is_refused_whatever_is_known_of_its_key(clean, which, what):
    """Where no body is read, or all of each, only the question about the key shows Ironic what the client selects."""
    hub, _ = clean
    last = [add(hub.loc1, number)["uuid"] for number in range(3)][-1]
    for site in hub.all():
        site.fault(scripted.says(400, "bogus is no such thing"), query=what)
    # How many there are is known then: more than a page.
    assert len(hub.get("/v1/nodes?sort_key=uuid").names()) == 3
    target = f"/v1/nodes?limit=2&{which.format(last=last)}"
    # That the list can be sorted so is known from now on.
    assert hub.get(target).status == 200
    assert hub.get(f"{target}&fields=uuid").status == 200
    for _ in range(2):
        reply = hub.get(f"{target}&{what}")
        assert (reply.status, "no such thing" in reply.text()) == (400, True), reply
