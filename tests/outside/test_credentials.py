"""How the gateway proves itself at its locations, and secrets that go nowhere else."""

import base64
import signal

import pytest
import scripted
from fleet import assert_unavailable, fleet, together, until
from standin import Standin, StandinKeystone, new_uuid, node

SECRET = "pa$w0rd-7f3a"
ESCAPED = SECRET.replace("$", "$$")


def basic(user, password):
    text = f"{user}:{password}" if isinstance(password, str) else f"{user}:".encode() + password
    raw = text.encode() if isinstance(text, str) else text
    return {"Authorization": "Basic " + base64.b64encode(raw).decode()}


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
        # Behind all that came before it.
        hub.gateway.process.signal(signal.SIGUSR1)
        hub.logged("The log file is reopened")
        assert hub.gateway.log().count("refuses our credentials") == 1, "the log is flooded"


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


def test_an_outage_of_keystone_is_told_once_and_so_is_its_end(edge):
    edge.keystone.down()
    with edge_fleet(edge, wait=False) as hub:
        until(lambda: hub.get("/v1").status == 200)
        for _ in range(20):
            assert_unavailable(hub.get("/v1/nodes"), "loc1")
        edge.keystone.up()
        until(lambda: hub.get("/v1/nodes").status == 200, seconds=15, what="the token after Keystone came back")
        assert hub.get("/v1/nodes").status == 200
        hub.logged("There are credentials for location `loc1` again")
        told = [line.partition("No credentials for")[2] for line in hub.gateway.log().splitlines() if "No credentials for" in line]
        assert told and len(told) == len(set(told)), told
        assert hub.gateway.log().count("There are credentials") == 1


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


def test_a_dead_address_makes_the_catalog_be_asked_again():
    """The site moved and its catalog says so, while the token is good for an hour."""
    edge = Edge(catalog=True, probe_interval=1)
    old, new = Standin([node("here")]), Standin([node("here")])
    edge.keystone.catalog = [("public", "one", old.endpoint)]
    with edge.keystone, old, new, edge_fleet(edge, wait=False) as hub:
        until(lambda: hub.get("/v1/nodes").status == 200, what="the location by its catalog")
        edge.keystone.catalog = [("public", "one", new.endpoint)]
        old.down()
        until(lambda: hub.get("/v1/nodes").status == 200, 20, "the location by its new catalog")
        assert new.asked("GET", "/v1/nodes")


@pytest.mark.parametrize(("expected", "told"), [(None, 1), ("project", 0)])
def test_a_token_of_a_project_is_an_error_that_is_told_once(edge, expected, told):
    del edge.options["system_scope"]
    edge.options.update(project_name="service", project_domain_id="default", expect_scope=expected)
    with edge_fleet(edge, wait=False) as hub:
        until(lambda: hub.get("/v1/nodes").status == 200, what="a list")
        for path in ("/v1/nodes", "/v1/nodes?sort_key=name", "/v1/ports", "/v1/drivers"):
            announced = hub.get(path).header("X-Ironic-Proxy-Incomplete")
            assert announced == ("loc1;reason=scope" if told else None), path
        assert hub.gateway.log().count("is not scoped to the system") == told


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
