"""One real Ironic: API and conductor in one process, fake hardware, SQLite."""

import base64
import hashlib
import json
import random
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from bed import venvs
from bed.process import Process, wait_until

_CONFIGURATION = """\
[DEFAULT]
auth_strategy = {auth}
{auth_lines}
rpc_transport = none
host = {name}-conductor
my_ip = 127.0.0.1
log_file = {directory}/ironic.log
state_path = {directory}
enabled_hardware_types = fake-hardware
enabled_bios_interfaces = fake,no-bios
enabled_boot_interfaces = fake
enabled_console_interfaces = fake,no-console
enabled_deploy_interfaces = fake,direct
{firmware}
enabled_inspect_interfaces = fake,no-inspect{agent}
enabled_management_interfaces = fake,noop
enabled_network_interfaces = noop
enabled_power_interfaces = fake
enabled_raid_interfaces = fake,no-raid
enabled_rescue_interfaces = fake,no-rescue
enabled_storage_interfaces = noop,fake
enabled_vendor_interfaces = fake,no-vendor
default_network_interface = noop
{default_lines}
[api]
host_ip = 127.0.0.1
port = {port}
api_workers = 1
{api_lines}
[database]
connection = sqlite:///{directory}/ironic.db
[conductor]
conductor_group = {group}
automated_clean = false
# Power is changed by the tests only; a sync in between would lock their nodes.
sync_power_state_interval = 0
[inspector]
# Fake hardware boots nothing.
require_managed_boot = false
[oslo_concurrency]
lock_path = {directory}/locks
[oslo_messaging_notifications]
driver = noop
[oslo_policy]
enforce_scope = true
enforce_new_defaults = true
[pxe]
tftp_root = {directory}/tftp
[deploy]
http_root = {directory}/http
[service_catalog]
auth_type = none
endpoint_override = http://127.0.0.1:{port}
{sections}
"""


def available_port():
    """A port below the range that outgoing connections use.

    Ironic cannot inherit a socket, and a stopped one must get its port again,
    so nothing else may take it meanwhile.
    """
    while True:
        port = random.randrange(10000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Ironic:
    """One Ironic and its directory; it starts empty and keeps its data over restarts.

    `release` is the virtual environment: venvs.IRONIC or venvs.IRONIC_OLD.
    `users` (name to password) are for auth = http_basic, `keystone` (a
    bed.keystone.Keystone) for auth = keystone. `default` and `api` are more
    options of these sections.
    """

    def __init__(
        self, name, *, group="", release=venvs.IRONIC, auth="noauth", users=None, keystone=None, default=None, api=None
    ):
        self.name = name
        self.group = group
        self.release = release
        self.port = available_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.directory = Path(tempfile.mkdtemp(prefix=f"ironic-{name}-"))
        self._process = None
        auth_lines, sections = "", ""
        if auth == "noauth":
            self._headers = dict
        elif auth == "http_basic":
            auth_lines = f"http_basic_auth_user_file = {self.directory}/htpasswd"
            (self.directory / "htpasswd").write_text(htpasswd(users), encoding="utf-8")
            word = base64.b64encode(":".join(next(iter(users.items()))).encode()).decode()
            self._headers = lambda: {"Authorization": f"Basic {word}"}
        else:
            sections = "[keystone_authtoken]\n" + _lines(keystone.middleware_options())
            self._headers = lambda: {"X-Auth-Token": keystone.token("admin", system=True)}
        new = release != venvs.IRONIC_OLD
        self._configuration = self.directory / "ironic.conf"
        self._configuration.write_text(
            _CONFIGURATION.format(
                auth=auth,
                auth_lines=auth_lines,
                name=name,
                directory=self.directory,
                firmware="enabled_firmware_interfaces = fake,no-firmware" if new else "",
                agent=",agent" if new else "",
                port=self.port,
                group=group,
                default_lines=_lines(default or {}),
                api_lines=_lines(api or {}),
                sections=sections,
            ),
            encoding="utf-8",
        )
        for folder in ("locks", "tftp", "http"):
            (self.directory / folder).mkdir()
        shutil.copy(_template(release), self.directory / "ironic.db")

    def launch(self):
        """Start the process unless it runs; `ready` waits for it. Several can come up at once."""
        if self._process is not None and self._process.running():
            return self
        self._process = Process(
            [venvs.program(self.release, "ironic"), "--config-file", self._configuration],
            self.directory / "output.log",
        )
        return self

    def ready(self, seconds=120):
        """Wait until requests work: the API answers before the conductor has its drivers."""
        wait_until(self._lists_drivers, self._process, seconds, f"the drivers of Ironic {self.name}", pause=0.2)
        return self

    def start(self):
        return self.launch().ready()

    def stop(self):
        """End the process and keep the data; `start` brings it back at the same URL."""
        if self._process is not None:
            # Nothing is worth waiting for: the database is on disk.
            self._process.stop(10)
            self._process = None

    def close(self):
        """Stop it and remove its directory."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def log(self):
        return (self.directory / "ironic.log").read_text(encoding="utf-8", errors="replace")

    def _lists_drivers(self):
        request = urllib.request.Request(f"{self.url}/v1/drivers", headers=self._headers())
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                drivers = json.load(answer)["drivers"]
        except (OSError, urllib.error.HTTPError, ValueError):
            return False
        return any(driver["name"] == "fake-hardware" for driver in drivers)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()


def start_all(ironics):
    """Start several at once; all are closed if one does not come up."""
    try:
        for ironic in ironics:
            ironic.launch()
        for ironic in ironics:
            ironic.ready()
    except BaseException:
        for ironic in ironics:
            ironic.close()
        raise
    return ironics


def _lines(options):
    return "\n".join(f"{name} = {value}" for name, value in options.items())


def htpasswd(users):
    """Lines as `htpasswd -B` writes them: Ironic wants the spelling $2y$."""
    script = (
        "import bcrypt, json, sys\n"
        "for name, password in json.load(sys.stdin).items():\n"
        "    word = bcrypt.hashpw(password.encode(), bcrypt.gensalt(5)).decode()\n"
        "    print(f'{name}:$2y${word[4:]}')\n"
    )
    done = subprocess.run(
        [venvs.program(venvs.IRONIC, "python"), "-c", script],
        input=json.dumps(users),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def _template(release):
    """An empty database of this release, made once: copying it saves seconds a start."""
    pins = (venvs.PINS / f"{release}.txt").read_bytes()
    path = venvs.cache() / f"{release}-{hashlib.sha256(pins).hexdigest()[:16]}.db"
    with venvs.locked(f"{release}-db"):
        if path.exists():
            return path
        with tempfile.TemporaryDirectory(dir=venvs.cache()) as scratch:
            database = Path(scratch) / "ironic.db"
            configuration = Path(scratch) / "ironic.conf"
            configuration.write_text(f"[database]\nconnection = sqlite:///{database}\n", encoding="utf-8")
            # Not `upgrade`: the oldest migrations cannot run on SQLite.
            subprocess.run(
                [venvs.program(release, "ironic-dbsync"), "--config-file", configuration, "create_schema"],
                check=True,
                capture_output=True,
            )
            # Without the write-ahead log concurrent requests meet "database is locked".
            connection = sqlite3.connect(database)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.close()
            database.replace(path)
    return path
