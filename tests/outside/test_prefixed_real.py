"""Ironic below a path, on both sides: real Ironics behind nginx, and the gateway published by it, over TLS."""

import contextlib
import ssl

import openstack
import pki
import pytest
from bed.ironic import Ironic
from client import Api, command, until, wipe
from gateway import Gateway, config
from test_faults_links import hrefs
from webserver import Terminator

# How a terminator tells what the client asked.
TOLD = {
    "/metal": ["X-Forwarded-Proto $scheme", "X-Forwarded-Host $http_host", "X-Forwarded-Prefix /metal"],
    "/rfc7239": ['Forwarded "for=$remote_addr;proto=$scheme;host=\\"$http_host\\""', "X-Forwarded-Prefix /rfc7239"],
}
SCOPE = {"OpenStack-System-Scope": "all"}


class Published:
    """The gateway behind nginx, and the Ironics behind it, which it reaches through another nginx."""

    def __init__(self, alike, stack, directory):
        authority = pki.Authority(directory)
        self.cafile = authority.certfile
        self.context = ssl.create_default_context(cafile=authority.certfile)
        identity = authority.issue("front", hosts=["127.0.0.1"])
        far = Terminator(identity)
        # As devstack configures it: it is told what it is called, so its own links are below the path.
        told = stack.enter_context(Ironic("told", api={"public_endpoint": f"{far.url}/baremetal"}))
        # These are not told; what their links say is not where they are.
        far.behind = {
            "/baremetal/": f"{told.url}/",
            "/edge/two/": f"{alike['loc2'].url}/",
            "/edge/three/": f"{alike['loc3'].url}/",
        }
        stack.enter_context(far)
        self.ironics = {"loc1": told, "loc2": alike["loc2"], "loc3": alike["loc3"]}
        endpoints = {"loc1": f"{far.url}/baremetal", "loc2": f"{far.url}/edge/two/v1/", "loc3": f"{far.url}/edge/three"}
        text = config(
            endpoints,
            api={"max_limit": 2, "location_endpoints": True},
            location_options={name: {"cafile": self.cafile, "local_groups": local} for name, local in LOCAL.items()},
            sections={"oslo_middleware": {"enable_proxy_headers_parsing": True}},
        )
        running = stack.enter_context(Gateway(text))
        self.front = Terminator(identity)
        self.front.lines = [
            f"location {path}/ {{ proxy_pass {running.url}/; proxy_set_header Host $proxy_host; {headers(told)} }}" for path, told in TOLD.items()
        ]
        stack.enter_context(self.front)
        until(lambda: Api(running.url).get("/v1/nodes").status == 200, what="all locations")

    def api(self, path):
        return Api(self.front.url + path, context=self.context)


LOCAL = {"loc1": None, "loc2": "grp1:_", "loc3": "grp2:_"}


def headers(told):
    return " ".join(f"proxy_set_header {line};" for line in told)


@pytest.fixture(scope="module")
def published(alike, tmp_path_factory):
    with contextlib.ExitStack() as stack:
        yield Published(alike, stack, tmp_path_factory.mktemp("pki"))


@pytest.fixture
def clean(published):
    yield
    for site in published.ironics.values():
        wipe(Api(site.url, headers=SCOPE))


def checked(document, base):
    found = [link for link in hrefs(document) if not link.startswith("https://docs.openstack.org/")]
    assert found and all(link.startswith(f"{base}/") for link in found), found
    # Below the path once only.
    assert not [link for link in found if "/metal" in link.removeprefix(base) or "/baremetal" in link or "/edge" in link], found
    return document


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("path", [*TOLD, "/metal/locations/loc1", "/rfc7239/locations/loc2"])
def test_every_link_is_below_the_path(published, path):
    api, base = published.api(path), published.front.url + path
    pinned = "/locations/" in path
    groups = {"loc1": [""], "loc2": ["grp1"]}[path[-4:]] if pinned else ["", "grp1", "grp2"]
    for start in ("/", "/v1", "/v1/"):
        checked(api.ok("GET", start), base)
    for number in range(3):
        for group in groups:
            body = {"driver": "fake-hardware", "name": f"n{number}{group}", "conductor_group": group}
            created = api("POST", "/v1/nodes", json=body)
            uuid = checked(created.json(), base)["uuid"]
            assert (created.status, created.header("Location")) == (201, f"{base}/v1/nodes/{uuid}")
            checked(api.ok("GET", f"/v1/nodes/{uuid}"), base)
            checked(api.patch(f"/v1/nodes/{uuid}", ("add", "/extra/a", {"href": "http://own/"})).json()["links"], base)
            mac = f"52:54:00:00:0{number}:0{groups.index(group)}"
            port = api("POST", "/v1/ports", json={"node_uuid": uuid, "address": mac})
            assert port.header("Location") == f"{base}/v1/ports/{checked(port.json(), base)['uuid']}"
            power = api("PUT", f"/v1/nodes/{uuid}/states/power", json={"target": "power on"})
            assert (power.status, power.header("Location")) == (202, f"{base}/v1/nodes/{uuid}/states")
    every = {f"n{number}{group}" for number in range(3) for group in groups}
    for style in ("next", "marker"):
        for query in ({}, {"limit": 1}, {"sort_key": "name", "sort_dir": "desc"}, {"detail": True}):
            items, pages = api.walk(style, **query)
            assert sorted(item["name"] for item in items) == sorted(every), (style, query)
            assert pages >= len(every) / 2
            checked(items, base)
        assert len(api.walk(style, "/v1/ports")[0]) == len(every)
    assert checked(api.ok("GET", "/v1/nodes?limit=1"), base)["next"].startswith(f"{base}/v1/nodes?")


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("path", ["/metal", "/metal/locations/loc2"])
def test_real_clients_follow_the_links(published, path):
    url = published.front.url + path
    baremetal = command(OS_AUTH_TYPE="none", OS_ENDPOINT=url, OS_CACERT=str(published.cafile))
    group = "grp1" if "loc2" in path else ""
    names = [f"n{number}" for number in range(5)]
    for name in names:
        created = published.api(path).create(name=name, conductor_group=group)
    assert baremetal("node", "show", "n3")["name"] == "n3"
    assert created["name"] == "n4"
    # Five of two a page: whole only if `next` was followed.
    assert [row["name"] for row in baremetal("node", "list", "--limit", "0")] == names
    with openstack.connect(load_yaml_config=False, load_envvars=False, auth_type="none", endpoint=url, cacert=str(published.cafile)) as cloud:
        assert [node.name for node in cloud.baremetal.nodes()] == names
        assert [node.name for node in cloud.baremetal.nodes(details=True, limit=1)] == names
    baremetal("node", "delete", *names, form=None)
    assert baremetal("node", "list") == []
