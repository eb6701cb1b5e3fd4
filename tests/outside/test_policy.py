"""The rules of who may do what, held to Ironic's own and to oslo.policy."""

import json
import random
import subprocess

import pytest
from gateway import binary

from bed import venvs

CONFIG = """\
[DEFAULT]
groups = _:loc1
rbac_service_role_elevated_access = {elevated}
[oslo_policy]
policy_file = policy.yaml
[group:loc1]
auth_type = none
endpoint_override = http://127.0.0.1:9
[api]
host_ip = 127.0.0.1
auth_strategy = noauth
"""


def ours(directory, *arguments):
    done = subprocess.run(
        [binary(), "--config-file", directory / "ironic-proxy.conf", "policy", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def ironics(script, question):
    """What a script answers in the environment of a real Ironic; JSON in and out."""
    done = subprocess.run(
        [venvs.program(venvs.IRONIC, "python"), "-c", script],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture
def place(tmp_path):
    (tmp_path / "ironic-proxy.conf").write_text(CONFIG.format(elevated="false"))
    return tmp_path


LIST = """
import json, sys
from ironic.common import policy
json.dump([[rule.name, ",".join(rule.scope_types or []) or "-", rule.check_str or "@"] for rule in policy.list_policies()], sys.stdout)
"""


def test_the_rules_are_those_of_ironic(place):
    status, told, _ = ours(place)
    assert status == 0
    rows = [line.split("\t") for line in told.splitlines()]
    assert {origin for _, _, origin, _ in rows} == {"Ironic"}
    assert [[name, scopes, check] for name, scopes, _, check in rows] == ironics(LIST, None)


ROLES = ["admin", "Manager", "member", "READER", "service", "eraser", "strase"]
IDS = ["p1", "p2", "u1", "d1"]
LEFT = [
    "project_id", "user_id", "user_domain_id", "project_domain_id", "project_name", "domain_id", "system_scope", "system", "roles",
    "is_admin_project", "is_public_api", "service_project_id", "unheard_of", "'p1'", '"p2"', "True", "None", "7", "-7", "tok.en", "'d%1'",
]  # fmt: skip
RIGHT = [
    "%(node.owner)s", "%(node.lessee)s", "%(allocation.owner)s", "%(runbook.owner)s", "%(project_id)s", "%(user_id)s", "%(unheard_of)s",
    "%(config.service_project_name)s", "p1", "p2", "u1", "d1", "all", "None", "True", "False", "7", "-7", "d%%1", "p%(node.owner)s",
    "%(node.owner)s%(node.lessee)s", "admin", "Manager", "prod", "service", "",
]  # fmt: skip


def expression(dice, depth=0):
    kind = dice.random()
    if depth > 4 or kind < 0.45:
        what = dice.random()
        if what < 0.3:
            return "role:" + dice.choice([*ROLES, "%(node.owner)s", "str%(node.lessee)s", "stra\u00dfe"])
        if what < 0.4:
            return dice.choice(["@", "!", "rule:service_role", "rule:r0", "rule:lost", "rule:baremetal:node:get"])
        left, right = dice.choice(LEFT), dice.choice(RIGHT)
        # What is nobody's is refused, see below.
        is_nobody_s = left == "None" and (".owner)s" in right or ".lessee)s" in right)
        return "@" if is_nobody_s else f"{left}:{right}"
    if kind < 0.6:
        return "not " + expression(dice, depth + 1) if dice.random() < 0.5 else f"NOT ({expression(dice, depth + 1)})"
    if kind < 0.7:
        return f"( {expression(dice, depth + 1)} )"
    # Without parentheses: which binds tighter is part of the question.
    words = [expression(dice, depth + 1)]
    for _ in range(dice.randint(1, 3)):
        words += [dice.choice(["and", "or", "AND", "Or"]), expression(dice, depth + 1)]
    text = " ".join(words)
    return f"({text})" if dice.random() < 0.3 else text


def old_syntax(dice):
    single = lambda: expression(dice, 5)  # noqa: E731
    return [single() if dice.random() < 0.5 else [single() for _ in range(dice.randint(0, 3))] for _ in range(dice.randint(0, 3))]


# Verdicts of oslo.policy itself. A node that belongs to nobody has no owner in the target, as the gateway has it.
JUDGE = """
import json, sys, tempfile
from oslo_config import cfg
from oslo_policy import policy
from ironic.common import context, policy as ironic
from ironic import conf as _options
question = json.load(sys.stdin)
cfg.CONF([], project="ironic")
cfg.CONF.set_override("rbac_service_role_elevated_access", question["elevated"])
with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
    json.dump(question["rules"], file)
    file.flush()
    enforcer = policy.Enforcer(cfg.CONF, policy_file=file.name)
    cfg.CONF.set_override("enforce_new_defaults", True, group="oslo_policy")
    enforcer.suppress_deprecation_warnings = True
    enforcer.register_defaults(ironic.list_policies())
    enforcer.load_rules()
# It would look for the file again.
enforcer.use_conf = False
verdicts = []
for creds, thing in question["callers"]:
    caller = context.RequestContext(overwrite=False, **creds)
    target = dict(caller.to_policy_values()) | thing
    verdicts.append([bool(enforcer.enforce(rule, target, caller)) for rule in question["ask"]])
json.dump(verdicts, sys.stdout)
"""


def callers(dice, count):
    for _ in range(count):
        creds = {"user_id": dice.choice(IDS), "roles": dice.sample(ROLES, dice.randint(0, 4)), "user_domain_id": dice.choice([None, "d1"])}
        typed = ["--user", creds["user_id"], *(f"--roles={role}" for role in creds["roles"])]
        if creds["user_domain_id"]:
            typed += ["--user-domain", creds["user_domain_id"]]
        scope = dice.choice(["system", "project", "project", "domain"])
        if scope == "system":
            creds["system_scope"] = "all"
            typed += ["--system"]
        elif scope == "domain":
            creds["domain_id"] = dice.choice(IDS)
            typed += ["--domain", creds["domain_id"]]
        else:
            creds |= {"project_id": dice.choice(IDS), "project_name": dice.choice(["prod", "service", "p1"])}
            typed += ["--project", creds["project_id"], "--project-name", creds["project_name"]]
            if dice.random() < 0.5:
                creds["project_domain_id"] = dice.choice(IDS)
                typed += ["--project-domain", creds["project_domain_id"]]
        thing = dice.choice([["node.owner"], ["node.lessee"], ["node.owner", "node.lessee"], ["allocation.owner"], ["runbook.owner"], []])
        thing = {name: dice.choice(IDS) for name in thing}
        for name, value in thing.items():
            typed += ["--target", f"{name}={value}"]
        yield (creds, thing), typed


@pytest.mark.parametrize("elevated", [False, True])
def test_verdicts_are_those_of_oslo_policy(place, elevated):
    """Some 60,000 of them: rules as nobody would write them, for callers as nobody would make them."""
    dice = random.Random(f"policy {elevated}")
    (place / "ironic-proxy.conf").write_text(CONFIG.format(elevated=elevated))
    rules = {f"r{number}": expression(dice) if dice.random() < 0.9 else old_syntax(dice) for number in range(1, 1000)}
    # The others may name it, so it names none of them.
    rules["r0"] = "role:member and not project_id:%(node.owner)s"
    rules["baremetal:node:get"] = "role:reader or rule:r0"
    rules["baremetal:chassis:get"] = "role:member or project_id:p1"
    (place / "policy.yaml").write_text(json.dumps(rules))
    asked = list(callers(dice, 25))
    ask = [*rules, "baremetal:node:set_power_state", "baremetal:allocation:get", "baremetal:runbook:use", "baremetal:node:list"]
    question = {"elevated": elevated, "rules": rules, "callers": [caller for caller, _ in asked], "ask": ask}
    allowed = 0
    for (caller, typed), expected in zip(asked, ironics(JUDGE, question), strict=True):
        _, told, error = ours(place, "check", *typed, *ask)
        found = [line.split("\t")[0] == "allowed" for line in told.splitlines()]
        assert len(found) == len(ask), error
        wrong = [(name, rules.get(name), mine) for name, mine, theirs in zip(ask, found, expected, strict=True) if mine != theirs]
        assert not wrong, (caller, wrong[:3])
        allowed += sum(found)
    assert 0.2 < allowed / (len(ask) * len(asked)) < 0.8


# Whether oslo.policy takes a text without falling back on "nobody may", or raising at the request.
READABLE = """
import json, logging, sys
from oslo_policy import _checks, _parser
faults = []
_parser.LOG.exception = _parser.LOG.error = lambda *words: faults.append(words)
def readable(text):
    faults.clear()
    check = _parser.parse_rule(text)
    try:
        check({"node.owner": "o"}, {"roles": []}, None)
    except Exception:
        return False
    return not faults
json.dump([readable(text) for text in json.load(sys.stdin)], sys.stdout)
"""


def test_what_oslo_policy_cannot_read_is_refused(place):
    dice = random.Random("unreadable")
    texts = ["admin", "role:a role:b", "and", "not", "()", "(role:a", "role:a)", "' '", "'a'", '"role:a"', "a b:c", "role:a and", " ", ":x", "class:x"]
    checks = ["role:a", "not @", "( ! )", "(role:b", "role:c)", "user_id:%(node.owner)s", "'x':y", "@"]
    texts += [" and ".join(dice.choice(checks) for _ in range(dice.randint(1, 4))) for _ in range(40)]
    texts += [f"role:a or {wrong}" for wrong in ("admin", "user_id:%(node.owner)", "1x:y", "'x'", "user_id:%d", "user_id:%")]
    expected = ironics(READABLE, texts)
    for text, readable in zip(texts, expected, strict=True):
        (place / "policy.yaml").write_text(json.dumps({"mine": text}))
        status, _, error = ours(place, "check", "mine")
        assert (status != 78) == readable, (text, error)
    assert 5 < sum(expected) < len(texts) - 15


def test_other_servers_are_not_asked(place):
    (place / "policy.yaml").write_text("'baremetal:node:get': 'role:reader or http://policy.example/%(node.owner)s'\n")
    status, _, error = ours(place)
    assert status == 78
    assert "baremetal:node:get" in error and "asks another server" in error and "policy.yaml" in error


def test_a_rule_s_former_name_is_its_own(place):
    """A file's rule is that of all that Ironic has made of it since: each of these has a role of its own."""
    former = ["node:get", "node:update", "node:set_maintenance", "node:set_power_state", "portgroup:get", "volume:get", "volume:update"]
    rules = {f"baremetal:{name}": f"role:r{number}" for number, name in enumerate(former)}
    # One of its own, and one that the old name is only another name of.
    rules |= {"baremetal:node:update:name": "role:named", "baremetal:volume:update": "rule:baremetal:volume:view_target_properties"}
    (place / "policy.yaml").write_text(json.dumps(rules))
    ask = [name for name, _, _ in ironics(LIST, None) if name.startswith("baremetal:")]
    asked = [({"user_id": "u1", "roles": [role], "system_scope": "all"}, {}) for role in ("reader", "member", "admin", "named", *(f"r{number}" for number in range(7)))]
    ask = [name for name in ask if name != "baremetal:allocation:create_pre_rbac"]
    expected = ironics(JUDGE, {"elevated": False, "rules": rules, "callers": asked, "ask": ask})
    for (caller, _), theirs in zip(asked, expected, strict=True):
        _, told, error = ours(place, "check", "--system", "--user", "u1", f"--roles={caller['roles'][0]}", *ask)
        mine = [line.split("\t")[0] == "allowed" for line in told.splitlines()]
        assert dict(zip(ask, mine, strict=True)) == dict(zip(ask, theirs, strict=True)), (caller, error)


HEIRS = """
import json, sys
from ironic.common import policy
heirs = [(rule.name, rule.deprecated_rule) for rule in policy.list_policies() if rule.deprecated_rule]
json.dump([[old.name, old.check_str, name] for name, old in heirs if old.name != name], sys.stdout)
"""

# Each way to write a check that oslo.policy reads as the same, and two that it does not.
WRITTEN = {
    "as it was": lambda check: check,
    "in parentheses": lambda check: f"( ({check}) )",
    "as lists": lambda check: [[word] for word in check.split(" or ")],
    "as a list": lambda check: check.split(" or "),
    "and more": lambda check: f"{check} or role:r0",
    "turned round": lambda check: "role:r0 or " + " or ".join(reversed(check.split(" or "))),
}


@pytest.mark.parametrize("written", WRITTEN)
def test_a_former_name_that_says_what_it_always_said_opens_nothing(place, written):
    """Old samples, uncommented, repeat defaults that would let an admin of any project change what nodes are."""
    heirs = ironics(HEIRS, None)
    rules = {former: WRITTEN[written](check) for former, check, _ in heirs}
    (place / "policy.yaml").write_text(json.dumps(rules))
    ask = [*rules, *(name for _, _, name in heirs)]
    scopes = [{"project_id": "p1", "project_name": "baremetal", "project_domain_id": "default"}, {"system_scope": "all"}]
    # A default reaches from an observer of the project that Ironic names to an admin of any.
    asked = [
        ({"user_id": "u1", "roles": [role], **scope}, thing)
        for role in ("reader", "member", "admin", "baremetal_admin", "observer", "r0")
        for scope in scopes
        for thing in ({"node.owner": "p1"}, {"node.owner": "p2", "node.lessee": "p1"})
    ]
    expected = ironics(JUDGE, {"elevated": False, "rules": rules, "callers": asked, "ask": ask})
    for (caller, thing), theirs in zip(asked, expected, strict=True):
        scope = ["--system"] if "system_scope" in caller else ["--project", "p1", "--project-name", "baremetal", "--project-domain", "default"]
        targets = [word for name, value in thing.items() for word in ("--target", f"{name}={value}")]
        _, told, error = ours(place, "check", *scope, "--user", "u1", f"--roles={caller['roles'][0]}", *targets, *ask)
        mine = [line.split("\t")[0] == "allowed" for line in told.splitlines()]
        assert dict(zip(ask, mine, strict=True)) == dict(zip(ask, theirs, strict=True)), (caller, thing, error)


@pytest.mark.parametrize("alias", [["rule:baremetal:volume:view_target_properties"], [["rule:baremetal:volume:view_target_properties"]]])
def test_another_name_for_the_new_rule_may_stand_in_a_list(place, alias):
    (place / "policy.yaml").write_text(json.dumps({"baremetal:volume:update": alias}))
    status, told, error = ours(place)
    assert status == 0, error
    rows = {line.split("\t")[0]: line.split("\t")[2] for line in told.splitlines()}
    assert rows["baremetal:volume:view_target_properties"] == "Ironic"


@pytest.mark.parametrize("check", ["None:%(node.owner)s", "role:member and not 'None':%(allocation.owner)s", "None:%(node.lessee)s"])
def test_nobody_s_things_are_none_s_nowhere(place, check):
    (place / "policy.yaml").write_text(json.dumps({"baremetal:node:get": check}))
    status, _, error = ours(place)
    assert (status, "asks whether the thing is nobody's" in error) == (78, True), error


def test_the_admin_project_is_the_one_that_keystone_says(place):
    (place / "policy.yaml").write_text(json.dumps({"mine": "is_admin_project:True"}))
    assert ours(place, "check", "--project", "p", "mine")[0] == 0
    assert ours(place, "check", "--project", "p", "--not-admin-project", "mine")[0] == 1


def test_it_is_told_what_is_in_force_and_what_it_says(place):
    (place / "policy.yaml").write_text("'baremetal:node:get': 'role:observer'\n'mine': '!'\n")
    (place / "policy.d").mkdir()
    (place / "policy.d" / "late.yaml").write_text("'mine': 'role:mine'\n")
    _, told, _ = ours(place)
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in told.splitlines()}
    assert rows["baremetal:node:get"] == ["system,project", str(place / "policy.yaml"), "role:observer"]
    assert rows["mine"] == ["-", str(place / "policy.d" / "late.yaml"), "role:mine"]
    owner = ("check", "--roles", "member,reader", "--project", "p", "baremetal:node:set_power_state", "--target")
    assert ours(place, *owner, "node.owner=p") == (0, "allowed\tbaremetal:node:set_power_state\n", "")
    assert ours(place, *owner, "node.owner=q") == (1, "denied\tbaremetal:node:set_power_state\n", "")
    assert ours(place, "check", "--roles", "mine", "mine")[0] == 0
    assert ours(place, "check", "no:such:rule")[0] == 78
    assert ours(place, *owner, "node.colour=red")[0] == 78
