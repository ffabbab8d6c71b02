"""A journal in memory that drives the real rules: what a crash leaves, and what is only remembered beside it.

What the journal decides is the product's own code here: the ledger, and :mod:`forwarder.journal.rules`. What SQL does
with the decisions (numbers in the order of release, what all sinks are past leaves, ids without a need are forgotten)
is done again with lists and dictionaries, a hundred times faster; ``test_decisions.py`` lives the same worlds through
with the journal's own SQL and holds every delivery, hole and id of the two against each other.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from random import Random

from forwarder.clock import BEGINNING
from forwarder.journal import ledger, polls
from forwarder.journal.detours import look_below
from forwarder.journal.gaps import Changes, Fresh, Gap, Hole, Outcome, PageRead, PageUnreadable, Row, SourceState
from forwarder.journal.journal import FORGET_CHUNK
from forwarder.journal.rules import (
    Held,
    chronologically,
    first_number,
    forget_before,
    held_for,
    is_due,
    passed_by_all,
    place_of_new_sink,
    to_the_day,
)


@dataclass(slots=True)
class Event:
    """One event that not every sink has; *seq* is 0 while it is held back."""

    id: str
    gap: int
    pos: int
    at: int
    collected: int
    seq: int = 0


@dataclass(slots=True)
class Tables:
    """What a crash leaves."""

    source: SourceState = field(default_factory=SourceState)
    gaps: dict[int, Gap] = field(default_factory=dict)
    opened: int = 0
    sights: int = 0
    order: dict[str, int] = field(default_factory=dict)
    """Ids by their order of first sight."""
    times: dict[str, list[int]] = field(default_factory=dict)
    """Of each id: its time, and the day of its last sight."""
    holes: list[Hole] = field(default_factory=list)
    held: dict[int, list[Event]] = field(default_factory=dict)
    released: list[Event] = field(default_factory=list)
    sinks: dict[str, int] = field(default_factory=dict)
    dead: dict[tuple[str, int], str] = field(default_factory=dict)


class Store:
    """The journal's coroutines that decide something, without waiting and without a file."""

    def __init__(self, retention: int) -> None:
        self.tables = Tables()
        self._retention = retention
        self._saved = Tables()
        self._seqs: list[int] = []
        self._random = Random(retention)

    # -- life ----------------------------------------------------------------------------------------------------

    def open(self, now: int) -> None:
        """Begin a run: all that was only remembered is taken from the tables anew."""
        tables = self.tables
        self._seqs = [event.seq for event in tables.released]
        highest = max((*self._seqs[-1:], *tables.sinks.values()), default=0)
        self.next_seq = first_number(highest, now, self._random)
        self.is_new = not tables.sinks
        self._held = {
            gap: Held(len(events), min(event.collected for event in events)) for gap, events in tables.held.items()
        }

    def save(self) -> None:
        """Make a copy for :meth:`restore`."""
        self._saved = deepcopy(self.tables)

    def restore(self) -> None:
        """Put the copy back; the next thing is a start."""
        self.tables = deepcopy(self._saved)

    # -- collecting ----------------------------------------------------------------------------------------------

    @property
    def source(self) -> SourceState:
        return self.tables.source

    @property
    def gaps(self) -> list[Gap]:
        return list(self.tables.gaps.values())

    @property
    def holes(self) -> list[Hole]:
        return self.tables.holes

    def open_poll(self, now: int, lookback: int, sweep_interval: int) -> None:
        tables = self.tables
        gap = polls.next_poll(
            tables.source,
            self.gaps,
            gap_id=tables.opened + 1,
            mark=tables.sights,
            now=now,
            lookback=lookback,
            sweep_interval=sweep_interval,
        )
        if gap is not None:
            tables.opened = gap.id
            tables.gaps[gap.id] = gap

    def collect(self, gap_id: int, outcome: Outcome, collected: int, start_at: int) -> Changes:
        tables = self.tables
        rows = outcome.rows if isinstance(outcome, PageRead) else ()
        order = tables.order
        gap = tables.gaps[gap_id]
        known = {id_: order[id_] for id_ in ledger.asked_for(gap, outcome) if id_ in order}
        if isinstance(outcome, PageRead) and (end := ledger.seeming_end(gap, outcome)) is not None:
            outcome = replace(outcome, older=self._known_below(*end))
        others = [other for other in tables.gaps.values() if other is not gap]
        changes = ledger.step(tables.source, gap, others, outcome, known, start_at)
        tables.source = changes.source
        if changes.state == "open":
            tables.gaps[gap_id] = changes.gap
        else:
            del tables.gaps[gap_id]
        if changes.merged_into is not None:
            tables.gaps[changes.merged_into.id] = changes.merged_into
        for hole in changes.holes:
            self._put_hole(hole)
        server_time = outcome.server_time if isinstance(outcome, PageRead | PageUnreadable) else None
        if changes.seen and server_time is not None:
            today = to_the_day(server_time)
            for id_ in changes.seen:
                times = tables.times[id_]
                times[1] = max(times[1], today)
        self._enter(changes, rows, collected, to_the_day(server_time or collected))
        return changes

    def step_over(self, gap_id: int, server_time: int, collected: int) -> Changes:
        gap = self.tables.gaps[gap_id]
        outcome = PageUnreadable(server_time, self._nearest_older(look_below(gap, server_time), gap.mark))
        return self.collect(gap_id, outcome, collected, BEGINNING)

    def release(self, now: int, older_than: int = 0) -> None:
        for gap in [gap for gap, held in self._held.items() if held_for(held, now) >= older_than]:
            self._release(gap)

    def tend(self, server_time: int) -> bool:
        """Forget a chunk of ids; False when all is done."""
        tables = self.tables
        if not tables.times:
            return False
        waiting = [event for events in (tables.released, *tables.held.values()) for event in events]
        oldest = min((event.collected for event in waiting), default=None)
        before = forget_before(server_time, self._retention, oldest)
        needed = set(tables.dead.values())
        gone = [id_ for id_, (at, seen) in tables.times.items() if at < before and seen < before and id_ not in needed][
            :FORGET_CHUNK
        ]
        for id_ in gone:
            del tables.times[id_], tables.order[id_]
        return len(gone) == FORGET_CHUNK

    # -- delivering ----------------------------------------------------------------------------------------------

    def register_sink(self, name: str, start: str | None) -> int:
        return self.tables.sinks.setdefault(name, place_of_new_sink(start, self.next_seq, is_new=self.is_new))

    def read(self, after: int, most: int) -> Sequence[tuple[int, str]]:
        """Sequence numbers and ids of what is released above *after*, in order."""
        begin = bisect_right(self._seqs, after)
        return [(event.seq, event.id) for event in self.tables.released[begin : begin + most]]

    def commit(self, sink: str, cursor: int, dead: Mapping[int, str]) -> None:
        tables = self.tables
        tables.sinks[sink] = max(tables.sinks[sink], cursor)
        for seq, id_ in dead.items():
            tables.dead[sink, seq] = id_
        passed = passed_by_all(list(tables.sinks.values()))
        if passed is not None:
            gone = bisect_right(self._seqs, passed)
            del self._seqs[:gone], tables.released[:gone]

    @property
    def sinks(self) -> Sequence[str]:
        """The sinks on record."""
        return list(self.tables.sinks)

    def ids(self) -> list[tuple[str, int, int, int]]:
        """Each id that is remembered: its order of sight, its time, the day of its last sight."""
        return [(id_, self.tables.order[id_], at, seen) for id_, (at, seen) in self.tables.times.items()]

    @property
    def last_released(self) -> int:
        return self._seqs[-1] if self._seqs else 0

    @property
    def held(self) -> int:
        """How many events are held back."""
        return sum(held.count for held in self._held.values())

    # -- inside --------------------------------------------------------------------------------------------------

    def _known_below(self, id_: str | None, at: int | None, mark: int) -> int | None:
        times = self.tables.times
        older = self._nearest_older(times[id_][0] if id_ in times else at, mark)
        return None if older is None else older.at

    def _nearest_older(self, below: int | None, mark: int) -> Row | None:
        order = self.tables.order
        known = ((at, id_) for id_, (at, _) in self.tables.times.items() if order[id_] <= mark)
        older = max((one for one in known if below is None or one[0] < below), default=None)
        return None if older is None else Row(older[1], older[0])

    def _enter(self, changes: Changes, rows: Sequence[Row], collected: int, seen: int) -> None:
        tables, gap = self.tables, changes.gap.id
        for fresh in changes.fresh:
            tables.sights += 1
            id_ = rows[fresh.index].id
            tables.order[id_] = tables.sights
            tables.times[id_] = [fresh.at, seen]
            tables.held.setdefault(gap, []).append(Event(id_, gap, fresh.pos, fresh.at, collected))
        count = len(changes.fresh)
        due = changes.state != "open" or is_due(self._held.get(gap), count, collected)
        if count:
            self._held.setdefault(gap, Held(since=collected)).count += count
        if due:
            self._release(gap)

    def _release(self, gap: int) -> None:
        self._held.pop(gap, None)
        for event in sorted(self.tables.held.pop(gap, ()), key=_chronologically):
            event.seq = self.next_seq
            self.next_seq += 1
            self.tables.released.append(event)
            self._seqs.append(event.seq)

    def _put_hole(self, hole: Hole) -> None:
        holes = self.tables.holes
        touching = [
            other
            for other in holes
            if other.kind == hole.kind and other.until >= hole.since and other.since <= hole.until
        ]
        for other in touching:
            holes.remove(other)
        since = min(hole.since, *(other.since for other in touching)) if touching else hole.since
        until = max(hole.until, *(other.until for other in touching)) if touching else hole.until
        holes.append(Hole(hole.kind, since, until))


def _chronologically(event: Event) -> tuple[int, int]:
    return chronologically(Fresh(0, event.at, event.pos))
