"""Real Ironics for the whole run, and the gateway in front of them."""

import sys
from pathlib import Path

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bed import venvs  # noqa: E402
from bed.ironic import Ironic, start_all  # noqa: E402
from client import GROUPS, LATEST, OLD, Api, command, until, wipe  # noqa: E402
from gateway import Gateway, config  # noqa: E402

# Examples against real Ironics take as long as they take.
hypothesis.settings.register_profile("outside", deadline=None, database=None, print_blob=True)
hypothesis.settings.load_profile("outside")


@pytest.fixture(scope="session")
def sites():
    """Three Ironics and an older one: name to bed.ironic.Ironic."""
    every = [Ironic(name, group=group) for name, group in GROUPS.items()]
    every.append(Ironic("old", group="grp2", release=venvs.IRONIC_OLD))
    start_all(every)
    yield {site.name: site for site in every}
    for site in every:
        site.close()


@pytest.fixture(scope="session")
def direct(sites):
    """Each Ironic asked without the gateway: name to Api."""
    # Without the scope even a noauth Ironic refuses owners.
    scope = {"OpenStack-System-Scope": "all"}
    return {name: Api(site.url, OLD if name == "old" else LATEST, scope) for name, site in sites.items()}


@pytest.fixture(scope="session")
def locations(sites):
    """The three locations as the gateway's configuration wants them."""
    return {name: sites[name].url for name in GROUPS}


@pytest.fixture(scope="session")
def gateway(locations):
    """One gateway in front of the three new Ironics."""
    with Gateway(config(locations)) as running:
        yield running


@pytest.fixture
def api(gateway):
    """The gateway, asked when it knows all its locations (a test may have stopped one before)."""
    asked = Api(gateway.url)
    until(lambda: asked.get("/v1/nodes").status_code == 200, 60, "all locations behind the gateway")
    return asked


@pytest.fixture
def clean(direct):
    """Empties all Ironics after the test."""
    yield
    for asked in direct.values():
        wipe(asked)


@pytest.fixture
def baremetal(gateway):
    """The real `baremetal` command towards the gateway; it takes a second or two each time.

    Returns what it printed, decoded, or raises Refused with its stderr.
    """
    return command(OS_AUTH_TYPE="none", OS_ENDPOINT=gateway.url)
