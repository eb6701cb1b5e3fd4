"""The units under the real systemd, installed as docs/operate.md says."""

import http.client
import itertools
import json
import re
import threading
from types import SimpleNamespace

import pytest
from admin import Admin
from clients import Clients
from fleet import fleet_config, until
from metrics import read

from gateway import REPOSITORY

SERVICE = "ironic-proxy.service"
SOCKET = "ironic-proxy.socket"
PORT = 6385
CONFIGURATION = "/etc/ironic-proxy/ironic-proxy.conf"


def documented(section):
    """The blocks of commands of a section of docs/operate.md."""
    text = (REPOSITORY / "docs" / "operate.md").read_text(encoding="utf-8")
    return re.findall(r"```sh\n(.*?)```", text.split(f"\n## {section}\n")[1].split("\n## ")[0], re.DOTALL)


class Installed:
    """A machine with the gateway in front of one location."""

    def __init__(self, machine, site):
        self.machine = machine
        self.site = site
        for line in documented("Install it under systemd")[0].splitlines():
            machine.shell(line)
            if line.endswith("# then edit it"):
                self.write()

    def write(self, **api):
        """Another configuration, in place of the one that is there."""
        api = {"host_ip": "127.0.0.1", "port": PORT, "request_deadline": 60, **api}
        # A machine that is busy with other tests is no fault of the location.
        text = fleet_config([self.site.endpoint], api=api, default={"state_path": None}, every={"timeout": 30})
        # Its owner and mode stay.
        self.machine.path(CONFIGURATION).write_text(text, encoding="utf-8")

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", PORT, timeout=20)

    def get(self, path="/v1/nodes"):
        with self.machine.network():
            return ask(self.connect(), path)

    def systemctl(self, *words, check=True):
        return self.machine.run("systemctl", "--no-pager", *words, check=check)

    def shown(self, *names):
        return [self.machine.shown(name) for name in names]

    def serves(self):
        """Whether a list of the location's nodes is whole."""
        try:
            return self.get().status == 200
        except OSError:
            return False


def ask(connection, path):
    connection.request("GET", path, headers={"X-OpenStack-Ironic-API-Version": "1.80"})
    answer = connection.getresponse()
    answer.document = json.loads(answer.read())
    return answer


@pytest.fixture(scope="module")
def installed(machine, site_of_machine):
    return Installed(machine, site_of_machine)


@pytest.fixture
def here(installed):
    """Running, with a good configuration in force."""
    installed.write()
    installed.systemctl("reset-failed")
    installed.systemctl("restart", SERVICE)
    assert installed.serves()
    return installed


def test_the_documented_commands_install_a_service_that_serves(installed):
    assert installed.shown("ActiveState", "SubState", "User") == ["active", "running", "ironic-proxy"]
    assert len(installed.get().document["nodes"]) == 2
    assert installed.systemctl("is-enabled", SERVICE).stdout == "enabled\n"
    stat = installed.machine.run("stat", "--format=%U %G %a", CONFIGURATION, "/var/lib/ironic-proxy", "/run/ironic-proxy/admin.sock")
    assert stat.stdout.splitlines() == ["root ironic-proxy 640", "ironic-proxy ironic-proxy 700", "ironic-proxy ironic-proxy 600"]
    # On the admin door, which root finds without being told.
    assert "loc1" in installed.machine.run("ironic-proxy", "status").stdout


def test_an_installation_of_0_1_0_is_taken_over(here):
    """Its unit differed in these; a user of systemd's own making has its state elsewhere."""
    machine, unit = here.machine, f"/etc/systemd/system/{SERVICE}"
    new = machine.path(unit).read_text(encoding="utf-8")
    start = "LoadCredential=ironic-proxy.conf:/etc/ironic-proxy/ironic-proxy.conf\nExecStart=/usr/local/bin/ironic-proxy --config-file %d/ironic-proxy.conf"
    old = new.replace("User=ironic-proxy\nGroup=ironic-proxy", "DynamicUser=yes").replace("ExecStart=/usr/local/bin/ironic-proxy", start)
    here.systemctl("stop", SERVICE)
    machine.shell(f"rm -r /var/lib/ironic-proxy; userdel ironic-proxy; chown root:root {CONFIGURATION}; chmod 0600 {CONFIGURATION}")
    machine.path(unit).write_text(old, encoding="utf-8")
    here.systemctl("daemon-reload")
    here.systemctl("start", SERVICE)
    assert here.serves()
    assert machine.run("readlink", "/var/lib/ironic-proxy").stdout == "private/ironic-proxy\n"
    machine.path(unit).write_text(new, encoding="utf-8")
    machine.shell(documented("Install it under systemd")[3])
    assert here.serves()
    assert machine.run("find", "/var/lib/ironic-proxy", "-name", "directory.jsonl", "-user", "ironic-proxy").stdout


