"""`[api] tell_location = false`: no answer to a project names a location, however things go wrong. What is told of them
otherwise is told here too, but for the names."""

import pytest
import scripted
from admin import SECTION, Admin
from projects import LOCATION, MINE, TENANT, hub
from standin import Standin, new_uuid, node
from tenants import ADMIN

OPEN = {"X-Ironic-Proxy-Partial": "allow"}
STEPS = [{"interface": "bios", "step": "s", "args": {}, "order": 1}]
EACH = {
    "loc1": {"bmc_addresses": "10.10.0.0/16"},
    "loc2": {"bmc_addresses": "10.20.0.0/16"},
    "loc3": {"bmc_addresses": "10.30.0.0/16", "local_groups": "rack:gpu"},
}


class House:
    """Nodes of the project at all locations, and of one UUID at two."""

    def __init__(self, running):
        self.running, self.fleet = running, running.fleet
        self.own = [site.nodes[0]["uuid"] for site in running.fleet.all()]

    def ask(self, method, path, body=None, version=None, who=TENANT, **headers):
        sent = {"X-Auth-Token": self.running.keystone.token_of(who), **headers}
        return self.fleet.call(method, path, body, version=version or self.running.version, headers=sent)


def sites():
    uuid = new_uuid()
    found = [Standin([node(f"n{place}", owner=MINE), node("twin", uuid=uuid, owner=MINE)][: 1 if place == 2 else 2]) for place in range(3)]
    for place, site in enumerate(found):
        site.ports.extend({"uuid": new_uuid(), "address": f"52:54:00:00:0{place}:0{number}", "node_uuid": one["uuid"]} for number, one in enumerate(site.nodes))
    return uuid, found


@pytest.fixture(scope="module", params=[False, True], ids=["hidden", "told"])
def module_house(request):
    uuid, there = sites()
    api = {"tell_location": request.param}
    default = {"verify_bmc_address": True}
    options = {"groups": "_:loc1,grp:loc2,rack:loc3", "each": EACH, "default": default, "sections": {"admin": SECTION}}
    with hub(*there, api=api, **options) as running:
        house = House(running)
        house.tells, house.twin = request.param, uuid
        yield house


@pytest.fixture
def house(module_house):
    yield module_house
    fleet = module_house.fleet
    for name, site in fleet.sites.items():
        Admin(fleet.gateway).set(name, "enabled")
        site.heal()
        site.up()
        site.objects["runbooks"].clear()


def judge(house, reply, status, words):
    """The answer says this, with the names of locations or without."""
    shown = reply.body.decode() + str(reply.pairs)
    assert (reply.status, words in shown) == (status, True), reply
    assert any(name in shown for name in house.fleet.sites) == house.tells, reply


def down(house):
    house.fleet.loc2.down()


def test_a_location_that_is_down(house):
    down(house)
    for path in ("/v1/nodes", "/v1/ports", "/v1/allocations", f"/v1/nodes/{new_uuid()}", "/v1/nodes/nobody", f"/v1/nodes/{house.own[1]}", f"/v1/ports/{new_uuid()}"):
        judge(house, house.ask("GET", path), 503, "(connect) could not be asked, please retry.")
    for method, path, body in (
        ("PATCH", f"/v1/nodes/{house.own[1]}", [{"op": "add", "path": "/extra/a", "value": 1}]),
        ("PUT", f"/v1/nodes/{house.own[1]}/states/power", {"target": "power on"}),
        ("DELETE", f"/v1/nodes/{house.own[1]}", None),
        ("POST", "/v1/nodes", {"driver": "d", "conductor_group": "grp"}),
        ("POST", "/v1/ports", {"address": "52:54:00:00:07:07", "node_uuid": house.own[1]}),
        ("POST", "/v1/runbooks", {"name": "CUSTOM_A", "steps": STEPS}),
    ):
        judge(house, house.ask(method, path, body), 503, "(connect) could not be asked")
    for path in ("/v1/nodes", "/v1/ports", "/v1/allocations", "/v1/runbooks", "/v1/portgroups", "/v1/volume/targets"):
        judge(house, house.ask("GET", path, **OPEN), 200, ";reason=connect")
    judge(house, house.ask("POST", "/v1/nodes", {"driver": "d", "name": f"n-{new_uuid()[:8]}"}), 201, "x-ironic-proxy-unverified")
    house.fleet.loc3.down()
    judge(house, house.ask("GET", "/v1/nodes"), 503, "connect")
    reply = house.ask("GET", "/v1/nodes", **OPEN)
    judge(house, reply, 200, ";reason=connect")
    assert house.tells or reply.header("X-Ironic-Proxy-Incomplete") == "*;reason=connect, *;reason=connect"


def test_a_location_that_loses_an_answer(house):
    one = f"/v1/nodes/{house.own[1]}"
    for fault, word in ((scripted.close(), "did not answer; the request may have been executed."), (scripted.html(), "may have been executed")):
        house.fleet.loc2.fault(fault, "PUT", f"{one}/maintenance")
        judge(house, house.ask("PUT", f"{one}/maintenance", {}), 504, word)


