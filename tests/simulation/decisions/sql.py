"""The same journal on the product's own SQL: what :mod:`tests.simulation.decisions.store` is held against."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TypeVar

from forwarder.journal import collecting, delivering, sightings
from forwarder.journal.books import Books, open_poll
from forwarder.journal.collecting import Arrival, CollectedRecord, SourceRecord
from forwarder.journal.delivering import DeadLetter
from forwarder.journal.gaps import Changes, Gap, Hole, Outcome, PageRead, SourceState
from forwarder.journal.journal import FORGET_CHUNK
from forwarder.journal.rules import place_of_new_sink
from forwarder.journal.schema import TABLES

T = TypeVar("T")
NAME = "persona"


class SqlStore:
    """What :class:`~tests.simulation.decisions.store.Store` does, by ``books``, ``collecting`` and ``delivering``."""

    def __init__(self, retention: int) -> None:
        self._retention = retention
        self._db = _empty()
        for statement in TABLES.split(";\n"):
            self._db.execute(statement)
        self._saved = _empty()
        self._books = Books()
        self._random = Random(retention)

    def open(self, now: int) -> None:
        self._books = Books()
        self._books.open(self._db, now, self._random)
        self.is_new = self._db.execute("SELECT count(*) FROM sink").fetchone()[0] == 0
        self._source_id = self._write(lambda: collecting.load_source(self._db, NAME)).id

    def save(self) -> None:
        self._saved.close()
        self._saved = _empty()
        self._db.backup(self._saved)

    def restore(self) -> None:
        self._db.close()
        self._db = _empty()
        self._saved.backup(self._db)

    @property
    def source(self) -> SourceState:
        return self._read().state

    @property
    def gaps(self) -> list[Gap]:
        return list(self._read().gaps)

    @property
    def holes(self) -> list[Hole]:
        return [Hole(*row) for row in self._db.execute("SELECT kind, since, until FROM hole")]

    def open_poll(self, now: int, lookback: int, sweep_interval: int) -> None:
        self._write(lambda: open_poll(self._db, NAME, now=now, lookback=lookback, sweep_interval=sweep_interval))

    def collect(self, gap_id: int, outcome: Outcome, collected: int, start_at: int) -> Changes:
        rows = outcome.rows if isinstance(outcome, PageRead) else ()
        server_time = outcome.server_time if isinstance(outcome, PageRead) else None
        arrival = Arrival([CollectedRecord(row, b"{}", None) for row in rows], {}, collected, server_time)
        return self._write(lambda: self._books.collect(self._db, NAME, gap_id, outcome, arrival, start_at)).changes

    def step_over(self, gap_id: int, server_time: int, collected: int) -> Changes:
        return self._write(lambda: self._books.step_over(self._db, NAME, gap_id, server_time, collected)).changes

    def release(self, now: int, older_than: int = 0) -> None:
        self._write(lambda: self._books.release(self._db, self._source_id, now, older_than))

    def tend(self, server_time: int) -> bool:
        def work() -> int:
            return sightings.forget(self._db, self._source_id, server_time, self._retention, FORGET_CHUNK)

        return self._write(work) == FORGET_CHUNK

    def register_sink(self, name: str, start: str | None) -> int:
        begin = place_of_new_sink(start, self._books.next_seq, is_new=self.is_new)
        return self._write(lambda: delivering.register(self._db, name, "list", begin=begin, now=0))

    def read(self, after: int, most: int) -> Sequence[tuple[int, str]]:
        return [(event.seq, event.id) for event in delivering.read(self._db, after, most, 1 << 20)]

    def commit(self, sink: str, cursor: int, dead: Mapping[int, str]) -> None:
        letters = [DeadLetter(seq, NAME, id_, "refused", 0, b"", None) for seq, id_ in dead.items()]
        self._write(lambda: self._books.commit(self._db, sink, cursor, letters))

    @property
    def sinks(self) -> Sequence[str]:
        return [name for (name,) in self._db.execute("SELECT name FROM sink")]

    def ids(self) -> list[tuple[str, int, int, int]]:
        return self._db.execute("SELECT id, n, at, seen FROM ids").fetchall()

    @property
    def last_released(self) -> int:
        return int(self._db.execute("SELECT coalesce(max(seq), 0) FROM event").fetchone()[0])

    @property
    def held(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM event WHERE seq IS NULL").fetchone()[0])

    def close(self) -> None:
        self._db.close()
        self._saved.close()

    def _read(self) -> SourceRecord:
        return collecting.read_source(self._db, NAME)

    def _write(self, work: Callable[[], T]) -> T:
        self._books.remember()
        self._db.execute("BEGIN IMMEDIATE")
        result = work()
        self._db.execute("COMMIT")
        return result


def _empty() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None)
