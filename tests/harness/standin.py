"""A stand-in for one location's Ironic, in memory and scriptable.

It answers as Ironic 39 does for nodes (and as little of everything else as the gateway needs), with the defects of its lists. What it
says is Ironic's wording, so that a test can tell whether the gateway relays it.
"""

import base64
import threading
import urllib.parse

from exchange import Answer, request_id
from records import BLANK, DEFAULT_FIELDS, KINDS, NAME, RAMDISK, SINCE, UUID_LIKE, wanted_fields, gate_field, new_uuid, node, path_of, sanitized
from refusals import Refused, Unrouted, Denied, form_a, form_b
from sites import Site
from standin_keystone import StandinKeystone
from standin_lists import Lists
from standin_objects import Objects, numbered
from standin_writes import Writes

# What most tests want of a stand-in comes from here.
__all__ = ["DEFAULT_FIELDS", "UUID_LIKE", "Ironic", "Standin", "StandinKeystone", "new_uuid", "node"]


class Ironic(Lists, Writes, Objects):
    """What one Ironic has, and what it answers.

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
        self.conductors = []
        self.history = []
        self.data = threading.RLock()
        self._ids = 0
        self.nodes = []
        for record in nodes:
            self.add(record)
        super().__init__()

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
        except Denied as error:
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
                raise Denied(401, document, [("WWW-Authenticate", 'Basic realm="Baremetal API"')])
        elif not self.credentials[1](request.header("X-Auth-Token")):
            message = "The request you have made requires authentication."
            document = {"error": {"code": 401, "title": "Unauthorized", "message": message}}
            raise Denied(401, document, [("WWW-Authenticate", 'Keystone uri="http://keystone.edge.example:5000"')])

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
            case ["ports"] | ["ports", "detail"] if method == "GET":
                return self._list_ports(request, parameters)
            case ["ports"] if method == "POST":
                return self._create_port(request)
            case ["ports", ident] if method == "GET":
                found = numbered(self.ports, ident) or [port for port in self.ports if ident in (port["uuid"], port.get("name"))]
                if not found:
                    raise Refused(404, f"Port {ident} could not be found.")
                return Answer.of_json(200, self._shown_port(request, found[0], minor, wanted_fields(parameters)))
            case ["conductors"] if method == "GET":
                return self._paged(request, "conductors", self.conductors, parameters, noun="Conductor", ident="hostname")
            case ["shards"] if method == "GET":
                return Answer.of_json(200, {"shards": []})
            case ["drivers", *rest]:
                return self._driver(request, rest, parameters)
            case ["events"] if method == "POST":
                return Answer(204)
            case ["lookup"] if method == "GET":
                return Answer.of_json(200, self._ramdisk_s(request, self._looked_up(parameters)))
            case ["heartbeat", ident] if method == "POST":
                self._existing(ident, minor)
                return Answer(202)
            case ["continue_inspection"] if method == "POST":
                return Answer.of_json(202, self._ramdisk_s(request, self._inspected(request, parameters)))
            case ["volume", "connectors" | "targets", *_]:
                return self._routed(request, path[1:], parameters, minor)
            case [kind] | [kind, "detail"] if kind in KINDS and method == "GET":
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
            case ("GET", ["history"]):
                if "fields" in parameters:
                    raise Refused(400, "Unexpected arguments: fields")
                path = f"nodes/{record['uuid']}/history"
                return self._paged(request, "history", self.history, parameters, noun="Event", path=path)
            case ("GET", []):
                fields = wanted_fields(parameters)
                unexpected = [name for name in parameters if name != "fields"]
                if unexpected:
                    raise Refused(400, f"Unexpected arguments: {', '.join(unexpected)}")
                if fields:
                    for field in fields:
                        if field not in BLANK or field in ("created_at", "updated_at"):
                            raise Refused(400, f"Field {field} is not a valid field.")
                        gate_field(field, minor)
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
            case ("GET", ["vendor_passthru", "methods"]):
                return Answer.of_json(200, {})
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
        return {**sanitized(record), "links": self._links(request, f"{path_of(kind)}/{record['uuid']}")}

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


class Standin(Ironic, Site):
    """An Ironic that listens on a port of its own."""

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}{self.prefix}"
