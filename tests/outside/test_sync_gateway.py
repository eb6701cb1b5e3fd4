"""`ironic-proxy sync` on the socket: the gateway that runs reads all that its locations have, and compares them."""

import contextlib
import json
import signal
import subprocess
import threading

import pytest
import scripted
from admin import SECTION, Admin
from backend import Redis, gateways
from fleet import fleet, until
from gateway import binary
from records import new_uuid
from standin import Standin, node
from test_coordination import Later
from test_watch import Terminal


def chassis(text):
    return {"uuid": new_uuid(), "description": text, "extra": {}}


@pytest.fixture
def hub():
    with fleet(3, sections={"admin": {**SECTION, "listen": "127.0.0.1:0"}, "node_cache": {"sweep_interval": 0}}) as hub:
        hub.admin = Admin(hub.gateway)
        yield hub


def swept(hub):
    """What each location had, and what of it was new or gone."""
    done = hub.admin.run("sync", "--format", "json")
    report = json.loads(done.stdout)
    assert report["doing"] is None
    return done.returncode, {one["location"]: (one["things"], one["new"], one["gone"], one["why"]) for one in report["swept"]}


def test_the_directory_knows_what_is_there_and_no_longer_what_is_not(hub):
    here = [hub.loc1.add(node(f"n{number}")) for number in range(3)]
    assert hub.admin.location("loc1")["last_sweep"] is None
    assert swept(hub) == (0, {"loc1": (3, 3, 0, None), "loc2": (0, 0, 0, None), "loc3": (0, 0, 0, None)})
    site = hub.admin.location("loc1")
    assert site["nodes"] == 3 and site["last_sweep"]
    hub.forget_requests()
    assert hub.get(f"/v1/nodes/{here[0]['uuid']}").status == 200
    assert hub.asked("GET", "/v1/nodes/.*") == {"loc1": 1}, "it was looked for"
    # Deleted behind the gateway's back. What was seen in the last second may be newer than the sweep, and stays.
    assert hub.loc1.nodes.pop(1)["uuid"] == here[1]["uuid"]
    until(lambda: swept(hub)[1]["loc1"] == (2, 0, 1, None), what="one that is gone")
    assert hub.admin.location("loc1")["nodes"] == 2
    assert hub.admin.run("locate", here[1]["uuid"]).returncode == 1
    assert hub.admin.run("locate", here[2]["uuid"]).returncode == 0


def test_nothing_is_applied_where_the_gateway_is_read_only():
    with fleet(2, default={"read_only": True}, sections={"admin": SECTION}) as hub:
        hub.loc1.objects["chassis"].append(chassis("of one"))
        admin = Admin(hub.gateway)
        refused = admin("POST", "/sync", {"apply": True})
        assert (refused.status, "read_only" in refused.document["error"]) == (409, True), refused
        done = admin.run("sync", "--apply")
        assert (done.returncode, "read_only" in done.stderr) == (1, True), done
        shown = admin.run("sync")
        assert shown.returncode == 1 and "missing at loc2" in shown.stdout, shown
        assert {request.method for site in hub.all() for request in site.requests} == {"GET"}


def test_what_could_not_be_read_stays_known(hub):
    hub.loc2.add(node("there"))
    assert swept(hub)[0] == 0
    hub.loc2.fault(scripted.says(500, "no database"), path="/v1/nodes.*")
    code, found = swept(hub)
    assert (code, found["loc2"][2:]) == (1, (0, "status"))
    hub.admin.set("loc2", "maintenance")
    hub.forget_requests()
    code, found = swept(hub)
    assert (code, found["loc2"][3]) == (1, "maintenance")
    assert hub.loc2.requests == []
    assert hub.admin.location("loc2")["nodes"] == 1


def test_for_people_it_is_a_table(hub):
    hub.loc1.add(node("here"))
    done = hub.admin.run("sync")
    lines = done.stdout.splitlines()
    assert [line.split() for line in lines[:2]] == [["LOCATION", "THINGS", "NEW", "GONE", "TOOK", "TROUBLE"], ["loc1", "1", "1", "0", *lines[1].split()[4:]]]
    assert lines[1].endswith(" s  -")
    assert (done.returncode, lines[-1], done.stderr) == (0, "all locations have the same", "")


