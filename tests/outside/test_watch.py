"""What subcommands show on a terminal."""

import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest
import scripted
from admin import SECTION, Admin
from fleet import fleet, fleet_config
from gateway import DIRECTORY, binary
from standin import Standin, node


class Terminal:
    """A command on a terminal of its own; `shows` waits for words on it."""

    def __init__(self, *words):
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen([binary(), *words], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        self.text = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def shows(self, *words, seconds=15):
        """What it has shown once all words are there; what was shown then is forgotten."""
        deadline = time.monotonic() + seconds
        while not all(word in self.text for word in words):
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self._ours], [], [], left)[0], f"{words} is not shown: {self.text!r}"
            self.text += os.read(self._ours, 4096).decode(errors="replace")
        shown, self.text = self.text, ""
        return shown

    def rest(self):
        """What it has shown since, once it has ended."""
        while select.select([self._ours], [], [], 0.2)[0]:
            try:
                self.text += os.read(self._ours, 4096).decode(errors="replace")
            except OSError:
                break
        return self.text


def test_status_is_drawn_again_and_again():
    with fleet(2, sections={"admin": SECTION, "node_cache": {"sweep_interval": 0}}, every={"breaker_failures": 1, "breaker_reset": 60}) as hub:
        hub.loc1.add(node("one"))
        socket = Admin(hub.gateway).socket
        with Terminal("status", "--socket", socket, "--watch") as terminal:
            first = terminal.shows("2 of 2 locations; ", "loc2")
            assert "\x1b[H\x1b[2J" in first, "it is not drawn from the top of an empty screen"
            hub.loc2.down()
            assert hub.get("/v1/nodes").status == 503
            again = terminal.shows("1 of 2 locations, loc2 down")
            assert "\x1b[H\x1b[2J" in again
            # It outlives the gateway, and a key ends it.
            hub.gateway.stop()
            terminal.shows("no gateway answers at")
            hub.gateway.start()
            terminal.shows("1 of 2 locations, loc2 down", "connect", seconds=20)
            terminal.process.send_signal(signal.SIGINT)
            assert terminal.process.wait(5) != 0


def test_status_that_is_no_terminal_s_is_not_drawn():
    with fleet(1, sections={"admin": SECTION, "node_cache": {"sweep_interval": 0}}) as hub:
        watching = subprocess.Popen([binary(), "status", "--socket", Admin(hub.gateway).socket, "--watch"], stdout=subprocess.PIPE, text=True)
        try:
            lines = [watching.stdout.readline() for _ in range(3)]
        finally:
            watching.kill()
            watching.wait()
            watching.stdout.close()
        assert lines[0].startswith("1 of 1 locations; ")
        assert "\x1b" not in "".join(lines)


@pytest.fixture
def slow(tmp_path):
    """A configuration whose only location takes its time."""
    with Standin() as site:
        site.fault(scripted.late(0.8), path=".*")
        (tmp_path / "state").mkdir()
        path = tmp_path / "ironic-proxy.conf"
        path.write_text(fleet_config([site.endpoint], every={"timeout": 20}).replace(DIRECTORY, str(tmp_path)))
        yield path


@pytest.mark.parametrize("words", [("check", "--online"), ("sync",), ("survey",)], ids=" ".join)
def test_whoever_waits_is_shown_for_what(slow, words):
    with Terminal("--config-file", slow, *words) as terminal:
        shown = terminal.shows("asking the locations", "1s")
        assert len(set(re.findall("[\u2801-\u28ff]", shown))) > 2, f"nothing turns: {shown!r}"
        assert terminal.process.wait(30) == 0
        # Nothing of it is left behind what is said in the end.
        assert "asking" not in terminal.rest().rpartition("\x1b[2K")[2]
    done = subprocess.run([binary(), "--config-file", slow, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert "asking" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
