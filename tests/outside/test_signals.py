"""What signals do: a drain cuts no client, a log is opened again, and nothing but an end ends the process."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import scripted
from admin import SECTION, Admin
from client import Client
from clients import Clients
from fleet import fleet, until
from gateway import DIRECTORY
from hesitant import Hesitation
from standin import node
from upgrading import Line

# Answers that are made in different places: by the gateway alone, by one location, merged, streamed, refused.
PATHS = ["/v1", "/v1/nodes/{uuid}", "/v1/nodes", "/v1/nodes/{uuid}/vendor_passthru/method", "/v1/nodes/nobody", "/v1/nonsense"]


def connect(hub, path="/v1"):
    """A keep-alive connection that has had an answer, and was not told that it was the last one."""
    connection = http.client.HTTPConnection(hub.host, hub.port, timeout=10)
    answer = ask(connection, path)
    assert answer.getheader("Connection", "keep-alive").lower() == "keep-alive"
    return connection


def ask(connection, path):
    connection.request("GET", path, headers={"X-OpenStack-Ironic-API-Version": "1.80"})
    answer = connection.getresponse()
    answer.text = answer.read().decode()
    return answer


def is_last(answer):
    return answer.getheader("Connection") == "close"


@pytest.fixture
def held(request):
    """A hub with a request of a client that its location has not answered; `held.release()` lets it."""
    release = threading.Event()
    options = getattr(request, "param", {})
    with fleet(2, every={"timeout": 20}, default={"graceful_shutdown_timeout": 20}, **options) as hub:
        record = hub.loc2.add(node("held"))
        other = hub.loc2.add(node("other"))
        hub.uuid = other["uuid"]
        for path in (f"/v1/nodes/{record['uuid']}", f"/v1/nodes/{other['uuid']}"):
            assert hub.get(path).status == 200
        rule = hub.loc2.fault(scripted.held(release), path=f"/v1/nodes/{record['uuid']}$")
        hub.answers = []
        connection = http.client.HTTPConnection(hub.host, hub.port, timeout=30)

        def wait():
            try:
                hub.answers.append(ask(connection, f"/v1/nodes/{record['uuid']}"))
            except OSError as cut:
                hub.answers.append(cut)

        hub.waiter = threading.Thread(target=wait)
        hub.waiter.start()
        until(lambda: rule.hits, what="the request at its location")
        hub.release = release.set
        yield hub
        release.set()
        hub.waiter.join()


def drain(hub, number=signal.SIGTERM):
    since = len(hub.gateway.log())
    hub.gateway.process.signal(number)
    hub.logged("Stopping: no new connections", since)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT], ids=lambda number: number.name)
def test_a_drain_finishes_what_is_in_flight(held, number):
    idle = connect(held)
    drain(held, number)
    with pytest.raises(subprocess.TimeoutExpired):
        held.gateway.process.wait(0.3)
    held.release()
    assert held.gateway.process.wait(10) == 0
    held.waiter.join()
    (answer,) = held.answers
    assert (answer.status, is_last(answer)) == (200, True)
    idle.close()


@pytest.mark.parametrize("held", [{"sections": {"admin": SECTION, "node_cache": {"sweep_interval": 0}}}], indirect=True)
@pytest.mark.parametrize("order", ["reload", "upgrade"])
def test_an_order_that_comes_into_a_drain_is_refused_at_once(held, order):
    drain(held)
    done = Admin(held.gateway).run(order)
    assert done.returncode == 1
    assert "stopping" in done.stderr
    assert held.gateway.process.running()


@pytest.mark.parametrize("path", PATHS)
def test_a_client_that_sends_into_a_drain_is_answered_and_told(held, path):
    connection = connect(held)
    drain(held)
    answer = ask(connection, path.format(uuid=held.uuid))
    assert answer.status in (200, 404)
    assert is_last(answer), "the client would send another request to nobody"


@pytest.mark.parametrize(("path", "options"), [("/v1", {}), ("/v1/nodes", {}), ("/v1", {"shutdown_delay": 1})], ids=["", "list", "delay"])
def test_whoever_was_let_in_before_a_stop_is_answered(path, options):
    """Under a thousand requests a second; later ones are refused, since nobody listens any longer."""
    for _ in range(2):
        with Line(**options) as line, Clients(line.address(), path) as clients:
            clients.go_on()
            line.first.signal(signal.SIGTERM)
            assert line.ended() == 0
            until(lambda clients=clients: clients.now()["refused"], what="clients that came too late")
            now = clients.assert_none_lost()
            assert now["closed"] >= 20, "no kept connection was told"


def test_a_client_that_waits_to_be_let_in_is_answered(tmp_path):
    """Stopped while the process could not accept: the kernel has let clients in that it has not seen yet."""
    with Line(unix_socket=f"{DIRECTORY}/api.sock") as unix, Line() as tcp:
        for line in (tcp, unix):
            pid = line.first.pid
            os.kill(pid, signal.SIGSTOP)
            waiting = [connected(line) for _ in range(20)]
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGCONT)
            for connection in waiting:
                answer = b"".join(iter(lambda connection=connection: connection.recv(4096), b""))
                assert answer.startswith(b"HTTP/1.1 200 "), answer
                connection.close()
            assert line.ended() == 0
        assert not (unix.directory / "api.sock").exists()


@pytest.mark.parametrize("end", ["stop", "upgrade", "restart"])
def test_a_client_that_nobody_has_looked_at_yet_is_answered(end):
    """The process is kept waiting between accept(2) and its next instruction: it must not end with that client in it."""
    with Hesitation() as hesitation, contextlib.ExitStack() as stack:
        if end == "restart":
            # The service manager's socket stays open, so that nobody else need be waited for.
            gateway = stack.enter_context(fleet(1, wait=False, env=hesitation.env)).gateway
            process, url = gateway.process, gateway.url
        else:
            line = stack.enter_context(Line(env=hesitation.env))
            process, url = line.first, f"http://{line.address()}"
        client = Client(url)
        waiter = stack.enter_context(ThreadPoolExecutor()).submit(client.get, "/v1")
        stack.callback(hesitation.release)
        hesitation.wait()
        if end == "upgrade":
            assert line.upgrade().returncode == 0
        else:
            process.signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        hesitation.release()
        assert waiter.result().status == 200
        assert process.wait(20) == 0


def connected(line):
    """A connection with a request on it."""
    if (path := line.directory / "api.sock").exists():
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(path))
    else:
        host, _, port = line.address().rpartition(":")
        connection = socket.create_connection((host, int(port)))
    connection.settimeout(20)
    connection.sendall(b"GET /v1 HTTP/1.1\r\nHost: x\r\n\r\n")
    return connection


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_second_signal_ends_at_once(held, second):
    drain(held)
    started = time.monotonic()
    held.gateway.process.signal(second)
    held.gateway.process.wait(5)
    assert time.monotonic() - started < 2
    held.waiter.join()
    assert not isinstance(held.answers[0], http.client.HTTPResponse), "it was not cut, so nothing was tried"


@pytest.mark.parametrize("held", [{"sections": {"admin": SECTION}}], indirect=True)
@pytest.mark.parametrize("second", [None, signal.SIGTERM, signal.SIGINT], ids=str)
def test_the_signal_of_a_service_manager_does_not_hurry_a_drain_that_the_door_began(held, second):
    """As kubelet and systemd send it to whoever a hook has told to drain; what is sent after it is the second."""
    assert Admin(held.gateway)("POST", "/drain").status == 202
    held.logged("Stopping: no new connections")
    process = held.gateway.process
    process.signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    if second:
        process.signal(second)
    else:
        held.release()
    assert process.wait(5) == 0
    held.waiter.join()
    (answer,) = held.answers
    assert isinstance(answer, http.client.HTTPResponse) == (second is None), answer


@pytest.mark.parametrize("held", [{"api": {"shutdown_delay": 1.5}}], indirect=True)
def test_neighbours_are_told_before_the_drain(held):
    connection, balancer = connect(held), connect(held, "/healthcheck")
    held.gateway.process.signal(signal.SIGTERM)
    answer = until(lambda: (answer := ask(balancer, "/healthcheck")).status == 503 and answer)
    assert answer.text == "DRAINING"
    # Not told to leave, and new clients are let in: the balancer may not have asked yet.
    answer = ask(connection, f"/v1/nodes/{held.uuid}")
    assert (answer.status, is_last(answer)) == (200, False)
    assert ask(connect(held), "/v1").status == 200
    held.logged("Stopping: no new connections")
    answer = ask(connection, f"/v1/nodes/{held.uuid}")
    assert (answer.status, is_last(answer)) == (200, True)
    answer = ask(balancer, "/healthcheck")
    assert (answer.status, answer.text, is_last(answer)) == (503, "DRAINING", True)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1], ids=lambda number: number.name)
def test_other_signals_end_nothing(number):
    with fleet(1) as hub:
        connection = connect(hub)
        since = len(hub.gateway.log())
        hub.gateway.process.signal(number)
        until(lambda: len(hub.gateway.log()) > since, what="a word on the signal")
        assert ask(connection, "/v1/nodes").status == 200
        assert hub.gateway.process.running()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1], ids=lambda number: number.name)
def test_a_log_that_was_moved_away_is_opened_again(number):
    with fleet(1, default={"log_file": "@DIR@/here.log"}) as hub:
        log = hub.gateway.directory / "here.log"
        moved = log.rename(log.with_name("moved.log"))
        assert hub.get("/v1/nodes?limit=7").status == 200
        until(lambda: "limit=7" in moved.read_text(), what="the line in the file that was moved")
        hub.gateway.process.signal(number)
        until(log.exists, what="a new log")
        assert hub.get("/v1/nodes?limit=8").status == 200
        until(lambda: "limit=8" in log.read_text(), what="the line in the new file")
        assert "limit=8" not in moved.read_text()
