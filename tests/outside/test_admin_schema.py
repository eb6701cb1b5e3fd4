"""The documents of the admin door are those of docs/admin.schema.json, whatever befalls the locations."""

import json
import re

import jsonschema
import pytest
from admin import SECTION, Admin
from fleet import fleet, until
from standin import Standin, new_uuid, node

from gateway import REPOSITORY

SCHEMA = json.loads((REPOSITORY / "docs" / "admin.schema.json").read_text())
PAGE = (REPOSITORY / "docs" / "admin.md").read_text()
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")

formats = jsonschema.FormatChecker(formats=())
formats.checks("date-time")(lambda value: not isinstance(value, str) or TIME.fullmatch(value) is not None)


def conforms(document, name):
    schema = {**SCHEMA, "anyOf": [{"$ref": f"#/$defs/{name}"}]}
    jsonschema.Draft202012Validator(schema, format_checker=formats).validate(document)
    return document


@pytest.fixture(scope="module")
def hub():
    """One location that is well, one that is down, one in maintenance, one that never spoke."""
    sites = [Standin(), Standin(), Standin(), Standin()]
    with fleet(*sites, wait=False, every={"breaker_failures": 1, "breaker_reset": 60}, sections={"admin": SECTION}) as hub:
        admin = Admin(hub.gateway)
        until(lambda: all(site["observed"]["state"] == "up" for site in admin.get("/locations").document["locations"]), what="four locations")
        hub.loc1.add(node("here"))
        hub.loc2.down()
        assert hub.get("/v1/nodes").status == 503
        admin.set("loc3", "maintenance", "a new switch")
        yield hub


@pytest.fixture
def admin(hub):
    return Admin(hub.gateway)


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_status_and_locations(admin):
    status = conforms(admin.get("/status").document, "status")
    conforms(admin.get("/locations").document, "locations")
    seen = {(site["operator"]["state"], site["observed"]["state"]) for site in status["locations"]}
    assert {("enabled", "up"), ("enabled", "down")} <= seen and any(state == "maintenance" for state, _ in seen)
    for site in status["locations"]:
        assert conforms(admin.location(site["name"]), "location") == site or site["latency"]


def test_a_thing_that_is_there_and_one_that_is_not(hub, admin):
    for ident in ("here", new_uuid()):
        for query in ("", "?ask=true"):
            conforms(admin.get(f"/locate/{ident}{query}").document, "finding")


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/v1/nodes", {}),
        ("GET", "/v1/nodes/here", {}),
        ("GET", "/v1/nodes/here/newer", {}),
        ("POST", "/v1/nodes", {}),
        ("PUT", "/v1/nodes/here/states/power", {}),
        ("GET", "/v1/things", {}),
        ("GET", "/v1", {}),
        ("GET", "/healthcheck", {}),
        ("GET", "/v1/nodes%2F", {}),
        ("GET", "/v1/nodes", {"X-OpenStack-Ironic-API-Version": "1.999"}),
        ("GET", "/v1/nodes", {"X-Ironic-Proxy-Location": "loc9"}),
    ],
)
def test_what_would_be_done(admin, method, path, headers):
    said = admin("POST", "/explain", {"method": method, "path": path, "headers": headers})
    conforms(said.document, "explanation")


def test_what_a_run_found(hub, admin):
    hub.loc1.objects["chassis"].append({"uuid": new_uuid(), "description": None, "extra": {}})
    assert conforms(admin("POST", "/sync").document, "sync")["doing"]
    report = until(lambda: (now := admin.get("/sync").document)["doing"] is None and conforms(now, "sync"), what="the end of the run")
    assert "maintenance" in {one["why"] for one in report["swept"]}
    assert report["unanswered"]


def test_what_is_refused(admin):
    for method, path in (("GET", "/nothing"), ("GET", "/locations/loc9"), ("DELETE", "/status")):
        conforms(admin(method, path).document, "error")


def test_what_is_ordered():
    """A reload that is taken and one that is not, an upgrade that is not, a state that is kept and one that is not, a drain."""
    with fleet(1, sections={"admin": SECTION}) as hub:
        admin, file = Admin(hub.gateway), hub.gateway.config_path
        assert "warning" not in conforms(admin.set("loc1", "read_only", "an audit"), "location")
        # Where the states would be written to before they get their name.
        (hub.gateway.directory / "state" / "states.new").mkdir()
        assert "restart" in conforms(admin.set("loc1", "enabled"), "location")["warning"]
        assert conforms(admin("POST", "/reload").document, "reload")["reloaded"]
        text = file.read_text()
        file.write_text(text.replace("[DEFAULT]", "[DEFAULT]\nread_only = perhaps", 1))
        assert conforms(admin("POST", "/reload").document, "reload")["faults"]
        assert not conforms(admin("POST", "/upgrade").document, "upgrade")["upgraded"]
        file.write_text(text)
        conforms(admin("POST", "/drain").document, "drain")


def test_every_document_is_one_of_the_schema():
    named = {reference["$ref"].removeprefix("#/$defs/") for reference in SCHEMA["anyOf"]}
    told = {name for name, part in SCHEMA["$defs"].items() if re.search(r"(GET|POST|PUT) /|of any path", part.get("description", ""))}
    assert named == told


def test_the_page_names_each_member():
    for name in ("status", "location", "finding", "explanation", "sync"):
        for member in SCHEMA["$defs"][name]["properties"]:
            assert f"`{member}`" in PAGE, f"docs/admin.md does not say what {member} of {name} is"


def test_a_document_that_says_more_is_noticed(admin):
    """The schema is closed, so that a new member is written down."""
    document = {**admin.get("/status").document, "more": 1}
    with pytest.raises(jsonschema.ValidationError):
        conforms(document, "status")
