"""`ironic-proxy sync` with locations that are old, refuse, are silent or say odd things, and with people who stop it."""

import json
import os
import re
import signal
import subprocess

import pytest
from exchange import Answer
from fleet import fleet_config, until
from gateway import DIRECTORY, binary
from records import new_uuid
from scripted import hang, says
from standin import Standin

STEPS = [{"interface": "bios", "step": "x", "args": {}, "order": 1}]


def runbook(name, **fields):
    return {"uuid": new_uuid(), "name": name, "steps": STEPS, "extra": {"a": 1}, "traits": ["CUSTOM_T"], "description": None, **fields}


def chassis(text, **fields):
    return {"uuid": new_uuid(), "description": text, "extra": {}, **fields}


class Sites:
    """Stand-ins by the names of their locations, and the subcommand in front of them."""

    def __init__(self, tmp_path, **versions):
        self.path = tmp_path / "ironic-proxy.conf"
        self.all = {name: Standin(versions=("1.1", newest)) for name, newest in versions.items()}
        self.each = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for site in self.all.values():
            site.close()

    def __getattr__(self, name):
        return self.all[name]

    def put(self, kind, record, *names):
        for name in names:
            self.all[name].objects[kind].append(dict(record))

    def of(self, name, kind):
        return self.all[name].objects[kind]

    def command(self, *arguments):
        endpoints = [site.endpoint for site in self.all.values()]
        text = fleet_config(endpoints, each={f"loc{index + 1}": self.each.get(name, {}) for index, name in enumerate(self.all)})
        for index, name in enumerate(self.all):
            text = text.replace(f"loc{index + 1}", name)
        self.path.write_text(text.replace(DIRECTORY, str(self.path.parent)))
        return [binary(), "--config-file", self.path, "sync", *arguments]

    def sync(self, *arguments):
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=60, check=False)

    def begin(self, *arguments, **options):
        return subprocess.Popen(self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_each_pair_is_compared_at_the_newest_version_both_know(tmp_path):
    with Sites(tmp_path, old="1.82", one="1.115", two="1.115") as sites:
        book = runbook("n")
        rule = {"uuid": new_uuid(), "actions": [1], "conditions": [], "description": "r", "sensitive": False}
        sites.put("runbooks", book, "one")
        sites.put("inspection_rules", rule, "two")
        shared = {"uuid": new_uuid(), "name": "CUSTOM_X", "steps": [], "extra": {}}
        sites.put("deploy_templates", shared, "old")
        sites.put("deploy_templates", {**shared, "novelty": 1}, "one")
        sites.put("deploy_templates", {**shared, "novelty": 2}, "two")
        shown = sites.sync()
        assert shown.returncode == 1, shown
        assert f"Runbook n ({book['uuid']}) is missing at two" in shown.stdout
        assert f"({rule['uuid']}) is missing at one" in shown.stdout
        assert f"CUSTOM_X ({shared['uuid']}) differs between locations: novelty" in shown.stdout
        assert "runbooks came with version 1.92: not compared with old" in shown.stdout
        assert "inspection_rules came with version 1.96: not compared with old" in shown.stdout
        assert "deploy_templates: novelty not compared with old" in shown.stdout
        assert "at old" not in shown.stdout
        applied = sites.sync("--apply")
        assert applied.returncode == 1, "what differs is left"
        assert [one["traits"] for one in sites.of("two", "runbooks")] == [["CUSTOM_T"]]
        assert sites.of("two", "runbooks")[0]["extra"] == {"a": 1}, "no mark is left"
        assert not sites.old.asked("POST")


def test_one_name_under_two_uuids_is_one_conflict(tmp_path):
    with Sites(tmp_path, one="1.115", two="1.115", three="1.115") as sites:
        first, second = runbook("same"), runbook("same")
        sites.put("runbooks", first, "one")
        sites.put("runbooks", second, "two")
        for arguments in ((), ("--apply",)):
            told = sites.sync(*arguments)
            assert told.returncode == 1, told
            lines = [line for line in told.stdout.splitlines() if "same" in line]
            assert len(lines) == 1, told.stdout
            assert "2 UUIDs" in lines[0]
            assert f"{first['uuid']} at one" in lines[0] and f"{second['uuid']} at two" in lines[0]
        assert not any(site.asked("POST") for site in sites.all.values()), "people decide"


def test_a_sensitive_rule_is_told_once_and_not_tried(tmp_path):
    with Sites(tmp_path, one="1.115", two="1.115", three="1.115") as sites:
        rule = {"uuid": new_uuid(), "actions": None, "conditions": None, "description": "secret", "sensitive": True}
        sites.put("inspection_rules", rule, "one")
        applied = sites.sync("--apply")
        assert applied.returncode == 1
        [line] = [line for line in applied.stdout.splitlines() if "secret" in line]
        assert "missing at two, three and cannot be copied: it is sensitive" in line
        assert not sites.two.asked("POST")
        sites.put("inspection_rules", {**rule, "actions": [1]}, "two", "three")
        same = sites.sync()
        assert (same.returncode, same.stdout) == (0, "all locations have the same\n"), same


@pytest.mark.parametrize("args", [{"admin_password": "s3cret"}, {"a": "set --password s3cret"}])
def test_secrets_are_not_copied_as_asterisks(tmp_path, args):
    with Sites(tmp_path, one="1.115", two="1.115") as sites:
        for kind in ("runbooks", "deploy_templates"):
            sites.put(kind, runbook("CUSTOM_S", steps=[{**STEPS[0], "args": args}]), "one")
            half = runbook("CUSTOM_H", steps=[{**STEPS[0], "args": args}])
            sites.put(kind, half, "one")
            sites.put(kind, {**half, "extra": {"ironic_proxy_sync_unfinished": True}}, "two")
        applied = sites.sync("--apply")
        assert applied.returncode == 1, applied
        assert applied.stdout.count("missing at two and cannot be copied: it is sensitive or holds secrets") == 2, applied.stdout
        assert applied.stdout.count("half copied at two, and cannot be copied") == 2, applied.stdout
        assert not [one for one in sites.two.requests if one.method != "GET"]


def test_sigint_ends_the_object_in_hand_and_no_more(tmp_path):
    with Sites(tmp_path, one="1.115", two="1.115") as sites:
        for number in range(5):
            sites.put("runbooks", runbook(f"n{number}"), "one")
        held = []

        def hold(exchange):
            held.append(exchange)
            until(lambda: not held, 20, "the signal")
            return exchange.true_answer()

        sites.two.fault(hold, method="PUT", times=1)
        running = sites.begin("--apply")
        until(lambda: held, 20, "a copy under way")
        running.send_signal(signal.SIGINT)
        assert "stopping after the object that is being copied" in running.stderr.readline()
        held.clear()
        out, error = running.communicate(timeout=20)
        assert running.returncode == 130, (out, error)
        assert out.splitlines()[-1] == "interrupted: 1 copied, 4 not", out
        [copy] = sites.of("two", "runbooks")
        assert (copy["traits"], copy["extra"]) == (["CUSTOM_T"], {"a": 1}), "it is whole"


def test_a_copy_that_was_killed_is_made_anew(tmp_path):
    with Sites(tmp_path, one="1.115", two="1.115") as sites:
        sites.put("runbooks", runbook("n"), "one")
        sites.two.fault(hang(), method="PUT", times=1)
        running = sites.begin("--apply")
        until(lambda: sites.two.asked("PUT"), 20, "the traits")
        running.kill()
        running.communicate(timeout=20)
        shown = sites.sync()
        assert shown.returncode == 1 and "is only half copied at two" in shown.stdout, shown
        applied = sites.sync("--apply")
        assert applied.returncode == 0, applied
        [copy] = sites.of("two", "runbooks")
        assert (copy["traits"], copy["extra"]) == (["CUSTOM_T"], {"a": 1})
        assert sites.sync().returncode == 0


def test_a_copy_whose_traits_fail_is_taken_back(tmp_path):
    with Sites(tmp_path, one="1.115", two="1.115") as sites:
        sites.put("runbooks", runbook("n"), "one")
        sites.two.fault(says(400, "no such trait"), method="PUT")
        applied = sites.sync("--apply")
        assert applied.returncode == 1 and "not copied to two: no such trait" in applied.stdout, applied
        assert sites.of("two", "runbooks") == []


def test_an_extra_that_is_no_object_is_not_copied(tmp_path):
    with Sites(tmp_path, one="1.115", two="1.115") as sites:
        sites.put("runbooks", runbook("n", extra="text"), "one")
        applied = sites.sync("--apply")
        assert applied.returncode == 1 and "not copied to two: its extra is no object" in applied.stdout, applied
        assert sites.of("two", "runbooks") == []


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), "\ud800"], ids=["nan", "inf", "half"])
def test_what_only_python_writes_is_compared_and_copied_as_any_other(tmp_path, odd):
    """Ironic stores and shows such values; no tree of JSON holds them."""

    def told(record):
        return json.dumps(record["extra"])

    with Sites(tmp_path, one="1.115", two="1.115", old="1.115") as sites:
        missing = runbook("m", extra={"a": [odd]})
        plain = runbook("p", traits=[], extra={"a": [{"b": odd}]})
        alike = chassis("alike", extra={"a": odd})
        differs = chassis("differs", extra={"a": odd})
        for record, kind, names in ((missing, "runbooks", ["one", "old"]), (plain, "runbooks", ["two"]), (alike, "chassis", sites.all), (differs, "chassis", ["one", "old"])):
            sites.put(kind, record, *names)
        sites.put("chassis", {**differs, "extra": {"a": "x"}}, "two")
        shown = sites.sync()
        assert shown.returncode == 1 and "alike" not in shown.stdout, shown
        assert len(re.findall("is missing at", shown.stdout)) == 3, shown
        assert len(re.findall("differs between locations: extra", shown.stdout)) == 1, shown
        applied = sites.sync("--apply")
        assert applied.stdout.count("copied to") == 3, applied
        for name in sites.all:
            copies = {record["name"]: told(record) for record in sites.of(name, "runbooks")}
            assert copies == {"m": told(missing), "p": told(plain)}, name
        assert "is missing at" not in sites.sync().stdout


