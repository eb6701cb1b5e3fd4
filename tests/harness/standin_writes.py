"""How Ironic 39 creates and changes a node."""

import copy
import datetime
import json
import re

from exchange import Answer
from records import BLANK, CREATABLE, GROUP, NAME, RESERVED, SINCE, UUID_LIKE, new_uuid, node
from refusals import Refused


class Writes:
    """What a `Standin` does with a node that is created or changed."""

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
            if SINCE.get(name, 1) > minor and body[name] != ("" if name == "conductor_group" else None):
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
