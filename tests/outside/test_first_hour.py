"""docs/first-hour.md as it stands, with three real Ironics that were never meant for each other."""

import os
import subprocess

from client import Client, until
from gateway import Gateway, binary
from test_docs import blocks

from bed import venvs

PLACES = {"loc1": "http://192.0.2.10:6385", "loc2": "http://192.0.2.20:6385", "loc3": "http://192.0.2.30:6385"}
URL = "http://127.0.0.1:6385"


def on_page(how):
    (block,) = [block for block in blocks() if block.page == "docs/first-hour.md" and block.how == how]
    return block.text


def test_the_first_hour(alike, there, tmp_path):
    for number, (name, api) in enumerate(there.items(), 1):
        api.create(name=f"{name}-node", driver_info={"ipmi_address": f"10.{number}0.0.5"})
    found = on_page("file: found.conf").replace("/tmp/ironic-proxy", str(tmp_path / "run"))
    for name, place in PLACES.items():
        found = found.replace(place, alike[name].url)
    (tmp_path / "found.conf").write_text(found)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ironic-proxy").symlink_to(binary())
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    environment["PATH"] = f"{tmp_path / 'bin'}:{venvs.program(venvs.CLIENTS, '')}:{environment['PATH']}"

    def play(how, url=URL):
        text = on_page(f"first hour: {how}").replace("/tmp/ironic-proxy", str(tmp_path / "run")).replace(URL, url)
        done = subprocess.run(["bash", "-eu", "-c", text], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        return done.stdout

    assert "loc2: versions" in play("survey")
    assert "local_groups = loc2:_" in play("propose")
    assert on_page("first hour: start").strip() == "ironic-proxy --config-file found.conf --config-file groups.conf"
    files = ["--config-file", tmp_path / "found.conf", "--config-file", tmp_path / "groups.conf"]
    with Gateway("# Behind this come the files of the page.\n", arguments=files) as gateway:
        until(lambda: Client(gateway.url).get("/v1/nodes").status == 200, what="all locations")
        assert Client(gateway.url).post("/v1/nodes", {"driver": "fake-hardware"}).status == 403
        looked = play("look", gateway.url)
        assert all(f"{name}-node" in looked for name in there), looked
        written = play("write", gateway.url)
        assert "loc2" in written
    assert there["loc2"].get("/v1/nodes/first-hour").status == 404
