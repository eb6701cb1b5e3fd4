"""What is unique over all locations, who is asked, and whose word counts."""

import threading

import pytest
import scripted
from exchange import Answer
from fleet import assert_unavailable, fleet, together, until
from standin import Standin, StandinKeystone, new_uuid, node

LOCATION = "X-Ironic-Proxy-Location"
UNVERIFIED = "X-Ironic-Proxy-Unverified"
GROUPS = "_:loc1,grp1:loc2,grp2:loc3"
MAC = "52:54:00:0b:00:01"
NODE = {"driver": "fake-hardware"}


class Site(Standin):
    """A stand-in whose MySQL takes names for the same that differ in case only."""

    def find(self, ident):
        if self.database != "mysql":
            return super().find(ident)
        return next((one for one in self.nodes if ident.lower() in (one["uuid"], (one["name"] or "").lower())), None)


@pytest.fixture(scope="module")
def module_hub():
    with fleet(Site(), Site(), Site(), groups=GROUPS, every={"timeout": 1}) as hub:
        yield hub


@pytest.fixture
def hub(module_hub):
    mend(module_hub)
    yield module_hub
    mend(module_hub)


def mend(hub):
    for site in hub.all():
        if not site.listening():
            site.up()
        site.versions, site.database = ("1.1", "1.115"), "sqlite"
        site.nodes.clear()
        site.ports.clear()
        for records in site.objects.values():
            records.clear()
    hub.heal()


def writes(hub):
    return [str(request) for site in hub.all() for request in site.requests if request.method != "GET"]


def rename(name):
    return [{"op": "add", "path": "/name", "value": name}]


# --- what is asked for


def test_the_name_of_a_port(hub):
    there, here = hub.loc2.add(node("there")), hub.loc1.add(node("here"))
    hub.loc2.ports.append({"uuid": new_uuid(), "address": "52:54:00:0b:00:09", "node_uuid": there["uuid"], "name": "taken"})
    reply = hub.post("/v1/ports", {"node_uuid": here["uuid"], "address": MAC, "name": "taken"})
    assert (reply.status, reply.text()) == (409, "A port with name taken already exists."), reply
    hub.loc1.ports.append({"uuid": new_uuid(), "address": MAC, "node_uuid": here["uuid"], "name": None})
    reply = hub.patch(f"/v1/ports/{hub.loc1.ports[0]['uuid']}", rename("taken"))
    assert (reply.status, reply.text()) == (409, "A port with name taken already exists."), reply
    assert writes(hub) == []


@pytest.mark.parametrize("spelling", [str.lower, str.upper])
def test_the_address_of_a_portgroup(hub, spelling):
    hub.loc3.objects["portgroups"].append({"uuid": new_uuid(), "name": "bond", "address": MAC})
    here = hub.loc1.add(node("here"))
    reply = hub.post("/v1/portgroups", {"node_uuid": here["uuid"], "address": spelling(MAC)})
    assert (reply.status, reply.text()) == (409, f"A portgroup with MAC address {MAC} already exists."), reply
    ident = new_uuid()
    hub.loc1.objects["portgroups"].append({"uuid": ident, "name": None, "address": None})
    for path, value in (("/address", spelling(MAC)), ("/name", "bond")):
        reply = hub.patch(f"/v1/portgroups/{ident}", [{"op": "add", "path": path, "value": value}])
        assert reply.status == 409, reply
    assert writes(hub) == []


def test_the_address_of_a_port_that_is_changed(hub):
    here, there = hub.loc1.add(node("here")), hub.loc2.add(node("there"))
    for site, owner, address in ((hub.loc1, here, "52:54:00:0b:00:02"), (hub.loc2, there, MAC)):
        site.ports.append({"uuid": new_uuid(), "address": address, "node_uuid": owner["uuid"], "name": None})
    reply = hub.patch(f"/v1/ports/{hub.loc1.ports[0]['uuid']}", [{"op": "replace", "path": "/address", "value": MAC.upper()}])
    assert (reply.status, reply.text()) == (409, f"A port with MAC address {MAC} already exists."), reply
    assert writes(hub) == []


