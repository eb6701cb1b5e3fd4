"""Rules of single steps (`baremetal:step:execute:…`): what a project may put into its runbooks, in whatever way."""

import json

import pytest
from projects import MINE, OTHER, TENANT, hub
from standin import Standin, new_uuid, node

ERASE = {"interface": "deploy", "step": "erase", "args": {}, "order": 1}
WIPE = {"interface": "raid", "step": "wipe", "args": {}, "order": 2}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """Nobody erases by deploy; one may wipe so, and erase by raid."""
    rules = tmp_path_factory.mktemp("policy") / "policy.yaml"
    rules.write_text('"baremetal:step:execute:deploy.erase": "!"\n')
    site = Standin()
    with hub(site, sections={"oslo_policy": {"policy_file": rules}}) as running:
        yield running, site


def test_each_forbidden_step_is_named(house):
    """As `validate_user_steps_policy` of `ironic/conductor/steps.py` does."""
    running, _ = house
    steps = [ERASE, WIPE, {**ERASE, "order": 3}]
    reply = running.ask(TENANT, "POST", "/v1/runbooks", {"name": "CUSTOM_B", "steps": steps})
    text = "insufficient privileges to execute step erase on interface deploy"
    assert (reply.status, reply.text()) == (403, f"{text}; {text}"), reply


@pytest.mark.parametrize(
    ("patch", "status"),
    [
        ([{"op": "replace", "path": "/steps", "value": [ERASE]}], 403),
        ([{"op": "add", "path": "/steps/-", "value": ERASE}], 403),
        # A step is made of another one, member by member.
        ([{"op": "replace", "path": "/steps/0/step", "value": "erase"}], 403),
        ([{"op": "replace", "path": "/steps/1/interface", "value": "deploy"}], 403),
        ([{"op": "add", "path": "/steps/-", "value": {**WIPE, "step": "erase"}}, {"op": "replace", "path": "/steps/2/interface", "value": "deploy"}], 403),
        ([{"op": "replace", "path": "/steps/0/step", "value": f"s{number}"} for number in range(3000)], 403),
        ([{"op": "replace", "path": "/steps/0/step", "value": "burn"}], 200),
        ([{"op": "replace", "path": "/steps/0/args", "value": {"a": 1}}], 200),
        ([{"op": "add", "path": "/steps/-", "value": WIPE}], 200),
        ([{"op": "replace", "path": "/name", "value": "CUSTOM_B"}], 200),
    ],
)
def test_a_step_that_is_forbidden_gets_in_by_no_patch(house, patch, status):
    running, site = house
    steps = [{**WIPE, "interface": "deploy"}, {**WIPE, "step": "erase"}]
    uuid = new_uuid()
    site.objects["runbooks"][:] = [{"uuid": uuid, "name": "CUSTOM_A", "owner": MINE, "public": False, "steps": steps, "extra": {}}]
    reply = running.ask(TENANT, "PATCH", f"/v1/runbooks/{uuid}", patch)
    assert reply.status == status, reply
    changed = site.asked("PATCH")
    assert bool(changed) == (status == 200)
    site.forget_requests()


@pytest.mark.parametrize("at", ["body", "query", "both"])
def test_what_stands_in_the_query_of_a_provision_is_judged_as_what_stands_in_its_body(house, at):
    """Pecan takes a function's arguments from either place (`NestedMultiDict`)."""
    running, site = house
    own = {"uuid": new_uuid(), "name": "CUSTOM_OWN", "owner": MINE, "public": False, "steps": [WIPE], "extra": {}}
    forbidden = {**own, "uuid": new_uuid(), "name": "CUSTOM_ERASES", "steps": [ERASE]}
    others = {**own, "uuid": new_uuid(), "name": "CUSTOM_OTHERS", "owner": OTHER}
    site.objects["runbooks"][:] = [own, forbidden, others]
    uuid = site.add(node("provisioned", owner=MINE, provision_state="manageable"))["uuid"]
    for runbook, status in ((own, 202), (forbidden, 403), (others, 403)):
        query = f"?runbook={runbook['uuid']}" if at != "body" else ""
        body = {"target": "manage"} | ({} if at == "query" else {"runbook": runbook["uuid"]})
        site.forget_requests()
        reply = running.ask(TENANT, "PUT", f"/v1/nodes/{uuid}/states/provision{query}", body)
        assert reply.status == (400 if at == "both" else status), reply
        sent = site.asked("PUT")
        assert bool(sent) == (reply.status == 202), (runbook["name"], sent)
        for request in sent:
            assert ("?" in request.target, json.loads(request.body)["runbook"]) == (False, own["uuid"])
    site.nodes.clear()


