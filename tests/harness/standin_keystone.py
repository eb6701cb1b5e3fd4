"""A stand-in for a Keystone, in memory and scriptable."""

import datetime
import uuid

from exchange import Answer
from sites import Site


class StandinKeystone(Site):
    """A Keystone v3: issues tokens for `users` (name -> password) and validates them.

    `lifetime` is that of new tokens in seconds; `catalog` lists (interface, region, url) of the Bare Metal service.
    """

    def __init__(self, users, *, lifetime=3600, catalog=()):
        self.users = dict(users)
        self.lifetime = lifetime
        self.catalog = list(catalog)
        self.tokens = {}
        super().__init__()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def valid(self, token):
        """Whether a token was issued here, is not revoked and has not expired."""
        document = self.tokens.get(token)
        return document is not None and document["expires_at"] > instant(0)

    def revoke_all(self):
        self.tokens.clear()

    def issued(self):
        """How many tokens were asked for so far."""
        return len(self.asked("POST", "/v3/auth/tokens"))

    def answer(self, request):
        path = request.path.rstrip("/")
        if path in ("", "/v3"):
            version = {
                "id": "v3.14",
                "status": "stable",
                "updated": "2020-04-07T00:00:00Z",
                "links": [{"rel": "self", "href": f"{self.endpoint}/v3/"}],
                "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
            }
            if path:
                return Answer.of_json(200, {"version": version})
            return Answer.of_json(300, {"versions": {"values": [version]}})
        if path != "/v3/auth/tokens":
            return Answer.of_json(404, {"error": {"code": 404, "title": "Not Found", "message": "Could not find."}})
        if request.method == "POST":
            return self._issue(request.json()["auth"])
        token = request.header("X-Subject-Token")
        if not self.valid(request.header("X-Auth-Token")):
            return _unauthorized()
        if not self.valid(token):
            message = f"Could not find token: {token}."
            return Answer.of_json(404, {"error": {"code": 404, "title": "Not Found", "message": message}})
        return Answer.of_json(200, {"token": self.tokens[token]}, [("X-Subject-Token", token)])

    def _issue(self, auth):
        identity = auth["identity"]
        if "password" not in identity["methods"]:
            return _unauthorized()
        user = identity["password"]["user"]
        if self.users.get(user.get("name")) != user["password"]:
            return _unauthorized()
        token = f"gAAAAA-stand-in-{uuid.uuid4().hex}"
        endpoints = [
            {"id": uuid.uuid4().hex, "interface": interface, "region": region, "region_id": region, "url": url}
            for interface, region, url in self.catalog
        ]
        document = {
            "methods": ["password"],
            "user": {"domain": {"id": "default", "name": "Default"}, "id": uuid.uuid4().hex, "name": user["name"]},
            "issued_at": instant(0),
            "expires_at": instant(self.lifetime),
            "audit_ids": ["stand-in"],
            # Keystone writes what a role implies beside it.
            "roles": [{"id": uuid.uuid4().hex, "name": name} for name in ("admin", "manager", "member", "reader")],
            "catalog": [{"id": uuid.uuid4().hex, "name": "ironic", "type": "baremetal", "endpoints": endpoints}],
        }
        scope = auth.get("scope", {})
        if "system" in scope:
            document["system"] = {"all": True}
        elif "project" in scope:
            document["project"] = {"domain": {"id": "default", "name": "Default"}, "id": uuid.uuid4().hex, "name": "service"}
        self.tokens[token] = document
        return Answer.of_json(201, {"token": document}, [("X-Subject-Token", token), ("Vary", "X-Auth-Token")])


def _unauthorized():
    message = "The request you have made requires authentication."
    return Answer.of_json(401, {"error": {"code": 401, "title": "Unauthorized", "message": message}})


def instant(ahead):
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=ahead)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
