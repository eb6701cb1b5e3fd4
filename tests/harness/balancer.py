"""A real HAProxy in front of the gateway, and what it thinks of it."""

import contextlib
import csv
import io
import socket
import tempfile
from pathlib import Path

from bed.process import Process, wait_until
from client import Client
from fleet import until

CONFIG = """
global
  stats socket {directory}/stats.sock mode 600
  log stderr local0 info
defaults
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server 10s
frontend front
  bind fd@3
  default_backend gateways
backend gateways
{checks}
  default-server inter 50ms fastinter 50ms downinter 50ms fall 1 rise 1
  server one {address} check
"""


@contextlib.contextmanager
def front(text):
    """HAProxy by a configuration that binds `fd@3`: a client of what it serves. Whoever asks early waits for it."""
    with tempfile.TemporaryDirectory() as directory, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        path = Path(directory) / "haproxy.cfg"
        path.write_text(text, encoding="utf-8")
        process = Process(["haproxy", "-db", "-f", path], Path(directory) / "log", env={"PATH": "/usr/sbin:/usr/bin"}, listen=listener)
        try:
            yield Client("http://127.0.0.1:{}".format(listener.getsockname()[1]))
        finally:
            process.stop(5)


class HAProxy:
    """HAProxy with one server, the gateway, and the check that is to be tried; use it in a `with` statement."""

    def __init__(self, address, *checks):
        self._stack = contextlib.ExitStack()
        self._address = address
        self._checks = "\n".join(f"  {line}" for line in checks)

    def __enter__(self):
        self._directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        listener = self._stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.setblocking(False)
        self.url = "http://127.0.0.1:{}".format(listener.getsockname()[1])
        path = self._directory / "haproxy.cfg"
        path.write_text(CONFIG.format(directory=self._directory, checks=self._checks, address=self._address))
        self.process = Process(["haproxy", "-db", "-f", path], self._directory / "log", env={"PATH": "/usr/sbin:/usr/bin"}, listen=listener)
        self._stack.callback(self.process.stop, 5)
        wait_until(lambda: (self._directory / "stats.sock").exists(), self.process, 20, "HAProxy", pause=0.02)
        return self

    def __exit__(self, *_):
        self._stack.close()

    def server(self):
        """Its row of `show stat`."""
        with socket.socket(socket.AF_UNIX) as stats:
            stats.connect(str(self._directory / "stats.sock"))
            stats.sendall(b"show stat gateways 4 -1\n")
            with stats.makefile() as answer:
                text = answer.read()
        rows = csv.DictReader(io.StringIO(text.removeprefix("# ")))
        return next(row for row in rows if row["svname"] == "one")

    def wait(self, status):
        """Until a check has found the gateway UP or DOWN."""

        def found():
            row = self.server()
            # Before its first check a server counts as up.
            return row["check_status"] not in ("", "INI", "* INI") and row["status"].split()[0] == status and row

        return until(found, 15, f"{status} at HAProxy")
