"""How Ironic says no: its own errors, those of its routing layer and those of its authentication."""

import json

from exchange import REASONS


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


class Denied(Exception):
    """The authentication layer's answer, which is none of Ironic's shapes."""

    def __init__(self, status, document, headers):
        super().__init__(status)
        self.status = status
        self.document = document
        self.headers = list(headers)
