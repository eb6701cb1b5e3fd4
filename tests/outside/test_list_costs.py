"""What lists cost, counted at the sites: questions, and items in their answers. Counts are exact, so this is a test."""

import json
import math

import pytest
import scripted
from client import Client
from crowd import Crowd
from fleet import Fleet as Hub
from fleet import fleet, fleet_config, until
from gateway import Gateway
from standin import Ironic, Standin, node


class Counting(Standin):
    """Counts what it gives."""

    given = 0

    def answer(self, request):
        answer = super().answer(request)
        if request.method == "GET" and answer.status == 200 and request.path.rstrip("/").endswith(("nodes", "detail")):
            self.given += len(json.loads(answer.body).get("nodes", []))
        return answer


class Fleet:
    """Sites that count, and what was counted since it was asked last."""

    def __init__(self, hub):
        self.hub = hub
        self.counted()

    def counted(self):
        """Questions and items, each of all sites."""
        questions = sum(self.hub.asked("GET", "/v1/nodes.*").values())
        items = sum(site.given for site in self.hub.all())
        self.hub.forget_requests()
        for site in self.hub.all():
            site.given = 0
        return questions, items


def sites(count, each, **fields):
    return [
        Counting(
            [
                node(f"n{number:03}-{index:02}", **{name: value(index, number) for name, value in fields.items()})
                for number in range(each)
            ]
        )
        for index in range(count)
    ]


def follow(hub, target):
    names, pages = [], 0
    while target:
        reply = hub.get(target)
        assert reply.status == 200, reply
        names += reply.names()
        pages += 1
        following = reply.json().get("next")
        target = following and following.removeprefix(hub.url)
    return names, pages


P, EACH, L = 8, 100, 50
N = P * EACH


@pytest.fixture(scope="module")
def counted():
    with fleet(*sites(P, EACH, resource_class=lambda index, number: f"c{number % 2}", owner=lambda index, number: "o" if number % 3 else None)) as hub:
        yield Fleet(hub)


@pytest.fixture(params=["cold", "warm"])
def any_fleet(request, counted):
    """A gateway that knows nothing yet, and one that has seen everything."""
    if request.param == "warm":
        assert counted.hub.get("/v1/nodes").status == 200
        counted.counted()
        yield counted
        return
    with Gateway(fleet_config([site.endpoint for site in counted.hub.all()])) as gateway:
        yield Fleet(Hub(gateway, counted.hub.sites))


def everything(counted, order=None):
    rows = [(record["name"], place) for place, site in enumerate(counted.hub.all()) for record in site.nodes]
    return [name for name, _ in (sorted(rows, key=order) if order else rows)]


def test_a_list_that_fits_in_a_page(any_fleet):
    reply = any_fleet.hub.get("/v1/nodes")
    assert reply.names() == everything(any_fleet)
    assert any_fleet.counted() == (P, N)


@pytest.mark.parametrize("query", ["", "&detail=True", "&sort_dir=desc"])
def test_an_unsorted_walk(any_fleet, query):
    names, pages = follow(any_fleet.hub, f"/v1/nodes?limit={L}{query}")
    questions, items = any_fleet.counted()
    assert names == (everything(any_fleet)[::-1] if "desc" in query else everything(any_fleet))
    assert pages == N // L
    assert questions <= N / L + 2 * P and items <= 1.1 * N + P, (questions, items)


@pytest.mark.parametrize("query", ["", "&sort_dir=desc"])
def test_an_unsorted_walk_in_pages_as_large_as_locations_give(query):
    """Then a page does not tell whether anything follows it."""
    most = 20
    ironics = [Ironic([node(f"n{number}-{place}") for number in range(60)], max_limit=most) for place in range(6)]
    n, p = sum(len(ironic.nodes) for ironic in ironics), len(ironics)
    expected = [record["name"] for ironic in ironics for record in ironic.nodes]
    with Crowd(ironics) as crowd, Gateway(fleet_config(crowd.endpoints)) as gateway:
        hub = Client(gateway.url)
        until(lambda: hub.get("/v1/nodes?limit=1").status == 200)
        crowd.counted()
        names, pages = follow(hub, f"/v1/nodes?limit={most}{query}")
        questions, items = crowd.counted()
        assert names == (expected[::-1] if query else expected)
        assert pages == n // most
        assert questions <= n / most + 2 * p and items <= 1.1 * n + p, (questions, items)


def test_a_page_does_not_wait_for_the_last_location():
    """It is asked beside the page whether it has anything, and its silence is not the page's."""
    sites = [Standin([node(f"n{number}-{place}") for number in range(60)], max_limit=20) for place in range(3)]
    with fleet(*sites, wait=False, every={"timeout": 5}) as hub:
        until(lambda: hub.get("/v1/nodes?limit=1").status == 200)
        hub.loc3.fault(scripted.hang(), path="/v1/nodes")
        reply = hub.get("/v1/nodes?limit=20")
        assert len(reply.names()) == 20 and "next" in reply.json()
        assert reply.seconds < 2, reply


