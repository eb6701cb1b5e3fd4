"""`survey --os-cloud NAME`: existing Ironics as openstacksdk's clouds.yaml names them."""

import json
import os
import re
import subprocess

import pki
import pytest
from gateway import binary
from standin import Standin, StandinKeystone, node


def run(tmp_path, *arguments, secure=None, clouds=None, env=None, by="variable"):
    """The exit code, standard output and standard error; `by`: how the files are found."""
    directory = {"variable": tmp_path, "here": tmp_path / "cwd", "home": tmp_path / "home/.config/openstack"}[by]
    for place in (directory, tmp_path / "cwd", tmp_path / "home"):
        place.mkdir(parents=True, exist_ok=True)
    # YAML is a superset of JSON.
    (directory / "clouds.yaml").write_text(clouds if isinstance(clouds, str) else json.dumps({"clouds": clouds}))
    (directory / "secure.yaml").write_text(json.dumps({"clouds": secure or {}}))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    environment |= {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": "", **(env or {})}
    if by == "variable":
        environment |= {"OS_CLIENT_CONFIG_FILE": f"{directory}/clouds.yaml", "OS_CLIENT_SECURE_FILE": f"{directory}/secure.yaml"}
    done = subprocess.run(
        [binary(), "survey", *arguments], cwd=tmp_path / "cwd", env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


def accepted(tmp_path, proposal):
    """Whether the proposal is taken behind what else a gateway needs."""
    base, more = tmp_path / "base.conf", tmp_path / "proposal.conf"
    base.write_text(f"[DEFAULT]\nstate_path = {tmp_path}\n[api]\nauth_strategy = noauth\nhost_ip = 127.0.0.1\n")
    more.write_text(proposal)
    more.chmod(0o600)
    command = [binary(), "--config-file", base, "--config-file", more, "--check-config"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done
    return True


BASIC = "pa$$w:rd$x"


@pytest.mark.parametrize("by", ["variable", "here", "home"])
def test_each_way_to_be_let_in(tmp_path, by):
    """none, http_basic with TLS of an own authority, a password and a token; secrets are in secure.yaml."""
    authority = pki.Authority(tmp_path / "pki")
    with StandinKeystone({"admin": "secret"}) as keystone:
        valid = ("token", keystone.valid)
        safe = pki.SecuredStandin(authority.issue("localhost", hosts=["localhost"]), credentials=("basic", "user", BASIC))
        sites = {"open": Standin(), "basic": safe, "pass": Standin(credentials=valid), "tok": Standin(credentials=("token", lambda t: t == "fixed"))}
        for number, site in enumerate(sites.values(), 1):
            site.add(node(f"n{number}", driver_info={"ipmi_address": f"10.{number}0.0.5"}))
        where = {name: site.endpoint for name, site in sites.items()}
        user = {"auth_url": keystone.endpoint, "username": "admin", "user_domain_name": "Default", "system_scope": "all"}
        clouds = {
            "open": {"auth_type": "none", "auth": {"endpoint": where["open"]}, "identity_api_version": 3},
            "basic": {"auth_type": "http_basic", "auth": {"endpoint": where["basic"], "username": "user"}, "cacert": str(authority.certfile)},
            "pass": {"auth": user, "baremetal-endpoint-override": where["pass"], "region_name": "R", "verify": True},
            "tok": {"auth_type": "admin_token", "baremetal_endpoint_override": where["tok"], "auth": {"endpoint": "http://127.0.0.1:1"}},
        }
        secure = {"basic": {"auth": {"password": BASIC}}, "pass": {"auth": {"password": "secret"}}, "tok": {"auth": {"token": "fixed"}}}
        names = [word for name in clouds for word in ("--os-cloud", name)]
        code, text, errors = run(tmp_path, *names, clouds=clouds, secure=secure, by=by)
        assert (code, errors) == (0, ""), (text, errors)
        for name in clouds:
            assert f"{name}: versions 1.1 to 1.115, 1 nodes" in text
        proposal = text.partition("proposed configuration:\n")[2]
        assert "groups = _:open,basic:basic,pass:pass,tok:tok" in proposal and "bmc_addresses = 10.20.0.0/24" in proposal
        for secret in (BASIC, "secret\n", "fixed"):
            assert secret not in text
        assert accepted(tmp_path, proposal)
        told = json.loads(run(tmp_path, *names, "--format", "json", clouds=clouds, secure=secure, by=by)[1])
        assert told["proposal"]["locations"]["tok"]["reached_by"]["token"] == "change-me"
        for site in sites.values():
            site.close()


def test_yaml_as_people_write_it(tmp_path):
    with Standin() as one, Standin() as other:
        clouds = f"""
# two of them
clouds:
  berlin: &shape
    auth_type: none
    baremetal_endpoint_override: {one.endpoint}
    networks: [{{name: provider, routes_externally: true}}]
  lyon:
    auth_type: 'none'
    endpoint: "{other.endpoint}"
  paris: {{auth_type: v3oidcpassword, profile: nobody-asks}}
"""
        code, text, errors = run(tmp_path, "--os-cloud", "lyon", "--os-cloud=berlin", clouds=clouds)
        assert (code, errors) == (0, "") and "groups = _:lyon,berlin:berlin" in text


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"profile": "vexxhost"}, "cloud berlin of .*clouds.yaml: profile"),
        ({"auth_type": "none", "baremetal_endpoint_overide": "http://x"}, "baremetal_endpoint_overide"),
        ({"auth_type": "v3totp", "auth": {"passcode": "1"}}, "auth.passcode"),
        ({"auth_type": "v3oidcpassword", "auth": {"auth_url": "http://x"}}, "v3oidcpassword"),
        ({"auth_type": "none"}, "endpoint_override"),
        ({"auth": {"auth_url": "http://x:5000", "username": "u"}}, "password"),
        ({"auth_type": "none", "endpoint": "ftp://x"}, "endpoint_override"),
        ({"auth_type": "none", "endpoint": "http://x", "cacert": "/nowhere.pem"}, "cafile: cannot be read"),
        ({"auth_type": "none", "endpoint": "http://x", "verify": "maybe"}, "verify"),
    ],
)
def test_what_it_cannot_take_is_named(tmp_path, entry, said):
    code, text, errors = run(tmp_path, "--os-cloud", "berlin", clouds={"berlin": entry})
    assert code == 78 and text == "", (code, text, errors)
    assert re.search(said, errors), errors
    assert "Traceback" not in errors and "panicked" not in errors


