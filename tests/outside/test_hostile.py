"""A hostile client of a gateway with a Keystone on both sides, judged by what the location and both Keystones recorded.

What passes through a gateway that asks nobody is in test_faults_headers.py; here is what somebody gains who has a token, or none.
"""

import pytest
from fleet import Client, fleet, until
from scripted import Answer
from standin import Standin, StandinKeystone, new_uuid, node
from hostile import HOP_BY_HOP, IDENTITY, REFUSED, SENTINEL, TARGETS, head

PASSWORD = "correct-horse-7"
# The same in each process of a run, since names of tests hold it.
IDENT = "5c1f3a52-8f0e-4b7b-9b1a-2f6f0d9f7c11"


class Ironic(Standin):
    """Also takes what ramdisks send; these routes ask nobody who they are."""

    RAMDISK = ("/v1/lookup", "/v1/heartbeat", "/v1/continue_inspection")

    def answer(self, request):
        if request.path.startswith(self.RAMDISK):
            body = {"config": {}, "node": {"uuid": IDENT, "links": []}}
            if "heartbeat" in request.path:
                return Answer(202, b"", [("Content-Type", "application/json")])
            return Answer.of_json(200, body)
        return super().answer(request)


class Trap:
    """The gateway, the location behind it and the Keystones on both sides."""

    def __init__(self, hub, inner, outer):
        self.hub = hub
        self.site = hub.loc1
        self.inner = inner
        self.outer = outer

    def clear(self):
        for thing in (self.site, self.inner, self.outer):
            thing.forget_requests()

    def assert_nothing_of_the_client(self, token):
        """All that reached the location came with the gateway's own token, or with none where none is needed."""
        for request in self.site.requests:
            assert SENTINEL.encode() not in request.head, request.head
            assert token.encode() not in request.head, "the user's token at the edge"
            assert request.header("OpenStack-System-Scope") is None, "a Keystone there says what we may"
            tokens = request.header_values("X-Auth-Token")
            public = request.path.rstrip("/") in ("", "/v1")
            assert len(tokens) == 1 or public, request.head
            assert all(self.inner.valid(value) for value in tokens)
        for request in self.inner.requests:
            assert SENTINEL.encode() not in request.head + request.body and token.encode() not in request.head + request.body

    def assert_nothing_got_through(self):
        assert not self.site.asked(path="/v1/.*"), [str(request) for request in self.site.requests]


def user_token(keystone):
    person = {"name": "ann", "password": PASSWORD, "domain": {"name": "Default"}}
    auth = {"identity": {"methods": ["password"], "password": {"user": person}}, "scope": {"system": {"all": True}}}
    return dict(keystone.answer(_Login(auth)).headers)["X-Subject-Token"]


class _Login:
    method, path = "POST", "/v3/auth/tokens"

    def __init__(self, auth):
        self.auth = auth

    def json(self):
        return {"auth": self.auth}


def options(keystone):
    return {
        "auth_type": "password", "auth_url": f"{keystone.endpoint}/v3", "username": "hub", "password": PASSWORD,
        "user_domain_name": "Default", "system_scope": "all",
    }  # fmt: skip


@pytest.fixture(scope="module")
def running():
    users = {"hub": PASSWORD, "ann": PASSWORD}
    with StandinKeystone(users) as outer, StandinKeystone(users) as inner:
        site = Ironic([node("target", uuid=IDENT), node("smuggled")], credentials=("token", inner.valid))
        api = {"auth_strategy": "keystone", "enable_ramdisk_endpoints": True}
        sections = {"keystone_authtoken": options(outer)}
        with fleet(site, wait=False, api=api, every=options(inner), sections=sections) as hub:
            trap = Trap(hub, inner, outer)
            trap.token = user_token(outer)
            until(lambda: hub.get("/v1/nodes/target", headers={"X-Auth-Token": trap.token}).status == 200)
            yield trap


@pytest.fixture
def trap(running):
    running.clear()
    return running


def requests_of_each_kind(trap, headers):
    hub = trap.hub
    return [
        hub.get("/v1/nodes", headers=headers),
        hub.get(f"/v1/nodes/{IDENT}", headers=headers),
        hub.get("/v1/nodes/target/states", headers=headers),
        hub.patch("/v1/nodes/target", [{"op": "add", "path": "/extra/a", "value": 1}], headers=headers),
        hub.put("/v1/nodes/target/states/power", {"target": "power on"}, headers=headers),
        hub.post("/v1/nodes", {"driver": "d"}, headers=headers),
        hub.get(f"/v1/nodes/{new_uuid()}", headers=headers),
    ]


