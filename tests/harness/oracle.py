"""Thousands of odd requests, put to one Ironic and to the gateway in front of the same Ironic.

Every request is harmless to both: what it names is absent, or it is a
question, or its body is refused. `{node}`, `{name}` and `{absent}` in a path,
query or body stand for a node's uuid, its name, and a uuid that nobody has.
"""

import http.client
import itertools
import json
import os
import threading
import urllib.parse
import zlib
from typing import NamedTuple

VERSION = "X-OpenStack-Ironic-API-Version"

# One below and one at or above each step that a route takes.
VERSIONS = ["1.1", "1.5", "1.22", "1.31", "1.36", "1.51", "1.61", "1.82", "1.90", "1.91", "1.99", "1.115"]

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]


class Case(NamedTuple):
    method: str
    path: str
    version: str
    body: str | None = None
    headers: tuple = ()

    def __str__(self):
        words = [self.method, self.path, f"at {self.version}"]
        if self.body is not None:
            words.append(f"body {self.body[:80]}")
        words += [f"{name}: {value[:40]}" for name, value in self.headers]
        return " ".join(words)


class Said(NamedTuple):
    """What of an answer is compared."""

    status: int
    kind: str
    allow: str | None
    versions: tuple

    def __str__(self):
        return f"{self.status} {self.kind}" + (f" Allow: {self.allow}" if self.allow else "") + f" {self.versions}"


# What is below a node, with what would make the method that it is for a success.
BELOW_NODE = [
    "",
    "/validate",
    "/states",
    "/states/power",
    "/states/provision",
    "/states/raid",
    "/states/boot_mode",
    "/states/secure_boot",
    "/states/console",
    "/states/nonsense",
    "/maintenance",
    "/management",
    "/management/boot_device",
    "/management/boot_device/supported",
    "/management/inject_nmi",
    "/management/indicators",
    "/management/indicators/led@system",
    "/vendor_passthru",
    "/vendor_passthru/methods",
    "/vendor_passthru/first_method",
    "/traits",
    "/traits/CUSTOM_A",
    "/vifs",
    "/vifs/{absent}",
    "/ports",
    "/ports/detail",
    "/ports/{absent}",
    "/portgroups",
    "/portgroups/detail",
    "/portgroups/{absent}/ports",
    "/volume",
    "/volume/connectors",
    "/volume/targets",
    "/volume/targets/{absent}",
    "/bios",
    "/bios/foo",
    "/firmware",
    "/allocation",
    "/history",
    "/history/{absent}",
    "/inventory",
    "/children",
    "/vmedia",
    "/nonsense",
    "/nonsense/deeper",
    "/detail",
]

# A spelling of nobody's node, and what pecan or Python read in its place.
STRANGE = [
    "none",
    "None",
    "{absent}.json",
    "fake_thing.json",
    "detail",
    "validate",
    "states",
    "management",
    "maintenance",
    "vendor_passthru",
    "traits",
    "vifs",
    "ports",
    "volume",
    "allocation",
    "boot_device",
    "_custom_actions",
    "invalid_sort_key_list",
    "from_chassis",
    "get_all",
    "post",
    "new",
    "delete",
    "a%20b",
    "%C3%9Cber",
    "a!b",
    "x" * 300,
]

COLLECTIONS = {
    "ports": 1,
    "portgroups": 23,
    "chassis": 1,
    "drivers": 1,
    "conductors": 49,
    "allocations": 52,
    "deploy_templates": 55,
    "runbooks": 92,
    "inspection_rules": 96,
    "shards": 82,
    "volume/connectors": 32,
    "volume/targets": 32,
    "volume": 32,
    "events": 54,
    "nonsense": 1,
}

