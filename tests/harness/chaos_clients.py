"""The clients of `chaos.py`: each asks for something, and holds the answer against what was true at the sites meanwhile."""

import contextlib
import dataclasses
import functools
import http.client
import itertools
import json
import random
import re
import socket
import time

from client import Client, request_bytes
from fleet import together
from records import new_uuid

GROUPS = ["", "grp1", "grp2", "grp3", "grp4", "grp5"]
CLASSES = ["small", "large"]
# The gateway's own clock, and what this busy machine adds to it.
DEADLINE = 8
SLACK = 4
MARKS = itertools.count(1)


def some(uuids):
    return f"{len(uuids)} such as {sorted(uuids)[:2]}" if len(uuids) > 2 else sorted(uuids)


class Violation(Exception):
    """An answer that breaks a law."""


@dataclasses.dataclass
class Asked:
    """A request of a client, and what became of it."""

    gateway: str
    method: str
    target: str
    body: object
    headers: dict
    since: float
    until: float = None
    reply: object = None
    # Why there was no answer.
    broken: str = None
    mark: str = None
    # The pages before this one.
    before: list = dataclasses.field(default_factory=list)

    @property
    def status(self):
        return self.reply.status if self.reply else None

    def page(self):
        """A page of a walk, in short."""
        found = [f"{item['name']} {item['uuid'][:8]}" for item in self.reply.json()["nodes"]] if self.status == 200 else self.reply or self.broken
        missing = self.reply.header("X-Ironic-Proxy-Incomplete") if self.reply else None
        return f"{self.target} through {self.gateway}: {self.status} {found} {missing or ''}"

    def __str__(self):
        body = "" if self.body is None else f" {json.dumps(self.body)}"
        head = "".join(f" [{name}: {value}]" for name, value in self.headers.items())
        return f"{self.method} {self.target}{head}{body} through {self.gateway}"


