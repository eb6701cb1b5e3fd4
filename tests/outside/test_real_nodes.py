"""Nodes of three real Ironics through the gateway: create, find, change, delete."""

import json
import re
import uuid

import pytest

from client import GROUPS, LATEST, fault, raw
from everywhere import everywhere, owners, repoint

pytestmark = pytest.mark.usefixtures("clean")

ABSENT = "00000000-0000-4000-8000-00000000dead"
LOCATION = "X-Ironic-Proxy-Location"


# ---- creating


@pytest.mark.parametrize(
    ("body", "location"),
    [
        ({}, "loc1"),
        ({"conductor_group": None}, "loc1"),
        ({"conductor_group": ""}, "loc1"),
        ({"conductor_group": "grp1"}, "loc2"),
        ({"conductor_group": "GrP2"}, "loc3"),
    ],
    ids=["absent", "null", "empty", "grp1", "GrP2"],
)
def test_the_conductor_group_decides_where_a_node_is_created(api, direct, body, location):
    answer = api("POST", "/v1/nodes", json={"driver": "fake-hardware", **body})
    assert answer.status == 201, answer.body.decode()
    node = answer.json()
    assert node["conductor_group"] == (body.get("conductor_group") or "").lower()
    assert owners(direct, node["uuid"]) == [location]
    assert answer.headers[LOCATION] == location
    assert answer.headers["Location"] == f"{api.url}/v1/nodes/{node['uuid']}"


@pytest.mark.parametrize("group", ["grp9", "_", "a b", "ä", "x" * 300, 5, ["grp1"], {}], ids=lambda group: repr(group)[:9])
def test_a_group_that_no_location_serves_is_refused_and_nothing_is_created(api, direct, group):
    answer = api("POST", "/v1/nodes", json={"driver": "fake-hardware", "name": "lost", "conductor_group": group})
    assert answer.status == 400, answer.body.decode()
    assert json.loads(answer.json()["error_message"])["faultcode"] == "Client"
    if isinstance(group, str):
        assert group in fault(answer)
    assert owners(direct, "lost") == []


def test_of_duplicate_keys_the_last_counts_for_routing_and_for_ironic(api, direct):
    body = b'{"driver": "fake-hardware", "name": "twice", "conductor_group": "grp1", "conductor_group": "grp2"}'
    status, _, text = raw(api.url, "POST", "/v1/nodes", {"OpenStack-API-Version": f"baremetal {LATEST}"}, body)
    assert status == 201, text
    assert json.loads(text)["conductor_group"] == "grp2"
    assert owners(direct, "twice") == ["loc3"]


def test_a_query_parameter_does_not_decide_the_group(api, direct):
    path, body = "/v1/nodes?conductor_group=grp1", {"driver": "fake-hardware", "name": "plain"}
    theirs = direct["loc1"]("POST", path, json=body)
    assert theirs.status == 400
    ours = api("POST", path, json=body)
    assert (ours.status, ours.body) == (theirs.status, theirs.body)
    assert owners(direct, "plain") == []


def test_the_client_s_uuid_is_kept(api, direct):
    identity = str(uuid.uuid4())
    assert api.create(uuid=identity, conductor_group="grp1")["uuid"] == identity
    assert owners(direct, identity) == ["loc2"]


# ---- finding


@pytest.mark.parametrize("prefix", ["/v1/nodes", "/nodes"])
def test_a_node_is_found_by_uuid_and_by_name_wherever_it_is(api, direct, prefix):
    for location, node in everywhere(api).items():
        expected = repoint(direct[location].get(f"{prefix}/{node['uuid']}").body.decode(), direct, api)
        for ident in (node["uuid"], node["name"]):
            answer = api.get(f"{prefix}/{ident}")
            assert answer.status == 200
            assert answer.body.decode() == expected
            assert answer.headers[LOCATION] == location