# Whatever else Ironic serves under other spellings.
SPELLINGS = [
    "/v1/nodes/states/{node}",
    "/v1/nodes/states/console/{node}",
    "/v1/nodes/management/boot_device/{node}",
    "/v1/nodes/management/boot_device/{absent}",
    "/v1/nodes/management/boot_device/supported/{node}",
    "/v1/nodes/management/indicators/{node}",
    "/v1/nodes/vendor_passthru/methods?node_ident={node}",
    "/v1/nodes/vendor_passthru/methods?node_ident={absent}",
    "/v1/nodes/vendor_passthru/methods/{node}",
    "/v1/nodes/vendor_passthru?node_ident={absent}&method=first_method",
    "/v1/nodes/vendor_passthru?method=first_method",
    "/v1/nodes/vendor_passthru",
    "/v1/nodes/validate",
    "/v1/nodes/validate?node={node}",
    "/v1/nodes/validate?node={name}",
    "/v1/nodes/validate?node_uuid={node}",
    "/v1/nodes/validate?node={absent}",
    "/v1/nodes/validate?node=",
    "/v1/nodes/validate?node_uuid=",
    "/v1/nodes/validate?node_uuid={name}",
    "/v1/nodes/validate/{node}",
    "/v1/nodes/{node}/validate",
    "/v1/nodes/{node}/uuid,name",
    "/v1/nodes/{node}?fields=uuid",
    "/v1/nodes/{node}?fields=bogus",
    "/v1/nodes/{node}?fields=",
    "/v1/nodes/{node}?detail=True",
    "/v1/nodes/{node}?fields=traits",
    "/v1/nodes/{node}?bogus=1",
    "/v1/nodes/{name}?fields=uuid",
    "/v1/nodes/{node}/states?bogus=1",
    "/v1/nodes/{node}/ports?bogus=1",
    "/v1/nodes/{node}/ports?limit=abc",
    "/v1/nodes/{node}/ports?fields=uuid",
    "/v1/nodes/{node}/portgroups?fields=uuid",
    "/v1/nodes/{node}/volume/targets?fields=bogus",
    "/v1/nodes/{node}/history?detail=True",
    "/v1/nodes/{node}/bios?detail=True",
    "/v1/nodes/{absent}/bios?fields=bogus",
    "/v1/nodes/{node}/allocation?fields=uuid",
    "/v1/nodes/{absent}/ports?fields=bogus",
    "/v1/nodes/{node}/vendor_passthru?method=",
    "/v1/drivers/fake-hardware",
    "/v1/drivers/fake-hardware/properties",
    "/v1/drivers/properties?driver_name=fake-hardware",
    "/v1/drivers/properties?driver_name=",
    "/v1/drivers/properties",
    "/v1/drivers/properties/fake-hardware",
    "/v1/drivers/raid/logical_disk_properties?driver_name=fake-hardware",
    "/v1/drivers/raid/logical_disk_properties",
    "/v1/drivers/fake-hardware/raid/logical_disk_properties",
    "/v1/drivers/fake-hardware/raid",
    "/v1/drivers/vendor_passthru/methods?driver_name=fake-hardware",
    "/v1/drivers/vendor_passthru?driver_name=fake-hardware",
    "/v1/drivers/vendor_passthru?driver_name=fake-hardware&method=m",
    "/v1/drivers/fake-hardware/vendor_passthru",
    "/v1/drivers/fake-hardware/vendor_passthru/methods",
    "/v1/drivers/fake-hardware/nonsense",
    "/v1/drivers/none/properties",
    "/v1/drivers/fake-hardware?fields=name",
    "/v1/chassis/{absent}/nodes",
    "/v1/chassis/{absent}/nodes/detail",
    "/v1/chassis/{absent}/nodes/{node}",
    "/v1/chassis/nodes",
    "/v1/chassis/nodes/{node}",
    "/v1/chassis/foo/nodes",
    "/v1/portgroups/{absent}/ports",
    "/v1/portgroups/{absent}/ports/detail",
    "/v1/portgroups/fake_thing/ports",
    "/v1/runbooks/{absent}/traits",
    "/v1/runbooks/fake_thing/traits",
    "/v1/shards/{absent}",
    "/v1/shards/x",
    "/v1/events/{absent}",
    "/v1/heartbeat",
    "/v1/conductors/nobody",
    "/v1/conductors/detail",
    "/v1/conductors/a%20b",
    "/nodes",
    "/nodes/{node}",
    "/nodes/{node}/states",
    "/nodes/None/allocation",
    "/v1/v1/nodes/{node}",
    "/v1/v1/nodes",
    "/v1/v1",
    "/v1/nodes/",
    "/v1/nodes/{node}/",
    "/v1/nodes/{node}/states/",
    "/v1/nodes/detail/",
    "/v1/nodes.json",
    "/v1/nodes/detail.json",
    "/v1/nodes/{node}.json",
    "/v1/nodes/{node}.json.json",
    "/v1/nodes/{node}/states.json",
    "/v1/nodes/{node}/ports.json",
    "/v1/nodes/{node}.json/states",
    "/v1/nodes/{name}.json",
    "/v1/ports.json",
    "/v1/drivers/fake-hardware.json",
    "/v1/ports.json?limit=1",
    "/v1/.json",
    "/v1/nodes/.json",
    "/v1.json",
    "/v1/v2",
    "/v2",
    "/v1/",
    "/",
    "/v1",
    "/V1/nodes",
    "/v1/Nodes",
    "/v1/nodes/?limit=1",
]

