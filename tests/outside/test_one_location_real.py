"""Two new Ironics and one of 2023: what the new ones have is there for who names them, by the real command."""

import pytest

from client import Api, Refused, command, until, wipe
from gateway import Gateway, config


@pytest.fixture(scope="module")
def gateway(sites):
    locations = {"loc1": sites["loc1"].url, "loc2": sites["loc2"].url, "old": sites["old"].url}
    with Gateway(config(locations, api={"location_endpoints": True})) as running:
        api = Api(running.url, version="1.82")
        until(lambda: api.get("/v1/nodes").status == 200, what="all locations")
        yield running


def test_the_old_one_holds_nobody_back(gateway, direct):
    everywhere = command(OS_AUTH_TYPE="none", OS_ENDPOINT=gateway.url)
    new = command(OS_AUTH_TYPE="none", OS_ENDPOINT=f"{gateway.url}/locations/loc2")
    old = command(OS_AUTH_TYPE="none", OS_ENDPOINT=f"{gateway.url}/locations/old")
    try:
        with pytest.raises(Refused):
            everywhere("runbook", "list")
        made = new("node", "create", "--driver", "fake-hardware", "--name", "parent", "--conductor-group", "grp1")
        new("node", "create", "--driver", "fake-hardware", "--name", "child", "--conductor-group", "grp1", "--parent-node", made["uuid"])
        children = new("node", "children", "list", "parent")
        assert new("node", "show", "child")["uuid"] in str(children)
        step = '[{"interface": "bios", "step": "apply_configuration", "args": {"settings": []}, "order": 1}]'
        new("runbook", "create", "--name", "CUSTOM_R", "--steps", step)
        assert [row["name"] for row in new("runbook", "list")] == ["CUSTOM_R"]
        assert new("node", "firmware", "list", "parent") == []
        assert new("inspection", "rule", "list") == []
        # Of the others none has any of it.
        assert direct["loc1"].ok("GET", "/v1/runbooks")["runbooks"] == []
        assert old("node", "list") == []
        with pytest.raises(Refused):
            old("runbook", "list")
    finally:
        for asked in direct.values():
            wipe(asked)
        for runbook in direct["loc2"].ok("GET", "/v1/runbooks")["runbooks"]:
            direct["loc2"]("DELETE", f"/v1/runbooks/{runbook['uuid']}")
