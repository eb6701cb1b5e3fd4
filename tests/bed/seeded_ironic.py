"""Ironic's own API with the fixtures of Ironic's own tests of its policies: a program for its environment.

    seeded_ironic.py PORT DIRECTORY PART TOKEN

Remote calls are cut off as in those tests, so that 503 means "allowed". PART says which of the fixtures are here: all, or
one side of them (left: what a project owns; right: what it leases, and what is nobody's), or those of the table for
the system's tokens (system). With a TOKEN requests that
bring it are those of a system admin, and all others are refused; without one the identity headers are believed, as
keystonemiddleware would have set them.

POST /__reset brings the fixtures back; POST /__conf sets options, JSON of section.name to value.
"""

import contextlib
import json
import shutil
import sys
import warnings
from pathlib import Path
from unittest import mock

warnings.simplefilter("ignore")
# Beside this file is one that is called ironic.
sys.path.pop(0)

# The first of Ironic's: it chooses threads.
from ironic.tests.unit.db import utils as fixtures  # noqa: E402, I001
from cheroot import wsgi  # noqa: E402
from keystonemiddleware import auth_token  # noqa: E402
from oslo_config import cfg  # noqa: E402

from ironic.api import app  # noqa: E402
from ironic.common import exception  # noqa: E402
from ironic.conductor import rpcapi  # noqa: E402
from ironic.db import api as db_api  # noqa: E402
from ironic.db.sqlalchemy import models  # noqa: E402
from oslo_db.sqlalchemy import enginefacade  # noqa: E402

OWNER = "70e5e25a-2ca2-4cb1-8ae8-7d8739cee205"
LESSEE = "f11853c7-fa9c-4db3-a477-c9d8e0dbbf13"
OWNED_NODE = "1ab63b9e-66d7-4cd7-8618-dddd0f9f7881"
LEASED_NODE = "38d5abed-c585-4fce-a57e-a2ffc2a2ec6f"
ADMIN = {
    "HTTP_X_ROLES": "admin,manager,member,reader",
    "HTTP_OPENSTACK_SYSTEM_SCOPE": "all",
    "HTTP_X_USER_ID": "gateway",
    "HTTP_X_IDENTITY_STATUS": "Confirmed",
}


def left():
    """As `TestRBACProjectScoped` makes them, `test_acl.py`."""
    owned = fixtures.create_test_node(uuid=OWNED_NODE, owner=OWNER, last_error="meow", reservation="lolcats")
    # Not seen by its parent's owner.
    fixtures.create_test_node(uuid="2b3b8adb-add7-4fd0-8e82-dcb714d848e7", parent_node=owned.uuid)
    fixtures.create_test_node(uuid="3c3b8adb-edd7-3ed0-8e82-aab714d8411a", parent_node=owned.uuid, owner=OWNER)
    fixtures.create_test_port(uuid="ebe30f19-358d-41e1-8d28-fd7357a0164c", node_id=owned.id, address="00:00:00:00:00:01")
    fixtures.create_test_port(uuid="21a3c5a7-1e14-44dc-a9dd-0c84d5477a57", node_id=owned.id, address="00:00:00:00:00:02")
    fixtures.create_test_portgroup(uuid="b16efcf3-2990-41a1-bc1d-5e2c16f3d5fc", node_id=owned.id, name="magicfoo", address="01:03:09:ff:01:01")
    fixtures.create_test_volume_target(uuid="a265e2f0-e97f-4177-b1c0-8298add53086", node_id=owned.id)
    fixtures.create_test_volume_connector(
        uuid="65ea0296-219b-4635-b0c8-a6e055da878d", node_id=owned.id, connector_id="iqn.2012-06.org.openstack.magic"
    )
    allocation = fixtures.create_test_allocation(node_id=owned.id, owner=OWNER, resource_class="CUSTOM_TEST")
    history = fixtures.create_test_history(node_id=owned.id)
    fixtures.create_test_inventory(node_id=owned.id)
    return {
        "owner_allocation": allocation["uuid"],
        "owned_history_ident": history["uuid"],
        "owner_node_ident": OWNED_NODE,
        "owner_port_ident": "ebe30f19-358d-41e1-8d28-fd7357a0164c",
        "owner_portgroup_ident": "b16efcf3-2990-41a1-bc1d-5e2c16f3d5fc",
    }


