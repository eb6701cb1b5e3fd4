"""Commands find the gateway that runs, and no other one, whatever its file says by now."""

import json
import os
import socket
import subprocess

import pytest
from admin import SECTION, Admin
from fleet import fleet, until
from gateway import binary

FAULT = "[api] max_limit: is not a whole number"
FAULTY = "\n[api]\nmax_limit = many\n"


@pytest.fixture
def hub():
    with fleet(2, sections={"admin": SECTION}) as hub:
        hub.admin = Admin(hub.gateway)
        hub.wait_ready()
        yield hub


def run(hub, *words, env=None):
    """A command that knows the file only."""
    return command("--config-file", hub.gateway.config_path, *words, env=env)


def command(*words, env=None):
    env = {**os.environ, **(env or {})}
    return subprocess.run([binary(), *words], capture_output=True, text=True, check=False, timeout=60, env=env)


def spoil(hub, more=FAULTY):
    path = hub.gateway.config_path
    path.write_text(path.read_text(encoding="utf-8") + more, encoding="utf-8")


def test_a_gateway_whose_file_has_faults_is_asked_and_steered(hub):
    spoil(hub)
    assert run(hub, "--check-config").returncode == 78
    for words, code, told in [
        (["status"], 0, "2 of 2 locations"),
        (["explain", "GET", "/v1/nodes"], 0, "loc1"),
        (["locate", "no-such-node"], 1, "not in the directory"),
        (["sync"], 0, "LOCATION"),
        (["location", "loc2", "maintenance", "--reason", "night"], 0, ""),
    ]:
        done = run(hub, *words)
        assert (done.returncode, told in done.stdout + done.stderr) == (code, True), done
    assert hub.admin.location("loc2")["operator"]["reason"] == "night"


def test_a_reload_of_a_faulty_file_is_the_gateways_own_refusal(hub):
    """In the log, in the metric that the alert is about, and in the command's exit status."""
    metric = "ironic_proxy_config_last_reload_successful"
    assert run(hub, "reload").returncode == 0
    assert f"{metric} 1" in hub.admin.get("/metrics").text
    spoil(hub)
    done = run(hub, "reload")
    assert (done.returncode, FAULT in done.stderr, "the old configuration stays in force" in done.stderr) == (1, True, True), done
    assert f"{metric} 0" in hub.admin.get("/metrics").text
    until(lambda: f"Not reloaded, all stays as it is: {hub.gateway.config_path}:" in hub.gateway.log(), what="the line in the log")


@pytest.mark.parametrize("fault", ["$nowhere/admin.sock", "/nobody/is/here.sock", "/dev/null/here.sock", f"/{'long' * 30}.sock"])
def test_a_gateway_is_found_where_it_noted_that_it_is(hub, fault):
    """Whether its file leads elsewhere by now or nowhere at all."""
    spoil(hub, f"\n[admin]\nsocket = {fault}\n{FAULTY}")
    done = run(hub, "reload")
    assert (done.returncode, FAULT in done.stderr) == (1, True), done


def test_without_a_gateway_the_faults_are_told(hub):
    hub.gateway.stop()
    done = run(hub, "status")
    assert (done.returncode, "no gateway answers at" in done.stderr) == (69, True), done
    spoil(hub)
    for words in (["status"], ["reload"], ["sync"]):
        done = run(hub, *words)
        assert (done.returncode, FAULT in done.stderr) == (78, True), done


@pytest.mark.parametrize("words", [["sync", "--apply"], ["status"]], ids=" ".join)
def test_a_gateway_that_lets_nobody_in_is_there_all_the_same(hub, words):
    """Its states are not in the file, so nothing is done without it. It may be no more than the mode of its socket."""
    path = hub.gateway.directory / "shut.sock"
    spoil(hub, f"\n[admin]\nsocket = {path}\n")
    (hub.gateway.directory / "state" / "admin.socket").unlink(missing_ok=True)
    # Root is let in whatever the mode is, but not here.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as shut:
        shut.bind(str(path))
        asked = len(hub.loc1.requests)
        done = run(hub, *words)
        assert (done.returncode, f"no gateway answers at {path}: " in done.stderr) == (69, True), done
        assert not [request for request in hub.loc1.requests[asked:] if request.path.startswith("/v1/chassis")]
        done = run(hub, "check")
        assert (done.returncode, f"warning: what would change is not known: no gateway answers at {path}: " in done.stderr) == (0, True), done


def test_a_check_of_a_faulty_file_is_told_as_any_other(hub):
    spoil(hub)
    done = run(hub, "check")
    assert (done.returncode, done.stdout, FAULT in done.stderr) == (1, "", True), done
    done = run(hub, "check", "--format", "json")
    (fault,) = json.loads(done.stdout)["faults"]
    assert (done.returncode, FAULT in fault, done.stderr) == (1, True, ""), done


def test_whoever_takes_a_required_location_out_of_service_is_told_what_that_does(hub):
    words = ["location", "loc2", "maintenance"]
    done = run(hub, *words)
    assert (done.returncode, "lists of all locations are 503 meanwhile" in done.stderr) == (0, True), done
    assert hub.get("/v1/nodes").status == 503
    spoil(hub, "\n[group:loc2]\nrequired = false\n")
    assert run(hub, "reload").returncode == 0
    done = run(hub, *words)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert hub.get("/v1/nodes").status == 200


def test_what_systemd_starts_finds_the_unit_s_own_gateway(tmp_path):
    """`ExecReload=`, though the file cannot be read, is another one than that of `ExecStart=`, or is none."""
    unit = {"RUNTIME_DIRECTORY": str(tmp_path)}
    with fleet(1, env=unit) as hub:
        assert run(hub, "reload", env=unit).returncode == 0
        path = hub.gateway.config_path
        aside = path.rename(path.with_suffix(".aside"))
        for words in (["--config-file", path, "reload"], ["reload"]):
            done = command(*words, env={**unit, "HOME": str(tmp_path)})
            assert (done.returncode, "cannot be read" in done.stderr) == (1, True), done
        aside.rename(path)


def test_what_is_only_checked_is_not_done(hub):
    done = run(hub, "--check-config", "location", "loc2", "drain")
    assert (done.returncode, done.stdout) == (0, "ok\n"), done
    done = run(hub, "--check-config", "location", "loc2", "drain", "--socket", hub.admin.socket)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done
    assert hub.admin.location("loc2")["operator"]["state"] == "enabled"
