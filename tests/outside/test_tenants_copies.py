"""Copies of a runbook may differ in whose they are, after a change that could not be undone say: each is judged where it is."""

import json

import pytest
import scripted
from projects import LOCATION, MINE, OTHER, STRANGER, TENANT, hub
from standin import Standin, new_uuid
from tenants import ADMIN

STEPS = [{"interface": "raid", "step": "wipe", "args": {}, "order": 1}]
OWNERS = {MINE: TENANT, OTHER: STRANGER}


def runbook(uuid, owner, **members):
    return {"uuid": uuid, "name": "CUSTOM_A", "owner": owner, "public": False, "steps": STEPS, "extra": {}, "traits": [], **members}


@pytest.fixture(scope="module")
def house():
    with hub(Standin(), Standin()) as running:
        yield running


@pytest.fixture(params=["loc1", "loc2"])
def drifted(house, request):
    """One location's copy is one project's, the other one's another project's; one of them answers late."""
    uuid = new_uuid()
    for site, owner in zip(house.fleet.all(), OWNERS, strict=True):
        site.objects["runbooks"][:] = [runbook(uuid, owner, description=owner, traits=[f"CUSTOM_{owner.upper()}"])]
    house.fleet.sites[request.param].fault(scripted.late(0.05), "GET", f"/v1/runbooks/({uuid}|CUSTOM_A).*")
    house.fleet.forget_requests()
    yield uuid
    house.fleet.heal()


def written(house):
    """What was sent that changes something, to whichever location."""
    return [(one.method, one.path) for site in house.fleet.all() for one in site.requests if one.method != "GET"]


WRITES = [
    ("DELETE", "", None),
    ("PATCH", "", [{"op": "replace", "path": "/steps", "value": []}]),
    ("PUT", "/traits", {"traits": ["CUSTOM_B"]}),
    ("PUT", "/traits/CUSTOM_B", None),
    ("DELETE", "/traits", None),
    ("DELETE", "/traits/CUSTOM_B", None),
]


@pytest.mark.parametrize("named", ["uuid", "name"])
@pytest.mark.parametrize(("method", "below", "body"), WRITES)
def test_nothing_is_written_where_one_copy_is_anothers(house, drifted, method, below, body, named):
    ident = drifted if named == "uuid" else "CUSTOM_A"
    for who in OWNERS.values():
        reply = house.ask(who, method, f"/v1/runbooks/{ident}{below}", body)
        assert (reply.status, written(house)) == (403, []), reply
        assert "Access was denied to the following resource: baremetal:runbook:" in reply.text()


@pytest.mark.parametrize(("owner", "public", "expected"), [(None, True, 409), (OTHER, False, 409), (MINE, False, 201)])
def test_nobody_makes_a_copy_of_what_may_be_anothers(house, owner, public, expected):
    """Where a location lacks it a project could put its own in its place, and whoever uses it there would run that."""
    house.fleet.heal()
    first, second = house.fleet.all()
    theirs = runbook(new_uuid(), owner, public=public)
    first.objects["runbooks"][:], second.objects["runbooks"][:] = [theirs], []
    house.fleet.forget_requests()
    made = {"uuid": theirs["uuid"], "name": "CUSTOM_A", "steps": STEPS}
    reply = house.ask(TENANT, "POST", "/v1/runbooks", made, **{LOCATION: "loc2"})
    assert (reply.status, len(written(house))) == (expected, expected == 201), reply
    second.objects["runbooks"].clear()
    house.fleet.forget_requests()
    first.fault(scripted.html(502))
    reply = house.ask(TENANT, "POST", "/v1/runbooks", made, **{LOCATION: "loc2"})
    assert (reply.status, written(house)) == (503, []), reply
    house.fleet.heal()
    assert house.ask(ADMIN, "POST", "/v1/runbooks", made, **{LOCATION: "loc2"}).status == 201


SERVICE = {"X-Roles": "service", "X-Project-Id": MINE, "X-Project-Name": "service"}


