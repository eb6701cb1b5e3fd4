"""The procedures of docs/operate.md with two replicas, their commands as they stand on the page.

After every step at every replica: what one replica shows is nowhere "not found" at another, and every list is whole or says
what it lacks.
"""

import contextlib
import os
import shutil
import subprocess

import pytest
from admin import SECTION, Admin
from client import Client
from fleet import fleet_config, until
from gateway import Gateway, binary
from pki import Authority, SecuredStandin
from standin import Standin, StandinKeystone, node
from test_docs import blocks

PLACE = "http://192.0.2.30:6385"


def on_page(how, kind="sh"):
    (block,) = [block for block in blocks(kind) if block.page == "docs/operate.md" and block.how == how]
    return block.text


class Replicas:
    """Two gateways with a file each, in front of the same sites."""

    def __init__(self, stack, tmp_path):
        self.sites = {f"loc{number}": stack.enter_context(Standin()) for number in (1, 2, 3)}
        self.records = {name: site.add(node(f"{name}-node")) for name, site in self.sites.items()}
        self.tmp_path = tmp_path
        self.stack = stack
        self.all = []

    def start(self, names, **options):
        text = fleet_config([self.sites[name].endpoint for name in names], sections={"admin": SECTION}, **options)
        self.all = [self.stack.enter_context(Gateway(text)) for _ in range(2)]
        for replica in self.all:
            bin = replica.directory / "bin"
            bin.mkdir()
            # Where the page's reader has one file at its usual place.
            program = bin / "ironic-proxy"
            program.write_text(f'#!/bin/sh\nexec {binary()} --config-file {replica.config_path} "$@"\n')
            program.chmod(0o755)
        self.look()

    def play(self, how, edit=None):
        """One block of the page at one replica after the other; `edit` changes the file before."""
        for replica in self.all:
            if edit:
                replica.config_path.write_text(edit(replica.config_path.read_text()))
            environment = {**os.environ, "PATH": f"{replica.directory}/bin:{os.environ['PATH']}"}
            for command in on_page(f"at each replica: {how}").splitlines():
                if command == "sudo systemctl start ironic-proxy":
                    replica.start()
                    continue
                # What the unit does for it; test_systemd.py sees it do so.
                command = {"sudo systemctl reload ironic-proxy": "ironic-proxy reload"}.get(command, command)
                command = command.replace("/etc/ironic-proxy", str(replica.directory))
                done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=60, check=False)
                assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}\n{replica.log()[-3000:]}"
                self.look()

    def ask(self, replica, path):
        return Client(replica.url).get(path)

    def look(self):
        """Both laws, at every replica."""
        for record in self.records.values():
            statuses = {self.ask(replica, f"/v1/nodes/{record['uuid']}").status for replica in self.all}
            assert statuses <= {200, 404, 503}
            assert not {200, 404} <= statuses, f"{record['name']}: one replica has it, another says that nobody has"
        there = {record["uuid"] for record in self.records.values()}
        shown = set()
        lists = []
        for replica in self.all:
            reply = self.ask(replica, "/v1/nodes")
            if reply.status == 200:
                found = {item["uuid"] for item in reply.json()["nodes"]}
                shown |= found
                lists.append((found, reply.header("X-Ironic-Proxy-Incomplete")))
            else:
                assert reply.status == 503, reply
        for found, missing in lists:
            assert found == shown or missing, f"{len(found)} of {len(shown)} nodes, and no word about it"
        assert shown <= there


@pytest.fixture
def replicas(tmp_path):
    with contextlib.ExitStack() as stack:
        yield Replicas(stack, tmp_path)


def shows(replicas, name):
    return [replicas.ask(replica, f"/v1/nodes/{replicas.records[name]['uuid']}").status for replica in replicas.all]


def without_loc3(text):
    start = text.index("[group:loc3]")
    end = text.find("\n[", start)
    return (text[:start] + (text[end + 1 :] if end > 0 else "")).replace(",grp2:loc3", "")


def test_a_location_is_added(replicas):
    replicas.start(["loc1", "loc2"])
    assert shows(replicas, "loc3") == [404, 404]
    added = on_page("fragment: added", "ini").replace(PLACE, replicas.sites["loc3"].endpoint)

    def add(text):
        return text.replace("grp1:loc2", "grp1:loc2,grp2:loc3") + "\n" + added

    replicas.play("add", add)
    assert shows(replicas, "loc3") == [503, 503]
    replicas.play("enable")
    assert shows(replicas, "loc3") == [200, 200]

    def settle(text):
        return text.replace("state = maintenance\nrequired = false\n", "")

    replicas.play("add", settle)
    assert shows(replicas, "loc3") == [200, 200]
    assert [Admin(replica).location("loc3")["operator"]["state"] for replica in replicas.all] == ["enabled"] * 2
    # Whatever was said of it before, a file that takes it out of service does so.
    replicas.play("add", lambda text: text.replace("[group:loc3]", "[group:loc3]\nstate = maintenance"))
    assert shows(replicas, "loc3") == [503, 503]


