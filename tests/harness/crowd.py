"""Many locations in one thread and on one port, each below a path of its own: a thousand start in a second.

Each question is a connection, so that open connections are open questions.
"""

import asyncio
import json
import re
import resource
import threading
import time

from exchange import Request

# How long questions are held back, so that all that come at once have come: half of what the gateway waits for a silent location
# before it asks others (`PATIENCE` in src/locations/window.rs).
HELD = 0.25


class Holding:
    """Questions of one method, for one path or all, that are held back together, and how many were open then."""

    def __init__(self, method, skip, path):
        self.method = method
        self.skip = skip
        self.path = path
        self.waiting = []
        self.open = 0


class Crowd:
    """`ironics` become the locations, in order."""

    def __init__(self, ironics):
        self.ironics = list(ironics)
        for place, ironic in enumerate(self.ironics):
            ironic.prefix = f"/{place}"
        self.requests = []
        self.given = 0
        self.open = 0
        self._holding = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self._thread.start()
        listening = self._loop.create_server(lambda: _Conversation(self), "127.0.0.1", 0, backlog=4096)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result()
        port = self._server.sockets[0].getsockname()[1]
        self.endpoints = [f"http://127.0.0.1:{port}{ironic.prefix}" for ironic in self.ironics]
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def asked(self, method, path):
        """The questions so far that match; `path` is a full match on the path below a location's own."""
        below = [(request, request.path.partition("/")[2].partition("/")[2]) for request in list(self.requests)]
        return [request for request, rest in below if request.method == method and re.fullmatch(path, f"/{rest}")]

    def counted(self):
        """Questions for nodes and nodes in the answers, since this was asked last."""
        counted = len(self.asked("GET", "/v1/nodes.*")), self.given
        self.requests, self.given = [], 0
        return counted

    def open_at_once(self, most, ask, method, skip=0, of=""):
        """Holds back the questions of this method that come while `ask` runs, but for the first ones, until all that come at
        once have; how many were open then. Where the machine stalls, the gateway gives away the places of who seems
        silent: so it is tried some times whether no more than `most` are."""
        for _ in range(5):
            self._holding = holding = Holding(method, skip, of)
            ask()
            self._holding = None
            if holding.open <= most:
                break
        return holding.open

    # --- in the thread

    def take(self, conversation, request):
        self.requests.append(request)
        holding = self._holding
        if holding is None or request.method != holding.method or not request.path.endswith(holding.path):
            return self._answer(conversation, request)
        if holding.skip:
            holding.skip -= 1
            return self._answer(conversation, request)
        holding.waiting.append((conversation, request))
        if len(holding.waiting) == 1:
            self._loop.call_later(HELD, self._release, holding)

    def _release(self, holding):
        self._holding, holding.open = None, self.open
        for conversation, request in holding.waiting:
            self._answer(conversation, request)

    def _answer(self, conversation, request):
        place = int(request.path.split("/")[1])
        answer = self.ironics[place].answer(request)
        if request.method == "GET" and answer.status == 200:
            self.given += len(json.loads(answer.body).get("nodes", []))
        answer.headers.append(("Connection", "close"))
        conversation.end(answer.head() + (b"" if answer.status == 204 else answer.body))


class _Conversation(asyncio.Protocol):
    def __init__(self, crowd):
        self.crowd = crowd
        self.received = b""

    def connection_made(self, transport):
        self.transport = transport
        self.crowd.open += 1

    def connection_lost(self, _):
        self.crowd.open -= 1

    def data_received(self, data):
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end:
            return
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
        request = Request(0, method, target, headers, head + end, time.monotonic(), bytearray(body))
        if len(body) == int(request.header("Content-Length") or 0):
            self.crowd.take(self, request)

    def end(self, answer):
        self.transport.write(answer)
        self.transport.close()
