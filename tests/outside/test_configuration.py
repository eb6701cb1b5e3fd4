"""Configurations that start, that warn and that must not start; what is said of them."""

import os
import re
import subprocess

import pytest
from fleet import Client, fleet_config
from gateway import DIRECTORY, binary
from pki import Authority
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
    "a mode with a sign": (("host_ip = 127.0.0.1", "host_ip = 127.0.0.1\nunix_socket = /tmp/never.sock\nunix_socket_mode = +660"), "api", "unix_socket_mode"),
    "an unknown choice": (("host_ip = 127.0.0.1", "host_ip = 127.0.0.1\npartial_lists = maybe"), "api", "partial_lists"),
    "an unknown strategy": (("auth_strategy = noauth", "auth_strategy = wishful"), "api", "auth_strategy"),
    "no endpoint": (("endpoint_override = http://127.0.0.1:1", ""), "group:loc1", "endpoint"),
    "a bad endpoint": (("endpoint_override = http://127.0.0.1:1", "endpoint_override = ftp://x"), "group:loc1", "endpoint_override"),
    "a bad version": (("host_ip = 127.0.0.1", "host_ip = 127.0.0.1\nmin_max_version = newest"), "api", "min_max_version"),
    "a cafile that is a directory": (("auth_type = none", "auth_type = none\ncafile = /"), "group:loc1", "cafile"),
    "no address": (("host_ip = 127.0.0.1", "host_ip = 10.0.0.300"), "api", "host_ip"),
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
    for content, status in ((None, 75), ("bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n", 78)):
        text = GOOD.replace("auth_strategy = noauth", "auth_strategy = http_basic")
        text = text.replace("[api]", f"http_basic_auth_user_file = {DIRECTORY}/users\n[api]")
        if content is not None:
            (tmp_path / "users").write_text(content)
        result = run(tmp_path, text)
        assert result.returncode == status, result
        assert "http_basic_auth_user_file" in result.stdout + result.stderr or "users" in result.stdout + result.stderr


def test_a_missing_file(tmp_path):
    for arguments, status in (([], 75), (["--check-config"], 78), (["status"], 78)):
        typed = [binary(), "--config-file", tmp_path / "none.conf", *arguments]
        result = subprocess.run(typed, capture_output=True, text=True, timeout=20, check=False)
        assert result.returncode == status, result
        assert "none.conf" in result.stdout + result.stderr


def test_a_port_that_is_taken(tmp_path):
    with Standin() as other:
        result = run(tmp_path, GOOD.replace("port = 0", f"port = {other.port}"))
        assert result.returncode != 0, result
        assert str(other.port) in result.stdout + result.stderr
        assert "panicked" not in result.stderr
        assert Client(other.endpoint).get("/v1").status == 200


# What may come by itself, and what --check-config makes of it. No resolver is asked for a name with an empty part.
NOT_YET = {
    "192.0.2.10:0": (("host_ip = 127.0.0.1", "host_ip = 192.0.2.10"), 0),
    "`at..boot`": (("host_ip = 127.0.0.1", "host_ip = at..boot"), 78),
    "[api] unix_socket": (("host_ip = 127.0.0.1", "host_ip = 127.0.0.1\nunix_socket = @DIR@/none/api.sock"), 0),
    "[group:loc1] cafile": (("auth_type = none", "auth_type = none\ncafile = @DIR@/none/ca.pem"), 78),
    "[DEFAULT] log_file": (("[api]", "log_file = @DIR@/none/log\n[api]"), 78),
    "[admin] socket": (("[api]", "[admin]\nsocket = @DIR@/none/admin.sock\n[api]"), 0),
    "[oslo_policy] policy_file": (("[api]", "[oslo_policy]\npolicy_file = @DIR@/none/policy.yaml\n[api]"), 78),
    "[oslo_policy] policy_dirs": (("[api]", "[oslo_policy]\npolicy_dirs = @DIR@/none\n[api]"), 78),
    "[audit] audit_map_file": (("[api]", "[audit]\nenabled = true\naudit_map_file = @DIR@/none/map\n[api]"), 78),
}  # fmt: skip


@pytest.mark.parametrize("said", NOT_YET)
def test_what_is_not_there_yet_is_waited_for(tmp_path, said):
    """An address, a name, a mount: `RestartPreventExitStatus=78` would have the unit give up."""
    (old, new), checked = NOT_YET[said]
    assert old in GOOD
    text = GOOD.replace(old, new.replace("@DIR@", str(tmp_path)), 1)
    assert run(tmp_path, text, "--check-config").returncode == checked
    result = run(tmp_path, text)
    assert (result.returncode, said in result.stderr) == (75, True), result
    result = run(tmp_path, text.replace("port = 0", "port = many"))
    assert result.returncode == 78, "a fault that stays"


