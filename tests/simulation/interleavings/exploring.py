"""Every state that can be reached, each of them once; and from each of them, the way to rest."""

from array import array
from collections.abc import Hashable

from forwarder.clock import BEGINNING
from forwarder.journal.gaps import SourceState
from tests.simulation.interleavings.moves import (
    LOOKBACK,
    SWEEP_INTERVAL,
    CarryOut,
    in_one_transaction,
    moves,
    poll,
    read_on,
)
from tests.simulation.interleavings.state import Bounds, Explored, Loss, State, check

AT_REST = -1
"""In the place of the state that follows when all goes quiet."""

MOST_STEPS = 500
"""Polls and answers after which a ledger that has not come to rest never will."""


def explore(bounds: Bounds, carry_out: CarryOut = in_one_transaction) -> Explored:
    """Visit every state that can be reached within *bounds*, breadth first, and hold the invariants against each.

    :raises Loss: in one of them an invariant does not hold, or not everything becomes known when all goes quiet
    """
    numbers, onward, rested = _Numbers(), array("q"), set[State]()
    level = [State(0, (), None, None, SourceState(), (), ())]
    numbers.of(level[0])
    transitions = deepest = 0
    while level:
        deeper: list[State] = []
        for state in level:
            check(state)
            following = AT_REST
            for after in moves(state, bounds, carry_out):
                transitions += 1
                known = len(numbers)
                following = numbers.of(after)
                if following == known:
                    deeper.append(after)
            if not state.gaps and not state.hidden:
                _come_to_rest(state, bounds, carry_out, rested)
                following = AT_REST
            onward.append(following)
        level = deeper
        deepest += bool(level)
    _all_come_to_rest(onward)
    return Explored(len(numbers), transitions, deepest)


class _Numbers:
    """Numbers states in the order in which they are met, and keeps no more of each than tells it from all others."""

    def __init__(self) -> None:
        self._parts: dict[Hashable, bytes] = {}
        self._states: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._states)

    def of(self, state: State) -> int:
        """The number of *state*: of one not met before, how many have been."""
        late = () if state.late is None else (state.late + 2, 0 if state.shown is None else state.shown + 1)
        figures = (state.now, len(state.made), len(state.gaps), len(late), *state.made, *late, *state.sights)
        parts = (self._part(part) for part in (state.source, *state.gaps))
        return self._states.setdefault(bytes(figures) + b"".join(parts), len(self._states))

    def _part(self, part: Hashable) -> bytes:
        number = self._parts.get(part)
        if number is None:
            number = self._parts[part] = len(self._parts).to_bytes(4, "big")
        return number


def _come_to_rest(state: State, bounds: Bounds, carry_out: CarryOut, rested: set[State]) -> None:
    """Poll on from a *state* without an open gap, until the look-back is over: then everything is known."""
    path: list[State] = []
    end = state.now + LOOKBACK + 2 * SWEEP_INTERVAL
    while state not in rested:
        path.append(state)
        if len(path) > MOST_STEPS:
            raise Loss("it does not become quiet", path[0])
        if state.gaps:
            state = read_on(state, bounds, carry_out)
        elif state.now >= end:
            start = state.source.start or BEGINNING
            missing = [n for n, made in enumerate(state.made) if made >= start and n not in state.sights]
            if missing:
                raise Loss(f"records {missing} never became known", path[0])
            break
        else:
            polled = poll(state._replace(now=state.now + SWEEP_INTERVAL))
            assert polled is not None
            state = polled
    rested.update(path)


def _all_come_to_rest(onward: "array[int]") -> None:
    """Follow the states that lead *onward* while nothing goes wrong: none leads in a circle."""
    rests = bytearray(len(onward))
    for begin in range(len(onward)):
        number, path = begin, list[int]()
        while number != AT_REST and not rests[number]:
            path.append(number)
            number = onward[number]
            if len(path) > MOST_STEPS:
                raise Loss("it does not become quiet", f"state number {begin}")
        for number in path:
            rests[number] = 1
