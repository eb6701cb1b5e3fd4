"""Who may do what: the whole table, with tokens of a real Keystone, in front of a location that records what gets through."""

import json
import subprocess

import pytest
from fleet import fleet, until
from scripted import Answer
from standin import Standin, new_uuid

from bed import venvs
from bed.keystone import PROJECT, SERVICE_PROJECT, Keystone

# Whom a rule lets in, of those with a role on the system. `manager` has the roles member and reader too.
READER = {"reader", "member", "manager", "admin", "service"}
MEMBER = {"member", "manager", "admin"}
MEMBER_OR_SERVICE = MEMBER | {"service"}
ADMIN_OR_SERVICE = {"admin", "service"}
ADMIN = {"admin"}
# Rules that are for no token of a project, whatever its roles.
SYSTEM_ONLY = ("chassis:", "driver:", "events:")
SYSTEM = ("reader", "member", "manager", "admin", "service")

RULES = [
    ("GET", "nodes", "node:list_all", READER),
    ("GET", "nodes/detail", "node:list_all", READER),
    ("POST", "nodes", "node:create", ADMIN_OR_SERVICE),
    ("GET", "nodes/validate?node={}", "node:validate", MEMBER_OR_SERVICE),
    ("GET", "nodes/{}", "node:get", READER),
    ("PATCH", "nodes/{}", "node:update", MEMBER_OR_SERVICE),
    ("DELETE", "nodes/{}", "node:delete:self_owned_node", ADMIN),
    ("GET", "nodes/{}/validate", "node:validate", MEMBER_OR_SERVICE),
    ("GET", "nodes/{}/states", "node:get_states", READER),
    ("PUT", "nodes/{}/states/power", "node:set_power_state", MEMBER_OR_SERVICE),
    ("PUT", "nodes/{}/states/provision", "node:set_provision_state", MEMBER_OR_SERVICE),
    ("PUT", "nodes/{}/states/raid", "node:set_raid_state", MEMBER_OR_SERVICE),
    ("PUT", "nodes/{}/states/boot_mode", "node:set_boot_mode", MEMBER_OR_SERVICE),
    ("PUT", "nodes/{}/states/secure_boot", "node:set_secure_boot", MEMBER_OR_SERVICE),
    ("GET", "nodes/{}/states/console", "node:get_console", MEMBER_OR_SERVICE),
    ("PUT", "nodes/{}/states/console", "node:set_console_state", MEMBER_OR_SERVICE),
    ("PUT", "nodes/{}/maintenance", "node:set_maintenance", MEMBER_OR_SERVICE),
    ("DELETE", "nodes/{}/maintenance", "node:clear_maintenance", MEMBER_OR_SERVICE),
    ("GET", "nodes/{}/management/boot_device", "node:get_boot_device", MEMBER_OR_SERVICE),
    ("GET", "nodes/{}/management/boot_device/supported", "node:get_boot_device", MEMBER_OR_SERVICE),
    ("PUT", "nodes/{}/management/boot_device", "node:set_boot_device", MEMBER_OR_SERVICE),
    ("PUT", "nodes/{}/management/inject_nmi", "node:inject_nmi", MEMBER_OR_SERVICE),
    ("GET", "nodes/{}/management/indicators", "node:get_indicator_state", READER),
    ("GET", "nodes/{}/management/indicators/led", "node:get_indicator_state", READER),
    ("PUT", "nodes/{}/management/indicators/led", "node:set_indicator_state", MEMBER_OR_SERVICE),
    ("GET", "nodes/{}/vendor_passthru/methods", "node:vendor_passthru", ADMIN),
    ("GET", "nodes/{}/vendor_passthru/method", "node:vendor_passthru", ADMIN),
    ("POST", "nodes/{}/vendor_passthru/method", "node:vendor_passthru", ADMIN),
    ("PUT", "nodes/{}/vendor_passthru/method", "node:vendor_passthru", ADMIN),
    ("DELETE", "nodes/{}/vendor_passthru?method=m", "node:vendor_passthru", ADMIN),
    ("GET", "nodes/{}/traits", "node:traits:list", READER),
    ("PUT", "nodes/{}/traits", "node:traits:set", MEMBER_OR_SERVICE),
    ("PUT", "nodes/{}/traits/CUSTOM_A", "node:traits:set", MEMBER_OR_SERVICE),
    ("DELETE", "nodes/{}/traits", "node:traits:delete", MEMBER_OR_SERVICE),
    ("DELETE", "nodes/{}/traits/CUSTOM_A", "node:traits:delete", MEMBER_OR_SERVICE),
    ("GET", "nodes/{}/vifs", "node:vif:list", READER),
    ("POST", "nodes/{}/vifs", "node:vif:attach", MEMBER_OR_SERVICE),
    ("DELETE", "nodes/{}/vifs/vif", "node:vif:detach", MEMBER_OR_SERVICE),
    ("GET", "nodes/{}/ports", "port:list_all", READER),
    ("GET", "nodes/{}/portgroups", "portgroup:list_all", READER),
    ("GET", "nodes/{}/volume/connectors", "volume:list_all", READER),
    ("GET", "nodes/{}/volume/targets", "volume:list_all", READER),
    ("GET", "nodes/{}/bios", "node:bios:get", READER),
    ("GET", "nodes/{}/bios/setting", "node:bios:get", READER),
    ("GET", "nodes/{}/firmware", "node:firmware:get", READER),
    ("GET", "nodes/{}/allocation", "allocation:get", READER),
    ("DELETE", "nodes/{}/allocation", "allocation:delete", MEMBER),
    ("GET", "nodes/{}/history", "node:history:get", READER),
    ("GET", "nodes/{}/history/{}", "node:history:get", READER),
    ("GET", "nodes/{}/inventory", "node:inventory:get", READER),
    ("GET", "nodes/{}/children", "node:get", READER),
    ("GET", "nodes/{}/vmedia", "node:vmedia:get", READER),
    ("POST", "nodes/{}/vmedia", "node:vmedia:attach", MEMBER_OR_SERVICE),
    ("DELETE", "nodes/{}/vmedia", "node:vmedia:detach", MEMBER_OR_SERVICE),
    ("GET", "ports", "port:list_all", READER),
    ("GET", "ports/detail", "port:list_all", READER),
    ("POST", "ports", "port:create", ADMIN_OR_SERVICE),
    ("GET", "ports/{}", "port:get", READER),
    ("PATCH", "ports/{}", "port:update", MEMBER_OR_SERVICE),
    ("DELETE", "ports/{}", "port:delete", ADMIN_OR_SERVICE),
    ("GET", "portgroups", "portgroup:list_all", READER),
    ("POST", "portgroups", "portgroup:create", ADMIN_OR_SERVICE),
    ("GET", "portgroups/{}", "portgroup:get", READER),
    ("PATCH", "portgroups/{}", "portgroup:update", MEMBER_OR_SERVICE),
    ("DELETE", "portgroups/{}", "portgroup:delete", ADMIN_OR_SERVICE),
    ("GET", "portgroups/{}/ports", "port:list_all", READER),
    ("GET", "volume/connectors", "volume:list_all", READER),
    ("POST", "volume/connectors", "volume:create", MEMBER_OR_SERVICE),
    ("GET", "volume/connectors/{}", "volume:get", READER),
    ("PATCH", "volume/connectors/{}", "volume:update", MEMBER_OR_SERVICE),
    ("DELETE", "volume/connectors/{}", "volume:delete", MEMBER_OR_SERVICE),
    ("GET", "volume/targets", "volume:list_all", READER),
    ("POST", "volume/targets", "volume:create", MEMBER_OR_SERVICE),
    ("GET", "volume/targets/{}", "volume:get", READER),
    ("PATCH", "volume/targets/{}", "volume:update", MEMBER_OR_SERVICE),
    ("DELETE", "volume/targets/{}", "volume:delete", MEMBER_OR_SERVICE),
    ("GET", "allocations", "allocation:list_all", READER),
    ("POST", "allocations", "allocation:create_restricted", MEMBER),
    ("GET", "allocations/{}", "allocation:get", READER),
    ("PATCH", "allocations/{}", "allocation:update", MEMBER),
    ("DELETE", "allocations/{}", "allocation:delete", MEMBER),
    ("GET", "chassis", "chassis:get", READER),
    ("POST", "chassis", "chassis:create", ADMIN),
    ("GET", "chassis/{}", "chassis:get", READER),
    ("PATCH", "chassis/{}", "chassis:update", MEMBER),
    ("DELETE", "chassis/{}", "chassis:delete", ADMIN),
    ("GET", "chassis/{}/nodes", "node:list_all", READER),
    ("GET", "deploy_templates", "deploy_template:get", READER),
    ("POST", "deploy_templates", "deploy_template:create", ADMIN),
    ("GET", "deploy_templates/{}", "deploy_template:get", READER),
    ("PATCH", "deploy_templates/{}", "deploy_template:update", ADMIN),
    ("DELETE", "deploy_templates/{}", "deploy_template:delete", ADMIN),
    ("GET", "runbooks", "runbook:list_all", READER),
    ("POST", "runbooks", "runbook:create", MEMBER_OR_SERVICE),
    ("GET", "runbooks/{}", "runbook:get", READER),
    ("PATCH", "runbooks/{}", "runbook:update", MEMBER_OR_SERVICE),
    ("DELETE", "runbooks/{}", "runbook:delete", MEMBER_OR_SERVICE),
    ("GET", "inspection_rules", "inspection_rule:get", READER),
    ("POST", "inspection_rules", "inspection_rule:create", ADMIN),
    ("GET", "inspection_rules/{}", "inspection_rule:get", READER),
    ("PATCH", "inspection_rules/{}", "inspection_rule:update", ADMIN),
    ("DELETE", "inspection_rules/{}", "inspection_rule:delete", ADMIN),
    ("GET", "drivers", "driver:get", READER),
    ("GET", "drivers/fake", "driver:get", READER),
    ("GET", "drivers/fake/properties", "driver:get_properties", READER),
    ("GET", "drivers/fake/raid/logical_disk_properties", "driver:get_raid_logical_disk_properties", READER),
    ("GET", "drivers/fake/vendor_passthru/methods", "driver:vendor_passthru", ADMIN),
    ("POST", "drivers/fake/vendor_passthru/method", "driver:vendor_passthru", ADMIN),
    ("GET", "conductors", "conductor:get", READER),
    ("GET", "conductors/host-1", "conductor:get", READER),
    ("GET", "shards", "shards:get", READER),
    ("POST", "events", "events:post", ADMIN),
    # What Ironic may have learnt since.
    ("GET", "novelties", "unknown_route", ADMIN),
    ("GET", "nodes/{}/novelties", "unknown_route", ADMIN),
    ("PUT", "nodes/{}/states/novelty", "unknown_route", ADMIN),
    ("POST", "nodes/{}/novelties/deep/down", "unknown_route", ADMIN),
]

