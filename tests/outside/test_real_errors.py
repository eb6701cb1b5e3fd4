"""What goes wrong is said as Ironic says it: the gateway's answer against a real Ironic's, byte for byte."""

import json
import uuid

import pytest

from client import LATEST, fault, raw

ABSENT = "00000000-0000-4000-8000-00000000dead"

READS = [
    "/v1/nodes?limit=0",
    "/v1/nodes?limit=-1",
    "/v1/nodes?limit=abc",
    "/v1/nodes?limit=",
    "/v1/nodes?limit=1.5",
    "/v1/nodes?limit=2&limit=3",
    "/v1/nodes?sort_key=foo",
    "/v1/nodes?sort_key=extra",
    "/v1/nodes?sort_key=traits",
    "/v1/nodes?sort_key=links",
    "/v1/nodes?sort_key=chassis_uuid",
    "/v1/nodes?sort_dir=ASC",
    "/v1/nodes?sort_dir=",
    "/v1/nodes?sort_dir=asc&sort_dir=desc",
    "/v1/nodes?marker=foo",
    f"/v1/nodes?marker={ABSENT}",
    "/v1/nodes?detail=True&fields=uuid",
    "/v1/nodes?detail=perhaps",
    "/v1/nodes?maintenance=perhaps",
    "/v1/nodes?associated=perhaps",
    "/v1/nodes?provision_state=flying",
    "/v1/nodes?instance_uuid=foo",
    "/v1/nodes?chassis_uuid=foo",
    f"/v1/nodes?chassis_uuid={ABSENT}",
    "/v1/nodes?foo=bar",
    "/v1/nodes?limit=1&foo=bar",
    "/v1/nodes/detail?fields=uuid",
    "/v1/nodes/detail?limit=x",
    "/v1/nodes/detail/",
    "/v1/nodes/a:b",
    "/v1/nodes/unknown",
    f"/v1/nodes/{ABSENT}",
    "/v1/nodes/unknown?fields=uuid",
    "/v1/nodes/unknown/states",
    "/v1/nodes/unknown/bios/x",
    "/v1/nodes/unknown/vifs",
    "/v1/nodes/unknown/firmware",
    "/v1/nodes/unknown/inventory",
    "/v1/nodes/unknown/history",
    "/v1/nodes/validate?node=unknown",
    "/v1/nowhere",
    "/v2",
    "/v2/nodes",
    "/V1/nodes",
    "/nowhere",
]


def same(api, direct, method, path, body=None, headers=None, where="loc1"):
    """Both answers to one request; their status, body and kind must be equal."""
    headers = {"OpenStack-API-Version": f"baremetal {LATEST}", **(headers or {})}
    ours = raw(api.url, method, path, headers, body)
    theirs = raw(direct[where].url, method, path, headers, body)
    assert (ours[0], ours[2]) == (theirs[0], theirs[2]), f"{method} {path}"
    for name in (
        "Content-Type",
        "X-OpenStack-Ironic-API-Minimum-Version",
        "X-OpenStack-Ironic-API-Maximum-Version",
        "X-OpenStack-Ironic-API-Version",
        "Allow",
    ):
        assert ours[1][name] == theirs[1][name], f"{method} {path}: {name}"
    return theirs


@pytest.mark.parametrize("path", READS)
def test_a_refused_read_is_byte_equal(api, direct, path):
    assert same(api, direct, "GET", path)[0] >= 400


@pytest.mark.parametrize("path", ["/v1/nodes?fields=foo", "/v1/nodes?fields=uuid,foo", "/v1/shards?limit=1"])
def test_where_ironic_fails_with_a_500_of_its_own_the_client_is_told_what_to_mend(api, direct, path):
    ours, theirs = (raw(asked.url, "GET", path, {"OpenStack-API-Version": f"baremetal {LATEST}"}) for asked in (api, direct["loc1"]))
    assert (ours[0], theirs[0]) == (400, 500)
    assert "type object" not in ours[2].decode()


