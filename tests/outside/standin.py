"""Stand-ins for one location's Ironic and for a Keystone, in memory and scriptable.

`Standin` answers as Ironic 39 does for nodes (and as little of everything else as the gateway needs), with the defects of its lists: NULL sort
keys lose rows, `next` forgets the filters, `conductor=` is applied after the limit. What it says is Ironic's wording, so that a test
can tell whether the gateway relays it.
"""

import base64
import copy
import datetime
import functools
import json
import re
import threading
import urllib.parse
import uuid

from scripted import REASONS, Answer, Site, request_id

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
}  # fmt: skip
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


def new_uuid():
    return str(uuid.uuid4())


class Refused(Exception):
    """Ironic's answer when it does not do what was asked."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status
        self.text = text


class Unrouted(Exception):
    """An error of the routing layer (form B)."""

    def __init__(self, status, description="", headers=()):
        super().__init__(description)
        self.status = status
        self.description = description
        self.headers = list(headers)


def form_a(status, text):
    kind = "Server" if status >= 500 else "Client"
    return {"error_message": json.dumps({"faultcode": kind, "faultstring": text, "debuginfo": None})}


def form_b(status, description=""):
    inner = {"code": status, "title": REASONS[status], "description": description}
    return {"error_message": json.dumps(inner)}


class Standin(Site):
    """One Ironic.

    `versions` are its microversions, `prefix` the path it lives under, `groups` the conductor groups that have a conductor (None:
    any), `database` whose collation it sorts by (sqlite, mysql or postgres), `credentials` None, `("basic", user, password)` or
    `("token", valid)` with a function that judges a token; `link_base` is what its links start with (None: what the client called it).
    """

    def __init__(
        self,
        nodes=(),
        *,
        versions=("1.1", "1.115"),
        max_limit=1000,
        prefix="",
        groups=None,
        database="sqlite",
        credentials=None,
        link_base=None,
    ):
        self.versions = versions
        self.max_limit = max_limit
        self.prefix = prefix
        self.groups = groups
        self.database = database
        self.credentials = credentials
        self.link_base = link_base
        self.ports = []
        self.objects = {kind: [] for kind in KINDS}
        self.drivers = {}
        self.data = threading.RLock()
        self._ids = 0
        self.nodes = []
        for record in nodes:
            self.add(record)
        super().__init__()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    def add(self, record):
        """Takes a node in, as the newest."""
        with self.data:
            self._ids += 1
            self.nodes.append({**record, "_id": self._ids})
        return record

    def take(self, ident):
        """Removes a node behind everybody's back, and returns it."""
        with self.data:
            record = self.find(ident)
            self.nodes.remove(record)
        return {name: value for name, value in record.items() if name != "_id"}

    def find(self, ident):
        """The node with this uuid or name; None if there is none."""
        with self.data:
            return next((n for n in self.nodes if ident in (n["uuid"], n["name"])), None)

    # --- the outside of an answer

    def answer(self, request):
        minor, path = None, None
        try:
            self._authorise(request)
            path, parameters = self._parsed(request)
            low, high = (int(version.split(".")[1]) for version in self.versions)
            minor = self._minor(request, low, high)
            with self.data:
                answer = self._routed(request, path, parameters, minor or 1)
        except Refused as error:
            answer = Answer.of_json(error.status, form_a(error.status, error.text))
        except Unrouted as error:
            # The routing layer answers before the version headers are set.
            minor = None
            # The root document has a controller of its own, whose errors are of the other form.
            document = (form_a if path == [] else form_b)(error.status, error.description)
            answer = Answer.of_json(error.status, document, error.headers)
        except _Denied as error:
            answer = Answer.of_json(error.status, error.document, error.headers)
        if minor is not None:
            answer.headers += [
                ("X-OpenStack-Ironic-API-Minimum-Version", self.versions[0]),
                ("X-OpenStack-Ironic-API-Maximum-Version", self.versions[1]),
                ("X-OpenStack-Ironic-API-Version", f"1.{minor}"),
            ]
        ident = request_id()
        answer.headers += [("x-openstack-request-id", ident), ("openstack-request-id", ident), ("Server", "ironic_api")]
        return answer

    def _authorise(self, request):
        bare = request.path.removeprefix(self.prefix).rstrip("/")
        public = bare in ("", "/v1") or RAMDISK.fullmatch(bare)
        if self.credentials is None or public or request.method == "OPTIONS":
            return
        if self.credentials[0] == "basic":
            wanted = "Basic " + base64.b64encode(":".join(self.credentials[1:]).encode()).decode()
            if request.header("Authorization") != wanted:
                document = {"error": {"message": "Incorrect username or password", "code": 401}}
                raise _Denied(401, document, [("WWW-Authenticate", 'Basic realm="Baremetal API"')])
        elif not self.credentials[1](request.header("X-Auth-Token")):
            message = "The request you have made requires authentication."
            document = {"error": {"code": 401, "title": "Unauthorized", "message": message}}
            raise _Denied(401, document, [("WWW-Authenticate", 'Keystone uri="http://keystone.edge.example:5000"')])

    def _parsed(self, request):
        raw, _, query = request.target.partition("?")
        if not raw.startswith(self.prefix):
            raise Unrouted(404)
        segments = [urllib.parse.unquote(part) for part in raw.removeprefix(self.prefix).split("/")[1:]]
        if segments and segments[-1] == "":
            segments.pop()
        # webob also splits at a semicolon.
        pairs = urllib.parse.parse_qsl(query.replace(";", "&"), keep_blank_values=True)
        parameters = {}
        for name, value in pairs:
            parameters.setdefault(name, []).append(value)
        return segments, parameters

    def _minor(self, request, low, high):
        asked = None
        for value in request.header_values("OpenStack-API-Version"):
            for part in value.split(","):
                words = part.split()
                if len(words) == 2 and words[0].lower() == "baremetal":
                    asked = words[1]
        if asked is None:
            asked = ",".join(request.header_values("X-OpenStack-Ironic-API-Version")).split(",")[-1].strip()
        if not asked:
            return low
        if asked.lower() == "latest":
            return high
        described = [
            ("X-OpenStack-Ironic-API-Minimum-Version", self.versions[0]),
            ("X-OpenStack-Ironic-API-Maximum-Version", self.versions[1]),
        ]
        supported = f"The supported version range is: [{self.versions[0]}, {self.versions[1]}]."
        try:
            major, minor = map(int, asked.split("."))
        except ValueError:
            raise Unrouted(406, "Invalid value for X-OpenStack-Ironic-API-Version header") from None
        if major != 1:
            text = f"Mutually exclusive versions requested. Version {asked} requested but not supported by this service. {supported}"
            raise Unrouted(406, text, described)
        if not low <= minor <= high:
            text = f"Version {asked} was requested but the minor version is not supported by this service. {supported}"
            raise Unrouted(406, text, described)
        return minor

    # --- routes

    def _routed(self, request, path, parameters, minor):
        if not path:
            return Answer.of_json(200, self._root(request))
        if path[0] == "v1":
            path = path[1:]
            if not path:
                if request.method not in ("GET", "HEAD"):
                    raise Unrouted(405)
                return Answer.of_json(200, self._v1(request, minor))
        method = request.method
        if method == "OPTIONS":
            return Answer(200)
        match path:
            case ["nodes"] if method == "GET":
                return self._list(request, parameters, minor, detail=False)
            case ["nodes"] if method == "POST":
                return self._create(request, minor)
            case ["nodes", "detail"] if method == "GET":
                return self._list(request, parameters, minor, detail=True)
            case ["nodes", ident, *rest]:
                if not UUID_LIKE.fullmatch(ident) and not NAME.fullmatch(ident):
                    raise Unrouted(400, f"Expected UUID or name for node: {ident}")
                return self._node(request, method, ident, rest, parameters, minor)
            case ["ports"] if method == "GET":
                return self._list_ports(request, parameters)
            case ["ports"] if method == "POST":
                return self._create_port(request)
            case ["ports", ident] if method == "GET":
                found = [port for port in self.ports if ident in (port["uuid"], port.get("name"))]
                if not found:
                    raise Refused(404, f"Port {ident} could not be found.")
                return Answer.of_json(200, self._with_links(request, found[0], "ports"))
            case [("conductors" | "shards") as kind] if method == "GET":
                return Answer.of_json(200, {kind: []})
            case ["drivers", *rest]:
                return self._driver(request, rest)
            case ["events"] if method == "POST":
                return Answer(204)
            case ["lookup"] if method == "GET":
                return Answer.of_json(200, self._ramdisk_s(request, self._looked_up(parameters)))
            case ["heartbeat", ident] if method == "POST":
                self._existing(ident, minor)
                return Answer(202)
            case ["continue_inspection"] if method == "POST":
                return Answer.of_json(202, self._ramdisk_s(request, self._inspected(request, parameters)))
            case [kind] if kind in KINDS and method == "GET":
                return self._list_objects(request, kind, parameters)
            case [kind] if kind in KINDS and method == "POST":
                return self._create_object(request, kind)
            case [kind, ident, *rest] if kind in KINDS:
                return self._object(request, kind, ident, rest)
        raise Unrouted(404 if method == "GET" else 405)

    def _node(self, request, method, ident, rest, parameters, minor):
        # Real Ironic resolves sub-collections by uuid only, and says so oddly.
        if rest[:1] == ["ports"] and method == "GET":
            if not UUID_LIKE.fullmatch(ident):
                raise Refused(404, "Portgroup None could not be found.")
            self._existing(ident, minor)
            ports = [self._with_links(request, port, "ports") for port in self.ports if port["node_uuid"] == ident]
            return Answer.of_json(200, {"ports": ports})
        record = self._existing(ident, minor)
        match (method, rest):
            case ("GET", []):
                fields = _fields(parameters)
                unexpected = [name for name in parameters if name != "fields"]
                if unexpected:
                    raise Refused(400, f"Unexpected arguments: {', '.join(unexpected)}")
                if fields:
                    for field in fields:
                        if field not in BLANK or field in ("created_at", "updated_at"):
                            raise Refused(400, f"Field {field} is not a valid field.")
                        _gate_field(field, minor)
                return Answer.of_json(200, self._shown(request, record, minor, fields))
            case ("PATCH", []):
                return self._patch(request, record, minor)
            case ("DELETE", []):
                if record["protected"]:
                    text = f"Node {ident} is protected and cannot be undeployed, rebuilt or deleted."
                    raise Refused(403, text)
                if record["instance_uuid"]:
                    raise Refused(409, f"Node {record['uuid']} is associated with instance {record['instance_uuid']}.")
                self.nodes.remove(record)
                return Answer(204)
            case ("GET", ["states"]):
                names = (
                    "console_enabled last_error power_state provision_state target_power_state target_provision_state"
                    " provision_updated_at raid_config target_raid_config boot_mode secure_boot"
                ).split()
                return Answer.of_json(200, {name: record[name] for name in names if SINCE.get(name, 1) <= minor})
            case ("PUT", ["states", ("power" | "provision") as kind]):
                target = self._body(request).get("target")
                if not target:
                    raise Refused(400, "Missing mandatory parameter: target")
                if kind == "power":
                    record["power_state"] = target
                else:
                    moves = {"manage": "manageable", "provide": "available", "active": "active", "deleted": "available"}
                    if target not in moves:
                        text = (
                            f'The requested action "{target}" can not be performed on node "{record["uuid"]}" while it is in'
                            f' state "{record["provision_state"]}".'
                        )
                        raise Refused(400, text)
                    record["provision_state"] = moves[target]
                return Answer(202, headers=[("Location", f"{self._base(request)}/v1/nodes/{ident}/states")])
            case ("PUT", ["maintenance"]):
                record["maintenance"] = True
                record["maintenance_reason"] = self._body(request).get("reason")
                return Answer(202)
            case ("DELETE", ["maintenance"]):
                record["maintenance"], record["maintenance_reason"] = False, None
                return Answer(202)
            case ("GET", ["traits"]):
                return Answer.of_json(200, {"traits": record["traits"]})
            case ("PUT", ["traits", trait]):
                record["traits"] = sorted({*record["traits"], trait})
                return Answer(204, headers=[("Location", f"{self._base(request)}/v1/nodes/{ident}/traits/{trait}")])
            case ("DELETE", ["traits", trait]):
                if trait not in record["traits"]:
                    raise Refused(404, f"Node {record['uuid']} doesn't have a trait '{trait}'")
                record["traits"].remove(trait)
                return Answer(204)
            case ("GET", ["vifs"]):
                return Answer.of_json(200, {"vifs": []})
            case ("GET", ["validate"]):
                return Answer.of_json(200, {"power": {"result": True}})
            case ("GET", ["management", "boot_device"]):
                return Answer.of_json(200, {"boot_device": "pxe", "persistent": False})
            case (_, ["vendor_passthru", *_]):
                return Answer(200, bytes(request.body) or b"nothing", content_type="application/octet-stream")
            case ("GET", ["newer_than_us"]):
                return Answer.of_json(200, {"newer_than_us": record["uuid"]})
        raise Unrouted(404)

    def _existing(self, ident, minor):
        record = self.find(ident)
        if record is None or (minor < 5 and ident != record["uuid"]):
            raise Refused(404, f"Node {ident} could not be found.")
        return record

    # --- documents

    def _base(self, request):
        if self.link_base is not None:
            return self.link_base
        return f"http://{request.header('Host')}{self.prefix}"

    def _version_entry(self, request):
        return {
            "id": "v1",
            "links": [{"href": f"{self._base(request)}/v1/", "rel": "self"}],
            "status": "CURRENT",
            "min_version": self.versions[0],
            "version": self.versions[1],
        }

    def _root(self, request):
        return {
            "name": "OpenStack Ironic API",
            "description": "Ironic is an OpenStack project which enables the provision and management of baremetal machines.",
            "default_version": self._version_entry(request),
            "versions": [self._version_entry(request)],
        }

    def _v1(self, request, minor):
        base = self._base(request)
        document = {
            "id": "v1",
            "links": [
                {"href": f"{base}/v1/", "rel": "self"},
                {
                    "href": "https://docs.openstack.org//ironic/latest/contributor//webapi.html",
                    "rel": "describedby",
                    "type": "text/html",
                },
            ],
            "media_types": {"base": "application/json", "type": "application/vnd.openstack.ironic.v1+json"},
        }
        resources = {"chassis": 1, "nodes": 1, "ports": 1, "drivers": 1}
        later = {
            "portgroups": 23, "volume": 32, "lookup": 22, "heartbeat": 22, "conductors": 49, "allocations": 52, "events": 54,
            "deploy_templates": 55, "shards": 82, "runbooks": 92, "inspection_rules": 96, "continue_inspection": 84,
        }  # fmt: skip

        def links(name):
            return [
                {"href": f"{base}/v1/{name}/", "rel": "self"},
                {"href": f"{base}/{name}/", "rel": "bookmark"},
            ]

        document.update({name: links(name) for name in resources})
        document["version"] = self._version_entry(request)
        document.update({name: links(name) for name, since in later.items() if minor >= since})
        return document

    def _links(self, request, path):
        base = self._base(request)
        return [{"href": f"{base}/v1/{path}", "rel": "self"}, {"href": f"{base}/{path}", "rel": "bookmark"}]

    def _with_links(self, request, record, kind):
        return {**record, "links": self._links(request, f"{kind}/{record['uuid']}")}

    def _shown(self, request, record, minor, fields=None):
        shown = {
            name: record[name]
            for name in BLANK
            if SINCE.get(name, 1) <= minor and (fields is None or name in fields)
        }
        path = f"nodes/{record['uuid']}"
        shown["links"] = self._links(request, path)
        if fields is None:
            for name, since in (("ports", 1), ("states", 14), ("portgroups", 24), ("volume", 32)):
                if minor >= since:
                    shown[name] = self._links(request, f"{path}/{name}")
        return shown

    # --- lists

    def _list(self, request, parameters, minor, detail):
        known = PAGING | set(FILTERS)
        if detail:
            known -= {"fields", "detail"}
        unexpected = [name for name in parameters if name not in known]
        if unexpected:
            raise Refused(400, f"Unexpected arguments: {', '.join(unexpected)}")
        limit = _integer(parameters)
        marker = parameters.get("marker", [None])[-1]
        if marker is not None and not UUID_LIKE.fullmatch(marker):
            raise Refused(400, f"Expected UUID for marker: {marker}")
        filters = {}
        for name, (since, kind) in FILTERS.items():
            if name in parameters:
                filters[name] = _typed(name, parameters[name], kind)
                if minor < since:
                    raise Refused(400 if name == "detail" else 406, "Request not acceptable.")
        wants_detail = filters.pop("detail", None)
        fields = _fields(parameters)
        if fields is not None:
            if wants_detail:
                raise Refused(400, "Can not specify ?detail=True and fields in the same request.")
            for field in fields:
                if field in VIRTUAL or (field not in BLANK and field not in HIDDEN):
                    raise Refused(500, f"type object 'Node' has no attribute '{field}'")
                if field in HIDDEN or field in ("created_at", "updated_at"):
                    raise Refused(400, f"Field {field} is not a valid field.")
                _gate_field(field, minor)
        if limit is not None and limit <= 0:
            raise Refused(400, "Limit must be positive")
        page_size = min(limit or self.max_limit, self.max_limit)
        direction = parameters.get("sort_dir", ["asc"])[-1]
        if direction not in ("asc", "desc"):
            text = f"Invalid sort direction: {direction}. Acceptable values are 'asc' or 'desc'"
            raise Refused(400, text)
        key = parameters.get("sort_key", [""])[-1] or "id"
        if key in STRUCTURED:
            raise Refused(400, f"The sort_key value {key} is an invalid field for sorting")
        if key in VIRTUAL or (key not in BLANK and key not in HIDDEN):
            raise Refused(400, f'The sort_key value "{key}" is an invalid field for sorting')
        _gate_field(key, minor)

        found = self._page(filters, key, direction, marker, page_size)
        shown_fields = fields
        if fields is None and not (detail or wants_detail):
            shown_fields = [name for name in DEFAULT_FIELDS if SINCE.get(name, 1) <= minor]
        items = [self._shown(request, record, minor, shown_fields) for record in found]
        if "conductor" in filters:
            items = [item for item, record in zip(items, found) if record["conductor"] == filters["conductor"]]
        document = {"nodes": items}
        if len(items) == page_size and "instance_uuid" not in filters:
            path = "nodes/detail" if detail else "nodes"
            arguments = [("sort_key", key), ("sort_dir", direction)]
            arguments += [(name, filters[name]) for name in ("associated", "maintenance", "retired") if filters.get(name)]
            if wants_detail is not None:
                arguments.append(("detail", wants_detail))
            if shown_fields is not None:
                arguments.append(("fields", ",".join(shown_fields)))
            arguments += [("limit", page_size), ("marker", found[-1]["uuid"])]
            query = "&".join(f"{name}={value}" for name, value in arguments)
            document["next"] = f"{self._base(request)}/v1/{path}?{query}"
        return Answer.of_json(200, document)

    def _page(self, filters, key, direction, marker, size):
        column = {"id": "_id"}.get(key, key)
        order = functools.cmp_to_key(functools.partial(self._compare, column))
        rows = sorted(self.nodes, key=order, reverse=direction == "desc")
        if marker is not None:
            at = next((n for n in self.nodes if n["uuid"] == marker), None)
            if at is None:
                raise Refused(404, f"Node {marker} could not be found.")
            rows = [row for row in rows if self._after(row, at, column, direction)]
        return [row for row in rows if _passes(row, filters)][:size]

    def _compare(self, column, left, right):
        a, b = left.get(column), right.get(column)
        if (a is None) != (b is None):
            first = -1 if self.database != "postgres" else 1
            return first if a is None else -first
        a, b = self._collated(a), self._collated(b)
        if a != b and a is not None:
            return -1 if a < b else 1
        return left["_id"] - right["_id"]

    def _collated(self, value):
        if isinstance(value, str):
            return value.lower() if self.database == "mysql" else value.encode()
        return value

    def _after(self, row, at, column, direction):
        """The WHERE clause that oslo.db makes of a marker; a NULL in it drops the comparison by that key."""

        def beyond(a, b):
            if a is None or b is None:
                return False
            return a > b if direction == "asc" else a < b

        value, marked = self._collated(row.get(column)), self._collated(at.get(column))
        if marked is not None and beyond(value, marked):
            return True
        return value == marked and beyond(row["_id"], at["_id"])

    # --- writes

    def _body(self, request):
        if not request.body:
            return {}
        try:
            return json.loads(bytes(request.body))
        except ValueError as error:
            raise Refused(500, str(error)) from error

    def _create(self, request, minor):
        body = self._body(request)
        if not isinstance(body, dict):
            raise Refused(400, f"Schema error for node: {body} is not of type 'object'")
        if "driver" not in body:
            raise Refused(400, "Schema error for node: 'driver' is a required property")
        for name in body:
            if name not in CREATABLE:
                text = f"Schema error for node: Additional properties are not allowed ('{name}' was unexpected)"
                raise Refused(400, text)
        for name in body:
            if SINCE.get(name, 1) > minor and body[name]:
                raise Refused(406, "Request not acceptable.")
        ident = body.get("uuid") or new_uuid()
        if not UUID_LIKE.fullmatch(ident):
            raise Refused(400, f"Expected UUID for uuid: {ident}")
        name = body.get("name")
        if name is not None:
            if name in RESERVED:
                words = ", ".join(RESERVED)
                text = f'The word "{name}" is reserved and can not be used as a node name. Reserved words are: {words}.'
                raise Refused(400, text)
            if not NAME.fullmatch(name):
                raise Refused(400, f"Cannot create node with invalid name '{name}'")
        # The hash ring is asked with the text as it was sent.
        group = body.get("conductor_group") or ""
        self._conductor(body["driver"], group)
        if body.get("parent_node") and self.find(body["parent_node"]) is None:
            text = f"Unable to apply the requested parent_node '{body['parent_node']}'. Requested value was invalid."
            raise Refused(400, text)
        if body.get("owner") and request.header("OpenStack-System-Scope") != "all":
            text = "Cannot create a node as a project scoped admin with an owner other than your own project."
            raise Refused(400, text)
        self._unique({"uuid": ident, "name": name, "instance_uuid": body.get("instance_uuid")}, ident, None)
        fields = {key: value for key, value in body.items() if key not in ("uuid", "name")}
        fields["conductor_group"] = group.lower()
        fields["created_at"] = datetime.datetime.now(datetime.timezone.utc).isoformat()
        self.add(node(name, ident, **fields))
        shown = self._shown(request, self.find(ident), minor)
        location = f"{self._base(request)}/v1/nodes/{ident}"
        return Answer.of_json(201, shown, [("Location", location)])

    def _conductor(self, driver, group):
        if not GROUP.fullmatch(group) or (self.groups is not None and group not in self.groups):
            text = (
                f"No valid host was found. Reason: No conductor service registered which supports driver {driver} for conductor"
                f' group "{group}". Ensure the driver is valid and enabled.'
            )
            raise Refused(400, text)

    def _unique(self, values, ident, own):
        for other in self.nodes:
            if other is own:
                continue
            if values.get("uuid") == other["uuid"]:
                raise Refused(409, f"A node with UUID {values['uuid']} already exists.")
            if values.get("name") is not None and values["name"] == other["name"]:
                raise Refused(409, f"A node with name {values['name']} already exists.")
            instance = values.get("instance_uuid")
            if instance is not None and instance == other["instance_uuid"]:
                text = (
                    f"Instance {instance} is already associated with a node, it cannot be associated with this other node {ident}"
                )
                raise Refused(409, text)

    def _patch(self, request, record, minor):
        patch = self._body(request)
        if not isinstance(patch, list):
            raise Refused(400, f"Schema error for patch: {patch} is not of type 'array'")
        changed = copy.deepcopy(record)
        for step in patch:
            if not isinstance(step, dict) or not isinstance(step.get("path"), str):
                raise Refused(400, f"Schema error for patch: {step} is not of type 'object'")
            if step.get("op") not in ("add", "replace", "remove"):
                text = f"Schema error for patch: '{step.get('op')}' is not one of ['add', 'replace', 'remove']"
                raise Refused(400, text)
            if not re.fullmatch(r"(/[\w-]+)+", step["path"]):
                raise Refused(400, f"Schema error for patch: '{step['path']}' does not match '^(/[\\\\w-]+)+$'")
            field, *inner = step["path"].strip("/").split("/")
            if field not in BLANK:
                raise Refused(400, f"Adding a new attribute ({step['path']}) to the root of the resource is not allowed")
            if SINCE.get(field, 1) > minor:
                raise Refused(406, "Request not acceptable.")
            if field == "conductor_group" and step["op"] == "remove":
                raise Refused(500, "'conductor_group'")
            if field == "conductor_group" and step.get("value") is None:
                raise Refused(500, "'NoneType' object has no attribute 'lower'")
            if field == "conductor_group" and not isinstance(step["value"], str):
                raise Refused(400, f"Schema error for patch: {step['value']} is not of type 'string', 'null'")
            place = changed
            for part in [field, *inner][:-1]:
                place = place[part]
            last = [field, *inner][-1]
            if step["op"] == "remove":
                if inner:
                    del place[last]
                else:
                    place[last] = copy.deepcopy(BLANK[last])
            else:
                place[last] = step["value"]
        changed["conductor_group"] = changed["conductor_group"].lower()
        if changed["conductor_group"] != record["conductor_group"]:
            self._conductor(changed["driver"], changed["conductor_group"])
        self._unique({"name": changed["name"], "instance_uuid": changed["instance_uuid"]}, record["uuid"], record)
        changed["updated_at"] = datetime.datetime.now(datetime.timezone.utc).isoformat()
        record.update(changed)
        return Answer.of_json(200, self._shown(request, record, minor))

    # --- ports

    def _list_ports(self, request, parameters):
        ports = self.ports
        for name in ("address", "node_uuid"):
            if name in parameters:
                ports = [port for port in ports if port[name] == parameters[name][-1]]
        return Answer.of_json(200, {"ports": [self._with_links(request, port, "ports") for port in ports]})

    def _create_port(self, request):
        body = self._body(request)
        if self.find(body.get("node_uuid")) is None:
            raise Refused(400, f"Node {body.get('node_uuid')} could not be found.")
        if any(port["address"] == body["address"].lower() for port in self.ports):
            raise Refused(409, f"A port with MAC address {body['address']} already exists.")
        port = {**body, "uuid": body.get("uuid") or new_uuid(), "address": body["address"].lower()}
        self.ports.append(port)
        location = f"{self._base(request)}/v1/ports/{port['uuid']}"
        return Answer.of_json(201, self._with_links(request, port, "ports"), [("Location", location)])

    # --- everything that is a simple record

    def _list_objects(self, request, kind, parameters):
        records = self.objects[kind]
        marker = parameters.get("marker", [None])[-1]
        if marker is not None:
            at = next((index for index, record in enumerate(records) if record["uuid"] == marker), None)
            if at is None:
                raise Refused(404, f"{KINDS[kind]} {marker} could not be found.")
            records = records[at + 1 :]
        size = min(_integer(parameters) or self.max_limit, self.max_limit)
        shown = records[:size]
        document = {kind: [self._with_links(request, record, kind) for record in shown]}
        if len(shown) == size:
            document["next"] = f"{self._base(request)}/v1/{kind}?limit={size}&marker={shown[-1]['uuid']}"
        return Answer.of_json(200, document)

    def _create_object(self, request, kind):
        body = self._body(request)
        ident, noun = body.get("uuid") or new_uuid(), KINDS[kind].lower()
        article = "An" if noun.startswith("a") else "A"
        for record in self.objects[kind]:
            if record["uuid"] == ident:
                raise Refused(409, f"{article} {noun} with UUID {ident} already exists.")
            if body.get("name") and record.get("name") == body["name"]:
                raise Refused(409, f"{article} {noun} with name {body['name']} already exists.")
        record = {"created_at": "2026-11-22T10:00:00+00:00", "updated_at": None, **body, "uuid": ident}
        if kind == "allocations":
            if body.get("node") and self.find(body["node"]) is None:
                raise Refused(400, f"Node {body['node']} could not be found.")
            record = {"state": "allocating", "node_uuid": None, "last_error": None, **record}
        self.objects[kind].append(record)
        location = f"{self._base(request)}/v1/{kind}/{ident}"
        return Answer.of_json(201, self._with_links(request, record, kind), [("Location", location)])

    def _object(self, request, kind, ident, rest):
        record = next((one for one in self.objects[kind] if ident in (one["uuid"], one.get("name"))), None)
        if record is None:
            raise Refused(404, f"{KINDS[kind]} {ident} could not be found.")
        match (request.method, rest):
            case ("GET", []):
                return Answer.of_json(200, self._with_links(request, record, kind))
            case ("DELETE", []):
                self.objects[kind].remove(record)
                return Answer(204)
            case ("PATCH", []):
                for step in self._body(request):
                    name = step["path"].strip("/")
                    if "/" not in name and name not in record and name not in ("description", "extra", "name"):
                        raise Refused(400, f"Adding a new attribute ({step['path']}) to the root of the resource is not allowed")
                    if step["op"] == "remove":
                        record[name] = None
                    else:
                        record[name] = step["value"]
                return Answer.of_json(200, self._with_links(request, record, kind))
            case ("GET", ["nodes"]) if kind == "chassis":
                found = [self._shown(request, one, 115) for one in self.nodes if one["chassis_uuid"] == record["uuid"]]
                return Answer.of_json(200, {"nodes": found})
            case ("GET", ["traits"]) if kind == "runbooks":
                return Answer.of_json(200, {"traits": record.get("traits", [])})
            case ("PUT", ["traits"]) if kind == "runbooks":
                record["traits"] = self._body(request)["traits"]
                return Answer(204)
            case ("DELETE", ["traits"]) if kind == "runbooks":
                record["traits"] = []
                return Answer(204)
            case ("GET", ["novelty"]):
                return Answer.of_json(200, {"novelty": record["uuid"]})
        raise Unrouted(404)

    def _driver(self, request, rest):
        if not rest:
            return Answer.of_json(200, {"drivers": [self._shown_driver(request, name) for name in self.drivers]})
        name, *below = rest
        if name not in self.drivers:
            raise Refused(404, f"Could not find the following driver(s) or hardware type(s): {name}.")
        match below:
            case []:
                return Answer.of_json(200, self._shown_driver(request, name))
            case ["properties"]:
                return Answer.of_json(200, self.drivers[name].get("told", {}))
            case ["vendor_passthru", "methods"] | ["raid", "logical_disk_properties"]:
                return Answer.of_json(200, {})
            case ["vendor_passthru", *_]:
                return Answer(200, bytes(request.body) or b"nothing", content_type="application/octet-stream")
        raise Unrouted(404)

    def _shown_driver(self, request, name):
        shown = {key: value for key, value in self.drivers[name].items() if key != "told"}
        return {"name": name, "type": "dynamic", **shown, "links": self._links(request, f"drivers/{name}")}

    # --- what ramdisks ask

    def _ramdisk_s(self, request, ident):
        node = {"uuid": ident, "links": self._links(request, f"nodes/{ident}")}
        return {"node": node, "config": {"agent_token": "secret"}}

    def _looked_up(self, parameters):
        ident = parameters.get("node_uuid", [None])[-1]
        addresses = ",".join(parameters.get("addresses", [])).lower().split(",")
        found = [one["uuid"] for one in self.nodes if one["uuid"] == ident]
        found += [port["node_uuid"] for port in self.ports if port["address"] in addresses]
        if not found:
            raise Refused(404, "Resource could not be found.")
        return found[0]

    def _inspected(self, request, parameters):
        ident = parameters.get("node_uuid", [None])[-1]
        interfaces = self._body(request).get("inventory", {}).get("interfaces", [])
        macs = [one["mac_address"].lower() for one in interfaces]
        found = [port["node_uuid"] for port in self.ports if port["address"] in macs] or [ident]
        if found[0] is None or self.find(found[0]) is None:
            raise Refused(404, "Resource could not be found.")
        return found[0]


