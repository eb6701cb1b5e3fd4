"""What was tried once and held, and is to be kept: odd passwords, short tokens, new keys, half-open handshakes."""

import contextlib
import http.client
import json
import os
import select
import socket
import ssl
import subprocess
import threading

import pytest
from bed import venvs
from bed.keystone import Keystone
from fleet import fleet, until
from gateway import binary
from pki import Authority
from projects import MINE, TENANT
from projects import hub as house
from standin import Standin, node
from standin_keystone import StandinKeystone

# As an operator writes them; oslo.config says what they mean.
WRITTEN = [
    "plain",
    "with blanks  inside",
    "a#b;c",
    "a = b",
    "a: b",
    "'quoted'",
    '"quoted"',
    "dollars $$ and $$$$",
    "back\\slash \\n",
    "percent %(x)s %%",
    "[brackets]",
    "ümläut ☃",
    "{json: 1}",
    "a\tb",
]

AS_OSLO_READS_IT = """
import json, sys
from oslo_config import cfg
conf = cfg.ConfigOpts()
conf.register_opts([cfg.StrOpt("password", secret=True)], "group:loc1")
conf(["--config-file", sys.argv[1]])
print(json.dumps(conf["group:loc1"].password))
"""


@pytest.mark.parametrize("written", WRITTEN)
def test_a_password_is_what_oslo_config_takes_it_for(tmp_path, written):
    file = tmp_path / "oslo.conf"
    file.write_text(f"[group:loc1]\npassword = {written}\n", encoding="utf-8")
    python = venvs.program(venvs.IRONIC, "python")
    meant = json.loads(subprocess.run([python, "-c", AS_OSLO_READS_IT, file], capture_output=True, check=True, text=True).stdout)
    with StandinKeystone({"hub": meant}) as keystone:
        site = Standin([node("here")], credentials=("token", keystone.valid))
        options = {"auth_type": "password", "auth_url": keystone.endpoint, "username": "hub", "password": written, "user_domain_name": "Default", "system_scope": "all"}
        with fleet(site, each={"loc1": options}) as hub:
            assert hub.get("/v1/nodes").names() == ["here"]
        [sent] = {request.json()["auth"]["identity"]["password"]["user"]["password"] for request in keystone.asked("POST", "/v3/auth/tokens")}
        assert sent == meant


