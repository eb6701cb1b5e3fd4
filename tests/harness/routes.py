"""The gateway's table of routes, and which of its rows a run has used against real Ironics."""

import re
import urllib.parse

from gateway import ENDED, REPOSITORY

ROW = re.compile(r'^\s*row\("([^"]+)",\s*"([^"]+)",(.*),$', re.MULTILINE)
FUNCTION = re.compile(r'"[\w./]+\(([^"]*)\)"')
ANSWERS = re.compile(r"\.answers\(&\[([\d, ]+)\]\)")

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
    """The rows in the table's order: (method, template) to the statuses of success."""
    source = (REPOSITORY / "src/api/route/table.rs").read_text(encoding="utf-8")
    body = source[source.index("pub static TABLE") :]
    body = body[: body.index("\n};")]
    rows = ROW.findall(body)
    assert len(rows) == body.count("row("), "a row that this test cannot read"
    statuses = [ANSWERS.search(extra) for _, _, extra in rows]
    answers = [set(map(int, found[1].split(", "))) if found else {200} for found in statuses]
    return {(method, template): expected for (method, template, _), expected in zip(rows, answers)}


def functions():
    """The names of what identifies in each row's function, in Ironic's order: (method, template) to them."""
    source = (REPOSITORY / "src/api/route/table.rs").read_text(encoding="utf-8")
    found = {(method, template): FUNCTION.search(extra)[1] for method, template, extra in ROW.findall(source)}
    return {row: [name.partition(":")[0] for name in names.split(", ") if name] for row, names in found.items()}


def spellings():
    """Each row, with ever less of its path: what is missing there, a query may give (`pecan` takes arguments from either)."""
    for (method, template), parameters in functions().items():
        arity = template.count("{}")
        for given in range(arity):
            words = iter(template.split("/"))
            yield "PUT" if method == "*" else method, list(words), given, parameters[given:]
        # Beside a path that says all there may be more.
        if parameters[arity:]:
            yield "PUT" if method == "*" else method, template.split("/"), arity, parameters[arity:]


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


def used(urls):
    """What the gateways that have ended here answered with the Ironics at these URLs: pairs of a row and a status."""
    rows, found = table(), set()
    for configuration, answered in ENDED:
        if any(url in configuration for url in urls):
            found |= {(row, status) for method, target, status in answered if (row := row_of(rows, method, target))}
    return found


def unused(found):
    """What is wrong with all that was `used`: rows that no test used, one a line."""
    rows = table()
    asked = {row for row, status in found if status < 500}
    done = {row for row, status in found if 200 <= status < 300}
    wrong = {(row, status) for row, status in found if 200 <= status < 300 and status not in rows[row]}
    faults = [f"not a status that its row has: {status} to {' '.join(row)}" for row, status in sorted(wrong)]
    faults += [
        f"no test uses it with a real Ironic: {' '.join(row)}" for row in rows if row not in (asked if row in NEVER_2XX else done)
    ]
    faults += [f"no exception: {' '.join(row)}: {why}" for row, why in NEVER_2XX.items() if row in done or row not in rows]
    return faults
