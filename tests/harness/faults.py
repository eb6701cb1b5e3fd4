"""What tests of faults share: a gateway for a whole file that is mended around each test, and ways to break its sites."""

import pytest
import scripted
from fleet import fleet
from records import new_uuid
from standin import Standin, node

# One location for each conductor group.
GROUPS = "_:loc1,grp1:loc2,grp2:loc3"

# Ways in which a location cannot be asked.
SILENT = {"down": None, "html": scripted.html(), "hang": scripted.hang(), "401": scripted.says(401, "no"), "cut": scripted.cut_json()}


def hubs(count, **options):
    """The fixtures `module_hub`, one gateway for the file, and `hub`, the same as a test finds it: well and empty."""

    @pytest.fixture(scope="module")
    def module_hub():
        with fleet(count, **options) as hub:
            yield hub

    @pytest.fixture
    def hub(module_hub):
        mend(module_hub)
        yield module_hub
        mend(module_hub)

    return module_hub, hub


USER, PASSWORD = "edge-user", "edge-password"


def secret_hubs():
    """The same of two locations, of which the second one wants a password."""

    @pytest.fixture(scope="module")
    def module_hub():
        sites = [Standin(), Standin(credentials=("basic", USER, PASSWORD))]
        basic = {"auth_type": "http_basic", "username": USER, "password": PASSWORD}
        with fleet(*sites, each={"loc2": basic}) as hub:
            yield hub

    @pytest.fixture
    def hub(module_hub):
        mend(module_hub)
        yield module_hub

    return module_hub, hub


def mend(hub):
    """Every site up, well and empty."""
    for site in hub.all():
        if not site.listening():
            site.up()
        site.max_limit, site.database = 1000, "sqlite"
        for records in (site.nodes, site.ports, site.drivers, *site.objects.values()):
            records.clear()
    hub.heal()


def silence(site, way):
    """Makes a site one that cannot be asked."""
    if SILENT[way] is None:
        site.down()
    else:
        site.fault(SILENT[way])


def writes(hub):
    """Everything but questions that any location got."""
    told = {name: [str(request) for request in site.requests if request.method != "GET"] for name, site in hub.sites.items()}
    return {name: requests for name, requests in told.items() if requests}


def known(hub, location="loc2", **fields):
    """A node whose place the gateway knows."""
    record = hub.sites[location].add(node(f"known-{new_uuid()[:8]}", **fields))
    assert hub.get(f"/v1/nodes/{record['uuid']}").status == 200
    hub.forget_requests()
    return record


# --- objects that are the same everywhere


def body(kind, tag="A"):
    named = {"name": f"CUSTOM_{tag}", "steps": []} if kind in ("deploy_templates", "runbooks") else {"description": tag}
    return {"extra": {"kept": [1]}, **named}


def stock(hub, kind, *names, **members):
    """The same object at these locations (all), behind the gateway's back; returns its uuid."""
    ident = new_uuid()
    # As a site shows what was created there.
    given = {"owner": None, "public": False} if kind == "runbooks" else {}
    for name in names or hub.sites:
        record = {"created_at": "2026-11-22T10:00:00+00:00", "updated_at": None, **given, **body(kind), **members, "uuid": ident}
        hub.sites[name].objects[kind].append(record)
    return ident


def kept(hub, kind):
    """What each location has: name -> {uuid: record}."""
    return {name: {one["uuid"]: one for one in site.objects[kind]} for name, site in hub.sites.items()}


def change(value="B"):
    return [{"op": "replace", "path": "/extra", "value": {"changed": value}}]
