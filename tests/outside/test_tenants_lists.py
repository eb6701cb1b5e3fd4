"""A project's list of nodes is what the locations wrote, but for what it may not see."""

import json

import pytest
import scripted
from projects import LOCATION, MINE, OTHER, TENANT, hub
from standin import Standin, new_uuid, node
from tenants import ADMIN

# What a tree would not hold, or would write otherwise.
ODD = {"big": 12345678901234567890123, "nan": float("nan"), "half": "\ud800", "slow": 1.50, "url": "http://a.example/v1/nodes/x"}
DRIVER_INFO = {"ipmi_password": "pwd", "ipmi_address": "10.0.0.1", "in": {"Auth_Token": ["tok"], "x": 1}}
INSTANCE_INFO = {"configdrive": {"user": "data"}, "image_url": None, "image_source": "s"}
STEP = {"interface": "deploy", "step": "s", "args": {"password": "in a list", "a": [[{"token": "deeper"}], "x", []]}}
INTERNAL = {"agent_secret_token": "ast", "clean_steps": [STEP], "deploy_steps": []}
KEPT = "******"


def site(name, **holders):
    info = {"driver_info": DRIVER_INFO, "instance_info": INSTANCE_INFO, "driver_internal_info": INTERNAL}
    return Standin([node(name, extra=ODD, last_error="broken", reservation=None, **info, **holders)])


@pytest.fixture(scope="module")
def running():
    with hub(site("own", owner=MINE, lessee=None), site("leased", owner=OTHER, lessee=MINE)) as running:
        yield running


@pytest.mark.parametrize("way", ["detail", "detail?sort_key=name", "detail?sort_key=uuid&sort_dir=desc"])
def test_items_are_passed_on_byte_for_byte(running, way):
    def text(who, location):
        reply = running.get(who, f"/v1/nodes/{way}", **{LOCATION: location})
        assert reply.status == 200, reply
        return reply.body.decode()

    # An owner sees all but secrets.
    own = text(ADMIN, "loc1")
    for secret in ('"pwd"', '["tok"]', '{"user": "data"}', '"ast"', '"in a list"', '"deeper"'):
        assert own.count(secret) == 1
        own = own.replace(secret, f'"{KEPT}"')
    assert text(TENANT, "loc1") == own
    shown = running.get(TENANT, "/v1/nodes/own").json()
    for member in ("driver_info", "driver_internal_info", "instance_info"):
        assert shown[member] == json.loads(own)["nodes"][0][member]
    # A lessee does not see how the machine is driven either.
    told = text(TENANT, "loc2")
    whole, leased = text(ADMIN, "loc2"), json.loads(told)["nodes"][0]
    for name, value in [("driver_info", DRIVER_INFO), ("driver_internal_info", INTERNAL), ("last_error", "broken"), ("reservation", None)]:
        pair = f'"{name}": {json.dumps(value)}'
        assert whole.count(pair) == 1
        whole = whole.replace(pair, f'"{name}": {json.dumps(leased[name])}')
        assert "edacted" in json.dumps(leased[name])
    assert told == whole.replace('{"user": "data"}', f'"{KEPT}"')


@pytest.mark.parametrize("order", ["", "&sort_key=name"])
def test_what_only_decides_is_not_shown(running, order):
    for fields, members in [("name,extra", {"name", "extra"}), ("driver_info,uuid", {"driver_info", "uuid"}), ("owner", {"owner"})]:
        path = f"/v1/nodes?fields={fields}&limit=1{order}"
        pages = []
        while path:
            reply = running.get(TENANT, path)
            assert reply.status == 200, reply
            page = reply.json()
            pages += page["nodes"]
            path = page.get("next", "").removeprefix(running.fleet.url)
        assert [set(item) for item in pages] == [members | {"links"}] * 2
        seen = [item["driver_info"] for item in pages if "driver_info" in members]
        assert all(KEPT in info.values() or "content" in info for info in seen)


