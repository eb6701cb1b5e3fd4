"""Behind a proxy that terminates TLS: the links are those that Ironic would give, judged by the middleware and WebOb that it uses."""

import json
import subprocess

import pytest
from bed import venvs
from fleet import fleet
from standin import Standin, node

# Of each request read from standard input the URL that Ironic makes its links of (`ironic.api.hooks.PublicUrlHook`).
ORACLE = """
import json, sys
import webob
from oslo_config import cfg
from oslo_middleware.http_proxy_to_wsgi import HTTPProxyToWSGI

cfg.CONF([])
middleware = HTTPProxyToWSGI(lambda *_: None, {"enable_proxy_headers_parsing": sys.argv[1]})
for headers in json.load(sys.stdin):
    request = webob.Request.blank("/v1/nodes", headers=headers)
    middleware.process_request(request)
    print(request.host_url)
"""

PROTO, HOST, PREFIX = "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Prefix"

# What terminators send: nginx, HAProxy as kolla-ansible has it, Apache, Traefik, a Kubernetes ingress, and who keeps to RFC 7239.
AS_IRONIC = [
    {},
    {PROTO: "https"},
    {PROTO: "http"},
    {PROTO: "https", "X-Forwarded-Port": "8443"},
    {PROTO: "https", HOST: "bm.example.com"},
    {PROTO: "https", HOST: "bm.example.com:443"},
    {PROTO: "https", HOST: "bm.example.com:80"},
    {PROTO: "http", HOST: "bm.example.com:80"},
    {PROTO: "https", HOST: "bm.example.com:6385"},
    {PROTO: "https", HOST: "[2001:db8::1]"},
    {PROTO: "https", HOST: "[2001:db8::1]:443"},
    {PROTO: "https", HOST: "[2001:db8::443]"},
    {HOST: "BM.Example.com"},
    {PROTO: "", HOST: ""},
    {"Host": "hub.example:80"},
    {"Host": "hub.example:443"},
    {"Host": "hub.example:443", PROTO: "https"},
    {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Server": "front", PROTO: "https"},
    {"Forwarded": "for=192.0.2.7;proto=https;by=203.0.113.43;host=bm.example.com"},
    {"Forwarded": "For=192.0.2.7; Proto=https; HOST=bm.example.com:8443"},
    {"Forwarded": "proto = https ; host = bm.example.com"},
    {"Forwarded": "for=192.0.2.7;proto=https, for=198.51.100.2;proto=http;host=inner"},
    {"Forwarded": "for=192.0.2.7, for=198.51.100.2;proto=https"},
    {"Forwarded": "proto=http;proto=https"},
    {"Forwarded": "host=bm.example.com"},
    {"Forwarded": "secret;proto=https"},
    {"Forwarded": ";;proto=https;"},
    {"Forwarded": "proto=;host="},
    # Where the standard's header is, the others say nothing, whatever it says.
    {"Forwarded": "for=192.0.2.7", PROTO: "https", HOST: "bm.example.com"},
    {"Forwarded": "proto=https", PROTO: "http", HOST: "bm.example.com"},
    {"Forwarded": ",proto=https", PROTO: "https"},
    {"Forwarded": "nonsense", PROTO: "https"},
    {"Forwarded": "", PROTO: "https"},
]

# Where Ironic's links would lead nowhere.
BETTER = [
    ({PROTO: "HTTPS"}, "https://hub.example"),
    ({PROTO: "https, http"}, "https://hub.example"),
    ({HOST: "bm.example.com, inner"}, "http://bm.example.com"),
    ({"Forwarded": 'proto=https;host="bm.example.com:8443"'}, "https://bm.example.com:8443"),
    ({"Forwarded": 'host="bm.ex\\ample.com"'}, "http://bm.example.com"),
    ({"Forwarded": 'for="_a,b;c";proto="https"'}, "https://hub.example"),
    ({"Forwarded": 'for="[2001:db8::1]:4711";host="[2001:db8::1]:443";proto=https'}, "https://[2001:db8::1]"),
    # One Ironic is not told of a path.
    ({PREFIX: "/metal"}, "http://hub.example/metal"),
    ({PREFIX: "/metal/"}, "http://hub.example/metal"),
    ({PREFIX: "metal"}, "http://hub.example/metal"),
    ({PREFIX: "/"}, "http://hub.example"),
    ({PREFIX: "/a/b, /c"}, "http://hub.example/a/b"),
    ({PREFIX: "/metal", PROTO: "https", HOST: "bm.example.com"}, "https://bm.example.com/metal"),
    ({PREFIX: "/metal", "Forwarded": "proto=https;host=bm.example.com"}, "https://bm.example.com/metal"),
]

REFUSED = [
    {HOST: "evil/path"},
    {HOST: "user@evil"},
    {HOST: 'a"b'},
    {PROTO: "java script"},
    {PREFIX: '/a"b'},
    {PREFIX: "/a?b"},
    {"Forwarded": 'host="evil/path"'},
]


def ironic_s(cases, enabled):
    program = [venvs.program(venvs.IRONIC, "python"), "-c", ORACLE, str(enabled)]
    done = subprocess.run(program, input=json.dumps(cases), capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


def ours(hub, headers):
    """The base of the links, alike in the version documents and in a list; or the status."""
    headers = {"Host": "hub.example", **headers}
    found = set()
    for path, read in (
        ("/v1", lambda body: body["nodes"][0]["href"].removesuffix("/v1/nodes/")),
        ("/", lambda body: body["default_version"]["links"][0]["href"].removesuffix("/v1/")),
        ("/v1/nodes?limit=1", lambda body: body["next"].partition("/v1/nodes?")[0]),
    ):
        reply = hub.get(path, headers=headers)
        found.add(read(reply.json()) if reply.status == 200 else reply.status)
    assert len(found) == 1, found
    return found.pop()


def hub_that(parses):
    sites = [Standin([node("a"), node("b")])]
    return fleet(*sites, sections={"oslo_middleware": {"enable_proxy_headers_parsing": parses}})


@pytest.fixture(scope="module")
def hub():
    with hub_that(True) as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("parses", [True, False])
def test_the_links_are_those_of_one_ironic(parses):
    cases = [{"Host": "hub.example", **headers} for headers in AS_IRONIC]
    with hub_that(parses) as hub:
        assert [(case, ours(hub, case)) for case in cases] == list(zip(cases, ironic_s(cases, parses), strict=True))


@pytest.mark.parametrize(("headers", "base"), BETTER)
def test_what_ironic_would_make_no_link_of(hub, headers, base):
    assert ours(hub, headers) == base


@pytest.mark.parametrize("headers", REFUSED)
def test_what_is_no_host(hub, headers):
    assert ours(hub, headers) == 400


def test_a_list_of_header_lines(hub):
    """Lines of one name are one list (RFC 9110, 5.3): the first was written by who is nearest to the client."""
    lines = [("Host", "hub.example"), (PROTO, "https"), (PROTO, "http"), (HOST, "bm.example.com"), (HOST, "inner")]
    reply = hub.get("/v1", headers=lines)
    assert reply.json()["nodes"][0]["href"] == "https://bm.example.com/v1/nodes/"


def test_a_named_location_under_a_prefix():
    options = {"oslo_middleware": {"enable_proxy_headers_parsing": True}}
    with fleet(Standin([node("a"), node("b")]), api={"location_endpoints": True}, sections=options) as hub:
        reply = hub.get("/locations/loc1/v1/nodes?limit=1", headers={"Host": "hub.example", PREFIX: "/metal", PROTO: "https"})
        assert reply.json()["next"].startswith("https://hub.example/metal/locations/loc1/v1/nodes?")
