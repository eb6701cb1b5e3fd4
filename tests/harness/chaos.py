"""A run of everything at once: sites, a Keystone and gateways that fail as a seed says, and clients that hold every answer against
the truth at the sites. What it finds it tells with the seed and the story of the one request."""

import contextlib
import dataclasses
import functools
import random
import signal
import threading
import time

from chaos_clients import CLASSES, DEADLINE, GROUPS, SLACK, Keeper, Person, Violation
from chaos_sites import Book, ChaosSite
from chaos_weather import RECOVERY, Weather, plan
from client import Client
from fleet import fleet_config, until
from gateway import Gateway
from standin import StandinKeystone, node

SITES = len(GROUPS)
NODES_EACH = 12
CLIENTS = 6
# Clocks that let a spell of seconds be noticed and forgotten, and that a busy machine keeps.
CLOCKS = {"connect_timeout": 3, "timeout": 4, "response_timeout": 4, "breaker_failures": 3, "breaker_reset": 0.5, "probe_interval": 1}
PASSWORD = "secret"
# The sites that want a token of Keystone's.
GUARDED = {"loc2", "loc3"}
AWAY, WITHDRAWN, AGAIN = "Keystone is away", "Keystone withdraws all tokens", "Keystone withdraws tokens once more"
# How long a gateway without a token waits at most before it asks Keystone again, and one whose new tokens are refused, too
# (src/keystone/renewal.rs); and what this busy machine adds to it.
PATIENCE, LONG_PATIENCE = 8 + SLACK, 60 + 8 + SLACK
# A few are enough to see a kind.
ENOUGH = 5


@dataclasses.dataclass
class Event:
    """Something that happened beside the weather."""

    what: str
    began: float
    ended: float = float("inf")


class ChaosKeystone(StandinKeystone):
    """Its users are the gateways; it knows when a token of one of them was last taken, and where."""

    def __init__(self, users):
        super().__init__(users)
        self._taken = {}

    def takes(self, site, token):
        # Before it is looked at: all may be withdrawn right behind.
        now = time.monotonic()
        document = self.tokens.get(token)
        if document is None:
            return False
        self._taken.setdefault((document["user"]["name"], site), []).append(now)
        return self.valid(token)

    def took(self, user, site, since, until):
        return any(since < at <= until for at in self._taken.get((user, site), ()))


class Replica(Gateway):
    """One of the gateways, which knows when it was away."""

    def __init__(self, name, text):
        super().__init__(text)
        self.name = name
        self._killed = []
        self._away = []
        self.started = time.monotonic()

    def was_killed(self, since, until):
        return any(begin <= until and end >= since for begin, end in self._killed)

    def away(self, since, until):
        """For how many seconds it did not serve."""
        return sum(end - begin for begin, end in self._away if begin <= until and end >= since)

    def _absent(self, work, notes):
        note = [time.monotonic(), float("inf")]
        notes.append(note)
        self._away.append(span := [note[0], note[0] + 60])
        self.started = note[0]
        work()
        self.started = note[1] = span[1] = time.monotonic()

    def restarted(self):
        self._absent(self.restart, [])

    def killed(self):
        def work():
            self.kill()
            self.start()

        self._absent(work, self._killed)