ATTRIBUTES = [
    ("/extra/a", 1, MEMBER_OR_SERVICE),
    ("/properties/a", 1, MEMBER_OR_SERVICE),
    ("/driver_info/a", 1, MEMBER_OR_SERVICE),
    ("/instance_info/a", 1, MEMBER_OR_SERVICE),
    ("/driver", "fake-hardware", MEMBER_OR_SERVICE),
    ("/name", "new-name", MEMBER_OR_SERVICE),
    ("/lessee", "x", MEMBER_OR_SERVICE),
    ("/retired", True, MEMBER_OR_SERVICE),
    ("/owner", "x", MEMBER),
    ("/conductor_group", "", MEMBER),
    ("/parent_node", None, MEMBER),
    ("/chassis_uuid", None, ADMIN),
    ("/shard", "x", ADMIN),
    ("/disable_power_off", True, ADMIN),
    ("/automated_clean", False, ADMIN),
    ("/automated_clean", True, MEMBER_OR_SERVICE),
]


class Obliging(Standin):
    """A location that does whatever it is asked, and says so."""

    def answer(self, request):
        path = request.path.rstrip("/")
        if path in ("", "/v1"):
            return super().answer(request)
        kind = path.rsplit("/", 1)[-1]
        known = {"uuid": IDENT, "name": "here", "hostname": "host-1", "driver": "fake-hardware", "conductor_group": ""}
        answer = Answer.of_json(201 if request.method == "POST" else 200, {**known, kind: []})
        answer.headers += [(f"X-OpenStack-Ironic-API-{word}Version", "1.115") for word in ("Minimum-", "Maximum-", "")]
        return answer


