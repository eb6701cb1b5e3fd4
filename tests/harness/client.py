"""HTTP towards an Ironic or the gateway, and what the tests ask often.

`Client` hides nothing of what is sent and what comes back; `Api` asks through it and knows the API.
"""

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import time
import urllib.parse

from bed import venvs

# Location, its conductor group; in configuration order.
GROUPS = {"loc1": "", "loc2": "grp1", "loc3": "grp2"}

VERSION = "X-OpenStack-Ironic-API-Version"
LATEST = "1.115"
OLD = "1.82"


def collection(path):
    """The key of the list in an answer to `path`."""
    name = [part for part in path.split("?")[0].split("/") if part not in ("", "detail")][-1]
    return name


class Reply:
    """An answer of the gateway."""

    def __init__(self, status, headers, body, seconds):
        self.status = status
        # As they came, and by name.
        self.pairs = headers
        self.headers = http.client.HTTPMessage()
        for name, value in headers:
            self.headers.add_header(name, value)
        self.body = body
        self.seconds = seconds

    def header(self, name):
        """The value of a header that must not be repeated; None if absent."""
        values = self.header_values(name)
        assert len(values) < 2, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None

    def header_values(self, name):
        return self.headers.get_all(name, [])

    def json(self):
        return json.loads(self.body)

    def fault(self):
        """The inner document of Ironic's error body, whichever of its forms it has."""
        document = self.json()
        if "error_message" in document:
            return json.loads(document["error_message"])
        return document

    def text(self):
        """What the error says to a human."""
        fault = self.fault()
        return fault["faultstring"] if "faultstring" in fault else fault["description"]

    def names(self):
        """The node names of a list, in order."""
        return [item["name"] for item in self.json()["nodes"]]

    def uuids(self):
        return [item["uuid"] for item in self.json()["nodes"]]

    def __repr__(self):
        return f"{self.status} in {self.seconds:.2f} s {dict(self.pairs)} {self.body[:600]!r}"