def test_a_location_that_may_only_be_read_is_tried_once(tmp_path):
    with Sites(tmp_path, one="1.115", two="1.115", three="1.115") as sites:
        for number in range(300):
            sites.put("chassis", chassis(f"c{number}"), "one")
        sites.each["two"] = {"auth_type": "http_basic", "username": "reader", "password": "p"}
        refusal = "Access was denied to the following resource: baremetal:chassis:create"
        sites.two.fault(says(403, refusal), method="POST")
        applied = sites.sync("--apply")
        assert applied.returncode == 1, applied
        tried = {request.json()["uuid"] for request in sites.two.asked("POST")}
        assert len(tried) == 1, "the first refusal is enough"
        assert len(sites.of("three", "chassis")) == 300, "the others are not held up"
        assert "the user of [group:two] needs the role admin on the system" in applied.stdout
        assert applied.stdout.splitlines()[-1] == "300 copied, 300 not"


def test_nothing_is_applied_where_the_gateway_is_read_only(tmp_path):
    """Its operator's word binds a cron job, too."""
    with Sites(tmp_path, one="1.115", two="1.115") as sites:
        sites.put("chassis", chassis("of one"), "one")
        command = [str(word) for word in sites.command("--apply")]
        sites.path.write_text(sites.path.read_text().replace("[DEFAULT]\n", "[DEFAULT]\nread_only = true\n"))
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1 and "read_only" in done.stderr, done
        shown = subprocess.run(command[:-1], capture_output=True, text=True, timeout=60, check=False)
        assert shown.returncode == 1 and "missing at two" in shown.stdout, shown


