"""Merged lists hold what the client asked for and no more, and `next` asks the same again."""

import urllib.parse

import pytest
import scripted
from faults import hubs
from fleet import Client, fleet, walk
from standin import DEFAULT_FIELDS, new_uuid, node

module_hub, hub = hubs(3, every={"timeout": 1, "max_response_size": 1 << 20})


@pytest.fixture
def stocked(hub):
    """Two nodes at each location: n11, n12 at loc1, n21, …"""
    for index, site in enumerate(hub.all(), 1):
        for number in (1, 2):
            site.add(node(f"n{index}{number}", resource_class=f"class-{number}"))
    return hub


# --- what the client asked for, and no more


@pytest.mark.parametrize("sort", ["", "&sort_key=name", "&sort_key=created_at", "&sort_key=owner&sort_dir=desc"])
@pytest.mark.parametrize("fields", ["uuid", "name", "", "driver,extra", "NAME,uuid,name", "resource_class"])
def test_fields(stocked, fields, sort):
    items, _ = walk(stocked, [f"fields={fields}", *sort.split("&")[1:]], 4)
    assert len(items) == 6
    wanted = {field.lower() for field in fields.split(",") if field} | {"links"}
    for item in items:
        assert set(item) == wanted


@pytest.mark.parametrize("sort", ["", "&sort_key=owner", "&sort_key=updated_at"])
def test_default_fields(stocked, sort):
    reply = stocked.get(f"/v1/nodes?limit=3{sort}")
    for item in reply.json()["nodes"]:
        assert set(item) == {*DEFAULT_FIELDS, "links"}


@pytest.mark.parametrize("path", ["/v1/nodes?detail=True", "/v1/nodes/detail?sort_dir=asc"])
@pytest.mark.parametrize("sort", ["", "&sort_key=created_at"])
def test_detail(stocked, path, sort):
    shown = Client(stocked.loc1.endpoint).get("/v1/nodes/n11").json()
    for item in stocked.get(path + sort).json()["nodes"]:
        assert set(item) == set(shown)


def test_items_are_passed_on_byte_for_byte(hub):
    ident = new_uuid()
    odd = (
        '"weight": 1.10, "huge": 123456789012345678901234567890, "exp": 1E+5, "minus": -0.0, "twice": 1, "twice": 2,'
        ' "text": "\\u00e9\\/\\ud83d\\ude00 \xe9", "extra": {"b": 1 , "a":[ ]}, "unknown_member": {"deep": [null, true]}'
    )
    item = '{"name": "odd", %s, "uuid": "%s", "links": []}' % (odd, ident)
    hub.loc2.fault(scripted.answers(200, ('{"nodes": [%s]}' % item).encode()), path="/v1/nodes")
    for query in ("?detail=True", "?detail=True&sort_key=name"):
        reply = hub.get(f"/v1/nodes{query}")
        assert odd.encode() in reply.body, reply.body


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=-1", "limit=abc", "limit=", "limit=1.5", "limit=2&limit=3", "marker=foo", "marker=", "marker=n11",
        "sort_key=foo", "sort_key=extra", "sort_key=traits", "sort_key=links", "sort_key=chassis_uuid", "sort_key=conductor",
        "sort_key=NAME", "sort_dir=foo", "sort_dir=ASC", "sort_dir=", "fields=id", "fields=uuid&detail=True", "detail=maybe",
        "detail=", "foo=bar", "foo=bar&baz=1", "provision_state=foo", "provision_state=", "associated=maybe", "fields=created_at",
        "include_children=x", "instance_uuid=abc",
    ],
)  # fmt: skip
def test_errors_are_ironics(stocked, query):
    own = Client(stocked.loc1.endpoint).get(f"/v1/nodes?{query}")
    reply = stocked.get(f"/v1/nodes?{query}")
    assert (reply.status, reply.body) == (own.status, own.body)


@pytest.mark.parametrize("query", ["limit=%2B2", "limit=1_0", "limit=99999999999999999999", "limit=2000", "sort_key=", "limit=+2"])
def test_limits_that_python_takes(stocked, query):
    own = Client(stocked.loc1.endpoint).get(f"/v1/nodes?{query}")
    reply = stocked.get(f"/v1/nodes?{query}")
    assert (own.status, reply.status) == (200, 200), reply
    size = {"limit=%2B2": 2, "limit=+2": 2}.get(query, 6)
    assert len(reply.names()) == size


@pytest.mark.parametrize("field", ["foo", "conductor"])
def test_a_field_that_ironic_answers_with_500(stocked, field):
    """It is not the locations that are at fault, so no retry is asked for."""
    reply = stocked.get(f"/v1/nodes?fields=uuid,{field}")
    if reply.status == 200:
        assert set(reply.json()["nodes"][0]) == {"uuid", "conductor", "links"}
    else:
        assert reply.status in (400, 500)
        assert field in reply.text()


