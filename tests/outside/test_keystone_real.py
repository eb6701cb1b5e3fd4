"""The whole house: one Keystone at the hub, another at the edge, Ironics on Keystone, http_basic and none."""

import os
import re
import shlex
import subprocess

import pytest
from client import LATEST, VERSION, Api, Refused, command, fault, raw, until, wipe
from fleet import Client
from house import EDGE_USER, SYSTEM, House, application_credential
from gateway import Gateway
from scripted import Answer
from standin import Standin, node

from bed import venvs
from bed.keystone import PASSWORD, PROJECT, SERVICE_PROJECT

@pytest.fixture(scope="module")
def house():
    building = House()
    try:
        building.start()
        yield building
    finally:
        building.close()


@pytest.fixture
def admin(house):
    """The administrator at the gateway; all nodes are gone afterwards."""
    api = house.api("system admin")
    until(lambda: api.get("/v1/nodes").status == 200, what="all locations")
    yield api
    wipe(api)


def at_edge(house):
    """The keyed Ironic, asked by its own administrator."""
    return Api(house.keyed.url, headers={"X-Auth-Token": house.edge.token("admin", system=True)})


# --- the seed's configuration


def test_keystone_in_keystone_out(house, admin):
    for name, group in (("one", ""), ("two", "grp1"), ("three", "grp2")):
        admin.create(name=name, conductor_group=group, owner="somebody")
    assert [item["name"] for item in admin.list()] == ["one", "two", "three"]
    for name, location in (("one", "loc1"), ("two", "loc2"), ("three", "loc3")):
        answer = admin.get(f"/v1/nodes/{name}")
        assert (answer.status, answer.headers["X-Ironic-Proxy-Location"]) == (200, location)
        assert admin.patch(f"/v1/nodes/{name}", ("add", "/extra/a", 1)).status == 200
        assert admin("PUT", f"/v1/nodes/{name}/maintenance", json={"reason": "x"}).status == 202
    assert [item["name"] for item in at_edge(house).list()] == ["one"]
    log = house.gateway.log()
    for secret in (PASSWORD, EDGE_USER["admin"], "gAAAAA"):
        assert secret not in log


def test_the_client_of_an_operator(house, admin):
    """`baremetal` with nothing but the hub's Keystone: the gateway is in its catalog."""
    admin.create(name="one")
    admin.create(name="two", conductor_group="grp1")
    operator = command(**house.hub.environment("system-admin", system=True))
    assert {item["name"] for item in operator("node", "list")} == {"one", "two"}
    assert operator("node", "show", "two")["conductor_group"] == "grp1"
    reader = command(**house.hub.environment("system-reader", system=True))
    assert {item["name"] for item in reader("node", "list")} == {"one", "two"}
    with pytest.raises(Refused, match="set_maintenance"):
        reader("node", "maintenance", "set", "one", form=None)
    tenant = command(**house.hub.environment("project-admin", project=PROJECT))
    assert tenant("node", "list") == []
    tenant("node", "create", "--driver", "fake-hardware", "--name", "mine", "--conductor-group", "grp1")
    assert {item["name"] for item in tenant("node", "list")} == {"mine"}