def test_a_filtered_walk(any_fleet):
    names, _ = follow(any_fleet.hub, "/v1/nodes?limit=20&resource_class=c1")
    questions, items = any_fleet.counted()
    assert names == [name for name in everything(any_fleet) if int(name[1:4]) % 2]
    # What a filter lets through nobody knows before: all are asked first, for a share each.
    assert questions <= N / 2 / 20 + 3 * P and items <= 1.1 * N / 2 + P, (questions, items)


@pytest.mark.parametrize("key", ["name", "provision_state", "created_at"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_a_sorted_walk(any_fleet, key, direction):
    names, pages = follow(any_fleet.hub, f"/v1/nodes?limit={L}&sort_key={key}&sort_dir={direction}")
    questions, items = any_fleet.counted()
    expected = everything(any_fleet, (lambda row: row[0]) if key == "name" else None)
    assert names == (expected if direction == "asc" else expected[::-1])
    # One scan, one question about the key, and a page's bodies of each site that has some of it.
    sites_a_page = P if key == "name" else math.ceil(L / EACH) + 1
    assert questions <= P + 1 + pages * sites_a_page, questions
    assert items <= N + 1.1 * N + 1, items


def test_a_sorted_walk_over_missing_keys(any_fleet):
    names, _ = follow(any_fleet.hub, f"/v1/nodes?limit={L}&sort_key=owner")
    questions, items = any_fleet.counted()
    expected = everything(any_fleet)
    assert names == [name for name in expected if int(name[1:4]) % 3 == 0] + [name for name in expected if int(name[1:4]) % 3]
    assert questions <= P + 1 + 3 * P * 2 + N / L * 2, questions
    assert items <= 3 * N, items


def test_a_sorted_list_makes_no_further_connection(counted):
    """Over a long link that would be one round trip more, and two over TLS."""
    with Gateway(fleet_config([site.endpoint for site in counted.hub.all()])) as gateway:
        hub = Hub(gateway, counted.hub.sites)
        hub.wait_ready()
        made = [site.connections for site in hub.all()]
        for about_the_key in (1, 0):
            Fleet(hub)
            assert len(hub.get(f"/v1/nodes?limit={L}&sort_key=name").names()) == L
            questions, _ = counted.counted()
            assert questions == P + P + about_the_key
        assert [site.connections for site in hub.all()] == made


def test_a_short_page_of_many_locations():
    ironics = [Ironic([node(f"n{number}-{place}") for number in range(3)]) for place in range(500)]
    with Crowd(ironics) as crowd, Gateway(fleet_config(crowd.endpoints)) as gateway:
        hub = Client(gateway.url)
        until(lambda: hub.get("/v1/nodes?limit=1").status == 200)
        crowd.counted()
        for query in ("", "&detail=True", "&sort_dir=desc", ""):
            reply = hub.get(f"/v1/nodes?limit=10{query}")
            assert len(reply.names()) == 10
            questions, items = crowd.counted()
            assert questions <= 20 and items <= 40, (query, questions, items)


def test_replicas_in_turn_cost_what_a_cold_one_does(counted):
    with Gateway(fleet_config([site.endpoint for site in counted.hub.all()])) as gateway:
        other = Client(gateway.url)
        counted.counted()
        target, names, turn = f"/v1/nodes?limit={L}", [], 0
        while target:
            reply = (counted.hub, other)[turn % 2].get(target)
            names += reply.names()
            following = reply.json().get("next")
            target, turn = following and following[following.index("/v1/") :], turn + 1
        questions, items = counted.counted()
        assert names == everything(counted)
        assert questions <= 2 * N / L + 2 * P and items <= 1.2 * N + P, (questions, items)


@pytest.mark.parametrize(("budget", "has_room"), [(1 << 20, True), (40_000, False)])
def test_walks_take_as_much_memory_as_they_may(budget, has_room):
    """The one that was longest at rest finds no more room: it begins anew from its marker, which costs a scan, and is as whole."""
    with fleet(*sites(2, 50), api={"walk_memory": budget}) as hub:
        crowd = Fleet(hub)
        fields = ["driver", "owner", "lessee", "extra", "maintenance", "power_state", "provision_state", "created_at", "updated_at", "fault", "retired", "resource_class"]
        begun = [hub.get(f"/v1/nodes?sort_key=name&limit=5&fields=name,{field}") for field in fields]
        costs = []
        for reply in (begun[-1], begun[0]):
            crowd.counted()
            following = hub.get(reply.json()["next"].removeprefix(hub.url))
            costs.append(crowd.counted())
            assert (*reply.names(), *following.names()) == tuple(f"n{number:03}-{place:02}" for number in range(5) for place in range(2))
        (_, of_last), (_, of_first) = costs
        assert of_last < 20, costs
        assert (of_first < 20) == has_room, costs