@pytest.mark.parametrize(
    ("query", "version", "status"),
    [("conductor_group=x", "1.45", 406), ("owner=x", "1.49", 406), ("detail=True", "1.42", 400), ("sort_key=owner", "1.49", 406)],
)
def test_gates_are_those_of_the_clients_version(stocked, query, version, status):
    own = Client(stocked.loc1.endpoint).get(f"/v1/nodes?{query}", version=version)
    reply = stocked.get(f"/v1/nodes?{query}", version=version)
    assert own.status == reply.status == status
    assert reply.body == own.body


def test_old_versions_list_by_every_key_of_theirs(stocked):
    items, _ = walk(stocked, [], 1, version="1.1")
    assert len(items) == 6
    assert set(items[0]) == {"uuid", "instance_uuid", "maintenance", "power_state", "provision_state", "links"}


def test_a_404_about_a_filter_is_nothing_found(stocked):
    chassis = new_uuid()
    text = f"Chassis {chassis} could not be found."
    stocked.loc1.fault(scripted.says(404, text), query="chassis_uuid=")
    stocked.loc3.fault(scripted.says(404, text), query="chassis_uuid=")
    stocked.loc2.nodes[0]["chassis_uuid"] = chassis
    for sort in ("", "&sort_key=name"):
        reply = stocked.get(f"/v1/nodes?chassis_uuid={chassis}{sort}")
        assert (reply.status, reply.names()) == (200, ["n21"]), reply
    stocked.loc2.fault(scripted.says(404, text), query="chassis_uuid=")
    for sort in ("", "&sort_key=name"):
        reply = stocked.get(f"/v1/nodes?chassis_uuid={chassis}{sort}")
        assert (reply.status, reply.text()) == (404, text)


def test_a_400_of_one_location_is_the_answer(stocked):
    stocked.loc2.fault(scripted.says(400, "Only here it is wrong"))
    reply = stocked.get("/v1/nodes?owner=x")
    assert (reply.status, reply.text()) == (400, "Only here it is wrong")


# --- next


def following(reply):
    """The parameters of the `next` link, as (path, dict), or None."""
    link = reply.json().get("next")
    if link is None:
        return None
    parts = urllib.parse.urlsplit(link)
    pairs = urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
    assert len(dict(pairs)) == len(pairs), f"repeated parameters: {link}"
    return parts.path, dict(pairs)


def test_next_only_if_there_is_more(stocked):
    for limit, more in ((5, True), (6, False), (7, False), (1000, False)):
        for sort in ("", "&sort_key=name"):
            reply = stocked.get(f"/v1/nodes?limit={limit}{sort}")
            assert (following(reply) is not None) == more, limit
    assert following(stocked.get("/v1/nodes")) is None


def test_next_is_the_clients_own_question(hub):
    for site in hub.all():
        for number in range(2):
            site.add(node(None, owner="a b&c=d", description="x", conductor_group="g"))
            site.add(node(None, owner="other"))
    query = "owner=a%20b%26c%3Dd&sort_key=description&fields=uuid,owner&maintenance=False&limit=4&conductor_group=g"
    reply = hub.get(f"/v1/nodes?{query}")
    path, parameters = following(reply)
    assert path == "/v1/nodes"
    # What the gateway remembers of the walk is named, and nothing else is added.
    assert len(parameters.pop("walk")) == 16
    assert parameters == {
        "owner": "a b&c=d",
        "sort_key": "description",
        "fields": "uuid,owner",
        "maintenance": "False",
        "conductor_group": "g",
        "limit": "4",
        "marker": reply.uuids()[-1],
    }
    items, _ = walk(hub, query.replace("&limit=4", "").split("&"), 4)
    assert len(items) == 6
    assert {item["owner"] for item in items} == {"a b&c=d"}


@pytest.mark.parametrize("path", ["/v1/nodes/detail", "/v1/nodes"])
def test_next_keeps_the_path(stocked, path):
    assert following(stocked.get(f"{path}?limit=2"))[0] == path


def test_our_max_limit():
    with fleet(2, api={"max_limit": 5}) as hub:
        for site in hub.all():
            for _ in range(6):
                site.add(node())
        for query in ("", "?limit=1000", "?sort_key=name"):
            reply = hub.get(f"/v1/nodes{query}")
            assert len(reply.uuids()) == 5
            assert following(reply)[1]["limit"] == "5"
        for query in ([], ["sort_key=uuid"]):
            assert len(walk(hub, query)[0]) == 12


def test_head_is_refused_as_ironic_refuses_it(stocked):
    reply = stocked.call("HEAD", "/v1/nodes")
    assert reply.status == 405
    assert reply.header("Allow") == "DELETE, GET, PATCH, POST"
    assert stocked.asked() == {}
