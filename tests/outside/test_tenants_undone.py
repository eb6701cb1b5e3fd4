"""A node of a project is made in two steps below 1.11, and where Ironic takes no owner from us. Either both are done, or
nothing is left, or the client and the log are told what is."""

import pytest
import scripted
from projects import LOCATION, MINE, TENANT, hub
from standin import Standin

NODES, ONE = "/v1/nodes", "/v1/nodes/.+"
LOCKED = scripted.says(409, "Node is locked by host conductor1, please retry after the current operation is completed.")
BUSY = scripted.says(503, "Service Unavailable")
DRIVER = {"driver": "d", "name": "new"}


@pytest.fixture(params=[True, False], ids=["told", "hidden"])
def house(request):
    """`tell_location` of either kind."""
    with hub(Standin(), api={"tell_location": request.param}) as running:
        running.tells = request.param
        yield running


def make(running, version="1.10", path=NODES, body=DRIVER):
    if version == "1.115":
        # As an Ironic without Keystone, to which nobody is of the system.
        text = "Cannot create a thing as a project scoped admin with an owner other than your own project."
        running.fleet.loc1.fault(scripted.says(400, text), "POST", path, times=1)
    headers = {"X-Auth-Token": running.keystone.token_of(TENANT)}
    return running.fleet.call("POST", path, body, version=version, headers=headers)


def owners(running):
    return [record["owner"] for record in running.fleet.loc1.nodes]


@pytest.mark.parametrize("version", ["1.10", "1.115"])
def test_both_steps_are_done(house, version):
    made = make(house, version)
    assert (made.status, owners(house)) == (201, [MINE]), made
    assert made.header(LOCATION) == ("loc1" if house.tells else None)


@pytest.mark.parametrize("version", ["1.10", "1.115"])
@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        (LOCKED, 409, "is locked"),
        (BUSY, 503, "Service Unavailable"),
        # It is not known whether it was executed; what is known is that nothing is left of it.
        (scripted.close(), 503, "please retry"),
        (scripted.executed(scripted.close()), 503, "please retry"),
        (scripted.html(), 503, "please retry"),
    ],
    ids=["locked", "busy", "silent", "executed", "portal"],
)
def test_what_gets_no_owner_is_gone_again(house, version, fault, status, words):
    site = house.fleet.loc1
    site.fault(fault, "PATCH", ONE)
    made = make(house, version)
    assert (made.status, words in made.text(), owners(house)) == (status, True, []), made
    assert "loc1" not in made.text() or house.tells
    site.heal()
    assert (make(house, version).status, owners(house)) == (201, [MINE])


def test_what_cannot_be_deleted_gets_its_owner_after_all(house):
    site = house.fleet.loc1
    for deleting in (LOCKED, BUSY, scripted.close(), scripted.html()):
        site.nodes.clear()
        site.fault(LOCKED, "PATCH", ONE, times=1)
        site.fault(deleting, "DELETE", ONE)
        made = make(house)
        assert (made.status, made.json()["name"], owners(house)) == (201, "new", [MINE]), made
        site.heal()


@pytest.mark.parametrize("deleting", [LOCKED, BUSY, scripted.close(), scripted.html()], ids=["locked", "busy", "silent", "portal"])
@pytest.mark.parametrize("giving", [LOCKED, scripted.close()], ids=["locked", "silent"])
def test_what_is_left_is_told(house, giving, deleting):
    """Neither done nor undone: the client learns which node that is, and no client repeats it by itself."""
    site = house.fleet.loc1
    site.fault(giving, "PATCH", ONE)
    site.fault(deleting, "DELETE", ONE)
    made = make(house)
    [left] = site.nodes
    assert (made.status, left["owner"]) == (500, None), made
    for words in (left["uuid"], "was created, but its owner could not be set", "could not be deleted", "an administrator"):
        assert words in made.text(), made
    assert ("It is at loc1." in made.text(), "loc1" in str(made.pairs)) == (house.tells, False)
    house.fleet.logged(f"{left['uuid']} was created, but its owner could not be set.*loc1.*project {MINE}")


def test_what_was_deleted_meanwhile_is_no_success(house):
    site = house.fleet.loc1
    gone = scripted.says(404, "Node could not be found.")
    site.fault(LOCKED, "PATCH", ONE)
    site.fault(gone, "DELETE", ONE)
    assert make(house).status == 409
    assert len(site.asked("PATCH", ONE)) == 1


