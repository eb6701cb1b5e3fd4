"""Walks over pages: they end, and are whole or say that they are not, whatever happens to sites between two questions."""

import contextlib
import dataclasses
import json
import urllib.parse

import pytest
import scripted
from client import Client
from fleet import assert_not_found, assert_unavailable, fleet, fleet_config
from gateway import Gateway, memory
from standin import Standin, new_uuid, node

ALLOW = {"X-Ironic-Proxy-Partial": "allow"}
INCOMPLETE = "X-Ironic-Proxy-Incomplete"
SORTS = ["", "sort_key=name", "sort_key=name&sort_dir=desc", "sort_dir=desc", "sort_key=resource_class"]


@pytest.fixture(scope="module")
def module_hub():
    with fleet(3, every={"timeout": 5}) as hub:
        yield hub


@pytest.fixture
def hub(module_hub):
    yield module_hub
    module_hub.heal()
    for site in module_hub.all():
        site.max_limit = 1000
        for records in (site.nodes, site.conductors, site.history, site.ports, *site.objects.values()):
            records.clear()


@contextlib.contextmanager
def replica(hub):
    """Another gateway in front of the same sites."""
    text = fleet_config([site.endpoint for site in hub.all()])
    with Gateway(text) as gateway:
        yield Client(gateway.url)


def stock(hub, count=4):
    """Nodes n11, n12, … at loc1, n21, … at loc2; returns their names."""
    return [
        site.add(node(f"n{index}{number}", resource_class=f"class-{number % 2}"))["name"]
        for index, site in enumerate(hub.all(), 1)
        for number in range(1, count + 1)
    ]


def follow(gateways, target, key="nodes", most=60, between=None):
    """Every item of a list by its `next` links, asked of the gateways in turn; `between` is called after each page."""
    items, pages = [], 0
    while target:
        reply = gateways[pages % len(gateways)].get(target)
        assert reply.status == 200, f"{target}: {reply}"
        document = reply.json()
        items += document[key]
        pages += 1
        assert pages < most, f"the walk does not end: {target}"
        following = document.get("next")
        target = following and following[following.index("/v1/") :]
        if between:
            between(pages)
    return items


def names(items):
    return [item["name"] for item in items]


# --- walks end


@pytest.mark.parametrize("path", ["/v1/nodes?detail=True", "/v1/nodes?fields=uuid", "/v1/nodes/detail?limit=1", "/v1/ports?limit=1"])
def test_a_bad_sort_key_with_a_marker_is_ironic_s_400(hub, path):
    stock(hub)
    marker = hub.loc2.nodes[0]["uuid"]
    if "ports" in path:
        for site in hub.all():
            site.fault(scripted.says(400, 'The sort_key value "bogus" is an invalid field for sorting'), query="sort_key=bogus")
    reply = hub.get(f"{path}{'&' if '?' in path else '?'}sort_key=bogus&marker={marker}")
    assert (reply.status, "bogus" in reply.text()) == (400, True), reply
    assert sum(hub.asked().values()) < 20


@pytest.mark.parametrize("query", [
    "", "sort_key=created_at", "sort_key=created_at&sort_dir=desc", "sort_key=event", "sort_key=conductor", "sort_key=conductor&sort_dir=desc", "sort_dir=desc",
])  # fmt: skip
@pytest.mark.parametrize("pinned", [False, True])
def test_history_is_walked_to_its_end(hub, query, pinned):
    stock(hub)
    for number in range(5):
        event = f"e{number // 2}" if number else None
        hub.loc2.history.append({"uuid": new_uuid(), "created_at": f"2026-11-22T10:00:0{number // 2}+00:00", "event": event})
    target = f"/v1/nodes/{hub.loc2.nodes[1]['uuid']}/history?limit=1&{query}".rstrip("&")
    hub.forget_requests()
    headers = {"X-Ironic-Proxy-Location": "loc2"} if pinned else {}
    found = []
    for _ in range(7):
        reply = hub.get(target, headers=headers)
        assert reply.status == 200, reply
        found += reply.json()["history"]
        if "next" not in reply.json():
            break
        target = reply.json()["next"].removeprefix(hub.url)
    expected = [event["uuid"] for event in hub.loc2.history]
    assert [event["uuid"] for event in found] == (expected[::-1] if "desc" in query else expected)
    assert sum(hub.asked().values()) < 60
    # One that is not there is Ironic's 404, not a search without end.
    gone = hub.get(f"{target.partition('?')[0]}?sort_key=created_at&marker={new_uuid()}", headers=headers)
    assert gone.status == 404, gone


