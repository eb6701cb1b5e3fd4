"""Requests of 21 callers about one node that has an owner and a lessee, and what they come to: `harness/rbac-matrix.tsv`.

The file holds what a real Ironic 39 answered. Its remote calls are cut off, so that `pass` is its 503; `pass:N` is N
after the rules said yes, `200:n` a list of n. Where Ironic fails with a 500, because a rule is not for projects, a 403
is meant.
"""

import contextlib
import json
import pathlib

import pytest
from client import Client
from rbac import NEWEST
from tenants import Everybody, Seeded, hub, wait_for

# Real Ironics, seeded; minutes.
pytestmark = pytest.mark.slow

MATRIX = pathlib.Path(__file__).parents[1] / "harness" / "rbac-matrix.tsv"
PROJECTS = {
    "own": "70e5e25a-2ca2-4cb1-8ae8-7d8739cee205",
    "les": "f11853c7-fa9c-4db3-a477-c9d8e0dbbf13",
    "3rd": "ae64129e-b188-4662-b014-4127f4366ee6",
}
ROLES = {
    "admin": "admin,manager,member,reader",
    "manager": "manager,member,reader",
    "member": "member,reader",
    "reader": "reader",
    "service": "service",
    "none": "observer",
}

# Answers that are not Ironic's, row by row, and why.
ORACLE = "Ironic tells that a hidden node is there; here it is absent"
ORDER = "refused by a rule before Ironic would have found a fault of the request's"
LATER = "Ironic looks at the state of the node before the right to the runbook"
NODE = "Ironic does not look at node= for the system, and fails with 500 for projects; here it is a filter for all"
RAMDISK = "where the ramdisk's node is has to be found before its body is judged"
GROUPS = "no such conductor group here"
EXCEPTED = {
    "port list ?node=": ORACLE,
    "portgroup list ?node=": ORACLE,
    "port list ?node=unowned": ORACLE,
    "portgroup list ?node=unowned": ORACLE,
    "volume/connectors list ?node=unowned": ORACLE,
    "volume/targets list ?node=unowned": ORACLE,
    "allocation list ?node=unowned": ORACLE,
    "allocation list ?node=owned": NODE,
    "port list ?project=": ORDER,
    "portgroup list ?project=": ORDER,
    "volume/connectors list ?project=": ORDER,
    "volume/targets list ?project=": ORDER,
    "patch /traits": ORDER,
    "patch /raid_config": ORDER,
    "provision clean, own runbook": LATER,
    "patch /conductor_group": GROUPS,
    "continue_inspection": RAMDISK,
}


def headers_of(caller):
    if caller == "no_auth":
        return None
    if caller == "elevated":
        return {"X-Roles": "service", "X-Project-Id": "service", "X-Project-Name": "service"}
    whose, role = caller.split("_")
    if whose == "sys":
        return {"X-Roles": ROLES[role], "OpenStack-System-Scope": "all"}
    return {"X-Roles": ROLES[role], "X-Project-Id": PROJECTS[whose], "X-Project-Name": whose}


class Matrix:
    def __init__(self, names):
        text = MATRIX.read_text(encoding="utf-8")
        # The fixtures of the run that made the file, and ours.
        for theirs, ours in {
            "a20ccee0-4ef5-4a92-a4c6-7084fb7e6761": "node_ident",
            "654c9a12-30ea-4753-b47b-74baed40e4bd": "runbook_ident",
            "a61453bb-77fb-476d-b9c1-5ea4a339ab2d": "lessee_portgroup_ident",
            "ec6a4815-8531-4b5f-974b-016bda96e623": "lessee_port_ident",
            "ff3dfd09-a8aa-4a3e-bfd2-a774c5249437": "volume_target_ident",
            "6fc2fb80-0762-4daa-a685-406cd5eaab9b": "volume_connector_ident",
            "34afae04-4686-4738-8536-0e5ca73db5ab": "lessee_allocation",
            "679594e5-adaf-4768-9eb6-f11eb4cfc0d4": "lessee_history_ident",
        }.items():
            text = text.replace(theirs, names[ours])
        head, *rows = (line.split("\t") for line in text.splitlines())
        self.callers = head[5:]
        self.rows = [(row[:4], dict(zip(self.callers, row[5:], strict=True))) for row in rows]


def is_as(cell, reply):
    """Whether an answer is what the file says."""
    if cell == "public":
        return reply.status not in (401, 403)
    if cell == "pass":
        return reply.status == 503
    if cell == "500":
        # Or Ironic's own, where it is not about scopes.
        return reply.status in (403, 500)
    status, _, length = cell.removeprefix("pass:").partition(":")
    if reply.status != int(status):
        return False
    if not length:
        return True
    return any(isinstance(value, list) and len(value) == int(length) for value in json.loads(reply.body).values())


@pytest.mark.timeout(600)
def test_every_row_of_the_matrix():
    wrong, differs, count = [], set(), 0
    with contextlib.ExitStack() as stack:
        site = stack.enter_context(Seeded("all", more=True))
        keystone = stack.enter_context(Everybody({"gw": "secret"}))
        options = {"rbac_service_role_elevated_access": True}
        gateway = stack.enter_context(hub(keystone, [site], default=options, enable_ramdisk_endpoints=True))
        wait_for(gateway, keystone)
        client, matrix = Client(gateway.url), Matrix(site.names)
        tokens = {caller: headers and keystone.token_of(headers) for caller in matrix.callers for headers in [headers_of(caller)]}
        for (row, method, path, body), cells in matrix.rows:
            for caller, cell in cells.items():
                sent = {"X-OpenStack-Ironic-API-Version": NEWEST}
                if tokens[caller]:
                    sent["X-Auth-Token"] = tokens[caller]
                if method in ("PUT", "POST", "PATCH"):
                    sent["Content-Type"] = "application/json"
                reply = client.call(method, path, (body or "{}").encode() if "Content-Type" in sent else None, headers=sent)
                if method != "GET" and reply.status < 400:
                    site.reset()
                count += 1
                if is_as(cell, reply):
                    continue
                if row in EXCEPTED:
                    differs.add(row)
                    # A denial is told otherwise; nothing is let in that Ironic keeps out.
                    assert reply.status >= 400 or cell.startswith(("200", "500")), (row, caller, cell, reply)
                else:
                    wrong.append(f"{row} | {caller}: {method} {path} {body} is {reply.status}, not {cell}: {reply.body[:200]}")
    assert not wrong, f"{len(wrong)} of {count}:\n" + "\n".join(wrong)
    assert count == 225 * 21
    assert differs == EXCEPTED.keys(), "these are as Ironic has them: " + ", ".join(EXCEPTED.keys() - differs)
