"""A flood of bad tokens or passwords: strangers slow strangers of their own address, and nobody whom we know.

Nothing is measured here: Keystone holds what strangers ask, and who is answered all the same is counted.
"""

import base64
import contextlib
import http.client
import itertools
import threading
import urllib.parse

from fleet import fleet, until
from standin import Standin, StandinKeystone, new_uuid, node

from client import LATEST

HERE = "/v1/nodes/here"
# Another address of this machine.
ELSEWHERE = "127.0.0.2"
# bcrypt of "secret", at a cost that makes a queue.
SECRET = "$2b$10$euwknzy81Q6WFH33N7eeie3XCxmK2IJpawYAbYJFmwTY9aTt79IEu"
# Checks at a time: 32 at Keystone, of which one address has half.
SHARE = 16


class Holding(StandinKeystone):
    """Answers about tokens that are not its own only when it is let go."""

    def __init__(self):
        self.held = 0
        self.go_on = threading.Event()
        super().__init__({"gw": "secret", "known": "secret", "newcomer": "secret"})

    def answer(self, request):
        if request.method == "GET" and (request.header("X-Subject-Token") or "").startswith("bad-"):
            self.held += 1
            assert self.go_on.wait(60)
        return super().answer(request)

    def token(self, name):
        auth = {"identity": {"methods": ["password"], "password": {"user": {"name": name, "password": "secret"}}}, "scope": {"system": {"all": True}}}
        return dict(self._issue(auth).headers)["X-Subject-Token"]


def status(hub, headers, source="127.0.0.1"):
    address = urllib.parse.urlsplit(hub.gateway.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60, source_address=(source, 0))
    with contextlib.closing(connection):
        connection.request("GET", HERE, headers={"X-OpenStack-Ironic-API-Version": LATEST, **headers})
        return connection.getresponse().status


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@contextlib.contextmanager
def flood(hub, headers, count):
    """So many requests at the same time, each with others of these headers; yields the list of their statuses so far."""
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(status(hub, headers()))) for _ in range(count)]
    for thread in threads:
        thread.start()
    yield statuses
    for thread in threads:
        thread.join()


def test_bad_tokens_starve_nobody_whom_we_know():
    with Holding() as keystone:
        # Every token is asked about anew.
        own = {
            "auth_url": keystone.endpoint, "auth_type": "password", "username": "gw", "password": "secret", "system_scope": "all",
            "user_domain_id": "default", "token_cache_time": -1, "http_request_max_retries": 0,
        }  # fmt: skip
        options = {"api": {"auth_strategy": "keystone"}, "sections": {"keystone_authtoken": own}}
        with fleet(Standin([node("here")]), wait=False, **options) as hub:
            known, newcomer = keystone.token("known"), keystone.token("newcomer")
            until(lambda: status(hub, {"X-Auth-Token": known}) == 200)
            with flood(hub, lambda: {"X-Auth-Token": f"bad-{new_uuid()}"}, 150) as statuses:
                until(lambda: keystone.held >= SHARE)
                for _ in range(3):
                    assert status(hub, {"X-Auth-Token": known}) == 200
                assert status(hub, {"X-Auth-Token": newcomer}, ELSEWHERE) == 200, "strangers of other addresses"
                assert keystone.held == SHARE, "one address asks no more at a time"
                assert not statuses
                keystone.go_on.set()
            assert set(statuses) <= {401, 503}


def test_bad_tokens_starve_nobody_else_behind_the_same_proxy():
    """Whom a proxy names has a share of his own, all of his IPv6 addresses together."""
    with Holding() as keystone:
        own = {
            "auth_url": keystone.endpoint, "auth_type": "password", "username": "gw", "password": "secret", "system_scope": "all",
            "user_domain_id": "default", "http_request_max_retries": 0,
        }  # fmt: skip
        sections = {"keystone_authtoken": own, "oslo_middleware": {"enable_proxy_headers_parsing": True}}
        with fleet(Standin([node("here")]), wait=False, api={"auth_strategy": "keystone"}, sections=sections) as hub:
            known = keystone.token("known")
            until(lambda: status(hub, {"X-Auth-Token": known}) == 200)
            last = itertools.count(1)
            with flood(hub, lambda: {"X-Auth-Token": f"bad-{new_uuid()}", "X-Forwarded-For": f"2001:db8::{next(last)}"}, 60) as statuses:
                until(lambda: keystone.held >= SHARE)
                for neighbour in ("2001:db8:0:1::1", "192.0.2.1"):
                    newcomer = {"X-Auth-Token": keystone.token("newcomer"), "X-Forwarded-For": neighbour}
                    assert status(hub, newcomer) == 200
                assert keystone.held == SHARE, "one client asks no more at a time"
                assert not statuses
                keystone.go_on.set()
            assert set(statuses) <= {401, 503}


def test_bad_passwords_starve_nobody_of_another_address(tmp_path):
    users = tmp_path / "users"
    users.write_text(f"known:{SECRET}\nnewcomer:{SECRET}\n")
    default = {"http_basic_auth_user_file": users}
    with fleet(Standin([node("here")]), wait=False, api={"auth_strategy": "http_basic"}, default=default) as hub:
        until(lambda: status(hub, basic("known", "secret")) == 200)
        with flood(hub, lambda: basic("known", new_uuid()), 40) as statuses:
            until(lambda: statuses)
            for _ in range(3):
                assert status(hub, basic("known", "secret")) == 200
            assert status(hub, basic("newcomer", "secret"), ELSEWHERE) == 200
            assert len(statuses) < 20, "the newcomer did not wait for the flood"
        assert set(statuses) <= {401, 503}