def alternating(site):
    """Answers with one page or the other, for ever, each with a `next`."""
    pages = [site.nodes[:2], site.nodes[2:4]]

    def fault(exchange):
        answer = exchange.true_answer()
        marker = exchange.request.parameter("marker")
        page = pages[1] if marker == pages[0][-1]["uuid"] else pages[0]
        items = [{**record, "links": []} for record in page]
        for item in items:
            item.pop("_id")
        body = json.dumps({"nodes": items, "next": f"{site.endpoint}/v1/nodes?marker=x"}).encode()
        return dataclasses.replace(answer, status=200, body=body)

    return fault


@pytest.mark.parametrize("query", ["", "?sort_key=name", "?resource_class=class-1", "?sort_dir=desc"])
def test_markers_that_alternate_end_a_list(hub, query):
    stock(hub)
    hub.loc2.fault(alternating(hub.loc2), path="/v1/nodes")
    assert_unavailable(hub.get(f"/v1/nodes{query}"), "loc2")
    reply = hub.get(f"/v1/nodes{query}", headers=ALLOW)
    assert reply.status == 200 and "loc2" in reply.header(INCOMPLETE), reply
    assert sum(hub.asked().values()) < 40


def test_markers_that_alternate_end_an_allocation(hub):
    stock(hub)
    hub.loc1.fault(alternating(hub.loc1), path="/v1/nodes", query="resource_class")
    reply = hub.post("/v1/allocations", {"name": "a", "resource_class": "class-1"})
    assert reply.status in (201, 503), reply
    assert sum(hub.asked().values()) < 40


def test_a_collection_that_nobody_knows_is_read_to_its_end(hub):
    for site in hub.all():
        site.max_limit = 2
        # What only Python reads as JSON is passed on as it is.
        odd = {"a": float("inf"), "b": "\ud800"}
        site.objects["novelties"] += [{"uuid": new_uuid(), "name": f"x{number}", "extra": odd} for number in range(5)]
    reply = hub.get("/v1/novelties")
    assert reply.status == 200, reply
    assert [item["uuid"] for item in reply.json()["novelties"]] == [
        record["uuid"] for site in hub.all() for record in site.objects["novelties"]
    ]
    assert all(item["extra"] == odd for item in reply.json()["novelties"])
    assert f"{hub.loc1.port}" not in reply.body.decode()


# --- things that vanish while they are read


