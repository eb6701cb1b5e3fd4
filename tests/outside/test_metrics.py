"""/metrics of the admin door: which names there are, that Prometheus reads them, and that they count what clients did."""

import json
import re
import socket
import threading
import time
import urllib.request

import pytest
from admin import SECTION, Admin
from fleet import QUIET, Client, fleet, until
from metrics import OPENMETRICS, grown, promtool, read
from pki import Authority, SecuredStandin, replace
from scripted import hang, held
from standin import Standin, StandinKeystone, new_uuid, node

from bed.process import Process, wait_until
from gateway import REPOSITORY, Gateway, config

PREFIX = "ironic_proxy_"
# The names of the specification: promises. Those of docs/metrics.md have to be these and the others below.
PROMISED = """
    build_info{version} start_time_seconds config_last_reload_successful config_last_reload_success_timestamp_seconds
    requests_total{route,method,code} request_duration_seconds{route} requests_in_flight connections{door}
    location_requests_total{location,result} location_request_duration_seconds{location} location_in_flight{location}
    location_up{location} location_state{location,state} breaker_open{location} location_version_info{location,minimum,maximum}
    lookups_total{result} partial_answers_total{location} unverified_writes_total directory_entries{kind} directory_bytes
    sweep_last_success_timestamp_seconds{location} token_cache_total{result} denied_total{rule} duplicates{kind}
    certificate_expiry_timestamp_seconds{location,use} credential_expiry_timestamp_seconds{location}
""".split()
SINCE = ["log_lines_lost_total", "requests_in_flight_limit", "limited_total{by}", "spans_total{result}", "location_hedges_total{location,result}", "endpoint_preferred{location,endpoint}", "endpoint_first_byte_seconds{location,endpoint}", "coordination_up", "coordination_claims_total{result}"]


def split(name):
    name, _, labels = name.partition("{")
    return name, frozenset(filter(None, labels.rstrip("}").split(",")))


