"""Locations that call conductor groups otherwise: what is sent there, and what clients see, byte by byte."""

import json

import pytest
from client import fault
from fleet import fleet
from scripted import says
from standin import Standin, node

GROUPS = "_:loc1,berlin:loc2,lyon:loc3,lyon-gpu:loc3"
LOCAL = {"loc2": {"local_groups": "berlin:_"}, "loc3": {"local_groups": "lyon:_,lyon-gpu:gpu"}}
LOCATION = "X-Ironic-Proxy-Location"
NO_HOST = (
    "No valid host was found. Reason: No conductor service registered which supports driver {} for conductor group"
    ' "{}". Ensure the driver is valid and enabled.'
)


@pytest.fixture(scope="module")
def module_hub():
    with fleet(Standin(), Standin(), Standin(), groups=GROUPS, each=LOCAL) as hub:
        yield hub


@pytest.fixture
def hub(module_hub):
    for site in module_hub.all():
        site.nodes.clear()
        site.ports.clear()
        site.conductors.clear()
        site.groups = None
    module_hub.heal()
    return module_hub


def fill(hub):
    """A node in each group that a location has, mapped or not: name to the group that clients see."""
    shown = {}
    for name, groups in {
        "loc1": {"": ""},
        "loc2": {"": "berlin", "rack": "rack", "berlin": "loc2:berlin", "lyon": "loc2:lyon"},
        "loc3": {"": "lyon", "gpu": "lyon-gpu", "lyon-gpu": "loc3:lyon-gpu"},
    }.items():
        for group, ours in groups.items():
            record = node(name=f"{name}-{group or 'default'}", conductor_group=group, extra={"conductor_group": group})
            hub.sites[name].add(record)
            shown[record["name"]] = ours
    return shown


def listed(hub, query, **headers):
    reply = hub.get(f"/v1/nodes?fields=name,conductor_group,extra{query}", headers=headers)
    assert reply.status == 200, reply
    return {item["name"]: item["conductor_group"] for item in reply.json()["nodes"]}


# --- out


@pytest.mark.parametrize(
    ("raw", "location", "sent"),
    [
        ('{"driver":"d"}', "loc1", None),
        ('{"driver":"d","conductor_group":"berlin"}', "loc2", ""),
        ('{"driver":"d","conductor\\u005fgroup":"ber\\u006cin"}', "loc2", ""),
        ('{"driver":"d","conductor_group":"BERLIN"}', "loc2", ""),
        ('{"driver":"d","conductor_group":"lyon"}', "loc3", ""),
        ('{"driver":"d","conductor_group":"lyon-gpu","extra":{"conductor_group":"lyon-gpu"}}', "loc3", "gpu"),
    ],
)
def test_a_new_node_is_sent_under_the_local_name(hub, raw, location, sent):
    reply = hub.post("/v1/nodes", raw.encode())
    assert reply.status == 201, reply
    assert reply.header(LOCATION) == location
    body = hub.sites[location].asked("POST")[0].json()
    assert body.get("conductor_group") == sent
    assert body.get("extra") == json.loads(raw).get("extra")
    assert reply.json()["conductor_group"] == (json.loads(raw).get("conductor_group") or "").lower()


@pytest.mark.parametrize("group", ["gpu", "rack", "loc2:berlin", "_", "loc2:_"])
def test_local_names_are_no_names_here(hub, group):
    reply = hub.post("/v1/nodes", {"driver": "d", "conductor_group": group})
    assert reply.status == 400, reply
    assert hub.asked("POST") == {}


@pytest.mark.parametrize(
    ("operation", "sent"),
    [
        ('{"op":"replace","path":"/conductor_group","value":"lyon-gpu"}', "gpu"),
        ('{"op":"add","path":"/conductor_group","value":"lyon"}', ""),
        ('{"op":"add","path":"/conductor\\u005fgroup","value":"LYON-gpu"}', "gpu"),
        ('{"op":"replace","path":"\\/conductor_group\\n","value":"lyon-gpu"}', "gpu"),
        ('{"op":"replace","path":"/conductor_group","value":"lyon"},{"op":"replace","path":"/conductor_group","value":"lyon-gpu"}', "gpu"),
    ],
)
def test_a_patch_within_a_location_is_sent_under_the_local_name(hub, operation, sent):
    found = hub.loc3.add(node(conductor_group=""))
    reply = hub.patch(f"/v1/nodes/{found['uuid']}", f"[{operation}]".encode())
    (asked,) = hub.loc3.asked("PATCH")
    assert asked.json()[-1]["value"] == sent
    if reply.status == 200:
        assert reply.json()["conductor_group"] == ("lyon-gpu" if sent else "lyon")