IDENT = new_uuid()
BODIES = {
    "nodes": {"driver": "fake-hardware"},
    "ports": {"address": "52:54:00:00:00:01", "node_uuid": IDENT},
    "portgroups": {"node_uuid": IDENT},
    "volume/connectors": {"node_uuid": IDENT, "type": "iqn", "connector_id": "c"},
    "volume/targets": {"node_uuid": IDENT, "volume_type": "iscsi", "volume_id": "v", "boot_index": 0},
    "allocations": {"resource_class": "x", "name": "a"},
    "deploy_templates": {"name": "CUSTOM_A", "steps": []},
    "runbooks": {"name": "CUSTOM_A", "steps": []},
    "events": {"events": []},
}


@pytest.fixture(scope="module")
def keystone():
    with Keystone() as running:
        yield running


@pytest.fixture(scope="module")
def tokens(keystone):
    """What everybody has in hand: name -> token."""
    every = {f"system {role}": keystone.token(f"system-{role}", system=True) for role in SYSTEM}
    every |= {f"project {role}": keystone.token(f"project-{role}", project=PROJECT) for role in SYSTEM}
    every["service project"] = keystone.token("ironic", project=SERVICE_PROJECT)
    every["service only"] = keystone.token("service-only", project=SERVICE_PROJECT)
    every["outsider"] = keystone.token("outsider", project="other")
    every["unscoped"] = keystone.token("system-admin")
    return every


