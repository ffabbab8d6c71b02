"""The gap ledger: which stretches of the log are known not to be read yet, and what one answer changes in that.

Persona lists newest first, pages by cursor, filters by nothing, and may show a record late. A high-water mark alone
loses data: crash while walking down from the top, and what lies between the last page read and the mark is skipped for
ever. So everything that collects is one act, *fill a gap, newest first*: a poll, the first run, a restart, the end of
an outage, a sweep (a poll with a deeper floor).

This module decides and does nothing else. :func:`step` is a pure function of the stored state and of one answer; the
journal carries its :class:`Changes` out in one transaction. When a gap is opened, and which is read next, is decided in
:mod:`~forwarder.journal.polls`. All times are Persona's, in microseconds: ``created-at`` of records, and "server time",
the ``Date`` of an answer.

Five choices go further than the plain rules:

- The cursors to go back to when one is lost are kept at distances of 1, 2, 4, 8 … pages, the top always among them
  (:func:`~forwarder.journal.detours.remember`). So a lost cursor never has to be replaced by "the nearest known id",
  which a record with a wrong date could place below what is still unread.
- The run of records below the floor is counted across pages (:attr:`Gap.low_run`), so a page that was asked for
  smaller, in the end with one record, closes a gap no sooner than a full one.
- Two gaps merge where the newer one meets the older one's cursor itself, a record of the page, or comes to stand there
  by whatever way; no date is asked.
- An empty answer is held against what is known: where a record that still must be listed lies below, it is believed
  much later (:data:`EMPTY_DISPROVED`).
- A list that ends at a record which was known before the walk began, or is older than the source's start, is no hole,
  however young it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from forwarder.clock import BEGINNING, SECOND
from forwarder.journal.detours import go_back, passed_over, remember, step_over
from forwarder.journal.evidence import (
    caught_up,
    complete_above,
    credible,
    is_known_tail,
    is_older,
    is_page_one,
    list_end,
    low_run,
    reached_floor,
    repeats,
)
from forwarder.journal.gaps import (
    Changes,
    CursorRefused,
    Fresh,
    Gap,
    Hole,
    Outcome,
    PageRead,
    PageUnreadable,
    SourceState,
    latest,
)
from forwarder.journal.merging import join, merge, opened_before, swept

RETENTION = 181 * 86400 * SECOND
"""The shortest that "the most recent 6 months" can be: what is older may have left the list."""

EVERY_SIGHT = (1 << 63) - 1
"""A mark that every record was seen before."""

EMPTY_BELIEVED = 5
"""So often must the same place look like the end, read down to anew each time, before an empty page is the end.

The documented end is a null ``links.next``; a lost cursor can look empty twice in a row."""

EMPTY_DISPROVED = 20
"""So often, where a record that should lie below is known and cannot have left the list yet.

Not for ever: that record may be one whose wrong date only seems to place it there."""


def asked_for(gap: Gap, outcome: Outcome) -> list[str]:
    """The ids of which :func:`step` has to know whether they are known: the page's, and the one above it."""
    rows = outcome.rows if isinstance(outcome, PageRead) else ()
    return [*(row.id for row in rows), *([] if gap.cursor is None else [gap.cursor])]


def seeming_end(gap: Gap, outcome: Outcome) -> tuple[str | None, int | None, int] | None:
    """Where the list seems to end, if the answer says that it does: after which record, and the time of that.

    What :func:`step` holds against it is the nearest older record that the journal knows, of those whose order of first
    sight is at most the third figure.
    """
    if not isinstance(outcome, PageRead) or outcome.next is not None:
        return None
    if outcome.empty:
        # What the walk itself has read counts: it had come further before.
        return gap.cursor, gap.cursor_at, EVERY_SIGHT
    dated = [row.at for row in outcome.rows if row.at is not None]
    return None, min(dated, default=gap.cursor_at), gap.mark


