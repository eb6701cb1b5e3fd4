"""Another binary takes over while clients come and go: none of them notices, and one that does not start changes nothing."""

import http.client
import os
import re
import signal
import socket
import subprocess
import threading

import pytest
import scripted
from client import Client
from clients import Clients
from fleet import until
from standin import node
from upgrading import Line

from gateway import binary


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def replace(line, script):
    """Another program where the binary was; the running one has the old file."""
    beside = line.program.with_name("new")
    beside.write_text(script)
    beside.chmod(0o755)
    beside.rename(line.program)


def test_no_client_notices_an_upgrade():
    with Line() as line:
        first = line.first.pid
        with Clients(line.address()) as clients:
            clients.go_on()
            for _ in range(2):
                before = line.pid()
                done = line.upgrade()
                assert done.returncode == 0, done.stderr
                assert line.pid() not in (before, first)
                assert f"process {line.pid()} serves" in done.stdout
                clients.go_on()
                until(lambda before=before: before == first or is_gone(before), what="the end of the one before")
            now = clients.assert_none_failed()
        assert now["closed"] > 0, "no connection was closed, so nobody was replaced"
        assert line.ended() == 0
        assert Client(f"http://{line.address()}").get("/v1/nodes").names() == ["there"]


@pytest.mark.parametrize("end", ["its own", "a stop"])
def test_what_is_in_flight_is_finished_by_whom_it_came_to(end):
    """However long that takes; whoever stops the service waits as long as for a drain."""
    release = threading.Event()
    with Line() as line:
        line.write(default={"graceful_shutdown_timeout": 1}, every={"timeout": 20}, request_deadline=20)
        assert line.admin.run("reload").returncode == 0
        record = line.site.add(node("held"))
        rule = line.site.fault(scripted.held(release), path=f"/v1/nodes/{record['uuid']}$")
        answers = []

        def wait():
            connection = http.client.HTTPConnection(line.address(), timeout=30)
            connection.request("GET", f"/v1/nodes/{record['uuid']}", headers={"X-OpenStack-Ironic-API-Version": "1.80"})
            try:
                answer = connection.getresponse()
            except http.client.RemoteDisconnected:
                return
            answers.append((answer.status, answer.getheader("Connection")))

        waiter = threading.Thread(target=wait)
        waiter.start()
        until(lambda: rule.hits, what="the request at its location")
        assert line.upgrade().returncode == 0
        assert Client(f"http://{line.address()}").get("/v1").status == 200
        with pytest.raises(subprocess.TimeoutExpired):
            line.first.wait(1.5)
        if end == "a stop":
            line.first.signal(signal.SIGTERM)
            assert line.ended() == 0
        release.set()
        waiter.join()
        assert answers == ([(200, "close")] if end == "its own" else [])
        assert line.ended() == 0


def faulty_file(line):
    line.write(max_limit="many")
    return "[api] max_limit"


def no_program(line):
    replace(line, "#!/bin/sh\nexit 3\n")
    return "exit status: 3"


def dies_later(line):
    replace(line, '#!/bin/sh\ncase "$*" in *--check-config) exit 0;; esac\nexit 4\n')
    return "has ended with exit status: 4"


def no_binary(line):
    line.program.rename(line.program.with_name("gone"))
    return "cannot be started"


