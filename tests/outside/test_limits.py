"""`[limits]`: too many requests of one user or one address are refused, and nobody else's."""

import re

import pytest
from admin import SECTION, Admin
from balancer import front
from bed.keystone import PROJECT
from bed.process import Died
from client import Client
from fleet import fleet, fleet_config, until
from metrics import read
from gateway import REPOSITORY
from standin import Standin, StandinKeystone, node
from test_http_basic import SECRET_WORD, WITH_COLONS, basic
from test_reload import reload

HERE = "/v1/nodes/here"
# So seldom that no machine is slow enough for one more.
SELDOM = 0.001
ANN, BOB = basic("ann", "secret-word"), basic("bob", "pass:with:colons")
FREE = [("GET", "/"), ("GET", "/v1"), ("HEAD", "/v1/"), ("GET", "/healthcheck"), ("OPTIONS", "/v1/nodes"), ("OPTIONS", "/")]


@pytest.fixture
def guarded(tmp_path):
    """Starts a gateway with these limits, whose users are ann and bob."""
    users = tmp_path / "htpasswd"
    users.write_text(f"ann:{SECRET_WORD}\nbob:{WITH_COLONS}\n", encoding="utf-8")
    users.chmod(0o600)

    def start(limits, **options):
        sections = {"limits": limits, "admin": SECTION, **options.pop("sections", {})}
        api = {"auth_strategy": "http_basic", **options.pop("api", {})}
        return fleet(Standin([node("here")]), wait=False, sections=sections, api=api, default={"http_basic_auth_user_file": users}, **options)

    return start


def ready(hub):
    """Versions are known once nobody has to wait for them; nothing of it is counted."""
    until(lambda: hub.call("GET", "/").status == 200)
    until(lambda: Admin(hub.gateway).get("/ready").status == 200)
    hub.forget_requests()


def statuses(hub, count, headers, path=HERE):
    return [hub.get(path, headers=headers).status for _ in range(count)]


def assert_refused(reply, by, seconds=1000):
    assert reply.status == 429, reply
    fault = reply.fault()
    assert fault["faultcode"] == "Client" and f"Too many requests from this {by}" in fault["faultstring"], fault
    assert seconds - 60 < int(reply.header("Retry-After")) <= seconds, reply
    assert reply.header("x-openstack-request-id").startswith("req-"), reply


def test_one_user_has_his_own_limit(guarded):
    with guarded({"user_rate": SELDOM, "user_burst": 3}) as hub:
        ready(hub)
        assert statuses(hub, 3, ANN) == [200] * 3
        hub.forget_requests()
        for _ in range(2):
            assert_refused(hub.get(HERE, headers=ANN), "user")
        assert hub.asked() == {}
        assert statuses(hub, 3, BOB) == [200] * 3
        # Whatever it is that he wants.
        for method, path, body in [("POST", "/v1/nodes", {"driver": "x"}), ("DELETE", HERE, None), ("GET", "/v1/nothing", None)]:
            assert_refused(hub.call(method, path, body, headers=ANN), "user")
        assert read(Admin(hub.gateway)).all("ironic_proxy_limited_total") == {("user",): 5}
        assert hub.logged(r"WARNING .*Requests of user ann are refused")
        assert hub.logged(r'ann - - - -\] .*"GET /v1/nodes/here .* status: 429')


def test_documents_and_health_are_free(guarded):
    with guarded({"user_rate": SELDOM, "user_burst": 1, "address_rate": SELDOM, "address_burst": 1}) as hub:
        ready(hub)
        for method, path in FREE * 2:
            assert hub.call(method, path).status in (200, 405), (method, path)
        assert statuses(hub, 2, ANN) == [200, 429]
        for method, path in FREE:
            assert hub.call(method, path, headers=ANN).status in (200, 405), (method, path)


def test_guesses_count_for_the_address_and_who_was_known_goes_on(guarded):
    with guarded({"address_rate": SELDOM, "address_burst": 3}) as hub:
        ready(hub)
        assert statuses(hub, 1, ANN) == [200]
        assert statuses(hub, 3, basic("ann", "guess")) == [401, 401, 429]
        # The right password is no answer to a guess, either.
        assert_refused(hub.get(HERE, headers=BOB), "address")
        assert_refused(hub.get(HERE), "address")
        assert_refused(hub.get("/v1/nothing", headers={"Authorization": "nonsense"}), "address")
        assert statuses(hub, 5, ANN) == [200] * 5


def test_guessed_tokens_ask_keystone_no_more_than_the_limit_allows():
    with StandinKeystone({"gateway": "secret", "ann": "word"}) as keystone:
        own = {"auth_type": "password", "auth_url": keystone.endpoint, "username": "gateway", "password": "secret", "project_name": "service"}
        own |= {"user_domain_id": "default", "project_domain_id": "default"}
        sections = {"keystone_authtoken": own, "limits": {"address_rate": SELDOM, "address_burst": 4}, "admin": SECTION}
        with fleet(Standin([node("here")]), wait=False, api={"auth_strategy": "keystone"}, sections=sections) as hub:
            ready(hub)
            ann = {"X-Auth-Token": token(keystone, "ann")}
            assert statuses(hub, 3, ann)[0] not in (401, 429)
            keystone.forget_requests()
            guesses = [hub.get(HERE, headers={"X-Auth-Token": f"guess-{number}"}).status for number in range(9)]
            assert guesses == [401] * 3 + [429] * 6
            assert len(keystone.asked("GET", "/v3/auth/tokens")) == 3
            # A service token is guessed as well as another one.
            assert_refused(hub.get(HERE, headers={**ann, "X-Service-Token": "guess"}), "address")
            assert hub.get(HERE, headers=ann).status != 429