@pytest.mark.parametrize(
    ("options", "who"),
    [
        ({"api": {"project_scoped_access": "legacy_admin"}}, TENANT),
        ({"api": {"project_scoped_access": "deny"}, "default": {"rbac_service_role_elevated_access": True}}, SERVICE),
    ],
    ids=["legacy_admin", "deny"],
)
def test_who_sees_everything_makes_copies(options, who):
    """What they make is no project's own, though their token has one."""
    first, second = Standin(), Standin()
    with hub(first, second, **options) as house:
        kept = runbook(new_uuid(), OTHER)
        first.objects["runbooks"][:] = [kept]
        made = {"uuid": kept["uuid"], "name": "CUSTOM_A", "steps": STEPS}
        reply = house.ask(who, "POST", "/v1/runbooks", made, **{LOCATION: "loc2"})
        assert (reply.status, second.objects["runbooks"][0].get("owner")) == (201, None), reply
        second.objects["runbooks"].clear()
        first.fault(scripted.html(502))
        reply = house.ask(who, "POST", "/v1/runbooks", made, **{LOCATION: "loc2"})
        assert (reply.status, reply.header("X-Ironic-Proxy-Unverified")) == (201, "loc1"), reply


def test_a_copy_by_another_name_is_judged(house, drifted):
    """A name leads to a UUID, and its copies are written, whatever each is called."""
    house.fleet.loc2.objects["runbooks"][0]["name"] = "CUSTOM_B"
    for name in ("CUSTOM_A", "CUSTOM_B"):
        for who in OWNERS.values():
            reply = house.ask(who, "DELETE", f"/v1/runbooks/{name}")
            assert (reply.status, written(house)) == (403, []), reply


def test_who_owns_each_copy_writes_all_of_them(house, drifted):
    for site in house.fleet.all():
        site.objects["runbooks"][0]["owner"] = MINE
    reply = house.ask(TENANT, "PATCH", f"/v1/runbooks/{drifted}", [{"op": "replace", "path": "/description", "value": "new"}])
    assert reply.status == 200, reply
    assert [site.objects["runbooks"][0]["description"] for site in house.fleet.all()] == ["new", "new"]
    assert house.ask(TENANT, "DELETE", f"/v1/runbooks/{drifted}").status == 204
    assert [site.objects["runbooks"] for site in house.fleet.all()] == [[], []]


def test_who_names_a_location_writes_its_copy(house, drifted):
    for (owner, who), site in zip(OWNERS.items(), house.fleet.all(), strict=True):
        other = next(one for one in house.fleet.sites if house.fleet.sites[one] is not site)
        refused = house.ask(who, "DELETE", f"/v1/runbooks/{drifted}", **{LOCATION: other})
        assert (refused.status, written(house)) == (403, []), (owner, refused)
    assert house.ask(TENANT, "DELETE", f"/v1/runbooks/{drifted}", **{LOCATION: "loc1"}).status == 204
    assert [len(site.objects["runbooks"]) for site in house.fleet.all()] == [0, 1]


def test_nobody_takes_anothers_name_at_a_named_location(house, drifted):
    """Whoever uses what is called so there would run the project's. That a change claims no name takes it from nobody."""
    first, second = house.fleet.all()
    [mine], uuid = first.objects["runbooks"], new_uuid()
    second.objects["runbooks"][:] = [runbook(uuid, None, public=True, name="CUSTOM_B"), runbook(drifted, OTHER, name="CUSTOM_C")]
    house.fleet.forget_requests()

    def rename(who, name, ident=drifted, **members):
        patch = [{"op": "replace", "path": f"/{member}", "value": value} for member, value in {"name": name, **members}.items()]
        return house.ask(who, "PATCH", f"/v1/runbooks/{ident}", patch, **{LOCATION: "loc1"})

    for name in ("CUSTOM_B", "CUSTOM_C"):
        taken = rename(TENANT, name)
        assert (taken.status, taken.text(), written(house)) == (409, f"A runbook with name {name} already exists.", []), taken
    second.fault(scripted.html(502))
    unknown = rename(TENANT, "CUSTOM_D")
    assert (unknown.status, written(house)) == (503, []), unknown
    assert rename(TENANT, "CUSTOM_A", description="same name").status == 200
    unverified = rename(ADMIN, "CUSTOM_E", "CUSTOM_A")
    assert (unverified.status, unverified.header("X-Ironic-Proxy-Unverified")) == (200, "loc2"), unverified
    house.fleet.heal()
    assert (rename(TENANT, "CUSTOM_D").status, mine["name"]) == (200, "CUSTOM_D")
    # What is the same everywhere may be called the same everywhere.
    assert [rename(ADMIN, name, "CUSTOM_D").status for name in ("CUSTOM_B", "CUSTOM_C")] == [409, 200]
    assert rename(ADMIN, "CUSTOM_B", "CUSTOM_X").status == 404


