"""What a hostile client sends, and what a location may see of it."""

import re

from standin import new_uuid

SENTINEL = "evil-d41d8cd9"
# Everything that a location may be sent. What is not here did not come from us.
ALLOWED = {
    "host", "connection", "accept", "content-type", "content-length", "transfer-encoding", "user-agent", "expect", "accept-encoding",
    "x-openstack-ironic-api-version", "x-openstack-request-id", "openstack-system-scope", "authorization", "x-auth-token",
    "if-match", "if-none-match", "if-modified-since", "if-unmodified-since",
}  # fmt: skip
IDENTITY = [
    "X-Auth-Token", "X-Service-Token", "X-Subject-Token", "X-Storage-Token", "Authorization", "Proxy-Authorization", "Cookie", "Cookie2",
    "X-Identity-Status", "X-User", "X-User-Id", "X-User-Name", "X-User-Domain-Id", "X-User-Domain-Name", "X-Project-Id",
    "X-Project-Name", "X-Project-Domain-Id", "X-Project-Domain-Name", "X-Tenant", "X-Tenant-Id", "X-Tenant-Name", "X-Domain-Id",
    "X-Domain-Name", "X-Role", "X-Roles", "X-Is-Admin-Project", "X-Trust-Id", "X-Service-Catalog", "X-Service-Roles",
    "X-Service-User-Id", "X-Service-Project-Id", "X-Service-Identity-Status", "OpenStack-System-Scope",
    "OpenStack-Identity-Access-Rules", "OpenStack-Auth-Receipt", "X-OpenStack-Nova-API-Version", "X-Forwarded-For", "X-Forwarded-Host",
    "X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Forwarded-Port", "Forwarded", "X-Real-IP", "Via", "X-HTTP-Method-Override",
    "X-Method-Override", "X-Original-URL", "X-Rewrite-URL", "X-Remote-User", "Remote-User", "X-SSL-Client-Cert", "SSL-Client-Verify",
    "X-Ironic-Proxy-Partial", "X-Anything-Else", "Range", "Referer", "Origin",
]  # fmt: skip
HOP_BY_HOP = ["Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade", "Proxy-Authenticate", "HTTP2-Settings"]


def head(method="GET", target="/v1/nodes/target", *lines, host="hub.example", version="HTTP/1.1"):
    every = [f"{method} {target} {version}"]
    if host is not None:
        every.append(f"Host: {host}")
    every += ["X-OpenStack-Ironic-API-Version: 1.90", *lines]
    return ("\r\n".join(every) + "\r\n\r\n").encode("latin-1")


SECOND = b"GET /v1/nodes/smuggled HTTP/1.1\r\nHost: hub.example\r\nX-Roles: " + SENTINEL.encode() + b"\r\n\r\n"
CHUNKED = b"0\r\n\r\n" + SECOND
POSTED = ("PUT", "/v1/nodes/target/maintenance")

REFUSED = {
    "CL and TE": head(*POSTED, f"Content-Length: {len(CHUNKED)}", "Transfer-Encoding: chunked") + CHUNKED,
    "TE and CL": head(*POSTED, "Transfer-Encoding: chunked", "Content-Length: 4") + b"5c\r\n" + CHUNKED,
    "two lengths": head(*POSTED, "Content-Length: 2", f"Content-Length: {2 + len(SECOND)}") + b"{}" + SECOND,
    "two lengths in one": head(*POSTED, f"Content-Length: 2, {2 + len(SECOND)}") + b"{}" + SECOND,
    "a signed length": head(*POSTED, "Content-Length: +2") + b"{}" + SECOND,
    "a negative length": head(*POSTED, "Content-Length: -2") + b"{}" + SECOND,
    "a length in hex": head(*POSTED, "Content-Length: 0x2") + b"{}" + SECOND,
    "a length too long": head(*POSTED, "Content-Length: 18446744073709551618") + b"{}" + SECOND,
    "no number": head(*POSTED, "Content-Length: two") + b"{}" + SECOND,
    "TE unknown": head(*POSTED, "Transfer-Encoding: xchunked") + CHUNKED,
    "TE not last": head(*POSTED, "Transfer-Encoding: chunked, identity") + CHUNKED,
    "TE with a blank": head(*POSTED, "Transfer-Encoding : chunked", f"Content-Length: {len(CHUNKED)}") + CHUNKED,
    "TE in HTTP/1.0": head(*POSTED, "Transfer-Encoding: chunked", version="HTTP/1.0") + CHUNKED,
    "a chunk size too long": head(*POSTED, "Transfer-Encoding: chunked") + b"FFFFFFFFFFFFFFFFFFFF\r\n" + SECOND,
    "a negative chunk size": head(*POSTED, "Transfer-Encoding: chunked") + b"-1\r\n" + SECOND,
    "no chunk size": head(*POSTED, "Transfer-Encoding: chunked") + b"zz\r\n" + SECOND,
    "two hosts": head("GET", "/v1/nodes/target", "Host: other.example"),
    "two hosts of one": head("GET", "/v1/nodes/target", "Host: hub.example"),
    "no host": head(host=None),
    "a folded header": head("GET", "/v1/nodes/target", "X-A: b\r\n folded: x"),
    "a NUL in a value": head("GET", "/v1/nodes/target", "X-A: b\x00c"),
    "a CR in a value": head("GET", "/v1/nodes/target", "X-A: b\rX-Roles: admin"),
    "a blank before the colon": head("GET", "/v1/nodes/target", "X-A : b"),
    "a blank in a name": head("GET", "/v1/nodes/target", "X A: b"),
    "no name": head("GET", "/v1/nodes/target", ": b"),
    "no colon": head("GET", "/v1/nodes/target", "just words"),
    "a target with a control byte": head("GET", "/v1/nodes/tar\x01get"),
    "a target with a tab": head("GET", "/v1/nodes/tar\tget"),
    "a target with DEL": head("GET", "/v1/nodes/tar\x7fget"),
    "a target in Latin-1": head("GET", "/v1/nodes/t\xe4rget"),
    "CONNECT": head("CONNECT", "127.0.0.1:22"),
    "CONNECT to a path": head("CONNECT", "/v1/nodes/target"),
    "TRACE": head("TRACE", "/v1/nodes/target"),
    "an unknown method": head("FOO", "/v1/nodes/target"),
    "a method in small letters": head("get", "/v1/nodes/target"),
    "asterisk": head("GET", "*"),
    "no slash": head("GET", "v1/nodes/target"),
    "HTTP/2.0": head(version="HTTP/2.0"),
    "HTTP/3.7": head(version="HTTP/3.7"),
    "a long head": head("GET", "/v1/nodes/target", "X-A: " + "b" * (2 << 20)),
    "many headers": head("GET", "/v1/nodes/target", *[f"X-{index}: b" for index in range(1000)]),
    "a host with a quote": head(host='evil"x'),
    "a host with a path": head(host="evil/x"),
    "a host with a blank": head(host="evil x"),
    "a host with a user": head(host="user@evil"),
    "an empty host": head(host=""),
    "two tokens": head("GET", "/v1/nodes/target", "X-Auth-Token: a", "X-Auth-Token: b"),
    "two authorizations": head("GET", "/v1/nodes/target", "Authorization: Basic YTpi", "Authorization: Basic Yjph"),
}

