"""The Debian package, in the real systemd of a machine of its own."""

import gzip
import json
import os
import re
import shutil
import subprocess

import pytest
from bed import build
from fleet import fleet_config, until

from gateway import REPOSITORY, binary

SERVICE = "ironic-proxy.service"
CONFIGURATION = "/etc/ironic-proxy/ironic-proxy.conf"
LOG = "/var/log/ironic-proxy/ironic-proxy.log"
# What systemd and dpkg write of their own accord while packages come and go.
ELSEWHERE = re.compile(r"/(proc|sys|dev|run|tmp|srv|root)(/|$)|/var/(log|cache)/|/var/lib/(dpkg|apt|systemd|logrotate|ironic-proxy)(/|$)|/var/tmp/")
# Accounts stay, as Debian has it: numbers of users that are gone must not be given to others.
ACCOUNTS = re.compile(r"/etc/(passwd|group|shadow|gshadow)-?$")


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The package of this version, and one of a later version."""
    there = tmp_path_factory.mktemp("package")
    program = there / "ironic-proxy"
    subprocess.run(["strip", "-o", program, binary()], check=True)
    environment = {**os.environ, "BINARY": str(program), "PATH": f"{build.cargo_deb().parent}:{build.cargo_cyclonedx().parent}:{os.environ['PATH']}"}
    made = []
    for version in ("1.0", "2.0"):
        package = there / f"ironic-proxy_{version}.deb"
        command = [REPOSITORY / "conf/package/build", "--fast", "--deb-version", version, "--output", package]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        assert package.exists(), done.stdout
        made.append(package)
    return made


def install(machine, package):
    shutil.copy(package, machine.path("/srv"))
    return machine.run("dpkg", "--install", f"/srv/{package.name}")


def files(machine):
    listed = machine.run("find", "/", "-xdev", "-not", "-type", "d").stdout.splitlines()
    return {path for path in listed if not ELSEWHERE.match(path) and not ACCOUNTS.match(path)}


def test_it_says_what_is_in_the_binary(packages, tmp_path):
    """A CycloneDX SBOM: the crates that `cargo tree` finds in the program, each with its version, licence and checksum."""
    subprocess.run(["dpkg-deb", "--extract", packages[0], tmp_path], check=True)
    told = json.loads((tmp_path / "usr/share/doc/ironic-proxy/ironic-proxy.cdx.json").read_text(encoding="utf-8"))
    assert (told["bomFormat"], told["metadata"]["component"]["name"]) == ("CycloneDX", "ironic-proxy")
    command = ["cargo", "tree", "--locked", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"]
    tree = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True).stdout
    wanted = {(words[0], words[1].removeprefix("v")) for words in map(str.split, tree.splitlines()) if words and words[0] != "ironic-proxy"}
    found = {(one["name"], one["version"]) for one in told["components"]}
    assert wanted <= found
    # It counts a few crates that no feature asks for, and none that only tests want.
    assert len(found - wanted) < 10 and not {"criterion", "proptest", "tempfile"} & {name for name, _ in found}
    assert all(one["licenses"] and one["hashes"] and one["purl"].startswith("pkg:cargo/") for one in told["components"])


def configure(machine, site):
    text = fleet_config([site.endpoint], api={"host_ip": "127.0.0.1", "port": 6385}, default={"state_path": None, "log_file": LOG})
    # Its owner and mode stay.
    machine.path(CONFIGURATION).write_text(text, encoding="utf-8")


def serves(machine):
    return machine.run("ironic-proxy", "status", check=False).returncode == 0


def test_it_is_installed_run_upgraded_and_purged(packages, machine, site_of_machine):
    """One life, since each of its steps begins where the one before ended."""
    before = files(machine)
    install(machine, packages[0])

    # Installed: nothing runs that has no locations, and only its group reads what will hold passwords.
    assert [machine.shown(name) for name in ("LoadState", "ActiveState", "UnitFileState")] == ["loaded", "inactive", "disabled"]
    shown = machine.run("stat", "--format=%U %G %a", CONFIGURATION, "/usr/bin/ironic-proxy").stdout.splitlines()
    assert shown == ["root ironic-proxy 640", "root root 755"]
    assert machine.run("ironic-proxy", "--version").stdout.startswith("ironic-proxy ")
    units = "/usr/lib/systemd/system"
    assert machine.run("systemd-analyze", "verify", f"{units}/{SERVICE}", f"{units}/ironic-proxy.socket").stderr == ""
    sample = (REPOSITORY / "conf/ironic-proxy.conf").read_text(encoding="utf-8")
    assert machine.path(CONFIGURATION).read_text(encoding="utf-8") == sample

    # Run.
    configure(machine, site_of_machine)
    written = machine.path(CONFIGURATION).read_text(encoding="utf-8")
    machine.run("systemctl", "enable", "--now", SERVICE)
    assert serves(machine)

    # Its log is rotated, and goes on in the new file.
    machine.run("logrotate", "--force", "/etc/logrotate.d/ironic-proxy")
    first = machine.path(f"{LOG}.1").read_text(encoding="utf-8")
    assert "Listening on" in first
    until(lambda: machine.path(LOG).exists() and "reopened" in machine.path(LOG).read_text(encoding="utf-8"), what="the new log")

    # Upgraded: the operator's file is kept, the new program runs.
    old = machine.shown("MainPID")
    install(machine, packages[1])
    until(lambda: machine.shown("MainPID") not in (old, "0") and serves(machine), seconds=30, what="the new program")
    assert machine.path(CONFIGURATION).read_text(encoding="utf-8") == written
    assert machine.run("dpkg-query", "--show", "--showformat=${Version}", "ironic-proxy").stdout.startswith("2.0")

    # Removed, the configuration stays; purged, nothing but the state does.
    machine.run("dpkg", "--remove", "ironic-proxy")
    assert machine.shown("ActiveState") == "inactive"
    assert machine.path(CONFIGURATION).exists()
    machine.run("dpkg", "--purge", "ironic-proxy")
    assert files(machine) - before == set()
    assert not machine.path("/etc/ironic-proxy").exists()
    assert not machine.path("/var/log/ironic-proxy").exists()
    assert machine.path("/var/lib/ironic-proxy/directory.jsonl").exists()


def test_its_pages_and_completions_are_whole(tmp_path):
    done = subprocess.run([binary(), "manual", tmp_path], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pages = sorted(path.stem for path in (tmp_path / "man").glob("*.8"))
    helped = subprocess.run([binary(), "--help"], capture_output=True, text=True, timeout=30, check=True).stdout
    commands = re.findall(r"^  (\w+) ", helped.split("Commands:")[1].split("\n\n")[0], re.MULTILINE)
    expected = {"ironic-proxy"} | {f"ironic-proxy-{name}" for name in commands if name != "help"}
    assert expected <= set(pages)
    for path in (tmp_path / "man").glob("*.8"):
        text = path.read_text(encoding="utf-8")
        assert all(f".SH {section}\n" in text.replace('"', "") for section in ("NAME", "SYNOPSIS", "OPTIONS", "EXIT STATUS")), path.name
        # A page that another one points to is there.
        for named in re.findall(r"(ironic\\?-proxy[\w\\-]*)\(8\)", text):
            assert named.replace("\\", "") in pages, f"{path.name} names {named}"
    subprocess.run(["bash", "-n", tmp_path / "bash/ironic-proxy.bash"], check=True)
    # As a shell would: what may follow.
    asked = f"source {tmp_path}/bash/ironic-proxy.bash; COMP_WORDS=(ironic-proxy loc); COMP_CWORD=1; _ironic__proxy ironic-proxy loc ironic-proxy; echo ${{COMPREPLY[*]}}"
    said = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, timeout=30, check=True).stdout.split()
    assert {"locate", "location"} <= set(said)


def test_a_page_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    done = subprocess.run([binary(), "manual", tmp_path / "file"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "ironic-proxy: " in done.stderr


def test_what_is_packed_is_there(packages):
    """The list in Cargo.toml matches by patterns; one that matches nothing is easily overlooked."""
    listed = subprocess.run(["dpkg-deb", "--contents", packages[0]], capture_output=True, text=True, check=True).stdout
    for path in (
        "./usr/bin/ironic-proxy",
        "./usr/lib/systemd/system/ironic-proxy.service",
        "./usr/lib/systemd/system/ironic-proxy.socket",
        "./usr/lib/sysusers.d/ironic-proxy.conf",
        "./usr/lib/tmpfiles.d/ironic-proxy.conf",
        "./etc/logrotate.d/ironic-proxy",
        "./etc/ironic-proxy/ironic-proxy.conf",
        "./usr/share/man/man8/ironic-proxy.8.gz",
        "./usr/share/man/man8/ironic-proxy-status.8.gz",
        "./usr/share/bash-completion/completions/ironic-proxy",
        "./usr/share/fish/vendor_completions.d/ironic-proxy.fish",
        "./usr/share/zsh/vendor-completions/_ironic-proxy",
        "./usr/share/doc/ironic-proxy/docs/operate.md",
        "./usr/share/doc/ironic-proxy/examples/metal3.conf",
    ):
        assert f" {path}\n" in listed, path
    page = subprocess.run(
        ["sh", "-c", f"dpkg-deb --fsys-tarfile {packages[0]} | tar --extract --to-stdout ./usr/share/man/man8/ironic-proxy.8.gz"],
        capture_output=True,
        check=True,
    ).stdout
    assert b".TH" in gzip.decompress(page)
