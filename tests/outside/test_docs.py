"""README.md and docs/: every command runs as it stands, every configuration is checked, every link leads somewhere.

A comment before a block says how it is meant: `file: NAME` gives a file its name, `fragment` is a part of one, `demo` is run
against locations and nodes as `tests/demo` has them, `as root` changes nothing but a copy of the file system.
"""

import contextlib
import dataclasses
import os
import re
import shlex
import signal
import socket
import subprocess

import pytest
from fleet import fleet
from metrics import promtool
from standin import Standin, node

from bed import venvs
from gateway import REPOSITORY, binary

PAGES = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted(REPOSITORY.glob("docs/*.md")))]
BLOCK = re.compile(r"(?:^<!-- (?P<how>.*?) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
NODES = {"loc1": ("", ["hub-1", "hub-2"]), "loc2": ("grp1", ["harbour-1", "harbour-2", "harbour-3"]), "loc3": ("grp2", ["hill-1", "hill-2"])}
URL = "http://127.0.0.1:6385"

# Blocks that a test of their own plays, and how it names each.
PLAYED = {
    "at each replica": ("test_procedures.py", '.play("{}"'),
    "first hour": ("test_first_hour.py", '"first hour: {}"|play("{}"'),
    "on the machine": ("test_systemd.py", 'documented("Alerts")'),
    "the page": ("test_page.py", "<!-- the page -->"),
    "upgrade": ("test_systemd.py", 'documented("Upgrade")'),
}

# What test_demo.py and .ci/run run as it stands; test_keystone_real.py does so with every `openstack …`.
ELSEWHERE = {"tests/demo", "tests/run"}


@dataclasses.dataclass
class Block:
    page: str
    line: int
    how: str
    kind: str
    text: str

    def __str__(self):
        return f"{self.page}:{self.line}"


def blocks(*kinds):
    found = []
    for page in PAGES:
        text = (REPOSITORY / page).read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(page, line, match["how"] or "", match["kind"], match["text"]))
    return [block for block in found if not kinds or block.kind in kinds]


def of_kind(*kinds):
    return pytest.mark.parametrize("block", blocks(*kinds), ids=str)


@pytest.fixture(scope="module")
def demo():
    """Stand-ins with the nodes of `tests/demo`."""
    groups = ",".join(f"{group or '_'}:{name}" for name, (group, _) in NODES.items())
    sites = [Standin([node(name, conductor_group=group) for name in names]) for group, names in NODES.values()]
    with fleet(*sites, groups=groups) as hub:
        yield hub


