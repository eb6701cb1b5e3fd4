"""What tests with real Ironics ask of all of them."""

from client import GROUPS


def everywhere(api, prefix="node"):
    """One node at each location, created through the gateway: location to node."""
    return {
        name: api.create(name=f"{prefix}-{name}", **({"conductor_group": group} if group else {}))
        for name, group in GROUPS.items()
    }


def owners(direct, ident):
    """The new Ironics that have a node by this uuid or name, asked one by one."""
    return having(direct, f"/v1/nodes/{ident}")


def having(direct, path):
    """The locations whose Ironic has `path`, asked one by one."""
    return [name for name in GROUPS if direct[name].get(path).status == 200]


def repoint(text, direct, api):
    """An Ironic's answer as the gateway should give it."""
    for name in GROUPS:
        text = text.replace(direct[name].url + "/", api.url + "/")
    return text


def uuids(items):
    return [item["uuid"] for item in items]