QUERIES = [
    "limit=abc",
    "limit=0",
    "limit=-1",
    "limit=",
    "limit=1",
    "limit=1&limit=2",
    "marker=foo",
    "marker=",
    "marker={absent}",
    "sort_key=bogus",
    "sort_key=",
    "sort_key=extra",
    "sort_key=node_id",
    "sort_key=portgroup_id",
    "sort_key=chassis_id",
    "sort_key=allocation_id",
    "sort_key=conductor_affinity",
    "sort_key=version",
    "sort_key=online",
    "sort_key=scope",
    "sort_key=id",
    "sort_key=created_at",
    "sort_key=name",
    "sort_key=hostname",
    "sort_key=reservation",
    "sort_key=internal_info",
    "sort_key=steps",
    "sort_key=traits",
    "sort_key=drivers",
    "sort_key=actions",
    "sort_dir=ASC",
    "sort_dir=desc",
    "fields=",
    "fields=bogus",
    "fields=uuid",
    "fields=uuid,uuid",
    "fields=uuid&fields=name",
    "fields=driver",
    "fields=name",
    "fields=traits",
    "fields=links",
    "fields=extra",
    "fields=node_uuid",
    "fields=internal_info",
    "fields=lessee",
    "fields=owner",
    "fields=shard",
    "detail=True",
    "detail=maybe",
    "detail=",
    "detail=True&fields=uuid",
    "detail=False&fields=uuid",
    "bogus=1",
    "node=",
    "node={absent}",
    "node={name}",
    "node={node}",
    "node={node}&limit=abc",
    "node={node}&bogus=1",
    "node=a%20b",
    "node_uuid=",
    "node_uuid={absent}",
    "node_uuid={name}",
    "portgroup=",
    "portgroup={absent}",
    "address=",
    "address=zz",
    "address=52:54:00:aa:bb:01",
    "associated=maybe",
    "associated=True",
    "maintenance=maybe",
    "provision_state=bogus",
    "provision_state=available",
    "driver=x",
    "resource_class=rc",
    "fault=x",
    "conductor_group=",
    "conductor_group=zz",
    "conductor=x",
    "owner=x",
    "lessee=x",
    "project=x",
    "shard=a",
    "sharded=x",
    "parent_node=x",
    "include_children=True",
    "instance_uuid=x",
    "instance_uuid={absent}",
    "instance_uuid=",
    "chassis_uuid={absent}",
    "chassis_uuid=foo",
    "description_contains=x",
    "state=active",
    "type=foo",
    "phase=x",
    "node_ident=x",
    "method=x",
    "data=x",
    "driver_name=x",
]

LISTS = ["nodes", "nodes/detail", "ports/detail", "portgroups/detail", "chassis/detail"] + [
    name for name in COLLECTIONS if name not in ("events", "nonsense")
]

PATCHES = [
    '[{"op": "replace", "path": "/extra/a", "value": "b"}]',
    '[{"op": "test", "path": "/name", "value": null}]',
    '[{"op": "move", "from": "/name", "path": "/extra/a"}]',
    '[{"op": "copy", "path": "/conductor_group", "value": null}]',
    '[{"op": "REPLACE", "path": "/extra/a", "value": "b"}]',
    '[{"op": "replace", "path": "extra", "value": "b"}]',
    '[{"op": "replace", "path": "", "value": "b"}]',
    '[{"op": "replace", "path": "/uuid", "value": "{absent}"}]',
    '[{"op": "remove", "path": "/uuid"}]',
    '[{"op": "add", "path": "/extra/a"}]',
    '[{"op": "add"}]',
    '[{"path": "/extra"}]',
    '[{"op": "add", "path": "/extra/a", "value": 1, "more": 2}]',
    '[{"op": 1, "path": "/extra/a", "value": 1}]',
    "[]",
    "[1]",
    "{}",
    "nonsense",
    "",
    '"text"',
    "null",
]

