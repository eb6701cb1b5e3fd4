"""Tokens of a real Keystone at the door: which are believed, for how long, and what happens while Keystone is away."""

import contextlib
import re

import pytest
from fleet import Client, fleet, until
from house import application_credential
from standin import Standin, StandinKeystone, node

from bed.keystone import PASSWORD, PROJECT, SERVICE_PROJECT, Keystone

HERE = "/v1/nodes/here"


@pytest.fixture(scope="module")
def keystone():
    with Keystone() as running:
        yield running


def guarded(keystone, *, inbound=None, **options):
    """A gateway that asks this Keystone about every token anew, in front of one node called `here`."""
    own = {**keystone.middleware_options(), "token_cache_time": -1, "http_request_max_retries": 0, **(inbound or {})}
    api = {"auth_strategy": "keystone", **options.pop("api", {})}
    return fleet(Standin([node("here")]), wait=False, api=api, sections={"keystone_authtoken": own}, **options)


def with_token(token, **others):
    return {"X-Auth-Token": token, **{name.replace("_", "-"): value for name, value in others.items()}}


def settled(hub, token):
    """Until the gateway knows its location and its Keystone."""
    until(lambda: hub.get(HERE, headers=with_token(token)).status == 200, 20, "the gateway behind its Keystone")
    hub.forget_requests()


@pytest.fixture(scope="module")
def reader(keystone):
    return keystone.token("system-reader", system=True)


@pytest.fixture(scope="module")
def running(keystone, reader):
    with guarded(keystone) as hub:
        settled(hub, reader)
        yield hub


@pytest.fixture
def hub(running):
    running.forget_requests()
    return running


def assert_unauthorized(reply, hub, keystone):
    assert reply.status == 401, reply
    assert reply.header("WWW-Authenticate") == f'Keystone uri="{keystone.auth_url}"'
    message = "The request you have made requires authentication."
    assert reply.json() == {"error": {"code": 401, "title": "Unauthorized", "message": message}}
    assert not hub.loc1.asked(path="/v1/.*")


# --- which tokens


@pytest.mark.parametrize("path", ["/v1/nodes", HERE, "/v1/nodes/nobody", "/v1/nowhere", "/nowhere", "/v1/conductors"])
def test_nobody_comes_in_without_a_token(hub, keystone, path):
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        assert_unauthorized(hub.call(method, path), hub, keystone)


@pytest.mark.parametrize(
    "value",
    ["", " ", "x", "nonsense" * 20, "gAAAAABnonsense", "a b", "a,b", "../users", "?x=1", "%0d%0a", "null", "x" * 8000, "x" * 20000,
     "\xe4\xf6", "é".encode().decode("latin-1")],
    ids=lambda value: repr(value[:12]),
)  # fmt: skip
def test_what_is_no_token(hub, keystone, value):
    assert_unauthorized(hub.get(HERE, headers=with_token(value.encode("latin-1"))), hub, keystone)


def test_the_documents_are_public(hub):
    for path in ("/", "/v1", "/v1/", "/healthcheck"):
        for headers in ({}, with_token("nonsense")):
            assert hub.get(path, headers=headers).status == 200


def test_the_older_name_of_the_header(hub, keystone, reader):
    assert hub.get(HERE, headers={"X-Storage-Token": reader}).status == 200
    assert_unauthorized(hub.get(HERE, headers={"X-Storage-Token": "nonsense"}), _forgot(hub), keystone)
    both = {"X-Auth-Token": "nonsense", "X-Storage-Token": reader}
    assert_unauthorized(hub.get(HERE, headers=both), hub, keystone)


def _forgot(hub):
    hub.forget_requests()
    return hub


def test_two_tokens_are_refused(hub, keystone, reader):
    for name in ("X-Auth-Token", "X-Storage-Token", "X-Service-Token"):
        headers = [("X-Auth-Token", reader)] if name == "X-Service-Token" else []
        reply = hub.get(HERE, headers=[*headers, (name, reader), (name, reader)])
        assert reply.status == 400, (name, reply)
    assert not hub.loc1.asked(path="/v1/.*")


