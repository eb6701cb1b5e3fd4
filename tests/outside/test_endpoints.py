"""Several endpoints of one location: reads are not as slow as the slowest of them, and whoever proves to be faster is asked first."""

import contextlib
import threading

import pytest
import scripted
from admin import SECTION, Admin
from exchange import Answer
from fleet import assert_unavailable, fleet, together, until
from metrics import read
from standin import new_uuid, node
from test_faults_failure import twins

# A probe that fails would be the breaker's business too.
QUIET = {"probe_interval": 600}


@contextlib.contextmanager
def pair_of(*, every=None, **options):
    """One location with two endpoints, and an event that lets go of what is held at them."""
    pair, free = twins(), threading.Event()
    try:
        with fleet(pair[0], further={"loc1": [pair[1]]}, every={**QUIET, **(every or {})}, **options) as hub:
            for site in pair:
                site.forget_requests()
            yield hub, pair, free
            free.set()
    finally:
        free.set()


@pytest.fixture
def two():
    with pair_of() as parts:
        yield parts


def warm(hub, pair):
    """Reads enough to know how fast the first endpoint is."""
    hub.loc1.add(node("twofold"))
    for _ in range(24):
        assert hub.get("/v1/nodes/twofold").status == 200
    for site in pair:
        site.forget_requests()


def background(call):
    replies = []
    thread = threading.Thread(target=lambda: replies.append(call()), daemon=True)
    thread.start()

    def reply():
        thread.join(20)
        return replies[0]

    return reply


def test_a_silent_endpoint_is_not_waited_for_and_then_left(two):
    hub, pair, free = two
    record = hub.loc1.add(node("twofold"))
    pair[0].fault(scripted.held(free))
    for _ in range(3):
        assert hub.get("/v1/nodes/twofold").status == 200
    assert len(pair[0].asked()) == 3
    for _ in range(3):
        assert hub.get("/v1/nodes/twofold").status == 200
    assert hub.put(f"/v1/nodes/{record['uuid']}/states/power", {"target": "power on"}).status == 202
    assert hub.get("/v1/nodes").names() == ["twofold"]
    assert len(pair[0].asked()) == 3, "nothing more"


@pytest.mark.parametrize("path", ["/v1/nodes", "/v1/nodes?sort_key=name", "/v1/ports", "/v1/drivers", "/v1/nodes/twofold/states"])
def test_reads_of_every_kind_are_hedged(two, path):
    hub, pair, free = two
    warm(hub, pair)
    pair[0].fault(scripted.held(free))
    assert hub.get(path).status == 200
    assert pair[1].asked("GET")


def test_a_write_is_asked_once(two):
    hub, pair, free = two
    warm(hub, pair)
    rule = pair[0].fault(scripted.held(free))
    patching = background(lambda: hub.patch("/v1/nodes/twofold", [{"op": "add", "path": "/extra/a", "value": 1}]))
    until(lambda: rule.hits, what="the patch")
    # A read that came later was asked twice by now.
    assert hub.get("/v1/nodes/twofold").status == 200
    assert not pair[1].asked("PATCH")
    free.set()
    assert patching().status == 200
    assert [len(site.asked("PATCH")) for site in pair] == [1, 0]


def test_what_must_not_be_asked_twice_is_not():
    """A driver is as slow at the next endpoint, and a ramdisk is told its token once."""
    with pair_of(api={"enable_ramdisk_endpoints": True}) as (hub, pair, free):
        warm(hub, pair)
        mac = "52:54:00:aa:bb:01"
        hub.loc1.ports.append({"uuid": new_uuid(), "address": mac, "node_uuid": hub.loc1.find("twofold")["uuid"]})
        rule = pair[0].fault(scripted.held(free))
        once = ["/v1/nodes/twofold/management/boot_device", f"/v1/lookup?addresses={mac}"]
        waiting = [background(lambda path=path: hub.get(path)) for path in once]
        until(lambda: rule.hits == 2, what="both questions")
        assert hub.get("/v1/nodes/twofold").status == 200, "a read that came later"
        free.set()
        for reply in waiting:
            reply()
        asked = [request.path for request in pair[1].asked()]
        assert asked == ["/v1/nodes/twofold"]


def test_what_both_are_slow_to_answer_is_not_asked_twice_for_long(two):
    """A slow location has a twentieth to do on top, and what reads have saved before."""
    hub, pair, free = two
    warm(hub, pair)
    rules = [site.fault(scripted.held(free)) for site in pair]
    replies = background(lambda: together(*[lambda: hub.get("/v1/nodes/twofold")] * 40))
    until(lambda: rules[0].hits == 40 and rules[1].hits >= 10, what="all that is asked")
    free.set()
    assert {reply.status for reply in replies()} == {200}
    assert rules[1].hits <= 20


