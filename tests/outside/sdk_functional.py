"""openstacksdk's own functional tests of bare metal, as its developers run them against devstack.

They run against a single Ironic and against the gateway in front of three:
what passes there passes here.
"""

import os
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree

import pytest

from bed.ironic import Ironic
from client import Api, wipe

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


class Runs:
    """Runs of the SDK's tests against one endpoint: the tests that passed in any, those that failed in all."""

    def __init__(self, url, directory):
        self.directory = directory
        self.passed, self.failed, self.said = set(), set(), {}
        directory.mkdir()
        text = "clouds:\n" + "".join(CLOUD.format(name=name, url=url) for name in CLOUDS)
        (directory / "clouds.yaml").write_text(text, encoding="utf-8")
        (directory / "impatient.py").write_text(IMPATIENT, encoding="utf-8")

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


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("clean")
def test_what_passes_at_one_ironic_passes_through_the_gateway(api, direct, tmp_path):
    with Ironic("single") as single:
        here, there = Runs(api.url, tmp_path / "gateway"), Runs(single.url, tmp_path / "single")
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
