"""Nothing moves a node to another location, and no child stands apart from its parent."""

import gzip
import json

import pytest
from faults import hubs, writes
from standin import new_uuid, node

GROUPS = "_:loc1,mine:loc1,grp1:loc2,a.b-c_d:loc2,_x:loc3"
module_hub, hub = hubs(3, groups=GROUPS, every={"timeout": 1})


# --- nothing moves


def group_patch(value, op="replace"):
    return [{"op": op, "path": "/conductor_group", "value": value}]


MOVES = {
    "replace": group_patch("grp1"),
    "add": group_patch("grp1", "add"),
    "another case": group_patch("GrP1"),
    "to nowhere": group_patch("nowhere"),
    "the literal _": group_patch("_"),
    "malformed": group_patch("grp1 "),
    "an escape in the path": b'[{"op":"replace","path":"/conductor\\u005fgroup","value":"grp1"}]',
    "an escaped slash": b'[{"op":"replace","path":"\\/conductor_group","value":"grp1"}]',
    "an escape in a key": b'[{"op":"replace","p\\u0061th":"/conductor_group","value":"grp1"}]',
    "an escape in the value's key": b'[{"op":"replace","path":"/conductor_group","v\\u0061lue":"grp1"}]',
    "an escape in the value": b'[{"op":"replace","path":"/conductor_group","value":"\\u0067rp1"}]',
    "an escape in the op": b'[{"op":"r\\u0065place","path":"/conductor_group","value":"grp1"}]',
    "a second value": b'[{"op":"replace","path":"/conductor_group","value":"","value":"grp1"}]',
    "a second value by an escape": b'[{"op":"replace","path":"/conductor_group","value":"","valu\\u0065":"grp1"}]',
    "a second path": b'[{"op":"replace","path":"/extra","path":"/conductor_group","value":"grp1"}]',
    "a second op": b'[{"op":"remove","op":"replace","path":"/conductor_group","value":"grp1"}]',
    "two steps": group_patch("mine") + group_patch("grp1"),
    "the last of many": [{"op": "add", "path": f"/extra/k{index}", "value": index} for index in range(50)] + group_patch("grp1"),
    "removed and set": [{"op": "remove", "path": "/conductor_group"}, *group_patch("grp1", "add")],
    "the members in another order": b'[{"value":"grp1","path":"/conductor_group","op":"add"}]',
}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("way", ["uuid", "name", "unversioned", "slash", "encoded", "chunked", "text/plain", "query"])
def test_moves_are_refused(hub, move, way):
    record = hub.loc1.add(node("rooted"))
    ident = record["uuid"]
    body = MOVES[move] if isinstance(MOVES[move], bytes) else json.dumps(MOVES[move]).encode()
    headers = {"Content-Type": "text/plain"} if way == "text/plain" else {}
    path = {
        "name": "/v1/nodes/rooted",
        "unversioned": f"/nodes/{ident}",
        "slash": f"/v1/nodes/{ident}/",
        "encoded": f"/v1/n%6fdes/{ident[:-1]}%{ord(ident[-1]):02x}",
        "query": f"/v1/nodes/{ident}?reset_interfaces=true",
    }.get(way, f"/v1/nodes/{ident}")
    reply = hub.patch(path, iter([body[:20], body[20:]]) if way == "chunked" else body, headers=headers)
    assert reply.status == 400, reply
    assert reply.fault()["faultcode"] == "Client"
    assert writes(hub) == {}
    assert hub.loc1.find(ident)["conductor_group"] == ""


def test_the_refusal_explains(hub):
    record = hub.loc1.add(node("rooted"))
    text = hub.patch(f"/v1/nodes/{record['uuid']}", group_patch("grp1")).text()
    assert "grp1" in text and "loc1" in text and "loc2" in text


@pytest.mark.parametrize(
    "patch",
    [[{"op": "remove", "path": "/conductor_group"}], group_patch(None), group_patch(None, "add"), group_patch("")],
)
def test_leaving_a_group_of_another_location_is_a_move_too(hub, patch):
    record = hub.loc2.add(node("rooted", conductor_group="grp1"))
    reply = hub.patch(f"/v1/nodes/{record['uuid']}", patch)
    assert reply.status == 400, reply
    assert writes(hub) == {}


@pytest.mark.parametrize(
    "patch",
    [
        [{"op": "remove", "path": "/conductor_group"}],
        group_patch(None),
        group_patch(None, "add"),
        b'[{"op":"replace","path":"/conductor_group","value":"mine","value":null}]',
        b'[{"op":"remove","p\\u0061th":"/conductor\\u005fgroup"}]',
        [*group_patch("mine"), {"op": "add", "path": "/extra/a", "value": [1]}, {"op": "remove", "path": "/conductor_group"}],
    ],
)
def test_remove_and_null_are_sent_as_the_empty_group(hub, patch):
    record = hub.loc1.add(node("rooted", conductor_group="mine"))
    reply = hub.patch(f"/v1/nodes/{record['uuid']}", patch)
    assert reply.status == 200, reply
    assert reply.json()["conductor_group"] == ""
    sent = hub.loc1.asked("PATCH")[0].json()
    assert {"op": "replace", "path": "/conductor_group", "value": ""} in sent
    assert not [step for step in sent if step["path"] == "/conductor_group" and (step["op"] == "remove" or step["value"] is None)]


