"""The configurations under conf/examples are ones that the gateway takes."""

import re
import subprocess

import pki
import pytest
from bed.ironic import htpasswd
from gateway import REPOSITORY, binary

EXAMPLES = sorted((REPOSITORY / "conf/examples").glob("*.conf"))


def test_there_is_one_for_each_neighbour():
    assert [path.stem for path in EXAMPLES] == ["bifrost", "devstack", "kolla-ansible", "metal3"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_it_is_taken_as_it_stands(example, tmp_path):
    text = example.read_text(encoding="utf-8")
    authority = pki.Authority(tmp_path)
    for name in re.findall(r"/etc/ironic-proxy/(\S+)", text):
        content = htpasswd({"me": "secret"}) if name == "htpasswd" else authority.pem.decode()
        (tmp_path / name).write_text(content, encoding="utf-8")
    # What the files are called is all that is changed.
    path = tmp_path / example.name
    path.write_text(text.replace("/etc/ironic-proxy", str(tmp_path)), encoding="utf-8")
    path.chmod(0o600)
    environment = {"OS_DEFAULT__STATE_PATH": str(tmp_path)}
    done = subprocess.run(
        [binary(), "--config-file", path, "--check-config"], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")
