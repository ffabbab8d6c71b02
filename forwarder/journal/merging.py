"""Where two gaps become one: the newer one has come to where the older one stands. Pure.

All times are Persona's, in microseconds.
"""

from collections.abc import Sequence
from dataclasses import replace

from forwarder.journal.detours import passed_over
from forwarder.journal.gaps import Changes, Gap, SourceState, earliest, latest


def join(changes: Changes, others: Sequence[Gap]) -> Changes:
    """Merge the gap into an older one that stands at the same place, by whatever way it came there.

    Were they to stay two, one more would join them at each poll for as long as that place cannot be passed: where a
    record is unreadable, or an empty list not believed yet.
    """
    gap = changes.gap
    if changes.state != "open" or not gap.started:
        return changes
    for older in opened_before(gap, others):
        if older.started and older.cursor == gap.cursor:
            holes = [*changes.holes, *passed_over(gap, older.cursor_at)]
            met = _at_the_top(gap, older) if gap.cursor is None else older
            return replace(merge(changes.source, gap, met), fresh=changes.fresh, seen=changes.seen, holes=holes)
    return changes


def _at_the_top(gap: Gap, older: Gap) -> Gap:
    """The *older* gap, to be read from the top again for both.

    Elsewhere it has read on from where they meet. Here nothing says that the newer one came as far down as where the
    older one began: should the list be empty from now on, what lies below the newer one's depth was never read.
    """
    depths = (gap.cursor_at, older.cursor_at)
    return replace(older, cursor_at=None if None in depths else latest(*depths))


def merge(source: SourceState, gap: Gap, older: Gap) -> Changes:
    """All above the *older* one's cursor was swept, and below it lies what that one has still to read."""
    floor = earliest(older.floor, gap.floor)
    both = replace(
        older,
        floor=floor,
        low_run=older.low_run if floor == older.floor else 0,  # what is below the one may be above the other
        proven_then=earliest(older.proven_then, gap.proven_then),
        hole_from=earliest(older.hole_from, gap.hole_from),
    )
    return Changes(replace(source, swept=swept(source, gap)), gap, "merged", both)


def swept(source: SourceState, gap: Gap) -> int | None:
    """When the last sweep was opened that has come to its end, if *gap* now has."""
    return latest(source.swept, gap.opened) if gap.sweep else source.swept


def opened_before(gap: Gap, others: Sequence[Gap]) -> list[Gap]:
    """Those of *others* that were opened before *gap*, newest first."""
    return sorted((other for other in others if other.id < gap.id), key=_by_id, reverse=True)


def _by_id(gap: Gap) -> int:
    return gap.id
