"""The ledger as a state machine: any interleaving of records, polls, pages, lost cursors and time, held to I1 to I5.

The numbers of the invariants are those of the ledger's description: what is not in ``ids`` lies below the cursor of an
open gap that covers it; an id enters once; the head is never ahead of Persona's clock.
"""

from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from forwarder.clock import BEGINNING
from forwarder.journal.gaps import CursorRefused, Gap, PageRead
from tests.journal.world import LOST_CURSOR_ANSWERS, Made, Store, World


class LedgerMachine(RuleBasedStateMachine):
    """Hypothesis chooses what happens; the world answers; the store carries out what the ledger decides."""

    @initialize(
        answer=st.sampled_from(LOST_CURSOR_ANSWERS),
        history=st.integers(0, 30),
        size=st.integers(1, 7),
        reach=st.sampled_from((None, 0, 20)),
    )
    def begin(self, answer: str, history: int, size: int, reach: int | None) -> None:
        """Start on a list that is there already; reach back to its beginning, to now, or 20 ticks."""
        self.world = World(Random(0), answer, size=size, late=0, wrong=0, errors=0, lost_cursors=0)
        self.store = Store()
        for _ in range(history):
            self.world.tick(quiet=True)
            self._make(2, late=0)
        self.start_at = BEGINNING if reach is None else self.world.now - reach

    def _make(self, count: int, *, late: int) -> None:
        for _ in range(count):
            place = self.world.now * 1000 + len(self.world.made) % 1000
            made = Made(place, f"ual_{len(self.world.made)}", self.world.now, self.world.now + late)
            self.world.enter(made)

    @rule(count=st.integers(1, 9), ticks=st.integers(0, 3))
    def records_are_made(self, count: int, ticks: int) -> None:
        """Some time passes and records appear, several at one instant."""
        for _ in range(ticks):
            self.world.tick(quiet=True)
        self._make(count, late=0)

    @rule(late=st.integers(1, 30))
    def a_record_is_made_and_shows_late(self, late: int) -> None:
        """Within what sweeps are promised to find: the look-back less the sweep interval less a walk."""
        self._make(1, late=late)

    @rule(ticks=st.integers(1, 40))
    def time_passes(self, ticks: int) -> None:
        """Nothing happens, or we are down."""
        for _ in range(ticks):
            self.world.tick(quiet=True)

    @rule()
    def a_poll_is_due(self) -> None:
        """Open the gap of a poll."""
        self.store.poll(self.world)

    @rule(which=st.integers(0, 5), fate=st.sampled_from(("page", "page", "page", "lost", "error")))
    def a_request_is_answered(self, which: int, fate: str) -> None:
        """Any open gap may be next, whatever the collector would choose."""
        gaps = sorted(self.store.gaps.values(), key=lambda gap: gap.id)
        if not gaps or fate == "error":
            return
        gap = gaps[which % len(gaps)]
        self.world.lost_cursors = float(fate == "lost" and gap.cursor is not None)
        outcome = self.world.page(gap.cursor)
        assert isinstance(outcome, PageRead | CursorRefused)
        self.store.apply(gap, outcome, self.start_at)

    @invariant()
    def what_is_not_known_is_covered(self) -> None:
        """I1: what was visible when the last closed sweep began is known, or an open gap will come to it."""
        if not hasattr(self, "store") or self.store.source.swept is None:
            return
        start = self.store.source.start or BEGINNING
        for made in self.world.made:
            if made.visible <= self.store.source.swept and made.tick >= start and made.id not in self.store.ids:
                assert any(self._covers(gap, made) for gap in self.store.gaps.values()), made

    def _covers(self, gap: Gap, made: Made) -> bool:
        below = gap.cursor is None or made.place < self.world.by_id[gap.cursor].place
        return below and (gap.floor is None or made.tick >= gap.floor)

    @invariant()
    def every_held_gap_is_open(self) -> None:
        """I6 and I7: gaps are open or gone, and each has a number of its own."""
        if hasattr(self, "store"):
            assert all(key == gap.id < self.store.next_gap for key, gap in self.store.gaps.items())

    def teardown(self) -> None:
        """When all goes quiet, all is known."""
        if not hasattr(self, "store"):
            return
        self.world.lost_cursors = 0
        for _ in range(self.world.lookback + 40):
            self.world.tick(quiet=True)
            self.store.poll(self.world)
            for _ in range(1000):
                self.store.work(self.world, self.start_at)
                if not self.store.gaps:
                    break
        start = self.store.source.start
        assert start is not None
        assert {made.id for made in self.world.made if made.tick >= start} <= set(self.store.ids)
        assert not self.store.holes


LedgerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestLedger = LedgerMachine.TestCase
