"""Child processes that cannot outlive whoever started them."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

# Runs in the child, between fork and the real program. PR_SET_PDEATHSIG (1)
# survives exec, so the program is ended even when we are killed with -9. The
# parent may already be gone when it is set, hence the second look. LISTEN_PID
# must be the program's own pid, which is known only here.
_LAUNCHER = """
import ctypes, fcntl, os, signal, sys
parent, listen = int(sys.argv[1]), [int(number) for number in sys.argv[2].split(",") if number]
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != parent:
    sys.exit(1)
if listen:
    # Out of the way first: one may stand where another has to go.
    moved = [fcntl.fcntl(number, fcntl.F_DUPFD, 200) for number in listen]
    for number in listen:
        os.close(number)
    for place, number in enumerate(moved, 3):
        os.dup2(number, place)
        os.close(number)
    os.environ["LISTEN_FDS"] = str(len(listen))
    os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(sys.argv[3], sys.argv[3:])
"""


class Died(RuntimeError):
    """The process ended although it should have run on; the text has its log's end."""


class Process:
    """One running program whose output goes to a file.

    Start it from the main thread: the kernel sends the parent-death signal
    when the *thread* that started the child ends.
    """

    def __init__(self, arguments, log, *, env=None, listen=None):
        self.arguments = [str(argument) for argument in arguments]
        self.log_path = Path(log)
        sockets = [] if listen is None else listen if isinstance(listen, list) else [listen]
        descriptors = tuple(handed.fileno() for handed in sockets)
        environment = dict(os.environ if env is None else env)
        for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"):
            environment.pop(name, None)
        with open(self.log_path, "ab") as output:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), ",".join(map(str, descriptors)), *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                pass_fds=descriptors,
                # Ctrl-C on the terminal is the parent's to handle, in its order.
                start_new_session=True,
            )

    @property
    def pid(self):
        return self._child.pid

    def running(self):
        return self._child.poll() is None

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def expect_running(self):
        status = self._child.poll()
        if status is not None:
            tail = "\n".join(self.log().splitlines()[-30:])
            raise Died(f"{self.arguments[0]} ended with status {status}:\n{tail}")

    def signal(self, number):
        self._child.send_signal(number)

    def wait(self, seconds):
        """The exit status; raises subprocess.TimeoutExpired."""
        return self._child.wait(seconds)

    def stop(self, seconds=20):
        """End it by SIGTERM, after `seconds` by SIGKILL, with all its children; returns the exit status."""
        if self.running():
            self._child.send_signal(signal.SIGTERM)
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            self._child.kill()
            return self._child.wait(10)
        finally:
            # Its own session is its own group: whatever it left behind goes with it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)


def wait_until(question, process=None, seconds=60, what="the condition", pause=0.05):
    """Ask until the answer is truthy and return it; `process` must stay alive meanwhile."""
    deadline = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        if process is not None:
            process.expect_running()
        if time.monotonic() > deadline:
            detail = "" if process is None else "\n" + "\n".join(process.log().splitlines()[-30:])
            raise TimeoutError(f"waited {seconds} s for {what}{detail}")
        time.sleep(pause)
