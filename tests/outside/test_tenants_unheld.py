"""What Python reads as JSON and others do not (`1e400`, `NaN`, lone surrogates): no project puts it anywhere, and where it is
it takes nothing away from anybody."""

import json

import pytest
import scripted
from projects import MINE, OTHER, TENANT, hub
from standin import Standin, new_uuid, node
from tenants import ADMIN

ODD = b'{"x": Infinity, "y": "\\ud800"}'
STEP = {"interface": "deploy", "step": "s", "args": {}, "order": 1}


class Odd(Standin):
    """Everything there has it in `extra`."""

    def answer(self, request):
        answer = super().answer(request)
        answer.body = answer.body.replace(b'"extra": {}', b'"extra": ' + ODD)
        return answer


class House:
    def __init__(self, running, site):
        self.running, self.site = running, site
        self.own = [record["uuid"] for record in site.nodes if record["owner"] == MINE]

    def ask(self, method, path, body=None, version="1.115", who=TENANT):
        headers = {"X-Auth-Token": self.running.keystone.token_of(who)}
        return self.running.fleet.call(method, path, body, version=version, headers=headers)


@pytest.fixture(scope="module")
def house():
    site = Odd([node("a", owner=MINE, driver_info={"password": "p", "b": 1}), node("b", owner=MINE), node("c", owner=OTHER)])
    for number, record in enumerate(site.nodes):
        site.ports.append({"uuid": new_uuid(), "address": f"52:54:00:00:00:0{number}", "node_uuid": record["uuid"], "extra": {}})
    for kind, name in (("allocations", "one"), ("runbooks", "CUSTOM_A")):
        more = {"steps": [STEP], "public": False} if kind == "runbooks" else {"resource_class": "x", "node_uuid": None}
        site.objects[kind].append({"uuid": new_uuid(), "name": name, "owner": MINE, "extra": {}, **more})
    with hub(site) as running:
        yield House(running, site)


@pytest.mark.parametrize("odd", ["1e400", "-1e999", "NaN", "-Infinity", r'"\ud800"', r'[{"a": "x\udfff"}]', r'{"\ud800": 1}'])
def test_no_project_puts_it_anywhere(house, odd):
    own, port = house.own[0], house.site.ports[0]["uuid"]
    allocation, runbook = (house.site.objects[kind][0]["uuid"] for kind in ("allocations", "runbooks"))
    patch = [{"op": "add", "path": "/extra/a", "value": "ODD"}]
    house.site.forget_requests()
    for method, path, body in (
        ("POST", "/v1/nodes", {"driver": "d", "extra": {"a": "ODD"}}),
        ("POST", "/v1/nodes", {"driver": "d", "owner": "ODD"}),
        ("PATCH", f"/v1/nodes/{own}", patch),
        ("PATCH", f"/v1/nodes/{new_uuid()}", patch),
        ("PUT", f"/v1/nodes/{own}/maintenance", {"reason": "ODD"}),
        # What cannot be read must not pass by the rules of steps.
        ("PUT", f"/v1/nodes/{own}/states/provision", {"target": "clean", "clean_steps": [{**STEP, "args": {"a": "ODD"}}]}),
        ("POST", "/v1/ports", {"address": "52:54:00:00:01:00", "node_uuid": own, "extra": {"a": "ODD"}}),
        ("PATCH", f"/v1/ports/{port}", patch),
        ("POST", "/v1/allocations", {"resource_class": "x", "extra": {"a": "ODD"}}),
        ("PATCH", f"/v1/allocations/{allocation}", patch),
        ("POST", "/v1/runbooks", {"name": "CUSTOM_B", "steps": [STEP], "owner": "ODD", "public": True}),
        ("PATCH", f"/v1/runbooks/{runbook}", patch),
    ):  # fmt: skip
        refused = house.ask(method, path, written(body, odd))
        assert (refused.status, "Invalid JSON in the request body" in refused.text()) == (400, True), (method, path, refused)
        assert not house.site.asked(method), (method, path)


def written(body, odd):
    return json.dumps(body).replace('"ODD"', odd).encode()


