"""Whatever Splunk does, what it has indexed in the end is what was collected, less what it would not take alone either.

Each schedule is a seed: a collector that indexes late or at once, with or without acknowledgement, faults at some
requests and polls, and restarts that lose its queue. The collector is the oracle: it knows what it has indexed.
``HEC_SCHEDULES`` sets how many run in the slow test.
"""

import asyncio
import os
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson
import pytest

from forwarder.delivery import health
from forwarder.formats import FORMATS
from forwarder.retry import Backoff
from forwarder.secret import Secret
from forwarder.sinks.base import SinkContext
from forwarder.sinks.splunk_hec import SplunkHecSettings, SplunkHecSink, lane, rota
from tests.delivery.conftest import Rig
from tests.delivery.memory_journal import MemoryJournal
from tests.peers.hec import ALL, TOKEN, HecServer, Scripted, Seen

EVENTS = 1000
SCHEDULES = int(os.environ.get("HEC_SCHEDULES", "20"))
POISON = {"POISON-6": 6, "POISON-12": 12, "POISON-13": 13, "POISON-15": 15}

NOTHING_TAKEN = (
    *((status, code) for code, status in {1: 403, 2: 401, 3: 401, 4: 403, 10: 400, 14: 400, 16: 400}.items()),
    *((status, code) for code, status in {21: 400, 22: 400, 28: 400, 9: 503, 11: 400, 18: 503, 19: 503}.items()),
    *((status, code) for code, status in {20: 503, 23: 503, 26: 429, 27: 429}.items()),
)
PAGES_WITHOUT_TAKING = (404, 408, 429, 503, 403, 302)
PAGES = (200, 400, 500, 502, 504)


@dataclass
class Schedule:
    """What a seed stands for."""

    seed: int
    acks: bool
    losing: bool
    """Whether answers and acknowledgements get lost, so that something may have to be sent twice."""
    faults: int
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def mischief(self, seen: Seen) -> Scripted | None:
        """Spoil some requests and polls, until so many faults have been."""
        if self.faults <= 0 or self.random.random() > 0.25:
            return None
        self.faults -= 1
        if seen.path.endswith("/ack"):
            return self._of_a_poll()
        return self._clean() if not self.losing or self.random.random() < 0.5 else self._losing()

    def _clean(self) -> Scripted:
        """Spoil a request with an answer that tells the truth."""
        kind = self.random.randrange(5)
        if kind == 0:
            return Scripted(self.random.choice(PAGES_WITHOUT_TAKING), b"<html>")
        if kind == 1:
            return Scripted(200, {"text": "near", "code": self.random.choice([24, 25])}, index=ALL)
        if kind == 2:
            return Scripted(400, {"text": "Incorrect index", "code": 7, "invalid-event-number": 1})
        status, code = self.random.choice(NOTHING_TAKEN)
        return Scripted(status, {"text": "scripted", "code": code}, headers={"Retry-After": "0"})

    def _losing(self) -> Scripted:
        """Spoil a request so that nobody can know what was taken."""
        taken = self.random.choice([0, self.random.randrange(30), ALL])
        kind = self.random.randrange(6)
        if kind == 0:
            return Scripted(reset="early")
        if kind == 1:
            return Scripted(reset="middle")
        if kind == 2:
            return Scripted(reset=self.random.choice(["late", "cut"]), index=taken)
        if kind == 3:
            return Scripted(500, {"text": "Internal server error", "code": 8}, index=taken)
        if kind == 4:
            few = self.random.randrange(1, 10)
            return Scripted(503, {"text": "Server is busy", "code": 9, "invalid-event-number": few}, index=few)
        return Scripted(self.random.choice(PAGES), self.random.choice([b"", b"<html>", b'{"text":']), index=taken)

    def _of_a_poll(self) -> Scripted:
        harmless = [Scripted(503, {"text": "Server is busy", "code": 9}), Scripted(502, b"<html>"), Scripted(404, b"")]
        if not self.losing:
            return harmless[0]
        refused = Scripted(400, {"text": "Invalid data channel", "code": 11})
        return self.random.choice([*harmless, refused, Scripted(reset="early"), Scripted(reset="late")])


def schedule(seed: int) -> Schedule:
    """Every fourth tells the truth and loses nothing; half have acknowledgement."""
    return Schedule(seed, acks=seed % 2 == 0, losing=seed % 4 > 1, faults=0 if seed % 10 == 0 else 40)


