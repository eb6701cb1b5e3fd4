"""Ironic's own tables of who may do what, replayed through the gateway: at one location, and split over two."""

import contextlib

import pytest
from rbac import cases
from tenants import Everybody, Seeded, hub, table, wait_for

# Real Ironics, seeded; minutes.
pytestmark = pytest.mark.slow

# A vendor's method that is named in the query is asked for with a driver that no conductor has.
VENDORS = "/vendor_passthru?method="


class Replay:
    """Cases that did not come out as Ironic has them."""

    def __init__(self, sites):
        self.sites, self.wrong, self.count = sites, [], 0

    def judge(self, case, status, document):
        self.count += 1
        if fault := case.wrong(status, document):
            self.wrong.append(f"{case.name}: {case.method} {case.path}: {fault}")
        if case.writes and status < 400:
            for site in self.sites:
                site.reset()

    def expect(self, count):
        assert not self.wrong, f"{len(self.wrong)} of {self.count}:\n" + "\n".join(self.wrong)
        assert self.count == count


def through_the_gateway(keystone, sites, found):
    """Each option of the table's has a gateway of its own."""
    replay = Replay(sites)
    every = {tuple(sorted(case.options.items())) for case in found}
    for options in sorted(every):
        default = {name.removeprefix("DEFAULT."): value for name, value in options if name.startswith("DEFAULT.")}
        api = {name.removeprefix("api."): value for name, value in options if name.startswith("api.")}
        with hub(keystone, sites, default=default, **api) as gateway:
            wait_for(gateway, keystone)
            for case in found:
                if tuple(sorted(case.options.items())) != options:
                    continue
                status, _, document = case.ask(gateway.url, {"X-Auth-Token": keystone.token_of(case.headers)})
                # A scope that a rule is not for is an unhandled exception in Ironic.
                is_scope = case.entry["assert_status"] == 500 and status == 403
                replay.judge(case, 500 if is_scope else status, document)
    return replay


def directly(site, found):
    """The control: the seeded Ironic itself."""
    replay, options = Replay([site]), None
    for case in found:
        if case.options != options:
            options = case.options
            site.post("/__conf", options)
        status, _, document = case.ask(site.url)
        replay.judge(case, status, document)
    return replay


@pytest.mark.parametrize("parts", [["all"], ["left", "right"]], ids=["one", "two"])
def test_projects_get_what_ironic_gives_them(parts):
    with contextlib.ExitStack() as stack:
        sites = [stack.enter_context(Seeded(part)) for part in parts]
        keystone = stack.enter_context(Everybody({"gw": "secret"}))
        names = {name: value for site in sites for name, value in site.names.items()}
        found = list(cases(table("test_rbac_project_scoped.yaml"), names))
        through_the_gateway(keystone, sites, found).expect(598)


def of_the_system(names):
    found = cases(table("test_rbac_system_scoped.yaml"), names)
    return [case for case in found if not (VENDORS in case.path and case.path.startswith("/v1/drivers"))]


def without_groups(found):
    """A node does not go to a conductor group that no location has."""
    return [case for case in found if case.name != "system_member_can_patch_conductor_group"]


def test_the_system_gets_what_ironic_gives_it():
    with Seeded("system") as site, Everybody({"gw": "secret"}) as keystone:
        through_the_gateway(keystone, [site], without_groups(of_the_system(site.names))).expect(370)


@pytest.mark.timeout(300)
def test_the_tables_hold_at_ironic_itself():
    with Seeded(token="") as site:
        directly(site, cases(table("test_rbac_project_scoped.yaml"), site.names)).expect(598)
    with Seeded("system", token="") as site:
        directly(site, of_the_system(site.names)).expect(371)
