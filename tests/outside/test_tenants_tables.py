"""Ironic's own tables of who may do what, replayed through the gateway: at one location, and split over two."""

import contextlib

import pytest
from rbac import cases
from tenants import Everybody, Seeded, hub, table, wait_for

# Ironic has no such route: any word behind `indicators/ID` is an argument too many, which it finds out last.
NO_ROUTE = {"owner_member_can_set_indicator", "third_party_admin_cannot_set_indicator"}


def replay(keystone, sites, found):
    """Each case that does not come out as Ironic has it, and how many there were."""
    wrong, count = [], 0
    for own_nodes in (True, False):
        with hub(keystone, sites, project_admin_can_manage_own_nodes=own_nodes) as gateway:
            wait_for(gateway, keystone)
            for case in found:
                if case.options["api.project_admin_can_manage_own_nodes"] is not own_nodes:
                    continue
                count += 1
                status, _, document = case.ask(gateway.url, {"X-Auth-Token": keystone.token_of(case.headers)})
                # A scope that a rule is not for is an unhandled exception in Ironic.
                is_scope = case.entry["assert_status"] == 500 and status == 403
                if not is_scope and case.name not in NO_ROUTE and (fault := case.wrong(status, document)):
                    wrong.append(f"{case.name}: {case.method} {case.path}: {fault}")
                if case.writes and status < 400:
                    for site in sites:
                        site.reset()
    return wrong, count


@pytest.mark.parametrize("parts", [["all"], ["left", "right"]], ids=["one", "two"])
def test_projects_get_what_ironic_gives_them(parts):
    with contextlib.ExitStack() as stack:
        sites = [stack.enter_context(Seeded(part)) for part in parts]
        keystone = stack.enter_context(Everybody({"gw": "secret"}))
        names = {name: value for site in sites for name, value in site.names.items()}
        wrong, count = replay(keystone, sites, list(cases(table("test_rbac_project_scoped.yaml"), names)))
    assert not wrong, f"{len(wrong)} of {count}:\n" + "\n".join(wrong)
    assert count == 598


def test_the_table_holds_at_ironic_itself():
    """The control: the seeded Ironic, asked directly."""
    with Seeded(token="") as site:
        wrong, options = [], None
        for case in cases(table("test_rbac_project_scoped.yaml"), site.names):
            if case.options != options:
                options = case.options
                site.post("/__conf", options)
            status, _, document = case.ask(site.url)
            if fault := case.wrong(status, document):
                wrong.append(f"{case.name}: {fault}")
            if case.writes and status < 400:
                site.reset()
    assert not wrong, "\n".join(wrong)
