"""Every interleaving of a few records, polls, pages, lost cursors and crashes, in the real ledger.

``INTERLEAVINGS`` in the environment adds what takes longer, with so many records (see docs/acceptance.md).
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from forwarder.journal import ledger, polls
from forwarder.journal.gaps import Gap, Outcome
from tests.simulation.interleavings.exploring import explore
from tests.simulation.interleavings.moves import in_one_transaction, shorten
from tests.simulation.interleavings.state import Bounds, Loss, State

SMALL = (
    Bounds(records=5, ticks=1, late=False, lies=()),
    Bounds(records=3, ticks=1, late=False),
    Bounds(records=2, ticks=3),
    Bounds(records=2, ticks=2, start=1),
)
"""What a few seconds are enough for, each whole: five records, and with fewer all that can go wrong."""

MIDDLE = (
    Bounds(records=6, ticks=1, late=False, lies=()),
    Bounds(records=6, ticks=1, lies=()),
    Bounds(records=6, ticks=2, late=False, lies=()),
    Bounds(records=6, ticks=1, late=False, lies=("refused",)),
    Bounds(records=4, ticks=1, late=False),
    Bounds(records=3, ticks=1),
)
"""What takes a minute or two, each whole: six records, then with one more trouble, and fewer with more of them."""

LARGE = int(os.environ.get("INTERLEAVINGS", "0"))


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two records are a run, and what looks twice like the end is it: so that walks of a few records can close."""
    shorten(monkeypatch.setattr)


@pytest.mark.parametrize("bounds", SMALL, ids=str)
def test_nothing_is_lost_in_any_interleaving(bounds: Bounds) -> None:
    """I1, I3 and I5 hold in each state, no hole is reported, and from each state all becomes known and quiet."""
    explored = explore(bounds)
    assert explored.states > 1000
    assert explored.transitions > explored.states
    print(f"{bounds}: {explored.states} states, {explored.transitions} transitions, {explored.deepest} steps deep")


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("bounds", MIDDLE, ids=str)
def test_nothing_is_lost_in_any_interleaving_with_more_troubles(bounds: Bounds) -> None:
    """The same with a late record, a sweep more, and lost cursors."""
    test_nothing_is_lost_in_any_interleaving(bounds)


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.skipif(not LARGE, reason="INTERLEAVINGS says how many records; each more takes several times as long")
def test_nothing_is_lost_in_any_interleaving_with_troubles_together() -> None:
    """The same with a late record and refused cursors at once."""
    test_nothing_is_lost_in_any_interleaving(Bounds(records=LARGE, ticks=1, lies=("refused",)))


def page_in_two_transactions(state: State, gap: Gap, outcome: Outcome, start: int) -> Iterator[State]:
    """The gap first, its records after that; and between the two the process may die."""
    for whole in in_one_transaction(state, gap, outcome, start):
        yield whole._replace(sights=state.sights)
        yield whole


def test_a_page_in_two_transactions_is_found_out() -> None:
    """A crash between them leaves records above the cursor of which nothing is known."""
    with pytest.raises(Loss, match=r"I1|never became known"):
        explore(Bounds(records=2, ticks=2), page_in_two_transactions)


def test_a_sweep_from_now_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reaching back from now instead of from the last sweep misses what showed late while we were down."""
    right = polls.next_poll

    def wrong(source: Any, gaps: Any, *, now: int, lookback: int, **rest: Any) -> Gap | None:
        gap = right(source, gaps, now=now, lookback=lookback, **rest)
        return replace(gap, floor=now - lookback) if gap is not None and gap.sweep and gap.based else gap

    monkeypatch.setattr(polls, "next_poll", wrong)
    with pytest.raises(Loss):
        explore(Bounds(records=3, ticks=6, gaps=1, lies=()))


def test_an_empty_page_that_is_believed_at_once_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first lie closes the walk above what was not read."""
    right = ledger.step

    def wrong(source: Any, gap: Gap, others: Any, outcome: Outcome, *rest: Any) -> Any:
        return right(source, replace(gap, doubt=gap.cursor or "", doubts=1), others, outcome, *rest)

    monkeypatch.setattr(ledger, "step", wrong)
    with pytest.raises(Loss):
        explore(Bounds(records=3, ticks=1))