@pytest.mark.parametrize("patch", [group_patch("mine"), group_patch("MINE"), group_patch("grp1") + group_patch("mine")])
def test_changes_within_the_location_are_sent(hub, patch):
    record = hub.loc1.add(node("mobile"))
    reply = hub.patch(f"/v1/nodes/{record['uuid']}", patch)
    assert reply.status == 200, reply
    assert reply.json()["conductor_group"] == "mine"


def test_the_group_of_a_node_is_checked_against_where_it_is(hub):
    """A node that sits in a location against the map stays there."""
    record = hub.loc2.add(node("stranger", conductor_group=""))
    path = f"/v1/nodes/{record['uuid']}"
    assert hub.patch(path, [{"op": "add", "path": "/extra/a", "value": 1}]).status == 200
    assert hub.patch(path, group_patch("mine")).status == 400
    assert hub.patch(path, group_patch("grp1")).status == 200


@pytest.mark.parametrize(
    "body",
    [b"nojson", b"{}", b'[{"op":"replace"]', b'[] [{"op":"replace","path":"/conductor_group","value":"grp1"}]',
     json.dumps(group_patch("grp1")).encode("utf-16"), json.dumps(group_patch("grp1")).encode("utf-32-le"),
     b"\xef\xbb\xbf" + json.dumps(group_patch("grp1")).encode(), b'"[]"', b"[1]", b'[["op"]]', b'[{"op":"replace","path":5,"value":"grp1"}]',
     b'[{"op":"copy","from":"/extra","path":"/conductor_group"}]', b'[{"op":"replace","path":"/conductor_group/","value":"grp1"}]',
     b'[{"op":"replace","path":"conductor_group","value":"grp1"}]', b'[{"op":"replace","path":"/conductor_group","value":["grp1"]}]',
     b'[{"op":"replace","path":"/","value":{"conductor_group":"grp1"}}]', b'[{"op":"replace","path":"","value":{"conductor_group":"grp1"}}]'],
)  # fmt: skip
def test_bodies_of_patches_that_no_two_parsers_read_alike(hub, body):
    record = hub.loc1.add(node("rooted"))
    reply = hub.patch(f"/v1/nodes/{record['uuid']}", body)
    assert reply.status in (400, 415, 500), reply
    assert hub.loc1.find("rooted")["conductor_group"] == ""


@pytest.mark.parametrize("query", ["conductor_group=grp1", "patch=%5B%5D", 'patch=[{"op":"replace"}]'.replace('"', "%22")])
def test_the_query_of_a_patch_moves_nothing(hub, query):
    record = hub.loc1.add(node("rooted"))
    hub.patch(f"/v1/nodes/{record['uuid']}?{query}", [])
    assert hub.loc1.find("rooted")["conductor_group"] == ""
    assert not hub.loc2.nodes


def test_an_encoded_patch(hub):
    record = hub.loc1.add(node("rooted"))
    body = gzip.compress(json.dumps(group_patch("grp1")).encode())
    reply = hub.patch(f"/v1/nodes/{record['uuid']}", body, headers={"Content-Encoding": "gzip"})
    assert reply.status in (400, 415), reply
    assert writes(hub) == {}


# --- parents


@pytest.mark.parametrize("by", ["uuid", "name"])
def test_a_parent_in_another_location(hub, by):
    parent = hub.loc2.add(node("parent"))
    child = hub.loc1.add(node("child"))
    wanted = f"Unable to apply the requested parent_node '{parent[by]}'. Requested value was invalid."
    reply = hub.post("/v1/nodes", {"driver": "fake-hardware", "parent_node": parent[by]})
    assert (reply.status, reply.text()) == (400, wanted), reply
    for body in (
        json.dumps([{"op": "add", "path": "/parent_node", "value": parent[by]}]).encode(),
        b'[{"op": "add", "path": "/p\\u0061rent_node", "value": "%s"}]' % parent[by].encode(),
    ):
        reply = hub.patch(f"/v1/nodes/{child['uuid']}", body)
        assert (reply.status, reply.text()) == (400, wanted), reply
    # Whether the location itself was asked to create it does not matter: it refuses too.
    assert not hub.loc1.asked("PATCH")
    assert [record["name"] for record in hub.loc1.nodes] == ["child"]


@pytest.mark.parametrize("by", ["uuid", "name"])
def test_a_parent_in_the_same_location(hub, by):
    parent = hub.loc2.add(node("parent"))
    reply = hub.post("/v1/nodes", {"driver": "fake-hardware", "conductor_group": "grp1", "parent_node": parent[by]})
    assert reply.status == 201, reply


def test_a_parent_that_nobody_has(hub):
    reply = hub.post("/v1/nodes", {"driver": "fake-hardware", "parent_node": new_uuid()})
    assert reply.status == 400 and "parent_node" in reply.text(), reply
    assert not hub.loc1.nodes
