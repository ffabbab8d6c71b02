"""A failing world made smaller: less of a log, less around it, fewer happenings, as long as it still fails alike."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.simulation.drawing import draw
from tests.simulation.plan import Plan
from tests.simulation.playing import Verdict, play_apart

MOST_TRIES = 120
"""Of leaving happenings out: about a second each."""

SIMPLER: Mapping[str, tuple[Any, ...]] = {
    "history": (0, 1, 7, 40, 120),
    "append": (1, 3),
    "odd": (0.0,),
    "odd_ids": (False,),
    "way": ("plain",),
    "skew": (0.0,),
    "latency": (0.0005,),
    "thread_delay": (0.0,),
    "end": ("null",),
    "links": ("relative",),
    "included": ("by-version",),
    "employees": (9,),
    "start": ("all",),
}
"""What may be made simpler, with the values that are tried for it, simplest first: fields of the plan, and how many
records one happening makes at most."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What is left of a seed's world: with these simpler values, and without the happenings of these numbers."""

    seed: int
    simpler: tuple[tuple[str, Any], ...] = ()
    gone: tuple[int, ...] = ()

    def plan(self) -> Plan:
        """The world, cut."""
        plan = draw(self.seed)
        for name, value in self.simpler:
            plan = _with_fewer_records(plan, value) if name == "append" else replace(plan, **{name: value})
        return plan.without(self.gone)

    def command(self) -> str:
        """What replays it."""
        words = [f"python -m tests.simulation --replay {self.seed}"]
        if self.simpler:
            words.append(f"--with {','.join(f'{name}={value}' for name, value in self.simpler)}")
        if self.gone:
            words.append(f"--without {','.join(map(str, self.gone))}")
        return " ".join(words)


def read_cut(seed: int, simpler: str, gone: str) -> Cut:
    """What :meth:`Cut.command` has written.

    :raises ValueError: it names what cannot be made simpler, or a value that is not tried
    """
    pairs = []
    for word in filter(None, simpler.split(",")):
        name, _, written = word.partition("=")
        values = [value for value in SIMPLER.get(name, ()) if str(value) == written]
        if not values:
            known = "; ".join(f"{name}={'|'.join(map(str, values))}" for name, values in SIMPLER.items())
            raise ValueError(f"{word} is none of {known}")
        pairs.append((name, values[0]))
    return Cut(seed, tuple(pairs), tuple(int(number) for number in gone.split(",") if number))


def _play(plan: Plan) -> Verdict:
    (verdict,) = play_apart([plan], jobs=1)
    return verdict


def shrink(seed: int, *, judge: Callable[[Plan], Verdict] = _play) -> Cut:
    """Leave out what the world of *seed* does not need to fail; what fails otherwise is another world.

    *judge* says which promises a world breaks; by default it is played.
    """
    kinds, cut = _kinds(judge(draw(seed))), Cut(seed)

    def fails_alike(smaller: Cut) -> bool:
        return bool(_kinds(judge(smaller.plan())) & kinds)

    for name, values in SIMPLER.items():
        for value in values:
            smaller = replace(cut, simpler=(*cut.simpler, (name, value)))
            if smaller.plan() == cut.plan():
                break  # it is as simple already
            if fails_alike(smaller):
                cut = smaller
                break
    tries, many = 0, len(draw(seed).happenings)
    size = max(1, many // 2)
    while size:
        left = [number for number in range(many) if number not in cut.gone]
        for begin in range(0, len(left), size):
            tries += 1
            if tries > MOST_TRIES:
                return cut
            smaller = replace(cut, gone=tuple(sorted({*cut.gone, *left[begin : begin + size]})))
            if fails_alike(smaller):
                cut = smaller
        size //= 2
    return cut


def _with_fewer_records(plan: Plan, most: int) -> Plan:
    return replace(
        plan,
        happenings=tuple(
            replace(one, what=min(one.what, most)) if one.kind == "append" else one for one in plan.happenings
        ),
    )


def _kinds(verdict: Verdict) -> set[str]:
    """What is wrong, without the names and numbers in it."""
    return {re.sub(r"ual_\w+|[\d.:TZ-]+", "#", violation)[:60] for violation in verdict.violations}