def test_who_may_list_all_is_not_shown_all_of_each(tmp_path):
    """An operator's rule that opens the list opens no BMC: what the rules hide in one node a list hides, too."""
    rules = tmp_path / "policy.yaml"
    # The rule of one node would be that of what is hidden in it, too, as oslo.policy has it.
    rules.write_text('"baremetal:node:list_all": "role:reader"\n')
    with hub(site("own", owner=MINE), site("theirs", owner=OTHER), sections={"oslo_policy": {"policy_file": rules}}) as running:
        for version in (running.version, "1.60"):
            running.version = version
            for path in ("/v1/nodes/detail", "/v1/nodes?fields=name,driver_info,last_error", "/v1/nodes/detail?sort_key=name", f"/v1/nodes/detail?project={OTHER}"):
                reply = running.get(TENANT, path)
                found = {record["name"]: record for record in reply.json().get("nodes", [])}
                assert "theirs" in found, (path, reply)
                for record in found.values():
                    assert ("edacted" in json.dumps(record["driver_info"])) == (record["name"] == "theirs"), (path, record)
                    assert ("edacted" in record["last_error"]) == (record["name"] == "theirs"), (path, record)
        running.version = "1.115"
        page = running.get(TENANT, "/v1/nodes?limit=1&fields=name,driver_info").json()
        second = running.get(TENANT, page["next"].removeprefix(running.fleet.url)).json()["nodes"]
        assert [record["name"] for record in second] == ["theirs"] and "content" in second[0]["driver_info"]


@pytest.mark.parametrize(("who", "active"), [("member", 409), ("admin,member", 200)])
def test_a_machine_in_use_stays_with_its_owner(who, active):
    """A member of the system may change owners, and not of a node that is active."""
    with hub(Standin(), Standin([node(state, owner=MINE, provision_state=state) for state in ("active", "available")])) as running:
        system = {"X-Roles": f"{who},reader", "OpenStack-System-Scope": "all"}
        for state, expected in (("active", active), ("available", 200)):
            uuid = running.fleet.loc2.find(state)["uuid"]
            reply = running.ask(system, "PATCH", f"/v1/nodes/{state}", [{"op": "replace", "path": "/owner", "value": OTHER}])
            assert reply.status == expected, reply
            if expected == 409:
                assert reply.text() == f'Cannot update owner of node "{uuid}" while it is in state "active".'
                assert not running.fleet.loc2.asked("PATCH")
                gone = running.ask(system, "PATCH", f"/v1/nodes/{state}", [{"op": "add", "path": "/extra/a", "value": 1}])
                assert gone.status == 200, gone


class Older(Standin):
    """One that looks at no other filter beside an instance's UUID, as Ironics of API 1.65 to some 1.74 do."""

    def _routed(self, request, path, parameters, minor):
        if "instance_uuid" in parameters:
            parameters = {name: value for name, value in parameters.items() if name != "project"}
        return super()._routed(request, path, parameters, minor)


def test_an_instance_of_others_is_nobody_s():
    theirs, mine, both = new_uuid(), new_uuid(), new_uuid()
    first = Older([node("theirs", owner=OTHER, instance_uuid=theirs), node("mine", owner=MINE, instance_uuid=mine), node("b1", owner=OTHER, instance_uuid=both)])
    second = Older([node("b2", owner=MINE, instance_uuid=both)])
    with hub(first, second) as running:
        for path in ("/v1/nodes?", "/v1/nodes/detail?", "/v1/nodes?fields=name&"):
            for instance, names in ((theirs, []), (mine, ["mine"]), (both, ["b2"]), (new_uuid(), [])):
                reply = running.get(TENANT, f"{path}instance_uuid={instance}")
                assert (reply.status, reply.names()) == (200, names), (path, reply)
            assert running.get(ADMIN, f"{path}instance_uuid={theirs}").names() == ["theirs"]


def test_an_instance_of_others_is_no_word_for_who_is_silent():
    """What is looked for may be there, too, and whether others have something is nobody's business."""
    theirs, mine = new_uuid(), new_uuid()
    first = Older([node("theirs", owner=OTHER, instance_uuid=theirs), node("mine", owner=MINE, instance_uuid=mine)])
    with hub(first, Older()) as running:
        running.fleet.loc2.fault(scripted.close())
        for instance, names in ((theirs, []), (new_uuid(), []), (mine, ["mine"])):
            path = f"/v1/nodes?instance_uuid={instance}"
            partial = running.get(TENANT, path, **{"X-Ironic-Proxy-Partial": "allow"})
            assert (partial.status, partial.names()) == (200, names), partial
            # One that is found is all there is.
            lacks = None if names else "loc2;reason=connect"
            assert partial.header("X-Ironic-Proxy-Incomplete") == lacks
            assert running.get(TENANT, path).status == (200 if names else 503)