@pytest.mark.parametrize(
    ("operation", "group"),
    [
        ('{"op":"remove","path":"/conductor_group"}', ""),
        ('{"op":"replace","path":"/conductor_group","value":""}', ""),
        ('{"op":"replace","path":"/conductor_group","value":null}', ""),
        ('{"op":"replace","path":"/conductor_group","value":"lyon"}', "lyon"),
        ('{"op":"add","path":"/conductor_group","value":"rack"}', "rack"),
    ],
)
def test_a_move_is_refused_by_the_names_here(hub, operation, group):
    found = hub.loc2.add(node(conductor_group=""))
    reply = hub.patch(f"/v1/nodes/{found['uuid']}", f"[{operation}]".encode())
    assert reply.status == 400, reply
    assert f'conductor group "{group}"' in fault(reply)
    assert hub.asked("PATCH") == {}


def test_a_removed_group_becomes_what_the_default_group_is_called_there():
    with fleet(Standin(), Standin(), groups="_:loc1,b:loc2", each={"loc1": {"local_groups": "_:rack1"}}) as hub:
        reply = hub.post("/v1/nodes", {"driver": "d"})
        assert (reply.status, reply.json()["conductor_group"]) == (201, "")
        assert hub.loc1.asked("POST")[0].json()["conductor_group"] == "rack1"
        reply = hub.patch(f"/v1/nodes/{reply.json()['uuid']}", [{"op": "remove", "path": "/conductor_group"}])
        assert (reply.status, reply.json()["conductor_group"]) == (200, "")
        assert hub.loc1.asked("PATCH")[0].json() == [{"op": "replace", "path": "/conductor_group", "value": "rack1"}]
        # What has no group there is nobody's here.
        hub.loc1.add(node(name="bare", conductor_group=""))
        assert listed(hub, "&conductor_group=loc1:_") == {"bare": "loc1:_"}
        refused = hub.post("/v1/nodes", {"driver": "d"}, version="1.30")
        assert refused.status == 400 and "1.46" in fault(refused)


# --- filters


@pytest.mark.parametrize(
    ("group", "found"),
    [
        ("", ["loc1-default"]),
        ("berlin", ["loc2-default"]),
        ("lyon", ["loc3-default"]),
        ("lyon-gpu", ["loc3-gpu"]),
        ("rack", ["loc2-rack"]),
        ("loc2:berlin", ["loc2-berlin"]),
        ("loc2:lyon", ["loc2-lyon"]),
        ("loc3:lyon-gpu", ["loc3-lyon-gpu"]),
        ("gpu", []),
        ("_", []),
        ("loc2:rack", []),
        ("loc3:berlin", []),
    ],
)
@pytest.mark.parametrize("sort", ["", "&sort_key=name"])
def test_a_filter_finds_what_is_shown_so(hub, group, found, sort):
    shown = fill(hub)
    assert listed(hub, f"&conductor_group={group}{sort}") == {name: shown[name] for name in found}
    assert set(hub.asked("GET", "/v1/nodes")) == {"loc1", "loc2", "loc3"}
    for site in hub.sites:
        here = {name: ours for name, ours in shown.items() if name in found and name.startswith(site)}
        assert listed(hub, f"&conductor_group={group}{sort}", **{LOCATION: site}) == here


def test_ports_are_asked_for_by_local_names(hub):
    hub.get("/v1/ports?conductor_groups=lyon-gpu,rack")
    sent = {name: [r.target for r in site.asked("GET", "/v1/ports")] for name, site in hub.sites.items()}
    assert all("conductor_groups=lyon-gpu,rack" in target for target in sent["loc1"])
    assert all("conductor_groups=:lyon-gpu,rack" in target for target in sent["loc2"])
    assert all("conductor_groups=gpu,rack" in target for target in sent["loc3"])
    assert sent["loc3"]


@pytest.mark.parametrize("path", ["/v1/ports", "/v1/ports/detail", "/v1/portgroups", "/v1/portgroups/detail"])
@pytest.mark.parametrize("query", ["conductor_groups=lyon-gpu,berlin", "conductor_groups=berlin&conductor_groups=lyon-gpu"])
def test_a_default_group_cannot_be_asked_for_its_ports(hub, path, query):
    """Nor where the option is repeated, as openstacksdk sends it and Ironic takes it."""
    reply = hub.get(f"{path}?{query}")
    assert reply.status == 400, reply
    assert "berlin" in fault(reply) and "loc2" in fault(reply)
    assert hub.asked() == {}


