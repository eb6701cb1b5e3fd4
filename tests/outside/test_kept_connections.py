"""What is asked of a location goes out on connections that it has already: a round trip less over TCP, two less over TLS."""

import threading

import pytest
import scripted
from fleet import fleet, together, until
from pki import Authority, SecuredStandin
from standin import new_uuid, node


@pytest.fixture(scope="module", params=["http", "https"])
def hub(request, tmp_path_factory):
    # A probe that has the connection just then would be why there is another.
    quiet = {"probe_interval": 600}
    if request.param == "http":
        with fleet(2, every=quiet) as hub:
            yield hub
        return
    ca = Authority(tmp_path_factory.mktemp("pki"), "ca")
    edge = ca.issue("edge", hosts=["localhost"])
    with fleet(SecuredStandin(edge), SecuredStandin(edge), every={**quiet, "cafile": ca.certfile}) as hub:
        yield hub


def connections(hub):
    return [site.connections for site in hub.all()]


def known(hub):
    record = hub.loc2.add(node(f"n-{new_uuid()}"))
    assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
    return record


@pytest.mark.parametrize(
    ("method", "below", "body", "status"),
    [
        ("PATCH", "", [{"op": "add", "path": "/extra/a", "value": 1}], 200),
        ("PATCH", "", [{"op": "add", "path": "/extra/a", "value": "x" * 60_000}], 200),
        ("PUT", "/states/power", {"target": "power on"}, 202),
        ("PUT", "/traits/CUSTOM_A", None, 204),
        ("DELETE", "/maintenance", None, 202),
        ("DELETE", "", None, 204),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_write_goes_out_on_a_connection_of_the_pool(hub, method, below, body, status):
    record = known(hub)
    before = connections(hub)
    assert hub.call(method, f"/v1/nodes/{record['uuid']}{below}", body).status == status
    assert connections(hub) == before


def test_so_does_a_create_after_its_questions(hub):
    """What it claims is asked of all; then it is made where the answer has left a connection."""
    hub.get("/v1/nodes")
    before = connections(hub)
    assert hub.post("/v1/nodes", {"driver": "fake-hardware", "name": f"n-{new_uuid()}"}).status == 201
    assert connections(hub) == before


def test_a_create_makes_its_connection_while_others_are_asked(hub):
    """They are made at the same time, so that is no round trip; the others' questions use what they have."""
    hub.get("/v1/nodes")
    before = connections(hub)
    hub.loc1.hang_up()
    # Held until the other connection is there: were that made afterwards, nobody would ever be answered.
    ready = threading.Event()
    rule = hub.loc2.fault(scripted.held(ready), method="GET", path="/v1/nodes/.*")
    replies = []
    creating = threading.Thread(target=lambda: replies.append(hub.post("/v1/nodes", {"driver": "fake-hardware", "name": f"n-{new_uuid()}"})))
    creating.start()
    until(lambda: rule.hits, what="the question")
    until(lambda: hub.loc1.connections == before[0] + 1, what="the connection")
    ready.set()
    creating.join(10)
    hub.heal()
    assert [reply.status for reply in replies] == [201]
    assert connections(hub) == [before[0] + 1, before[1]]


def test_a_poll_leaves_the_connections_of_those_who_need_not_answer(hub):
    """One has it, and is quicker; what was asked of the other is read to its end."""
    late = threading.Event()
    rule = hub.loc1.fault(scripted.held(late), path="/v1/nodes/.+")

    def is_asked():
        # The owner may have answered before the other was asked at all: then there is nothing to see.
        record = hub.loc2.add(node(f"n-{new_uuid()}"))
        return hub.get(f"/v1/nodes/{record['uuid']}").status == 200 and rule.hits

    until(is_asked, what="a question to both")
    asked = hub.loc1.asked("GET", "/v1/nodes/.+")[-1]
    hub.forget_requests()
    late.set()

    def is_used_again():
        together(*[lambda: hub.get("/v1/nodes")] * 3)
        return any(request.connection == asked.connection for request in hub.loc1.asked())

    until(is_used_again, what="another question on that connection")
    hub.heal()


def test_one_that_the_location_closed_is_not_taken(hub):
    record = known(hub)
    path = f"/v1/nodes/{record['uuid']}"
    for _ in range(3):
        before = connections(hub)
        hub.loc2.hang_up()
        assert hub.patch(path, [{"op": "add", "path": "/extra/a", "value": 1}]).status == 200
        assert connections(hub) == [before[0], before[1] + 1]
    assert len(hub.loc2.asked("PATCH", path)) == 3
