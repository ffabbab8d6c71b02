"""A small model of Persona's list and of a journal, to hold the ledger's decisions against.

Newest first, a page of five, bursts, records that become visible late, wrong dates, transient errors, outages of
ours, and cursors lost with each of the four answers that nobody documents. Time is in ticks. The oracle is the world
itself: it knows which records were visible and for how long.
"""

from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

from forwarder.clock import BEGINNING
from forwarder.journal import ledger, polls
from forwarder.journal.gaps import Changes, CursorRefused, Gap, Hole, Outcome, PageRead, Row, SourceState

LOST_CURSOR_ANSWERS = ("404", "empty", "page-one", "repeat")


@dataclass(frozen=True, slots=True, order=True)
class Made:
    """One record of the world; *place* orders the list, *at* is what its ``created-at`` claims."""

    place: int
    id: str
    at: int | None
    visible: int

    @property
    def tick(self) -> int:
        """When it was really made."""
        return self.place // 1000

    @property
    def earliest(self) -> int:
        """The lesser of its real and its claimed time: whether the source's start leaves it out."""
        return self.tick if self.at is None else min(self.tick, self.at)


@dataclass
class World:
    """The list, as Persona would serve it at a tick."""

    random: Random
    answer: str
    now: int = 1000
    late: float = 0.03
    wrong: float = 0.01
    size: int = 5
    lookback: int = 60
    sweep_interval: int = 15
    lost_cursors: float = 0.03
    errors: float = 0.05
    retention: int | None = None
    made: list[Made] = field(default_factory=list)
    pending: list[tuple[int, Made]] = field(default_factory=list)
    listed: list[Made] = field(default_factory=list)
    by_id: dict[str, Made] = field(default_factory=dict)

    def tick(self, *, quiet: bool = False) -> None:
        """Let a tick pass: records are made, late ones become visible, old ones leave."""
        self.now += 1
        if not quiet:
            calm = self.random.random() > 0.02
            burst = self.random.choice((0, 0, 0, 1, 1, 2, 3)) if calm else self.random.randint(5, 40)
            for _ in range(burst):
                self._make()
        while self.pending and self.pending[0][0] <= self.now:
            insort(self.listed, self.pending.pop(0)[1])
        if self.retention is not None:
            del self.listed[: bisect_left(self.listed, (self.now - self.retention + 1) * 1000, key=_place)]

    def _make(self) -> None:
        place = self.now * 1000 + len(self.made) % 1000
        at: int | None = self.now
        if self.random.random() < self.wrong:
            off = self.random.choice((-self.random.randint(1, 800), self.random.randint(1, 300)))
            at = self.random.choice((None, self.now + off, self.now + off))
        delay = 0
        if self.random.random() < self.late:
            delay = self.random.randint(1, self.lookback - self.sweep_interval - 12)
        self.enter(Made(place, f"ual_{len(self.made)}", at, self.now + delay))

    def enter(self, made: Made) -> None:
        """Put a record into the world; it shows in the list when it becomes visible."""
        self.made.append(made)
        self.by_id[made.id] = made
        if made.visible > self.now:
            insort(self.pending, (made.visible, made))
        else:
            insort(self.listed, made)

    def page(self, cursor: str | None) -> Outcome | None:
        """Answer a request for a page; None is a transport error."""
        if self.random.random() < self.errors:
            return None
        end = len(self.listed)
        if cursor is not None:
            if self.random.random() < self.lost_cursors:
                return self._lost(cursor)
            end = bisect_left(self.listed, self.by_id[cursor])
            if end == len(self.listed) or self.listed[end].id != cursor:
                return CursorRefused()
        return self._read(end)

    def _lost(self, cursor: str) -> Outcome:
        if self.answer == "404":
            return CursorRefused()
        if self.answer == "empty":
            return PageRead((), None, self.now, self.now - 1, empty=True)
        if self.answer == "repeat":
            return PageRead((), cursor, self.now, self.now - 1)
        return self._read(len(self.listed))

    def _read(self, end: int) -> PageRead:
        """Serve the page below place *end* of the list, newest first."""
        begin = max(0, end - self.size)
        rows = [Row(made.id, made.at) for made in self.listed[begin:end][::-1]]
        return PageRead(rows, rows[-1].id if begin > 0 else None, self.now, self.now - 1, empty=not rows)