CREATES = {
    "nodes": [
        "{",
        "[]",
        "[1]",
        '"x"',
        "null",
        "{}",
        '{"driver": 1}',
        '{"driver": ""}',
        '{"driver": "fake-hardware", "bogus": 1}',
        '{"driver": "fake-hardware", "name": ""}',
        '{"driver": "fake-hardware", "name": "a b"}',
        '{"driver": "fake-hardware", "uuid": ""}',
        '{"driver": "fake-hardware", "uuid": "foo"}',
        '{"driver": "fake-hardware", "uuid": 1}',
        '{"driver": "fake-hardware", "uuid": "{node}"}',
        '{"driver": "fake-hardware", "conductor_group": 1}',
        '{"driver": "fake-hardware", "conductor_group": "a b"}',
        '{"driver": "fake-hardware", "parent_node": ""}',
        '{"driver": "fake-hardware", "parent_node": "{absent}"}',
        '{"driver": "fake-hardware", "chassis_uuid": ""}',
        '{"driver": "fake-hardware", "chassis_uuid": "{absent}"}',
        '{"driver": "fake-hardware", "instance_uuid": ""}',
        '{"driver": "fake-hardware", "instance_uuid": "foo"}',
        '{"driver": "nobody"}',
    ],
    "ports": [
        "{",
        "[]",
        "{}",
        '{"node_uuid": "", "address": "52:54:00:aa:bb:09"}',
        '{"node_uuid": "{absent}", "address": "52:54:00:aa:bb:09"}',
        '{"node_uuid": "fake", "address": "52:54:00:aa:bb:09"}',
        '{"node_uuid": null, "address": "52:54:00:aa:bb:09"}',
        '{"node_uuid": 1, "address": "52:54:00:aa:bb:09"}',
        '{"node_ident": "", "address": "52:54:00:aa:bb:09"}',
        '{"node_ident": "{absent}", "address": "52:54:00:aa:bb:09"}',
        '{"node_uuid": "{node}", "address": "zz"}',
        '{"node_uuid": "{node}", "address": ""}',
        '{"node_uuid": "{node}"}',
        '{"node_uuid": "{node}", "address": "52:54:00:aa:bb:09", "bogus": 1}',
        '{"node_uuid": "{node}", "address": "52:54:00:aa:bb:09", "portgroup_uuid": "{absent}"}',
        '{"node_uuid": "{node}", "address": "52:54:00:aa:bb:09", "portgroup_uuid": ""}',
        '{"node_uuid": "{node}", "address": "52:54:00:aa:bb:09", "uuid": ""}',
        '{"address": "52:54:00:aa:bb:09"}',
    ],
    "portgroups": [
        "{",
        "[]",
        "{}",
        '{"node_uuid": ""}',
        '{"node_uuid": "{absent}"}',
        '{"node_uuid": "{name}"}',
        '{"node_uuid": "{node}", "bogus": 1}',
        '{"node_uuid": "{node}", "uuid": ""}',
    ],
    "volume/connectors": [
        "{",
        "[]",
        "{}",
        '{"node_uuid": "", "type": "ip", "connector_id": "q"}',
        '{"node_uuid": "{absent}", "type": "ip", "connector_id": "q"}',
        '{"node_uuid": "{node}", "type": "ip"}',
        '{"node_uuid": "{node}", "type": "ip", "connector_id": "q", "bogus": 1}',
        '{"node_uuid": "{node}", "type": "ip", "connector_id": "q", "uuid": ""}',
    ],
    "volume/targets": [
        "{",
        "[]",
        "{}",
        '{"node_uuid": "", "volume_type": "iscsi", "boot_index": 1, "volume_id": "q"}',
        '{"node_uuid": "{absent}", "volume_type": "iscsi", "boot_index": 1, "volume_id": "q"}',
        '{"node_uuid": "{node}", "volume_type": "iscsi"}',
    ],
    "allocations": [
        "{",
        "[]",
        "{}",
        '{"resource_class": ""}',
        '{"resource_class": 1}',
        '{"node": "{absent}"}',
        '{"node": "a b"}',
        '{"node": 1}',
        '{"candidate_nodes": [""], "resource_class": "q"}',
        '{"candidate_nodes": ["{absent}"], "resource_class": "q"}',
        '{"candidate_nodes": "x", "resource_class": "q"}',
        '{"candidate_nodes": [1], "resource_class": "q"}',
        '{"resource_class": "q", "bogus": 1}',
        '{"resource_class": "q", "name": "a b"}',
    ],
    "chassis": ["{", "[]", '{"bogus": 1}', '{"uuid": "foo"}', '{"extra": 1}', '{"description": 1}'],
    "deploy_templates": ["{", "[]", "{}", '{"name": "x", "steps": []}', '{"name": "CUSTOM_A"}', '{"name": ""}'],
    "runbooks": ["{", "[]", "{}", '{"name": "x", "steps": []}', '{"name": "CUSTOM_A"}'],
    "inspection_rules": ["{", "[]", "{}", '{"actions": []}', '{"bogus": 1}'],
    "events": ["{", "[]", '{"events": 1}', '{"events": [{"event": "x"}]}'],
    "heartbeat": ["{}"],
}

