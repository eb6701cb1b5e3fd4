"""What Ironic takes for a word of its own, for another path, or for a form: nothing is carried out that was not meant."""

import copy
import re
import urllib.parse

import pytest
import scripted
from fleet import assert_unavailable, fleet, until
from routes import spellings
from standin import Standin, StandinKeystone, new_uuid, node

from client import LATEST

# Pecan finds a controller or a function under each of these.
WORDS = ["states", "vifs", "detail", "validate", "maintenance", "vendor_passthru", "traits"]
PINNED = {"X-Ironic-Proxy-Location": "loc2"}
PATCH = [{"op": "replace", "path": "/extra/a", "value": "b"}]
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def running():
    with fleet(2) as hub:
        yield hub


@pytest.fixture
def hub(running):
    running.heal()
    return running


@pytest.mark.parametrize("headers", [{}, PINNED], ids=["", "pinned"])
@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(
    ("method", "below", "body"),
    [
        ("DELETE", "", None),
        ("PATCH", "", PATCH),
        ("PUT", "/states/power", {"target": "power on"}),
        ("PUT", "/states/provision", {"target": "manage"}),
        ("PUT", "/maintenance", {"reason": "x"}),
        ("POST", "/vifs", {"id": new_uuid()}),
        ("DELETE", "/traits", None),
        ("POST", "/vendor_passthru?method=m", {}),
    ],
)
def test_a_node_is_not_found_by_a_word_of_ironics(hub, word, method, below, body, headers):
    """Somebody gave it that name at its location, behind the gateway's back."""
    there = hub.loc2.add(node(word))
    before = dict(hub.loc2.find(there["uuid"]))
    reply = hub.call(method, f"/v1/nodes/{word}{below}", body, headers=headers)
    assert 400 <= reply.status < 500, reply
    assert not re.search(r"-[0-9a-f]{8}-[0-9a-f]{4}-", reply.text()), "who stands in for it is nobody's business"
    assert hub.loc2.find(there["uuid"]) == before
    for site in hub.all():
        for request in site.asked(method):
            segments = request.path.split("?")[0].split("/")
            assert segments[3] != word, "Ironic would read its own word"


@pytest.mark.parametrize("ident", ["CUSTOM_A", new_uuid()], ids=["name", "uuid"])
def test_what_is_wrong_with_a_write_everywhere_is_not_asked_about_the_thing(hub, ident):
    """It may be made there meanwhile, and would be changed at this one location."""
    patch = [{"op": "add", "path": "name", "value": 1, "more": 2}]
    reply = hub.patch(f"/v1/deploy_templates/{ident}", patch)
    assert 400 <= reply.status < 500, reply
    assert ident in reply.text() or reply.status == 400
    asked = [request.path for site in hub.all() for request in site.asked("PATCH")]
    assert len(asked) == 1
    assert not asked[0].endswith(ident)


@pytest.mark.parametrize("headers", [{}, PINNED], ids=["", "pinned"])
@pytest.mark.parametrize("path", ["/v1/ports/1", "/v1/ports/1/news", "/v1/ports/1.json", "/v1/portgroups/1", "/v1/portgroups/1/ports", "/v1/volume/targets/1"])
def test_a_number_is_nobody_s_identifier(path, headers):
    """By it Ironic finds whatever is the first in its database: at each location something else, that is called otherwise."""
    sites = [with_parts(), with_parts()]
    before = copy.deepcopy([(site.ports, site.objects) for site in sites])
    with fleet(*sites, every={"breaker_failures": 2}) as hub:
        for method, body in [("GET", None)] * 3 + [("DELETE", None), ("PATCH", PATCH)]:
            reply = hub.call(method, path, body, headers=headers, version="1.90" if path.endswith(".json") else LATEST)
            assert 400 <= reply.status < 500, (method, reply)
            assert not re.search(r"-[0-9a-f]{8}-[0-9a-f]{4}-", reply.text()), reply
        reply = hub.post("/v1/ports", {"name": "1", "address": "52:54:00:00:00:99", "node_uuid": hub.loc2.nodes[0]["uuid"]})
        assert (reply.status, reply.header("X-Ironic-Proxy-Unverified")) == (201, None), reply
        assert hub.get("/v1/nodes").status == 200, "nobody's breaker is open"
        hub.loc2.ports.pop()
    assert [(site.ports, site.objects) for site in sites] == before


