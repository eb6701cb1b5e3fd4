"""Plain HTTP towards an Ironic or the gateway, and what the tests ask often."""

import http.client
import json
import os
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

import requests

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bed import venvs  # noqa: E402

# Location, its conductor group; in configuration order.
GROUPS = {"loc1": "", "loc2": "grp1", "loc3": "grp2"}

VERSION = "X-OpenStack-Ironic-API-Version"
LATEST = "1.115"
OLD = "1.82"


class Api:
    """A Bare Metal API at `url`, asked at one microversion; an answer may take `patience` seconds.

    Calls return the requests.Response whatever its status is; `ok` raises
    unless it is a success and returns the decoded body.
    """

    def __init__(self, url, version=LATEST, headers=None, patience=60):
        self.url = url
        self.version = version
        self.patience = patience
        self._session = requests.Session()
        # The machine's proxies and .netrc are not part of the test.
        self._session.trust_env = False
        self._session.headers.update(headers or {})

    def __call__(self, method, path, *, version=None, headers=None, **options):
        # Ironic's own header: older ones do not know the other.
        asked = {} if version == "" else {VERSION: version or self.version}
        return self._session.request(
            method, self.url + path, headers={**asked, **(headers or {})}, timeout=self.patience, allow_redirects=False, **options
        )

    def get(self, path, **options):
        return self("GET", path, **options)

    def ok(self, method, path, **options):
        answer = self(method, path, **options)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

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


def collection(path):
    """The key of the list in an answer to `path`."""
    name = [part for part in path.split("?")[0].split("/") if part not in ("", "detail")][-1]
    return name


def raw(url, method, target, headers=None, body=None):
    """One request whose target and body are sent as they are: (status, headers, body)."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        if body is not None:
            if "Content-Type" not in (headers or {}):
                connection.putheader("Content-Type", "application/json")
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


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
        # Not its truth: a Response of an error counts as false.
        if answer is not None and answer is not False:
            return answer
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(pause)


def provision(api, node, target, state, **body):
    """Set the target state and wait until the node is in `state`."""
    answer = api("PUT", f"/v1/nodes/{node}/states/provision", json={"target": target, **body})
    assert answer.status_code == 202, f"{target}: {answer.status_code} {answer.text}"

    def arrived():
        now = api.ok("GET", f"/v1/nodes/{node}/states")
        assert "failed" not in now["provision_state"] and now["provision_state"] != "error", now
        return now["provision_state"] == state and now["target_provision_state"] is None

    until(arrived, 60, f"provision state {state}")
    return answer


def wipe(api):
    """Delete everything in one Ironic, asked directly."""
    minor = int(api.version.split(".")[1])
    hidden = {"include_children": "True"} if minor >= 83 else {}
    for node in api.list("/v1/nodes", fields="uuid", **hidden):
        path = f"/v1/nodes/{node['uuid']}"
        # Maintenance is Ironic's way to let a node go from any state.
        api("PUT", f"{path}/maintenance", json={"reason": "wiped"})
        until(lambda path=path: api("DELETE", path).status_code in (204, 404), 30, f"the end of {path}")
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
