"""Three gateways behind the real HAProxy, by the file that we give: one after the other is killed, stopped and upgraded, and clients notice nothing but what a killed one had in hand."""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time

import pytest
from balancer import front
from client import Client
from clients import Clients
from fleet import fleet_config, until
from gateway import REPOSITORY, binary
from standin import Standin, new_uuid, node

from bed.process import Process

EXAMPLE = REPOSITORY / "conf/haproxy/haproxy.cfg"
NODES = 12


class Replica:
    """A gateway with an address of its own, so that it has the same one when it is started again."""

    def __init__(self, number, directory, sites):
        self.directory = directory / f"gateway{number}"
        self.directory.mkdir()
        self.host, self.port = f"127.0.0.{10 + number}", 0
        self._sites = sites
        self.start()

    def start(self):
        text = fleet_config(
            [site.endpoint for site in self._sites],
            api={"host_ip": self.host, "port": self.port},
            default={"state_path": self.directory, "graceful_shutdown_timeout": 20},
            sections={"admin": {"socket": self.directory / "admin.sock"}},
        )
        configuration = self.directory / "ironic-proxy.conf"
        configuration.write_text(text)
        self.log = self.directory / "log"
        self.log.write_text("")
        self.process = Process([binary(), "--config-file", configuration], self.log, env=dict(os.environ))
        # A line may be held back a moment.
        address = until(lambda: re.search(r"Listening on http://\S+:(\d+)", self.log.read_text()), seconds=20, what="a gateway's address")
        self.port = int(address[1])
        until(self.is_ready, seconds=20, what="a gateway that is ready")

    def is_ready(self):
        with contextlib.suppress(OSError):
            return Client(f"http://{self.host}:{self.port}").get("/healthcheck").status == 200

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self):
        os.kill(self.process.pid, signal.SIGTERM)
        assert self.process.wait(30) == 0

    def upgrade(self):
        configuration = self.directory / "ironic-proxy.conf"
        subprocess.run([binary(), "--config-file", configuration, "upgrade"], check=True, capture_output=True, timeout=60)
        assert self.process.wait(30) == 0


class Watch:
    """A client that asks the same in turn, and judges each answer."""

    def __init__(self, balancer, records, absent):
        self.client, self.records, self.absent = balancer, records, absent
        self.failures, self.written, self.rounds = [], {}, 0
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(what,)) for what in (self._read, self._walk, self._write)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        for thread in self._threads:
            thread.join(30)

    def go_on(self):
        before = self.rounds
        # One that was begun before does not count.
        until(lambda: self.rounds >= before + 2, seconds=60, what="two rounds of a client")

    def _run(self, what):
        while not self._done.is_set():
            try:
                what(Client(self.client.url))
            except Exception as error:  # noqa: BLE001: whatever it is, the test tells of it
                self.failures.append(f"{what.__name__}: {error!r}")

    def expect(self, reply, *statuses):
        if reply.status not in statuses:
            self.failures.append(f"{statuses}: {reply}")

    def _read(self, client):
        self.expect(client.get(f"/v1/nodes/{self.records[0]['uuid']}"), 200)
        self.expect(client.get(f"/v1/nodes/{self.absent}"), 404)

    def _walk(self, client):
        for sort in ("", "&sort_key=name"):
            target, listed = f"/v1/nodes?limit=5{sort}", []
            while target:
                reply = client.get(target)
                self.expect(reply, 200)
                if reply.status != 200:
                    return
                listed += reply.uuids()
                following = reply.json().get("next")
                target = following and following[following.index("/v1/") :]
            if sorted(listed) != sorted(record["uuid"] for record in self.records):
                self.failures.append(f"{len(listed)} of {len(self.records)} nodes{sort}")
        self.rounds += 1

    def _write(self, client):
        mark = new_uuid()
        self.written[mark] = time.monotonic()
        reply = client.patch(f"/v1/nodes/{self.records[1]['uuid']}", [{"op": "add", "path": "/extra/mark", "value": mark}])
        # What a killed gateway had in hand: HAProxy's own words.
        self.expect(reply, 200, *((502,) if b"<html>" in reply.body else ()))


@pytest.fixture
def replicas(tmp_path):
    records = [node(f"n{number:02}") for number in range(NODES)]
    with contextlib.ExitStack() as stack:
        sites = [stack.enter_context(Standin([dict(one) for one in records[place::3]])) for place in range(3)]
        gateways = []
        for number in (1, 2, 3):
            gateways.append(Replica(number, tmp_path, sites))
            stack.callback(lambda one=gateways[-1]: one.process.stop())
        text = EXAMPLE.read_text().replace("bind :6385", "bind fd@3")
        for number, gateway in enumerate(gateways, 1):
            text = text.replace(f"192.0.2.1{number}:6385", f"{gateway.host}:{gateway.port}")
        assert "192.0.2" not in text
        balancer = stack.enter_context(front(text))
        until(lambda: balancer.get("/v1").status == 200, seconds=10, what="HAProxy")
        yield gateways, sites, records, balancer


def marks(sites):
    return [request.json()[0]["value"] for site in sites for request in site.asked("PATCH")]


def test_one_of_three_may_go_and_come(replicas):
    gateways, sites, records, balancer = replicas
    address = balancer.url.removeprefix("http://")
    with Clients(address, f"/v1/nodes/{records[0]['uuid']}", rate=100) as clients, Watch(balancer, records, new_uuid()) as watch:
        watch.go_on()
        for gateway, end in zip(gateways, (Replica.kill, Replica.stop)):
            end(gateway)
            if end == Replica.kill:
                killed = time.monotonic()
            watch.go_on()
            gateway.start()
            watch.go_on()
        gateways[2].upgrade()
        watch.go_on()
        clients.go_on(50)
        now = clients.now()
    assert not watch.failures, watch.failures[:5]
    assert now["failed"] == 0, now
    done = marks(sites)
    assert len(done) == len(set(done)) and set(done) <= set(watch.written), "a write was sent twice"
    lost = [begun - killed for mark, begun in watch.written.items() if mark not in done]
    assert all(begun < 0 for begun in lost), f"more was lost than what the killed gateway had in hand: {lost}"
