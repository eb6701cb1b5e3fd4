"""`[audit]`: records of requests, compared with those of the audit filter that Ironic runs."""

import json
import pathlib
import re
import signal
import subprocess

import pytest
from bed import venvs
from client import Client
from fleet import fleet, until
from standin import Standin, StandinKeystone, node
from test_http_basic import SECRET_WORD, basic

# The events that keystonemiddleware's filter makes of each request read from standard input, behind auth_token.
ORACLE = """
import json, logging, sys, warnings
import webob
from keystonemiddleware import audit

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
document = json.load(sys.stdin)
events = []

class Notifier:
    def notify(self, context, event_type, payload):
        events.append([event_type, payload])

audit._notifier.create_notifier = lambda *_: Notifier()
for one in document["requests"]:
    def ironic(environ, start, status=one["status"]):
        start(f"{status} Said", [("Content-Type", "application/json")])
        return [b""]

    events.clear()
    middleware = audit.AuditMiddleware(ironic, audit_map_file=document["map"], ignore_req_list=document["ignored"])
    request = webob.Request.blank(one["path"], method=one["method"], headers=one["headers"], body=b"{}" if one["method"] in ("POST", "PUT", "PATCH") else b"")
    request.environ.update(one["environ"])
    request.get_response(middleware)
    print(json.dumps(events))
"""
MAPS = {
    "usual": None,
    "own": "[DEFAULT]\ntarget_endpoint_type = baremetal\n[path_keywords]\nnodes = node\nstates = None\nv1 = version\n"
    "[custom_actions]\npower/put = update/switch\nvalidate = read/look\nnodes/post = create/enroll\n[service_endpoints]\nbaremetal = service/metal\n",
}
GLOBAL = "req-0a0a0a0a-0000-4000-8000-00000000000a"
# Method, path, body.
ASKED = [
    ("GET", "/v1/nodes", None),
    ("GET", "/v1/nodes/", None),
    ("GET", "/v1/nodes?limit=1&fields=uuid", None),
    ("GET", "/v1/nodes/here", None),
    ("GET", "/v1/nodes/here.json", None),
    ("GET", "/v1/nodes/nobody", None),
    ("GET", "/v1/nodes/here/validate", None),
    ("GET", "/v1/nodes/here/states", None),
    ("PUT", "/v1/nodes/here/states/power", {"target": "power on"}),
    ("PATCH", "/v1/nodes/here", [{"op": "replace", "path": "/extra/a", "value": 1}]),
    ("POST", "/v1/nodes", {"driver": "fake-hardware"}),
    ("POST", "/v1/nodes", []),
    ("DELETE", "/v1/nodes/nobody", None),
    ("GET", "/v1/chassis", None),
    ("GET", "/v1/drivers/fake/vendor_passthru/methods", None),
    ("GET", "/v1/nothing/at/all", None),
    ("GET", "/v1", None),
    ("GET", "/", None),
]


@pytest.fixture(scope="module")
def keystone():
    with StandinKeystone({"gateway": "secret", "ann": "word"}) as keystone:
        yield keystone


def own(keystone):
    options = {"auth_type": "password", "auth_url": keystone.endpoint, "username": "gateway", "password": "secret", "project_name": "service"}
    return options | {"user_domain_id": "default", "project_domain_id": "default"}


def token(keystone):
    user = {"name": "ann", "password": "word", "domain": {"id": "default"}}
    document = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": {"system": {"all": True}}}}
    return Client(keystone.endpoint).post("/v3/auth/tokens", document).header("X-Subject-Token")


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def settled(path):
    """How many there are; the second one of a request is written once it was answered."""
    return until(lambda: len(records(path)) if len(records(path)) % 2 == 0 else None, what="the end of every request")


def same(event):
    """Without what is another each time: ids, times, and the token, of which we tell nothing at all."""
    event = json.loads(json.dumps(event))
    assert re.fullmatch(r"[0-9a-f-]{36}", event.pop("id"))
    for step in event.get("reporterchain", []):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+0000", step.pop("reporterTime"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+0000", event.pop("eventTime"))
    (tag,) = event.pop("tags")
    assert re.fullmatch(r"correlation_id\?value=[0-9a-f-]{36}", tag)
    assert " xxxxxxxx " in event["initiator"]["credential"].pop("token")
    event["initiator"].pop("request_id", None)
    return event


