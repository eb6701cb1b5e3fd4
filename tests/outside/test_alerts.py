"""conf/prometheus and conf/grafana: each alert fires when it is to and is explained, and neither asks for what does not exist."""

import copy
import json
import re
import subprocess

import pytest
import yaml
from bed import venvs
from metrics import promtool

from gateway import REPOSITORY

RULES = REPOSITORY / "conf" / "prometheus" / "ironic-proxy.rules.yml"
CASES = REPOSITORY / "tests" / "alerts" / "ironic-proxy.test.yml"
DASHBOARD = json.loads((REPOSITORY / "conf" / "grafana" / "ironic-proxy.json").read_text())
OPERATE = (REPOSITORY / "docs" / "operate.md").read_text()
ALERTS = {rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
# Prometheus's own.
BUILT_IN = {"up"}


def exists():
    """Every name that can be asked for, and its labels."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", (REPOSITORY / "docs" / "metrics.md").read_text(), re.MULTILINE)
    names = {}
    for name, kind, labels in rows:
        labels = set(re.findall(r"`(\w+)`", labels)) | {"job", "instance"}
        if kind == "histogram":
            names.update({f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels})
        else:
            names[name] = labels
    return names


def asked(expression):
    """Names in an expression of PromQL, with the labels that each is selected by."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    found = re.findall(r"\b((?:ironic_proxy|process)_\w+|up)\b(?:\{([^}]*)\})?", bare)
    return [(name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels))) for name, labels in found]


def expressions():
    for name, rule in ALERTS.items():
        yield name, rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for annotation in DASHBOARD["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])[1]


def test_the_rules_are_sound():
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_when_it_is_to():
    done = promtool("test", "rules", CASES)
    assert done.returncode == 0, done.stdout + done.stderr
    checks = [check for case in yaml.safe_load(CASES.read_text())["tests"] for check in case["alert_rule_test"]]
    for name in ALERTS:
        fired = {bool(check["exp_alerts"]) for check in checks if check["alertname"] == name}
        assert fired == {True, False}, f"{name} is not both fired and silent in {CASES.name}"


def test_each_alert_is_explained():
    entries = re.findall(r"^### (IronicProxy\w+)$", OPERATE, re.MULTILINE)
    assert sorted(entries) == sorted(ALERTS)
    for name, rule in ALERTS.items():
        assert rule["annotations"]["runbook"] == f"docs/operate.md#{name.lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning")


@pytest.mark.parametrize(("where", "expression"), list(expressions()), ids=lambda value: value[:40])
def test_only_what_exists_is_asked_for(where, expression):
    names, found = exists(), asked(expression)
    assert found, f"{where} asks for nothing: {expression}"
    for name, labels in found:
        if name not in BUILT_IN:
            assert name in names, f"{where}: {name}"
            assert labels <= names[name], f"{where}: {name} has no {labels - names[name]}"


def test_the_dashboard_asks_in_promql(tmp_path):
    """Grafana's variables replaced, as it does."""
    rules = []
    for number, (where, expression) in enumerate(expressions()):
        for variable, value in (("$__rate_interval", "5m"), ("$__interval", "1m"), ("$job", "a"), ("$instance", "a"), ("$location", "a")):
            expression = expression.replace(variable, value)
        assert "$" not in expression, where
        rules.append({"record": f"dashboard:{number}", "expr": expression})
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = promtool("check", "rules", "--lint=none", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_is_one_of_grafanas():
    """What Grafana needs to load it; there is no Grafana in Debian."""
    assert DASHBOARD["uid"] == "ironic-proxy"
    assert DASHBOARD["schemaVersion"] >= 36
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(numbers) == len(set(numbers))
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, f"{panel['title']} lies over another one"
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["description"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    shown = {name for _, expression in expressions() for name, _ in asked(expression)}
    unseen = {name for name in exists() if name.startswith("ironic_proxy_") and not name.endswith(("_sum", "_count"))} - shown
    assert not unseen, "on no panel and in no alert"


# Grafana's own types, made from its schema, keep what they know: what a dashboard loses on its way through them is unknown to Grafana.
THROUGH_GRAFANA = """
import json, sys
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
plugins.register_default_plugins()
print(JSONEncoder().encode(Dashboard.from_json(json.load(sys.stdin))))
"""
# The Prometheus plugin's own, which the schema leaves to plugins.
OF_PLUGINS = {"titleFormat"}


def unknown_to_grafana(dashboard):
    python = venvs.program(venvs.LINTERS, "python")
    done = subprocess.run([python, "-c", THROUGH_GRAFANA], input=json.dumps(dashboard), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(lost(dashboard, json.loads(done.stdout)))


def lost(before, after, path=""):
    """Members that are missing afterwards, or are otherwise."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            if name in after:
                yield from lost(value, after[name], f"{path}/{name}")
            elif name not in OF_PLUGINS:
                yield f"{path}/{name}"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for place, pair in enumerate(zip(before, after, strict=True)):
            yield from lost(*pair, f"{path}/{place}")
    elif before != after:
        yield path


@pytest.mark.slow
def test_grafana_knows_every_member():
    assert unknown_to_grafana(DASHBOARD) == set()
    worse = copy.deepcopy(DASHBOARD)
    worse["panels"][1]["fieldConfig"]["defaults"]["units"] = worse["refreshes"] = "10s"
    assert unknown_to_grafana(worse) == {"/panels/1/fieldConfig/defaults/units", "/refreshes"}
