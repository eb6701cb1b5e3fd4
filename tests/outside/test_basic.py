"""Proving oneself: clients to the gateway by http_basic, the gateway to its locations, and secrets that stay where they belong."""

import base64
import os
import re
import subprocess
import threading

import pytest
import scripted
from fleet import Client, assert_unavailable, fleet, fleet_config, together, until
from gateway import DIRECTORY, binary
from standin import Standin, StandinKeystone, new_uuid, node

# bcrypt of "secret-word" and of "pass:with:colons", at the lowest cost.
SECRET_WORD = "$2b$05$gjwQjW2y2x6mH4NKf8RgceUXos.g4cbJMr0pSJ/PeX4.jyx037fnu"
WITH_COLONS = "$2b$05$NaEIqFUFj4VxpQcGS2veKeDWpC.BFwWY9HTfAXBPE2nFYA0enB9Pu"
REALM = 'Basic realm="Baremetal API"'
SECRET = "pa$w0rd-7f3a"
ESCAPED = SECRET.replace("$", "$$")


def basic(user, password):
    text = f"{user}:{password}" if isinstance(password, str) else f"{user}:".encode() + password
    raw = text.encode() if isinstance(text, str) else text
    return {"Authorization": "Basic " + base64.b64encode(raw).decode()}


# --- clients to the gateway


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    users = tmp_path_factory.mktemp("users") / "htpasswd"
    users.write_text(
        f"# a comment\n\nmyName:{SECRET_WORD}\ncolons:{WITH_COLONS.replace('$2b$', '$2y$')}\n"
        f"myName:{WITH_COLONS}\nold:{SECRET_WORD.replace('$2b$', '$2a$')}\n"
    )
    api = {"auth_strategy": "http_basic"}
    sites = [Standin([node("here")]), Standin()]
    with fleet(*sites, wait=False, api=api, default={"http_basic_auth_user_file": users}) as hub:
        until(lambda: hub.get("/v1/nodes", headers=basic("myName", "secret-word")).status == 200)
        hub.forget_requests()
        hub.users = users
        yield hub


@pytest.fixture
def door(guarded):
    guarded.heal()
    return guarded


@pytest.mark.parametrize(
    "headers",
    [
        basic("myName", "secret-word"),
        {"Authorization": basic("myName", "secret-word")["Authorization"].replace("Basic", "bAsIc")},
        basic("colons", "pass:with:colons"),
        basic("old", "secret-word"),
    ],
)
def test_who_may_come_in(door, headers):
    for _ in range(2):
        assert door.get("/v1/nodes", headers=headers).names() == ["here"]
    for site in door.all():
        assert all(request.header("Authorization") is None for request in site.requests), "the client's password was handed on"


WRONG = {"error": {"message": "Incorrect username or password", "code": 401}}
MISSING = {"error": {"message": "Authorization required", "code": 401}}


@pytest.mark.parametrize(
    ("headers", "status", "document"),
    [
        ({}, 401, MISSING),
        (basic("myName", "wrong"), 401, WRONG),
        (basic("nobody", "secret-word"), 401, WRONG),
        (basic("myname", "secret-word"), 401, WRONG),
        (basic("myName", "secret-word "), 401, WRONG),
        (basic("myName", "pass:with:colons"), 401, WRONG),
        (basic("myName", ""), 401, WRONG),
        (basic("", "secret-word"), 401, WRONG),
        (basic("myName", "x" * 100), 401, WRONG),
        (basic("myName", b"\xff\xfe"), 401, WRONG),
        ({"Authorization": "Basic !!!"}, 400, "Could not decode authorization token"),
        ({"Authorization": "Basic " + base64.b64encode(b"nocolon").decode()}, 400, "Could not decode authorization token"),
        ({"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:x").decode()}, 400, "Could not decode authorization token"),
        ({"Authorization": "Bearer abc"}, 400, 'Unsupported authorization type "Bearer"'),
        ({"Authorization": "Basic"}, 400, "Could not parse Authorization header"),
        ({"X-Auth-Token": "abc"}, 401, MISSING),
    ],
)
def test_who_may_not(door, headers, status, document):
    if isinstance(document, str):
        document = {"error": {"message": document, "code": 400}}
    for path in ("/v1/nodes", "/v1/nodes/here", "/v1/nodes/nobody", "/v1/gadgets"):
        reply = door.get(path, headers=headers)
        assert (reply.status, reply.json()) == (status, document), reply
        assert reply.header("Content-Type") == "application/json"
        assert reply.header("WWW-Authenticate") == (REALM if status == 401 else None)
    assert door.asked() == {}


