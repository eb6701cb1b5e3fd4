"""A location that gets the user's token judges by its own policy, beside one where the gateway's rules are what there is."""

import json
import re

import pytest
import scripted
from exchange import Answer
from projects import LOCATION, MINE, OTHER, STRANGER, TENANT, hub
from refusals import form_a
from standin import Standin, new_uuid, node
from tenants import ADMIN

MEMBER = {**TENANT, "X-Roles": "member,reader"}
READER = {**TENANT, "X-Roles": "reader"}
SYSTEM_READER = {"X-Roles": "reader", "OpenStack-System-Scope": "all"}
STRANGER_READER = {**STRANGER, "X-Roles": "reader"}
AVAILABLE = {"provision_state": "available", "power_state": "power off", "resource_class": "x"}
DENIED = "Access was denied to the following resource: baremetal:its:own"


class Judge(Standin):
    """One whose own policy lets members of a project do everything with what is the project's, and nobody else anything."""

    def __init__(self, nodes=()):
        super().__init__(nodes, credentials=("token", bool))

    def user(self, request):
        token = request.header("X-Auth-Token") or ""
        return json.loads(bytes.fromhex(token[3:])) if token.startswith("as-") else None

    def answer(self, request):
        user = self.user(request)
        if user is None or "OpenStack-System-Scope" in user:
            return super().answer(request)
        if "X-Project-Id" not in user:
            return Answer.of_json(403, form_a(403, DENIED), [("X-OpenStack-Ironic-API-Minimum-Version", "1.1")])
        if request.method not in ("GET", "HEAD") and "member" not in user["X-Roles"].split(","):
            return Answer.of_json(403, form_a(403, DENIED), [("X-OpenStack-Ironic-API-Minimum-Version", "1.1")])
        if request.method == "POST" and request.path in ("/v1/nodes", "/v1/allocations", "/v1/runbooks"):
            body = json.loads(bytes(request.body))
            self.given = dict(body)
            # As it is system scope to the stand-in's rule about owners.
            request.headers.append(("OpenStack-System-Scope", "all"))
            if self._minor(request, 1, 115) >= 60:
                request.body = json.dumps({**body, "owner": user["X-Project-Id"]}).encode()
        return super().answer(request)


@pytest.fixture
def house(request):
    """`loc1` is for the gateway to judge, `loc2` judges itself; groups `_` and `grp1`."""
    ours, judge = Standin([node("ours", owner=MINE, **AVAILABLE)]), Judge([node("theirs", owner=MINE, **AVAILABLE)])
    groups = getattr(request, "param", "_:loc1,grp1:loc2")
    with hub(ours, judge, groups=groups, each={"loc2": {"forward_user_token": True}}) as running:
        running.ours, running.judge = ours, judge
        yield running


def test_a_node_is_created_as_its_location_allows(house):
    body = {"driver": "d", "conductor_group": "grp1"}
    made = house.ask(MEMBER, "POST", "/v1/nodes", body)
    assert (made.status, made.header(LOCATION), made.json()["owner"]) == (201, "loc2", MINE), made
    # The owner is the location's affair; it got no more than what the client sent, and the client's token.
    assert set(house.judge.given) - {"uuid"} == set(body)
    refused = house.ask({**TENANT, "X-Roles": "admin,reader"}, "POST", "/v1/nodes", body)
    assert (refused.status, refused.text()) == (403, DENIED)
    # At the other location the gateway's rules are in force as before.
    denied = house.ask(MEMBER, "POST", "/v1/nodes", {"driver": "d"})
    assert (denied.status, denied.text()) == (403, "Access was denied to the following resource: baremetal:node:create")
    assert house.ask(TENANT, "POST", "/v1/nodes", {"driver": "d"}).json()["owner"] == MINE


@pytest.mark.parametrize("house", ["_:loc2,grp1:loc1"], indirect=True)
def test_a_node_of_an_old_version_is_left_to_its_location(house):
    """Below 1.11 the gateway creates a node and then gives it away, which is not for a project to do there."""
    token = {"X-Auth-Token": house.keystone.token_of(MEMBER)}
    made = house.fleet.call("POST", "/v1/nodes", {"driver": "d", "name": "old"}, version="1.10", headers=token)
    assert (made.status, made.header(LOCATION)) == (201, "loc2"), made
    assert not house.judge.asked("PATCH") and not house.judge.asked("DELETE")