@pytest.mark.parametrize(
    ("kind", "name"),
    [("ports", "3"), ("ports", "detail"), ("ports", ".."), ("portgroups", "3"), ("portgroups", "detail"), ("portgroups", ".."), ("allocations", "..")],
)
def test_a_name_that_no_path_can_ask_for_is_unique_all_the_same(hub, kind, name):
    """Ironic gives it to all but nodes, and a filter finds it."""
    emptied(hub)
    wanted = [{"ports": {"address": f"52:54:00:00:01:{number}"}, "portgroups": {}, "allocations": {"resource_class": "r"}}[kind] for number in (11, 12)]
    for site, body in zip(hub.all(), wanted):
        there = site.add(node(resource_class="r"))["uuid"]
        body |= {"name": name, **({"candidate_nodes": [there]} if kind == "allocations" else {"node_uuid": there})}
    first, second = [hub.post(f"/v1/{kind}", body) for body in wanted]
    assert (first.status, second.status) == (201, 409), (first, second)
    assert f"with name {name} already exists" in second.text()


@pytest.mark.parametrize("name", ["3", "detail"])
@pytest.mark.parametrize("query", ["", "&sort_key=address"])
def test_a_filter_finds_who_has_a_name_that_no_path_can_ask_for(hub, name, query):
    emptied(hub)
    group = {"uuid": new_uuid(), "name": name, "node_uuid": hub.loc2.add(node())["uuid"]}
    hub.loc2.objects["portgroups"].append(group)
    hub.loc2.ports.append({"uuid": new_uuid(), "address": "52:54:00:00:01:11", "node_uuid": group["node_uuid"], "portgroup_uuid": group["uuid"]})
    listed = hub.get(f"/v1/ports?portgroup={name}{query}")
    assert (listed.status, [port["uuid"] for port in listed.json().get("ports", [])]) == (200, [hub.loc2.ports[-1]["uuid"]]), listed
    # Nobody else has it, and who may is silent.
    assert hub.get(f"/v1/ports?portgroup=7{query}").status == 404
    hub.loc2.fault(scripted.html(503))
    for ident in (name, "7"):
        assert_unavailable(hub.get(f"/v1/ports?portgroup={ident}{query}"), "loc2")
    # No node can be called like one of Ironic's own words, so nobody need be asked about it.
    assert hub.get(f"/v1/ports?node=detail{query}").status == 404


@pytest.mark.parametrize("name", ["bios", "traits", ".."])
def test_a_node_s_name_that_no_path_can_ask_for_is_unique_all_the_same(hub, name):
    emptied(hub)
    for site in hub.all():
        site.nodes.clear()
    hub.loc2.add(node(name))
    for way in ("POST", "PATCH"):
        if way == "POST":
            told = hub.post("/v1/nodes", {"driver": "fake-hardware", "name": name})
        else:
            hub.loc1.add(node("another"))
            told = hub.patch("/v1/nodes/another", [{"op": "replace", "path": "/name", "value": name}])
        assert told.status == 409, (way, told)
        assert f"with name {name} already exists" in told.text()


@pytest.mark.parametrize("name", ["bios", "traits", "children", ".."])
@pytest.mark.parametrize("query", ["", "&sort_key=address"])
def test_a_filter_finds_a_node_that_is_called_like_what_is_below_one(hub, name, query):
    emptied(hub)
    for site in hub.all():
        site.nodes.clear()
    hub.loc2.add(node(name))
    hub.loc2.ports.append({"uuid": new_uuid(), "address": "52:54:00:00:01:11", "node_uuid": hub.loc2.nodes[-1]["uuid"]})
    listed = hub.get(f"/v1/ports?node={name}{query}")
    assert (listed.status, [port["uuid"] for port in listed.json().get("ports", [])]) == (200, [hub.loc2.ports[-1]["uuid"]]), listed
    hub.loc2.fault(scripted.html(503))
    assert_unavailable(hub.get(f"/v1/ports?node={name}{query}"), "loc2")


def emptied(hub):
    for site in hub.all():
        for records in (site.ports, *site.objects.values()):
            records.clear()


def with_parts():
    """A location with a node, a port and a port group, which have no name."""
    site = Standin([node()])
    uuid = site.nodes[0]["uuid"]
    site.ports.append({"uuid": new_uuid(), "address": f"52:54:00:00:00:{uuid[:2]}", "node_uuid": uuid, "name": None})
    site.objects["portgroups"].append({"uuid": new_uuid(), "name": None, "node_uuid": uuid, "extra": {}})
    return site


