"""Vendor passthru is for system admins in Ironic's own rules; an operator's rules may let owners use it. Its body goes through
unread, so it is the rule about the node that decides, before a byte is sent."""

import pytest
from projects import LOCATION, MINE, OTHER, STRANGER, TENANT, hub, twins
from standin import Standin, node
from tenants import ADMIN

RULE = '"baremetal:node:vendor_passthru": "role:admin and project_id:%(node.owner)s"\n'
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    rules = tmp_path_factory.mktemp("policy") / "policy.yaml"
    rules.write_text(RULE)
    first = Standin([node("mine", owner=MINE), node("leased", owner=OTHER, lessee=MINE), node("theirs", owner=OTHER)])
    uuid, (second, third) = twins(OTHER, MINE)
    with hub(first, second, third, sections={"oslo_policy": {"policy_file": rules}}) as running:
        running.first, running.twin = first, uuid
        yield running


def sent(site):
    return [request for request in site.requests if "vendor_passthru" in request.path]


@pytest.mark.parametrize("method", METHODS)
def test_an_operator_s_rule_decides(house, method):
    mine = house.first.nodes[0]["uuid"]
    body = None if method in ("GET", "DELETE") else {"a": "x" * 200_000}
    for ident in ("mine", mine):
        house.fleet.forget_requests()
        for path in (f"/v1/nodes/{ident}/vendor_passthru/method", f"/v1/nodes/{ident}/vendor_passthru?method=method", f"/v1/nodes/vendor_passthru?node_ident={ident}&method=method"):
            reply = house.ask(TENANT, method, path, body)
            assert (reply.status, reply.header(LOCATION)) == (200, "loc1"), (path, reply)
        # By the UUID that was judged, and as long as it was.
        assert {request.path.split("/")[3] for request in sent(house.first)} == {mine}
        assert all(len(request.body) > 200_000 for request in sent(house.first)) or body is None
        assert len(sent(house.first)) == 3
    house.fleet.forget_requests()
    reader = {**TENANT, "X-Roles": "member,reader"}
    for who, ident, status in ((TENANT, "leased", 403), (TENANT, "theirs", 404), (TENANT, "nobody", 404), (reader, "mine", 403), (STRANGER, "mine", 404), (ADMIN, "mine", 403)):
        reply = house.ask(who, method, f"/v1/nodes/{ident}/vendor_passthru/method", body)
        assert reply.status == status, (who, ident, reply)
        if status == 403:
            assert reply.text() == "Access was denied to the following resource: baremetal:node:vendor_passthru"
    assert not [one for site in house.fleet.all() for one in sent(site)]


def test_of_two_nodes_with_one_uuid_the_own_one_is_meant(house):
    for ident in (house.twin, "twin"):
        for who, home in ((TENANT, "loc3"), (STRANGER, "loc2")):
            house.fleet.forget_requests()
            reply = house.ask(who, "POST", f"/v1/nodes/{ident}/vendor_passthru/method", {"a": 1})
            assert (reply.status, reply.header(LOCATION)) == (200, home), reply
            assert [name for name, site in house.fleet.sites.items() if sent(site)] == [home]


def test_by_ironic_s_own_rules_it_is_for_admins():
    site = Standin([node("mine", owner=MINE)])
    with hub(site) as running:
        for method in METHODS:
            assert running.ask(TENANT, method, "/v1/nodes/mine/vendor_passthru/method").status == 403
            assert running.ask(ADMIN, method, "/v1/nodes/mine/vendor_passthru/method").status == 200
        # Drivers' methods are for the system's tokens alone, whatever the file says.
        refused = running.ask(TENANT, "POST", "/v1/drivers/fake-hardware/vendor_passthru?method=m", {})
        assert (refused.status, refused.text().split(": ")[1]) == (403, "baremetal:driver:vendor_passthru")
        assert len(sent(site)) == len(METHODS)