def test_reload_takes_a_changed_file_in_the_running_process(here):
    before = here.shown("MainPID")
    here.write(max_limit=1)
    here.systemctl("reload", SERVICE)
    # At once: the command has waited for the reload.
    assert len(here.get().document["nodes"]) == 1
    assert here.shown("MainPID", "ActiveState") == [*before, "active"]
    assert "the configuration is in force" in here.machine.journal()


def test_reload_of_a_faulty_file_fails_and_changes_nothing(here):
    before = here.shown("MainPID")
    here.write(max_limit="many")
    assert here.systemctl("reload", SERVICE, check=False).returncode != 0
    assert "[api] max_limit" in here.systemctl("status", SERVICE, check=False).stdout
    assert "Not reloaded, all stays as it is: /etc/ironic-proxy/" in here.machine.journal()
    assert here.shown("MainPID", "ActiveState", "SubState") == [*before, "active", "running"]
    assert len(here.get().document["nodes"]) == 2


def test_commands_find_the_service_by_default_and_not_in_the_place_of_another(here):
    here.write(max_limit="many")
    done = here.machine.run("ironic-proxy", "status", check=False)
    assert (done.returncode, "1 of 1 locations" in done.stdout) == (0, True), done
    other = ["--config-file", "/etc/ironic-proxy/other.conf"]
    done = here.machine.run("ironic-proxy", *other, "location", "loc1", "maintenance", check=False)
    assert (done.returncode, "other.conf: cannot be read" in done.stderr) == (78, True), done
    assert here.serves()


def test_a_service_that_is_killed_is_started_again(here):
    (killed,) = here.shown("MainPID")
    here.machine.run("kill", "-KILL", killed)
    until(lambda: here.shown("NRestarts") == ["1"] and here.shown("ActiveState") == ["active"], what="the next start")
    assert here.serves()
    assert here.shown("MainPID") != [killed]


def test_a_faulty_file_fails_the_start_once_and_is_told_in_the_status(here):
    here.write(max_limit="many")
    assert here.systemctl("restart", SERVICE, check=False).returncode != 0
    assert here.shown("ActiveState", "ExecMainStatus", "NRestarts") == ["failed", "78", "0"]
    assert "[api] max_limit" in here.systemctl("status", SERVICE, check=False).stdout


def test_an_address_that_comes_later_is_waited_for(here):
    """Of a network that comes up after us, or of keepalived."""
    here.write(host_ip="192.0.2.10")
    assert here.systemctl("restart", SERVICE, check=False).returncode != 0
    until(lambda: int(here.shown("NRestarts")[0]) > 0, what="another start")
    here.machine.run("ip", "address", "add", "192.0.2.10/32", "dev", "lo")
    until(lambda: here.shown("ActiveState") == ["active"], what="the start")


def test_a_name_of_an_address_that_comes_later_is_waited_for(here):
    """Of a resolver that comes up after us."""
    here.write(host_ip="later.example")
    assert here.systemctl("restart", SERVICE, check=False).returncode != 0
    until(lambda: int(here.shown("NRestarts")[0]) > 0, what="another start")
    here.machine.shell("echo 127.0.0.1 later.example >>/etc/hosts")
    until(lambda: here.shown("ActiveState") == ["active"], what="the start")


def test_the_metrics_of_a_service_are_those_of_any_process(here):
    metrics = read(Admin(SimpleNamespace(directory=here.machine.path("/run/ironic-proxy"))))
    names = ["cpu_seconds_total", "start_time_seconds", "virtual_memory_bytes", "resident_memory_bytes", "open_fds", "max_fds"]
    shown = {name: metrics(f"process_{name}") for name in names}
    assert None not in shown.values(), shown
    # As seconds since 1970, both within the same minute.
    assert abs(shown["start_time_seconds"] - metrics("ironic_proxy_start_time_seconds")) < 60


