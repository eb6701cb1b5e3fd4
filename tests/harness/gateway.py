"""Starts the gateway's binary in front of any locations and stops it again."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bed.process import Process, wait_until

REPOSITORY = Path(__file__).resolve().parents[2]

# Stands in a configuration for the directory of the gateway that runs it.
DIRECTORY = "@DIR@"

# How the gateway's access log tells a request: method, target, status.
ACCESS = re.compile(r'"([A-Z]+) (\S+) HTTP/[\d.]+" status: (\d+) ')

# The configuration of every gateway that has ended in this run, and its requests as `answered` tells them.
ENDED = []


def binary():
    """The gateway to test: $IRONIC_PROXY_BINARY, else the debug build."""
    return Path(os.environ.get("IRONIC_PROXY_BINARY", REPOSITORY / "target/debug/ironic-proxy"))


def config(locations, groups=None, api=None, default=None, location_options=None, sections=None):
    """A configuration text.

    `locations` maps names to endpoints, in configuration order. `groups` is
    the text of the option; without it the first location serves the default
    group and the others grp1, grp2, … `api`, `default` and, per location,
    `location_options` are options that add to or replace the ones here; a
    value of None leaves the option out. `sections` are further sections.
    """
    if groups is None:
        groups = ",".join(
            f"{'_' if index == 0 else f'grp{index}'}:{name}" for index, name in enumerate(locations)
        )
    document = {
        "DEFAULT": {"groups": groups, "state_path": f"{DIRECTORY}/state", **(default or {})},
        "api": {"auth_strategy": "noauth", "host_ip": "127.0.0.1", "port": 0, **(api or {})},
    }
    for name, url in locations.items():
        document[f"group:{name}"] = {
            "auth_type": "none",
            "endpoint_override": url,
            **(location_options or {}).get(name, {}),
        }
    document.update(sections or {})
    lines = []
    for section, options in document.items():
        lines.append(f"[{section}]")
        for option, value in options.items():
            if value is not None:
                value = str(value).lower() if isinstance(value, bool) else value
                lines.append(f"{option} = {value}")
        lines.append("")
    return "\n".join(lines)


class Gateway:
    """A running gateway; use it in a `with` statement.

    It listens on a socket that we bind and hand over as systemd does, so no
    port is guessed, and it counts as started when it reports READY=1. `port`
    is for people who want to type it; `program` replaces `binary()`; `more` are
    sockets that are handed over behind the first.
    Leaving the block stops it by SIGTERM and asserts exit status 0.
    """

    def __init__(
        self,
        config_text,
        *,
        env=None,
        arguments=(),
        program=None,
        port=0,
        more=(),
        blocking_socket=False,
        ready_seconds=30,
        stop_seconds=30,
    ):
        self.directory = Path(tempfile.mkdtemp(prefix="ironic-proxy-"))
        (self.directory / "state").mkdir()
        self.config_path = self.directory / "ironic-proxy.conf"
        self.log_path = self.directory / "gateway.log"
        self.log_path.touch()
        self.write_config(config_text)
        self._program = program or binary()
        self._env = dict(env or {})
        self._arguments = list(arguments)
        self._more = more
        self._ready_seconds = ready_seconds
        self._stop_seconds = stop_seconds
        self.process = None
        self._notify = None
        # IPv4 loopback only; stays open over restarts, so that the URL does too.
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self._socket.listen(128)
        # As with NonBlocking=true in a systemd unit; without it the gateway must do that itself.
        self._socket.setblocking(blocking_socket)
        self.url = "http://127.0.0.1:{}".format(self._socket.getsockname()[1])

    def write_config(self, text):
        """Replace the configuration; it counts from the next start on."""
        self.config_path.write_text(text.replace(DIRECTORY, str(self.directory)), encoding="utf-8")

    def start(self):
        notify_path = self.directory / "notify"
        notify_path.unlink(missing_ok=True)
        # Open until the end: the gateway reports its stop there too.
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(notify_path))
        self._notify.setblocking(False)
        self.process = Process(
            [self._program, "--config-file", self.config_path, *self._arguments],
            self.log_path,
            env={**os.environ, "NOTIFY_SOCKET": str(notify_path), **self._env},
            listen=[self._socket, *self._more],
        )

        def ready():
            try:
                return b"READY=1" in self._notify.recv(4096).split(b"\n")
            except BlockingIOError:
                return False

        wait_until(ready, self.process, self._ready_seconds, "READY=1 of the gateway", pause=0.01)
        return self

    def stop(self):
        """End it by SIGTERM and return the exit status; a hang is killed and told by the status."""
        status = self.process.stop(self._stop_seconds)
        self._ended()
        return status

    def kill(self):
        """End it as a power cut would."""
        self.process.signal(9)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired as stuck:
            raise AssertionError("the gateway survived SIGKILL") from stuck
        self._ended()

    def restart(self):
        status = self.stop()
        assert status == 0, f"exit status {status} on SIGTERM\n{self.log()[-4000:]}"
        return self.start()

    def log(self):
        """All it has written so far, over restarts."""
        # A line may be held back for 20 ms, so that many leave together (telemetry/spool.rs).
        time.sleep(0.03)
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def answered(self):
        """What it was asked so far: a set of (method, target, status)."""
        return {(method, target, int(status)) for method, target, status in ACCESS.findall(self.log())}

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self._close()
            raise

    def __exit__(self, kind, value, trace):
        try:
            if self.process is not None:
                status = self.stop()
                # A test that failed already says more than this would.
                if kind is None:
                    assert status == 0, f"exit status {status} on SIGTERM\n{self.log()[-4000:]}"
        finally:
            if kind is not None:
                sys.stderr.write(f"---- log of the gateway ----\n{self.log()[-8000:]}\n")
            self._close()

    def _ended(self):
        self.process = None
        self._notify.close()

    def _close(self):
        if self.process is not None:
            self.process.stop(1)
            self._ended()
        self._socket.close()
        ENDED.append((self.config_path.read_text(encoding="utf-8"), self.answered()))
        shutil.rmtree(self.directory, ignore_errors=True)


def memory(process, what="VmRSS"):
    """KiB of a process."""
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        return int(re.search(rf"{what}:\s+(\d+)", status.read())[1])
