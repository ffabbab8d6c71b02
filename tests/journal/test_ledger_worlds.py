"""Thousands of small worlds, and not one lost record; and wrong rules, each of which must lose some.

``LEDGER_WORLDS`` in the environment sets how many worlds are tried.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from forwarder.clock import BEGINNING
from forwarder.journal import ledger, polls
from forwarder.journal.gaps import Changes, Gap, PageRead
from tests.journal.world import LOST_CURSOR_ANSWERS, World, missing, run

WORLDS = int(os.environ.get("LEDGER_WORLDS", "240"))

Ablation = Callable[[pytest.MonkeyPatch], None]


@pytest.mark.parametrize("answer", LOST_CURSOR_ANSWERS)
def test_no_visible_record_is_lost_whatever_a_lost_cursor_answers(answer: str) -> None:
    """Bursts, late records, wrong dates, errors, outages and lost cursors: every visible record is collected."""
    for seed in range(WORLDS // 4):
        world, store, lost = run(seed, answer=answer)
        assert not lost, f"seed {seed}: {lost[:3]}"
        assert not store.holes, f"seed {seed} reports a hole where none is: {store.holes}"
        assert len(store.gaps) <= 1, "the world went quiet and so does the ledger"
        assert store.source.swept is not None
        assert len(store.ids) <= len(world.made)


@pytest.mark.parametrize("seed", [100282, 100644, 100669, 100894, 101376, 300528])
def test_an_undated_record_beside_a_wrong_date_is_not_taken_for_older_than_the_start(seed: int) -> None:
    """Found among thousands of worlds: the record above bore a date before the start."""
    assert not run(seed)[2]


def test_a_wrong_date_at_the_lists_end_is_no_hole() -> None:
    """Found among thousands of worlds: the oldest record of all claimed to be younger than the last closed walk."""
    _, store, lost = run(101086)
    assert not lost
    assert not store.holes


def test_what_falls_out_of_retention_unread_is_inside_a_reported_hole() -> None:
    """Outages longer than the retention lose records; nearly all of them inside a hole that says so."""

    def short(world: World) -> None:
        world.retention = 200

    fallen = silent = 0
    for seed in range(WORLDS // 4):
        world, store, unreported = run(seed, outage=400, tune=short)
        fallen += len(missing(world, store))
        silent += len(unreported)
    assert fallen > 1000, "no outage was long enough: the test proves nothing"
    # Late records at the very edge of the retention are the accepted exception.
    assert silent <= fallen / 100


def test_the_requests_at_rest_are_one_a_poll() -> None:
    """A quiet list that is longer than a page costs one request a poll, sweeps aside."""

    def calm(world: World) -> None:
        world.size = 100
        world.late = world.wrong = world.errors = world.lost_cursors = 0

    world, store, lost = run(7, tune=calm)
    assert not lost
    before = store.requests
    for _ in range(300):
        world.tick(quiet=True)
        store.poll(world)
        while store.gaps:
            store.work(world, BEGINNING)
    # A sweep every 15 ticks reads the look-back of a list that has not changed.
    assert 300 <= store.requests - before <= 300 + 300 // 15 * 2


def empty_page_is_the_end(patch: pytest.MonkeyPatch) -> None:
    """Believe an empty page under a cursor at once."""
    patch.setattr(ledger, "EMPTY_BELIEVED", 1)


def any_record_below_the_floor_closes(patch: pytest.MonkeyPatch) -> None:
    """Close at the first record that claims to be older than the floor."""

    def reached(_: Any, gap: Gap, page: PageRead, __: Any) -> bool:
        floor = BEGINNING if gap.floor is None else gap.floor
        return any(row.at is not None and row.at < floor for row in page.rows)

    patch.setattr(ledger, "reached_floor", reached)


def sweep_from_now(patch: pytest.MonkeyPatch) -> None:
    """Sweep down to now less the look-back, instead of the last sweep less the look-back."""
    right = polls.next_poll

    def wrong(source: Any, gaps: Any, *, now: int, lookback: int, **rest: Any) -> Gap | None:
        gap = right(source, gaps, now=now, lookback=lookback, **rest)
        return replace(gap, floor=now - lookback) if gap is not None and gap.sweep and gap.based else gap

    patch.setattr(polls, "next_poll", wrong)


def no_sweep(patch: pytest.MonkeyPatch) -> None:
    """Never read the newest stretch again."""
    right = polls.next_poll
    patch.setattr(polls, "next_poll", lambda *given, **rest: right(*given, **rest | {"sweep_interval": 1 << 60}))


def merge_into_the_newer(patch: pytest.MonkeyPatch) -> None:
    """Close an older gap as soon as a newer one is below its ceiling, as if the newer had read its rest."""
    right = ledger.step

    def wrong(source: Any, gap: Gap, others: Any, *rest: Any) -> Changes:
        changes = right(source, gap, others, *rest)
        older = [one for one in others if one.id < gap.id and one.started and changes.state == "open"]
        if not older or changes.gap.cursor_at is None or changes.gap.cursor_at >= (older[-1].ceil or 0):
            return changes
        floor = min(changes.gap.floor or 0, older[-1].floor or 0)
        return replace(changes, state="merged", gap=older[-1], merged_into=replace(changes.gap, floor=floor))

    patch.setattr(ledger, "step", wrong)


def plain(patch: pytest.MonkeyPatch) -> None:
    """The plain reading of the documentation, all three together."""
    empty_page_is_the_end(patch)
    any_record_below_the_floor_closes(patch)
    sweep_from_now(patch)


@pytest.mark.parametrize(
    ("ablation", "answer", "seeds"),
    [
        (plain, None, range(20)),
        (empty_page_is_the_end, "empty", range(25, 45)),
        (any_record_below_the_floor_closes, None, range(40)),
        (sweep_from_now, None, range(40)),
        (no_sweep, None, range(20)),
        (merge_into_the_newer, None, range(30, 50)),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_wrong_rule_is_found_out(
    ablation: Ablation,
    answer: str | None,
    seeds: range,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each rule of the ledger is there for a run that loses records without it."""
    ablation(monkeypatch)
    assert any(run(seed, answer=answer)[2] for seed in seeds), "nothing was lost: the rule would not be needed"


def test_a_high_water_mark_alone_loses_records() -> None:
    """Forgetting the open gaps at an outage, as a mark alone does, loses what lay between."""
    assert any(run(seed, forgetful=True)[2] for seed in range(20))