SAMPLE = [
    ("GET", "/v1/nodes", None, "reader member manager admin service", 200),
    ("GET", "/v1/nodes/{}", None, "reader member manager admin service", 200),
    ("GET", "/v1/conductors", None, "reader member manager admin service", 200),
    ("GET", "/v1/drivers", None, "reader member manager admin service", 200),
    ("GET", "/v1/chassis", None, "reader member manager admin service", 200),
    ("GET", "/v1/nodes/{}/states", None, "reader member manager admin service", 200),
    ("PATCH", "/v1/nodes/{}", [{"op": "add", "path": "/extra/a", "value": 1}], "member manager admin service", 200),
    ("PATCH", "/v1/nodes/{}", [{"op": "add", "path": "/owner", "value": "x"}], "member manager admin", 200),
    ("PATCH", "/v1/nodes/{}", [{"op": "replace", "path": "/automated_clean", "value": False}], "admin", 200),
    ("PUT", "/v1/nodes/{}/maintenance", {"reason": "x"}, "member manager admin service", 202),
    ("GET", "/v1/nodes/{}/validate", None, "member manager admin service", 200),
    ("POST", "/v1/allocations", {"resource_class": "none-such"}, "member manager admin", 201),
    ("POST", "/v1/nodes", {"driver": "fake-hardware"}, "admin service", 201),
    ("GET", "/v1/nodes/{}/vendor_passthru/methods", None, "admin", 200),
    ("POST", "/v1/chassis", {}, "admin", 201),
    ("DELETE", "/v1/nodes/{}", None, "admin", 204),
]


@pytest.mark.parametrize("location", ["keyed", "basic", "open"])
def test_a_sample_of_the_table_at_real_ironics(house, admin, location):
    group = {"keyed": "", "basic": "grp1", "open": "grp2"}[location]
    one = admin.create(conductor_group=group)["uuid"]
    for method, path, body, who, status in SAMPLE:
        if path == "/v1/nodes" and method == "POST":
            body = {**body, "conductor_group": group}
        # Each of them at one location, the outermost ones at the others.
        for role in SYSTEM if location == "keyed" else ("reader", "service", "admin"):
            answer = house.api(f"system {role}")(method, path.format(one), json=body)
            expected = status if role in who.split() else 403
            assert answer.status == expected, (method, path, role, answer.body.decode())
            if method == "POST" and answer.status < 300:
                made = f"{path}/{answer.json()['uuid']}"
                # An allocation is locked while a conductor looks for a node.
                until(lambda: admin("DELETE", made).status in (204, 404), 30, f"the end of {made}")
            if answer.status == 204:
                one = admin.create(conductor_group=group)["uuid"]


@pytest.mark.parametrize("group", ["", "grp1", "grp2"], ids=["keystone", "http_basic", "none"])
def test_a_project_has_what_is_its_own(house, admin, group):
    """Wherever it is: who checks passwords only, or nothing, enforces nothing himself."""
    other = admin.create(name="other", conductor_group=group)["uuid"]
    project, outsider = house.project(), Api(house.gateway.url, headers={"X-Auth-Token": house.hub.token("outsider", project="other")})
    tenant, member, reader = (house.api(f"project {role}") for role in ("admin", "member", "reader"))
    for version in ("latest", "1.40", "1.9"):
        body = {"driver": "fake-hardware", "name": "mine", **({"conductor_group": group} if version == "latest" else {})}
        made = tenant("POST", "/v1/nodes", json=body, headers={VERSION: version})
        assert made.status == 201, made.body.decode()
        shown = admin.get("/v1/nodes/mine").json()
        assert (shown["owner"], made.json().get("owner")) == (project, project if version == "latest" else None)
        assert shown["provision_state"] == ("available" if version == "1.9" else "enroll")
        for api in (tenant, member, reader):
            assert ([item["name"] for item in api.list()], api.get(f"/v1/nodes/{other}").status) == (["mine"], 404)
        assert outsider.list() == [] and outsider.get("/v1/nodes/mine").status == 404
        if version != "latest":
            assert tenant("DELETE", "/v1/nodes/mine").status == 204
            continue
        mine = made.json()["uuid"]
        for api, status in ((member, 200), (reader, 403), (outsider, 404)):
            assert api.patch("/v1/nodes/mine", ("add", "/extra/a", 1)).status == status
        port, refused = (tenant("POST", "/v1/ports", json={"address": f"52:54:00:00:00:{'01' if at == mine else '02'}", "node_uuid": at}) for at in (mine, other))
        assert (port.status, refused.status) == (201, 403), port.body.decode()
        for api, seen in ((reader, [port.json()["uuid"]]), (outsider, [])):
            assert [item["uuid"] for item in api.get("/v1/ports").json()["ports"]] == seen
            assert api.get(f"/v1/ports/{port.json()['uuid']}").status == (200 if seen else 404)
        for api, name, status in ((tenant, other, 404), (member, "mine", 403), (tenant, "mine", 204)):
            assert api("DELETE", f"/v1/nodes/{name}").status == status
    assert {tenant.get(f"/v1/{path}").status for path in ("drivers", "conductors", "chassis", "novelty")} == {403}


