"""Thousands of locations are not all asked at once: each question would be a socket. Lists, looks and writes alike go a thousand at
a time."""

import pytest
from client import Client
from crowd import Crowd
from exchange import Answer
from fleet import fleet_config, until
from gateway import Gateway
from projects import MINE, TENANT
from refusals import form_a
from standin import Ironic, new_uuid, node
from tenants import ADMIN, Everybody

# `AT_ONCE` in src/locations/window.rs.
AT_ONCE = 1000
P = 1200
PATIENT = {"timeout": 30, "connect_timeout": 10}


class Lockable(Ironic):
    is_locked = False

    def answer(self, request):
        if self.is_locked and request.method == "PATCH":
            return Answer.of_json(409, form_a(409, "Locked"))
        return super().answer(request)


@pytest.fixture(scope="module")
def crowd():
    with Crowd(Lockable() for _ in range(P)) as crowd:
        yield crowd


@pytest.fixture(scope="module")
def hub(crowd):
    with Gateway(fleet_config(crowd.endpoints, every=PATIENT, api={"request_deadline": 60})) as gateway:
        hub = Client(gateway.url)
        until(lambda: hub.get("/v1/nodes?limit=1").status == 200, seconds=30)
        yield hub


@pytest.fixture(scope="module")
def tenants(crowd):
    """Sends a request of these people."""
    with Everybody({"gw": "secret"}) as keystone:
        inbound = {
            "auth_type": "password", "auth_url": keystone.endpoint, "username": "gw", "password": "secret",
            "user_domain_id": "default", "system_scope": "all",
        }  # fmt: skip
        api = {"request_deadline": 60, "auth_strategy": "keystone"}
        sections = {"keystone_authtoken": inbound}
        with Gateway(fleet_config(crowd.endpoints, every=PATIENT, api=api, sections=sections)) as gateway:
            client = Client(gateway.url)

            def get(who, path):
                return client.get(path, headers={"X-Auth-Token": keystone.token_of(who)})

            until(lambda: get(ADMIN, "/v1/nodes?limit=1").status == 200, seconds=30)
            yield get


@pytest.fixture
def chassis(crowd):
    """One that every location has."""
    ident = new_uuid()
    for ironic in crowd.ironics:
        ironic.is_locked = False
        ironic.objects["chassis"] = [{"created_at": None, "updated_at": None, "description": "d", "extra": {}, "uuid": ident}]
    crowd.requests = []
    return f"/v1/chassis/{ident}"


def test_a_look_by_uuid(hub, crowd, chassis):
    def look():
        assert hub.get(chassis).status == 200

    assert 1 < crowd.open_at_once(AT_ONCE, look, "GET") <= AT_ONCE


def change(hub, chassis):
    return hub.patch(chassis, [{"op": "replace", "path": "/description", "value": new_uuid()}])


def test_a_write_everywhere(hub, crowd, chassis):
    def write():
        crowd.requests = []
        assert change(hub, chassis).status == 200
        assert len(crowd.asked("PATCH", chassis)) == P

    assert 1 < crowd.open_at_once(AT_ONCE, write, "GET") <= AT_ONCE
    assert 1 < crowd.open_at_once(AT_ONCE, write, "PATCH", skip=1) <= AT_ONCE


def test_a_write_that_is_undone_everywhere(hub, crowd, chassis):
    crowd.ironics[-1].is_locked = True

    def write():
        crowd.requests = []
        assert (reply := change(hub, chassis)).status == 409, reply
        assert len(crowd.asked("PATCH", chassis)) == 2 * P - 1
        assert {ironic.objects["chassis"][0]["description"] for ironic in crowd.ironics} == {"d"}

    assert 1 < crowd.open_at_once(AT_ONCE, write, "PATCH", skip=P) <= AT_ONCE


def test_a_create_that_asks_each_for_two_values(hub, crowd):
    def create():
        made = {"driver": "fake-hardware", "uuid": new_uuid()}
        made["name"] = f"new-{made['uuid']}"
        assert (reply := hub.post("/v1/nodes", made)).status == 201, reply
        assert len(crowd.asked("GET", f"/v1/nodes/({made['uuid']}|{made['name']})")) >= 2 * (P - 1)

    # And the connection that is made ready for the create itself.
    most = AT_ONCE + 1
    assert 1 < crowd.open_at_once(most, create, "GET") <= most


def test_the_ports_of_a_project_with_a_node_everywhere(tenants, crowd):
    for place, ironic in enumerate(crowd.ironics):
        own = ironic.add(node(f"own-{place}", owner=MINE))
        ironic.ports = [{"uuid": new_uuid(), "address": f"52:54:00:00:{place // 256:02x}:{place % 256:02x}", "node_uuid": own["uuid"]}]

    def read():
        crowd.requests = []
        assert (reply := tenants(TENANT, "/v1/ports")).status == 200, reply
        assert len(crowd.asked("GET", "/v1/ports")) == P
        assert len(reply.json()["ports"]) == AT_ONCE

    assert 1 < crowd.open_at_once(AT_ONCE, read, "GET", of="/v1/ports") <= AT_ONCE
