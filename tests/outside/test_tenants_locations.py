"""Projects and locations: whose of two things with one UUID is there, what a request costs, and what an old location has."""

import json
import re
import signal

import pytest
import scripted
from admin import SECTION, Admin
from metrics import read
from projects import LOCATION, MINE, OTHER, ROLES, STRANGER, TENANT, hub, twins
from standin import Standin, new_uuid, node
from tenants import ADMIN


def test_of_two_things_with_one_uuid_the_one_that_may_be_seen_is_there():
    uuid, sites = twins(OTHER, MINE)
    with hub(*sites) as running:
        # The gateway knows of both.
        assert running.get(ADMIN, f"/v1/nodes/{uuid}").status == 400
        for who, location, owner in ((TENANT, "loc2", MINE), (STRANGER, "loc1", OTHER)):
            for ident in (uuid, "twin"):
                shown = running.get(who, f"/v1/nodes/{ident}")
                assert (shown.status, shown.header(LOCATION), shown.json()["owner"]) == (200, location, owner)
                changed = running.ask(who, "PATCH", f"/v1/nodes/{ident}", [{"op": "add", "path": "/extra/by", "value": owner}])
                assert (changed.status, changed.header(LOCATION)) == (200, location)
            assert [item["uuid"] for item in running.get(who, "/v1/nodes").json()["nodes"]] == [uuid]
            # A port at the node of that UUID at another location is not at his.
            port = running.fleet.sites[location].ports[0]["uuid"]
            assert [item["uuid"] for item in running.get(who, "/v1/ports").json()["ports"]] == [port]
        for site, owner in zip(sites, (OTHER, MINE), strict=True):
            assert site.find(uuid)["extra"] == {"by": owner}
        third = {"X-Roles": ROLES, "X-Project-Id": "33", "X-Project-Name": "third"}
        for ident in (uuid, "twin", new_uuid(), "nobody"):
            absent = running.get(third, f"/v1/nodes/{ident}")
            assert (absent.status, absent.header(LOCATION)) == (404, None)
            assert "loc1" not in absent.text() and "loc2" not in absent.text()


@pytest.mark.parametrize("tells", [True, False])
def test_who_sees_two_things_with_one_uuid_is_told(tells):
    uuid, sites = twins(MINE, MINE)
    with hub(*sites, api={"tell_location": tells}) as running:
        assert running.get(ADMIN, f"/v1/nodes/{uuid}").status == 400
        reply = running.get(TENANT, f"/v1/nodes/{uuid}")
        assert (reply.status, "loc1, loc2" in reply.text()) == (400, tells)
        assert running.ask(TENANT, "DELETE", f"/v1/nodes/{uuid}").status == 400
        there = running.get(TENANT, f"/v1/nodes/{uuid}", **{LOCATION: "loc2"})
        assert (there.status, there.header(LOCATION)) == (200, "loc2" if tells else None)
        # A walk comes to both, and ends.
        found, path = [], "/v1/nodes?limit=1"
        while path and len(found) < 5:
            page = running.get(TENANT, path).json()
            found += [item["uuid"] for item in page["nodes"]]
            path = page.get("next", "").removeprefix(running.fleet.url)
        assert found == [uuid, uuid] or not tells
        assert running.get(ADMIN, f"/v1/nodes/{uuid}", **{LOCATION: "loc2"}).header(LOCATION) == "loc2"


