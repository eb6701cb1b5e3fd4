"""kolla's start convention, with kolla's own scripts: what its images run as their command."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from bed import venvs
from bed.process import Process
from client import Client
from fleet import fleet_config, until
from standin import Standin, node

from gateway import REPOSITORY, binary

CONTAINER = REPOSITORY / "conf/container"

# In a mount namespace of its own, on a copy of the file system that is gone with it: an image that kolla made, as far as
# its scripts look at it. `sudo` is there for an image's user, which we are not; so its command goes back to that user.
IMAGE = r"""
set -e
root=$1 given=$2 scripts=$3 python=$4 cache=$5 binary=$6
mount --make-rprivate /
mount -t tmpfs tmpfs $root
mkdir $root/upper $root/work $root/new
mount -t overlay overlay -o lowerdir=/,upperdir=$root/upper,workdir=$root/work $root/new
new=$root/new
rm -rf $new/etc/ironic-proxy $new/usr/local/bin/* $new/var/lib/kolla
# Before what may be below it.
mount -t tmpfs -o mode=1777 tmpfs $new/tmp
mkdir -p $new/var/lib/kolla/config_files $new/var/log/kolla/ironic-proxy $new/etc/kolla/defaults $new$cache $new/usr/local/lib/kolla
cp $given/* $new/var/lib/kolla/config_files/
cp $scripts/* $new/usr/local/lib/kolla/
cp $binary $new/usr/bin/ironic-proxy
for directory in /dev /proc $cache; do mount --rbind $directory $new$directory; done
cd $new/usr/local/bin
write() { cat >$1; chmod 755 $1; }
printf '#!/bin/sh\nexec %s /usr/local/lib/kolla/set_configs.py "$@"\n' $python | write kolla_set_configs
write kolla_start <../lib/kolla/start.sh
write kolla_copy_cacerts <../lib/kolla/copy_cacerts.sh
printf '#!/bin/sh\n' | write kolla_install_projects
printf 'true\n' | write kolla_extend_start
printf '#!/bin/sh\n[ "$1" != -E ] || shift\nexec "$@"\n' | write sudo
printf '#!/bin/sh\nstat --format="%%U %%a %%n" /etc/ironic-proxy/ironic-proxy.conf /var/lib/ironic-proxy /var/log/kolla/ironic-proxy\n
exec setpriv --reuid=ironic-proxy --regid=ironic-proxy --clear-groups /usr/bin/ironic-proxy "$@"\n' | write ironic-proxy
chroot $new useradd --system --no-create-home --shell /usr/sbin/nologin ironic-proxy
# Its owner is for permissions of config.json to set.
mkdir -p $new/var/lib/ironic-proxy
exec env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin KOLLA_CONFIG_STRATEGY=COPY_ALWAYS chroot $new kolla_start
"""


def scripts(where):
    """kolla's own, of its package."""
    found = list(venvs.program(venvs.LINTERS, "python").parent.parent.glob("lib/*/site-packages/kolla/docker/base"))
    assert found, "there is no kolla in the environment of the linters"
    for name in ("set_configs.py", "start.sh", "copy_cacerts.sh"):
        shutil.copy(found[0] / name, where)


@pytest.mark.slow
def test_kolla_start_starts_it_as_its_user(tmp_path):
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may make a file system of its own")
    given, own = tmp_path / "given", tmp_path / "scripts"
    given.mkdir()
    own.mkdir()
    scripts(own)
    shutil.copy(CONTAINER / "config.json", given)
    root = tempfile.mkdtemp(prefix="ironic-proxy-kolla-")
    with Standin([node("here")]) as site:
        text = fleet_config([site.endpoint], default={"state_path": "/var/lib/ironic-proxy"}, api={"port": 0})
        (given / "ironic-proxy.conf").write_text(text)
        words = [root, given, own, venvs.program(venvs.LINTERS, "python"), venvs.cache(), binary()]
        started = Process(["unshare", "--mount", "sh", "-c", IMAGE, "sh", *words], tmp_path / "said")
        try:

            def address():
                started.expect_running()
                lines = [line for line in started.log().splitlines() if "Listening on" in line]
                return lines and lines[0].split("Listening on ")[1].split()[0]

            where = until(address, seconds=60, what="the gateway")
            client = Client(f"http://{where.removeprefix('http://')}")
            until(lambda: client.get("/v1/nodes").status == 200)
            said = started.log()
            assert "ironic-proxy 600 /etc/ironic-proxy/ironic-proxy.conf" in said, said
            assert "ironic-proxy 755 /var/lib/ironic-proxy" in said and "ironic-proxy 755 /var/log/kolla/ironic-proxy" in said, said
            assert Path(f"/proc/{started.pid}/status").read_text().split("Uid:")[1].split()[0] != "0"
        finally:
            started.stop()
            os.rmdir(root)