def vanishing(site, ident, times=1):
    """The node is deleted once a page that ends with it was answered."""

    def fault(exchange):
        answer = exchange.true_answer()
        if site.find(ident):
            site.take(ident)
        return answer

    return fault


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("gone", [["n22"], ["n22", "n21"], ["n22", "n21", "n24", "n23"]])
def test_a_node_at_an_inner_page_boundary_vanishes(hub, sort, gone):
    stock(hub, 9)
    hub.loc2.max_limit = 2
    for index, name in enumerate(gone):
        hub.loc2.fault(vanishing(hub.loc2, name), path="/v1/nodes", skip=index // 2 * 2, times=1)
    reply = hub.get(f"/v1/nodes?{sort}")
    assert reply.status == 200, reply
    shown = reply.names()
    assert len(shown) == len(set(shown))
    everyone = {f"n{index}{number}" for index in (1, 2, 3) for number in range(1, 10)}
    assert everyone - set(gone) <= set(shown)


@pytest.mark.parametrize("sort", SORTS)
def test_a_client_s_own_marker_that_vanished_is_ironic_s_404(hub, sort):
    stock(hub)
    first = hub.get(f"/v1/nodes?limit=3&{sort}")
    for _ in range(2):
        marker = first.uuids()[-1]
        for site in hub.all():
            if site.find(marker):
                site.take(marker)
        reply = hub.get(f"/v1/nodes?limit=3&{sort}&marker={marker}".replace("&&", "&"))
        assert_not_found(reply, marker)


def after_the_marker(site, marker, then):
    """Calls `then` once the site was asked what follows a marker, or for what the marker is."""

    def fault(exchange):
        answer = exchange.true_answer()
        then()
        return answer

    return [site.fault(fault, query=f"marker={marker}", times=1), site.fault(fault, path=f"/v1/nodes/{marker}", times=1)]


@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_who_follows_the_marker_vanishes_between_two_questions(hub, direction):
    for site in hub.all():
        for number in range(4):
            site.add(node(f"{len(hub.loc1.nodes)}{number}", owner="same", resource_class="in" if number != 1 else "out"))
    marker, follower = hub.loc2.nodes[1], hub.loc2.nodes[2 if direction == "asc" else 0]
    rows = [record for site in hub.all() for record in site.nodes]
    rows = rows if direction == "asc" else rows[::-1]
    rest = rows[rows.index(next(row for row in rows if row["uuid"] == marker["uuid"])) + 1 :]
    wanted = [row["uuid"] for row in rest if row["resource_class"] == "in" and row["uuid"] != follower["uuid"]]

    def vanish():
        if hub.loc2.find(follower["uuid"]):
            hub.loc2.take(follower["uuid"])

    after_the_marker(hub.loc2, marker["uuid"], vanish)
    reply = hub.get(f"/v1/nodes?sort_key=owner&sort_dir={direction}&resource_class=in&marker={marker['uuid']}")
    assert reply.status == 200, reply
    assert [ident for ident in reply.uuids() if ident != follower["uuid"]] == wanted


# --- order


@pytest.mark.parametrize("kind", ["chassis", "runbooks", "deploy_templates", "inspection_rules"])
@pytest.mark.parametrize("query", ["", "sort_key=uuid", "sort_key=description"])
@pytest.mark.parametrize("limit", [2, None])
def test_desc_is_the_exact_reverse_of_what_is_the_same_everywhere(hub, kind, query, limit):
    shared = [{"uuid": new_uuid(), "description": f"d{number % 2}", "name": f"X{number}"} for number in range(5)]
    for index, site in enumerate(hub.all()):
        site.objects[kind] += [dict(record) for record in shared]
        site.objects[kind].append({"uuid": new_uuid(), "description": "only", "name": f"Y{index}"})
    size = f"limit={limit}" if limit else ""
    orders = [
        [item["uuid"] for item in follow([hub], f"/v1/{kind}?{query}&{size}&sort_dir={direction}".replace("&&", "&").replace("?&", "?"), kind)]
        for direction in ("asc", "desc")
    ]
    assert orders[0] == orders[1][::-1]
    assert len(orders[0]) == 8
    if not query:
        assert orders[0][:6] == [record["uuid"] for record in hub.loc1.objects[kind]]


@pytest.mark.parametrize("query", ["", "sort_key=hostname", "sort_key=alive"])
@pytest.mark.parametrize("limit", [1, 2, 3, None])
def test_conductors_of_one_hostname_are_all_listed(hub, query, limit):
    for index, site in enumerate(hub.all()):
        for host in ("twin", f"host{index}"):
            site.conductors.append({"hostname": host, "conductor_group": f"g{index}", "alive": index != 1})
    whole = {(host, f"g{index}") for index in range(3) for host in ("twin", f"host{index}")}
    size = f"limit={limit}" if limit else ""
    orders = []
    for direction in ("asc", "desc"):
        target = f"/v1/conductors?{query}&{size}&sort_dir={direction}".replace("&&", "&").replace("?&", "?")
        found = [(item["hostname"], item["conductor_group"]) for item in follow([hub], target, "conductors")]
        assert len(found) == 6 and set(found) == whole
        orders.append(found)
    assert orders[0] == orders[1][::-1]
    # By hand a marker that two share leads on, not round.
    reply = hub.get(f"/v1/conductors?marker=twin&{query}")
    assert reply.status == 200, reply


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_one_uuid_at_two_sites_is_walked_by_replicas_in_turn(hub, sort, limit):
    ident = new_uuid()
    for site, records in zip(hub.all(), (["a", "d"], ["y", "d", "z"], ["m", "d"])):
        for name in records:
            site.add(node(name, ident if name == "d" else None))
    with replica(hub) as other:
        for gateways in ([hub, other], [other], [hub]):
            items = follow(gateways, f"/v1/nodes?limit={limit}&{sort}")
            assert sorted(names(items)) == ["a", "d", "d", "d", "m", "y", "z"], gateways
        # The plain form is still taken, and still leads on.
        for gateway in (hub, other):
            reply = gateway.get(f"/v1/nodes?limit={limit}&{sort}&marker={ident}")
            assert reply.status == 200, reply


def test_a_marker_that_names_its_location(hub):
    stock(hub)
    marker = hub.loc2.nodes[3]["uuid"]
    for sort in SORTS[:2]:
        plain, named = (hub.get(f"/v1/nodes?{sort}&marker={marker}{at}") for at in ("", "@loc2"))
        assert plain.names() == named.names() == ["n31", "n32", "n33", "n34"]
        # Where it is said to be it is not: it is looked for.
        assert hub.get(f"/v1/nodes?{sort}&marker={marker}@loc3").names() == plain.names()
        assert_not_found(hub.get(f"/v1/nodes?{sort}&marker={(gone := new_uuid())}@loc1"), gone)
    own = Client(hub.loc1.endpoint).get("/v1/nodes?marker=x@loc1")
    reply = hub.get("/v1/nodes?marker=x@loc1")
    assert (reply.status, own.status) == (400, 400), reply


# --- a location that fails


SECRET = "(pymysql.err.OperationalError) Can't connect to MySQL server on '10.20.30.40'"
LISTS = ["/v1/nodes", "/v1/nodes?sort_key=name", "/v1/nodes?sort_key=name&limit=2", "/v1/nodes/detail", "/v1/ports", "/v1/chassis",
         "/v1/chassis?sort_key=uuid", "/v1/conductors", "/v1/portgroups?sort_key=uuid", "/v1/allocations", "/v1/drivers", "/v1/shards",
         "/v1/novelties", "/v1/nodes?resource_class=class-1", "/v1/runbooks", "/v1/nodes?sort_key=created_at"]  # fmt: skip


@pytest.mark.parametrize("status", [500, 503, 429])
@pytest.mark.parametrize("sites", ["one", "first", "all"])
def test_a_database_address_is_never_told(hub, status, sites):
    stock(hub)
    struck = {"one": [hub.loc2], "first": [hub.loc1], "all": hub.all()}[sites]
    for site in struck:
        site.fault(scripted.says(status, SECRET))
    for target in LISTS:
        for headers in ((), ALLOW):
            reply = hub.get(target, headers=headers)
            assert b"10.20.30.40" not in reply.body, (target, reply)
            assert reply.status in (200, 503), (target, reply)
            if sites != "all" and headers:
                assert reply.status == 200 and reply.header(INCOMPLETE), (target, reply)
            elif sites == "all":
                assert reply.status == 503, (target, reply)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 300, 304])
