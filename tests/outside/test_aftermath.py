"""A write that is given up has used up its request's time; what has to be found out or undone then has a time of its own."""

import pytest
import scripted
from faults import GROUPS, body, change, hubs, kept, stock
from fleet import fleet
from projects import MINE, TENANT, hub as house
from standin import Standin, new_uuid

# A write is waited for as long as the whole request may take, as by default.
DEADLINE = {"request_deadline": 2}
REPLICATED = ["chassis", "deploy_templates", "runbooks", "inspection_rules"]

module_hub, hub = hubs(3, groups=GROUPS, api={**DEADLINE, "enable_ramdisk_endpoints": True})


@pytest.mark.parametrize("kind", REPLICATED)
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_what_others_have_done_is_undone(hub, kind, method):
    ident = stock(hub, kind)
    before = kept(hub, kind)
    hub.loc3.fault(scripted.hang(), method=method, times=1)
    if method == "POST":
        reply = hub.post(f"/v1/{kind}", body(kind, "NEW"))
    else:
        reply = hub.call(method, f"/v1/{kind}/{ident}", change() if method == "PATCH" else None)
    # Whoever is slow may do it in a moment, so nobody is told that it may be repeated.
    assert reply.status == 504, reply
    assert "loc1: undone; loc2: undone" in reply.text()
    assert kept(hub, kind) == before


@pytest.mark.parametrize("kind", REPLICATED)
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_what_was_done_late_is_done(hub, kind, method):
    ident = stock(hub, kind)
    for site in (hub.loc1, hub.loc2):
        site.fault(scripted.executed(scripted.close()), method=method)
    hub.loc3.fault(scripted.executed(scripted.hang()), method=method)
    if method == "POST":
        reply = hub.post(f"/v1/{kind}", body(kind, "NEW"))
    else:
        reply = hub.call(method, f"/v1/{kind}/{ident}", change() if method == "PATCH" else None)
    assert reply.status in (200, 201, 204), reply
    assert len({str(sorted(records)) for records in kept(hub, kind).values()}) == 1


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_nobody_is_asked_when_no_time_is_left(hub, method):
    ident = stock(hub, "runbooks")
    before = kept(hub, "runbooks")
    hub.loc1.fault(scripted.executed(scripted.hang()), method=method)
    reply = hub.post("/v1/runbooks", body("runbooks", "NEW")) if method == "POST" else hub.call(method, f"/v1/runbooks/{ident}", change())
    assert reply.status == 503, reply
    assert not hub.loc2.asked(method) and not hub.loc3.asked(method)
    assert kept(hub, "runbooks") == before


@pytest.mark.parametrize("way", [scripted.hang(), scripted.close()], ids=["late", "lost"])
def test_what_was_created_is_found(hub, way):
    hub.loc1.fault(scripted.executed(way), "POST", "/v1/nodes")
    uuid = new_uuid()
    made = hub.post("/v1/nodes", {"driver": "d", "name": "new", "uuid": uuid})
    assert (made.status, made.json()["uuid"]) == (201, uuid), made


@pytest.mark.parametrize("executed", [True, False])
def test_no_node_is_left_without_its_owner(executed):
    with house(Standin(), api=DEADLINE) as running:
        site = running.fleet.loc1
        hang = scripted.hang()
        site.fault(scripted.executed(hang) if executed else hang, "PATCH", "/v1/nodes/.+", times=1)
        headers = {"X-Auth-Token": running.keystone.token_of(TENANT)}
        made = running.fleet.call("POST", "/v1/nodes", {"driver": "d", "name": "new"}, version="1.10", headers=headers)
        assert [record["owner"] for record in site.nodes] in ([MINE], []), made
        assert made.status == (201 if site.nodes else 503), made