def test_the_bytes_of_a_refusal(door):
    assert door.get("/v1/nodes").body == b'{"error":{"message":"Authorization required","code":401}}'


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_no_request_comes_before_the_door(door, method):
    """401 before 404, before the version and before the body is looked at."""
    for path in ("/v1/nodes", "/v1/nodes/nobody", "/nodes", "/v1/nodes/here/states/power", "/lookup"):
        reply = door.call(method, path, None if method in ("GET", "DELETE") else b"{", version="9.99")
        assert reply.status == 401, reply
    assert door.asked() == {}


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/healthcheck"])
def test_public_paths(door, path):
    assert door.get(path).status == 200
    assert door.call("OPTIONS", "/v1/nodes").status == 200


def test_two_authorizations_are_refused(door):
    good = basic("myName", "secret-word")["Authorization"]
    for pair in ((good, "Basic x"), ("Basic x", good), (good, good)):
        reply = door.get("/v1/nodes", headers=[("Authorization", value) for value in pair])
        assert reply.status in (400, 401), reply


def test_the_file_is_read_again(door):
    original = door.users.read_text()
    try:
        door.users.write_text(f"newcomer:{SECRET_WORD}\n")
        until(lambda: door.get("/v1/nodes", headers=basic("newcomer", "secret-word")).status == 200, what="the new user")
        # Its success was remembered; a line that is gone must not be.
        assert door.get("/v1/nodes", headers=basic("myName", "secret-word")).status == 401
        door.users.write_text(f"newcomer:{SECRET_WORD}\nbob:plain-text\n")

        def said():
            assert door.get("/v1/nodes", headers=basic("newcomer", "secret-word")).status == 200, "a bad file keeps the old"
            return re.search("ERROR.*", door.gateway.log())

        until(said, what="an error about the bad file")
        assert "plain-text" not in door.gateway.log()
    finally:
        door.users.write_text(original)
    until(lambda: door.get("/v1/nodes", headers=basic("myName", "secret-word")).status == 200, what="the old users")


