"""A real nginx that terminates TLS, in front of whatever speaks HTTP: an Ironic, a Keystone, the gateway."""

import contextlib
import socket
import tempfile
from pathlib import Path

from bed.process import Process, wait_until

CONFIGURATION = """
daemon off;
pid {directory}/nginx.pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
  access_log {directory}/access.log;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    proxy_http_version 1.1;
{lines}
  }}
}}
"""


class Terminator:
    """nginx on a port of its own, as `identity` (pki.Identity); use it in a `with` statement.

    Its address is known before it starts. `behind` maps paths to the URLs that they are handed to, as `proxy_pass` has it: with a
    path (`/`) the one in front of it is taken off. `lines` are more of the server's configuration.
    """

    def __init__(self, identity, behind=None, lines=()):
        self.identity = identity
        self.behind = behind or {}
        self.lines = lines
        self._stack = contextlib.ExitStack()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]
        self.url = f"https://127.0.0.1:{self.port}"

    def __enter__(self):
        self._stack.enter_context(self._socket)
        directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        lines = [*self.lines, *(f"location {path} {{ proxy_pass {url}; }}" for path, url in self.behind.items())]
        (directory / "nginx.conf").write_text(
            CONFIGURATION.format(
                directory=directory,
                port=self.port,
                certificate=self.identity.certfile,
                key=self.identity.keyfile,
                lines="\n".join(f"    {line}" for line in lines),
            )
        )
        # nginx takes over sockets that an older nginx hands it under this name.
        environment = {"NGINX": "3;", "PATH": "/usr/sbin:/usr/bin"}
        arguments = ["nginx", "-c", directory / "nginx.conf", "-p", directory]
        process = Process(arguments, directory / "log", env=environment, listen=self._socket)
        self._stack.callback(process.stop, 5)
        self._access = directory / "access.log"
        wait_until((directory / "nginx.pid").exists, process, 20, "nginx", pause=0.02)
        return self

    def __exit__(self, *_):
        self._stack.close()

    def access(self):
        """What its log says of the requests so far."""
        return self._access.read_text(encoding="utf-8")
