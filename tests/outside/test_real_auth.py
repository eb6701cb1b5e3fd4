"""Credentials: the gateway's own towards real Ironics, and http_basic towards its clients."""

import base64

import pytest

from bed.ironic import Ironic, htpasswd
from bed.keystone import PASSWORD, SERVICE_PROJECT, Keystone
from client import LATEST, VERSION, Api, fault, raw, until, wipe
from gateway import DIRECTORY, Gateway, config

USERS = {"admin": "pass:w0rd ä", "other": "x"}


@pytest.fixture(scope="module")
def keystone():
    """A Keystone whose catalog has the Ironic `secure`."""
    with_catalog = Keystone()
    secure = Ironic("secure", auth="keystone", keystone=with_catalog)
    with_catalog.baremetal_url = secure.url
    with_catalog.secure = secure
    try:
        with_catalog.start()
        secure.start()
        yield with_catalog
    finally:
        secure.close()
        with_catalog.close()


@pytest.fixture(scope="module")
def basic():
    """An Ironic that wants http_basic."""
    with Ironic("basic", group="grp1", auth="http_basic", users=USERS) as running:
        yield running


@pytest.fixture
def administrator(keystone):
    """The secured Ironic asked by its administrator; emptied afterwards."""
    api = Api(keystone.secure.url, headers={"X-Auth-Token": keystone.token("admin", system=True)})
    yield api
    wipe(api)


def whole(gateway, **headers):
    api = Api(gateway.url, headers=headers)
    until(lambda: api.get("/v1/nodes").status == 200, what="all locations")
    return api