def test_clouds_are_called_as_people_call_them(tmp_path):
    """Names of clouds have capitals, those of locations, which are sections, do not."""
    with Standin() as first, Standin() as second:
        clouds = {
            name: {"auth_type": "http_basic", "auth": {"endpoint": site.endpoint, "username": "user", "password": BASIC}}
            for name, site in (("RegionOne", first), ("OVH-GRA", second))
        }
        code, text, errors = run(tmp_path, "--os-cloud", "RegionOne", "--os-cloud", "OVH-GRA", clouds=clouds)
        assert (code, errors) == (0, ""), (text, errors)
        proposal = text.partition("proposed configuration:\n")[2]
        for name, site in (("regionone", first), ("ovh-gra", second)):
            assert re.search(rf"^\[group:{name}\]\n(.+\n)*endpoint_override = {site.endpoint}$", proposal, re.MULTILINE), proposal
        assert proposal.count("auth_type = http_basic") == 2
        assert accepted(tmp_path, proposal)
        clouds["regionone"] = clouds["OVH-GRA"]
        code, _, errors = run(tmp_path, "--os-cloud", "RegionOne", "--os-cloud", "regionone", clouds=clouds)
        assert code == 78 and "regionone" in errors and "[group:regionone]" in errors, errors


def test_there_is_no_such_cloud_or_file(tmp_path):
    code, _, errors = run(tmp_path, "--os-cloud", "nice", clouds={"berlin": {}, "lyon": {}})
    assert code == 78 and "no cloud nice" in errors and "berlin, lyon" in errors
    code, _, errors = run(tmp_path, "--os-cloud", "x", clouds="clouds: [")
    assert code == 78 and "is no YAML" in errors
    code, _, errors = run(tmp_path, "--os-cloud", "x", clouds={}, env={"OS_CLIENT_CONFIG_FILE": "/nowhere/clouds.yaml"})
    assert code == 78