def test_blanks_around_a_token(hub, reader):
    assert hub.get(HERE, headers=with_token(f"  {reader} ")).status == 200


# --- service tokens


def test_a_service_token_lends_nothing(hub, keystone, reader):
    """Keystone's own middleware writes the service's scope over the user's: a tenant's member became an administrator."""
    member = keystone.token("project-member", project=PROJECT)
    services = [keystone.token("system-service", system=True), keystone.token("service-only", project=SERVICE_PROJECT)]
    services.append(keystone.token("ironic", project=SERVICE_PROJECT))
    for service in services:
        headers = with_token(member, X_Service_Token=service)
        for method, path in (("GET", HERE), ("PUT", f"{HERE}/maintenance"), ("DELETE", HERE)):
            assert hub.call(method, path, headers=headers).status == 404
        assert hub.get("/v1/nodes", headers=headers).names() == []
        assert {request.method for request in hub.loc1.asked(path="/v1/.*")} == {"GET"}
        # Nor does it take anything away.
        assert hub.get(HERE, headers=with_token(reader, X_Service_Token=service)).status == 200
        hub.forget_requests()


def test_a_service_token_must_be_one(hub, keystone, reader):
    member = keystone.token("system-member", system=True)
    for service in ("nonsense", "", member, reader):
        assert_unauthorized(hub.get(HERE, headers=with_token(reader, X_Service_Token=service)), hub, keystone)
    service = keystone.token("service-only", project=SERVICE_PROJECT)
    assert_unauthorized(hub.get(HERE, headers={"X-Service-Token": service}), hub, keystone)


def test_no_service_token_reaches_a_location(hub, keystone, reader):
    service = keystone.token("service-only", project=SERVICE_PROJECT)
    assert hub.get(HERE, headers=with_token(reader, X_Service_Token=service)).status == 200
    for request in hub.loc1.requests:
        assert request.header("X-Service-Token") is None and service.encode() not in request.head


def test_other_roles_of_services(keystone, reader):
    member = keystone.token("system-member", system=True)
    with guarded(keystone, inbound={"service_token_roles": "auditor, member"}) as hub:
        settled(hub, reader)
        assert hub.get(HERE, headers=with_token(reader, X_Service_Token=member)).status == 200
        service = keystone.token("service-only", project=SERVICE_PROJECT)
        assert hub.get(HERE, headers=with_token(reader, X_Service_Token=service)).status == 401
    with guarded(keystone, inbound={"service_token_roles_required": False}) as hub:
        settled(hub, reader)
        assert hub.get(HERE, headers=with_token(reader, X_Service_Token=member)).status == 200
        assert hub.get(HERE, headers=with_token(reader, X_Service_Token="nonsense")).status == 401


# --- the end of a token


def revoke(keystone, token):
    keystone.call("DELETE", "/auth/tokens", subject=token)


def test_a_revoked_token(hub, keystone):
    token = keystone.token("system-reader", system=True)
    assert hub.get(HERE, headers=with_token(token)).status == 200
    revoke(keystone, token)
    assert_unauthorized(hub.get(HERE, headers=with_token(token)), _forgot(hub), keystone)
    # Others of the same user are none the worse.
    assert hub.get(HERE, headers=with_token(keystone.token("system-reader", system=True))).status == 200


def test_a_user_who_is_disabled(hub, keystone):
    token = keystone.token("system-manager", system=True)
    assert hub.get(HERE, headers=with_token(token)).status == 200
    user = keystone.call("GET", "/users?name=system-manager")["users"][0]["id"]
    keystone.call("PATCH", f"/users/{user}", {"user": {"enabled": False}})
    try:
        assert_unauthorized(hub.get(HERE, headers=with_token(token)), _forgot(hub), keystone)
    finally:
        keystone.call("PATCH", f"/users/{user}", {"user": {"enabled": True}})


