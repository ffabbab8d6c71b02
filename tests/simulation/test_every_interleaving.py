"""Every interleaving of a few records, polls, pages, lost cursors and crashes, in the real ledger.

``INTERLEAVINGS`` in the environment sets how many records the largest of them has (see docs/acceptance.md).
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from forwarder.journal import ledger, polls
from forwarder.journal.gaps import Gap, Outcome
from tests.simulation.interleavings import Bounds, Loss, State, explore, in_one_transaction, shorten

SMALL = (
    Bounds(records=2, ticks=3),
    Bounds(records=2, ticks=2, start=1),
    Bounds(records=3, ticks=1, late=False, lies=("refused",)),
)
"""What a few seconds are enough for, each whole."""

MIDDLE = (
    Bounds(records=3, ticks=1, lies=("refused",)),
    Bounds(records=4, ticks=1, gaps=1),
)
"""What takes half a minute, each whole."""

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
def test_nothing_is_lost_in_any_interleaving_of_a_few_more(bounds: Bounds) -> None:
    """The same with a late record beside two gaps, and with more records in one."""
    test_nothing_is_lost_in_any_interleaving(bounds)


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.skipif(not LARGE, reason="INTERLEAVINGS says how many records; it takes minutes to hours")
def test_nothing_is_lost_in_any_interleaving_of_more_records() -> None:
    """The same with as many records as are asked for."""
    test_nothing_is_lost_in_any_interleaving(Bounds(records=LARGE, ticks=2))


def page_in_two_transactions(state: State, gap: Gap, outcome: Outcome, start: int) -> Iterator[State]:
    """The gap first, its records after that; and between the two the process may die."""
    for whole in in_one_transaction(state, gap, outcome, start):
        yield whole._replace(sights=state.sights)
        yield whole


def test_a_page_in_two_transactions_is_found_out() -> None:
    """A crash between them leaves records above the cursor of which nothing is known."""
    with pytest.raises(Loss, match=r"I1|never became known"):
        explore(Bounds(records=2, ticks=2), step=page_in_two_transactions)


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
