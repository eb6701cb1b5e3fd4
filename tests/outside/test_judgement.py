"""One judgement of what a location says: whose words they are, what they mean for the client, and what for the location.

The same input on reads and writes, members and what is below them, with and without the location header.
"""

import json
import threading

import pytest
import scripted
from faults import change, stock, writes
from fleet import assert_fate_unknown, assert_unavailable, fleet, together, until
from standin import Standin, new_uuid, node
from standin_keystone import StandinKeystone

LOCATION = "X-Ironic-Proxy-Location"

ROUTED = [
    ("GET", "/v1/nodes/{uuid}", None),
    ("GET", "/v1/nodes/{uuid}?fields=driver", None),
    ("GET", "/v1/nodes/{uuid}/states", None),
    ("GET", "/v1/nodes/{uuid}/traits", None),
    ("PATCH", "/v1/nodes/{uuid}", [{"op": "add", "path": "/extra/a", "value": 1}]),
    ("PUT", "/v1/nodes/{uuid}/states/power", {"target": "power on"}),
    ("PUT", "/v1/nodes/{uuid}/states/provision", {"target": "manage"}),
    ("PUT", "/v1/nodes/{uuid}/states/provision", {"target": "active", "configdrive": "x" * 100_000}),
    ("PUT", "/v1/nodes/{uuid}/maintenance", {"reason": "x"}),
    ("DELETE", "/v1/nodes/{uuid}/maintenance", None),
    ("POST", "/v1/nodes/{uuid}/vifs", {"id": "a"}),
    ("DELETE", "/v1/nodes/{uuid}", None),
]
ROUTED_NAMES = [f"{method} {path.rpartition('}')[2]}{' large' if body and len(str(body)) > 9999 else ''}" for method, path, body in ROUTED]

FOREIGN = {
    "an API gateway's 404": scripted.answers(404, b'{"message": "no Route matched"}'),
    "an HTML 404": scripted.html(404),
    "an HTML 400": scripted.html(400),
    "a JSON 503 of somebody": scripted.answers(503, b'{"message": "upstream connect error"}'),
    "an empty 200": scripted.answers(200, b""),
    "a portal's 200": scripted.answers(200, b'{"status": "please log in"}'),
    "a catch-all": scripted.answers(200, b"{}"),
    "a redirect": scripted.answers(307, b"{}", [("Location", "http://elsewhere.example/")]),
    "a redirect in Ironic's shape": lambda exchange: _redirect(exchange),
    "status 999": scripted.answers(999, b"{}"),
    "not modified": scripted.answers(304),
    "endless 1xx": lambda exchange: exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 50),
    "an upgrade": lambda exchange: exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"),
}


def _redirect(exchange):
    answer = scripted.says(307, "Moved")(exchange)
    answer.headers.append(("Location", "http://elsewhere.example/"))
    return answer


@pytest.fixture(scope="module")
def module_hub():
    with fleet(2, every={"timeout": 1, "breaker_failures": 5, "breaker_reset": 1}, api={"request_deadline": 5}) as hub:
        yield hub


@pytest.fixture
def hub(module_hub):
    yield module_hub
    for site in module_hub.all():
        site.nodes.clear()
        site.objects["chassis"].clear()
    module_hub.heal()
    until(lambda: module_hub.get("/v1/nodes").status == 200, what="all locations to be asked again")


def known(hub, location="loc2"):
    record = hub.sites[location].add(node(f"known-{new_uuid()[:8]}", provision_state="available"))
    # By its name all of them are asked, and waited for: the question of a poll that is over could come later than this.
    assert hub.get(f"/v1/nodes/{record['name']}").status == 200
    hub.forget_requests()
    return record


def well(hub, location="loc2"):
    """Whether the location is asked, and answers."""
    return hub.get("/v1/nodes?limit=1", headers={LOCATION: location}).status == 200


# --- somebody else's words