def test_nodes_that_the_gateway_never_saw_are_found(api, direct):
    for name in GROUPS:
        node = direct[name].create(name=f"behind-{name}", conductor_group=GROUPS[name])
        assert api.ok("GET", f"/v1/nodes/behind-{name}")["uuid"] == node["uuid"]
        assert api.ok("GET", f"/v1/nodes/{node['uuid']}")["name"] == f"behind-{name}"


@pytest.mark.parametrize("ident", ["nowhere", ABSENT, ABSENT.upper(), "a.b~c", "x" * 255])
@pytest.mark.parametrize("suffix", ["", "/states", "/traits", "/bios", "/vifs", "/validate", "/management/boot_device"])
def test_404_when_every_location_says_no_in_ironic_s_words(api, direct, ident, suffix):
    ours = api.get(f"/v1/nodes/{ident}{suffix}")
    theirs = direct["loc1"].get(f"/v1/nodes/{ident}{suffix}")
    assert theirs.status == 404
    assert (ours.status, ours.body) == (404, theirs.body)
    assert ours.headers["Content-Type"] == theirs.headers["Content-Type"]


def test_a_name_with_two_owners_is_400_and_uuid_or_location_still_work(api, direct):
    twins = {name: direct[name].create(name="twin", conductor_group=GROUPS[name]) for name in ("loc1", "loc3")}
    for method, path, body in [
        ("GET", "/v1/nodes/twin", None),
        ("GET", "/v1/nodes/twin/states", None),
        ("DELETE", "/v1/nodes/twin", None),
        ("PATCH", "/v1/nodes/twin", [{"op": "add", "path": "/extra/a", "value": 1}]),
    ]:
        answer = api(method, path, json=body)
        assert answer.status == 400, f"{method} {path}: {answer.body.decode()}"
        text = fault(answer)
        assert "loc1" in text and "loc3" in text and "loc2" not in text
        assert "UUID" in text and LOCATION in text
    for name, node in twins.items():
        assert api.ok("GET", f"/v1/nodes/{node['uuid']}")["uuid"] == node["uuid"]
        assert api.ok("GET", "/v1/nodes/twin", headers={LOCATION: name})["uuid"] == node["uuid"]
    assert api("DELETE", "/v1/nodes/twin", headers={LOCATION: "loc3"}).status == 204
    assert owners(direct, "twin") == ["loc1"]
    assert api.ok("GET", "/v1/nodes/twin")["uuid"] == twins["loc1"]["uuid"]


def test_the_location_header_narrows_and_an_unknown_one_is_refused(api, direct):
    node = api.create(name="there", conductor_group="grp1")
    assert api.get("/v1/nodes/there", headers={LOCATION: "loc2"}).status == 200
    for ident in ("there", node["uuid"]):
        answer = api.get(f"/v1/nodes/{ident}", headers={LOCATION: "loc1"})
        assert answer.status == 404
        assert fault(answer) == f"Node {ident} could not be found."
    for method, path in [("GET", "/v1/nodes/there"), ("GET", "/v1/nodes"), ("DELETE", "/v1/nodes/there")]:
        answer = api(method, path, headers={LOCATION: "loc9"})
        assert answer.status == 400
        assert "loc9" in fault(answer)
    assert owners(direct, "there") == ["loc2"]


def test_a_list_can_be_narrowed_to_one_location(api, direct):
    nodes = everywhere(api)
    answer = api.get("/v1/nodes", headers={LOCATION: "loc2"})
    assert [node["uuid"] for node in answer.json()["nodes"]] == [nodes["loc2"]["uuid"]]
    assert answer.headers[LOCATION] == "loc2"