def test_a_runbook_of_a_project_is_its_own_at_every_location(house, admin):
    """An Ironic without Keystone lets nobody name an owner at once, so it is named in a second step."""
    project = house.project()
    tenant, outsider = house.api("project admin"), Api(house.gateway.url, headers={"X-Auth-Token": house.hub.token("outsider", project="other")})
    steps = [{"interface": "deploy", "step": "erase_devices", "args": {}, "order": 1}]
    made = tenant("POST", "/v1/runbooks", json={"name": "CUSTOM_MINE", "steps": steps})
    try:
        assert (made.status, made.json().get("owner")) == (201, project), made.body.decode()
        assert [item["name"] for item in tenant.get("/v1/runbooks").json()["runbooks"]] == ["CUSTOM_MINE"]
        assert outsider.get("/v1/runbooks").json()["runbooks"] == [] and outsider.get("/v1/runbooks/CUSTOM_MINE").status == 403
        for location in ("loc1", "loc2", "loc3"):
            there = admin.get("/v1/runbooks/CUSTOM_MINE", headers={"X-Ironic-Proxy-Location": location}).json()
            assert (there["owner"], there["uuid"]) == (project, made.json()["uuid"]), location
    finally:
        assert tenant("DELETE", "/v1/runbooks/CUSTOM_MINE").status == 204


# --- as Ironic says it


@pytest.mark.parametrize("token", [None, "", "nonsense", "x" * 300])
@pytest.mark.parametrize("path", ["/v1/nodes", "/v1/nodes/x", "/nowhere"])
def test_a_401_is_that_of_keystones_middleware(house, token, path):
    headers = {VERSION: LATEST, **({} if token is None else {"X-Auth-Token": token})}
    ours, theirs = (raw(url, "GET", path, headers) for url in (house.gateway.url, house.shared.url))
    assert (ours[0], ours[2]) == (theirs[0], theirs[2])
    for name in ("WWW-Authenticate", "Content-Type"):
        assert ours[1][name] == theirs[1][name]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/v1/nodes/11111111-2222-4333-8444-555555555555", None),
        ("POST", "/v1/nodes", b'{"driver": "fake-hardware"}'),
        ("POST", "/v1/chassis", b"{}"),
        ("GET", "/v1/drivers/fake-hardware/vendor_passthru/methods", None),
    ],
)
def test_a_403_is_that_of_ironic(house, method, path, body):
    headers = {VERSION: LATEST, "X-Auth-Token": house.token("system reader")}
    ours, theirs = (raw(url, method, path, headers, body) for url in (house.gateway.url, house.shared.url))
    if theirs[0] == 404:
        # Ironic looks for the thing first.
        assert ours[0] == 403
        return
    assert (ours[0], ours[2]) == (theirs[0], theirs[2])


# --- how the gateway proves itself at the edge


def edge_only(house, options, **more):
    location = {"loc1": (house.keyed.url, {**options, "timeout": 20})}
    return Gateway(house.config(location, **more))


def only(house, gateway):
    api = house.api("system admin", gateway.url)
    until(lambda: api.get("/v1/nodes").status == 200, what="the location")
    return api