class Chaos:
    """The run; `report` says what was seen, and `violations` holds the stories."""

    def __init__(self, seed, seconds):
        self.seed = seed
        self.seconds = seconds
        self.rng = random.Random(f"run {seed}")
        self.book = Book()
        self.violations = []
        self.count = {}
        self._lock = threading.Lock()
        self._writes = []
        # What happened beside the weather.
        self._events = []
        self._ended = threading.Event()

    def new_node(self, name, resource_class=None):
        return node(name, resource_class=resource_class or self.rng.choice(CLASSES), extra={"mark": "none"})

    # --- what clients tell

    def told(self, asked):
        with self._lock:
            key = (asked.method, asked.status)
            self.count[key] = self.count.get(key, 0) + 1

    def wrote(self, asked):
        with self._lock:
            self._writes.append(asked)

    def violated(self, asked, law, ident):
        story = self._story(asked, law, ident)
        with self._lock:
            self.violations.append(story)
            if len(self.violations) >= ENOUGH:
                self._ended.set()

    def sick(self, asked):
        """The sites that this request's gateway may have taken for sick."""
        sick = self.weather.sick(asked.since, asked.until)
        started = next(gateway.started for gateway in self.gateways if gateway.name == asked.gateway)
        events = [event for event in self._events if event.began <= asked.until]
        for event in events:
            # Who starts while Keystone is away has no token, and asks for one again after some seconds.
            tokenless = event.what == AWAY and event.began - RECOVERY <= started <= event.ended + RECOVERY
            if tokenless and asked.since <= max(started, event.ended) + PATIENCE:
                sick |= GUARDED
            # A token that is refused soon after the last one was, is replaced less and less often; and none is had from a Keystone
            # that went away. With a token that was taken since, it is well again.
            is_away = any(other.what == AWAY and other.ended >= event.began for other in events)
            if (event.what == AGAIN or (event.what == WITHDRAWN and is_away)) and asked.since <= event.ended + LONG_PATIENCE:
                sick |= {name for name in GUARDED if not self.keystone.took(asked.gateway, name, event.ended, asked.since)}
        return sick

    def remembers(self, pages):
        """Whether one gateway answered them all, and nothing made it forget what it had learnt."""
        names = {page.gateway for page in pages}
        begin, end = pages[0].since, pages[-1].until
        return len(names) == 1 and not any(event.what.endswith(*names) and event.began <= end and event.ended >= begin for event in self._events)

    @contextlib.contextmanager
    def _event(self, what):
        event = Event(what, time.monotonic())
        self._events.append(event)
        yield
        event.ended = time.monotonic()

    # --- the run

    def run(self):
        self.keystone = ChaosKeystone(dict.fromkeys(("one", "two"), PASSWORD))
        self.sites = {}
        for number in range(1, SITES + 1):
            nodes = [self.new_node(f"s-{number}-{each}") for each in range(NODES_EACH)]
            name = f"loc{number}"
            credentials = ("token", functools.partial(self.keystone.takes, name)) if name in GUARDED else None
            self.sites[name] = ChaosSite(name, self.book, nodes, credentials=credentials)
        try:
            with Replica("one", self._configuration("one")) as one, Replica("two", self._configuration("two")) as two:
                self.gateways = [one, two]
                self._play()
        finally:
            for site in self.sites.values():
                site.close()
            self.keystone.close()
        return self

    def _configuration(self, user, **api):
        token = {"auth_type": "password", "auth_url": self.keystone.endpoint, "username": user, "password": PASSWORD}
        token |= {"user_domain_name": "Default", "system_scope": "all"}
        groups = ",".join(f"{group or '_'}:loc{number}" for number, group in enumerate(GROUPS, 1))
        return fleet_config(
            [site.endpoint for site in self.sites.values()],
            groups=groups,
            api={"request_deadline": DEADLINE, **api},
            every=CLOCKS,
            each=dict.fromkeys(GUARDED, token),
            sections={"node_cache": {"sweep_interval": 5, "name_lifetime": 3}},
        )

    def _play(self):
        sick = {name: site for name, site in self.sites.items() if name != "loc1"}
        self.weather = Weather(self.seed, sick, plan(self.seed, list(sick), self.seconds))
        self.clients = [Person(number, self) for number in range(CLIENTS)] + [Keeper(CLIENTS, self)]
        self._wait_until_known()
        self.began = time.monotonic()
        self.weather.start(self.began)
        threads = [threading.Thread(target=self._live, args=(client,)) for client in self.clients]
        threads.append(threading.Thread(target=self._keystone))
        for thread in threads:
            thread.start()
        # A gateway is started by the main thread, as `bed.process` wants it.
        self._gateways()
        self._ended.wait(max(self.began + self.seconds - time.monotonic(), 0))
        self._ended.set()
        for thread in threads:
            thread.join()
        self.weather.stop()
        self._settle()

    def _wait_until_known(self):
        for gateway in self.gateways:
            until(lambda: Client(gateway.url).get("/v1/nodes").status == 200, what="a whole list")

    def _live(self, client):
        while not self._ended.is_set():
            try:
                client.act()
            except Violation:
                pass
            except Exception as error:  # A fault of the run itself ends it, and is told.
                with self._lock:
                    self.violations.append(f"the run itself failed: {error!r}")
                self._ended.set()
                raise

    def _keystone(self):
        """Goes away now and then, which nobody may notice while tokens live; and withdraws tokens, which costs one question more."""
        rng = random.Random(f"keystone {self.seed}")
        while not self._ended.wait(rng.uniform(2, 6)):
            if rng.random() < 0.5:
                with self._event(AGAIN if self._refused() else WITHDRAWN):
                    self.keystone.revoke_all()
            else:
                with self._event(AWAY):
                    self.keystone.down()
                    self._ended.wait(rng.uniform(0.2, 3))
                    self.keystone.up()

    def _refused(self):
        """Whether a token was refused before."""
        is_refusal = [event.what in (WITHDRAWN, AGAIN) for event in self._events]
        return any(is_refusal) or any(spell.way == "401" and spell.site in GUARDED and spell.began for spell in self.weather.spells)

    def _gateways(self):
        """One is reloaded, restarted or killed at a time."""
        rng = random.Random(f"gateways {self.seed}")
        while not self._ended.wait(rng.uniform(4, 9)):
            if time.monotonic() > self.began + self.seconds - 5:
                return
            gateway, what = rng.choice(self.gateways), rng.choice(["reload", "reload", "restart", "kill"])
            with self._event(f"{what} of {gateway.name}"):
                if what == "reload":
                    gateway.write_config(self._configuration(gateway.name, walk_memory=rng.choice([1 << 20, 64 << 20])))
                    gateway.process.signal(signal.SIGHUP)
                else:
                    gateway.restarted() if what == "restart" else gateway.killed()

    def _settle(self):
        """When all is over: no write was executed twice, or at all where a client was told that nothing was sent."""
        time.sleep(3)
        for asked in self._writes:
            executions = self.book.executions(asked.mark)
            if len(executions) > 1:
                self.violated(asked, f"executed {len(executions)} times", None)
            elif executions and asked.status and (asked.status == 503 or 400 <= asked.status < 500):
                self.violated(asked, f"executed by {executions[0].site}, though the client was told {asked.status}", None)

    # --- telling

    def _story(self, asked, law, ident):
        """What belongs to one request, in order."""
        zero = self.began
        since = min([asked.since, *(page.since for page in asked.before)])
        ending = asked.until + 0.5
        lines = []
        for spell in self.weather.spells:
            if spell.began and spell.began <= ending and (spell.ended or ending) >= since - RECOVERY:
                ended = f" until {spell.ended - zero:.2f}" if spell.ended else ""
                lines.append((spell.began, f"{spell}{ended}"))
        events = [event for event in self._events if event.began <= ending and event.ended >= since - RECOVERY]
        lines += [(event.began, f"{event.what} until {event.ended - zero:.2f}") for event in events]
        if ident:
            home = self.book.home(ident)
            for version in self.book.history(ident):
                what = "is gone" if version.record is None else f"is {version.record['name']} with {version.record['extra']}"
                lines.append((version.latest, f"{ident} at {home} {what}"))
        words = [word for word in (ident, asked.mark and asked.mark.split(" ")[-1]) if word]
        for name, site in self.sites.items():
            for request in site.asked():
                if not since - 0.05 <= request.at <= ending:
                    continue
                text = f"{request.target} {bytes(request.body).decode(errors='replace')}"
                if not words or any(word in text for word in words):
                    lines.append((request.at, f"{name} is asked {request} {bytes(request.body)[:200].decode(errors='replace')}"))
        lines += [(page.until, f"PAGE {page.page()[:600]}") for page in asked.before]
        lines.append((asked.since, f"CLIENT {asked}"))
        answer = f"{asked.reply}" if asked.reply else f"broken: {asked.broken}"
        lines.append((asked.until, f"ANSWER {answer[:1200]}" if not asked.before else f"PAGE {asked.page()}"))
        told = "\n".join(f"  {at - zero:8.3f}  {line}" for at, line in sorted(lines)[-80:])
        if asked.broken:
            # Whoever breaks a connection may have said why.
            log = next(gateway.log() for gateway in self.gateways if gateway.name == asked.gateway)
            told += "".join(f"\n  LOG {line[:200]}" for line in log.splitlines()[-30:])
        return f"seed {self.seed}: {law}\n{told}"

    def report(self):
        counts = ", ".join(f"{method} {status}: {count}" for (method, status), count in sorted(self.count.items(), key=str))
        return f"seed {self.seed}, {self.seconds} s, {sum(self.count.values())} requests: {counts}"
