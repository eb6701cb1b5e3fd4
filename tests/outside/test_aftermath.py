"""A write that is given up has used up its request's time; what has to be found out or undone then has a time of its own."""

import pytest
import scripted
from faults import GROUPS, body, change, hubs, kept, stock
from fleet import assert_fate_unknown, assert_unavailable, fleet
from projects import MINE, TENANT, hub as house
from standin import Standin, new_uuid, node

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


MAC = "52:54:00:AF:00:01"


def wanted(kind, at):
    """A create of one of a node's things at this location, and the value that nobody else may have."""
    uuid = at.add(node(f"of-{new_uuid()[:8]}", resource_class="x", provision_state="available"))["uuid"]
    return {"ports": {"node_uuid": uuid, "address": MAC}, "allocations": {"resource_class": "x", "name": "claim", "candidate_nodes": [uuid]}}[kind]


def there(site, kind):
    return site.ports if kind == "ports" else site.objects[kind]


@pytest.mark.parametrize("given", [False, True], ids=["ours", "given"])
@pytest.mark.parametrize("way", [scripted.hang(), scripted.close()], ids=["late", "lost"])
@pytest.mark.parametrize("kind", ["ports", "allocations"])
def test_what_was_made_of_a_node_is_found(hub, kind, way, given):
    """As if its answer had come: once, with a Location, known to the directory, and taken for everybody else."""
    hub.loc2.fault(scripted.executed(way), "POST", f"/v1/{kind}", times=1)
    body = wanted(kind, hub.loc2)
    made = hub.post(f"/v1/{kind}", {**body, **({"uuid": new_uuid()} if given else {})})
    [record] = there(hub.loc2, kind)
    assert (made.status, made.json()["uuid"], made.header("X-Ironic-Proxy-Location")) == (201, record["uuid"], "loc2"), made
    assert made.header("Location") == f"{hub.url}/v1/{kind}/{record['uuid']}"
    assert hub.asked("POST") == {"loc2": 1}
    hub.forget_requests()
    path = f"/v1/{kind}/{record['uuid']}"
    assert hub.get(path).status == 200
    # Of this path: a site may count late what it was asked before.
    assert hub.asked("GET", path) == {"loc2": 1}
    other = hub.post(f"/v1/{kind}", wanted(kind, hub.loc3))
    assert other.status == 409, other
    assert there(hub.loc3, kind) == []


@pytest.mark.parametrize("way", [scripted.hang(), scripted.close()], ids=["late", "lost"])
@pytest.mark.parametrize("kind", ["ports", "allocations"])
def test_what_may_still_be_made_of_a_node_is_told_so_and_holds_nothing(hub, kind, way):
    """A 504, which nobody repeats by himself; whoever wants the value next has it, and is asked about as ever."""
    hub.loc2.fault(way, "POST", f"/v1/{kind}", times=1)
    assert_fate_unknown(hub.post(f"/v1/{kind}", wanted(kind, hub.loc2)), "loc2")
    assert hub.asked("POST") == {"loc2": 1} and there(hub.loc2, kind) == []
    hub.forget_requests()
    other = hub.post(f"/v1/{kind}", wanted(kind, hub.loc3))
    assert other.status == 201, other
    # Nobody vouched for it meanwhile.
    assert hub.asked("GET", f"/v1/{kind}.*")["loc2"] == 1
    assert len(there(hub.loc3, kind)) == 1


@pytest.mark.parametrize("kind", ["ports", "allocations"])
def test_what_was_never_sent_may_be_tried_again(hub, kind):
    body = wanted(kind, hub.loc2)
    uuid = body.get("node_uuid") or body["candidate_nodes"][0]
    assert hub.get(f"/v1/nodes/{uuid}").status == 200
    hub.loc2.down()
    assert_unavailable(hub.post(f"/v1/{kind}", body), "loc2")
