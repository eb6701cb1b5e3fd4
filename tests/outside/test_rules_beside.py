"""Rules that are asked beside the one of a route bind every caller, whatever the token is for: with an operator's rules a
member of the system has no more than at one Ironic."""

import json

import pytest
import scripted
from admin import SECTION, Admin
from projects import MINE, OTHER, STRANGER, hub
from standin import Standin, new_uuid, node
from tenants import ADMIN

READER = {"X-Roles": "reader", "OpenStack-System-Scope": "all"}
MEMBER = {"X-Roles": "member,reader", "OpenStack-System-Scope": "all"}
BLIND = {"X-Roles": "member", "OpenStack-System-Scope": "all"}
MONITOR = {"X-Roles": "reader,monitor", "X-Project-Id": MINE, "X-Project-Name": "mine"}
GIVER = {"X-Roles": "admin,manager,member,reader,giver", "X-Project-Id": MINE, "X-Project-Name": "mine"}

OF_ADMINS = "role:admin and system_scope:all"
NARROW = {
    "baremetal:node:get:filter_threshold": OF_ADMINS,
    "baremetal:node:get:driver_info": OF_ADMINS,
    "baremetal:node:set_provision_state:clean_steps": OF_ADMINS,
    "baremetal:runbook:use": OF_ADMINS,
    "baremetal:step:execute:deploy.erase": OF_ADMINS,
    "baremetal:node:list_all": "(role:reader and system_scope:all) or role:monitor or (role:accountant and is_admin_project:True)",
    "baremetal:allocation:list_all": "role:reader",
    "baremetal:node:update:owner": "(role:member and system_scope:all) or role:giver",
}
ERASE = {"interface": "deploy", "step": "erase", "args": {}, "order": 1}
BURN = {"interface": "deploy", "step": "burn", "args": {}, "order": 1}


def site():
    one = Standin([node(f"n-{owner}-{state}", owner=owner, provision_state=state, driver_info=BMC) for owner in (MINE, OTHER) for state in ("active", "available")])
    one.objects["runbooks"].append({"uuid": RUNBOOK, "name": "CUSTOM_A", "owner": None, "public": True, "steps": [BURN], "extra": {}})
    one.ports.append({"uuid": new_uuid(), "address": "52:54:00:00:00:01", "node_uuid": one.nodes[0]["uuid"]})
    return one


BMC = {"redfish_address": "https://10.0.0.1", "redfish_password": "SECRET"}
RUNBOOK = "7a3e6f0c-5c1d-4c9e-9d0b-1f2a3b4c5d6e"


@pytest.fixture(scope="module")
def module_house(tmp_path_factory):
    rules = tmp_path_factory.mktemp("policy") / "policy.yaml"
    rules.write_text(json.dumps(NARROW))
    one = site()
    with hub(one, sections={"oslo_policy": {"policy_file": rules}}) as running:
        yield running, one


@pytest.fixture
def house(module_house):
    module_house[1].forget_requests()
    return module_house


@pytest.fixture(scope="module")
def plain():
    """Ironic's own rules."""
    one = site()
    with hub(one, sections={"admin": SECTION}) as running:
        yield running, one


def changed(one):
    return [request for method in ("PATCH", "PUT", "POST", "DELETE") for request in one.asked(method)]


@pytest.mark.parametrize("who", [MEMBER, GIVER, ADMIN], ids=["member", "project", "admin"])
@pytest.mark.parametrize("state", ["active", "available"])
def test_a_node_in_use_gets_no_other_owner(house, who, state):
    running, one = house
    given = next(item for item in one.nodes if item["owner"] == MINE and item["provision_state"] == state)
    patch = [{"op": "add", "path": "/extra/a", "value": 1}, {"op": "replace", "path": "/owner", "value": MINE}]
    reply = running.ask(who, "PATCH", f"/v1/nodes/{given['name']}", patch)
    if state == "active" and who != ADMIN:
        text = f'Cannot update owner of node "{given["uuid"]}" while it is in state "active".'
        assert (reply.status, reply.text(), changed(one)) == (409, text, []), reply
    else:
        assert reply.status == 200, reply


