"""A hostile client and a careless location: what passes in either direction, judged by what the stand-ins recorded."""

import json
import re

import pytest
import scripted
from fleet import LATEST, assert_not_found, fleet
from standin import Standin, new_uuid, node

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
USER, PASSWORD = "edge-user", "edge-password"


@pytest.fixture(scope="module")
def module_hub():
    sites = [Standin(), Standin(credentials=("basic", USER, PASSWORD))]
    basic = {"auth_type": "http_basic", "username": USER, "password": PASSWORD}
    with fleet(*sites, each={"loc2": basic}) as hub:
        yield hub


@pytest.fixture
def hub(module_hub):
    for site in module_hub.all():
        site.nodes.clear()
    module_hub.heal()
    yield module_hub


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
            assert (request.header("Authorization") is None) == (name == "loc1")
            assert request.status != 401
    return seen


# --- what clients send


def test_what_passes_is_an_allow_list(hub):
    record = hub.loc2.add(node("target"))
    headers = [(name, SENTINEL) for name in IDENTITY if name not in ("X-Ironic-Proxy-Partial", "Authorization")]
    for reply in everything(hub, headers, record):
        assert reply.status in (200, 201, 202, 404), reply
    assert assert_clean(hub) >= 9


@pytest.mark.parametrize("name", [*IDENTITY, *HOP_BY_HOP])
def test_each_header_alone(hub, name):
    record = hub.loc2.add(node("target"))
    value = "allow" if name == "X-Ironic-Proxy-Partial" else SENTINEL
    for spelled in (name, name.upper(), name.lower()):
        hub.get(f"/v1/nodes/{record['uuid']}", headers={spelled: value})
        hub.put(f"/v1/nodes/{record['uuid']}/maintenance", {}, headers={spelled: value})
        hub.get("/v1/nodes", headers={spelled: value})
    assert name in HOP_BY_HOP or assert_clean(hub) >= 3
    assert_clean(hub)


@pytest.mark.parametrize(
    "name",
    ["X_Roles", "X_Auth_Token", "X_Project_Id", "OpenStack_System_Scope", "OPENSTACK_SYSTEM_SCOPE", "X_OpenStack_Ironic_API_Version",
     "Content_Length", "Transfer_Encoding", "X-Openstack_Request-Id", "_", "Authorization_", "User_Agent"],
)  # fmt: skip
def test_names_with_an_underscore_never_pass(hub, name):
    record = hub.loc2.add(node("target"))
    for value in (SENTINEL, "all", "5"):
        everything(hub, {name: value}, record)
    assert_clean(hub)


def test_identity_is_not_read_from_headers(hub):
    """What the location made of it, not only what it was sent."""
    reply = hub.post("/v1/nodes", {"driver": "d", "owner": "somebody"}, headers={"X-Project-Id": "zz", "X-Roles": "reader"})
    assert (reply.status, reply.json()["owner"]) == (201, "somebody")


@pytest.mark.parametrize(
    "nominated",
    ["X-Auth-Token", "Authorization", "OpenStack-System-Scope", "X-OpenStack-Ironic-API-Version", "Content-Type", "Content-Length", "Host",
     "X-OpenStack-Request-ID", "close, Authorization, OpenStack-System-Scope, X-OpenStack-Ironic-API-Version", "keep-alive, User-Agent"],
)  # fmt: skip
def test_connection_cannot_remove_what_is_ours(hub, nominated):
    record = hub.loc2.add(node("target"))
    for reply in everything(hub, {"Connection": nominated}, record):
        assert reply.status in (200, 201, 202, 400, 404), reply
    assert_clean(hub)


def test_hop_by_hop_headers_stay_here(hub):
    record = hub.loc2.add(node("target"))
    headers = [(name, SENTINEL) for name in HOP_BY_HOP if name not in ("Upgrade", "TE")]
    headers += [("TE", "trailers"), ("Connection", "X-Custom"), ("X-Custom", SENTINEL)]
    everything(hub, headers, record)
    assert assert_clean(hub)


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