def test_what_a_project_s_request_costs():
    """Nothing more to show a node; one question to write; one for each location and list."""
    sites = [Standin([node(f"n{place}-{number}", owner=MINE if number == 0 else OTHER) for number in range(3)]) for place in range(2)]
    mine, other = sites[0].nodes[0]["uuid"], sites[0].nodes[1]["uuid"]
    for site in sites:
        site.ports.extend({"uuid": new_uuid(), "address": f"52:54:00:00:00:{number:02}", "node_uuid": one["uuid"]} for number, one in enumerate(site.nodes))
    with hub(*sites) as running:
        running.get(ADMIN, "/v1/nodes")
        patch = [{"op": "add", "path": "/extra/a", "value": 1}]
        for who, more in ((ADMIN, 0), (TENANT, 1)):
            for method, path, body, asked in [
                ("GET", f"/v1/nodes/{mine}", None, {"loc1": 1}),
                ("PATCH", f"/v1/nodes/{mine}", patch, {"loc1": 1 + more}),
                ("PUT", f"/v1/nodes/{mine}/maintenance", {"reason": "x"}, {"loc1": 1 + more}),
                ("GET", "/v1/nodes", None, {"loc1": 1, "loc2": 1}),
                ("GET", "/v1/nodes/detail", None, {"loc1": 1, "loc2": 1}),
                ("GET", "/v1/ports", None, {"loc1": 1 + more, "loc2": 1 + more}),
            ]:
                reply, counted = running.counted(who, method, path, body)
                assert (reply.status < 300, counted) == (True, asked), (who, method, path, reply)
        # What is hidden costs no more than what is shown, so that nobody can tell it by that.
        assert running.counted(TENANT, "GET", f"/v1/nodes/{other}")[1] == {"loc1": 1}
        assert running.counted(TENANT, "PATCH", f"/v1/nodes/{other}", patch)[1] == {"loc1": 1}
        # However often a patch names a node: the port, its node, the node named, and the patch (405 at a stand-in).
        port = sites[0].ports[0]["uuid"]
        often = [{"op": "replace", "path": "/node_uuid", "value": mine}] * 50
        reply, counted = running.counted(TENANT, "PATCH", f"/v1/ports/{port}", often)
        assert (reply.header(LOCATION), counted) == ("loc1", {"loc1": 4})


def test_denials_are_logged_and_counted():
    site = Standin([node("mine", owner=MINE), node("theirs", owner=OTHER)])
    mine, theirs = (one["uuid"] for one in site.nodes)
    with hub(site, sections={"admin": SECTION}) as running:
        reader = {**TENANT, "X-Roles": "reader"}
        assert running.ask(reader, "PUT", "/v1/nodes/mine/maintenance", {}).status == 403
        running.fleet.logged(f"Denied by baremetal:node:set_maintenance: user user, project {MINE}, target {mine}, PUT /v1/nodes/mine/maintenance")
        assert running.get(reader, "/v1/nodes/theirs").status == 404
        running.fleet.logged(f"Denied by baremetal:node:get: user user, project {MINE}, target {theirs}, GET /v1/nodes/theirs")
        assert running.ask(TENANT, "POST", "/v1/allocations", {"resource_class": "x", "owner": OTHER}).status == 403
        for _ in range(2):
            assert running.get(reader, "/v1/nodes/mine").status == 200
        denied = read(Admin(running.fleet.gateway)).all("ironic_proxy_denied_total")
        # Once each, also what is told as a 404 or in other words.
        assert denied == {("baremetal:node:set_maintenance",): 1, ("baremetal:node:get",): 1, ("baremetal:allocation:create_restricted",): 1}


def test_whose_nodes_are_wanted_is_said_once():
    with hub(Standin([node("mine", owner=MINE)])) as running:
        for query in (f"project={MINE}&project={OTHER}", f"project={OTHER}&project={MINE}"):
            reply = running.get(TENANT, f"/v1/nodes?{query}")
            assert (reply.status, "Expected string for project" in reply.text()) == (400, True), reply


def test_a_node_s_children_are_there_while_another_location_is_silent():
    """They are where the node is; who else is down takes none of them away, and hides none that is somebody else's."""
    parent, other = new_uuid(), Standin()
    site = Standin([node("parent", uuid=parent, owner=MINE), *(node(name, owner=owner, parent_node=parent) for name, owner in (("own", MINE), ("theirs", OTHER)))])
    own, theirs = (one["uuid"] for one in site.nodes[1:])
    with hub(site, other) as running:
        path = f"/v1/nodes/{parent}/children"
        site.fault(scripted.answers(200, json.dumps({"children": [own, theirs]}).encode()), "GET", path)
        assert running.get(TENANT, path).json()["children"] == [own]
        other.down()
        reply = running.get(TENANT, path)
        assert (reply.status, reply.json().get("children")) == (200, [own]), reply
        assert running.get(TENANT, "/v1/nodes").status == 503


def test_two_tokens_of_one_user_are_two_callers():
    """What one project's token was shown is nothing to the same user's other token."""
    site = Standin([node("mine", owner=MINE), node("theirs", owner=OTHER)])
    with hub(site) as running:
        for _ in range(2):
            for who, own, hidden in ((TENANT, "mine", "theirs"), (STRANGER, "theirs", "mine")):
                assert running.get(who, "/v1/nodes").names() == [own]
                assert running.get(who, f"/v1/nodes/{own}").status == 200
                assert running.get(who, f"/v1/nodes/{hidden}").status == 404
                assert running.ask(who, "PATCH", f"/v1/nodes/{hidden}", [{"op": "add", "path": "/extra/a", "value": 1}]).status == 404
                assert running.ask(who, "DELETE", f"/v1/nodes/{hidden}").status == 404