@pytest.mark.parametrize("ident", ["nobody", "nobody.json", "x" * 255, new_uuid()], ids=["name", "suffix", "long", "uuid"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/v1/nodes/{}", {}),
        ("PATCH", "/v1/nodes/{}", [{"op": "replace", "path": "/name", "value": "new"}]),
        ("PUT", "/v1/nodes/{}/states/power", {"target": "power off"}),
        ("PUT", "/v1/nodes/{}/states/provision", {"target": "deleted"}),
        ("DELETE", "/v1/nodes/{}/traits/CUSTOM_A", {}),
        ("POST", "/v1/nodes/{}/vendor_passthru?method=erase", {"all": True}),
        ("POST", "/v1/nodes/{}/news", {"x": 1}),
        ("PATCH", "/v1/ports/{}", PATCH),
        ("DELETE", "/v1/portgroups/{}", {}),
        ("DELETE", "/v1/allocations/{}", {}),
        ("DELETE", "/v1/chassis/{}", {}),
        ("POST", "/v1/drivers/{}/vendor_passthru?method=erase", {"all": True}),
    ],
)
def test_what_is_wrong_with_a_write_is_not_asked_about_the_thing(hub, method, path, body, ident):
    """It may be there meanwhile, and the write would be done without what is looked at before one."""
    reply = hub.call(method, path.format(ident), body or None, version="1.90")
    assert 400 <= reply.status < 500, reply
    assert not re.search(r"-[0-9a-f]{8}-[0-9a-f]{4}-", reply.text().replace(ident, "")), reply
    if reply.status == 404 and "/news" not in path and "traits" not in path:
        assert ident in reply.text(), reply
    asked = [request.target for site in hub.all() for request in site.asked(method)]
    assert len(asked) <= 1
    assert not [target for target in asked if re.search(rf"/{ident}([/?]|$)", target)], asked


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/nodes"), ("POST", "/v1/chassis"), ("PATCH", "/v1/nodes/{uuid}")])
def test_a_form_is_no_document(hub, method, path):
    there = hub.loc2.add(node("there"))
    body = b'[{"op": "replace", "path": "/extra/a", "value": "b"}]' if method == "PATCH" else b'{"driver": "fake-hardware"}'
    reply = hub.call(method, path.format(**there), body, headers=FORM)
    assert reply.status == 400, reply
    assert "application/json" in reply.text(), "it says what helps"
    assert hub.asked(method) == {}


@pytest.mark.parametrize("kind", ["multipart/form-data", "application/json; charset=nonsense", "nonsense", ""])
def test_a_type_that_ironic_chokes_on_is_not_handed_on(hub, kind):
    """Its 500 has no words, and would be charged to the location."""
    there = hub.loc2.add(node("there"))
    hub.post("/v1/nodes", b'{"driver": "fake-hardware"}', headers={"Content-Type": kind})
    hub.patch(f"/v1/nodes/{there['uuid']}", b'[{"op": "replace", "path": "/extra/a", "value": "b"}]', headers={"Content-Type": kind})
    hub.put(f"/v1/nodes/{there['uuid']}/states/power", b'{"target": "power on"}', headers={"Content-Type": kind})
    sent = [request for site in hub.all() for method in ("POST", "PATCH", "PUT") for request in site.asked(method)]
    assert len(sent) == 3
    assert {request.header("Content-Type") for request in sent} == {"application/json"}


def test_the_arguments_of_a_form_go_out_as_a_form(hub):
    there = hub.loc2.add(node("there"))
    hub.call("PUT", f"/v1/nodes/{there['uuid']}/states/power", b"target=power%20on", headers=FORM)
    [request] = hub.loc2.asked("PUT")
    assert request.header("Content-Type") == FORM["Content-Type"]


@pytest.mark.parametrize("version", ["1.90", LATEST])
def test_a_name_that_ends_in_json_is_asked_for_as_ironic_reads_it(version):
    """Below 1.91 Ironic takes one `.json` off the end of a path; another node would answer, and be taken for nonsense."""
    sites = [Standin(versions=("1.1", version)) for _ in range(2)]
    with fleet(*sites, wait=False) as hub:
        until(lambda: hub.get("/v1/nodes", version=version).status == 200)
        for path in ("/v1/nodes/a.json/states", "/v1/ports?node=a.json"):
            hub.forget_requests()
            hub.get(path, version=version)
            asked = {request.path.split("?")[0] for site in hub.all() for request in site.asked("GET", "/v1/nodes/.*")}
            assert ("/v1/nodes/a.json.json" if version == "1.90" else "/v1/nodes/a.json") in asked, asked


