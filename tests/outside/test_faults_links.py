"""What locations send back: headers that pass and links that lead to the gateway."""

import json

import pytest
import scripted
from faults import secret_hubs
from fleet import fleet
from hostile import SENTINEL, everything, head
from standin import Standin, node

module_hub, hub = secret_hubs()


# --- what locations send

KEPT_BACK = [
    ("Set-Cookie", SENTINEL), ("Server", SENTINEL), ("WWW-Authenticate", SENTINEL), ("X-Subject-Token", SENTINEL),
    ("Keep-Alive", SENTINEL), ("Proxy-Authenticate", SENTINEL), ("Proxy-Connection", SENTINEL), ("Trailer", SENTINEL), ("Upgrade", SENTINEL),
    ("X-Auth-Token", SENTINEL), ("Set-Cookie2", SENTINEL), ("Refresh", f"0; url={SENTINEL}"), ("Alt-Svc", SENTINEL), ("Clear-Site-Data", SENTINEL),
    ("Strict-Transport-Security", SENTINEL), ("Access-Control-Allow-Origin", SENTINEL), ("Link", SENTINEL), ("Retry-After", SENTINEL),
    ("Content-Security-Policy", SENTINEL), ("ETag", SENTINEL), ("Via", SENTINEL), ("X-Extra", SENTINEL),
]  # fmt: skip


def test_what_comes_back(hub):
    record = hub.loc2.add(node("target"))
    hub.loc2.fault(scripted.with_headers(*KEPT_BACK, ("Connection", "X-Nominated"), ("X-Nominated", SENTINEL)))
    for reply in everything(hub, {}, record):
        for name, value in reply.pairs:
            assert SENTINEL not in value, f"{name} came back"
        names = [name.lower() for name, _ in reply.pairs]
        for once in ("content-length", "content-type", "x-openstack-request-id", "date", "x-openstack-ironic-api-version"):
            assert names.count(once) <= 1, f"{once} is repeated: {names}"


def test_an_answer_cannot_split_the_headers(hub):
    record = hub.loc2.add(node("target"))
    hub.loc2.fault(scripted.with_headers(("X-Extra", f"a\rSet-Cookie: {SENTINEL}")), path="/v1/nodes/.+")
    reply = hub.raw(head("GET", f"/v1/nodes/{record['uuid']}"))
    assert SENTINEL.encode() not in reply.partition(b"\r\n\r\n")[0]


# --- links


