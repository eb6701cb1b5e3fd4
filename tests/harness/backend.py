"""A real Redis and a real memcached, and gateways that share them."""

import contextlib
import signal
import socket
import subprocess
import tempfile
import urllib.parse
from pathlib import Path

from bed.process import Process, wait_until
from admin import SECTION
from fleet import Fleet, fleet_config
from gateway import Gateway


@contextlib.contextmanager
def reserved():
    """A port of the kernel's choosing on loopback, for a program that cannot choose or take over one.

    Nobody else is given it while this socket is bound, and it does not listen: who sets SO_REUSEADDR, as Redis does, may bind it too.
    """
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        yield keeper.getsockname()[1]


class _OnSocket:
    """A server on a unix socket that can be killed and frozen; use it in a `with` statement. `start` is each one's own."""

    def __init__(self, name):
        self._stack = contextlib.ExitStack()
        self.directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{name}-")))
        self.path = self.directory / f"{name}.sock"

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self._stack.close()
            raise
        self._stack.callback(lambda: self.process.stop(5))
        return self

    def __exit__(self, *_):
        self._stack.close()

    def kill(self):
        self.process.signal(signal.SIGKILL)
        self.process.wait(10)
        self.path.unlink(missing_ok=True)

    def freeze(self):
        """It is there, connects, and says nothing any more."""
        self.process.signal(signal.SIGSTOP)

    def thaw(self):
        self.process.signal(signal.SIGCONT)


class Redis(_OnSocket):
    """A Redis. `arguments` are its own options."""

    def __init__(self, *arguments):
        super().__init__("redis")
        self._arguments = list(arguments) or ["--port", "0"]

    @property
    def url(self):
        return f"redis://{self.path}"

    def start(self):
        own = ["--unixsocket", self.path, "--dir", self.directory, "--save", "", "--appendonly", "no", "--daemonize", "no"]
        self.process = Process(["redis-server", *own, *self._arguments], self.directory / "log")
        wait_until(lambda: b"PONG" in self._said("PING") or b"NOAUTH" in self._said("PING"), self.process, 20, "Redis", pause=0.01)

    def say(self, *words):
        """The answer to one command, as redis-cli prints it."""
        return self._said(*words).decode().strip()

    def _said(self, *words):
        done = subprocess.run(["redis-cli", "-s", self.path, *words], capture_output=True, timeout=20, check=False)
        return done.stdout + done.stderr

    def keys(self, pattern="*"):
        return self.say("KEYS", pattern).split()

    def calls(self, command):
        """How often it was asked this."""
        for line in self.say("INFO", "commandstats").splitlines():
            if line.startswith(f"cmdstat_{command}:"):
                return int(line.split("calls=")[1].split(",")[0])
        return 0


@contextlib.contextmanager
def gateways(*sites, backend, each=None, **options):
    """Gateways with an admin door in front of the same stand-ins, sharing a backend by these addresses, one each: a list of fleets.

    `each` are options of [api] of each gateway.
    """
    with contextlib.ExitStack() as stack:
        for site in sites:
            stack.enter_context(site)
        names = {f"loc{number}": site for number, site in enumerate(sites, 1)}
        hubs = []
        for number, url in enumerate(backend):
            text = configuration(sites, url, **{**options, **({"api": each[number]} if each and number in each else {})})
            hubs.append(Fleet(stack.enter_context(Gateway(text)), names))
        for hub in hubs:
            hub.wait_ready()
        yield hubs


def configuration(sites, url, **options):
    sections = {"admin": SECTION, **({"coordination": {"backend_url": url}} if url else {}), **options.pop("sections", {})}
    return fleet_config([site.endpoint for site in sites], sections=sections, **options)


class Memcached(_OnSocket):
    """A memcached."""

    def __init__(self):
        super().__init__("memcached")

    @property
    def address(self):
        return f"unix:{self.path}"

    def start(self):
        self.process = Process(["memcached", "-u", "root", "-s", self.path, "-a", "0600", "-m", "16"], self.directory / "log")
        wait_until(self.path.exists, self.process, 20, "memcached", pause=0.01)

    def say(self, command, *ends):
        """The answer to one command, up to a line that ends it."""
        ends = ends or (b"END\r\n", b"STORED\r\n", b"OK\r\n", b"ERROR\r\n")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(self.path))
            connection.sendall(command + b"\r\n")
            answer = b""
            while not answer.endswith(ends):
                piece = connection.recv(65536)
                assert piece, answer
                answer += piece
        return answer

    def entries(self):
        """All that it holds: keys and values."""
        lines = self.say(b"lru_crawler metadump all").splitlines()
        keys = [urllib.parse.unquote_to_bytes(line.split()[0].removeprefix(b"key=")) for line in lines if line.startswith(b"key=")]
        found = {}
        for key in keys:
            answer = self.say(b"get " + key)
            if answer != b"END\r\n":
                head, rest = answer.split(b"\r\n", 1)
                found[key] = rest[: int(head.split()[3])]
        return found

    def put(self, key, value, lifetime=0):
        self.say(b"set %s 0 %d %d\r\n%s" % (key, lifetime, len(value), value))