def step(
    source: SourceState,
    gap: Gap,
    others: Sequence[Gap],
    outcome: Outcome,
    known: Mapping[str, int],
    start_at: int,
) -> Changes:
    """Decide what *outcome* of a request for *gap* changes.

    *others* are the source's other open gaps; *known* gives the order of first sight (``ids.n``) of those ids of
    :func:`asked_for` that are in the journal; *start_at* is the lower bound that is fixed by a source's first answer.
    """
    if isinstance(outcome, PageRead):
        source, gap = _within(source, gap, start_at)
    match outcome:
        case CursorRefused():
            changes = Changes(source, go_back(gap))
        case PageUnreadable():
            changes = step_over(source, gap, outcome)
        case PageRead() if repeats(gap, outcome):
            changes = Changes(source, go_back(gap))
        case PageRead(empty=True):
            changes = _empty(source, gap, outcome, known)
        case PageRead():
            changes = _page(source, gap, others, outcome, known)
    return join(changes, others)


def _within(source: SourceState, gap: Gap, start_at: int) -> tuple[SourceState, Gap]:
    """Fix the source's start at its first page, and let the gap reach no further down."""
    if source.start is None:
        source = replace(source, start=start_at)
    floor = source.start if gap.floor is None else max(gap.floor, source.start or BEGINNING)
    return source, gap if floor == gap.floor else replace(gap, floor=floor)


def _page(
    source: SourceState,
    gap: Gap,
    others: Sequence[Gap],
    page: PageRead,
    known: Mapping[str, int],
) -> Changes:
    if not gap.started:
        source, gap = _start(source, gap, page)
    elif source.head is None and gap.opened is not None:
        # No date of the first page could be trusted, so this walk has no head yet. One below it does as well, unless it
        # is later than the walk: what is made until then is no walk's yet.
        source = replace(source, head=_newest(page, gap.opened))
    above = gap.cursor_at
    passed = passed_over(gap, latest(*(row.at for row in page.rows)))
    fresh, seen, deepest = _take(source, gap, page, known)
    gap = replace(gap, pos=gap.pos + len(fresh), cursor_at=deepest, low_run=low_run(gap, page), stuck=False)
    changes = _walk_on(source, gap, others, page, known, above)
    return replace(changes, fresh=fresh, seen=seen, holes=[*changes.holes, *passed])


def _walk_on(
    source: SourceState,
    gap: Gap,
    others: Sequence[Gap],
    page: PageRead,
    known: Mapping[str, int],
    above: int | None,
) -> Changes:
    """Close, merge or go on, after the page was taken; *above* is the time of the deepest record before it."""
    if reached_floor(source, gap, page, known):
        return _close(source, gap, page, ended=False)
    if page.next is None:
        rows = [replace(row, at=credible(row.at, gap, RETENTION)) for row in page.rows]
        above = credible(above, gap, RETENTION)
        last = rows[-1] if rows else None
        last_known = last is not None and is_known_tail(source, gap, last.id, last.at, known)
        at_end = replace(gap, cursor_at=list_end(rows, above))
        whole_from = complete_above(rows, above)
        return _close(source, at_end, page, ended=not (gap.based and last_known), whole_from=whole_from)
    for older in opened_before(gap, others):
        if caught_up(older, page):
            return merge(source, gap, older)
    # Where a lost cursor has led to the top again, the places passed before lie below. To go back to one would pass
    # over what a gap that is merged into this one has still to read.
    back = () if is_page_one(gap, page) else remember(gap.back, gap.pages, gap.cursor)
    walked = replace(
        gap,
        back=back,
        pages=gap.pages + 1,
        cursor=page.next,
        doubt=None if gap.doubt == gap.cursor else gap.doubt,
        doubts=0 if gap.doubt == gap.cursor else gap.doubts,
    )
    return Changes(source, walked)


def _start(source: SourceState, gap: Gap, page: PageRead) -> tuple[SourceState, Gap]:
    ceil = _newest(page, page.server_time)
    source = replace(source, head=latest(source.head, ceil))
    return source, replace(gap, started=True, opened=page.asked, ceil=ceil)