# Bodies for the writes below a node that is not there.
PUTS = {
    "/states/power": ['{"target": "power on"}', "{}", "[]", "{", '{"target": "bogus"}', '{"target": 1}'],
    "/states/provision": ['{"target": "manage"}', "{}", '{"target": "bogus"}', "{"],
    "/states/raid": ["{}", '{"target_raid_config": {}}', "[]"],
    "/states/boot_mode": ['{"target": "uefi"}', "{}"],
    "/states/secure_boot": ['{"target": "true"}', '{"target": "maybe"}', "{}"],
    "/states/console": ['{"enabled": "true"}', '{"enabled": "maybe"}', "{}"],
    "/states/nonsense": ["{}"],
    "/maintenance": ["{}", '{"reason": 1}', '{"bogus": 1}', "{"],
    "/management/boot_device": ['{"boot_device": "pxe"}', "{}", '{"boot_device": "pxe", "persistent": "maybe"}'],
    "/management/inject_nmi": ["{}", '{"bogus": 1}'],
    "/management/indicators/led@system": ['{"state": "ON"}', "{}"],
    "/management/indicators": ["{}"],
    "/vendor_passthru/first_method": ["{}"],
    "/vendor_passthru": ["{}"],
    "/traits": ['{"traits": []}', "{}", '{"traits": ["x"]}', '{"traits": 1}', "[]"],
    "/traits/CUSTOM_A": ["{}", ""],
    "/traits/bogus": [""],
    "/vifs": ['{"id": "a"}', "{}", "[]"],
    "/vmedia": ["{}", '{"device_type": "cdrom", "image_url": "http://127.0.0.1/i"}'],
    "/nonsense": ["{}"],
}