def test_the_gateway_of_the_configuration_is_asked(hub):
    hub.loc1.objects["chassis"].append(chassis("c"))
    assert "LOCATION" in hub.admin.run("sync", by_config=True).stdout
    hub.gateway.stop()
    done = hub.admin.run("sync", by_config=True)
    assert "LOCATION" not in done.stdout and "is missing at loc2" in done.stdout
    with Terminal("--config-file", hub.gateway.config_path, "sync") as terminal:
        terminal.shows("no gateway runs here", "is missing at loc2")


def test_without_a_gateway_at_the_socket_nothing_is_done(tmp_path):
    done = subprocess.run([binary(), "sync", "--socket", tmp_path / "x.sock"], capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, "no gateway answers" in done.stderr) == (69, True)


def test_what_is_missing_is_shown_then_copied(hub):
    record = chassis("c")
    hub.loc1.objects["chassis"].append(record)
    done = hub.admin.run("sync")
    assert done.returncode == 1
    for name in ("loc2", "loc3"):
        assert f"Chassis c ({record['uuid']}) is missing at {name}" in done.stdout
    assert not any(site.asked("POST") for site in hub.all())
    assert hub.admin.run("sync", "--apply").returncode == 0
    assert [site.objects["chassis"][0]["uuid"] for site in hub.all()] == [record["uuid"]] * 3


def test_there_is_one_run_at_a_time_and_it_can_be_stopped(hub):
    hub.loc1.objects["chassis"].extend(chassis(f"c{number}") for number in range(9))
    held = []

    def hold(exchange):
        held.append(exchange)
        until(lambda: not held, 20, "the signal")
        return exchange.true_answer()

    hub.loc2.fault(hold, method="POST", times=1)
    words = [binary(), "sync", "--apply", "--socket", hub.admin.socket]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: held, 20, "a copy under way")
    assert "a run is under way" in hub.admin.run("sync").stderr
    running.send_signal(signal.SIGINT)
    assert "stopping after the object that is being copied" in running.stderr.readline()
    until(lambda: hub.admin.get("/sync").document["doing"], what="the run")
    held.clear()
    out, error = running.communicate(timeout=20)
    assert running.returncode == 130, (out, error)
    assert out.splitlines()[-1].startswith("interrupted: ")
    assert len(hub.loc2.objects["chassis"]) == len(hub.loc2.asked("POST")) < 9, "what was begun is whole"
    assert hub.admin.run("sync", "--apply").returncode == 0, "the next one goes on"


def test_a_run_outlives_whoever_ordered_it(hub):
    hub.loc1.objects["chassis"].append(chassis("c"))
    held = []

    def hold(exchange):
        held.append(exchange)
        until(lambda: not held, 20, "the end of the command")
        return exchange.true_answer()

    hub.loc2.fault(hold, method="POST", times=1)
    running = subprocess.Popen([binary(), "sync", "--apply", "--socket", hub.admin.socket], stdout=subprocess.DEVNULL)
    until(lambda: held, 20, "a copy under way")
    running.kill()
    running.wait()
    held.clear()
    report = until(lambda: (now := hub.admin.get("/sync").document)["doing"] is None and now, what="the end of the run")
    assert (report["copied"], report["interrupted"]) == (2, False)


def test_progress_is_shown_on_a_terminal(hub):
    hub.loc1.fault(scripted.late(0.6), path="/v1/nodes.*")
    with Terminal("sync", "--socket", hub.admin.socket) as terminal:
        terminal.shows("sweeping: 2 of 3 locations")
        assert terminal.process.wait(30) == 0
        assert "all locations have the same" in terminal.rest()


def test_a_run_is_begun_on_the_socket_and_described_well(hub):
    assert hub.admin.get("/sync").status == 404
    assert hub.admin("POST", "/sync", {"apply": False, "more": 1}).status == 400
    assert hub.admin("PUT", "/sync").headers["Allow"] == "GET, POST, DELETE"
    assert hub.admin("POST", "/sync").status == 202
    until(lambda: hub.admin.get("/sync").document["doing"] is None, what="the end")
    before = hub.admin.get("/sync").document
    assert hub.call("POST", "/sync").status in (400, 404), "not at the API"
    assert hub.admin.get("/sync").document == before