def documented():
    """Name to type and labels, of docs/metrics.md."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", (REPOSITORY / "docs" / "metrics.md").read_text(), re.MULTILINE)
    return {name: (kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def shown(metrics):
    """The same of a page; a family without a sample shows no labels."""
    found = {}
    for family in metrics.families.values():
        own = frozenset().union(*(sample.labels for sample in family.samples)) - {"le"}
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = (family.type, own if family.samples else None)
    return found


@pytest.fixture(scope="module")
def module_hub():
    with fleet(2, every={"breaker_failures": 1000}, sections={"admin": {**SECTION, "listen": "127.0.0.1:0"}}) as hub:
        yield hub


@pytest.fixture
def hub(module_hub):
    yield module_hub
    module_hub.heal()


@pytest.fixture
def admin(hub):
    return Admin(hub.gateway)


def settled(admin, hub, act):
    """What grew by what `act` did: a request counts when it has ended, which is after its client has the answer."""
    before = until(lambda: (page := read(admin))("ironic_proxy_requests_in_flight") == 0 and page, what="the end of others")
    requests = sum(before.all("ironic_proxy_requests_total").values())
    count = act()

    def after():
        page = read(admin)
        return page if sum(page.all("ironic_proxy_requests_total").values()) >= requests + count else None

    return before, until(after, what="requests that are counted")


# --- names


def test_the_documented_names_are_those_of_the_specification():
    rows = documented()
    wanted = {PREFIX + name: labels for name, labels in map(split, PROMISED + SINCE)}
    assert {name: labels for name, (_, labels) in rows.items() if name.startswith(PREFIX)} == wanted
    assert all(name.startswith((PREFIX, "process_")) for name in rows)


@pytest.mark.parametrize("accept", [None, OPENMETRICS])
def test_what_is_shown_is_what_is_documented(hub, admin, accept):
    assert hub.get("/v1/nodes").status == 200
    page, rows = read(admin, accept), documented()
    found = shown(page)
    assert found.keys() == rows.keys()
    for name, (kind, labels) in found.items():
        assert kind == rows[name][0], name
        assert labels in (None, rows[name][1]), name
    for family in page.families.values():
        told = family.documentation
        assert told[:1].isupper() and told.endswith("."), f"{family.name}: {told}"
        for unit in ("seconds", "bytes"):
            assert (f"_{unit}" in family.name) == (unit in told), f"{family.name}: {told}"


# --- Prometheus


def test_promtool_finds_nothing_to_say(hub, admin):
    assert hub.get("/v1/nodes").status == 200
    page = read(admin)
    assert page.content_type == "text/plain; version=0.0.4; charset=utf-8"
    done = promtool("check", "metrics", stdin=page.text)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_openmetrics_is_for_who_asks(admin):
    page = read(admin, OPENMETRICS)
    assert page.content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert page.text.endswith("# EOF\n")
    assert read(admin, "text/plain").content_type.startswith("text/plain")
    assert read(admin, "text/html").content_type.startswith("text/plain")


def test_prometheus_scrapes_it(hub, tmp_path):
    """The real one, which asks for OpenMetrics."""
    lines = until(lambda: [line for line in hub.gateway.log().splitlines() if "can be read on http://" in line])
    target = lines[-1].rpartition("http://")[2].strip()
    configuration = {"scrape_configs": [{"job_name": "a", "scrape_interval": "1s", "static_configs": [{"targets": [target]}]}]}
    (tmp_path / "prometheus.yml").write_text(json.dumps(configuration))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = "127.0.0.1:{}".format(free.getsockname()[1])
    log = tmp_path / "log"
    log.touch()
    words = ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address={address}"]
    process = Process(words, log)
    try:

        def ask(query):
            with urllib.request.urlopen(f"http://{address}/api/v1/query?query={query}", timeout=5) as answer:
                return json.load(answer)["data"]["result"]

        def scraped():
            try:
                return ask("up")
            except OSError:
                return None

        wait_until(lambda: [sample for sample in scraped() or [] if sample["value"][1] == "1"], process, 60, "a scrape", pause=0.1)
        assert {one["metric"]["location"]: one["value"][1] for one in ask("ironic_proxy_location_up")} == {"loc1": "1", "loc2": "1"}
        assert ask("ironic_proxy_build_info")
        assert ask("ironic_proxy_request_duration_seconds_bucket")
    finally:
        process.stop(20)


# --- counts


def test_requests_are_counted_by_route_method_and_status(hub, admin):
    record = hub.loc1.add(node(f"n-{new_uuid()[:8]}"))

    def act():
        for _ in range(3):
            assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
        assert hub.get(f"/v1/nodes/{new_uuid()}").status == 404
        assert hub.call("PUT", f"/v1/nodes/{record['uuid']}/states/power", {"target": "power on"}).status == 202
        assert hub.get("/v1/nodes?limit=1").status == 200
        assert hub.get("/healthcheck").status == 200
        assert hub.get("/v1").status == 200
        assert hub.get("/v1/nowhere").status in (404, 405)
        assert hub.get("/v1/a;b").status == 404
        assert hub.call("OPTIONS", "/v1/nodes").status == 200
        return 11

    before, after = settled(admin, hub, act)
    assert grown(before, after, "ironic_proxy_requests_total") == {
        ("/v1/nodes/{node}", "GET", "200"): 3,
        ("/v1/nodes/{node}", "GET", "404"): 1,
        ("/v1/nodes/{node}/states/power", "PUT", "202"): 1,
        ("/v1/nodes", "GET", "200"): 1,
        ("/healthcheck", "GET", "200"): 1,
        ("/v1", "GET", "200"): 1,
        ("/v1/{collection}/{...}", "GET", "404"): 1,
        ("none", "GET", "404"): 1,
        ("none", "OPTIONS", "200"): 1,
    }
    durations = grown(before, after, "ironic_proxy_request_duration_seconds_count")
    assert durations[("/v1/nodes/{node}",)] == 4
    assert sum(durations.values()) == 11


def known(hub):
    """A node at loc1 whose place is known. To a question who has it the first yes is the answer, and the others are counted
    later; to a list all have answered."""
    here = hub.loc1.add(node(f"n-{new_uuid()[:8]}"))
    assert hub.get("/v1/nodes").status == 200
    return here


def test_questions_are_counted_by_what_became_of_them(hub, admin):
    here = known(hub)

    def act():
        assert hub.get(f"/v1/nodes/{here['uuid']}").status == 200
        assert hub.get(f"/v1/nodes/{new_uuid()}").status == 404
        hub.loc2.fault(hang(), path="/v1/nodes", times=1)
        assert hub.get("/v1/nodes").status == 503
        return 3

    before, after = settled(admin, hub, act)
    assert grown(before, after, "ironic_proxy_location_requests_total") == {
        ("loc1", "ok"): 2,
        ("loc1", "no"): 1,
        ("loc2", "no"): 1,
        ("loc2", "timeout"): 1,
    }
    assert grown(before, after, "ironic_proxy_location_request_duration_seconds_count") == {("loc1",): 3, ("loc2",): 2}
    slow = grown(before, after, "ironic_proxy_location_request_duration_seconds_sum")[("loc2",)]
    assert 2 <= slow < 6


def test_what_passes_through_is_counted_alike(hub, admin):
    """A driver's own method, which is streamed."""
    path = f"/v1/nodes/{known(hub)['uuid']}/vendor_passthru/a"
    before, after = settled(admin, hub, lambda: hub.call("POST", path, {"a": 1}).status == 200 and 1)
    assert grown(before, after, "ironic_proxy_requests_total") == {("/v1/nodes/{node}/vendor_passthru/{method}", "POST", "200"): 1}
    assert grown(before, after, "ironic_proxy_location_requests_total") == {("loc1", "ok"): 1}
    hub.loc1.fault(hang(), path=".*/vendor_passthru/.*", times=1)
    before, after = settled(admin, hub, lambda: hub.call("POST", path, {"a": 1}).status == 504 and 1)
    assert grown(before, after, "ironic_proxy_location_requests_total") == {("loc1", "timeout"): 1}


