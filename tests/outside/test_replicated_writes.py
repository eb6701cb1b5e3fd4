"""Writes at every location: one after the other, undone to the letter, or not begun."""

import json

import pytest
import scripted
from fleet import fleet, together
from standin import Standin, new_uuid

LOCATION = "X-Ironic-Proxy-Location"


class Site(Standin):
    """A stand-in that knows, as Ironic does, what a version shows and takes of a runbook."""

    def _object(self, request, kind, ident, rest):
        answer = super()._object(request, kind, ident, rest)
        if kind == "runbooks" and not rest and request.method == "GET":
            minor = int(request.header("X-OpenStack-Ironic-API-Version").split(".")[1])
            if minor < 112:
                document = json.loads(answer.body)
                document.pop("traits", None)
                document.pop("description", None)
                return type(answer).of_json(200, document)
        return answer


@pytest.fixture(scope="module")
def module_hub():
    with fleet(Site(), Site(), Site(), every={"timeout": 1}) as hub:
        yield hub


@pytest.fixture
def hub(module_hub):
    mend(module_hub)
    yield module_hub
    mend(module_hub)


def mend(hub):
    for site in hub.all():
        for records in site.objects.values():
            records.clear()
    hub.heal()


def stock(hub, kind, *names, **members):
    ident = new_uuid()
    for name in names or hub.sites:
        record = {"created_at": "2026-11-22T10:00:00+00:00", "updated_at": None, "extra": {}, **members, "uuid": ident}
        hub.sites[name].objects[kind].append(record)
    return ident


def kept(hub, kind, ident):
    """What each location has of an object, but for when it was written."""
    found = [next((one for one in site.objects[kind] if one["uuid"] == ident), None) for site in hub.all()]
    return [record and {name: value for name, value in record.items() if not name.endswith("_at") and value not in (None, [])} for record in found]


def change(path="/extra", value=None, op="replace"):
    return [{"op": op, "path": path, "value": value if value is not None else {"changed": True}}]


@pytest.mark.parametrize("version", ["1.92", "1.111", "1.115"])
def test_what_the_client_s_version_does_not_show_is_put_back_too(hub, version):
    whole = {"name": "CUSTOM_A", "steps": [{"step": "x"}], "traits": ["CUSTOM_T"], "description": "d", "owner": "p", "public": False}
    ident = stock(hub, "runbooks", **whole)
    before = kept(hub, "runbooks", ident)
    hub.loc2.fault(scripted.says(409, "Locked"), method="DELETE")
    reply = hub.delete(f"/v1/runbooks/{ident}", version=version)
    assert (reply.status, reply.text()) == (409, "Locked"), reply
    assert kept(hub, "runbooks", ident) == before


@pytest.mark.parametrize("kind", ["runbooks", "deploy_templates"])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_what_only_python_reads_as_json_is_changed_and_put_back(hub, kind, method):
    odd = {"a": float("inf"), "b": [float("nan")], "c": "\ud800"}
    ident = stock(hub, kind, name="CUSTOM_A", extra=odd, steps=[{"args": odd}], public=False)
    before = json.dumps(kept(hub, kind, ident), sort_keys=True)
    write = (method, f"/v1/{kind}/{ident}", change() if method == "PATCH" else None)
    hub.loc2.fault(scripted.says(409, "Locked"), method=method)
    assert ((reply := hub.call(*write)).status, reply.text()) == (409, "Locked"), reply
    assert json.dumps(kept(hub, kind, ident), sort_keys=True) == before
    hub.heal()
    assert (reply := hub.call(*write)).status == (200 if method == "PATCH" else 204), reply
    after = kept(hub, kind, ident)
    assert all(one is None or one["extra"] == {"changed": True} for one in after) and len(set(map(json.dumps, after))) == 1


def test_an_undoing_that_does_not_restore_all_is_not_called_one(hub):
    ident = stock(hub, "runbooks", name="CUSTOM_A", traits=["CUSTOM_T"])
    hub.loc2.fault(scripted.says(409, "Locked"), method="DELETE")
    hub.loc1.fault(scripted.says(500, "No traits today"), method="PUT")
    reply = hub.delete(f"/v1/runbooks/{ident}")
    assert reply.status == 503 and "loc1: done, could not be undone" in reply.text(), reply


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("DELETE", None),
        ("PATCH", change("/conditions", [])),
        ("PATCH", change("/actions/0/op", "fail", "add")),
        ("PATCH", change("/sensitive", False)),
    ],
)
def test_what_could_not_be_undone_is_not_begun(hub, method, body):
    """Of a sensitive rule Ironic shows neither conditions nor actions."""
    ident = stock(hub, "inspection_rules", sensitive=True, conditions=None, actions=None, description="d")
    reply = hub.call(method, f"/v1/inspection_rules/{ident}", body)
    assert reply.status == 400 and LOCATION in reply.text(), reply
    assert not hub.asked("PATCH") and not hub.asked("DELETE")
    if method == "DELETE":
        for name in hub.sites:
            assert hub.delete(f"/v1/inspection_rules/{ident}", headers={LOCATION: name}).status == 204