def test_a_node_created_again_elsewhere_is_followed_also_by_writes(api, direct):
    identity = api.create(name="wanderer")["uuid"]
    assert api.get(f"/v1/nodes/{identity}").headers[LOCATION] == "loc1"
    places = [("loc2", "loc1"), ("loc3", "loc2"), ("loc1", "loc3")]
    questions = [
        lambda: api.get(f"/v1/nodes/{identity}"),
        lambda: api.patch(f"/v1/nodes/{identity}", ("add", "/extra/seen", 1)),
        lambda: api("PUT", f"/v1/nodes/{identity}/maintenance", json={"reason": "moved"}),
    ]
    for (now, before), ask in zip(places, questions):
        direct[before].ok("DELETE", f"/v1/nodes/{identity}")
        direct[now].create(uuid=identity, name="wanderer", conductor_group=GROUPS[now])
        answer = ask()
        assert answer.status < 400, answer.body.decode()
        assert answer.headers[LOCATION] == now
        assert api.get("/v1/nodes/wanderer").headers[LOCATION] == now
    assert direct["loc1"].ok("GET", f"/v1/nodes/{identity}")["maintenance_reason"] == "moved"


def test_a_node_deleted_behind_the_gateway_is_404(api, direct):
    node = api.create(name="gone")
    direct["loc1"].ok("DELETE", f"/v1/nodes/{node['uuid']}")
    for ident in ("gone", node["uuid"]):
        answer = api.get(f"/v1/nodes/{ident}")
        assert answer.status == 404
        assert fault(answer) == f"Node {ident} could not be found."
    assert api("DELETE", f"/v1/nodes/{node['uuid']}").status == 404


def test_percent_encoding_in_a_path_means_the_same_node(api, direct):
    node = api.create(name="per-cent", conductor_group="grp1")
    for target in ("/v1/nodes/per%2Dcent", "/%761/nodes/per-cent", f"/v1/n%6fdes/{node['uuid']}"):
        status, headers, body = raw(api.url, "GET", target, {"OpenStack-API-Version": f"baremetal {LATEST}"})
        assert status == 200, body
        assert json.loads(body)["uuid"] == node["uuid"]


# ---- changing


def test_update_rename_and_delete_reach_the_right_ironic(api, direct):
    for location, node in everywhere(api).items():
        path = f"/v1/nodes/{node['name']}"
        changed = api.patch(path, ("add", "/extra/rack", 7), ("replace", "/resource_class", "baremetal"))
        assert changed.status == 200, changed.body.decode()
        assert changed.headers[LOCATION] == location
        there = direct[location].ok("GET", f"/v1/nodes/{node['uuid']}")
        assert (there["extra"], there["resource_class"]) == ({"rack": 7}, "baremetal")
        told = changed.json()
        assert list(told) == list(there)
        # Ironic answers a change while its conductor still holds the node.
        there.update(updated_at=told["updated_at"], reservation=told["reservation"])
        assert told == json.loads(repoint(json.dumps(there), direct, api))

        assert api.patch(path, ("replace", "/name", f"new-{location}")).status == 200
        assert api.get(path).status == 404
        assert api.ok("GET", f"/v1/nodes/new-{location}")["uuid"] == node["uuid"]

        assert api.patch(f"/v1/nodes/new-{location}", ("remove", "/extra/rack")).json()["extra"] == {}
        gone = api("DELETE", f"/v1/nodes/new-{location}")
        assert (gone.status, gone.body) == (204, b"")
        assert owners(direct, node["uuid"]) == []
        assert api.get(f"/v1/nodes/{node['uuid']}").status == 404


def test_a_name_freed_at_one_location_can_be_taken_at_another(api, direct):
    api.create(name="first")
    assert api.patch("/v1/nodes/first", ("replace", "/name", "second")).status == 200
    node = api.create(name="first", conductor_group="grp2")
    assert api.ok("GET", "/v1/nodes/first")["uuid"] == node["uuid"]