def _newest(page: PageRead, until: int) -> int | None:
    """The newest date of the page that is no later than *until*: what is, is wrong."""
    return max((row.at for row in page.rows if row.at is not None and row.at <= until), default=None)


def _take(
    source: SourceState, gap: Gap, page: PageRead, known: Mapping[str, int]
) -> tuple[list[Fresh], list[str], int | None]:
    """Sort the page's records into new ones and ones met again, and say how deep it leads."""
    lowest = BEGINNING if source.start is None else source.start
    before = above = deepest = page.server_time if gap.cursor_at is None else gap.cursor_at
    fresh: list[Fresh] = []
    seen: list[str] = []
    taken: set[str] = set()
    for index, row in enumerate(page.rows):
        above = above if row.at is None else row.at
        # `Date` is cut to whole seconds. What is dated later than that tells nothing about where the walk stands.
        deepest = above if above < page.server_time + SECOND else deepest
        if row.id in known:
            seen.append(row.id)
        elif row.id not in taken and not is_older(page.rows, index, before, lowest):
            taken.add(row.id)
            fresh.append(Fresh(index, above, gap.pos + len(fresh)))
    return fresh, seen, deepest if page.rows else gap.cursor_at


def _close(source: SourceState, gap: Gap, page: PageRead, *, ended: bool, whole_from: int | None = None) -> Changes:
    """Close *gap*; if the list *ended* above its floor, say what may have left it unread.

    *whole_from* is from when on a list that ended was read whole; without it, from the deepest record on.
    """
    expired = page.server_time - RETENTION
    last_at = expired if gap.cursor_at is None else gap.cursor_at
    end = last_at if whole_from is None else whole_from
    source = replace(
        source,
        proven=latest(source.proven, gap.opened),
        swept=swept(source, gap),
        complete_from=_complete_from(source, gap, end if ended else source.start),
    )
    if not ended or gap.proven_then is None:
        return Changes(source, gap, "closed")
    if not gap.based:
        # The list was empty until then: what was made since may have left it again, unless the retention forbids.
        last_at = min(last_at, expired)
    # All that was known is listed still, and the retention forbids that anything newer has left: it is a young log.
    young = page.older is None and expired <= gap.proven_then
    if last_at <= gap.proven_then or young:
        return Changes(source, gap, "closed")
    since = gap.proven_then if gap.hole_from is None else gap.hole_from
    return Changes(source, gap, "closed", holes=[Hole("lost", min(since, last_at), last_at)])


def _complete_from(source: SourceState, gap: Gap, walked_down_to: int | None) -> int | None:
    """How far down the log was read: what the first walk came to, or the first one that found an empty list."""
    if gap.based or source.complete_from is not None:
        return source.complete_from
    return walked_down_to


def _empty(source: SourceState, gap: Gap, page: PageRead, known: Mapping[str, int]) -> Changes:
    """An empty page is not the end by itself: it is also how a lost cursor can look. Read down to it again."""
    if not gap.started:
        # Nothing is known of the time of its records, for it has none.
        gap = replace(gap, started=True, opened=page.asked)
    at = gap.cursor or ""
    doubts = gap.doubts + 1 if gap.doubt == at else 1
    if doubts >= _believed(gap, page):
        gap = replace(gap, cursor_at=credible(gap.cursor_at, gap, RETENTION))
        last_known = gap.cursor is not None and is_known_tail(source, gap, gap.cursor, gap.cursor_at, known)
        return _close(source, gap, page, ended=not (gap.based and last_known))
    return Changes(source, replace(go_back(gap), doubt=at, doubts=doubts))


def _believed(gap: Gap, page: PageRead) -> int:
    """How often the place has to look like the end, before it is."""
    if page.older is not None and page.older >= page.server_time - RETENTION:
        return EMPTY_DISPROVED
    return EMPTY_BELIEVED if gap.cursor is not None or gap.based else 1