def guarded(keystone, **options):
    """A gateway that asks this Keystone, in front of an obliging location: tokens of a project open nothing by themselves."""
    api = {"auth_strategy": "keystone", "project_scoped_access": "deny", **options.pop("api", {})}
    return fleet(Obliging(), wait=False, api=api, sections={"keystone_authtoken": keystone.middleware_options()}, **options)


@pytest.fixture(scope="module")
def hub(keystone, tokens):
    with guarded(keystone) as running:
        until(lambda: attempt(running, tokens["system admin"], "GET", "nodes/{}").status == 200)
        yield running


def attempt(hub, token, method, template, body=None):
    path = "/v1/" + template.replace("{}", IDENT)
    if method == "PATCH":
        body = body or [{"op": "add", "path": "/description", "value": "x"}]
    elif method in ("POST", "PUT"):
        body = body or BODIES.get(template, {"target": "manage"})
    hub.forget_requests()
    headers = {} if token is None else {"X-Auth-Token": token}
    return hub.call(method, path, body, headers=headers)


def own(policy):
    """The rule that Ironic names last to a project that lists."""
    return policy.replace(":list_all", ":list")


def assert_denied(reply, hub, policy=None):
    assert reply.status == 403, reply
    said = reply.text()
    prefix = "Access was denied to the following resource: baremetal:"
    assert said.startswith(prefix) and (policy is None or said == prefix + policy), said
    assert not hub.loc1.asked(path="/v1.*"), "something got through"


def assert_let_in(reply, hub, token):
    """Something reached the location, and nothing of who asked."""
    assert reply.status not in (401, 403), reply
    asked = hub.loc1.asked(path="/v1.*")
    assert asked, f"nothing got through: {reply}"
    for request in asked:
        assert token.encode() not in request.head
        assert request.header("X-Auth-Token") is None and request.header("OpenStack-System-Scope") == "all"


@pytest.mark.parametrize(("method", "template", "policy", "who"), RULES, ids=lambda value: value if isinstance(value, str) else "")
def test_every_route(hub, tokens, method, template, policy, who):
    for role in SYSTEM:
        token = tokens[f"system {role}"]
        reply = attempt(hub, token, method, template)
        if role in who:
            assert_let_in(reply, hub, token)
        else:
            assert_denied(reply, hub, policy)
    for name, token in tokens.items():
        if not name.startswith("system "):
            assert_denied(attempt(hub, token, method, template), hub, own(policy))
    reply = attempt(hub, None, method, template)
    assert reply.status == 401 and not hub.loc1.asked(path="/v1.*")


@pytest.mark.parametrize(("path", "value", "who"), ATTRIBUTES, ids=lambda value: str(value) if isinstance(value, str | bool) else "")
def test_every_attribute_of_a_node(hub, tokens, path, value, who):
    harmless = {"op": "add", "path": "/extra/b", "value": 1}
    for role in SYSTEM:
        token = tokens[f"system {role}"]
        reply = attempt(hub, token, "PATCH", "nodes/{}", [harmless, {"op": "replace", "path": path, "value": value}])
        if role in who:
            assert_let_in(reply, hub, token)
        else:
            assert_denied(reply, hub)


@pytest.mark.parametrize("value", [False, "false", "no", "0", "F", " Off "])
def test_cleaning_cannot_be_turned_off_by_another_spelling(hub, tokens, value):
    patch = [{"op": "add", "path": "/automated_clean", "value": value}]
    assert_denied(attempt(hub, tokens["system member"], "PATCH", "nodes/{}", patch), hub)


def test_a_member_written_twice_is_read_as_ironic_reads_it(hub, tokens):
    """The last one counts, so it must be the one that is judged."""
    for twice in (
        b'[{"op": "add", "path": "/extra/a", "path": "/shard", "value": "x"}]',
        b'[{"op": "add", "path": "/automated_clean", "value": true, "value": false}]',
    ):
        assert_denied(attempt(hub, tokens["system member"], "PATCH", "nodes/{}", twice), hub)


