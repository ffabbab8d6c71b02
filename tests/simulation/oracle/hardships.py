"""The judgement of hardships: what a stop, a start, a restored journal and a batch were promised to be."""

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from forwarder.delivery.telling import DEAD_LETTER_LINES, DEAD_LETTER_PERIOD
from forwarder.supervisor import CANCEL_GRACE
from tests.simulation.destination import Destination, Receipt
from tests.simulation.storage import OPENING

if TYPE_CHECKING:
    from tests.simulation.stage import Stage

STOP_SLACK = 5.0
"""Seconds beyond the grace that a stop may take to end and cancel everything, and to close the journal."""


def violations(stage: "Stage") -> Iterator[str]:
    """What of it was broken."""
    yield from stage.storage.complaints
    yield from _starts_ended(stage)
    yield from _stops_bounded(stage)
    yield from _dead_letters_told_in_measure(stage)
    for name, destination in stage.destinations.items():
        yield from _batches_bounded(name, destination)


def hindered(stage: "Stage", life: int) -> frozenset[int]:
    """The statuses with which that life may end, if the journal could not be used when it began."""
    return next((one.statuses for one in stage.storage.hindered if one.life == life), frozenset())


def lost_sight_of(stage: "Stage", before: Receipt, after: Receipt) -> bool:
    """Whether the journal of *after* is one that was put back from before it had noted that *before* is in."""
    lives = range(before.attempt.life + 1, after.attempt.life + 1)
    return any(one.life in lives and before.at >= one.backed_up - OPENING for one in stage.storage.restored)


def copied_in(stage: "Stage", life: int, by: int) -> float | None:
    """When the journal that life *by* has was copied beside life *life*; what that knew in memory is not in it."""
    copies = [one.backed_up for one in stage.storage.restored if life < one.life <= by]
    return next((at for at in copies if stage.lives[life].started <= at < stage.lives[life + 1].started), None)


def put_back_between(stage: "Stage", told: int, by: int) -> bool:
    """Whether a journal was put back between two lives."""
    return any(told < one.life <= by for one in stage.storage.restored)


def refusals_forgotten(stage: "Stage", destination: Destination) -> bool:
    """Whether its dead letters may have gone with a journal that had them, while it knows that it is past them."""
    return destination.plan.remembers and bool(stage.storage.restored)


def may_be_collected_again(stage: "Stage", at: float) -> bool:
    """Whether what was known at that moment was forgotten later, with the journal that had it."""
    return any(one.backed_up <= at <= one.at for one in stage.storage.restored)


def _starts_ended(stage: "Stage") -> Iterator[str]:
    for one in stage.storage.hindered:
        life = stage.lives[one.life]
        mended = next((at for at in stage.storage.mended if at >= one.at), stage.loop.time())
        ended_in_time = life.ended.is_set() and life.ended_at <= mended + OPENING
        if not (life.crashed or ended_in_time or one.at > mended - OPENING):
            yield f"life {life.number} went on with a journal that it could not use; {set(one.statuses)} was to end it"


def _stops_bounded(stage: "Stage") -> Iterator[str]:
    most = stage.plan.grace + CANCEL_GRACE + STOP_SLACK
    for life in stage.lives:
        if life.asked_to_stop and not life.crashed and life.ended_at - life.asked_at > most:
            yield f"life {life.number} took {life.ended_at - life.asked_at:.0f} s to stop, of {most:.0f} s"


def _dead_letters_told_in_measure(stage: "Stage") -> Iterator[str]:
    told: dict[tuple[int, str], list[float]] = {}
    for at, life, line in stage.chronicle.lines:
        if line["event"] == "sink.dead_lettered":
            told.setdefault((life, line["sink"]), []).append(at)
    for (life, sink), moments in told.items():
        for first, last in zip(moments, moments[2 * DEAD_LETTER_LINES :], strict=False):
            if last - first < DEAD_LETTER_PERIOD:
                yield f"life {life} told of more than {2 * DEAD_LETTER_LINES} dead letters of {sink} within a minute"
                break


def _batches_bounded(name: str, destination: Destination) -> Iterator[str]:
    most = destination.plan.batch_bytes
    if not most or destination.plan.kind != "world":
        return
    size = 0
    for before, receipt in pairwise([None, *destination.receipts]):
        assert receipt is not None
        same = before is not None and before.attempt is receipt.attempt
        size = (size if same else 0) + len(receipt.body)
        if same and size > most:
            yield f"{name} got a batch of {size} bytes; {most} was the most"
            return
