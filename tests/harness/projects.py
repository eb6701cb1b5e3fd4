"""A gateway with tenants in front of stand-ins: who asks, and things that two locations have."""

import contextlib

from fleet import fleet, until
from standin import Standin, new_uuid, node
from tenants import ADMIN, Everybody

MINE, OTHER = "11111111aaaa", "22222222bbbb"
ROLES = "admin,manager,member,reader"
TENANT = {"X-Roles": ROLES, "X-Project-Id": MINE, "X-Project-Name": "mine"}
STRANGER = {"X-Roles": ROLES, "X-Project-Id": OTHER, "X-Project-Name": "other"}
LOCATION = "X-Ironic-Proxy-Location"


class Hub:
    def __init__(self, fleet, keystone):
        self.fleet, self.keystone = fleet, keystone
        # The newest that all have.
        self.version = min((site.versions[1] for site in fleet.all()), key=lambda version: int(version.split(".")[1]))

    def ask(self, who, method, path, body=None, **headers):
        return self.fleet.call(method, path, body, version=self.version, headers={"X-Auth-Token": self.keystone.token_of(who), **headers})

    def get(self, who, path, **headers):
        return self.ask(who, "GET", path, **headers)

    def counted(self, who, method, path, body=None):
        """The answer, and how many requests each location got for it."""
        self.fleet.forget_requests()
        reply = self.ask(who, method, path, body)
        return reply, self.fleet.asked()


@contextlib.contextmanager
def hub(*sites, **options):
    with Everybody({"gw": "secret"}) as keystone:
        inbound = {
            "auth_type": "password", "auth_url": keystone.endpoint, "username": "gw", "password": "secret",
            "user_domain_id": "default", "system_scope": "all",
        }  # fmt: skip
        api = {"auth_strategy": "keystone", **options.pop("api", {})}
        sections = {"keystone_authtoken": inbound, **options.pop("sections", {})}
        with fleet(*sites, wait=False, api=api, sections=sections, **options) as running:
            found = Hub(running, keystone)
            until(lambda: found.get(ADMIN, "/v1/nodes").status == 200)
            running.forget_requests()
            yield found


def twins(first, second):
    """The same UUID at two locations, and a port at each."""
    uuid = new_uuid()
    sites = [Standin([node("twin", uuid=uuid, owner=owner)]) for owner in (first, second)]
    for number, site in enumerate(sites):
        site.ports.append({"uuid": new_uuid(), "address": f"52:54:00:00:00:0{number}", "node_uuid": uuid})
    return uuid, sites
