"""Real Ironic APIs with the fixtures of Ironic's own tests, and a gateway in front of them that knows tenants."""

import contextlib
import json
import socket
import subprocess
import tempfile
import urllib.request
from pathlib import Path

from client import Client
from gateway import Gateway, config
from standin_keystone import StandinKeystone, instant

from bed import venvs
from bed.process import Process, wait_until

SEEDED = Path(venvs.__file__).with_name("seeded_ironic.py")
TOKEN = "token-of-the-gateway"
ADMIN = {"X-Roles": "admin,manager,member,reader", "OpenStack-System-Scope": "all"}
LOAD = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)"


class Seeded:
    """A real Ironic API with the fixtures of Ironic's own tests."""

    def __init__(self, part="all", token=TOKEN, more=False):
        self.directory = Path(tempfile.mkdtemp(prefix="seeded-"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        arguments = [venvs.program(venvs.IRONIC, "python"), SEEDED, self.port, self.directory, part, token, *(["more"] if more else [])]
        self.process = Process(arguments, self.directory / "log")
        wait_until(self.reset, self.process, 60, "the seeded Ironic")

    def post(self, path, document):
        sent = urllib.request.Request(self.url + path, json.dumps(document).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(sent, timeout=60) as answer:
            return json.load(answer)

    def reset(self):
        with contextlib.suppress(OSError):
            self.names = self.post("/__reset", {})
            return True
        return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stop(10)


class Everybody(StandinKeystone):
    """A Keystone whose users' tokens say who they are."""

    def token_of(self, headers):
        headers = {name.replace("X-Project-ID", "X-Project-Id"): value for name, value in headers.items()}
        token = json.dumps({key: headers[key] for key in sorted(headers) if key.startswith(("X-", "Open"))})
        token = "as-" + token.encode().hex()
        roles = [{"id": role, "name": role} for role in headers.get("X-Roles", "").split(",") if role]
        document = {
            "methods": ["password"],
            "user": {"domain": {"id": "default", "name": "Default"}, "id": "user", "name": "user"},
            "issued_at": instant(0),
            "expires_at": instant(3600),
            "audit_ids": ["x"],
            "roles": roles,
        }
        if headers.get("OpenStack-System-Scope") == "all":
            document["system"] = {"all": True}
        elif project := headers.get("X-Project-Id"):
            name = headers.get("X-Project-Name", "a-project")
            document["project"] = {"domain": {"id": "default", "name": "Default"}, "id": project, "name": name}
        if "X-Is-Admin-Project" in headers:
            document["is_admin_project"] = headers["X-Is-Admin-Project"] == "True"
        self.tokens[token] = document
        return token


def table(name):
    [path] = (venvs.cache() / venvs.IRONIC / "lib").glob(f"python3*/site-packages/ironic/tests/unit/api/{name}")
    done = subprocess.run([venvs.program(venvs.IRONIC, "python"), "-c", LOAD, path], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@contextlib.contextmanager
def hub(keystone, sites, default=None, **api):
    names = ["left", "right"][: len(sites)] if len(sites) > 1 else ["only"]
    options = {"auth_type": "admin_token", "token": TOKEN, "breaker_failures": 1000000}
    text = config(
        {name: site.url for name, site in zip(names, sites, strict=True)},
        default=default,
        api={"auth_strategy": "keystone", **api},
        location_options=dict.fromkeys(names, options),
        sections={
            "keystone_authtoken": {
                "auth_type": "password",
                "auth_url": keystone.endpoint,
                "username": "gw",
                "password": "secret",
                "user_domain_id": "default",
                "system_scope": "all",
            }
        },
    )
    with Gateway(text) as gateway:
        yield gateway


def wait_for(gateway, keystone):
    """Until its locations have told their versions."""
    client = Client(gateway.url)
    admin = keystone.token_of(ADMIN)
    wait_until(lambda: client.get("/v1/nodes", headers={"X-Auth-Token": admin}).status == 200, gateway.process, 30, "the locations")
