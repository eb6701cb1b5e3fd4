"""The virtual environments, and what the system must have before them.

A new environment is frozen in a file of exact pins beside this one, so that
what the tests meet does not change under them.
"""

import concurrent.futures
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

PINS = Path(__file__).resolve().parent
REPOSITORY = PINS.parents[1]

IRONIC = "ironic"
IRONIC_OLD = "ironic-old"
KEYSTONE = "keystone"
CLIENTS = "clients"
LINTERS = "linters"
EVERY = (IRONIC, IRONIC_OLD, KEYSTONE, CLIENTS, LINTERS)


# Debian keeps servers where a user's $PATH does not look.
PATH = os.environ.get("PATH", "") + ":/usr/sbin"


class CannotInstall(RuntimeError):
    """Something is missing that we cannot bring ourselves; the text says what to do."""


def cache():
    """The directory of everything that later runs use again."""
    directory = Path(os.environ.get("IRONIC_PROXY_TESTBED") or REPOSITORY / "target" / "testbed")
    directory.mkdir(parents=True, exist_ok=True)
    return directory.resolve()


def program(venv, name):
    """The path of a program in one of the environments."""
    return cache() / venv / "bin" / name


@contextmanager
def locked(name):
    """Held by one process at a time: two test runs may share the cache."""
    with open(cache() / f"{name}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def say(text):
    """One line at a time, also from several threads."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def install(venvs=EVERY):
    """Create what is missing or was made from other pins; a second call only looks."""
    _system_packages()
    # pip mostly waits for the network and the disk; the threads only wait for pip.
    with concurrent.futures.ThreadPoolExecutor(len(venvs)) as pool:
        for future in [pool.submit(_install_one, venv) for venv in venvs]:
            future.result()


def _install_one(venv):
    pins = PINS / f"{venv}.txt"
    wanted = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()
    home = cache() / venv
    stamp = home / "pins.sha256"
    with locked(venv):
        if stamp.is_file() and stamp.read_text(encoding="ascii") == wanted:
            return
        say(f"Installing {venv} (once; half a minute to two) …")
        shutil.rmtree(home, ignore_errors=True)
        _run([sys.executable, "-m", "venv", home])
        _run([home / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", pins])
        # Written last: an interrupted installation has no stamp and is made anew.
        stamp.write_text(wanted, encoding="ascii")


def _system_packages():
    # The build wants cmake and make, the tests of the units systemd-analyze, those of the documentation curl.
    # nginx and uWSGI stand in front of some of the locations, HAProxy and keepalived in front of the gateway; watchdogs ask it
    # by curl and wget.
    # gophercloud is a client that reads other words than Ironic's own.
    # Gateways share a Redis, which sentinels may watch, and a memcached.
    # Prometheus reads the metrics, and promtool their alerts.
    # The machine that tests/harness/booted.py boots wants its loopback up.
    # Chromium opens the page of the admin door, and ssh says what leads there.
    wanted = {
        "chromium": "chromium",
        "cmake": "cmake",
        "curl": "curl",
        "go": "golang-go",
        "haproxy": "haproxy",
        "ip": "iproute2",
        "keepalived": "keepalived",
        "logrotate": "logrotate",
        "make": "make",
        "memcached": "memcached",
        "nginx": "nginx-light",
        "prometheus": "prometheus",
        "redis-server": "redis-server",
        "ssh": "openssh-client",
        "systemd-analyze": "systemd",
        "uwsgi": "uwsgi-core",
        "wget": "wget",
    }
    missing = [package for program, package in wanted.items() if shutil.which(program, path=PATH) is None]
    if not Path("/usr/lib/uwsgi/plugins/python3_plugin.so").exists():
        missing.append("uwsgi-plugin-python3")
    if not Path("/usr/share/gocode/src/github.com/gophercloud/gophercloud").exists():
        missing.append("golang-github-gophercloud-gophercloud-dev")
    if importlib.util.find_spec("ensurepip") is None:
        missing.append("python3-venv")
    if not missing:
        return
    apt = shutil.which("apt-get")
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if os.geteuid() != 0:
        command.insert(0, "sudo")
    if apt is None or shutil.which(command[0]) is None:
        raise CannotInstall(f"Please install {' and '.join(missing)} and start again.")
    say(f"Installing {', '.join(missing)} with apt-get …")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        if subprocess.run(command, env=environment, check=False).returncode != 0:
            # A fresh machine may not have the package lists yet.
            _run([*command[: command.index("apt-get")], "apt-get", "update"], environment)
            _run(command, environment)
    except CannotInstall as reason:
        raise CannotInstall(f"Please install {' and '.join(missing)} and start again.\n{reason}") from reason


def _run(command, environment=None):
    command = [str(word) for word in command]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotInstall(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
