"""A start: nobody is refused because the gateway has just started, and nothing is charged to a location for it."""

import http.client
import resource

import pytest
import scripted
from client import LATEST
from fleet import fleet
from standin import Standin, new_uuid, node


@pytest.mark.parametrize("path", ["/v1", "/v1/nodes", "/v1/nodes/there"])
def test_a_request_waits_for_what_a_location_first_says(path):
    site = Standin()
    site.add(node("there"))
    # Longer than the first round waits before it says that it listens.
    site.fault(scripted.late(1.5), path="/", times=1)
    with fleet(site, wait=False) as hub:
        assert hub.get(path).status == 200


def test_a_known_location_is_asked_although_another_one_says_nothing():
    silent = Standin()
    silent.fault(scripted.hang(), path="/")
    with fleet(Standin(), silent, wait=False) as hub:
        record = hub.loc1.add(node("there"))
        assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200


def test_no_location_at_all_is_told_in_the_end():
    site = Standin()
    site.down()
    with fleet(site, wait=False, api={"request_deadline": 3}) as hub:
        reply = hub.get("/v1/nodes")
        assert reply.status == 503, reply
        assert "No location" in reply.text()


def test_a_warm_start_opens_no_breaker(tmp_path):
    """Known from before, not yet resolved: the first requests wait for the addresses."""
    sites = [Standin(), Standin()]
    with fleet(*sites, default={"state_path": str(tmp_path)}, every={"breaker_failures": 1}) as hub:
        record = hub.loc2.add(node("there"))
        assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
        for _ in range(3):
            hub.gateway.stop()
            hub.gateway.start()
            assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
            assert hub.get("/v1/nodes").status == 200


def test_descriptors_that_run_out_are_not_the_locations_fault():
    """EMFILE is ours, and told as ours; no breaker opens."""
    with fleet(2, wait=False, every={"breaker_failures": 1, "breaker_reset": 60}) as hub:
        process = hub.gateway.process.pid
        connection = http.client.HTTPConnection(hub.host, hub.port, timeout=20)

        def ask(path):
            connection.request("GET", path, headers={"X-OpenStack-Ironic-API-Version": LATEST})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

        assert ask("/v1")[0] == 200
        for site in hub.all():
            site.drop_connections()
        limits = resource.prlimit(process, resource.RLIMIT_NOFILE)
        # What is open stays open, and nothing new can be.
        resource.prlimit(process, resource.RLIMIT_NOFILE, (3, limits[1]))
        status, text = ask(f"/v1/nodes/{new_uuid()}")
        resource.prlimit(process, resource.RLIMIT_NOFILE, limits)
        assert (status, "(gateway)" in text) == (503, True), text
        assert ask("/v1/nodes")[0] == 200