def test_what_can_be_undone_of_it_is_done(hub):
    ident = stock(hub, "inspection_rules", sensitive=True, conditions=None, actions=None, description="d")
    assert hub.patch(f"/v1/inspection_rules/{ident}", change("/description", "e")).status == 200
    # At one location alone there is nothing to undo.
    alone = stock(hub, "inspection_rules", "loc2", sensitive=True, conditions=None, actions=None)
    assert hub.delete(f"/v1/inspection_rules/{alone}").status == 204


@pytest.mark.parametrize("kind", ["chassis", "runbooks", "deploy_templates", "inspection_rules"])
def test_two_changes_at_once_leave_all_locations_alike(hub, kind):
    ident = stock(hub, kind, name="CUSTOM_A")
    # Each location is slow for another one of the two.
    hub.loc2.fault(scripted.late(0.15), method="PATCH", times=1)
    hub.loc3.fault(scripted.late(0.15), method="PATCH", times=1, skip=1)
    replies = together(*[lambda tag=tag: hub.patch(f"/v1/{kind}/{ident}", change(value={"by": tag})) for tag in "ab"])
    assert [reply.status for reply in replies] == [200, 200]
    extras = [record["extra"] for record in kept(hub, kind, ident)]
    assert extras[0] == extras[1] == extras[2], extras


def test_a_change_by_name_and_one_by_uuid_at_once(hub):
    ident = stock(hub, "runbooks", name="CUSTOM_A")
    hub.loc2.fault(scripted.late(0.15), method="PATCH", times=1)
    hub.loc3.fault(scripted.late(0.15), method="PATCH", times=1, skip=1)
    paths = (f"/v1/runbooks/{ident}", "/v1/runbooks/CUSTOM_A")
    replies = together(*[lambda path=path: hub.patch(path, change(value={"by": path})) for path in paths])
    assert [reply.status for reply in replies] == [200, 200]
    extras = [record["extra"] for record in kept(hub, "runbooks", ident)]
    assert extras[0] == extras[1] == extras[2], extras


@pytest.mark.parametrize("kind", ["runbooks", "deploy_templates"])
@pytest.mark.parametrize("name", ["CUSTOM_A", "CUSTOM_B"])
@pytest.mark.parametrize("method", ["PATCH", "DELETE", "PUT"])
def test_copies_that_are_called_differently_are_one(hub, kind, name, method):
    """After a rename that could not be undone, or with one location named."""
    ident = stock(hub, kind, name="CUSTOM_A")
    for site in (hub.loc2, hub.loc3):
        site.objects[kind][0]["name"] = "CUSTOM_B"
    if method == "PUT" and kind == "deploy_templates":
        pytest.skip("has no traits")
    path, content = {"PATCH": ("", change()), "DELETE": ("", None), "PUT": ("/traits", {"traits": ["CUSTOM_T"]})}[method]
    reply = hub.call(method, f"/v1/{kind}/{name}{path}", content)
    assert reply.status in (200, 204), reply
    after = {"PATCH": lambda it: it["extra"], "DELETE": lambda it: it, "PUT": lambda it: it["traits"]}[method]
    first, second, third = [after(copy) for copy in kept(hub, kind, ident)]
    assert first == second == third == {"PATCH": {"changed": True}, "DELETE": None, "PUT": ["CUSTOM_T"]}[method]


def test_two_creates_of_one_name_at_once(hub):
    bodies = [{"name": "CUSTOM_A", "steps": [], "extra": {"by": tag}} for tag in "abc"]
    for site in hub.all():
        site.fault(scripted.late(0.05), method="POST")
    replies = together(*[lambda body=body: hub.post("/v1/deploy_templates", body) for body in bodies])
    assert sorted(reply.status for reply in replies) == [201, 409, 409], replies
    assert [len(site.objects["deploy_templates"]) for site in hub.all()] == [1, 1, 1]


def test_a_rename_to_a_name_that_only_another_location_has(hub):
    ident = stock(hub, "runbooks", "loc1", "loc2", name="CUSTOM_A")
    stock(hub, "runbooks", "loc3", name="CUSTOM_B")
    reply = hub.patch(f"/v1/runbooks/{ident}", change("/name", "CUSTOM_B"))
    assert (reply.status, reply.text()) == (409, "A runbook with name CUSTOM_B already exists."), reply
    assert not hub.asked("PATCH")


def test_a_change_whose_fate_is_unknown_is_not_told_as_one_to_repeat(hub):
    """openstacksdk repeats on a 503; a 504 it does not."""
    ident = stock(hub, "chassis", description="a")
    hub.loc2.fault(scripted.executed(scripted.reset()), method="PATCH")
    hub.loc2.fault(scripted.says(500, "Not now"), method="GET", skip=1)
    reply = hub.patch(f"/v1/chassis/{ident}", change("/description", "b"))
    assert reply.status == 504 and "loc2" in reply.text() and "retry" not in reply.text(), reply
    assert [record["description"] for record in kept(hub, "chassis", ident)][::2] == ["a", "a"]