def test_a_runbook_is_judged_where_it_is_to_run():
    """Copies may differ, after a change that could not be undone say."""
    copy = {"uuid": new_uuid(), "name": "CUSTOM_A", "public": False, "steps": [WIPE], "extra": {}}
    first, second = Standin(), Standin([node("here", owner=MINE, provision_state="enroll")])
    first.objects["runbooks"].append({**copy, "owner": MINE})
    second.objects["runbooks"].append({**copy, "owner": OTHER})
    with hub(first, second) as running:
        for runbook in (copy["uuid"], copy["name"]):
            reply = running.ask(TENANT, "PUT", "/v1/nodes/here/states/provision", {"target": "manage", "runbook": runbook})
            assert (reply.status, second.asked("PUT")) == (403, []), reply
        second.objects["runbooks"][0]["owner"] = MINE
        first.objects["runbooks"][0]["owner"] = OTHER
        reply = running.ask(TENANT, "PUT", "/v1/nodes/here/states/provision", {"target": "manage", "runbook": copy["uuid"]})
        assert reply.status == 202, reply


def test_each_parent_that_a_patch_names_is_judged(tmp_path):
    """Ironic links the first of them, whatever the last one is."""
    rules = tmp_path / "policy.yaml"
    rules.write_text('"baremetal:node:update:parent_node": "role:member"\n')
    site = Standin([node("child", owner=MINE), node("own", owner=MINE), node("hidden", owner=OTHER)])
    with hub(site, sections={"oslo_policy": {"policy_file": rules}}) as running:
        own, hidden = (site.find(name)["uuid"] for name in ("own", "hidden"))
        for path in ("/parent_node", "/parent_node\n"):
            for values in ([hidden, own], [own, hidden], [hidden]):
                patch = [{"op": "add", "path": path, "value": value} for value in values]
                reply = running.ask(TENANT, "PATCH", "/v1/nodes/child", patch)
                assert (reply.status, site.asked("PATCH")) == (400, []), (patch, reply)
        reply = running.ask(TENANT, "PATCH", "/v1/nodes/child", [{"op": "add", "path": "/parent_node", "value": own}])
        assert reply.status == 200, reply


def test_a_parent_is_judged_where_it_is_to_be_linked(tmp_path):
    """Another location's node of the same name is not meant."""
    rules = tmp_path / "policy.yaml"
    rules.write_text('"baremetal:node:update:parent_node": "role:member"\n')
    first, second = Standin([node("child", owner=MINE), node("foo", owner=OTHER), node("own", owner=MINE)]), Standin([node("foo", owner=MINE)])
    with hub(first, second, sections={"oslo_policy": {"policy_file": rules}}) as running:
        for parent in ("foo", second.find("foo")["uuid"]):
            reply = running.ask(TENANT, "PATCH", "/v1/nodes/child", [{"op": "add", "path": "/parent_node", "value": parent}])
            assert (reply.status, first.asked("PATCH")) == (400, []), reply
        reply = running.ask(TENANT, "PATCH", "/v1/nodes/child", [{"op": "add", "path": "/parent_node", "value": "own"}])
        assert reply.status == 200, reply
        assert first.asked("PATCH")[0].json()[0]["value"] == first.find("own")["uuid"]