def test_look_ups_are_counted_by_how_they_end(hub, admin):
    here = hub.loc1.add(node(f"n-{new_uuid()[:8]}"))
    path = f"/v1/nodes/{here['uuid']}"

    def counts(act):
        return {result: count for (result,), count in grown(*settled(admin, hub, act), "ironic_proxy_lookups_total").items()}

    def get(status, of=path):
        return lambda: hub.get(of).status == status and 1

    assert counts(get(200)) == {"polled": 1}
    assert counts(get(200)) == {"directory": 1}
    assert counts(get(404, f"/v1/nodes/{new_uuid()}")) == {"absent": 1}
    hub.loc2.fault(hang(), path="/v1/nodes/.+", times=1)
    assert counts(get(503, f"/v1/nodes/{new_uuid()}")) == {"unknown": 1}
    hub.loc2.add(hub.loc1.take(here["uuid"]))
    assert counts(get(200)) == {"directory": 1, "stale": 1, "polled": 1}


def test_partial_answers_and_unverified_writes_are_counted(hub, admin):
    def partial():
        hub.loc2.fault(hang(), path="/v1/nodes", times=1)
        reply = hub.get("/v1/nodes", headers={"X-Ironic-Proxy-Partial": "allow"})
        assert reply.header("X-Ironic-Proxy-Incomplete") == "loc2;reason=timeout"
        return 1

    before, after = settled(admin, hub, partial)
    assert grown(before, after, "ironic_proxy_partial_answers_total") == {("loc2",): 1}

    def unverified():
        hub.loc2.fault(hang(), path="/v1/nodes.*")
        reply = hub.call("POST", "/v1/nodes", {"driver": "fake-hardware", "name": f"n-{new_uuid()[:8]}"})
        assert (reply.status, reply.header("X-Ironic-Proxy-Unverified")) == (201, "loc2")
        return 1

    before, after = settled(admin, hub, unverified)
    assert grown(before, after, "ironic_proxy_unverified_writes_total") == {(): 1}


def test_what_is_in_flight_is_shown(hub, admin):
    event = threading.Event()
    hub.loc2.fault(held(event), path="/v1/nodes", times=1)
    waiting = threading.Thread(target=lambda: hub.get("/v1/nodes"))
    waiting.start()
    try:
        page = until(lambda: (page := read(admin))("ironic_proxy_location_in_flight", location="loc2") == 1 and page)
        assert page("ironic_proxy_requests_in_flight") == 1
        assert page("ironic_proxy_connections", door="api") >= 1
        assert page("ironic_proxy_connections", door="admin") == 1
    finally:
        event.set()
        waiting.join()
    until(lambda: read(admin)("ironic_proxy_location_in_flight", location="loc2") == 0)


def test_a_reload_that_fails_is_shown(admin):
    before = read(admin)
    assert before("ironic_proxy_config_last_reload_successful") == 1
    text = admin.gateway.config_path.read_text()
    try:
        admin.gateway.config_path.write_text(text.replace("request_deadline = 6", "request_deadline = soon"))
        assert admin("POST", "/reload").status == 422
        failed = read(admin)
        assert failed("ironic_proxy_config_last_reload_successful") == 0
        name = "ironic_proxy_config_last_reload_success_timestamp_seconds"
        assert failed(name) == before(name)
    finally:
        admin.gateway.config_path.write_text(text)
    assert admin("POST", "/reload").status == 200
    again = read(admin)
    assert again("ironic_proxy_config_last_reload_successful") == 1
    assert before(name) < again(name) <= time.time()


def test_states_and_breakers_are_shown():
    with fleet(2, every={"breaker_failures": 1, "breaker_reset": 60}, sections={"admin": SECTION}) as hub:
        admin = Admin(hub.gateway)
        hub.loc2.down()
        assert hub.get("/v1/nodes").status == 503
        page = until(lambda: (page := read(admin))("ironic_proxy_breaker_open", location="loc2") == 1 and page)
        assert page.all("ironic_proxy_location_up") == {("loc1",): 1, ("loc2",): 0}
        admin.set("loc1", "read_only")
        states = read(admin).all("ironic_proxy_location_state")
        assert {labels for labels, value in states.items() if value} == {("loc1", "read_only"), ("loc2", "enabled")}
        assert len(states) == 8