@pytest.mark.parametrize("state", ["maintenance", "read_only", "draining"])
def test_a_location_whose_operator_wants_it_so(house, state):
    Admin(house.fleet.gateway).set("loc2", state)
    words = "the gateway's operator"
    judge(house, house.ask("POST", "/v1/nodes", {"driver": "d", "conductor_group": "grp"}), 503, words)
    if state == "maintenance":
        judge(house, house.ask("GET", "/v1/nodes"), 503, words)
        judge(house, house.ask("GET", "/v1/nodes", **OPEN), 200, "reason=maintenance")
    if state != "draining":
        judge(house, house.ask("PUT", f"/v1/nodes/{house.own[1]}/maintenance", {}), 503, words)


def test_what_two_locations_have(house):
    judge(house, house.ask("GET", f"/v1/nodes/{house.twin}"), 400, "More than one ")
    judge(house, house.ask("GET", "/v1/nodes/twin"), 400, "More than one ")
    for method, path, body in (("DELETE", "", None), ("PUT", "/maintenance", {}), ("GET", "/ports", None), ("PATCH", "", [{"op": "add", "path": "/extra/a", "value": 1}])):
        judge(house, house.ask(method, f"/v1/nodes/{house.twin}{path}", body), 400, "More than one ")


@pytest.mark.parametrize("path", ["/v1/nodes", "/v1/nodes?sort_key=uuid", "/v1/nodes/detail", "/v1/ports", "/v1/ports?sort_key=address&sort_dir=desc"])
def test_pages_of_what_two_locations_have(house, path):
    """A walk over both ends, and its links tell nobody where it goes on."""
    key, seen, links = path.split("?")[0].split("/")[2], [], []
    while path:
        reply = house.ask("GET", path + ("" if "limit=" in path else "&limit=1" if "?" in path else "?limit=1"))
        assert reply.status == 200, reply
        seen += [item["uuid"] for item in reply.json()[key]]
        links.append(reply.json().get("next", ""))
        path = links[-1].removeprefix(house.fleet.url)
        assert not any(name in str(reply.pairs) + links[-1] for name in house.fleet.sites), reply
        assert len(seen) < 20
    everything = [item["uuid"] for item in house.ask("GET", f"/v1/{key}").json()[key]]
    assert sorted(seen) == sorted(everything) and len(everything) >= 5
    assert any("%40" in link or "@" in link for link in links)


def test_where_a_node_belongs(house):
    node_of = lambda address, **more: {"driver": "d", "driver_info": {"ipmi_address": address}, **more}  # noqa: E731
    two = {"driver": "d", "driver_info": {"ipmi_address": "10.20.0.1", "redfish_address": "https://10.30.0.1"}}
    judge(house, house.ask("POST", "/v1/nodes", two), 400, "its BMC is at")
    judge(house, house.ask("POST", "/v1/nodes", node_of("10.20.0.1", conductor_group="rack")), 400, "10.20.0.1 is ")
    patch = [{"op": "add", "path": "/driver_info/ipmi_address", "value": "10.10.0.1"}]
    judge(house, house.ask("PATCH", f"/v1/nodes/{house.own[1]}", patch), 400, "10.10.0.1 is ")
    judge(house, house.ask("POST", "/v1/nodes", node_of("10.30.0.1"), version="1.10"), 400, "a node needs a conductor group")
    # The location is the client's own word.
    reply = house.ask("POST", "/v1/nodes", {"driver": "d", "conductor_group": "grp"}, **{LOCATION: "loc3"})
    assert (reply.status, "loc2" in reply.text()) == (400, house.tells), reply


def test_what_could_not_be_done_everywhere(house):
    body = {"name": "CUSTOM_A", "steps": STEPS}
    house.fleet.loc2.fault(scripted.says(500, "broken"), "POST", "/v1/runbooks")
    judge(house, house.ask("POST", "/v1/runbooks", body), 503, "undone")
    house.fleet.loc2.fault(scripted.close(), "GET", "/v1/runbooks/[0-9a-f-]{36}", skip=1)
    house.fleet.loc2.fault(scripted.close(), "DELETE", "/v1/runbooks/.+")
    judge(house, house.ask("POST", "/v1/runbooks", body), 504, "perhaps done, could not be undone")


def test_an_administrator_is_told_all_the_same(house):
    down(house)
    reply = house.ask("GET", "/v1/nodes", who=ADMIN)
    assert (reply.status, "loc2 (connect)" in reply.text()) == (503, True)
    assert house.ask("GET", "/v1/nodes", who=ADMIN, **OPEN).header("X-Ironic-Proxy-Incomplete") == "loc2;reason=connect"


@pytest.mark.parametrize("tells", [True, False])
def test_a_group_that_is_a_location_s_default_one(tells):
    with hub(*sites()[1][:2], groups="_:loc1,grp:loc2", each={"loc2": {"local_groups": "grp:_"}}, api={"tell_location": tells}) as running:
        for path in ("/v1/ports", "/v1/ports?sort_key=address"):
            refused = running.get(TENANT, f"{path}{'&' if '?' in path else '?'}conductor_groups=grp")
            assert (refused.status, "conductor_groups cannot ask for grp" in refused.text()) == (400, True), refused
            assert ("loc2" in refused.text()) == tells, refused
