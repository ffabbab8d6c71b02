"""What the journal decides beside the ledger. Pure; the SQL carries it out.

When held events are released and in which order, where numbers begin, what a new sink gets, what may leave.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from forwarder.clock import SECOND
from forwarder.journal.gaps import Fresh

DAY = 86400 * SECOND

RELEASE_AT = 2000
"""So many events held back by one gap are released, whatever the gap is still waiting for."""

RELEASE_AFTER = 10 * SECOND
"""So long is an event held back for its chronological place, by our clock."""

LEFT_OUT = 1 << 24
"""So many sequence numbers at least, and less than twice as many, are left out: more than a run gives out, 17 s."""

_FOR_EVER = 1 << 62


@dataclass(slots=True)
class Held:
    """Events that one gap holds back: how many, and since when by our clock."""

    count: int = 0
    since: int = 0


def is_due(held: Held | None, fresh: int, now: int) -> bool:
    """Whether an open gap that *held* events back and has just read *fresh* ones more releases them all."""
    if held is None:
        return fresh >= RELEASE_AT
    return held.count + fresh >= RELEASE_AT or held_for(held, now) >= RELEASE_AFTER


def held_for(held: Held, now: int) -> int:
    """How long events were held back; for ever, where our clock was put back and cannot tell."""
    return now - held.since if now >= held.since else _FOR_EVER


def chronologically(new: Fresh) -> tuple[int, int]:
    """Order what is released together by: oldest first, and of one instant the one that the list showed deepest."""
    return new.at, -new.pos


def first_number(highest: int, now: int, random: Random) -> int:
    """The first sequence number of a run, *highest* being the greatest that the file remembers.

    Never used again, whatever backup was put back, for a destination may remember it: the wall clock in microseconds
    has passed all that were given out. Where it has not, since it was put back, some are left out, so that those which
    a lost file has given out after *highest* lie below; how many is chance, and no more than the clock soon passes.
    """
    return now if now > highest else highest + LEFT_OUT + random.randrange(LEFT_OUT)


def place_of_new_sink(start: str | None, next_seq: int, *, is_new: bool) -> int:
    """The cursor at which a sink begins that the journal does not know: 0 is everything that is still held.

    *start* is the sink's setting; *is_new* says that this run began with a journal that knew no sink.
    """
    everything = start == "all" or (start is None and is_new)
    return 0 if everything else next_seq - 1


def passed_by_all(cursors: Sequence[int]) -> int | None:
    """The number up to which events leave the journal; None while no sink is on record, for then nothing does."""
    return min(cursors, default=None)


def to_the_day(time: int) -> int:
    """The beginning of *time*'s day: an id's last sight is kept no finer, so that a sweep seldom writes."""
    return time - time % DAY


def forget_before(server_time: int, retention: int, oldest_collected: int | None) -> int:
    """Ids made and last seen before this may be forgotten.

    A day longer than *retention* (microseconds), for sights are kept to the day. And an id outlives its event:
    *oldest_collected* is when, by our clock, the oldest event in the journal was collected.
    """
    before = server_time - retention - DAY
    # An id was last seen no earlier than its event was collected, to the day.
    return before if oldest_collected is None else min(before, oldest_collected - 2 * DAY)