def test_a_trait_that_is_not_there(hub):
    ident = stock(hub, "runbooks", name="CUSTOM_A", traits=["CUSTOM_T"])
    no = scripted.says(404, f"Runbook {ident} doesn't have a trait 'CUSTOM_X'")
    hub.loc1.fault(no, method="DELETE", path=".*/traits/.*")
    reply = hub.delete(f"/v1/runbooks/{ident}/traits/CUSTOM_X")
    assert (reply.status, reply.text()) == (404, f"Runbook {ident} doesn't have a trait 'CUSTOM_X'"), reply
    assert hub.asked("DELETE") == {"loc1": 1}


SECRETS = [{"admin_password": "s3cret"}, {"a": {"command": "set --password s3cret now"}}]


def secret(args):
    return [{"interface": "bios", "step": "apply_configuration", "args": args, "order": 1}]


@pytest.mark.parametrize("kind", ["runbooks", "deploy_templates"])
@pytest.mark.parametrize("args", SECRETS)
def test_no_asterisks_take_the_place_of_a_secret(hub, kind, args):
    """Ironic shows steps without their passwords, so they could not be put back."""
    ident = stock(hub, kind, name="CUSTOM_A", steps=secret(args))
    before = kept(hub, kind, ident)
    for method, body in (("DELETE", None), ("PATCH", change("/steps", [])), ("PATCH", change("/steps/0/order", 2))):
        hub.loc2.fault(scripted.says(409, "Locked"), method=method)
        reply = hub.call(method, f"/v1/{kind}/{ident}", body)
        assert reply.status == 400 and LOCATION in reply.text() and not hub.asked(method), reply
    # What is shown is changed and put back.
    reply = hub.patch(f"/v1/{kind}/{ident}", change())
    assert (reply.status, reply.text()) == (409, "Locked"), reply
    assert kept(hub, kind, ident) == before
    hub.heal()
    for name in hub.sites:
        assert hub.delete(f"/v1/{kind}/{ident}", headers={LOCATION: name}).status == 204


@pytest.mark.parametrize("called", ["uuid", "name"])
def test_a_delete_is_one_though_its_path_ends_in_json(hub, called):
    """As Ironic takes it below 1.91."""
    ident = stock(hub, "deploy_templates", name="CUSTOM_A", steps=secret(SECRETS[0]))
    path = f"/v1/deploy_templates/{ident if called == 'uuid' else 'CUSTOM_A'}.json"
    reply = hub.delete(path, version="1.80")
    assert reply.status == 400 and LOCATION in reply.text() and not hub.asked("DELETE"), reply
    for site in hub.all():
        site.objects["deploy_templates"][0]["steps"] = []
    before = kept(hub, "deploy_templates", ident)
    hub.loc2.fault(scripted.says(409, "Locked"), method="DELETE")
    reply = hub.delete(path, version="1.80")
    assert (reply.status, reply.text(), kept(hub, "deploy_templates", ident)) == (409, "Locked", before), reply
    hub.heal()
    assert hub.delete(path, version="1.80").status == 204
    assert kept(hub, "deploy_templates", ident) == [None] * 3


@pytest.mark.parametrize("args", SECRETS)
def test_a_secret_that_one_location_has_is_not_written_over(hub, args):
    """What became of the change cannot be seen, and nothing takes it back."""
    ident = stock(hub, "deploy_templates", "loc2", name="CUSTOM_A", steps=secret(args))
    for fault in (scripted.says(500, "Not now"), scripted.reset()):
        hub.loc2.heal()
        hub.loc2.fault(fault, method="PATCH", times=1)
        reply = hub.patch(f"/v1/deploy_templates/{ident}", change("/steps", secret({**args, "more": 1})))
        assert reply.status == 504 and "loc2" in reply.text(), reply
        assert kept(hub, "deploy_templates", ident)[1]["steps"] == secret(args)


@pytest.mark.parametrize("args", SECRETS)
def test_a_create_with_secrets_that_was_done_though_nobody_said_so_is_done(hub, args):
    hub.loc1.fault(scripted.executed(scripted.reset()), method="POST")
    reply = hub.post("/v1/runbooks", {"name": "CUSTOM_A", "steps": secret(args)})
    assert reply.status == 201, reply
    assert [one["steps"] for one in kept(hub, "runbooks", reply.json()["uuid"])] == [secret(args)] * 3


@pytest.mark.parametrize("public", [True, False])
def test_a_runbook_that_is_not_made_public_keeps_its_owner(hub, public):
    """Ironic takes the owner away with each patch of `public`, before it applies the patch."""
    ident = stock(hub, "runbooks", name="CUSTOM_A", owner="p", public=False)
    before = kept(hub, "runbooks", ident)
    hub.loc2.fault(scripted.says(409, "Locked"), method="PATCH")
    reply = hub.patch(f"/v1/runbooks/{ident}", change("/public", public))
    assert (reply.status, reply.text()) == (409, "Locked"), reply
    assert kept(hub, "runbooks", ident) == before