def test_nothing_of_a_location_without_lessees_is_there_for_a_project():
    """It cannot be asked whose its nodes are; at the others it makes no difference."""
    old = Standin([node("old", owner=MINE)], versions=("1.1", "1.61"))
    new = Standin([node("mine", owner=MINE), node("leased", owner=OTHER, lessee=MINE), node("theirs", owner=OTHER)])
    with hub(new, old, groups="_:loc1,grp1:loc2") as running:
        assert running.get(ADMIN, "/v1/nodes").names() == ["mine", "leased", "theirs", "old"]
        assert running.get(TENANT, "/v1/nodes").names() == ["mine", "leased"]
        for name, status in (("mine", 200), ("leased", 200), ("theirs", 404), ("old", 404), ("nobody", 404)):
            assert running.get(TENANT, f"/v1/nodes/{name}").status == status, name
            patched = running.ask(TENANT, "PATCH", f"/v1/nodes/{name}", [{"op": "add", "path": "/extra/a", "value": 1}])
            assert patched.status == status, name
        made = running.ask(TENANT, "POST", "/v1/nodes", {"driver": "d", "conductor_group": "grp1"})
        assert (made.status, "older than 1.65" in made.text()) == (400, True)
        assert running.ask(TENANT, "POST", "/v1/nodes", {"driver": "d"}).status == 201
        running.fleet.logged("Location `loc2` is older than API 1.65 and has no lessees")
        assert not [request for request in old.requests if "project=" in request.target]


@pytest.mark.parametrize("newest", ["1.46", "1.61"])
def test_a_location_without_lessees_that_cannot_be_asked_costs_no_project_its_nodes(newest):
    """Its section changes, so that nothing is known of it but the versions that it told last."""
    new = Standin([node("mine", owner=MINE), node("leased", owner=OTHER, lessee=MINE), node("theirs", owner=OTHER)])
    with hub(new, Standin(versions=("1.1", newest))) as running:
        gateway = running.fleet.gateway
        before, section, after = gateway.config_path.read_text(encoding="utf-8").partition("[group:loc2]\n")
        for more in ("state = maintenance", "state = maintenance\nmax_concurrent = 7"):
            gateway.config_path.write_text(f"{before}{section}{more}\n{after}", encoding="utf-8")
            since = len(gateway.log())
            gateway.process.signal(signal.SIGHUP)
            running.fleet.logged(r"Reloaded: .*`?loc2", since)
            for name, status in (("mine", 200), ("leased", 200), ("theirs", 404), ("nobody", 404)):
                assert running.get(TENANT, f"/v1/nodes/{name}").status == status, (more, name)


@pytest.mark.parametrize("newest", ["1.46", "1.58"])
@pytest.mark.parametrize("is_beside_another", [True, False])
def test_beside_a_judge_without_lessees_a_project_sees_what_it_leases(newest, is_beside_another):
    """Each location is asked for the holders that it knows: the common version goes by one that needs none."""
    judge = Standin([node("judged", owner=MINE)], versions=("1.1", newest))
    new = Standin([node("leased", owner=OTHER, lessee=MINE), node("theirs", owner=OTHER)])
    for number, site in enumerate((judge, new)):
        site.ports.append({"uuid": new_uuid(), "address": f"52:54:00:00:00:0{number}", "node_uuid": site.nodes[0]["uuid"]})
    old = [Standin([node("old", owner=MINE)], versions=("1.1", newest))] if is_beside_another else []
    with hub(judge, new, *old, each={"loc1": {"forward_user_token": True}}) as running:
        for name, at in (("leased", "loc2"), ("judged", "loc1")):
            shown = running.get(TENANT, f"/v1/nodes/{name}")
            assert (shown.status, shown.header(LOCATION)) == (200, at), shown
            changed = running.ask(TENANT, "PATCH", f"/v1/nodes/{name}", [{"op": "add", "path": "/extra/a", "value": 1}])
            assert (changed.status, changed.header(LOCATION)) == (200, at), changed
        for name in ("theirs", "old", "nobody"):
            assert running.get(TENANT, f"/v1/nodes/{name}").status == 404, name
        listed = running.get(TENANT, "/v1/ports")
        assert (listed.status, sorted(one["address"][-2:] for one in listed.json()["ports"])) == (200, ["00", "01"]), listed


