"""The backend that gateways share: how it is reached, what becomes of claims whose holder is gone, and the states of locations."""

import contextlib
import re
import socket
import threading

import pytest
import scripted
from admin import Admin
from backend import Redis, configuration, gateways, reserved
from fleet import until
from gateway import REPOSITORY
from pki import Authority
from standin import Standin, new_uuid, node
from test_coordination import NODE, UNVERIFIED, Later, begun, claims, connected

from bed.process import Process, wait_until


def verified(hub):
    reply = hub.post("/v1/nodes", {**NODE, "name": new_uuid()[:8]})
    assert reply.status == 201, reply
    return reply.header(UNVERIFIED) is None


def why(hub):
    connected(hub, "down")
    return Admin(hub.gateway).get("/status").document["coordination"]["why"]


def test_a_password():
    with reserved() as port, Redis("--port", port, "--bind", "127.0.0.1", "--requirepass", "keptsecret"):
        backends = [f"redis://:{word}@127.0.0.1:{port}/2" for word in ("keptsecret", "wrongsecret")] + [f"redis://127.0.0.1:{port}"]
        with gateways(Standin(), backend=backends) as hubs:
            assert [verified(hub) for hub in hubs] == [True, False, False]
            assert {why(hub) for hub in hubs[1:]} == {"it refuses the user or the password"}
            for hub in hubs:
                told = hub.gateway.log() + Admin(hub.gateway).get("/status").text
                assert "keptsecret" not in told and "wrongsecret" not in told


@pytest.mark.parametrize("db", [0, 2])
def test_a_user_who_may_do_no_more_than_it_needs(db):
    """As docs/operate.md lists it. Redis asks what a user may inside scripts as well."""
    listed = re.search("needs\n(.*?) on keys of the namespace", (REPOSITORY / "docs/operate.md").read_text(), re.DOTALL)
    allowed = [f"+{word.lower()}" for word in re.findall("`([A-Z]+)`", listed[1])] + ["+select"] * (db != 0)
    with reserved() as port, Redis("--port", port, "--bind", "127.0.0.1") as redis:
        assert redis.say("ACL", "SETUSER", "gateway", "on", ">secret", "~ironic-proxy:*", *allowed) == "OK"
        with gateways(Standin(), backend=[f"redis://gateway:secret@127.0.0.1:{port}/{db}"] * 2) as hubs:
            # A claim is taken, kept after the write and released.
            assert all(verified(hub) for hub in hubs * 2)
            Admin(hubs[0].gateway).set("loc1", "draining")
            agreed(hubs, "loc1", "draining")
            for hub in hubs:
                assert "cannot be used" not in hub.gateway.log(), hub.gateway.log()


def test_tls(tmp_path):
    ours, other = Authority(tmp_path / "ours"), Authority(tmp_path / "other")
    server, client = ours.issue("redis", hosts=["127.0.0.1"]), ours.issue("gateway")
    files = ["--tls-cert-file", server.certfile, "--tls-key-file", server.keyfile, "--tls-ca-cert-file", ours.certfile]
    with reserved() as port, Redis("--port", "0", "--bind", "127.0.0.1", "--tls-port", port, *files):
        proof = f"&ssl_certfile={client.certfile}&ssl_keyfile={client.keyfile}"
        backends = [
            f"rediss://127.0.0.1:{port}?ssl_ca_certs={ours.certfile}{proof}",
            f"redis://127.0.0.1:{port}?ssl=true&ssl_ca_certs={ours.certfile}{proof}",
            # Another authority, no certificate of ours, no TLS at all.
            f"rediss://127.0.0.1:{port}?ssl_ca_certs={other.certfile}{proof}",
            f"rediss://127.0.0.1:{port}?ssl_ca_certs={ours.certfile}",
            f"redis://127.0.0.1:{port}",
        ]
        with gateways(Standin(), backend=backends) as hubs:
            assert [verified(hub) for hub in hubs] == [True, True, False, False, False]


