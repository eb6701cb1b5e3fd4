"""An HTTP/1.1 server on raw sockets that records all it is sent and misbehaves where it is told to.

Python's own HTTP servers hide what a hostile or broken peer does: they normalise headers, refuse odd framing and cannot cut an
answer in the middle. Stand-ins are therefore built on this one.
"""

import dataclasses
import re
import socket
import threading
import time
import urllib.parse

from exchange import Exchange, Gone, Request

# A stand-in never needs longer than this for one socket operation; a test that waits longer is broken.
SOCKET_PATIENCE = 60


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
        # The root is asked for unbidden, whenever something has failed: who means it says so.
        if not re.fullmatch(self.path or "/.+", request.path):
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

    def hang_up(self):
        """Ends the connections that it has; new ones are welcome."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            _drop(connection)

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

        `path` is a full match on the decoded path (all but the root if there is none), `query` a search in the decoded query;
        `times` bounds how often the rule strikes, `skip` lets the first matching requests through.
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
