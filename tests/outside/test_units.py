"""The systemd units, as systemd's own analysis reads them."""

import re
import subprocess

import pytest
from gateway import REPOSITORY, binary

SERVICE = "ironic-proxy.service"
SOCKET = "ironic-proxy.socket"
USER = "ironic-proxy.sysusers"
MOST_EXPOSED = 2.0
INSTALLED = "/usr/local/bin/ironic-proxy"


@pytest.fixture
def units(tmp_path):
    """Copies of the units that start the binary under test, which is where it was built and not installed."""
    for name in (SERVICE, SOCKET):
        text = (REPOSITORY / "conf" / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace(INSTALLED, str(binary())), encoding="utf-8")
    return tmp_path


def options(name):
    """Option name to the values it is given, in order."""
    found = {}
    for line in (REPOSITORY / "conf" / name).read_text(encoding="utf-8").splitlines():
        if match := re.match(r"(\w+)=(.*)", line):
            found.setdefault(match[1], []).append(match[2])
    return found


def verify(directory, *names):
    """Exit status and output of `systemd-analyze verify`."""
    command = ["systemd-analyze", "verify", "--man=no", *(directory / name for name in names)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    # It also complains of units of the machine itself that ours are ordered after.
    said = [line for line in (done.stdout + done.stderr).splitlines() if "ironic-proxy" in line]
    return done.returncode, said


def exposure(path):
    """From 0 (closed) to 10."""
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    return float(found[1])


@pytest.mark.parametrize("names", [(SERVICE,), (SERVICE, SOCKET)])
def test_systemd_finds_nothing_to_say(units, names):
    assert verify(units, *names) == (0, [])


def test_what_systemd_does_find_fails_the_test_above(units):
    path = units / SERVICE
    path.write_text(path.read_text().replace("KillMode=control-group", "KillMode=sometimes"))
    assert verify(units, SERVICE)[1]


def test_the_service_can_do_little_but_serve(units):
    assert exposure(units / SERVICE) < MOST_EXPOSED
    path = units / SERVICE
    path.write_text(re.sub(r"(?m)^(System|Capability|Protect|Private).*\n", "", path.read_text()))
    assert exposure(path) > MOST_EXPOSED, "the measure does not measure"


def test_draining_has_its_time():
    documented = (REPOSITORY / "conf" / "ironic-proxy.conf").read_text(encoding="utf-8")
    drain = int(re.search(r"(?m)^#graceful_shutdown_timeout = (\d+)", documented)[1])
    assert drain < int(options(SERVICE)["TimeoutStopSec"][0])
    # What a write may take whose answer was lost (AFTERMATH in src/locations/question.rs).
    request = int(re.search(r"(?m)^#request_deadline = (\d+)", documented)[1])
    assert drain >= request + 10


def test_the_directories_are_those_of_the_defaults():
    documented = (REPOSITORY / "conf" / "ironic-proxy.conf").read_text(encoding="utf-8")
    state = re.search(r"(?m)^#state_path = (.*)", documented)[1]
    port = re.search(r"(?m)^#port = (.*)", documented)[1]
    service = options(SERVICE)
    assert [f"/var/lib/{name}" for name in service["StateDirectory"]] == [state]
    assert options(SOCKET)["ListenStream"] == [port]


def test_the_user_of_the_service_is_made(tmp_path):
    """By systemd itself, in an empty root, and it can do nothing but own its state."""
    there = tmp_path / "etc/sysusers.d/ironic-proxy.conf"
    there.parent.mkdir(parents=True)
    there.write_bytes((REPOSITORY / "conf" / USER).read_bytes())
    command = ["systemd-sysusers", f"--root={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    name, _, _, _, _, home, shell = (tmp_path / "etc/passwd").read_text(encoding="utf-8").strip().split(":")
    assert (home, shell) == ("/", "/usr/sbin/nologin")
    service = options(SERVICE)
    assert service["User"] == service["Group"] == [name]


def test_the_score_that_is_documented_is_the_score(units):
    told = (REPOSITORY / "docs" / "operate.md").read_text(encoding="utf-8")
    assert float(re.search(r"gives the unit ([\d.]+)", told)[1]) == exposure(units / SERVICE)


def test_the_socket_of_the_admin_door_is_where_the_subcommands_look():
    assert options(SERVICE)["RuntimeDirectory"] == ["ironic-proxy"]
    assert "at `/run/ironic-proxy/admin.sock`" in (REPOSITORY / "docs" / "admin.md").read_text(encoding="utf-8")