def test_sentinels_know_the_master():
    """The master of before is killed; another server is promoted, and gateways find it."""
    with reserved() as one, reserved() as two, reserved() as sentinel:
        served = ["--bind", "127.0.0.1", "--requirepass", "secret", "--masterauth", "secret", "--repl-diskless-sync-delay", "0"]
        with Redis("--port", one, *served) as master, Redis("--port", two, "--replicaof", f"127.0.0.1 {one}", *served) as replica:
            until(lambda: "master_link_status:up" in replica.say("-a", "secret", "INFO", "replication"), what="the replica")
            file = replica.directory / "sentinel.conf"
            file.write_text(
                f"port {sentinel}\nbind 127.0.0.1\nsentinel monitor hub 127.0.0.1 {one} 1\nsentinel auth-pass hub secret\n"
                "sentinel down-after-milliseconds hub 300\nsentinel failover-timeout hub 2000\n"
            )
            watcher = Process(["redis-server", file, "--sentinel"], replica.directory / "sentinel.log")
            try:
                wait_until(lambda: "+monitor master hub" in watcher.log(), watcher, 20, "the sentinel")
                with reserved() as nobody:
                    url = f"redis://:secret@127.0.0.1:{nobody}?sentinel=hub&sentinel_fallback=127.0.0.1:{sentinel}"
                    unknown = f"redis://:secret@127.0.0.1:{sentinel}?sentinel=other"
                    with gateways(Standin(), backend=[url, unknown]) as (hub, other):
                        assert verified(hub) and not verified(other)
                        assert why(other) == "no sentinel knows a master of that name"
                        until(lambda: "+slave slave" in watcher.log(), what="the sentinel knows the replica")
                        master.kill()
                        until(lambda: "role:master" in replica.say("-a", "secret", "INFO", "replication"), 20, "the promotion")
                        until(lambda: verified(hub), 20, "the new master")
            finally:
                watcher.stop(5)


@contextlib.contextmanager
def silent():
    """The port of a server that takes connections and says nothing, as one that was switched off says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextlib.contextmanager
def sentinel(directory, master):
    """The port of a sentinel that takes this port's server for the master."""
    with reserved() as port:
        file = directory / f"{port}.conf"
        file.write_text(f"port {port}\nbind 127.0.0.1\nsentinel monitor hub 127.0.0.1 {master} 1\n")
        watcher = Process(["redis-server", file, "--sentinel"], directory / f"{port}.log")
        try:
            wait_until(lambda: "+monitor master hub" in watcher.log(), watcher, 20, "the sentinel")
            yield port
        finally:
            watcher.stop(5)


def test_the_next_sentinel_is_asked_where_one_leads_nowhere(tmp_path):
    """The first says nothing, and another one names a master that says nothing."""
    with reserved() as port, Redis("--port", port, "--bind", "127.0.0.1"), silent() as hole:
        with sentinel(tmp_path, hole) as stale, sentinel(tmp_path, port) as good:
            more = f"sentinel=hub&socket_connect_timeout=0.3&sentinel_fallback=127.0.0.1:{good}"
            with gateways(Standin(), backend=[f"redis://127.0.0.1:{first}?{more}" for first in (hole, stale)]) as hubs:
                for hub in hubs:
                    connected(hub)
                    assert verified(hub)


def test_writes_before_the_first_connection_tell_of_no_loss():
    with silent() as hole, gateways(Standin(), backend=[f"redis://127.0.0.1:{hole}?socket_connect_timeout=60"]) as (hub,):
        assert not verified(hub) and not verified(hub)
        assert "cannot be used" not in hub.gateway.log()


# --- claims


def test_who_is_killed_holds_nothing_for_long():
    with Redis() as redis, gateways(Standin(), Standin(), backend=[f"{redis.url}?lock_timeout=1"] * 2) as (first, second):
        body = {**NODE, "name": "wanted"}
        _, event = begun(first, body, first.loc1)
        first.gateway.kill()
        reply = second.post("/v1/nodes", {**body, "conductor_group": "grp1"})
        assert (reply.status, reply.header(UNVERIFIED)) == (201, None), reply
        event.set()
        # Whoever leaves the context stops what runs.
        first.gateway.start()


def test_a_write_that_lasts_keeps_its_claim():
    with Redis() as redis:
        options = {"every": {"timeout": 20}, "backend": [f"{redis.url}?lock_timeout=0.8"] * 2}
        with gateways(Standin(), Standin(), **options) as (first, second):
            body = {**NODE, "name": "wanted"}
            slow, event = begun(first, body, first.loc1)
            quick = Later(lambda: second.post("/v1/nodes", {**body, "conductor_group": "grp1"}))
            before = redis.calls("set")
            # Once in a quarter of its time. Who waits writes nothing.
            until(lambda: redis.calls("set") >= before + 6, what="six renewals")
            assert not second.loc2.asked("POST"), "the claim was over before the write"
            event.set()
            assert (slow.reply().status, slow.reply().header(UNVERIFIED)) == (201, None)
            assert quick.reply().status == 409