def test_what_is_taken_elsewhere_is_told_to_nobody_who_may_not_create(house):
    """Whether a name is free is asked before the location has judged: a refusal must not depend on the answer."""
    house.ours.add(node("secret", owner=OTHER))
    house.ours.ports.append({"uuid": new_uuid(), "address": "52:54:00:00:00:01", "node_uuid": house.ours.nodes[0]["uuid"]})
    group = {"driver": "d", "conductor_group": "grp1"}
    theirs = house.judge.nodes[0]["uuid"]
    patch = [{"op": "add", "path": "/name", "value": "NAME"}]
    for method, path, body, taken, free in (
        ("POST", "/v1/nodes", {**group, "name": "NAME"}, "secret", "free"),
        ("PATCH", f"/v1/nodes/{theirs}", patch, "secret", "free"),
        ("POST", "/v1/ports", {"node_uuid": theirs, "address": "NAME"}, "52:54:00:00:00:01", "52:54:00:00:00:02"),
    ):
        answers = [house.ask(READER, method, path, json.loads(json.dumps(body).replace("NAME", name))) for name in (taken, free)]
        assert [reply.status for reply in answers] == [403, 403], (method, path, answers)
        # Who may is told, as by one Ironic.
        assert house.ask(TENANT, method, path, json.loads(json.dumps(body).replace("NAME", taken))).status == 409


@pytest.fixture(scope="module", params=["policy", "deny"])
def judges(request):
    """Every location judges itself."""
    first, second = Judge([node("ours", owner=MINE, **AVAILABLE)]), Judge([node("secret", owner=OTHER)])
    api = {"project_scoped_access": request.param}
    with hub(first, second, groups="_:loc1,grp1:loc2", api=api, every={"forward_user_token": True, "auth_type": "admin_token", "token": "ours"}) as running:
        second.ports.append({"uuid": new_uuid(), "address": "52:54:00:00:00:01", "node_uuid": second.nodes[0]["uuid"]})
        second.nodes[0]["instance_uuid"] = INSTANCE
        running.first, running.second = first, second
        yield running


INSTANCE = "8a9d5b53-3f7a-4f0c-9d0f-0f4c6ab0b0a1"


def test_where_all_judge_nobody_else_learns_what_is_taken(judges):
    """The location that would refuse is never asked where a name is taken elsewhere: so the gateway's rules decide who is told."""
    [ours], [secret] = judges.first.nodes, judges.second.nodes
    steps = [{"interface": "deploy", "step": "s", "args": {}, "order": 1}]
    judges.second.objects["runbooks"][:] = [{"uuid": new_uuid(), "name": "CUSTOM_A", "owner": OTHER, "public": False, "steps": steps, "extra": {}}]
    judges.second.objects["allocations"][:] = [{"uuid": new_uuid(), "name": "secret", "owner": OTHER, "resource_class": "x", "node_uuid": None}]
    cases = [
        ("POST", "/v1/nodes", {"driver": "d", "name": "WORD"}, "secret", "free"),
        ("POST", "/v1/nodes", {"driver": "d", "uuid": "WORD"}, secret["uuid"], new_uuid()),
        ("POST", "/v1/ports", {"node_uuid": ours["uuid"], "address": "WORD"}, "52:54:00:00:00:01", "52:54:00:00:00:02"),
        ("POST", "/v1/allocations", {"node": ours["uuid"], "name": "WORD"}, "secret", "free"),
        ("POST", "/v1/runbooks", {"name": "WORD", "steps": steps}, "CUSTOM_A", "CUSTOM_B"),
        ("PATCH", f"/v1/nodes/{ours['uuid']}", [{"op": "add", "path": "/name", "value": "WORD"}], "secret", "free"),
        ("PATCH", f"/v1/nodes/{ours['uuid']}", [{"op": "add", "path": "/instance_uuid", "value": "WORD"}], INSTANCE, new_uuid()),
    ]
    domain = {"X-Roles": "admin,manager,member,reader"}
    for method, path, body, taken, free in cases:
        for who in (READER, STRANGER_READER, domain):
            answers = [judges.ask(who, method, path, json.loads(json.dumps(body).replace("WORD", word))) for word in (taken, free)]
            assert answers[0].status == answers[1].status in (400, 403, 404), (method, path, who, answers)
        # Who may is told, as by one Ironic, and nothing is sent.
        for site in (judges.first, judges.second):
            site.forget_requests()
        who = ADMIN if "runbooks" in path else TENANT
        told = judges.ask(who, method, path, json.loads(json.dumps(body).replace("WORD", taken)))
        assert told.status == 409, (method, path, told)
        assert not [one for site in (judges.first, judges.second) for one in site.asked(method)], path


