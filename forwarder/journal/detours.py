"""How a walk leaves the straight way down: back to an earlier cursor, and past a record that cannot be read. Pure.

All times are Persona's, in microseconds.
"""

from dataclasses import replace

from forwarder.journal.gaps import Changes, Gap, Hole, PageUnreadable, SourceState


def look_below(gap: Gap, server_time: int) -> int:
    """The time below which a known id may lead past the unreadable record at the gap's cursor.

    An id that was tried and lies above, whatever date it bears, leads the walk down to the record again: so each one is
    older than the last, and no walk goes in a circle.
    """
    standing = server_time if gap.cursor_at is None else gap.cursor_at
    return standing if gap.over_at is None else min(standing, gap.over_at)


def step_over(source: SourceState, gap: Gap, outcome: PageUnreadable) -> Changes:
    """Pass an unreadable record by way of the nearest older known id; without one, the gap stays where it is.

    Only an id that was known before the walk can lie below: what the walk itself has read lies above.
    """
    older = outcome.older
    if gap.doubt == gap.cursor:
        gap = replace(gap, doubt=None, doubts=0)  # something is there, so this is not the end
    if older is None or older.id == gap.cursor:
        return Changes(source, replace(gap, stuck=True))
    since = gap.cursor_at if older.at is None else older.at
    until = outcome.server_time if gap.cursor_at is None else gap.cursor_at
    over = replace(
        gap,
        started=True,
        opened=outcome.server_time if gap.opened is None else gap.opened,
        back=remember(gap.back, gap.pages, gap.cursor),
        pages=gap.pages + 1,
        cursor=older.id,
        cursor_at=since,
        low_run=0,
        stuck=False,
        over_at=since,
    )
    since = until if since is None else min(since, until)
    return Changes(source, over, holes=[Hole("unreadable", since, until)])


def passed_over(gap: Gap, newest: int | None) -> list[Hole]:
    """What is added to the hole when it shows how deep the known id lies that led past an unreadable record.

    It may lie far below its date. *newest* is the time of what was read there.
    """
    if gap.over_at is None or gap.cursor_at != gap.over_at or newest is None or newest >= gap.over_at:
        return []
    return [Hole("unreadable", newest, gap.over_at)]


def go_back(gap: Gap) -> Gap:
    """Continue from an earlier cursor. What is met again is known: this costs requests and nothing else."""
    gap = replace(gap, over_at=None)
    if not gap.back:
        return replace(gap, cursor=None, pages=0, low_run=0)
    pages, cursor = gap.back[-1]
    return replace(gap, cursor=cursor, pages=pages, back=gap.back[:-1], low_run=0)


def remember(
    back: tuple[tuple[int, str | None], ...], pages: int, cursor: str | None
) -> tuple[tuple[int, str | None], ...]:
    """Add the cursor of page number *pages*; of those 2^k to 2^(k+1) pages back keep the farthest."""
    kept: dict[int, tuple[int, str | None]] = {}
    for entry in (*back, (pages, cursor)):
        kept.setdefault((pages + 1 - entry[0]).bit_length(), entry)
    return tuple(kept.values())