def test_version_and_help():
    result = subprocess.run([binary(), "--version"], capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 0 and re.search(r"ironic-proxy \d+\.\d+", result.stdout), result
    result = subprocess.run([binary(), "--help"], capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 0
    for option in ("--config-file", "--config-dir", "--check-config", "--version"):
        assert option in result.stdout


# --- the files beside the configuration


HASH = "$2b$04$abcdefghijklmnopqrstuuPjS5yPr1ANtC3oQQHzeyZS2rVeKqlgi"
BASIC = GOOD.replace("auth_strategy = noauth", "auth_strategy = http_basic").replace(
    "[api]", f"http_basic_auth_user_file = {DIRECTORY}/users\n[api]", 1
)


def tls(tmp_path, **options):
    """The configuration of a listener with a certificate, of which a case spoils something."""
    ca = Authority(tmp_path / "pki", "ca")
    hub = ca.issue("hub", **{"hosts": ["127.0.0.1"], **options})
    return hub, fleet_config(
        ["http://127.0.0.1:1"], api={"enable_ssl_api": True, "cert_file": hub.certfile, "key_file": hub.keyfile}
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ends": -1}, r"warning: \[api\] cert_file: .*Certificate `CN=hub` has expired on \d{4}-"),
        ({"begins": 2}, r"warning: \[api\] cert_file: .*Certificate `CN=hub` is not valid before \d{4}-"),
        ({"ends": 9}, r"warning: \[api\] cert_file: .*Certificate `CN=hub` expires in [89] days"),
        ({"hosts": []}, r"warning: \[api\] cert_file: .* carries no name"),
    ],
)
def test_the_check_tells_of_a_certificate_that_no_client_accepts(tmp_path, options, said):
    _, text = tls(tmp_path, **options)
    result = run(tmp_path, text, "--check-config")
    assert (result.returncode, result.stdout.strip()) == (0, "ok"), result
    assert re.search(said, result.stderr), result


def test_the_check_is_content_with_a_good_certificate(tmp_path):
    _, text = tls(tmp_path)
    result = run(tmp_path, text, "--check-config")
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "ok", ""), result


@pytest.mark.parametrize(
    ("api", "options"),
    [
        ({"max_buffered": 128 << 20}, []),
        ({"max_buffered": (128 << 20) - 1}, ["max_json_body_size_provision"]),
        ({"max_buffered": 1 << 20, "enable_ramdisk_endpoints": True}, ["max_json_body_size", "max_json_body_size_provision", "max_json_body_size_inspection"]),
    ],
)
def test_the_check_tells_of_bodies_that_never_get_in(tmp_path, api, options):
    result = run(tmp_path, fleet_config(["http://127.0.0.1:1"], api=api), "--check-config")
    assert (result.returncode, re.findall(r"^warning: \[api\] (\w+): no body of more than", result.stderr, re.M)) == (0, options), result


def test_the_check_tells_of_certificates_towards_locations(tmp_path):
    old = Authority(tmp_path / "pki", "old", begins=-9, ends=-1)
    client = Authority(tmp_path / "clients", "ca").issue("gateway", ends=-1)
    each = {"loc1": {"cafile": old.certfile}, "loc2": {"certfile": client.certfile, "keyfile": client.keyfile}}
    result = run(tmp_path, fleet_config(["https://127.0.0.1:1", "https://127.0.0.1:2"], each=each), "--check-config")
    assert result.returncode == 0, result
    assert re.search(r"warning: \[group:loc1\] cafile: .*`CN=old` has expired", result.stderr), result
    assert re.search(r"warning: \[group:loc2\] certfile: .*`CN=gateway` has expired", result.stderr), result


@pytest.mark.parametrize("arguments", [(), ("--check-config",)], ids=["start", "check"])
@pytest.mark.parametrize("case", ["another's key", "plain password", "digest"])
def test_files_that_stop_the_start_stop_the_check(tmp_path, case, arguments):
    match case:
        case "another's key":
            hub, text = tls(tmp_path)
            hub.keyfile.write_bytes(Authority(tmp_path / "other", "other").key_pem)
            said = r"\[api\] .*key_file.*: .*not that of the certificate"
        case _:
            digest = {"plain password": "secret-garbage", "digest": "{SHA}secret-garbage"}[case]
            (tmp_path / "users").write_text(f"ann:{HASH}\nbob:{digest}\n")
            text = BASIC
            said = r"\[DEFAULT\] http_basic_auth_user_file: .*Only bcrypt digested passwords are supported for bob"
    result = run(tmp_path, text, *arguments)
    assert result.returncode == 78, result
    assert re.search(said, result.stderr), result
    assert "secret-garbage" not in result.stderr + result.stdout


def test_users_who_cannot_come_in_are_named(tmp_path):
    (tmp_path / "users").write_text(f"ann:{HASH}\nbob:{HASH}:extra\n")
    result = run(tmp_path, BASIC, "--check-config")
    assert (result.returncode, result.stdout.strip()) == (0, "ok"), result
    assert "warning: [DEFAULT] http_basic_auth_user_file: User bob cannot log in" in result.stderr
    assert "User ann" not in result.stderr
    (tmp_path / "users").write_text("")
    assert "holds no user" in run(tmp_path, BASIC, "--check-config").stderr


def test_a_directory_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "state").write_text("a file")
    result = run(tmp_path, GOOD, "--check-config")
    assert result.returncode == 0
    assert "warning: [DEFAULT] state_path:" in result.stderr, result
    (tmp_path / "state").unlink()
    assert run(tmp_path, GOOD, "--check-config").stderr == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ironic-proxy.conf"], "a check leaves nothing behind"


def test_the_environment_sets_a_location(tmp_path):
    text = GOOD.replace("auth_type = none", "auth_type = http_basic\nusername = gw", 1)
    assert run(tmp_path, text, "--check-config").returncode == 78
    result = run(tmp_path, text, "--check-config", env={"OS_GROUP_LOC1__PASSWORD": SECRET.replace("$", "$$")})
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "ok", ""), result


def test_a_file_in_another_encoding_has_no_other_faults(tmp_path):
    path = tmp_path / "ironic-proxy.conf"
    path.write_bytes(("# Stra\xdfe\n" + GOOD.replace(DIRECTORY, str(tmp_path))).encode("latin-1"))
    result = subprocess.run([binary(), "--config-file", path, "--check-config"], capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 78
    assert result.stderr == f"{path}:1: is not UTF-8; save the file as UTF-8\n"
