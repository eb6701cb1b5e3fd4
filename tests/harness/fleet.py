"""A gateway in front of stand-ins."""

import contextlib
import re
import threading
import time

from client import LATEST, Client
from gateway import Gateway, config
from standin import Standin

# Short enough that a hanging site does not make a slow test, and nothing in the background unless a test wants it.
QUIET = {"timeout": 2, "connect_timeout": 1, "breaker_failures": 1000000, "probe_interval": 3600}


class Fleet(Client):
    """A running gateway and the stand-ins behind it, called loc1, loc2, … in order."""

    def __init__(self, gateway, sites):
        super().__init__(gateway.url)
        self.gateway = gateway
        self.sites = sites

    def __getattr__(self, name):
        if name.startswith("loc"):
            return self.sites[name]
        raise AttributeError(name)

    def all(self):
        return list(self.sites.values())

    def heal(self):
        """Every site well, every record empty."""
        for site in self.all():
            site.heal()
            site.forget_requests()

    def forget_requests(self):
        for site in self.all():
            site.forget_requests()

    def asked(self, method=None, path=None):
        """How many matching requests each location got, as a dict of those that got any."""
        counts = {name: len(site.asked(method, path)) for name, site in self.sites.items()}
        return {name: count for name, count in counts.items() if count}

    def wait_ready(self):
        """Until every location's versions are known, so that a list is whole."""
        until(lambda: self.get("/v1/nodes?fields=uuid", version=None if self._old() else LATEST).status == 200)
        self.forget_requests()

    def logged(self, pattern, since=0):
        """Waits for a line of the gateway's log that matches; the log is written after the answer. Returns the line."""

        def search():
            lines = self.gateway.log()[since:].splitlines()
            return next((line for line in lines if re.search(pattern, line)), None)

        return until(search, what=f"a line in the log like {pattern!r}")

    def _old(self):
        """Whether some location is too old for the newest version."""
        return any(site.versions[1] != LATEST for site in self.all())


def location_options(count, every=None, each=None):
    """Options per location name: QUIET, then those for every one, then its own."""
    names = [f"loc{index + 1}" for index in range(count)]
    return {name: {**QUIET, **(every or {}), **((each or {}).get(name, {}))} for name in names}


def fleet_config(endpoints, *, groups=None, api=None, default=None, every=None, each=None, sections=None):
    """A configuration for endpoints in order; `every` and `each` are options of the locations."""
    locations = {f"loc{index + 1}": endpoint for index, endpoint in enumerate(endpoints)}
    return config(
        locations,
        groups=groups,
        api={"request_deadline": 6, **(api or {})},
        default={"graceful_shutdown_timeout": 5, **(default or {})},
        location_options=location_options(len(endpoints), every, each),
        sections={"node_cache": {"sweep_interval": 0}, **(sections or {})},
    )


@contextlib.contextmanager
def fleet(*sites, wait=True, env=None, further=None, **options):
    """Starts a gateway in front of the stand-ins; an int makes that many empty ones. Closes all of them at the end.

    `further` gives a location more endpoints: its name -> stand-ins.
    """
    if len(sites) == 1 and isinstance(sites[0], int):
        sites = [Standin() for _ in range(sites[0])]
    further = further or {}
    with contextlib.ExitStack() as stack:
        endpoints = []
        for index, site in enumerate(sites):
            endpoints_of_one = [site, *further.get(f"loc{index + 1}", [])]
            for endpoint in endpoints_of_one:
                stack.enter_context(endpoint)
            endpoints.append(",".join(endpoint.endpoint for endpoint in endpoints_of_one))
        text = fleet_config(endpoints, **options)
        gateway = stack.enter_context(Gateway(text, env=env))
        hub = Fleet(gateway, {f"loc{index + 1}": site for index, site in enumerate(sites)})
        if wait:
            hub.wait_ready()
        yield hub


def until(condition, seconds=10, what="the condition", pause=0.02):
    """Polls until the condition holds, and returns what it returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds} s"
        time.sleep(pause)


def together(*calls):
    """Runs the calls at the same moment in threads and returns their results in order."""
    results = [None] * len(calls)
    errors = []
    barrier = threading.Barrier(len(calls))

    def run(index, call):
        try:
            barrier.wait()
            results[index] = call()
        except Exception as error:  # Handed to the test below; a thread cannot raise into it.
            errors.append(error)

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def assert_unavailable(reply, *names, status=503):
    """A 503 as the gateway says it: Ironic's shape, exactly these locations, nothing about them but the name."""
    assert reply.status == status, reply
    assert reply.header("Content-Type").startswith("application/json"), reply
    # python-ironicclient up to 6.3 hides the text of a 503 that has one.
    assert reply.header("Retry-After") is None, reply
    assert reply.header("WWW-Authenticate") is None
    fault = reply.fault()
    assert fault["faultcode"] == "Server", reply
    said = set(re.findall(r"\bloc\d+\b", fault["faultstring"]))
    assert said == set(names), f"named {sorted(said)} instead of {sorted(names)}: {reply}"
    assert not re.search(r"127\.0\.0\.1|localhost|:\d{4,5}|https?:", fault["faultstring"]), reply


def assert_fate_unknown(reply, *names):
    """A write was sent and its answer lost: a 504, which no client repeats by itself."""
    assert_unavailable(reply, *names, status=504)
    assert "may have been executed" in reply.fault()["faultstring"], reply
    assert "retry" not in reply.fault()["faultstring"].lower(), reply


def assert_not_found(reply, ident):
    """Ironic's own 404 for a node."""
    assert reply.status == 404, reply
    assert reply.fault() == {
        "faultcode": "Client",
        "faultstring": f"Node {ident} could not be found.",
        "debuginfo": None,
    }


def walk(hub, query, limit=None, style="next", version=LATEST, path="/v1/nodes", most=200):
    """All items of a list, page by page.

    `style`: `next` follows the link that the gateway gives, `marker` passes the last uuid by hand. Returns the items and the sizes
    of the pages.
    """
    parameters = list(query)
    if limit is not None:
        parameters.append(f"limit={limit}")
    target = path + ("?" + "&".join(parameters) if parameters else "")
    items, sizes = [], []
    while True:
        reply = hub.get(target, version=version)
        assert reply.status == 200, f"{target}: {reply}"
        document = reply.json()
        items += document["nodes"]
        sizes.append(len(document["nodes"]))
        if "next" not in document:
            return items, sizes
        assert len(sizes) < most, f"the walk does not end: {target}"
        following = document["next"]
        assert following.startswith(f"{hub.url}/v1/"), following
        if style == "next":
            target = following.removeprefix(hub.url)
        else:
            marker = document["nodes"][-1]["uuid"]
            target = f"{path}?" + "&".join([*parameters, f"marker={marker}"])