class Person:
    """One client. It owns the nodes that it makes, so that nobody else deletes or renames them."""

    def __init__(self, number, run):
        self.rng = random.Random(f"client {run.seed} {number}")
        self.number = number
        self.run = run
        self.book = run.book
        # Made, and not yet asked to be deleted: uuid -> name.
        self.own = {}
        self.acts = self._acts()

    def _acts(self):
        return {
            self.show: 8, self.show_by_name: 3, self.show_nobody: 2, self.states: 2,
            self.list: 5, self.list_partly: 2, self.walk: 2,
            self.create: 4, self.patch: 5, self.maintain: 3, self.trait: 2, self.delete: 3,
            self.behind_backs: 1, self.port: 1, self.rename: 2, self.passthru: 2, self.race: 1, self.leave: 1,
        }  # fmt: skip

    def act(self):
        acts = self.acts
        self.rng.choices(list(acts), list(acts.values()))[0]()

    # --- asking

    def ask(self, method, target, body=None, *, headers=None, mark=None, gateway=None):
        gateway = gateway or self.rng.choice(self.run.gateways)
        asked = Asked(gateway.name, method, target, body, headers or {}, time.monotonic(), mark=mark)
        try:
            asked.reply = Client(gateway.url).call(method, target, body, headers=headers or {}, timeout=60)
        except (OSError, http.client.HTTPException) as error:
            asked.broken = repr(error)
        asked.until = time.monotonic()
        self.run.told(asked)
        spent = asked.until - asked.since
        if asked.broken:
            # What is handed on as it comes is cut off where its site cuts it off.
            was_cut = "vendor_passthru" in target and self.run.sick(asked)
            self.check(was_cut or gateway.was_killed(asked.since, asked.until), asked, f"the connection broke: {asked.broken}")
            return asked
        allowed = DEADLINE + SLACK + gateway.away(asked.since, asked.until)
        self.check(spent < allowed, asked, f"took {spent:.1f} s of {allowed:.1f}")
        self.check(asked.status not in (500, 502) or self.run.sick(asked), asked, "500 or 502")
        return asked

    def check(self, holds, asked, law, ident=None):
        if not holds:
            self.run.violated(asked, law, ident)
            raise Violation(law)

    def expect(self, asked, statuses, needed, ident=None):
        """Its status is one of these; a 503 or 504 only if a site that it needs may have been sick. Returns whether it is one of these."""
        if asked.broken:
            return False
        if asked.status in statuses:
            return True
        sick = self.run.sick(asked) & needed
        # Relayed in Ironic's own words.
        self.check(asked.status in (500, 502, 503, 504), asked, f"neither {statuses} nor silence", ident)
        self.check(sick, asked, f"{asked.status} though {sorted(needed)} were well", ident)
        return False

    def everywhere(self):
        return set(self.run.sites)

    def needed(self, uuid, asked):
        """Who has to be asked about it: its site, if it was there all the time; else everybody."""
        if self.book.was_there_throughout(uuid, asked.since, asked.until):
            return {self.book.home(uuid)}
        return self.everywhere()

    def some(self):
        """The uuid of any node that is or was."""
        return self.rng.choice(self.book.uuids())

    # --- reading

    def show(self):
        uuid = self.some()
        query = self.rng.choice(["", "", "?fields=uuid,name,extra,maintenance"])
        self.shown(uuid, self.ask("GET", f"/v1/nodes/{uuid}{query}"))

    def shown(self, uuid, asked):
        """Holds the answer to a look at a node against the truth."""
        if not self.expect(asked, (200, 404), self.needed(uuid, asked), uuid):
            return
        seen = self.book.seen(uuid, asked.since, asked.until)
        if asked.status == 404:
            self.check(None in seen, asked, "404 for a node that was there", uuid)
            return
        document = asked.reply.json()
        self.check(document["uuid"] == uuid, asked, "another node", uuid)
        self.check(asked.reply.header("X-Ironic-Proxy-Location") == self.book.home(uuid), asked, "another location", uuid)
        members = ("name", "extra", "maintenance")
        told = [document[name] for name in members]
        truth = [[record[name] for name in members] for record in seen if record]
        self.check(told in truth, asked, f"shown as {told}, was {truth}", uuid)

    def show_by_name(self):
        uuid = self.some()
        names = [version.record["name"] for version in self.book.history(uuid) if version.record]
        name = self.rng.choice([names[-1], names[-1], names[0]])
        asked = self.ask("GET", f"/v1/nodes/{name}")
        # Somebody else may have a node of that name, which only everybody can tell.
        # Two may have been made of the name of a race, where one site could not be asked; then it is ambiguous.
        if self.expect(asked, (200, 404, 400) if name.startswith("race") else (200, 404), self.everywhere(), uuid) and asked.status != 400:
            had = [record is not None and record["name"] == name for record in self.book.seen(uuid, asked.since, asked.until)]
            if asked.status == 404:
                self.check(not all(had), asked, "404 for a node that was called so", uuid)
            else:
                self.check(asked.reply.json()["uuid"] == uuid, asked, "another node", uuid)
                self.check(any(had), asked, "shown, though nothing was called so", uuid)

    def show_nobody(self):
        asked = self.ask("GET", f"/v1/nodes/{self.rng.choice([new_uuid(), 'nobody-' + new_uuid()[:8]])}")
        self.expect(asked, (404,), self.everywhere())

    def states(self):
        uuid = self.some()
        asked = self.ask("GET", f"/v1/nodes/{uuid}/{self.rng.choice(['states', 'traits', 'ports'])}")
        if self.expect(asked, (200, 404), self.needed(uuid, asked), uuid):
            wanted = any if asked.status == 200 else lambda seen: None in seen
            self.check(wanted(self.book.seen(uuid, asked.since, asked.until)), asked, f"{asked.status} is not true", uuid)

    # --- lists

    QUERIES = [
        "", "fields=uuid,name", "sort_key=name", "sort_key=name&sort_dir=desc", "resource_class=small", "detail=True", "sort_key=updated_at",
        "sort_dir=desc",
    ]  # fmt: skip

    def list(self, partial=None):
        query = self.rng.choice(self.QUERIES)
        headers = {"X-Ironic-Proxy-Partial": partial} if partial else {}
        asked = self.ask("GET", f"/v1/nodes?{query}", headers=headers)
        if self.expect(asked, (200,), self.everywhere()):
            self.whole(asked, [asked], query)

    def list_partly(self):
        self.list("allow")

    def missing(self, pages):
        return {part.split(";")[0].strip() for page in pages for value in page.reply.header_values("X-Ironic-Proxy-Incomplete") for part in value.split(",")}

    def whole(self, asked, pages, query):
        """Whether these pages list what was there all the time, once, and nothing that was not."""
        since, until = pages[0].since, pages[-1].until
        items = [item for page in pages for item in page.reply.json()["nodes"]]
        uuids = [item["uuid"] for item in items]
        changes_key = "sort_key=name" in query or "updated_at" in query
        if changes_key and len(pages) > 1 and (self.missing(pages) or pages[-1].before[len(pages) - 1 :] or not self.run.remembers(pages)):
            # Who does not remember the walk goes on behind the marker as it is called now.
            return
        twice = {uuid for uuid in uuids if uuids.count(uuid) > 1}
        self.check(not twice, asked, f"listed twice: {some(twice)}", next(iter(twice), None))
        missing = self.missing(pages)
        sick = {name for page in pages for name in self.run.sick(page)}
        self.check(missing <= sick, asked, f"said to be missing, but well: {missing - sick}")
        filtered = "resource_class" in query
        fits = {uuid for uuid in self.book.uuids() if not filtered or self.book.history(uuid)[0].record["resource_class"] == "small"}
        due = {uuid for uuid in self.book.there_throughout(since, until) & fits if self.book.home(uuid) not in missing}
        lost = due - set(uuids)
        self.check(not lost, asked, f"lost of {self.book.home(next(iter(lost), None))}: {some(lost)}", next(iter(lost), None))
        invented = set(uuids) - (self.book.there_sometime(since, until) & fits)
        self.check(not invented, asked, f"listed, but not there: {some(invented)}", next(iter(invented), None))
        order = {"sort_key=name": False, "sort_key=name&sort_dir=desc": True}.get(query.partition("&fields")[0])
        if order is not None:
            names = [item["name"] for item in items if len({record["name"] for record in self.book.seen(item["uuid"], since, until) if record}) == 1]
            self.check(names == sorted(names, reverse=order), asked, f"not in order: {names}")

    def walk(self):
        """All pages of a list, through one gateway or through both in turn."""
        query = self.rng.choice([*self.QUERIES, "sort_key=created_at"])
        headers = {"X-Ironic-Proxy-Partial": "allow"} if self.rng.random() < 0.3 else {}
        gateway = None if self.rng.random() < 0.5 else self.rng.choice(self.run.gateways)
        if gateway is None:
            # The other one may remember an older walk that somebody gave up, whose page ended where one of these does.
            fields = self.rng.sample(["owner", "lessee", "driver", "fault", "shard", "description", "power_state", "retired", "protected"], 4)
            query = "&".join([*(part for part in query.split("&") if "detail" not in part and "fields" not in part), f"fields=uuid,name,{','.join(fields)}"])
        target, pages, failed, patience = f"/v1/nodes?limit={self.rng.choice([3, 7, 20])}&{query}", [], [], 4
        while target and len(pages) < 200:
            asked = self.ask("GET", target, headers=headers, gateway=gateway)
            asked.before = [*pages, *failed]
            # The marker may have been deleted: that is Ironic's 404.
            if "marker=" in target and asked.status == 404:
                marker = re.search(r"marker=([0-9a-f-]{36})", target)[1]
                self.check(None in self.book.seen(marker, pages[-1].since, asked.until), asked, "404 for a marker that was there", marker)
                return
            if not self.expect(asked, (200,), self.everywhere()):
                failed.append(asked)
                patience -= 1
                if not patience:
                    return
                time.sleep(0.3)
                continue
            pages.append(asked)
            following = asked.reply.json().get("next")
            target = following and following[following.index("/v1/") :]
        self.whole(asked, pages, query)

    # --- writing

    def mark(self):
        return f"mark-{self.number}-{next(MARKS)}"

    def create(self):
        mark, group = self.mark(), self.rng.choice(GROUPS)
        uuid = new_uuid() if self.rng.random() < 0.5 else None
        name = f"n-{self.number}-{mark.rpartition('-')[2]}"
        body = {"driver": "fake-hardware", "name": name, "conductor_group": group, "resource_class": self.rng.choice(CLASSES)}
        body["extra"] = {"mark": mark}
        if uuid:
            body["uuid"] = uuid
        asked = self.ask("POST", "/v1/nodes", body, mark=mark)
        home = f"loc{GROUPS.index(group) + 1}"
        if self.wrote(asked, (201,), {home}):
            made = asked.reply.json()
            self.check(uuid in (None, made["uuid"]), asked, "another uuid", made["uuid"])
            self.check(self.book.home(made["uuid"]) == home, asked, f"made at {self.book.home(made['uuid'])}", made["uuid"])
            self.own[made["uuid"]] = name
            # What was made is there for everybody, at once.
            self.shown(made["uuid"], self.ask("GET", f"/v1/nodes/{made['uuid']}"))

    def wrote(self, asked, statuses, needed, ident=None):
        """Holds the answer to a write against what was executed. What comes later is checked in the end."""
        self.run.wrote(asked)
        done = self.expect(asked, statuses, needed, ident)
        executions = self.book.executions(asked.mark)
        self.check(len(executions) <= 1, asked, f"executed {len(executions)} times", ident)
        # What a driver answers to a call of its own has no shape.
        if done and asked.status < 300 and "vendor_passthru" not in asked.target:
            self.check(executions, asked, "said to be done, and not executed", ident)
        return done

    def write(self, method, target, body, mark, uuid, statuses):
        asked = self.ask(method, target, body, mark=mark)
        done = self.wrote(asked, (*statuses, 404), self.needed(uuid, asked), uuid)
        if done and asked.status == 404:
            self.check(None in self.book.seen(uuid, asked.since, asked.until), asked, "404 for a node that was there", uuid)
        return asked

    def patch(self):
        uuid, mark = self.some(), self.mark()
        self.write("PATCH", f"/v1/nodes/{uuid}", [{"op": "add", "path": "/extra/mark", "value": mark}], mark, uuid, (200,))

    def rename(self):
        if self.own:
            uuid, mark = self.rng.choice(list(self.own)), self.mark()
            patch = [{"op": "add", "path": "/extra/mark", "value": mark}, {"op": "replace", "path": "/name", "value": f"r-{mark[5:]}"}]
            self.write("PATCH", f"/v1/nodes/{uuid}", patch, mark, uuid, (200,))

    def passthru(self):
        """A call that is handed on as it comes, both ways."""
        uuid, mark = self.some(), self.mark()
        self.write("POST", f"/v1/nodes/{uuid}/vendor_passthru/method", {"reason": mark, "padding": "x" * self.rng.choice([1, 9000])}, mark, uuid, (200,))

    def race(self):
        """Two nodes of one name at two locations, through one gateway at the same moment: one is made at most, if both could be asked."""
        name, gateway = f"race-{self.mark()[5:]}", self.rng.choice(self.run.gateways)
        groups = self.rng.sample(GROUPS, 2)
        marks = [self.mark(), self.mark()]

        def create(group, mark):
            body = {"driver": "fake-hardware", "name": name, "conductor_group": group, "resource_class": "large", "extra": {"mark": mark}}
            return self.ask("POST", "/v1/nodes", body, mark=mark, gateway=gateway)

        asked = together(*(functools.partial(create, group, mark) for group, mark in zip(groups, marks)))
        for one in asked:
            self.run.wrote(one)
        made = [one for one in asked if one.status == 201]
        if len(made) > 1:
            unsure = any(one.reply.header("X-Ironic-Proxy-Unverified") for one in made)
            self.check(unsure, made[-1], "both of one name were made", made[-1].reply.json()["uuid"])
        for one in asked:
            # A node whose answer was lost may have the name.
            self.expect(one, (201, 409), self.everywhere())
        well = all(one.status in (201, 409) for one in asked) and not any(self.run.sick(one) for one in asked)
        self.check(made or not well, asked[0], "neither of one name was made")

    def leave(self):
        """A client that hangs up while it is served: a write is finished, or not begun, and not done twice."""
        uuid, mark = self.some(), self.mark()
        gateway = self.rng.choice(self.run.gateways)
        body = json.dumps([{"op": "add", "path": "/extra/mark", "value": mark}]).encode()
        head = request_bytes("PATCH", f"/v1/nodes/{uuid}", body, ["Content-Type: application/json"])
        asked = Asked(gateway.name, "PATCH", f"/v1/nodes/{uuid}", None, {}, time.monotonic(), broken="left", mark=mark)
        with contextlib.suppress(OSError), socket.create_connection((Client(gateway.url).host, Client(gateway.url).port), timeout=5) as connection:
            connection.sendall(head)
            time.sleep(self.rng.choice([0, 0.001, 0.005, 0.05]))
        asked.until = time.monotonic()
        self.run.wrote(asked)

    def maintain(self):
        uuid, mark = self.some(), self.mark()
        self.write("PUT", f"/v1/nodes/{uuid}/maintenance", {"reason": mark}, mark, uuid, (202,))

    def trait(self):
        uuid, trait = self.some(), "CUSTOM_" + self.mark().replace("-", "_").upper()
        target = f"nodes/{uuid}/traits/{trait}"
        self.write("PUT", f"/v1/{target}", None, f"PUT {target}", uuid, (204,))

    def delete(self):
        if len(self.own) < 5:
            return
        uuid = self.rng.choice(list(self.own))
        del self.own[uuid]
        self.write("DELETE", f"/v1/nodes/{uuid}", None, f"DELETE nodes/{uuid}", uuid, (204,))

    def port(self):
        uuid, mark = self.some(), self.mark()
        address = f"52:54:00:{self.rng.randrange(256):02x}:{self.rng.randrange(256):02x}:{self.rng.randrange(256):02x}"
        asked = self.ask("POST", "/v1/ports", {"node_uuid": uuid, "address": address, "extra": {"mark": mark}}, mark=mark)
        # 400 is Ironic's word for a node that is not there.
        if self.wrote(asked, (201, 400), self.needed(uuid, asked), uuid) and asked.status == 400:
            self.check(None in self.book.seen(uuid, asked.since, asked.until), asked, "400 for a node that was there", uuid)

    def behind_backs(self):
        """Somebody makes or deletes a node at a site itself."""
        site = self.rng.choice(list(self.run.sites.values()))
        if self.rng.random() < 0.5 and len(self.own) > 5:
            uuid = self.rng.choice(list(self.own))
            del self.own[uuid]
            home = self.run.sites[self.book.home(uuid)]
            home.change(lambda site: site.find(uuid) and site.take(uuid))
        else:
            record = self.run.new_node(f"b-{self.number}-{self.mark()[5:]}", self.rng.choice(CLASSES))
            site.change(lambda site: site.add(record))


