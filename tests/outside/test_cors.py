"""`[cors]`: pages of other origins are let in as Ironic lets them in, judged by its own middleware."""

import itertools
import json
import subprocess

import pytest
from bed import venvs
from fleet import fleet
from standin import Standin, node

# Of each request read from standard input what Ironic's own class adds to an answer with that status.
ORACLE = """
import json, sys
import webob
from oslo_config import cfg
from oslo_middleware import cors
from ironic.api.app import IronicCORS
from ironic.api.controllers import base

options, requests = json.load(sys.stdin)
cfg.CONF([])
cors.set_defaults(
    allow_methods=["GET", "PUT", "POST", "DELETE", "PATCH"],
    expose_headers=[base.Version.max_string, base.Version.min_string, base.Version.string],
)
middleware = IronicCORS(None, cfg.CONF)
for name, value in options.items():
    cfg.CONF.set_override(name, value.split(",") if name not in ("max_age", "allow_credentials") else value, "cors")
middleware = IronicCORS(None, cfg.CONF)
for method, headers, status in requests:
    request = webob.Request.blank("/v1/nodes", method=method, headers=headers)
    answer = middleware.process_response(webob.Response(status=status), request)
    shown = {name.lower(): value for name, value in answer.headers.items() if name.lower().startswith(("access-control-", "vary"))}
    print(json.dumps([answer.status_code, shown]))
"""

HORIZON = "https://horizon.example.com"
OPTIONS = [
    {"allowed_origin": HORIZON},
    {"allowed_origin": f"{HORIZON},https://other.example.com:8443", "allow_credentials": "false", "max_age": "0", "expose_headers": "X-One,X-Two"},
    {"allowed_origin": "*", "allow_methods": "GET", "allow_headers": "X-Mine", "max_age": "60"},
]
METHOD, HEADERS = "Access-Control-Request-Method", "Access-Control-Request-Headers"
ORIGINS = [None, HORIZON, "https://other.example.com:8443", "https://evil.example.com", f"{HORIZON}/", HORIZON.upper(), "null", ""]
PREFLIGHTS = [
    {},
    {METHOD: "GET"},
    {METHOD: "PATCH", HEADERS: "X-Auth-Token, content-type"},
    {METHOD: "patch"},
    {METHOD: "PUT", HEADERS: "x-openstack-ironic-api-version,,"},
    {METHOD: "GET", HEADERS: "x-mine"},
    {METHOD: "GET", HEADERS: "X-Evil"},
    {METHOD: "TRACE"},
]
# A list, what is not there, and what is refused at the door.
ASKED = [("GET", "/v1/nodes", 200), ("GET", "/v1/nodes/nobody", 404), ("GET", "/v1/nodes?limit=x", 400), ("POST", "/v1/nodes", 400)]


def requests():
    """Method, path, headers, status of the answer without all this."""
    for origin in ORIGINS:
        named = {} if origin is None else {"Origin": origin}
        for method, path, status in ASKED:
            yield method, path, named, status
        for preflight in PREFLIGHTS:
            yield "OPTIONS", "/v1/nodes", {**named, **preflight}, 405


def told_by_ironic(options, asked):
    said = subprocess.run(
        [venvs.program(venvs.IRONIC, "python"), "-c", ORACLE],
        input=json.dumps([options, [(method, headers, status) for method, _, headers, status in asked]]),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    return [json.loads(line) for line in said.splitlines()]


def shown(reply):
    return {name.lower(): value for name, value in reply.pairs if name.lower().startswith(("access-control-", "vary"))}


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options["allowed_origin"])
def test_as_ironic_does(options):
    asked = list(requests())
    with fleet(1, sections={"cors": options}) as hub:
        for (method, path, headers, _), expected in zip(asked, told_by_ironic(options, asked), strict=True):
            reply = hub.call(method, path, [] if method == "POST" else None, headers=headers)
            assert [reply.status, shown(reply)] == expected, (method, path, headers, reply)


@pytest.fixture(scope="module")
def hub():
    site = Standin([node("one")])
    with fleet(site, sections={"cors": {"allowed_origin": HORIZON}}) as hub:
        yield hub


def test_what_is_passed_on_is_shared_too(hub):
    """Vendor passthru goes through another part of the gateway; what a location says of origins is not ours."""
    for origin, allowed in ((HORIZON, HORIZON), ("https://evil.example.com", None)):
        reply = hub.call("GET", "/v1/nodes/one/vendor_passthru?method=x", headers={"Origin": origin})
        assert reply.header("Access-Control-Allow-Origin") == allowed, reply


def test_a_location_is_not_told_of_it(hub):
    hub.forget_requests()
    hub.call("OPTIONS", "/v1/nodes", headers={"Origin": HORIZON, METHOD: "GET"})
    assert hub.loc1.requests == []
    hub.call("GET", "/v1/nodes/one", headers={"Origin": HORIZON})
    assert all(name.lower() != "origin" for request in hub.loc1.requests for name, _ in request.headers)


def test_a_preflight_needs_no_credential_and_lets_nobody_in(tmp_path):
    """Browsers ask without one; what follows is refused as ever, and the page may read why."""
    users = tmp_path / "htpasswd"
    users.write_text("", encoding="utf-8")
    users.chmod(0o600)
    files = {"http_basic_auth_user_file": users}
    with fleet(1, wait=False, sections={"cors": {"allowed_origin": HORIZON}}, api={"auth_strategy": "http_basic"}, default=files) as hub:
        reply = hub.call("OPTIONS", "/v1/nodes", headers={"Origin": HORIZON, METHOD: "GET"})
        assert (reply.status, reply.header("Access-Control-Allow-Methods")) == (200, "GET"), reply
        reply = hub.call("GET", "/v1/nodes", headers={"Origin": HORIZON})
        assert (reply.status, reply.header("Access-Control-Allow-Origin")) == (401, HORIZON), reply


def test_without_the_section_nothing_is_said():
    with fleet(1) as hub:
        for method, path in itertools.product(("GET", "OPTIONS"), ("/v1/nodes", "/", "/healthcheck")):
            assert shown(hub.call(method, path, headers={"Origin": HORIZON, METHOD: "GET"})) == {}, (method, path)
