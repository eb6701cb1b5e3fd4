"""What a tenant tries to see and to do of what is not his."""

import contextlib
import json

import pytest
from client import Client
from rbac import NEWEST
from tenants import Everybody, Seeded, hub, wait_for
from test_keystone_access import BODIES, RULES

OWN = "70e5e25a-2ca2-4cb1-8ae8-7d8739cee205"
LES = "f11853c7-fa9c-4db3-a477-c9d8e0dbbf13"
ABSENT = "2fd2d3a2-ffff-4d5c-9b1c-000000000000"
ADMIN = "admin,manager,member,reader"
OWNER = {"X-Roles": ADMIN, "X-Project-Id": OWN}
LESSEE = {"X-Roles": ADMIN, "X-Project-Id": LES}
STRANGER = {"X-Roles": ADMIN, "X-Project-Id": "ae64129e-b188-4662-b014-4127f4366ee6"}
# Ironic tells of these that they are there.
TOLD = ("runbooks", "chassis", "deploy_templates", "inspection_rules", "drivers", "conductors")


class House:
    def __init__(self, gateway, keystone, sites):
        self.client, self.keystone, self.sites = Client(gateway.url), keystone, sites
        self.names = {name: value for site in sites for name, value in site.names.items()}
        self.hidden = {
            "nodes": self.names["owner_node_ident"],
            "ports": self.names["owner_port_ident"],
            "portgroups": self.names["owner_portgroup_ident"],
            "volume/connectors": "65ea0296-219b-4635-b0c8-a6e055da878d",
            "volume/targets": "a265e2f0-e97f-4177-b1c0-8298add53086",
            "allocations": self.names["owner_allocation"],
        }

    def ask(self, who, method, path, body=None, *, version=NEWEST, **headers):
        sent = {"X-Auth-Token": self.keystone.token_of(who), "X-OpenStack-Ironic-API-Version": version, **headers}
        return self.client.call(method, path, body, headers=sent)


@pytest.fixture(scope="module")
def house():
    with contextlib.ExitStack() as stack:
        sites = [stack.enter_context(Seeded(part)) for part in ("left", "right")]
        keystone = stack.enter_context(Everybody({"gw": "secret"}))
        gateway = stack.enter_context(hub(keystone, sites, location_endpoints=True))
        wait_for(gateway, keystone)
        yield House(gateway, keystone, sites)


def shape(reply, ident):
    """All of an answer but the name that was asked for and the id of the request."""
    shown = {name.lower(): value for name, value in reply.pairs if name.lower() not in ("date", "openstack-request-id", "x-openstack-request-id", "content-length")}
    return reply.status, reply.body.decode().replace(ident, "IDENT"), shown


@pytest.mark.parametrize("pinned", [None, "left", "right", "/locations/left"])
def test_what_is_hidden_is_absent(house, pinned):
    """Every route, every method: the answer is that about a thing which is not there."""
    prefix = pinned if pinned and pinned.startswith("/") else ""
    headers = {"X-Ironic-Proxy-Location": pinned} if pinned and not prefix else {}
    # What an administrator looked at is known to the gateway, and to nobody else.
    house.ask({"X-Roles": ADMIN, "OpenStack-System-Scope": "all"}, "GET", f"/v1/nodes/{house.hidden['nodes']}")
    tried = 0
    for method, template, *_ in RULES:
        collection = next((name for name in house.hidden if template.startswith((f"{name}/", f"{name}?"))), None)
        if "{}" not in template or collection is None:
            continue
        body = BODIES.get(template, {"target": "power on"}) if method in ("POST", "PUT") else None
        if method == "PATCH":
            body = [{"op": "add", "path": "/extra/a", "value": 1}]
        for version in (NEWEST, "1.61"):
            answers = []
            for ident in (house.hidden[collection], ABSENT):
                path = f"{prefix}/v1/" + template.replace("{}", ident)
                answers.append(shape(house.ask(STRANGER, method, path, body, version=version, **headers), ident))
            assert answers[0] == answers[1], (method, template, version)
            assert answers[0][0] in (400, 403, 404, 405, 406), (method, template, answers[0])
            tried += 1
    assert tried > 100