class Client:
    """Requests to one base URL, each on a connection of its own; `context` (ssl.SSLContext) says whom to trust with https."""

    def __init__(self, url, context=None):
        self.url = url
        self.context = context
        parts = urllib.parse.urlsplit(url)
        self.host, self.port = parts.hostname, parts.port

    def call(self, method, path, body=None, *, version=LATEST, headers=(), timeout=30):
        """`body`: bytes as they are, an iterable of bytes in chunks, anything else as JSON. `headers` may repeat names."""
        started = time.monotonic()
        if self.context:
            connection = http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=self.context)
        else:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            pairs = list(headers.items() if isinstance(headers, dict) else headers)
            given = {name.lower() for name, _ in pairs}
            connection.putrequest(method, path, skip_host="host" in given, skip_accept_encoding=True)
            if version is not None and not given & {"x-openstack-ironic-api-version", "openstack-api-version"}:
                pairs.append(("X-OpenStack-Ironic-API-Version", version))
            chunks = None
            if body is not None:
                if hasattr(body, "__next__"):
                    chunks, body = body, None
                    pairs.append(("Transfer-Encoding", "chunked"))
                else:
                    if not isinstance(body, bytes):
                        body = json.dumps(body).encode()
                    pairs.append(("Content-Length", str(len(body))))
                if "content-type" not in given:
                    pairs.append(("Content-Type", "application/json"))
            for name, value in pairs:
                connection.putheader(name, value)
            connection.endheaders()
            try:
                if body:
                    connection.send(body)
                for chunk in chunks or ():
                    connection.send(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
                if chunks is not None:
                    connection.send(b"0\r\n\r\n")
            except (BrokenPipeError, ConnectionResetError):
                # Who refuses a body answers before it has come to its end; the answer may be there already.
                pass
            answer = connection.getresponse()
            content = answer.read()
            return Reply(answer.status, answer.getheaders(), content, time.monotonic() - started)
        finally:
            connection.close()

    def get(self, path, **options):
        return self.call("GET", path, **options)

    def post(self, path, body, **options):
        return self.call("POST", path, body, **options)

    def patch(self, path, body, **options):
        return self.call("PATCH", path, body, **options)

    def put(self, path, body=None, **options):
        return self.call("PUT", path, body, **options)

    def delete(self, path, **options):
        return self.call("DELETE", path, **options)

    def raw(self, data, timeout=10):
        """Sends bytes and returns all that comes back until the other side closes or has nothing more to say."""
        with socket.create_connection((self.host, self.port), timeout=timeout) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(data)
            received = b""
            with contextlib.suppress(TimeoutError, ConnectionError):
                while piece := connection.recv(65536):
                    received += piece
                    connection.settimeout(0.12)
            return received

    def raw_replies(self, data):
        """The answers to raw bytes, parsed: (status, head, body) in order."""
        received = self.raw(data)
        replies = []
        while received:
            head, _, rest = received.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1."), f"not an answer: {received[:200]!r}"
            if b"transfer-encoding: chunked" in head.lower():
                body, received = dechunked(rest)
            else:
                length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
                size = int(length[1]) if length else len(rest)
                body, received = rest[:size], rest[size:]
            replies.append((int(head.split(b" ")[1]), head.decode("latin-1"), body))
        return replies


class Api:
    """A Bare Metal API at `url`, asked at one microversion; an answer may take `patience` seconds.

    Calls return the answer whatever its status is; `ok` raises unless it is
    a success and returns the decoded body.
    """

    def __init__(self, url, version=LATEST, headers=None, patience=60, context=None):
        self.url = url
        self.version = version
        self.patience = patience
        self._client = Client(url, context)
        # `url` may be below a path.
        self._prefix = urllib.parse.urlsplit(url).path
        self._headers = headers or {}

    def __call__(self, method, path, *, version=None, headers=None, params=None, json=None, data=None):
        """`json` is a document, `data` text or bytes as they are."""
        # Ironic's own header: older ones do not know the other.
        asked = {} if version == "" else {VERSION: version or self.version}
        if params:
            path += ("&" if "?" in path else "?") + urllib.parse.urlencode(params, doseq=True)
        return self._client.call(
            method,
            self._prefix + path,
            data.encode() if isinstance(data, str) else data if json is None else json,
            version=None,
            headers={**self._headers, **asked, **(headers or {})},
            timeout=self.patience,
        )

    def get(self, path, **options):
        return self("GET", path, **options)

    def ok(self, method, path, **options):
        answer = self(method, path, **options)
        assert answer.status < 400, f"{method} {path}: {answer}"
        return answer.json() if answer.body else None

    def create(self, **node):
        return self.ok("POST", "/v1/nodes", json={"driver": "fake-hardware", **node})

    def patch(self, path, *operations, **options):
        """`operations` are (op, path) or (op, path, value)."""
        keys = ("op", "path", "value")
        return self("PATCH", path, json=[dict(zip(keys, operation)) for operation in operations], **options)

    def list(self, path="/v1/nodes", **query):
        """The items of one answer, no paging."""
        answer = self.ok("GET", path, params=query)
        return answer[collection(path)]

    def walk(self, style, path="/v1/nodes", **query):
        """All items, page by page, and the number of pages.

        style "next" follows the link as it is; "marker" passes the last
        item's uuid by hand until a page has no `next`.
        """
        items, pages, url, marker = [], 0, None, {}
        while True:
            if url is None:
                page = self.ok("GET", path, params={**query, **marker})
            else:
                assert url.startswith(self.url + "/"), f"next points elsewhere: {url}"
                page = self.ok("GET", url[len(self.url) :])
            found = page[collection(path)]
            items += found
            pages += 1
            assert pages < 1000, "the walk does not end"
            if "next" not in page:
                return items, pages
            assert found, f"a page with a next link but without items: {page}"
            if style == "next":
                url = page["next"]
            else:
                marker = {"marker": found[-1]["uuid"]}


def dechunked(data):
    """The content of a chunked body at the start of `data`, and what follows it."""
    content = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        size = int(size, 16)
        content, data = content + data[:size], data[size + 2 :]
        if size == 0:
            return content, data


def request_bytes(method, path, body=b"", headers=()):
    """A request as bytes, for `Client.raw`."""
    lines = [f"{method} {path} HTTP/1.1", "Host: hub.example", f"X-OpenStack-Ironic-API-Version: {LATEST}", *headers]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def raw(url, method, target, headers=None, body=None):
    """One request whose target and body are sent as they are: (status, headers, body)."""
    reply = Client(url).call(method, target, body, version=None, headers=headers or {}, timeout=60)
    return reply.status, reply.headers, reply.body


def fault(answer):
    """The text of an error in any of Ironic's shapes."""
    body = answer.json()
    message = body.get("error_message", body)
    if isinstance(message, str):
        message = json.loads(message)
    return message.get("faultstring") or message.get("description") or message["error"]["message"]


def until(question, seconds=60, what="the expected state", pause=0.1):
    """Ask until the answer is neither None nor False; returns it."""
    deadline = time.monotonic() + seconds
    while True:
        answer = question()
        if answer is not None and answer is not False:
            return answer
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(pause)


def provision(api, node, target, state, **body):
    """Set the target state and wait until the node is in `state`."""
    answer = api("PUT", f"/v1/nodes/{node}/states/provision", json={"target": target, **body})
    assert answer.status == 202, f"{target}: {answer}"

    def arrived():
        now = api.ok("GET", f"/v1/nodes/{node}/states")
        assert "failed" not in now["provision_state"] and now["provision_state"] != "error", now
        return now["provision_state"] == state and now["target_provision_state"] is None

    until(arrived, 60, f"provision state {state}")
    return answer


def owned(kind, node, location, number=0):
    """A body that creates one of `kind` at a node."""
    mac = f"52:54:00:{list(GROUPS).index(location)}0:00:0{number}"
    return {
        "ports": {"node_uuid": node, "address": mac, "name": f"port-{location}-{number}"},
        "portgroups": {"node_uuid": node, "address": mac, "name": f"group-{location}-{number}"},
        "volume/connectors": {"node_uuid": node, "type": "iqn", "connector_id": f"iqn.2017-01.{location}:{number}"},
        "volume/targets": {
            "node_uuid": node,
            "volume_type": "iscsi",
            "boot_index": number,
            "volume_id": f"vol-{location}-{number}",
            "properties": {"links": [{"href": "http://127.0.0.1/v1/x"}]},
        },
    }[kind]


def wipe(api):
    """Delete everything in one Ironic, asked directly."""
    minor = int(api.version.split(".")[1])
    hidden = {"include_children": "True"} if minor >= 83 else {}
    for node in api.list("/v1/nodes", fields="uuid", **hidden):
        path = f"/v1/nodes/{node['uuid']}"
        # Maintenance is Ironic's way to let a node go from any state.
        api("PUT", f"{path}/maintenance", json={"reason": "wiped"})
        until(lambda path=path: api("DELETE", path).status in (204, 404), 30, f"the end of {path}")
    kinds = {"allocations": 52, "deploy_templates": 55, "runbooks": 92, "inspection_rules": 96}
    for kind in ["chassis", *(kind for kind, since in kinds.items() if since <= minor)]:
        for item in api.list(f"/v1/{kind}"):
            api("DELETE", f"/v1/{kind}/{item['uuid']}")


class Refused(Exception):
    """`baremetal` ended with an error; the text is its stderr."""


def command(**os_options):
    """A function that runs `baremetal` with these OS_* variables."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    environment.update(os_options)

    def run(*arguments, form="json"):
        words = [venvs.program(venvs.CLIENTS, "baremetal"), *arguments]
        if form is not None:
            words += ["--format", form]
        done = subprocess.run(
            [str(word) for word in words], env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode != 0:
            raise Refused(done.stderr)
        return json.loads(done.stdout) if form == "json" and done.stdout.strip() else done.stdout

    return run