@pytest.mark.parametrize("words", FOREIGN)
@pytest.mark.parametrize("pinned", [False, True], ids=["", "pinned"])
@pytest.mark.parametrize(("method", "path", "body"), ROUTED, ids=ROUTED_NAMES)
def test_words_that_are_not_ironics_never_reach_a_client(hub, method, path, body, words, pinned):
    record = known(hub)
    hub.loc2.fault(FOREIGN[words], path="/v1/nodes/.+")
    headers = {LOCATION: "loc2"} if pinned else {}
    reply = hub.call(method, path.format(uuid=record["uuid"]), body, headers=headers)
    if method == "GET":
        assert_unavailable(reply, "loc2")
    else:
        assert_fate_unknown(reply, "loc2")
        assert len(hub.loc2.asked(method)) == 1, "a write is never sent twice"
    assert reply.header("Location") is None and reply.header("Link") is None
    assert b"elsewhere" not in reply.body and b"log in" not in reply.body


@pytest.mark.parametrize("words", FOREIGN)
@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/nodes", {"driver": "d", "conductor_group": "grp1"}), ("/v1/ports", {"address": "52:54:00:00:00:01"}), ("/v1/chassis", {})],
    ids=["nodes", "ports", "chassis"],
)
def test_a_create_is_made_only_if_ironic_says_so(hub, path, body, words):
    record = known(hub)
    if path == "/v1/ports":
        body = {**body, "node_uuid": record["uuid"]}
    for site in hub.all():
        site.fault(FOREIGN[words], method="POST")
    reply = hub.post(path, body)
    assert reply.status in (503, 504), reply
    assert reply.header("Location") is None


@pytest.mark.parametrize("words", FOREIGN)
@pytest.mark.parametrize("path", ["/v1/nodes", "/v1/nodes?sort_key=name", "/v1/ports", "/v1/drivers", "/v1/shards", "/v1/chassis", "/v1/conductors", "/v1/allocations"])
def test_a_part_of_a_list_that_is_not_ironics_is_missing(hub, path, words):
    hub.loc2.fault(FOREIGN[words])
    reply = hub.get(path, headers={"X-Ironic-Proxy-Partial": "allow"})
    assert reply.status == 200, reply
    assert reply.header("X-Ironic-Proxy-Incomplete").startswith("loc2;reason="), reply
    assert reply.header("Location") is None


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"uuid": "another"}'])
def test_who_says_yes_to_everything_has_nothing(hub, body):
    """Named creates elsewhere go on, unverified there."""
    hub.loc2.fault(scripted.answers(200, body), method="GET", path="/v1/.+")
    reply = hub.post("/v1/nodes", {"driver": "fake-hardware", "name": f"n-{new_uuid()[:8]}"})
    assert reply.status == 201, reply
    assert reply.header("X-Ironic-Proxy-Unverified") == "loc2"


# --- the client's doing is never charged to a location


CLIENTS_DOING = {
    "a body too large for nginx": (("PATCH", "/v1/nodes/{uuid}", [{"op": "add", "path": "/extra/a", "value": "x" * 9999}]), scripted.html(413), 413),
    "a query too long for httpd": (("GET", "/v1/nodes/{uuid}?fields=" + "x" * 9000, None), scripted.html(414), 414),
    "a query too long, as a 400": (("GET", "/v1/nodes/{uuid}?fields=" + "x" * 9000, None), scripted.html(400), 414),
    "a head too large": (("GET", "/v1/nodes/{uuid}?fields=" + "x" * 5000, None), scripted.html(431), 414),
    "a conflict": (("PUT", "/v1/nodes/{uuid}/states/power", {"target": "power on"}), scripted.says(409, "Node is locked"), 409),
    "a conductor that is away": (("PUT", "/v1/nodes/{uuid}/states/power", {"target": "power on"}), scripted.says(503, "No conductor"), 503),
    "a driver that fails": (("GET", "/v1/nodes/{uuid}/states", None), scripted.says(500, "IPMI failed"), 500),
    "an empty 500 below its version": (("GET", "/v1/nodes/{uuid}/children", None), scripted.says(500, ""), 500),
}


