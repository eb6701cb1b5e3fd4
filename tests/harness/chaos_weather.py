"""What happens to the sites during the run of `chaos.py`: a plan that a seed determines, and what carries it out."""

import dataclasses
import random
import threading
import time

import scripted
from exchange import Answer

# How long after a spell a site may still be taken for sick: what hangs has to end, the breaker and the probe to notice.
RECOVERY = 8.0

# Faults that strike requests, by name.
FAULTS = {
    "hangs": scripted.hang(),
    "hangs after the head": scripted.hang_after_head(),
    "hangs in the body": scripted.hang_in_body(),
    "resets": scripted.reset(),
    "closes": scripted.close(),
    "cuts off": scripted.cut_off(),
    "cuts JSON": scripted.cut_json(),
    "cuts chunks": scripted.cut_chunks(),
    "talks garbage": scripted.garbage(),
    "502 in HTML": scripted.html(502),
    "404 in HTML": scripted.html(404),
    "200 in HTML": scripted.html(200),
    "500 of Ironic": scripted.says(500, "Internal"),
    "503 of Ironic": scripted.says(503, "Busy"),
    "429": scripted.says(429, "Too many"),
    "a portal's {}": scripted.answers(200, b"{}"),
    "404 of an API gateway": scripted.answers(404, b'{"message": "no Route matched"}'),
    "401": scripted.says(401, "no"),
    "redirects": scripted.answers(302, b"", [("Location", "http://198.51.100.1/v1/nodes")]),
    "204 for everything": lambda exchange: nothing(exchange),
    "drips": scripted.drip(0.02),
    "wrong type": scripted.wrong_type(),
    "nests too deep": scripted.too_deep(),
    "endless head": scripted.big_head(),
    "does it and closes": scripted.executed(scripted.close()),
    "does it and resets": scripted.executed(scripted.reset()),
    "does it and hangs": scripted.executed(scripted.hang()),
    "does it and says 502": scripted.executed(scripted.html(502)),
    "does it and says 500": scripted.executed(scripted.says(500, "Internal")),
    "does it and says {}": scripted.executed(scripted.answers(200, b"{}")),
    "does it too late": lambda exchange: late(exchange),
}
# What a site does by itself.
WAYS = ("refuses connections", "flaps", "is a black hole", "drops connections")
# Not sick: it must not be noticed by anybody.
HARMLESS = {"slow": scripted.late(0.15)}


def nothing(exchange):
    """204 where Ironic has something to say; where it may have nothing, as a driver may, nobody could tell."""
    has_words = exchange.request.method in ("GET", "PATCH", "POST") and "vendor_passthru" not in exchange.request.path
    return Answer(204) if has_words else exchange.true_answer()


def late(exchange):
    """Carries it out when nobody waits any longer."""
    time.sleep(4.6)
    exchange.true_answer()
    exchange.reset()


@dataclasses.dataclass
class Spell:
    """Something that happens to a site, from `since` on for `seconds`, both planned; the rest as it came."""

    site: str
    way: str
    since: float
    seconds: float
    # The share of requests that a fault strikes.
    share: float
    began: float = None
    ended: float = None

    @property
    def is_harmless(self):
        return self.way in HARMLESS

    def touches(self, since, until):
        """Whether the site may have been sick within that time."""
        if self.began is None or self.is_harmless:
            return False
        return self.began <= until and (self.ended is None or self.ended + RECOVERY >= since)

    def __str__(self):
        struck = "" if self.way in WAYS or self.is_harmless else f" ({self.share:.0%} of requests)"
        return f"{self.site} {self.way}{struck}"


def plan(seed, sites, seconds):
    """The spells of a run: calm, single troubles, and storms of many sites in turn."""
    rng = random.Random(f"weather {seed}")
    spells, now = [], 2.0
    while now < seconds - 3:
        kind = rng.choice(["single", "single", "pair", "storm", "harmless"])
        count = {"single": 1, "pair": 2, "storm": len(sites), "harmless": 2}[kind]
        longest = now
        for site in rng.sample(sites, min(count, len(sites))):
            way = rng.choice(list(HARMLESS) if kind == "harmless" else [*FAULTS, *WAYS, *WAYS])
            spell = Spell(site, way, now + rng.uniform(0, 0.4), rng.uniform(0.3, 4), rng.choice([1, 1, 0.5, 0.2]))
            spells.append(spell)
            longest = max(longest, spell.since + spell.seconds)
        # Some follow closely, some after everything is well again.
        now = longest + rng.choice([0.1, 1.5, RECOVERY + rng.uniform(1, 4)])
    return sorted(spells, key=lambda spell: spell.since)


class Weather:
    """Carries out a plan in a thread; ends with every site well."""

    def __init__(self, seed, sites, spells):
        self._rng = random.Random(f"strikes {seed}")
        self._sites = sites
        self.spells = spells
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._site, args=(name,), daemon=True) for name in sites]

    def start(self, began):
        self.began = began
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def sick(self, since, until):
        """The names of the sites that may have been sick within that time."""
        return {spell.site for spell in self.spells if spell.touches(since, until)}

    def _wait(self, seconds):
        """Whether the run goes on."""
        return not self._ended.wait(max(seconds, 0))

    def _site(self, name):
        site = self._sites[name]
        for spell in self.spells:
            if spell.site != name:
                continue
            if not self._wait(self.began + spell.since - time.monotonic()):
                return
            site.forget_old_requests()
            spell.began = time.monotonic()
            try:
                self._strike(site, spell)
            finally:
                spell.ended = time.monotonic()

    def _strike(self, site, spell):
        match spell.way:
            case "refuses connections":
                site.down()
                self._wait(spell.seconds)
                site.up()
            case "flaps":
                end = time.monotonic() + spell.seconds
                while time.monotonic() < end:
                    site.down()
                    self._wait(self._rng.uniform(0.05, 0.3))
                    site.up()
                    self._wait(self._rng.uniform(0.05, 0.3))
            case "is a black hole":
                site.swallow()
                self._wait(spell.seconds)
                site.spit()
            case "drops connections":
                end = time.monotonic() + spell.seconds
                while time.monotonic() < end:
                    site.drop_connections()
                    self._wait(0.05)
            case way:
                fault = FAULTS.get(way) or HARMLESS[way]
                share = 1 if spell.is_harmless else spell.share
                site.fault(lambda exchange: fault(exchange) if self._rng.random() < share else exchange.true_answer())
                self._wait(spell.seconds)
                site.heal()