def token(keystone, name):
    user = {"name": name, "password": keystone.users[name], "domain": {"id": "default"}}
    scope = {"project": {"name": PROJECT, "domain": {"id": "default"}}}
    document = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
    return Client(keystone.endpoint).post("/v3/auth/tokens", document).header("X-Subject-Token")


@pytest.mark.parametrize("believed", [True, False])
def test_the_address_is_the_clients_if_the_proxy_is_believed(believed):
    """Of IPv6 it is the /64."""
    sections = {"limits": {"address_rate": SELDOM, "address_burst": 1}, "admin": SECTION, "oslo_middleware": {"enable_proxy_headers_parsing": believed}}
    with fleet(Standin([node("here")]), wait=False, sections=sections) as hub:
        ready(hub)
        asked = ["192.0.2.1", "192.0.2.1", "192.0.2.2", "2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:2::1"]
        got = [hub.get(HERE, headers={"X-Forwarded-For": address}).status for address in asked]
        assert got == ([200, 429, 200, 200, 429, 200] if believed else [200, 429, 429, 429, 429, 429])


def test_after_the_wait_that_was_told_one_more_is_served():
    with fleet(Standin([node("here")]), wait=False, sections={"limits": {"address_rate": 4, "address_burst": 1}, "admin": SECTION}) as hub:
        ready(hub)
        refused = next(reply for reply in iter(lambda: hub.get(HERE), None) if reply.status == 429)
        assert refused.header("Retry-After") == "1", refused
        until(lambda: hub.get(HERE).status == 200, seconds=int(refused.header("Retry-After")))


def test_a_reload_changes_limits_and_keeps_what_was_counted():
    def configuration(limits):
        return fleet_config([site.endpoint], sections={"limits": limits, "admin": SECTION})

    with fleet(Standin([node("here")]), wait=False, sections={"admin": SECTION}) as hub:
        site = hub.loc1
        ready(hub)
        assert statuses(hub, 5, {}) == [200] * 5
        first = {"address_rate": SELDOM, "address_burst": 2}
        reload(hub, configuration(first))
        assert statuses(hub, 3, {}) == [200, 200, 429]
        reload(hub, configuration({**first, "user_rate": 1}))
        assert statuses(hub, 1, {}) == [429]
        reload(hub, configuration({**first, "address_burst": 3}))
        assert statuses(hub, 4, {}) == [200, 200, 200, 429]
        reload(hub, configuration({}))
        assert statuses(hub, 5, {}) == [200] * 5


def test_an_explanation_counts_for_nobody(guarded):
    with guarded({"user_rate": SELDOM, "user_burst": 1}) as hub:
        ready(hub)
        for _ in range(3):
            said = Admin(hub.gateway)("POST", "/explain", {"method": "GET", "path": HERE, "headers": ANN})
            assert said.status == 200 and "429" not in said.text, said
        assert statuses(hub, 2, ANN) == [200, 429]


@pytest.mark.parametrize("options", [{"user_rate": "0"}, {"address_rate": "-1"}, {"user_rate": "many"}, {"user_rate": "1", "user_burst": "0"}, {"address_rate": "nan"}])
def test_what_is_no_rate_is_a_fault(options):
    with pytest.raises(Died) as failure, fleet(1, wait=False, sections={"limits": options}):
        pass
    name = list(options)[-1]
    assert re.search(rf"\[limits\] {name}: is not ", str(failure.value)), failure.value


def test_behind_haproxy_by_our_file_a_client_is_no_other_address_than_its_own():
    """Whatever it writes into the headers that the gateway believes."""
    sections = {"limits": {"address_rate": SELDOM, "address_burst": 2}, "admin": SECTION, "oslo_middleware": {"enable_proxy_headers_parsing": True}}
    with fleet(Standin([node("here")]), wait=False, sections=sections) as hub:
        ready(hub)
        text = (REPOSITORY / "conf/haproxy/haproxy.cfg").read_text().replace("bind :6385", "bind fd@3")
        text = re.sub(r"192\.0\.2\.\d+:6385", hub.gateway.url.removeprefix("http://"), text)
        with front(text) as balancer:
            until(lambda: balancer.get("/v1").status == 200, what="HAProxy")
            lies = [{}, {"X-Forwarded-For": "192.0.2.1"}, {"Forwarded": "for=192.0.2.2"}, {"X-Forwarded-Host": "evil.example.com", "Forwarded": "host=evil.example.com"}]
            replies = [balancer.get(HERE, headers=lie) for lie in lies]
            assert [reply.status for reply in replies] == [200, 200, 429, 429]
            assert hub.logged(r' 127\.0\.0\.1 "GET /v1/nodes/here .* status: 429')
