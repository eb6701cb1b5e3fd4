"""An HTTP/1.1 server on raw sockets that records all it is sent and misbehaves where it is told to.

Python's own HTTP servers hide what a hostile or broken peer does: they normalise headers, refuse odd framing and cannot cut an
answer in the middle. Stand-ins for sites are therefore built on this one.
"""

import dataclasses
import email.utils
import json
import re
import select
import socket
import struct
import threading
import time
import urllib.parse
import uuid

REASONS = {
    100: "Continue",
    200: "OK",
    201: "Created",
    202: "Accepted",
    204: "No Content",
    300: "Multiple Choices",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    409: "Conflict",
    413: "Request Entity Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
# A stand-in never needs longer than this for one socket operation; a test that waits longer is broken.
SOCKET_PATIENCE = 60


@dataclasses.dataclass
class Request:
    """One request as it came over the wire."""

    connection: int
    method: str
    target: str
    headers: list
    head: bytes
    at: float
    body: bytearray = dataclasses.field(default_factory=bytearray)
    complete: bool = False
    status: int = None

    @property
    def path(self):
        return urllib.parse.unquote(self.target.partition("?")[0])

    @property
    def query(self):
        """The parameters in order, as (name, value)."""
        return urllib.parse.parse_qsl(self.target.partition("?")[2], keep_blank_values=True)

    def parameter(self, name):
        """The last value of a query parameter, or None."""
        return dict(self.query).get(name)

    def header(self, name):
        """The value of a header that was sent once; None if it was not sent at all."""
        values = self.header_values(name)
        assert len(values) < 2, f"{name} was sent {len(values)} times: {values}"
        return values[0] if values else None

    def header_values(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header_names(self):
        return {key.lower() for key, _ in self.headers}

    def json(self):
        return json.loads(bytes(self.body))

    def __str__(self):
        return f"{self.method} {self.target} -> {self.status}"


@dataclasses.dataclass
class Answer:
    """What a site says. `Content-Length` and the usual headers are added when it is sent."""

    status: int
    body: bytes = b""
    headers: list = dataclasses.field(default_factory=list)
    content_type: str = "application/json"

    @classmethod
    def of_json(cls, status, document, headers=()):
        return cls(status, json.dumps(document).encode(), list(headers))

    def head(self, length=None):
        """The bytes up to the body; `length` overrides the truth in `Content-Length`, for lies."""
        lines = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        names = {name.lower() for name, _ in self.headers}
        if "content-length" not in names and "transfer-encoding" not in names:
            lines.append(f"Content-Length: {len(self.body) if length is None else length}")
        if self.body and "content-type" not in names:
            lines.append(f"Content-Type: {self.content_type}")
        lines.append(f"Date: {email.utils.formatdate(usegmt=True)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Gone(Exception):
    """The other side closed the connection."""


class Exchange:
    """One request being answered, in the hands of a fault."""

    def __init__(self, site, connection, request):
        self.site = site
        self.request = request
        self._socket = connection
        self._answer = None

    def true_answer(self):
        """What the site really says. A write has been carried out once this returns."""
        if self._answer is None:
            self._answer = self.site.answer(self.request)
        return self._answer

    def send(self, data):
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise Gone from error

    def wait(self, seconds):
        """Passes the time; ends early, with `Gone`, when the other side leaves or the site is shut."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self.site.shut.is_set():
                raise Gone
            readable, _, _ = select.select([self._socket], [], [], min(left, 0.1))
            if readable:
                try:
                    if not self._socket.recv(1, socket.MSG_PEEK):
                        raise Gone
                except OSError as error:
                    raise Gone from error
                time.sleep(0.01)

    def reset(self):
        """Closes with a TCP reset instead of a FIN."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Gone


# --- Faults. A fault is a function of an exchange: it returns an Answer, or sends what it likes and returns None, after which the
# --- connection is closed.

HANGING = 30


def hang():
    """Reads the request and never answers."""
    return lambda exchange: exchange.wait(HANGING)


def hang_after_head():
    """Sends the head of the true answer and none of its body."""

    def fault(exchange):
        exchange.send(exchange.true_answer().head())
        exchange.wait(HANGING)

    return fault


def hang_in_body():
    """Sends half of the true answer's body and no more, without closing."""

    def fault(exchange):
        answer = exchange.true_answer()
        exchange.send(answer.head() + answer.body[: len(answer.body) // 2])
        exchange.wait(HANGING)

    return fault


def reset():
    return lambda exchange: exchange.reset()


def close():
    """Closes without a byte of answer."""
    return lambda exchange: None


def cut_off():
    """Sends half of the body that it promised, and closes."""

    def fault(exchange):
        answer = exchange.true_answer()
        exchange.send(answer.head() + answer.body[: len(answer.body) // 2])

    return fault


def cut_json():
    """A well framed answer whose JSON ends in the middle."""

    def fault(exchange):
        answer = exchange.true_answer()
        return dataclasses.replace(answer, body=answer.body[: len(answer.body) // 2])

    return fault


def cut_chunks():
    """A chunked body without its last chunk."""

    def fault(exchange):
        answer = exchange.true_answer()
        chunked = dataclasses.replace(answer, headers=[*answer.headers, ("Transfer-Encoding", "chunked")])
        half = answer.body[: len(answer.body) // 2]
        exchange.send(chunked.head() + f"{len(half):x}\r\n".encode() + half + b"\r\n")

    return fault


def garbage():
    """Something that is not HTTP."""
    return lambda exchange: exchange.send(b"\x16\x03\x01\x02\x00 SSH-2.0-OpenSSH_9.2\r\n\r\n" * 4)


def html(status=502):
    """A web server in front of the site speaks for itself."""
    page = f"<html><head><title>{status}</title></head><body><h1>{status}</h1><hr>nginx/1.22.1 at 10.11.12.13</body></html>"
    return lambda exchange: Answer(status, page.encode(), [("Server", "nginx/1.22.1")], content_type="text/html")


def says(status, text, headers=()):
    """An error in Ironic's own shape."""
    kind = "Server" if status >= 500 else "Client"
    inner = json.dumps({"faultcode": kind, "faultstring": text, "debuginfo": None})
    return lambda exchange: Answer.of_json(status, {"error_message": inner}, headers)


def answers(status, body=b"", headers=(), content_type="application/json"):
    """Exactly this, whatever was asked."""
    return lambda exchange: Answer(status, body, list(headers), content_type)


def too_deep(depth=3000):
    """JSON that nests deeper than a parser's stack likes."""
    body = b'{"uuid": "x", "nodes": [' + b'{"a":' * depth + b"1" + b"}" * depth + b"]}"
    return answers(200, body)


def too_big(size):
    """A body of `size` bytes of valid JSON."""
    return answers(200, b'{"nodes": [], "padding": "' + b"x" * size + b'"}')


def big_head(size=2 << 20):
    """Response headers without end."""

    def fault(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Padding: ")
        for _ in range(size // 65536):
            exchange.send(b"x" * 65536)
        exchange.send(b"\r\n\r\n{}")

    return fault


def drip(interval=0.1):
    """The true answer, byte by byte: alive on every read, but never done."""

    def fault(exchange):
        answer = exchange.true_answer()
        exchange.send(answer.head())
        for byte in answer.body:
            exchange.send(bytes([byte]))
            exchange.wait(interval)

    return fault


def wrong_type(content_type="text/plain"):
    """The true answer under another content type."""
    return lambda exchange: dataclasses.replace(exchange.true_answer(), content_type=content_type)


def late(seconds):
    """The true answer, after a while."""

    def fault(exchange):
        exchange.wait(seconds)
        return exchange.true_answer()

    return fault


def held(event):
    """The true answer once the event is set."""

    def fault(exchange):
        while not event.is_set():
            exchange.wait(0.05)
        return exchange.true_answer()

    return fault


def executed(fault):
    """Carries the request out and then misbehaves: the client cannot know that it was done."""

    def wrapped(exchange):
        exchange.true_answer()
        return fault(exchange)

    return wrapped


def changed(change):
    """The true answer with its JSON changed by `change(document) -> document`."""

    def fault(exchange):
        answer = exchange.true_answer()
        return dataclasses.replace(answer, body=json.dumps(change(json.loads(answer.body))).encode())

    return fault


def with_headers(*headers):
    """The true answer with more headers."""

    def fault(exchange):
        answer = exchange.true_answer()
        return dataclasses.replace(answer, headers=[*answer.headers, *headers])

    return fault


@dataclasses.dataclass
class Rule:
    """A fault and the requests that it strikes."""

    fault: object
    method: str = None
    path: str = None
    query: str = None
    times: int = None
    skip: int = 0
    hits: int = 0
    seen: int = 0

    def strikes(self, request):
        if self.method and request.method != self.method:
            return False
        if self.path and not re.fullmatch(self.path, request.path):
            return False
        if self.query and not re.search(self.query, urllib.parse.unquote_plus(request.target.partition("?")[2])):
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.times is not None and self.hits >= self.times):
            return False
        self.hits += 1
        return True


class Site:
    """A listening HTTP server. Subclasses say what it answers in `answer(request) -> Answer`."""

    def __init__(self):
        self.requests = []
        self.connections = 0
        self.shut = threading.Event()
        self._rules = []
        self._lock = threading.RLock()
        self._open = set()
        self._listener = self._bound(0)
        self.port = self._listener.getsockname()[1]
        self._listen()

    # --- life

    def _bound(self, port):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        return listener

    def _listen(self):
        self._listener.listen(512)
        self._up = True
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def down(self):
        """Stops listening and drops every connection; the port stays ours, and refuses connections."""
        with self._lock:
            self._up = False
            listener, self._listener = self._listener, None
            # Without shutdown a thread that waits in accept() would keep the listening socket alive.
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            for connection in list(self._open):
                _drop(connection)
        deadline = time.monotonic() + 5
        while True:
            try:
                self._listener = self._bound(self.port)
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def up(self):
        """Listens again, at the same port."""
        self._listen()

    def drop_connections(self):
        """Closes what is open, as a site does that has had enough of idle connections."""
        with self._lock:
            for connection in list(self._open):
                _drop(connection)

    def listening(self):
        """Whether connections are accepted now."""
        return self._up

    def close(self):
        self.shut.set()
        with self._lock:
            try:
                self._listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self._listener.close()
            for connection in list(self._open):
                _drop(connection)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- scripting and records

    def fault(self, fault, method=None, path=None, query=None, times=None, skip=0):
        """Strikes matching requests with a fault; rules set later are asked first.

        `path` is a full match on the decoded path, `query` a search in the decoded query; `times` bounds how often the rule
        strikes, `skip` lets the first matching requests through.
        """
        rule = Rule(fault, method, path, query, times, skip)
        with self._lock:
            self._rules.insert(0, rule)
        return rule

    def heal(self):
        """Forgets every fault."""
        with self._lock:
            self._rules.clear()

    def asked(self, method=None, path=None):
        """The requests so far that match; `path` is a full match on the decoded path."""
        with self._lock:
            return [
                request
                for request in self.requests
                if (method is None or request.method == method) and (path is None or re.fullmatch(path, request.path))
            ]

    def forget_requests(self):
        with self._lock:
            self.requests.clear()

    # --- wire

    def _accept(self, listener):
        while not self.shut.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                if self._listener is not listener:
                    connection.close()
                    return
                self.connections += 1
                number = self.connections
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection, number):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(SOCKET_PATIENCE)
        stream = connection.makefile("rb")
        try:
            while self._one(connection, stream, number):
                pass
        except (Gone, OSError, ValueError):
            pass
        finally:
            with self._lock:
                self._open.discard(connection)
            stream.close()
            connection.close()

    def _one(self, connection, stream, number):
        """Serves one request; False when the connection is over."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline()
            if not line:
                return False
            head += line
        lines = head[:-4].decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
        request = Request(number, method, target, headers, head, time.monotonic())
        with self._lock:
            self.requests.append(request)
        if "100-continue" in (request.header("Expect") or "").lower():
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        for piece in _body(stream, request):
            request.body += piece
        request.complete = True

        exchange = Exchange(self, connection, request)
        answer = self._struck(request)
        answer = answer(exchange) if answer else exchange.true_answer()
        if answer is None:
            return False
        request.status = answer.status
        no_body = request.method == "HEAD" or answer.status in (204, 304)
        exchange.send(answer.head() + (b"" if no_body else answer.body))
        return not any(name.lower() == "connection" and value == "close" for name, value in answer.headers)

    def _struck(self, request):
        with self._lock:
            return next((rule.fault for rule in self._rules if rule.strikes(request)), None)

    def answer(self, request):
        raise NotImplementedError


def _body(stream, request):
    if "chunked" in (request.header("Transfer-Encoding") or "").lower():
        while size := int(_line(stream).partition(b";")[0], 16):
            left = size
            while left:
                piece = stream.read1(min(left, 65536))
                if not piece:
                    raise Gone
                left -= len(piece)
                yield piece
            _line(stream)
        while _line(stream).strip():
            pass
        return
    left = int(request.header("Content-Length") or 0)
    while left:
        piece = stream.read1(min(left, 65536))
        if not piece:
            raise Gone
        left -= len(piece)
        yield piece


def _line(stream):
    line = stream.readline()
    if not line:
        raise Gone
    return line


def _drop(connection):
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def request_id():
    return f"req-{uuid.uuid4()}"
