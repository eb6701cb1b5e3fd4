"""Every route there is: nothing is said to be absent, or to be all, while a location did not say so."""

import pytest
import scripted
from faults import GROUPS, body, change, hubs, mend
from projects import TENANT
from projects import hub as house
from routes import table
from standin import Standin, new_uuid

SAYS = {
    "closes": scripted.close(),
    "fails": scripted.says(500, "Its database is down"),
    "refuses": scripted.says(403, "Not you"),
    "is cut off": scripted.cut_json(),
}
WHO = {"all": ("loc1", "loc2", "loc3"), "the first": ("loc1",), "the last": ("loc3",)}
# What every Ironic has and can be told by any one of them, or says without looking: a root document, a parameter that is missing.
SAME = {("GET", "volume"), ("GET", "nodes/validate"), ("*", "continue_inspection"), ("POST", "continue_inspection")}
# Done where it belongs, and marked where that could not be held against the others.
PLACED = {("POST", "nodes")}

module_hub, hub = hubs(3, groups=GROUPS, every={"timeout": 1, "breaker_failures": 1_000_000}, api={"enable_ramdisk_endpoints": True})


def request(method, template, ident):
    path = f"/v1/{template.replace('{}', ident)}"
    if template == "lookup":
        path += f"?addresses=52:54:00:00:00:01&node_uuid={ident}"
    if method == "PATCH":
        return method, path, change()
    if method in ("GET", "DELETE"):
        return method, path, None
    kind = template.split("/")[0]
    if kind in ("chassis", "deploy_templates", "runbooks", "inspection_rules"):
        return method, path, body(kind)
    things = {"nodes": {"driver": "d", "name": "x"}, "allocations": {"resource_class": "c", "name": "a"}}
    return method, path, things.get(template, {"target": "x", "node_uuid": ident, "address": "52:54:00:00:00:01"})


@pytest.mark.parametrize("says", SAYS)
@pytest.mark.parametrize("who", WHO)
def test_no_route_says_absent_for_one_that_did_not(hub, who, says):
    wrong = []
    for method, template in table():
        # The answer to an event has no body that could be cut off.
        if (method, template) in SAME or (template, says) == ("events", "is cut off"):
            continue
        for ident in {new_uuid(), "some-name" if "{}" in template else ""} - {""}:
            mend(hub)
            for name in WHO[who]:
                hub.sites[name].fault(SAYS[says])
            asked = request("POST" if method == "*" else method, template, ident)
            reply = hub.call(*asked)
            is_marked = (method, template) in PLACED and reply.header("X-Ironic-Proxy-Unverified")
            if (reply.status == 404 or reply.status < 400) and not is_marked:
                wrong.append((*asked[:2], str(reply)[:300]))
    assert not wrong, "\n".join(map(str, wrong))


@pytest.fixture(scope="module")
def project():
    with house(Standin(), Standin(), Standin(), every={"timeout": 1, "breaker_failures": 1_000_000}) as running:
        yield running


@pytest.mark.parametrize("says", SAYS)
@pytest.mark.parametrize("who", WHO)
def test_no_project_is_told_so_either(project, who, says):
    wrong = []
    for method, template in table():
        if (method, template) in SAME:
            continue
        for ident in {new_uuid(), "some-name" if "{}" in template else ""} - {""}:
            mend(project.fleet)
            for name in WHO[who]:
                project.fleet.sites[name].fault(SAYS[says])
            asked = request("POST" if method == "*" else method, template, ident)
            reply = project.ask(TENANT, *asked)
            is_marked = (method, template) in PLACED and reply.header("X-Ironic-Proxy-Unverified")
            if (reply.status == 404 or reply.status < 400) and not is_marked:
                wrong.append((*asked[:2], str(reply)[:300]))
    assert not wrong, "\n".join(map(str, wrong))