def test_ironic_s_own_rules_let_no_member_give_away_what_is_in_use(plain):
    running, one = plain
    uuid = one.nodes[0]["uuid"]
    patch = [{"op": "replace", "path": "/owner", "value": MINE}]
    assert running.ask(MEMBER, "PATCH", f"/v1/nodes/{uuid}", patch).status == 409
    assert running.ask(ADMIN, "PATCH", f"/v1/nodes/{uuid}", patch).status == 200
    assert running.ask(MEMBER, "PATCH", f"/v1/nodes/{uuid}", [{"op": "add", "path": "/extra/a", "value": 1}]).status == 200


PAGES = ["/v1/nodes/detail", "/v1/nodes?fields=uuid,driver_info", "/v1/nodes/detail?limit=2", "/v1/nodes?detail=true&sort_key=name"]


def listed(running, who, path):
    found = []
    while path:
        reply = running.get(who, path)
        assert reply.status == 200, reply
        found += reply.json()["nodes"]
        path = reply.json().get("next", "").removeprefix(running.fleet.url)
    return found


@pytest.mark.parametrize("path", PAGES)
def test_who_lists_everything_is_shown_no_more_of_it_than_of_each(house, path):
    running, one = house
    for who in (MONITOR, READER):
        shown = listed(running, who, path)
        assert len(shown) == len(one.nodes)
        assert all("Redacted" in item["driver_info"]["content"] for item in shown), shown
        assert not any({"owner", "lessee"} & item.keys() for item in shown if "fields" in path)
    assert [item["driver_info"]["redfish_address"] for item in listed(running, ADMIN, path)] == [BMC["redfish_address"]] * len(one.nodes)


@pytest.mark.parametrize("path", ["/v1/allocations", "/v1/allocations?fields=uuid", "/v1/allocations?limit=1"])
def test_a_list_of_all_allocations_is_for_who_may_get_each(house, path):
    running, one = house
    there = one.objects["allocations"]
    there[:] = [{"uuid": new_uuid(), "name": "a", "owner": MINE, "state": "active", "extra": {}}]
    try:
        reply = running.get(MONITOR, path)
        assert (reply.status, len(reply.json()["allocations"])) == (200, 1), reply
        assert ("owner" in reply.json()["allocations"][0]) == ("fields" not in path)
        refused = running.get({**MONITOR, "X-Project-Id": OTHER}, path)
        assert (refused.status, refused.text()) == (403, "Access was denied to the following resource: baremetal:allocation:get")
        assert running.get(READER, path).status == 200
    finally:
        there.clear()


@pytest.mark.parametrize("fields", ["", "&fields=uuid"])
def test_so_is_the_one_of_a_node(house, fields):
    running, one = house
    mine, theirs = (next(item["uuid"] for item in one.nodes if item["owner"] == owner) for owner in (MINE, OTHER))
    for node_uuid, owner, who, status in (
        (mine, MINE, MONITOR, 200),
        (mine, OTHER, MONITOR, 403),
        # It is hidden.
        (theirs, MINE, MONITOR, 400),
        (theirs, OTHER, READER, 200),
    ):
        there = {"uuid": new_uuid(), "name": "a", "owner": owner, "node_uuid": node_uuid, "state": "active", "extra": {}}
        one.objects["allocations"][:] = [there]
        one.fault(scripted.answers(200, json.dumps(there).encode()), path="/v1/nodes/.+/allocation")
        reply = running.get(who, f"/v1/allocations?node={node_uuid}{fields}")
        one.heal()
        one.objects["allocations"].clear()
        assert reply.status == status, reply
        if status == 200:
            assert [("owner" in item) for item in reply.json()["allocations"]] == [not fields]


@pytest.mark.parametrize(
    ("who", "body", "verdict", "rule"),
    [
        (READER, [{"op": "replace", "path": "/owner", "value": "p"}], "denied", "baremetal:node:update:owner"),
        (MEMBER, [{"op": "replace", "path": "/shard", "value": "s"}], "denied", "baremetal:node:update:shard"),
        (MEMBER, [{"op": "replace", "path": "/owner", "value": "p"}], "depends on whose the thing is", "baremetal:node:update"),
        (ADMIN, [{"op": "replace", "path": "/shard", "value": "s"}], "allowed", "baremetal:node:update"),
        (ADMIN, None, "depends on what is changed", "baremetal:node:update"),
    ],
)
def test_a_patch_is_explained_as_it_is_judged(plain, who, body, verdict, rule):
    running, one = plain
    ask = {"method": "PATCH", "path": f"/v1/nodes/{one.nodes[0]['uuid']}", "headers": {"X-OpenStack-Ironic-API-Version": "1.115", "X-Auth-Token": running.keystone.token_of(who)}}
    told = Admin(running.fleet.gateway)("POST", "/explain", ask | ({"body": body} if body else {})).document
    assert (told["verdict"], told["rule"], told["refused"] is not None) == (verdict, rule, verdict == "denied"), told