def test_a_token_of_the_edge(house, admin):
    """`v3token` re-scopes a token that is given; it cannot be renewed, so it is for trials."""
    options = {"auth_type": "v3token", "auth_url": house.edge.auth_url, "token": house.edge.token("gateway"), "system_scope": "all"}
    with edge_only(house, options) as gateway:
        api = only(house, gateway)
        api.create(name="one")
        assert [item["name"] for item in api.list()] == ["one"]
    with edge_only(house, {"auth_type": "admin_token", "token": house.edge.token("gateway", system=True)}) as gateway:
        assert [item["name"] for item in only(house, gateway).list()] == ["one"]


@pytest.mark.parametrize("how", ["by id", "by name"])
def test_an_application_credential_at_the_edge(house, admin, how):
    """It is bound to its project: on a current Ironic it sees what the project owns, whatever its role is."""
    admin.create(name="foreign")
    with application_credential(house.edge, "ironic", SERVICE_PROJECT) as credential:
        options = {
            "auth_type": "v3applicationcredential",
            "auth_url": house.edge.auth_url,
            "application_credential_secret": credential["secret"],
        }
        if how == "by id":
            options["application_credential_id"] = credential["id"]
        else:
            options |= {"application_credential_name": credential["name"], "username": "ironic", "user_domain_id": "default"}
        with edge_only(house, options) as gateway:
            api = only(house, gateway)
            assert api.create(name="own")["owner"]
            assert [item["name"] for item in api.list()] == ["own"]
            assert api.get("/v1/nodes/foreign").status == 404
            assert api("DELETE", "/v1/nodes/own").status == 204
            assert credential["secret"] not in gateway.log()


def test_the_seeds_user_sees_nothing_and_the_systems_sees_all(house, admin):
    """Why docs/security.md tells to give the role on the system: `project_name = service` shows only nodes that the project owns."""
    admin.create(name="one")
    with edge_only(house, house.edge.options("ironic", system=False, project=SERVICE_PROJECT)) as gateway:
        api = only(house, gateway)
        assert api.list() == []
        assert api.get("/v1/nodes/one").status == 404
        # Asked for what needs the system, the location refuses; that is not the client's doing.
        assert api.get("/v1/conductors").status == 503
    with edge_only(house, house.edge.options("system-admin", system=True)) as gateway:
        api = only(house, gateway)
        assert [item["name"] for item in api.list()] == ["one"]
        assert api.get("/v1/conductors").status == 200
    with edge_only(house, house.edge.options("system-reader", system=True)) as gateway:
        api = only(house, gateway)
        assert [item["name"] for item in api.list()] == ["one"]
        answer = api("PUT", "/v1/nodes/one/maintenance", json={})
        assert answer.status == 503 and "loc1" in fault(answer), "a reader cannot write, and that is ours to put right"
        assert "WWW-Authenticate" not in answer.headers


def test_the_edges_keystone_stops_and_comes_back(house, admin):
    admin.create(name="one")
    admin.create(name="two", conductor_group="grp1")
    house.edge.stop()
    try:
        with Gateway(house.config()) as fresh:
            api = house.api("system admin", fresh.url)
            until(lambda: api.get("/v1/nodes/two").status == 200, what="the location that needs no Keystone")
            answer = api.get("/v1/nodes")
            assert answer.status == 503 and "loc1" in fault(answer)
            partial = api.get("/v1/nodes", headers={"X-Ironic-Proxy-Partial": "allow"})
            assert [item["name"] for item in partial.json()["nodes"]] == ["two"]
            assert partial.headers["X-Ironic-Proxy-Incomplete"].startswith("loc1;reason=")
            # The other gateway has a token in hand; whether the edge still believes it is the edge's affair.
            assert admin.get("/v1/nodes/one").status in (200, 503)
            house.edge.start()
            until(lambda: api.get("/v1/nodes").status == 200, 60, "the location behind its Keystone")
            assert [item["name"] for item in api.list()] == ["one", "two"]
    finally:
        if house.edge._process is None:
            house.edge.start()


# --- the user's own token