NOT_A_LOGIN = [name for name in [*IDENTITY, *HOP_BY_HOP] if name not in ("X-Auth-Token", "X-Storage-Token", "Upgrade")]


@pytest.mark.parametrize("name", NOT_A_LOGIN)
def test_no_header_takes_the_place_of_a_token(trap, name):
    """Whatever a trusted front or Keystone's middleware would say about a user: it opens nothing here, and passes nowhere."""
    for value in (SENTINEL, "admin", "all", "Confirmed", "True"):
        for reply in requests_of_each_kind(trap, {name: value}):
            assert reply.status in (400, 401), (name, reply)
    for spelled in (name.replace("-", "_"), name.upper().replace("-", "_")):
        assert trap.hub.get("/v1/nodes/target", headers={spelled: trap.token}).status == 401
    trap.assert_nothing_got_through()
    for request in trap.outer.requests:
        assert request.header("X-Subject-Token") != SENTINEL


@pytest.mark.parametrize("name", NOT_A_LOGIN)
def test_no_header_passes_beside_a_token(trap, name):
    value = "allow" if name == "X-Ironic-Proxy-Partial" else SENTINEL
    headers = [("X-Auth-Token", trap.token), (name, value)]
    if "-" in name:
        headers.append((name.replace("-", "_"), SENTINEL))
    replies = requests_of_each_kind(trap, headers)
    if name == "X-Service-Token":
        assert {reply.status for reply in replies} == {401}
        trap.assert_nothing_got_through()
    elif name not in HOP_BY_HOP:
        assert all(reply.status in (200, 201, 202, 404) for reply in replies), replies
        assert len(trap.site.asked(path="/v1/.*")) >= 6
    trap.assert_nothing_of_the_client(trap.token)


def test_what_the_users_token_must_not_be_removed_or_replaced_by(trap):
    for nominated in ("X-Auth-Token", "x-auth-token, keep-alive", "close, X-Auth-Token"):
        headers = [("X-Auth-Token", trap.token), ("Connection", nominated)]
        for reply in requests_of_each_kind(trap, headers):
            assert reply.status in (200, 201, 202, 400, 401, 404), reply
    trap.assert_nothing_of_the_client(trap.token)


@pytest.mark.parametrize("name", REFUSED)
def test_smuggling_with_a_token(trap, name):
    """The first request is allowed; what hides behind it would go to the location with our token."""
    data = REFUSED[name]
    start, _, rest = data.partition(b"\r\n")
    token = f"X-Auth-Token: {trap.token}\r\n".encode()
    trap.hub.raw(start + b"\r\n" + token + rest)
    assert not [request for request in trap.site.requests if "smuggled" in request.path and request.complete]
    assert not [str(request) for request in trap.site.requests if request.complete and request.method != "GET"]
    trap.assert_nothing_of_the_client(trap.token)
    assert trap.hub.get("/v1/nodes/target", headers={"X-Auth-Token": trap.token}).status == 200


@pytest.mark.parametrize("target", TARGETS)
def test_paths_in_disguise_with_a_token(trap, target):
    for method in ("GET", "DELETE"):
        trap.hub.raw(head(method, target, f"X-Auth-Token: {trap.token}"))
    assert not [request for request in trap.site.requests if request.method != "GET"]
    assert trap.site.find("target")
    trap.assert_nothing_of_the_client(trap.token)


# --- public routes


def test_documents_need_nobody_and_ask_nobody(trap):
    for path in ("/", "/v1", "/v1/", "/healthcheck"):
        headers = [(name, SENTINEL) for name in IDENTITY if name not in ("X-Ironic-Proxy-Partial", "Authorization")]
        for method in ("GET", "HEAD", "OPTIONS"):
            assert trap.hub.call(method, path, headers=headers).status in (200, 204), (method, path)
    trap.assert_nothing_got_through()
    assert not trap.outer.requests and not trap.inner.requests


RAMDISK = [
    ("GET", f"/v1/lookup?node_uuid={IDENT}", None),
    ("POST", f"/v1/heartbeat/{IDENT}", {"callback_url": "http://x", "agent_version": "1", "agent_token": "t"}),
    ("POST", f"/v1/continue_inspection?node_uuid={IDENT}", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), RAMDISK, ids=["lookup", "heartbeat", "inspection"])
