"""A machine of its own: the real systemd as the first process of its namespaces, on a copy of the file system.

What it writes goes to memory and is gone with it; it sees no process, no network and no unit of the machine that it runs on.
"""

import contextlib
import ctypes
import os
import pty
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

from bed.process import Died, Process, wait_until
from fleet import until
from gateway import REPOSITORY, binary

SYSTEMD = "/lib/systemd/systemd"
# Where the machine has what docs/operate.md starts from: the repository's conf, and a binary that is built.
CHECKOUT = "/srv/ironic-proxy"

_CLONE_NEWNET = 0x40000000

# Runs in the new namespaces, as the process that becomes systemd. The console is a terminal of ours, so that systemd has one.
_BOOT = rf"""
set -e
root=$1 console=$2 conf=$3 binary=$4
mount --make-rprivate /
mount -t tmpfs tmpfs $root
mkdir $root/upper $root/work $root/new
mount -t overlay overlay -o lowerdir=/,upperdir=$root/upper,workdir=$root/work $root/new
new=$root/new
mkdir -p $new{CHECKOUT}/target/release
cp -r $conf $new{CHECKOUT}/conf
cp $binary $new{CHECKOUT}/target/release/ironic-proxy
# Whoever runs the tests may have it installed.
# Images of containers forbid packages to start anything.
rm -f $new/usr/sbin/policy-rc.d
rm -rf $new/etc/ironic-proxy $new/etc/systemd/system/ironic-proxy* $new/usr/local/bin/ironic-proxy $new/etc/sysusers.d/ironic-proxy.conf
mount -t proc proc $new/proc
# What is here is the kernel's, which the machine shares with us.
mount --bind $new/proc/sys $new/proc/sys
mount -o remount,bind,ro $new/proc/sys
for unit in modules-load sysctl binfmt udevd random-seed; do ln -sf /dev/null $new/etc/systemd/system/systemd-$unit.service; done
mount -t sysfs -o ro sysfs $new/sys
mount -t cgroup2 cgroup2 $new/sys/fs/cgroup
for directory in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs $new/$directory; done
chmod 1777 $new/tmp
for device in null zero full random urandom tty; do
    touch $new/dev/$device
    mount --bind /dev/$device $new/dev/$device
done
mkdir $new/dev/pts $new/dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts $new/dev/pts
ln -s pts/ptmx $new/dev/ptmx
ln -s /proc/self/fd $new/dev/fd
touch $new/dev/console
mount --bind $console $new/dev/console
rm -f $new/etc/machine-id
: > $new/etc/machine-id
ip link set lo up
cd $new
mkdir -p mnt/old
pivot_root . mnt/old
umount -l /mnt/old
# As a machine boots; units with a file system of their own need it.
mount --make-rshared /
# Root is logged in, and has built already.
printf '#!/bin/sh\nexec "$@"\n' >/usr/local/bin/sudo
printf '#!/bin/sh\n' >/usr/local/bin/cargo
chmod 755 /usr/local/bin/sudo /usr/local/bin/cargo
exec env -i container=test PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb \
    {SYSTEMD} --unit=basic.target --log-target=console --show-status=no </dev/console >/dev/console 2>&1
"""


class CannotBoot(Exception):
    """No namespaces here, or no systemd; the text says what is in the way."""


class Machine:
    """Use it in a `with` statement; raises `CannotBoot` where none may be made."""

    def __init__(self):
        self._stack = contextlib.ExitStack()
        self._said = []

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self._boot(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def _boot(self, stack):
        missing = [name for name in (SYSTEMD, "unshare", "nsenter", "setpriv", "pivot_root", "ip") if shutil.which(name) is None]
        if missing:
            raise CannotBoot(f"there is no {', '.join(missing)}")
        if os.geteuid() != 0:
            raise CannotBoot("only root may make a machine of namespaces")
        isolated = ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--net"]
        tried = subprocess.run([*isolated, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True, timeout=60, check=False)
        if tried.returncode != 0:
            raise CannotBoot(f"namespaces are not allowed: {tried.stderr.strip()}")
        group = _control_group(stack)
        root = Path(tempfile.mkdtemp(prefix="ironic-proxy-machine-"))
        stack.callback(shutil.rmtree, root)
        console = self._console(stack)
        (root / "boot").write_text(_BOOT, encoding="utf-8")
        words = [*isolated, "sh", root / "boot", root, console, REPOSITORY / "conf", binary().resolve()]
        # With `--kill-child` the machine ends with us, however we end. `unshare` itself ignores SIGTERM.
        enter = f'echo $$ > {group}/cgroup.procs && exec setpriv --pdeathsig KILL "$@"'
        process = Process(["sh", "-c", enter, "sh", *words], root / "log")
        stack.callback(process.stop, 0)
        try:
            self.first = wait_until(lambda: _first(process), process, what="the first process of the machine")
            wait_until(self._is_up, process, what="the start of systemd")
        except (TimeoutError, Died) as error:
            raise AssertionError(f"{error}\n{self.console()[-2000:]}") from error

    def _console(self, stack):
        ours, theirs = pty.openpty()
        stack.callback(os.close, theirs)

        def read():
            with contextlib.suppress(OSError), open(ours, "rb", buffering=0) as terminal:
                while said := terminal.read(4096):
                    self._said.append(said)

        threading.Thread(target=read, daemon=True).start()
        return os.ttyname(theirs)

    def console(self):
        """What systemd has said so far."""
        return b"".join(self._said).decode(errors="replace")

    def _is_up(self):
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")

    # --- as one who is logged in there

    def run(self, *words, check=True):
        """A command of root's in the machine; without `check` it may fail."""
        command = ["nsenter", f"--target={self.first}", "--all", "--", *(str(word) for word in words)]
        # Nothing of the environment of the tests is the machine's.
        environment = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False, env=environment)
        assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}\n{self.journal()[-4000:]}"
        return done

    def shell(self, line):
        return self.run("sh", "-euc", f"cd {CHECKOUT}; {line}")

    def path(self, path):
        """A file of the machine, as we see it."""
        return Path(f"/proc/{self.first}/root{path}")

    def journal(self, unit="ironic-proxy"):
        return self.run("journalctl", "--no-pager", "--unit", unit, check=False).stdout

    def shown(self, name, unit="ironic-proxy.service"):
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).stdout.strip()

    @contextlib.contextmanager
    def network(self):
        """Sockets that this thread opens within, and threads that it starts, are on the machine's network."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net", "rb") as ours, open(f"/proc/{self.first}/ns/net", "rb") as theirs:
            _enter(libc, theirs)
            try:
                yield
            finally:
                _enter(libc, ours)


def _first(process):
    """The child of `unshare` that has become systemd."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
    is_systemd = children and os.readlink(f"/proc/{children[0]}/exe").endswith("/systemd")
    return int(children[0]) if is_systemd else None


def _enter(libc, namespace):
    if libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _control_group(stack):
    """An empty one, for systemd to own."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    there = [Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"]
    if not there:
        raise CannotBoot("no cgroup2 is mounted")
    group = there[0] / f"ironic-proxy-machine-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        raise CannotBoot(f"no control group can be made: {error}") from error
    stack.callback(_remove, group)
    return group


def _remove(group):
    """What is left of it empties itself as the last processes are reaped."""

    def removed():
        with contextlib.suppress(OSError):
            for directory, _, _ in os.walk(group, topdown=False):
                os.rmdir(directory)
        return not group.exists()

    until(removed, what="the end of every process of the machine")
