"""The ports of a project with few nodes: the same list, in the same order, for fewer questions, however many others there are."""

import pytest
import scripted
from projects import MINE, OTHER, TENANT, hub
from standin import Standin, new_uuid, node
from tenants import ADMIN

PAGE = 10
EVERY = 30


def site(first, own, every=EVERY, page=PAGE):
    """One with pages of ten, of whose nodes these are the project's; each node has two ports, made in rounds."""
    nodes = [node(f"n{first}-{number}", owner=MINE if number in own else OTHER) for number in range(max(every // 2, len(own) + 2))]
    found = Standin(nodes, max_limit=page)
    for number in range(every):
        record = nodes[number % len(nodes)]
        found.ports.append({
            "uuid": new_uuid(), "address": f"52:54:00:00:{first:02}:{(number * 37) % 100:02}", "node_uuid": record["uuid"],
            "created_at": f"2026-11-22T10:00:{number:02}+00:00", "name": None, "extra": {},
        })  # fmt: skip
    return found


def walk(running, path, key="ports"):
    """All items, page by page."""
    found = []
    while path:
        page = running.get(TENANT, path).json()
        found += page[key]
        path = page.get("next", "").removeprefix(running.fleet.url)
        assert len(found) < 200
    return found


def of_project(running, site):
    mine = {record["uuid"] for record in site.nodes if record["owner"] == MINE}
    return [port["uuid"] for port in site.ports if port["node_uuid"] in mine]


@pytest.mark.parametrize(
    ("own", "every", "cost"),
    [
        # One more than an administrator's page costs: whose the nodes are.
        (([3], [4]), EVERY, {"loc1": 2, "loc2": 2}),
        (([3], []), EVERY, {"loc1": 2, "loc2": 1}),
        # Nothing to show: a location is asked for its word on the query.
        (([], []), EVERY, {"loc1": 2, "loc2": 1}),
        # What is a page long is read whole, whatever the number of nodes.
        ((range(3), range(2)), PAGE - 2, {"loc1": 2, "loc2": 2}),
        # A page of everything was not the end of it: one question for each of these few nodes.
        (([1, 2, 3], [4]), EVERY, {"loc1": 5, "loc2": 2}),
    ],
)
def test_what_a_list_of_ports_costs(own, every, cost):
    sites = [site(place, there, every) for place, there in enumerate(own)]
    with hub(*sites, api={"max_limit": PAGE}) as running:
        expected = [uuid for there in sites for uuid in of_project(running, there)]
        reply, asked = running.counted(TENANT, "GET", "/v1/ports")
        assert ([port["uuid"] for port in reply.json()["ports"]], asked) == (expected, cost)
        for path in ("/v1/ports/detail", "/v1/ports?limit=1&sort_key=address"):
            reply, asked = running.counted(TENANT, "GET", path)
            assert (reply.status, [name for name in asked if asked[name] > max(cost.values())]) == (200, []), (path, asked)


@pytest.fixture(scope="module", params=["each one", "few", "many"])
def house(request):
    """One node at each location, some, and more than are asked one by one."""
    own = {"each one": ([3], [4]), "few": ([1, 4, 9], [2]), "many": (range(2, 35), [2])}[request.param]
    page = 40 if request.param == "many" else PAGE
    sites = [site(place, there, page=page) for place, there in enumerate(own)]
    with hub(*sites, api={"max_limit": page}) as running:
        yield running


@pytest.mark.parametrize(("limit", "way"), [("", ""), ("", "detail=true"), ("", "detail=False"), ("limit=1&", "fields=uuid"), ("limit=3&", ""), ("limit=3&", "fields=address")])
def test_pages_are_those_of_one_ironic(house, limit, way):
    """Nothing is lost, nothing twice, in the order in which the parts were made, with the members that were asked for."""
    sites = house.fleet.all()
    expected = [port for there in sites for port in there.ports if port["uuid"] in of_project(house, there)]
    for order, key in (("", None), ("sort_key=address&", "address"), ("sort_key=created_at&", "created_at")):
        for direction in ("", "sort_dir=desc&"):
            found = walk(house, f"/v1/ports?{limit}{order}{direction}{way}")
            wanted = sorted(expected, key=lambda port: port[key]) if key else expected
            wanted = wanted[::-1] if direction else wanted
            shown = way.partition("=")[2] if "fields" in way else "uuid"
            assert [port[shown] for port in found] == [port[shown] for port in wanted], (order, direction)
            short = {"uuid", "address", "links"}
            members = {"": short, "detail=False": short, "detail=true": {*expected[0], "links"}}.get(way, {shown, "links"})
            assert set(found[0]) == members, order


def test_a_limit_is_read_as_python_reads_it(house):
    expected = sum(len(of_project(house, there)) for there in house.fleet.all())
    for text, number in (("1_0", 10), ("%2B3", 3), ("%202", 2), ("99999999999999999999", 40)):
        page = house.get(TENANT, f"/v1/ports?limit={text}").json()
        assert len(page["ports"]) == min(number, expected, 10 if expected < 20 else 40), text
        assert f"limit={number}" in page.get("next", f"limit={number}")


def test_a_marker_of_others_is_absent(house):
    [first, _] = house.fleet.all()
    own = of_project(house, first)
    other = next(port["uuid"] for port in first.ports if port["uuid"] not in own)
    answers = [house.get(TENANT, f"/v1/ports?marker={marker}") for marker in (other, new_uuid())]
    assert [(reply.status, reply.text().split()[2:]) for reply in answers] == [(404, ["could", "not", "be", "found."])] * 2
    # The plain form of a marker, without the location.
    assert house.get(TENANT, f"/v1/ports?limit=1&marker={own[0]}").json()["ports"][0]["uuid"] == own[1]


def test_what_ironic_refuses_is_refused(house):
    for query in ("limit=many", "limit=0", "sort_dir=up", "limit=-1"):
        mine, admin = (house.get(who, f"/v1/ports?{query}") for who in (TENANT, ADMIN))
        assert (mine.status, mine.text()) == (admin.status, admin.text()), query
        assert mine.status == 400


def test_a_node_that_is_deleted_meanwhile_is_no_error():
    sites = [site(0, [3]), site(1, [4])]
    with hub(*sites, api={"max_limit": PAGE}) as running:
        [own] = [record for record in sites[0].nodes if record["owner"] == MINE]
        sites[0].fault(scripted.says(404, f"Node {own['uuid']} could not be found."), "GET", "/v1/ports")
        assert [port["uuid"] for port in running.get(TENANT, "/v1/ports").json()["ports"]] == of_project(running, sites[1])


def test_a_location_that_is_down_is_missed_and_not_forgotten():
    sites = [site(0, [3]), site(1, [4, 5])]
    with hub(*sites, api={"max_limit": PAGE}) as running:
        own = of_project(running, sites[0])
        path = running.get(TENANT, "/v1/ports?limit=3").json()["next"].removeprefix(running.fleet.url)
        sites[1].down()
        assert running.get(TENANT, "/v1/ports").status == 503
        reply = running.get(TENANT, "/v1/ports", **{"X-Ironic-Proxy-Partial": "allow"})
        assert ([port["uuid"] for port in reply.json()["ports"]], reply.header("X-Ironic-Proxy-Incomplete")) == (own, "loc2;reason=connect")
        # Where a page behind one of its items begins is not known, nor that there is none.
        plain = sites[1].ports[4]["uuid"]
        for there in (path, f"/v1/ports?marker={plain}"):
            assert running.get(TENANT, there, **{"X-Ironic-Proxy-Partial": "allow"}).status == 503, there


def test_a_false_project_is_no_filter_of_runbooks():
    there = Standin()
    mine, other = ({"uuid": new_uuid(), "name": f"CUSTOM_{owner}", "owner": owner, "public": False, "steps": [], "extra": {}} for owner in (MINE, OTHER))
    there.objects["runbooks"] += [mine, other]
    with hub(there) as running:
        for query in ("", "?project=false", "?project=0", "?project=off"):
            reply = running.get(TENANT, f"/v1/runbooks{query}")
            assert (reply.status, [one["uuid"] for one in reply.json()["runbooks"]]) == (200, [mine["uuid"]]), query