def right():
    unowned = fixtures.create_test_node(chassis_id=None)
    leased = fixtures.create_test_node(uuid=LEASED_NODE, owner=OWNER, lessee=LESSEE, last_error="meow", reservation="lolcats")
    target = fixtures.create_test_volume_target(node_id=leased.id)
    connector = fixtures.create_test_volume_connector(node_id=leased.id)
    port = fixtures.create_test_port(node_id=leased.id)
    group = fixtures.create_test_portgroup(node_id=leased.id)
    allocation = fixtures.create_test_allocation(id=61, uuid="8a9d5b53-3f7a-4f0c-9d0f-0f4c6ab0b0a1", owner=LESSEE, resource_class="CUSTOM_LEASED")
    db_api.get_instance().update_allocation(61, {"node_id": leased.id})
    history = fixtures.create_test_history(node_id=leased.id)
    fixtures.create_test_inventory(node_id=leased.id)
    other = fixtures.create_test_node(uuid="573208e5-cd41-4e26-8f06-ef44022b3793")
    fixtures.create_test_port(node_id=other.id, uuid="abfd8dbb-1732-449a-b760-2224035c6b99", address="00:00:00:00:00:ff")
    fixtures.create_test_portgroup(
        node_id=other.id, uuid="5810f41c-6585-41fc-b9c9-a94f50d421b5", name="corgis_rule_the_world", address="ff:ff:ff:ff:ff:0f"
    )
    return {
        "node_ident": unowned["uuid"],
        "lessee_node_ident": LEASED_NODE,
        "allocated_node_ident": LEASED_NODE,
        "volume_target_ident": target["uuid"],
        "volume_connector_ident": connector["uuid"],
        "lessee_port_ident": port["uuid"],
        "lessee_portgroup_ident": group["uuid"],
        "lessee_allocation": allocation["uuid"],
        "lessee_history_ident": history["uuid"],
        "other_port_ident": "abfd8dbb-1732-449a-b760-2224035c6b99",
        "other_portgroup_ident": "5810f41c-6585-41fc-b9c9-a94f50d421b5",
    }


def more():
    """Things that only our own table asks for."""
    fixtures.create_test_chassis(uuid="e74c40e0-d825-11e2-a28f-0800200c9a66")
    for number, whose in ((2, {"public": True}), (3, {"owner": "another"})):
        uuid = f"2fd2d3a2-000{number}-4d5c-9b1c-00000000000{number}"
        fixtures.create_test_runbook(id=1000 + number, uuid=uuid, name=f"CUSTOM_DO{number}", **whose)
    fixtures.create_test_deploy_template(id=1001, uuid="2fd2d3a2-0001-4d5c-9b1c-000000000001")
    fixtures.create_test_inspection_rule(uuid="2fd2d3a2-0004-4d5c-9b1c-000000000004")
    leased = db_api.get_instance().get_node_by_uuid(LEASED_NODE)
    fixtures.create_test_bios_setting(node_id=leased.id, name="virtualization", value="on")


def system():
    """As `TestRBACModelBeforeScopesBase` made them, while Ironic ran its system-scoped table."""
    allocation = fixtures.create_test_allocation(node_id=31, resource_class="CUSTOM_TEST")
    node = fixtures.create_test_node(uuid="1be26c0b-03f2-4d2e-ae87-c02d7f33c123", chassis_id=None, driver="fake-driverz")
    allocated = fixtures.create_test_node(
        id=31, chassis_id=None, allocation_id=allocation["id"], uuid="22e26c0b-03f2-4d2e-ae87-c02d7f33c000", driver="fake-driverz"
    )
    vif = "ee21d58f-5de2-4956-85ff-33935ea1ca00"
    port = fixtures.create_test_port(node_id=node["id"], internal_info={"tenant_vif_port_id": vif})
    group = fixtures.create_test_portgroup(uuid="6eb02b44-18a3-4659-8c0b-8d2802581ae4", node_id=node["id"])
    chassis = fixtures.create_test_chassis(uuid="e74c40e0-d825-11e2-a28f-0800200c9a66")
    template = fixtures.create_test_deploy_template()
    conductor = fixtures.create_test_conductor()
    # Of the node whose number the allocation has.
    target = fixtures.create_test_volume_target(node_id=allocation["id"])
    connector = fixtures.create_test_volume_connector(node_id=allocation["id"])
    fixtures.create_test_bios_setting(node_id=node["id"], name="FAKE_SETTING", value="FAKE_SETTING")
    fixtures.create_test_node_trait(node_id=node["id"])
    history = fixtures.create_test_history(node_id=node["id"])
    fixtures.create_test_inventory(node_id=node["id"])
    fixtures.create_test_node(uuid="18a552fb-dcd2-43bf-9302-e4c93287be11")
    return {
        "node_ident": node["uuid"],
        "allocated_node_ident": allocated["uuid"],
        "port_ident": port["uuid"],
        "portgroup_ident": group["uuid"],
        "chassis_ident": chassis["uuid"],
        "deploy_template_ident": template["uuid"],
        "allocation_ident": allocation["uuid"],
        "conductor_ident": conductor["hostname"],
        "vif_ident": vif,
        "bios_setting": "FAKE_SETTING",
        "trait": "trait",
        "volume_target_ident": target["uuid"],
        "volume_connector_ident": connector["uuid"],
        "history_ident": history["uuid"],
        "component": "component",
    }


