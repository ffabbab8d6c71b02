"""Cutting and judging batches, and the window behind the cursor: the pure parts."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.delivery.batch import Cutter, judge, worse
from forwarder.delivery.window import Window
from forwarder.errors import Failure, Misconfigured, Refused, Retryable
from forwarder.journal import DeadLetter, StoredEvent
from forwarder.record import Origin, parse_event
from forwarder.sinks.base import Item

EVENT = parse_event({}, origin=Origin("persona"), collected_at=0)


def stored(seq: int) -> StoredEvent:
    return StoredEvent(seq, "persona", f"ual_{seq}", 0, 0, 0, None, None, b"{}", None)


def letter(seq: int) -> DeadLetter:
    return DeadLetter(seq, "persona", f"ual_{seq}", "bad", 0, b"{}", None)


@given(st.lists(st.integers(0, 40)), st.integers(1, 6), st.integers(1, 50))
def test_batches_keep_order_and_limits(sizes: list[int], most: int, most_bytes: int) -> None:
    """Nothing is lost or reordered; only a single larger event exceeds the limit of bytes."""
    cutter = Cutter(most, most_bytes)
    for seq, size in enumerate(sizes):
        cutter.add(Item(seq, EVENT, b"x" * size))
    assert len(cutter) == len(sizes)
    batches = []
    while batch := cutter.take():
        batches.append(batch)
    assert [item.seq for batch in batches for item in batch] == list(range(len(sizes)))
    totals = [sum(len(item.body) for item in batch) for batch in batches]
    assert all(len(batch) <= most for batch in batches)
    assert all(total <= most_bytes or len(batch) == 1 for batch, total in zip(batches, totals, strict=True))
    for (batch, following), total in zip(pairwise(batches), totals, strict=False):
        fits = total + len(following[0].body) <= most_bytes
        assert len(batch) == most or not fits, "a batch is cut only where the next event does not fit"


@given(st.lists(st.integers(0, 40)), st.integers(0, 60))
def test_what_the_destination_has_is_taken_out_of_the_queue(sizes: list[int], until: int) -> None:
    cutter = Cutter(3, 50)
    for seq, size in enumerate(sizes):
        cutter.add(Item(seq, EVENT, b"x" * size))
    assert [item.seq for item in cutter.drop_until(until)] == [seq for seq in range(len(sizes)) if seq <= until]
    assert len(cutter) == max(0, len(sizes) - until - 1)


def test_a_cutter_is_full_by_events_or_by_bytes() -> None:
    cutter = Cutter(2, 10)
    full = [cutter.full]
    for item in (Item(1, EVENT, b"x"), Item(2, EVENT, b"x")):
        cutter.add(item)
        full.append(cutter.full)
    cutter.take()
    full.append(cutter.full)
    cutter.add(Item(3, EVENT, b"x" * 10))
    full.append(cutter.full)
    assert full == [False, False, True, False, True]


@given(st.integers(1, 200), st.data())
def test_a_verdict_places_each_event_once(size: int, data: st.DataObject) -> None:
    """Delivered, dead and to be sent again make up the batch, in order."""
    place = data.draw(st.integers(0, size - 1))
    failure: Failure | None = data.draw(
        st.sampled_from(
            [
                None,
                Retryable("r", accepted=place),
                Misconfigured("m", accepted=place),
                Refused("r"),
                Refused("r", at=place),
            ]
        )
    )
    verdict = judge(size, failure)
    placed = list(range(verdict.delivered))
    if verdict.dead is not None:
        placed.append(verdict.dead)
    for start, end in verdict.again:
        assert start < end
        placed += range(start, end)
    assert placed == list(range(size))


@given(st.integers(1, 300), st.sets(st.integers(0, 299), max_size=5))
def test_bisecting_finds_exactly_the_bad_ones_in_few_sends(size: int, marked: set[int]) -> None:
    """Some k·log2(n) sends, and not one good event lost."""
    bad = {place for place in marked if place < size}
    work, sends, dead = [(0, size)], 0, set()
    delivered: list[int] = []
    while work:
        start, end = work.pop(0)
        sends += 1
        refused = any(start <= place < end for place in bad)
        verdict = judge(end - start, Refused("bad") if refused else None)
        delivered += range(start, start + verdict.delivered)
        if verdict.dead is not None:
            dead.add(start + verdict.dead)
        work[:0] = [(start + one, start + other) for one, other in verdict.again]
    assert dead == bad
    assert delivered == [place for place in range(size) if place not in bad]
    assert sends <= 1 + 2 * len(bad) * (size.bit_length() + 1)


@pytest.mark.parametrize(
    "failure",
    [Retryable("r", accepted=4), Retryable("r", accepted=-1), Refused("r", at=3), Refused("r", at=-1), Failure("?")],
)
def test_a_place_that_the_batch_does_not_have_is_a_fault(failure: Failure) -> None:
    with pytest.raises(ValueError, match=r"it says|none of the failures"):
        judge(3, failure)


def test_the_failure_that_matters_more_wins() -> None:
    """Whatever the order: the operator's, then one to wait out, then a refusal, then none."""
    ranked = [Misconfigured("m"), Retryable("r"), Refused("x"), None]
    for place, better in enumerate(ranked):
        for other in ranked[place:]:
            assert worse(better, other) is better
            assert worse(other, better) is better


@given(st.lists(st.integers(1, 5), min_size=1, max_size=30), st.randoms())
def test_the_cursor_never_passes_an_event_that_is_not_settled(steps: list[int], random: object) -> None:
    """Whatever the order of the answers, it stands before the first open event, and ends at the last."""
    seqs = [sum(steps[: n + 1]) for n in range(len(steps))]
    window = Window(0)
    for seq in seqs:
        window.add(stored(seq))
    order = list(seqs)
    random.shuffle(order)  # type: ignore[attr-defined]
    settled: set[int] = set()
    for seq in order:
        if seq % 3:
            window.settle([seq])
        else:
            window.bury(letter(seq))
        settled.add(seq)
        cursor = window.advance()
        assert all(one in settled for one in seqs if one <= cursor)
        beyond = [one for one in seqs if one > cursor]
        assert not beyond or beyond[0] not in settled
        assert all(one.seq <= cursor for one in window.dead_up_to(cursor))
    assert window.cursor == window.last_read == seqs[-1]
    assert [one.seq for one in window.dead_up_to(seqs[-1])] == [seq for seq in seqs if seq % 3 == 0]
    assert len(window) == 0