def test_wrong_passwords_starve_nobody(door):
    assert door.get("/v1/nodes/here", headers=basic("myName", "secret-word")).status == 200
    stop = threading.Event()

    def guess():
        while not stop.is_set():
            assert door.get("/v1/nodes", headers=basic("myName", new_uuid())).status in (401, 503)

    threads = [threading.Thread(target=guess) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            reply = door.get("/v1/nodes/here", headers=basic("myName", "secret-word"))
            assert reply.status == 200
            assert reply.seconds < 2
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_no_password_is_in_the_log(door):
    door.get("/v1/nodes", headers=basic("myName", "secret-word"))
    door.get("/v1/nodes", headers=basic("myName", "wrong-but-secret"))
    log = door.gateway.log()
    for secret in ("secret-word", "wrong-but-secret", SECRET_WORD, basic("myName", "secret-word")["Authorization"].split()[1]):
        assert secret not in log


# --- the gateway to a location: http_basic


def outbound_basic(password):
    return {"auth_type": "http_basic", "username": "hub", "password": password}


def test_outbound_http_basic():
    sites = [Standin(credentials=("basic", "hub", SECRET)), Standin()]
    with fleet(*sites, each={"loc1": outbound_basic(ESCAPED)}, default={"debug": True}) as hub:
        hub.loc1.add(node("here"))
        assert hub.get("/v1/nodes").names() == ["here"]
        assert hub.patch("/v1/nodes/here", []).status == 200
        assert hub.post("/v1/nodes", {"driver": "d", "owner": "x"}).status == 201
        assert all(request.header("Authorization") is None for request in hub.loc2.requests)
        assert not {request.status for request in hub.loc1.requests} & {401}
        for secret in (SECRET, ESCAPED, base64.b64encode(f"hub:{SECRET}".encode()).decode()):
            assert secret not in hub.gateway.log()


def test_outbound_http_basic_refused():
    sites = [Standin(), Standin(credentials=("basic", "hub", SECRET))]
    with fleet(*sites, wait=False, each={"loc2": outbound_basic("another-secret")}) as hub:
        hub.loc1.add(node("here"))
        until(lambda: hub.get("/v1/nodes/here").status == 200)
        for path in ("/v1/nodes", f"/v1/nodes/{new_uuid()}", "/v1/nodes/nobody"):
            assert_unavailable(hub.get(path), "loc2")
        reply = hub.get("/v1/nodes", headers={"X-Ironic-Proxy-Partial": "allow"})
        assert reply.header("X-Ironic-Proxy-Incomplete") == "loc2;reason=refused"
        hub.logged(r"ERROR.*loc2")
        assert "another-secret" not in hub.gateway.log()


# --- the gateway to a location: Keystone


class Edge:
    """A location with its Keystone, and the options to reach both."""

    def __init__(self, *, lifetime=3600, catalog=False, **options):
        self.keystone = StandinKeystone({"hub": SECRET}, lifetime=lifetime)
        self.site = Standin([node("here")], credentials=("token", self.keystone.valid))
        self.options = {
            "auth_type": "password",
            "auth_url": f"{self.keystone.endpoint}/v3",
            "username": "hub",
            "password": ESCAPED,
            "user_domain_name": "Default",
            "system_scope": "all",
            **options,
        }
        if catalog:
            self.options["endpoint_override"] = None

    def tokens(self):
        """The tokens that the location was sent."""
        return {token for request in self.site.requests for token in request.header_values("X-Auth-Token")}


def edge_fleet(edge, *, wait=True, **options):
    return fleet(edge.site, wait=wait, each={"loc1": edge.options}, **options)


@pytest.fixture
def edge():
    edge = Edge()
    with edge.keystone:
        yield edge


@pytest.mark.parametrize("kind", ["password", "v3password"])
@pytest.mark.parametrize("suffix", ["", "/", "/v3", "/v3/"])
def test_a_token_is_fetched_once_and_sent(edge, kind, suffix):
    edge.options.update(auth_type=kind, auth_url=edge.keystone.endpoint + suffix)
    with edge_fleet(edge) as hub:
        for _ in range(5):
            assert hub.get("/v1/nodes").names() == ["here"]
            assert hub.patch("/v1/nodes/here", []).status == 200
        assert edge.keystone.issued() == 1
        assert len(edge.tokens()) == 1
        assert not {request.status for request in hub.loc1.requests} & {401}
        [request] = edge.keystone.asked("POST", "/v3/auth/tokens")
        auth = request.json()["auth"]
        assert auth["identity"]["methods"] == ["password"]
        user = auth["identity"]["password"]["user"]
        assert (user["name"], user["password"], user["domain"]) == ("hub", SECRET, {"name": "Default"})
        assert auth["scope"] == {"system": {"all": True}}


def test_a_project_scope(edge):
    del edge.options["system_scope"]
    edge.options.update(project_name="service", project_domain_id="default")
    with edge_fleet(edge):
        scope = edge.keystone.asked("POST")[0].json()["auth"]["scope"]
        assert scope == {"project": {"name": "service", "domain": {"id": "default"}}}


def test_one_flight_fetches_the_token():
    edge = Edge()
    with edge.keystone:
        edge.keystone.fault(scripted.late(0.5), method="POST")
        with edge_fleet(edge, wait=False) as hub:
            until(lambda: hub.get("/v1").status == 200)
            replies = together(*[lambda: hub.get("/v1/nodes") for _ in range(20)])
            assert {reply.status for reply in replies} == {200}
            assert edge.keystone.issued() == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda hub: hub.get("/v1/nodes/here"),
        lambda hub: hub.get("/v1/nodes"),
        lambda hub: hub.patch("/v1/nodes/here", [{"op": "add", "path": "/extra/a", "value": "x" * 1000}]),
        lambda hub: hub.put("/v1/nodes/here/states/provision", {"target": "manage", "configdrive": "x" * 60000}),
        lambda hub: hub.put("/v1/nodes/here/maintenance", iter([b'{"reason":', b' "y"}'])),
        lambda hub: hub.post("/v1/nodes", {"driver": "d"}),
    ],
    ids=["GET", "list", "PATCH", "PUT", "chunked PUT", "POST"],
)
def test_a_revoked_token_is_renewed_once(edge, call):
    with edge_fleet(edge) as hub:
        assert hub.get("/v1/nodes/here").status == 200
        edge.keystone.revoke_all()
        reply = call(hub)
        assert reply.status in (200, 201, 202), reply
        assert edge.keystone.issued() == 2
        assert not [request for request in hub.loc1.requests if request.status == 401 and request.method != "GET"][1:]


