"""The stand-ins answer as Ironic and Keystone do. What is expected here was read off recorded answers of Ironic 39."""

import http.client
import json
import socket
import time

import pytest
import scripted
from fleet import Client, together, until, walk
from routes import row_of, table
from standin import Standin, StandinKeystone, new_uuid, node


@pytest.fixture
def site():
    with Standin([node(f"n{index}", resource_class=None if index % 2 else f"c{index}") for index in range(7)]) as site:
        yield site


@pytest.fixture
def client(site):
    return Client(site.endpoint)


def error(kind, text):
    inner = json.dumps({"faultcode": kind, "faultstring": text, "debuginfo": None})
    return json.dumps({"error_message": inner}).encode()


# --- documents and versions


def test_the_root_document(site, client):
    reply = client.get("/", version=None)
    version = {
        "id": "v1",
        "links": [{"href": f"{site.endpoint}/v1/", "rel": "self"}],
        "status": "CURRENT",
        "min_version": "1.1",
        "version": "1.115",
    }
    assert reply.json() == {
        "name": "OpenStack Ironic API",
        "description": "Ironic is an OpenStack project which enables the provision and management of baremetal machines.",
        "default_version": version,
        "versions": [version],
    }
    assert reply.header("X-OpenStack-Ironic-API-Version") == "1.1"
    assert reply.header("Server") == "ironic_api"


@pytest.mark.parametrize(("version", "length"), [(None, 1000), ("1.34", 1569), ("1.115", 2797), ("latest", 2797), ("1.50", 1718)])
def test_the_version_document_has_the_recorded_length(version, length):
    # Recorded from an Ironic whose address had as many characters.
    with Standin(link_base="http://127.0.0.1:16385") as site:
        assert len(Client(site.endpoint).get("/v1", version=version).body) == length


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({"X-OpenStack-Ironic-API-Version": " 1.50 "}, "1.50"),
        ({"X-OpenStack-Ironic-API-Version": "1.050"}, "1.50"),
        ({"X-OpenStack-Ironic-API-Version": "1.50, 1.60"}, "1.60"),
        ({"X-OpenStack-Ironic-API-Version": "LATEST"}, "1.115"),
        ({"X-OpenStack-Ironic-API-Version": ""}, "1.1"),
        ({"OpenStack-API-Version": "compute 2.10, baremetal 1.60"}, "1.60"),
        ({"OpenStack-API-Version": "BAREMETAL 1.62"}, "1.62"),
        ({"OpenStack-API-Version": "bare-metal 1.62"}, "1.1"),
        ({"OpenStack-API-Version": "baremetal 1.78", "X-OpenStack-Ironic-API-Version": "1.50"}, "1.78"),
    ],
)
def test_versions(client, headers, version):
    reply = client.get("/v1/nodes", version=None, headers=headers)
    assert (reply.status, reply.header("X-OpenStack-Ironic-API-Version")) == (200, version)


@pytest.mark.parametrize(("version", "length", "ranged"), [("1.116", 219, True), ("1.0", 217, True), ("2.0", 231, True), ("abc", 145, False)])
def test_refused_versions_have_the_recorded_length(client, version, length, ranged):
    reply = client.get("/v1/nodes", version=version)
    assert (reply.status, len(reply.body)) == (406, length)
    assert (reply.header("X-OpenStack-Ironic-API-Maximum-Version") == "1.115") == ranged
    assert reply.header("X-OpenStack-Ironic-API-Version") is None


# --- nodes


def test_one_node(site, client):
    record = site.nodes[0]
    by_name, by_uuid = client.get("/v1/nodes/n0"), client.get(f"/v1/nodes/{record['uuid']}")
    assert by_name.body == by_uuid.body
    shown = by_name.json()
    assert list(shown)[:3] == ["uuid", "created_at", "updated_at"]
    base = f"{site.endpoint}/v1/nodes/{record['uuid']}"
    assert shown["links"][0] == {"href": base, "rel": "self"}
    assert shown["states"][0]["href"] == f"{base}/states"
    assert set(client.get("/v1/nodes/n0?fields=uuid").json()) == {"uuid", "links"}
    old = client.get(f"/v1/nodes/{record['uuid']}", version="1.1").json()
    assert "name" not in old and "conductor_group" not in old and "states" not in old


