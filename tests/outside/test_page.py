"""`/status` for people, in Debian's Chromium: every state, thousands of locations, without a script, on a phone, by keyboard."""

import re

import pytest
from admin import SECTION, Admin
from browser import Browser, door
from fleet import fleet, until
from pki import Authority
from scripted import late
from standin import Standin, node

# As Chromium and Firefox send it for a page.
BROWSERS = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
EVIL = "<script>document.title='taken'</script><b>\"'&amp;"


@pytest.fixture(scope="module")
def troubled(tmp_path_factory):
    """A location of each condition: loc1 is well, loc2 down, loc3 slow, loc4 in quarantine, loc5 in maintenance, the certificate
    of loc6 ends soon, loc7 is read-only, loc8 draining."""
    ca = Authority(tmp_path_factory.mktemp("pki"))
    client = ca.issue("gateway", ends=5)
    sites = [Standin() for _ in range(8)]
    sites[3].versions = ("1.1", "1.82")
    each = {"loc6": {"certfile": client.certfile, "keyfile": client.keyfile}}
    groups = "_:loc1," + ",".join(f"grp{number}:loc{number}" for number in range(2, 9))
    options = {"every": {"breaker_failures": 1, "breaker_reset": 60}, "each": each, "groups": groups}
    api = {"min_max_version": "1.90", "slow_request": 0.05}
    with fleet(*sites, wait=False, api=api, sections={"admin": SECTION}, **options) as hub:
        admin = Admin(hub.gateway)
        observed = lambda: {site["name"]: site["observed"]["state"] for site in admin.get("/status").document["locations"]}  # noqa: E731
        until(lambda: "unknown" not in observed().values(), what="a first answer of each")
        hub.loc1.add(node("here"))
        assert hub.get("/v1/nodes/here").status == 200
        hub.loc2.down()
        hub.loc3.fault(late(0.1))
        assert hub.get("/v1/nodes").status == 503
        until(lambda: observed()["loc2"] == "down", what="loc2 down")
        admin.set("loc5", "maintenance", EVIL)
        admin.set("loc7", "read_only", "an audit")
        admin.set("loc8", "draining")
        yield hub


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


def html(admin, query=""):
    said = admin.get(f"/status{query}", headers={"Accept": BROWSERS})
    assert said.status == 200, said
    return said


@pytest.fixture
def admin(troubled):
    return Admin(troubled.gateway)


@pytest.fixture(scope="module")
def address(troubled):
    with door(Admin(troubled.gateway)) as address:
        yield address


# --- who gets it


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        (BROWSERS, True),
        ("text/html", True),
        ("text/*;q=0.3", True),
        ("application/json;q=0.5, text/html;q=0.6", True),
        ("application/json, text/html;q=0.9", False),
        ("text/html, application/json", False),
        ("text/html;q=0, */*", False),
        ("*/*", False),
        ("image/png", False),
        ("nonsense", False),
        (None, False),
    ],
)
def test_who_wants_html_gets_a_page_and_others_json(admin, accept, is_page):
    said = admin.get("/status", headers={"Accept": accept} if accept else {})
    kind = "text/html; charset=UTF-8" if is_page else "application/json"
    assert (said.status, said.headers["Content-Type"], said.headers["Vary"]) == (200, kind, "accept")
    assert is_page or said.document["locations"]


def test_it_may_load_and_run_nothing(admin):
    said = html(admin)
    policy = said.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-") and "unsafe" not in policy
    assert (said.headers["X-Content-Type-Options"], said.headers["Referrer-Policy"]) == ("nosniff", "no-referrer")
    assert not re.search(r"<script|<link|<img|<iframe|\son\w+=|\sstyle=|https?://(?!127)", said.text)
    assert said.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(("query", "seconds"), [("", "30"), ("?refresh=10", "10"), ("?refresh=1", "30"), ("?refresh=0&q=x", None)])
def test_it_reads_itself_again_as_often_as_is_wanted(admin, query, seconds):
    assert html(admin, query).headers["Refresh"] == seconds


# --- what it says


def test_the_first_sentence_says_what_is_wrong(browser, address):
    browser.open(f"{address}/status")
    assert re.fullmatch(r"loc2 is down since \d\d:\d\d: connect", browser.value("document.querySelector('h1').innerText"))
    assert browser.value("document.title").startswith("loc2 is down since ")


def rows(browser):
    """Name and state of each row, in order."""
    return browser.value(
        "[...document.querySelectorAll('.locations tbody tr')].map(row => [row.querySelector('th a').innerText,"
        " [...row.querySelectorAll('.badge')].map(badge => badge.innerText.trim()).join(', ')])"
    )


def test_who_needs_somebody_comes_first(browser, address, admin, troubled):
    def slow():
        troubled.get("/v1/nodes/here")
        troubled.loc3.fault(late(0.1))
        troubled.get("/v1/nodes?limit=1")
        return ">Slow<" in html(admin).text

    until(slow, what="that loc3 is slow")
    browser.open(f"{address}/status")
    told = rows(browser)
    assert told == [
        ["loc2", "Down: connect"],
        ["loc4", "Quarantine"],
        ["loc3", "Slow, Up"],
        ["loc6", "Certificate ends, Up"],
        ["loc5", "Maintenance"],
        ["loc7", "Read-only, Up"],
        ["loc8", "Draining, Up"],
        ["loc1", "Up"],
    ]


def test_names_and_reasons_are_text(browser, address, admin):
    browser.open(f"{address}/status?q={'%3Cscript%3Ealert(1)%3C/script%3E%22%20autofocus'}")
    assert browser.value("document.querySelector('#q').value") == '<script>alert(1)</script>" autofocus'
    assert "No location is found" in browser.text()
    browser.open(f"{address}/status")
    assert EVIL in browser.text()
    assert browser.value("document.title") != "taken"
    assert browser.value("document.scripts.length") == 0


def test_what_happened_is_told(browser, address):
    browser.open(f"{address}/status")
    text = browser.text()
    for line in ("loc2 is down: connect", "loc4 is in quarantine", "loc7 is read-only, set by uid", "loc8 is drained"):
        assert line in text, line
    assert re.search(r"Failed \(5xx\)\s+[1-9]", text), text


# --- for everybody


@pytest.mark.parametrize("width", [320, 400, 1000, 1600])
def test_nothing_hangs_over_the_edge(browser, address, width):
    browser.size(width)
    browser.open(f"{address}/status")
    assert browser.value("document.documentElement.scrollWidth") == width
    outside = "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('svg, thead')).map(e => e.outerHTML)"
    assert browser.value(outside) == []


def test_without_a_script_it_is_the_same(browser, address):
    browser("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(f"{address}/status?only=down")
    finally:
        browser("Emulation.setScriptExecutionDisabled", value=False)
    assert rows(browser) == [["loc2", "Down: connect"]]
    complaints = [event["params"]["entry"]["text"] for event in browser.events if event["method"] == "Log.entryAdded"]
    assert [text for text in complaints if "favicon" not in text] == []
