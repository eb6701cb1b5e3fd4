"""Real web servers in front of an Ironic refuse in their own words what a client sends: its doing, never the location's."""

import json

import pytest
from fleet import fleet, together
from frontends import Nginx, Uwsgi, UwsgiThatKeepsConnections
from standin import node

LOCATION = {"X-Ironic-Proxy-Location": "loc1"}


def hub_behind(frontend, failures=2):
    return fleet(frontend, every={"timeout": 5, "breaker_failures": failures, "breaker_reset": 60})


@pytest.fixture(scope="module")
def nginx():
    with hub_behind(Nginx()) as hub:
        yield hub


@pytest.fixture(scope="module")
def uwsgi():
    with hub_behind(Uwsgi()) as hub:
        yield hub


@pytest.mark.parametrize("headers", [{}, LOCATION], ids=["", "pinned"])
def test_a_body_above_nginx_s_limit_is_a_413_in_ironic_s_shape(nginx, headers):
    record = nginx.loc1.add(node())
    for method, path, body in [
        ("PATCH", f"/v1/nodes/{record['uuid']}", [{"op": "add", "path": "/extra/a", "value": "x" * 20_000}]),
        ("PUT", f"/v1/nodes/{record['uuid']}/states/provision", {"target": "active", "configdrive": "x" * 40_000}),
        ("PUT", f"/v1/nodes/{record['uuid']}/states/provision", {"target": "active", "configdrive": "x" * 200_000}),
        ("POST", "/v1/nodes", {"driver": "fake-hardware", "extra": {"a": "x" * 20_000}}),
    ] * 2:
        reply = nginx.call(method, path, body, headers=headers)
        assert reply.status == 413, reply
        assert "too large" in reply.fault()["faultstring"]
        assert b"nginx" not in reply.body
    assert nginx.get("/v1/nodes", headers=headers).status == 200, "the breaker opened"


@pytest.mark.parametrize("size", [3_000, 5_000, 9_000])
@pytest.mark.parametrize("path", ["/v1/nodes?owner={}", "/v1/nodes?owner={}&sort_key=name", "/v1/ports?fields={}"])
def test_a_query_above_a_web_server_s_buffer_is_the_clients(nginx, uwsgi, path, size):
    for hub in (nginx, uwsgi):
        for _ in range(4):
            reply = hub.get(path.format("x" * size))
            assert reply.status in (200, 400, 414), reply
            assert b"nginx" not in reply.body
        assert hub.get("/v1/nodes").status == 200, "the breaker opened"


@pytest.mark.parametrize("frontend", [Nginx, Uwsgi, UwsgiThatKeepsConnections])
def test_short_keep_alives_and_reloads_cost_no_request(frontend):
    """Connections end after seven requests, after each, and on every reload: nothing fails or is done twice.

    uWSGI closes its socket while it begins anew. What it refused meanwhile was not executed, is told so, and is sent once more by
    the client; what it took and then forgot is a 504.
    """
    told = {200} if frontend is Nginx else {200, 503, 504}
    with hub_behind(frontend(), failures=1_000_000) as hub:
        record = hub.loc1.add(node())
        path = f"/v1/nodes/{record['uuid']}"
        hub.forget_requests()

        def answered(ask):
            statuses = []
            while not statuses or statuses[-1] == 503:
                statuses.append(ask().status)
                assert statuses[-1] in told and len(statuses) < 10_000, statuses[-10:]
            return statuses[-1]

        def alternate(name):
            statuses = {}
            for number in range(60):
                if name == "a" and number % 20 == 10:
                    hub.loc1.reload()
                answered(lambda: hub.get(path))
                change = [{"op": "add", "path": f"/extra/{name}", "value": number}]
                statuses[name, number] = answered(lambda change=change: hub.patch(path, change))
            return statuses

        first, second = together(lambda: alternate("a"), lambda: alternate("b"))
        executed = []
        for request in hub.loc1.asked("PATCH"):
            (change,) = json.loads(request.body)
            executed.append((change["path"].removeprefix("/extra/"), change["value"]))
        assert len(executed) == len(set(executed)), "done twice"
        for change, status in {**first, **second}.items():
            assert status == 504 or change in executed


def test_a_long_user_agent_is_not_handed_on(nginx, uwsgi):
    for hub in (nginx, uwsgi):
        for _ in range(4):
            assert hub.get("/v1/nodes", headers={"User-Agent": "x" * 20_000}).status == 200