LAST_OF_OSLO = """
import sys
from oslo_config import cfg
conf = cfg.ConfigOpts()
conf.register_opts([cfg.StrOpt("timeout")], "group:loc1")
conf(sys.argv[1:], project="ironic-proxy", prog="ironic-proxy")
print(conf["group:loc1"].timeout)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config-dir", "conf.d"],
        ["--config-dir", "conf.d", "--config-file", "one.conf"],
        ["--config-file", "one.conf", "--config-dir", "conf.d"],
        ["--config-dir", "conf.d", "--config-dir", "more"],
        ["--config-dir", "more", "--config-dir", "conf.d"],
        ["--config-file", "one.conf", "--config-file", "two.conf"],
        [],
        ["--config-file", "one.conf"],
    ],
    ids=" ".join,
)
def test_files_override_each_other_in_oslo_config_s_order(tmp_path, arguments):
    """Each file has a value that is no number; the fault names the file whose value is the one that counts."""
    own = ".ironic-proxy"
    for name in [
        "one.conf", "two.conf", f"{own}/ironic-proxy.conf",
        "conf.d/20.conf", "conf.d/10.conf", "conf.d/9.conf", "conf.d/A.conf", "conf.d/.z.conf", "conf.d/z.conf~", "conf.d/z/z.conf",
        "more/10.conf", "more/5.conf", f"{own}/ironic-proxy.conf.d/1.conf", f"{own}/ironic-proxy.conf.d/02.conf",
    ]:  # fmt: skip
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"[group:loc1]\ntimeout = {name}\n", encoding="utf-8")
    env = {**os.environ, "HOME": str(tmp_path)}
    in_place = {"cwd": tmp_path, "env": env, "capture_output": True, "text": True, "timeout": 20, "check": False}
    oslo = subprocess.run([venvs.program(venvs.IRONIC, "python"), "-c", LAST_OF_OSLO, *arguments], **in_place)
    [last] = oslo.stdout.split()
    ours = subprocess.run([binary(), *arguments, "--check-config"], **in_place)
    assert ours.returncode == 78, ours
    [fault] = [line for line in ours.stderr.splitlines() if "[group:loc1] timeout" in line]
    assert fault.removeprefix(f"{tmp_path}/").startswith(f"{last}:2: "), (fault, last)


def test_short_tokens_under_load():
    """Ten clients while tokens live for three seconds, as with twenty: each is replaced before a location refuses it."""
    with StandinKeystone({"hub": "secret"}, lifetime=3) as keystone:
        site = Standin([node("here")], credentials=("token", keystone.valid))
        options = {"auth_type": "password", "auth_url": keystone.endpoint, "username": "hub", "password": "secret", "user_domain_name": "Default", "system_scope": "all"}
        with fleet(site, each={"loc1": options}) as hub:
            done, answers = threading.Event(), []

            def ask():
                while not done.is_set():
                    answers.append(hub.get("/v1/nodes/here").status)
                    answers.append(hub.patch("/v1/nodes/here", []).status)

            threads = [threading.Thread(target=ask) for _ in range(10)]
            for thread in threads:
                thread.start()
            try:
                until(lambda: keystone.issued() >= 4, 20, "three renewals")
            finally:
                done.set()
                for thread in threads:
                    thread.join()
            assert set(answers) == {200}, f"{len(answers)} answers"
            assert 401 not in {request.status for request in hub.loc1.requests}


def test_fernet_keys_that_are_replaced():
    """Real Keystones: the token in hand is no token any longer, and the next request gets a new one."""
    with Keystone("edge") as keystone:
        # A location that validates as Ironic does: it asks the Keystone about each token.
        def valid(token):
            try:
                keystone.call("GET", "/auth/tokens", subject=token)
            except RuntimeError:
                return False
            return True

        site = Standin([node("here")], credentials=("token", valid))
        with fleet(site, each={"loc1": keystone.options()}, every={"timeout": 20}, wait=False) as hub:
            until(lambda: hub.get("/v1/nodes/here").status == 200, 20, "the location behind its Keystone")
            for _ in range(4):
                keystone.rotate()
            assert hub.get("/v1/nodes/here").status == 200
            assert hub.patch("/v1/nodes/here", []).status == 200


def test_half_open_handshakes(tmp_path):
    """Five hundred that never say a word do not keep the next client out."""
    ca = Authority(tmp_path / "pki", "ca")
    identity = ca.issue("hub", hosts=["127.0.0.1"])
    api = {"enable_ssl_api": True, "cert_file": identity.certfile, "key_file": identity.keyfile}
    with fleet(Standin([node("here")]), wait=False, api=api) as hub:
        silent = [socket.create_connection((hub.host, hub.port), timeout=10) for _ in range(500)]
        try:
            context = ssl.create_default_context(cafile=ca.certfile)

            def served():
                connection = http.client.HTTPSConnection("127.0.0.1", hub.port, timeout=10, context=context)
                connection.request("GET", "/v1/nodes", headers={"X-OpenStack-Ironic-API-Version": "1.90"})
                return connection.getresponse().status == 200

            until(served, 10, "an answer beside the silent ones")
        finally:
            for connection in silent:
                connection.close()


def test_bodies_that_come_in_take_half_of_what_may_be_held():
    """Of a project that stalls, and of strangers less: the next one waits, and is refused; answers and small bodies are not."""
    piece = b" " * (300 << 10)

    def stalled(running, method, path, token=None):
        """Sends 300 KiB of a body of 600, and returns the connection."""
        client = socket.create_connection((running.fleet.host, running.fleet.port), timeout=20)
        who = f"X-Auth-Token: {token}\r\n" if token else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{who}Content-Length: {600 << 10}\r\n\r\n"
        client.sendall(head.encode() + piece)
        return client

    with house(Standin([node("here", owner=MINE)]), api={"max_buffered": 1 << 20, "enable_ramdisk_endpoints": True}) as running:
        token = running.keystone.token_of(TENANT)
        provision = "/v1/nodes/here/states/provision"
        with contextlib.ExitStack() as stack:
            waiting = [stack.enter_context(stalled(running, "PUT", provision, token)) for _ in range(3)]
            stranger = stack.enter_context(stalled(running, "POST", "/v1/continue_inspection"))
            # Two have their room.
            refused, _, _ = select.select(waiting, [], [], 20)
            assert len(refused) == 1
            assert refused[0].recv(4096).startswith(b"HTTP/1.1 503")
            assert stranger.recv(4096).startswith(b"HTTP/1.1 503")
            assert running.get(TENANT, "/v1/nodes").status == 200
            assert running.ask(TENANT, "PUT", provision, {"target": "manage"}).status == 202
        # What was held comes back.
        until(lambda: running.ask(TENANT, "PUT", provision, {"target": "provide", "configdrive": "x" * (300 << 10)}).status != 503)