@pytest.mark.parametrize(
    ("path", "version", "status", "body"),
    [
        ("/v1/nodes/foo", "1.115", 404, error("Client", "Node foo could not be found.")),
        ("/v1/nodes/n0", "1.4", 404, error("Client", "Node n0 could not be found.")),
        ("/v1/nodes/n0?foo=1", "1.115", 400, error("Client", "Unexpected arguments: foo")),
        ("/v1/nodes/n0?fields=foo", "1.115", 400, error("Client", "Field foo is not a valid field.")),
        ("/v1/nodes/n0/ports", "1.115", 404, error("Client", "Portgroup None could not be found.")),
        ("/v1/nodes?limit=0", "1.115", 400, error("Client", "Limit must be positive")),
        ("/v1/nodes?limit=2&limit=3", "1.115", 400, error("Client", "Expected an integer for limit: ['2', '3']")),
        ("/v1/nodes?marker=foo", "1.115", 400, error("Client", "Expected UUID for marker: foo")),
        ("/v1/nodes?sort_key=foo", "1.115", 400, error("Client", 'The sort_key value "foo" is an invalid field for sorting')),
        ("/v1/nodes?sort_key=extra", "1.115", 400, error("Client", "The sort_key value extra is an invalid field for sorting")),
        ("/v1/nodes?sort_dir=ASC", "1.115", 400, error("Client", "Invalid sort direction: ASC. Acceptable values are 'asc' or 'desc'")),
        ("/v1/nodes?fields=uuid,foo", "1.115", 500, error("Server", "type object 'Node' has no attribute 'foo'")),
        ("/v1/nodes?provision_state=foo", "1.115", 400, error("Client", 'Provision state "foo" is not valid')),
        (
            "/v1/nodes?detail=maybe",
            "1.115",
            400,
            error(
                "Client",
                "Invalid detail: Unrecognized value 'maybe', acceptable values are: '0', '1', 'f', 'false', 'n', 'no', 'off', 'on', 't',"
                " 'true', 'y', 'yes'",
            ),
        ),
    ],
)  # fmt: skip
def test_errors(client, path, version, status, body):
    reply = client.get(path, version=version)
    assert (reply.status, reply.body) == (status, body)


def test_next_forgets_the_filters(site, client):
    reply = client.get("/v1/nodes?limit=2&resource_class=c0&fields=uuid")
    assert "next" not in reply.json()
    reply = client.get("/v1/nodes?limit=1&resource_class=c0&fields=uuid")
    marker = site.nodes[0]["uuid"]
    assert reply.json()["next"] == f"{site.endpoint}/v1/nodes?sort_key=id&sort_dir=asc&fields=uuid&limit=1&marker={marker}"
    reply = client.get("/v1/nodes/detail?limit=1")
    assert reply.json()["next"] == f"{site.endpoint}/v1/nodes/detail?sort_key=id&sort_dir=asc&limit=1&marker={marker}"


def test_an_exact_multiple_has_one_more_page(client):
    class AnyLink:
        """The walk follows links of the site itself here."""

        url = client.url
        get = staticmethod(client.get)

    items, sizes = walk(AnyLink, [], 7)
    assert (len(items), sizes) == (7, [7, 0])


@pytest.mark.parametrize(
    ("direction", "database", "names"),
    [("asc", "sqlite", ["n1", "n3", "n5"]), ("desc", "sqlite", ["n6", "n4", "n2", "n0"]), ("desc", "postgres", ["n5", "n3", "n1"])],
)
def test_null_sort_keys_lose_rows(site, client, direction, database, names):
    site.database = database
    seen, marker = [], ""
    while True:
        document = client.get(f"/v1/nodes?limit=2&sort_key=resource_class&sort_dir={direction}{marker}").json()
        seen += [item["name"] for item in document["nodes"]]
        if "next" not in document:
            break
        marker = f"&marker={document['nodes'][-1]['uuid']}"
    assert seen == names