# --- what it must not be


def test_no_identifier_is_in_a_label(hub, admin):
    marks = [f"mark-{new_uuid()[:8]}" for _ in range(4)]
    hub.loc1.add(node(marks[0]))
    for path in (f"/v1/nodes/{marks[0]}", f"/v1/nodes/{marks[1]}/states", f"/v1/{marks[2]}", f"/{marks[3]}/x", f"/v1/nodes?name={marks[1]}"):
        hub.get(path)
        hub.call(marks[2].upper(), path)
    assert not [mark for mark in marks if mark.lower() in read(admin).text.lower()]


def test_nothing_of_it_is_on_the_api_door(hub):
    for path in ("/metrics", "/v1/metrics", "/admin/metrics"):
        reply = hub.get(path)
        assert reply.status == 404
        assert b"ironic_proxy" not in reply.body


# --- with a Keystone, and with TLS


def test_tokens_denials_and_ends_are_shown(tmp_path):
    authority = Authority(tmp_path)
    mine, first = authority.issue("gateway", ends=30), authority.issue("location", hosts=["localhost"])
    with StandinKeystone({"hub": "secret", "user": "secret"}) as keystone:
        credential = {"auth_type": "password", "auth_url": keystone.endpoint, "username": "hub", "password": "secret", "user_domain_id": "default"}
        tls = {"certfile": mine.certfile, "keyfile": mine.keyfile, "cafile": authority.certfile}
        options = {"loc1": {**credential, "system_scope": "all"}, "loc2": tls}
        sections = {"admin": SECTION, "keystone_authtoken": {**credential, "system_scope": "all"}}
        sites = [Standin(credentials=("token", keystone.valid)), SecuredStandin(first, clients=authority)]
        with fleet(*sites, wait=False, api={"auth_strategy": "keystone"}, each=options, sections=sections) as hub:
            admin, headers = Admin(hub.gateway), {"X-Auth-Token": token(keystone)}
            until(lambda: hub.get("/v1/nodes", headers=headers).status == 200, what="the gateway")
            # Of a role that may read and nothing else.
            keystone.tokens[reader := token(keystone)]["roles"] = [{"id": "1", "name": "reader"}]

            def act():
                for _ in range(3):
                    assert hub.get("/v1/nodes", headers=headers).status == 200
                for _ in range(2):
                    reply = hub.call("POST", "/v1/nodes", {"driver": "fake-hardware"}, headers={"X-Auth-Token": reader})
                    assert reply.status == 403
                return 5

            before, after = settled(admin, hub, act)
            assert grown(before, after, "ironic_proxy_token_cache_total") == {("hit",): 4, ("miss",): 1}
            assert grown(before, after, "ironic_proxy_denied_total") == {("baremetal:node:create",): 2}
            ends = after.all("ironic_proxy_certificate_expiry_timestamp_seconds")
            day = 24 * 60 * 60
            assert {labels: round((end - time.time()) / day) for labels, end in ends.items()} == {
                ("loc2", "client"): 30,
                ("loc2", "server"): 100,
                ("loc2", "authorities"): 100,
            }
            assert list(after.all("ironic_proxy_credential_expiry_timestamp_seconds")) == [("loc1",)]
            replace(mine.certfile, authority.issue("gateway", ends=3).pem)
            ends = read(admin).all("ironic_proxy_certificate_expiry_timestamp_seconds")
            assert round((ends[("loc2", "client")] - time.time()) / day) == 3


def token(keystone):
    user = {"name": "user", "password": "secret", "domain": {"id": "default"}}
    auth = {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": {"system": {"all": True}}}
    body = json.dumps({"auth": auth}).encode()
    request = urllib.request.Request(f"{keystone.endpoint}/v3/auth/tokens", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return answer.headers["X-Subject-Token"]


# --- how large


def test_5000_locations_fit_on_a_page(tmp_path):
    """None of them answers: each has its timeouts counted, too."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    locations = {f"location-{number:04}": f"http://127.0.0.1:{port}" for number in range(5000)}
    text = config(locations, groups="_:location-0000", location_options=dict.fromkeys(locations, QUIET), sections={"admin": SECTION})
    with Gateway(text, ready_seconds=60) as gateway:
        admin = Admin(gateway)
        assert Client(gateway.url).get("/v1/nodes").status == 503
        read(admin)
        begun = time.monotonic()
        page = admin.get("/metrics")
        took = time.monotonic() - begun
        assert len(page.text) < 5_000_000
        # A build for tests is some ten times slower than the one that is delivered, and this machine may be busy.
        assert took < 5
        assert page.text.count("ironic_proxy_location_up{") == 5000
