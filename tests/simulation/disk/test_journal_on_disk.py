"""The journal on a disk that crashes at any of its operations: it loses nothing that it said it has."""

import os
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from random import Random
from typing import TypeVar

import orjson
import pytest

from forwarder.clock import BEGINNING, SECOND
from forwarder.errors import DiskFull, JournalUnavailable
from forwarder.journal import CollectedRecord, Journal, PageRead, Row
from forwarder.journal.letters import list_dead_letters
from forwarder.journal.status import read_status
from tests.journal.inline import Inline
from tests.simulation.disk import Disk
from tests.simulation.disk.medium import Kind

pytestmark = pytest.mark.usefixtures("reachable_sqlite")

T = TypeVar("T")

NOW = 1_800_000_000 * SECOND
PAGES = [[Row(f"ual_{page}_{n}", NOW - 10 + page) for n in range(3)] for page in range(2)]


@contextmanager
def folder(parent: Path) -> Iterator[Path]:
    """A directory for one life, gone after it: each journal sets megabytes aside."""
    where = parent / "life"
    where.mkdir()
    yield where
    shutil.rmtree(where)


class StillClock:
    """A clock in a world where everything takes no time."""

    def now(self) -> int:
        return NOW

    def monotonic(self) -> float:
        return 0.0


class Life:
    """A forwarder's: collect a page, deliver it, move the cursor; and what the outside saw of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal: Journal | None = None
        self.collected: set[str] = set()
        """What the journal said it has."""
        self.delivered: list[str] = []
        self.passed = 0
        """Deliveries that the journal said it is past."""
        self.in_flight = 0
        """Deliveries that it may or may not be past."""

    async def run(self, starts: int) -> None:
        """Live until the end, or until the disk is dead."""
        for _ in range(starts):
            self.journal = journal = await Journal.open(
                self.path, clock=StillClock(), random=Random(1), executors=(Inline(), Inline())
            )
            self._cursor = await journal.register_sink("a", "file", start=None)
            await self._deliver(journal)
            for rows in PAGES:
                await self._collect(journal, rows)
                await self._deliver(journal)
            await journal.tend("persona", NOW)
            await journal.close()
            self.journal = None

    async def _collect(self, journal: Journal, rows: list[Row]) -> None:
        source = await journal.open_poll("persona", now=NOW, lookback=3600 * SECOND, sweep_interval=900 * SECOND)
        await journal.collect(
            "persona",
            source.gaps[-1].id,
            PageRead(tuple(rows), None, NOW, NOW, empty=False),
            records=[CollectedRecord(row, orjson.dumps({"id": row.id, "pad": "x" * 700}), "user_1") for row in rows],
            users={"user_1": b"{}"},
            start_at=BEGINNING,
        )
        self.collected.update(row.id for row in rows)

    async def _deliver(self, journal: Journal) -> None:
        while events := await journal.read(self._cursor, max_events=2, max_bytes=1 << 20):
            self.delivered.extend(event.id for event in events)
            self.in_flight = len(events)
            await journal.commit("a", events[-1].seq)
            self._cursor = events[-1].seq
            self.passed += len(events)
            self.in_flight = 0

    async def lie_down(self) -> None:
        """Close what the dead process had open: its connections are shadows, and harm nothing."""
        if self.journal is not None:
            await self.journal.close()


ROUNDS = int(os.environ.get("DISK_ROUNDS", "1"))
"""How often a life is cut at each of its operations, each time with other draws of what the disk keeps."""


@pytest.mark.parametrize("seed", range(ROUNDS))
@pytest.mark.parametrize(("kind", "step"), [("power", 1), ("process", 1 if ROUNDS > 1 else 5)])
async def test_a_life_cut_at_any_operation_loses_nothing(tmp_path: Path, kind: Kind, step: int, seed: int) -> None:
    """What was collected is delivered; what was delivered and passed is not delivered again; all is at last there."""
    everything = {row.id for rows in PAGES for row in rows}
    for n in count(1, step):
        with folder(tmp_path) as where, Disk(where, seed=n) as disk:
            life = Life(where / "journal.db")
            disk.die_at(n)
            try:
                await life.run(starts=2)
            except JournalUnavailable:
                assert disk.died
                assert life.journal is None, "in a start only"
            except DiskFull:
                assert disk.died
                assert life.journal is not None, "a start that fails ends the process with its status"
            if not disk.died:
                break
            collected, passed, unsure = set(life.collected), life.passed, life.in_flight
            disk.crash(kind, Random(f"{seed} {n}"))
            next_life = Life(life.path)
            await next_life.run(starts=1)
            await life.lie_down()
            assert disk.open_files() == []
        assert collected <= set(life.delivered) | set(next_life.delivered), n
        again = set(life.delivered[:passed]) & set(next_life.delivered)
        assert not again, n
        assert len(set(life.delivered) & set(next_life.delivered)) <= unsure, n
        assert len(next_life.delivered) == len(set(next_life.delivered)), n
        assert set(life.delivered) | set(next_life.delivered) == everything, n
    assert n > 100


class Patient(Life):
    """A forwarder that, as the daemon does, tries again what the disk did not take."""

    failures = 0

    async def run_patiently(self) -> None:
        """Live until the end."""
        while self.journal is None:
            try:
                self.journal = await Journal.open(self.path, clock=StillClock(), executors=(Inline(), Inline()))
            except JournalUnavailable:
                self.failures += 1
        journal = self.journal
        self._cursor = await self._surely(journal, lambda: journal.register_sink("a", "file", start=None))
        for rows in PAGES:
            await self._surely(journal, lambda rows=rows: self._collect(journal, rows))  # type: ignore[misc] # rows is bound
            while events := await self._surely(
                journal, lambda: journal.read(self._cursor, max_events=2, max_bytes=1 << 20)
            ):
                self.delivered.extend(event.id for event in events)
                self._cursor = events[-1].seq
                await self._surely(journal, lambda: journal.commit("a", self._cursor))
        await journal.close()

    async def _surely(self, journal: Journal, work: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                if journal.disk_full:
                    await journal.tend("persona", NOW)
                return await work()
            except DiskFull:
                self.failures += 1


def fail_at(disk: Disk, operation: str, n: int) -> Callable[[], bool]:
    """Let the *n*-th of an operation's kind fail; what is returned tells whether it came to that."""
    seen = 0

    def decide(name: str, _kind: str) -> None:
        nonlocal seen
        seen += name == operation
        if seen == n and name == operation:
            disk.fail(operation)

    disk.on_operation = decide
    return lambda: seen >= n


