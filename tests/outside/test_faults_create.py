"""Where a node is created, and that it is created once."""

import gzip
import json
import re

import pytest
import scripted
from faults import hubs, writes
from fleet import Client, assert_fate_unknown, assert_unavailable
from standin import UUID_LIKE, new_uuid

GROUPS = "_:loc1,mine:loc1,grp1:loc2,a.b-c_d:loc2,_x:loc3"
PROXY_LOCATION = "X-Ironic-Proxy-Location"
module_hub, hub = hubs(3, groups=GROUPS, every={"timeout": 1})


# --- the conductor group decides


@pytest.mark.parametrize(
    ("members", "location", "sent"),
    [
        ({}, "loc1", ""),
        ({"conductor_group": None}, "loc1", ""),
        ({"conductor_group": ""}, "loc1", ""),
        ({"conductor_group": "mine"}, "loc1", "mine"),
        ({"conductor_group": "grp1"}, "loc2", "grp1"),
        ({"conductor_group": "GRP1"}, "loc2", "grp1"),
        ({"conductor_group": "A.b-C_d"}, "loc2", "a.b-c_d"),
        ({"conductor_group": "_x"}, "loc3", "_x"),
    ],
)
def test_the_group_selects_the_location(hub, members, location, sent):
    reply = hub.post("/v1/nodes", {"driver": "fake-hardware", **members})
    assert reply.status == 201, reply
    assert reply.header(PROXY_LOCATION) == location
    assert set(writes(hub)) == {location}
    body = hub.sites[location].asked("POST")[0].json()
    assert (body.get("conductor_group") or "") == sent
    assert reply.json()["conductor_group"] == sent
    assert hub.sites[location].find(reply.json()["uuid"])


@pytest.mark.parametrize(
    ("raw", "location"),
    [
        ('{"driver":"d","conductor_group":"grp1","conductor_group":""}', "loc1"),
        ('{"driver":"d","conductor_group":"","conductor_group":"grp1"}', "loc2"),
        ('{"driver":"d","conductor_group":"grp1","conductor_group":null}', "loc1"),
        ('{"driver":"d","conductor\\u005fgroup":"grp1"}', "loc2"),
        ('{"driver":"d","conductor_group":"\\u0067\\u0072p1"}', "loc2"),
        ('{"driver":"d","conductor_group":"_x","conductor\\u005fgroup":"grp1"}', "loc2"),
        ('{"driver":"d","\\u0063onductor_group":"grp1","conductor_group":"_x"}', "loc3"),
        ('  {"driver":"d",\r\n\t"conductor_group" : "grp1" }  ', "loc2"),
        ('{"driver":"d","extra":{"conductor_group":"grp1"}}', "loc1"),
        ('{"extra":{"conductor_group":"_x"},"conductor_group":"grp1","driver":"d","properties":{"conductor_group":"_x"}}', "loc2"),
    ],
)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_tricks_with_the_body_select_the_same_location_as_ironic_reads(hub, raw, location, framing):
    body = iter([raw[:9].encode(), raw[9:].encode()]) if framing == "chunked" else raw.encode()
    reply = hub.post("/v1/nodes", body, headers={"Content-Type": "text/plain"})
    assert reply.status == 201, reply
    assert set(writes(hub)) == {location}
    sent = bytes(hub.sites[location].asked("POST")[0].body)
    keys = [key for key, _ in json.loads(sent, object_pairs_hook=list)]
    assert len(keys) == len(set(keys)), f"repeated keys were handed on: {sent}"
    group = json.loads(raw).get("conductor_group") or ""
    assert hub.sites[location].find(reply.json()["uuid"])["conductor_group"] == group


@pytest.mark.parametrize(
    "group", ["nowhere", "_", "GRP2", "bad group", "grp1 ", "grp1\n", "grp1/x", "gr\u00fcp", "grp1\u0000", 5, True, [], ["grp1"], {}, 0]
)
def test_groups_that_lead_nowhere(hub, group):
    reply = hub.post("/v1/nodes", {"driver": "fake-hardware", "conductor_group": group})
    assert reply.status == 400, reply
    assert reply.fault()["faultcode"] == "Client"
    if isinstance(group, str) and re.fullmatch(r"[\w ]+", group, re.ASCII):
        assert group.lower() in reply.text().lower(), "the text does not name the group"
    assert hub.asked() == {}, "a location was asked"