def seed(part):
    if part == "system":
        runbook = fixtures.create_test_runbook()
        return {"driver_name": "fake-driverz", "ind_ident": "magic_light", "runbook_ident": runbook["uuid"], **system()}
    runbook = fixtures.create_test_runbook(owner=OWNER)
    names = {
        "runbook_ident": runbook["uuid"],
        "trait": "CUSTOM_MEOW",
        "vif_ident": "0e21d58f-5de2-4956-85ff-33935ea1ca01",
        "ind_component": "component",
        "ind_ident": "magic_light",
        "driver_name": "fake-driverz",
    }
    if part in ("all", "right"):
        names |= right()
    if part in ("all", "left"):
        names |= left()
    return names


def reply(start, status, document):
    body = json.dumps(document).encode()
    start(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def main():
    port, directory, part, token = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    database, backup = directory / "ironic.db", directory / "seeded.db"
    cfg.CONF([], project="ironic", default_config_files=[])
    cfg.CONF.set_override("connection", f"sqlite:///{database}", group="database")
    cfg.CONF.set_override("auth_strategy", "keystone")
    cfg.CONF.set_override("rpc_transport", "none")
    cfg.CONF.set_override("enabled_hardware_types", ["fake-hardware"])
    auth_token.AuthProtocol.process_request = lambda *_: None
    cut = mock.Mock(side_effect=exception.TemporaryFailure)
    rpcapi.ConductorAPI.get_topic_for = rpcapi.ConductorAPI.get_random_topic = cut
    engine = enginefacade.writer.get_engine()
    models.Base.metadata.create_all(engine)
    names = seed(part)
    if "more" in sys.argv[5:]:
        more()
    engine.dispose()
    shutil.copy(database, backup)
    ironic = app.VersionSelectorApplication()

    def site(environ, start):
        path = environ["PATH_INFO"]
        if path == "/__reset":
            engine.dispose()
            with contextlib.suppress(FileNotFoundError):
                Path(f"{database}-journal").unlink()
            shutil.copy(backup, database)
            return reply(start, "200 OK", names)
        if path == "/__conf":
            for name, value in json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))).items():
                section, option = name.split(".")
                cfg.CONF.set_override(option, value, group=None if section == "DEFAULT" else section)
            return reply(start, "200 OK", names)
        if token:
            is_public = path.strip("/") in ("", "v1") or path.startswith(("/v1/lookup", "/v1/heartbeat", "/v1/continue_inspection"))
            if environ.get("HTTP_X_AUTH_TOKEN") != token and not is_public:
                return reply(start, "401 Unauthorized", {"error": {"code": 401, "title": "Unauthorized", "message": "no"}})
            for name in [name for name in environ if name.startswith("HTTP_X_") and name.endswith(("ROLES", "ID", "NAME"))]:
                if name != "HTTP_X_OPENSTACK_REQUEST_ID":
                    del environ[name]
            if not is_public:
                environ |= ADMIN
        return ironic(environ, start)

    server = wsgi.Server(("127.0.0.1", port), site, numthreads=4)
    server.safe_start()


if __name__ == "__main__":
    main()