def test_a_location_that_gets_the_users_token(house):
    """Ironic's own policies apply: who owns a node sees it, also through us, and nobody learns from others' questions."""
    project = house.project()
    options = {**house.hub.options(), "forward_user_token": True}
    challenge = {**house.hub.middleware_options(), "www_authenticate_uri": "https://keystone.example/v3"}
    text = house.config({"loc1": (house.shared.url, options)}, sections={"keystone_authtoken": challenge}, groups="grp3:loc1")
    direct = Api(house.shared.url, headers={"X-Auth-Token": house.token("system admin")})
    try:
        with Gateway(text) as gateway:
            admin = house.api("system admin", gateway.url)
            until(lambda: admin.get("/v1/nodes").status == 200)
            admin.create(name="theirs", conductor_group="grp3", owner=project)
            admin.create(name="nobodys", conductor_group="grp3")
            outsider = Api(gateway.url, headers={"X-Auth-Token": house.hub.token("outsider", project="other")})
            for who, seen in (
                ("system admin", ["nobodys", "theirs"]),
                ("system reader", ["nobodys", "theirs"]),
                ("project admin", ["theirs"]),
                ("project member", ["theirs"]),
                ("project reader", ["theirs"]),
            ):
                api = house.api(who, gateway.url)
                assert sorted(item["name"] for item in api.list()) == seen, who
                for name in ("theirs", "nobodys"):
                    assert (api.get(f"/v1/nodes/{name}").status == 200) == (name in seen), (who, name)
            assert outsider.list() == []
            assert outsider.get("/v1/nodes/theirs").status == 404

            # What a location says of the user's rights is the answer.
            reader, member = (house.api(f"project {role}", gateway.url) for role in ("reader", "member"))
            body = {"target": "power on"}
            ours = reader("PUT", "/v1/nodes/theirs/states/power", json=body)
            theirs = house.api("project reader", house.shared.url)("PUT", "/v1/nodes/theirs/states/power", json=body)
            assert (ours.status, ours.body.decode()) == (theirs.status, theirs.body.decode()) and ours.status == 403
            assert member("PUT", "/v1/nodes/theirs/maintenance", json={}).status in (202, 403)
            assert member("DELETE", "/v1/nodes/nobodys").status == 404
            assert outsider("DELETE", "/v1/nodes/theirs").status in (403, 404)

            # A token that ended meanwhile: the location notices before we do.
            token = house.hub.token("project-member", project=PROJECT)
            ending = Api(gateway.url, headers={"X-Auth-Token": token})
            assert ending.get("/v1/nodes/theirs").status == 200
            house.hub.call("DELETE", "/auth/tokens", subject=token)
            house.shared.stop()
            house.shared.start()
            until(lambda: admin.get("/v1/nodes").status == 200)
            for method, path in (("GET", "/v1/nodes"), ("GET", "/v1/nodes/theirs"), ("PUT", "/v1/nodes/theirs/maintenance")):
                answer = ending(method, path, json={})
                assert answer.status == 401, (method, path, answer.body.decode())
                assert answer.headers["WWW-Authenticate"] == 'Keystone uri="https://keystone.example/v3"'
    finally:
        wipe(direct)


class Watched(Standin):
    """A location that wants any token and keeps a record."""

    def __init__(self, *nodes):
        super().__init__(nodes, credentials=("token", bool))

    def tokens(self):
        return {token for request in self.requests for token in request.header_values("X-Auth-Token")}


def forwarding(house, sites, forwarded, **options):
    """A gateway in front of stand-ins; those in `forwarded` get the user's token."""
    own = {**house.hub.options(), "timeout": 5}
    locations = {name: (site.endpoint, {**own, "forward_user_token": name in forwarded}) for name, site in sites.items()}
    return Gateway(house.config(locations, **options))