# --- back


@pytest.mark.parametrize("query", ["", "&sort_key=name", "&limit=2", "&sort_key=conductor_group&sort_dir=desc"])
def test_lists_show_the_names_here(hub, query):
    shown = fill(hub)
    seen, path = {}, f"/v1/nodes?fields=name,conductor_group,extra{query}"
    while path:
        page = hub.get(path).json()
        seen.update({item["name"]: item["conductor_group"] for item in page["nodes"]})
        # What a user wrote stays.
        for item in page["nodes"]:
            assert item["extra"]["conductor_group"] == item["name"].partition("-")[2].replace("default", "")
        path = page.get("next", "").removeprefix(hub.url)
    assert seen == shown


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("fields", ["name,conductor_group", "name"])
def test_sorting_and_paging_go_by_the_names_here(hub, direction, fields):
    shown = fill(hub)
    names, path = [], f"/v1/nodes?fields={fields}&sort_key=conductor_group&sort_dir={direction}&limit=3"
    while path:
        page = hub.get(path).json()
        names += [item["name"] for item in page["nodes"]]
        path = page.get("next", "").removeprefix(hub.url)
    assert names == sorted(shown, key=shown.get, reverse=direction == "desc")


def test_everywhere_else_a_node_is_shown(hub):
    fill(hub)
    name, uuid = "loc3-gpu", hub.loc3.find("loc3-gpu")["uuid"]
    for path in (f"/v1/nodes/{name}", f"/v1/nodes/{uuid}", f"/v1/nodes/{uuid}?fields=conductor_group"):
        for headers in ({}, {LOCATION: "loc3"}):
            assert hub.get(path, headers=headers).json()["conductor_group"] == "lyon-gpu"
    detail = hub.get("/v1/nodes/detail").json()["nodes"]
    assert {item["conductor_group"] for item in detail} >= {"berlin", "lyon-gpu", "loc2:berlin"}
    changed = hub.patch(f"/v1/nodes/{uuid}", [{"op": "replace", "path": "/extra", "value": {"conductor_group": "gpu"}}])
    assert (changed.json()["conductor_group"], changed.json()["extra"]) == ("lyon-gpu", {"conductor_group": "gpu"})


def test_conductors_show_the_names_here(hub):
    for name, groups in {"loc1": [""], "loc2": ["", "rack"], "loc3": ["gpu"]}.items():
        hub.sites[name].conductors += [
            {"hostname": f"{name}-{group}", "conductor_group": group, "alive": True} for group in groups
        ]
    items = hub.get("/v1/conductors").json()["conductors"]
    assert {item["hostname"]: item["conductor_group"] for item in items} == {
        "loc1-": "", "loc2-": "berlin", "loc2-rack": "rack", "loc3-gpu": "lyon-gpu",
    }  # fmt: skip


def test_an_error_of_the_known_form_names_the_group_here(hub):
    hub.loc3.groups = []
    reply = hub.post("/v1/nodes", {"driver": "d", "conductor_group": "lyon-gpu"})
    assert hub.asked("POST") == {"loc3": 1}
    assert fault(reply) == NO_HOST.format("d", "lyon-gpu"), reply
    # Of any other form it stays as it is.
    hub.loc3.fault(says(404, NO_HOST.format("d", "gpu") + " Or not."), "POST")
    assert fault(hub.post("/v1/nodes", {"driver": "d", "conductor_group": "lyon"})) == NO_HOST.format("d", "gpu") + " Or not."


def test_what_has_no_name_here_is_told_once(hub):
    since = len(hub.gateway.log())
    hub.loc2.add(node(conductor_group="annexe"))
    for _ in range(3):
        hub.get("/v1/nodes/detail")
    hub.logged("`loc2` has the conductor group `annexe`", since)
    assert hub.gateway.log()[since:].count("`annexe`") == 1


def test_without_the_option_nothing_changes():
    with fleet(Standin(), Standin(), groups="_:loc1,berlin:loc2") as hub:
        hub.loc2.add(node(name="a", conductor_group="berlin"))
        hub.loc2.add(node(name="b", conductor_group=""))
        assert listed(hub, "") == {"a": "berlin", "b": ""}
        assert listed(hub, "&conductor_group=") == {"b": ""}
        assert "conductor group `" not in hub.gateway.log()