def test_beside_a_location_without_lessees_one_of_two_namesakes_is_a_projects_own():
    old = Standin([node("old", owner=MINE), node("web1", owner=MINE)], versions=("1.1", "1.61"))
    with hub(old, Standin([node("web1", owner=MINE)]), Standin([node("web1", owner=OTHER), node("web2", owner=OTHER)])) as running:
        assert (running.get(ADMIN, "/v1/nodes/web1").status, running.get(ADMIN, "/v1/nodes/web1", version="1.61").status) == (400, 400)
        shown = running.get(TENANT, "/v1/nodes/web1")
        assert (shown.status, shown.header(LOCATION), shown.json()["owner"]) == (200, "loc2", MINE), shown
        patched = running.ask(TENANT, "PATCH", "/v1/nodes/web1", [{"op": "add", "path": "/extra/a", "value": 1}])
        assert (patched.status, patched.header(LOCATION)) == (200, "loc2"), patched
        # Who has none of that name learns of nobody's.
        running.fleet.sites["loc2"].nodes.clear()
        for name in ("web1", "web2", "detail", "nobody"):
            hidden = running.get(TENANT, f"/v1/ports?node={name}")
            assert (hidden.status, hidden.text().count(name)) == (404, 1), hidden


@pytest.mark.parametrize("newest", ["1.65", "1.82", "1.115"])
def test_what_a_rule_shows_to_lessees_it_shows_beside_a_judge_without_lessees(tmp_path, newest):
    rules = tmp_path / "policy.yaml"
    rules.write_text('"baremetal:node:get:driver_info": "project_id:%(node.lessee)s"\n')
    new = Standin([node("leased", owner=OTHER, lessee=MINE, driver_info={"ipmi_address": "10.0.0.1"})], versions=("1.1", newest))
    judge = Standin(versions=("1.1", "1.58"))
    with hub(judge, new, each={"loc1": {"forward_user_token": True}}, sections={"oslo_policy": {"policy_file": rules}}) as running:
        running.version = "1.58"
        listed = running.get(TENANT, "/v1/nodes/detail")
        assert (listed.status, b"10.0.0.1" in listed.body) == (200, True), listed


def test_who_may_list_all_is_shown_what_a_location_without_lessees_has(tmp_path):
    rules = tmp_path / "policy.yaml"
    rules.write_text('"baremetal:node:list_all": "role:reader"\n')
    old = Standin([node("old", owner=OTHER, driver_info={"ipmi_address": "10.0.0.1"})], versions=("1.1", "1.61"))
    with hub(old, Standin([node("mine", owner=MINE)]), sections={"oslo_policy": {"policy_file": rules}}) as running:
        for path in ("/v1/nodes", "/v1/nodes/detail", "/v1/nodes?fields=name,driver_info"):
            listed = running.get(TENANT, path)
            assert (listed.status, sorted(listed.names())) == (200, ["mine", "old"]), (path, listed)
            assert b"10.0.0.1" not in listed.body, path
        assert running.get(TENANT, "/v1/nodes/old").status == 404