def test_what_a_location_sees_of_the_user(house):
    with Watched(node("one")) as first, Watched(node("two")) as second:
        sites = {"loc1": first, "loc2": second}
        with forwarding(house, sites, sites, sections={"node_cache": {"sweep_interval": 1}}) as gateway:
            client = Client(gateway.url)
            member, service = house.token("project member"), house.hub.token("service-only", project=SERVICE_PROJECT)
            headers = {"X-Auth-Token": member, "X-Service-Token": service}
            until(lambda: client.get("/v1/nodes", headers=headers).status == 200)
            assert client.get("/v1/nodes", headers=headers).names() == ["one", "two"]
            for name in ("one", "two", "nobody"):
                client.get(f"/v1/nodes/{name}", headers=headers)
                client.patch(f"/v1/nodes/{name}", [{"op": "add", "path": "/shard", "value": "x"}], headers=headers)
            client.post("/v1/nodes", {"driver": "d", "name": "new"}, headers=headers)
            [ours] = (first.tokens() | second.tokens()) - {member}
            for site in (first, second):
                for request in site.requests:
                    if request.header("X-Auth-Token") == ours:
                        # Whether a name is free only our own credential can tell: the user's 404 means "not for you".
                        assert request.method == "GET" and re.fullmatch("/v1/nodes/(one|two|new)", request.path), request.target
                    assert request.header("X-Service-Token") is None
                    assert request.header("OpenStack-System-Scope") is None
                    assert request.header("X-Auth-Token") or request.path.rstrip("/") in ("", "/v1")
            # By its older name it is passed on all the same, under the one that every location knows.
            first.forget_requests()
            reader = house.token("project reader")
            assert client.get("/v1/nodes/one", headers={"X-Storage-Token": f" {reader} "}).status == 200
            assert first.tokens() == {reader}
            assert not any(request.header("X-Storage-Token") for request in first.requests)
            # A refusal is not met with our own rights.
            for refused in (401, 403):
                for site in (first, second):
                    site.heal()
                    site.fault(lambda exchange, status=refused: _refusal(status), path="/v1/nodes.*")
                    site.forget_requests()
                for method, path in (("GET", "/v1/nodes"), ("GET", "/v1/nodes/one"), ("PUT", "/v1/nodes/one/maintenance")):
                    reply = client.call(method, path, {} if method == "PUT" else None, headers=headers)
                    assert reply.status == refused, (method, path, reply)
                    assert reply.header("WWW-Authenticate") == (f'Keystone uri="{house.hub.auth_url}"' if refused == 401 else None)
                assert first.tokens() | second.tokens() == {member}


def _refusal(status):
    text = "Access was denied to the following resource: baremetal:node:get"
    body = {"error": {"code": 401, "title": "Unauthorized", "message": "no"}}
    if status == 403:
        body = {"error_message": f'{{"faultcode": "Client", "faultstring": "{text}", "debuginfo": null}}'}
    return Answer.of_json(status, body, [("WWW-Authenticate", 'Keystone uri="http://edge.example"')])


