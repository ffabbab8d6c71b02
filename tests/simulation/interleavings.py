"""The gap ledger in a world so small that every interleaving of it can be lived through.

The ledger is the product's own (:func:`~forwarder.journal.polls.next_poll`, :func:`~forwarder.journal.ledger.step`),
with runs and doubts of two instead of ten and five, so that walks of a few records can close. A state is what is
stored, and nothing else: so a crash, which takes what is not stored, leads from each state to itself, and every
transition is one from before a crash to after it, too.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from forwarder.clock import BEGINNING
from forwarder.journal import evidence, ledger, polls
from forwarder.journal.gaps import CursorRefused, Gap, Outcome, PageRead, Row, SourceState

LOOKBACK = 2
SWEEP_INTERVAL = 1
PAGE = 2
MOST_PAGES = 2
"""A walk that has come further is not sent back to page one any more."""

LIES = ("refused", "empty", "page one", "repeat")
"""What a lost cursor may be answered with."""


class State(NamedTuple):
    """All that is, in the world and in the journal. Times are ticks; a record's name is its place in the list."""

    now: int
    made: tuple[int, ...]
    """When each record was made, oldest first."""
    late: int | None
    """The record that shows late, if there is one."""
    shown: int | None
    """When it did; None while it has not."""
    source: SourceState
    gaps: tuple[Gap, ...]
    sights: tuple[int, ...]
    """The records that are known, in the order of their first sight."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far the exploration goes."""

    records: int
    ticks: int
    gaps: int = 2
    late: bool = True
    lies: tuple[str, ...] = LIES
    start: int = BEGINNING


class Loss(Exception):
    """An invariant does not hold."""

    def __init__(self, what: str, state: State) -> None:
        super().__init__(f"{what}\n  {state}")
        self.what = what


@dataclass(slots=True)
class Explored:
    """How much there was."""

    states: int = 0
    transitions: int = 0
    deepest: int = 0


def explore(bounds: Bounds, *, step: Callable[..., Iterator[State]] | None = None, limit: int = 1 << 62) -> Explored:
    """Visit every state that can be reached within *bounds*, breadth first, and hold the invariants against each.

    *step* carries one answer out, by default in one transaction. At most *limit* states are visited.

    :raises Loss: in one of them an invariant does not hold, or not everything becomes known when all goes quiet
    """
    carry_out = step or in_one_transaction
    begin = State(0, (), None, None, SourceState(), (), ())
    depth = {begin: 0}
    queue, settled, explored = deque([begin]), set[State](), Explored()
    while queue:
        state = queue.popleft()
        explored.states += 1
        explored.deepest = depth[state]
        _check(state)
        _settles(state, bounds, settled)
        for following in _transitions(state, bounds, carry_out):
            explored.transitions += 1
            if following not in depth and len(depth) < limit:
                depth[following] = depth[state] + 1
                queue.append(following)
    return explored


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
    yield state._replace(
        source=changes.source, gaps=_numbered(tuple(gaps[id_] for id_ in sorted(gaps))), sights=state.sights + fresh
    )


def _known_below(state: State, id_: str | None, at: int | None, mark: int) -> int | None:
    below = at if id_ is None else state.made[int(id_[1:])]
    known = (state.made[record] for record in state.sights[:mark])
    return max((made for made in known if below is None or made < below), default=None)


def _transitions(state: State, bounds: Bounds, carry_out: Callable[..., Iterator[State]]) -> Iterator[State]:
    """Everything that may happen next."""
    yield from _world(state, bounds)
    if len(state.gaps) < bounds.gaps and (polled := _poll(state)) is not None:
        yield polled
    for gap in state.gaps:
        for outcome in _answers(state, gap, bounds):
            yield from carry_out(state, gap, outcome, bounds.start)


def _world(state: State, bounds: Bounds) -> Iterator[State]:
    waiting = state.late is not None and state.shown is None
    if len(state.made) < bounds.records:
        more = state._replace(made=(*state.made, state.now))
        yield more
        if bounds.late and state.late is None:
            yield more._replace(late=len(state.made))
    if waiting:
        yield state._replace(shown=state.now)
    # Within LOOKBACK of when it was made, it has shown: that is what is promised to be found.
    overdue = waiting and state.late is not None and state.now + 1 - state.made[state.late] >= LOOKBACK
    if state.now < bounds.ticks and not overdue:
        yield state._replace(now=state.now + 1)


def _poll(state: State) -> State | None:
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


def _answers(state: State, gap: Gap, bounds: Bounds) -> Iterator[Outcome]:
    yield _page(state, gap.cursor)
    if gap.cursor is None:
        return
    for lie in bounds.lies:
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


def _check(state: State) -> None:
    """The invariants that can be told from a state (their numbers are those of docs/correctness.md)."""
    source = state.source
    if source.head is not None and source.head > state.now:
        raise Loss("I5: the head is ahead of Persona's clock", state)
    if len(set(state.sights)) != len(state.sights):
        raise Loss("I3: a record entered twice", state)
    if source.swept is None:
        return
    for record, made in enumerate(state.made):
        visible = made if record != state.late else state.shown
        due = visible is not None and visible < source.swept and made >= (source.start or BEGINNING)
        if due and record not in state.sights and not any(_covers(gap, record, made) for gap in state.gaps):
            raise Loss(f"I1: record {record} is neither known nor below an open gap's cursor", state)


def _covers(gap: Gap, record: int, made: int) -> bool:
    return (gap.cursor is None or record < int(gap.cursor[1:])) and (gap.floor is None or made >= gap.floor)


def _settles(state: State, bounds: Bounds, settled: set[State]) -> None:
    """When nothing goes wrong any more, everything visible becomes known, and no gap stays open."""
    path: list[State] = []
    if state.late is not None and state.shown is None:
        state = state._replace(shown=state.now)
    end = state.now + LOOKBACK + 2 * SWEEP_INTERVAL
    while state not in settled:
        path.append(state)
        if len(path) > 500:
            raise Loss("it does not become quiet", path[0])
        if state.gaps:
            gap = polls.choose(state.gaps, oldest=False)
            assert gap is not None
            (state,) = in_one_transaction(state, gap, _page(state, gap.cursor), bounds.start)
        elif state.now >= end:
            start = state.source.start or BEGINNING
            missing = [n for n, made in enumerate(state.made) if made >= start and n not in state.sights]
            if missing:
                raise Loss(f"records {missing} never became known", path[0])
            break
        else:
            polled = _poll(state._replace(now=state.now + SWEEP_INTERVAL))
            assert polled is not None
            state = polled
    settled.update(path)


def _numbered(gaps: tuple[Gap, ...]) -> tuple[Gap, ...]:
    """Numbers and positions grow for ever and decide nothing by themselves: their order does."""
    return tuple(replace(gap, id=number, pos=0) for number, gap in enumerate(gaps, start=1))


def shorten(patch: Callable[[object, str, int], None]) -> None:
    """Let a run be two records and a doubt be believed the second time."""
    patch(evidence, "LOW_RUN", 2)
    patch(ledger, "EMPTY_BELIEVED", 2)
