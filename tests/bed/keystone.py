"""One real Keystone with users of every role and scope."""

import grp
import hashlib
import json
import os
import pwd
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from bed import venvs
from bed.ironic import available_port
from bed.process import Process, wait_until

_CONFIGURATION = """\
[database]
connection = sqlite:///{directory}/keystone.db
[token]
provider = fernet
expiration = {expiration}
[fernet_tokens]
key_repository = {directory}/fernet
[credential]
key_repository = {directory}/credential
[identity]
# bcrypt would be most of the test bed's CPU time.
password_hash_rounds = 4
[oslo_policy]
enforce_scope = true
enforce_new_defaults = true
"""

# The WSGI application parses sys.argv, so `waitress-serve` is refused by it.
_SERVER = """
import sys
port = int(sys.argv.pop())
from keystone.wsgi.api import application
import waitress
waitress.serve(application, host="127.0.0.1", port=port, threads=8)
"""

PASSWORD = "correct-horse-7"
PROJECT = "demo"
SERVICE_PROJECT = "service"
ROLES = ("reader", "member", "manager", "admin", "service")


class Keystone:
    """One Keystone; everything of it is in the default domain and has PASSWORD.

    Users: `admin` (admin on the system and in project admin), `ironic` (admin
    and service in project service: what an Ironic itself uses), `gateway`
    (admin on the system), `system-<role>` and `project-<role>` for each of
    ROLES, `service-only` (role service in project service) and `outsider`
    (member of project `other`). Service of type baremetal; its endpoint is
    `baremetal_url`. `expiration` is the life of a token in seconds.
    """

    def __init__(self, name="keystone", *, region="RegionOne", baremetal_url="http://127.0.0.1:6385", expiration=3600):
        self.name = name
        self.region = region
        self.baremetal_url = baremetal_url
        self.port = available_port()
        self.auth_url = f"http://127.0.0.1:{self.port}/v3"
        self.directory = Path(tempfile.mkdtemp(prefix=f"{name}-"))
        self._configuration = self.directory / "keystone.conf"
        self._configuration.write_text(
            _CONFIGURATION.format(directory=self.directory, expiration=expiration), encoding="utf-8"
        )
        self._process = None
        self._bootstrapped = False

    def start(self, seconds=60):
        if not self._bootstrapped:
            self._prepare()
        self._process = Process(
            [venvs.program(venvs.KEYSTONE, "python"), "-c", _SERVER, self.port],
            self.directory / "output.log",
            env={**os.environ, "OS_KEYSTONE_CONFIG_FILES": str(self._configuration)},
        )
        wait_until(self._answers, self._process, seconds, f"Keystone {self.name}", pause=0.1)
        if not self._bootstrapped:
            self._populate()
            self._bootstrapped = True
        return self

    def stop(self):
        """End the process and keep the data."""
        if self._process is not None:
            self._process.stop(5)
            self._process = None

    def close(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def token(self, user, *, system=False, project=None, password=PASSWORD):
        """A new token's id; without a scope an unscoped one."""
        return self._authenticate(user, system=system, project=project, password=password)

    def options(self, user="gateway", *, system=True, project=None):
        """The options by which a service logs in here (keystoneauth's names)."""
        scope = {"system_scope": "all"} if system else {"project_name": project, "project_domain_id": "default"}
        return {
            "auth_type": "password",
            "auth_url": self.auth_url,
            "username": user,
            "password": PASSWORD,
            "user_domain_id": "default",
            **scope,
        }

    def middleware_options(self):
        """[keystone_authtoken] of an Ironic that uses this Keystone."""
        return {
            "www_authenticate_uri": self.auth_url,
            **self.options("ironic", system=False, project=SERVICE_PROJECT),
        }

    def environment(self, user, *, system=False, project=None):
        """OS_* variables for the `baremetal` and `openstack` commands."""
        scope = {"OS_SYSTEM_SCOPE": "all"} if system else {"OS_PROJECT_NAME": project, "OS_PROJECT_DOMAIN_ID": "default"}
        return {
            "OS_AUTH_TYPE": "password",
            "OS_AUTH_URL": self.auth_url,
            "OS_USERNAME": user,
            "OS_PASSWORD": PASSWORD,
            "OS_USER_DOMAIN_ID": "default",
            "OS_IDENTITY_API_VERSION": "3",
            "OS_REGION_NAME": self.region,
            **scope,
        }

    def call(self, method, path, body=None, *, subject=None):
        """An administrator's request, about the token `subject` if there is one; returns the decoded answer or None."""
        about = {"X-Subject-Token": subject} if subject else {}
        return self._request(method, path, body, {"X-Auth-Token": self.token("admin", system=True), **about})[1]

    def rotate(self):
        """Replaces a fernet key; after a few times a token of before is none any longer."""
        self.manage("fernet_rotate", *_owner())

    def _prepare(self):
        shutil.copy(_template(), self.directory / "keystone.db")
        for folder in ("fernet", "credential"):
            (self.directory / folder).mkdir(mode=0o700)
        self.manage("fernet_setup", *_owner())
        self.manage("credential_setup", *_owner())
        self.manage(
            "bootstrap",
            *("--bootstrap-password", PASSWORD),
            *("--bootstrap-region-id", self.region),
            *(f"--bootstrap-{interface}-url={self.auth_url}" for interface in ("public", "internal", "admin")),
        )

    def manage(self, *arguments):
        """`keystone-manage` for this Keystone."""
        _keystone_manage(self._configuration, *arguments)

    def _populate(self):
        # Bootstrap gives `admin` its role on the system too.
        headers = {"X-Auth-Token": self.token("admin", system=True)}

        def call(method, path, body=None):
            return self._request(method, path, body, headers)[1]

        roles = {role["name"]: role["id"] for role in call("GET", "/roles")["roles"]}
        for name in ROLES:
            if name not in roles:
                roles[name] = call("POST", "/roles", {"role": {"name": name}})["role"]["id"]
        projects = {}
        for name in (PROJECT, SERVICE_PROJECT, "other"):
            project = {"name": name, "domain_id": "default"}
            projects[name] = call("POST", "/projects", {"project": project})["project"]["id"]

        def user(name, *, system=(), project=None, project_roles=()):
            body = {"user": {"name": name, "password": PASSWORD, "domain_id": "default"}}
            identity = call("POST", "/users", body)["user"]["id"]
            for role in system:
                call("PUT", f"/system/users/{identity}/roles/{roles[role]}")
            for role in project_roles:
                call("PUT", f"/projects/{projects[project]}/users/{identity}/roles/{roles[role]}")

        user("ironic", project=SERVICE_PROJECT, project_roles=("admin", "service"))
        user("gateway", system=("admin",))
        user("service-only", project=SERVICE_PROJECT, project_roles=("service",))
        user("outsider", project="other", project_roles=("member",))
        for role in ROLES:
            user(f"system-{role}", system=(role,))
            user(f"project-{role}", project=PROJECT, project_roles=(role,))

        service = {"type": "baremetal", "name": "ironic"}
        service_id = call("POST", "/services", {"service": service})["service"]["id"]
        for interface in ("public", "internal", "admin"):
            endpoint = {
                "service_id": service_id,
                "interface": interface,
                "region_id": self.region,
                "url": self.baremetal_url,
            }
            call("POST", "/endpoints", {"endpoint": endpoint})

    def _authenticate(self, user, *, system, project, password):
        auth = {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": user, "domain": {"id": "default"}, "password": password}},
            }
        }
        if system:
            auth["scope"] = {"system": {"all": True}}
        elif project is not None:
            auth["scope"] = {"project": {"name": project, "domain": {"id": "default"}}}
        headers, _ = self._request("POST", "/auth/tokens", {"auth": auth}, {})
        return headers["X-Subject-Token"]

    def _request(self, method, path, body, headers):
        request = urllib.request.Request(
            self.auth_url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
                return answer.headers, json.loads(text) if text else None
        except urllib.error.HTTPError as refused:
            raise RuntimeError(f"Keystone: {method} {path}: {refused.code} {refused.read()[:500]!r}") from refused

    def _answers(self):
        try:
            with urllib.request.urlopen(self.auth_url, timeout=10) as answer:
                return answer.status == 200
        except (OSError, urllib.error.HTTPError):
            return False

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()


def _owner():
    """Whose the keys are: keystone-manage asks even if that is who runs it."""
    user = pwd.getpwuid(os.getuid()).pw_name
    group = grp.getgrgid(os.getgid()).gr_name
    return ["--keystone-user", user, "--keystone-group", group]


def _template():
    """An empty database, made once: its migrations take most of the start."""
    pins = (venvs.PINS / f"{venvs.KEYSTONE}.txt").read_bytes()
    path = venvs.cache() / f"keystone-{hashlib.sha256(pins).hexdigest()[:16]}.db"
    with venvs.locked("keystone-db"):
        if path.exists():
            return path
        with tempfile.TemporaryDirectory(dir=venvs.cache()) as scratch:
            configuration = Path(scratch) / "keystone.conf"
            configuration.write_text(_CONFIGURATION.format(directory=scratch, expiration=3600), encoding="utf-8")
            _keystone_manage(configuration, "db_sync")
            (Path(scratch) / "keystone.db").replace(path)
    return path


def _keystone_manage(configuration, *arguments):
    command = [venvs.program(venvs.KEYSTONE, "keystone-manage"), "--config-file", configuration, *arguments]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"keystone-manage {arguments[0]} failed:\n{done.stdout[-1000:]}{done.stderr[-4000:]}")