def test_no_list_tells_of_what_is_hidden(house):
    """No list, filter, field or order shows a stranger an identifier."""
    secrets = [value for name, value in house.names.items() if "ident" in name and name not in ("ind_ident", "vif_ident")]
    secrets = [*secrets, *house.hidden.values(), "lolcats", "meow"]
    node = house.hidden["nodes"]
    for path in (
        "nodes", "nodes/detail", "nodes?detail=true", "nodes?fields=uuid,owner,last_error,reservation", f"nodes?owner={OWN}", f"nodes?lessee={LES}",
        f"nodes?marker={node}", f"nodes?parent_node={node}", "nodes?include_children=true", "nodes?limit=1&sort_key=owner", "nodes?maintenance=false",
        "nodes?instance_uuid=8a9d5b53-3f7a-4f0c-9d0f-0f4c6ab0b0a1", f"chassis/{ABSENT}/nodes",
        "ports", "ports/detail", "ports?fields=address,uuid", "ports?address=00:00:00:00:00:01", f"ports?node={node}", f"ports?marker={house.hidden['ports']}",
        f"ports?portgroup={house.hidden['portgroups']}", "ports?limit=1", f"portgroups?node={node}", "portgroups", "portgroups/detail",
        "volume/connectors", "volume/targets?detail=true", f"volume/targets?node={node}", "allocations", f"allocations?owner={OWN}",
        f"allocations?node={node}", f"allocations?marker={house.hidden['allocations']}", "allocations?state=active",
        f"nodes/{node}/portgroups/{house.hidden['portgroups']}/ports", f"nodes/validate?node={node}",
    ):  # fmt: skip
        for version in (NEWEST, "1.93", "1.61"):
            reply = house.ask(STRANGER, "GET", f"/v1/{path}", version=version)
            # What the client wrote itself may come back in the words of a refusal.
            told = reply.body.decode()
            if reply.status != 200:
                told = told.replace(path.split("=")[-1], "")
            for secret in secrets:
                assert secret not in told or secret in path, (path, version, told)
            assert reply.status != 200 or not any(json.loads(reply.body).get(key) for key in ("nodes", "ports", "portgroups", "connectors", "targets")), path


def test_bodies_name_nothing_that_is_hidden(house):
    """A node in a body is hidden as one in a path; of a member written twice what is sent is what is judged."""
    def pair(who, method, path, body, **more):
        answers = []
        for ident in (house.hidden["nodes"], ABSENT):
            answers.append(shape(house.ask(who, method, path, json.loads(json.dumps(body).replace("NODE", ident)), **more), ident))
        assert answers[0] == answers[1], (path, answers)
        return answers[0]

    assert pair(LESSEE, "POST", "/v1/ports", {"address": "52:54:00:00:00:aa", "node_uuid": "NODE"})[0] == 403
    assert pair(LESSEE, "POST", "/v1/ports", {"address": "52:54:00:00:00:aa", "node_ident": "NODE"})[0] == 403
    assert pair(LESSEE, "POST", "/v1/ports", {"address": "52:54:00:00:00:aa", "node_uuid": house.names["lessee_node_ident"], "node_ident": "NODE"})[0] == 400
    assert pair(LESSEE, "POST", "/v1/volume/targets", {"volume_type": "iscsi", "boot_index": 1, "volume_id": "v", "node_uuid": "NODE"})[0] == 403
    assert pair(LESSEE, "POST", "/v1/allocations", {"node": "NODE"})[:2][0] == 400
    assert pair(LESSEE, "POST", "/v1/allocations", {"resource_class": "x", "candidate_nodes": ["NODE"]})[0] == 400
    assert pair(LESSEE, "POST", "/v1/nodes", {"driver": "fake-hardware", "parent_node": "NODE"})[0] == 400
    move = [{"op": "replace", "path": "/node_uuid", "value": "NODE"}]
    assert pair(LESSEE, "PATCH", f"/v1/volume/targets/{house.names['volume_target_ident']}", move)[0] == 400
    steps = [{"interface": "deploy", "step": "x", "args": {}, "execute_on_child_nodes": True, "limit_child_node_execution": ["NODE"]}]
    assert pair(LESSEE, "PUT", f"/v1/nodes/{house.names['lessee_node_ident']}/states/provision", {"target": "clean", "clean_steps": steps})[0] == 404
    leased, owned = house.names["lessee_node_ident"], house.hidden["nodes"]
    for first, second in ((leased, owned), (owned, leased)):
        twice = f'{{"volume_type": "iscsi", "boot_index": 1, "volume_id": "v", "node_uuid": "{first}", "node_uuid": "{second}"}}'
        reply = house.ask(LESSEE, "POST", "/v1/volume/targets", twice.encode(), **{"Content-Type": "application/json"})
        assert (reply.status == 403) == (second == owned), reply
    # The owner passes, by either name of the member; before 1.94 a port had only one.
    port = {"address": "52:54:00:00:00:aa", "node_ident": owned}
    assert house.ask(OWNER, "POST", "/v1/ports", port).status == 503
    assert pair(LESSEE, "POST", "/v1/ports", {**port, "node_ident": "NODE"}, version="1.93")[0] == 406
    # Without a node nothing is told of what others have, wherever it is.
    for who, part in ((OWNER, "owner_port_ident"), (LESSEE, "lessee_port_ident")):
        theirs = house.ask(who, "GET", f"/v1/ports/{house.names[part]}").json()
        for members in ({"address": theirs["address"]}, {"address": "52:54:00:00:00:aa", "uuid": theirs["uuid"]}):
            refused = house.ask(STRANGER, "POST", "/v1/ports", members)
            assert (refused.status, "is not valid under any of the given schemas" in refused.text()) == (400, True), refused
    other = house.ask(STRANGER, "POST", "/v1/nodes", {"driver": "fake-hardware", "owner": OWN})
    assert (other.status, "other than your own project" in other.text()) == (400, True)
    other = house.ask(LESSEE, "POST", "/v1/allocations", {"resource_class": "x", "owner": OWN})
    assert (other.status, "create_restricted is required" in other.text()) == (403, True)