def test_a_project_calls_its_own_the_same_at_one_location_after_the_other(house, drifted):
    """The copy that is called so already is its own. Another project's copy is not, though it has the same UUID."""
    first, second = (site.objects["runbooks"][0] for site in house.fleet.all())
    second["owner"] = MINE

    def rename(at, name):
        return house.ask(TENANT, "PATCH", f"/v1/runbooks/{drifted}", [{"op": "replace", "path": "/name", "value": name}], **{LOCATION: at}).status

    assert [rename("loc1", "CUSTOM_B"), rename("loc2", "CUSTOM_B")] == [200, 200]
    second["owner"] = OTHER
    assert [rename("loc1", "CUSTOM_C"), rename("loc1", "CUSTOM_B")] == [200, 409]
    second["owner"] = None
    assert rename("loc1", "CUSTOM_B") == 409
    assert [first["name"], second["name"]] == ["CUSTOM_C", "CUSTOM_B"]


@pytest.mark.parametrize("named", ["uuid", "name"])
def test_a_project_is_shown_its_own_copy(house, drifted, named):
    ident = drifted if named == "uuid" else "CUSTOM_A"
    for owner, who in OWNERS.items():
        for _ in range(3):
            shown = house.get(who, f"/v1/runbooks/{ident}")
            assert (shown.status, shown.json().get("description"), shown.header(LOCATION)) == (200, owner, None), shown
            traits = house.get(who, f"/v1/runbooks/{ident}/traits")
            assert (traits.status, traits.json()) == (200, {"traits": [f"CUSTOM_{owner.upper()}"]}), traits
    third = {**TENANT, "X-Project-Id": "33333333cccc"}
    for below in ("", "/traits"):
        assert house.get(third, f"/v1/runbooks/{ident}{below}").status == 403


def test_a_copy_that_is_public_shows_no_private_one(house, drifted):
    house.fleet.loc1.objects["runbooks"][0].update(owner=None, public=True)
    third = {**TENANT, "X-Project-Id": "33333333cccc"}
    for _ in range(3):
        shown = house.get(third, f"/v1/runbooks/{drifted}")
        assert (shown.status, shown.json().get("description")) == (200, MINE), shown
    listed = house.get(third, "/v1/runbooks?detail=true").json()["runbooks"]
    assert [one["description"] for one in listed] == [MINE]


@pytest.mark.parametrize("query", ["detail=true", "fields=description", "fields=uuid,description,owner&sort_key=name&limit=1"])
def test_a_projects_list_has_its_own_copies(house, drifted, query):
    both = new_uuid()
    for site in house.fleet.all():
        site.objects["runbooks"].append(runbook(both, MINE, name="CUSTOM_B", description="both"))
    for owner, who in OWNERS.items():
        page, listed = house.get(who, f"/v1/runbooks?{query}").json(), []
        while page["runbooks"]:
            listed += page["runbooks"]
            if "next" not in page:
                break
            page = house.get(who, page["next"].removeprefix(house.fleet.url)).json()
        assert [one["description"] for one in listed] == ([owner, "both"] if who is TENANT else [owner])
        assert ("uuid" in listed[0]) == (query != "fields=description")
        assert json.dumps(listed).count("http") == json.dumps(listed).count(house.fleet.url)
    assert len(house.get(ADMIN, "/v1/runbooks").json()["runbooks"]) == 2


def test_steps_of_each_copy_are_judged(tmp_path):
    """A patch may make a forbidden step of what only one copy has."""
    rules = tmp_path / "policy.yaml"
    rules.write_text('"baremetal:step:execute:deploy.erase": "!"\n')
    uuid, sites = new_uuid(), (Standin(), Standin())
    for site, interface in zip(sites, ("raid", "deploy"), strict=True):
        site.objects["runbooks"].append(runbook(uuid, MINE, steps=[{**STEPS[0], "interface": interface}]))
    with hub(*sites, sections={"oslo_policy": {"policy_file": rules}}) as running:
        for late in sites:
            late.fault(scripted.late(0.05), "GET", f"/v1/runbooks/{uuid}")
            reply = running.ask(TENANT, "PATCH", f"/v1/runbooks/{uuid}", [{"op": "replace", "path": "/steps/0/step", "value": "erase"}])
            assert (reply.status, written(running)) == (403, []), reply
            late.heal()


