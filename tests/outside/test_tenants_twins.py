"""Two locations with things of one UUID or one name: a project has what it would have at the one where it sees something."""

import pytest
import scripted
from projects import LOCATION, MINE, OTHER, ROLES, STRANGER, TENANT, hub, twins
from standin import Standin, node
from tenants import ADMIN

THIRD = {"X-Roles": ROLES, "X-Project-Id": "33333333cccc", "X-Project-Name": "third"}
AVAILABLE = {"provision_state": "available", "power_state": "power off", "resource_class": "x"}


def untold(reply):
    """Nothing of it names a location."""
    shown = reply.body.decode() + str(reply.pairs)
    return "loc1" not in shown and "loc2" not in shown


@pytest.fixture(scope="module")
def house():
    """A UUID and a name that both locations have, the other project's at loc1; `spare` is at loc1 and of both."""
    uuid, sites = twins(OTHER, MINE)
    spare = sites[0].add(node("spare", owner=OTHER, lessee=MINE, **AVAILABLE))
    for site in sites:
        site.find(uuid).update(AVAILABLE)
    with hub(*sites) as running:
        assert running.get(ADMIN, f"/v1/nodes/{uuid}").status == 400
        running.uuid, running.spare = uuid, spare["uuid"]
        yield running


@pytest.mark.parametrize("name", ["uuid", "name"])
@pytest.mark.parametrize("body", ["candidates", "among others", "node"])
def test_an_allocation_of_a_node_that_two_locations_have(house, name, body):
    ident = house.uuid if name == "uuid" else "twin"
    named = {
        "candidates": {"resource_class": "x", "candidate_nodes": [ident]},
        # Two locations have candidates, and the gateway chooses.
        "among others": {"resource_class": "x", "candidate_nodes": [house.spare, ident]},
        "node": {"node": ident},
    }[body]
    for who, homes, owner in ((TENANT, ["loc2"], MINE), (STRANGER, ["loc1"], OTHER)):
        if body == "among others":
            homes = ["loc1", "loc2"] if who is TENANT else ["loc1"]
        for _ in range(4):
            made = house.ask(who, "POST", "/v1/allocations", named)
            assert (made.status, made.json().get("owner")) == (201, owner), made
            home = made.header(LOCATION)
            assert home in homes
            assert made.json().get("node", house.uuid) == house.uuid
            if body == "among others" and who is TENANT:
                assert made.json()["candidate_nodes"] == [{"loc1": house.spare, "loc2": house.uuid}[home]]
    nobody = house.ask(THIRD, "POST", "/v1/allocations", named)
    assert (nobody.status, untold(nobody)) == (400, True)
    assert "could not be found" in nobody.text() or "cannot be found" in nobody.text()


def test_a_part_of_a_node_that_two_locations_have(house):
    for place, (who, home) in enumerate(((TENANT, "loc2"), (STRANGER, "loc1"))):
        for number, body in enumerate(({"node_uuid": house.uuid}, {"node_ident": "twin"})):
            made = house.ask(who, "POST", "/v1/ports", {"address": f"52:54:00:00:1{place}:0{number}", **body})
            assert (made.status, made.header(LOCATION)) == (201, home), made
    refused = house.ask(THIRD, "POST", "/v1/ports", {"address": "52:54:00:00:03:01", "node_uuid": house.uuid})
    assert (refused.status, untold(refused)) == (403, True)


def test_what_is_below_a_node_that_two_locations_have(house):
    for ident in (house.uuid, "twin"):
        for who, home in ((TENANT, "loc2"), (STRANGER, "loc1")):
            for method, path, body in (
                ("GET", f"/v1/nodes/{ident}/states", None),
                ("GET", f"/v1/nodes/{ident}/ports", None),
                ("GET", f"/v1/ports?node={ident}", None),
                ("GET", f"/v1/nodes/{ident}/validate", None),
                ("PUT", f"/v1/nodes/{ident}/maintenance", {"reason": "x"}),
                ("PUT", f"/v1/nodes/{ident}/states/provision", {"target": "manage"}),
            ):
                reply = house.ask(who, method, path, body)
                assert (reply.status < 300, reply.header(LOCATION)) == (True, home), (method, path, reply)
        for method, path in (("GET", "states"), ("GET", "ports"), ("PUT", "maintenance"), ("PUT", "states/provision")):
            reply = house.ask(THIRD, method, f"/v1/nodes/{ident}/{path}", {"target": "manage"} if method == "PUT" else None)
            assert (reply.status, untold(reply)) == (404, True), (path, reply)


def test_an_allocation_goes_to_no_location_that_has_nothing_for_a_project():
    """At one without lessees nobody of a project has a node; and its members are no question for it."""
    old = Standin([node("old", owner=MINE, **AVAILABLE)], versions=("1.1", "1.61"))
    new = Standin([node("new", owner=MINE, **AVAILABLE)])
    with hub(old, new) as running:
        for _ in range(4):
            made = running.ask(TENANT, "POST", "/v1/allocations", {"resource_class": "x"})
            assert (made.status, made.header(LOCATION)) == (201, "loc2"), made
        none = running.ask(TENANT, "POST", "/v1/allocations", {"resource_class": "other"})
        assert (none.status, none.header(LOCATION)) == (201, "loc2"), none
        homes = {running.ask(ADMIN, "POST", "/v1/allocations", {"resource_class": "x"}).header(LOCATION) for _ in range(16)}
        assert homes == {"loc1", "loc2"}


def test_what_was_asked_by_name_is_called_by_it():
    """What is sent goes by UUID; what comes back says what the client wrote, with a name and with what is gone meanwhile."""
    with hub(Standin([node("mine", owner=MINE)])) as running:
        [record] = running.fleet.loc1.nodes
        for who in (ADMIN, TENANT):
            for ident in ("mine", record["uuid"]):
                for method, path, body in (
                    ("PUT", "states/provision", {"target": "manage"}), ("PUT", "states/power", {"target": "power on"}),
                    ("PUT", "traits/CUSTOM_A", None),
                ):  # fmt: skip
                    reply = running.ask(who, method, f"/v1/nodes/{ident}/{path}", body)
                    below = path if "traits" in path else "states"
                    assert reply.header("Location") == f"{running.fleet.url}/v1/nodes/{ident}/{below}", (who, path, reply)
        gone = scripted.says(404, "Node {} could not be found.".format(record["uuid"]))
        for method, path, body in (("PUT", "/states/power", {"target": "power on"}), ("DELETE", "", None), ("GET", "/states", None)):
            running.fleet.loc1.fault(gone, method, f"/v1/nodes/{record['uuid']}{path}", query="^$")
            reply = running.ask(TENANT, method, f"/v1/nodes/mine{path}", body)
            assert (reply.status, reply.text()) == (404, "Node mine could not be found."), reply
