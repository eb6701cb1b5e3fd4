"""A start: nobody is refused because the gateway has just started, and nothing is charged to a location for it."""

import http.client
import resource
import threading

import pytest
import scripted
from client import LATEST
from fleet import fleet, until
from standin import Standin, new_uuid, node
from test_coordination import Later


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


def test_what_is_taken_is_asked_in_a_version_that_the_location_has_told():
    """In one that all others have it may lack the collection, and its 404 would mean that the name is free."""
    event, late = threading.Event(), Standin()
    late.objects["runbooks"].append({"uuid": new_uuid(), "name": "CUSTOM_A", "owner": None, "public": True, "steps": [], "extra": {}})
    late.fault(scripted.held(event), path="/")

    def lacks_them_before(exchange):
        asked = exchange.request.header("X-OpenStack-Ironic-API-Version")
        return exchange.true_answer() if asked == "1.115" else scripted.says(404, "Not Found")(exchange)

    late.fault(lacks_them_before, path="/v1/runbooks.*")
    with fleet(Standin(versions=("1.1", "1.89")), Standin(), late, wait=False) as hub:
        pinned = {"X-Ironic-Proxy-Location": "loc2"}
        until(lambda: hub.get("/v1/nodes", headers=pinned).status == 200)
        later = Later(lambda: hub.post("/v1/runbooks", {"name": "CUSTOM_A", "steps": []}, headers=pinned))
        until(lambda: hub.loc1.asked("GET", "/v1/runbooks/CUSTOM_A"), what="the question to the others")
        event.set()
        assert later.reply().status == 409, later.reply()
        assert not hub.loc2.asked("POST")


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
