"""A small model of Persona's list and of a journal, to hold the ledger's decisions against.

Newest first, a page of five, bursts, records that become visible late, wrong dates, transient errors, outages of ours,
and cursors lost with each of the four answers that nobody documents. Time is in ticks. The oracle is the world itself: it
knows which records were visible and for how long.
"""

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from forwarder.journal import ledger
from forwarder.journal.ledger import Changes, CursorRefused, Gap, Outcome, PageRead, Row, SourceState

LOST_CURSOR_ANSWERS = ("404", "empty", "page-one", "repeat")


@dataclass(frozen=True, slots=True, order=True)
class Made:
    """One record of the world; *place* orders the list, *at* is what its ``created-at`` claims."""

    place: int
    id: str
    at: int | None
    visible: int


@dataclass
class World:
    """The list, as Persona would serve it at a tick."""

    random: Random
    answer: str
    now: int = 1000
    late: float = 0.03
    wrong: float = 0.01
    lookback: int = 60
    sweep_interval: int = 15
    lost_cursors: float = 0.03
    errors: float = 0.05
    retention: int | None = None
    made: list[Made] = field(default_factory=list)
    pending: list[tuple[int, Made]] = field(default_factory=list)
    listed: list[Made] = field(default_factory=list)

    def tick(self, *, quiet: bool = False) -> None:
        """Let a tick pass: records are made, late ones become visible, old ones leave."""
        self.now += 1
        if not quiet:
            burst = self.random.choice((0, 0, 0, 1, 1, 2, 3)) if self.random.random() > 0.02 else self.random.randint(5, 40)
            for _ in range(burst):
                self._make()
        while self.pending and self.pending[0][0] <= self.now:
            insort(self.listed, self.pending.pop(0)[1])
        if self.retention is not None:
            self.listed = [made for made in self.listed if made.place // 1000 > self.now - self.retention]

    def _make(self) -> None:
        place = self.now * 1000 + len(self.made) % 1000
        at: int | None = self.now
        if self.random.random() < self.wrong:
            at = self.random.choice((None, self.now - self.random.randint(1, 800), self.now + self.random.randint(1, 300)))
        delay = 0
        if self.random.random() < self.late:
            delay = self.random.randint(1, self.lookback - self.sweep_interval - 12)
        made = Made(place, f"ual_{len(self.made)}", at, self.now + delay)
        self.made.append(made)
        if delay:
            insort(self.pending, (made.visible, made))
        else:
            insort(self.listed, made)

    def page(self, cursor: str | None, size: int = 5) -> Outcome | None:
        """Answer a request for a page; None is a transport error."""
        if self.random.random() < self.errors:
            return None
        newest = self.listed[::-1]
        begin = 0
        if cursor is not None:
            if self.random.random() < self.lost_cursors:
                return self._lost(cursor, newest, size)
            places = [index for index, made in enumerate(newest) if made.id == cursor]
            if not places:
                return CursorRefused()
            begin = places[0] + 1
        return self._read(newest, begin, size)

    def _lost(self, cursor: str, newest: list[Made], size: int) -> Outcome:
        if self.answer == "404":
            return CursorRefused()
        if self.answer == "empty":
            return PageRead((), None, self.now, self.now, empty=True)
        if self.answer == "repeat":
            return PageRead((), cursor, self.now, self.now)
        return self._read(newest, 0, size)

    def _read(self, newest: list[Made], begin: int, size: int) -> PageRead:
        chosen = newest[begin : begin + size]
        more = len(newest) > begin + size
        rows = [Row(made.id, made.at) for made in chosen]
        return PageRead(rows, rows[-1].id if more else None, self.now, self.now, empty=not rows)


@dataclass
class Store:
    """A journal in memory: just enough to carry a ledger's changes out."""

    source: SourceState = field(default_factory=SourceState)
    gaps: dict[int, Gap] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    holes: list[ledger.Hole] = field(default_factory=list)
    next_gap: int = 1
    requests: int = 0

    def poll(self, world: World) -> None:
        """Open the next poll's gap, if it is its time."""
        gap = ledger.next_poll(
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
        gap = ledger.choose(list(self.gaps.values()), oldest=oldest)
        if gap is None:
            return
        self.requests += 1
        outcome = world.page(gap.cursor)
        if outcome is not None:
            self.apply(gap, outcome, start_at)

    def apply(self, gap: Gap, outcome: Outcome, start_at: int) -> Changes:
        """Carry out one answer, as the journal's transaction does; check what must hold after each step."""
        rows = outcome.rows if isinstance(outcome, PageRead) else ()
        known = {row.id: self.ids[row.id] for row in rows if row.id in self.ids}
        others = [other for other in self.gaps.values() if other.id != gap.id]
        changes = ledger.step(self.source, gap, others, outcome, known, start_at)
        for fresh in changes.fresh:
            assert rows[fresh.index].id not in self.ids, "an id enters once"
            self.ids[rows[fresh.index].id] = len(self.ids) + 1
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


def run(
    seed: int,
    *,
    ticks: int = 400,
    outage: int = 150,
    answer: str | None = None,
    tune: Callable[[World], None] | None = None,
) -> tuple[World, Store, list[Made]]:
    """Live through one world from *seed*; return it, the store and the records lost: visible, and not in ``ids``."""
    random = Random(seed)
    world = World(random, answer or random.choice(LOST_CURSOR_ANSWERS))
    if tune is not None:
        tune(world)
    store = Store()
    for _ in range(random.randint(0, 300)):
        world.tick()
    start_at = random.choice((ledger.BEGINNING, world.now - random.randint(0, 200)))
    down_until = 0
    for count in range(ticks):
        world.tick()
        if random.random() < 0.01:
            down_until = world.now + random.randint(1, outage)
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
    bound = store.source.start if store.source.start is not None else start_at
    due = [made for made in world.made if min(made.place // 1000, made.place // 1000 if made.at is None else made.at) >= bound]
    return world, store, [made for made in due if made.id not in store.ids and made.visible <= world.now]