def test_bad_gateways_are_no_answers(two):
    hub, pair, free = two
    hub.loc1.add(node("twofold"))
    pair[0].fault(scripted.held(free))
    rule = pair[1].fault(scripted.html(502))
    reading = background(lambda: hub.get("/v1/nodes/twofold"))
    until(lambda: rule.hits, what="the second question")
    free.set()
    assert reading().status == 200


def test_not_found_is_not_believed_while_the_first_may_have_it():
    """Behind two endpoints may be two databases, one of which lags behind."""
    with pair_of(sections={"admin": SECTION}) as (hub, pair, free):
        hub.loc1.add(node("twofold"))
        pair[0].fault(scripted.held(free))
        pair[1].fault(scripted.says(404, "Node twofold could not be found."))
        reading = background(lambda: hub.get("/v1/nodes/twofold"))
        until(lambda: read(Admin(hub.gateway)).all("ironic_proxy_location_hedges_total")[("loc1", "won")], what="the first answer")
        free.set()
        assert reading().status == 200
        pair[0].heal()
        pair[0].fault(scripted.close())
        assert hub.get("/v1/nodes/nobody").status == 404, "the only one that answers"


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_what_a_write_came_to_is_asked_where_it_was_written(two, method):
    """The second endpoint's database may not have it yet."""
    hub, pair, _ = two
    before = {"uuid": new_uuid(), "description": "", "extra": {}, "created_at": None, "updated_at": None}
    hub.loc1.objects["chassis"].append(dict(before))
    path = f"/v1/chassis/{before['uuid']}"
    warm(hub, pair)

    def slow_from_now_on(exchange):
        pair[0].fault(scripted.late(0.3), method="GET", times=1)
        return scripted.executed(scripted.reset())(exchange)

    pair[0].fault(slow_from_now_on, method=method)
    # Nor what it needs to know: an undo would put back what was there before the change before.
    pair[0].fault(scripted.late(0.3), method="GET", times=1)
    pair[1].fault(lambda _: Answer.of_json(200, before), method="GET")
    change = [{"op": "add", "path": "/extra/a", "value": 1}] if method == "PATCH" else None
    reply = hub.call(method, path, change)
    assert (reply.status, pair[1].asked("GET")) == (204 if method == "DELETE" else 200, []), reply


def test_a_question_has_one_verdict():
    """However many endpoints were asked it: two failures would open this breaker."""
    with pair_of(every={"breaker_failures": 2, "breaker_reset": 60}) as (hub, pair, free):
        hub.loc1.add(node("twofold"))

        def later(exchange):
            while not free.is_set():
                exchange.wait(0.05)

        pair[0].fault(later)
        rule = pair[1].fault(scripted.close())
        reading = background(lambda: hub.get("/v1/nodes/twofold"))
        until(lambda: rule.hits, what="the second question")
        free.set()
        assert_unavailable(reading(), "loc1")
        for site in pair:
            site.heal()
        assert hub.get("/v1/nodes/twofold").status == 200


def test_an_answer_that_has_begun_is_waited_for(two):
    """Its body may be long."""
    hub, pair, free = two
    hub.loc1.add(node("long"))
    warm(hub, pair)

    def slowly(exchange):
        answer = exchange.true_answer()
        exchange.send(answer.head())
        while not free.is_set():
            exchange.wait(0.05)
        exchange.send(answer.body)

    rule = pair[0].fault(slowly, path="/v1/nodes/long")
    pair[0].fault(scripted.held(free), path="/v1/nodes/twofold")
    reading = background(lambda: hub.get("/v1/nodes/long"))
    until(lambda: rule.hits, what="the first question")
    assert hub.get("/v1/nodes/twofold").status == 200, "a read that came later and was asked twice"
    free.set()
    assert reading().json()["name"] == "long"
    assert not pair[1].asked(path="/v1/nodes/long")


def test_the_endpoints_are_told_of():
    with pair_of(sections={"admin": SECTION}) as (hub, pair, free):
        warm(hub, pair)
        page = read(Admin(hub.gateway))
        names = [f"http://127.0.0.1:{site.port} (127.0.0.1)" for site in pair]
        preferred = page.all("ironic_proxy_endpoint_preferred")
        assert preferred == {("loc1", names[0]): 1, ("loc1", names[1]): 0}
        assert list(page.all("ironic_proxy_endpoint_first_byte_seconds")) == [("loc1", names[0])]
        pair[0].fault(scripted.held(free))
        for _ in range(3):
            assert hub.get("/v1/nodes/twofold").status == 200
        page = read(Admin(hub.gateway))
        assert page.all("ironic_proxy_location_hedges_total") == {("loc1", "won"): 3, ("loc1", "lost"): 0}
        assert page.all("ironic_proxy_endpoint_preferred") == {("loc1", names[0]): 0, ("loc1", names[1]): 1}