class _Denied(Exception):
    """The authentication layer's answer, which is none of Ironic's shapes."""

    def __init__(self, status, document, headers):
        super().__init__(status)
        self.status = status
        self.document = document
        self.headers = list(headers)


def _fields(parameters):
    if "fields" not in parameters:
        return None
    names = ",".join(parameters["fields"]).lower().split(",")
    return list(dict.fromkeys(name for name in names if name))


def _gate_field(field, minor):
    since = SINCE.get(field, 1)
    if minor < since:
        text = f"Request not acceptable.[ The minimal required API version should be 1.{since}]"
        raise Refused(406, text)


def _integer(parameters):
    if "limit" not in parameters:
        return None
    values = parameters["limit"]
    if len(values) > 1:
        raise Refused(400, f"Expected an integer for limit: {values}")
    try:
        return int(values[0])
    except ValueError:
        raise Refused(400, f"Expected an integer for limit: {values[0]}") from None


def _typed(name, values, kind):
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


def _passes(row, filters):
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
        return document is not None and document["expires_at"] > _instant(0)

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
            "issued_at": _instant(0),
            "expires_at": _instant(self.lifetime),
            "audit_ids": ["stand-in"],
            "roles": [{"id": uuid.uuid4().hex, "name": "admin"}],
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


def _instant(ahead):
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=ahead)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
