"""Version documents, version headers and refused versions, held against real Ironics."""

import pytest

from client import LATEST, OLD, Api, fault, raw, until
from gateway import Gateway, config

RANGE = ("X-OpenStack-Ironic-API-Minimum-Version", "X-OpenStack-Ironic-API-Maximum-Version")
SERVED = "X-OpenStack-Ironic-API-Version"


@pytest.fixture(scope="module")
def mixed(sites, direct):
    """A gateway in front of a new and an old Ironic: their ranges differ."""
    with Gateway(config({"loc1": sites["loc1"].url, "old": sites["old"].url}, groups="_:loc1,grp2:old")) as gateway:
        api = Api(gateway.url, OLD)
        until(lambda: api.get("/v1/nodes").status == 200, what="both locations")
        yield api


def answers(path, headers, *apis, method="GET"):
    """The same request to each: (status, body with the base taken out, headers)."""
    found = []
    for api in apis:
        status, got, body = raw(api.url, method, path, headers)
        found.append((status, body.decode().replace(api.url, "BASE"), got))
    return found


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/"])
@pytest.mark.parametrize("version", [None, "1.1", "1.22", "1.49", "1.84", LATEST, "latest"])
def test_documents_are_ironic_s_byte_for_byte(api, direct, path, version):
    headers = {} if version is None else {"OpenStack-API-Version": f"baremetal {version}"}
    ours, theirs = answers(path, headers, api, direct["loc1"])
    assert theirs[0] == 200
    assert ours[:2] == theirs[:2]
    for name in ("Content-Type", *RANGE, SERVED):
        assert ours[2][name] == theirs[2][name], name


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/", "/v1", "/v1/"])
def test_other_methods_on_the_documents(api, direct, method, path):
    ours, theirs = answers(path, {}, api, direct["loc1"], method=method)
    assert ours[:2] == theirs[:2]


WRONG = [
    "1.116",
    "1.0",
    "1.999",
    "2.0",
    "2.1",
    "0.9",
    "1",
    "1.2.3",
    "abc",
    "null",
    "1.",
    ".1",
    "-1.1",
    "1.-1",
    "latest.1",
    " ",
]
FINE = ["1.1", "1.050", " 1.78 ", "LATEST", "Latest", "latest", "01.46", LATEST]


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/nodes", "/v1/nodes/x", "/v1/nodes/detail"])
@pytest.mark.parametrize("version", WRONG + FINE)
@pytest.mark.parametrize("header", ["OpenStack-API-Version", "X-OpenStack-Ironic-API-Version"])
def test_a_version_is_read_and_refused_as_by_ironic(api, direct, path, version, header):
    value = f"baremetal {version}" if header.startswith("Open") else version
    ours, theirs = answers(path, {header: value}, api, direct["loc1"])
    assert ours[:2] == theirs[:2]
    for name in (*RANGE, SERVED):
        assert ours[2][name] == theirs[2][name], name


@pytest.mark.parametrize(
    "headers",
    [
        {"OpenStack-API-Version": "compute 2.1"},
        {"OpenStack-API-Version": "compute 2.1, baremetal 1.46"},
        {"OpenStack-API-Version": "BareMetal 1.46"},
        {"OpenStack-API-Version": "baremetal 1.46, baremetal 1.50"},
        {"OpenStack-API-Version": "baremetal"},
        {"OpenStack-API-Version": ""},
        {"OpenStack-API-Version": "baremetal 1.46", "X-OpenStack-Ironic-API-Version": "1.50"},
        {"OpenStack-API-Version": "compute 2.1", "X-OpenStack-Ironic-API-Version": "1.50"},
        {"X-OpenStack-Ironic-API-Version": "1.50,1.60"},
        {"X-OpenStack-Ironic-API-Version": ""},
    ],
    ids=lambda headers: " / ".join(headers.values()),
)
@pytest.mark.parametrize("path", ["/v1", "/v1/nodes/x"])
def test_the_version_headers_are_read_as_by_ironic(api, direct, headers, path):
    ours, theirs = answers(path, headers, api, direct["loc1"])
    assert ours[:2] == theirs[:2]
    assert ours[2][SERVED] == theirs[2][SERVED]


def test_a_feature_newer_than_the_version_asked_for_is_refused_as_by_ironic(api, direct):
    for version, path in [
        ("1.1", "/v1/nodes?fields=uuid"),
        ("1.8", "/v1/nodes?provision_state=active"),
        ("1.20", "/v1/nodes?resource_class=x"),
        ("1.45", "/v1/nodes?conductor_group=x"),
        ("1.20", "/v1/nodes?sort_key=resource_class"),
        ("1.42", "/v1/nodes?detail=True"),
        ("1.36", "/v1/nodes/x/traits"),
        ("1.4", "/v1/nodes/some-name"),
    ]:
        ours, theirs = answers(path, {"OpenStack-API-Version": f"baremetal {version}"}, api, direct["loc1"])
        assert theirs[0] >= 400
        assert ours[:2] == theirs[:2], (version, path)


