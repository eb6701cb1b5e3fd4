"""The configurations under conf/examples, each in front of real Ironics that run as that neighbour runs them.

A file is used as it stands but for addresses, names of files and passwords.
"""

import contextlib
import re
import time

import pki
import pytest
from bed.ironic import Ironic, htpasswd, start_all
from bed.keystone import PASSWORD, PROJECT, Keystone
from client import Api, Refused, command, until
from gateway import REPOSITORY, Gateway
from webserver import Terminator

OPERATOR = {"operator": "operator's-word"}
# What bifrost and ironic-image call the user of their Ironic.
BASIC = {"bifrost_user": "secret:word", "ironic": "secret:word"}


@pytest.fixture(scope="module")
def basic():
    """Two Ironics with http_basic, in their default group."""
    with contextlib.ExitStack() as stack:
        every = [stack.enter_context(contextlib.closing(Ironic(name, auth="http_basic", users=BASIC))) for name in ("first", "second")]
        yield start_all(every)


class Cloud:
    """A Keystone and an Ironic behind one web server with TLS: Keystone at / and /identity, Ironic at /baremetal."""

    def __init__(self, name, authority):
        self.front = Terminator(authority.issue(name, hosts=["127.0.0.1"]))
        self.keystone = Keystone(name, baremetal_url=f"{self.front.url}/baremetal")
        self.ironic = Ironic(name, auth="keystone", keystone=self.keystone)
        root = self.keystone.auth_url.removesuffix("v3")
        self.front.behind = {"/": root, "/identity/": root, "/baremetal/": f"{self.ironic.url}/"}


class Clouds:
    """Two, under one authority."""

    def __init__(self, directory, stack):
        self.authority = pki.Authority(directory)
        self.every = [Cloud(name, self.authority) for name in ("hub", "far")]
        for cloud in self.every:
            for thing in (cloud.keystone, cloud.ironic):
                stack.callback(thing.close)
            stack.enter_context(cloud.front)
            cloud.keystone.start()
        start_all([cloud.ironic for cloud in self.every])

    def command(self, url):
        """The real command of an administrator of the first cloud, towards the gateway."""
        environment = self.every[0].keystone.environment("admin", system=True)
        return command(**environment, OS_BAREMETAL_ENDPOINT_OVERRIDE=url, OS_CACERT=str(self.authority.certfile))


