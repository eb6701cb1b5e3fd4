"""Ironic's own tables of requests and answers (`ironic/tests/unit/api/test_rbac_*.yaml`), as plain HTTP."""

import dataclasses
import http.client
import json
import urllib.parse

NEWEST = "1.115"


@dataclasses.dataclass
class Case:
    """One entry of a table, its names filled in."""

    name: str
    method: str
    path: str
    headers: dict
    body: object
    entry: dict

    @property
    def options(self):
        """Of the server that judges: section.name to value."""
        return {
            "api.project_admin_can_manage_own_nodes": self.entry.get("self_manage_nodes", True),
            "DEFAULT.rbac_service_role_elevated_access": self.entry.get("enable_service_project", False),
            "DEFAULT.rbac_service_project_name": self.entry.get("service_project", "service"),
        }

    @property
    def writes(self):
        return self.method != "GET"

    def ask(self, url, headers=None):
        """Status, headers and JSON of the answer."""
        host = urllib.parse.urlsplit(url).netloc
        connection = http.client.HTTPConnection(host, timeout=60)
        sent = {"X-OpenStack-Ironic-API-Version": NEWEST, **(self.headers if headers is None else headers)}
        body = None
        if self.body is not None or self.method in ("PUT", "POST", "PATCH"):
            body = json.dumps(self.body if self.body is not None else {})
            sent["Content-Type"] = "application/json"
        # As WebTest, which the tables were written for, adds a query.
        connection.request(self.method, self.path, body, sent)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        try:
            document = json.loads(content)
        except ValueError:
            document = None
        return answer.status, dict(answer.getheaders()), document

    def wrong(self, status, document):
        """What is not as the table wants it, or nothing."""
        if status != self.entry["assert_status"]:
            return f"{status}, not {self.entry['assert_status']}: {document}"
        for key, length in (self.entry.get("assert_list_length") or {}).items():
            found = (document or {}).get(key)
            if not isinstance(found, list) or len(found) != length:
                return f"{key}: {found}, not {length}"
        for key, value in (self.entry.get("assert_dict_contains") or {}).items():
            found = (document or {}).get(key)
            wanted = {"None": None, "{}": {}}.get(str(value), value)
            if isinstance(wanted, str):
                wanted = wanted.format(**self.names)
            if str(found) != str(wanted):
                return f"{key}: {found!r}, not {wanted!r}"
        return None

    names: dict = dataclasses.field(default_factory=dict)


def cases(table, names):
    """`table` is the parsed file; `names` what the fixtures are called."""
    for name, entry in table.items():
        if entry.get("skip_reason") or entry.get("deprecated") or "assert_status" not in entry:
            continue
        yield Case(
            name=name,
            method=entry.get("method", "get").upper(),
            path=entry["path"].format(**names),
            headers={key: str(value).format(**names) for key, value in (entry.get("headers") or {}).items()},
            body=entry.get("body"),
            entry=entry,
            names=names,
        )
