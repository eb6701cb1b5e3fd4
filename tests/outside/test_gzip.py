"""`[api] gzip`: who asks for it gets lists compressed, and everybody gets the same answer."""

import gzip
import http.client
import json
import zlib

import pytest
from client import LATEST, command
from fleet import fleet
from standin import Standin, node

ASKED = {"Accept-Encoding": "gzip, deflate"}
LIST = "/v1/nodes"
# Incompressible enough that a list of them stays long.
NODES = [node(f"node-{number:04}", extra={"number": number * 7919 % 10007}) for number in range(600)]


@pytest.fixture(scope="module")
def hub():
    with fleet(Standin(NODES[:300]), Standin(NODES[300:]), api={"gzip": "true"}) as hub:
        yield hub


def plain(reply):
    """The answer as it is meant."""
    if reply.header("Content-Encoding") is None:
        return reply.body
    assert reply.header("Content-Encoding") == "gzip", reply
    # Nothing behind its end, and its end is there.
    machine = zlib.decompressobj(wbits=31)
    body = machine.decompress(reply.body)
    assert machine.eof and not machine.unused_data
    return body


@pytest.mark.parametrize("path", [LIST, f"{LIST}/detail", f"{LIST}?limit=3", f"{LIST}/node-0001", "/v1/nodes?fields=uuid,name"])
def test_the_same_answer_in_fewer_bytes(hub, path):
    usual, asked = hub.get(path), hub.get(path, headers=ASKED)
    assert (usual.status, usual.header("Content-Encoding")) == (200, None)
    assert asked.status == 200 and plain(asked) == usual.body
    assert usual.header("Vary") == asked.header("Vary") == "Accept-Encoding"
    assert len(asked.body) < len(usual.body)
    different = {"content-encoding", "content-length", "transfer-encoding", "date"}
    heads = [{name.lower() for name, _ in reply.pairs} - different for reply in (usual, asked)]
    assert heads[0] == heads[1]


def test_a_long_list_comes_in_parts_and_is_whole(hub):
    whole, asked = hub.get(f"{LIST}/detail?limit=600"), hub.get(f"{LIST}/detail?limit=600", headers=ASKED)
    assert len(whole.body) > 10 * 65536
    assert asked.header("Transfer-Encoding") == "chunked" and plain(asked) == whole.body
    assert len(asked.body) < len(whole.body) / 5


def test_a_walk_is_the_same(hub):
    names, path = [], f"{LIST}?limit=170"
    while path:
        document = json.loads(plain(hub.get(path, headers=ASKED)))
        names += [item["name"] for item in document["nodes"]]
        path = document.get("next", "").replace(hub.gateway.url, "")
    assert sorted(names) == sorted(item["name"] for item in NODES)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", f"{LIST}/nobody", None, 404),
        ("GET", f"{LIST}?limit=" + "x" * 2000, None, 400),
        ("GET", "/healthcheck", None, 200),
        ("DELETE", f"{LIST}/node-0599", None, 204),
        ("PUT", f"{LIST}/node-0001/states/power", {"target": "power on"}, 202),
        ("OPTIONS", LIST, None, None),
    ],
)
def test_what_is_short_empty_or_an_error_is_as_ever(hub, method, path, body, status):
    reply = hub.call(method, path, body, headers=ASKED)
    assert status is None or reply.status == status, reply
    assert reply.header("Content-Encoding") is None and reply.header("Vary") is None, reply
    if reply.status != 204:
        assert int(reply.header("Content-Length")) == len(reply.body)


def test_head_tells_what_get_tells_and_the_connection_goes_on(hub):
    """Of all that is long enough Ironic takes HEAD for the version document only."""
    connection = http.client.HTTPConnection("127.0.0.1", int(hub.gateway.url.rsplit(":", 1)[1]), timeout=10)
    heads = []
    for method in ("HEAD", "GET", "HEAD"):
        connection.request(method, "/v1/", headers={**ASKED, "X-OpenStack-Ironic-API-Version": LATEST})
        answer = connection.getresponse()
        body = answer.read()
        assert (answer.status, bool(body)) == (200, method == "GET")
        heads.append({name: value for name, value in answer.headers.items() if name in ("Content-Encoding", "Vary", "Content-Length", "Transfer-Encoding")})
    assert heads[0] == heads[1] == heads[2] and heads[0]["Content-Encoding"] == "gzip"
    connection.close()


@pytest.mark.parametrize(("value", "compressed"), [("gzip;q=0", False), ("identity", False), ("br, *;q=0.5", True), ("gzip;q=0.5, identity", False)])
def test_who_does_not_want_it_does_not_get_it(hub, value, compressed):
    assert (hub.get(LIST, headers={"Accept-Encoding": value}).header("Content-Encoding") == "gzip") is compressed


def test_http_1_0_gets_no_chunks(hub):
    host = hub.gateway.url.split("//")[1]
    for path, compressed in ((f"{LIST}/node-0001", True), (f"{LIST}/detail?limit=300", False)):
        head, _, body = hub.raw(f"GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept-Encoding: gzip\r\nX-OpenStack-Ironic-API-Version: 1.80\r\n\r\n".encode()).partition(b"\r\n\r\n")
        assert b"chunked" not in head.lower() and (b"Content-Encoding: gzip" in head.title().replace(b"Gzip", b"gzip")) is compressed
        json.loads(gzip.decompress(body) if compressed else body)


def test_a_location_is_asked_for_the_answer_as_it_is(hub):
    hub.forget_requests()
    hub.get(LIST, headers=ASKED)
    hub.get(f"{LIST}/node-0001/vendor_passthru?method=x", headers=ASKED)
    requests = [request for site in hub.all() for request in site.requests]
    assert requests and all(name.lower() != "accept-encoding" for request in requests for name, _ in request.headers)


def test_off_nothing_is_said_of_it():
    with fleet(Standin(NODES)) as hub:
        reply = hub.get(LIST, headers=ASKED)
        assert reply.status == 200 and reply.header("Content-Encoding") is None and reply.header("Vary") is None


def test_both_reasons_to_vary_are_told():
    origin = "https://horizon.example.com"
    with fleet(Standin(NODES), api={"gzip": "true", "gzip_min_length": 10}, sections={"cors": {"allowed_origin": origin}}) as hub:
        reply = hub.get(LIST, headers={**ASKED, "Origin": origin})
        assert sorted(reply.header_values("Vary")) == ["Accept-Encoding", "Origin"], reply
        assert reply.header("Content-Encoding") == "gzip"


def test_the_command_line_asks_for_it_and_reads_it(hub):
    """openstacksdk and ironicclient send `Accept-Encoding: gzip, deflate` by themselves."""
    hub.forget_requests()
    since = len(hub.gateway.log())
    listed = command(OS_AUTH_TYPE="none", OS_ENDPOINT=hub.gateway.url)("node", "list", "--limit", "0")
    assert len(listed) >= 599
    hub.gateway.answered()
    sent = [int(line.split(" len: ")[1].split()[0]) for line in hub.gateway.log()[since:].splitlines() if "GET /v1/nodes" in line]
    assert sent and sum(sent) < sum(len(hub.get("/v1/nodes").body) for _ in sent) / 4, sent