def test_the_query_selects_nothing(hub):
    reply = hub.post("/v1/nodes?conductor_group=grp1&name=zz", {"driver": "fake-hardware"})
    assert set(writes(hub)) <= {"loc1"}
    assert not hub.loc2.nodes and not hub.loc3.nodes
    if reply.status == 201:
        assert reply.json()["name"] is None


@pytest.mark.parametrize("path", ["/nodes", "/v1/nodes/", "/v1/n%6Fdes"])
def test_other_spellings_of_the_path(hub, path):
    reply = hub.post(path, {"driver": "fake-hardware", "conductor_group": "grp1"})
    assert reply.status == 201, reply
    assert set(writes(hub)) == {"loc2"}
    assert hub.loc2.asked("POST")[0].target == "/v1/nodes"


def test_a_group_with_an_old_version(hub):
    own = Client(hub.loc2.endpoint).post("/v1/nodes", {"driver": "fake-hardware", "conductor_group": "grp1"}, version="1.45")
    reply = hub.post("/v1/nodes", {"driver": "fake-hardware", "conductor_group": "grp1"}, version="1.45")
    assert reply.status == own.status == 406
    assert not hub.loc2.nodes


def test_ironics_own_refusal_is_relayed(hub):
    hub.loc2.groups = {""}
    try:
        reply = hub.post("/v1/nodes", {"driver": "fake-hardware", "conductor_group": "grp1"})
    finally:
        hub.loc2.groups = None
    assert reply.status == 400
    assert reply.text().startswith("No valid host was found. Reason: No conductor service registered")
    assert reply.header(PROXY_LOCATION) == "loc2"


@pytest.mark.parametrize("body", [{}, {"name": "driverless"}, {"driver": "d", "foo": 1}, {"driver": "d", "name": "detail"}, {"driver": "d", "name": "a b"}])
def test_schema_errors_are_ironics(hub, body):
    own = Client(hub.loc1.endpoint).post("/v1/nodes", body)
    reply = hub.post("/v1/nodes", body)
    assert (reply.status, reply.body) == (own.status, own.body)
    assert reply.status == 400


@pytest.mark.parametrize(
    "body",
    [b"nojson", b'{"driver": "d"', b'{"driver": "d"} {"driver": "e", "conductor_group": "grp1"}', b"[]", b'"text"', b"5", b"{'driver': 1}",
     b'{"driver": "\xff"}', json.dumps({"driver": "d", "conductor_group": "grp1"}).encode("utf-16"),
     json.dumps({"driver": "d"}).encode("utf-32"), b'{"driver": "d", "extra": {"a": NaN}}', b"\x00", b'{"driver": "a\tb"}'],
)  # fmt: skip
def test_bodies_that_cannot_be_read(hub, body):
    reply = hub.post("/v1/nodes", body)
    assert reply.status in (400, 500), reply
    assert reply.header("Content-Type").startswith("application/json")
    assert set(reply.fault()) >= {"faultcode", "faultstring"}
    assert writes(hub) == {} and not any(site.nodes for site in hub.all())


def test_an_encoded_body(hub):
    body = gzip.compress(json.dumps({"driver": "d", "conductor_group": "grp1"}).encode())
    reply = hub.post("/v1/nodes", body, headers={"Content-Encoding": "gzip"})
    assert reply.status in (400, 415), reply
    assert writes(hub) == {}


# --- the uuid


def test_a_uuid_is_set(hub):
    reply = hub.post("/v1/nodes", {"driver": "fake-hardware", "name": "unborn"})
    sent = hub.loc1.asked("POST")[0].json()
    assert UUID_LIKE.fullmatch(sent["uuid"]) and sent["uuid"] == sent["uuid"].lower() and len(sent["uuid"]) == 36
    assert reply.json()["uuid"] == sent["uuid"]
    assert reply.header("Location") == f"{hub.url}/v1/nodes/{sent['uuid']}"
    second = hub.post("/v1/nodes", {"driver": "fake-hardware"})
    assert second.json()["uuid"] != sent["uuid"]


@pytest.mark.parametrize("spelling", [str, str.upper, lambda text: text.replace("-", "")])
def test_the_clients_uuid_is_kept(hub, spelling):
    ident = spelling(new_uuid())
    reply = hub.post("/v1/nodes", {"driver": "fake-hardware", "uuid": ident})
    assert (reply.status, reply.json()["uuid"]) == (201, ident)
    assert hub.loc1.asked("POST")[0].json()["uuid"] == ident


