"""Gateways that share a Redis: what two of them write at the same time is written once; without it they go on, and say so."""

import contextlib
import threading

import pytest
import scripted
from admin import Admin
from backend import Redis, gateways
from fleet import together, until
from metrics import read
from standin import Standin, new_uuid, node

UNVERIFIED = "X-Ironic-Proxy-Unverified"
NODE = {"driver": "fake-hardware"}
MAC = "52:54:00:0b:00:01"
CLAIMS = "ironic_proxy_coordination_claims_total"


@pytest.fixture(scope="module")
def redis():
    with Redis() as running:
        yield running


@pytest.fixture(scope="module")
def module_hubs(redis):
    # A gateway of each kind that goes on alone, and one that does not.
    with gateways(Standin(), Standin(), Standin(), backend=[redis.url] * 3, each={2: {"require_unique": True}}) as hubs:
        yield hubs


@pytest.fixture
def hubs(module_hubs, redis):
    yield module_hubs
    for site in module_hubs[0].all():
        site.heal()
        site.nodes.clear()
        site.ports.clear()
    for hub in module_hubs:
        connected(hub)


def connected(hub, state="up"):
    until(lambda: Admin(hub.gateway).get("/status").document["coordination"]["state"] == state, what=f"a backend that is {state}")


def claims(hub, result):
    return read(Admin(hub.gateway))(CLAIMS, result=result)


class Later(threading.Thread):
    """A call in the background; `reply()` waits for what it returned. There is none from a gateway that is killed."""

    def __init__(self, call):
        super().__init__(daemon=True)
        self._call, self._reply = call, None
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            self._reply = self._call()

    def reply(self):
        self.join(30)
        assert self._reply is not None, "no answer"
        return self._reply


def begun(hub, body, site, method="POST", path="/v1/nodes"):
    """A write that has reached the site, where it is held until the event is set."""
    event = threading.Event()
    before = len(site.asked(method))
    site.fault(scripted.held(event), method=method, times=1)
    later = Later(lambda: hub.call(method, path, body))
    until(lambda: len(site.asked(method)) > before, what="the write")
    return later, event


@pytest.mark.parametrize("member", ["name", "uuid", "instance_uuid"])
def test_what_two_gateways_create_at_once_is_there_once(hubs, member):
    value = "wanted" if member == "name" else new_uuid()
    first, second, _ = hubs
    waited = claims(second, "waited")
    slow, event = begun(first, {**NODE, member: value, "conductor_group": ""}, first.loc1)
    quick = Later(lambda: second.post("/v1/nodes", {**NODE, member: value, "conductor_group": "grp1"}))
    until(lambda: claims(second, "waited") > waited, what="the second gateway waits")
    assert not second.loc2.asked("POST"), "the second write did not wait"
    event.set()
    assert (slow.reply().status, slow.reply().header(UNVERIFIED)) == (201, None)
    assert quick.reply().status == 409, quick.reply()
    assert sum(len(site.nodes) for site in first.all()) == 1


def test_a_port_and_a_rename_that_two_gateways_write_at_once(hubs):
    first, second, _ = hubs
    here, there = first.loc1.add(node("here")), first.loc2.add(node("there"))
    for path, method, bodies in (
        ("/v1/ports", "POST", [{"node_uuid": here["uuid"], "address": MAC}, {"node_uuid": there["uuid"], "address": MAC.upper()}]),
        ("/v1/nodes/{}", "PATCH", [[{"op": "add", "path": "/name", "value": "wanted"}]] * 2),
    ):
        waited = claims(second, "waited")
        slow, event = begun(first, bodies[0], first.loc1, method, path.format(here["uuid"]))
        quick = Later(lambda: second.call(method, path.format(there["uuid"]), bodies[1]))
        until(lambda: claims(second, "waited") > waited, what="the second gateway waits")
        event.set()
        assert slow.reply().status in (200, 201), slow.reply()
        assert quick.reply().status == 409, quick.reply()