def test_a_copy_that_cannot_be_asked_for_is_not_written_past(house, drifted):
    """Refused where it is known to be anothers, else unknown."""
    for site, who in zip(house.fleet.all(), (STRANGER, TENANT), strict=True):
        site.fault(scripted.close(), "GET", f"/v1/runbooks/{drifted}")
        reply = house.ask(who, "DELETE", f"/v1/runbooks/{drifted}")
        assert (reply.status, written(house)) == (503, []), reply
        refused = house.ask(next(one for one in OWNERS.values() if one is not who), "DELETE", f"/v1/runbooks/{drifted}")
        assert (refused.status, written(house)) == (403, []), refused
        site.heal()


@pytest.mark.parametrize("named", ["uuid", "name"])
def test_who_is_shown_no_copy_may_have_the_one_that_is_not_told_of(house, drifted, named):
    ident = drifted if named == "uuid" else "CUSTOM_A"
    for site, who in zip(house.fleet.all(), OWNERS.values(), strict=True):
        site.fault(scripted.close(), "GET", "/v1/runbooks/.+")
        for below in ("", "/traits"):
            shown = [house.get(one, f"/v1/runbooks/{ident}{below}").status for one in OWNERS.values()]
            assert shown == [503 if one is who else 200 for one in OWNERS.values()], (below, shown)
        site.heal()


def test_of_two_by_one_name_a_project_means_its_own():
    """Copies of one runbook are one, and another project's of that name is another one."""
    mine, theirs = runbook(new_uuid(), MINE), runbook(new_uuid(), OTHER)
    third = {**TENANT, "X-Project-Id": "33333333cccc"}
    with hub(Standin(), Standin(), Standin()) as running:
        sites = running.fleet.all()
        for site, one in zip(sites, (mine, mine, theirs), strict=True):
            site.objects["runbooks"].append(dict(one))
        for below in ("", "/traits"):
            assert running.get(third, f"/v1/runbooks/CUSTOM_A{below}").status == 403
        sites[2].fault(scripted.close(), "GET", "/v1/runbooks/CUSTOM_A.*")
        for method, path in (("GET", ""), ("GET", "/traits"), ("DELETE", "")):
            reply = running.ask(STRANGER, method, f"/v1/runbooks/CUSTOM_A{path}")
            assert (reply.status, written(running)) == (503, []), (method, path, reply)
        sites[2].heal()
        for who, one, at in ((TENANT, mine, sites[:2]), (STRANGER, theirs, sites[2:])):
            assert running.get(who, "/v1/runbooks/CUSTOM_A").json().get("uuid") == one["uuid"]
            assert running.get(who, "/v1/runbooks/CUSTOM_A/traits").status == 200
            patched = running.ask(who, "PATCH", "/v1/runbooks/CUSTOM_A", [{"op": "replace", "path": "/description", "value": "new"}])
            assert (patched.status, [site.objects["runbooks"][0]["description"] for site in at]) == (200, ["new"] * len(at)), patched
            assert running.ask(who, "DELETE", "/v1/runbooks/CUSTOM_A").status == 204
            assert [site.objects["runbooks"] for site in at] == [[]] * len(at)


@pytest.mark.parametrize(("method", "below", "body"), [
    ("GET", "", None), ("GET", "/traits", None), ("DELETE", "", None), ("PUT", "/traits/CUSTOM_T", None),
    ("PATCH", "", [{"op": "replace", "path": "/description", "value": "new"}]),
])  # fmt: skip
def test_of_two_by_one_name_who_may_see_neither_is_told_of_none(method, below, body):
    """Nor that there is none of his, while a location is silent that may have it."""
    first, second = (runbook(new_uuid(), owner) for owner in (MINE, OTHER))
    third = {**TENANT, "X-Project-Id": "33333333cccc"}
    with hub(Standin(), Standin(), Standin()) as running:
        sites = running.fleet.all()
        for site, one in zip(sites[:2], (first, second), strict=True):
            site.objects["runbooks"].append(dict(one))
        reply = running.ask(third, method, f"/v1/runbooks/CUSTOM_A{below}", body)
        assert (reply.status, "loc1" in reply.text(), written(running)) == (403, False, []), reply
        sites[2].fault(scripted.close(), "GET", "/v1/runbooks/CUSTOM_A.*")
        reply = running.ask(third, method, f"/v1/runbooks/CUSTOM_A{below}", body)
        assert (reply.status, written(running)) == (503, []), reply
