"""Configurations that start, that warn and that must not start; what is said of them."""

import os
import re
import subprocess

import pytest
from fleet import Client, fleet_config
from gateway import DIRECTORY, binary
from standin import Standin

SECRET = "pa$w0rd-7f3a"
ESCAPED = SECRET.replace("$", "$$")


def run(tmp_path, text, *arguments, env=None):
    path = tmp_path / "ironic-proxy.conf"
    path.write_text(text.replace(DIRECTORY, str(tmp_path)))
    return subprocess.run(
        [binary(), "--config-file", path, *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env={**os.environ, **(env or {})},
    )


GOOD = fleet_config(["http://127.0.0.1:1", "http://127.0.0.1:2"])


def test_a_good_configuration(tmp_path):
    result = run(tmp_path, GOOD, "--check-config")
    assert (result.returncode, result.stdout.strip()) == (0, "ok"), result


FAULTS = {
    "a group without a location": (("groups = _:loc1,grp1:loc2", "groups = _:loc1,grp1:loc2,grp2:loc9"), "DEFAULT", "groups"),
    "no groups": (("groups = _:loc1,grp1:loc2", ""), "DEFAULT", "groups"),
    "an unknown auth_type": (("auth_type = none", "auth_type = magic"), "group:loc1", "auth_type"),
    "a refused auth_type": (("auth_type = none", "auth_type = v3oidcpassword"), "group:loc1", "auth_type"),
    "no user name": (("auth_type = none", "auth_type = http_basic\npassword = x"), "group:loc1", "username"),
    "no password": (("auth_type = none", "auth_type = http_basic\nusername = x"), "group:loc1", "password"),
    "no auth_url": (("auth_type = none", "auth_type = password\nusername = x\npassword = y"), "group:loc1", "auth_url"),
    "two scopes": (("auth_type = none", "auth_type = password\nauth_url = http://127.0.0.1:5/v3\nusername = x\npassword = y\n"
                    "user_domain_name = d\nsystem_scope = all\nproject_id = z"), "group:loc1", "scope"),
    "no number": (("port = 0", "port = many"), "api", "port"),
    "a number too large": (("port = 0", "port = 70000"), "api", "port"),
    "no truth value": (("host_ip = 127.0.0.1", "host_ip = 127.0.0.1\nrequire_unique = perhaps"), "api", "require_unique"),
    "an unknown choice": (("host_ip = 127.0.0.1", "host_ip = 127.0.0.1\npartial_lists = maybe"), "api", "partial_lists"),
    "an unknown strategy": (("auth_strategy = noauth", "auth_strategy = wishful"), "api", "auth_strategy"),
    "no endpoint": (("endpoint_override = http://127.0.0.1:1", ""), "group:loc1", "endpoint"),
    "a bad endpoint": (("endpoint_override = http://127.0.0.1:1", "endpoint_override = ftp://x"), "group:loc1", "endpoint_override"),
    "a bad version": (("host_ip = 127.0.0.1", "host_ip = 127.0.0.1\nmin_max_version = newest"), "api", "min_max_version"),
    "a missing cafile": (("auth_type = none", "auth_type = none\ncafile = /nonexistent/ca.pem"), "group:loc1", "cafile"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("arguments", [(), ("--check-config",)], ids=["start", "check"])
def test_a_fault_of_the_configuration(tmp_path, fault, arguments):
    (old, new), section, option = FAULTS[fault]
    assert old in GOOD
    result = run(tmp_path, GOOD.replace(old, new, 1), *arguments)
    assert result.returncode == 78, result
    said = result.stdout + result.stderr
    lines = [line for line in said.splitlines() if f"[{section}]" in line and option in line]
    assert lines, said
    assert any(re.search(r"ironic-proxy\.conf(:\d+)?:", line) for line in lines), said
    assert "Listening" not in said and "panicked" not in said


def test_every_fault_is_said_at_once(tmp_path):
    text = GOOD
    wanted = []
    for fault in ("a group without a location", "no number", "an unknown choice", "no user name", "a bad version"):
        (old, new), section, option = FAULTS[fault]
        assert old in text, fault
        text = text.replace(old, new, 1)
        wanted.append((section, option))
    result = run(tmp_path, text, "--check-config")
    assert result.returncode == 78
    for section, option in wanted:
        assert re.search(rf"\[{re.escape(section)}\].*{option}", result.stdout + result.stderr), (section, option, result)


def test_values_are_never_shown(tmp_path):
    text = GOOD.replace("auth_type = none", f"auth_type = http_basic\npassword = {ESCAPED}\npasswrd = {ESCAPED}\ntimeout = {ESCAPED}", 1)
    result = run(tmp_path, text, "--check-config")
    assert result.returncode == 78
    assert SECRET not in result.stdout + result.stderr and ESCAPED not in result.stdout + result.stderr


def test_an_unknown_option_is_a_warning_that_helps(tmp_path):
    result = run(tmp_path, GOOD.replace("auth_type = none", "auth_type = none\nendpoint-override = http://127.0.0.1:9", 1), "--check-config")
    assert result.returncode == 0, result
    said = result.stdout + result.stderr
    assert "endpoint-override" in said and "endpoint_override" in said


@pytest.mark.parametrize("strategy", ["keystone", None])
def test_keystone_at_the_door_lets_nobody_in_unasked(tmp_path, strategy):
    """It is the default; without its section there is no way to ask who is who."""
    text = GOOD.replace("auth_strategy = noauth", f"auth_strategy = {strategy}" if strategy else "")
    result = run(tmp_path, text)
    assert result.returncode == 78, result
    assert "keystone" in (result.stdout + result.stderr).lower()


def test_http_basic_needs_its_file(tmp_path):
    for content in (None, "bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n"):
        text = GOOD.replace("auth_strategy = noauth", "auth_strategy = http_basic")
        text = text.replace("[api]", f"http_basic_auth_user_file = {DIRECTORY}/users\n[api]")
        if content is not None:
            (tmp_path / "users").write_text(content)
        result = run(tmp_path, text)
        assert result.returncode == 78, result
        assert "http_basic_auth_user_file" in result.stdout + result.stderr or "users" in result.stdout + result.stderr


def test_a_missing_file(tmp_path):
    result = subprocess.run([binary(), "--config-file", tmp_path / "none.conf"], capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 78, result
    assert "none.conf" in result.stdout + result.stderr


def test_a_port_that_is_taken(tmp_path):
    with Standin() as other:
        result = run(tmp_path, GOOD.replace("port = 0", f"port = {other.port}"))
        assert result.returncode != 0, result
        assert str(other.port) in result.stdout + result.stderr
        assert "panicked" not in result.stderr
        assert Client(other.endpoint).get("/v1").status == 200


def test_version_and_help():
    result = subprocess.run([binary(), "--version"], capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 0 and re.search(r"ironic-proxy \d+\.\d+", result.stdout), result
    result = subprocess.run([binary(), "--help"], capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 0
    for option in ("--config-file", "--config-dir", "--check-config", "--version"):
        assert option in result.stdout