def test_a_location_that_refuses_every_token(edge):
    with edge_fleet(edge) as hub:
        assert hub.get("/v1/nodes/here").status == 200
        hub.loc1.credentials = ("token", lambda token: False)
        hub.forget_requests()
        before = edge.keystone.issued()
        assert_unavailable(hub.get("/v1/nodes/here"), "loc1")
        assert len(hub.loc1.asked("GET", "/v1/nodes/here")) == 2
        assert edge.keystone.issued() <= before + 1
        for _ in range(20):
            assert_unavailable(hub.get("/v1/nodes/here"), "loc1")
        assert edge.keystone.issued() <= before + 5, "Keystone is hammered"
        hub.logged(r"ERROR.*loc1")


def test_tokens_are_renewed_before_they_expire():
    edge = Edge(lifetime=4)
    with edge.keystone, edge_fleet(edge) as hub:
        until(lambda: hub.get("/v1/nodes/here").status == 200 and edge.keystone.issued() >= 3, seconds=15, what="a second renewal")
        assert not {request.status for request in hub.loc1.requests} & {401}, "a token was used until it was refused"


def test_a_token_that_is_dead_on_arrival():
    """The clocks differ, or Keystone is odd: no endless loop."""
    edge = Edge(lifetime=-60)
    with edge.keystone, edge_fleet(edge, wait=False) as hub:
        until(lambda: hub.get("/v1").status == 200)
        for _ in range(10):
            assert_unavailable(hub.get("/v1/nodes/here"), "loc1")
        assert edge.keystone.issued() <= 25


@pytest.mark.parametrize(
    "fault",
    [None, scripted.hang(), scripted.html(503), scripted.garbage(), scripted.answers(201, b"{}"), scripted.answers(201, b'{"token": {}}'),
     scripted.answers(300, b"{}"), scripted.answers(302, b"", [("Location", "http://127.0.0.1:1/v3/auth/tokens")])],
    ids=["refuses connections", "hangs", "503 in HTML", "garbage", "no token", "an empty token", "300", "redirects"],
)  # fmt: skip
def test_keystone_cannot_be_asked(edge, fault):
    if fault is None:
        edge.keystone.down()
    else:
        edge.keystone.fault(fault)
    with fleet(Standin([node("elsewhere")]), edge.site, wait=False, each={"loc2": edge.options}, every={"timeout": 1}) as hub:
        until(lambda: hub.get("/v1/nodes/elsewhere").status == 200)
        for path in ("/v1/nodes", "/v1/nodes/nobody"):
            reply = hub.get(path)
            assert_unavailable(reply, "loc2")
            assert reply.seconds < 3
        assert not hub.loc2.asked("GET", "/v1/nodes"), "asked without a token"
        if fault is None:
            edge.keystone.up()
        edge.keystone.heal()
        until(lambda: hub.get("/v1/nodes").status == 200, seconds=15, what="the token after Keystone came back")


def test_a_valid_token_outlives_keystone(edge):
    with edge_fleet(edge) as hub:
        assert hub.get("/v1/nodes/here").status == 200
        edge.keystone.down()
        for _ in range(3):
            assert hub.get("/v1/nodes").status == 200
        edge.keystone.up()


def test_a_wrong_password_is_not_hammered(edge):
    edge.options["password"] = "wrong-" + ESCAPED
    with edge_fleet(edge, wait=False) as hub:
        until(lambda: hub.get("/v1").status == 200)
        for _ in range(30):
            assert_unavailable(hub.get("/v1/nodes/here"), "loc1")
        assert 1 <= edge.keystone.issued() <= 5, "an account could be locked by that"
        hub.logged(r"ERROR.*loc1")
        assert SECRET not in hub.gateway.log()


@pytest.mark.parametrize(
    ("options", "wanted"),
    [({}, "public"), ({"valid_interfaces": "internal,public"}, "internal"), ({"region_name": "two"}, "two"), ({"valid_interfaces": "admin,public"}, "public")],
)  # fmt: skip
def test_the_endpoint_of_the_catalog(options, wanted):
    edge = Edge(catalog=True, **options)
    others = {name: Standin([node(f"at-{name}")]) for name in ("public", "internal", "two")}
    urls = {name: site.endpoint for name, site in others.items()}
    edge.keystone.catalog = [
        ("public", "one", urls["public"] + "/v1"),
        ("internal", "one", urls["internal"]),
        ("public", "two", urls["two"] + "/"),
    ]
    with edge.keystone, others["public"], others["internal"], others["two"], edge_fleet(edge, wait=False) as hub:
        until(lambda: hub.get("/v1/nodes").status == 200, what="the location by its catalog")
        assert hub.get("/v1/nodes").names() == [f"at-{wanted}"]
        assert edge.site.connections == 0


