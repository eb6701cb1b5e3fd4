"""A real Ironic that is stopped, and one that comes back."""

import time
import uuid

import pytest

from bed.ironic import Ironic
from client import GROUPS, Api, fault, until
from gateway import Gateway, config

ABSENT = "00000000-0000-4000-8000-00000000dead"
INCOMPLETE = "X-Ironic-Proxy-Incomplete"
PARTIAL = "X-Ironic-Proxy-Partial"
UNVERIFIED = "X-Ironic-Proxy-Unverified"

pytestmark = pytest.mark.usefixtures("clean")


def known(gateway):
    """A client of a gateway that has seen all its locations."""
    api = Api(gateway.url)
    until(lambda: api.get("/v1/nodes").status == 200, what="all locations")
    return api


@pytest.fixture
def broken(sites, locations, direct, clean):
    """(client, nodes): one node at each location, then loc3's Ironic is stopped; it runs again afterwards."""
    with Gateway(config(locations)) as gateway:
        api = known(gateway)
        nodes = {
            name: api.create(name=f"at-{name}", **({"conductor_group": group} if group else {}))
            for name, group in GROUPS.items()
        }
        sites["loc3"].stop()
        try:
            yield api, nodes
        finally:
            sites["loc3"].start()


def refused(answer):
    """A 503 of the gateway's that names loc3 and no other location, and gives nothing away."""
    assert answer.status == 503, answer.body.decode()
    assert "Retry-After" not in answer.headers
    text = fault(answer)
    assert "loc3" in text and "loc1" not in text and "loc2" not in text
    assert "127.0.0.1" not in text
    return True


def test_known_nodes_answer_and_unknown_ones_are_503_naming_the_location(broken, sites):
    api, nodes = broken
    for name in ("loc1", "loc2"):
        for ident in (nodes[name]["uuid"], nodes[name]["name"]):
            begin = time.monotonic()
            answer = api.get(f"/v1/nodes/{ident}")
            assert answer.status == 200, answer.body.decode()
            assert time.monotonic() - begin < 2
    for ident in (ABSENT, "never-seen", nodes["loc3"]["uuid"], nodes["loc3"]["name"]):
        assert refused(api.get(f"/v1/nodes/{ident}"))
        assert refused(api("DELETE", f"/v1/nodes/{ident}"))
        assert refused(api("PUT", f"/v1/nodes/{ident}/states/power", json={"target": "power on"}))
    # Writes elsewhere go on.
    assert api.patch("/v1/nodes/at-loc1", ("add", "/extra/a", 1)).status == 200
    # It comes back by itself.
    sites["loc3"].start()
    until(lambda: api.get("/v1/nodes/at-loc3").status == 200, 60, "loc3 after its return")
    assert api.get("/v1/nodes/never-seen").status == 404


def test_a_list_is_whole_or_announced(broken):
    api, nodes = broken
    for path in ("/v1/nodes", "/v1/nodes/detail", "/v1/nodes?sort_key=name", "/v1/nodes?limit=3", "/v1/nodes?conductor_group=grp1"):
        assert refused(api.get(path))
    # A page that others fill is whole without it, and the walk is told when it gets there.
    page = api.get("/v1/nodes?limit=2")
    assert page.status == 200 and INCOMPLETE not in page.headers
    assert refused(api.get(page.json()["next"].removeprefix(api.url)))
    answer = api.get("/v1/nodes", headers={PARTIAL: "allow"})
    assert answer.status == 200
    assert [node["uuid"] for node in answer.json()["nodes"]] == [nodes["loc1"]["uuid"], nodes["loc2"]["uuid"]]
    assert answer.headers[INCOMPLETE] in ("loc3;reason=connect", "loc3;reason=breaker")
    # One location alone is whole.
    alone = api.get("/v1/nodes", headers={"X-Ironic-Proxy-Location": "loc2"})
    assert alone.status == 200 and INCOMPLETE not in alone.headers
    # A marker whose owner cannot be asked is no empty page.
    assert refused(api.get(f"/v1/nodes?marker={nodes['loc3']['uuid']}"))
    assert refused(api.get(f"/v1/nodes?marker={nodes['loc3']['uuid']}", headers={PARTIAL: "allow"}))