def test_many_creates_through_all_gateways(hubs):
    bodies = [{**NODE, "name": "wanted", "conductor_group": group} for group in ("", "grp1", "grp2")] * 2
    calls = [lambda hub=hub, body=body: hub.post("/v1/nodes", body) for hub in hubs for body in bodies]
    replies = together(*calls)
    assert sorted(reply.status for reply in replies) == [201] + [409] * 17, replies
    assert not any(reply.header(UNVERIFIED) for reply in replies)
    assert sum(len(site.nodes) for site in hubs[0].all()) == 1


def test_different_values_do_not_wait_and_nothing_stays(hubs, redis):
    first, second, _ = hubs
    slow, event = begun(first, {**NODE, "name": "slow"}, first.loc1)
    assert second.post("/v1/nodes", {**NODE, "name": "quick", "conductor_group": "grp1"}).status == 201
    # The quick one's claim ended before its answer. Neither costs it anything what nobody else could want.
    assert len(redis.keys("*claim*")) == 1
    asked = redis.calls("eval")
    assert second.post("/v1/nodes", {**NODE, "conductor_group": "grp1"}).status == 201
    assert redis.calls("eval") == asked
    # What is wanted is nobody's business who can read the backend.
    held = redis.keys("*claim*")
    assert len(held) == 1 and "slow" not in held[0]
    event.set()
    assert slow.reply().status == 201
    assert not redis.keys("*claim*")


def test_a_client_never_waits_for_its_own_last_write(hubs, redis):
    hub = hubs[0]
    ident = hub.loc1.add(node("here"))["uuid"]
    before = claims(hub, "waited")
    for name in ("wanted", "wanted", "wanted"):
        assert hub.patch(f"/v1/nodes/{ident}", [{"op": "add", "path": "/name", "value": name}]).status == 200
        assert not redis.keys("*claim*")
    for _ in range(3):
        assert hub.post("/v1/chassis", {"description": "a"}).status == 201
        assert not redis.keys("*claim*")
    assert claims(hub, "waited") == before


def test_a_replicated_object_that_two_gateways_change_at_once(hubs):
    first, second, _ = hubs
    slow, event = begun(first, {"description": "a"}, first.loc1, path="/v1/chassis")
    waited = claims(second, "waited")
    quick = Later(lambda: second.post("/v1/chassis", {"description": "b"}))
    until(lambda: claims(second, "waited") > waited, what="the second gateway waits")
    event.set()
    assert {slow.reply().status, quick.reply().status} == {201}


@pytest.mark.parametrize("end", [Redis.kill, Redis.freeze])
def test_without_the_backend_all_go_on_alone_and_say_so(hubs, redis, end):
    first, second, strict = hubs
    since = len(first.gateway.log())
    end(redis)
    try:
        reply = first.post("/v1/nodes", {**NODE, "name": "one"})
        assert (reply.status, reply.header(UNVERIFIED)) == (201, "coordination"), reply
        patch = [{"op": "add", "path": "/name", "value": "two"}]
        reply = second.patch(f"/v1/nodes/{reply.json()['uuid']}", patch)
        assert (reply.status, reply.header(UNVERIFIED)) == (200, "coordination"), reply
        reply = second.post("/v1/chassis", {"description": "three"})
        assert (reply.status, reply.header(UNVERIFIED)) == (201, "coordination"), reply
        # A location that cannot be asked is named beside it.
        first.loc3.down()
        reply = first.post("/v1/nodes", {**NODE, "name": "four"})
        assert (reply.status, reply.header(UNVERIFIED)) == (201, "loc3, coordination"), reply
        first.loc3.up()
        reply = strict.post("/v1/nodes", {**NODE, "name": "five"})
        assert reply.status == 503 and "coordination backend" in reply.fault()["faultstring"], reply
        assert not any("five" in str(record) for site in first.all() for record in site.nodes)
        template = {"name": "CUSTOM_A", "steps": []}
        template = first.post("/v1/deploy_templates", template).json()["uuid"]
        renamed = [{"op": "replace", "path": "/name", "value": "CUSTOM_B"}]
        first.forget_requests()
        reply = strict.patch(f"/v1/deploy_templates/{template}", renamed)
        assert reply.status == 503 and "coordination backend" in reply.fault()["faultstring"], reply
        assert not any(site.asked("PATCH", "/v1/deploy_templates/.*") for site in first.all())
        assert first.patch(f"/v1/deploy_templates/{template}", renamed).status == 200
        assert strict.delete(f"/v1/deploy_templates/{template}").status == 204
        # What needs nobody's consent is as ever, and so is readiness.
        assert strict.get("/v1/nodes").status == 200 and strict.post("/v1/nodes", NODE).status == 201
        assert Admin(first.gateway).get("/ready").status == 200
        status = Admin(first.gateway).get("/status").document
        assert status["coordination"]["state"] == "down" and status["coordination"]["why"] in status["summary"], status
        assert read(Admin(first.gateway))("ironic_proxy_coordination_up") == 0
    finally:
        redis.thaw() if end is Redis.freeze else redis.start()
    for hub in hubs:
        connected(hub)
    lines = [line for line in first.gateway.log()[since:].splitlines() if "coordination backend cannot be used" in line]
    assert len(lines) == 1, lines
    for hub in hubs:
        reply = hub.post("/v1/nodes", {**NODE, "name": new_uuid()[:8]})
        assert (reply.status, reply.header(UNVERIFIED)) == (201, None), reply
    assert read(Admin(first.gateway))("ironic_proxy_coordination_up") == 1


