"""What a page says about where a walk stands. Pure; each question is asked so that one wrong date decides nothing."""

from collections.abc import Mapping, Sequence
from statistics import median_low

from forwarder.clock import BEGINNING
from forwarder.journal.gaps import Gap, PageRead, Row, SourceState, earliest

LOW_RUN = 10
"""So many records in a row below the floor say that the floor was reached: a few wrong dates do not."""

NEIGHBOURS = 3
"""So many records on either side are asked when one has no date of its own."""


WITNESSES = 2
"""So many above it have to agree: one may bear a wrong date."""


def repeats(gap: Gap, page: PageRead) -> bool:
    """Whether the answer leads back to its own cursor, as if that had been ignored."""
    if gap.cursor is None:
        return False
    return page.next == gap.cursor or any(row.id == gap.cursor for row in page.rows)


def is_page_one(gap: Gap, page: PageRead) -> bool:
    """Whether the answer to a cursor is the list's top again: it holds what is as new as the walk's first record."""
    if gap.cursor is None or gap.ceil is None:
        return False
    return any(row.at is not None and gap.ceil <= row.at <= page.server_time for row in page.rows)


def caught_up(older: Gap, page: PageRead) -> bool:
    """Whether the walk has read down to where *older* stands: its cursor is a record of this page."""
    return older.cursor is not None and any(row.id == older.cursor for row in page.rows)


def is_older(rows: Sequence[Row], index: int, before: int, start: int) -> bool:
    """Whether a record of the page is older than *start*: by its own date, if it has one.

    Without one, only if enough of those above it are, and no neighbour contradicts: at the border all below are older,
    whatever this one is, and one above may bear a wrong date. *before* is the time of the nearest dated one on the page
    before. A record too many is better than one too few.
    """
    own = rows[index].at
    if own is not None:
        return own < start
    above = [row.at for row in rows[max(0, index - NEIGHBOURS) : index] if row.at is not None]
    if index < NEIGHBOURS:
        above.append(before)
    below = [row.at for row in rows[index + 1 : index + NEIGHBOURS + 1] if row.at is not None]
    return len(above) >= WITNESSES and max(*above, *below) < start


def credible(at: int | None, gap: Gap, retention: int) -> int | None:
    """The date *at* of a record that the walk has read, unless the *retention* says that it is wrong.

    What had left the list when the walk began cannot be in it. Where nobody had looked for so long that something may
    have left unread, such a date would say that nothing did; and one wrong date decides nothing.
    """
    if at is None or gap.proven_then is None or gap.opened is None:
        return at
    expired = gap.opened - retention
    return None if at < expired and gap.proven_then < expired else at


def list_end(rows: Sequence[Row], above: int | None) -> int | None:
    """The time at which the list ends: the second lowest of its last records, since one of them may be wrong.

    *above* is that of the deepest record of the page before.
    """
    dated = sorted(row.at for row in rows[-LOW_RUN:] if row.at is not None)
    if len(dated) > 2:  # two cannot outvote a wrong one
        return dated[1]
    return earliest(above, *dated)


def complete_above(rows: Sequence[Row], above: int | None) -> int | None:
    """From when on a list that ends with this page was read whole: the median of its last records.

    Rather too late than too early, for it is a claim of completeness.
    """
    dated = [row.at for row in rows[-LOW_RUN:] if row.at is not None]
    if above is not None and len(dated) < LOW_RUN // 2:
        dated.append(above)
    return median_low(dated) if dated else None


def low_run(gap: Gap, page: PageRead) -> int:
    """How many records in a row, counted from the page's last one upwards, claim to be older than the floor."""
    floor = BEGINNING if gap.floor is None else gap.floor
    run = 0
    for row in reversed(page.rows):
        if row.at is None or row.at >= floor:
            return run
        run += 1
    return gap.low_run + run


def reached_floor(source: SourceState, gap: Gap, page: PageRead, known: Mapping[str, int]) -> bool:
    """Whether nothing that the walk is for lies below this page."""
    if not page.rows:
        return False
    if not gap.based:
        # Nothing below the floor is known, so nothing but the dates can tell: the whole page has to agree.
        return gap.low_run >= max(LOW_RUN, len(page.rows))
    last = page.rows[-1]
    return gap.low_run >= LOW_RUN and is_known_tail(source, gap, last.id, last.at, known)


def is_known(id_: str, gap: Gap, known: Mapping[str, int]) -> bool:
    """Whether the record was known when the gap was opened; what the gap itself read does not count."""
    return known.get(id_, gap.mark + 1) <= gap.mark


def is_known_tail(source: SourceState, gap: Gap, id_: str, at: int | None, known: Mapping[str, int]) -> bool:
    """Whether what lies below this record is no concern of the walk: known before, or older than the start."""
    too_old = at is not None and source.start is not None and at < source.start
    return too_old or is_known(id_, gap, known)