def test_where_all_judge_nobody_makes_a_copy_of_what_may_be_anothers_either(judges):
    theirs = {"uuid": new_uuid(), "name": "CUSTOM_A", "owner": OTHER, "public": False, "steps": [], "extra": {}}
    judges.second.objects["runbooks"][:] = [theirs]
    judges.fleet.forget_requests()
    made = judges.ask(TENANT, "POST", "/v1/runbooks", {"uuid": theirs["uuid"], "name": "CUSTOM_A", "steps": []}, **{LOCATION: "loc1"})
    assert (made.status in (403, 409), judges.first.asked("POST")) == (True, []), made


@pytest.mark.parametrize("all_judge", [True, False], ids=["all", "one"])
def test_a_location_that_is_away_tells_nobody_what_is_free(all_judge):
    """That it may have it is told to whom it is told that another one has it."""
    first, second, third = Judge([node("ours", owner=MINE, **AVAILABLE)]), Judge([node("secret", owner=OTHER)]), Judge()
    judging = {"forward_user_token": True}
    options = {"every": {**judging, "auth_type": "admin_token", "token": "ours"}} if all_judge else {"each": {"loc1": judging}}
    if not all_judge:
        second, third = Standin([node("secret", owner=OTHER)]), Standin()
    with hub(first, second, third, groups="_:loc1,grp1:loc2,grp2:loc3", api={"require_unique": True}, **options) as running:
        second.objects["runbooks"].append({"uuid": new_uuid(), "name": "CUSTOM_A", "owner": OTHER, "public": False, "steps": [], "extra": {}})
        third.fault(scripted.html(502))
        for path, body, taken, free in (
            ("/v1/runbooks", {"steps": []}, "CUSTOM_A", "CUSTOM_B"),
            ("/v1/nodes", {"driver": "d"}, "secret", "free"),
        ):
            for who, expected in ((READER, [403, 403]), (TENANT, [409, 503])):
                answers = [running.ask(who, "POST", path, {**body, "name": name}, **{LOCATION: "loc1"}) for name in (taken, free)]
                assert [reply.status for reply in answers] == expected, (path, answers)
        assert not first.asked("POST")
        mine = {"uuid": new_uuid(), "name": "CUSTOM_C", "owner": MINE, "public": False, "steps": [], "extra": {}}
        first.objects["runbooks"].append(mine)
        for who, expected in ((READER, [403, 403]), (TENANT, [409, 503])):
            for name, status in zip(("CUSTOM_A", "CUSTOM_B"), expected, strict=True):
                patch = [{"op": "replace", "path": "/name", "value": name}]
                renamed = running.ask(who, "PATCH", f"/v1/runbooks/{mine['uuid']}", patch, **{LOCATION: "loc1"})
                assert (renamed.status, mine["name"]) == (status, "CUSTOM_C"), renamed


def test_where_all_judge_nobody_takes_anothers_name_either(judges):
    mine, theirs = ({"uuid": new_uuid(), "name": name, "owner": owner, "public": False, "steps": [], "extra": {}} for name, owner in (("CUSTOM_A", MINE), ("CUSTOM_B", OTHER)))
    judges.first.objects["runbooks"][:], judges.second.objects["runbooks"][:] = [mine], [theirs]
    judges.fleet.forget_requests()
    for who, name, statuses in ((TENANT, "CUSTOM_B", (403, 409)), (READER, "CUSTOM_B", (403,)), (READER, "CUSTOM_C", (403,))):
        patch = [{"op": "replace", "path": "/name", "value": name}]
        renamed = judges.ask(who, "PATCH", f"/v1/runbooks/{mine['uuid']}", patch, **{LOCATION: "loc1"})
        assert (renamed.status in statuses, mine["name"]) == (True, "CUSTOM_A"), renamed


def test_what_was_sent_is_not_sent_again(judges):
    """The answer was lost, and what has the UUID is another: the location was asked once, whatever the rules here say."""
    [ours] = judges.first.nodes
    judges.first.forget_requests()
    judges.first.fault(scripted.close(), "POST", "/v1/nodes")
    try:
        told = judges.ask(TENANT, "POST", "/v1/nodes", {"driver": "d", "uuid": ours["uuid"], "name": "another"})
    finally:
        judges.first.heal()
    assert (told.status, len(judges.first.asked("POST"))) == (409, 1), told