def test_a_redirect_of_a_location_never_leaves(hub, status):
    stock(hub)
    fault = json.dumps({"faultcode": "Client", "faultstring": "moved", "debuginfo": None})
    body = json.dumps({"error_message": fault}).encode()
    hub.loc2.fault(scripted.answers(status, b"" if status == 304 else body, [("Location", "http://elsewhere.example/")]))
    for target in LISTS:
        for headers in ((), ALLOW):
            reply = hub.get(target, headers=headers)
            assert reply.header("Location") is None, (target, reply)
            if headers:
                assert reply.status == 200 and "loc2" in (reply.header(INCOMPLETE) or ""), (target, reply)
            elif target not in ("/v1/drivers", "/v1/shards", "/v1/novelties") and "limit=2" not in target:
                assert_unavailable(reply, "loc2")
    assert "elsewhere" not in urllib.parse.unquote(str(hub.get("/v1/nodes").body))


@pytest.mark.parametrize("limit", [None, 1, 3])
@pytest.mark.parametrize("query", [*SORTS, "detail=True", "fields=name", "fields=name&sort_key=name"])
def test_the_nodes_of_a_conductor_are_whole(hub, query, limit):
    """Ironic looks for them on a page that it has cut already: of one location in many all but the first few would be lost."""
    for site in hub.all():
        site.max_limit = 4
    stock(hub, 9)
    wanted = {"n18", "n19", "n24", "n39"}
    for site in hub.all():
        for one in site.nodes:
            one["conductor"] = "east" if one["name"] in wanted else None if one["name"].endswith("3") else "west"
    path = f"/v1/nodes?{query}" + (f"&limit={limit}" if limit else "")
    for _ in range(2):
        items = follow([hub], f"{path}&conductor=east")
        whole = follow([hub], path)
        assert items == [one for one in whole if named(hub, one) in wanted]
    assert follow([hub], f"{path}&conductor=north") == []