def test_ramdisks_get_nothing_of_our_rights(trap, method, path, body):
    """Ironic believes identity headers on these routes, so neither ours nor the ramdisk's go there."""
    headers = [(name, SENTINEL) for name in IDENTITY if name not in ("X-Ironic-Proxy-Partial", "Authorization")]
    for sent in ([], headers, [("X-Auth-Token", trap.token)]):
        trap.clear()
        trap.hub.call(method, path, body, headers=sent)
        asked = trap.site.asked(path="/v1/(lookup|heartbeat|continue_inspection).*")
        assert asked, "the ramdisk reaches its location"
        for request in asked:
            for name in ("X-Auth-Token", "Authorization", "OpenStack-System-Scope", "X-Roles", "X-User-Id", "X-Project-Id"):
                assert request.header(name) is None, (name, request.head)
            assert SENTINEL.encode() not in request.head


@pytest.mark.parametrize(
    "target",
    ["/v1/lookup/../nodes/target", "/v1/lookup/%2e%2e/nodes/target", "/v1/lookup%2F..%2Fnodes", "/v1/lookup;/nodes", "/v1/lookup/nodes",
     f"/v1/heartbeat/{IDENT}/../../nodes/target", f"/v1/heartbeat/{IDENT}%2F..%2F..%2Fnodes%2Ftarget", "/v1/heartbeat/../nodes/target",
     "/v1/heartbeat/target/states", "/v1/continue_inspection/../nodes", "/v1/../v1/nodes", "/v1/./nodes", "//v1/nodes", "/v1//nodes",
     "/healthcheck/../v1/nodes", "/v1/LOOKUP", "/v1/nodes/lookup", "/?/v1/nodes", "/v1?/nodes"],
)  # fmt: skip
def test_what_only_looks_like_a_public_route(trap, target):
    """Without a token nothing but the ramdisks' own three routes goes anywhere, and never with our token."""
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        trap.hub.raw(head(method, target, "Content-Length: 0"))
    for request in trap.site.requests:
        assert request.header("X-Auth-Token") is None, request.head
        assert request.path.startswith(Ironic.RAMDISK) or request.path.rstrip("/") in ("", "/v1"), request.path
        assert "nodes" not in request.path


def test_ramdisks_are_kept_out_by_default(trap):
    with fleet(Ironic([node("target", uuid=IDENT)])) as hub:
        for method, path, body in RAMDISK:
            assert hub.call(method, path, body).status == 403
        assert not hub.loc1.asked(path="/v1/(lookup|heartbeat|continue_inspection).*")


# --- credentials go to their location and nowhere else


def test_a_link_of_a_location_is_not_followed(trap):
    """`next` is ours: one that leads away leads nobody there."""
    with Standin([node("bait")]) as stranger:
        lure = {"nodes": [{"uuid": IDENT, "name": "target"}], "next": f"{stranger.endpoint}/v1/nodes?marker={IDENT}"}
        trap.site.fault(lambda exchange: Answer.of_json(200, lure), path="/v1/nodes")
        try:
            headers = {"X-Auth-Token": trap.token, "Host": f"127.0.0.1:{stranger.port}", "X-Forwarded-Host": f"127.0.0.1:{stranger.port}"}
            for path in ("/v1/nodes", "/v1/nodes?limit=1", "/v1/nodes?sort_key=name"):
                trap.hub.get(path, headers=headers)
        finally:
            trap.site.heal()
        assert stranger.connections == 0


def test_a_token_of_one_side_is_worth_nothing_on_the_other(trap):
    """Not even the gateway's own."""
    edge = next(request.header("X-Auth-Token") for request in _after_a_question(trap) if request.header("X-Auth-Token"))
    assert trap.hub.get("/v1/nodes", headers={"X-Auth-Token": edge}).status == 401
    direct = Client(trap.site.endpoint)
    assert direct.get("/v1/nodes", headers={"X-Auth-Token": trap.token}).status == 401


def _after_a_question(trap):
    assert trap.hub.get("/v1/nodes/target", headers={"X-Auth-Token": trap.token}).status == 200
    return trap.site.requests


def test_no_secret_is_in_the_log(trap):
    requests_of_each_kind(trap, {"X-Auth-Token": trap.token})
    trap.hub.get("/v1/nodes", headers={"X-Auth-Token": SENTINEL})
    log = trap.hub.gateway.log()
    for secret in (PASSWORD, trap.token, SENTINEL, *trap.inner.tokens, *trap.outer.tokens):
        assert secret not in log