@pytest.fixture(scope="module")
def clouds(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        yield Clouds(tmp_path_factory.mktemp("clouds"), stack)


class Example:
    """A file of conf/examples, which becomes a configuration."""

    def __init__(self, name, directory):
        text = (REPOSITORY / f"conf/examples/{name}.conf").read_text(encoding="utf-8")
        self.text = text.replace("/etc/ironic-proxy", str(directory))
        self.directory = directory
        (directory / "htpasswd").write_text(htpasswd(OPERATOR), encoding="utf-8")

    def put(self, *pairs):
        """Puts real values in the place of the example's; each must be there."""
        for theirs, ours in pairs:
            assert theirs in self.text, theirs
            self.text = self.text.replace(theirs, ours)

    def gateway(self):
        assert not re.search(r"example\.com|change-me", self.text), self.text
        return Gateway(self.text, env={"OS_DEFAULT__STATE_PATH": str(self.directory)})


@pytest.fixture
def example(request, tmp_path):
    return Example(request.param, tmp_path)


def example_of(name):
    return pytest.mark.parametrize("example", [name], indirect=True)


def used(baremetal, sites, where, shown):
    """A node at each location by the real command: created as `where` says, its groups `shown`."""
    deadline = time.monotonic() + 60
    while True:
        try:
            assert baremetal("node", "list") == []
            break
        except Refused:
            # Until the gateway has met all locations.
            if time.monotonic() > deadline:
                raise
    for name, words, group in zip(sites, where, shown, strict=True):
        made = baremetal("node", "create", "--driver", "fake-hardware", "--name", name, *words)
        assert (made["conductor_group"], made["uuid"]) == (group, baremetal("node", "show", name)["uuid"])
    assert [row["name"] for row in baremetal("node", "list", "--sort", "name")] == sorted(sites)
    for name, site in sites.items():
        assert site.get(f"/v1/nodes/{name}").json()["conductor_group"] == ""
    baremetal("node", "delete", *sites, form=None)


def by_password(url):
    ((user, password),) = OPERATOR.items()
    return command(OS_AUTH_TYPE="http_basic", OS_ENDPOINT=url, OS_USERNAME=user, OS_PASSWORD=password)


def direct(site):
    return Api(site.url, headers={**site._headers(), "OpenStack-System-Scope": "all"})


@example_of("bifrost")
def test_bifrost(example, basic):
    one, two = basic
    example.put(("http://berlin.example.com:6385", one.url), ("http://lyon.example.com:6385", two.url), ("change-me", "secret:word"))
    with example.gateway() as gateway:
        used(by_password(gateway.url), {"a": direct(one), "b": direct(two)}, [[], ["--conductor-group", "lyon"]], ["", "lyon"])
        assert Api(gateway.url).get("/v1/nodes").status == 401


@example_of("metal3")
def test_metal3(example, basic):
    """ironic-image: TLS in front, the certificate of each site from an authority of its own."""
    with contextlib.ExitStack() as stack:
        for city, site, host in (("berlin", basic[0], "127.0.0.1"), ("lyon", basic[1], "localhost")):
            authority = pki.Authority(example.directory / city)
            (example.directory / f"{city}-ca.pem").write_bytes(authority.pem)
            front = stack.enter_context(Terminator(authority.issue(city, hosts=[host]), {"/": site.url}))
            example.put((f"https://ironic.{city}.example.com:6385", f"https://{host}:{front.port}"))
        example.put(("change-me", "secret:word"), ("lyon.example.com", "lyon.test"))
        gateway = stack.enter_context(example.gateway())
        baremetal = by_password(gateway.url)
        one, two = (direct(site) for site in basic)
        hosts = ("10.20.0.5:8443", "[2001:db8:20::5]", "r1.bmc.lyon.test", "10.30.1.1")
        where = [["--driver-info", f"redfish_address=https://{host}"] for host in hosts]
        used(baremetal, {"a": one, "b": one, "c": two, "d": two}, where, ["", "", "lyon", "lyon"])
        with pytest.raises(Refused, match="Where the node belongs is not known"):
            baremetal("node", "create", "--driver", "fake-hardware", "--driver-info", "ipmi_address=10.40.0.1")


@example_of("devstack")
def test_devstack(example, clouds):
    """All under paths of one web server; with TLS, as devstack's tls-proxy has it."""
    for name, cloud in zip(("devstack1", "devstack2"), clouds.every, strict=True):
        example.put((f"http://{name}.example.com", cloud.front.url))
    trusted = f"cafile = {clouds.authority.certfile}"
    example.put(
        ("password = secret", f"password = {PASSWORD}"),
        ("system_scope = all", f"system_scope = all\n{trusted}"),
        ("project_name = service", f"project_name = service\n{trusted}"),
    )
    with example.gateway() as gateway:
        sites = dict(zip("ab", (direct(cloud.ironic) for cloud in clouds.every), strict=True))
        used(clouds.command(gateway.url), sites, [[], ["--conductor-group", "two"]], ["", "two"])


def in_front_of(example, clouds):
    """kolla-ansible's, in front of these clouds: endpoints come from the catalog of each."""
    for name, cloud in zip(("berlin", "lyon"), clouds.every, strict=True):
        example.put((f"https://{name}.example.com:5000", cloud.front.url))
    (example.directory / "ca.pem").write_bytes(clouds.authority.pem)
    # `gateway` is what the comment at its head makes of `ironic-proxy`.
    example.put(("username = ironic-proxy", "username = gateway"), ("change-me", PASSWORD))


@example_of("kolla-ansible")
def test_kolla_ansible(example, clouds):
    """TLS is terminated in front of the gateway too."""
    in_front_of(example, clouds)
    with contextlib.ExitStack() as stack:
        gateway = stack.enter_context(example.gateway())
        told = ["proxy_set_header X-Forwarded-Proto $scheme;", "proxy_set_header Host $http_host;"]
        front = stack.enter_context(Terminator(clouds.authority.issue("vip", hosts=["127.0.0.1"]), {"/": gateway.url}, told))
        sites = dict(zip("ab", (direct(cloud.ironic) for cloud in clouds.every), strict=True))
        used(clouds.command(front.url), sites, [[], ["--conductor-group", "lyon"]], ["", "lyon"])
        token = clouds.every[0].keystone.token("admin", system=True)
        # A link of an answer leads to the front.
        shown = Api(gateway.url, headers={"X-Auth-Token": token, "X-Forwarded-Proto": "https", "Host": "vip.test"}).ok("GET", "/v1")
        assert shown["nodes"][0]["href"] == "https://vip.test/v1/nodes/"


@example_of("kolla-ansible")
def test_a_project_at_one_location_s_own_path(example, clouds):
    """Real Keystone, real Ironics: below /locations/lyon a project has what it would have at lyon alone."""
    in_front_of(example, clouds)
    example.put(("port = 6385", "port = 6385\nlocation_endpoints = true"))
    hub, far = clouds.every
    with example.gateway() as gateway:

        def api(user, where="/locations/lyon", **scope):
            return Api(gateway.url + where, headers={"X-Auth-Token": hub.keystone.token(user, **scope)})

        system = api("admin", system=True)
        until(lambda: system.get("/v1/nodes").status == 200, what="the location")
        admin, reader = (api(f"project-{role}", project=PROJECT) for role in ("admin", "reader"))
        stranger, here = api("outsider", project="other"), api("project-admin", "/locations/berlin", project=PROJECT)
        hidden = system.create(name="hidden")
        made = admin("POST", "/v1/nodes", json={"driver": "fake-hardware", "name": "mine"})
        assert (made.status, made.header("X-Ironic-Proxy-Location"), made.json()["conductor_group"]) == (201, "lyon", "lyon"), made
        assert made.header("Location") == f"{gateway.url}/locations/lyon/v1/nodes/{made.json()['uuid']}"
        assert direct(far.ironic).ok("GET", "/v1/nodes/mine")["owner"] == made.json()["owner"]
        assert made.json()["owner"]
        for asked, names in ((system, ["hidden", "mine"]), (admin, ["mine"]), (reader, ["mine"]), (stranger, []), (here, [])):
            assert sorted(asked.get("/v1/nodes").names()) == names
        for asked, ident, status in ((reader, "mine", 403), (admin, "hidden", 404), (stranger, "mine", 404), (here, "mine", 404), (admin, "mine", 200)):
            assert asked.patch(f"/v1/nodes/{ident}", ("add", "/extra/a", 1)).status == status, (ident, status)
        assert reader("POST", "/v1/nodes", json={"driver": "fake-hardware"}).status == 403
        assert admin("DELETE", f"/v1/nodes/{hidden['uuid']}").status == 404
        assert [system("DELETE", f"/v1/nodes/{name}").status for name in ("mine", "hidden")] == [204, 204]