@pytest.fixture
def workshop(tmp_path):
    """A directory like the repository's, with the configurations that the pages name, and an environment to run in."""
    for name in ("conf", "tests", "src", "Cargo.toml"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    (tmp_path / "target/release").mkdir(parents=True)
    (tmp_path / "target/release/ironic-proxy").symlink_to(binary())
    for block in blocks("ini", "text"):
        if block.how.startswith("file: "):
            path = tmp_path / block.how.removeprefix("file: ")
            path.write_text(block.text, encoding="utf-8")
            path.chmod(0o600)
    bin = tmp_path / "bin"
    bin.mkdir()
    (bin / "ironic-proxy").symlink_to(binary())
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    environment |= {
        "PATH": f"{bin}:{venvs.program(venvs.CLIENTS, '')}:{environment['PATH']}",
        "IRONIC_PROXY_BINARY": str(binary()),
        "HOME": str(tmp_path),
        # Where the page's own port and directory may be in use.
        "OS_API__PORT": "0",
        "OS_DEFAULT__STATE_PATH": str(tmp_path),
    }
    return tmp_path, environment


def run(words, directory, environment):
    return subprocess.run(
        words, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False
    )


def test_every_block_says_what_it_is():
    unknown = [f"{block}: {block.kind}" for block in blocks() if block.kind not in ("ini", "console", "sh", "text", "systemd", "yaml")]
    assert not unknown, "without a kind nobody knows how to check them"


def texts():
    """What src/ writes for people, values as `{}`."""
    for path in REPOSITORY.glob("src/**/*.rs"):
        for text in re.findall(r'"((?:[^"\\]|\\.)*)"', path.read_text(encoding="utf-8"), re.DOTALL):
            plain = re.sub(r"\\\n\s*", "", text).replace('\\"', '"')
            yield re.sub(r"\{[^{}]*\}", "{}", plain)


def test_what_operators_look_for_in_the_log_is_written():
    """Whoever searches for a line as docs/operate.md quotes it."""
    page = (REPOSITORY / "docs/operate.md").read_text(encoding="utf-8")
    quoted = [text.strip("… ") for _, text in re.findall(r"^\| log: (`{1,2})(.+?)\1 \|", page, re.MULTILINE)]
    quoted += re.findall(r"the log\b[^|.`]*\(`(is [^`]+)`\)", page)
    assert len(quoted) >= 12
    every = list(texts())
    value = re.compile(r"\bloc\d\b|\b\d+s?\b|(?<=\()\w+(?=\))")
    assert not [text for text in quoted if not any(value.sub("{}", text) in one for one in every)]


@of_kind("ini")
def test_configurations_are_whole(block, workshop):
    if block.how.startswith("fragment") or block.how == "file: bad.conf":
        return
    directory, environment = workshop
    path = directory / "shown.conf"
    path.write_text(block.text, encoding="utf-8")
    path.chmod(0o600)
    done = run(["ironic-proxy", "--config-file", path, "--check-config"], directory, environment)
    assert done.returncode == 0 and done.stdout.endswith("ok\n"), done.stdout


@of_kind("yaml")
def test_prometheus_takes_its_configurations(block, tmp_path):
    path = tmp_path / "prometheus.yml"
    path.write_text(block.text, encoding="utf-8")
    done = promtool("check", "config", path)
    assert done.returncode == 0, done.stdout + done.stderr


def steps(text):
    """The commands of a session and what each prints."""
    found = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def pattern(lines):
    """A line `…` stands for any lines, … within a line for any text."""
    parts = [".*" if line == "…" else ".*".join(re.escape(part) for part in line.split("…")) for line in lines]
    return re.compile(r"\n?".join(parts), re.DOTALL)


@of_kind("console")
def test_a_session_goes_as_it_is_shown(block, workshop, request):
    directory, environment = workshop
    with contextlib.ExitStack() as stack:
        url = URL
        if URL in block.text:
            hub = request.getfixturevalue("demo")
            url = hub.url
            if block.how == "demo without loc3":
                hub.loc3.down()
                stack.callback(hub.loc3.up)
        script = []
        for command, _ in steps(block.text):
            script.append(f"printf '\\036'\n{command.replace(URL, url)}" if not starts_gateway(command) else "printf '\\036'")
        done = run(["bash", "-c", "\n".join(script)], directory, environment)
        printed = done.stdout.replace("\r", "").split("\036")[1:]
    for (command, expected), got in zip(steps(block.text), printed, strict=True):
        assert pattern(expected).fullmatch(got.strip("\n")), f"$ {command}\n{got}"
        if starts_gateway(command):
            start_and_stop(command, directory, environment)


def starts_gateway(command):
    return re.fullmatch(r"ironic-proxy --config-file \S+", command) is not None


def start_and_stop(command, directory, environment):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(directory / "notify"))
        notify.settimeout(30)
        environment = {**environment, "NOTIFY_SOCKET": str(directory / "notify")}
        with subprocess.Popen(shlex.split(command), cwd=directory, env=environment, stderr=subprocess.PIPE, text=True) as gateway:
            try:
                while "READY=1" not in notify.recv(4096).decode():
                    pass
                gateway.send_signal(signal.SIGTERM)
                _, log = gateway.communicate(timeout=30)
            finally:
                gateway.kill()
        assert gateway.returncode == 0, log


# Stand for programs that would change the machine: what they are told has to make sense in the copy of its file system.
SHIMS = {
    "cargo": """[ "$1" = build ] || [ "$1" = test ]""",
    "sudo": """
        for word in "$@"; do case $word in
            /*) words+=("$COPY$word") ;;
            *) words+=("$word") ;;
        esac; done
        [ "$1" != ironic-proxy ] || words+=(--config-file "$COPY/etc/ironic-proxy/ironic-proxy.conf")
        exec "${words[@]}" """,
    "systemctl": """
        [ "$1" != enable ] || shift
        for unit in "${@:2}"; do
            unit=${unit%.service}; [ "$unit" != "${unit%.socket}" ] || unit=$unit.service
            test -f "$COPY/etc/systemd/system/$unit"
        done""",
    "journalctl": """[ "$*" = "-u ironic-proxy" ]""",
    "systemd-sysusers": """/usr/bin/systemd-sysusers --root="$COPY" """,
    # The user of the unit is none of this machine's.
    "install": """
        words=()
        for word in "$@"; do
            if [ "${previous-}" = -g ]; then grep -q "^$word:" "$COPY/etc/group"; unset "words[-1]"; else words+=("$word"); fi
            previous=$word
        done
        exec /usr/bin/install "${words[@]}" """,
    "chgrp": """grep -q "^$1:" "$COPY/etc/group"; test -f "$2" """,
}


