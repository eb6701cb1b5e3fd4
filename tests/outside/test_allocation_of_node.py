"""`GET /v1/allocations?node=`: of all that there are, and of a project's own."""

import pytest
import scripted
from exchange import Answer
from fleet import assert_unavailable, fleet
from projects import MINE, OTHER, STRANGER, TENANT, hub
from refusals import Refused
from standin import Standin, new_uuid, node
from tenants import ADMIN

LOCATION = "X-Ironic-Proxy-Location"
ABSENT = "6f1c2f0e-4d1c-4b8e-9a55-0c7a1f1f0e11"


class Site(Standin):
    """A stand-in that shows the allocation of a node below it, as Ironic does."""

    def _routed(self, request, path, parameters, minor):
        words = [part for part in path if part != "v1"]
        match words:
            case ["nodes", ident, "allocation"] if request.method == "GET":
                there = self.find(ident)
                if there is None:
                    raise Refused(400, f"Node {ident} could not be found.")
                for one in self.objects["allocations"]:
                    if one["node_uuid"] == there["uuid"]:
                        return Answer.of_json(200, {**one, "links": []})
                raise Refused(404, f"Allocation with UUID or name of node {ident} could not be found.")
        return super()._routed(request, path, parameters, minor)


def allocation(name, at, **members):
    return {"uuid": new_uuid(), "name": name, "node_uuid": at, "owner": MINE, "state": "active", "resource_class": "bm", "extra": {}, **members}


def names(reply):
    assert reply.status == 200, reply
    return [one.get("name") for one in reply.json()["allocations"]]


def stocked(first, second, **members):
    """A node at each of two locations, each with an allocation; and one without any, at the second."""
    one, other = first.add(node("one", **members)), second.add(node("other", **members))
    first.objects["allocations"].append(allocation("of-one", one["uuid"]))
    second.objects["allocations"].append(allocation("of-other", other["uuid"]))
    return one, other, second.add(node("free", **members))


@pytest.fixture
def pair():
    with fleet(Site(), Site(), every={"timeout": 1}) as running:
        yield running, *stocked(running.loc1, running.loc2)


@pytest.mark.parametrize("by", ["uuid", "name"])
def test_it_is_the_one_of_that_node(pair, by):
    running, one, other, free = pair
    for record, at, shown in ((one, "loc1", ["of-one"]), (other, "loc2", ["of-other"]), (free, "loc2", [])):
        reply = running.get(f"/v1/allocations?node={record[by]}")
        assert (names(reply), reply.header(LOCATION)) == (shown, at), reply
        assert "next" not in reply.json()


@pytest.mark.parametrize(
    ("further", "shown"),
    [
        ("resource_class=bm", ["of-other"]),
        ("resource_class=gpu", []),
        ("state=active&owner=" + MINE, ["of-other"]),
        ("state=error", []),
        ("owner=" + OTHER, []),
        ("limit=1", ["of-other"]),
        ("fields=name", ["of-other"]),
    ],
)
def test_further_filters_hold(pair, further, shown):
    running, _, other, _ = pair
    reply = running.get(f"/v1/allocations?node={other['uuid']}&{further}")
    assert names(reply) == shown, reply
    if "fields" in further:
        assert [set(one) - {"links"} for one in reply.json()["allocations"]] == [{"name"}], reply


@pytest.mark.parametrize("pinned", [{}, {LOCATION: "loc2"}], ids=["", "pinned"])
def test_a_marker_is_one_wherever_it_is(pair, pinned):
    running, _, other, _ = pair
    here, there = (site.objects["allocations"][0]["uuid"] for site in (running.loc2, running.loc1))
    for marker, is_known in ((here, True), (there, not pinned), (ABSENT, False)):
        reply = running.get(f"/v1/allocations?node={other['uuid']}&marker={marker}", headers=pinned)
        if is_known:
            assert names(reply) == [], "a node has one at most"
        else:
            assert reply.status == 404 and reply.text() == f"Allocation {marker} could not be found.", reply


def test_an_unknown_node_is_no_empty_list(pair):
    running, one, other, _ = pair
    absent = new_uuid()
    reply = running.get(f"/v1/allocations?node={absent}")
    assert (reply.status, reply.text()) == (400, f"Node {absent} could not be found."), reply
    running.loc1.down()
    # Nobody knows whether it is there.
    assert_unavailable(running.get(f"/v1/allocations?node={absent}"), "loc1")
    assert_unavailable(running.get(f"/v1/allocations?node={one['uuid']}"), "loc1")
    assert names(running.get(f"/v1/allocations?node={other['uuid']}")) == ["of-other"]


@pytest.fixture
def house():
    sites = Site(), Site()
    one, other, free = stocked(*sites, owner=MINE)
    theirs = sites[0].add(node("theirs", owner=OTHER))
    leased = sites[1].add(node("leased", owner=OTHER, lessee=MINE))
    sites[0].objects["allocations"].append(allocation("of-theirs", theirs["uuid"], owner=OTHER))
    sites[1].objects["allocations"].append(allocation("of-leased", leased["uuid"], owner=OTHER))
    with hub(*sites, every={"timeout": 1}) as running:
        yield running


@pytest.mark.parametrize("further", ["", "&limit=1", "&fields=name", "&resource_class=bm", "&owner=" + MINE])
def test_a_project_is_shown_its_own_of_a_node_that_it_sees(house, further):
    for name, shown in (("one", ["of-one"]), ("other", ["of-other"]), ("free", []), ("leased", [])):
        reply = house.get(TENANT, f"/v1/allocations?node={name}{further}")
        assert names(reply) == shown, (name, reply)
    assert names(house.get(ADMIN, "/v1/allocations?node=leased")) == ["of-leased"]


def test_a_node_of_another_project_is_not_there(house):
    for who, hidden in ((TENANT, "theirs"), (STRANGER, "one")):
        reply, absent = (house.get(who, f"/v1/allocations?node={name}") for name in (hidden, "nobody"))
        assert (reply.status, reply.text()) == (400, f"Node {hidden} could not be found."), reply
        assert (absent.status, absent.text()) == (400, "Node nobody could not be found."), absent
        assert reply.header(LOCATION) == absent.header(LOCATION) is None
    # The other project owns the node, and the allocation of it is this one's.
    house.fleet.loc1.objects["allocations"][-1]["owner"] = MINE
    assert names(house.get(STRANGER, "/v1/allocations?node=theirs")) == []


def test_a_project_is_not_shown_an_empty_list_of_what_nobody_could_be_asked(house):
    house.get(TENANT, "/v1/nodes")
    house.fleet.loc1.fault(scripted.close(), "GET", "/v1/allocations")
    reply = house.get(TENANT, "/v1/allocations?node=one")
    assert_unavailable(reply, "loc1")
    house.fleet.heal()
    assert names(house.get(TENANT, "/v1/allocations?node=one")) == ["of-one"]
