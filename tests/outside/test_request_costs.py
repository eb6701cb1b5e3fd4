"""What one request costs, counted at the locations: questions to all of them together. What lists cost is in test_list_costs.py."""

import pytest
from fleet import fleet, until
from standin import Standin, new_uuid, node

P = 12


@pytest.fixture(scope="module")
def hub():
    with fleet(*(Standin() for _ in range(P))) as hub:
        yield hub


def questions(hub):
    return sum(hub.asked().values())


def known(hub):
    uuid = new_uuid()
    record = hub.loc7.add(node(f"n-{uuid}", uuid))
    # Asked for by its name, since then all have said who has it.
    assert hub.get(f"/v1/nodes/{record['name']}").status == 200
    hub.forget_requests()
    return record


@pytest.mark.parametrize("by", ["uuid", "name"])
@pytest.mark.parametrize(
    ("method", "below", "body", "status"),
    [
        ("GET", "", None, 200),
        ("GET", "?fields=uuid", None, 200),
        ("GET", "/states", None, 200),
        ("PATCH", "", [{"op": "add", "path": "/extra/a", "value": 1}], 200),
        ("PUT", "/maintenance", {"reason": "x"}, 202),
        ("DELETE", "/maintenance", None, 202),
        ("PUT", "/states/power", {"target": "power on"}, 202),
        ("PUT", "/traits/CUSTOM_A", None, 204),
        ("POST", "/vendor_passthru/method", {"a": 1}, 200),
        ("DELETE", "", None, 204),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_known_is_asked_once(hub, by, method, below, body, status):
    record = known(hub)
    reply = hub.call(method, f"/v1/nodes/{record[by]}{below}", body)
    assert reply.status == status, reply
    assert hub.asked() == {"loc7": 1}


def test_what_is_unknown_is_asked_of_each_once(hub):
    record = hub.loc7.add(node("unknown"))
    for ident in (record["uuid"], new_uuid(), "nobody"):
        hub.forget_requests()
        assert hub.get(f"/v1/nodes/{ident}").status in (200, 404)
        # Whoever has it answers for itself; a poll is one question each, also where nobody waits for the last answers.
        until(lambda: questions(hub) >= P, what="the questions")
        assert questions(hub) <= P + 1, ident


@pytest.mark.parametrize("given", [{}, {"uuid"}, {"name"}, {"instance_uuid"}, {"name", "instance_uuid"}], ids=lambda given: "+".join(sorted(given)))
def test_a_create_asks_the_others_what_it_claims(hub, given):
    body = {"driver": "fake-hardware", **{name: new_uuid() for name in given}}
    hub.forget_requests()
    assert hub.post("/v1/nodes", body).status == 201
    # A UUID that the gateway drew is free.
    assert questions(hub) == len(given) * (P - 1) + 1
    assert len(hub.loc1.asked()) == 1


def test_a_renaming_asks_the_others(hub):
    record = known(hub)
    patch = [{"op": "replace", "path": "/name", "value": f"r-{new_uuid()}"}]
    assert hub.patch(f"/v1/nodes/{record['uuid']}", patch).status == 200
    assert questions(hub) == P