@pytest.mark.parametrize("path", ["/v1/nodes", "/v1/nodes/x", "/v1/nodes/x/states"])
def test_head_is_405_as_by_ironic(api, direct, path):
    assert same(api, direct, "HEAD", path)[0] == 405


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/v1/nodes"), ("DELETE", "/v1/nodes"), ("PATCH", "/v1/nodes"), ("POST", "/v1/nodes/x"), ("PUT", "/v1/nodes/x")],
)
def test_a_method_that_the_route_has_not_is_refused_as_by_ironic(api, direct, method, path):
    ours, theirs = (
        raw(asked.url, method, path, {"OpenStack-API-Version": f"baremetal {LATEST}"}, b"{}") for asked in (api, direct["loc1"])
    )
    # Which of its parameters Ironic misses first (400) is not part of its API; 405 is as good.
    assert theirs[0] in (400, 404, 405)
    assert ours[0] in (theirs[0], 405)
    assert "error_message" in json.loads(ours[2])


CREATES = [
    "[]",
    '"text"',
    "{}",
    "",
    '{"name": "x"}',
    '{"driver": "nope"}',
    '{"driver": 5}',
    '{"driver": "fake-hardware", "foo": 1}',
    '{"driver": "fake-hardware", "name": "a b"}',
    '{"driver": "fake-hardware", "name": 7}',
    '{"driver": "fake-hardware", "name": "detail"}',
    f'{{"driver": "fake-hardware", "name": "{ABSENT}"}}',
    '{"driver": "fake-hardware", "uuid": "no-uuid"}',
    '{"driver": "fake-hardware", "extra": []}',
    '{"driver": "fake-hardware", "deploy_interface": "nope"}',
    '{"driver": "fake-hardware", "maintenance": "perhaps"}',
]


@pytest.mark.parametrize("body", CREATES)
def test_a_refused_create_is_byte_equal(api, direct, body):
    assert same(api, direct, "POST", "/v1/nodes", body.encode())[0] >= 400
    assert api.list() == []


@pytest.mark.parametrize("body", ["{", "nojson", '{"driver": }', "\x00"])
@pytest.mark.parametrize("path", ["/v1/nodes"])
def test_broken_json_has_ironic_s_shape(api, body, path):
    answer = api("POST", path, data=body.encode(), headers={"Content-Type": "application/json"})
    # Ironic calls this a 500; whose fault it is we may say better.
    assert answer.status in (400, 500)
    inner = json.loads(answer.json()["error_message"])
    assert set(inner) == {"faultcode", "faultstring", "debuginfo"}


PATCHES = [
    "{}",
    '"text"',
    '[{"op": "replace"}]',
    '[{"op": "move", "from": "/a", "path": "/b"}]',
    '[{"op": "test", "path": "/name", "value": "x"}]',
    '[{"op": "replace", "path": "name", "value": "x"}]',
    '[{"op": "replace", "path": "/uuid", "value": "x"}]',
    '[{"op": "replace", "path": "/power_state", "value": "x"}]',
    '[{"op": "replace", "path": "/foo", "value": "x"}]',
    '[{"op": "remove", "path": "/extra/none"}]',
    '[{"op": "replace", "path": "/name", "value": "a b"}]',
    '[{"op": "replace", "path": "/driver", "value": "nope"}]',
    '[{"op": "replace", "path": "/chassis_uuid", "value": "nope"}]',
    '[{"op": "remove", "path": "/driver"}]',
    '[{"op": "replace", "path": "/extra", "value": 5}]',
]


@pytest.fixture(scope="module")
def victim(direct):
    """One node at the second location, for requests that must not change it."""
    node = direct["loc2"].create(name="victim", conductor_group="grp1")
    yield node["uuid"]
    direct["loc2"].ok("DELETE", f"/v1/nodes/{node['uuid']}")


