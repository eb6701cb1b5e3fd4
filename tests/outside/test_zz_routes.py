"""The last test of a whole run: every row of the gateway's table of routes was used against real Ironics."""

import re
import urllib.parse
from pathlib import Path

import pytest

from gateway import ENDED, REPOSITORY

ROW = re.compile(r'^\s*row\("([^"]+)",\s*"([^"]+)",', re.MULTILINE)

# What fake hardware cannot do, so that Ironic's own refusal is all there is to compare.
NEVER_2XX = {
    ("GET", "nodes/{}/portgroups/{}/ports"): "Ironic 39 permits nobody to name a node and a port group at once",
    ("PUT", "nodes/{}/management/inject_nmi"): "fake management has no NMI",
    ("PUT", "nodes/{}/management/indicators/{}"): "fake indicators can be read only",
    ("GET", "nodes/{}/vmedia"): "fake management has no virtual media",
    ("*", "drivers/{}/vendor_passthru"): "fake-hardware has no methods of its own",
    ("*", "drivers/{}/vendor_passthru/{}"): "fake-hardware has no methods of its own",
}


def table():
    """The rows, one per method, in the table's order."""
    source = (REPOSITORY / "src/api/route.rs").read_text(encoding="utf-8")
    body = source[source.index("pub static TABLE") :]
    body = body[: body.index("\n};")]
    rows = ROW.findall(body)
    assert len(rows) == body.count("row("), "a row that this test cannot read"
    return [(method, template) for methods, template in rows for method in methods.split(" ")]


def row_of(rows, method, target):
    """The first row that serves it: what is written literally stands before what is not."""
    parts = [urllib.parse.unquote(part) for part in target.partition("?")[0].strip("/").split("/")]
    if parts[0] == "v1":
        parts = parts[1:]
    for row in rows:
        wanted = row[1].split("/")
        if row[0] in (method, "*") and len(wanted) == len(parts) and all(w in ("{}", p) for w, p in zip(wanted, parts)):
            return row
    return None


@pytest.fixture
def whole(request):
    """Skips unless every test against real Ironics runs, and runs before this one."""
    options = request.config
    if options.option.keyword or options.option.markexpr or any("::" in word for word in options.args):
        pytest.skip("some tests were selected: rows may be missing for that reason")
    collected = {item.path for item in request.session.items}
    absent = sorted(path.name for path in Path(__file__).parent.glob("test_real_*.py") if path not in collected)
    if absent:
        pytest.skip(f"not in this run: {', '.join(absent)}")


@pytest.mark.usefixtures("whole")
def test_every_row_of_the_table_was_exercised(sites, gateway):
    urls = [site.url for site in sites.values()]
    seen = set(gateway.answered())
    for configuration, answered in ENDED:
        if any(url in configuration for url in urls):
            seen |= answered
    rows = table()
    asked, done = set(), set()
    for method, target, status in seen:
        row = row_of(rows, method, target)
        if status < 500:
            asked.add(row)
        if 200 <= status < 300:
            done.add(row)
    missing = [" ".join(row) for row in rows if row not in (asked if row in NEVER_2XX else done)]
    assert not missing, "rows without a test against a real Ironic:\n" + "\n".join(missing)
    outdated = [f"{' '.join(row)}: {reason}" for row, reason in NEVER_2XX.items() if row in done or row not in rows]
    assert not outdated, "exceptions that are none:\n" + "\n".join(outdated)


def test_the_rows_are_read_as_the_gateway_reads_them():
    rows = table()
    for method, target, expected in [
        ("GET", "/v1/nodes?limit=1", ("GET", "nodes")),
        ("GET", "/nodes/detail", ("GET", "nodes/detail")),
        ("DELETE", "/v1/nodes/n%6fde/", ("DELETE", "nodes/{}")),
        ("GET", "/v1/nodes/validate?node=x", ("GET", "nodes/validate")),
        ("GET", "/v1/nodes/x/vendor_passthru/methods", ("GET", "nodes/{}/vendor_passthru/methods")),
        ("PUT", "/v1/nodes/x/vendor_passthru/methods", ("*", "nodes/{}/vendor_passthru/{}")),
        ("GET", "/v1/nodes/x/future", None),
        ("GET", "/", None),
    ]:
        assert row_of(rows, method, target) == expected, target
