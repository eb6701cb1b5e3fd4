"""Sites that remember what was true when, for the run of `chaos.py`: which node was there, and what was executed."""

import copy
import dataclasses
import socket
import threading
import time

from standin import Standin

FOREVER = float("inf")
# A stand-in keeps what it was asked for this long, for stories.
REMEMBERED = 60


@dataclasses.dataclass
class Version:
    """A node as it was from some moment on; `record` is None where it was not there."""

    # The change happened between these two moments.
    earliest: float
    latest: float
    record: dict


@dataclasses.dataclass
class Execution:
    """A write that a site carried out."""

    site: str
    at: float
    request: object


class ChaosSite(Standin):
    """A stand-in whose past can be asked about. `name` is what the gateway calls it."""

    def __init__(self, name, book, nodes=(), **options):
        self.name = name
        self._book = book
        self._known = {}
        self._fillers = []
        super().__init__(nodes, **options)
        self.record(time.monotonic())

    def answer(self, request):
        if request.method == "GET":
            return super().answer(request)
        with self.data:
            began = time.monotonic()
            answer = super().answer(request)
            if answer.status < 300:
                self._book.executed(Execution(self.name, began, request))
            self.record(began)
        return answer

    def change(self, work):
        """Changes the nodes behind everybody's back."""
        with self.data:
            began = time.monotonic()
            done = work(self)
            self.record(began)
        return done

    def record(self, began):
        """Writes down what has changed since `began`."""
        now = {node["uuid"]: node for node in self.nodes}
        for uuid in self._known.keys() | now.keys():
            record = now.get(uuid)
            if self._known.get(uuid) != record:
                kept = copy.deepcopy(record)
                self._book.note(self.name, uuid, Version(began, time.monotonic(), kept))
                if kept is None:
                    del self._known[uuid]
                else:
                    self._known[uuid] = kept

    # --- a black hole

    def swallow(self):
        """New connections get no answer at all: the queue of those that wait to be accepted is full."""
        self.down()
        self._listener.listen(0)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self._fillers.append(filler)

    def spit(self):
        """Accepts connections again."""
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()
        self.down()
        self.up()

    def forget_old_requests(self):
        with self._lock:
            since = time.monotonic() - REMEMBERED
            while self.requests and self.requests[0].at < since:
                self.requests.pop(0)


class Book:
    """The truth of all sites over time."""

    def __init__(self):
        self._lock = threading.Lock()
        # By uuid: the site, and its versions in order.
        self._nodes = {}
        self._executions = {}

    def note(self, site, uuid, version):
        with self._lock:
            self._nodes.setdefault(uuid, (site, []))[1].append(version)

    def executed(self, execution):
        with self._lock:
            self._executions.setdefault(mark_of(execution.request), []).append(execution)

    def executions(self, mark):
        with self._lock:
            return list(self._executions.get(mark, ()))

    def home(self, uuid):
        with self._lock:
            return self._nodes[uuid][0] if uuid in self._nodes else None

    def uuids(self):
        with self._lock:
            return list(self._nodes)

    def history(self, uuid):
        with self._lock:
            return list(self._nodes[uuid][1]) if uuid in self._nodes else []

    def _spans(self, uuid):
        """(version, from earliest, to latest, surely from, surely to)"""
        versions = self.history(uuid)
        for version, following in zip(versions, [*versions[1:], None]):
            ends = (following.latest, following.earliest) if following else (FOREVER, FOREVER)
            yield version.record, version.earliest, ends[0], version.latest, ends[1]

    def was_there_throughout(self, uuid, since, until):
        begins, ends = None, None
        for record, _, _, surely, surely_to in self._spans(uuid):
            if record is None:
                begins = None
                continue
            begins = surely if begins is None else begins
            ends = surely_to
            if begins <= since and ends >= until:
                return True
        return False

    def seen(self, uuid, since, until):
        """The records that it may have been seen with meanwhile; None stands for its absence."""
        spans = list(self._spans(uuid))
        seen = [record for record, earliest, latest, _, _ in spans if earliest <= until and latest >= since]
        if not spans or spans[0][3] > since:
            seen.append(None)
        return seen

    def there_throughout(self, since, until):
        return {uuid for uuid in self.uuids() if self.was_there_throughout(uuid, since, until)}

    def there_sometime(self, since, until):
        return {uuid for uuid in self.uuids() if any(record is not None for record in self.seen(uuid, since, until))}


def mark_of(request):
    """What tells one client's write from all others: each sends something that nothing else sends."""
    path = request.path.removeprefix("/v1/")
    if request.method == "DELETE" or "/traits/" in path:
        return f"{request.method} {path}"
    document = request.json() if request.body else None
    match document:
        case {"extra": {"mark": mark}} | {"reason": mark}:
            return mark
        case [{"path": "/extra/mark" | "/description", "value": mark}, *_]:
            return mark
    return f"{request.method} {path} {bytes(request.body)!r}"
