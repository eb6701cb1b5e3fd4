"""A gateway that opens its own sockets, and whoever replaces it."""

import contextlib
import os
import re
import shutil
import signal
import socket
import tempfile
from pathlib import Path

from admin import Admin
from fleet import fleet_config, until
from gateway import DIRECTORY, binary
from standin import Standin, node

from bed.process import Process


class Line:
    """A gateway and its successors, in front of one stand-in; use it in a `with` statement.

    Its binary is a copy, so that a test can put another one in its place.
    """

    def __init__(self, *, listen=None, env=None, **api):
        self.directory = Path(tempfile.mkdtemp(prefix="ironic-proxy-"))
        self._api = {"host_ip": "127.0.0.1", "port": 0, **api}
        self._stack = contextlib.ExitStack()
        self._listen = listen
        self._env = env or {}
        self.told = []

    def __enter__(self):
        with self._stack:
            self._stack.callback(shutil.rmtree, self.directory)
            self.site = self._stack.enter_context(Standin([node("there")]))
            self.program = self.directory / "ironic-proxy"
            self.configuration = self.directory / "ironic-proxy.conf"
            self.restore()
            self._notify = self._stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            self._notify.bind(str(self.directory / "notify"))
            self._notify.setblocking(False)
            self.admin = Admin(self)
            self.first = Process(
                [self.program, "--config-file", self.configuration],
                self.directory / "log",
                env={**os.environ, "NOTIFY_SOCKET": str(self.directory / "notify"), **self._env},
                listen=self._listen,
            )
            # Ends all of its session, successors too.
            self._stack.callback(self.first.stop)
            until(lambda: self.hears("READY=1"), seconds=20, what="the start")
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def restore(self):
        """The binary and the configuration as at the start."""
        beside = self.program.with_name("good")
        shutil.copy(binary(), beside)
        beside.rename(self.program)
        self.write()

    def write(self, sections=None, default=None, every=None, **api):
        api = {key: str(value).replace(DIRECTORY, str(self.directory)) for key, value in {**self._api, **api}.items()}
        text = fleet_config(
            [self.site.endpoint],
            api=api,
            every=every,
            default={"state_path": self.directory / "state", "graceful_shutdown_timeout": 20, **(default or {})},
            sections={"admin": {"socket": self.directory / "admin.sock"}, **(sections or {})},
        )
        self.configuration.write_text(text, encoding="utf-8")

    @contextlib.contextmanager
    def upgrading(self):
        """An upgrade whose next process waits for its policy file, until `with` ends; the text that is in it then is `held[0]`."""
        policy = self.directory / "rules.yaml"
        os.mkfifo(policy)
        self.write(sections={"oslo_policy": {"policy_file": policy}})
        os.kill(self.pid(), signal.SIGUSR2)
        held = ["{}"]
        # Opens once somebody reads it: the new configuration was read.
        with policy.open("w") as rules:
            yield held
            plain = self.directory / "plain.yaml"
            plain.write_text(held[0])
            # Whoever opens it once more reads the same.
            plain.rename(policy)
            rules.write(held[0])

    def log(self):
        return (self.directory / "log").read_text(encoding="utf-8", errors="replace")

    def address(self):
        """Where it listens, as its log says last."""
        # A line may be held back a moment.
        return until(lambda: re.findall(r"Listening on \w+://(\S+?)(?:,|\n)", self.log()))[-1]

    def hears(self, words):
        """Whether the service manager was told."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.told.append(self._notify.recv(4096).decode())
        return any(words in told.splitlines() for told in self.told)

    def upgrade(self):
        return self.admin.run("upgrade")

    def pid(self):
        """Of whoever answers at the admin socket."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.admin.socket))
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int.from_bytes(credentials[:4], "little")

    def terminate(self):
        """Ends whoever serves, and waits for that."""
        pid = self.pid()
        os.kill(pid, signal.SIGTERM)
        until(lambda: not Path(f"/proc/{pid}/exe").exists(), seconds=20, what="the end")

    def ended(self):
        """The exit status of the first one."""
        return self.first.wait(20)