@pytest.mark.parametrize("body", PATCHES)
@pytest.mark.parametrize("by", ["uuid", "name"])
def test_a_refused_patch_is_byte_equal(api, direct, victim, body, by):
    path = f"/v1/nodes/{victim if by == 'uuid' else 'victim'}"
    got = same(api, direct, "PATCH", path, body.encode(), where="loc2")
    assert got[0] >= 400


ACTIONS = [
    ("PUT", "/states/power", '{"target": "fly"}'),
    ("PUT", "/states/power", "{}"),
    ("PUT", "/states/provision", '{"target": "fly"}'),
    ("PUT", "/states/provision", '{"target": "active"}'),
    ("PUT", "/states/provision", '{"target": "clean"}'),
    ("PUT", "/states/boot_mode", '{"target": "odd"}'),
    ("PUT", "/management/boot_device", '{"boot_device": "tape"}'),
    ("PUT", "/management/boot_device", "{}"),
    ("PUT", "/traits", '{"traits": ["no good"]}'),
    ("PUT", "/traits", "{}"),
    ("PUT", "/traits/bad", ""),
    ("DELETE", "/traits/CUSTOM_NONE", None),
    ("POST", "/vifs", "{}"),
    ("GET", "/bios/none", None),
    ("GET", "/allocation", None),
    ("DELETE", "/allocation", None),
    ("GET", "/inventory", None),
    ("GET", "/history/none", None),
    ("GET", "?fields=foo", None),
    ("GET", "?detail=True", None),
    ("GET", "/vendor_passthru?method=none", None),
    ("POST", "/vendor_passthru/none", "{}"),
    ("DELETE", "/states", None),
    ("POST", "/states", "{}"),
    ("GET", "/foo", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ACTIONS)
def test_a_refused_action_is_byte_equal(api, direct, victim, method, path, body):
    body = None if body is None else body.encode()
    got = same(api, direct, method, f"/v1/nodes/{victim}{path}", body, where="loc2")
    assert got[0] >= 400


def test_a_body_too_deep_or_too_large_is_refused_as_by_ironic(api, direct):
    deep = b'{"driver": "fake-hardware", "extra": ' + b'{"a":' * 30 + b"1" + b"}" * 30 + b"}"
    assert same(api, direct, "POST", "/v1/nodes", deep)[0] == 400
    large = b'{"driver": "fake-hardware", "description": "' + b"x" * 1_100_000 + b'"}'
    ours = raw(api.url, "POST", "/v1/nodes", body=large)
    theirs = raw(direct["loc1"].url, "POST", "/v1/nodes", body=large)
    assert (ours[0], ours[2]) == (theirs[0], theirs[2])
    assert ours[0] == 413


def test_a_request_id_comes_with_every_answer(api):
    ids = set()
    for path in ("/", "/v1", "/v1/nodes", "/v1/nodes/unknown", "/nowhere", "/v1/nodes?limit=x"):
        answer = api.get(path)
        found = answer.headers["X-Openstack-Request-Id"]
        assert found.startswith("req-") and uuid.UUID(found[4:])
        ids.add(found)
    assert len(ids) == 6


@pytest.mark.parametrize("path", ["/v1/lookup?addresses=52:54:00:00:00:01", "/v1/heartbeat/" + ABSENT, "/v1/continue_inspection"])
def test_ramdisk_routes_are_closed(api, path):
    answer = api("GET" if "lookup" in path else "POST", path, json=None if "lookup" in path else {})
    assert answer.status == 403
    assert fault(answer)


@pytest.mark.parametrize("path", ["/v1/nodes/a%2Fb", "/v1/nodes/..", "/v1/nodes/%2e%2e/drivers", "/v1//nodes", "/v1/nodes/a%00", "/v1/nodes/a%0A"])
def test_what_two_parsers_may_read_differently_is_refused(api, path):
    status, _, body = raw(api.url, "GET", path, {"OpenStack-API-Version": f"baremetal {LATEST}"})
    assert status in (400, 404), body
    assert json.loads(body)["error_message"]