def is_taken(line):
    """The new file wants a port that somebody has."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        line.other = other.dup()
    line.write(port=line.other.getsockname()[1])
    return "has ended with exit status: 78"


@pytest.mark.parametrize("spoil", [faulty_file, no_program, dies_later, no_binary, is_taken])
@pytest.mark.parametrize("by", ["command", "signal"])
def test_what_does_not_start_leaves_the_old_one_serving(spoil, by):
    with Line() as line:
        says = spoil(line)
        with Clients(line.address(), rate=200) as clients:
            if by == "command":
                done = line.upgrade()
                assert (done.returncode, says in done.stderr) == (1, True), done.stderr
            else:
                line.first.signal(signal.SIGUSR2)
            until(lambda: "Not upgraded, this process serves on" in line.log() and says in line.log())
            clients.go_on(100)
            now = clients.assert_none_failed()
        assert now["closed"] == 0
        assert line.pid() == line.first.pid
        line.admin.set("loc1", "read_only")
        line.restore()
        assert line.upgrade().returncode == 0, "it can be upgraded once all is mended"


@pytest.mark.parametrize("succeeds", [True, False])
def test_a_reload_that_comes_into_an_upgrade_is_not_lost(succeeds):
    """The next process may have read the files before they were changed, and this one goes on if that does not start."""
    with Line() as line:
        with line.upgrading() as held:
            line.write(max_json_body_size=64)
            os.kill(line.first.pid, signal.SIGHUP)
            until(lambda: "a reload waits for its end" in line.log(), what="the signal heard")
            held[0] = "{}" if succeeds else "["
        until(lambda: re.search(r" (\d+) \w+ \S+ \[-\] Reloaded", line.log()), what="a reload")
        pids = re.findall(r" (\d+) \w+ \S+ \[-\] Reloaded", line.log())
        assert {int(pid) for pid in pids} == {line.pid()}
        assert (line.pid() == line.first.pid) == (not succeeds)
        assert Client(f"http://{line.address()}").post("/v1/nodes", {"driver": "d" * 70_000}).status == 413


def test_an_upgrade_takes_what_a_reload_cannot():
    with Line() as line:
        before = line.address()
        line.write(host_ip="127.0.0.1,127.0.0.2", max_limit=7, sections={"node_cache": {"sweep_interval": 0, "max_entries": 77}})
        assert line.upgrade().returncode == 0
        # A line may be held back a moment.
        until(lambda: f"http://{before}, http://127.0.0.2:" in line.log(), what="both addresses in the log")
        assert line.ended() == 0
        assert line.hears(f"MAINPID={line.pid()}")
        assert not line.hears("STOPPING=1"), "the service goes on"
        assert Client(f"http://{before}").get("/v1/nodes").status == 200


def test_states_outlive_an_upgrade():
    with Line() as line:
        line.admin.set("loc1", "read_only", "disks")
        assert line.upgrade().returncode == 0
        assert line.admin.location("loc1")["operator"]["reason"] == "disks"
        assert line.ended() == 0


def test_commands_find_who_runs_whatever_socket_the_file_names_by_now():
    with Line() as line:

        def run(*words):
            words = [binary(), "--config-file", line.configuration, *words]
            return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)

        line.write(sections={"admin": {"socket": line.directory / "other.sock"}})
        done = run("reload")
        assert (done.returncode, "[admin] socket, listen: the new value takes effect" in done.stdout) == (0, True), done
        assert run("location", "loc1", "drain").returncode == 0
        assert line.admin.location("loc1")["operator"]["state"] == "draining"
        assert "no gateway" not in run("status").stderr
        done = run("upgrade")
        assert done.returncode == 0, done
        line.admin.socket = line.directory / "other.sock"
        assert line.admin.location("loc1")["operator"]["state"] == "draining"
        assert run("status").returncode == 0
        assert line.ended() == 0


def test_a_drain_that_is_ordered_into_an_upgrade_is_not_lost():
    """The process that was told would be gone, and the next one serve on: whoever orders it is told to say it again."""
    with Line() as line:
        with line.upgrading():
            said = line.admin("POST", "/drain")
            assert (said.status, "say it again" in said.text) == (503, True), said
        assert line.ended() == 0
        assert line.admin("POST", "/drain").status == 202
        until(lambda: line.log().count("Stopped") == 2, what="the end of both")


def test_the_address_for_scrapers_is_handed_on():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Line() as line:
        line.write(sections={"admin": {"socket": line.directory / "admin.sock", "listen": f"127.0.0.1:{port}"}})
        for _ in range(2):
            assert line.upgrade().returncode == 0
            assert Client(f"http://127.0.0.1:{port}").get("/ready").status == 200


def test_who_checks_the_health_meanwhile_is_told_that_all_is_well():
    with Line() as line:
        with Clients(line.address(), "/healthcheck") as clients:
            clients.go_on()
            assert line.upgrade().returncode == 0
            clients.go_on()
            clients.assert_none_failed()
