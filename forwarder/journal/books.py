"""What one answer comes to in the tables, and the running figures that are kept in memory beside them.

The figures (the next sequence number, the backlog's bytes, what gaps hold back) follow the transactions: before each
they are remembered, and after one that was undone they are recalled.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from forwarder.clock import BEGINNING
from forwarder.journal import collecting, delivering, ledger, polls, sightings
from forwarder.journal.collecting import Arrival, SourceRecord
from forwarder.journal.delivering import DeadLetter
from forwarder.journal.detours import look_below
from forwarder.journal.gaps import Changes, Outcome, PageRead, PageUnreadable
from forwarder.journal.rules import Held, first_number, held_for, is_due


@dataclass(frozen=True, slots=True)
class Collected:
    """What one answer came to."""

    changes: Changes
    source: SourceRecord
    fresh: int
    known: int


class Books:
    """The running figures of one journal; changed only inside the writer's transactions."""

    def __init__(self) -> None:
        self.next_seq = 0
        self.backlog_bytes = 0
        self._held: dict[tuple[int, int], Held] = {}
        self._remembered = (0, 0)

    def open(self, db: sqlite3.Connection, now: int, random: Random) -> None:
        """Take the figures from the tables, and number on from there."""
        highest = db.execute(
            "SELECT max(coalesce((SELECT max(seq) FROM event), 0), coalesce((SELECT max(cursor) FROM sink), 0))",
        ).fetchone()[0]
        self.next_seq = first_number(highest, now, random)
        self.backlog_bytes = db.execute("SELECT coalesce(sum(length(body)), 0) FROM event").fetchone()[0]
        self._held = _load_held(db)

    def remember(self) -> None:
        """A transaction begins."""
        self._remembered = (self.next_seq, self.backlog_bytes)

    def recall(self, db: sqlite3.Connection) -> None:
        """The transaction was undone."""
        self.next_seq, self.backlog_bytes = self._remembered
        self._held = _load_held(db)

    @property
    def anything_held(self) -> bool:
        """Whether any gap holds events back."""
        return bool(self._held)

    def collect(
        self,
        db: sqlite3.Connection,
        name: str,
        gap_id: int,
        outcome: Outcome,
        arrival: Arrival,
        start_at: int,
    ) -> Collected:
        """Let the ledger decide on one answer and carry its decision out; release what is due."""
        source = collecting.read_source(db, name)
        gap = next(gap for gap in source.gaps if gap.id == gap_id)
        others = [other for other in source.gaps if other.id != gap_id]
        known = sightings.known(db, source.id, ledger.asked_for(gap, outcome))
        if isinstance(outcome, PageRead) and (end := ledger.seeming_end(gap, outcome)) is not None:
            outcome = replace(outcome, older=sightings.known_below(db, source.id, *end))
        changes = ledger.step(source.state, gap, others, outcome, known, start_at)
        collecting.apply(db, source.id, changes, arrival)
        self._enter(db, source.id, changes, arrival)
        after = collecting.read_source(db, name)
        return Collected(changes, after, len(changes.fresh), len(changes.seen))

    def step_over(self, db: sqlite3.Connection, name: str, gap_id: int, server_time: int, collected: int) -> Collected:
        """Pass the unreadable record below the gap's cursor, if a known id lies below it; *collected* is our now."""
        source = collecting.read_source(db, name)
        gap = next(gap for gap in source.gaps if gap.id == gap_id)
        older = sightings.nearest_older(db, source.id, look_below(gap, server_time), gap.mark)
        arrival = Arrival((), {}, collected, server_time)
        return self.collect(db, name, gap_id, PageUnreadable(server_time, older), arrival, BEGINNING)

    def commit(self, db: sqlite3.Connection, sink: str, cursor: int, dead: Sequence[DeadLetter]) -> None:
        """Move the sink's cursor, keep its dead letters, and drop the events that now every sink has."""
        delivering.advance(db, sink, cursor, dead)
        self.backlog_bytes -= delivering.prune(db)

    def release(self, db: sqlite3.Connection, source: int, now: int, older_than: int) -> int:
        """Release what the source's gaps have held back for *older_than* microseconds; returns how many events."""
        due = [gap for (of, gap), held in self._held.items() if of == source and held_for(held, now) >= older_than]
        return sum(self._release(db, source, gap, now) for gap in due)

    def _enter(self, db: sqlite3.Connection, source: int, changes: Changes, arrival: Arrival) -> None:
        fresh, key = len(changes.fresh), (source, changes.gap.id)
        held = self._held.get(key)
        due = changes.state != "open" or is_due(held, fresh, arrival.collected)
        # Nothing held and all released at once, as in an ordinary poll: the numbers are given on the way in.
        at_once = due and held is None
        collecting.enter(db, source, changes, arrival, self.next_seq if at_once else None)
        if at_once:
            self.next_seq += fresh
        elif fresh:
            self._held.setdefault(key, Held(since=arrival.collected)).count += fresh
        if due and not at_once:
            self._release(db, source, changes.gap.id, arrival.collected)
        self.backlog_bytes += sum(len(arrival.records[new.index].body) for new in changes.fresh)

    def _release(self, db: sqlite3.Connection, source: int, gap: int, now: int) -> int:
        count = collecting.release(db, source, gap, self.next_seq, now)
        self.next_seq += count
        self._held.pop((source, gap), None)
        return count


def open_poll(db: sqlite3.Connection, name: str, *, now: int, lookback: int, sweep_interval: int) -> SourceRecord:
    """Open the next poll's gap, if the ledger finds it time; times are microseconds, *now* Persona's."""
    source = collecting.load_source(db, name)
    sights, gaps = collecting.counters(db, source.id)
    gap = polls.next_poll(
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
    return collecting.read_source(db, name)


def _load_held(db: sqlite3.Connection) -> dict[tuple[int, int], Held]:
    held = db.execute(
        "SELECT source, gap, count(*), min(collected) FROM event WHERE seq IS NULL GROUP BY source, gap",
    )
    return {(source, gap): Held(count, since) for source, gap, count, since in held}
