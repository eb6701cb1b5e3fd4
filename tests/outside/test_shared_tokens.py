"""`memcached_servers`: what Keystone said of a token is known to all gateways, sealed, and memcached can neither read nor change it."""

import contextlib

import pytest
from admin import SECTION, Admin
from backend import Memcached
from fleet import Fleet, fleet_config, until
from metrics import read
from standin import Standin, StandinKeystone, node
from test_unique import tenant_token

from gateway import Gateway

SECRET = {"memcache_security_strategy": "ENCRYPT", "memcache_secret_key": "shared-by-gateways"}


@pytest.fixture(scope="module")
def memcached():
    with Memcached() as running:
        yield running


@pytest.fixture(scope="module")
def keystone():
    with StandinKeystone({"gw": "secret", "tenant": "secret"}) as running:
        yield running


@pytest.fixture(autouse=True)
def empty(memcached):
    memcached.say(b"flush_all")


@contextlib.contextmanager
def gateways(keystone, memcached, *each):
    """A gateway for each dictionary of options of [keystone_authtoken]."""
    own = {"auth_type": "password", "auth_url": keystone.endpoint, "username": "gw", "password": "secret",
           "user_domain_id": "default", "system_scope": "all", "memcached_servers": memcached.address, "memcache_pool_dead_retry": 1}  # fmt: skip
    with contextlib.ExitStack() as stack:
        site = stack.enter_context(Standin([node("here")]))
        hubs = []
        for options in each:
            sections = {"admin": SECTION, "keystone_authtoken": {**own, **options}}
            text = fleet_config([site.endpoint], api={"auth_strategy": "keystone"}, sections=sections)
            hubs.append(Fleet(stack.enter_context(Gateway(text)), {"loc1": site}))
        for hub in hubs:
            until(lambda hub=hub: Admin(hub.gateway).get("/ready").status == 200, what="a gateway")
        yield hubs


def come_in(hub, token):
    reply = hub.get("/v1/nodes/here", headers={"X-Auth-Token": token})
    assert reply.status == 200, reply


def asked(keystone, token):
    return sum(request.header("X-Subject-Token") == token for request in keystone.asked("GET", "/v3/auth/tokens"))


def shared(keystone, memcached, hub):
    """A token that this gateway has asked about and told the others of: the token, its key and its value."""
    token, before = tenant_token(keystone), memcached.entries()
    come_in(hub, token)
    new = until(lambda: {key: value for key, value in memcached.entries().items() if key not in before}, what="an entry")
    return token, *new.popitem()


def test_one_gateway_asks_for_all(keystone, memcached):
    with gateways(keystone, memcached, SECRET, SECRET, {**SECRET, "token_cache_time": -1}) as (first, second, asking):
        token, _, _ = shared(keystone, memcached, first)
        for _ in range(3):
            come_in(second, token)
        assert asked(keystone, token) == 1
        counted = read(Admin(second.gateway)).all("ironic_proxy_token_cache_total")
        assert counted == {("hit",): 2, ("miss",): 1, ("shared",): 1}
        # Who believes nobody believes no gateway either.
        come_in(asking, token)
        assert asked(keystone, token) == 2
        reply = second.get("/v1/nodes/here", headers={"X-Auth-Token": token + "x"})
        assert reply.status == 401, reply
        # memcached's crawler passes over what somebody else has locked just then.
        until(lambda: len(memcached.entries()) == 1, what="one entry, none of the refusal")


def test_memcached_holds_nothing_in_clear(keystone, memcached):
    with gateways(keystone, memcached, SECRET) as (hub,):
        token, key, value = shared(keystone, memcached, hub)
        document = keystone.tokens[token]
        words = [token, document["user"]["id"], "tenant", "default", "admin", "expires_at", "shared-by-gateways"]
        everything = b" ".join(part for entry in memcached.entries().items() for part in entry)
        assert not [word for word in words if word.encode() in everything]
        assert key.startswith(b"tokens/") and len(value) > 100


FORGED = {
    "garbled": lambda ours, other: ours[:-1] + bytes([ours[-1] ^ 1]),
    "garbled nonce": lambda ours, other: bytes([ours[0] ^ 1]) + ours[1:],
    "cut": lambda ours, other: ours[:-10],
    "empty": lambda ours, other: b"",
    "another token's": lambda ours, other: other,
    "in clear": lambda ours, other: b'{"vouched": {"secs_since_epoch": 4102444800, "nanos_since_epoch": 0}, "token": {}}',
    "long": lambda ours, other: b"x" * 500_000,
}


@pytest.fixture(scope="module")
def pair(keystone, memcached):
    with gateways(keystone, memcached, SECRET, SECRET) as hubs:
        yield hubs


@pytest.mark.parametrize("forged", FORGED)
def test_what_memcached_changes_is_ignored(keystone, memcached, pair, forged):
    first, second = pair
    token, key, value = shared(keystone, memcached, first)
    _, _, other = shared(keystone, memcached, first)
    memcached.put(key, FORGED[forged](value, other))
    come_in(second, token)
    assert asked(keystone, token) == 2
    user = keystone.tokens[token]["user"]["id"]
    second.logged(f"{user}.*GET /v1/nodes/here")
    # One that was asked about again counts again.
    until(lambda: memcached.entries().get(key) not in (None, FORGED[forged](value, other)), what="a new entry")


def test_another_secret_shares_nothing(keystone, memcached):
    with gateways(keystone, memcached, SECRET, {**SECRET, "memcache_secret_key": "another"}) as (first, second):
        token, key, _ = shared(keystone, memcached, first)
        come_in(second, token)
        assert asked(keystone, token) == 2
        until(lambda: len(memcached.entries()) == 2, what="an entry of its own")


def test_an_old_entry_that_is_put_back_is_worth_nothing(keystone, memcached):
    short = {**SECRET, "token_cache_time": 1}
    with gateways(keystone, memcached, short, short) as (first, second):
        token, key, value = shared(keystone, memcached, first)
        keystone.tokens.pop(token)

        def refused():
            memcached.put(key, value)
            return second.get("/v1/nodes/here", headers={"X-Auth-Token": token}).status == 401

        until(refused, what="the end of a revoked token")


@pytest.mark.parametrize("end", [Memcached.kill, Memcached.freeze])
def test_without_memcached_each_asks_for_itself(keystone, memcached, end):
    with gateways(keystone, memcached, SECRET) as (hub,):
        come_in(hub, tenant_token(keystone))
        end(memcached)
        try:
            tokens = [tenant_token(keystone) for _ in range(5)]
            for token in tokens:
                come_in(hub, token)
                assert asked(keystone, token) == 1
            assert hub.gateway.log().count("A server of memcached_servers is not asked") == 1
        finally:
            memcached.thaw() if end is Memcached.freeze else memcached.start()

        def known():
            come_in(hub, tenant_token(keystone))
            return len(memcached.entries()) > 0

        memcached.say(b"flush_all")
        until(known, what="memcached again")
        assert "A server of memcached_servers answers again" in hub.gateway.log()


@pytest.mark.parametrize(
    "options",
    [{}, {"memcache_secret_key": "x"}, {"memcache_security_strategy": "ENCRYPT"}, {**SECRET, "memcache_security_strategy": "MAC"},
     {**SECRET, "memcache_tls_enabled": True}],
)  # fmt: skip
def test_what_is_not_sealed_is_not_shared(keystone, memcached, options):
    with gateways(keystone, memcached, options) as (hub,):
        come_in(hub, tenant_token(keystone))
        assert "memcached_servers: is not used" in hub.gateway.log()
        assert memcached.entries() == {}
