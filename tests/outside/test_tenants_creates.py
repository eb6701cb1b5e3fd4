"""What a project may say of a node that it creates, at every version, compared with a real Ironic."""

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