def test_who_waits_too_long_is_told():
    with Redis() as redis, gateways(Standin(), backend=[redis.url] * 2, api={"request_deadline": 1}, every={"timeout": 20}) as hubs:
        # As if another gateway held it, whose clocks are longer.
        first, second = hubs
        _, event = begun(first, {**NODE, "name": "wanted"}, first.loc1)
        key = until(lambda: redis.keys("*claim*"), what="the claim")[0]
        first.gateway.kill()
        redis.say("SET", key, "somebody")
        reply = second.post("/v1/nodes", {**NODE, "name": "wanted"})
        assert reply.status == 503 and "Another request is writing the same" in reply.fault()["faultstring"], reply
        event.set()
        first.gateway.start()


def test_a_claim_that_the_backend_forgot_is_told_of():
    """As after a failover, or a restart without its memory."""
    with Redis() as redis, gateways(Standin(), Standin(), backend=[redis.url] * 2) as (first, second):
        slow, event = begun(first, {**NODE, "name": "wanted"}, first.loc1)
        redis.say("FLUSHALL")
        reply = second.post("/v1/nodes", {**NODE, "name": "wanted", "conductor_group": "grp1"})
        assert (reply.status, reply.header(UNVERIFIED)) == (201, None), reply
        event.set()
        assert (slow.reply().status, slow.reply().header(UNVERIFIED)) == (201, "coordination")
        assert claims(first, "lost") == 1
        first.logged('ERROR.*name "wanted" was sent to location `loc1` and is at location `loc2` as well')


@pytest.mark.parametrize("kind", ["create", "change", "replicated"])
def test_a_claim_that_is_lost_during_the_questions_writes_nothing_where_it_has_to_be_unique(kind):
    with Redis() as redis, gateways(
        Standin(), Standin(), backend=[f"{redis.url}?lock_timeout=0.8"], api={"require_unique": True}
    ) as (hub,):
        uuid = hub.loc1.add(node("here"))["uuid"]
        method, path, body, question = {
            "create": ("POST", "/v1/nodes", {**NODE, "name": "wanted"}, "/v1/nodes/wanted"),
            "change": ("PATCH", f"/v1/nodes/{uuid}", [{"op": "add", "path": "/name", "value": "wanted"}], "/v1/nodes/wanted"),
            "replicated": ("POST", "/v1/chassis", {"uuid": uuid}, f"/v1/chassis/{uuid}"),
        }[kind]
        event = threading.Event()
        hub.loc2.fault(scripted.held(event), method="GET", path=question)
        later = Later(lambda: hub.call(method, path, body))
        until(lambda: hub.loc2.asked("GET", question), what="the question")
        redis.say("FLUSHALL")
        until(lambda: claims(hub, "lost") == 1, what="the loss")
        event.set()
        assert later.reply().status == 503 and "coordination backend" in later.reply().fault()["faultstring"], later.reply()
        assert not hub.asked(method)


# --- the states of locations


def state(hub, name="loc1"):
    return Admin(hub.gateway).location(name)["operator"]


def agreed(hubs, name, wanted):
    until(lambda: all(state(hub, name)["state"] == wanted for hub in hubs), 5, f"{wanted} at all gateways")


def test_a_state_that_is_set_at_one_gateway_holds_at_all():
    with Redis() as redis, gateways(Standin(), Standin(), backend=[redis.url] * 3) as hubs:
        first, second, third = hubs
        answer = Admin(first.gateway).set("loc2", "maintenance", "new switches")
        assert "warning" not in answer
        agreed(hubs, "loc2", "maintenance")
        assert state(third, "loc2") == state(first, "loc2") and state(third, "loc2")["reason"] == "new switches"
        assert second.get("/v1/nodes").status == 503
        # The newest word counts, wherever it was said, and stays over restarts.
        third.gateway.stop()
        Admin(second.gateway).set("loc2", "read_only")
        agreed(hubs[:2], "loc2", "read_only")
        third.gateway.start()
        agreed(hubs, "loc2", "read_only")
        for hub in hubs:
            hub.gateway.restart()
        agreed(hubs, "loc2", "read_only")
        # The backend forgets: it is told again, and so is who was not there meanwhile.
        redis.kill()
        redis.start()
        agreed(hubs, "loc2", "read_only")
        third.gateway.stop()
        (third.gateway.directory / "state" / "states.json").unlink()
        until(lambda: redis.say("HGET", "ironic-proxy:states", "loc2"), what="the state at the backend")
        third.gateway.start()
        agreed(hubs, "loc2", "read_only")