@pytest.mark.parametrize("newest", ["1.49", "1.58", "1.61"])
def test_who_may_list_all_keeps_what_is_its_own_beside_a_location_without_lessees(tmp_path, newest):
    rules = tmp_path / "policy.yaml"
    rules.write_text('"baremetal:node:list_all": "role:reader"\n')
    old = Standin([node("old", owner=MINE)], versions=("1.1", newest))
    new = Standin([node("leased", owner=OTHER, lessee=MINE), node("mine", owner=MINE, driver_info={"ipmi_address": "10.0.0.1"})])
    new.objects["allocations"].append({"uuid": new_uuid(), "name": "own", "owner": MINE, "state": "active", "resource_class": "x", "node_uuid": None})
    with hub(old, new, groups="_:loc2,grp1:loc1", sections={"oslo_policy": {"policy_file": rules}}) as running:
        assert sorted(running.get(TENANT, "/v1/nodes").names()) == ["leased", "mine", "old"]
        for name, status in (("leased", 202), ("mine", 202), ("old", 404)):
            powered = running.ask(TENANT, "PUT", f"/v1/nodes/{name}/states/power", {"target": "power on"})
            assert powered.status == status, (name, powered)
        listed = running.get(TENANT, "/v1/nodes?fields=name,driver_info").json()["nodes"] if newest != "1.49" else running.get(TENANT, "/v1/nodes/detail").json()["nodes"]
        assert [one["driver_info"] for one in listed if one["name"] == "mine"] == [{"ipmi_address": "10.0.0.1"}]
        if newest != "1.49":
            own = running.get(TENANT, "/v1/allocations/own")
            assert own.status == 200, own
            listed = running.get(TENANT, f"/v1/allocations?marker={own.json()['uuid']}")
            assert (listed.status, listed.json()["allocations"]) == (200, []), listed
            for _ in range(8):
                made = running.ask(TENANT, "POST", "/v1/allocations", {"resource_class": "x"})
                assert (made.status, made.header(LOCATION)) == (201, "loc2"), made
        made = running.ask(TENANT, "POST", "/v1/nodes", {"driver": "d", "conductor_group": "grp1"})
        assert (made.status, "older than 1.65" in made.text()) == (400, True), made


def test_what_is_nobodys_is_there_whatever_a_location_knows_of_lessees(tmp_path):
    """An operator's rule lets a project see what has no owner; older locations have that, too."""
    rules = tmp_path / "policy.yaml"
    rules.write_text('"baremetal:deploy_template:get": "role:reader"\n"baremetal:conductor:get": "role:reader"\n')
    sites = [Standin(versions=("1.1", "1.61")) for _ in range(2)]
    here = {"uuid": new_uuid(), "name": "CUSTOM_A", "steps": [], "extra": {}}
    sites[1].objects["deploy_templates"].append(here)
    with hub(*sites, sections={"oslo_policy": {"policy_file": rules}}) as running:
        for who in (ADMIN, TENANT):
            listed = running.get(who, "/v1/deploy_templates")
            assert (listed.status, [one["uuid"] for one in listed.json()["deploy_templates"]]) == (200, [here["uuid"]]), listed
            for ident, status in ((here["uuid"], 200), ("CUSTOM_A", 200), (new_uuid(), 404), ("CUSTOM_B", 404)):
                assert running.get(who, f"/v1/deploy_templates/{ident}").status == status, (who, ident)
            assert running.get(who, "/v1/conductors").status == 200


def test_lists_of_what_is_nobodys_are_a_project_s_where_no_location_knows_of_lessees(tmp_path):
    """None of the locations may be asked for what is a project's, so of that nothing is listed; all else is."""
    rules = tmp_path / "policy.yaml"
    rules.write_text('"baremetal:deploy_template:get": "role:reader"\n')
    sites = [Standin([node(f"old-{place}", owner=MINE)], versions=("1.1", "1.61")) for place in range(2)]
    uuids, chassis = [new_uuid(), new_uuid()], new_uuid()
    for site in sites:
        site.objects["deploy_templates"] += [{"uuid": uuid, "name": f"CUSTOM_{number}", "steps": [], "extra": {}} for number, uuid in enumerate(uuids)]
        site.objects["chassis"].append({"uuid": chassis, "description": "c", "extra": {}})
        site.nodes[0]["chassis_uuid"] = chassis
    with hub(*sites, sections={"oslo_policy": {"policy_file": rules}}) as running:
        for query in ("", "?limit=1", "?sort_key=uuid", "?sort_dir=desc", "?fields=uuid", f"?marker={uuids[0]}", f"?marker={chassis}", "?sort_dir=up"):
            everybody_s, mine = (running.get(who, f"/v1/deploy_templates{query}") for who in (ADMIN, TENANT))
            # A walk is its caller's.
            shown, expected = (re.sub(rb"&walk=\w+", b"", reply.body) for reply in (mine, everybody_s))
            assert (mine.status, shown) == (everybody_s.status, expected), (query, mine)
        assert sorted(one["uuid"] for one in running.get(TENANT, "/v1/deploy_templates").json()["deploy_templates"]) == sorted(uuids)
        for query in ("", "?limit=1", "?sort_key=name"):
            below = f"/v1/chassis/{chassis}/nodes{query}"
            assert running.get(ADMIN, below).json()["nodes"], below
            mine = running.get(TENANT, below)
            assert (mine.status, mine.json()) == (200, {"nodes": []}), mine