def test_the_owner_of_an_allocation_is_unknown_to_an_old_client(house):
    """What his version does not have is refused, not handed on with our rights."""
    for query in (f"owner={OWN}", f"owner={LES}", "owner="):
        for who in (LESSEE, {"X-Roles": ADMIN, "OpenStack-System-Scope": "all"}):
            reply = house.ask(who, "GET", f"/v1/allocations?{query}", version="1.52")
            assert (reply.status, "allocations" in reply.body.decode()) in ((406, False), (403, False)), (query, reply)
    for owner in (LES, "", None):
        assert house.ask(LESSEE, "POST", "/v1/allocations", {"resource_class": "x", "owner": owner}, version="1.52").status == 406


def test_an_event_of_another_node_is_not_shown_through_one_s_own(house):
    leased, owned = house.names["lessee_node_ident"], house.hidden["nodes"]
    mine, other = house.names["lessee_history_ident"], house.names["owned_history_ident"]
    assert house.ask(OWNER, "GET", f"/v1/nodes/{leased}/history/{mine}").status == 200
    assert house.ask(OWNER, "GET", f"/v1/nodes/{owned}/history/{mine}").status == 404
    assert house.ask(OWNER, "GET", f"/v1/nodes/{leased}/history/{other}").status == 404


def test_a_lessee_sees_no_more_than_ironic_shows(house):
    leased = house.names["lessee_node_ident"]
    for path in (f"nodes/{leased}", f"nodes/{leased}?fields=last_error,reservation,driver_info,driver_internal_info"):
        for version in (NEWEST, "1.51", "1.40"):
            shown = house.ask(LESSEE, "GET", f"/v1/{path}", version=version).json()
            for name in ("last_error", "reservation", "driver_info", "driver_internal_info"):
                assert "edacted" in json.dumps(shown[name]), (path, version, name)
            assert ("owner" in shown) == (version != "1.40" and "?" not in path)
            plain = house.ask(OWNER, "GET", f"/v1/{path}", version=version).json()
            assert (plain["last_error"], plain["reservation"]) == ("meow", "lolcats")
    for path in ("nodes/detail", "nodes?fields=last_error", "nodes?fields=uuid,driver_info"):
        for version in (NEWEST, "1.40"):
            [node] = house.ask(LESSEE, "GET", f"/v1/{path}", version=version).json()["nodes"]
            for name in ("last_error", "driver_info"):
                assert name not in node or "edacted" in json.dumps(node[name]), (path, version)
            assert ("uuid" in node) == (path != "nodes?fields=last_error")
    target = house.names["volume_target_ident"]
    member = {"X-Roles": "member,reader", "X-Project-Id": LES}
    assert "redacted_contents" in house.ask(member, "GET", f"/v1/volume/targets/{target}").json()["properties"]
    assert "redacted_contents" in house.ask(member, "GET", "/v1/volume/targets?detail=true").json()["targets"][0]["properties"]
    assert "redacted_contents" not in house.ask(LESSEE, "GET", f"/v1/volume/targets/{target}").json()["properties"]


def test_pages_are_those_of_what_is_seen(house):
    """One item a page, over two locations, in every order: nothing is lost, nothing twice, and the end is told."""
    for collection in ("nodes", "ports", "portgroups", "volume/connectors", "volume/targets"):
        key = collection.rsplit("/", 1)[-1]
        whole = [item["uuid"] for item in house.ask(OWNER, "GET", f"/v1/{collection}").json()[key]]
        assert len(whole) >= 2, collection
        for order in ("", "&sort_key=uuid", "&sort_key=uuid&sort_dir=desc", "&fields=uuid"):
            found, path = [], f"/v1/{collection}?limit=1{order}"
            while path:
                page = house.ask(OWNER, "GET", path).json()
                assert len(page[key]) == 1, (path, page)
                found += [item["uuid"] for item in page[key]]
                path = page.get("next", "").replace(house.client.url, "")
            assert sorted(found) == sorted(whole), (collection, order)
            if "sort" in order:
                assert found == sorted(found, reverse="desc" in order)
        assert "links" in house.ask(OWNER, "GET", f"/v1/{collection}").json()[key][0]


