"""openstacksdk's own functional tests of bare metal, as its developers run them against devstack.

They run against a single Ironic and against the gateway in front of three:
what passes there passes here. With a real Keystone a project's admin does what is for
him, and the system's admin the rest, so all of them have to pass. CONTRIBUTING.md has
the command.
"""

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree

import pytest

from client import Api, wipe
from house import House

from bed.ironic import Ironic
from bed.keystone import PASSWORD, PROJECT

PACKAGE = "openstack.tests.functional.baremetal"

# The tests take these four from a clouds.yaml; to an Ironic without authentication they are the same.
CLOUDS = ["devstack", "devstack-alt", "devstack-admin", "devstack-system-admin"]
CLOUD = """\
  {name}:
    auth_type: none
    region_name: RegionOne
    auth:
      endpoint: {url}
    baremetal_endpoint_override: {url}
    has_compute: false
    has_image: false
"""

# Loaded into their pytest: fake hardware is faster than the two seconds between two looks.
IMPATIENT = """\
from openstack import utils

patient = utils.iterate_timeout
utils.iterate_timeout = lambda timeout, message, wait=2: patient(timeout, message, wait=0.2)
"""

# Bound to a conductor that sends heartbeats: on SQLite Ironic has them switched off, so one counts as alive only for
# the first minute.
HEARTBEATS = f"{PACKAGE}.v1.test_conductor::TestBareMetalConductor::test_list_get_conductor"
FEWEST = 90
ALL = 96


def open_to_all(url):
    return "clouds:\n" + "".join(CLOUD.format(name=name, url=url) for name in CLOUDS)


class Runs:
    """Runs of the SDK's tests against one endpoint: the tests that passed in any, those that failed in all."""

    def __init__(self, clouds, directory):
        self.directory = directory
        self.passed, self.failed, self.said = set(), set(), {}
        directory.mkdir()
        (directory / "clouds.yaml").write_text(clouds, encoding="utf-8")
        (directory / "impatient.py").write_text(IMPATIENT, encoding="utf-8")

    def run_again(self):
        """What failed; of a few only a part of the name is told."""
        names = {test.split("::", 1)[1]: test for test in self.failed}
        before, self.failed = self.failed, set()
        passed, self.passed = self.passed, set()
        self.run(*sorted(before))
        self.passed = passed | {names[test.split("::", 1)[1]] for test in self.passed}
        self.failed = before - self.passed
        self.said |= {names[test.split("::", 1)[1]]: said for test, said in self.said.items() if test.split("::", 1)[1] in names}

    def run(self, *tests):
        report = self.directory / "report.xml"
        report.unlink(missing_ok=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        environment |= {
            "HOME": str(self.directory),
            "PYTHONPATH": str(self.directory),
            "OS_CLIENT_CONFIG_FILE": str(self.directory / "clouds.yaml"),
            "OS_TEST_TIMEOUT": "60",
        }
        options = ["-c", os.devnull, "--rootdir", self.directory, "-p", "no:cacheprovider", "-p", "impatient"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, "--junitxml", report, "--pyargs", *(tests or [PACKAGE])],
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert report.exists(), done.stdout[-4000:] + done.stderr[-4000:]
        for case in ElementTree.parse(report).iter("testcase"):
            module, kind = case.get("classname").rsplit(".", 1)
            test = f"{PACKAGE}.{module.removeprefix(PACKAGE + '.')}::{kind}::{case.get('name')}"
            wrong = [part.text for part in case if part.tag in ("failure", "error")]
            if wrong:
                self.said[test] = wrong[0]
                self.failed.add(test)
            elif case.find("skipped") is None:
                self.passed.add(test)
        self.failed -= self.passed


def both(*jobs):
    """Runs them at the same time; they mostly wait."""
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# Who is who in the SDK's tests.
WHO = {
    "devstack": ("project-member", PROJECT),
    "devstack-alt": ("outsider", "other"),
    "devstack-admin": ("project-admin", PROJECT),
    "devstack-system-admin": ("system-admin", None),
}
KEYED = """\
  {name}:
    auth_type: password
    region_name: {region}
    auth:
      auth_url: {auth_url}
      username: {user}
      password: {password}
      user_domain_id: default
      {scope}
    has_compute: false
    has_image: false
"""


def keep_alive(ironic):
    """Its conductor sends no heartbeats on SQLite, and would be away after a minute."""
    with contextlib.closing(sqlite3.connect(ironic.directory / "ironic.db", timeout=30)) as database, database:
        database.execute("UPDATE conductors SET updated_at = datetime('now', '+1 hour')")


def of_keystone(keystone):
    text = "clouds:\n"
    for name, (user, project) in WHO.items():
        scope = f"project_name: {project}\n      project_domain_id: default" if project else "system_scope: all"
        text += KEYED.format(name=name, region=keystone.region, auth_url=keystone.auth_url, user=user, password=PASSWORD, scope=scope)
    return text


@pytest.mark.timeout(900)
def test_all_of_them_pass_for_the_admin_of_a_project(tmp_path):
    house = House()
    try:
        house.start()
        for ironic in house.ironics:
            keep_alive(ironic)
        runs = Runs(of_keystone(house.hub), tmp_path / "gateway")
        runs.run()
        for _ in range(3):
            # SQLite may be "locked" for an Ironic.
            if runs.failed:
                wipe(house.api("system admin"))
                runs.run_again()
    finally:
        house.close()
    print(f"{len(runs.passed)} passed")
    assert not runs.failed, "\n".join(f"{test}\n{runs.said[test]}" for test in sorted(runs.failed))
    assert len(runs.passed) == ALL


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("clean")
def test_what_passes_at_one_ironic_passes_through_the_gateway(api, direct, tmp_path):
    with Ironic("single") as single:
        here, there = Runs(open_to_all(api.url), tmp_path / "gateway"), Runs(open_to_all(single.url), tmp_path / "single")
        both(here.run, there.run)
        assert here.passed and there.passed, "they did not run"
        for _ in range(3):
            again = sorted(here.failed | there.failed)
            if not again:
                break
            # SQLite may be "locked" for either, and some of their tests leave nodes behind.
            for asked in [*direct.values(), Api(single.url)]:
                wipe(asked)
            both(lambda: here.run(*again), lambda: there.run(*again))
    print(f"through the gateway {len(here.passed)} passed, at a single Ironic {len(there.passed)}")
    assert len(there.passed) >= FEWEST, sorted(there.failed)
    locked = {test for test, text in here.said.items() if "database is locked" in text}
    missing = sorted(there.passed - here.passed - locked - {HEARTBEATS})
    assert not missing, "\n".join(f"{test}\n{here.said.get(test, 'skipped')}" for test in missing)