def test_a_rule_that_binds_the_system_makes_no_project_of_it(tmp_path):
    rules = tmp_path / "policy.yaml"
    rules.write_text('"baremetal:node:get:filter_threshold": "!"\n"baremetal:node:get:driver_info": "role:auditor"\n')
    old, new = Standin(versions=("1.1", "1.58")), Standin()
    with hub(old, new, groups="_:loc2,grp1:loc1", sections={"oslo_policy": {"policy_file": rules}}) as running:
        made = running.ask(ADMIN, "POST", "/v1/nodes", {"driver": "d", "name": "new", "conductor_group": "grp1"})
        assert (made.status, made.header(LOCATION)) == (201, "loc1"), made
        assert running.get(ADMIN, "/v1/nodes/new").status == 200


def test_beside_a_location_that_knows_no_children_their_ports_are_a_projects():
    """Who knows children leaves them out of a list in an older version, too."""
    new = Standin([node("server", owner=MINE)])
    new.add(node("dpu", owner=MINE, parent_node=new.nodes[0]["uuid"]))
    for number, record in enumerate(new.nodes):
        new.ports.append({"uuid": new_uuid(), "address": f"52:54:00:00:00:0{number}", "node_uuid": record["uuid"]})
    with hub(new, Standin([node("other", owner=MINE)], versions=("1.1", "1.82"))) as running:
        for query in ("", "?limit=1", "?sort_key=address"):
            listed = running.get(TENANT, f"/v1/ports{query}")
            shown = [one["uuid"] for one in listed.json()["ports"]]
            if "next" in listed.json():
                shown += [one["uuid"] for one in running.get(TENANT, listed.json()["next"].removeprefix(running.fleet.url)).json()["ports"]]
            assert sorted(shown) == sorted(port["uuid"] for port in new.ports), (query, listed)
        assert running.get(STRANGER, "/v1/ports").json()["ports"] == []
        running.fleet.loc1.fault(scripted.close(), "GET", "/v1/nodes", query="include_children")
        assert running.get(TENANT, "/v1/ports").status == 503
        partial = running.get(TENANT, "/v1/ports", **{"X-Ironic-Proxy-Partial": "allow"})
        assert (partial.status, "loc1" in partial.header("X-Ironic-Proxy-Incomplete")) == (200, True), partial


@pytest.mark.parametrize("way", ["header", "path"])
def test_a_named_location_is_asked_in_versions_of_its_own(way):
    own = {"uuid": new_uuid(), "name": "CUSTOM_A", "owner": MINE, "public": False, "steps": [], "extra": {}, "traits": []}
    new = Standin([node("mine", owner=MINE, provision_state="manageable")])
    new.objects["runbooks"].append(own)
    with hub(new, Standin(versions=("1.1", "1.90")), api={"location_endpoints": True}) as running:
        at, named = ("/locations/loc1", {}) if way == "path" else ("", {LOCATION: "loc1"})

        def ask(method, path, body=None):
            return running.ask(TENANT, method, f"{at}/v1/{path}", body, **named)

        running.version = "1.112"
        listed = ask("GET", "runbooks")
        assert [one["uuid"] for one in listed.json().get("runbooks", [])] == [own["uuid"]], listed
        for ident in (own["uuid"], "CUSTOM_A"):
            assert ask("GET", f"runbooks/{ident}").status == 200
            assert ask("PATCH", f"runbooks/{ident}", [{"op": "add", "path": "/description", "value": "d"}]).status == 200
        used = ask("PUT", "nodes/mine/states/provision", {"target": "manage", "runbook": "CUSTOM_A"})
        assert used.status == 202, used
        assert ask("DELETE", f"runbooks/{own['uuid']}").status == 204


