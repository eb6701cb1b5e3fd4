"""Real web servers in front of an Ironic refuse in their own words what a client sends: its doing, never the location's."""

import pytest
from fleet import fleet, together
from frontends import Nginx, Uwsgi, UwsgiThatKeepsConnections
from standin import node

LOCATION = {"X-Ironic-Proxy-Location": "loc1"}


def hub_behind(frontend):
    return fleet(frontend, every={"timeout": 5, "breaker_failures": 2, "breaker_reset": 60})


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
    """Connections end after seven requests, after each, and on every reload: nothing fails or is done twice."""
    with hub_behind(frontend()) as hub:
        record = hub.loc1.add(node())
        path = f"/v1/nodes/{record['uuid']}"
        hub.forget_requests()

        def alternate(name):
            statuses = set()
            for number in range(60):
                if name == "a" and number % 20 == 10:
                    hub.loc1.reload()
                statuses.add(hub.get(path).status)
                statuses.add(hub.patch(path, [{"op": "add", "path": f"/extra/{name}", "value": number}]).status)
            return statuses

        assert together(lambda: alternate("a"), lambda: alternate("b")) == [{200}, {200}]
        assert len(hub.loc1.asked("PATCH")) == 120


def test_a_long_user_agent_is_not_handed_on(nginx, uwsgi):
    for hub in (nginx, uwsgi):
        for _ in range(4):
            assert hub.get("/v1/nodes", headers={"User-Agent": "x" * 20_000}).status == 200