HEADERS = [
    [("Accept", "text/html")],
    [("Accept", "text/plain")],
    [("Accept", "application/xml")],
    [("Accept", "image/png")],
    [("Accept", "*/*;q=0")],
    [("Accept", "*/*")],
    [("Accept", "*/*;q=0.5")],
    [("Accept", "")],
    [("Accept", "nonsense")],
    [("Accept", "application/*")],
    [("Accept", "application/json;q=0")],
    [("Accept", "application/json;version=1")],
    [("Accept", "application/jsonp")],
    [("Accept", "text/html,application/json")],
    [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")],
    [("Accept", "text/html, application/xml")],
    [("Accept", "text/html,application/xml")],
    [("Accept", "text/html"), ("Accept", "application/json")],
    [("Accept", "application/vnd.openstack.ironic.v1+json")],
    [("Upgrade", "h2c"), ("Connection", "Upgrade")],
    [("Range", "bytes=0-1")],
    [("If-None-Match", "*")],
    [("If-Modified-Since", "Sat, 29 Oct 2033 19:43:31 GMT")],
    [("If-Match", '"x"')],
    [("TE", "trailers")],
    [("Accept-Language", "zz")],
    [("Accept-Encoding", "gzip")],
    [("Accept-Charset", "utf-16")],
    [("X-HTTP-Method-Override", "DELETE")],
    [("Content-Type", "text/plain")],
    [("User-Agent", "x" * 5000)],
    [(VERSION, "latest")],
    [(VERSION, "")],
    [(VERSION, "1")],
    [(VERSION, "2.0")],
    [(VERSION, "1.0")],
    [(VERSION, "1.9999")],
    [(VERSION, "abc")],
]

TYPES = [
    "text/plain",
    "application/json; charset=nonsense",
    "application/json; charset=utf-8",
    "application/json-patch+json",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
    "nonsense",
    "",
]


def some(items, key, count):
    """`count` of the items, others for another key, always the same for the same one; all with ORACLE=all."""
    if os.environ.get("ORACLE") == "all" or count >= len(items):
        return items
    start = zlib.crc32(key.encode())
    step = len(items) // count
    return [items[(start + index * step) % len(items)] for index in range(count)]


def cases():
    """Every request, once."""
    return list(dict.fromkeys(itertools.chain(*(kind() for kind in KINDS))))


def _below_nodes():
    for below, method in itertools.product(BELOW_NODE, METHODS):
        key = f"{method} {below}"
        for ident in ("{absent}", "fake_thing"):
            for version in some(VERSIONS, key + ident, 4):
                yield Case(method, f"/v1/nodes/{ident}{below}", version)
        for ident in some(STRANGE, key, 6):
            yield Case(method, f"/v1/nodes/{ident}{below}", some(VERSIONS, key + ident, 1)[0])
        if method in ("GET", "HEAD"):
            for ident in ("{node}", "{name}", "{node}.json", "{name}.json"):
                for version in some(VERSIONS, key + ident, 3):
                    yield Case(method, f"/v1/nodes/{ident}{below}", version)


def _strange_nodes():
    for ident, method in itertools.product(STRANGE, METHODS):
        for below in ["", *some(BELOW_NODE, ident + method, 3)]:
            for version in some(VERSIONS, method + ident + below, 2):
                yield Case(method, f"/v1/nodes/{ident}{below}", version)


def _collections():
    for name, method in itertools.product(COLLECTIONS, METHODS):
        for member in ("", "/{absent}", "/fake_thing", "/detail", "/none", "/a%20b", "/{absent}/nonsense", "/{absent}.json"):
            since = COLLECTIONS[name]
            for minor in sorted({1, max(since - 1, 1), since, 90, 115}):
                body = "{}" if method in ("PUT", "POST") and member else None
                yield Case(method, f"/v1/{name}{member}", f"1.{minor}", body)


def _spellings():
    for path in SPELLINGS:
        for version in some(VERSIONS, path, 5):
            yield Case("GET", path, version)
        if "{node}" not in path and "{name}" not in path:
            for method in METHODS[1:]:
                yield Case(method, path, some(VERSIONS, method + path, 1)[0])


def _queries():
    for name, query in itertools.product(LISTS, QUERIES):
        for version in some(VERSIONS, name + query, 2):
            yield Case("GET", f"/v1/{name}?{query}", version)


def _patches():
    for name, ident, patch in itertools.product(["nodes", *COLLECTIONS], ("{absent}", "fake_thing"), PATCHES):
        for version in some(VERSIONS, name + ident + patch, 2):
            yield Case("PATCH", f"/v1/{name}/{ident}", version, patch)
    for patch in PATCHES[1:4] + PATCHES[5:]:
        for version in some(VERSIONS, patch, 3):
            if patch not in ("[]", '[{"op": "add", "path": "/extra/a"}]'):
                yield Case("PATCH", "/v1/nodes/{node}", version, patch)


def _creates():
    for name, bodies in CREATES.items():
        for body, version in itertools.product(bodies, ("1.1", "1.22", "1.51", "1.90", "1.94", "1.115")):
            yield Case("POST", f"/v1/{name}", version, body)


def _puts():
    for below, bodies in PUTS.items():
        for body, method, ident in itertools.product(bodies, ("PUT", "POST"), ("{absent}", "fake_thing")):
            for version in some(VERSIONS, below + body + method + ident, 3):
                yield Case(method, f"/v1/nodes/{ident}{below}", version, body)


def _headers():
    paths = [
        "/",
        "/v1",
        "/v1/nodes",
        "/v1/nodes/{node}",
        "/v1/nodes/{absent}",
        "/v1/nodes/{node}/states",
        "/v1/nodes/{node}/ports",
        "/v1/ports",
        "/v1/chassis",
        "/v1/drivers",
        "/v1/shards",
        "/v1/volume",
        "/v1/nonsense",
        "/v1/nodes/{absent}/nonsense",
    ]
    for path, headers in itertools.product(paths, HEADERS):
        yield Case("GET", path, "1.90", None, tuple(headers))
    for headers in HEADERS[:19]:
        yield Case("DELETE", "/v1/nodes/{absent}", "1.90", None, tuple(headers))
        yield Case("POST", "/v1/nodes", "1.90", "{}", tuple(headers))
        yield Case("PUT", "/v1/nodes/{absent}/states/power", "1.90", '{"target": "power on"}', tuple(headers))
        yield Case("PUT", "/v1/nodes", "1.90", "{}", tuple(headers))
    for kind in TYPES:
        for method, path, body in [
            ("POST", "/v1/nodes", "{}"),
            ("POST", "/v1/ports", '{"node_uuid": "{absent}", "address": "52:54:00:aa:bb:09"}'),
            ("PATCH", "/v1/nodes/{absent}", '[{"op": "add", "path": "/extra/a", "value": 1}]'),
            ("PATCH", "/v1/chassis/{absent}", '[{"op": "add", "path": "/extra/a", "value": 1}]'),
            ("PUT", "/v1/nodes/{absent}/states/power", '{"target": "power on"}'),
            ("PUT", "/v1/nodes/{absent}/states/power", "target=power%20on"),
        ]:
            yield Case(method, path, "1.90", body, (("Content-Type", kind),))


KINDS = [_below_nodes, _strange_nodes, _collections, _spellings, _queries, _patches, _creates, _puts, _headers]


class Oracle:
    """Puts cases to one address, on a connection that is kept."""

    def __init__(self, url, names):
        parts = urllib.parse.urlsplit(url)
        self._address = (parts.hostname, parts.port)
        self._names = names
        self._connection = None

    def ask(self, case):
        """What it says, and its words."""
        while True:
            said, words = self._connected(case)
            # Another of these requests holds the node.
            if b"is locked by host" not in words:
                return said, words

    def _connected(self, case):
        try:
            return self._ask(case)
        except (http.client.HTTPException, OSError):
            # Kept for too long, or closed behind an answer.
            self._connection.close()
            self._connection = None
            return self._ask(case)

    def _ask(self, case):
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self._address, timeout=60)
        connection = self._connection
        connection.putrequest(case.method, self._fill(case.path), skip_accept_encoding=True)
        given = {name.lower() for name, _ in case.headers}
        for name, value in case.headers:
            connection.putheader(name, value)
        if VERSION.lower() not in given:
            connection.putheader(VERSION, case.version)
        body = None
        if case.body is not None:
            body = self._fill(case.body).encode()
            connection.putheader("Content-Length", str(len(body)))
            if "content-type" not in given:
                connection.putheader("Content-Type", "application/json")
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        versions = tuple(answer.headers.get(f"{VERSION}"[:-7] + word) for word in ("Minimum-Version", "Maximum-Version", "Version"))
        return Said(answer.status, kind_of(content, answer.headers), answer.headers.get("Allow"), versions), content

    def _fill(self, text):
        for name, value in self._names.items():
            text = text.replace("{" + name + "}", value)
        return text


