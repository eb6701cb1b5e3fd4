"""gophercloud, which reads `nodes_links` and not `next`: by itself, and as bytes."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from fleet import fleet
from standin import Standin, node

PROGRAM = Path(__file__).with_name("gophercloud_pages.go")
# Where Debian has sources of Go.
SOURCES = Path("/usr/share/gocode")
LINKED = {"collection_links": True, "max_limit": 100}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The program, built by the installed Go from Debian's gophercloud."""
    program = tmp_path_factory.mktemp("go") / "pages"
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(SOURCES), "GOFLAGS": "-p=1"}
    environment.setdefault("GOCACHE", str(program.parent / "cache"))
    subprocess.run([shutil.which("go"), "build", "-o", program, PROGRAM], env=environment, check=True, timeout=300)
    return lambda url: [int(word) for word in subprocess.check_output([program, url], timeout=60).split()]


def many(count):
    return Standin(node(name=f"n{number}") for number in range(count))


def test_all_pages_are_all_pages(pages):
    with fleet(many(400), many(400), many(400), api=LINKED) as hub:
        assert pages(hub.url) == [1200, 1200, 1200]


def test_without_the_option_it_stops_after_one(pages):
    with fleet(many(120), many(120), api={"max_limit": 100}) as hub:
        assert pages(hub.url)[0] == 100


@pytest.mark.parametrize("query", ["", "?sort_key=name", "?limit=3"])
def test_the_links_stand_beside_next(query):
    with fleet(many(4), many(4), api={**LINKED, "max_limit": 5}) as hub:
        page = hub.get(f"/v1/nodes{query}").json()
        assert list(page) == ["nodes", "next", "nodes_links"]
        assert page["nodes_links"] == [{"rel": "next", "href": page["next"]}]
        assert list(hub.get("/v1/nodes?limit=1&conductor_group=none").json()) == ["nodes"]
