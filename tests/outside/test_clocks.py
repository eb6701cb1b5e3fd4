"""How long a location is waited for: by what is asked, since a write that is given up may be done a moment later."""

import socket
import threading
import time

import pytest
import scripted
from fleet import assert_unavailable, fleet, until
from standin import Standin, node
from test_endpoints import background

CLOCKS = {"read_timeout": 1, "response_timeout": 30, "timeout": 1, "probe_interval": 600}


@pytest.fixture(scope="module")
def hub():
    with fleet(Standin([node("slow")]), every=CLOCKS, api={"request_deadline": 40}) as hub:
        hub.loc1.drivers["fake"] = {}
        assert hub.get("/v1/nodes/slow").status == 200
        yield hub


@pytest.fixture
def free(hub):
    free = threading.Event()
    yield free
    free.set()
    hub.heal()


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PATCH", "/v1/nodes/slow", [{"op": "add", "path": "/extra/a", "value": 1}], 200),
        ("PUT", "/v1/nodes/slow/states/power", {"target": "power on"}, 202),
        ("DELETE", "/v1/nodes/slow/maintenance", None, 202),
        ("GET", "/v1/nodes/slow/management/boot_device", None, 200),
        ("GET", "/v1/drivers/fake/properties", None, 200),
    ],
)
def test_what_a_conductor_answers_is_waited_for_longer_than_a_read(hub, free, method, path, body, status):
    rule = hub.loc1.fault(scripted.held(free))
    working = background(lambda: hub.call(method, path, body))
    until(lambda: rule.hits, what="the question")
    for read in ("/v1/nodes/slow", "/v1/nodes"):
        assert_unavailable(hub.get(read), "loc1")
    free.set()
    assert working().status == status


def test_an_answer_that_stops_is_given_up_after_its_own_clock(hub, free):
    def half(exchange):
        answer = exchange.true_answer()
        exchange.send(answer.head() + answer.body[:10])
        while not free.is_set():
            exchange.wait(0.05)

    hub.loc1.fault(half)
    assert_unavailable(hub.get("/v1/nodes/slow"), "loc1")


CLOCK = {"connect_timeout": 1, "timeout": 30, "probe_interval": 600}
LARGE = {"max_json_body_size": 16384}


def drip_interim(exchange):
    """One 102 after the other (RFC 2518), and never an answer."""
    while True:
        exchange.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        exchange.wait(0.2)


class Busy(Standin):
    """All its workers are busy for a while when somebody sends a PUT: it is accepted, and not read."""

    WHILE = 4

    def _serve(self, connection, number):
        if connection.recv(3, socket.MSG_PEEK) == b"PUT":
            threading.Event().wait(self.WHILE)
        super()._serve(connection, number)


@pytest.mark.parametrize("path", ["/v1/nodes/busy/states/provision", "/v1/nodes/busy/vendor_passthru?method=flash"])
def test_a_large_body_waits_longer_for_a_busy_server_than_a_connection_may_take(path):
    """What is not taken looks to the kernel like a black hole, and that has the clock of connecting."""
    with fleet(Busy([node("busy", provision_state="available")]), every=CLOCK, api=LARGE) as hub:
        assert hub.get("/v1/nodes/busy").status == 200
        body = {"target": "active", "configdrive": "A" * (8 << 20)}
        assert hub.put(path, body).status < 300
        assert len(hub.loc1.asked("PUT")) == 1


@pytest.mark.parametrize("path", ["/v1/nodes/busy/states/provision", "/v1/nodes/busy/vendor_passthru?method=flash"])
def test_who_takes_nothing_in_time_is_to_blame_for_it(path):
    """And not the client, which sends as fast as it is allowed to."""
    with fleet(Busy([node("busy", provision_state="available")]), every={**CLOCK, "timeout": 1, "response_timeout": 1}, api=LARGE) as hub:
        assert hub.get("/v1/nodes/busy").status == 200
        reply = hub.put(path, {"target": "active", "configdrive": "A" * (12 << 20)})
        assert reply.status == 504, reply
        assert "loc1" in reply.fault()["faultstring"]


@pytest.mark.parametrize("way", [scripted.hang(), drip_interim], ids=["silent", "1xx"])
@pytest.mark.parametrize(("method", "body"), [("GET", None), ("POST", {"a": 1})])
def test_a_vendor_s_method_ends_at_the_deadline_whatever_comes_before_its_answer(way, method, body):
    with fleet(1, every={**CLOCK, "response_timeout": 30, "read_timeout": 30}, api={"request_deadline": 1}) as hub:
        record = hub.loc1.add(node("x"))
        hub.loc1.fault(way, path=".*/vendor_passthru/.*")
        began = time.monotonic()
        reply = hub.call(method, f"/v1/nodes/{record['uuid']}/vendor_passthru/m", body)
        assert reply.status in (503, 504) and "loc1" in reply.fault()["faultstring"], reply
        assert method == "GET" or reply.status == 504
        assert time.monotonic() - began < 10
