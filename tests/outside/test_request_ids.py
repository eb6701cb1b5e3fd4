"""Request ids, and log lines that nobody can forge."""

import re

import pytest
from faults import secret_hubs
from fleet import LATEST, assert_not_found
from hostile import SENTINEL, assert_clean, everything, head
from standin import Standin, node

module_hub, hub = secret_hubs()


REQUEST_ID = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/nodes", "/v1/nodes/nobody", "/v1/nodes/target", "/v1/nodes?limit=x", "/v1/nodes/a%2Fb"])
def test_every_answer_has_a_request_id(hub, path):
    hub.loc1.add(node("target"))
    first, second = (hub.get(path).header("X-Openstack-Request-Id") for _ in range(2))
    assert REQUEST_ID.fullmatch(first) and REQUEST_ID.fullmatch(second)
    assert first != second


def test_the_request_id_is_in_the_log(hub):
    reply = hub.get("/v1/nodes?limit=7")
    ident = reply.header("X-Openstack-Request-Id")
    hub.logged(rf"{ident}.*/v1/nodes\?limit=7.*200|/v1/nodes\?limit=7.*200.*{ident}")


def test_a_global_request_id_is_handed_on(hub):
    record = hub.loc2.add(node("target"))
    ours = "req-01234567-89ab-4cde-8f01-23456789abcd"
    for reply in everything(hub, {"X-OpenStack-Request-ID": ours}, record):
        assert reply.header("X-Openstack-Request-Id") != ours, "Ironic does not echo it"
    for site in hub.all():
        assert {request.header("X-OpenStack-Request-ID") for request in site.requests} == {ours}


def test_the_locations_request_id_is_relayed(hub):
    record = hub.loc2.add(node("target"))
    theirs = "req-99999999-89ab-4cde-8f01-23456789abcd"

    def fixed(exchange):
        answer = exchange.true_answer()
        answer.headers = [(name, theirs if "request-id" in name else value) for name, value in answer.headers]
        return answer

    hub.loc2.fault(fixed)
    assert hub.get(f"/v1/nodes/{record['uuid']}/states").header("X-Openstack-Request-Id") == theirs


@pytest.mark.parametrize("value", ["x", "req-" + SENTINEL, "req-" + "0" * 400, "req-01234567-89ab-4cde-8f01-23456789abcd x", ""])
def test_a_request_id_that_is_none_is_not_handed_on(hub, value):
    record = hub.loc2.add(node("target"))
    everything(hub, {"X-OpenStack-Request-ID": value}, record)
    for site in hub.all():
        for request in site.requests:
            handed = request.header("X-OpenStack-Request-ID")
            assert handed is None or REQUEST_ID.fullmatch(handed), handed


def test_the_log_cannot_be_forged(hub):
    """What a client sends stands in one line, whatever it holds."""
    before = len(hub.gateway.log())
    hub.raw(head("GET", "/v1/nodes/x%0aFORGED%20LINE", "User-Agent: a\x1b[31mFORGED"))
    hub.raw(head("GET", "/v1/nodes?owner=%0d%0aFORGED"))
    for line in hub.gateway.log()[before:].splitlines():
        assert not line.startswith("FORGED")
        assert "\x1b" not in line


def test_a_location_header_of_a_stranger(hub):
    """The gateway's own header is for the gateway alone."""
    hub.loc1.add(node("target"))
    reply = hub.get("/v1/nodes/target", headers={"X-Ironic-Proxy-Location": "loc1"})
    assert reply.status == 200
    for values in (["loc1", "loc2"], ["loc1,loc2"], [""], ["loc1/../loc2"]):
        reply = hub.get("/v1/nodes/target", headers=[("X-Ironic-Proxy-Location", value) for value in values])
        assert reply.status == 400, (values, reply)
    assert_not_found(hub.get("/v1/nodes/target", headers={"X-Ironic-Proxy-Location": "loc2"}), "target")
    assert_clean(hub)


def test_the_newest_version_is_what_these_tests_speak():
    assert LATEST == Standin.__init__.__kwdefaults__["versions"][1]