def test_creates_go_on_where_they_can_and_say_what_was_not_verified(broken, direct):
    api, _ = broken
    answer = api("POST", "/v1/nodes", json={"driver": "fake-hardware", "name": "meanwhile", "conductor_group": "grp1"})
    assert answer.status == 201, answer.body.decode()
    assert answer.headers[UNVERIFIED] == "loc3"
    assert direct["loc2"].get("/v1/nodes/meanwhile").status == 200
    renamed = api.patch("/v1/nodes/meanwhile", ("replace", "/name", "later"))
    assert renamed.status == 200
    assert renamed.headers[UNVERIFIED] == "loc3"
    assert refused(api("POST", "/v1/nodes", json={"driver": "fake-hardware", "conductor_group": "grp2"}))
    # What is surely taken is still 409.
    taken = api("POST", "/v1/nodes", json={"driver": "fake-hardware", "name": "at-loc1", "conductor_group": "grp1"})
    assert taken.status == 409


def test_the_other_choices_of_the_operator(broken, locations, direct):
    api, nodes = broken
    text = config(
        locations,
        api={"partial_lists": "allow", "require_unique": "true"},
        location_options={"loc3": {"required": "true"}},
    )
    with Gateway(text) as gateway:
        strict = Api(gateway.url)
        until(lambda: strict.get("/v1/nodes").status == 200, what="the locations that are there")
        answer = strict.get("/v1/nodes")
        assert answer.headers[INCOMPLETE].startswith("loc3;reason=")
        assert refused(strict.get("/v1/nodes", headers={PARTIAL: "deny"}))
        assert refused(strict("POST", "/v1/nodes", json={"driver": "fake-hardware", "name": "x"}))
        assert direct["loc1"].get("/v1/nodes/x").status == 404
        # Started with a location down, it knows the others.
        assert strict.get(f"/v1/nodes/{nodes['loc1']['uuid']}").status == 200
        assert refused(strict.get("/v1/nodes/at-loc3"))
    with Gateway(config(locations, location_options={"loc3": {"required": "false"}})) as gateway:
        relaxed = Api(gateway.url)
        until(lambda: relaxed.get("/v1/nodes").status == 200, what="the locations that are there")
        assert relaxed.get("/v1/nodes").headers[INCOMPLETE].startswith("loc3;reason=")
        # Announced in lists; a node that may be there is 503 all the same.
        assert refused(relaxed.get(f"/v1/nodes/{ABSENT}"))


def test_a_marker_at_a_location_that_is_there_keeps_walking_when_partial(broken):
    api, nodes = broken
    answer = api.get(f"/v1/nodes?marker={nodes['loc1']['uuid']}", headers={PARTIAL: "allow"})
    assert answer.status == 200
    assert [node["uuid"] for node in answer.json()["nodes"]] == [nodes["loc2"]["uuid"]]


def test_the_gateway_starts_before_its_locations(direct):
    identity = str(uuid.uuid4())
    late = Ironic("late")
    try:
        with Gateway(config({"late": late.url})) as gateway:
            api = Api(gateway.url)
            answer = api.get("/v1/nodes")
            assert answer.status == 503, answer.body.decode()
            assert "Retry-After" not in answer.headers
            late.start()
            until(lambda: api.get("/v1/nodes").status == 200, 60, "the location that came late")
            assert api.create(uuid=identity)["uuid"] == identity
            assert Api(late.url).get(f"/v1/nodes/{identity}").status == 200
    finally:
        late.close()


def test_what_was_learnt_survives_a_restart(sites, locations, direct):
    with Gateway(config(locations)) as gateway:
        api = known(gateway)
        node = api.create(name="remembered", conductor_group="grp1")
        sites["loc3"].stop()
        try:
            gateway.restart()
            # The range of loc3 is known from before: versions are as they were, and others' nodes are served.
            until(lambda: api.get(f"/v1/nodes/{node['uuid']}").status == 200, 30, "the restarted gateway")
            assert api.get("/v1").headers["X-OpenStack-Ironic-API-Maximum-Version"] == "1.115"
            assert refused(api.get(f"/v1/nodes/{ABSENT}"))
        finally:
            sites["loc3"].start()


def test_a_socket_that_systemd_hands_over_may_be_blocking(locations):
    with Gateway(config(locations), blocking_socket=True) as gateway:
        api = Api(gateway.url, patience=10)
        until(lambda: api.get("/v1/nodes").status == 200, what="all locations")
        for _ in range(3):
            assert api.get("/").status == 200