def spared(text):
    """What the page has one write before its reload."""
    return text.replace("[group:loc3]\n", on_page("fragment: spared", "ini"))


def assert_lists_only_lack_loc3(replicas):
    for replica in replicas.all:
        reply = replicas.ask(replica, "/v1/nodes")
        assert (reply.status, reply.header("X-Ironic-Proxy-Incomplete")) == (200, "loc3;reason=maintenance"), reply


def test_a_location_is_worked_on(replicas):
    replicas.start(["loc1", "loc2", "loc3"])
    replicas.play("spare", spared)
    assert_all_is_served(replicas)
    replicas.play("maintenance")
    assert shows(replicas, "loc3") == [503, 503]
    assert_lists_only_lack_loc3(replicas)
    replicas.sites["loc3"].down()
    replicas.look()
    replicas.sites["loc3"].up()
    replicas.play("back")
    assert shows(replicas, "loc3") == [200, 200]


def test_a_location_is_removed(replicas):
    replicas.start(["loc1", "loc2", "loc3"])
    replicas.play("drain")
    assert shows(replicas, "loc3") == [200, 200]
    # Deleted, at the location itself.
    gone = replicas.records.pop("loc3")
    assert replicas.sites["loc3"].nodes.pop()["uuid"] == gone["uuid"]

    def is_empty():
        replicas.play("empty")
        return [Admin(replica).location("loc3")["nodes"] for replica in replicas.all] == [0, 0]

    until(is_empty, what="no node that is known there")
    replicas.play("spare", spared)
    replicas.play("out")
    assert_lists_only_lack_loc3(replicas)
    replicas.play("remove", without_loc3)
    for replica in replicas.all:
        assert [site["name"] for site in Admin(replica).get("/locations").document["locations"]] == ["loc1", "loc2"]
        reply = replicas.ask(replica, "/v1/nodes")
        assert reply.status == 200
        assert reply.header("X-Ironic-Proxy-Incomplete") is None


def assert_all_is_served(replicas):
    for replica in replicas.all:
        assert replicas.ask(replica, "/v1/nodes").status == 200
    assert shows(replicas, "loc3") == [200, 200]


def test_a_credential_is_rotated(replicas):
    keystone = replicas.stack.enter_context(StandinKeystone({"old": "one", "new": "two"}))
    replicas.sites["loc3"].credentials = ("token", keystone.valid)
    section = {"auth_type": "password", "auth_url": f"{keystone.endpoint}/v3", "username": "old", "password": "one",
               "user_domain_name": "Default", "system_scope": "all"}  # fmt: skip
    replicas.start(["loc1", "loc2", "loc3"], each={"loc3": section})
    replicas.play("credential", lambda text: text.replace("username = old", "username = new").replace("password = one", "password = two"))
    assert_all_is_served(replicas)
    del keystone.users["old"]
    keystone.revoke_all()
    assert_all_is_served(replicas)


def test_an_authority_is_rotated(replicas, tmp_path):
    old, new = (Authority(tmp_path / name, name) for name in ("old", "new"))
    site = SecuredStandin(old.issue("edge", hosts=["localhost"]), [node("behind TLS")])
    replicas.sites["loc3"] = replicas.stack.enter_context(site)
    replicas.records["loc3"] = site.nodes[0]
    replicas.start(["loc1", "loc2", "loc3"], each={"loc3": {"cafile": old.certfile}})
    for replica in replicas.all:
        for name, authority in (("old", old), ("new", new), ("loc3", old)):
            shutil.copy(authority.certfile, replica.directory / f"{name}.pem")
        text = replica.config_path.read_text().replace(str(old.certfile), str(replica.directory / "loc3.pem"))
        replica.config_path.write_text(text)
        assert Admin(replica).run("reload").returncode == 0
    replicas.play("authorities")
    # The files are read within seconds.
    both = lambda: all("loc3` were read again" in replica.log() for replica in replicas.all)  # noqa: E731
    until(both, what="both authorities")
    site.serve_as(new.issue("edge", hosts=["localhost"]))
    site.drop_connections()
    assert_all_is_served(replicas)
    replicas.play("authority")
    assert_all_is_served(replicas)


def test_a_machine_that_was_lost_is_restored(replicas):
    replicas.start(["loc1", "loc2", "loc3"])
    for replica in replicas.all:
        replica.stop()
        shutil.rmtree(replica.directory / "state")
    # Whoever is not there yet is not asked.
    looked, replicas.look = replicas.look, lambda: None
    replicas.play("restore")
    replicas.look = looked
    replicas.look()
    assert_all_is_served(replicas)
