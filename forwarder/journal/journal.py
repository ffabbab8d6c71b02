"""The journal's door: every public coroutine is one transaction or one read."""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from random import Random, SystemRandom
from typing import TypeVar

from forwarder.clock import SECOND, Clock
from forwarder.journal import collecting, delivering, sightings
from forwarder.journal.books import Books, Collected, open_poll
from forwarder.journal.collecting import Arrival, SourceRecord
from forwarder.journal.database import Database, Work
from forwarder.journal.delivering import Backlog, DeadLetter, StoredEvent
from forwarder.journal.gaps import CursorRefused, PageRead
from forwarder.journal.rules import place_of_new_sink

T = TypeVar("T")

FORGET_CHUNK = 5_000
"""Ids dropped in one transaction, so that delivery never waits long for the writer."""


class Journal:
    """The journal of one daemon; see :mod:`forwarder.journal.schema` for what it keeps.

    While the disk is full, coroutines raise :class:`~forwarder.errors.DiskFull` and have changed nothing.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        random: Random,
        max_bytes: int,
        retention: float,
        executors: tuple[Executor, Executor] | None,
        factory: type[sqlite3.Connection],
    ) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._clock = clock
        self._random = random
        self._retention = int(retention * SECOND)
        self._books = Books()
        self._db = Database(
            path,
            clock=clock,
            random=random,
            executors=executors,
            factory=factory,
            on_rollback=self._books.recall,
        )
        self._subscribers: list[asyncio.Event] = []

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        clock: Clock,
        random: Random | None = None,
        max_bytes: int = 2 << 30,
        retention: float = 190 * 86400.0,
        executors: tuple[Executor, Executor] | None = None,
        factory: type[sqlite3.Connection] = sqlite3.Connection,
    ) -> "Journal":
        """Take the lock, open the file or make it, and number on from where it left off.

        *random* names a new journal, and numbers on where the clock was put back. *retention* is in seconds.
        *executors* run the writer's and the reader's work, each one call at a time. The system's chance, and threads of
        their own, unless a simulation brings others.

        :raises JournalLocked: another process owns it
        :raises JournalDamaged: the file is damaged; it was left as it is
        :raises JournalUnavailable: it cannot be made or opened for writing
        """
        journal = cls(
            path,
            clock=clock,
            random=random or SystemRandom(),
            max_bytes=max_bytes,
            retention=retention,
            executors=executors,
            factory=factory,
        )
        await journal._db.open(journal._begin)
        return journal

    async def close(self) -> None:
        """Note that the run ended as it should, and let go of the file. Twice is fine."""
        await self._db.close(lambda db: _set_closed(db, closed=True))

    @property
    def disk_full(self) -> bool:
        """Whether the disk had no room at the last try; :meth:`tend` looks again."""
        return self._db.disk_full

    # -- collecting ----------------------------------------------------------------------------------------------

    async def source(self, name: str) -> SourceRecord:
        """The source called *name* with its open gaps; entered if it is new."""
        return await self._write(lambda db: collecting.load_source(db, name))

    async def claim_source(self, name: str, organization: str | None, environment: str | None) -> SourceRecord:
        """Remember whose log it is, unless that is known; the caller compares."""

        def work(db: sqlite3.Connection) -> SourceRecord:
            source = collecting.load_source(db, name)
            collecting.claim(db, source.id, organization, environment)
            return collecting.read_source(db, name)

        return await self._write(work)

    async def open_poll(self, name: str, *, now: int, lookback: int, sweep_interval: int) -> SourceRecord:
        """Open the next poll's gap, if all open ones were started. Times are microseconds, *now* Persona's."""
        return await self._write(
            lambda db: open_poll(db, name, now=now, lookback=lookback, sweep_interval=sweep_interval)
        )

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
        return await self._write(lambda db: self._books.collect(db, name, gap_id, outcome, arrival, start_at))

    async def step_over(self, name: str, gap_id: int, server_time: int) -> Collected:
        """Pass the unreadable record below the gap's cursor, if a known id lies below it."""
        collected = self._clock.now()
        return await self._write(lambda db: self._books.step_over(db, name, gap_id, server_time, collected))

    async def release(self, name: str, *, older_than: int = 0) -> int:
        """Release what the source's gaps have held back for *older_than* microseconds; returns how many events."""
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> int:
            source = collecting.load_source(db, name)
            return self._books.release(db, source.id, now, older_than)

        return await self._write(work) if self._books.anything_held else 0

    async def unknown_users(self, name: str, users: Sequence[str]) -> list[str]:
        """Those of *users* of whom the journal knows nothing but the id."""
        if not users:
            return []
        return await self._db.read(
            lambda db: collecting.unknown_users(db, collecting.read_source(db, name).id, users),
        )

    @property
    def backlog_bytes(self) -> int:
        """Bytes of event bodies that at least one sink has still to get."""
        return self._books.backlog_bytes

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
            begin = place_of_new_sink(start, self._books.next_seq, is_new=self._is_new)
            return delivering.register(db, name, kind, begin=begin, now=now)

        return await self._write(work)

    async def read(self, after: int, *, max_events: int, max_bytes: int) -> list[StoredEvent]:
        """Released events above the sequence number *after*, in order, at least one if there is any."""
        return await self._db.read(lambda db: delivering.read(db, after, max_events, max_bytes))

    async def commit(self, sink: str, cursor: int, dead: Sequence[DeadLetter] = ()) -> None:
        """Move the sink's cursor, keep its dead letters, and drop the events that now every sink has."""
        await self._write(lambda db: self._books.commit(db, sink, cursor, dead), room_needed=False)

    async def remember_beyond(self, sink: str, seqs: Sequence[int]) -> None:
        """Note what the sink has beyond its cursor, so that an orderly stop repeats nothing."""
        await self._write(lambda db: delivering.remember_beyond(db, sink, seqs), room_needed=False)

    async def beyond(self, sink: str) -> list[int]:
        """What the sink had beyond its cursor at its last orderly stop; perhaps passed since."""
        return await self._db.read(lambda db: delivering.beyond(db, sink))

    async def backlog(self, sink: str) -> Backlog:
        """What the sink has still to get."""

        def work(db: sqlite3.Connection) -> Backlog:
            found = db.execute("SELECT cursor FROM sink WHERE name = ?", (sink,)).fetchone()
            return delivering.backlog(db, found[0] if found else 0)

        return await self._db.read(work)

    # -- housekeeping --------------------------------------------------------------------------------------------

    async def tend(self, name: str, server_time: int) -> bool:
        """Look for room, forget a chunk of ids past the retention, shrink the file; False when all is done."""

        def work(db: sqlite3.Connection) -> int:
            source = collecting.load_source(db, name)
            return sightings.forget(db, source.id, server_time, self._retention, FORGET_CHUNK)

        await self._db.make_room()
        return await self._write(work) == FORGET_CHUNK

    # -- inside --------------------------------------------------------------------------------------------------

    def _begin(self, db: sqlite3.Connection) -> None:
        self.journal_id: str
        self.journal_id, closed = db.execute("SELECT journal_id, closed FROM meta").fetchone()
        self.interrupted = not closed
        self._is_new = db.execute("SELECT count(*) FROM sink").fetchone()[0] == 0
        self._books.open(db, self._clock.now(), self._random)
        if not self._db.disk_full:
            _set_closed(db, closed=False)

    async def _write(self, work: Work[T], *, room_needed: bool = True) -> T:
        before = self._books.next_seq

        def remembered(db: sqlite3.Connection) -> T:
            self._books.remember()
            return work(db)

        result = await self._db.write(remembered, room_needed=room_needed)
        if self._books.next_seq != before:
            for subscriber in self._subscribers:
                subscriber.set()
        return result


def _set_closed(db: sqlite3.Connection, *, closed: bool) -> None:
    db.execute("UPDATE meta SET closed = ?", (closed,))
