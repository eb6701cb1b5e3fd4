"""A project's list of nodes is what the locations wrote, but for what it may not see."""

import json

import pytest
from projects import LOCATION, MINE, OTHER, TENANT, hub
from standin import Standin, node
from tenants import ADMIN

# What a tree would not hold, or would write otherwise.
ODD = {"big": 12345678901234567890123, "nan": float("nan"), "half": "\ud800", "slow": 1.50, "url": "http://a.example/v1/nodes/x"}
DRIVER_INFO = {"ipmi_password": "pwd", "ipmi_address": "10.0.0.1", "in": {"Auth_Token": ["tok"], "x": 1}}
INSTANCE_INFO = {"configdrive": {"user": "data"}, "image_url": None, "image_source": "s"}
INTERNAL = {"agent_secret_token": "ast", "clean_steps": None}
KEPT = "******"


def site(name, **holders):
    info = {"driver_info": DRIVER_INFO, "instance_info": INSTANCE_INFO, "driver_internal_info": INTERNAL}
    return Standin([node(name, extra=ODD, last_error="broken", reservation=None, **info, **holders)])


@pytest.fixture(scope="module")
def running():
    with hub(site("own", owner=MINE, lessee=None), site("leased", owner=OTHER, lessee=MINE)) as running:
        yield running


@pytest.mark.parametrize("way", ["detail", "detail?sort_key=name", "detail?sort_key=uuid&sort_dir=desc"])
def test_items_are_passed_on_byte_for_byte(running, way):
    def text(who, location):
        reply = running.get(who, f"/v1/nodes/{way}", **{LOCATION: location})
        assert reply.status == 200, reply
        return reply.body.decode()

    # An owner sees all but secrets.
    own = text(ADMIN, "loc1")
    for secret in ('"pwd"', '["tok"]', '{"user": "data"}', '"ast"'):
        assert own.count(secret) == 1
        own = own.replace(secret, f'"{KEPT}"')
    assert text(TENANT, "loc1") == own
    # A lessee does not see how the machine is driven either.
    told = text(TENANT, "loc2")
    whole, leased = text(ADMIN, "loc2"), json.loads(told)["nodes"][0]
    for name, value in [("driver_info", DRIVER_INFO), ("driver_internal_info", INTERNAL), ("last_error", "broken"), ("reservation", None)]:
        pair = f'"{name}": {json.dumps(value)}'
        assert whole.count(pair) == 1
        whole = whole.replace(pair, f'"{name}": {json.dumps(leased[name])}')
        assert "edacted" in json.dumps(leased[name])
    assert told == whole.replace('{"user": "data"}', f'"{KEPT}"')


@pytest.mark.parametrize("order", ["", "&sort_key=name"])
def test_what_only_decides_is_not_shown(running, order):
    for fields, members in [("name,extra", {"name", "extra"}), ("driver_info,uuid", {"driver_info", "uuid"}), ("owner", {"owner"})]:
        path = f"/v1/nodes?fields={fields}&limit=1{order}"
        pages = []
        while path:
            reply = running.get(TENANT, path)
            assert reply.status == 200, reply
            page = reply.json()
            pages += page["nodes"]
            path = page.get("next", "").removeprefix(running.fleet.url)
        assert [set(item) for item in pages] == [members | {"links"}] * 2
        seen = [item["driver_info"] for item in pages if "driver_info" in members]
        assert all(KEPT in info.values() or "content" in info for info in seen)
