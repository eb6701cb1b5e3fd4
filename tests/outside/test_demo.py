"""The README's first command, shown once."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bed.process import wait_until
from gateway import binary

pytestmark = pytest.mark.slow

DEMO = Path(__file__).resolve().parents[1] / "demo"
# The release build is the reader's to wait for; the binary under test is here.
ENVIRONMENT = {**os.environ, "IRONIC_PROXY_BINARY": str(binary())}
NODES = {"hub-1", "hub-2", "harbour-1", "harbour-2", "harbour-3", "hill-1", "hill-2"}


def test_the_demo_shows_a_merged_list_and_leaves_nothing_running():
    done = subprocess.run(
        [sys.executable, DEMO, "--once"], env=ENVIRONMENT, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    table = done.stdout.split("$ baremetal node list\n")[1].split("\n\n")[0]
    assert {name for name in NODES if f"| {name} " in table} == NODES
    assert len(re.findall(r"\| enroll ", table)) == len(NODES)
    url = re.search(r"The gateway: (\S+)", done.stdout)[1]
    assert f":{url.rsplit(':', 1)[1]}" not in listening()


def test_ctrl_c_stops_everything(tmp_path):
    output = tmp_path / "output"
    with open(output, "wb") as out:
        demo = subprocess.Popen([sys.executable, DEMO], env=ENVIRONMENT, stdout=out, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: "Ctrl-C stops everything." in output.read_text() or demo.poll() is not None, seconds=200)
        text = output.read_text()
        ports = re.findall(r"http://127\.0\.0\.1:(\d+)", text)
        assert len(set(ports)) == 4, text
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0
        for port in ports:
            assert f":{port}" not in listening()
    finally:
        if demo.poll() is None:
            demo.kill()
            demo.wait()


def listening():
    """The ports of this machine that are listened on, as `:port` words."""
    rows = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    fields = [row.split() for row in rows]
    return [f":{int(field[1].split(':')[1], 16)}" for field in fields if field[3] == "0A"]