def test_a_project_s_part_is_as_in_the_whole_list(house):
    """Item for item, and in that order, what an administrator is shown of the project's nodes."""
    system, compared = {"X-Roles": ADMIN, "OpenStack-System-Scope": "all"}, 0
    for collection in ("ports", "portgroups", "volume/connectors", "volume/targets"):
        key = collection.rsplit("/", 1)[-1]
        forms = ["", "?detail=true", "?fields=uuid,extra", "?sort_key=uuid", "?sort_key=created_at&sort_dir=desc", "?sort_key=updated_at&fields=uuid"]
        for form in forms + (["/detail", "/detail?sort_key=address"] if "/" not in collection else []):
            for version in (NEWEST, "1.61"):
                for who in (OWNER, LESSEE):
                    own, whole = (house.ask(one, "GET", f"/v1/{collection}{form}", version=version) for one in (who, system))
                    assert own.status == whole.status, (collection, form, version, own, whole)
                    if own.status != 200:
                        continue
                    own, whole = own.json()[key], whole.json()[key]
                    uuids = {item["uuid"] for item in own}
                    expected = [item for item in whole if item["uuid"] in uuids]
                    if not any(order in form for order in ("created_at", "updated_at")):
                        assert own == expected, (collection, form, version)
                    assert sorted(uuids) == sorted(item["uuid"] for item in expected) and own
                    assert [set(item) for item in own] == [set(item) for item in expected]
                    compared += 1
    assert compared > 100


def test_who_has_no_project_gets_nothing(house):
    """A token without a scope, or for a domain, is not that of whom nodes without owner belong to."""
    for who in ({"X-Roles": ADMIN}, {"X-Roles": "service"}):
        for path in ("nodes", f"nodes/{house.names['node_ident']}", "ports", "allocations", "conductors"):
            assert house.ask(who, "GET", f"/v1/{path}").status == 403, path


def hidden_and_absent(house, who, path, ident):
    """The answers about what is hidden and about what is nowhere, which have to be the same."""
    hidden, absent = (shape(house.ask(who, "GET", path.replace("IDENT", one)), one) for one in (ident, ABSENT))
    assert hidden == absent, path
    return hidden[0]


def test_a_node_in_the_query_is_judged_whatever_the_path_says(house):
    """Ironic validates the one that `node_uuid` names."""
    leased = house.names["lessee_node_ident"]
    for path in ("/v1/nodes/LEASED/validate?node_uuid=IDENT", "/v1/nodes/validate?node=LEASED&node_uuid=IDENT", "/v1/nodes/validate?node_uuid=IDENT"):
        path = path.replace("LEASED", leased)
        for ident in (house.hidden["nodes"], house.names["node_ident"]):
            assert hidden_and_absent(house, LESSEE, path, ident) == 404, path
        assert house.ask(LESSEE, "GET", path.replace("IDENT", leased)).status != 404


def test_a_marker_below_one_s_own_node_tells_of_nothing_hidden(house):
    leased = house.names["lessee_node_ident"]
    # At the location of that node.
    beside = {"ports": house.names["other_port_ident"], "portgroups": house.names["other_portgroup_ident"]}
    for below, collection in (
        ("ports", "ports"),
        ("ports/detail", "ports"),
        ("portgroups", "portgroups"),
        ("volume/connectors", "volume/connectors"),
        ("volume/targets", "volume/targets"),
    ):
        path = f"/v1/nodes/{leased}/{below}"
        for ident in {house.hidden[collection], beside.get(collection, ABSENT)}:
            assert hidden_and_absent(house, LESSEE, f"{path}?marker=IDENT", ident) == 404, below
        items = house.ask(LESSEE, "GET", path).json()[collection.rsplit("/", 1)[-1]]
        for item in items:
            assert house.ask(LESSEE, "GET", f"{path}?marker={item['uuid']}").status == 200, "one's own is one"
        assert items, below
    group = house.names["lessee_portgroup_ident"]
    assert hidden_and_absent(house, LESSEE, f"/v1/portgroups/{group}/ports?marker=IDENT", beside["ports"]) == 404
