"""`/status` for people, in Debian's Chromium: every state, thousands of locations, without a script, on a phone, by keyboard."""

import re
import shlex
import subprocess

import pytest
from admin import SECTION, Admin
from browser import Browser, door
from fleet import fleet, until
from gateway import REPOSITORY, Gateway, config
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
    with fleet(*sites, wait=False, api=api, sections={"admin": {**SECTION, "listen": "127.0.0.1:0"}}, **options) as hub:
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
    with door(Admin(troubled.gateway).socket) as address:
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


def test_what_happened_is_told(browser, address, admin):
    lines = ("loc2 is down: connect", "loc4 is in quarantine", "loc7 is read-only, set by uid", "loc8 is drained")

    def told():
        browser.open(f"{address}/status")
        return all(line in browser.text() for line in lines)

    until(told, what="that all changes are told")
    assert admin("POST", "/reload").document["reloaded"]
    browser.open(f"{address}/status")
    assert "Configuration was reloaded: nothing has changed" in browser.text()
    text = browser.text()
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


# --- for everybody, heard and touched


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1000, 1600])
def test_axe_has_nothing_against_it(browser, address, width, dark):
    """Contrasts, landmarks, labels, tables, headings: axe-core's rules."""
    browser.size(width, dark=dark)
    browser.open(f"{address}/status")
    assert browser.complaints() == ([], [])


def test_axe_would_complain(browser, address):
    browser.size(1000)
    browser.open(f"{address}/status")
    browser.value("document.documentElement.lang = ''; document.querySelector('caption').style.color = '#999'; 0")
    broken, _ = browser.complaints()
    assert {"html-has-lang", "color-contrast"} <= {rule for rule, _ in broken}


@pytest.mark.parametrize("width", [400, 1600])
def test_a_screen_reader_is_told_all(browser, address, width):
    """As a card on a phone a row is still one of a table."""
    browser.size(width)
    browser.open(f"{address}/status")
    tree = browser.tree()
    roles = [role for role, _ in tree]
    for role in ("banner", "main", "contentinfo", "search"):
        assert roles.count(role) == 1, role
    names = {role: {name for other, name in tree if other == role} for role in set(roles)}
    assert any(name.startswith("loc2 is down since") for name in names["heading"])
    assert {"Locations", "Last changes", "Requests of the last hour"} <= names["heading"]
    assert any("8 of 8, those that need somebody first" in name for name in names["table"])
    assert {"Location", "State", "Since", "Operator", "Versions", "Nodes", "Swept", "Ends in"} <= names["columnheader"]
    assert any(name.startswith("loc3") for name in names["rowheader"])
    assert "Down: connect" in names["StaticText"], "a state is a word, and no colour alone"
    assert any(name.startswith("90 % of answers within") for name in names["image"])
    assert any(name.startswith("Requests of each minute") for name in names["image"])


def test_by_keyboard(browser, address):
    browser.size(1000)
    browser.open(f"{address}/status")
    assert browser.tab() == "Skip to the locations"
    assert browser.value("document.activeElement.getBoundingClientRect().left") >= 0, "it is seen when it has the focus"
    outline = "getComputedStyle(document.activeElement).outlineStyle + getComputedStyle(document.activeElement).outlineWidth"
    stops = []
    while len(stops) < 40 and (stop := browser.tab()) not in ("", "Skip to the locations"):
        stops.append(stop)
        assert browser.value(outline) == "solid3px", stop
    for stop in ("every 10 s", "never", "q", "Search", "Down 1", "loc2", "loc1", "/metrics"):
        assert stop in stops, stops


def test_light_and_dark(browser, address):
    def back(dark):
        browser.size(1000, dark=dark)
        browser.open(f"{address}/status")
        red, green, blue = re.findall(r"\d+", browser.value("getComputedStyle(document.body).backgroundColor"))
        return int(red) + int(green) + int(blue)

    assert back(dark=False) > 600 and back(dark=True) < 150


# --- how to get there