def test_a_marker_that_went_to_another_conductor_ends_nothing(hub):
    """Also where the next one that is wanted is behind more than a page of others."""
    for site in hub.all():
        site.max_limit = 4
    stock(hub, 19)
    for name in ("n22", "n219"):
        hub.loc2.find(name)["conductor"] = "east"
    for query in ("", "&sort_key=name"):
        page = hub.get(f"/v1/nodes?conductor=east&limit=1{query}").json()
        assert [named(hub, item) for item in page["nodes"]] == [first := "n22" if not query else "n219"]
        hub.loc2.find(first)["conductor"] = "west"
        marker = page["nodes"][0]["uuid"]
        behind = follow([hub], f"/v1/nodes?conductor=east&limit=1{query}&marker={marker}")
        assert [named(hub, item) for item in behind] == [{"n22": "n219", "n219": "n22"}[first]], query
        hub.loc2.find(first)["conductor"] = "east"


def test_nodes_of_a_conductor_are_held_as_many_as_a_page_has():
    """They are read with all details, at all locations: hosts are called alike everywhere."""
    sites = [Standin([node(f"n{place}{number}", conductor="conductor-0", extra={"x": "x" * (32 << 10)}) for number in range(800)], max_limit=50) for place in (1, 2)]
    with fleet(*sites) as hub:
        # Once, so that what a page takes is there.
        page = hub.get("/v1/nodes?conductor=nobody&limit=1")
        assert page.json()["nodes"] == []
        before = memory(hub.gateway.process, "VmHWM")
        first = hub.get("/v1/nodes?conductor=conductor-0&limit=1").json()["nodes"]
        second = hub.get(f"/v1/nodes?conductor=conductor-0&limit=1&marker={first[0]['uuid']}").json()["nodes"]
        assert [named(hub, item) for item in first + second] == ["n10", "n11"]
        grown = memory(hub.gateway.process, "VmHWM") - before
        assert grown < 12 * 1024, f"{grown} KiB more at the peak for a page of one of 50 MiB"


def named(hub, item):
    ident = item["links"][0]["href"].rpartition("/")[2]
    return next(record["name"] for site in hub.all() for record in site.nodes if record["uuid"] == ident)


def test_what_is_no_conductor_is_for_ironic_to_say(hub):
    stock(hub)
    assert hub.get("/v1/nodes?conductor=east", version="1.48").status == 406
    assert len(hub.get("/v1/nodes?conductor=").json()["nodes"]) == 12
    assert hub.get("/v1/nodes?conductor=host-1&fields=created_at").status == 400
