"""A thousand requests a second, by tests/harness/clients.rs: none of them may notice what happens to the gateway."""

import contextlib
import json
import subprocess

from fleet import until
from gateway import REPOSITORY, binary

RATE = 1000


def program():
    """`cargo test` builds it; a run of pytest alone does here."""
    built = binary().resolve().parent / "examples" / "clients"
    if not built.exists():
        built = REPOSITORY / "target" / "debug" / "examples" / "clients"
        subprocess.run(["cargo", "build", "--locked", "--quiet", "--example", "clients"], cwd=REPOSITORY, check=True, timeout=600)
    return built


class Clients:
    """Half of them keep their connection, half make one for each request; use it in a `with` statement.

    `within` is what the command begins with, such as a way into other namespaces.
    """

    def __init__(self, address, path="/v1", rate=RATE, within=()):
        self._command = [*within, program(), address, path, str(rate)]

    def __enter__(self):
        self._child = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        self._child.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(5)
        self._child.kill()
        self._child.stdout.close()

    def now(self):
        """What came of it so far."""
        self._child.stdin.write("\n")
        self._child.stdin.flush()
        return json.loads(self._child.stdout.readline())

    def go_on(self, requests=RATE // 2):
        """Until so many more of each kind are answered."""
        before = self.now()
        more = lambda now: min(now[kind] - before[kind] for kind in ("kept", "once")) >= requests // 2  # noqa: E731
        until(lambda: more(self.now()), seconds=120, what="more answers to either kind of client")

    def assert_none_failed(self):
        now = self.now()
        assert now["failed"] == 0, now
        return now

    def assert_none_lost(self):
        """Whoever was let in got an answer; those who came later may have been refused."""
        now = self.now()
        assert now["failed"] == now["refused"], now
        return now
