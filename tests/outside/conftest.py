"""Real Ironics for the whole run, and the gateway in front of them; how a run is shared out among processes."""

import contextlib
from pathlib import Path

import hypothesis
import pytest
import routes
from xdist.scheduler import LoadGroupScheduling

from bed import venvs
from bed.ironic import Ironic, start_all
from bed.keystone import Keystone
from booted import CannotBoot, Machine
from client import GROUPS, LATEST, OLD, Api, command, until, wipe
from everywhere import everywhere
from gateway import Gateway, config
from house import House
from standin import Standin, node

# Examples against real Ironics take as long as they take. A run can be repeated: what failed once fails again, and a change
# is not refused for an example that it has nothing to do with. `--hypothesis-profile search` looks for new ones.
hypothesis.settings.register_profile("outside", deadline=None, database=None, print_blob=True, derandomize=True)
hypothesis.settings.register_profile("search", hypothesis.settings.get_profile("outside"), derandomize=False)
hypothesis.settings.load_profile("outside")


# The addresses of the real Ironics of this process.
REAL = pytest.StashKey[list]()
# The fixtures of them.
SHARED = {"sites", "alike"}
# What every process of the run used of them: pairs of a row and a status.
USED = pytest.StashKey[set]()
# Whether the run is of all tests with real Ironics.
WHOLE = pytest.StashKey[bool]()


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="only tests that need no real Ironic or Keystone and take seconds at most")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes long without a real service; left out by --quick")
    # Known to xdist alone, which may be off.
    config.addinivalue_line("markers", "xdist_group(name): tests of one group run in one process")
    config.stash[REAL] = []
    config.stash[USED] = set()
    config.stash[WHOLE] = False


# Before xdist reads the groups.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    selected = config.option.keyword or config.option.markexpr or any("::" in word for word in config.args)
    files = {item.path for item in items}
    config.stash[WHOLE] = not selected and files.issuperset(Path(__file__).parent.glob("test_real_*.py"))
    if config.option.quick:
        left_out = [item for item in items if needs_real_services(item) or item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    # Four Ironics take half a minute of CPU time to start: one process has all tests that share them.
    sharing = {item.path for item in items if not SHARED.isdisjoint(item.fixturenames)}
    for item in items:
        if item.path in sharing:
            item.add_marker(pytest.mark.xdist_group("real"))


class ByFile(LoadGroupScheduling):
    """A file is a piece of work, since its tests share fixtures; so is a group of files."""

    def _split_scope(self, nodeid):
        scope = super()._split_scope(nodeid)
        return nodeid.partition("::")[0] if scope == nodeid else scope


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return ByFile(config, log)


def needs_real_services(item):
    """Whether the test uses our fixture of Ironics, or its file starts services of its own."""
    starts = any(value in (Ironic, Keystone, House) for value in vars(item.module).values() if isinstance(value, type))
    return starts or not SHARED.isdisjoint(item.fixturenames)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """A process of the run has ended; what it says of itself is missing if it crashed."""
    told = getattr(node, "workeroutput", {})
    node.config.stash[USED].update(told.get("used", ()))
    node.config.stash[WHOLE] = told.get("whole", False)


def pytest_sessionfinish(session):
    """Fails a whole run that did not use each row of the table of routes with real Ironics."""
    config = session.config
    config.stash[USED].update(routes.used(config.stash[REAL]))
    if hasattr(config, "workeroutput"):
        config.workeroutput.update(used=list(config.stash[USED]), whole=config.stash[WHOLE])
    elif config.stash[WHOLE] and not config.option.quick and (faults := routes.unused(config.stash[USED])):
        report = pytest.TestReport("every route is used", ("", None, ""), {}, "failed", "\n".join(faults), "teardown")
        config.hook.pytest_runtest_logreport(report=report)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def sites(pytestconfig):
    """Three Ironics and an older one: name to bed.ironic.Ironic."""
    every = [Ironic(name, group=group) for name, group in GROUPS.items()]
    every.append(Ironic("old", group="grp2", release=venvs.IRONIC_OLD))
    start_all(every)
    pytestconfig.stash[REAL] += [site.url for site in every]
    yield {site.name: site for site in every}
    for site in every:
        site.close()


@pytest.fixture(scope="session")
def alike():
    """Three Ironics as they are found: never meant for each other, all in the default group. Name to bed.ironic.Ironic."""
    every = [Ironic(f"alike{number}") for number in (1, 2, 3)]
    start_all(every)
    yield {f"loc{number}": site for number, site in enumerate(every, 1)}
    for site in every:
        site.close()


@pytest.fixture
def there(alike):
    """Each of the Ironics as they are found, asked without the gateway; emptied after the test."""
    every = {name: Api(site.url, headers={"OpenStack-System-Scope": "all"}) for name, site in alike.items()}
    yield every
    for asked in every.values():
        wipe(asked)


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
    until(lambda: asked.get("/v1/nodes").status == 200, 60, "all locations behind the gateway")
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


@pytest.fixture
def nodes(api):
    """One node at each location: location to node."""
    return everywhere(api)


@pytest.fixture(scope="module")
def machine():
    """One with a real systemd, for the tests of one file."""
    with contextlib.ExitStack() as stack:
        try:
            booted = stack.enter_context(Machine())
        except CannotBoot as reason:
            pytest.skip(f"no systemd can be booted here: {reason}")
        yield booted


@pytest.fixture(scope="module")
def site_of_machine(machine):
    """A location that this machine can reach."""
    with machine.network():
        standin = Standin([node("one"), node("two")])
    with standin:
        yield standin
