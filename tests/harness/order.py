"""The order of merged lists, computed from what the Ironics say one by one.

Ascending: NULL first, then by value, text by (lower case, as it is); equal
values by location in configuration order and there by Ironic's own order of
creation. Descending is the exact reverse. A key that Ironic sorts by but
never shows counts as no key.
"""

from client import GROUPS

HIDDEN = {"id", "chassis_id", "conductor_affinity", "allocation_id", "version", "node_id", "portgroup_id"}


def union(direct, path="/v1/nodes", key=None, direction="asc", locations=tuple(GROUPS), **filters):
    """All items of the locations in the gateway's order, in full detail.

    `path` is the plain collection; lists that have no `detail` show all fields anyway.
    """
    detail = {} if path == "/v1/allocations" else {"detail": "True"}
    items = [item for name in locations for item in direct[name].list(path, **filters, **detail)]
    if key and key not in HIDDEN:
        # Stable: equal values stay in the order of location and creation.
        items.sort(key=lambda item: rank(item[key]))
    return items if direction == "asc" else items[::-1]


def rank(value):
    if value is None:
        return (0,)
    if isinstance(value, str):
        return (1, value.lower(), value)
    return (1, value)
