"""The gateway's start and end, and clients that leave before their answer."""

import http.client
import json
import signal
import socket
import subprocess
import threading
import time

import pytest
import scripted
from client import request_bytes
from exchange import Gone
from faults import hubs, known
from fleet import fleet, until
from standin import Standin, node

WRITES = [
    ("PATCH", "/v1/nodes/{uuid}", [{"op": "add", "path": "/extra/a", "value": 1}]),
    ("PUT", "/v1/nodes/{uuid}/states/power", {"target": "power on"}),
    ("PUT", "/v1/nodes/{uuid}/states/provision", {"target": "manage"}),
    ("PUT", "/v1/nodes/{uuid}/maintenance", {"reason": "x"}),
    ("DELETE", "/v1/nodes/{uuid}/maintenance", None),
    ("DELETE", "/v1/nodes/{uuid}", None),
    ("POST", "/v1/nodes/{uuid}/vendor_passthru/method", {"a": "x" * 500}),
]
WRITE_NAMES = [f"{method} {path.rpartition('}')[2]}" for method, path, _ in WRITES]


module_hub, hub = hubs(2, every={"timeout": 1})


# --- start


def test_it_starts_with_every_location_down():
    sites = [Standin(), Standin()]
    for site in sites:
        site.down()
    started = time.monotonic()
    with fleet(*sites, wait=False, every={"probe_interval": 1}) as hub:
        assert time.monotonic() - started < 5
        reply = hub.get("/v1/nodes")
        assert reply.status == 503 and reply.header("Retry-After") is None
        for site in sites:
            site.up()
        until(lambda: hub.get("/v1/nodes").status == 200, what="the locations being taken in")


def test_it_starts_with_locations_that_hang():
    sites = [Standin(), Standin()]
    sites[1].fault(scripted.hang())
    started = time.monotonic()
    with fleet(*sites, wait=False) as hub:
        hub.loc1.add(node("here"))
        until(lambda: hub.get("/v1/nodes/here").status == 200)
        assert time.monotonic() - started < 5


# --- the end


def test_sigterm_lets_a_request_finish_and_ends_at_once_after():
    release = threading.Event()
    with fleet(2, every={"timeout": 20}, default={"graceful_shutdown_timeout": 20}) as hub:
        record = known(hub)
        rule = hub.loc2.fault(scripted.held(release), path="/v1/nodes/.+")
        # An idle keep-alive connection must not hold the end up.
        idle = http.client.HTTPConnection(hub.host, hub.port)
        idle.request("GET", "/v1")
        idle.getresponse().read()
        replies = []
        inflight = [
            threading.Thread(target=lambda: replies.append(hub.get(f"/v1/nodes/{record['uuid']}"))),
            threading.Thread(target=lambda: replies.append(hub.put(f"/v1/nodes/{record['uuid']}/maintenance", {"reason": "late"}))),
        ]
        for thread in inflight:
            thread.start()
        until(lambda: rule.hits >= 2, what="both requests at the location")
        process = hub.gateway.process
        process.signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        release.set()
        released = time.monotonic()
        assert process.wait(10) == 0
        assert time.monotonic() - released < 2, "it did not end when the last request was done"
        for thread in inflight:
            thread.join()
        assert sorted(reply.status for reply in replies) == [200, 202]
        idle.close()


def test_sigterm_ends_an_idle_gateway_at_once():
    with fleet(2, default={"graceful_shutdown_timeout": 30}) as hub:
        idle = socket.create_connection((hub.host, hub.port))
        idle.sendall(request_bytes("GET", "/v1"))
        assert idle.recv(10)
        silent = socket.create_connection((hub.host, hub.port))
        started = time.monotonic()
        assert hub.gateway.stop() == 0
        assert time.monotonic() - started < 2
        idle.close()
        silent.close()


def test_sigterm_does_not_wait_for_ever():
    with fleet(2, every={"timeout": 25}, default={"graceful_shutdown_timeout": 1}) as hub:
        record = known(hub)
        rule = hub.loc2.fault(scripted.hang())
        with socket.create_connection((hub.host, hub.port)) as connection:
            connection.sendall(request_bytes("GET", f"/v1/nodes/{record['uuid']}"))
            until(lambda: rule.hits)
            started = time.monotonic()
            hub.gateway.stop()
            assert time.monotonic() - started < 4


# --- clients that leave


@pytest.mark.parametrize("path", ["/v1/nodes/{uuid}", "/v1/nodes", "/v1/nodes/{uuid}/states"])
def test_reads_of_a_client_that_left_are_cancelled(path):
    with fleet(2, every={"timeout": 20}) as hub:
        record = known(hub)
        left = threading.Event()

        def watch(exchange):
            try:
                exchange.wait(20)
            except Gone:
                left.set()
                raise

        hub.loc2.fault(watch)
        with socket.create_connection((hub.host, hub.port)) as connection:
            connection.sendall(request_bytes("GET", path.format(uuid=record["uuid"])))
            until(lambda: hub.loc2.requests)
        assert left.wait(5), "the location still works for nobody"


@pytest.mark.parametrize(("method", "path", "body"), [*WRITES, ("POST", "/v1/nodes", {"driver": "fake-hardware", "conductor_group": "grp1"})],
                         ids=[*WRITE_NAMES, "POST nodes"])  # fmt: skip
def test_a_write_of_a_client_that_left_is_finished(hub, method, path, body):
    record = known(hub)
    outcome = []

    def watch(exchange):
        try:
            exchange.wait(0.5)
            outcome.append("waited for")
        except Gone:
            outcome.append("abandoned")
            raise
        return exchange.true_answer()

    hub.loc2.fault(watch, method=method)
    data = b"" if body is None else json.dumps(body).encode()
    with socket.create_connection((hub.host, hub.port)) as connection:
        connection.sendall(request_bytes(method, path.format(uuid=record["uuid"]), data))
        until(lambda: hub.loc2.asked(method))
    assert until(lambda: outcome) == ["waited for"]