# --- whose word counts

NONSENSE = {
    "an empty object": scripted.answers(200, b"{}"),
    "somebody else's words": scripted.answers(200, b'{"status": "please log in"}'),
    "another thing": scripted.answers(200, b'{"uuid": "5a7e0000-0000-4000-8000-000000000000", "name": "another"}'),
    "an API gateway's 404": scripted.answers(404, b'{"message": "no Route matched"}'),
    "406": scripted.says(406, "Request not acceptable."),
    "409": scripted.says(409, "Busy"),
    "429": scripted.says(429, "Slow down"),
    "500": scripted.says(500, "Oslo is broken"),
}


@pytest.mark.parametrize("nonsense", NONSENSE)
@pytest.mark.parametrize("members", [{"name": "fresh"}, {"uuid": "given"}, {"instance_uuid": "given"}])
def test_what_is_no_answer_is_neither_yes_nor_no(hub, nonsense, members):
    members = {name: new_uuid() if value == "given" else value for name, value in members.items()}
    hub.loc2.fault(NONSENSE[nonsense], method="GET", path="/v1/nodes.*")
    reply = hub.post("/v1/nodes", {**NODE, **members})
    assert (reply.status, reply.header(UNVERIFIED)) == (201, "loc2"), reply


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_an_address_that_nobody_understood(hub, nonsense):
    here = hub.loc1.add(node("here"))
    hub.loc2.fault(NONSENSE[nonsense], method="GET", path="/v1/ports.*")
    reply = hub.post("/v1/ports", {"node_uuid": here["uuid"], "address": MAC})
    assert (reply.status, reply.header(UNVERIFIED)) == (201, "loc2"), reply


def test_a_location_that_lists_everything_whatever_it_is_asked(hub):
    here, there = hub.loc1.add(node("here")), hub.loc2.add(node("there"))
    hub.loc2.ports.append({"uuid": new_uuid(), "address": "52:54:00:0b:00:03", "node_uuid": there["uuid"], "name": None})
    listed = {"ports": [{"uuid": new_uuid(), "address": "52:54:00:0b:00:03", "links": []}]}
    hub.loc2.fault(lambda exchange: Answer.of_json(200, listed), method="GET", path="/v1/ports")
    reply = hub.post("/v1/ports", {"node_uuid": here["uuid"], "address": MAC})
    assert (reply.status, reply.header(UNVERIFIED)) == (201, "loc2"), reply


def test_a_location_that_was_rolled_back_says_nothing(hub):
    """Its 406 is about a version, not about the node, which it has."""
    ident = new_uuid()
    hub.loc2.add(node("kept", ident))
    hub.loc2.versions = ("1.1", "1.90")
    reply = hub.post("/v1/nodes", {**NODE, "uuid": ident, "name": "kept"}, version="1.80")
    # Either it was asked again in a version that it has, or nobody verified it.
    assert reply.status == 409 or reply.header(UNVERIFIED) == "loc2", reply
    hub.loc2.versions = ("1.1", "1.115")
    until(lambda: hub.get("/v1/nodes?limit=1").status == 200)


def test_what_a_tenant_may_not_see_is_not_free():
    """With `forward_user_token` the user's token cannot see another tenant's node; our own credential can."""
    with StandinKeystone({"gw": "secret", "tenant": "secret"}) as keystone:
        sites = [Standin(credentials=("token", keystone.valid)) for _ in range(2)]
        own = {"auth_type": "password", "auth_url": keystone.endpoint, "username": "gw", "password": "secret",
               "user_domain_id": "default", "system_scope": "all"}  # fmt: skip
        section = {key: value for key, value in own.items()}
        with fleet(
            *sites,
            groups="_:loc1,grp1:loc2",
            api={"auth_strategy": "keystone"},
            every={**own, "forward_user_token": True},
            sections={"keystone_authtoken": section},
            wait=False,
        ) as hub:
            token = tenant_token(keystone)
            headers = {"X-Auth-Token": token}
            until(lambda: hub.get("/v1/nodes", headers=headers).status == 200, what="the gateway")
            hidden = hub.loc2.add(node("hidden"))
            hub.loc2.fault(only_for_us(token), method="GET", path="/v1/nodes/.+")
            for members in ({"name": "hidden"}, {"uuid": hidden["uuid"]}):
                reply = hub.post("/v1/nodes", {**NODE, **members}, headers=headers)
                assert reply.status == 409 or reply.header(UNVERIFIED) == "loc2", reply
            assert not hub.loc1.find(hidden["uuid"]) or reply.header(UNVERIFIED) == "loc2"