@pytest.mark.parametrize(("operation", "step"), [("write", 4), ("sync", 1)])
async def test_any_operation_may_fail_once_and_nothing_is_lost_or_doubled(
    tmp_path: Path, operation: str, step: int
) -> None:
    """A transaction that failed has changed nothing, and the next try does it whole."""
    failures = 0
    for n in count(1, step):
        with folder(tmp_path) as where, Disk(where, seed=n) as disk:
            life = Patient(where / "journal.db")
            has_failed = fail_at(disk, operation, n)
            await life.run_patiently()
            if not has_failed():
                break
            failures += life.failures
            with closing(sqlite3.connect(life.path)) as db:
                assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",), n
        assert sorted(life.delivered) == sorted(row.id for rows in PAGES for row in rows), n
    assert failures > 5


async def test_a_journal_of_another_user_that_we_may_only_read_cannot_be_used(tmp_path: Path) -> None:
    with folder(tmp_path) as where, Disk(where) as disk:
        await Life(where / "journal.db").run(starts=1)
        disk.read_only = True
        with pytest.raises(JournalUnavailable):
            await Life(where / "journal.db").run(starts=1)


async def test_a_journal_of_another_user_that_we_may_write_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path, _mode: int) -> None:
        raise PermissionError

    await Life(tmp_path / "journal.db").run(starts=1)
    monkeypatch.setattr(Path, "chmod", refuse)
    await Life(tmp_path / "journal.db").run(starts=1)


@pytest.mark.parametrize("after", [0, 2, 4, 8])
async def test_a_disk_that_cannot_be_read_keeps_a_command_from_the_journal(tmp_path: Path, after: int) -> None:
    with folder(tmp_path) as where, Disk(where) as disk:
        life = Life(where / "journal.db")
        await life.run(starts=1)
        disk.fail("read", 1000, after=after)
        with pytest.raises(JournalUnavailable):
            read_status(life.path, now=NOW)
        with pytest.raises(JournalUnavailable):
            list_dead_letters(life.path)
        disk.fail("read", 0)
        assert read_status(life.path, now=NOW).sources
