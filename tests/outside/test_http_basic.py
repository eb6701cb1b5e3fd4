"""Clients that prove themselves to the gateway by name and password."""

import base64
import re
import threading

import pytest
from fleet import fleet, until
from standin import Standin, new_uuid, node

# bcrypt of "secret-word" and of "pass:with:colons", at the lowest cost.
SECRET_WORD = "$2b$05$gjwQjW2y2x6mH4NKf8RgceUXos.g4cbJMr0pSJ/PeX4.jyx037fnu"
WITH_COLONS = "$2b$05$NaEIqFUFj4VxpQcGS2veKeDWpC.BFwWY9HTfAXBPE2nFYA0enB9Pu"
REALM = 'Basic realm="Baremetal API"'
def basic(user, password):
    text = f"{user}:{password}" if isinstance(password, str) else f"{user}:".encode() + password
    raw = text.encode() if isinstance(text, str) else text
    return {"Authorization": "Basic " + base64.b64encode(raw).decode()}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    users = tmp_path_factory.mktemp("users") / "htpasswd"
    users.write_text(
        f"# a comment\n\nmyName:{SECRET_WORD}\ncolons:{WITH_COLONS.replace('$2b$', '$2y$')}\n"
        f"myName:{WITH_COLONS}\nold:{SECRET_WORD.replace('$2b$', '$2a$')}\n"
    )
    api = {"auth_strategy": "http_basic"}
    sites = [Standin([node("here")]), Standin()]
    with fleet(*sites, wait=False, api=api, default={"http_basic_auth_user_file": users}) as hub:
        until(lambda: hub.get("/v1/nodes", headers=basic("myName", "secret-word")).status == 200)
        hub.forget_requests()
        hub.users = users
        yield hub


@pytest.fixture
def door(guarded):
    guarded.heal()
    return guarded


@pytest.mark.parametrize(
    "headers",
    [
        basic("myName", "secret-word"),
        {"Authorization": basic("myName", "secret-word")["Authorization"].replace("Basic", "bAsIc")},
        basic("colons", "pass:with:colons"),
        basic("old", "secret-word"),
    ],
)
def test_who_may_come_in(door, headers):
    for _ in range(2):
        assert door.get("/v1/nodes", headers=headers).names() == ["here"]
    for site in door.all():
        assert all(request.header("Authorization") is None for request in site.requests), "the client's password was handed on"


WRONG = {"error": {"message": "Incorrect username or password", "code": 401}}
MISSING = {"error": {"message": "Authorization required", "code": 401}}


@pytest.mark.parametrize(
    ("headers", "status", "document"),
    [
        ({}, 401, MISSING),
        (basic("myName", "wrong"), 401, WRONG),
        (basic("nobody", "secret-word"), 401, WRONG),
        (basic("myname", "secret-word"), 401, WRONG),
        (basic("myName", "secret-word "), 401, WRONG),
        (basic("myName", "pass:with:colons"), 401, WRONG),
        (basic("myName", ""), 401, WRONG),
        (basic("", "secret-word"), 401, WRONG),
        (basic("myName", "x" * 100), 401, WRONG),
        (basic("myName", b"\xff\xfe"), 401, WRONG),
        ({"Authorization": "Basic !!!"}, 400, "Could not decode authorization token"),
        ({"Authorization": "Basic " + base64.b64encode(b"nocolon").decode()}, 400, "Could not decode authorization token"),
        ({"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:x").decode()}, 400, "Could not decode authorization token"),
        ({"Authorization": "Bearer abc"}, 400, 'Unsupported authorization type "Bearer"'),
        ({"Authorization": "Basic"}, 400, "Could not parse Authorization header"),
        ({"X-Auth-Token": "abc"}, 401, MISSING),
    ],
)
def test_who_may_not(door, headers, status, document):
    if isinstance(document, str):
        document = {"error": {"message": document, "code": 400}}
    for path in ("/v1/nodes", "/v1/nodes/here", "/v1/nodes/nobody", "/v1/gadgets"):
        reply = door.get(path, headers=headers)
        assert (reply.status, reply.json()) == (status, document), reply
        assert reply.header("Content-Type") == "application/json"
        assert reply.header("WWW-Authenticate") == (REALM if status == 401 else None)
    assert door.asked() == {}


def test_the_bytes_of_a_refusal(door):
    assert door.get("/v1/nodes").body == b'{"error":{"message":"Authorization required","code":401}}'


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_no_request_comes_before_the_door(door, method):
    """401 before 404, before the version and before the body is looked at."""
    for path in ("/v1/nodes", "/v1/nodes/nobody", "/nodes", "/v1/nodes/here/states/power", "/lookup"):
        reply = door.call(method, path, None if method in ("GET", "DELETE") else b"{", version="9.99")
        assert reply.status == 401, reply
    assert door.asked() == {}


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/healthcheck"])
def test_public_paths(door, path):
    assert door.get(path).status == 200
    assert door.call("OPTIONS", "/v1/nodes").status == 200


def test_two_authorizations_are_refused(door):
    good = basic("myName", "secret-word")["Authorization"]
    for pair in ((good, "Basic x"), ("Basic x", good), (good, good)):
        reply = door.get("/v1/nodes", headers=[("Authorization", value) for value in pair])
        assert reply.status in (400, 401), reply


def test_the_file_is_read_again(door):
    original = door.users.read_text()
    try:
        door.users.write_text(f"newcomer:{SECRET_WORD}\n")
        until(lambda: door.get("/v1/nodes", headers=basic("newcomer", "secret-word")).status == 200, what="the new user")
        # Its success was remembered; a line that is gone must not be.
        assert door.get("/v1/nodes", headers=basic("myName", "secret-word")).status == 401
        door.users.write_text(f"newcomer:{SECRET_WORD}\nbob:plain-text\n")

        def said():
            assert door.get("/v1/nodes", headers=basic("newcomer", "secret-word")).status == 200, "a bad file keeps the old"
            return re.search("ERROR.*", door.gateway.log())

        until(said, what="an error about the bad file")
        assert "plain-text" not in door.gateway.log()
    finally:
        door.users.write_text(original)
    until(lambda: door.get("/v1/nodes", headers=basic("myName", "secret-word")).status == 200, what="the old users")


def test_wrong_passwords_starve_nobody(door):
    assert door.get("/v1/nodes/here", headers=basic("myName", "secret-word")).status == 200
    stop = threading.Event()

    def guess():
        while not stop.is_set():
            assert door.get("/v1/nodes", headers=basic("myName", new_uuid())).status in (401, 503)

    threads = [threading.Thread(target=guess) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            reply = door.get("/v1/nodes/here", headers=basic("myName", "secret-word"))
            assert reply.status == 200
            assert reply.seconds < 2
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_no_password_is_in_the_log(door):
    door.get("/v1/nodes", headers=basic("myName", "secret-word"))
    door.get("/v1/nodes", headers=basic("myName", "wrong-but-secret"))
    log = door.gateway.log()
    for secret in ("secret-word", "wrong-but-secret", SECRET_WORD, basic("myName", "secret-word")["Authorization"].split()[1]):
        assert secret not in log
