"""Requests of a project, through the gateway and of a real Ironic that judges the project itself: what may stand in a body at
which version, how lists are asked for, and the words of refusals."""

import contextlib

import pytest
from client import Client
from tenants import Everybody, Seeded, hub, wait_for

# Two real Ironics, seeded.
pytestmark = pytest.mark.slow

PROJECT = "70e5e25a-2ca2-4cb1-8ae8-7d8739cee205"
OWNER = {"X-Roles": "admin,manager,member,reader", "X-Project-Id": PROJECT}
# Ironic's `VERSIONED_FIELDS`, of which a create may name some.
SINCE = {
    "name": 5, "clean_step": 7, "raid_config": 12, "network_interface": 20, "resource_class": 21, "boot_interface": 31, "storage_interface": 33,
    "traits": 37, "rescue_interface": 38, "bios_interface": 40, "conductor_group": 46, "automated_clean": 47, "protected": 48, "protected_reason": 48,
    "owner": 50, "description": 51, "lessee": 65, "parent_node": 83,
}  # fmt: skip
SAID = [None, "", False, {}, "true"]


@pytest.fixture(scope="module")
def both():
    """How a request is asked: through the gateway, and of an Ironic that judges the project itself."""
    with contextlib.ExitStack() as stack:
        behind, alone = stack.enter_context(Seeded()), stack.enter_context(Seeded(token=""))
        keystone = stack.enter_context(Everybody({"gw": "secret"}))
        gateway = stack.enter_context(hub(keystone, [behind]))
        wait_for(gateway, keystone)
        ways = (Client(gateway.url), {"X-Auth-Token": keystone.token_of(OWNER)}), (Client(alone.url), OWNER)

        def ask(method, path, body, version):
            return [client.call(method, path, body, headers=headers, version=version) for client, headers in ways]

        yield ask


@pytest.mark.parametrize("name", SINCE)
def test_no_member_gets_in_below_its_version(both, name):
    """Whatever it says, true or false: allowed is Ironic's 503, as nothing is behind it; refusals are in its words."""
    seen = set()
    for minor in (SINCE[name] - 1, SINCE[name]):
        # A group of that name is not mapped to a location.
        for said in SAID[: 4 if name == "conductor_group" else None]:
            body = {"driver": "fake-hardware", name: said}
            gateway, ironic = both("POST", "/v1/nodes", body, f"1.{minor}")
            seen.add(ironic.status)
            if ironic.status == gateway.status == 503:
                continue
            # Where a node of such a group belongs is the gateway's to say, in its own words.
            assert gateway.text() == ironic.text() or name == "conductor_group", (minor, body)
            assert gateway.status == ironic.status, (minor, body)
    assert seen & {400, 406}


@pytest.mark.parametrize(
    ("path", "body", "versions", "members"),
    [
        ("/v1/allocations", {"resource_class": "x"}, ("1.52", "1.57", "1.58", "1.59", "1.60", "1.115"), ("node", "owner", "candidate_nodes")),
        ("/v1/runbooks", {"name": "CUSTOM_A", "steps": [{"interface": "bios", "step": "s", "args": {}, "order": 1}]}, ("1.92", "1.111", "1.112", "1.115"), ("owner", "public", "description")),
    ],
)  # fmt: skip
def test_so_it_is_with_what_else_has_an_owner(both, path, body, versions, members):
    for version in versions:
        for name in members:
            for said in (None, "", False, True, {}, [], "x", PROJECT):
                sent = {**body, name: said}
                gateway, ironic = both("POST", path, sent, version)
                assert gateway.status == ironic.status, (version, sent, gateway, ironic)
                if ironic.status == 201:
                    assert gateway.json()["owner"] == ironic.json()["owner"] == PROJECT
                    for reply in both("DELETE", f"{path}/{sent['name']}", None, version):
                        assert reply.status == 204


def test_a_body_that_is_none_is_refused_before_the_rules_are_asked(both):
    for version in ("1.10", "1.115"):
        for body in ([], "x", 1):
            gateway, ironic = both("POST", "/v1/nodes", body, version)
            assert (gateway.status, gateway.text()) == (ironic.status, ironic.text()) == (400, gateway.text())


LISTS = ("nodes", "ports", "portgroups", "volume/connectors", "volume/targets", "allocations", "runbooks")
ASKED = (
    "limit=1_0", "limit=1_", "limit=%2B1", "limit=%201", "limit=0", "limit=-1", "limit=x", "limit=", "limit=99999999999999999999",
    "fields=uuid", "fields=UUID,%20links", "fields=uuid&fields=extra", "fields=", "fields=nosuch", "sort_dir=up", "detail=maybe",
    "project=a&project=b", "project=a&project=it%27s", "owner=a&owner=b", "limit=1&limit=2", "marker=x", "nosuch=1",
)  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
def test_lists_are_asked_for_in_ironic_s_way(both, name):
    """As many items with the same members, or the same refusal."""
    key = name.rsplit("/", 1)[-1]
    for query in ASKED:
        gateway, ironic = both("GET", f"/v1/{name}?{query}", None, "1.115")
        if ironic.status == 200:
            assert gateway.status == 200, (query, gateway)
            shown = [[set(item) for item in reply.json()[key]] for reply in (gateway, ironic)]
            assert shown[0] == shown[1], query
        else:
            assert (gateway.status, gateway.text()) == (ironic.status, ironic.text()), query


def test_what_goes_by_its_uuid_alone(both):
    """Whatever the name, also of what is there: Ironic looks at its form first."""
    for method, path, body in (
        ("DELETE", "/v1/ports/NAME", None), ("DELETE", "/v1/portgroups/NAME", None), ("GET", "/v1/ports/NAME", None), ("GET", "/v1/volume/targets/NAME", None),
        ("DELETE", "/v1/volume/targets/NAME", None), ("DELETE", "/v1/volume/connectors/NAME", None),
        ("PATCH", "/v1/volume/connectors/NAME", [{"op": "add", "path": "/extra/a", "value": 1}]),
    ):  # fmt: skip
        for name in ("magicfoo", "nobody", "x%20y"):
            gateway, ironic = both(method, path.replace("NAME", name), body, "1.115")
            assert (gateway.status, gateway.text()) == (ironic.status, ironic.text()), (method, path, name)


NAMED = (
    {}, {"node_uuid": ""}, {"node_uuid": None}, {"node_uuid": 1}, {"node_uuid": "x"}, {"node_uuid": PROJECT}, {"node_ident": ""}, {"node_ident": "x y"},
    {"node_ident": "nobody"}, {"node_ident": PROJECT}, {"node_uuid": PROJECT, "node_ident": "nobody"}, {"node_uuid": PROJECT, "node_ident": None},
)  # fmt: skip


@pytest.mark.parametrize(
    ("path", "members"),
    [
        ("ports", {"address": "52:54:00:00:00:aa"}), ("portgroups", {"address": "52:54:00:00:00:aa", "name": "bond"}),
        ("volume/connectors", {"type": "iqn", "connector_id": "x"}), ("volume/targets", {"volume_type": "iscsi", "boot_index": 0, "volume_id": "v"}),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_node_in_a_body_is_said_first(both, path, members):
    """Before the rules where it is none, after them where nobody has it."""
    for version in ("1.93", "1.115"):
        for named in NAMED:
            gateway, ironic = both("POST", f"/v1/{path}", {**members, **named}, version)
            assert (gateway.status, gateway.text()) == (ironic.status, ironic.text()), (version, named)