@pytest.mark.parametrize(
    "operations",
    [
        [("replace", "/conductor_group", "grp2")],
        [("add", "/conductor_group", "GRP2")],
        [("remove", "/conductor_group")],
        [("replace", "/conductor_group", None)],
        [("replace", "/conductor_group", "")],
        [("replace", "/conductor_group", "nowhere")],
        [("replace", "/conductor_group", "_")],
        [("replace", "/conductor_group", "grp1"), ("replace", "/conductor_group", "grp2")],
        [("remove", "/conductor_group"), ("add", "/conductor_group", "grp2")],
        [("replace", "/extra", {"a": 1}), ("replace", "/conductor_group", "grp2")],
    ],
    ids=lambda operations: " ".join("=".join(map(str, operation)) for operation in operations),
)
def test_a_node_cannot_be_moved_to_another_location(api, direct, operations):
    node = api.create(name="rooted", conductor_group="grp1")
    answer = api.patch("/v1/nodes/rooted", *operations)
    assert answer.status == 400, answer.body.decode()
    assert "move" in fault(answer).lower() or "conductor group" in fault(answer).lower()
    there = direct["loc2"].ok("GET", f"/v1/nodes/{node['uuid']}")
    assert (there["conductor_group"], there["extra"]) == ("grp1", {})
    assert owners(direct, node["uuid"]) == ["loc2"]


@pytest.mark.parametrize("spelling", [rb'"/conductor_gr\u006fup"', rb'"\/conductor_group"'])
def test_no_escape_of_the_path_moves_a_node(api, direct, spelling):
    node = api.create(name="escaped", conductor_group="grp1")
    body = b'[{"op": "replace", "path": ' + spelling + b', "value": "grp2"}]'
    status, _, text = raw(
        api.url, "PATCH", "/v1/nodes/escaped", {"OpenStack-API-Version": f"baremetal {LATEST}"}, body
    )
    assert status == 400, text
    assert direct["loc2"].ok("GET", f"/v1/nodes/{node['uuid']}")["conductor_group"] == "grp1"


@pytest.mark.parametrize(
    "operations",
    [
        [("replace", "/conductor_group", "grp1")],
        [("add", "/conductor_group", "GRP1"), ("add", "/extra/a", 1)],
        [("replace", "/conductor_group", "grp2"), ("replace", "/conductor_group", "grp1")],
        [("remove", "/conductor_group"), ("add", "/conductor_group", "grp1")],
    ],
    ids=lambda operations: " ".join("=".join(map(str, operation)) for operation in operations),
)
def test_a_patch_whose_final_group_is_the_node_s_own_goes_through(api, operations):
    api.create(name="stays", conductor_group="grp1")
    answer = api.patch("/v1/nodes/stays", *operations)
    assert answer.status == 200, answer.body.decode()
    assert answer.json()["conductor_group"] == "grp1"


@pytest.mark.parametrize("operation", [("remove", "/conductor_group"), ("replace", "/conductor_group", None)])
def test_unsetting_the_group_works_where_ironic_s_own_way_fails(api, direct, operation):
    node = api.create(name="default")
    assert direct["loc1"].patch(f"/v1/nodes/{node['uuid']}", operation).status == 500
    answer = api.patch("/v1/nodes/default", operation)
    assert answer.status == 200, answer.body.decode()
    assert answer.json()["conductor_group"] == ""


def test_a_parent_at_another_location_is_refused(api, direct):
    parent = api.create(name="parent")
    child = api.create(name="child", parent_node=parent["uuid"])
    assert child["parent_node"] == parent["uuid"]
    answer = api.get("/v1/nodes/parent/children")
    assert answer.json()["children"] == [child["uuid"]]
    stranger = api.create(name="stranger", conductor_group="grp1")
    for ident in ("parent", parent["uuid"]):
        refused = api("POST", "/v1/nodes", json={"driver": "fake-hardware", "conductor_group": "grp1", "parent_node": ident})
        assert refused.status == 400, refused.body.decode()
        assert ident in fault(refused)
        patched = api.patch("/v1/nodes/stranger", ("add", "/parent_node", ident))
        assert patched.status == 400, patched.body.decode()
    assert direct["loc2"].ok("GET", f"/v1/nodes/{stranger['uuid']}")["parent_node"] is None
    assert len(direct["loc2"].list()) == 1


# ---- uniqueness