def kind_of(content, headers):
    """Which of Ironic's shapes a body has: the two faults, the flat one, or a document by its members."""
    if not content:
        return "empty"
    if not headers.get("Content-Type", "").startswith("application/json"):
        return f"{headers.get('Content-Type')} {content[:40]!r}"
    try:
        document = json.loads(content)
    except ValueError:
        return f"no JSON {content[:40]!r}"
    if not isinstance(document, dict):
        return type(document).__name__
    if "faultcode" in document:
        return "flat"
    if "error_message" in document:
        try:
            fault = json.loads(document["error_message"])
        except (ValueError, TypeError):
            return "page of HTML" if "<html>" in document["error_message"] else "page of text"
        return "fault" if "faultcode" in fault else "routing"
    # `next` is there when more follows; Ironic also sends it on a last page that is full.
    return "document " + " ".join(sorted(set(document) - {"next"}))


def compare(theirs, ours, names, requests, threads=4):
    """The requests that are answered differently: (case, what Ironic says, what the gateway says, their words)."""
    different, faults = [], []
    source, lock = iter(requests), threading.Lock()

    def work():
        pair = Oracle(theirs, names), Oracle(ours, names)
        while True:
            with lock:
                case = next(source, None)
            if case is None:
                return
            try:
                (wanted, word), (said, ours_word) = (one.ask(case) for one in pair)
            except Exception as error:
                faults.append(f"{case}: {error!r}")
                return
            if wanted != said:
                different.append((case, wanted, said, (word, ours_word)))

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not faults, faults
    return different