def test_the_allocator_sees_how_the_kernel_gives_memory(here):
    """Else it maps anew all that it gives back (jemalloc's `os_overcommits_proc`), as in no measurement of ours."""
    within = ["nsenter", f"--mount=/proc/{here.shown('MainPID')[0]}/ns/mnt"]
    assert here.machine.run(*within, "cat", "/proc/sys/vm/overcommit_memory").stdout


def test_the_commands_of_an_alert_show_how_it_is(here):
    shown = [here.machine.shell(line) for line in documented("Alerts")[0].splitlines()]
    assert [done.returncode for done in shown] == [0, 0, 0]
    status, journal, checked = (done.stdout for done in shown)
    assert "active (running)" in status and "1 of 1 locations" in status
    assert "Listening on http://127.0.0.1:6385" in journal
    assert checked.endswith("ok\n")


def clients(here, path="/v1", rate=1000):
    return Clients(f"127.0.0.1:{PORT}", path, rate, within=["nsenter", f"--net=/proc/{here.machine.first}/ns/net", "--"])


# The first is answered by the gateway alone. The stand-in would be too slow for as many of the second.
LOADS = pytest.mark.parametrize(("path", "rate"), [("/v1", 1000), ("/v1/nodes", 100)])


@LOADS
def test_an_upgrade_as_documented_fails_no_request_and_stays_the_same_service(here, path, rate):
    (before,) = here.shown("MainPID")
    with clients(here, path, rate) as load:
        load.go_on(rate // 2)
        for line in documented("Upgrade")[0].splitlines():
            here.machine.shell(line)
        load.go_on(rate // 2)
        load.assert_none_failed()
    until(lambda: not here.machine.path(f"/proc/{before}").exists(), seconds=20, what="the end of the old process")
    (now,) = here.shown("MainPID")
    assert now != before
    assert here.shown("ActiveState", "SubState", "NRestarts") == ["active", "running", "0"]
    assert here.serves()
    # What is the service's is the new process's: it is stopped, watched and started again.
    here.systemctl("reload", SERVICE)
    here.machine.run("kill", "-KILL", now)
    until(lambda: here.shown("NRestarts") == ["1"] and here.shown("ActiveState") == ["active"], what="the next start")
    assert here.serves()


@pytest.mark.parametrize("verb", ["stop", "restart"])
def test_whoever_was_let_in_is_answered_though_the_service_ends(here, verb):
    """Without the socket unit later ones may be refused."""
    with clients(here) as load:
        load.go_on()
        here.systemctl(verb, SERVICE)
        if verb == "restart":
            load.go_on()
        assert load.assert_none_lost()["closed"] >= 20
    here.systemctl("start", SERVICE)
    assert "may be reset" not in here.machine.journal()


def test_an_upgrade_to_what_does_not_start_changes_nothing(here):
    before = here.shown("MainPID")
    here.write(max_limit="many")
    done = here.machine.run("ironic-proxy", "upgrade", check=False)
    assert (done.returncode, "[api] max_limit" in done.stderr) == (1, True), done.stderr
    assert here.shown("MainPID", "ActiveState", "SubState") == [*before, "active", "running"]
    assert here.serves()


def test_the_status_says_what_status_says(here):
    said = here.machine.run("ironic-proxy", "status").stdout.splitlines()[0]
    assert said.startswith("1 of 1 locations; ")
    until(lambda: here.shown("StatusText") == [said], what="the same line at systemd")


def test_what_does_not_turn_is_killed_and_started_again(here):
    """The unit's half minute is shortened, so that the test is."""
    assert here.shown("WatchdogUSec") == ["30s"]
    here.machine.run("mkdir", "-p", f"/run/systemd/system/{SERVICE}.d")
    drop_in = here.machine.path(f"/run/systemd/system/{SERVICE}.d/watchdog.conf")
    drop_in.write_text("[Service]\nWatchdogSec=2\n", encoding="utf-8")
    try:
        here.systemctl("daemon-reload")
        here.systemctl("restart", SERVICE)
        (before,) = here.shown("MainPID")
        fed = here.shown("WatchdogTimestampMonotonic")
        until(lambda: here.shown("WatchdogTimestampMonotonic") != fed, what="a word to the watchdog")
        here.machine.run("ironic-proxy", "upgrade")
        (after,) = here.shown("MainPID")
        assert after != before
        here.machine.run("kill", "-STOP", after)
        until(lambda: here.shown("NRestarts") == ["1"] and here.shown("ActiveState") == ["active"], seconds=30, what="the next start")
        until(lambda: "Watchdog timeout" in here.machine.console(), what="systemd's word on it")
        assert here.serves()
    finally:
        drop_in.unlink()
        here.systemctl("daemon-reload")


@pytest.fixture
def behind(here):
    """The same under the socket unit."""
    if here.machine.shown("ActiveState", SOCKET) != "active":
        here.machine.shell(documented("Install it under systemd")[2])
    return here


@LOADS
def test_a_start_under_the_socket_unit_fails_no_request(behind, path, rate):
    behind.systemctl("stop", SERVICE)
    with clients(behind, path, rate) as load:
        load.go_on(rate)
        load.assert_none_failed()
    assert behind.shown("ActiveState") == ["active"]


@LOADS
def test_a_restart_under_the_socket_unit_fails_no_request(behind, path, rate):
    here = behind
    with clients(here, path, rate) as load:
        for _ in range(2):
            load.go_on(rate // 2)
            here.systemctl("restart", SERVICE)
        load.go_on(rate // 2)
        load.assert_none_failed()
    assert here.shown("ActiveState") == ["active"]
    assert here.serves()


def test_the_sockets_of_systemd_are_handed_on_too(behind):
    (before,) = behind.shown("MainPID")
    with clients(behind) as load:
        for _ in range(2):
            load.go_on()
            behind.machine.run("ironic-proxy", "upgrade")
        load.go_on()
        behind.systemctl("restart", SERVICE)
        load.go_on()
        load.assert_none_failed()
    assert behind.shown("MainPID") != [before]
    assert behind.shown("ActiveState", "NRestarts") == ["active", "0"]


def test_a_unix_socket_of_the_socket_unit_outlives_the_service(behind):
    """Beside the admin socket, in the service's own directory, which systemd would empty with it."""
    drop_in = behind.machine.path(f"/etc/systemd/system/{SOCKET}.d/unix.conf")
    drop_in.parent.mkdir(exist_ok=True)
    place = "/run/ironic-proxy/api.sock"

    def anew():
        behind.systemctl("daemon-reload")
        behind.systemctl("stop", SERVICE)
        behind.systemctl("restart", SOCKET)
        behind.systemctl("start", SERVICE)

    try:
        drop_in.write_text(f"[Socket]\nListenStream={place}\n", encoding="utf-8")
        anew()
        for verbs in (["restart"], ["stop", "start"]):
            for verb in verbs:
                behind.systemctl(verb, SERVICE)
            behind.machine.run("test", "-S", place)
            assert behind.serves()
            behind.machine.run("ironic-proxy", "status")
    finally:
        drop_in.unlink()
        anew()


def test_under_the_socket_unit_clients_wait_for_a_faulty_file_to_be_mended(behind):
    behind.write(max_limit="many")
    assert behind.systemctl("restart", SERVICE, check=False).returncode != 0
    before = len(faults(behind.machine))
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(behind.get().status))
    waiting.start()
    # The client starts it, in vain: more often than systemd's default limit allows.
    until(lambda: len(faults(behind.machine)) > before + 4, seconds=20, what="further starts")
    behind.write()
    waiting.join()
    assert answers == [200]
    assert behind.machine.shown("ActiveState", SOCKET) == "active"
    times = faults(behind.machine)[before:]
    assert min(after - first for first, after in itertools.pairwise(times)) > 1, "it is started again without a pause"


def faults(machine):
    """When starts failed for the file, in seconds."""
    lines = machine.run("journalctl", "--no-pager", "--output=short-unix", "--unit", SERVICE).stdout.splitlines()
    return [float(line.split()[0]) for line in lines if "[api] max_limit" in line]