def test_max_limit(site, client):
    site.max_limit = 5
    for query in ("limit=100", "fields=uuid", "limit=99999999999999999999"):
        document = client.get(f"/v1/nodes?{query}").json()
        assert len(document["nodes"]) == 5 and "limit=5&" in document["next"]


def test_writes(site, client):
    created = client.post("/v1/nodes", {"driver": "d", "name": "new", "conductor_group": "Grp"})
    ident = created.json()["uuid"]
    assert (created.status, created.json()["conductor_group"]) == (201, "grp")
    assert created.header("Location") == f"{site.endpoint}/v1/nodes/{ident}"
    again = client.post("/v1/nodes", {"driver": "d", "name": "new"})
    assert (again.status, again.body) == (409, error("Client", "A node with name new already exists."))
    for step, status in (
        ({"op": "replace", "path": "/conductor_group", "value": None}, 500),
        ({"op": "remove", "path": "/conductor_group"}, 500),
        ({"op": "test", "path": "/name"}, 400),
        ({"op": "add", "path": "/extra/a", "value": {"b": 1}}, 200),
    ):
        assert client.patch("/v1/nodes/new", [step]).status == status
    assert client.get("/v1/nodes/new").json()["extra"] == {"a": {"b": 1}}
    power = client.put("/v1/nodes/new/states/power", {"target": "power on"})
    assert (power.status, power.header("Location")) == (202, f"{site.endpoint}/v1/nodes/new/states")
    assert client.delete("/v1/nodes/new").status == 204
    assert client.get(f"/v1/nodes/{ident}").status == 404


def test_owners_need_the_system_scope(client):
    body = {"driver": "d", "owner": "x"}
    assert client.post("/v1/nodes", body).status == 400
    assert client.post("/v1/nodes", body, headers={"OpenStack-System-Scope": "all"}).status == 201


def test_a_path_prefix():
    with Standin([node("x")], prefix="/baremetal") as site:
        client = Client(f"http://127.0.0.1:{site.port}")
        assert client.get("/v1/nodes").status == 404
        assert client.get("/baremetal/v1/nodes/x").json()["links"][0]["href"].startswith(f"{site.endpoint}/v1/nodes/")


def test_credentials():
    with Standin(credentials=("basic", "u", "p")) as site:
        client = Client(site.endpoint)
        assert client.get("/v1").status == 200
        denied = client.get("/v1/nodes")
        assert (denied.status, denied.header("WWW-Authenticate")) == (401, 'Basic realm="Baremetal API"')
        assert client.get("/v1/nodes", headers={"Authorization": "Basic dTpw"}).status == 200


# --- faults and records


def test_what_is_recorded(site, client):
    client.call("PUT", "/v1/nodes/n0/states/power?a=b%20c", b"{}", headers=[("X-A", "1"), ("x-a", "2")])
    [request] = site.asked("PUT")
    assert (request.path, request.query, bytes(request.body), request.complete) == ("/v1/nodes/n0/states/power", [("a", "b c")], b"{}", True)
    assert request.header_values("X-A") == ["1", "2"]
    assert request.status == 400
    client.call("PUT", "/v1/nodes/n0/maintenance", iter([b'{"reason":', b'"x"}']))
    assert bytes(site.requests[-1].body) == b'{"reason":"x"}'
    assert site.requests[-1].connection != request.connection


def test_down_and_up(site, client):
    site.down()
    with pytest.raises(ConnectionRefusedError):
        client.get("/v1")
    site.up()
    assert client.get("/v1").status == 200
    site.down()
    site.up()
    assert client.get("/v1").status == 200