def test_a_role_that_was_taken_away(hub, keystone):
    """Keystone ends tokens whose assignment is gone."""
    token = keystone.token("system-member", system=True)
    assert hub.put(f"{HERE}/maintenance", {}, headers=with_token(token)).status == 202
    user = keystone.call("GET", "/users?name=system-member")["users"][0]["id"]
    role = keystone.call("GET", "/roles?name=member")["roles"][0]["id"]
    keystone.call("DELETE", f"/system/users/{user}/roles/{role}")
    try:
        assert hub.put(f"{HERE}/maintenance", {}, headers=with_token(token)).status in (401, 403)
    finally:
        keystone.call("PUT", f"/system/users/{user}/roles/{role}")


def test_how_long_a_token_is_believed(keystone, reader):
    """A revoked token may work for as long as `token_cache_time`, as with Keystone's own middleware, and no longer."""
    with guarded(keystone, inbound={"token_cache_time": 4}) as hub:
        settled(hub, reader)
        token = keystone.token("system-reader", system=True)
        assert hub.get(HERE, headers=with_token(token)).status == 200
        revoke(keystone, token)
        assert hub.get(HERE, headers=with_token(token)).status == 200
        until(lambda: hub.get(HERE, headers=with_token(token)).status == 401, 15, "the end of the belief")


@contextlib.contextmanager
def short_lived(keystone, seconds):
    """While this holds, tokens live for so many seconds; older ones keep their own end."""
    path = keystone._configuration
    text = path.read_text()
    keystone.stop()
    path.write_text(re.sub(r"(?m)^expiration = .*$", f"expiration = {seconds}", text))
    keystone.start()
    try:
        yield
    finally:
        keystone.stop()
        path.write_text(text)
        keystone.start()


def test_an_expired_token(keystone, reader):
    """However long it might be believed. A service may bring one that is over, for work that takes longer."""
    service = keystone.token("service-only", project=SERVICE_PROJECT)
    with short_lived(keystone, 8), guarded(keystone, inbound={"token_cache_time": 3600}) as hub:
        settled(hub, reader)
        token = keystone.token("system-reader", system=True)
        member = keystone.token("project-member", project=PROJECT)
        assert hub.get(HERE, headers=with_token(token)).status == 200
        until(lambda: hub.get(HERE, headers=with_token(token)).status == 401, 30, "the end of the token")
        assert_unauthorized(hub.get(HERE, headers=with_token(token)), _forgot(hub), keystone)
        until(lambda: hub.get(HERE, headers=with_token(member)).status == 401, 30, "the end of the other token")
        assert hub.get(HERE, headers=with_token(token, X_Service_Token=service)).status == 200
        assert hub.get(HERE, headers=with_token(member, X_Service_Token=service)).status == 404
        # That it counted once with a service does not make it count alone.
        assert hub.get(HERE, headers=with_token(token)).status == 401
        assert hub.get(HERE, headers=with_token(token, X_Service_Token=reader)).status == 401
        # Meanwhile the gateway's own token was renewed more than once, unnoticed.
        assert hub.get(HERE, headers=with_token(reader)).status == 200
        assert hub.get(HERE, headers=with_token(keystone.token("system-reader", system=True))).status == 200


# --- application credentials


def login(keystone, identity, scope=None):
    """A token, or None if Keystone refuses."""
    auth = {"identity": identity, **({"scope": scope} if scope else {})}
    answer = Client(keystone.auth_url).post("/v3/auth/tokens", {"auth": auth}, version=None)
    return answer.header("X-Subject-Token")


def by_credential(credential):
    return {
        "methods": ["application_credential"],
        "application_credential": {"id": credential["id"], "secret": credential["secret"]},
    }


