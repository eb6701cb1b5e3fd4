"""Everything of Ironic that is not a node: ports, records that are the same everywhere, drivers, what ramdisks ask."""

import urllib.parse

from exchange import Answer
from records import AT_NODES, KINDS, UUID_LIKE, limit_of, new_uuid, path_of, sanitized, wanted_fields
from refusals import Refused, Unrouted


def numbered(records, ident):
    """The record that has this number in the database, for those that Ironic finds so."""
    return [record for number, record in enumerate(records, 1) if str(number) == ident]


class Objects:
    """What a `Standin` answers about anything but nodes."""

    # --- ports

    def _at_the_node(self, records, parameters):
        if "node" not in parameters:
            return records
        node = self.find(parameters["node"][-1])
        if node is None:
            raise Refused(404, f"Node {parameters['node'][-1]} could not be found.")
        return [record for record in records if record["node_uuid"] == node["uuid"]]

    def _list_ports(self, request, parameters):
        ports = self._at_the_node(self.ports, parameters)
        for name, value in ((name, parameters[name][-1]) for name in ("address", "node_uuid") if name in parameters):
            ports = [port for port in ports if port[name] == value]
        for ident in parameters.get("portgroup", []):
            groups = [group["uuid"] for group in self.objects["portgroups"] if ident in (group["uuid"], group.get("name"))]
            if not groups:
                raise Refused(404, f"Portgroup {ident} could not be found.")
            ports = [port for port in ports if port.get("portgroup_uuid") in groups]
        order = parameters.get("sort_key", ["id"])[-1]
        if order != "id":
            ports = sorted(ports, key=lambda port: port.get(order) or "")
        if "fields" in parameters:
            fields = wanted_fields(parameters)
            ports = [{name: port.get(name) for name in fields} | {"uuid": port["uuid"]} for port in ports]
        return self._paged(request, "ports", ports, parameters, noun="Port")

    def _shown_port(self, request, port, minor, fields):
        """A port is found by its name in every version (`objects/port.py`), and shows it from 1.88 on."""
        if "name" in (fields or []) and minor < 88:
            raise Refused(406, "Request not acceptable.[ The minimal required API version should be 1.88]")
        shown = self._with_links(request, port, "ports")
        hidden = {name for name in shown if fields and name not in (*fields, "links") or name == "name" and minor < 88}
        return {name: value for name, value in shown.items() if name not in hidden}

    def _node_of(self, body, kind):
        """What is at a node says at which one, before anything else of it is looked at."""
        named = body.pop("node_ident", None) if kind == "port" else None
        if named is None:
            named = body.get("node_uuid")
            if not isinstance(named, str):
                raise Refused(400, f"Schema error for {kind}: 'node_uuid' is a required property")
            if not UUID_LIKE.fullmatch(named):
                raise Refused(400, f"Expected UUID for node_uuid: {named}")
        record = self.find(named)
        if record is None:
            raise Refused(400, f"Node {body.get('node_uuid')} could not be found.")
        body["node_uuid"] = record["uuid"]

    def _create_port(self, request):
        body = self._body(request)
        self._node_of(body, "port")
        if any(port["address"] == body["address"].lower() for port in self.ports):
            raise Refused(409, f"A port with MAC address {body['address']} already exists.")
        port = {**body, "uuid": body.get("uuid") or new_uuid(), "address": body["address"].lower()}
        self.ports.append(port)
        location = f"{self._base(request)}/v1/ports/{port['uuid']}"
        return Answer.of_json(201, self._with_links(request, port, "ports"), [("Location", location)])

    # --- everything that is a simple record

    def _list_objects(self, request, kind, parameters):
        records = self.objects[kind]
        if kind == "allocations":
            filters = [(name, parameters[name][-1]) for name in ("owner", "resource_class", "state") if name in parameters]
            records = [record for record in records if all(record.get(name) == wanted for name, wanted in filters)]
        if kind in AT_NODES:
            address = parameters.get("address", [None])[-1]
            records = [record for record in records if address in (None, record.get("address"))]
            records = self._at_the_node(records, parameters)
        order = parameters.get("sort_key", ["id"])[-1]
        if order != "id":
            records = sorted(records, key=lambda record: (record.get(order) is not None, record.get(order)))
        return self._paged(request, kind, records, parameters, noun=KINDS[kind], path=path_of(kind))

    def _paged(self, request, kind, records, parameters, *, noun, ident="uuid", path=None):
        """A page of records that stand in ascending order."""
        if parameters.get("sort_dir", ["asc"])[-1] == "desc":
            records = records[::-1]
        marker = parameters.get("marker", [None])[-1]
        if marker is not None:
            at = next((index for index, record in enumerate(records) if record[ident] == marker), None)
            if at is None:
                raise Refused(404, f"{noun} {marker} could not be found.")
            records = records[at + 1 :]
        size = min(limit_of(parameters) or self.max_limit, self.max_limit)
        shown = records[:size]
        path = path or kind
        document = {kind: [{**sanitized(record), "links": self._links(request, f"{path}/{record[ident]}")} for record in shown]}
        if len(shown) == size:
            document["next"] = f"{self._base(request)}/v1/{path}?limit={size}&marker={shown[-1][ident]}"
        return Answer.of_json(200, document)

    def _create_object(self, request, kind):
        body = self._body(request)
        ident, noun = body.get("uuid") or new_uuid(), KINDS[kind].lower()
        if kind in AT_NODES:
            self._node_of(body, noun)
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
            if record.get("candidate_nodes"):
                candidates = [(ident, self.find(ident)) for ident in record["candidate_nodes"]]
                record["candidate_nodes"] = [found["uuid"] if found else ident for ident, found in candidates]
            record = {"state": "allocating", "node_uuid": None, "last_error": None, **record}
        if kind == "runbooks":
            record = {"owner": None, "public": False, **record}
        self.objects[kind].append(record)
        location = f"{self._base(request)}/v1/{path_of(kind)}/{ident}"
        return Answer.of_json(201, self._with_links(request, record, kind), [("Location", location)])

    def _object(self, request, kind, ident, rest):
        records = self.objects[kind]
        found = [one for one in records if ident in (one["uuid"], one.get("name"))]
        # A read looks for a port group by both, and shows it by its name; a write looks by its number alone.
        if kind == "portgroups" and request.method != "GET":
            found = numbered(records, ident) or found
        record = found[0] if found else None
        if record is None:
            raise Refused(404, f"{KINDS[kind]} {ident} could not be found.")
        match (request.method, rest):
            case ("GET", []):
                fields = wanted_fields(urllib.parse.parse_qs(request.target.partition("?")[2]))
                shown = self._with_links(request, record, kind)
                return Answer.of_json(200, {name: value for name, value in shown.items() if fields is None or name in (*fields, "links")})
            case ("DELETE", []):
                self.objects[kind].remove(record)
                return Answer(204)
            case ("PATCH", []):
                if kind == "runbooks" and any(step["path"] == "/public" for step in self._body(request)):
                    record["owner"] = None
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

    def _driver(self, request, rest, parameters):
        if not rest:
            fields = wanted_fields(parameters)
            drivers = [self._shown_driver(request, name) for name in self.drivers]
            drivers = [{key: value for key, value in one.items() if fields is None or key in (*fields, "links")} for one in drivers]
            return Answer.of_json(200, {"drivers": drivers})
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
        inventory = self._body(request).get("inventory", {})
        macs = [one["mac_address"].lower() for one in inventory.get("interfaces", [])]
        bmcs = {inventory.get(member) for member in ("bmc_address", "bmc_v6address")} - {None}
        found = [port["node_uuid"] for port in self.ports if port["address"] in macs]
        found = found or [node["uuid"] for node in self.nodes if bmcs & set((node.get("driver_info") or {}).values())] or [ident]
        if found[0] is None or self.find(found[0]) is None:
            raise Refused(404, "Resource could not be found.")
        return found[0]
