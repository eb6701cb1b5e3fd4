"""The real keepalived, with the example of conf/, moves its address away from a gateway that is not to be asked."""

import contextlib
import re
import shutil
import subprocess

import pytest
from fleet import until
from gateway import REPOSITORY
from upgrading import Line

from bed.process import Process

EXAMPLE = REPOSITORY / "conf" / "keepalived" / "keepalived.conf"
ADDRESS = "192.0.2.10"
# A network of its own, with a wire to nobody.
NETWORK = """
set -e
ip link set lo up
ip link add wire type veth peer name end
ip link set wire up
ip link set end up
ip address add 192.0.2.1/24 dev wire
exec keepalived --dont-fork --log-console --use-file="$1/keepalived.conf" --pid="$1/k.pid" --vrrp_pid="$1/v.pid"
"""


class Keepalived:
    def __init__(self, line):
        self._line = line
        text = EXAMPLE.read_text(encoding="utf-8")
        # Only the file system is shared with the network of the gateway, and the test has less patience than a network.
        for written, here in [
            ("http://127.0.0.1:6385", f"--unix-socket {line.directory}/api.sock http://localhost"),
            ("interface eth0", "interface wire"),
            ("script_user nobody", "script_user root"),
            ("enable_script_security\n", "\n"),
            ("interval 2", "interval 1"),
            ("fall 2", "fall 1"),
            ("rise 2", "rise 1"),
            ("advert_int 1", "advert_int 0.1"),
        ]:
            assert written in text, f"{EXAMPLE} does not say {written}"
            text = text.replace(written, here)
        (line.directory / "keepalived.conf").write_text(text, encoding="utf-8")

    def __enter__(self):
        self._stack = contextlib.ExitStack()
        words = ["unshare", "--net", "sh", "-c", NETWORK, "sh", self._line.directory]
        self.process = Process(words, self._line.directory / "keepalived.log")
        self._stack.callback(self.process.stop, 5)
        return self

    def __exit__(self, *_):
        self._stack.close()

    def has_the_address(self):
        words = ["nsenter", f"--net=/proc/{self.process.pid}/ns/net", "ip", "address", "show", "dev", "wire"]
        shown = subprocess.run(words, capture_output=True, text=True, check=False, timeout=10)
        return f"inet {ADDRESS}/" in shown.stdout


@pytest.fixture
def keepalived():
    for program in ("unshare", "nsenter", "ip", "keepalived"):
        if shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            pytest.skip(f"there is no {program}")
    allowed = subprocess.run(["unshare", "--net", "ip", "link", "add", "wire", "type", "veth", "peer", "name", "end"], capture_output=True, check=False)
    if allowed.returncode:
        pytest.skip("no network of one's own may be made here")
    return Keepalived


def test_the_address_follows_the_health(keepalived):
    with Line(unix_socket="@DIR@/api.sock") as line:
        disabled = line.directory / "disabled"
        line.write(sections={"admin": {"socket": line.directory / "admin.sock"}, "healthcheck": {"disable_by_file_path": disabled}})
        assert line.admin.run("reload").returncode == 0
        with keepalived(line) as neighbour:
            until(neighbour.has_the_address, seconds=20, what="the address at a gateway that is well")
            disabled.touch()
            until(lambda: not neighbour.has_the_address(), seconds=20, what="the address gone from one that is disabled")
            disabled.unlink()
            until(neighbour.has_the_address, seconds=20, what="the address back")
            assert line.upgrade().returncode == 0
            assert neighbour.has_the_address()
            line.first.wait(20)
            line.terminate()
            until(lambda: not neighbour.has_the_address(), seconds=20, what="the address gone from one that has ended")
            log = (line.directory / "keepalived.log").read_text(encoding="utf-8")
            assert not re.search("Unknown|error", log), log