@contextlib.contextmanager
def copying(hub, admin, kind):
    """`sync --apply` through one gateway, while loc2 takes its time for the first copy of this kind."""
    event = threading.Event()
    hub.loc2.fault(scripted.held(event), method="POST", path=f"/v1/{kind}", times=1)
    assert admin("POST", "/sync", {"apply": True}).status == 202
    until(lambda: hub.loc2.asked("POST", f"/v1/{kind}"), what="a copy under way")
    try:
        yield event
    finally:
        event.set()


def over(admin):
    return until(lambda: (now := admin.get("/sync").document)["doing"] is None and now, what="the end of the run")


@contextlib.contextmanager
def one_gateway():
    with fleet(3, sections={"admin": SECTION}) as hub:
        yield [hub]


@contextlib.contextmanager
def two_gateways():
    with Redis() as redis, gateways(Standin(), Standin(), Standin(), backend=[redis.url] * 2) as hubs:
        yield hubs


@pytest.mark.parametrize("running", [one_gateway, two_gateways])
def test_what_is_deleted_while_it_is_copied_does_not_come_back(running):
    with running() as hubs:
        hub, other = hubs[0], hubs[-1]
        record = chassis("c")
        hub.loc1.objects["chassis"].append(record)
        with copying(hub, Admin(hub.gateway), "chassis") as event:
            asked = len(hub.loc1.requests)
            later = Later(lambda: other.delete(f"/v1/chassis/{record['uuid']}"))
            # Whoever looks is answered meanwhile; who is after the same waits.
            assert other.get(f"/v1/chassis/{record['uuid']}").status == 200
            until(lambda: len(hub.loc1.requests) > asked, what="the look")
            assert not hub.asked("DELETE")
            event.set()
            assert later.reply().status == 204, later.reply()
        over(Admin(hub.gateway))
        assert [site.objects["chassis"] for site in hub.all()] == [[], [], []]


@pytest.mark.parametrize("what", ["deleted", "secret", "there"])
def test_what_changed_since_it_was_compared_is_looked_at_again(hub, what):
    """A run may be long. What Ironic no longer shows would be copied as it is shown, with asterisks for its passwords."""
    steps = [{"interface": "raid", "step": "wipe", "args": {"level": 1}, "order": 1}]
    book = {"uuid": new_uuid(), "name": "CUSTOM_A", "owner": None, "public": True, "steps": steps, "extra": {}, "traits": [], "description": None}
    hub.loc1.objects["chassis"].append(chassis("c"))
    hub.loc1.objects["runbooks"].append(book)
    with copying(hub, hub.admin, "chassis") as event:
        if what == "deleted":
            assert hub.delete(f"/v1/runbooks/{book['uuid']}").status == 204
        elif what == "secret":
            book["steps"] = [{**steps[0], "args": {"password": "plain"}}]
        else:
            hub.loc2.objects["runbooks"].append({**book, "description": "made by hand"})
        event.set()
        report = over(hub.admin)
    left = {one["text"] for one in report["findings"] if one["outcome"] == "left" and one["locations"] == ["loc2"]}
    said = "it is no longer where it was" if what == "deleted" else "it was changed meanwhile, and the next run will tell"
    assert left == {f"Runbook CUSTOM_A ({book['uuid']}) not copied to loc2: {said}"}, report
    assert [one.get("description") for one in hub.loc2.objects["runbooks"]] == (["made by hand"] if what == "there" else [])


def test_nothing_is_copied_while_nobody_can_tell_what_other_gateways_write():
    with Redis() as redis, gateways(Standin(), Standin(), backend=[redis.url]) as (hub,):
        hub.loc1.objects["chassis"].append(chassis("c"))
        admin = Admin(hub.gateway)
        redis.kill()
        assert admin("POST", "/sync", {"apply": True}).status == 202
        report = over(admin)
        assert (report["copied"], report["left"]) == (0, 1) and "the coordination backend cannot be used" in report["findings"][0]["text"], report
        assert not hub.asked("POST")
        hub.gateway.stop()
        done = admin.run("sync", "--apply", by_config=True)
        assert done.returncode == 1 and "the coordination backend cannot be used" in done.stdout, done
        redis.start()
        assert admin.run("sync", "--apply", by_config=True).returncode == 0
        assert len(hub.loc2.objects["chassis"]) == 1