WAYS = {
    "system scope": lambda keystone: keystone.options(),
    "project scope": lambda keystone: keystone.options("ironic", system=False, project=SERVICE_PROJECT),
    "v3password": lambda keystone: {**keystone.options(), "auth_type": "v3password"},
    "from the catalog": lambda keystone: {**keystone.options(), "endpoint_override": None},
    "from the catalog by region": lambda keystone: {
        **keystone.options(),
        "endpoint_override": None,
        "region_name": keystone.region,
        "valid_interfaces": "internal,public",
    },
    "a trailing /v1": lambda keystone: {**keystone.options(), "endpoint_override": f"{keystone.secure.url}/v1"},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_location_on_keystone(keystone, administrator, way):
    text = config({"secure": keystone.secure.url}, location_options={"secure": WAYS[way](keystone)})
    with Gateway(text) as gateway:
        api = whole(gateway)
        node = api.create(name="guarded")
        assert administrator.get(f"/v1/nodes/{node['uuid']}").status == 200
        assert api.get("/v1/nodes/guarded").headers["X-Ironic-Proxy-Location"] == "secure"
        assert api.patch("/v1/nodes/guarded", ("add", "/extra/a", 1)).status == 200
        assert [item["name"] for item in api.list()] == ["guarded"]
        assert api("DELETE", "/v1/nodes/guarded").status == 204
        assert PASSWORD not in gateway.log()
        assert "gAAAAA" not in gateway.log(), "a token in the log"


def test_a_location_on_http_basic_beside_one_on_keystone(keystone, basic, administrator):
    text = config(
        {"secure": keystone.secure.url, "basic": basic.url},
        location_options={
            "secure": keystone.options(),
            "basic": {"auth_type": "http_basic", "username": "admin", "password": USERS["admin"]},
        },
    )
    with Gateway(text) as gateway:
        api = whole(gateway)
        api.create(name="one")
        api.create(name="two", conductor_group="grp1", owner="somebody")
        assert [item["name"] for item in api.list()] == ["one", "two"]
        assert api.get("/v1/nodes/two").headers["X-Ironic-Proxy-Location"] == "basic"
        for name in ("one", "two"):
            assert api("DELETE", f"/v1/nodes/{name}").status == 204


def test_what_the_client_says_about_itself_does_not_pass(keystone, administrator):
    """A client without any right must not lend itself one, nor take the gateway's away."""
    text = config({"secure": keystone.secure.url}, location_options={"secure": keystone.options()})
    with Gateway(text) as gateway:
        api = whole(gateway)
        api.create(name="guarded")
        for headers in (
            {"X-Auth-Token": "nonsense"},
            {"Authorization": "Basic eDp5"},
            {"X-Roles": "nobody", "X-Project-Id": "p", "OpenStack-System-Scope": ""},
            {"X_Auth_Token": "nonsense", "X_Roles": "x"},
        ):
            assert api.get("/v1/nodes/guarded", headers=headers).status == 200, headers


@pytest.mark.parametrize("wrong", [{"password": "wrong-horse"}, {"username": "nobody"}])
def test_refused_credentials_are_our_fault(keystone, wrong):
    text = config({"secure": keystone.secure.url}, location_options={"secure": {**keystone.options(), **wrong}})
    with Gateway(text) as gateway:
        api = Api(gateway.url)
        answer = until(lambda: found if "secure" in fault(found := api.get("/v1/nodes/x")) else None)
        assert answer.status == 503
        assert "Retry-After" not in answer.headers and "WWW-Authenticate" not in answer.headers
        assert keystone.auth_url not in answer.body.decode() and "wrong-horse" not in answer.body.decode()
        assert api.get("/v1/nodes").status == 503
        assert api("POST", "/v1/nodes", json={"driver": "fake-hardware"}).status == 503
        assert "wrong-horse" not in gateway.log()
        until(lambda: "ERROR" in gateway.log(), what="an error in the log")


def test_a_user_without_a_role_is_our_fault_too(keystone):
    options = keystone.options("outsider", system=False, project="other")
    text = config({"secure": keystone.secure.url}, location_options={"secure": options})
    with Gateway(text) as gateway:
        api = Api(gateway.url)
        body = {"driver": "fake-hardware"}
        answer = until(lambda: found if "secure" in fault(found := api("POST", "/v1/nodes", json=body)) else None)
        assert answer.status == 503


def test_a_revoked_token_is_renewed_within_the_request(keystone, administrator):
    text = config({"secure": keystone.secure.url}, location_options={"secure": keystone.options()})
    with Gateway(text) as gateway:
        api = whole(gateway)
        api.create(name="guarded")
        user = keystone.call("GET", "/users?name=gateway")["users"][0]["id"]
        for enabled in (False, True):
            keystone.call("PATCH", f"/users/{user}", {"user": {"enabled": enabled}})
        # Ironic remembers what it has checked; a new one does not.
        keystone.secure.stop()
        keystone.secure.start()
        until(lambda: api.get("/v1").status == 200)
        answer = until(
            lambda: found if (found := api.get("/v1/nodes/guarded")).status != 503 or "refus" in found.body.decode() else None,
            what="the restarted Ironic",
        )
        assert answer.status == 200, answer.body.decode()
        assert api.create(name="after")["name"] == "after"


def test_while_keystone_is_away_the_token_at_hand_serves(keystone, administrator):
    text = config({"secure": keystone.secure.url}, location_options={"secure": keystone.options()})
    with Gateway(text) as gateway:
        api = whole(gateway)
        api.create(name="guarded")
        assert api.get("/v1/nodes/guarded").status == 200
        keystone.stop()
        try:
            assert api.get("/v1/nodes/guarded").status == 200
        finally:
            keystone.start()


# ---- http_basic towards the clients


def authorization(name, password):
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.fixture(scope="module")
def guarded(basic):
    """A gateway with http_basic in front of an Ironic with http_basic; the users are the same, the files are not."""
    text = config(
        {"basic": basic.url},
        groups="grp1:basic",
        api={"auth_strategy": "http_basic"},
        default={"http_basic_auth_user_file": f"{DIRECTORY}/htpasswd"},
        location_options={"basic": {"auth_type": "http_basic", "username": "other", "password": "x"}},
    )
    gateway = Gateway(text)
    (gateway.directory / "htpasswd").write_text(htpasswd(USERS), encoding="utf-8")
    with gateway:
        whole(gateway, Authorization=authorization("admin", USERS["admin"]))
        yield gateway


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic " + base64.b64encode(b"nocolon").decode(),
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        authorization("admin", "wrong"),
        authorization("nobody", "wrong"),
        authorization("", ""),
        authorization("admin", ""),
        "Bearer abc",
        "basic " + base64.b64encode(b"other:x").decode(),
        "Digest username=admin",
        authorization("other", "x"),
        authorization("admin", USERS["admin"]),
    ],
)
@pytest.mark.parametrize("path", ["/v1/nodes", "/v1/nodes/x", "/nowhere"])
def test_http_basic_lets_in_and_refuses_as_ironic_does(guarded, basic, header, path):
    headers = {VERSION: LATEST, **({} if header is None else {"Authorization": header})}
    ours = raw(guarded.url, "GET", path, headers)
    theirs = raw(basic.url, "GET", path, headers)
    assert (ours[0], ours[2]) == (theirs[0], theirs[2])
    for name in ("WWW-Authenticate", "Content-Type"):
        assert ours[1][name] == theirs[1][name]


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/"])
def test_the_documents_are_public(guarded, path):
    assert raw(guarded.url, "GET", path)[0] == 200
    assert raw(guarded.url, "GET", path, {"Authorization": "Basic !!!"})[0] == 200


def test_a_write_needs_the_password_too(guarded):
    body = {"driver": "fake-hardware", "name": "x", "conductor_group": "grp1"}
    assert Api(guarded.url)("POST", "/v1/nodes", json=body).status == 401
    allowed = whole(guarded, Authorization=authorization("admin", USERS["admin"]))
    assert allowed.list() == []
    assert allowed.create(name="x", conductor_group="grp1")["name"] == "x"
    assert allowed("DELETE", "/v1/nodes/x").status == 204
    assert "pass:w0rd" not in guarded.log()
