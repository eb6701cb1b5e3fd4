"""Lists of nodes as Ironic 39 makes them, with their defects.

NULL sort keys lose rows, `next` forgets the filters, `conductor=` is applied after the limit.
"""

import functools

from exchange import Answer
from records import (
    BLANK,
    DEFAULT_FIELDS,
    FILTERS,
    HIDDEN,
    PAGING,
    SINCE,
    STRUCTURED,
    UUID_LIKE,
    VIRTUAL,
    wanted_fields,
    gate_field,
    limit_of,
    passes_filters,
    typed,
)
from refusals import Refused


class Lists:
    """What a `Standin` answers to a list of nodes."""

    def _list(self, request, parameters, minor, detail):
        known = PAGING | set(FILTERS)
        if detail:
            known -= {"fields", "detail"}
        unexpected = [name for name in parameters if name not in known]
        if unexpected:
            raise Refused(400, f"Unexpected arguments: {', '.join(unexpected)}")
        limit = limit_of(parameters)
        marker = parameters.get("marker", [None])[-1]
        if marker is not None and not UUID_LIKE.fullmatch(marker):
            raise Refused(400, f"Expected UUID for marker: {marker}")
        filters = {}
        for name, (since, kind) in FILTERS.items():
            if name in parameters:
                filters[name] = typed(name, parameters[name], kind)
                if minor < since:
                    raise Refused(400 if name == "detail" else 406, "Request not acceptable.")
        wants_detail = filters.pop("detail", None)
        fields = wanted_fields(parameters)
        if fields is not None:
            if wants_detail:
                raise Refused(400, "Can not specify ?detail=True and fields in the same request.")
            for field in fields:
                if field in VIRTUAL or (field not in BLANK and field not in HIDDEN):
                    raise Refused(500, f"type object 'Node' has no attribute '{field}'")
                if field in HIDDEN or field in ("created_at", "updated_at"):
                    raise Refused(400, f"Field {field} is not a valid field.")
                gate_field(field, minor)
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
        gate_field(key, minor)

        found = self._page(filters, key, direction, marker, page_size)
        shown_fields = fields
        if fields is None and not (detail or wants_detail):
            shown_fields = [name for name in DEFAULT_FIELDS if SINCE.get(name, 1) <= minor]
        items = [self._shown(request, record, minor, shown_fields) for record in found]
        if filters.get("conductor"):
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
        return [row for row in rows if passes_filters(row, filters)][:size]

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
