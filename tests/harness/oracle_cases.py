"""Thousands of odd requests, made from the tables of paths and bodies.

Every request is harmless: what it names is absent, or it is a question, or
its body is refused. `{node}`, `{name}` and `{absent}` in a path, query or
body stand for a node's uuid, its name, and a uuid that nobody has.
"""

import itertools
import os
import zlib
from typing import NamedTuple

from oracle_bodies import CREATES, HEADERS, PATCHES, PUTS, TYPES
from oracle_paths import BELOW_NODE, COLLECTIONS, LISTS, QUERIES, SPELLINGS, STRANGE

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


def some(items, key, count):
    """`count` of the items, others for another key, always the same for the same one; all with ORACLE=all."""
    if os.environ.get("ORACLE") == "all" or count >= len(items):
        return items
    start = zlib.crc32(key.encode())
    step = len(items) // count
    return [items[(start + index * step) % len(items)] for index in range(count)]


# Ironic does not know it.
PINNED = ("X-Ironic-Proxy-Location", "loc1")


def cases():
    """Every request, once; some of them again with their location named."""
    plain = list(dict.fromkeys(itertools.chain(*(kind() for kind in KINDS))))
    return plain + [case._replace(headers=(*case.headers, PINNED)) for case in some(plain, "pinned", len(plain) // 8)]


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
