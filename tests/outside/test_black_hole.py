"""A location whose packets vanish while connections to it stay open: one request notices, or the probe does; nobody else pays."""

import threading
import time

import pytest
import scripted
from swallowed import FarSide, is_possible

from fleet import Fleet, fleet_config, until
from gateway import Gateway
from standin import Standin, node

pytestmark = pytest.mark.skipif(not is_possible(), reason="needs a network namespace")

CONNECT = 2
CLOCKS = {"connect_timeout": CONNECT, "timeout": 30, "response_timeout": 30, "breaker_failures": 2, "breaker_reset": 0.5}


@pytest.fixture
def far():
    """(gateway, far side): loc1 is near; loc2 has a node and is behind a link that can be cut."""

    def start(**every):
        near, site = Standin(), Standin([node("there")])
        with near, site, FarSide(site.port) as link:
            text = fleet_config([near.endpoint, link.endpoint], api={"request_deadline": 60}, every={**CLOCKS, **every})
            with Gateway(text) as gateway:
                hub = Fleet(gateway, {"loc1": near, "loc2": site})
                hub.wait_ready()
                # By now connections are warm.
                assert hub.get("/v1/nodes/there").status == 200
                yield hub, link

    runs = []

    def begin(**every):
        run = start(**every)
        runs.append(run)
        return next(run)

    yield begin
    for run in runs:
        next(run, None)


def timed(hub, path):
    started = time.monotonic()
    reply = hub.get(path)
    return reply, time.monotonic() - started


def test_a_request_on_a_warm_connection_costs_what_a_connection_does(far):
    hub, link = far()
    link.is_cut = True
    reply, spent = timed(hub, "/v1/nodes/there")
    assert reply.status in (503, 504), reply
    assert "loc2" in reply.text()
    assert spent < CONNECT * 3, "well below the clocks of answers"


def test_the_probe_notices_without_traffic_and_makes_the_trials(far):
    hub, link = far(probe_interval=0.5)
    since = len(hub.gateway.log())
    link.is_cut = True
    until(lambda: "Location `loc2` failed 2 times" in hub.gateway.log()[since:], 30, "the probe's noticing")
    # Half a second after each failed trial another one is due, and each takes as long as a connection may.
    end = time.monotonic() + 2 * CONNECT
    asked = 0
    while time.monotonic() < end:
        reply, spent = timed(hub, "/v1/nodes/there")
        assert reply.status == 503, reply
        assert spent < CONNECT / 2, "a client paid for a trial"
        asked += 1
    assert asked > 20
    link.is_cut = False
    until(lambda: hub.get("/v1/nodes/there").status == 200, 30, "the location's coming back")


@pytest.mark.slow
def test_a_lost_probe_ends_no_write_that_waits(far):
    """The kernel asks after 15 s whether the location is still there, and again after 5 s."""
    hub, link = far(probe_interval=600)
    answered = threading.Event()
    hub.loc2.fault(scripted.held(answered), "PUT")
    replies = []
    write = threading.Thread(target=lambda: replies.append(hub.put("/v1/nodes/there/states/power", {"target": "power on"})))
    write.start()
    until(lambda: hub.loc2.asked("PUT"), what="the write")
    asked = time.monotonic()

    def passed(seconds):
        return lambda: replies or time.monotonic() - asked > seconds

    until(passed(10), 20, "an acknowledgement")
    link.is_cut = True
    until(passed(17), 20, "the first probe")
    link.is_cut = False
    until(passed(21), 20, "the second probe")
    answered.set()
    write.join()
    assert [reply.status for reply in replies] == [202], replies
