"""What may happen next in the small world: records, time, polls, and each answer that a request may get."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

from forwarder.journal import evidence, ledger, polls
from forwarder.journal.gaps import CursorRefused, Gap, Outcome, PageRead, Row
from tests.simulation.interleavings.state import FOUND, Bounds, Loss, State

LOOKBACK = 2
SWEEP_INTERVAL = 1
PAGE = 2
MOST_PAGES = 2
"""A walk that has come further is not sent back to page one any more."""

CarryOut = Callable[[State, Gap, Outcome, int], Iterator[State]]
"""Stores what one answer changes: the states that the journal is in afterwards, one for each transaction."""


def moves(state: State, bounds: Bounds, carry_out: CarryOut) -> Iterator[State]:
    """Everything that may happen next.

    Where a gap is open or a record hidden, the last move is the one that is made when nothing goes wrong any more.
    """
    yield from _world(state, bounds)
    if len(state.gaps) < bounds.gaps and (polled := poll(state)) is not None:
        yield polled
    for gap in state.gaps:
        for outcome in _lies(state, gap, bounds):
            yield from carry_out(state, gap, outcome, bounds.start)
        yield from carry_out(state, gap, _page(state, gap.cursor), bounds.start)
    if state.hidden:
        yield state._replace(shown=state.now)


def poll(state: State) -> State | None:
    """Open the next poll's gap, if one may be opened now."""
    gap = polls.next_poll(
        state.source,
        state.gaps,
        gap_id=len(state.gaps) + 1,
        mark=len(state.sights),
        now=state.now,
        lookback=LOOKBACK,
        sweep_interval=SWEEP_INTERVAL,
    )
    return None if gap is None else state._replace(gaps=(*state.gaps, gap))


def read_on(state: State, bounds: Bounds, carry_out: CarryOut) -> State:
    """Answer truly what is asked for next: the newest gap's page."""
    *_, after = carry_out(state, state.gaps[-1], _page(state, state.gaps[-1].cursor), bounds.start)
    return after


def in_one_transaction(state: State, gap: Gap, outcome: Outcome, start: int) -> Iterator[State]:
    """What the journal does with an answer: ids and gap change together."""
    known = {f"r{record}": n for n, record in enumerate(state.sights, start=1)}
    others = [other for other in state.gaps if other.id != gap.id]
    if isinstance(outcome, PageRead) and (end := ledger.seeming_end(gap, outcome)) is not None:
        outcome = replace(outcome, older=_known_below(state, *end))
    changes = ledger.step(state.source, gap, others, outcome, known, start)
    rows = outcome.rows if isinstance(outcome, PageRead) else ()
    fresh = tuple(int(rows[new.index].id[1:]) for new in changes.fresh)
    if set(fresh) & set(state.sights):
        raise Loss("I3: a record entered twice", state)
    if changes.holes:
        raise Loss(f"a hole where none is: {changes.holes}", state)
    gaps = {other.id: other for other in others}
    if changes.state == "open":
        gaps[gap.id] = changes.gap
    if changes.merged_into is not None:
        gaps[changes.merged_into.id] = changes.merged_into
    left = tuple(gaps[id_] for id_ in sorted(gaps))
    after = state._replace(source=changes.source, gaps=_numbered(left), sights=_sorted(state.sights + fresh, left))
    yield after._replace(late=FOUND, shown=0) if after.late in fresh else after


def shorten(patch: Callable[[object, str, int], None]) -> None:
    """Let a run be two records and a doubt be believed the second time."""
    patch(evidence, "LOW_RUN", 2)
    patch(ledger, "EMPTY_BELIEVED", 2)


def _world(state: State, bounds: Bounds) -> Iterator[State]:
    if len(state.made) < bounds.records:
        more = state._replace(made=(*state.made, state.now))
        yield more
        if bounds.late and state.late is None:
            yield more._replace(late=len(state.made))
    # Within LOOKBACK of when it was made, it has shown: that is what is promised to be found.
    overdue = state.hidden and state.now + 1 - state.made[state.late or 0] >= LOOKBACK
    if state.now < bounds.ticks and not overdue:
        yield state._replace(now=state.now + 1)


def _lies(state: State, gap: Gap, bounds: Bounds) -> Iterator[Outcome]:
    """What the gap's cursor may be answered with once it is lost."""
    for lie in bounds.lies if gap.cursor is not None else ():
        if lie == "refused":
            yield CursorRefused()
        elif lie == "page one":
            if gap.pages <= MOST_PAGES:  # the number of pages behind would grow for ever
                yield _page(state, None)
        elif lie == "repeat":
            yield PageRead((), gap.cursor, state.now, state.now)
        elif gap.doubt != gap.cursor or gap.doubts + 1 < ledger.EMPTY_BELIEVED:
            # What looks like the end as often as is believed is promised to be the end.
            yield PageRead((), None, state.now, state.now, empty=True)


def _page(state: State, cursor: str | None) -> PageRead:
    end = len(state.made) if cursor is None else int(cursor[1:])
    listed = [record for record in range(end) if record != state.late or state.shown is not None]
    rows = [Row(f"r{record}", state.made[record]) for record in reversed(listed[-PAGE:])]
    more = len(listed) > PAGE
    return PageRead(rows, rows[-1].id if more else None, state.now, state.now, empty=not rows)


def _known_below(state: State, id_: str | None, at: int | None, mark: int) -> int | None:
    below = at if id_ is None else state.made[int(id_[1:])]
    known = (state.made[record] for record in state.sights[:mark])
    return max((made for made in known if below is None or made < below), default=None)


def _numbered(gaps: tuple[Gap, ...]) -> tuple[Gap, ...]:
    """Numbers and positions grow for ever and decide nothing by themselves: their order does."""
    return tuple(
        gap if (gap.id, gap.pos) == (number, 0) else replace(gap, id=number, pos=0)
        for number, gap in enumerate(gaps, start=1)
    )


def _sorted(sights: tuple[int, ...], gaps: tuple[Gap, ...]) -> tuple[int, ...]:
    """Order what no open gap tells apart: a first sight is only ever held against the mark of a gap."""
    marks = sorted({0, *(gap.mark for gap in gaps), len(sights)})
    return tuple(record for begin, end in pairwise(marks) for record in sorted(sights[begin:end]))