@pytest.mark.parametrize(
    "accept", ["text/html", "text/plain", "application/xml", "image/png", "*/*;q=0", "application/vnd.openstack.ironic.v1+json"]
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/nodes"), ("GET", "/v1/drivers"), ("GET", "/v1/nodes/{uuid}"), ("DELETE", "/v1/nodes/{uuid}")])
def test_who_wants_no_json_is_refused_and_nobody_is_asked(hub, method, path, accept):
    record = known(hub)
    hub.forget_requests()
    for headers in ({"Accept": accept}, {"Accept": accept, "X-Ironic-Proxy-Location": "loc2"}):
        assert hub.call(method, path.format(uuid=record["uuid"]), headers=headers).status == 406
    # Not for this; a probe may be under way for what other tests did to the location.
    assert hub.asked(path="/v1.*") == {}


@pytest.mark.parametrize("doing", CLIENTS_DOING)
def test_a_clients_doing_is_told_to_the_client_alone(hub, doing):
    (method, path, body), fault, status = CLIENTS_DOING[doing]
    record = known(hub)
    hub.loc2.fault(fault, path="/v1/nodes/.+")
    for _ in range(7):
        reply = hub.call(method, path.format(uuid=record["uuid"]), body)
        assert reply.status == status, reply
        assert reply.fault()["faultstring"] is not None
        assert b"nginx" not in reply.body
    hub.heal()
    assert well(hub)


BELOW = {
    "an inventory that the store lost": (("GET", "/v1/nodes/{uuid}/inventory", None), scripted.answers(500, b"gone", content_type="text/plain")),
    "a slow boot device": (("GET", "/v1/nodes/{uuid}/management/boot_device", None), scripted.hang()),
    "a slow vendor's method": (("POST", "/v1/nodes/{uuid}/vendor_passthru/m", {"a": 1}), scripted.hang()),
    "a vendor's method that breaks": (("GET", "/v1/nodes/{uuid}/vendor_passthru/m", None), scripted.html(502)),
    "a power state that hangs": (("PUT", "/v1/nodes/{uuid}/states/power", {"target": "power on"}), scripted.hang()),
}


@pytest.mark.parametrize("what", BELOW)
def test_one_driver_does_not_take_its_location_along(hub, what):
    (method, path, body), fault = BELOW[what]
    record = known(hub)
    hub.loc2.fault(fault, path="/v1/nodes/.+/.+")
    replies = together(*[lambda: hub.call(method, path.format(uuid=record["uuid"]), body)] * 7)
    assert {reply.status for reply in replies} <= {503, 504}
    assert well(hub), "the breaker opened"


BESIDE = {
    **{below: ("GET", f"/v1/drivers/fake-hardware/{below}", None) for below in ("properties", "raid/logical_disk_properties", "vendor_passthru/methods")},
    "a newer collection": ("GET", "/v1/rarities", None),
    **{f"{method} a node": (method, "/v1/nodes/{uuid}", body) for method, body in (("PATCH", change()), ("DELETE", None))},
    "POST a node": ("POST", "/v1/nodes", {"driver": "fake-hardware", "conductor_group": "grp1"}),
    "POST an allocation": ("POST", "/v1/allocations", {"resource_class": "c", "candidate_nodes": ["{uuid}"]}),
}
GIVEN_UP = {"a conductor that hangs": scripted.hang(), "a balancer that gives it up": scripted.html(504)}


@pytest.mark.parametrize("way", GIVEN_UP)
@pytest.mark.parametrize("pinned", [False, True], ids=["", "pinned"])
@pytest.mark.parametrize("what", BESIDE)
def test_a_conductor_does_not_take_its_location_along(hub, what, pinned, way):
    """What a living API waits for, of whatever is asked: a driver, what a newer Ironic has, a thing that is written."""
    method, path, body = BESIDE[what]
    record = known(hub)
    path, body = (json.loads(json.dumps(part).replace("{uuid}", record["uuid"])) for part in (path, body))
    rule = hub.loc2.fault(GIVEN_UP[way], method, path)
    replies = together(*[lambda: hub.call(method, path, body, headers={LOCATION: "loc2"} if pinned else {})] * 7)
    assert {reply.status for reply in replies} <= {503, 504}
    assert rule.hits >= 5, "as many as would open it"
    assert well(hub), "the breaker opened"


@pytest.mark.parametrize("method, path, body", [
    ("GET", "", None),
    ("GET", "/vendor_passthru/m", None),
    ("POST", "/vendor_passthru/m", {"a": 1}),
    ("PATCH", "", [{"op": "add", "path": "/description", "value": "x"}]),
    ("PUT", "/states/power", {"target": "power on"}),
    ("DELETE", "", None),
])  # fmt: skip
def test_who_asks_too_much_could_not_ask(hub, method, path, body):
    """What stands before Ironic says so, in whatever words; a client's own limit it is not."""
    record = known(hub)
    hub.loc2.fault(scripted.says(429, "Too many"), path="/v1/nodes/.+")
    reply = hub.call(method, f"/v1/nodes/{record['uuid']}{path}", body)
    if method == "GET":
        assert_unavailable(reply, "loc2")
    else:
        assert_fate_unknown(reply, "loc2")


@pytest.mark.parametrize("text", ["No rule", "(pymysql.err.OperationalError) Can't connect to MySQL server on '10.0.0.5'"])
def test_an_error_that_a_filter_brings_about_opens_nothing(hub, text):
    """Ironic's own 500 to a list with a client's parameters may be the parameters' fault."""
    hub.loc2.fault(scripted.says(500, text), path="/v1/nodes", query="owner")
    for _ in range(7):
        reply = hub.get("/v1/nodes?owner=x")
        assert_unavailable(reply, "loc2")
        assert b"10.0.0.5" not in reply.body
    assert well(hub)


MEDIA = b'[{"media_types": ["CD"], "inserted": false, "image": null}]'


@pytest.mark.parametrize("below", ["vmedia", "newer_than_us"])
@pytest.mark.parametrize("pinned", [False, True], ids=["", "pinned"])
def test_what_is_below_a_node_may_be_a_list(hub, below, pinned):
    """A node's virtual media are one (`drivers/modules/redfish/boot.py`)."""
    record = known(hub)
    hub.loc2.fault(scripted.answers(200, MEDIA), path=f"/v1/nodes/.+/{below}")
    for _ in range(7):
        reply = hub.get(f"/v1/nodes/{record['name']}/{below}", headers={LOCATION: "loc2"} if pinned else {})
        assert (reply.status, reply.body, reply.header(LOCATION)) == (200, MEDIA, "loc2"), reply
    assert well(hub), "the breaker opened"
    links = b'[{"uuid": "x", "links": [{"href": "%s/v1/x", "rel": "self"}]}]'
    hub.loc2.fault(scripted.answers(200, links % hub.loc2.endpoint.encode()), path=f"/v1/nodes/.+/{below}")
    assert hub.get(f"/v1/nodes/{record['uuid']}/{below}").body == links % hub.url.encode()


@pytest.mark.parametrize("below", ["allocation", "history/e", "bios/s", "management/indicators", "vendor_passthru/methods"])
@pytest.mark.parametrize("body", [b"[]", b'[{"a": ', b'"a"', b"null"])
def test_what_is_an_object_below_a_node_is_no_list(hub, below, body):
    record = known(hub)
    hub.loc2.fault(scripted.answers(200, body), path="/v1/nodes/.+/.+")
    assert_unavailable(hub.get(f"/v1/nodes/{record['uuid']}/{below}"), "loc2")
    if body != b"[]":
        assert_unavailable(hub.get(f"/v1/nodes/{record['uuid']}/vmedia"), "loc2")


@pytest.mark.parametrize("body", [MEDIA, b'{"rarities": [{"id": 5}], "next": "http://x/"}', b'{"rarities": ["a"], "next": "http://x/"}'])
def test_a_collection_that_cannot_be_put_together_opens_nothing(hub, body):
    """It is a newer Ironic's, and any client may ask for it."""
    everybody = threading.Barrier(7)

    def at_once(exchange):
        everybody.wait(10)
        return exchange.true_answer()

    # All answers are there before the first is read, or each would make good for the one before.
    hub.loc1.fault(at_once, path="/v1/rarities")
    hub.loc2.fault(scripted.answers(200, body), path="/v1/rarities")
    for reply in together(*[lambda: hub.get("/v1/rarities")] * 7):
        assert_unavailable(reply, "loc2")
    assert well(hub), "the breaker opened"


# --- the breaker measures whether the location can answer


def test_the_root_document_does_not_close_what_lists_opened():
    """A database that hangs while `/` answers: five lists wait, then nobody does, until a trial of ours succeeds."""
    with fleet(2, every={"timeout": 1, "breaker_failures": 3, "breaker_reset": 1, "probe_interval": 1}) as hub:
        rule = hub.loc2.fault(scripted.hang(), path="/v1/.+")
        together(*[lambda: hub.get("/v1/nodes")] * 3)
        allow = {"X-Ironic-Proxy-Partial": "allow"}
        # Trials of ours come and go meanwhile; no client pays for one.
        until(lambda: len(hub.loc2.asked("GET", "/v1/nodes")) >= 5, what="two trials")
        for _ in range(5):
            reply = hub.get("/v1/nodes", headers=allow)
            assert reply.header("X-Ironic-Proxy-Incomplete") == "loc2;reason=breaker"
        assert rule.hits >= 5
        hub.heal()
        until(lambda: hub.get("/v1/nodes").status == 200, what="the breaker to close")


def test_a_keystone_that_hangs_costs_healthy_sites_nothing():
    """Seven requests: none waits longer than a connection may take, and then the breaker is open."""
    with StandinKeystone([]) as keystone:
        keystone.fault(scripted.hang())
        options = {"auth_type": "password", "auth_url": keystone.endpoint, "username": "u", "password": "p", "user_domain_name": "Default", "system_scope": "all"}
        with fleet(2, each={"loc2": {**options, "connect_timeout": 1, "breaker_failures": 3, "breaker_reset": 60}}, wait=False) as hub:
            until(lambda: hub.get("/v1", version=None).status == 200, what="versions")
            allow = {"X-Ironic-Proxy-Partial": "allow"}
            until(lambda: hub.get("/v1/nodes", headers=allow).header("X-Ironic-Proxy-Incomplete") == "loc2;reason=breaker", what="the breaker to open")


def test_a_site_that_was_never_an_ironic_is_not_asked():
    """An endpoint below the root, or another service: no false 404, no short list, and the log says what to do."""
    below = Standin()
    below.fault(scripted.answers(200, json.dumps({"id": "v1", "links": []}).encode()), path="/")
    with fleet(Standin(), below, wait=False) as hub:
        for path in (f"/v1/nodes/{new_uuid()}", "/v1/nodes/nobody", "/v1/nodes", "/v1/nodes?sort_key=name", "/v1/drivers?detail=true"):
            assert_unavailable(hub.get(path, headers={"X-Ironic-Proxy-Partial": "deny"}), "loc2")
        hub.logged("endpoint_override must name the address below which `/v1` is")
        assert not hub.loc2.asked(path="/v1/.*")


def test_a_policy_that_refuses_us_is_not_told_as_the_clients(hub):
    """Also above the 64 KiB that could be sent again."""
    record = known(hub)
    denied = "Access was denied to the following resource: baremetal:node:set_provision_state"
    hub.loc2.fault(scripted.says(403, denied), method="PUT")
    for size in (10, 100_000):
        reply = hub.put(f"/v1/nodes/{record['uuid']}/states/provision", {"target": "active", "configdrive": "x" * size})
        assert_unavailable(reply, "loc2")
        assert b"denied" not in reply.body
    assert well(hub)


# --- bounds


def test_answers_have_bounds_by_kind(hub):
    """A member of 17 MiB is none; a list may be larger."""
    record = known(hub)
    hub.loc2.fault(scripted.too_big(17 << 20), path="/v1/nodes/.+")
    assert_unavailable(hub.get(f"/v1/nodes/{record['uuid']}"), "loc2")
    hub.heal()
    hub.loc2.fault(scripted.too_big(17 << 20), path="/v1/nodes")
    assert hub.get("/v1/nodes").status == 200


def test_a_list_that_moves_is_never_too_slow():
    """Slower in all than `timeout`, with never a silence as long as that."""
    with fleet(1, every={"timeout": 1, "breaker_failures": 2}, api={"request_deadline": 30}) as hub:
        for _ in range(20):
            hub.loc1.add(node(f"n-{new_uuid()}"))

        def slowly(exchange):
            answer = exchange.true_answer()
            exchange.send(answer.head())
            size = len(answer.body) // 8 + 1
            for start in range(0, len(answer.body), size):
                exchange.send(answer.body[start : start + size])
                exchange.wait(0.2)

        hub.loc1.fault(slowly, path="/v1/nodes")
        for _ in range(2):
            assert len(hub.get("/v1/nodes").json()["nodes"]) == 20
        assert well(hub, "loc1")


# --- versions that change


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE", "POST"])
def test_who_asks_for_the_latest_is_served_after_a_roll_back(method):
    with fleet(2) as hub:
        record = known(hub)
        hub.loc2.versions = ("1.1", "1.90")
        path, body = {
            "GET": ("/v1/nodes/{uuid}", None),
            "PATCH": ("/v1/nodes/{uuid}", [{"op": "add", "path": "/extra/a", "value": 1}]),
            "PUT": ("/v1/nodes/{uuid}/maintenance", {"reason": "x"}),
            "DELETE": ("/v1/nodes/{uuid}/maintenance", None),
            "POST": ("/v1/nodes", {"driver": "fake-hardware", "conductor_group": "grp1", "name": "new"}),
        }[method]
        reply = hub.call(method, path.format(uuid=record["uuid"]), body, version="latest")
        assert reply.status < 300, reply
        assert reply.header("X-OpenStack-Ironic-API-Version") == "1.90"


def test_a_406_to_a_poll_is_no_no():
    """The site's range shrank since it was asked: the poll is made anew, and the node is found."""
    with fleet(2) as hub:
        there = hub.loc2.add(node("there"))
        hub.loc2.versions = ("1.1", "1.90")
        for ident in (there["uuid"], "there"):
            reply = hub.get(f"/v1/nodes/{ident}", version="latest")
            assert reply.status == 200, reply


# --- what goes out


SENT_BY_CLIENTS = {
    "Accept": "*/*",
    "If-None-Match": "*",
    "If-Modified-Since": "Sat, 29 Oct 1994 19:43:31 GMT",
    "Range": "bytes=0-1",
    "TE": "trailers",
    "User-Agent": "x" * 5000,
    "Content-Type": "text/plain",
    "X-Roles": "admin",
    "Cookie": "a=b",
}


@pytest.mark.parametrize(("method", "path", "body"), ROUTED, ids=ROUTED_NAMES)
def test_a_location_is_sent_what_we_mean(hub, method, path, body):
    record = known(hub)
    hub.call(method, path.format(uuid=record["uuid"]), body, headers=SENT_BY_CLIENTS)
    [request] = [request for request in hub.loc2.asked(method) if record["uuid"] in request.path][-1:]
    allowed = {"host", "accept", "x-openstack-ironic-api-version", "x-openstack-request-id", "openstack-system-scope", "content-type", "content-length", "transfer-encoding", "connection"}
    names = {name.lower() for name, _ in request.headers}
    assert names <= allowed, names - allowed
    assert request.header("Accept") == "application/json"
    if body is None:
        assert "content-type" not in names
    else:
        assert request.header("Content-Type") == "application/json"


# --- what a location says of what it was told to do


NOT_IT = {
    "nothing": scripted.answers(204),
    "{}": scripted.answers(200, b"{}"),
    "a list": scripted.answers(200, b"[]"),
    "another": scripted.answers(200, b'{"uuid": "11111111-1111-4111-8111-111111111111"}'),
}


@pytest.mark.parametrize("words", NOT_IT)
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_who_does_not_show_a_copy_has_not_answered(hub, method, words):
    ident = stock(hub, "chassis")
    hub.loc2.fault(NOT_IT[words], method="GET", path="/v1/chassis/.+")
    reply = hub.call(method, f"/v1/chassis/{ident}", change() if method == "PATCH" else None)
    assert_unavailable(reply, "loc2")
    assert not writes(hub), "nothing is begun"


@pytest.mark.parametrize("words", ["nothing", "{}", "a list"])
def test_who_does_not_list_a_chassis_s_nodes_may_have_some(hub, words):
    ident = stock(hub, "chassis")
    hub.loc2.fault(NOT_IT[words], method="GET", path="/v1/chassis/.+/nodes")
    assert_unavailable(hub.delete(f"/v1/chassis/{ident}"), "loc2")
    assert not writes(hub)


@pytest.mark.parametrize("words", NOT_IT)
def test_a_create_whose_answer_was_lost_is_made_if_it_is_shown(hub, words):
    hub.loc1.fault(scripted.close(), method="POST")
    hub.loc1.fault(NOT_IT[words], method="GET", path="/v1/(nodes|chassis)/.+", skip=1)
    assert_fate_unknown(hub.post("/v1/nodes", {"driver": "fake-hardware", "name": "lost"}), "loc1")


@pytest.mark.parametrize("words", ["nothing", "{}", "a list"])
def test_an_allocation_of_a_node_is_one(hub, words):
    record = known(hub)
    hub.loc2.fault(NOT_IT[words], method="GET", path="/v1/nodes/.+/allocation")
    assert_unavailable(hub.get(f"/v1/allocations?node={record['uuid']}"), "loc2")
