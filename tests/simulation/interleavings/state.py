"""All that is, in the small world and in its journal, and what has to hold of it."""

from dataclasses import dataclass
from typing import NamedTuple

from forwarder.clock import BEGINNING
from forwarder.journal.gaps import Gap, SourceState

LIES = ("refused", "empty", "page one", "repeat")
"""What a lost cursor may be answered with."""

FOUND = -1
"""In the place of the late record's name, once it is known: that it was late decides nothing any more."""


class State(NamedTuple):
    """Times are ticks; a record's name is its place in the list."""

    now: int
    made: tuple[int, ...]
    """When each record was made, oldest first."""
    late: int | None
    """The record that shows late, if there is one; :data:`FOUND` where there was."""
    shown: int | None
    """When it did; None while it has not."""
    source: SourceState
    gaps: tuple[Gap, ...]
    sights: tuple[int, ...]
    """The records that are known, in the order of their first sight, as far as that decides anything."""

    @property
    def hidden(self) -> bool:
        """Whether a record is made and does not show yet."""
        return self.late is not None and self.shown is None


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far the exploration goes."""

    records: int
    ticks: int
    gaps: int = 2
    late: bool = True
    lies: tuple[str, ...] = LIES
    start: int = BEGINNING

    def __str__(self) -> str:
        """In words, for a report."""
        late = "one of them late" if self.late else "none of them late"
        lies = f"lost cursors ({', '.join(self.lies)})" if self.lies else "no lost cursor"
        start = "" if self.start == BEGINNING else f", from {self.start} on"
        return f"{self.records} records, {late}, {self.ticks + 1} moments{start}, {self.gaps} gaps, {lies}"


class Loss(Exception):
    """An invariant does not hold."""

    def __init__(self, what: str, where: object) -> None:
        super().__init__(f"{what}\n  {where}")


@dataclass(frozen=True, slots=True)
class Explored:
    """How much there was.

    :ivar deepest: of the shortest ways to each state, the longest, in moves
    """

    states: int
    transitions: int
    deepest: int


def check(state: State) -> None:
    """Hold against *state* the invariants that can be told from one (I1, I3 and I5 of docs/correctness.md).

    :raises Loss: one of them does not hold
    """
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