@pytest.mark.parametrize("more", [{"owner": 5}, {"driver": 5}])
def test_where_a_hidden_node_is_is_told_by_no_parent(house, more):
    """Not by what else is wrong with the body either."""
    for site, group in ((house.ours, "grp1"), (house.judge, None)):
        hidden = site.add(node(f"hidden{group}", owner=OTHER))["uuid"]
        own = (house.judge if site is house.ours else house.ours).nodes[0]["uuid"]
        answers = []
        for parent in (hidden, new_uuid()):
            body = {"driver": "d", "parent_node": parent, **more, **({"conductor_group": group} if group else {})}
            patch = [{"op": "add", "path": "/parent_node", "value": parent}, {"op": "add", "path": "/driver", "value": 5}]
            for method, path, sent in (("POST", "/v1/nodes", body), ("PATCH", f"/v1/nodes/{own}", patch)):
                reply = house.ask(TENANT, method, path, sent)
                answers.append((reply.status, (reply.text() or "").replace(parent, "")))
        assert answers[:2] == answers[2:], answers


def test_allocations(house):
    for body, home in (
        ({"node": "theirs"}, "loc2"),
        ({"resource_class": "x", "candidate_nodes": ["theirs"]}, "loc2"),
        ({"node": "ours"}, "loc1"),
        ({"resource_class": "x", "candidate_nodes": ["ours"]}, "loc1"),
    ):
        made = house.ask(MEMBER, "POST", "/v1/allocations", body)
        assert (made.status, made.header(LOCATION), made.json()["owner"]) == (201, home, MINE), (body, made)
        refused = house.ask(READER, "POST", "/v1/allocations", body)
        text = DENIED if home == "loc2" else "Access was denied to the following resource: baremetal:allocation:create_restricted"
        assert (refused.status, refused.text()) == (403, text), body
    # Without candidates it may be made at either, by who may at either; else by the word of the one that judges.
    assert {house.ask(MEMBER, "POST", "/v1/allocations", {"resource_class": "x"}).header(LOCATION) for _ in range(16)} == {"loc1", "loc2"}
    assert house.ask(READER, "POST", "/v1/allocations", {"resource_class": "x"}).text() == DENIED
    # What is wrong with the nodes is told only to who may create allocations.
    for who, status in ((READER, 403), (MEMBER, 400)):
        assert house.ask(who, "POST", "/v1/allocations", {"node": "nobody"}).status == status


def test_what_is_the_same_everywhere(house):
    """A runbook at every location needs the gateway's word for the others; at the named one it is its own."""
    steps = [{"interface": "deploy", "step": "s", "args": {}, "order": 1}]
    body = {"name": "CUSTOM_A", "steps": steps}
    assert house.ask(MEMBER, "POST", "/v1/runbooks", body).text() == "Access was denied to the following resource: baremetal:runbook:create"
    assert not house.judge.objects["runbooks"]
    made = house.ask(MEMBER, "POST", "/v1/runbooks", body, **{LOCATION: "loc2"})
    assert (made.status, made.header(LOCATION)) == (201, "loc2"), made
    refused = house.ask(READER, "POST", "/v1/runbooks", {**body, "name": "CUSTOM_B"}, **{LOCATION: "loc2"})
    assert (refused.status, refused.text()) == (403, DENIED)
    template = {"name": "CUSTOM_T", "steps": steps}
    assert house.ask(MEMBER, "POST", "/v1/deploy_templates", template, **{LOCATION: "loc2"}).status == 201
    assert house.ask(MEMBER, "POST", "/v1/deploy_templates", template, **{LOCATION: "loc1"}).status == 403


def test_nobody_makes_a_copy_of_what_may_be_anothers_there(house):
    theirs = {"uuid": new_uuid(), "name": "CUSTOM_A", "owner": None, "public": True, "steps": [], "extra": {}, "traits": []}
    house.ours.objects["runbooks"].append(theirs)
    house.fleet.forget_requests()
    made = house.ask(TENANT, "POST", "/v1/runbooks", {"uuid": theirs["uuid"], "name": "CUSTOM_A", "steps": []}, **{LOCATION: "loc2"})
    assert (made.status, house.judge.asked("POST")) == (409, []), made


def test_lists_of_both(house):
    """Each location's part as it shows it; of the other one nothing that is not the project's."""
    house.ours.add(node("hidden", owner=OTHER))
    for who in (TENANT, MEMBER, READER):
        assert house.get(who, "/v1/nodes").names() == ["ours", "theirs"]
    for site in (house.ours, house.judge):
        for record in site.nodes:
            site.ports.append({"uuid": new_uuid(), "address": f"52:54:00:00:{len(site.ports):02}:{id(site) % 89 + 10}", "node_uuid": record["uuid"]})
    shown = [port["uuid"] for port in house.get(TENANT, "/v1/ports").json()["ports"]]
    assert shown == [house.ours.ports[0]["uuid"], house.judge.ports[0]["uuid"]]
    assert house.get(ADMIN, "/v1/nodes").names() == ["ours", "hidden", "theirs"]