class Keeper(Person):
    """The one who writes what is the same everywhere, and allocations."""

    def __init__(self, number, run):
        super().__init__(number, run)
        self.chassis = {}

    def _acts(self):
        return {self.make_chassis: 3, self.change_chassis: 3, self.delete_chassis: 2, self.list_chassis: 2, self.allocate: 4, self.show: 2}

    def copies(self, uuid):
        """What each site has of a chassis: its description, None if it does not have it."""
        copies = {}
        for name, site in self.run.sites.items():
            with site.data:
                copies[name] = next((one["description"] for one in site.objects["chassis"] if one["uuid"] == uuid), None)
        return copies

    def everywhere_or_nowhere(self, asked, before, uuid, goal):
        """Holds what is told of each site against what is there. Whatever is in doubt may still happen."""
        if asked.broken:
            return
        now = self.copies(uuid)
        if asked.status < 300:
            self.check(set(now.values()) == {goal}, asked, f"done everywhere, but {now}", uuid)
        elif asked.status == 503:
            text = asked.reply.text()
            for name, value in now.items():
                if f"{name}: " in text and "done, could not be undone" in text:
                    continue
                self.check(value == before[name], asked, f"503, but {name} was changed: {before} to {now}", uuid)

    def replicated(self, method, target, body, uuid, statuses, goal):
        before = self.copies(uuid)
        asked = self.ask(method, target, body)
        done = self.expect(asked, statuses, self.everywhere(), uuid)
        self.everywhere_or_nowhere(asked, before, uuid, goal)
        return done

    def make_chassis(self):
        uuid, mark = new_uuid(), self.mark()
        if self.replicated("POST", "/v1/chassis", {"uuid": uuid, "description": mark, "extra": {}}, uuid, (201,), mark):
            self.chassis[uuid] = mark

    def change_chassis(self):
        if self.chassis:
            uuid, mark = self.rng.choice(list(self.chassis)), self.mark()
            patch = [{"op": "replace", "path": "/description", "value": mark}]
            if not self.replicated("PATCH", f"/v1/chassis/{uuid}", patch, uuid, (200,), mark):
                # Its copies may differ now; it is left alone.
                del self.chassis[uuid]

    def delete_chassis(self):
        if len(self.chassis) > 3:
            uuid = self.rng.choice(list(self.chassis))
            del self.chassis[uuid]
            self.replicated("DELETE", f"/v1/chassis/{uuid}", None, uuid, (204,), None)

    def list_chassis(self):
        asked = self.ask("GET", "/v1/chassis")
        if self.expect(asked, (200,), self.everywhere()):
            uuids = [item["uuid"] for item in asked.reply.json()["chassis"]]
            self.check(len(uuids) == len(set(uuids)), asked, "a chassis is listed twice")
            self.check(set(self.chassis) <= set(uuids), asked, f"lost {set(self.chassis) - set(uuids)}")

    def allocate(self):
        uuid, mark = self.some(), self.mark()
        body = {"name": mark, "node": uuid, "resource_class": "small", "extra": {"mark": mark}}
        asked = self.ask("POST", "/v1/allocations", body, mark=mark)
        if self.wrote(asked, (201, 400), self.needed(uuid, asked), uuid) and asked.status == 400:
            self.check(None in self.book.seen(uuid, asked.since, asked.until), asked, "400 for a node that was there", uuid)