def test_a_method_or_path_in_disguise_is_for_admins_or_nobody(hub, tokens):
    member = tokens["system reader"]
    for method, path in [
        ("DELETE", "nodes/{}/"),
        ("DELETE", "nodes/{}.json"),
        ("PUT", "nodes/{}/states/power/"),
        ("PUT", "nodes/{}/states/%70ower"),
        ("PUT", "nodes/{}/states%2Fpower"),
        ("PUT", "nodes/{}/./states/power"),
        ("PUT", "nodes//{}/states/power"),
        ("POST", "nodes/"),
        ("GET", "nodes/{}/../../v1/nodes/{}/vendor_passthru/methods"),
        ("GET", "nodes?_method=DELETE"),
        ("DELETE", "nodes/{};x"),
    ]:
        reply = attempt(hub, member, method, path)
        assert reply.status in (400, 403, 404, 405), (method, path, reply)
        assert not [request for request in hub.loc1.requests if request.method != "GET" or "vendor" in request.target]
    headers = {"X-Auth-Token": member, "X-HTTP-Method-Override": "DELETE"}
    hub.forget_requests()
    hub.get(f"/v1/nodes/{IDENT}", headers=headers)
    assert {request.method for request in hub.loc1.requests} <= {"GET"}


def test_admins_of_any_project_with_the_old_rule(keystone, tokens):
    with guarded(keystone, api={"project_scoped_access": "legacy_admin"}) as hub:
        until(lambda: attempt(hub, tokens["system admin"], "GET", "nodes/{}").status == 200)
        for method, template, policy, _ in RULES[::9]:
            for name in ("project admin", "service project"):
                assert_let_in(attempt(hub, tokens[name], method, template), hub, tokens[name])
            for name in ("project manager", "project member", "project reader", "project service", "service only", "unscoped", "outsider"):
                assert_denied(attempt(hub, tokens[name], method, template), hub, own(policy))


def test_services_with_elevated_access(keystone, tokens):
    """As in Ironic: a service of the one project acts as a member of the system."""
    with guarded(keystone, default={"rbac_service_role_elevated_access": True}) as hub:
        until(lambda: attempt(hub, tokens["system admin"], "GET", "nodes/{}").status == 200)
        for method, template, policy, who in RULES:
            for name in ("service only", "service project"):
                reply = attempt(hub, tokens[name], method, template)
                if who >= MEMBER and "member" in who and not policy.startswith(SYSTEM_ONLY):
                    assert_let_in(reply, hub, tokens[name])
                else:
                    assert_denied(reply, hub, policy)
            assert_denied(attempt(hub, tokens["project service"], method, template), hub, own(policy))
    with guarded(keystone, default={"rbac_service_role_elevated_access": True, "rbac_service_project_name": PROJECT}) as hub:
        until(lambda: attempt(hub, tokens["system admin"], "GET", "nodes/{}").status == 200)
        assert_let_in(attempt(hub, tokens["project service"], "GET", "nodes"), hub, tokens["project service"])
        assert_denied(attempt(hub, tokens["service only"], "GET", "nodes"), hub, "node:list")


# Ironic's own enforcer, asked for each policy and each of the roles as Keystone gives them.
_ENFORCER = """
import json, sys
from oslo_config import cfg
from ironic.common import policy
cfg.CONF([], project="ironic")
enforcer = policy.get_enforcer()
personas = {
    "reader": ["reader"], "member": ["member", "reader"], "manager": ["manager", "member", "reader"],
    "admin": ["admin", "manager", "member", "reader"], "service": ["service"],
}
answers = {}
for name in json.load(sys.stdin):
    answers[name] = [role for role, roles in personas.items() if enforcer.authorize(
        name, {"node.owner": "o", "node.lessee": "l", "owner": "o", "project_id": "p"},
        {"roles": roles, "system_scope": "all", "user_id": "u", "project_id": None}, do_raise=False)]
json.dump(answers, sys.stdout)
"""


def test_the_table_is_that_of_ironic():
    # Two rules are tried, and the second is named.
    first = {"node:delete:self_owned_node": "node:delete", "allocation:create_restricted": "allocation:create"}
    policies = {f"baremetal:{first.get(policy, policy)}": who for _, _, policy, who in RULES if policy != "unknown_route"}
    done = subprocess.run(
        [venvs.program(venvs.IRONIC, "python"), "-c", _ENFORCER],
        input=json.dumps(sorted(policies)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)
    assert {name: sorted(who) for name, who in policies.items()} == {name: sorted(who) for name, who in theirs.items()}