def hrefs(document):
    """Every link of an answer, by structure."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key in ("href", "next") and isinstance(value, str):
                yield value
            elif key not in ("extra", "properties", "driver_info", "instance_info"):
                yield from hrefs(value)
    elif isinstance(document, list):
        for item in document:
            yield from hrefs(item)


def check_links(hub, base, headers=()):
    """Walks over everything that holds links; all must start with `base`."""
    names = []
    for index, site in enumerate(hub.all(), 1):
        names += [site.add(node(f"linked-{index}-{number}"))["name"] for number in range(2)]
    group = {"loc1": "", "loc2": "grp1", "loc3": "grp2"}
    checked = 0
    for location in hub.sites:
        created = hub.post("/v1/nodes", {"driver": "d", "conductor_group": group[location]}, headers=headers)
        assert created.status == 201, created
        ident = created.json()["uuid"]
        assert created.header("Location") == f"{base}/v1/nodes/{ident}"
        power = hub.put(f"/v1/nodes/{ident}/states/power", {"target": "power on"}, headers=headers)
        assert power.header("Location") == f"{base}/v1/nodes/{ident}/states"
        trait = hub.put(f"/v1/nodes/{ident}/traits/CUSTOM_A", headers=headers)
        assert trait.header("Location") == f"{base}/v1/nodes/{ident}/traits/CUSTOM_A"
        shown = hub.get(f"/v1/nodes/{ident}", headers=headers).json()
        assert shown["links"] == [
            {"href": f"{base}/v1/nodes/{ident}", "rel": "self"},
            {"href": f"{base}/nodes/{ident}", "rel": "bookmark"},
        ]
        assert shown["ports"] == [
            {"href": f"{base}/v1/nodes/{ident}/ports", "rel": "self"},
            {"href": f"{base}/nodes/{ident}/ports", "rel": "bookmark"},
        ]
        patched = hub.patch(f"/v1/nodes/{ident}", [{"op": "add", "path": "/extra/a", "value": 1}], headers=headers).json()
        for document in (created.json(), shown, patched):
            found = list(hrefs(document))
            assert len(found) >= 10
            assert all(link.startswith((f"{base}/v1/nodes/{ident}", f"{base}/nodes/{ident}")) for link in found), found
            checked += len(found)
    for path in ("/v1/nodes?limit=1", "/v1/nodes?detail=True", "/v1/nodes?sort_key=name&limit=3", "/v1/nodes/detail?limit=2"):
        document = hub.get(path, headers=headers).json()
        found = list(hrefs(document))
        assert found and all(link.startswith((f"{base}/v1/nodes", f"{base}/nodes/")) for link in found), found
        if "limit" in path:
            assert document["next"].startswith(f"{base}{path.partition('?')[0]}?")
    for path in ("/", "/v1"):
        found = [link for link in hrefs(hub.get(path, headers=headers).json()) if not link.startswith("https://docs.openstack.org/")]
        assert found and all(link.startswith(f"{base}/") for link in found), found
    return checked


@pytest.fixture(scope="module")
def prefixed():
    """Locations under a prefix, with a trailing /v1 in the configuration, and one whose own links say something else."""

    class Versioned(Standin):
        @property
        def endpoint(self):
            return f"{super().endpoint}/v1"

    sites = [
        Standin(prefix="/baremetal"),
        Versioned(prefix="/edge/two"),
        Standin(link_base="https://bm.example.com/baremetal"),
    ]
    with fleet(*sites) as hub:
        yield hub


def test_links_of_prefixed_endpoints(prefixed):
    prefixed.heal()
    assert check_links(prefixed, prefixed.url) >= 90
    for name, start in (("loc1", "/baremetal/v1/"), ("loc2", "/edge/two/v1/"), ("loc3", "/v1/")):
        assert all(request.target.startswith(start) for request in prefixed.sites[name].asked("PUT"))


def test_links_show_the_host_that_the_client_used(prefixed):
    for host in ("hub.example", "hub.example:6385", "[::1]:6385"):
        [(status, _, body)] = prefixed.raw_replies(head("GET", "/v1/nodes?limit=1", host=host))
        assert status == 200
        assert all(link.startswith(f"http://{host}/") for link in hrefs(json.loads(body)))


@pytest.mark.parametrize("headers", [
    {"X-Forwarded-Proto": "https", "X-Forwarded-Host": SENTINEL, "X-Forwarded-Prefix": "/x"},
    {"Forwarded": f"proto=https;host={SENTINEL}"},
    {"X-Forwarded-Host": SENTINEL},
])  # fmt: skip
def test_forwarded_headers_are_ignored(prefixed, headers):
    prefixed.heal()
    check_links(prefixed, prefixed.url, headers)
    assert not [request for site in prefixed.all() for request in site.requests if SENTINEL.encode() in request.head]


def test_forwarded_headers_when_they_are_enabled():
    sites = [Standin(), Standin(prefix="/baremetal")]
    with fleet(*sites, sections={"oslo_middleware": {"enable_proxy_headers_parsing": True}}) as hub:
        check_links(hub, "https://api.example", {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example"})
        check_links(hub, "https://api.example/metal", {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example",
                                                       "X-Forwarded-Prefix": "/metal"})  # fmt: skip
        check_links(hub, hub.url)
        names = {name for site in hub.all() for request in site.requests for name in request.header_names()}
        assert not [name for name in names if "forwarded" in name]


@pytest.mark.parametrize("endpoint", ["https://api.example.org/metal", "https://api.example.org:8443", "http://api.example.org/metal/"])
def test_public_endpoint(endpoint):
    with fleet(2, api={"public_endpoint": endpoint}) as hub:
        check_links(hub, endpoint.rstrip("/"))
        check_links(hub, endpoint.rstrip("/"), {"X-Forwarded-Host": "evil", "X-Forwarded-Proto": "gopher"})


def test_data_that_looks_like_links_is_left_alone(hub):
    own = hub.loc1.endpoint
    data = {
        "links": [{"href": f"{own}/v1/nodes/x", "rel": "self"}],
        "next": f"{own}/v1/nodes?marker=x",
        "href": f"{own}/v1/nodes",
        "ports": [{"href": f"{own}/v1/ports"}],
        "text": f'a "{own}/v1/nodes/y" b',
    }
    fields = {name: data for name in ("extra", "properties", "driver_info", "instance_info", "driver_internal_info", "network_data")}
    record = hub.loc1.add(node("data", description=f"{own}/v1/nodes/z", owner=f"{own}/v1/nodes/z", **fields))
    answers = [
        hub.get("/v1/nodes/data").json(),
        hub.get("/v1/nodes?detail=True").json()["nodes"][0],
        hub.get("/v1/nodes?detail=True&sort_key=name").json()["nodes"][0],
        hub.get("/v1/nodes?fields=extra,properties,driver_info,description,uuid").json()["nodes"][0],
        hub.patch(f"/v1/nodes/{record['uuid']}", []).json(),
    ]
    for answer in answers:
        for name in ("extra", "properties", "driver_info"):
            assert answer[name] == data
        assert answer["description"] == f"{own}/v1/nodes/z"
        assert all(link["href"].startswith(hub.url) for link in answer["links"])


def test_a_routed_answer_is_byte_for_byte_but_for_its_links(hub):
    record = hub.loc1.add(node("odd"))
    assert hub.get("/v1/nodes/odd").status == 200
    odd = (
        b'{"uuid": "%s", "weight": 1.10, "huge": 123456789012345678901234567890, "exp": 1E+5, "twice": 1, "twice": 2,'
        b' "text": "\\u00e9\\/\xc3\xa9", "new": {"b": 1 , "a":[ ]}, "name": null, "links": []}  ' % record["uuid"].encode()
    )
    hub.loc1.fault(scripted.answers(200, odd), path="/v1/nodes/.+")
    assert hub.get(f"/v1/nodes/{record['uuid']}").body.strip() == odd.strip()


def test_vendor_passthru_is_bytes(hub):
    record = hub.loc2.add(node("target"))
    blob = bytes(range(256)) * 300
    reply = hub.post(f"/v1/nodes/{record['uuid']}/vendor_passthru/m", blob, headers={"Content-Type": "application/octet-stream"})
    assert (reply.status, reply.body) == (200, blob)
    assert reply.header("Content-Type") == "application/octet-stream"
    assert hub.loc2.asked("POST")[0].header("Content-Type") == "application/octet-stream"
    link = json.dumps({"links": [{"href": f"{hub.loc2.endpoint}/v1/nodes/x"}]}).encode()
    assert hub.post(f"/v1/nodes/{record['uuid']}/vendor_passthru/m", link).body == link