@pytest.mark.parametrize("newest", ["1.58", "1.61"])
@pytest.mark.parametrize("is_named", [True, False])
def test_a_project_sees_that_nothing_at_a_location_without_lessees_is_its_own(is_named, newest):
    """Named, or the only one there is."""
    old = Standin([node("old", owner=MINE)], versions=("1.1", newest))
    others = [Standin([node("mine", owner=MINE)])] if is_named else []
    named = {LOCATION: "loc1"} if is_named else {}
    with hub(old, *others) as running:
        for path in ("nodes", "nodes/detail", "ports", "ports/detail", "portgroups", "volume/connectors", "volume/targets", "allocations"):
            key = path.removesuffix("/detail").split("/")[-1]
            for query in ("", "?limit=1", "?sort_key=uuid", "?sort_dir=desc"):
                listed = running.get(TENANT, f"/v1/{path}{query}", **named)
                assert (listed.status, listed.json().get(key)) == (200, []), (path, query, listed)
            if "volume" in path:
                # The stand-in has none to look for.
                continue
            for query in (f"?marker={old.nodes[0]['uuid']}", f"?sort_key=uuid&marker={old.nodes[0]['uuid']}"):
                listed = running.get(TENANT, f"/v1/{path}{query}", **named)
                assert (listed.status, "could not be found" in listed.text()) in ((404, True), (400, True)), (path, query, listed)
            for query in ("?marker=abc", "?sort_key=uuid&marker=abc", "?sort_dir=up", "?limit=1&limit=2"):
                listed = running.get(TENANT, f"/v1/{path}{query}", **named)
                assert listed.status == 400, (path, query, listed)
        for path in ("nodes/old", "nodes/old/ports", "ports?node=old", "nodes/old/history", "nodes/old/bios", "nodes/validate?node=old"):
            assert running.get(TENANT, f"/v1/{path}", **named).status == 404, path


@pytest.mark.parametrize("way", ["header", "path"])
def test_all_of_it_holds_for_a_named_location(way):
    """Below /locations/NAME a project sees and does what it would at that one Ironic, and nothing of the others."""
    first = Standin([node("here", owner=MINE), node("leased", owner=OTHER, lessee=MINE, driver_info={"ipmi_password": "x"}), node("theirs", owner=OTHER)])
    second = Standin([node("there", owner=MINE)])
    for number, record in enumerate(first.nodes):
        first.ports.append({"uuid": new_uuid(), "address": f"52:54:00:00:00:{number:02}", "node_uuid": record["uuid"]})
    with hub(first, second, api={"location_endpoints": True}, each={"loc1": {"local_groups": "berlin:_"}}, groups="_:loc2,berlin:loc1") as running:

        def ask(who, method, path, body=None, location="loc1"):
            if way == "header":
                return running.ask(who, method, path, body, **{LOCATION: location})
            return running.ask(who, method, f"/locations/{location}{path}", body)

        base = running.fleet.url + ("/locations/loc1" if way == "path" else "")
        listed = ask(TENANT, "GET", "/v1/nodes/detail").json()["nodes"]
        assert [item["name"] for item in listed] == ["here", "leased"]
        assert listed[0]["links"][0]["href"].startswith(f"{base}/v1/nodes/")
        assert ask(TENANT, "GET", "/v1/nodes", location="loc2").names() == ["there"]
        assert ask(STRANGER, "GET", "/v1/nodes", location="loc2").names() == []
        seen, path = [], "/v1/nodes?limit=1"
        while path:
            page = ask(TENANT, "GET", path).json()
            seen += [item["name"] for item in page["nodes"]]
            path = page.get("next", "").removeprefix(base)
        assert seen == ["here", "leased"]
        assert [item["uuid"] for item in ask(TENANT, "GET", "/v1/ports").json()["ports"]] == [one["uuid"] for one in first.ports[:2]]
        # What it leases is shown to it without the owner's secrets, and changed within a lessee's rights.
        assert "x" not in str(ask(TENANT, "GET", "/v1/nodes/leased").json()["driver_info"].values())
        for name, path, status in (("here", "/properties/a", 200), ("leased", "/extra/a", 200), ("leased", "/properties/a", 403), ("theirs", "/extra/a", 404), ("there", "/extra/a", 404)):
            reply = ask(TENANT, "PATCH", f"/v1/nodes/{name}", [{"op": "add", "path": path, "value": 1}])
            assert reply.status == status, (name, path, reply)
        for name, status in (("theirs", 404), ("there", 404), ("nobody", 404), ("leased", 403)):
            assert ask(TENANT, "DELETE", f"/v1/nodes/{name}").status == status, name
        made = ask(TENANT, "POST", "/v1/nodes", {"driver": "d", "name": "made"})
        assert (made.status, made.header(LOCATION), made.json()["owner"], made.json()["conductor_group"]) == (201, "loc1", MINE, "berlin"), made
        assert made.header("Location") == f"{base}/v1/nodes/{made.json()['uuid']}"
        assert ask(TENANT, "POST", "/v1/nodes", {"driver": "d", "owner": OTHER}).status == 400
        assert ask({**TENANT, "X-Roles": "reader"}, "POST", "/v1/nodes", {"driver": "d"}).status == 403
        theirs = first.nodes[2]["uuid"]
        refused = ask(TENANT, "POST", "/v1/ports", {"node_uuid": theirs, "address": "52:54:00:00:01:00"})
        absent = ask(TENANT, "POST", "/v1/ports", {"node_uuid": new_uuid(), "address": "52:54:00:00:01:00"})
        assert refused.status == absent.status >= 400
        assert not [one for site in (first, second) for one in site.asked("DELETE")]
        assert ask({"X-Roles": "admin"}, "GET", "/v1/nodes").status == 403
        assert ask(ADMIN, "GET", "/v1/nodes").names() == ["here", "leased", "theirs", "made"]


