"""Faults: what a stand-in does instead of answering, as `site.fault(scripted.hang(), path=...)` tells it.

A fault is a function of an exchange: it returns an Answer, or sends what it likes and returns None, after which the connection is closed.
"""

import dataclasses
import json

from exchange import Answer

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