def test_no_secret_is_in_the_log(edge):
    for logs in ({"debug": True}, {"debug": True, "use_json": True}):
        edge.site = Standin([node("here")], credentials=("token", edge.keystone.valid))
        with edge_fleet(edge, default=logs) as hub:
            token = "client-token-8d1f"
            hub.get("/v1/nodes", headers={"X-Auth-Token": token, "Authorization": "Basic Y2xpZW50OnNlY3JldA=="})
            hub.patch("/v1/nodes/here", [{"op": "add", "path": "/driver_info/password", "value": "bmc-secret-11"}])
            hub.post("/v1/nodes", {"driver": "d", "driver_info": {"password": "bmc-secret-22"}})
            edge.keystone.revoke_all()
            hub.get("/v1/nodes")
            edge.keystone.revoke_all()
            edge.keystone.fault(scripted.says(401, "no"))
            hub.get("/v1/nodes")
            edge.keystone.heal()
            hub.logged(r"PATCH.*/v1/nodes/here|/v1/nodes/here.*PATCH")
            log = hub.gateway.log()
            for secret in (SECRET, ESCAPED, token, "Y2xpZW50OnNlY3JldA==", "bmc-secret", "gAAAAA"):
                assert secret not in log, f"{secret} is in the log"


def test_credentials_go_nowhere_else(edge):
    """A location that redirects, or whose links point away, does not get the token sent there."""
    with Standin([node("stranger")]) as stranger, edge_fleet(edge) as hub:
        away = [("Location", f"{stranger.endpoint}/v1/nodes/here")]
        for status in (301, 302, 307, 308):
            hub.loc1.heal()
            hub.loc1.fault(scripted.answers(status, b"", away), path="/v1/nodes.*")
            hub.get("/v1/nodes/here")
            hub.get("/v1/nodes")
            hub.patch("/v1/nodes/here", [])
        assert stranger.connections == 0


# --- starts that must fail