def test_one_location_with_the_users_token_beside_one_with_ours(house):
    """What may go to a location with our rights is for the gateway to say; at the other one it is for the location."""
    with Watched(node("one")) as ours, Watched(node("two")) as theirs:
        with forwarding(house, {"loc1": ours, "loc2": theirs}, {"loc2"}) as gateway:
            client = Client(gateway.url)
            admin, member = ({"X-Auth-Token": house.token(who)} for who in ("system admin", "project member"))
            until(lambda: client.get("/v1/nodes", headers=admin).status == 200)
            assert client.get("/v1/nodes", headers=admin).names() == ["one", "two"]
            assert house.token("system admin") in theirs.tokens()
            assert house.token("system admin") not in ours.tokens()
            for site in (ours, theirs):
                site.forget_requests()
            # Here a rule of ours decides, there the location: it shows `two` to the user, whoever owns it.
            assert client.get("/v1/nodes", headers=member).names() == []
            for name, status in (("one", 404), ("two", 200)):
                assert client.get(f"/v1/nodes/{name}", headers=member).status == status
                assert client.patch(f"/v1/nodes/{name}", [{"op": "add", "path": "/extra/a", "value": 1}], headers=member).status == status
            assert house.token("project member") in theirs.tokens() - ours.tokens()
            assert client.get("/v1/nodes/one", headers={**member, "X-Ironic-Proxy-Location": "loc1"}).status == 404
            ours.forget_requests()
            theirs.forget_requests()
            there = {**member, "X-Ironic-Proxy-Location": "loc2"}
            assert client.get("/v1/nodes", headers=there).names() == ["two"]
            assert client.get("/v1/nodes/two", headers=there).status == 200
            assert client.get("/v1/nodes/one", headers=there).status == 404
            assert not ours.asked(path="/v1/.*")
            assert theirs.tokens() == {house.token("project member")}
            # So may enroll whom the location lets; here a project's member may not.
            assert client.post("/v1/nodes", {"driver": "d"}, headers=there).status == 201
            [create] = theirs.asked("POST")
            assert create.header("X-Auth-Token") == house.token("project member")
            assert client.post("/v1/nodes", {"driver": "d"}, headers=member).status == 403
            assert not ours.asked("POST")


# --- the accounts of docs/security.md


def openstack(keystone, *arguments):
    """One command as its administrator types it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    environment.update(keystone.environment("admin", system=True))
    words = [str(venvs.program(venvs.CLIENTS, "openstack")), *arguments]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_the_service_that_the_readme_tells_to_register(house):
    commands = re.findall(r"(?m)^openstack (.*)$", (venvs.REPOSITORY / "README.md").read_text(encoding="utf-8"))
    services = {entry["id"] for entry in house.edge.call("GET", "/services")["services"]}
    try:
        for line in commands:
            # There is one of this name and type already, and the region has another name here.
            openstack(house.edge, *re.sub(r"\b(ironic|baremetal)\b", r"\1-too", line.replace("RegionOne", "Edge")).split())
        endpoints = house.edge.call("GET", "/endpoints")["endpoints"]
        assert [one["interface"] for one in endpoints if one["url"] == "http://hub.example.com:6385"] == ["public"]
    finally:
        for entry in house.edge.call("GET", "/services")["services"]:
            if entry["id"] not in services:
                house.edge.call("DELETE", f"/services/{entry['id']}")


def test_the_accounts_that_the_page_tells_to_create(house, admin):
    """The very commands, but for the prompts for passwords."""
    commands = re.findall(r"(?m)^openstack (.*)$", (venvs.REPOSITORY / "docs/security.md").read_text(encoding="utf-8"))
    assert any("--system all" in line for line in commands), commands
    for line in commands:
        words = shlex.split(line.replace("--password-prompt", f"--password {PASSWORD}-too"))
        if words[0] not in ("user", "role"):
            continue
        # There is one called `ironic` already.
        words = ["ironic-too" if word == "ironic" else word for word in words]
        openstack(house.hub if "ironic-proxy" in words else house.edge, *words)
    own = {"username": "ironic-too", "password": f"{PASSWORD}-too", "user_domain_id": None, "user_domain_name": "Default"}
    with edge_only(house, {**house.edge.options(), **own}) as gateway:
        api = only(house, gateway)
        api.create(name="one")
        assert api.get("/v1/conductors").status == 200
        assert api("DELETE", "/v1/nodes/one").status == 204
    if any("ironic-proxy" in line for line in commands):
        inbound = {
            **house.hub.middleware_options(), **own, "username": "ironic-proxy", "project_domain_id": None, "project_domain_name": "Default",
        }  # fmt: skip
        with Gateway(house.config(sections={"keystone_authtoken": inbound})) as gateway:
            assert only(house, gateway).get("/v1/nodes").status == 200