def test_why_a_location_could_not_be_asked_is_told(tmp_path):
    with Sites(tmp_path, one="1.115", two="1.115") as sites:
        sites.put("chassis", chassis("c"), "one")
        sites.two.down()
        silent = sites.sync("--apply")
        assert silent.returncode == 69, silent
        assert "location two could not be asked (connect" in silent.stderr
        sites.two.up()
        sites.two.fault(lambda exchange: Answer(200, b"{}"), path="/v1/chassis.*")
        silent = sites.sync("--apply")
        assert silent.returncode == 69 and "location two could not be asked (body" in silent.stderr, silent
        assert not sites.two.asked("POST") and not sites.one.asked("POST"), "nothing was changed"


def test_a_location_that_falls_silent_is_left_alone(tmp_path):
    with Sites(tmp_path, one="1.115", two="1.115") as sites:
        for number in range(9):
            sites.put("chassis", chassis(f"c{number}"), "one")
        sites.two.fault(lambda exchange: Answer(500, b"<html>"), method="POST")
        applied = sites.sync("--apply")
        assert applied.returncode == 69, applied
        assert len(sites.two.asked("POST")) == 1
        assert "location two could not be asked (status" in applied.stderr


def test_whose_original_cannot_be_read_is_named(tmp_path):
    """Nothing is held against where it is missing: what others have is copied there."""
    with Sites(tmp_path, one="1.115", two="1.115", three="1.115") as sites:
        record, other = chassis("c"), chassis("d")
        sites.put("chassis", record, "one")
        sites.put("chassis", other, "two")
        sites.one.fault(lambda exchange: Answer(500, b"<html>"), path=f"/v1/chassis/{record['uuid']}")
        applied = sites.sync("--apply")
        assert applied.returncode == 69, applied
        assert re.findall("location (.*) could not be asked [(](.*):", applied.stderr) == [("one", "status")], applied
        assert [one["uuid"] for one in sites.of("three", "chassis")] == [other["uuid"]]