def test_a_null_uuid_is_replaced(hub):
    reply = hub.post("/v1/nodes", {"driver": "fake-hardware", "uuid": None})
    assert reply.status in (201, 400)
    if reply.status == 201:
        assert hub.loc1.find(reply.json()["uuid"])


def test_values_survive_the_new_serialisation(hub):
    raw = '{"driver":"d","extra":{"huge":123456789012345678901234567890,"exact":0.1,"text":"\\u00e9\\ud83d\\ude00\\n\\\\","none":null,"deep":[[{"a":[]}]]}}'
    assert hub.post("/v1/nodes", raw.encode()).status == 201
    assert hub.loc1.asked("POST")[0].json()["extra"] == json.loads(raw)["extra"]


# --- sent once, whatever happens

AFTER = {
    "hangs": scripted.hang(),
    "hangs after the head": scripted.hang_after_head(),
    "resets": scripted.reset(),
    "closes": scripted.close(),
    "cuts the body off": scripted.cut_off(),
    "502 in HTML": scripted.html(502),
    "504 in HTML": scripted.html(504),
    "talks garbage": scripted.garbage(),
}


@pytest.mark.parametrize("after", AFTER)
def test_made_but_not_told(hub, after):
    """The location made the node and the answer was lost: asking for the uuid tells, sending again would be wrong."""
    hub.loc2.fault(scripted.executed(AFTER[after]), method="POST")
    reply = hub.post("/v1/nodes", {"driver": "fake-hardware", "name": "lost", "conductor_group": "grp1"})
    assert reply.status == 201, reply
    assert len(hub.loc2.asked("POST")) == 1
    assert len(hub.loc2.nodes) == 1
    made = hub.loc2.find("lost")["uuid"]
    assert reply.json()["uuid"] == made
    assert reply.header("Location") == f"{hub.url}/v1/nodes/{made}"
    assert reply.header(PROXY_LOCATION) == "loc2"


@pytest.mark.parametrize("after", [name for name in AFTER if name not in ("hangs after the head", "cuts the body off")])
def test_not_made_and_not_told(hub, after):
    hub.loc2.fault(AFTER[after], method="POST")
    reply = hub.post("/v1/nodes", {"driver": "fake-hardware", "conductor_group": "grp1"})
    assert_fate_unknown(reply, "loc2")
    assert len(hub.loc2.asked("POST")) == 1
    assert not hub.loc2.nodes


def test_not_told_and_dead_ever_since(hub):
    hub.loc2.fault(scripted.executed(scripted.reset()), method="POST")
    asked_before = len(hub.loc2.asked("POST"))
    hub.loc2.fault(scripted.hang(), method="GET", path="/v1/nodes/.+")
    reply = hub.post("/v1/nodes", {"driver": "fake-hardware", "conductor_group": "grp1"})
    assert_fate_unknown(reply, "loc2")
    assert len(hub.loc2.asked("POST")) == asked_before + 1


def test_nothing_is_made_elsewhere_when_the_location_is_down(hub):
    hub.loc2.down()
    reply = hub.post("/v1/nodes", {"driver": "fake-hardware", "conductor_group": "grp1"})
    assert_unavailable(reply, "loc2")
    assert writes(hub) == {}
    # Another location of the map is not touched by that.
    assert hub.post("/v1/nodes", {"driver": "fake-hardware"}).status == 201


def test_a_client_may_send_again_with_its_own_uuid(hub):
    ident = new_uuid()
    body = {"driver": "fake-hardware", "uuid": ident}
    assert hub.post("/v1/nodes", body).status == 201
    reply = hub.post("/v1/nodes", body)
    assert (reply.status, reply.text()) == (409, f"A node with UUID {ident} already exists.")
    assert len(hub.loc1.nodes) == 1


@pytest.mark.parametrize("status", [409, 500, 503])
def test_ironics_own_error_is_relayed_and_not_repeated(hub, status):
    hub.loc1.fault(scripted.says(status, "Not now"), method="POST")
    reply = hub.post("/v1/nodes", {"driver": "fake-hardware"})
    assert (reply.status, reply.text()) == (status, "Not now")
    assert len(hub.loc1.asked("POST")) == 1
