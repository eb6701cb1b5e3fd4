"""Requests put to one Ironic and to the gateway in front of the same Ironic, and their answers compared."""

import http.client
import json
import threading
import urllib.parse
from typing import NamedTuple

from client import VERSION


class Said(NamedTuple):
    """What of an answer is compared."""

    status: int
    kind: str
    allow: str | None
    versions: tuple

    def __str__(self):
        return f"{self.status} {self.kind}" + (f" Allow: {self.allow}" if self.allow else "") + f" {self.versions}"


class Oracle:
    """Puts cases to one address, on a connection that is kept."""

    def __init__(self, url, names):
        parts = urllib.parse.urlsplit(url)
        self._address = (parts.hostname, parts.port)
        self._names = names
        self._connection = None

    def ask(self, case):
        """What it says, and its words."""
        while True:
            said, words = self._connected(case)
            # Another of these requests holds the node.
            if b"is locked by host" not in words:
                return said, words

    def _connected(self, case):
        try:
            return self._ask(case)
        except (http.client.HTTPException, OSError):
            # Kept for too long, or closed behind an answer.
            self._connection.close()
            self._connection = None
            return self._ask(case)

    def _ask(self, case):
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self._address, timeout=60)
        connection = self._connection
        connection.putrequest(case.method, self._fill(case.path), skip_accept_encoding=True)
        given = {name.lower() for name, _ in case.headers}
        for name, value in case.headers:
            connection.putheader(name, value)
        if VERSION.lower() not in given:
            connection.putheader(VERSION, case.version)
        body = None
        if case.body is not None:
            body = self._fill(case.body).encode()
            connection.putheader("Content-Length", str(len(body)))
            if "content-type" not in given:
                connection.putheader("Content-Type", "application/json")
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        versions = tuple(answer.headers.get(f"{VERSION}"[:-7] + word) for word in ("Minimum-Version", "Maximum-Version", "Version"))
        return Said(answer.status, kind_of(content, answer.headers), answer.headers.get("Allow"), versions), content

    def _fill(self, text):
        for name, value in self._names.items():
            text = text.replace("{" + name + "}", value)
        return text


def kind_of(content, headers):
    """Which of Ironic's shapes a body has: the two faults, the flat one, or a document by its members."""
    if not content:
        return "empty"
    if not headers.get("Content-Type", "").startswith("application/json"):
        return f"{headers.get('Content-Type')} {content[:40]!r}"
    try:
        document = json.loads(content)
    except ValueError:
        return f"no JSON {content[:40]!r}"
    if not isinstance(document, dict):
        return type(document).__name__
    if "faultcode" in document:
        return "flat"
    if "error_message" in document:
        try:
            fault = json.loads(document["error_message"])
        except (ValueError, TypeError):
            return "page of HTML" if "<html>" in document["error_message"] else "page of text"
        return "fault" if "faultcode" in fault else "routing"
    # `next` is there when more follows; Ironic also sends it on a last page that is full.
    return "document " + " ".join(sorted(set(document) - {"next"}))


def compare(theirs, ours, names, requests, threads=4):
    """The requests that are answered differently: (case, what Ironic says, what the gateway says, their words)."""
    different, faults = [], []
    source, lock = iter(requests), threading.Lock()

    def work():
        pair = Oracle(theirs, names), Oracle(ours, names)
        while True:
            with lock:
                case = next(source, None)
            if case is None:
                return
            try:
                (wanted, word), (said, ours_word) = (one.ask(case) for one in pair)
            except Exception as error:
                faults.append(f"{case}: {error!r}")
                return
            if wanted != said:
                different.append((case, wanted, said, (word, ours_word)))

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not faults, faults
    return different