@dataclass
class Course:
    """How a schedule came out."""

    indexed: Counter[str]
    events: dict[str, Any]
    dead: dict[str, str]
    counted: float
    restarts: int

    @property
    def duplicates(self) -> int:
        return self.indexed.total() - len(self.indexed)


async def run(plan: Schedule) -> tuple[Course, MemoryJournal]:
    random = Random(-plan.seed - 1)
    server = HecServer()
    server.tokens[TOKEN] = "ack" if plan.acks else "enabled"
    server.delay = random.choice([0.0, 0.01, 0.03]) if plan.acks else 0.0
    server.cloud_limit = random.choice([8_000, 100_000, 5_500_000])
    server.indexer.marks = POISON
    journal = MemoryJournal()
    while len(journal.events) < EVENTS:
        mark = random.choice(list(POISON)) if random.random() < 0.005 else "x"
        journal.release(1, path="/" + mark * random.choice([1, 10, 100]))
    await server.start()
    settings = {"url": server.url(), "token": Secret(TOKEN), "timeout": "5s", "ack_timeout": "20s"}
    sink = SplunkHecSink(
        SplunkHecSettings.model_validate({**settings, "batch_max_events": random.choice([10, 25, 60])}),
        SinkContext("scripted", "memory"),
    )
    server.mischief = plan.mischief
    rig = Rig(journal)
    rig.start(sink)
    restarts = 0
    async with asyncio.timeout(110):
        while journal.cursors.get("scripted") != EVENTS:
            await asyncio.sleep(0.005)
            if plan.losing and plan.acks and plan.faults and random.random() < 0.02:
                await server.restart()
                restarts += 1
    await rig.halt()
    indexed = server.indexed
    course = Course(
        Counter(envelope["fields"]["log_id"] for envelope in indexed),
        {envelope["fields"]["log_id"]: envelope["event"] for envelope in indexed},
        {letter.id: letter.reason for letter in journal.dead.get("scripted", ())},
        sum(
            sample.value
            for metric in rig.metrics.registry.collect()
            for sample in metric.samples
            if sample.name == "forwarder_sink_possible_duplicates_total"
        ),
        restarts,
    )
    await server.stop()
    return course, journal


def judge(plan: Schedule, course: Course, journal: MemoryJournal) -> None:
    collected = {stored.id: stored for stored in journal.events}
    poisoned = {one for one, stored in collected.items() if b"POISON" in stored.body}
    assert set(course.dead) == poisoned, plan
    assert set(course.indexed) == collected.keys() - poisoned, plan
    for one, event in course.events.items():
        assert event == orjson.loads(FORMATS["json"](collected[one].event())), plan
    assert course.duplicates <= course.counted, plan
    if not plan.losing:
        assert (course.duplicates, course.counted) == (0, 0), plan


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = Backoff(first=0.002, factor=2.0, cap=0.01)
    monkeypatch.setattr(health, "RETRY", quick)
    monkeypatch.setattr(health, "PROBE", quick)
    monkeypatch.setattr(lane, "FIRST_POLL", 0.005)
    monkeypatch.setattr(lane, "LONGEST_POLL", 0.02)
    monkeypatch.setattr(lane, "PATIENCE", 0.1)
    monkeypatch.setattr(rota, "LEFT_OUT", 0.01)


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("seed", range(6))
async def test_a_schedule_of_faults_loses_nothing_and_repeats_nothing_uncounted(seed: int) -> None:
    plan = schedule(seed)
    course, journal = await run(plan)
    judge(plan, course, journal)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("_quick")
async def test_many_schedules_of_faults() -> None:
    events = dead = duplicates = restarts = clean = 0
    counted = 0.0
    for seed in range(100, 100 + SCHEDULES):
        plan = schedule(seed)
        course, journal = await run(plan)
        judge(plan, course, journal)
        events += len(journal.events)
        dead += len(course.dead)
        duplicates += course.duplicates
        counted += course.counted
        restarts += course.restarts
        clean += not plan.losing
    assert duplicates > 0, "faults that never repeat anything are no faults"
    print(
        f"{SCHEDULES} schedules ({clean} without a lost answer), {events:,} events, {dead} dead letters, {restarts} "
        f"restarts; missing 0, {duplicates:,} duplicates, {counted:,.0f} counted as possible"
    )
