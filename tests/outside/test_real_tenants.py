"""Projects at real Ironics of different age, none of which enforces anything itself."""

import pytest
from client import OLD, VERSION, Api, until
from gateway import Gateway, config
from tenants import ADMIN, Everybody

ROLES = "admin,manager,member,reader"
MINE, OTHER = (
    {"X-Roles": ROLES, "X-Project-Id": project, "X-Project-Name": project} for project in ("11111111aaaa", "22222222bbbb")
)


@pytest.mark.parametrize("group", ["", "grp2"], ids=["new", "old"])
@pytest.mark.usefixtures("clean")
def test_an_old_ironic_has_owners_and_lessees_too(sites, group):
    inbound = {"auth_type": "password", "username": "gw", "password": "secret", "user_domain_id": "default", "system_scope": "all"}
    with Everybody({"gw": "secret"}) as keystone:
        text = config(
            {"loc1": sites["loc1"].url, "old": sites["old"].url},
            groups="_:loc1,grp2:old",
            api={"auth_strategy": "keystone"},
            sections={"keystone_authtoken": {**inbound, "auth_url": keystone.endpoint}},
        )
        with Gateway(text) as gateway:
            admin, owner, other = (Api(gateway.url, OLD, headers={"X-Auth-Token": keystone.token_of(who)}) for who in (ADMIN, MINE, OTHER))
            until(lambda: admin.get("/v1/nodes").status == 200)
            hidden = admin.create(name="hidden", conductor_group=group)["uuid"]
            body = {"driver": "fake-hardware", "name": "mine", "lessee": OTHER["X-Project-Id"], "conductor_group": group}
            made = owner("POST", "/v1/nodes", json=body)
            assert (made.status, made.json().get("owner")) == (201, MINE["X-Project-Id"]), made.body.decode()
            mine = made.json()["uuid"]
            port = owner("POST", "/v1/ports", json={"address": "52:54:00:00:00:01", "node_uuid": mine})
            assert port.status == 201, port.body.decode()
            assert owner("POST", "/v1/ports", json={"address": "52:54:00:00:00:02", "node_uuid": hidden}).status == 403
            for version in (OLD, "1.60", "1.40"):
                for api in (owner, other):
                    asked = {VERSION: version}
                    assert [item["uuid"] for item in api.get("/v1/nodes", headers=asked).json()["nodes"]] == [mine]
                    assert [item["uuid"] for item in api.get("/v1/ports", headers=asked).json()["ports"]] == [port.json()["uuid"]]
                    masked = "edacted" in str(api.get(f"/v1/nodes/{mine}", headers=asked).json()["driver_info"])
                    assert masked == (api is other), version
                    assert api.get(f"/v1/nodes/{hidden}", headers=asked).status == 404
            assert other.patch(f"/v1/nodes/{mine}", ("add", "/extra/a", 1)).status == 200
            assert other.patch(f"/v1/nodes/{mine}", ("add", "/properties/a", 1)).status == 403
            for api, node, status in ((other, mine, 403), (owner, hidden, 404), (owner, mine, 204)):
                assert api("DELETE", f"/v1/nodes/{node}").status == status