def tenant_token(keystone):
    import json
    import urllib.request

    user = {"name": "tenant", "password": "secret", "domain": {"id": "default"}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": {"system": {"all": True}}}}
    request = urllib.request.Request(
        f"{keystone.endpoint}/v3/auth/tokens", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return answer.headers["X-Subject-Token"]


def only_for_us(token):
    def fault(exchange):
        if exchange.request.header("X-Auth-Token") == token:
            return scripted.says(404, "Node hidden could not be found.")(exchange)
        return exchange.true_answer()

    return fault


# --- at the same time


@pytest.mark.parametrize("members", [{"name": "wanted"}, {"uuid": "u"}, {"instance_uuid": "u"}])
def test_two_creates_at_once_do_not_both_find_it_free(hub, members):
    members = {name: new_uuid() if value == "u" else value for name, value in members.items()}
    for site in hub.all():
        site.fault(scripted.late(0.1), method="POST")
    bodies = [{**NODE, **members, "conductor_group": group} for group in ("", "grp1", "grp2")]
    replies = together(*[lambda body=body: hub.post("/v1/nodes", body) for body in bodies])
    assert sorted(reply.status for reply in replies) == [201, 409, 409], replies
    assert sum(len(site.nodes) for site in hub.all()) == 1


def test_two_creates_at_once_of_names_that_are_one_to_a_database(hub):
    for site in hub.all():
        site.database = "mysql"
        site.fault(scripted.late(0.1), method="POST")
    bodies = [{**NODE, "name": name, "conductor_group": group} for name, group in (("Node-A", ""), ("node-a", "grp1"))]
    replies = together(*[lambda body=body: hub.post("/v1/nodes", body) for body in bodies])
    assert sorted(reply.status for reply in replies) == [201, 409], replies


def test_two_ports_at_once(hub):
    owners = [site.add(node(f"of-{name}")) for name, site in hub.sites.items()]
    for site in hub.all():
        site.fault(scripted.late(0.1), method="POST")
    replies = together(
        *[lambda owner=owner: hub.post("/v1/ports", {"node_uuid": owner["uuid"], "address": MAC}) for owner in owners]
    )
    assert sorted(reply.status for reply in replies) == [201, 409, 409], replies


def test_a_rename_and_a_create_at_once(hub):
    here = hub.loc1.add(node("here"))
    for site in hub.all():
        site.fault(scripted.late(0.1), method="POST")
        site.fault(scripted.late(0.1), method="PATCH")
    replies = together(
        lambda: hub.patch(f"/v1/nodes/{here['uuid']}", rename("wanted")),
        lambda: hub.post("/v1/nodes", {**NODE, "conductor_group": "grp1", "name": "wanted"}),
    )
    assert sorted(reply.status // 100 for reply in replies) == [2, 4], replies


def test_different_names_do_not_wait_for_each_other(hub):
    hold = threading.Event()
    hub.loc2.fault(scripted.held(hold), method="POST")
    waiting = threading.Thread(target=lambda: hub.post("/v1/nodes", {**NODE, "name": "slow", "conductor_group": "grp1"}))
    waiting.start()
    until(lambda: hub.loc2.asked("POST"))
    assert hub.post("/v1/nodes", {**NODE, "name": "quick"}).status == 201
    hold.set()
    waiting.join()


# --- made by us?


def test_a_lost_refusal_is_not_a_creation(hub):
    """The client's UUID is taken at home, and the 409 is lost: what is found there is not what was sent."""
    ident = new_uuid()
    hub.loc1.add(node("older", ident, extra={"by": "somebody else"}))
    hub.loc1.fault(scripted.executed(scripted.reset()), method="POST")
    reply = hub.post("/v1/nodes", {**NODE, "uuid": ident, "name": "newer"})
    assert (reply.status, reply.text()) == (409, f"A node with UUID {ident} already exists."), reply
    assert len(hub.loc1.nodes) == 1 and hub.loc1.find("older")


def test_a_lost_success_is_one_also_with_the_client_s_uuid(hub):
    ident = new_uuid()
    hub.loc1.fault(scripted.executed(scripted.reset()), method="POST")
    body = {**NODE, "uuid": ident, "name": "newer", "extra": {"a": [1, None]}, "conductor_group": "", "owner": None}
    reply = hub.post("/v1/nodes", body)
    assert (reply.status, reply.json()["name"]) == (201, "newer"), reply


# --- look-ups by what is unique


@pytest.mark.parametrize("at", ["loc1", "loc3"])
def test_a_look_up_that_was_answered_is_whole(hub, at):
    instance = new_uuid()
    owner = hub.sites[at].add(node("holder", instance_uuid=instance))
    hub.sites[at].ports.append({"uuid": new_uuid(), "address": MAC, "node_uuid": owner["uuid"], "name": None})
    hub.sites[at].objects["portgroups"].append({"uuid": new_uuid(), "address": MAC, "name": None})
    hub.loc2.down()
    for path, key in (
        (f"/v1/nodes?instance_uuid={instance}", "nodes"),
        (f"/v1/nodes/detail?instance_uuid={instance}", "nodes"),
        (f"/v1/ports?address={MAC}", "ports"),
        (f"/v1/ports?address={MAC}&sort_key=address", "ports"),
        (f"/v1/portgroups?address={MAC}", "portgroups"),
    ):
        reply = hub.get(path)
        assert reply.status == 200 and len(reply.json()[key]) == 1, reply
        assert reply.header("X-Ironic-Proxy-Incomplete") is None
    assert_unavailable(hub.get(f"/v1/nodes?instance_uuid={new_uuid()}"), "loc2")
    assert_unavailable(hub.get("/v1/ports?address=52:54:00:0b:00:ff"), "loc2")
    # What is no look-up is still whole or nothing.
    for path in ("/v1/nodes", "/v1/ports", "/v1/nodes?driver=fake-hardware"):
        assert_unavailable(hub.get(path), "loc2")


def connectors(site):
    """A stand-in's volume connectors; it takes new ones and lists them in pages of two."""
    kept = []

    def fault(exchange):
        request = exchange.request
        if request.method == "POST":
            kept.append({**request.json(), "links": []})
            return Answer.of_json(201, kept[-1])
        behind = next((index + 1 for index, one in enumerate(kept) if one["uuid"] == request.parameter("marker")), 0)
        page = kept[behind : behind + 2]
        more = {"next": "http://x/v1/volume/connectors?marker=x"} if len(page) == 2 else {}
        return Answer.of_json(200, {"connectors": page, **more})

    site.fault(fault, path="/v1/volume/connectors")
    return kept


def test_a_volume_connector_that_another_location_has(hub):
    kept = {name: connectors(site) for name, site in hub.sites.items()}
    for number in range(5):
        kept["loc2"].append({"uuid": new_uuid(), "type": "iqn", "connector_id": f"iqn.{number}", "links": [], "extra": {"a": float("inf")}})
    here = hub.loc1.add(node("here"))
    taken = {"node_uuid": here["uuid"], "type": "iqn", "connector_id": "iqn.4"}
    reply = hub.post("/v1/volume/connectors", taken)
    wanted = "A volume connector with type iqn and connector ID iqn.4 already exists."
    assert (reply.status, reply.text()) == (409, wanted), reply
    # The same identifier of another type is another connector.
    assert hub.post("/v1/volume/connectors", {**taken, "type": "wwpn"}).status == 201
    hub.loc2.down()
    reply = hub.post("/v1/volume/connectors", taken)
    assert (reply.status, reply.header(UNVERIFIED)) == (201, "loc2"), reply