def test_users_with_application_credentials(keystone, reader):
    """They are bound to a project, so nothing of others is there for them unless the old rule is asked for."""
    with application_credential(keystone, "project-admin", PROJECT) as credential:
        by_name = {
            "methods": ["application_credential"],
            "application_credential": {
                "name": credential["name"], "user": {"name": "project-admin", "domain": {"id": "default"}}, "secret": credential["secret"],
            },
        }  # fmt: skip
        tokens = [login(keystone, by_credential(credential)), login(keystone, by_name)]
        assert all(tokens)
        with guarded(keystone) as hub:
            settled(hub, reader)
            for token in tokens:
                assert hub.get(HERE, headers=with_token(token)).status == 404
        with guarded(keystone, api={"project_scoped_access": "legacy_admin"}) as hub:
            settled(hub, reader)
            for token in tokens:
                assert hub.get(HERE, headers=with_token(token)).status == 200
                assert hub.put(f"{HERE}/maintenance", {}, headers=with_token(token)).status == 202
            with application_credential(keystone, "project-member", PROJECT) as lesser:
                assert hub.get(HERE, headers=with_token(login(keystone, by_credential(lesser)))).status == 403
            keystone.call("GET", "/users?name=project-admin")
            path = f"/users/{credential['user_id']}/application_credentials/{credential['id']}"
            keystone.call("DELETE", path)
            for token in tokens:
                assert hub.get(HERE, headers=with_token(token)).status == 401


def test_credentials_with_access_rules_do_not_come_in(keystone, reader):
    """The gateway cannot enforce the rules, so it does not take what is bound by them."""
    rules = [{"path": "/v1/nodes", "method": "GET", "service": "baremetal"}]
    with application_credential(keystone, "project-admin", PROJECT, access_rules=rules) as credential:
        token = login(keystone, by_credential(credential))
        with guarded(keystone, api={"project_scoped_access": "legacy_admin"}) as hub:
            settled(hub, reader)
            for path in (HERE, "/v1/nodes"):
                assert hub.get(path, headers=with_token(token)).status == 401


@pytest.mark.parametrize("how", ["by id", "by name and user name", "by name and user id"])
def test_the_gateway_with_an_application_credential(keystone, reader, how):
    with application_credential(keystone, "ironic", SERVICE_PROJECT) as credential:
        options = {"auth_type": "v3applicationcredential", "application_credential_secret": credential["secret"]}
        options |= {name: None for name in ("username", "password", "user_domain_id", "project_name", "project_domain_id")}
        if how == "by id":
            options["application_credential_id"] = credential["id"]
        else:
            options["application_credential_name"] = credential["name"]
            options |= {"username": "ironic", "user_domain_id": "default"} if how == "by name and user name" else {"user_id": credential["user_id"]}
        with guarded(keystone, inbound=options) as hub:
            settled(hub, reader)
            assert hub.get(HERE, headers=with_token("nonsense")).status == 401
            assert credential["secret"] not in hub.gateway.log()


# --- Keystone away


def assert_unavailable(reply):
    assert reply.status == 503, reply
    assert reply.fault() == {"faultcode": "Server", "faultstring": "The Keystone service is temporarily unavailable.", "debuginfo": None}
    assert reply.header("Retry-After") is None
    assert reply.header("WWW-Authenticate") is None


def test_keystone_stops_and_comes_back(keystone, reader):
    fresh = keystone.token("system-reader", system=True)
    with guarded(keystone, inbound={"token_cache_time": 300}) as hub:
        settled(hub, reader)
        keystone.stop()
        try:
            hub.forget_requests()
            for _ in range(3):
                assert_unavailable(hub.get(HERE, headers=with_token(fresh)))
                assert_unavailable(hub.put(f"{HERE}/maintenance", {}, headers=with_token("nonsense")))
            assert not hub.loc1.asked(path="/v1/.*")
            assert hub.get(HERE, headers=with_token(reader)).status == 200, "who is known stays known"
            assert hub.get(HERE).status == 401, "who has no token needs no Keystone to be refused"
            assert hub.get("/v1").status == 200
            hub.logged(r"ERROR.*Tokens cannot be validated")
        finally:
            keystone.start()
        until(lambda: hub.get(HERE, headers=with_token(fresh)).status == 200, 30, "Keystone to be asked again")
        assert hub.get(HERE, headers=with_token("nonsense")).status == 401
        hub.logged(r"INFO.*Tokens can be validated again")