@pytest.mark.parametrize("version", ["1.55", "1.115"])
def test_the_allocation_of_a_node_is_where_the_node_is(version):
    """It needs no other location, and one that calls a node the same has none of it."""
    sites = [Standin(), Standin([node("mine", owner=MINE)])]
    uuid = sites[1].nodes[0]["uuid"]
    for site, owner in zip(sites, (MINE, MINE), strict=True):
        site.objects["allocations"].append({"uuid": new_uuid(), "name": "a", "owner": owner, "node_uuid": uuid, "state": "active", "resource_class": "x"})
    with hub(*sites) as running:
        headers = {"X-Auth-Token": running.keystone.token_of(TENANT)}

        def listed():
            reply = running.fleet.call("GET", f"/v1/allocations?node={uuid}", version=version, headers=headers)
            return reply.status, [one["uuid"] for one in reply.json().get("allocations", [])]

        there = (200, [sites[1].objects["allocations"][0]["uuid"]])
        assert listed() == there
        sites[0].down()
        assert listed() == there


def test_a_name_may_end_in_json():
    """Below 1.91 Ironic takes `.json` off the end of a path, and puts it on again if nobody has the rest."""
    sites = [Standin([node("web.json", owner=MINE), node("other.json", owner=OTHER), node("other", owner=OTHER)]), Standin([node("both", owner=MINE)])]
    sites[1].add(node("both.json", owner=MINE))
    group = {"uuid": new_uuid(), "name": "pair.json", "node_uuid": sites[0].nodes[0]["uuid"], "address": None, "extra": {}}
    sites[0].objects["portgroups"].append(group)
    mine = {"uuid": new_uuid(), "name": "claim.json", "owner": MINE, "node_uuid": None, "state": "active", "extra": {}}
    sites[1].objects["allocations"].append(mine)
    change = [{"op": "add", "path": "/extra/a", "value": 1}]
    with hub(*sites) as running:
        headers = {"X-Auth-Token": running.keystone.token_of(TENANT)}

        def ask(method, path, body=None):
            reply = running.fleet.call(method, path, body, version="1.80", headers=headers)
            return reply.status, reply.json().get("name") if reply.status == 200 else None

        for method, body in (("GET", None), ("PATCH", change)):
            assert ask(method, "/v1/nodes/web.json", body) == (200, "web.json")
            assert ask(method, "/v1/portgroups/pair.json", body) == (200, "pair.json")
            assert ask(method, "/v1/allocations/claim.json", body) == (200, "claim.json")
            # That of another project is there, and is not this one's.
            assert ask(method, "/v1/nodes/other.json", body) == (404, None)
        assert ask("GET", "/v1/nodes/none.json") == (404, None)
        # The shorter name first.
        assert ask("PATCH", "/v1/nodes/both.json", change) == (200, "both")
        assert ask("DELETE", "/v1/nodes/web.json") == (204, None)
        assert sites[0].find("web.json") is None


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "/v1/nodes/detail"), ("PATCH", "/v1/nodes/validate"), ("GET", "/v1/nodes/detail/states")],
)
def test_a_refusal_says_what_the_client_wrote(method, path):
    change = [{"op": "add", "path": "/extra/a", "value": 1}] if method == "PATCH" else None
    with hub(Standin(), Standin()) as running:
        mine, admin = (running.ask(who, method, path, change) for who in (TENANT, ADMIN))
        assert (mine.status, mine.text()) == (admin.status, admin.text())
        assert mine.status in (400, 404) and f"{path.split('/')[3]}-" not in mine.text(), mine