@pytest.mark.parametrize(("word", "count"), [("True", 4), ("False", 2), (None, 4)])
def test_keystone_says_which_project_is_its_admin_project(house, word, count):
    running, _ = house
    who = {**STRANGER, "X-Roles": "reader,accountant", **({"X-Is-Admin-Project": word} if word else {})}
    assert len(listed(running, who, "/v1/nodes")) == count


def test_what_a_reader_of_the_system_is_not_shown(house):
    running, one = house
    uuid = one.nodes[2]["uuid"]
    reply = running.get(READER, f"/v1/nodes/{uuid}")
    assert "Redacted" in reply.json()["driver_info"]["content"], reply
    patched = running.ask(MEMBER, "PATCH", f"/v1/nodes/{uuid}", [{"op": "add", "path": "/extra/a", "value": 1}])
    assert "Redacted" in patched.json()["driver_info"]["content"], patched


def test_passwords_are_under_their_own_rules_alone(tmp_path):
    rules = tmp_path / "policy.yaml"
    rules.write_text(json.dumps({"baremetal:node:get:filter_threshold": "role:reader"}))
    one = site()
    with hub(one, sections={"oslo_policy": {"policy_file": rules}}) as running:
        uuid = next(item["uuid"] for item in one.nodes if item["owner"] == OTHER)
        shown = [running.get(STRANGER, f"/v1/nodes/{uuid}").json(), *listed(running, STRANGER, "/v1/nodes/detail")]
        assert {item["driver_info"]["redfish_address"] for item in shown} == {BMC["redfish_address"]}
        assert {item["driver_info"]["redfish_password"] for item in shown} == {"******"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/nodes/{node}/states/provision", {"target": "clean", "clean_steps": [BURN]}),
        ("PUT", "/v1/nodes/{node}/states/provision", {"target": "active", "deploy_steps": [ERASE]}),
        ("PUT", "/v1/nodes/{node}/states/provision", {"target": "clean", "runbook": RUNBOOK}),
        ("PUT", f"/v1/nodes/{{node}}/states/provision?runbook={RUNBOOK}", {"target": "clean"}),
        ("POST", "/v1/runbooks", {"name": "CUSTOM_B", "steps": [ERASE]}),
        ("PATCH", f"/v1/runbooks/{RUNBOOK}", [{"op": "replace", "path": "/steps", "value": [ERASE]}]),
    ],
)
def test_a_member_of_the_system_takes_no_step_that_a_rule_forbids(house, method, path, body):
    running, one = house
    path = path.format(node=one.nodes[0]["uuid"])
    reply = running.ask(MEMBER, method, path, body)
    assert (reply.status, changed(one)) == (403, []), reply
    running.ask(ADMIN, method, path, body)
    assert changed(one)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/nodes/{node}/states/power", {"target": "power on"}),
        ("PUT", "/v1/nodes/{node}/states/provision", {"target": "manage"}),
        ("PUT", "/v1/nodes/{node}/maintenance", {}),
        ("PATCH", "/v1/nodes/{node}", [{"op": "add", "path": "/extra/a", "value": 1}]),
        ("GET", "/v1/nodes/{node}/management/boot_device", None),
        ("POST", "/v1/nodes/{node}/vifs", {"id": "a"}),
        ("PATCH", "/v1/ports/{port}", [{"op": "replace", "path": "/extra", "value": {}}]),
    ],
)
def test_what_may_not_be_seen_may_not_be_changed(plain, method, path, body):
    """A token with role member and without reader: Ironic says that there is no such thing."""
    running, one = plain
    path = path.format(node=one.nodes[0]["uuid"], port=one.ports[0]["uuid"])
    one.forget_requests()
    reply = running.ask(BLIND, method, path, body)
    assert (reply.status, changed(one)) == (404, []), reply
    assert "could not be found" in reply.text()
    one.forget_requests()
    running.ask(MEMBER, method, path, body)
    assert one.asked(method)