def test_what_is_no_text_is_not_taken_for_it(house):
    """Escapes in pairs, large numbers that are finite."""
    for value in (r'"\ud83d\ude00"', "1e308", "123456789012345678901234567890", r'"\\ud800"', '"NaN"'):
        changed = house.ask("PATCH", f"/v1/nodes/{house.own[0]}", written([{"op": "add", "path": "/description", "value": "ODD"}], value))
        assert changed.status == 200, (value, changed)


@pytest.mark.parametrize("version", ["1.60", "1.115"])
def test_a_node_that_has_it_is_shown(house, version):
    path = f"/v1/nodes/{house.own[0]}"
    shown = house.ask("GET", path, version=version)
    assert (shown.status, ODD in shown.body) == (200, True), shown
    # And what has to be hidden is.
    assert shown.json()["driver_info"] in ({"password": "******", "b": 1}, {"content": "** Redacted - requires baremetal:node:get:driver_info permission. **"})
    some = house.ask("GET", f"{path}?fields=extra,name", version=version)
    assert (some.status, set(some.json()), ODD in some.body) == (200, {"extra", "name", "links"}, True)
    changed = house.ask("PATCH", path, [{"op": "add", "path": "/description", "value": "x"}], version=version)
    assert (changed.status, ODD in changed.body) == (200, True), changed


@pytest.mark.parametrize("version", ["1.10", "1.40", "1.115"])
def test_a_node_that_gets_it_gets_its_owner(house, version):
    made = house.ask("POST", "/v1/nodes", {"driver": "d"}, version=version)
    assert (made.status, ODD in made.body) == (201, True), made
    record = house.site.find(made.json()["uuid"])
    assert record["owner"] == MINE
    assert house.ask("DELETE", f"/v1/nodes/{record['uuid']}").status == 204


LISTS = ["ports/detail", "ports?fields=extra,uuid", "ports/detail?sort_key=address", "nodes/detail", "nodes?fields=extra,uuid", "allocations", "runbooks?detail=true", "runbooks?fields=extra"]


@pytest.mark.parametrize("path", LISTS)
def test_lists_show_it_page_by_page(house, path):
    kind = path.replace("?", "/").split("/")[0]
    versions = ("1.59", "1.115") if kind == "allocations" else ("1.115",)
    for version in versions:
        whole = house.ask("GET", f"/v1/{path}", version=version)
        count = 2 if kind in ("nodes", "ports") else 1
        assert (whole.status, whole.body.count(ODD), len(whole.json()[kind])) == (200, count, count), whole
        page = house.ask("GET", f"/v1/{path}{'&' if '?' in path else '?'}limit=1", version=version)
        assert (page.status, page.json()[kind]) == (200, whole.json()[kind][:1]), page


def test_what_else_there_is_is_shown_and_changed(house):
    for kind in ("allocations", "runbooks"):
        path = f"/v1/{kind}/{house.site.objects[kind][0]['uuid']}"
        shown = house.ask("GET", path)
        assert (shown.status, ODD in shown.body) == (200, True), shown
    shown = house.ask("GET", f"/v1/ports/{house.site.ports[0]['uuid']}")
    assert (shown.status, ODD in shown.body) == (200, True), shown


def test_an_administrator_may_do_as_before(house):
    made = house.ask("POST", "/v1/nodes", written({"driver": "d", "extra": {"a": "ODD"}}, "1e400"), who=ADMIN)
    assert made.status == 201, made
    assert house.ask("DELETE", f"/v1/nodes/{made.json()['uuid']}", who=ADMIN).status == 204


def test_an_administrator_finds_it_by_its_node(house):
    [allocation], own = house.site.objects["allocations"], house.own[0]
    said = json.dumps({**allocation, "links": []}).replace("{}", ODD.decode()).encode()
    house.site.fault(scripted.answers(200, said), "GET", f"/v1/nodes/{own}/allocation")
    for owner, count in ((MINE, 1), (OTHER, 0)):
        found = house.ask("GET", f"/v1/allocations?node={own}&owner={owner}", who=ADMIN)
        assert (found.status, found.body.count(ODD)) == (200, count), found
