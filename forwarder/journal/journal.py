"""The journal: one SQLite file, one writer thread, one reader thread, and the only door to them."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from forwarder.clock import BEGINNING, SECOND, Clock
from forwarder.errors import DiskFull
from forwarder.journal import collecting, delivering, ledger
from forwarder.journal.collecting import RELEASE_AFTER, RELEASE_AT, Arrival, SourceRecord
from forwarder.journal.delivering import Backlog, DeadLetter, StoredEvent
from forwarder.journal.file import Reserve, connect, connect_read_only, lock, sizes_on_disk, translated
from forwarder.journal.gaps import Changes, CursorRefused, Outcome, PageRead, PageUnreadable

T = TypeVar("T")

FORGET_CHUNK = 5_000
"""Ids dropped in one transaction, so that delivery never waits long for the writer."""

VACUUM_PAGES = 2_000
"""Free pages given back to the disk in one turn."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What one answer came to."""

    changes: Changes
    source: SourceRecord
    fresh: int
    known: int


@dataclass(slots=True)
class _Held:
    """Events that one gap holds back."""

    count: int = 0
    since: int = 0


class Journal:
    """The journal of one daemon; see :mod:`forwarder.journal.schema` for what it keeps.

    Every public coroutine is one transaction. While the disk is full they raise :class:`~forwarder.errors.DiskFull` and
    have changed nothing.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        max_bytes: int,
        retention: float,
        writer: Executor,
        reader: Executor,
        factory: type[sqlite3.Connection],
    ) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.disk_full = False
        self._clock = clock
        self._retention = int(retention * SECOND)
        self._executors = (writer, reader)
        self._factory = factory
        self._lock: int | None = None
        self._subscribers: list[asyncio.Event] = []
        self._held: dict[tuple[int, int], _Held] = {}
        self._next_seq = 0
        self._backlog_bytes = 0

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        clock: Clock,
        max_bytes: int = 2 << 30,
        retention: float = 190 * 86400.0,
        executors: tuple[Executor, Executor] | None = None,
        factory: type[sqlite3.Connection] = sqlite3.Connection,
    ) -> "Journal":
        """Take the lock, open the file or make it, and number on from where it left off.

        *retention* is in seconds. *executors* run the writer's and the reader's work, each one call at a time
        (threads of their own unless a simulation brings others).

        :raises JournalLocked: another process owns it
        :raises JournalDamaged: the file is damaged; it was left as it is
        :raises JournalUnavailable: it cannot be made or opened for writing
        """
        writer, reader = executors or (
            ThreadPoolExecutor(1, thread_name_prefix="journal-writer"),
            ThreadPoolExecutor(1, thread_name_prefix="journal-reader"),
        )
        journal = cls(
            path,
            clock=clock,
            max_bytes=max_bytes,
            retention=retention,
            writer=writer,
            reader=reader,
            factory=factory,
        )
        try:
            await asyncio.get_running_loop().run_in_executor(writer, journal._open)
        except BaseException:
            journal._release_lock()
            for executor in journal._executors:
                executor.shutdown(wait=False)
            raise
        return journal

    async def close(self) -> None:
        """Note that the run ended as it should, and let go of the file. Twice is fine."""
        if self._lock is None:
            return
        try:
            await self._on_writer(self._close)
        finally:
            self._release_lock()
            for executor in self._executors:
                executor.shutdown(wait=True)

    # -- collecting ----------------------------------------------------------------------------------------------

    async def source(self, name: str) -> SourceRecord:
        """The source called *name* with its open gaps; entered if it is new."""
        return await self._write(lambda db: collecting.load_source(db, name))

    async def claim_source(self, name: str, organization: str | None, environment: str | None) -> SourceRecord:
        """Remember whose log it is, unless that is known; the caller compares."""

        def work(db: sqlite3.Connection) -> SourceRecord:
            source = collecting.load_source(db, name)
            collecting.claim(db, source.id, organization, environment)
            return collecting.load_source(db, name)

        return await self._write(work)

    async def open_poll(self, name: str, *, now: int, lookback: int, sweep_interval: int) -> SourceRecord:
        """Open the next poll's gap, if all open ones were started. Times are microseconds, *now* Persona's."""

        def work(db: sqlite3.Connection) -> SourceRecord:
            source = collecting.load_source(db, name)
            sights, gaps = collecting.counters(db, source.id)
            gap = ledger.next_poll(
                source.state,
                source.gaps,
                gap_id=gaps + 1,
                mark=sights,
                now=now,
                lookback=lookback,
                sweep_interval=sweep_interval,
            )
            if gap is not None:
                collecting.open_gap(db, source.id, gap)
            return collecting.load_source(db, name)

        return await self._write(work)

    async def collect(
        self,
        name: str,
        gap_id: int,
        outcome: PageRead | CursorRefused,
        *,
        records: Sequence[collecting.CollectedRecord] = (),
        users: Mapping[str, bytes] | None = None,
        start_at: int,
    ) -> Collected:
        """Carry out one answer for one gap: page, gap and users, whole or not at all; release what is due.

        *start_at* is the lower bound that the first answer of a new source fixes.
        """
        server_time = outcome.server_time if isinstance(outcome, PageRead) else None
        arrival = Arrival(records, users or {}, self._clock.now(), server_time)
        return await self._write(lambda db: self._collect(db, name, gap_id, outcome, arrival, start_at))

    async def step_over(self, name: str, gap_id: int, server_time: int) -> Collected:
        """Pass the unreadable record below the gap's cursor, if a known id lies below it."""

        def work(db: sqlite3.Connection) -> Collected:
            source = collecting.load_source(db, name)
            gap = next(gap for gap in source.gaps if gap.id == gap_id)
            below = server_time if gap.cursor_at is None else gap.cursor_at
            outcome = PageUnreadable(server_time, collecting.nearest_older(db, source.id, below))
            arrival = Arrival((), {}, self._clock.now(), server_time)
            return self._collect(db, name, gap_id, outcome, arrival, BEGINNING)

        return await self._write(work)

    async def release(self, name: str, *, older_than: int = 0) -> int:
        """Release what the source's gaps have held back for *older_than* microseconds; returns how many events."""
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> int:
            source = collecting.load_source(db, name)
            return sum(
                self._release(db, source.id, gap.id, now)
                for gap in source.gaps
                if (held := self._held.get((source.id, gap.id))) and now - held.since >= older_than
            )

        return await self._write(work) if self._held else 0

    async def unknown_users(self, name: str, users: Sequence[str]) -> list[str]:
        """Those of *users* of whom the journal knows nothing but the id."""
        if not users:
            return []
        return await self._write(
            lambda db: collecting.unknown_users(db, collecting.load_source(db, name).id, users),
        )

    @property
    def backlog_bytes(self) -> int:
        """Bytes of event bodies that at least one sink has still to get."""
        return self._backlog_bytes

    # -- delivering ----------------------------------------------------------------------------------------------

    def subscribe(self) -> asyncio.Event:
        """An event of the caller's own that is set whenever something was released."""
        event = asyncio.Event()
        self._subscribers.append(event)
        return event

    async def register_sink(self, name: str, kind: str, *, start: str | None) -> int:
        """The sink's cursor; everything that it should have and that is not past it will be read to it.

        A sink unknown to the journal begins now, or with *start* ``all`` at what is still held; on a new journal the
        default is everything.
        """
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> int:
            everything = start == "all" or (start is None and self._is_new)
            return delivering.register(db, name, kind, begin=0 if everything else self._next_seq - 1, now=now)

        return await self._write(work)

    async def read(self, after: int, *, max_events: int, max_bytes: int) -> list[StoredEvent]:
        """Released events above the sequence number *after*, in order, at least one if there is any."""
        return await self._read(lambda db: delivering.read(db, after, max_events, max_bytes))

    async def commit(self, sink: str, cursor: int, dead: Sequence[DeadLetter] = ()) -> None:
        """Move the sink's cursor, keep its dead letters, and drop the events that now every sink has."""

        def work(db: sqlite3.Connection) -> None:
            delivering.advance(db, sink, cursor, dead)
            self._backlog_bytes -= delivering.prune(db)

        await self._write(work, room_needed=False)

    async def backlog(self, sink: str) -> Backlog:
        """What the sink has still to get."""

        def work(db: sqlite3.Connection) -> Backlog:
            found = db.execute("SELECT cursor FROM sink WHERE name = ?", (sink,)).fetchone()
            return delivering.backlog(db, found[0] if found else 0)

        return await self._read(work)

    # -- housekeeping --------------------------------------------------------------------------------------------

    async def tend(self, name: str, server_time: int) -> bool:
        """Forget a chunk of ids past the retention, shrink the file, set the reserve aside; False when all is done."""

        def work(db: sqlite3.Connection) -> int:
            source = collecting.load_source(db, name)
            before = server_time - self._retention - collecting.DAY
            return collecting.forget_ids(db, source.id, before, FORGET_CHUNK)

        self.disk_full = not await self._on_writer(self._reserve.take)
        forgotten = await self._write(work)
        await self._on_writer(lambda: self._db.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall())
        return forgotten == FORGET_CHUNK

    async def sizes(self) -> dict[str, int]:
        """Bytes on the disk by part: ``file``, ``wal``; and of the ``backlog``'s bodies."""
        on_disk = await self._read(lambda _: sizes_on_disk(self.path))
        return {**on_disk, "backlog": self._backlog_bytes}

    # -- inside --------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._lock = lock(self.path)
        self._db = connect(self.path, factory=self._factory)
        self._reader_db = connect_read_only(self.path)
        self._reserve = Reserve(self.path)
        self.disk_full = not self._reserve.take()
        with translated(self.path):
            row = self._db.execute("SELECT journal_id, closed FROM meta").fetchone()
            self.journal_id: str = row[0]
            self.interrupted = not row[1]
            self._is_new = self._db.execute("SELECT count(*) FROM sink").fetchone()[0] == 0
            # Never used again, whatever backup was put back: no number is below the wall clock in microseconds.
            highest = self._db.execute(
                "SELECT max(coalesce((SELECT max(seq) FROM event), 0), coalesce((SELECT max(cursor) FROM sink), 0))",
            ).fetchone()[0]
            self._next_seq = max(highest + 1, self._clock.now())
            self._backlog_bytes = self._db.execute("SELECT coalesce(sum(length(body)), 0) FROM event").fetchone()[0]
            self._load_held()
            self._db.execute("UPDATE meta SET closed = 0")

    def _close(self) -> None:
        with translated(self.path):
            self._db.execute("UPDATE meta SET closed = 1")
        self._reader_db.close()
        self._db.close()

    def _release_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _collect(
        self,
        db: sqlite3.Connection,
        name: str,
        gap_id: int,
        outcome: Outcome,
        arrival: Arrival,
        start_at: int,
    ) -> Collected:
        source = collecting.load_source(db, name)
        gap = next(gap for gap in source.gaps if gap.id == gap_id)
        others = [other for other in source.gaps if other.id != gap_id]
        rows = outcome.rows if isinstance(outcome, PageRead) else ()
        known = collecting.known_ids(db, source.id, rows)
        changes = ledger.step(source.state, gap, others, outcome, known, start_at)
        collecting.apply(db, source.id, changes, arrival)
        held = self._held.get((source.id, gap_id))
        due = changes.state != "open" or _is_due(held, len(changes.fresh), arrival.collected)
        # Nothing held and all released at once, as in an ordinary poll: the numbers are given on the way in.
        at_once = due and held is None
        collecting.enter(db, source.id, changes, arrival, self._next_seq if at_once else None)
        if at_once:
            self._next_seq += len(changes.fresh)
        elif changes.fresh:
            held = self._held.setdefault((source.id, gap_id), _Held(since=arrival.collected))
            held.count += len(changes.fresh)
        if due and not at_once:
            self._release(db, source.id, gap_id, arrival.collected)
        self._backlog_bytes += sum(len(arrival.records[new.index].body) for new in changes.fresh)
        after = collecting.load_source(db, name)
        return Collected(changes, after, len(changes.fresh), len(changes.seen))

    def _release(self, db: sqlite3.Connection, source: int, gap: int, now: int) -> int:
        count = collecting.release(db, source, gap, self._next_seq, now)
        self._next_seq += count
        self._held.pop((source, gap), None)
        return count

    def _load_held(self) -> None:
        self._held = {
            (source, gap): _Held(count, since)
            for source, gap, count, since in self._db.execute(
                "SELECT source, gap, count(*), min(collected) FROM event WHERE seq IS NULL GROUP BY source, gap",
            )
        }

    async def _write(self, work: Callable[[sqlite3.Connection], T], *, room_needed: bool = True) -> T:
        if self.disk_full and room_needed:
            raise DiskFull(f"{self.path}: the disk is full")
        before = self._next_seq
        result = await self._on_writer(lambda: self._transact(work))
        if self._next_seq != before:
            for subscriber in self._subscribers:
                subscriber.set()
        return result

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        kept = (self._next_seq, self._backlog_bytes)
        db = self._db
        try:
            with translated(self.path):
                db.execute("BEGIN IMMEDIATE")
                result = work(db)
                db.execute("COMMIT")
        except BaseException as error:
            self._next_seq, self._backlog_bytes = kept
            with translated(self.path):
                if db.in_transaction:
                    db.execute("ROLLBACK")
                self._load_held()
            if isinstance(error, DiskFull):
                self.disk_full = True
                self._reserve.give_up()
            raise
        return result

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def guarded() -> T:
            with translated(self.path):
                return work(self._reader_db)

        return await asyncio.get_running_loop().run_in_executor(self._executors[1], guarded)

    async def _on_writer(self, work: Callable[[], T]) -> T:
        # Shielded: a cancelled caller must not leave a transaction whose outcome nobody heard of half decided.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._executors[0], work))


def _is_due(held: _Held | None, fresh: int, now: int) -> bool:
    if held is None:
        return fresh >= RELEASE_AT
    return held.count + fresh >= RELEASE_AT or now - held.since >= RELEASE_AFTER
