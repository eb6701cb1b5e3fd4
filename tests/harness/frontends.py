"""Real web servers in front of a stand-in: nginx, and uWSGI with its small buffer."""

import contextlib
import signal
import socket
import tempfile
from pathlib import Path

from bed.process import Process, wait_until
from standin import Standin

NGINX = """
daemon off;
pid {directory}/nginx.pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  client_max_body_size 16k;
  keepalive_timeout 1s;
  keepalive_requests 7;
  large_client_header_buffers 2 4k;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{upstream}; }}
  }}
}}
"""

# What Ironic's own WSGI module is to uWSGI, the stand-in is to this.
WSGI = """
import http.client

def application(environ, start_response):
    target = environ["REQUEST_URI"]
    length = int(environ.get("CONTENT_LENGTH") or 0)
    headers = {name[5:].replace("_", "-"): value for name, value in environ.items() if name.startswith("HTTP_")}
    headers["Content-Type"] = environ.get("CONTENT_TYPE", "")
    connection = http.client.HTTPConnection("127.0.0.1", UPSTREAM)
    connection.request(environ["REQUEST_METHOD"], target, environ["wsgi.input"].read(length), headers)
    answer = connection.getresponse()
    body = answer.read()
    hidden = ("connection", "transfer-encoding", "content-length")
    kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in hidden]
    start_response(f"{answer.status} {answer.reason}", kept + [("Content-Length", str(len(body)))])
    return [body]
"""


class Frontend:
    """A web server as the endpoint of a location; everything else is the stand-in's behind it."""

    # Whether it takes over a socket that listens already; else this one only keeps the port for it.
    takes_over = True

    def __init__(self):
        self._site = Standin()
        self._stack = contextlib.ExitStack()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind(("127.0.0.1", 0))
        if self.takes_over:
            self._socket.listen(128)
        self._socket.setblocking(False)

    @property
    def endpoint(self):
        return "http://127.0.0.1:{}".format(self._socket.getsockname()[1])

    def __getattr__(self, name):
        return getattr(self._site, name)

    def __enter__(self):
        directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._stack.enter_context(self._site)
        self._stack.enter_context(self._socket)
        arguments, env = self.command(directory, self._socket.getsockname()[1])
        process = Process(arguments, directory / "log", env=env, listen=self._socket if self.takes_over else None)
        self._stack.callback(process.stop, 5)
        self.process = process

        def answers():
            try:
                with socket.create_connection(self._socket.getsockname(), timeout=5) as connection:
                    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    return connection.recv(1) != b""
            except ConnectionRefusedError:
                return False

        wait_until(answers, process, 20, "the web server", pause=0.02)
        return self

    def __exit__(self, *_):
        self._stack.close()

    def reload(self):
        self.process.signal(signal.SIGHUP)


class Nginx(Frontend):
    def command(self, directory, port):
        (directory / "nginx.conf").write_text(NGINX.format(directory=directory, port=port, upstream=self._site.port))
        # nginx takes over sockets that an older nginx hands it under this name.
        return ["nginx", "-c", directory / "nginx.conf", "-p", directory], {"NGINX": "3;", "PATH": "/usr/sbin:/usr/bin"}


class Uwsgi(Frontend):
    # On a reload its master begins anew and knows its own sockets by their addresses; it would close one handed over.
    takes_over = False

    # One request a connection, though nothing in the answer says so; `http11-socket` keeps connections.
    socket = "http-socket"

    def command(self, directory, port):
        (directory / "app.py").write_text(WSGI.replace("UPSTREAM", str(self._site.port)))
        plugin = ["--plugins-dir", "/usr/lib/uwsgi/plugins", "--plugin", "python3"]
        listens = [f"--{self.socket}", f"127.0.0.1:{port}", "--reuse-port", "--listen", "128"]
        served = ["--wsgi-file", directory / "app.py", "--buffer-size", "4096", "--threads", "4"]
        return ["uwsgi", *plugin, *listens, *served, "--need-app", "--master", "--die-on-term"], {"PATH": "/usr/sbin:/usr/bin"}


class UwsgiThatKeepsConnections(Uwsgi):
    socket = "http11-socket"