def test_a_token_that_ends_while_keystone_is_asked_ends_an_outage_too():
    """It answered, whatever it said: the next outage is told of again."""
    with StandinKeystone({"gw": PASSWORD, "reader": PASSWORD}) as standin:
        own = {"auth_type": "password", "auth_url": standin.endpoint, "username": "gw", "password": PASSWORD,
               "user_domain_id": "default", "system_scope": "all", "token_cache_time": -1, "http_request_max_retries": 0}  # fmt: skip
        with fleet(Standin([node("here")]), wait=False, api={"auth_strategy": "keystone"}, sections={"keystone_authtoken": own}) as hub:
            person = {"name": "reader", "password": PASSWORD, "domain": {"id": "default"}}
            identity = {"methods": ["password"], "password": {"user": person}}
            issued = standin._issue({"identity": identity, "scope": {"system": {"all": True}}})
            token = dict(issued.headers)["X-Subject-Token"]
            until(lambda: hub.get(HERE, headers=with_token(token)).status == 200)
            for outage in (1, 2):
                standin.down()
                assert_unavailable(hub.get(HERE, headers=with_token(token)))
                until(lambda: hub.gateway.log().count("Tokens cannot be validated") == outage)
                # It still said yes when the token's time came.
                standin.valid = lambda token: token in standin.tokens
                standin.tokens[token]["expires_at"] = "2020-01-01T00:00:00.000000Z"
                standin.up()
                until(lambda: hub.get(HERE, headers=with_token(token)).status == 401, 30, "Keystone to be asked again")
                until(lambda: hub.gateway.log().count("Tokens can be validated again") == outage)


def test_the_gateway_starts_without_its_keystone(keystone, reader):
    keystone.stop()
    try:
        with guarded(keystone) as hub:
            until(lambda: hub.get("/v1").status == 200)
            assert_unavailable(hub.get(HERE, headers=with_token(reader)))
            keystone.start()
            until(lambda: hub.get(HERE, headers=with_token(reader)).status == 200, 30, "Keystone to be found")
    finally:
        if keystone._process is None:
            keystone.start()


@pytest.mark.parametrize(
    "wrong",
    [{"password": "wrong-horse"}, {"username": "nobody"}, {"username": "project-member", "project_name": PROJECT}, {"project_name": "nowhere"}],
    ids=["password", "user", "rights", "project"],
)
def test_credentials_of_the_gateway_that_do_not_do(keystone, reader, wrong):
    """That is ours to put right: no client is told that its token is bad."""
    with guarded(keystone, inbound=wrong) as hub:
        until(lambda: hub.get("/v1").status == 200)
        assert_unavailable(hub.get(HERE, headers=with_token(reader)))
        if wrong.get("username") != "project-member":
            # Who may not ask about others' tokens is told of one that there is none, as everybody is.
            assert_unavailable(hub.get(HERE, headers=with_token("nonsense")))
        assert not hub.loc1.asked(path="/v1/.*")
        hub.logged(r"ERROR")
        assert "wrong-horse" not in hub.gateway.log()


# --- the log


def test_the_log_says_who_and_never_with_what(hub, keystone, reader):
    user = keystone.call("GET", "/users?name=system-reader")["users"][0]["id"]
    member = keystone.token("project-member", project=PROJECT)
    project = keystone.call("GET", f"/projects?name={PROJECT}")["projects"][0]["id"]
    ident = hub.get(HERE, headers=with_token(reader)).header("X-Openstack-Request-Id")
    assert ident
    hub.get("/v1/nodes?limit=3", headers=with_token(reader))
    hub.logged(rf"{user} - - default -.*/v1/nodes\?limit=3")
    hub.get("/v1/nodes?limit=5", headers=with_token(member))
    hub.logged(rf"{project} - default default.*/v1/nodes\?limit=5.*200")
    log = hub.gateway.log()
    for secret in (reader, member, "gAAAAA", PASSWORD):
        assert secret not in log