def test_it_is_reached_as_the_guide_says(browser, admin, troubled):
    """`ssh -G` says what the command forwards, without a connection."""
    text = (REPOSITORY / "docs/operate.md").read_text(encoding="utf-8")
    commands = [shlex.split(line) for line in re.search(r"<!-- the page -->\n```sh\n(.*?)```", text, re.DOTALL)[1].splitlines()]
    targets = []
    for program, *words in commands:
        done = subprocess.run([program, "-G", "-F", "none", *words], capture_output=True, text=True, check=True, timeout=20)
        targets += re.findall(r"(?m)^localforward \[?9385\]? (\S+)$", done.stdout)
    assert targets == ["/run/ironic-proxy/admin.sock", "[127.0.0.1]:9385"]
    listening = until(lambda: re.search(r"can be read on http://127.0.0.1:(\d+)", troubled.gateway.log()), what="the door on loopback")
    for target in (admin.socket, ("127.0.0.1", int(listening[1]))):
        with door(target) as address:
            browser.open(f"{address}/status")
            assert browser.value("document.title").startswith("loc2 is down since ")


# --- who may not


@pytest.mark.parametrize("path", ["/drain", "/reload", "/explain"])
def test_a_page_of_somebody_changes_nothing(admin, path):
    """The socket behind `ssh -L` is an address of the operator's browser, and any page may post a form to it."""
    said = admin("POST", path, {}, headers={"Origin": "https://evil.example"})
    assert (said.status, "browser" in said.document["error"]) == (403, True)
    assert admin.get("/status").document["stage"] == "serving"


@pytest.mark.parametrize(("host", "status"), [("evil.example:9385", 403), ("192.0.2.1", 403), ("localhost:9385", 200), ("socket", 200)])
def test_a_name_that_leads_here_reads_nothing(admin, host, status):
    assert admin.get("/status", headers={"Host": host, "Accept": BROWSERS}).status == status


# --- thousands


NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def thousands():
    """5000 locations: nobody answers at `s4321`, `s2500` is well, and the others are not asked."""
    with Standin() as well:
        names = [f"s{number:04}" for number in range(5000)]
        endpoints = {**dict.fromkeys(names, NOBODY), "s2500": well.endpoint}
        options = {name: {"state": "maintenance"} for name in names} | {"s2500": {}, "s4321": {"breaker_failures": 1, "breaker_reset": 60}}
        groups = "_:s0000," + ",".join(f"rack-{name}:{name}" for name in names[1:])
        text = config(endpoints, groups=groups, location_options=options, sections={"admin": SECTION, "node_cache": {"sweep_interval": 0}})
        with Gateway(text) as gateway:
            admin = Admin(gateway)
            until(lambda: admin.location("s4321")["observed"]["state"] == "down", what="s4321 down")
            until(lambda: admin.location("s2500")["observed"]["state"] == "up", what="s2500 up")
            yield admin


def test_of_thousands_the_first_page_has_those_that_count(browser, thousands):
    said = html(thousands)
    assert len(said.text) < 150_000, "one page of rows, not all of them"
    with door(thousands.socket) as address:
        browser.size(1000)
        browser.open(f"{address}/status")
        told = rows(browser)
        assert (len(told), told[0]) == (50, ["s4321", "Down: connect"])
        assert re.match(r"s4321 is down since \d\d:\d\d: connect", browser.value("document.title"))
        assert re.search("Maintenance\\s+4\u202f998", browser.text())
        assert browser.value("document.documentElement.scrollWidth") == 1000


def test_it_is_paged_and_searched_by_links_and_a_form(browser, thousands):
    with door(thousands.socket) as address:
        browser.open(f"{address}/status?refresh=0&only=maintenance")
        seen = rows(browser)
        follow(browser, "[rel=next]")
        assert browser.value("location.search") == "?only=maintenance&page=2&refresh=0"
        assert not {name for name, _ in seen} & {name for name, _ in rows(browser)}
        follow(browser, ".pages a:last-child")
        assert "Page 100 of 100" in browser.text() and rows(browser)[-1][0] == "s4999"
        browser.value("document.querySelector('#q').value = 'RACK-s25 499'; document.querySelector('#q').focus(); 0")
        browser.press("Enter", 13)
        browser.await_event("Page.loadEventFired")
        assert browser.value("location.search") == "?q=RACK-s25+499&only=maintenance&refresh=0"
        assert rows(browser) == []
        browser.open(f"{address}/status?q=RACK-s25")
        assert "1 to 50 of 100" in browser.text()
        follow(browser, "[rel=next]")
        assert rows(browser)[-1] == ["s2500", "Up"], "who is well comes last"


def follow(browser, selector):
    browser.value(f"document.querySelector('{selector}').click()")
    browser.await_event("Page.loadEventFired")
