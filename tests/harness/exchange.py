"""A request as it came over the wire, an answer as it leaves, and both in the hands of a fault."""

import dataclasses
import email.utils
import json
import select
import socket
import struct
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


def request_id():
    return f"req-{uuid.uuid4()}"