def test_a_create_in_a_group_needs_the_version_that_has_groups(api, direct):
    body = {"driver": "fake-hardware", "conductor_group": "grp1"}
    ours = api("POST", "/v1/nodes", json=body, version="1.45")
    theirs = direct["loc2"]("POST", "/v1/nodes", json=body, version="1.45")
    assert theirs.status == 406
    assert (ours.status, ours.body) == (theirs.status, theirs.body)


# ---- ranges that differ


def narrowed(text):
    """What the new Ironic says, with the range of both."""
    return text.replace(LATEST, OLD)


@pytest.mark.parametrize("path", ["/", "/v1"])
@pytest.mark.parametrize("version", ["1.1", "1.55", OLD, "latest"])
def test_the_documents_show_the_common_range(mixed, direct, path, version):
    asked = OLD if version == "latest" else version
    (ours,) = answers(path, {"OpenStack-API-Version": f"baremetal {version}"}, mixed)
    (theirs,) = answers(path, {"OpenStack-API-Version": f"baremetal {asked}"}, direct["loc1"])
    assert ours[:2] == (theirs[0], narrowed(theirs[1]))
    assert [ours[2][name] for name in (*RANGE, SERVED)] == ["1.1", OLD, asked]


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/nodes", "/v1/nodes/x"])
@pytest.mark.parametrize("version", ["1.83", LATEST, "1.0", "2.0"])
def test_beyond_the_common_range_is_406_with_that_range(mixed, direct, path, version):
    # The new Ironic words it; beyond its own range is 1.116.
    beyond = "1.116" if version in ("1.83", LATEST) else version
    (ours,) = answers(path, {SERVED: version}, mixed)
    (theirs,) = answers(path, {SERVED: beyond}, direct["loc1"])
    assert theirs[0] == 406
    assert ours[:2] == (406, theirs[1].replace(f"1.1, {LATEST}", f"1.1, {OLD}").replace(beyond, version))
    assert [ours[2][name] for name in RANGE] == ["1.1", OLD]


@pytest.mark.usefixtures("clean")
def test_an_old_and_a_new_ironic_are_one_api_at_the_common_version(mixed, direct):
    ours = {"loc1": mixed.create(name="new-one"), "old": mixed.create(name="old-one", conductor_group="grp2")}
    assert direct["old"].get("/v1/nodes/old-one").status == 200
    assert direct["loc1"].get("/v1/nodes/old-one").status == 404
    for version in (OLD, "latest", "1.46"):
        answer = mixed.get("/v1/nodes?fields=uuid,name", version=version)
        assert [node["name"] for node in answer.json()["nodes"]] == ["new-one", "old-one"]
        assert answer.headers[SERVED] == (OLD if version == "latest" else version)
        assert [answer.headers[name] for name in RANGE] == ["1.1", OLD]
    for ident in ("old-one", "new-one"):
        answer = mixed.get(f"/v1/nodes/{ident}", version="latest")
        assert answer.headers[SERVED] == OLD
        # The new Ironic shows what it shows at the common version: nothing newer.
        assert "firmware_interface" not in answer.json()
    assert set(mixed.ok("GET", "/v1/nodes/old-one")) == set(mixed.ok("GET", "/v1/nodes/new-one"))
    assert [node["name"] for node in mixed.list(sort_key="name", sort_dir="desc", limit=1)] == ["old-one"]
    assert mixed.get("/v1/nodes/new-one/firmware").status == 404
    refused = mixed("POST", "/v1/nodes", json={"driver": "fake-hardware", "name": "x", "firmware_interface": "fake"})
    assert refused.status in (400, 406)
    assert mixed.get("/v1/nodes/x").status == 404
    assert "could not be found" in fault(mixed.get("/v1/nodes/x"))
    for node in ours.values():
        assert mixed("DELETE", f"/v1/nodes/{node['uuid']}").status == 204


@pytest.mark.usefixtures("clean")
def test_without_a_version_the_oldest_is_served(mixed, direct):
    node = mixed.create(name="plain")
    answer = mixed.get(f"/v1/nodes/{node['uuid']}", version="")
    theirs = direct["loc1"].get(f"/v1/nodes/{node['uuid']}", version="")
    assert answer.headers[SERVED] == theirs.headers[SERVED] == "1.1"
    assert list(answer.json()) == list(theirs.json())