def test_what_is_gone_when_it_is_to_get_its_owner_after_all_is_not_left(house):
    """It was deleted, and the answer to that was lost."""
    site = house.fleet.loc1
    site.fault(LOCKED, "PATCH", ONE, times=1)
    site.fault(scripted.executed(scripted.close()), "DELETE", ONE)
    made = make(house)
    assert (made.status, "is locked" in made.text(), owners(house)) == (409, True, []), made


def test_a_create_whose_answer_is_lost_is_logged(house):
    house.fleet.loc1.fault(scripted.close(), "POST", NODES)
    house.fleet.loc1.fault(BUSY, "GET", ONE)
    assert make(house).status == 504
    house.fleet.logged(f"for project {MINE} was not answered: if it was executed, there is a Node without an owner")


def test_a_runbook_gets_its_owner_or_goes_again(house):
    site = house.fleet.loc1
    body = {"name": "CUSTOM_A", "steps": [{"interface": "bios", "step": "s", "args": {}, "order": 1}]}
    made = make(house, "1.115", "/v1/runbooks", body)
    assert (made.status, [one["owner"] for one in site.objects["runbooks"]]) == (201, [MINE]), made
    site.objects["runbooks"].clear()
    site.fault(BUSY, "PATCH", "/v1/runbooks/.+")
    made = make(house, "1.115", "/v1/runbooks", body)
    assert (made.status, site.objects["runbooks"]) == (503, []), made
    site.fault(BUSY, "DELETE", "/v1/runbooks/.+")
    made = make(house, "1.115", "/v1/runbooks", body)
    [left] = site.objects["runbooks"]
    assert (made.status, left["uuid"] in made.text(), "loc1" in made.text()) == (500, True, False), made


SECRET = {"name": "CUSTOM_A", "steps": [{"interface": "bios", "step": "s", "args": {"password": "p"}, "order": 1}]}


@pytest.fixture
def two():
    """The first of two locations takes no owner from us, the second one gives none."""
    with hub(Standin(), Standin()) as running:
        text = "Cannot create a runbook as a project scoped admin with an owner other than your own project."
        running.fleet.loc1.fault(scripted.says(400, text), "POST", "/v1/runbooks", times=1)
        yield running


def runbooks(running):
    return [[one["owner"] for one in site.objects["runbooks"]] for site in running.fleet.all()]


def test_what_holds_secrets_is_gone_again_everywhere(two):
    """It could not be put back, and nobody wants it back."""
    two.fleet.loc2.fault(LOCKED, "PATCH", "/v1/runbooks/.+")
    made = two.ask(TENANT, "POST", "/v1/runbooks", SECRET)
    assert (made.status, "is locked" in made.text(), runbooks(two)) == (409, True, [[], []]), made


def test_what_holds_secrets_and_is_gone_at_one_location_only_is_told(two):
    two.fleet.loc2.fault(LOCKED, "PATCH", "/v1/runbooks/.+", times=1)
    two.fleet.loc2.fault(BUSY, "DELETE", "/v1/runbooks/.+")
    made = two.ask(TENANT, "POST", "/v1/runbooks", SECRET)
    assert (made.status, runbooks(two)) == (500, [[], [MINE]]), made
    assert "was created, but it may be gone again at some of its locations" in made.text()


@pytest.mark.parametrize("body", [SECRET, {**SECRET, "steps": [{"interface": "bios", "step": "s", "args": {}, "order": 1}]}], ids=["secrets", "plain"])
def test_what_could_not_be_put_back_at_a_location_is_told(two, body):
    """It gets its owner where it is left, and the other one does not show that it lacks it."""
    two.fleet.loc2.fault(LOCKED, "PATCH", "/v1/runbooks/.+", times=1)
    two.fleet.loc2.fault(BUSY, "DELETE", "/v1/runbooks/.+")
    # It was made there after all, and is not made once more.
    two.fleet.loc1.fault(BUSY, "POST", "/v1/runbooks", skip=2)
    made = two.ask(TENANT, "POST", "/v1/runbooks", body)
    assert (made.status, runbooks(two)) == (500, [[], [MINE]]), made
    assert "was created, but it may be gone again at some of its locations" in made.text()