@pytest.mark.parametrize("field", ["name", "uuid", "instance_uuid"])
def test_what_another_location_has_is_409_in_ironic_s_words(api, direct, field):
    value = "taken" if field == "name" else str(uuid.uuid4())
    api.create(**{field: value})
    theirs = direct["loc1"]("POST", "/v1/nodes", json={"driver": "fake-hardware", field: value})
    ours = api("POST", "/v1/nodes", json={"driver": "fake-hardware", field: value, "conductor_group": "grp1"})
    assert (theirs.status, ours.status) == (409, 409), ours.body.decode()
    if field == "instance_uuid":
        # The text names both nodes; the new one's uuid is made up on the way.
        pattern = r"Instance %s is already associated with a node, it cannot be associated with this other node [0-9a-f-]{36}"
        assert re.fullmatch(pattern % value, fault(ours))
    else:
        assert ours.body == theirs.body
    assert direct["loc2"].list() == []


@pytest.mark.parametrize("field", ["name", "instance_uuid"])
def test_a_patch_cannot_take_what_another_location_has(api, direct, field):
    value = "taken" if field == "name" else str(uuid.uuid4())
    api.create(**{field: value})
    node = api.create(conductor_group="grp2")
    answer = api.patch(f"/v1/nodes/{node['uuid']}", ("add", f"/{field}", value))
    assert answer.status == 409, answer.body.decode()
    assert value in fault(answer)
    assert direct["loc3"].ok("GET", f"/v1/nodes/{node['uuid']}")[field] is None


def test_a_node_may_be_given_the_name_it_has(api):
    api.create(name="same", conductor_group="grp1")
    assert api.patch("/v1/nodes/same", ("replace", "/name", "same")).status == 200


# ---- what the user put in is the user's


def test_user_data_stays_byte_for_byte(api, direct):
    trap = (
        '{"z": 1, "a": {"links": [{"href": "%(u)s/v1/nodes/x", "rel": "self"}]}, "next": "%(u)s/v1/nodes?marker=1", '
        '"big": 123456789012345678901234567890, "float": 1.10, "tiny": 1e-7, "neg": -0.0, "text": "\\u00e4 \\ud83d\\ude00 %(u)s/v1/", '
        '"nodes": [{"uuid": "x", "links": [{"href": "%(u)s/nodes/y"}]}], "b": [true, null, ""]}'
    )
    for name, group in GROUPS.items():
        data = trap % {"u": direct[name].url}
        body = (
            f'{{"driver": "fake-hardware", "name": "data-{name}", "conductor_group": "{group}", '
            f'"description": "see {direct[name].url}/v1/nodes", "extra": {data}, "properties": {data}}}'
        ).encode()
        status, _, created = raw(api.url, "POST", "/v1/nodes", {"OpenStack-API-Version": f"baremetal {LATEST}"}, body)
        assert status == 201, created
        kept = direct[name].get(f"/v1/nodes/data-{name}").body.decode()
        piece = f'"extra": {json.dumps(json.loads(kept)["extra"])}'
        # As Ironic spells it; what Ironic itself changes (1.10 to 1.1) is not ours.
        assert piece in kept
        assert list(json.loads(kept)["extra"]) == ["z", "a", "next", "big", "float", "tiny", "neg", "text", "nodes", "b"]
        assert json.loads(kept)["extra"]["big"] == 123456789012345678901234567890
        for answer in (
            created.decode(),
            api.get(f"/v1/nodes/data-{name}").body.decode(),
            api.get("/v1/nodes/detail").body.decode(),
            api.get("/v1/nodes?fields=extra,name").body.decode(),
            api.get("/v1/nodes?detail=True&sort_key=name&sort_dir=desc&limit=3").body.decode(),
        ):
            assert piece in answer
        shown = api.ok("GET", f"/v1/nodes/data-{name}")
        assert shown["description"] == f"see {direct[name].url}/v1/nodes"
        assert shown["properties"] == json.loads(kept)["properties"]
        assert all(link["href"].startswith(api.url + "/") for link in shown["links"] + shown["ports"] + shown["states"])