@dataclass
class Store:
    """A journal in memory: just enough to carry a ledger's changes out."""

    source: SourceState = field(default_factory=SourceState)
    gaps: dict[int, Gap] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    holes: list[Hole] = field(default_factory=list)
    next_gap: int = 1
    requests: int = 0

    def poll(self, world: World) -> None:
        """Open the next poll's gap, if it is its time."""
        gap = polls.next_poll(
            self.source,
            list(self.gaps.values()),
            gap_id=self.next_gap,
            mark=len(self.ids),
            now=world.now,
            lookback=world.lookback,
            sweep_interval=world.sweep_interval,
        )
        if gap is not None:
            self.gaps[gap.id] = gap
            self.next_gap += 1

    def work(self, world: World, start_at: int, *, oldest: bool = False) -> None:
        """Make one request and carry out what it changes."""
        gap = polls.choose(list(self.gaps.values()), oldest=oldest)
        if gap is None:
            return
        self.requests += 1
        outcome = world.page(gap.cursor)
        if outcome is not None:
            self.apply(gap, outcome, start_at)

    def apply(self, gap: Gap, outcome: Outcome, start_at: int) -> Changes:
        """Carry out one answer, as the journal's transaction does; check what must hold after each step."""
        rows = outcome.rows if isinstance(outcome, PageRead) else ()
        known = {id_: self.ids[id_] for id_ in ledger.asked_for(gap, outcome) if id_ in self.ids}
        others = [other for other in self.gaps.values() if other.id != gap.id]
        if isinstance(outcome, PageRead) and (end := ledger.seeming_end(gap, outcome)) is not None:
            outcome = replace(outcome, older=self._known_below(*end))
        changes = ledger.step(self.source, gap, others, outcome, known, start_at)
        for fresh in changes.fresh:
            assert rows[fresh.index].id not in self.ids, "an id enters once"
            self.ids[rows[fresh.index].id] = len(self.ids) + 1
            self.times[rows[fresh.index].id] = fresh.at
        self.source = changes.source
        self.holes.extend(changes.holes)
        if changes.state == "open":
            self.gaps[gap.id] = changes.gap
        else:
            del self.gaps[gap.id]
        if changes.merged_into is not None:
            self.gaps[changes.merged_into.id] = changes.merged_into
        if isinstance(outcome, PageRead) and self.source.head is not None:
            assert self.source.head <= outcome.server_time, "the head is never ahead of Persona's clock"
        return changes

    def _known_below(self, id_: str | None, at: int | None, mark: int) -> int | None:
        below = self.times.get(id_ or "", at)
        known = (time for other, time in self.times.items() if self.ids[other] <= mark)
        return max((time for time in known if below is None or time < below), default=None)


def run(
    seed: int,
    *,
    ticks: int = 400,
    outage: int = 150,
    answer: str | None = None,
    tune: Callable[[World], None] | None = None,
    forgetful: bool = False,
) -> tuple[World, Store, list[Made]]:
    """Live through one world from *seed*; return it, the store, and the records that were lost.

    Lost is what was visible, was not older than the start, and is neither in ``ids`` nor inside a reported hole.
    A *forgetful* store drops its open gaps at an outage, as a high-water mark alone would.
    """
    random = Random(seed)
    world = World(random, answer or random.choice(LOST_CURSOR_ANSWERS))
    if tune is not None:
        tune(world)
    store = Store()
    for _ in range(random.randint(0, 300)):
        world.tick()
    start_at = random.choice((BEGINNING, world.now - random.randint(0, 200)))
    down_until = 0
    for count in range(ticks):
        world.tick()
        if random.random() < 0.01:
            down_until = world.now + random.randint(1, outage)
            if forgetful:
                store.gaps.clear()
        if world.now >= down_until:
            store.poll(world)
            for _ in range(random.randint(0, 3)):
                store.work(world, start_at, oldest=count % 5 == 0)
    world.errors = world.lost_cursors = 0
    for count in range(world.lookback + 100):
        world.tick(quiet=True)
        store.poll(world)
        for _ in range(20):
            store.work(world, start_at, oldest=count % 5 == 0)
    return world, store, [made for made in missing(world, store) if not _reported(store, made)]


def missing(world: World, store: Store) -> list[Made]:
    """What was visible, was not older than the start, and was not collected.

    With a retention, what had left the list before the first walk found its end counts as older than the start.
    """
    bound = store.source.start or BEGINNING
    if world.retention is not None and store.source.complete_from is not None:
        bound = max(bound, store.source.complete_from + 1)  # some of the end's own tick may be gone
    due = [made for made in world.made if made.visible <= world.now and made.earliest >= bound]
    return [made for made in due if made.id not in store.ids]


def _reported(store: Store, made: Made) -> bool:
    return any(hole.since <= made.tick <= hole.until for hole in store.holes)


def _place(made: Made) -> int:
    return made.place