@of_kind("sh")
def test_commands_do_what_they_are_shown_to(block, workshop):
    directory, environment = workshop
    if block.how.startswith(tuple(PLAYED)):
        return
    lines = [line for line in block.text.splitlines() if line not in ELSEWHERE and not line.startswith("openstack ")]
    if not lines:
        return
    copy = directory / "copy"
    for wanted in ("usr/local/bin", "etc/systemd/system", "etc/ironic-proxy"):
        (copy / wanted).mkdir(parents=True)
    environment = {**environment, "COPY": str(copy)}
    if block.how == "as root":
        # What earlier blocks of the page have made.
        for name in ("htpasswd", "ironic-proxy.conf"):
            (copy / "etc/ironic-proxy" / name).touch()
        (copy / "etc/group").write_text("ironic-proxy:x:999:\n", encoding="utf-8")
        for unit in REPOSITORY.glob("conf/ironic-proxy.s*"):
            (copy / "etc/systemd/system" / unit.name).symlink_to(unit)
    for name, text in SHIMS.items():
        (directory / "bin" / name).write_text(f"#!/bin/bash\nset -eu\n{text}\n", encoding="utf-8")
        (directory / "bin" / name).chmod(0o755)
    done = run(["bash", "-eux", "-c", "\n".join(lines)], directory, environment)
    assert done.returncode == 0, done.stdout


def test_what_runs_elsewhere_does():
    assert (REPOSITORY / ".ci/run").read_text(encoding="utf-8").splitlines()[-1] == "exec tests/run"
    shown = {line for block in blocks("sh") for line in block.text.splitlines()}
    assert shown >= ELSEWHERE


@pytest.mark.parametrize("block", [block for block in blocks("sh") if block.how.startswith(tuple(PLAYED))], ids=str)
def test_what_is_played_elsewhere_is_played(block):
    kind, _, name = block.how.partition(": ")
    file, played = PLAYED[kind]
    text = (REPOSITORY / "tests/outside" / file).read_text(encoding="utf-8")
    assert any(one.replace("{}", name) in text for one in played.split("|")), f"{file} does not play {block.how}"


def anchors(page):
    """What the headings of a page are called in a link."""
    text = re.sub(r"```.*?```", "", (REPOSITORY / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"(?m)^#+ (.*)$", text)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = (REPOSITORY / page).parent / path if path else REPOSITORY / page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there.resolve().relative_to(REPOSITORY)), target


@pytest.mark.parametrize("page", [page for page in PAGES if page != "docs/configuration.md"])
def test_every_option_that_is_named_is_one(page):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    known = (REPOSITORY / "docs/configuration.md").read_text(encoding="utf-8")
    for section, option in re.findall(r"`\[([\w:]+)\] ?(\w+)", re.sub(r"\s+", " ", text)):
        start = known.find(f"\n## [{section}]")
        # `[DEFAULT]` of a location's own Ironic is not ours.
        if option.startswith("rbac_"):
            continue
        assert start >= 0 and f"\n| `{option}` |" in known[start : known.find("\n## ", start + 5)], f"[{section}] {option}"


def test_what_is_built_is_a_version_with_notes():
    """And what is deployed by the example is that version."""
    version = re.search(r'^version = "(.+)"$', (REPOSITORY / "Cargo.toml").read_text(), re.MULTILINE)[1]
    (image,) = re.findall(r"image: ironic-proxy:(\S+)", (REPOSITORY / "conf/kubernetes/ironic-proxy.yaml").read_text())
    versions = re.findall(r"^## \[(.+?)\] - \d{4}-\d\d-\d\d$", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert version == image == versions[0]
    said = subprocess.run([binary(), "--version"], capture_output=True, text=True, check=True).stdout
    assert said.split()[1] == version