@pytest.mark.parametrize("member", ["name", "uuid", "instance_uuid"])
def test_a_twin_that_was_made_meanwhile_is_told_of(hubs, redis, member):
    first, second, _ = hubs
    # A name that no other test has used: the gateway remembers for a minute where it saw one.
    value, kind = (f"twin-{new_uuid()[:8]}" if member == "name" else new_uuid()), member
    twins = read(Admin(first.gateway))("ironic_proxy_duplicates", kind=kind)
    redis.freeze()
    try:
        slow, event = begun(first, {**NODE, member: value}, first.loc1)
        reply = second.post("/v1/nodes", {**NODE, member: value, "conductor_group": "grp1"})
        assert (reply.status, reply.header(UNVERIFIED)) == (201, "coordination"), reply
        event.set()
        assert (slow.reply().status, slow.reply().header(UNVERIFIED)) == (201, "coordination")
    finally:
        redis.thaw()
    first.logged(f'ERROR.*{member} "{value}" was sent to location `loc1` and is at location `loc2` as well')
    until(lambda: read(Admin(first.gateway))("ironic_proxy_duplicates", kind=kind) == twins + 1, what="the metric")


def struck(hub, site, method, path, body):
    """A write that has reached the site, which ends the connection once the event is set."""
    event = threading.Event()
    held = scripted.held(event)

    def fault(exchange):
        held(exchange)
        exchange.reset()

    before = len(site.asked(method))
    site.fault(fault, method=method, times=1)
    later = Later(lambda: hub.call(method, path, body))
    until(lambda: len(site.asked(method)) > before, what="the write")
    return later, event


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_twin_of_what_may_have_been_written_is_told_of(hubs, redis, method):
    first, name = hubs[0], f"twin-{new_uuid()[:8]}"
    there = first.loc1.add(node("there"))
    body = {**NODE, "name": name} if method == "POST" else [{"op": "add", "path": "/name", "value": name}]
    path = "/v1/nodes" if method == "POST" else f"/v1/nodes/{there['uuid']}"
    redis.freeze()
    try:
        later, event = struck(first, first.loc1, method, path, body)
        # Nor can it be asked what became of it.
        first.loc1.fault(scripted.reset(), method="GET")
        first.loc2.add(node(name))
        event.set()
        assert later.reply().status == 504, later.reply()
    finally:
        redis.thaw()
    first.logged(f'ERROR.*name "{name}" was sent to location `loc1` and is at location `loc2` as well')


def test_who_was_silent_is_not_waited_for_once_more(hubs, redis):
    first, name = hubs[0], f"name-{new_uuid()[:8]}"
    first.loc3.fault(scripted.answers(500), method="GET", path=f"/v1/nodes/{name}")
    redis.freeze()
    try:
        reply = first.post("/v1/nodes", {**NODE, "name": name})
    finally:
        redis.thaw()
    assert (reply.status, reply.header(UNVERIFIED)) == (201, "loc3, coordination"), reply
    assert [len(site.asked("GET", f"/v1/nodes/{name}")) for site in (first.loc2, first.loc3)] == [2, 1]
