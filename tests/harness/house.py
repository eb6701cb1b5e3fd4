"""One Keystone at the hub, another at the edge, and Ironics on Keystone, http_basic and none behind one gateway."""

import contextlib

from client import Api, Client, until
from gateway import Gateway, config
from bed.ironic import Ironic, start_all
from bed.keystone import PROJECT, Keystone

SYSTEM = ("reader", "member", "manager", "admin", "service")
EDGE_USER = {"admin": "pass:w0rd"}


class House:
    """What runs for all tests of this file, and the gateway in front of it."""

    def __init__(self):
        self.hub = Keystone("hub", region="Hub")
        self.edge = Keystone("edge", region="Edge")
        self.keyed = Ironic("keyed", auth="keystone", keystone=self.edge)
        self.basic = Ironic("basic", group="grp1", auth="http_basic", users=EDGE_USER)
        self.open = Ironic("open", group="grp2")
        # At the hub's own Keystone: the tokens of its users are good there.
        self.shared = Ironic("shared", group="grp3", auth="keystone", keystone=self.hub)
        self.ironics = [self.keyed, self.basic, self.open, self.shared]
        # Its address stands in the hub's catalog, so it is known before anything is started.
        self.gateway = Gateway("")
        self.hub.baremetal_url = self.gateway.url
        self.edge.baremetal_url = self.keyed.url
        self._tokens = {}

    def start(self):
        for keystone in (self.hub, self.edge):
            keystone.start()
        start_all(self.ironics)
        self.gateway.write_config(self.config())
        self.gateway.start()
        admin = self.api("system admin")
        until(lambda: admin.get("/v1/nodes").status == 200, what="all locations")

    def config(self, locations=None, **options):
        """Keystone in, Keystone out, as in the seed: the location's endpoint is in the catalog of its own Keystone."""
        every = {
            "loc1": (self.keyed.url, {**self.edge.options(), "endpoint_override": None, "region_name": "Edge"}),
            "loc2": (self.basic.url, {"auth_type": "http_basic", "username": "admin", "password": EDGE_USER["admin"]}),
            "loc3": (self.open.url, {}),
        }
        every = locations or every
        return config(
            {name: url for name, (url, _) in every.items()},
            api={"auth_strategy": "keystone", **options.pop("api", {})},
            location_options={name: options for name, (_, options) in every.items()},
            sections={"keystone_authtoken": self.hub.middleware_options(), **options.pop("sections", {})},
            **options,
        )

    def token(self, who):
        """`system admin`, `project member`, …: of the hub's Keystone, the same one each time."""
        if who not in self._tokens:
            scope, role = who.split(" ")
            where = {"system": True} if scope == "system" else {"project": PROJECT}
            self._tokens[who] = self.hub.token(f"{scope}-{role}", **where)
        return self._tokens[who]

    def project(self):
        """The id of the project of `project admin` and the others."""
        return self.hub.call("GET", f"/projects?name={PROJECT}")["projects"][0]["id"]

    def api(self, who, url=None):
        return Api(url or self.gateway.url, headers={"X-Auth-Token": self.token(who)})

    def close(self):
        if self.gateway.process is not None:
            assert self.gateway.stop() == 0
        self.gateway._close()
        for thing in (*self.ironics, self.hub, self.edge):
            thing.close()


@contextlib.contextmanager
def application_credential(keystone, user, project, **options):
    """A credential of this user in this project: its id, name, secret and user_id."""
    token = keystone.token(user, project=project)
    users = keystone.call("GET", f"/users?name={user}")["users"]
    path = f"/v3/users/{users[0]['id']}/application_credentials"
    owner = {"version": None, "headers": {"X-Auth-Token": token}}
    body = {"application_credential": {"name": f"of {user}", **options}}
    answer = Client(keystone.auth_url).post(path, body, **owner)
    assert answer.status == 201, answer.body.decode()
    credential = answer.json()["application_credential"]
    try:
        yield {**credential, "user_id": users[0]["id"]}
    finally:
        Client(keystone.auth_url).delete(f"{path}/{credential['id']}", **owner)