@pytest.mark.slow
@pytest.mark.parametrize("name", MAPS)
def test_the_records_are_those_of_the_real_filter(tmp_path, keystone, name):
    path = tmp_path / "audit.log"
    audit, given = {"enabled": "true", "log_file": path}, tmp_path / "map.conf"
    if MAPS[name] is None:
        given = pathlib.Path(venvs.program(venvs.IRONIC, "python")).parent.parent / "etc" / "pycadf" / "ironic_api_audit_map.conf"
    else:
        given.write_text(MAPS[name])
        audit["audit_map_file"] = given
    with fleet(Standin([node("here")]), wait=False, api={"auth_strategy": "keystone"}, sections={"keystone_authtoken": own(keystone), "audit": audit}) as hub:
        secret = token(keystone)
        until(lambda: hub.get("/v1/nodes", headers={"X-Auth-Token": secret}).status == 200)
        known = keystone.tokens[secret]
        requests, ours = [], []
        for method, where, body in ASKED:
            before = settled(path)
            reply = hub.call(method, where, body, headers={"X-Auth-Token": secret, "User-Agent": "auditor", "X-OpenStack-Request-ID": GLOBAL})
            got = until(lambda: records(path)[before:] if len(records(path)) >= before + 2 else None, what=f"records of {method} {where}")  # noqa: B023
            assert [record["event_type"] for record in got] == ["audit.http.request", "audit.http.response"]
            assert {record["priority"] for record in got} == {"INFO"} and {record["payload"]["id"] for record in got} == {got[0]["payload"]["id"]}
            ours.append([[record["event_type"], same(record["payload"])] for record in got])
            catalog = [{"type": "baremetal", "name": "ironic", "endpoints": [dict.fromkeys(("adminURL", "internalURL", "publicURL"), hub.gateway.url)]}]
            headers = {"User-Agent": "auditor", "Host": hub.gateway.url.split("//")[1], "X-Service-Catalog": json.dumps(catalog)}
            if where not in ("/", "/v1"):
                headers |= {"X-Auth-Token": secret, "X-User-Id": known["user"]["id"], "X-User-Name": "ann", "X-Identity-Status": "Confirmed"}
            environ = {"REMOTE_ADDR": "127.0.0.1", "openstack.global_request_id": GLOBAL}
            requests.append({"method": method, "path": where, "headers": headers, "environ": environ, "status": reply.status})
    said = subprocess.run(
        [venvs.program(venvs.IRONIC, "python"), "-c", ORACLE],
        input=json.dumps({"map": str(given), "ignored": "", "requests": requests}),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    for request, mine, line in zip(requests, ours, said.splitlines(), strict=True):
        theirs = [[kind, same(event)] for kind, event in json.loads(line)]
        assert mine == theirs, request
    assert secret[:12] not in path.read_text() and secret[-12:] not in path.read_text()


@pytest.fixture
def guarded(tmp_path):
    """Starts a gateway whose user is ann, with these options of `[audit]`."""
    users = tmp_path / "htpasswd"
    users.write_text(f"ann:{SECRET_WORD}\n", encoding="utf-8")
    users.chmod(0o600)

    def start(audit, default=None, **sections):
        sections = {"audit": {"enabled": "true", **audit}, **sections}
        return fleet(Standin([node("here")]), wait=False, sections=sections, api={"auth_strategy": "http_basic"}, default={"http_basic_auth_user_file": users, **(default or {})})

    return start


ANN = basic("ann", "secret-word")


def ready(hub):
    until(lambda: hub.get("/v1/nodes", headers=ANN).status == 200)


def test_who_is_not_let_in_is_not_recorded(guarded, tmp_path):
    path = tmp_path / "audit.log"
    with guarded({"log_file": path, "ignore_req_list": "post, Delete"}) as hub:
        assert hub.get("/v1/nodes/here", headers=ANN).status == 200
        until(lambda: len(records(path)) >= 2)
        before = settled(path)
        for method, where, headers in [
            ("GET", "/v1/nodes", {}),
            ("GET", "/v1/nodes", basic("ann", "wrong")),
            ("GET", "/healthcheck", {}),
            ("OPTIONS", "/v1/nodes", {}),
            ("POST", "/v1/nodes", ANN),
            ("DELETE", "/v1/nodes/nobody", ANN),
        ]:
            hub.call(method, where, {} if method == "POST" else None, headers=headers)
        hub.get("/v1/nodes/nobody", headers=ANN)
        until(lambda: len(records(path)) >= before + 2)
        _, after = records(path)[before:]
        assert after["payload"]["requestPath"] == "/v1/nodes/nobody"
        assert (after["payload"]["outcome"], after["payload"]["reason"]["reasonCode"]) == ("failure", "404")
        initiator = after["payload"]["initiator"]
        assert (initiator["name"], initiator["id"], initiator["credential"]["identity_status"]) == ("ann", "unknown", "unknown")


def test_without_a_file_records_are_in_the_log(guarded):
    with guarded({}) as hub:
        ready(hub)
        line = hub.logged(r'INFO ironic_proxy\.audit .*audit\.http\.response')
        assert json.loads(line[line.index("{") :])["payload"]["requestPath"].startswith("/v1/nodes")


def test_the_driver_noop_records_nothing(guarded):
    with guarded({}, audit_middleware_notifications={"driver": "noop"}) as hub:
        ready(hub)
        hub.logged(r'"GET /v1/nodes HTTP')
        assert "ironic_proxy.audit" not in hub.gateway.log()


def test_an_audit_file_that_cannot_be_opened_does_not_keep_the_log_in_its_old_one(guarded, tmp_path):
    aside, log = tmp_path / "audit", tmp_path / "proxy.log"
    aside.mkdir()
    with guarded({"log_file": aside / "audit.log"}, default={"log_file": log}) as hub:
        until(log.exists, what="the log")
        aside.rename(tmp_path / "gone")
        log.rename(tmp_path / "proxy.log.1")
        hub.gateway.process.signal(signal.SIGUSR1)
        until(log.exists, what="the new log")
        until(lambda: f"Not reopened, so what goes there goes on into the old file: {aside / 'audit.log'}: No such file" in log.read_text(), what="a word on it")


def test_a_file_that_was_moved_away_is_made_anew(guarded, tmp_path):
    path = tmp_path / "audit.log"
    with guarded({"log_file": path}) as hub:
        ready(hub)
        until(lambda: len(records(path)) >= 2)
        path.rename(tmp_path / "audit.log.1")
        hub.gateway.process.signal(signal.SIGUSR1)
        until(path.exists, what="the new file")
        hub.get("/v1/nodes/here", headers=ANN)
        until(lambda: len(records(path)) >= 2)
