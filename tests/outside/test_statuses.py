"""A status is chosen by what clients do with it: 503 is repeated by all of them, 504 by none."""

import scripted
from fleet import assert_fate_unknown, fleet, until
from standin import Standin, new_uuid, node


def test_retry_after_is_sent_to_those_who_want_it():
    with fleet(2, api={"retry_after": True}) as hub:
        record = hub.loc2.add(node("there"))
        assert hub.get("/v1/nodes/there").status == 200
        hub.loc2.down()
        reply = hub.get(f"/v1/nodes/{record['uuid']}")
        assert reply.status == 503 and int(reply.header("Retry-After")) > 0
        hub.loc2.up()
        hub.loc2.fault(scripted.close(), method="PUT")
        until(lambda: hub.get(f"/v1/nodes/{record['uuid']}").status == 200, what="the location")
        reply = hub.put(f"/v1/nodes/{record['uuid']}/states/power", {"target": "power on"})
        assert reply.status == 504 and reply.header("Retry-After") is None


def test_a_read_ends_at_the_deadline_of_the_request():
    """Whatever it is made of: here a name that is asked for at both locations, of which one never answers."""
    with fleet(2, api={"request_deadline": 1.5}, every={"timeout": 20}) as hub:
        hub.loc2.fault(scripted.hang(), path="/v1/.*")
        for path in ("/v1/nodes/nobody", "/v1/nodes"):
            reply = hub.get(path)
            # 503 if there was time to say which location is silent.
            assert reply.status in (503, 504), reply
            assert reply.seconds < 5


def test_an_answer_that_finds_no_memory_was_sent():
    """Whoever repeats the write does it twice; a create is looked for, as where its answer is lost."""
    with fleet(Standin([node("here")]), api={"max_buffered": 1 << 20, "request_deadline": 30}) as hub:
        for method in ("PATCH", "POST"):
            hub.loc1.fault(scripted.executed(scripted.too_big(2 << 20)), method=method)
        assert_fate_unknown(hub.patch("/v1/nodes/here", [{"op": "add", "path": "/extra/big", "value": 1}]), "loc1")
        assert len(hub.loc1.asked("PATCH")) == 1
        uuid = new_uuid()
        made = hub.post("/v1/nodes", {"driver": "d", "uuid": uuid})
        assert (made.status, made.json()["uuid"]) == (201, uuid), made