def run(tmp_path, text, *arguments, env=None):
    path = tmp_path / "ironic-proxy.conf"
    path.write_text(text.replace(DIRECTORY, str(tmp_path)))
    return subprocess.run(
        [binary(), "--config-file", path, *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env={**os.environ, **(env or {})},
    )


GOOD = fleet_config(["http://127.0.0.1:1", "http://127.0.0.1:2"])


def test_a_good_configuration(tmp_path):
    result = run(tmp_path, GOOD, "--check-config")
    assert (result.returncode, result.stdout.strip()) == (0, "ok"), result


FAULTS = {
    "a group without a location": (("groups = _:loc1,grp1:loc2", "groups = _:loc1,grp1:loc2,grp2:loc9"), "DEFAULT", "groups"),
    "no groups": (("groups = _:loc1,grp1:loc2", ""), "DEFAULT", "groups"),
    "an unknown auth_type": (("auth_type = none", "auth_type = magic"), "group:loc1", "auth_type"),
    "a refused auth_type": (("auth_type = none", "auth_type = v3oidcpassword"), "group:loc1", "auth_type"),
    "no user name": (("auth_type = none", "auth_type = http_basic\npassword = x"), "group:loc1", "username"),
    "no password": (("auth_type = none", "auth_type = http_basic\nusername = x"), "group:loc1", "password"),
    "no auth_url": (("auth_type = none", "auth_type = password\nusername = x\npassword = y"), "group:loc1", "auth_url"),
    "two scopes": (("auth_type = none", "auth_type = password\nauth_url = http://127.0.0.1:5/v3\nusername = x\npassword = y\n"
                    "user_domain_name = d\nsystem_scope = all\nproject_id = z"), "group:loc1", "scope"),
    "no number": (("port = 0", "port = many"), "api", "port"),
    "a number too large": (("port = 0", "port = 70000"), "api", "port"),
    "no truth value": (("host_ip = 127.0.0.1", "host_ip = 127.0.0.1\nrequire_unique = perhaps"), "api", "require_unique"),
    "an unknown choice": (("host_ip = 127.0.0.1", "host_ip = 127.0.0.1\npartial_lists = maybe"), "api", "partial_lists"),
    "an unknown strategy": (("auth_strategy = noauth", "auth_strategy = wishful"), "api", "auth_strategy"),
    "no endpoint": (("endpoint_override = http://127.0.0.1:1", ""), "group:loc1", "endpoint"),
    "a bad endpoint": (("endpoint_override = http://127.0.0.1:1", "endpoint_override = ftp://x"), "group:loc1", "endpoint_override"),
    "a bad version": (("host_ip = 127.0.0.1", "host_ip = 127.0.0.1\nmin_max_version = newest"), "api", "min_max_version"),
    "a missing cafile": (("auth_type = none", "auth_type = none\ncafile = /nonexistent/ca.pem"), "group:loc1", "cafile"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("arguments", [(), ("--check-config",)], ids=["start", "check"])
def test_a_fault_of_the_configuration(tmp_path, fault, arguments):
    (old, new), section, option = FAULTS[fault]
    assert old in GOOD
    result = run(tmp_path, GOOD.replace(old, new, 1), *arguments)
    assert result.returncode == 78, result
    said = result.stdout + result.stderr
    lines = [line for line in said.splitlines() if f"[{section}]" in line and option in line]
    assert lines, said
    assert any(re.search(r"ironic-proxy\.conf(:\d+)?:", line) for line in lines), said
    assert "Listening" not in said and "panicked" not in said


def test_every_fault_is_said_at_once(tmp_path):
    text = GOOD
    wanted = []
    for fault in ("a group without a location", "no number", "an unknown choice", "no user name", "a bad version"):
        (old, new), section, option = FAULTS[fault]
        assert old in text, fault
        text = text.replace(old, new, 1)
        wanted.append((section, option))
    result = run(tmp_path, text, "--check-config")
    assert result.returncode == 78
    for section, option in wanted:
        assert re.search(rf"\[{re.escape(section)}\].*{option}", result.stdout + result.stderr), (section, option, result)


def test_values_are_never_shown(tmp_path):
    text = GOOD.replace("auth_type = none", f"auth_type = http_basic\npassword = {ESCAPED}\npasswrd = {ESCAPED}\ntimeout = {ESCAPED}", 1)
    result = run(tmp_path, text, "--check-config")
    assert result.returncode == 78
    assert SECRET not in result.stdout + result.stderr and ESCAPED not in result.stdout + result.stderr


def test_an_unknown_option_is_a_warning_that_helps(tmp_path):
    result = run(tmp_path, GOOD.replace("auth_type = none", "auth_type = none\nendpoint-override = http://127.0.0.1:9", 1), "--check-config")
    assert result.returncode == 0, result
    said = result.stdout + result.stderr
    assert "endpoint-override" in said and "endpoint_override" in said


@pytest.mark.parametrize("strategy", ["keystone", None])
def test_keystone_at_the_door_lets_nobody_in_unasked(tmp_path, strategy):
    """It is the default; without its section there is no way to ask who is who."""
    text = GOOD.replace("auth_strategy = noauth", f"auth_strategy = {strategy}" if strategy else "")
    result = run(tmp_path, text)
    assert result.returncode == 78, result
    assert "keystone" in (result.stdout + result.stderr).lower()


def test_http_basic_needs_its_file(tmp_path):
    for content in (None, "bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n"):
        text = GOOD.replace("auth_strategy = noauth", "auth_strategy = http_basic")
        text = text.replace("[api]", f"http_basic_auth_user_file = {DIRECTORY}/users\n[api]")
        if content is not None:
            (tmp_path / "users").write_text(content)
        result = run(tmp_path, text)
        assert result.returncode == 78, result
        assert "http_basic_auth_user_file" in result.stdout + result.stderr or "users" in result.stdout + result.stderr


def test_a_missing_file(tmp_path):
    result = subprocess.run([binary(), "--config-file", tmp_path / "none.conf"], capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 78, result
    assert "none.conf" in result.stdout + result.stderr


def test_a_port_that_is_taken(tmp_path):
    with Standin() as other:
        result = run(tmp_path, GOOD.replace("port = 0", f"port = {other.port}"))
        assert result.returncode != 0, result
        assert str(other.port) in result.stdout + result.stderr
        assert "panicked" not in result.stderr
        assert Client(other.endpoint).get("/v1").status == 200


def test_version_and_help():
    result = subprocess.run([binary(), "--version"], capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 0 and re.search(r"ironic-proxy \d+\.\d+", result.stdout), result
    result = subprocess.run([binary(), "--help"], capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 0
    for option in ("--config-file", "--config-dir", "--check-config", "--version"):
        assert option in result.stdout
