"""Another configuration is taken while the gateway serves: as a whole, or not at all."""

import contextlib
import http.client
import itertools
import json
import os
import re
import signal
import threading
import urllib.request

import pytest
import scripted
from admin import SECTION, Admin
from clients import Clients
from fleet import fleet, fleet_config, until
from standin import Standin, node
from standin_keystone import StandinKeystone


def reload(hub, text=None):
    """Reloads, with another configuration if there is one; returns what the log says of it."""
    if text is not None:
        hub.gateway.write_config(text)
    since = len(hub.gateway.log())
    hub.gateway.process.signal(signal.SIGHUP)
    until(lambda: re.search(r"(?m)^.*(Reloaded|Not reloaded).*\n", hub.gateway.log()[since:]), what="the reload")
    # Nobody else reads it, and it holds ten messages.
    hub.told = "\n".join(iter(lambda: received(hub.gateway._notify), ""))
    return hub.gateway.log()[since:]


def configuration(*sites, **options):
    return fleet_config([site.endpoint for site in sites], **options)


def ask(connection, path):
    connection.request("GET", path, headers={"X-OpenStack-Ironic-API-Version": "1.80"})
    answer = connection.getresponse()
    answer.text = answer.read().decode()
    return answer


@contextlib.contextmanager
def load(hub, paths):
    """A keep-alive client for each path that asks again and again; yields what went wrong, and counts per path."""
    over = threading.Event()
    failures, counts = [], dict.fromkeys(paths, 0)

    def run(path):
        connection = http.client.HTTPConnection(hub.host, hub.port, timeout=20)
        connection.connect()
        opened = connection.sock
        while not over.is_set():
            try:
                answer = ask(connection, path)
            except (OSError, http.client.HTTPException) as error:
                failures.append((path, repr(error)))
                return
            if answer.status != 200:
                failures.append((path, answer.status, answer.text[:300]))
            if connection.sock is not opened:
                failures.append((path, "the connection was closed"))
                return
            counts[path] += 1

    threads = [threading.Thread(target=run, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    try:
        yield failures, counts
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_ten_reloads_under_load_fail_no_request():
    with fleet(2, every={"timeout": 10}) as hub, Standin() as third:
        here, there = hub.loc1.add(node("here")), hub.loc2.add(node("there"))
        third.add(node("elsewhere"))
        hub.wait_ready()
        paths = [f"/v1/nodes/{here['uuid']}", f"/v1/nodes/{there['uuid']}", "/v1/nodes/here", "/v1/nodes", "/v1/nodes?sort_key=name", "/v1/drivers"]
        with load(hub, paths) as (failures, counts):
            for turn in range(10):
                before = dict(counts)
                sites = [hub.loc1, hub.loc2, third][: 3 - turn % 2]
                assert "Not reloaded" not in reload(hub, configuration(*sites, every={"timeout": 10}))
                until(lambda: failures or all(counts[path] > before[path] for path in paths), what="every client answered again")  # noqa: B023
        assert failures == []
        assert third.asked(), "the third location was never asked"


def test_a_thousand_requests_a_second_do_not_notice_ten_reloads():
    """Of clients that keep their connection, and of others."""
    with fleet(2) as hub, Standin() as third, Clients(f"{hub.host}:{hub.port}") as clients:
        for turn in range(10):
            clients.go_on(100)
            assert "Not reloaded" not in reload(hub, configuration(*[hub.loc1, hub.loc2, third][: 2 + turn % 2]))
        clients.go_on()
        now = clients.assert_none_failed()
        assert now["closed"] == 0, "a connection was not kept"


def test_what_is_unchanged_keeps_connections_tokens_and_nodes():
    with StandinKeystone({"hub": "secret"}) as keystone, Standin() as third:
        credential = {"auth_type": "password", "auth_url": keystone.endpoint, "username": "hub", "password": "secret",
                      "user_domain_id": "default", "system_scope": "all"}  # fmt: skip
        each = {"loc1": credential}
        guarded = Standin(credentials=("token", keystone.valid))
        with fleet(guarded, Standin(), each=each) as hub:
            record = hub.loc1.add(node("here"))
            # By its name both are asked, and waited for: no question of this poll comes later.
            assert hub.get("/v1/nodes/here").status == 200
            seen = hub.loc1.connections, hub.loc2.connections, keystone.issued()
            assert seen[2] == 1
            hub.forget_requests()
            reload(hub, configuration(hub.loc1, hub.loc2, third, each=each))
            reload(hub)
            assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
            assert hub.asked("GET", "/v1/nodes/.*") == {"loc1": 1}, "it was looked for again"
            assert (hub.loc1.connections, hub.loc2.connections, keystone.issued()) == seen
            # The other way round: a section that says something else is read, and nobody's pool is taken for its own.
            keystone.users["hub"] = "new"
            keystone.revoke_all()
            each["loc1"] = {**credential, "password": "new"}
            assert "location `loc1` follows its changed section" in reload(hub, configuration(hub.loc1, hub.loc2, third, each=each))
            assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
            assert keystone.issued() > 1


def test_another_use_of_a_location_keeps_all_that_is_known_of_it():
    """`state` and `required` say what it is used for, not where it is."""
    with StandinKeystone({"hub": "secret"}) as keystone:
        credential = {"auth_type": "password", "auth_url": keystone.endpoint, "username": "hub", "password": "secret",
                      "user_domain_id": "default", "system_scope": "all"}  # fmt: skip
        with fleet(Standin(), Standin(credentials=("token", keystone.valid)), each={"loc2": credential}) as hub:
            record = hub.loc2.add(node("there"))
            path = f"/v1/nodes/{record['uuid']}"
            assert hub.get("/v1/nodes/there").status == 200
            seen = hub.loc2.connections, keystone.issued()
            hub.forget_requests()
            for use, said, status in (
                ({"state": "read_only"}, r"\[group:loc2\] state was enabled and is read_only", 503),
                ({"state": "read_only", "required": False}, "location `loc2` is no longer required for lists", 503),
                ({"state": "draining", "required": False}, r"\[group:loc2\] state was read_only and is draining", 200),
                ({}, "(?s)state was draining and is enabled.*location `loc2` is now required", 200),
            ):
                assert re.search(said, reload(hub, configuration(hub.loc1, hub.loc2, each={"loc2": {**credential, **use}})))
                assert hub.get(path).status == 200
                assert hub.patch(path, [{"op": "add", "path": "/extra/a", "value": 1}]).status == status
            assert hub.asked("GET", "/v1/nodes/.*").keys() == {"loc2"}, "it was looked for again"
            assert (hub.loc2.connections, keystone.issued()) == seen


def test_a_group_of_another_location_is_none_of_its_matters():
    """It may change what a location with `local_groups` calls its groups here, and nothing of where it is."""
    with StandinKeystone({"hub": "secret"}) as keystone, Standin() as third:
        credential = {"auth_type": "password", "auth_url": keystone.endpoint, "username": "hub", "password": "secret",
                      "user_domain_id": "default", "system_scope": "all", "local_groups": "berlin:_"}  # fmt: skip
        one, two = Standin(), Standin(credentials=("token", keystone.valid))
        with fleet(one, two, groups="_:loc1,berlin:loc2", each={"loc2": credential}) as hub:
            for name, group in (("here", ""), ("stranger", "lyon")):
                hub.loc2.add(node(name, conductor_group=group))

            def groups(query=""):
                found = hub.get(f"/v1/nodes?fields=name,conductor_group{query}").json()["nodes"]
                return {item["name"]: item["conductor_group"] for item in found}

            assert groups("&sort_key=conductor_group") == {"here": "berlin", "stranger": "lyon"}
            # By a name both are asked, and waited for: no question of this poll comes later.
            assert hub.get("/v1/nodes/here").status == 200
            seen = hub.loc2.connections, keystone.issued()
            hub.forget_requests()
            each = {"loc2": credential, "loc3": {"local_groups": "lyon:_"}}
            said = reload(hub, configuration(one, two, third, groups="_:loc1,berlin:loc2,lyon:loc3", each=each))
            assert "`loc3` is new" in said and "`loc2`" not in said, said
            assert hub.get("/v1/nodes/here").json()["conductor_group"] == "berlin"
            assert groups() == {"here": "berlin", "stranger": "loc2:lyon"}
            assert groups("&conductor_group=loc2:lyon").keys() == {"stranger"}
            each["loc2"] = {**credential, "local_groups": "berlin:lyon", "bmc_addresses": "192.0.2.0/24"}
            said = reload(hub, configuration(one, two, third, groups="_:loc1,berlin:loc2,lyon:loc3", each=each))
            assert "([group:loc2] local_groups)" in said and "[group:loc2] bmc_addresses are others" in said, said
            assert groups() == {"here": "loc2:_", "stranger": "berlin"}
            assert (hub.loc2.connections, keystone.issued()) == seen


@pytest.mark.parametrize("absent", ["in maintenance", "down"])
def test_versions_of_a_location_that_cannot_be_asked_stay_while_its_section_changes(absent):
    """Else all clients are offered more until it is back, and less again."""
    use = {"state": "maintenance"} if absent == "in maintenance" else {}
    with fleet(Standin(), Standin(versions=("1.1", "1.82")), wait=False) as hub:

        def newest():
            return hub.get("/v1").header("X-OpenStack-Ironic-API-Maximum-Version")

        def changed(**options):
            return configuration(hub.loc1, hub.loc2, each={"loc2": {**use, **options}})

        until(lambda: newest() == "1.82", what="the versions of both")
        reload(hub, changed())
        if absent == "down":
            hub.loc2.down()
        for seconds in (7, 8):
            assert "location `loc2` follows its changed section" in reload(hub, changed(timeout=seconds))
            assert newest() == "1.82"
        assert hub.gateway.stop() == 0
        hub.gateway.start()
        assert newest() == "1.82"


def test_nothing_is_entrusted_to_a_changed_address_before_it_has_spoken():
    """What it said at the old one counts for the versions only."""
    release, replies = threading.Event(), []

    def no_ironic(exchange):
        while not release.is_set():
            exchange.wait(0.05)
        return scripted.answers(200, b"{}")(exchange)

    with fleet(Standin([node("here")]), sections={"admin": SECTION}) as hub, Standin() as other:
        assert hub.get("/v1/nodes/here").status == 200
        other.fault(no_ironic, path="/")
        reload(hub, configuration(other, sections={"admin": SECTION}))
        waiting = threading.Thread(target=lambda: replies.append(hub.get("/v1/nodes/here")))
        waiting.start()
        admin = Admin(hub.gateway)
        until(lambda: admin.get("/status").document["requests_in_flight"] == 1, what="the request")
        release.set()
        waiting.join()
        assert replies[0].status == 503
        assert not other.asked("GET", "/v1.*")


def test_a_state_of_a_faulty_file_is_not_in_force():
    with fleet(2) as hub:
        text = configuration(hub.loc1, hub.loc2, each={"loc2": {"state": "read_only"}}, sections={"oslo_policy": {"policy_file": "@DIR@/policy.yaml"}})
        (hub.gateway.directory / "policy.yaml").write_text("baremetal:node:get: ((")
        record = hub.loc2.add(node("there"))
        assert "Not reloaded" in reload(hub, text)
        assert hub.patch(f"/v1/nodes/{record['uuid']}", [{"op": "add", "path": "/extra/a", "value": 1}]).status == 200


@pytest.mark.parametrize("use", [{}, {"state": "draining"}], ids=["", "used otherwise"])
def test_an_open_breaker_stays_open(use):
    each = {"loc2": {"breaker_failures": 1, "breaker_reset": 600, "timeout": 1}}
    with fleet(2, each=each) as hub:
        rule = hub.loc2.fault(scripted.hang(), path="/v1/nodes.*")
        assert hub.get("/v1/nodes").status == 503
        reload(hub, configuration(hub.loc1, hub.loc2, each={"loc2": {**each["loc2"], **use}}, api={"max_limit": 3}))
        hits = rule.hits
        assert hub.get("/v1/nodes").status == 503
        assert rule.hits == hits, "a location whose breaker is open was asked"


def test_a_request_ends_under_the_configuration_that_it_began_with():
    release = threading.Event()
    with fleet(2, every={"timeout": 10}) as hub:
        record = hub.loc2.add(node("held"))
        path = f"/v1/nodes/{record['uuid']}"
        assert hub.get(path).status == 200
        rule = hub.loc2.fault(scripted.held(release), path=path)
        replies = []
        waiting = threading.Thread(target=lambda: replies.append(hub.get(path)))
        waiting.start()
        until(lambda: rule.hits)
        said = reload(hub, configuration(hub.loc1, groups="_:loc1", every={"timeout": 10}))
        assert re.search(r"location `loc2` was removed, where 1 nodes are known", said)
        assert "conductor group `grp1` of `loc2` is no longer mapped" in said
        assert hub.get(path).status == 404, "the location is still asked"
        release.set()
        waiting.join()
        assert (replies[0].status, replies[0].json()["uuid"]) == (200, record["uuid"])


def test_a_name_is_looked_for_at_a_location_that_came():
    with fleet(2) as hub, Standin() as third:
        hub.loc1.add(node("twin"))
        for _ in range(2):
            assert hub.get("/v1/nodes/twin").status == 200
        third.add(node("twin"))
        reload(hub, configuration(hub.loc1, hub.loc2, third))
        reply = hub.get("/v1/nodes/twin")
        assert reply.status == 400
        assert "loc1, loc3" in reply.fault()["faultstring"]


def test_locations_may_change_their_places():
    """The same names in another order: whatever is known of them goes with the name."""
    with fleet(2) as hub:
        record = hub.loc2.add(node("there"))
        path = f"/v1/nodes/{record['uuid']}"
        # Of a list all questions are over when it is answered.
        assert hub.get("/v1/nodes").names() == ["there"]
        hub.forget_requests()
        said = reload(hub, configuration(hub.loc1, hub.loc2, groups="_:loc2,grp1:loc1"))
        assert "conductor group `_` moved from `loc1` to `loc2`" in said
        assert "conductor group `grp1` moved from `loc2` to `loc1`" in said
        assert hub.get(path).header("X-Ironic-Proxy-Location") == "loc2"
        assert hub.asked("GET", "/v1/nodes/.*") == {"loc2": 1}
        created = hub.post("/v1/nodes", {"driver": "fake-hardware"})
        assert (created.status, created.header("X-Ironic-Proxy-Location")) == (201, "loc2")


BAD = {
    "a fault of a line": (lambda text: text.replace("max_limit = 2", "max_limit = many"), r"\[api\] max_limit"),
    "no location": (lambda text: text.replace("[group:loc2]", "[group:loc3]"), "there is no section"),
    "a file that is not there": (lambda text: text.replace("[group:loc2]", "[group:loc2]\ncafile = /nowhere/ca.pem"), r"cafile: cannot be read"),
    "a file that is no certificate": (lambda text: text.replace("[group:loc2]", "[group:loc2]\ncafile = @DIR@/ironic-proxy.conf"), "cafile|certificate"),
    "nothing": (lambda text: "", "groups"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_configuration_with_a_fault_changes_nothing(kind):
    spoil, fault = BAD[kind]
    with fleet(2) as hub:
        for number in range(3):
            hub.loc1.add(node(f"n{number}"))
        good = configuration(hub.loc1, hub.loc2, api={"max_limit": 2}, default={"debug": True})
        said = reload(hub, spoil(good))
        assert re.search(f"ERROR .*Not reloaded, all stays as it is: .*({fault})", said), said
        assert len(hub.get("/v1/nodes").json()["nodes"]) == 3
        assert "Not reloaded" not in reload(hub, good)
        assert len(hub.get("/v1/nodes").json()["nodes"]) == 2, "a good one after a bad one is taken"


def test_what_a_process_cannot_change_is_named():
    with fleet(1, sections={"admin": SECTION}) as hub:
        text = configuration(
            hub.loc1,
            api={"port": 1, "api_workers": 7, "host_ip": "127.0.0.2", "max_limit": 3},
            default={"state_path": "@DIR@/elsewhere"},
            sections={"admin": {"socket": "@DIR@/other.sock", "listen": "127.0.0.1:1"}, "node_cache": {"max_entries": 77}},
        )
        said = reload(hub, text)
        for options in (
            "[api] host_ip, port, unix_socket",
            "[api] api_workers",
            "[DEFAULT] state_path",
            "[admin] socket, listen",
            "[node_cache] max_entries, name_lifetime",
        ):
            assert f"{options}: the new value takes effect at the next start or upgrade, the old one stays" in said
        assert hub.get("/v1/nodes").status == 200
        Admin(hub.gateway).set("loc1", "read_only")
        assert (hub.gateway.directory / "state" / "states.json").exists()
        assert not (hub.gateway.directory / "elsewhere").exists()


def test_a_reload_that_waits_for_a_file_is_no_silence():
    """A watchdog ends who says nothing, whatever there is to read meanwhile."""
    with fleet(1, env={"WATCHDOG_USEC": "300000"}) as hub:
        rules = hub.gateway.directory / "rules.yaml"
        os.mkfifo(rules)
        hub.gateway.write_config(configuration(hub.loc1, sections={"oslo_policy": {"policy_file": "@DIR@/rules.yaml"}}))
        hub.gateway.process.signal(signal.SIGHUP)
        # Opened once the gateway reads it.
        with rules.open("w"):
            list(iter(lambda: received(hub.gateway._notify), ""))
            beats = (received(hub.gateway._notify) for _ in itertools.count())
            until(lambda: next(beats) == "WATCHDOG=1", what="a sign of life")
            until(lambda: next(beats) == "WATCHDOG=1", what="another one")
            assert "Reloaded" not in hub.gateway.log()
            rules.unlink()
            rules.write_text("{}")
        until(lambda: "Reloaded" in hub.gateway.log(), what="the reload")


def test_who_may_what_changes_with_the_configuration():
    """Other users, other rules, other bounds."""
    salted = "$2b$04$abcdefghijklmnopqrstuuPjS5yPr1ANtC3oQQHzeyZS2rVeKqlgi"
    with fleet(1) as hub:
        assert hub.get("/v1/nodes").status == 200
        for name, text in (("users", f"ann:{salted}\n"), ("rules.yaml", '"baremetal:node:list": "!"\n"baremetal:node:list_all": "!"\n')):
            (hub.gateway.directory / name).write_text(text)
        strict = {"http_basic_auth_user_file": "@DIR@/users"}
        assert "Not reloaded" not in reload(hub, configuration(hub.loc1, default=strict, api={"auth_strategy": "http_basic"}))
        assert hub.get("/v1/nodes").status == 401
        with StandinKeystone({"gw": "secret"}) as keystone:
            door = {"auth_type": "password", "auth_url": f"{keystone.endpoint}/v3", "username": "gw", "password": "secret",
                    "user_domain_id": "default", "system_scope": "all"}  # fmt: skip
            asked = {"X-Auth-Token": token(keystone, "gw", "secret")}
            for rules, status in (({}, 200), ({"oslo_policy": {"policy_file": "@DIR@/rules.yaml"}}, 403)):
                text = configuration(hub.loc1, api={"auth_strategy": "keystone"}, sections={"keystone_authtoken": door, **rules})
                assert "Not reloaded" not in reload(hub, text)
                assert hub.get("/v1/nodes", headers=asked).status == status
        assert "Not reloaded" not in reload(hub, configuration(hub.loc1, api={"max_json_body_size": 1}))
        assert hub.get("/v1/nodes").status == 200
        reply = hub.post("/v1/nodes", {"driver": "x" * 2000})
        assert reply.status == 413, reply


def token(keystone, name, password):
    user = {"name": name, "password": password, "domain": {"id": "default"}}
    auth = {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": {"system": {"all": True}}}
    body = json.dumps({"auth": auth}).encode()
    request = urllib.request.Request(f"{keystone.endpoint}/v3/auth/tokens", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return answer.headers["X-Subject-Token"]


def test_what_walks_may_take_changes_with_the_configuration():
    """A link names what the gateway remembers of a sorted walk, if it may remember any."""
    sites = [Standin([node(name) for name in "ab"]) for _ in range(2)]
    with fleet(*sites, every={"token": "t"}) as hub:
        for api, is_named in (({}, True), ({"walk_memory": 0}, False), ({"walk_memory": 1 << 20}, True)):
            reload(hub, configuration(*sites, every={"token": "t"}, api=api))
            following = hub.get("/v1/nodes?sort_key=name&limit=1").json()["next"]
            assert ("walk=" in following) == is_named, (api, following)


def test_the_log_changes_with_the_configuration():
    with fleet(1) as hub:
        hub.gateway.write_config(configuration(hub.loc1, default={"log_file": "@DIR@/other.log", "use_json": True}))
        hub.gateway.process.signal(signal.SIGHUP)
        other = hub.gateway.directory / "other.log"
        until(lambda: other.exists() and "Reloaded" in other.read_text(), what="the reload")
        assert hub.get("/v1/nodes?limit=9").status == 200
        line = until(lambda: next((line for line in other.read_text().splitlines() if "limit=9" in line), None))
        assert line.startswith("{"), line
        assert "limit=9" not in hub.gateway.log()


def test_the_service_manager_is_told():
    with fleet(1) as hub:
        reload(hub)
        assert re.search(r"RELOADING=1\nMONOTONIC_USEC=\d+", hub.told)
        assert "READY=1" in hub.told or "READY=1" in until(lambda: received(hub.gateway._notify), what="the end of the reload")


def received(notify):
    with contextlib.suppress(BlockingIOError):
        return notify.recv(4096).decode()
    return ""
