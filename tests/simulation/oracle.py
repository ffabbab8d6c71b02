"""The judge of a world: it made every record and took every delivery, and reads nothing of the daemon's but its words.

What it holds the daemon to is the operator's contract (sections 2 to 6). Of the product's own output it takes what an
operator would: the account of ``forwarder status``, the dead letters, the log, and the exit statuses.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote

from forwarder.clock import SECOND, format_rfc3339, parse_rfc3339
from forwarder.journal.letters import list_dead_letters
from forwarder.journal.status import SourceStatus, Stretch, read_status
from forwarder.simulator.world import RETENTION
from tests.peers.hec import TOKEN
from tests.simulation import hardship_checks as hardships
from tests.simulation.acts import KEYS
from tests.simulation.chronicle import Made
from tests.simulation.destination import Destination, Receipt
from tests.simulation.life import Life
from tests.simulation.splunk import Splunk
from tests.simulation.stage import PERSONA, REST_POLLS, Stage
from tests.simulation.storage import DISK_TROUBLES
from tests.simulation.way import CREDENTIALS, PASSWORD

UNREADABLE = {"garbage", "too-large", "nested", "deep", "no-links", "no-list", "astray"}
WAITS = {"429": 1.0, "quota": 60.0, "rate-odd": 3600.0, "retry-in": 7.0}
SHORTEST_MONTHS = 181 * 86400 * SECOND
"""Six months, where February is among them: what is older may have left the list, though this Persona keeps longer."""
BREAKS = {"reset", "cut", "stall", "too-large"}


def judge(stage: Stage) -> list[str]:
    """Every promise that was broken, a sentence each; empty if none was."""
    if stage.chronicle.troubles:
        return [*stage.chronicle.troubles, *stage.chronicle.leaks]
    return list(Judgement(stage).violations())


class Judgement:
    """One world under judgement."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.plan = stage.plan
        self.chronicle = stage.chronicle
        self.status = read_status(stage.state / "forwarder.db", now=stage.clock.now())
        self.source: SourceStatus = self.status.sources[0]
        self.letters: dict[str, set[str]] = defaultdict(set)
        for filed in list_dead_letters(stage.state / "forwarder.db"):
            self.letters[filed.sink].add(filed.letter.id)
        self.kinds = {happening.kind for happening in self.plan.happenings}
        self.answers = {word for one in self.plan.happenings for word in _words(one.what)}
        self.first_stored = stage.chronicle.first_stored()
        self.resources = {id_: self._resource(made) for id_, made in stage.chronicle.made.items()}

    def violations(self) -> Iterator[str]:
        """All that is wrong."""
        yield from self.chronicle.leaks
        for name, destination in self.stage.destinations.items():
            yield from self._nothing_invented(name, destination)
            yield from self._filters_kept(name, destination)
            yield from self._start_kept(name, destination)
            yield from self._equal_content(name, destination)
            yield from self._duplicates_explained(name, destination)
            if isinstance(destination, Splunk):
                yield from self._told_splunk_once(name, destination)
            yield from self._in_order(name, destination)
            if name in self.stage.configured:
                yield from self._nothing_missing(name, destination)
            yield from self._dead_letters_caused(name, destination)
        yield from self._holes_true()
        yield from self._claims_true()
        yield from self._rate_kept()
        yield from self._throttling_obeyed()
        yield from self._ends_as_promised()
        yield from self._secrets_kept()
        yield from self._at_rest()
        yield from hardships.violations(self.stage)
        if self.stage.disk.seen:
            yield "what was to be redacted was on the disk"
        if self.stage.disk.open_files():
            yield f"files were left open: {self.stage.disk.open_files()}"

    # -- deliveries ----------------------------------------------------------------------------------------------

    def _nothing_missing(self, name: str, destination: Destination) -> Iterator[str]:
        has = {receipt.id for receipt in destination.receipts} | self.letters[name]
        missing = {
            id_: made
            for id_, made in self.chronicle.made.items()
            if id_ not in has
            and self._is_due(name, id_, made)
            and not self._is_reported(made)
            and not (destination.refuses(id_) and hardships.refusals_forgotten(self.stage, destination))
        }
        # What was shown without its id is refused, loudly and counted.
        told = (line for _, _, line in self.chronicle.lines if line["event"] == "source.record_without_id")
        refused = sum(line["count"] for line in told)
        if len(missing) > refused:
            for id_, made in missing.items():
                since = f"made at {made.made:.3f}, visible at {made.visible:.3f}"
                yield f"{name} never got {id_} of {self._at(made)}, {since}"

    def _filters_kept(self, name: str, destination: Destination) -> Iterator[str]:
        for receipt in destination.receipts:
            attributes = self.resources[receipt.id]["attributes"] if receipt.id in self.resources else {}
            # A Splunk may index what the life before has sent.
            lives = self.stage.lives[max(0, receipt.attempt.life - 1) : receipt.attempt.life + 1]
            excludes = [life.variables.get(f"FORWARDER_{name.upper()}_EXCLUDE", "") for life in lives]
            if attributes and all(_matches(pattern, attributes) for pattern in excludes):
                yield f"{name} got {receipt.id}, which it leaves out"

    def _start_kept(self, name: str, destination: Destination) -> Iterator[str]:
        start = parse_rfc3339(self.plan.start)
        if start is None:
            return
        for receipt in destination.receipts:
            claimed = parse_rfc3339(self.resources[receipt.id]["attributes"].get("created-at"))
            if claimed is not None and claimed < start:
                yield f"{name} got {receipt.id} of {format_rfc3339(claimed)}, from before the start {self.plan.start}"

    def _is_due(self, name: str, id_: str, made: Made) -> bool:
        if made.made < self.stage.known_since.get(name, math.inf) and not self._from_the_first(name):
            return False
        attributes = self.resources[id_]["attributes"]
        if any(_matches(pattern, attributes) for pattern in self.stage.excludes[name]):
            return False
        if self.plan.start == "all":
            return True
        if (start := parse_rfc3339(self.plan.start)) is not None:
            return made.created >= start and self._claims_its_own_time(id_, made)
        first = self.first_stored
        return first is not None and made.created >= first and self._claims_its_own_time(id_, made)

    def _from_the_first(self, name: str) -> bool:
        return self.stage.known_since[name] <= self.stage.lives[0].started

    def _is_reported(self, made: Made) -> bool:
        """Whether the account says that it may be lost, and it may."""
        for hole in self.source.holes:
            expired = hole.kind == "lost" and self._has_expired(made)
            unreadable = hole.kind == "unreadable" and self.answers & UNREADABLE
            if (expired or unreadable) and (hole.since or "") <= self._at(made) <= (hole.until or "~"):
                return True
        begins = self.source.complete_from
        return self._has_expired(made) and begins is not None and begins != "beginning" and self._at(made) <= begins

    def _has_expired(self, made: Made) -> bool:
        return made.created < self.stage.persona_clock.now() - RETENTION

    def _nothing_invented(self, name: str, destination: Destination) -> Iterator[str]:
        for receipt in destination.receipts:
            made = self.chronicle.made.get(receipt.id)
            if made is None:
                yield f"{name} got {receipt.id}, which nobody made"
            elif receipt.at < made.visible and "their-clock" not in self.kinds:  # which shows what was hidden
                yield f"{name} got {receipt.id} before it was visible"

    def _equal_content(self, name: str, destination: Destination) -> Iterator[str]:
        for receipt in destination.receipts:
            resource = self.resources.get(receipt.id)
            if resource is not None and (wrong := _difference(receipt.content, resource)):
                yield f"{name} got {receipt.id} with another {wrong} than was made"

    def _duplicates_explained(self, name: str, destination: Destination) -> Iterator[str]:
        by_id: dict[str, list[Receipt]] = defaultdict(list)
        for receipt in destination.receipts:
            earlier = by_id[receipt.id]
            if earlier and destination.plan.remembers:
                yield f"{name} promises exactly once and got {receipt.id} again"
            elif earlier and not self._may_repeat(destination, earlier[-1], receipt):
                yield f"{name} acknowledged {receipt.id} and got it again, with no crash in between"
            earlier.append(receipt)

    def _may_repeat(self, destination: Destination, before: Receipt, after: Receipt) -> bool:
        if before.place >= before.attempt.accepted:
            return True  # its sender was told nothing, or that it is not in
        if hardships.lost_sight_of(self.stage, before, after):
            return True
        life = self.stage.lives[before.attempt.life]
        if after.attempt.life == life.number and "disk-error" not in self.kinds:  # which runs a worker anew
            return False
        # What was taken beyond an event that is still open is known in memory alone. A batch that is halved, in search
        # of the event that it is refused for, leaves so many halves.
        halves = 0 if destination.plan.points_out else destination.plan.batch.bit_length()
        between = range(before.attempt.number + 1, after.attempt.number)
        later = sum(one.accepted > 0 and one.number in between for one in destination.of(life.number))
        in_flight = later <= 2 * destination.plan.in_flight + halves
        return in_flight and (life.crashed or bool(self.kinds & DISK_TROUBLES))

    def _told_splunk_once(self, name: str, splunk: Splunk) -> Iterator[str]:
        """Whoever was told that an event is in does not send it again, unless it could not remember."""
        for repeat in splunk.repeats:
            told = self.stage.lives[repeat.told]
            forgot = repeat.by != repeat.told and (told.crashed or self.kinds & DISK_TROUBLES)
            forgot = forgot or hardships.put_back_between(self.stage, repeat.told, repeat.by)
            if not forgot and "disk-error" not in self.kinds:
                yield f"life {repeat.by} sent {repeat.id} again, which {name} had told life {repeat.told} to be in"

    def _in_order(self, name: str, destination: Destination) -> Iterator[str]:
        """Chronological within a page: what was collected at one moment, and sent once, arrives oldest first.

        The moment is written to the millisecond, so pages that come faster than that cannot be told apart.
        """
        if self.plan.latency < 0.01:
            return
        newest: dict[tuple[int, str], int] = {}
        seen: set[str] = set()
        for receipt in destination.receipts:
            made, body = self.chronicle.made.get(receipt.id), receipt.content
            if made is None or receipt.id in seen or "collected_at" not in body or destination.plan.in_flight > 1:
                continue
            seen.add(receipt.id)
            if not self._claims_its_own_time(receipt.id, made):
                continue
            page = (receipt.attempt.life, body["collected_at"])
            if made.created < newest.get(page, 0):
                yield f"{name} got {receipt.id} after a newer event of the same page"
            newest[page] = max(made.created, newest.get(page, 0))

    def _dead_letters_caused(self, name: str, destination: Destination) -> Iterator[str]:
        for id_ in sorted(self.letters[name]):
            if not destination.refuses(id_) and id_ not in self.stage.storage.spoilt:
                yield f"{id_} is a dead letter of {name}, which would have taken it"
        for receipt in destination.receipts:
            if destination.refuses(receipt.id):
                yield f"{name} has {receipt.id}, which it refuses"  # the world itself would be wrong

    # -- the account ---------------------------------------------------------------------------------------------

    def _holes_true(self) -> Iterator[str]:
        anything_expired = any(self._has_expired(made) for made in self.chronicle.made.values())
        for hole in self.source.holes:
            may_be = anything_expired or self._is_before_the_log(hole.since) or self._was_out_of_sight(hole)
            if hole.kind == "lost" and not may_be:
                yield f"a lost stretch is reported, {hole.since} to {hole.until}, and nothing has left the retention"
            if hole.kind == "unreadable" and not self.answers & UNREADABLE:
                yield f"an unreadable stretch is reported, {hole.since} to {hole.until}, and all could be read"

    def _is_before_the_log(self, since: str | None) -> bool:
        """Whether nothing had been made by then: a young log may be taken for a loss, if dates are wrong.

        Named as not claimed in ``docs/correctness.md``; what a hole covers has to arrive all the same.
        """
        disordered = self.stage.plan.odd or self.kinds & {"back-dated", "their-clock"}
        return bool(disordered) and all(self._at(made) >= (since or "") for made in self.chronicle.made.values())

    def _was_out_of_sight(self, hole: Stretch) -> bool:
        """Whether the log was empty, and then not asked for so long that what was made meanwhile may have left it.

        Nothing was made, as it happens; nobody but us can know.
        """
        expired = format_rfc3339(self.stage.persona_clock.now() - SHORTEST_MONTHS)
        unasked = "long-outage" in self.kinds and (hole.until or "~") <= expired
        return unasked and all(self._at(made) >= (hole.until or "~") for made in self.chronicle.made.values())

    def _claims_true(self) -> Iterator[str]:
        if self.kinds & {"our-clock", "their-clock"} or self.answers & (UNREADABLE | {"nameless"}):
            return  # a stretch that could not be read is reported beside the claim, and so is a record without an id
        collected = self._collected_at()
        ahead = int(self.plan.skew * SECOND)
        for claim in self.chronicle.claims:
            if claim.complete_until is None or claim.complete_from is None:
                continue
            if hardships.may_be_collected_again(self.stage, claim.at):
                continue
            until = parse_rfc3339(claim.complete_until) or 0
            for id_, made in self.chronicle.made.items():
                shown = int(made.visible * SECOND) + self.stage.clock.epoch + ahead
                inside = claim.complete_from <= self._at(made) or claim.complete_from == "beginning"
                if not inside or shown > until or made.is_late or not self._claims_its_own_time(id_, made):
                    continue
                if id_ in collected and collected[id_] > claim.now:
                    yield (
                        f"at {claim.at:.3f} status claimed all up to {claim.complete_until}, but {id_} "
                        f"of {self._at(made)} was collected later"
                    )

    def _collected_at(self) -> dict[str, int]:
        first: dict[str, int] = {}
        for destination in self.stage.destinations.values():
            for receipt in destination.receipts:
                at = parse_rfc3339(receipt.content.get("collected_at"))
                if at is not None:
                    first[receipt.id] = min(at, first.get(receipt.id, at))
        return first

    # -- manners -------------------------------------------------------------------------------------------------

    def _rate_kept(self) -> Iterator[str]:
        plan, by_life = self.plan, defaultdict(list)
        for asked in self.chronicle.asked:
            by_life[asked.life].append(asked)
        polls = math.ceil(60 / plan.poll_interval) + 1
        # What is asked over a new connection arrives later, where it has to be made first.
        window = 60 - (20 if self.stage.way.is_encrypted else 4) * plan.latency
        for life, requests in by_life.items():
            learned = next((one.at for one in requests if one.status == 200), math.inf)
            first = 0
            for last, asked in enumerate(requests):
                while requests[first].at <= asked.at - window:
                    first += 1
                limit = plan.limit if requests[first].at > learned else max(plan.limit, 300)
                allowed = max(math.floor(plan.rate_share * limit + 1e-9), polls)
                # A request on a kept connection that breaks is repeated by the client at once, and paid back later.
                allowed += sum(one.fault in BREAKS for one in requests[first : last + 1])
                allowed += sum(requests[first].at <= at <= asked.at for at in self.stage.way.broken_at)
                if last - first + 1 > allowed:
                    yield (
                        f"life {life} asked {last - first + 1} times within a minute, up to {asked.at:.3f}; its share "
                        f"is {allowed}"
                    )
                    break

    def _throttling_obeyed(self) -> Iterator[str]:
        """After a 429 nobody asks before its reset: a second where the simulator's fault says so, else a minute.

        Nor after a page that says that nothing is left: an hour at most, however far off the reset is. What an answer
        beside it asks for with ``Retry-After`` is kept, too, where a page was asked for.
        """
        closed = (-1, 0.0)
        for asked in self.chronicle.asked:
            if asked.life == closed[0] and asked.at < closed[1]:
                yield f"life {asked.life} was told to wait until {closed[1]:.3f}, and asked at {asked.at:.3f}"
            wait = WAITS.get(asked.fault)
            if wait is not None and not (asked.fault == "rate-odd" and asked.status != 200):
                closed = (asked.life, asked.at + wait - 3 * self.plan.latency - 0.01)

    def _ends_as_promised(self) -> Iterator[str]:
        excused = bool(self.kinds & DISK_TROUBLES)
        for life in self.stage.lives:
            if life.crashed or life.exit_status == 0:
                if life.exit_status == 0 and not life.asked_to_stop:
                    yield f"life {life.number} ended with 0 and nobody had asked it to stop"
                if life.number in self.stage.mistaken:
                    yield f"life {life.number} ran, and its configuration was wrong"
            elif life.exit_status == 78 and (
                life.number in self.stage.mistaken or self._key_was_wrong_from_the_first(life)
            ):
                continue
            elif not (excused and life.exit_status == 73) and (
                life.exit_status not in hardships.hindered(self.stage, life.number)
            ):
                yield f"life {life.number} ended with {life.exit_status}: {life.reason}"
        for at, number, line in self.chronicle.lines:
            if self._is_fault_of_ours(line):
                what = line.get("message") or repr(line.get("exc_info"))
                yield f"life {number} logged {line['event']} at {at:.3f}: {what}"
        known = {PERSONA[0], self.stage.way.first[0]}
        if strangers := {where for where in self.stage.network.dialled if where[0] not in known}:
            yield f"somebody called {strangers}"

    def _secrets_kept(self) -> Iterator[str]:
        """What a log line or a last word shows, whoever repeats it to us."""
        told = [*(repr(line) for _, _, line in self.chronicle.lines), *(life.reason for life in self.stage.lives)]
        for secret in (*KEYS, TOKEN, PASSWORD, quote(PASSWORD, safe=""), CREDENTIALS.decode()):
            if any(secret in text for text in told):
                yield f"the log shows the secret {secret}"
        if self.stage.way.overheard:
            yield "a server whose certificate nobody trusts was asked"

    def _key_was_wrong_from_the_first(self, life: Life) -> bool:
        """Whether Persona had not answered this life well, nor, with a key that it refuses, any life before it."""
        pages = [(at, of) for at, of, line in self.chronicle.lines if line["event"] == "source.page_collected"]
        if all(of != life.number for _, of in pages) and "foreign" in self.answers:
            return True
        return "key-revoked" in self.kinds and all(at > life.started for at, _ in pages)

    def _is_fault_of_ours(self, line: dict[str, Any]) -> bool:
        """Whether the line tells of a fault of the program, and not of one that the world put into it."""
        if line["event"] == "sink.faulty":
            return not self.answers & {"faulty", "absurd", "senseless"}
        return line["event"] in {"actor.failed", "actor.returned", "actor.left_behind", "library.message"}

    def _at_rest(self) -> Iterator[str]:
        stage, plan = self.stage, self.plan
        since = stage.persona_clock.now() - int(
            (plan.lookback + plan.sweep_interval + stage.quiet_seconds) * 2 * SECOND
        )
        recent = sum(made.created >= since for made in stage.chronicle.made.values())
        newest = max((made.created for made in stage.chronicle.made.values()), default=0)
        ties = sum(made.created == newest for made in stage.chronicle.made.values())
        a_poll = math.ceil((10 + max(ties, 1)) / stage.page_size) + 1
        a_sweep = math.ceil((recent + 11) / stage.page_size) + 3
        allowed = 1.3 * (
            (REST_POLLS + 2) * a_poll + (REST_POLLS * plan.poll_interval / plan.sweep_interval + 2) * a_sweep
        )
        if plan.end == "empty" or plan.odd or all(map(self._has_expired, stage.chronicle.made.values())):
            # An end that does not say so, as the top of an emptied log, is read down to six times, or twenty where a
            # wrong date contradicts it; odd dates hide where the floor is.
            contradicted = plan.odd or self.kinds & {"back-dated", "their-clock"}
            allowed *= 20 if plan.end == "empty" and contradicted else 6
        if stage.quiet_requests > allowed:
            yield f"at rest it asked {stage.quiet_requests} times in {REST_POLLS} polls; {allowed:.0f} would do"
        if stage.quiet_steps > 400 * stage.quiet_requests + 60 * stage.quiet_seconds + 2000:
            yield f"at rest it took {stage.quiet_steps} steps in {stage.quiet_seconds:.0f} s"
        until = parse_rfc3339(self.source.complete_until)
        behind = math.inf if until is None else (stage.persona_clock.now() - until) / SECOND
        # Where polls take all the time there is, older walks have one request in five, and fall behind. Ten dates in a
        # row that are right take some sixty records, where one in seven is wrong.
        a_long_poll = a_poll + math.ceil(60 / stage.page_size) if plan.odd else a_poll
        has_room = (a_long_poll + 1) * (2 * plan.latency + 2 * plan.thread_delay) < 0.6 * plan.poll_interval
        if behind > 6 * plan.poll_interval + 60 and has_room and not self.answers & UNREADABLE:
            yield f"at the end it is complete only up to {self.source.complete_until}"

    # -- the world's own knowledge -------------------------------------------------------------------------------

    def _resource(self, made: Made) -> dict[str, Any]:
        """The record as it was made, less what was to be redacted."""
        resource = self.stage.world.activity.record(made.index, made.created)[0]
        given = resource["attributes"]["post-params"]
        noted = given.get("data", {}).get("attributes", {}) if isinstance(given, dict) else {}
        if "note" in noted:
            noted["note"] = "[REDACTED]"
        return resource

    def _claims_its_own_time(self, id_: str, made: Made) -> bool:
        return bool(parse_rfc3339(self.resources[id_]["attributes"].get("created-at")) == made.created)

    @staticmethod
    def _at(made: Made) -> str:
        return format_rfc3339(made.created)