def hidden_from(who, house):
    """What the location that judges itself says to them of its nodes: nothing."""

    def fault(exchange):
        if exchange.request.header("X-Auth-Token") != house.keystone.token_of(who):
            return exchange.true_answer()
        if exchange.request.path == "/v1/nodes":
            return Answer.of_json(200, {"nodes": []})
        return says(exchange)

    says = {"404": scripted.says(404, "Node web could not be found."), "403": scripted.says(403, DENIED)}[house.way]
    return fault


@pytest.mark.parametrize("way", ["404", "403"])
@pytest.mark.parametrize("path", ["/v1/nodes/web", "/v1/nodes"])
def test_what_one_user_is_not_shown_another_one_may_have(house, way, path):
    """A name is not known to be one location's alone because somebody was shown it there only."""
    house.way = way
    for site in (house.ours, house.judge):
        site.add(node("web", owner=MINE))
    house.judge.fault(hidden_from(SYSTEM_READER, house), method="GET")
    seen = house.get(SYSTEM_READER, path)
    found = seen.json().get("nodes", [seen.json()])
    assert (seen.status, [record["name"] for record in found].count("web")) == (200, 1), seen
    for method, body in (("GET", None), ("PATCH", [{"op": "add", "path": "/extra/a", "value": 1}]), ("DELETE", None)):
        reply = house.ask(ADMIN, method, "/v1/nodes/web", body)
        assert (reply.status, "loc1" in reply.text(), "loc2" in reply.text()) == (400, True, True), reply


@pytest.mark.parametrize("token", [{}, {"X-Auth-Token": "stolen"}])
def test_a_ramdisk_reaches_a_location_that_gets_tokens_of_users(token):
    """Where its node is asks the gateway itself, with its own credential: a ramdisk has none, or one that nobody looked at."""
    own = {"forward_user_token": True, "auth_type": "admin_token", "token": "own"}
    theirs = node("theirs")
    with hub(Standin(), Judge([theirs]), api={"enable_ramdisk_endpoints": True}, each={"loc2": own}) as running:
        for method, path, known in (
            ("POST", "/v1/heartbeat/{}", 202), ("GET", "/v1/lookup?node_uuid={}", 200), ("POST", "/v1/continue_inspection?node_uuid={}", 202),
        ):  # fmt: skip
            for uuid, expected in ((theirs["uuid"], known), (new_uuid(), 404)):
                body = {"callback_url": "http://x"} if method == "POST" else None
                reply = running.fleet.call(method, path.format(uuid), body, headers=token)
                assert reply.status == expected, (path, reply)
        asked = running.fleet.loc2.asked()
        assert {bool(re.search("lookup|heartbeat|continue", one.path)): one.header("X-Auth-Token") for one in asked} == {True: None, False: "own"}
        assert "stolen" not in {one.header("X-Auth-Token") for one in asked}


@pytest.mark.parametrize("named", ["uuid", "name"])
def test_a_location_that_shows_no_copy_takes_nobody_s_away(house, named):
    """What it refuses to show is somebody else's there; another location may have the caller's, also while it is silent."""
    steps = [{"interface": "deploy", "step": "s", "args": {}, "order": 1}]
    mine = {"uuid": new_uuid(), "name": "CUSTOM_A", "owner": MINE, "public": False, "steps": steps, "extra": {}, "traits": []}
    house.ours.objects["runbooks"].append(mine)
    house.judge.fault(scripted.says(403, DENIED), "GET", "/v1/runbooks/.+")
    ident = mine[named]
    for below in ("", "/traits"):
        shown = house.get(TENANT, f"/v1/runbooks/{ident}{below}")
        assert shown.status == 200, (below, shown)
    house.ours.fault(scripted.close(), "GET", "/v1/runbooks/.+")
    for below in ("", "/traits"):
        shown = house.get(TENANT, f"/v1/runbooks/{ident}{below}")
        assert (shown.status, "loc1" in shown.text()) == (503, True), (below, shown)
    house.ours.heal()
    house.ours.objects["runbooks"].clear()
    for below in ("", "/traits"):
        assert house.get(TENANT, f"/v1/runbooks/{ident}{below}").status == 403
