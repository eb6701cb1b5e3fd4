"""`ironic-proxy sync`: drift of replicated objects at real Ironics is shown, and mended with --apply."""

import json
import os
import subprocess
import tempfile
import uuid

import pytest

from admin import SECTION, Admin
from client import GROUPS
from gateway import Gateway, binary, config

pytestmark = pytest.mark.usefixtures("clean")

STEP = {"interface": "bios", "step": "apply_configuration", "args": {"settings": []}, "priority": 10}


def sync(direct, *arguments):
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(config({name: direct[name].url for name in GROUPS}).replace("@DIR@", tempfile.gettempdir()))
        file.flush()
        return subprocess.run(
            [binary(), "--config-file", file.name, "sync", *arguments],
            env=os.environ,
            capture_output=True,
            text=True,
            timeout=120,
        )


def test_drift_is_shown_then_mended(direct):
    template = {"uuid": str(uuid.uuid4()), "name": "CUSTOM_SYNC", "steps": [STEP]}
    first, *others = GROUPS
    assert direct[first]("POST", "/v1/deploy_templates", json=template).status == 201
    chassis = {"uuid": str(uuid.uuid4()), "description": "everywhere", "extra": {"a": 1}}
    for name in GROUPS:
        assert direct[name]("POST", "/v1/chassis", json=chassis).status == 201

    shown = sync(direct)
    assert shown.returncode == 1, shown.stderr
    for name in others:
        assert f"CUSTOM_SYNC ({template['uuid']}) is missing at {name}" in shown.stdout
        assert direct[name].get(f"/v1/deploy_templates/{template['uuid']}").status == 404, "it only shows"
    assert chassis["uuid"] not in shown.stdout, "the same everywhere"

    applied = sync(direct, "--apply")
    assert applied.returncode == 0, applied.stderr
    for name in others:
        copy = direct[name].get(f"/v1/deploy_templates/{template['uuid']}").json()
        original = direct[first].get(f"/v1/deploy_templates/{template['uuid']}").json()
        assert [copy[key] for key in ("name", "steps", "extra")] == [original[key] for key in ("name", "steps", "extra")]

    again = sync(direct, "--apply")
    assert again.returncode == 0 and "0 copied, 0 not" in again.stdout, again.stdout


def test_copies_that_differ_are_shown_and_left_alone(direct):
    ident = str(uuid.uuid4())
    for name in GROUPS:
        body = {"uuid": ident, "description": f"at {name}"}
        assert direct[name]("POST", "/v1/chassis", json=body).status == 201
    applied = sync(direct, "--apply")
    assert applied.returncode == 1, "what differs is left to people"
    assert "differs between locations: description" in applied.stdout
    for name in GROUPS:
        assert direct[name].get(f"/v1/chassis/{ident}").json()["description"] == f"at {name}"


def test_every_kind_is_copied_whole(direct):
    step = {name: value for name, value in STEP.items() if name != "priority"}
    rule = {"actions": [{"op": "set-attribute", "args": {"path": "/extra/x", "value": "1"}}], "conditions": [], "priority": 5}
    bodies = {
        "chassis": {"extra": {"a": [1, None]}},
        "deploy_templates": {"name": "CUSTOM_SYNC", "steps": [STEP], "extra": {"a": 1}},
        "runbooks": {"name": "CUSTOM_SYNC", "steps": [{**step, "order": 1}], "public": True, "description": "text"},
        "inspection_rules": rule,
    }
    first, *others = GROUPS
    paths = []
    for kind, body in bodies.items():
        paths.append(f"/v1/{kind}/" + direct[first].ok("POST", f"/v1/{kind}", json=body)["uuid"])
        if kind == "runbooks":
            direct[first].ok("PUT", paths[-1] + "/traits", json={"traits": ["CUSTOM_B", "CUSTOM_A"]})
    applied = sync(direct, "--apply")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    for path in paths:
        original = direct[first].ok("GET", path)
        for name in others:
            copy = direct[name].ok("GET", path)
            assert sorted(copy.get("traits", [])) == sorted(original.get("traits", []))
            differing = {key for key in original if key != "traits" and original[key] != copy[key]}
            assert differing <= {"created_at", "updated_at", "links", "nodes"}, (path, differing)
    assert "0 copied, 0 not" in sync(direct, "--apply").stdout

    # A copy that was begun by a run that was killed is known by its mark, and made anew.
    runbook = next(path for path in paths if "runbooks" in path)
    original = direct[first].ok("GET", runbook)
    direct[others[0]].ok("DELETE", runbook)
    half = {key: original[key] for key in ("uuid", "name", "steps", "public", "description")}
    direct[others[0]].ok("POST", "/v1/runbooks", json={**half, "extra": {"ironic_proxy_sync_unfinished": True}})
    assert f"only half copied at {others[0]}" in sync(direct).stdout
    assert sync(direct, "--apply").returncode == 0
    copy = direct[others[0]].ok("GET", runbook)
    assert [sorted(copy["traits"]), copy["extra"]] == [["CUSTOM_A", "CUSTOM_B"], original["extra"]]

    direct[others[0]].ok("PUT", runbook + "/traits", json={"traits": ["CUSTOM_A"]})
    assert "differs between locations: traits" in sync(direct).stdout


def test_a_gateway_reads_all_of_old_and_new_ironics(sites, direct):
    groups = {**GROUPS, "old": "grp2"}
    names = tuple(groups)
    sections = {"admin": SECTION, "node_cache": {"sweep_interval": 0}}
    with Gateway(config({name: sites[name].url for name in names}, sections=sections)) as gateway:
        made = {name: direct[name].ok("POST", "/v1/nodes", json={"driver": "fake-hardware", "conductor_group": groups[name]}) for name in names}
        # A child: lists leave it out unless they are asked for it (since 1.83).
        child = {"driver": "fake-hardware", "conductor_group": groups[names[0]], "parent_node": made[names[0]]["uuid"]}
        direct[names[0]].ok("POST", "/v1/nodes", json=child)
        done = Admin(gateway).run("sync", "--format", "json")
        assert done.returncode == 0, done
        swept = {one["location"]: (one["things"], one["new"], one["why"]) for one in json.loads(done.stdout)["swept"]}
        assert swept == {**dict.fromkeys(names, (1, 1, None)), names[0]: (2, 2, None)}
        # Nor is it forgotten by the next one.
        for _ in range(2):
            assert [Admin(gateway).location(name)["nodes"] for name in names] == [2, 1, 1, 1]
            assert Admin(gateway).run("sync").returncode == 0