def _words(what: Any) -> Iterator[str]:
    for part in what if isinstance(what, tuple) else (what,):
        if isinstance(part, str):
            yield part.partition(":")[0]


def _matches(pattern: str, attributes: dict[str, Any]) -> bool:
    """Our own reading of ``METHOD path-glob``."""
    method, _, glob = pattern.partition(" ")
    return attributes["method"] == method and fnmatchcase(attributes["path"], glob)


def _difference(body: dict[str, Any], resource: dict[str, Any]) -> str | None:
    """What differs between what was delivered and what was made; None if nothing does."""
    attributes = resource["attributes"]
    if "attributes" in body:  # raw
        return next((key for key in resource if body.get(key) != resource[key]), None)
    request = body["request"]
    user = (resource.get("relationships", {}).get("user", {}).get("data") or {}).get("id")
    made = parse_rfc3339(attributes.get("created-at"))
    pairs = {
        "id": (body["id"], resource["id"]),
        "path": (request["path"], attributes["path"]),
        "method": (request["method"], attributes["method"]),
        "status": (request["status"], attributes["response-status"]),
        "get-params": (request["get_params"], attributes["get-params"]),
        "post-params": (request["post_params"], attributes["post-params"]),
        "address": (body["client"]["ip"], attributes["ip-address"]),
        "user": ((body.get("user") or {}).get("id"), user),
        "impersonator": (body["impersonator_email"], attributes["impersonator-email-address"]),
        "time": (parse_rfc3339(body["occurred_at"]), made),
        "malformed": (body.get("malformed", False), made is None),
    }
    return next((name for name, (got, wanted) in pairs.items() if got != wanted), None)
