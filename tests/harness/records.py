"""Ironic 39's words for nodes: their fields and since when each is shown, what can be filtered and sorted by, how a query is read."""

import copy
import re
import uuid

from refusals import Refused

UUID_LIKE = re.compile(r"(?i)(urn:)?(uuid:)?\{?[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}\}?")
NAME = re.compile(r"[A-Za-z0-9\-._~]+")
GROUP = re.compile(r"[a-zA-Z0-9_\-.]*")
RESERVED = ("maintenance", "management", "states", "vendor_passthru", "detail", "validate")

# Field -> first minor version that shows it.
SINCE = {
    "driver_internal_info": 3, "name": 5, "clean_step": 7, "raid_config": 12, "target_raid_config": 12,
    "network_interface": 20, "resource_class": 21, "boot_interface": 31, "console_interface": 31, "deploy_interface": 31,
    "inspect_interface": 31, "management_interface": 31, "power_interface": 31, "raid_interface": 31, "vendor_interface": 31,
    "storage_interface": 33, "traits": 37, "rescue_interface": 38, "bios_interface": 40, "fault": 42, "deploy_step": 44,
    "conductor_group": 46, "automated_clean": 47, "protected": 48, "protected_reason": 48, "conductor": 49, "owner": 50,
    "description": 51, "allocation_uuid": 52, "retired": 61, "retired_reason": 61, "lessee": 65, "network_data": 66,
    "boot_mode": 75, "secure_boot": 75, "shard": 82, "parent_node": 83, "firmware_interface": 86, "service_step": 87,
    "disable_power_off": 95, "instance_name": 104, "health": 109,
}  # fmt: skip

# A node of Ironic 39 as GET shows it, in its order, but for the links.
BLANK = {
    "uuid": None, "created_at": "2026-11-22T10:00:00.000000+00:00", "updated_at": None, "automated_clean": None,
    "bios_interface": "fake", "boot_interface": "fake", "boot_mode": None, "clean_step": {}, "conductor_group": "",
    "console_enabled": False, "console_interface": "fake", "disable_power_off": False, "deploy_interface": "fake",
    "deploy_step": {}, "description": None, "driver": "fake-hardware", "driver_info": {}, "driver_internal_info": {},
    "extra": {}, "fault": None, "firmware_interface": "fake", "health": None, "inspection_finished_at": None,
    "inspection_started_at": None, "inspect_interface": "fake", "instance_info": {}, "instance_uuid": None,
    "instance_name": None, "last_error": None, "lessee": None, "maintenance": False, "maintenance_reason": None,
    "management_interface": "fake", "name": None, "network_data": {}, "network_interface": "noop", "owner": None,
    "parent_node": None, "power_interface": "fake", "power_state": None, "properties": {}, "protected": False,
    "protected_reason": None, "provision_state": "enroll", "provision_updated_at": None, "raid_config": {},
    "raid_interface": "fake", "rescue_interface": "fake", "reservation": None, "resource_class": None, "retired": False,
    "retired_reason": None, "secure_boot": None, "service_step": {}, "shard": None, "storage_interface": "noop",
    "target_power_state": None, "target_provision_state": None, "target_raid_config": {}, "vendor_interface": "fake",
    "conductor": "host-1", "allocation_uuid": None, "chassis_uuid": None, "traits": [],
}  # fmt: skip

