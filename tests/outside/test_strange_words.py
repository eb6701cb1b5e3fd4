"""What cannot be asked for by its path is not, wherever a request has it: web servers take dots for a way up, and Ironic some words for
its own. Their answers would be nobody's, and five of these open a breaker."""

import re

import pytest
from admin import SECTION, Admin
from exchange import Answer
from fleet import fleet
from standin import Standin, new_uuid, node

GROUPS = "_:loc1,grp1:loc2"
WORDS = ["..", ".", "a/b", "x/validate", "ports", "states", "traits"]


class Behind(Standin):
    """One behind a web server that takes dots and slashes as RFC 3986 says, and gives a 404 of its own for what is no path of Ironic."""

    def answer(self, request):
        path = request.path.replace("%2F", "/")
        if re.search(r"/\.\.?(/|$)", path):
            request.target = "/v1/" + request.target.partition("?")[1] + request.target.partition("?")[2]
        elif "%2F" in request.target.partition("?")[0]:
            return Answer(404, b"<html>no</html>", content_type="text/html")
        return super().answer(request)


@pytest.fixture(scope="module")
def hub():
    api = {"enable_ramdisk_endpoints": True}
    with fleet(Behind([node("here")]), Behind(), groups=GROUPS, api=api, every={"breaker_failures": 5}, sections={"admin": SECTION}) as hub:
        yield hub


# What asks by a word that does not stand in the path; `{}` is the word.
QUESTIONS = [
    *(f"/v1/{kind}?{name}={{}}" for kind in ("ports", "portgroups", "volume/connectors", "volume/targets", "allocations") for name in ("node", "marker")),
    *(f"/v1/{kind}?sort_key=uuid&marker={{}}" for kind in ("nodes", "ports", "portgroups", "allocations", "chassis", "runbooks")),
    "/v1/ports?portgroup={}",
    "/v1/nodes?chassis_uuid={}",
    "/v1/nodes?parent_node={}",
    "/v1/nodes/validate?node={}",
    "/v1/nodes/vendor_passthru/methods?node_ident={}",
    "/v1/drivers/properties?driver_name={}",
    "/v1/drivers/vendor_passthru/methods?driver_name={}",
    "/v1/lookup?node_uuid={}",
    "/v1/nodes/HERE/management/indicators?indicator={}",
    "/v1/nodes/HERE/management/indicators?indicator=..%2F{}",
    "/v1/drivers/properties?driver_name=..%2F{}",
    "/v1/drivers/properties?driver_name={};x",
]
NODE = {"driver": "d"}
BODIES = [
    ("/v1/nodes", {**NODE, "name": "{}"}),
    ("/v1/nodes", {**NODE, "uuid": "{}"}),
    ("/v1/nodes", {**NODE, "parent_node": "{}"}),
    ("/v1/nodes", {**NODE, "chassis_uuid": "{}"}),
    ("/v1/ports", {"node_uuid": "{}", "address": "52:54:00:00:00:01"}),
    ("/v1/portgroups", {"node_uuid": "{}"}),
    ("/v1/volume/targets", {"node_uuid": "{}", "volume_type": "i", "boot_index": 0, "volume_id": "1"}),
    ("/v1/allocations", {"resource_class": "x", "name": "{}"}),
    ("/v1/allocations", {"resource_class": "x", "candidate_nodes": ["{}"]}),
    ("/v1/allocations", {"node": "{}"}),
    ("/v1/deploy_templates", {"name": "{}", "steps": []}),
    ("/v1/heartbeat", {"callback_url": "x", "node": "{}"}),
    ("/v1/continue_inspection?node_uuid={}", {}),
]


def filled(body, word):
    put = lambda value: [put(one) for one in value] if isinstance(value, list) else value.replace("{}", word) if isinstance(value, str) else value
    return {name: put(value) for name, value in body.items()}


def strange(request, word):
    """A path with the word where an identifier is, or what a server makes of it."""
    below = request.path.split("?")[0]
    quoted = re.escape(word.replace("/", "%2F"))
    # What is a word to Ironic is one below nodes, and a name elsewhere.
    kind = "nodes" if word.isalpha() else r"(volume/)?[a-z_]+"
    return re.search(rf"^/v1/{kind}/({quoted}|{re.escape(word)})(/|$)", below)


@pytest.mark.parametrize("pinned", [{}, {"X-Ironic-Proxy-Location": "loc2"}], ids=["all", "one"])
@pytest.mark.parametrize("word", WORDS)
def test_no_path_has_it(hub, word, pinned):
    hub.forget_requests()
    quoted = word.replace("/", "%2F")
    uuid = hub.loc1.nodes[0]["uuid"]
    here = f"/v1/nodes/{uuid}"
    asked = [("GET", path.format(quoted).replace("HERE", uuid), None) for path in QUESTIONS]
    asked += [("POST", path.format(quoted), filled(body, word)) for path, body in BODIES]
    if not pinned:
        asked += [("PATCH", here, [{"op": "add", "path": f"/{name}", "value": word}]) for name in ("name", "instance_uuid", "parent_node", "chassis_uuid")]
    for _ in range(2):
        for method, path, body in asked:
            reply = hub.call(method, path, body, headers=pinned)
            # The stand-in is not as strict as Ironic, so some are a success.
            assert reply.status < 500, (path, body, reply)
    found = [str(request) for site in hub.all() for request in site.requests if strange(request, word)]
    assert found == []
    if pinned:
        # Nobody else is asked, but whether a value is free: of what no path can ask for, by a list.
        elsewhere = [request for site in hub.all() if site is not hub.loc2 for request in site.requests]
        assert [str(request) for request in elsewhere if request.method != "GET" or "node" in request.target.replace("/nodes?fields=uuid,name&", "")] == []
    below = [str(request) for site in hub.all() for request in site.requests if re.search(r"%2F|;|/\.\.?(/|$)", request.target.partition("?")[0])]
    assert below == []


def test_an_operator_s_question_is_judged_too():
    with fleet(Behind(), Behind(), every={"breaker_failures": 5}, sections={"admin": SECTION}) as hub:
        for word in ("..", ".", "a%2Fb"):
            found = Admin(hub.gateway).get(f"/locate/{word}?ask=true").document
            assert (found["found"], found["unknown"]) == ([], []), found
        assert not hub.asked()
        assert hub.get(f"/v1/nodes/{new_uuid()}").status == 404