def test_what_a_location_said_does_not_command_the_terminal(tmp_path):
    with Sites(tmp_path, one="1.115", two="1.115") as sites:
        sites.put("chassis", chassis("a\x1b[2J\x1b]0;title\x07\r\nall locations have the same"), "one")
        sites.put("runbooks", runbook("n"), "one")
        sites.two.fault(says(400, "bad \x1b[31m\nred"), method="POST", path="/v1/runbooks")
        for arguments in ((), ("--apply",), ("--apply", "--format", "json")):
            told = sites.sync(*arguments)
            assert not set(told.stdout + told.stderr) & {"\x1b", "\x07", "\r", "\x9b"}, told
            assert "all locations have the same" not in told.stdout.splitlines()
        assert "\\u{1b}[2J" in sites.sync().stdout or sites.of("two", "chassis")


@pytest.mark.parametrize("arguments", ["", "--format json", "--apply"])
def test_who_has_read_enough_is_no_panic(tmp_path, arguments):
    with Sites(tmp_path, one="1.115", two="1.115") as sites:
        for number in range(50):
            sites.put("chassis", chassis(f"c{number}"), "one")
        command = " ".join(f"'{word}'" for word in sites.command())
        script = f"set -o pipefail; {command} {arguments} 2>&1 | head -1; exit 0"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)
        assert "panicked" not in done.stdout + done.stderr, done
        # And with nobody at all from the start.
        read, write = os.pipe()
        os.close(read)
        status = subprocess.run([*sites.command(), *arguments.split()], stdout=write, stderr=write, timeout=60, check=False).returncode
        os.close(write)
        assert status in (0, 1), status


def test_the_report_as_json(tmp_path):
    with Sites(tmp_path, one="1.115", two="1.115") as sites:
        record = chassis("c")
        sites.put("chassis", record, "one")
        shown = sites.sync("--format", "json")
        report = json.loads(shown.stdout)
        assert shown.returncode == 1 and (report["copied"], report["left"], report["interrupted"]) == (0, 1, False)
        [finding] = report["findings"]
        assert finding == {
            "kind": "missing", "collection": "chassis", "uuid": record["uuid"], "name": "c", "locations": ["two"], "outcome": "left",
            "text": f"Chassis c ({record['uuid']}) is missing at two",
        }  # fmt: skip
        applied = json.loads(sites.sync("--apply", "--format", "json").stdout)
        assert (applied["copied"], applied["left"], applied["findings"][0]["outcome"]) == (1, 0, "copied")
        same = sites.sync("--format", "json")
        assert same.returncode == 0 and json.loads(same.stdout)["findings"] == []
        sites.two.down()
        silent = sites.sync("--format", "json")
        [unanswered] = json.loads(silent.stdout)["unanswered"]
        assert silent.returncode == 69 and unanswered["location"] == "two" and unanswered["reason"].startswith("connect")


@pytest.mark.parametrize("odd", ["../nodes/x", "..", "a/b", "a;b", "a%2Fb"])
def test_an_object_s_name_leads_to_no_other_path(tmp_path, odd):
    """What a location calls its objects stands in paths that others are asked by, with our credential for them."""
    with Sites(tmp_path, one="1.115", two="1.115") as sites:
        sites.put("chassis", chassis("c", uuid=odd), "one")
        sites.put("chassis", chassis("d"), "one")
        told = sites.sync("--apply")
        assert told.returncode != 0 and "one" in told.stdout + told.stderr, told
        asked = [request.target for site in sites.all.values() for request in site.requests]
        paths = {target.partition("?")[0] for target in asked}
        assert not [path for path in paths if ".." in path or "%" in path or ";" in path], paths
        assert sites.of("two", "chassis") == [], "who says so is no Ironic"


@pytest.mark.parametrize("odd", ["../nodes/x", "a/b"])
@pytest.mark.parametrize("command", ["sync", "survey"])
def test_a_half_copy_s_name_leads_to_no_other_path(tmp_path, command, odd):
    """A copy that an earlier run left unfinished is deleted where it is, by what that location calls it."""
    with Sites(tmp_path, one="1.115", two="1.115") as sites:
        for kind in ("chassis", "runbooks"):
            sites.put(kind, runbook("CUSTOM_A", uuid=odd, description="c"), "one")
            sites.put(kind, runbook("CUSTOM_A", uuid=odd, description="c", extra={"ironic_proxy_sync_unfinished": True}), "two")
        words = sites.command("--apply")
        if command == "survey":
            words = [words[0], "survey", sites.path]
        told = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert told.returncode == 69 and "location two could not be asked (body" in told.stderr, told
        asked = [request for site in sites.all.values() for request in site.requests]
        paths = {request.target.partition("?")[0] for request in asked}
        assert paths and not [path for path in paths if ".." in path or "%" in path or "/b" in path], paths
        assert {request.method for request in asked} == {"GET"}
