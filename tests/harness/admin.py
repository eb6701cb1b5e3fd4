"""The admin door of a gateway, asked over its socket, and the subcommands that use it."""

import http.client
import json
import os
import socket
import subprocess

from gateway import DIRECTORY, binary

# Options of a gateway whose admin door `Admin` knows.
SECTION = {"socket": f"{DIRECTORY}/admin.sock"}


class _Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Said:
    """A status, headers, and a document or text."""

    def __init__(self, answer):
        self.status = answer.status
        self.headers = answer.headers
        self.text = answer.read().decode()

    @property
    def document(self):
        return json.loads(self.text)

    def __repr__(self):
        return f"{self.status} {self.text}"


class Admin:
    """The admin door of a `Gateway` that was started with SECTION."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.socket = gateway.directory / "admin.sock"

    def __call__(self, method, path, document=None, *, timeout=20, headers=None):
        connection = _Connection(self.socket, timeout)
        try:
            body = None if document is None else json.dumps(document)
            connection.request(method, path, body, headers or {})
            return Said(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, **options):
        return self("GET", path, **options)

    def location(self, name):
        return self.get(f"/locations/{name}").document

    def set(self, name, state, reason=None):
        said = self("PUT", f"/locations/{name}/state", {"state": state, "reason": reason})
        assert said.status == 200, said
        return said.document

    def run(self, *arguments, by_config=False, env=None):
        """A subcommand in a process of its own: its status, standard output and standard error."""
        where = ["--config-file", self.gateway.config_path] if by_config else []
        how = [] if by_config else ["--socket", self.socket]
        verb, *rest = arguments
        done = subprocess.run(
            [binary(), *where, verb, *how, *rest], capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **(env or {})}
        )
        return done
