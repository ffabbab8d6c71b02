"""Thirty simulated days of polling into a real journal, by a process that dies after every kind of statement."""

import os
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from forwarder.clock import SECOND
from forwarder.journal import CollectedRecord, CursorRefused, Journal, PageRead, Row, choose
from tests.journal.inline import Crash, Inline, Mortal
from tests.journal.world import World

POLL = 300 * SECOND
"""A tick of the world: five minutes."""

DAYS = int(os.environ.get("LEDGER_DAYS", "30"))
TICKS = DAYS * 288


class SimulatedClock:
    """Time that moves only when the world ticks."""

    def __init__(self, world: World) -> None:
        self.world = world

    def now(self) -> int:
        return self.world.now * POLL

    def monotonic(self) -> float:
        return self.world.now * POLL / SECOND


class Process:
    """One forwarder without its network: polls the world, delivers to a list, dies and is started again."""

    def __init__(self, path: Path, world: World) -> None:
        self.path = path
        self.world = world
        self.journal: Journal | None = None
        self.delivered: list[tuple[int, str]] = []
        self.crashes = 0

    async def start(self) -> Journal:
        while self.journal is None:
            try:
                self.journal = await Journal.open(
                    self.path,
                    clock=SimulatedClock(self.world),
                    executors=(Inline(), Inline()),
                    factory=Mortal,
                )
                await self.journal.register_sink("list", "list", start=None)
            except Crash:
                self.die()
        return self.journal

    def die(self) -> None:
        """Leave nothing behind but the file."""
        self.crashes += 1
        Mortal.bury()
        if self.journal is not None:
            self.journal._db._reading.close()
            self.journal._db._let_go()
            self.journal = None

    async def live(self, requests: int) -> None:
        """Poll, make some requests, deliver; dying in between is nothing special."""
        try:
            journal = await self.start()
            await self._collect(journal, requests)
            await self._deliver(journal)
        except Crash:
            self.die()

    async def _collect(self, journal: Journal, requests: int) -> None:
        source = await journal.open_poll(
            "persona",
            now=self.world.now * POLL,
            lookback=self.world.lookback * POLL,
            sweep_interval=self.world.sweep_interval * POLL,
        )
        for count in range(requests):
            gap = choose(source.gaps, oldest=count % 5 == 4)
            if gap is None:
                return
            outcome = self.world.page(gap.cursor)
            if isinstance(outcome, PageRead):
                rows = [Row(row.id, None if row.at is None else row.at * POLL) for row in outcome.rows]
                now = outcome.server_time * POLL
                outcome = replace(outcome, rows=rows, server_time=now, asked=now)
            elif not isinstance(outcome, CursorRefused):
                continue
            rows = list(outcome.rows) if isinstance(outcome, PageRead) else []
            records = [CollectedRecord(row, orjson.dumps({"id": row.id}), None) for row in rows]
            source = (await journal.collect("persona", gap.id, outcome, records=records, start_at=-(1 << 62))).source
        await journal.release("persona")

    async def _deliver(self, journal: Journal) -> None:
        cursor = await journal.register_sink("list", "list", start=None)
        events = await journal.read(cursor, max_events=50, max_bytes=1 << 20)
        if events:
            self.delivered.extend((event.seq, event.id) for event in events)
            await journal.commit("list", events[-1].seq)


@pytest.fixture
def world() -> World:
    """A busy month: records late by up to half an hour, wrong dates, lost cursors."""
    chosen = World(Random(20260301), "empty", size=20)
    chosen.lookback, chosen.sweep_interval = 24, 3
    return chosen


async def test_a_month_of_polling_and_dying_loses_nothing(tmp_path: Path, world: World) -> None:
    """The process dies after each kind of journal statement, again and again, and every record arrives."""
    random = Random(1)
    process = Process(tmp_path / "journal.db", world)
    Mortal.executed, Mortal.dies_after = 0, None
    Mortal.last_words.clear()
    for tick in range(TICKS):
        world.tick()
        if Mortal.dies_after is None and tick % 8 == 0:
            Mortal.dies_after = Mortal.executed + random.randint(1, 60)
        if random.random() > 0.02:
            await process.live(random.randint(1, 4))
    Mortal.dies_after = None
    world.errors = world.lost_cursors = 0
    for _ in range(60):
        world.tick(quiet=True)
        await process.live(30)
    journal = await process.start()
    while (await journal.backlog("list")).events:
        await process.live(30)
    await (await process.start()).close()
    _judge(process, world)
    statements = {" ".join(sql.split())[:60] for sql in Mortal.last_words}
    print(f"{DAYS} days, {len(world.made)} records, {process.crashes} crashes after {len(statements)} statements")
    assert process.crashes > TICKS // 40
    for kind in (
        "BEGIN",
        "COMMIT",
        "INSERT INTO ids",
        "INSERT INTO event",
        "UPDATE event",
        "UPDATE source",
        "UPDATE sink",
        "DELETE FROM gap",
        "DELETE FROM event",
    ):
        assert any(kind in statement for statement in statements), f"never died after {kind}"


def _judge(process: Process, world: World) -> None:
    visible = {made.id for made in world.made if made.visible <= world.now}
    ids = [id_ for _, id_ in process.delivered]
    seqs = [seq for seq, _ in process.delivered]
    assert set(ids) == visible, f"missing {sorted(visible - set(ids))[:5]}"
    by_seq: dict[int, Any] = {}
    for seq, id_ in process.delivered:
        assert by_seq.setdefault(seq, id_) == id_, "a sequence number was used twice"
    assert len(by_seq) == len(visible), "an id was given two sequence numbers"
    # What repeats was sent and not committed: at most a batch of 50 for each crash.
    assert len(seqs) - len(by_seq) <= 50 * process.crashes