DEFAULT_FIELDS = ["instance_uuid", "maintenance", "power_state", "provision_state", "uuid", "name"]
STRUCTURED = {
    "instance_info", "properties", "driver_info", "driver_internal_info", "clean_step", "deploy_step", "raid_config",
    "target_raid_config", "extra", "network_data", "service_step", "traits",
}  # fmt: skip
VIRTUAL = {"conductor", "allocation_uuid", "chassis_uuid"}
# Columns that can be sorted by but are not shown.
HIDDEN = {"id", "chassis_id", "conductor_affinity", "allocation_id", "version"}
CREATABLE = (set(BLANK) | {"uuid"}) - {
    "created_at", "updated_at", "provision_state", "power_state", "target_power_state", "target_provision_state",
    "reservation", "last_error", "driver_internal_info", "conductor", "allocation_uuid", "traits", "clean_step",
    "deploy_step", "service_step", "raid_config", "target_raid_config", "fault", "health", "provision_updated_at",
    "inspection_finished_at", "inspection_started_at",
}  # fmt: skip
PROVISION_STATES = {"enroll", "manageable", "available", "active", "deploying", "deploy failed", "error", "verifying", "cleaning"}
# Query parameter -> first minor version, and the type it is read as.
FILTERS = {
    "associated": (1, "bool"), "maintenance": (1, "bool"), "retired": (1, "bool"), "instance_uuid": (1, "uuid"),
    "chassis_uuid": (1, "uuid"), "description_contains": (1, "text"), "project": (1, "text"), "provision_state": (9, "text"),
    "driver": (16, "text"), "resource_class": (21, "text"), "fault": (42, "text"), "detail": (43, "bool"),
    "conductor_group": (46, "text"), "conductor": (49, "text"), "owner": (50, "text"), "lessee": (65, "text"),
    "shard": (82, "list"), "sharded": (82, "bool"), "include_children": (83, "bool"), "parent_node": (83, "text"),
    "instance_name": (104, "text"),
}  # fmt: skip
PAGING = {"limit", "marker", "sort_key", "sort_dir", "fields"}
# Collections of which a stand-in keeps simple records: their key in a list is the last part of the path.
KINDS = {
    "chassis": "Chassis", "deploy_templates": "Deploy template", "runbooks": "Runbook", "inspection_rules": "Rule",
    "allocations": "Allocation", "portgroups": "Portgroup", "novelties": "Novelty",
    "connectors": "Volume connector", "targets": "Volume target",
}  # fmt: skip
# Those that are at a node, which a new one has to name.
AT_NODES = ("portgroups", "connectors", "targets")
# Asked without credentials, as ramdisks do.
RAMDISK = re.compile(r"/v1/(lookup|heartbeat/[a-z0-9-]+|continue_inspection)")
TRUE = {"1", "t", "true", "on", "y", "yes"}
FALSE = {"0", "f", "false", "off", "n", "no"}


def node(name=None, uuid=None, **fields):
    """A node as the stand-in keeps it; fields as in Ironic."""
    unknown = set(fields) - set(BLANK) - {"_version"}
    assert not unknown, f"no such fields: {unknown}"
    record = copy.deepcopy(BLANK)
    record.update(fields)
    record["name"] = name
    record["uuid"] = uuid or new_uuid()
    return record


def path_of(kind):
    """Of a collection, by its key in a list."""
    return f"volume/{kind}" if kind in ("connectors", "targets") else kind


def new_uuid():
    return str(uuid.uuid4())


def sanitized(record):
    """As Ironic shows runbooks and deploy templates: without the secrets of their steps (`step_sanitize`)."""
    if "steps" not in record:
        return record
    return {**record, "steps": [_masked(step) if isinstance(step, dict) else step for step in record["steps"] or []]}


def _masked(value):
    if isinstance(value, str):
        return re.sub(r"(--(password|secret|token) )\S+", r"\1******", value)
    if isinstance(value, dict):
        return {key: "******" if re.search("password|secret|token", key) else _masked(one) for key, one in value.items()}
    return value


def wanted_fields(parameters):
    if "fields" not in parameters:
        return None
    names = ",".join(parameters["fields"]).lower().split(",")
    return list(dict.fromkeys(name for name in names if name))


def gate_field(field, minor):
    since = SINCE.get(field, 1)
    if minor < since:
        text = f"Request not acceptable.[ The minimal required API version should be 1.{since}]"
        raise Refused(406, text)


def limit_of(parameters):
    if "limit" not in parameters:
        return None
    values = parameters["limit"]
    if len(values) > 1:
        raise Refused(400, f"Expected an integer for limit: {values}")
    try:
        return int(values[0])
    except ValueError:
        raise Refused(400, f"Expected an integer for limit: {values[0]}") from None


def typed(name, values, kind):
    value = values[-1]
    if kind == "bool":
        if value.lower() not in TRUE | FALSE:
            listed = ", ".join(f"'{word}'" for word in sorted(TRUE | FALSE))
            raise Refused(400, f"Invalid {name}: Unrecognized value '{value}', acceptable values are: {listed}")
        return value.lower() in TRUE
    if kind == "uuid" and not UUID_LIKE.fullmatch(value):
        raise Refused(400, f"Expected UUID for {name}: {value}")
    if kind == "list":
        return value.lower().split(",")
    if name == "provision_state" and value not in PROVISION_STATES:
        raise Refused(400, f'Provision state "{value}" is not valid')
    return value


def passes_filters(row, filters):
    for name, value in filters.items():
        match name:
            case "associated":
                passes = (row["instance_uuid"] is not None) == value
            case "sharded":
                passes = (row["shard"] is not None) == value
            case "shard":
                passes = row["shard"] in value
            case "description_contains":
                passes = value in (row["description"] or "")
            case "project":
                passes = value in (row["owner"], row["lessee"])
            case "include_children" | "conductor":
                passes = True
            case _:
                passes = row[name] == value
        if not passes:
            return False
    return row["parent_node"] is None or "parent_node" in filters or filters.get("include_children", False)
