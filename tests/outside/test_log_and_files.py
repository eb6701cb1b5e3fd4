"""The log and the files of the gateway never stop the service."""

import os
import resource
import stat
import subprocess
import threading
import time

import pytest
from fleet import Client, fleet, fleet_config, until
from gateway import binary
from standin import Standin, node


@pytest.fixture
def site():
    with Standin() as site:
        yield site


class Child:
    """The gateway with a standard error of our choice, and a directory of its own."""

    def __init__(self, directory, site, errors, *, sections=None, **popen):
        state = directory / "state"
        state.mkdir()
        text = fleet_config([f"http://127.0.0.1:{site.port}"], api={"port": 0}, sections=sections).replace("@DIR@", str(directory))
        (directory / "ironic-proxy.conf").write_text(text, encoding="utf-8")
        self.state = state
        arguments = [binary(), "--config-file", directory / "ironic-proxy.conf"]
        self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, **popen)

    def client(self):
        """The port is the only one that it listens on."""
        port = until(lambda: listening(self.process.pid), what="a listening socket")
        return Client(f"http://127.0.0.1:{port}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        finally:
            self.process.kill()


def listening(pid):
    inodes = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            inodes.add(os.readlink(f"/proc/{pid}/fd/{name}"))
        except OSError:
            continue
    for line in open(f"/proc/{pid}/net/tcp", encoding="ascii").readlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
            return int(fields[1].partition(":")[2], 16)
    return None


def test_a_log_that_nobody_reads_stops_nothing(tmp_path, site):
    """A pipe holds 64 KiB, which are some 250 lines."""
    reader, writer = os.pipe()
    with Child(tmp_path, site, writer) as child:
        os.close(writer)
        client = child.client()
        until(lambda: client.get("/v1/nodes").status == 200, what="an answer")
        for _ in range(1500):
            reply = client.get("/v1")
            assert reply.status == 200 and reply.seconds < 2
        # Who comes back to reading finds the log go on.
        threading.Thread(target=lambda: [None for _ in iter(lambda: os.read(reader, 65536), b"")], daemon=True).start()
        assert client.get("/v1/nodes").status == 200
    assert child.process.returncode == 0
    os.close(reader)


def test_it_ends_though_nobody_reads_its_last_lines(tmp_path, site):
    reader, writer = os.pipe()
    with Child(tmp_path, site, writer) as child:
        os.close(writer)
        client = child.client()
        for _ in range(600):
            client.get("/v1")
        child.process.terminate()
        started = time.monotonic()
        assert child.process.wait(10) == 0
        assert time.monotonic() - started < 5
    os.close(reader)


def test_a_full_disk_stops_nothing(tmp_path, site):
    """/dev/full is a log without room."""
    with open("/dev/full", "wb") as full, Child(tmp_path, site, full) as child:
        client = child.client()
        until(lambda: client.get("/v1/nodes").status == 200, what="an answer")
        for _ in range(300):
            assert client.get("/v1").status == 200
    assert child.process.returncode == 0


def test_half_a_state_file_is_removed(tmp_path, site):
    """RLIMIT_FSIZE fails a write in its middle, as a full disk does."""

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    for n in range(200):
        site.add(node(f"node-{n}"))
    with Child(tmp_path, site, subprocess.DEVNULL, preexec_fn=small_files, restore_signals=False) as child:
        client = child.client()
        until(lambda: client.get("/v1/nodes").status == 200, what="an answer")
    assert "directory.new" not in os.listdir(child.state)


def test_the_state_file_is_its_own(tmp_path):
    with fleet(1) as hub:
        hub.loc1.add(node("target"))
        assert hub.get("/v1/nodes/target").status == 200
        assert hub.gateway.stop() == 0
        [path] = (hub.gateway.directory / "state").iterdir()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        hub.gateway.start()