class Readers(StandinKeystone):
    """Whoever it issues a token to may read, but for the gateway itself."""

    def reader(self):
        user = {"name": "reader", "password": "secret"}
        auth = {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": {"system": {"all": True}}}
        token = dict(self._issue(auth).headers)["X-Subject-Token"]
        self.tokens[token]["roles"] = [{"id": "r", "name": "reader"}]
        return token


@pytest.fixture(scope="module")
def guarded():
    """A gateway for readers, and the headers of one."""
    with Readers({"gw": "secret", "reader": "secret"}) as keystone:
        own = {
            "auth_url": keystone.endpoint, "auth_type": "password", "username": "gw", "password": "secret", "system_scope": "all",
            "user_domain_id": "default",
        }  # fmt: skip
        options = {"api": {"auth_strategy": "keystone"}, "sections": {"keystone_authtoken": own}}
        with fleet(2, wait=False, **options) as hub:
            headers = {"X-Auth-Token": keystone.reader()}
            until(lambda: hub.get("/v1/nodes", headers=headers).status == 200)
            yield hub, headers


@pytest.mark.parametrize("further", [{}, PINNED], ids=["", "pinned"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "path",
    [
        "/v1/nodes/{uuid}/vendor_passthru/m",
        "/v1/nodes/{uuid}/vendor_passthru?method=m",
        "/v1/nodes/vendor_passthru?node_ident={uuid}&method=m",
        "/v1/nodes/vendor_passthru/{uuid}?method=m",
        "/v1/nodes/vendor_passthru/vifs?method=m",
        "/v1/nodes/vendor_passthru/m?node_ident={uuid}",
        "/nodes/vendor_passthru?node_ident={uuid}&method=m",
        "/v1/nodes/{uuid}/vendor_passthru.json?method=m",
        "/v1/drivers/fake-hardware/vendor_passthru?method=m",
        "/v1/drivers/vendor_passthru?driver_name=fake-hardware&method=m",
        "/v1/drivers/vendor_passthru/fake-hardware?method=m",
    ],
)
def test_no_spelling_leads_past_a_policy(guarded, path, method, further):
    hub, headers = guarded
    hub.heal()
    there = hub.loc2.add(node("there"))
    reply = hub.call(method, path.format(**there), None, headers={**headers, **further}, version="1.90")
    assert 400 <= reply.status < 500, reply
    assert hub.asked(path=".*vendor_passthru.*") == {}


@pytest.mark.parametrize("further", [{}, PINNED], ids=["", "pinned"])
def test_no_argument_in_a_query_leads_past_a_policy(guarded, further):
    """Of each route that a reader may not use, with ever less of its path and the rest in the query."""
    hub, headers = guarded
    hub.heal()
    there = hub.loc2.add(node("there"))
    count = 0
    for method, words, given, names in spellings():
        if method == "GET":
            continue
        left = iter([there["uuid"]] * given)
        path = "/".join(filter(None, (next(left, "") if word == "{}" else word for word in words)))
        for query in ([(name, there["uuid"]) for name in names], [(names[0], there["uuid"])]):
            reply = hub.call(method, f"/v1/{path}?{urllib.parse.urlencode(query)}", {}, headers={**headers, **further})
            assert 400 <= reply.status < 500, reply
            count += 1
    assert count > 100
    assert not [request.target for site in hub.all() for request in site.requests if request.method != "GET"]


@pytest.mark.parametrize("path", ["/...json", "/..json", "/v1/...json", "/v1/nodes/...json", "/v1/nodes/{uuid}/...json", "/v1/nodes/{uuid}/states/..json"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_suffix_hides_no_way_up(hub, method, path):
    """Below 1.91 `.json` is taken off the end, and what is left must not be dots that a web server takes for a way up."""
    uuid = new_uuid()
    hub.loc1.add(node(f"here-{uuid}", uuid))
    hub.forget_requests()
    reply = hub.call(method, path.format(uuid=uuid), version="1.90")
    assert reply.status == 404, reply
    assert not [request.target for site in hub.all() for request in site.requests if "/." in request.target]