@pytest.mark.parametrize("name", REFUSED)
def test_requests_that_can_be_read_in_two_ways(hub, name):
    hub.loc1.add(node("target"))
    hub.loc1.add(node("smuggled"))
    replies = hub.raw_replies(REFUSED[name])
    statuses = [status for status, _, _ in replies]
    assert all(400 <= status < 500 or status in (501, 505) for status in statuses), (statuses, replies)
    assert len(statuses) <= 1, "the rest was taken for a second request"
    # A body that turns out to be broken may have been begun to be handed on; it must never have been completed.
    assert not [str(request) for site in hub.all() for request in site.requests if request.complete]
    assert hub.get("/v1/nodes/target").status == 200, "the gateway is none the worse"


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "TLS/1.0", SENTINEL])
def test_upgrades_are_not_made(hub, protocol):
    hub.loc1.add(node("target"))
    for target in ("/v1/nodes/target", "/v1/nodes", "/v1"):
        lines = [f"Upgrade: {protocol}", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"]
        replies = hub.raw_replies(head("GET", target, *lines))
        assert [status for status, _, _ in replies] in ([200], [400], [426], [501]), replies
    assert_clean(hub)


def test_pipelined_requests_are_answered_in_order(hub):
    hub.loc1.add(node("target"))
    data = head("GET", "/v1/nodes/target") + head("GET", "/v1/nodes/nobody") + head("GET", "/v1")
    statuses = [status for status, _, _ in hub.raw_replies(data)]
    # A server may close instead of answering what was sent ahead, but must not mix the answers up.
    assert statuses and statuses == [200, 404, 200][: len(statuses)]


def test_the_absolute_form(hub):
    hub.loc1.add(node("target"))
    for target in ("http://evil.example/v1/nodes/target", f"http://{SENTINEL}/v1/nodes", "http://127.0.0.1:1/v1/nodes/target"):
        [(status, _, _)] = hub.raw_replies(head("GET", target))
        assert status in (200, 400, 404)
    assert_clean(hub)
    for site in hub.all():
        assert all(request.target.startswith("/v1/nodes") for request in site.requests)


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


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_paths_and_queries_that_can_be_read_in_two_ways(hub, target, method):
    hub.loc1.add(node("target"))
    [(status, _, body)] = hub.raw_replies(head(method, target))
    assert status in (400, 404, 405), (status, body)
    if status != 405 and method == "GET":
        document = json.loads(body)
        assert set(document) in ({"error_message"}, {"faultcode", "faultstring", "debuginfo"}), body
    assert not [request for site in hub.all() for request in site.requests if request.method != "GET"]
    asked = [request.target for site in hub.all() for request in site.requests]
    # An ident may be looked for, but only as the one segment that we took it for.
    assert not [path for path in asked if re.search(r"%2f|%00|%0a|%0d|%ff|\.\.|;|_method|//", path, re.IGNORECASE)], asked
    assert hub.loc1.find("target")


def test_a_semicolon_that_is_data_stays_data(hub):
    hub.loc1.add(node("mine", owner="a;b&c=d+e f"))
    hub.loc1.add(node("other", owner="a"))
    for query in ("owner=a%3Bb%26c%3Dd%2Be%20f", "owner=a%3Bb%26c%3Dd%2Be+f"):
        assert hub.get(f"/v1/nodes?{query}").names() == ["mine"]


def test_encoded_paths_are_sent_in_one_form(hub):
    hub.loc1.add(node("tar-get.x~y_z"))
    reply = hub.get("/v1/nodes/tar%2Dget%2Ex%7Ey%5Fz/st%61tes")
    assert reply.status == 200, reply
    assert hub.loc1.requests[-1].path == "/v1/nodes/tar-get.x~y_z/states"


@pytest.mark.parametrize("path", ["/v1/lookup?addresses=52:54:00:00:00:01", "/v1/heartbeat/{uuid}", "/v1/continue_inspection", "/lookup"])
def test_ramdisk_routes_are_closed(hub, path):
    record = hub.loc1.add(node("target"))
    method = "GET" if "lookup" in path else "POST"
    body = None if method == "GET" else {"callback_url": "http://x"}
    reply = hub.call(method, path.format(uuid=record["uuid"]), body)
    assert reply.status == 403, reply
    assert hub.asked() == {}


def test_a_write_to_an_unknown_collection_needs_a_location(hub):
    reply = hub.post("/v1/gadgets", {"a": 1})
    assert reply.status == 400, reply
    assert "X-Ironic-Proxy-Location" in reply.text()
    assert hub.asked() == {}


# --- what locations send

KEPT_BACK = [
    ("Set-Cookie", SENTINEL), ("Server", SENTINEL), ("WWW-Authenticate", SENTINEL), ("X-Subject-Token", SENTINEL),
    ("Keep-Alive", SENTINEL), ("Proxy-Authenticate", SENTINEL), ("Proxy-Connection", SENTINEL), ("Trailer", SENTINEL), ("Upgrade", SENTINEL),
]  # fmt: skip


def test_what_comes_back(hub):
    record = hub.loc2.add(node("target"))
    hub.loc2.fault(scripted.with_headers(*KEPT_BACK, ("X-Extra", "kept"), ("Connection", "X-Nominated"), ("X-Nominated", SENTINEL)))
    for reply in everything(hub, {}, record):
        for name, value in reply.headers:
            assert SENTINEL not in value, f"{name} came back"
        names = [name.lower() for name, _ in reply.headers]
        for once in ("content-length", "content-type", "x-openstack-request-id", "date", "x-openstack-ironic-api-version", "x-extra"):
            assert names.count(once) <= 1, f"{once} is repeated: {names}"
    assert hub.get(f"/v1/nodes/{record['uuid']}").header("X-Extra") == "kept"


def test_an_answer_cannot_split_the_headers(hub):
    record = hub.loc2.add(node("target"))
    hub.loc2.fault(scripted.with_headers(("X-Extra", f"a\rSet-Cookie: {SENTINEL}")), path="/v1/nodes/.+")
    reply = hub.raw(head("GET", f"/v1/nodes/{record['uuid']}"))
    assert SENTINEL.encode() not in reply.partition(b"\r\n\r\n")[0]


# --- links


def hrefs(document):
    """Every link of an answer, by structure."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key in ("href", "next") and isinstance(value, str):
                yield value
            elif key not in ("extra", "properties", "driver_info", "instance_info"):
                yield from hrefs(value)
    elif isinstance(document, list):
        for item in document:
            yield from hrefs(item)


def check_links(hub, base, headers=()):
    """Walks over everything that holds links; all must start with `base`."""
    names = []
    for index, site in enumerate(hub.all(), 1):
        names += [site.add(node(f"linked-{index}-{number}"))["name"] for number in range(2)]
    group = {"loc1": "", "loc2": "grp1", "loc3": "grp2"}
    checked = 0
    for location in hub.sites:
        created = hub.post("/v1/nodes", {"driver": "d", "conductor_group": group[location]}, headers=headers)
        assert created.status == 201, created
        ident = created.json()["uuid"]
        assert created.header("Location") == f"{base}/v1/nodes/{ident}"
        power = hub.put(f"/v1/nodes/{ident}/states/power", {"target": "power on"}, headers=headers)
        assert power.header("Location") == f"{base}/v1/nodes/{ident}/states"
        trait = hub.put(f"/v1/nodes/{ident}/traits/CUSTOM_A", headers=headers)
        assert trait.header("Location") == f"{base}/v1/nodes/{ident}/traits/CUSTOM_A"
        shown = hub.get(f"/v1/nodes/{ident}", headers=headers).json()
        assert shown["links"] == [
            {"href": f"{base}/v1/nodes/{ident}", "rel": "self"},
            {"href": f"{base}/nodes/{ident}", "rel": "bookmark"},
        ]
        assert shown["ports"] == [
            {"href": f"{base}/v1/nodes/{ident}/ports", "rel": "self"},
            {"href": f"{base}/nodes/{ident}/ports", "rel": "bookmark"},
        ]
        patched = hub.patch(f"/v1/nodes/{ident}", [{"op": "add", "path": "/extra/a", "value": 1}], headers=headers).json()
        for document in (created.json(), shown, patched):
            found = list(hrefs(document))
            assert len(found) >= 10
            assert all(link.startswith((f"{base}/v1/nodes/{ident}", f"{base}/nodes/{ident}")) for link in found), found
            checked += len(found)
    for path in ("/v1/nodes?limit=1", "/v1/nodes?detail=True", "/v1/nodes?sort_key=name&limit=3", "/v1/nodes/detail?limit=2"):
        document = hub.get(path, headers=headers).json()
        found = list(hrefs(document))
        assert found and all(link.startswith((f"{base}/v1/nodes", f"{base}/nodes/")) for link in found), found
        if "limit" in path:
            assert document["next"].startswith(f"{base}{path.partition('?')[0]}?")
    for path in ("/", "/v1"):
        found = [link for link in hrefs(hub.get(path, headers=headers).json()) if not link.startswith("https://docs.openstack.org/")]
        assert found and all(link.startswith(f"{base}/") for link in found), found
    return checked


@pytest.fixture(scope="module")
def prefixed():
    """Locations under a prefix, with a trailing /v1 in the configuration, and one whose own links say something else."""

    class Versioned(Standin):
        @property
        def endpoint(self):
            return f"{super().endpoint}/v1"

    sites = [
        Standin(prefix="/baremetal"),
        Versioned(prefix="/edge/two"),
        Standin(link_base="https://bm.example.com/baremetal"),
    ]
    with fleet(*sites) as hub:
        yield hub


def test_links_of_prefixed_endpoints(prefixed):
    prefixed.heal()
    assert check_links(prefixed, prefixed.url) >= 90
    for name, start in (("loc1", "/baremetal/v1/"), ("loc2", "/edge/two/v1/"), ("loc3", "/v1/")):
        assert all(request.target.startswith(start) for request in prefixed.sites[name].asked("PUT"))


def test_links_show_the_host_that_the_client_used(prefixed):
    for host in ("hub.example", "hub.example:6385", "[::1]:6385"):
        [(status, _, body)] = prefixed.raw_replies(head("GET", "/v1/nodes?limit=1", host=host))
        assert status == 200
        assert all(link.startswith(f"http://{host}/") for link in hrefs(json.loads(body)))


@pytest.mark.parametrize("headers", [
    {"X-Forwarded-Proto": "https", "X-Forwarded-Host": SENTINEL, "X-Forwarded-Prefix": "/x"},
    {"Forwarded": f"proto=https;host={SENTINEL}"},
    {"X-Forwarded-Host": SENTINEL},
])  # fmt: skip
def test_forwarded_headers_are_ignored(prefixed, headers):
    prefixed.heal()
    check_links(prefixed, prefixed.url, headers)
    assert not [request for site in prefixed.all() for request in site.requests if SENTINEL.encode() in request.head]


def test_forwarded_headers_when_they_are_enabled():
    sites = [Standin(), Standin(prefix="/baremetal")]
    with fleet(*sites, sections={"oslo_middleware": {"enable_proxy_headers_parsing": True}}) as hub:
        check_links(hub, "https://api.example", {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example"})
        check_links(hub, "https://api.example/metal", {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example",
                                                       "X-Forwarded-Prefix": "/metal"})  # fmt: skip
        check_links(hub, hub.url)
        names = {name for site in hub.all() for request in site.requests for name in request.header_names()}
        assert not [name for name in names if "forwarded" in name]


@pytest.mark.parametrize("endpoint", ["https://api.example.org/metal", "https://api.example.org:8443", "http://api.example.org/metal/"])
def test_public_endpoint(endpoint):
    with fleet(2, api={"public_endpoint": endpoint}) as hub:
        check_links(hub, endpoint.rstrip("/"))
        check_links(hub, endpoint.rstrip("/"), {"X-Forwarded-Host": "evil", "X-Forwarded-Proto": "gopher"})


def test_data_that_looks_like_links_is_left_alone(hub):
    own = hub.loc1.endpoint
    data = {
        "links": [{"href": f"{own}/v1/nodes/x", "rel": "self"}],
        "next": f"{own}/v1/nodes?marker=x",
        "href": f"{own}/v1/nodes",
        "ports": [{"href": f"{own}/v1/ports"}],
        "text": f'a "{own}/v1/nodes/y" b',
    }
    fields = {name: data for name in ("extra", "properties", "driver_info", "instance_info", "driver_internal_info", "network_data")}
    record = hub.loc1.add(node("data", description=f"{own}/v1/nodes/z", owner=f"{own}/v1/nodes/z", **fields))
    answers = [
        hub.get("/v1/nodes/data").json(),
        hub.get("/v1/nodes?detail=True").json()["nodes"][0],
        hub.get("/v1/nodes?detail=True&sort_key=name").json()["nodes"][0],
        hub.get("/v1/nodes?fields=extra,properties,driver_info,description,uuid").json()["nodes"][0],
        hub.patch(f"/v1/nodes/{record['uuid']}", []).json(),
    ]
    for answer in answers:
        for name in ("extra", "properties", "driver_info"):
            assert answer[name] == data
        assert answer["description"] == f"{own}/v1/nodes/z"
        assert all(link["href"].startswith(hub.url) for link in answer["links"])


def test_a_routed_answer_is_byte_for_byte_but_for_its_links(hub):
    record = hub.loc1.add(node("odd"))
    assert hub.get("/v1/nodes/odd").status == 200
    odd = (
        b'{"uuid": "%s", "weight": 1.10, "huge": 123456789012345678901234567890, "exp": 1E+5, "twice": 1, "twice": 2,'
        b' "text": "\\u00e9\\/\xc3\xa9", "new": {"b": 1 , "a":[ ]}, "name": null, "links": []}  ' % record["uuid"].encode()
    )
    hub.loc1.fault(scripted.answers(200, odd), path="/v1/nodes/.+")
    assert hub.get(f"/v1/nodes/{record['uuid']}").body.strip() == odd.strip()


def test_vendor_passthru_is_bytes(hub):
    record = hub.loc2.add(node("target"))
    blob = bytes(range(256)) * 300
    reply = hub.post(f"/v1/nodes/{record['uuid']}/vendor_passthru/m", blob, headers={"Content-Type": "application/octet-stream"})
    assert (reply.status, reply.body) == (200, blob)
    assert reply.header("Content-Type") == "application/octet-stream"
    assert hub.loc2.asked("POST")[0].header("Content-Type") == "application/octet-stream"
    link = json.dumps({"links": [{"href": f"{hub.loc2.endpoint}/v1/nodes/x"}]}).encode()
    assert hub.post(f"/v1/nodes/{record['uuid']}/vendor_passthru/m", link).body == link


# --- request ids

REQUEST_ID = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/nodes", "/v1/nodes/nobody", "/v1/nodes/target", "/v1/nodes?limit=x", "/v1/nodes/a%2Fb"])
def test_every_answer_has_a_request_id(hub, path):
    hub.loc1.add(node("target"))
    first, second = (hub.get(path).header("X-Openstack-Request-Id") for _ in range(2))
    assert REQUEST_ID.fullmatch(first) and REQUEST_ID.fullmatch(second)
    assert first != second


def test_the_request_id_is_in_the_log(hub):
    reply = hub.get("/v1/nodes?limit=7")
    ident = reply.header("X-Openstack-Request-Id")
    hub.logged(rf"{ident}.*/v1/nodes\?limit=7.*200|/v1/nodes\?limit=7.*200.*{ident}")


def test_a_global_request_id_is_handed_on(hub):
    record = hub.loc2.add(node("target"))
    ours = "req-01234567-89ab-4cde-8f01-23456789abcd"
    for reply in everything(hub, {"X-OpenStack-Request-ID": ours}, record):
        assert reply.header("X-Openstack-Request-Id") != ours, "Ironic does not echo it"
    for site in hub.all():
        assert {request.header("X-OpenStack-Request-ID") for request in site.requests} == {ours}


def test_the_locations_request_id_is_relayed(hub):
    record = hub.loc2.add(node("target"))
    theirs = "req-99999999-89ab-4cde-8f01-23456789abcd"

    def fixed(exchange):
        answer = exchange.true_answer()
        answer.headers = [(name, theirs if "request-id" in name else value) for name, value in answer.headers]
        return answer

    hub.loc2.fault(fixed)
    assert hub.get(f"/v1/nodes/{record['uuid']}/states").header("X-Openstack-Request-Id") == theirs


@pytest.mark.parametrize("value", ["x", "req-" + SENTINEL, "req-" + "0" * 400, "req-01234567-89ab-4cde-8f01-23456789abcd x", ""])
def test_a_request_id_that_is_none_is_not_handed_on(hub, value):
    record = hub.loc2.add(node("target"))
    everything(hub, {"X-OpenStack-Request-ID": value}, record)
    for site in hub.all():
        for request in site.requests:
            handed = request.header("X-OpenStack-Request-ID")
            assert handed is None or REQUEST_ID.fullmatch(handed), handed


def test_the_log_cannot_be_forged(hub):
    """What a client sends stands in one line, whatever it holds."""
    before = len(hub.gateway.log())
    hub.raw(head("GET", "/v1/nodes/x%0aFORGED%20LINE", "User-Agent: a\x1b[31mFORGED"))
    hub.raw(head("GET", "/v1/nodes?owner=%0d%0aFORGED"))
    for line in hub.gateway.log()[before:].splitlines():
        assert not line.startswith("FORGED")
        assert "\x1b" not in line


def test_a_location_header_of_a_stranger(hub):
    """The gateway's own header is for the gateway alone."""
    hub.loc1.add(node("target"))
    reply = hub.get("/v1/nodes/target", headers={"X-Ironic-Proxy-Location": "loc1"})
    assert reply.status == 200
    for values in (["loc1", "loc2"], ["loc1,loc2"], [""], ["loc1/../loc2"]):
        reply = hub.get("/v1/nodes/target", headers=[("X-Ironic-Proxy-Location", value) for value in values])
        assert reply.status == 400, (values, reply)
    assert_not_found(hub.get("/v1/nodes/target", headers={"X-Ironic-Proxy-Location": "loc2"}), "target")
    assert_clean(hub)


def test_the_newest_version_is_what_these_tests_speak():
    assert LATEST == Standin.__init__.__kwdefaults__["versions"][1]