def test_a_word_of_the_file_that_comes_back_goes_before_what_the_backend_knows():
    with Redis() as redis, gateways(Standin(), Standin(), backend=[redis.url] * 2) as hubs:
        first, second = hubs
        Admin(first.gateway).set("loc2", "maintenance")
        agreed(hubs, "loc2", "maintenance")
        text = first.gateway.config_path.read_text()
        for say in ("[group:loc2]\nstate = read_only", "[group:loc2]"):
            first.gateway.write_config(text.replace("[group:loc2]", say))
            first.gateway.restart()
        agreed([first], "loc2", "enabled")
        until(lambda: '"superseded":true' in redis.say("HGET", "ironic-proxy:states", "loc2"), what="the state at the backend")
        # Who has not had that file keeps what it was told, and who has lost its state hears what has become of it.
        assert state(second, "loc2")["state"] == "maintenance"
        kept = second.gateway.directory / "state" / "states.json"
        second.gateway.stop()
        kept.unlink()
        second.gateway.start()
        until(lambda: kept.exists(), what="the state that was heard")
        agreed(hubs, "loc2", "enabled")
        Admin(second.gateway).set("loc2", "draining")
        agreed(hubs, "loc2", "draining")


@pytest.mark.parametrize("end", [Redis.kill, Redis.freeze])
def test_states_hold_where_they_were_said_while_the_backend_is_away(end):
    with Redis() as redis, gateways(Standin(), backend=[redis.url] * 2) as hubs:
        first, second = hubs
        Admin(first.gateway).set("loc1", "draining")
        agreed(hubs, "loc1", "draining")
        end(redis)
        for hub in hubs:
            connected(hub, "down")
        answer = Admin(first.gateway).set("loc1", "maintenance")
        assert "other gateways" in answer["warning"], answer
        assert (state(first)["state"], state(second)["state"]) == ("maintenance", "draining")
        redis.thaw() if end is Redis.freeze else redis.start()
        agreed(hubs, "loc1", "maintenance")


def test_a_clock_that_is_ahead_does_not_have_the_last_word():
    with Redis() as redis, gateways(Standin(), backend=[redis.url] * 2) as hubs:
        Admin(hubs[0].gateway).set("loc1", "draining")
        agreed(hubs, "loc1", "draining")
        # As a gateway says it whose clock is an hour ahead.
        told = redis.say("HGET", "ironic-proxy:states", "loc1")
        at, text = told.split(" ", 1)
        year = text[text.index('"since":"') + 9 :][:4]
        later = text.replace(f'"since":"{year}', f'"since":"{int(year) + 1}').replace('"draining"', '"read_only"')
        redis.say("HSET", "ironic-proxy:states", "loc1", f"{int(at) + 365 * 86400 * 1000000} {later}")
        redis.say("INCR", "ironic-proxy:states:edition")
        agreed(hubs, "loc1", "read_only")
        Admin(hubs[1].gateway).set("loc1", "enabled")
        agreed(hubs, "loc1", "enabled")


def test_nonsense_at_the_backend_changes_nothing():
    with Redis() as redis, gateways(Standin(), Standin(), backend=[redis.url] * 2) as hubs:
        for name, text in (("loc1", "x"), ("loc2", "99999999999 {}"), ("loc3", "1 {}")):
            redis.say("HSET", "ironic-proxy:states", name, text)
        redis.say("SET", "ironic-proxy:states:edition", "nonsense")
        Admin(hubs[0].gateway).set("loc2", "draining")
        assert state(hubs[0], "loc2")["state"] == "draining"
        assert {hub.get("/v1/nodes").status for hub in hubs} == {200}
        redis.say("DEL", "ironic-proxy:states:edition")
        for hub in hubs:
            connected(hub)
        # It is written over, and the backend stays.
        Admin(hubs[0].gateway).set("loc1", "draining")
        agreed(hubs, "loc1", "draining")
        assert Admin(hubs[0].gateway).get("/status").document["coordination"]["state"] == "up"


# --- reload


def test_a_reload_takes_another_backend():
    with Redis() as redis, Redis() as other, gateways(Standin(), Standin(), backend=[redis.url] * 2) as hubs:
        first, second = hubs
        Admin(first.gateway).set("loc2", "draining")
        agreed(hubs, "loc2", "draining")
        for url, expected in ((other.url, 1), (None, 0), (redis.url, 1), ("redis://h?db=x", None)):
            for hub in hubs:
                hub.gateway.write_config(configuration(list(hub.sites.values()), url))
                said = Admin(hub.gateway)("POST", "/reload")
                assert said.status == (422 if expected is None else 200), said
            if expected is None:
                assert "db is not the number of a database" in said.text
            elif expected:
                for hub in hubs:
                    connected(hub)
                assert verified(first)
                (other if url == other.url else redis).say("PING")
            else:
                assert Admin(first.gateway).get("/status").document["coordination"] is None
                assert verified(first)
            agreed(hubs, "loc2", "draining")