TARGETS = [
    "/v1/nodes/tar get",
    "/v1/nodes/a%2Fb", "/v1/nodes/a%2fb", "/v1/nodes/target%2Fstates", "/v1%2Fnodes", "/v1/nodes/%2e%2e", "/v1/nodes/%2E%2E/nodes/target",
    "/v1/nodes/../nodes/target", "/v1/nodes/target/../target", "/v1/nodes/./target", "/v1/nodes/%2E", "/v1/../v1/nodes/target",
    "/../v1/nodes/target", "/v1/nodes/target;x=1", "/v1/nodes;x/target", "/v1/nodes/target/states;x", "/v1//nodes/target",
    "//v1/nodes/target", "/v1/nodes//target", "/v1/nodes/target//states", "/v1/nodes/target%00", "/v1/nodes/target%0d%0aX-Roles:%20admin",
    "/v1/nodes/target%0A", "/v1/nodes/target%7F", "/v1/nodes/%01", "/v1/nodes/%ff%fe", "/v1/nodes/%c0%ae", "/v1/nodes/target%",
    "/v1/nodes/target%zz", "/v1/nodes/target%2", "/v1/nodes/target%252Fstates", "/v1/nodes/target\\states", "/v1/nodes/target#x",
    "/v1/nodes?_method=DELETE", "/v1/nodes/target?_method=delete", "/v1/nodes?%5Fmethod=put",
    "/v1/nodes?maintenance=True;owner=x", "/v1/nodes/target?fields=uuid;_method=delete", "/v1/nodes?owner=a%00b", "/v1/nodes?owner=a%0Ab",
    "/v1/nodes?owner=%ff", "/v1/nodes/validate?node=a&node=target",
    "/v1/nodes/validate?node_uuid=a&node_uuid=b", "/v1/NODES/target", "/V1/nodes/target", "/v2/nodes/target",
]  # fmt: skip


def everything(hub, headers, record):
    """One request of each kind with these headers; returns the answers."""
    path = f"/v1/nodes/{record['uuid']}"
    return [
        hub.get("/v1/nodes", headers=headers),
        hub.get("/v1/nodes?sort_key=name&limit=1", headers=headers),
        hub.get(path, headers=headers),
        hub.get(f"/v1/nodes/{record['name']}/states", headers=headers),
        hub.patch(path, [{"op": "add", "path": "/extra/a", "value": 1}], headers=headers),
        hub.put(f"{path}/states/power", {"target": "power on"}, headers=headers),
        hub.post("/v1/nodes", {"driver": "d", "conductor_group": "grp1"}, headers=headers),
        hub.post(f"{path}/vendor_passthru/m", b"raw", headers=headers),
        hub.get(f"/v1/nodes/{new_uuid()}", headers=headers),
    ]


def assert_clean(hub):
    """No location got anything of the client's that it must not get, and all of ours."""
    seen = 0
    for name, site in hub.sites.items():
        for request in site.requests:
            seen += 1
            assert SENTINEL.encode() not in request.head, f"{name} got {request.head!r}"
            assert request.header_names() <= ALLOWED, f"{name} got {request.header_names() - ALLOWED}"
            assert not [key for key in request.header_names() if "_" in key]
            assert request.header("OpenStack-System-Scope") == "all"
            assert re.fullmatch(r"1\.\d+", request.header("X-OpenStack-Ironic-API-Version"))
            assert request.header("Host") == f"127.0.0.1:{site.port}"
            assert request.header("X-Auth-Token") is None
            assert (request.header("Authorization") is None) == (name == "loc1"), request.head
            assert request.status != 401
    return seen