def test_a_rule_strikes_what_it_should(site, client):
    rule = site.fault(scripted.says(500, "x"), method="GET", path="/v1/nodes/.+", times=2, skip=1)
    assert [client.get(path).status for path in ("/v1/nodes", "/v1/nodes/n0", "/v1/nodes/n0", "/v1/nodes/n1", "/v1/nodes/n1")] == [
        200, 200, 500, 500, 200,
    ]  # fmt: skip
    assert rule.hits == 2


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (scripted.hang(), TimeoutError),
        (scripted.hang_after_head(), TimeoutError),
        (scripted.hang_in_body(), TimeoutError),
        (scripted.drip(), TimeoutError),
        (scripted.reset(), ConnectionResetError),
        (scripted.close(), http.client.RemoteDisconnected),
        (scripted.cut_off(), http.client.IncompleteRead),
        (scripted.cut_chunks(), http.client.IncompleteRead),
        (scripted.garbage(), http.client.BadStatusLine),
        (scripted.html(), 502),
        (scripted.cut_json(), 200),
        (scripted.too_big(1 << 20), 200),
        (scripted.too_deep(), 200),
        (scripted.late(0.1), 200),
    ],
)
def test_faults(site, client, fault, outcome):
    site.fault(fault)

    def call():
        started = time.monotonic()
        try:
            reply = client.get("/v1/nodes", timeout=0.5)
            while outcome is TimeoutError and time.monotonic() - started < 1:
                time.sleep(0.05)
            return reply.status
        except (OSError, http.client.HTTPException) as error:
            return type(error)

    if fault.__qualname__.startswith("drip"):
        # Each byte comes in time; the whole does not.
        with socket.create_connection(("127.0.0.1", site.port)) as connection:
            connection.sendall(b"GET /v1/nodes HTTP/1.1\r\nHost: x\r\n\r\n")
            until(lambda: b"\r\n\r\n" in connection.recv(65536))
            assert len(connection.recv(65536)) == 1
        return
    assert call() == outcome


def test_many_at_once(site, client):
    replies = together(*[lambda: client.get("/v1/nodes") for _ in range(50)])
    assert {reply.status for reply in replies} == {200}


# --- Keystone


def test_keystone():
    with StandinKeystone({"hub": "secret"}, lifetime=3600) as keystone:
        client = Client(keystone.endpoint)

        def issue(password):
            user = {"name": "hub", "domain": {"name": "Default"}, "password": password}
            return client.post("/v3/auth/tokens", {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}})

        assert issue("wrong").status == 401
        issued = issue("secret")
        token = issued.header("X-Subject-Token")
        assert issued.status == 201 and keystone.valid(token) and not keystone.valid("x") and not keystone.valid(None)
        reply = client.get("/v3/auth/tokens", headers={"X-Auth-Token": token, "X-Subject-Token": token})
        assert (reply.status, reply.json()["token"]["user"]["name"]) == (200, "hub")
        keystone.revoke_all()
        assert not keystone.valid(token)
        keystone.lifetime = -1
        assert not keystone.valid(issue("secret").header("X-Subject-Token"))
        assert keystone.issued() == 3
        assert client.get("/v3", version=None).json()["version"]["id"] == "v3.14"
        assert new_uuid() != new_uuid()


# --- the table of routes


def test_the_rows_are_read_as_the_gateway_reads_them():
    rows = table()
    for method, target, expected in [
        ("GET", "/v1/nodes?limit=1", ("GET", "nodes")),
        ("GET", "/nodes/detail", ("GET", "nodes/detail")),
        ("DELETE", "/v1/nodes/n%6fde/", ("DELETE", "nodes/{}")),
        ("GET", "/v1/nodes/validate?node=x", ("GET", "nodes/validate")),
        ("GET", "/v1/nodes/x/vendor_passthru/methods", ("GET", "nodes/{}/vendor_passthru/methods")),
        ("PUT", "/v1/nodes/x/vendor_passthru/methods", ("*", "nodes/{}/vendor_passthru/{}")),
        ("GET", "/v1/nodes/x/future", None),
        ("GET", "/", None),
    ]:
        assert row_of(rows, method, target) == expected, target
