"""A failing world, made smaller as long as it still fails: dimensions taken out, then records, faults and outages."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from tests.simulation.decisions.plan import WITHOUT, Plan, generate
from tests.simulation.decisions.verdict import Verdict, live


@dataclass(frozen=True, slots=True)
class Cut:
    """What is left of a seed's world: without these dimensions, and with only those of its records."""

    seed: int
    without: tuple[str, ...] = ()
    records: tuple[int, ...] | None = None
    """The numbers of the records that are kept; None keeps all."""

    def plan(self) -> Plan:
        """The world, cut."""
        plan = generate(self.seed)
        for dimension in self.without:
            plan = WITHOUT[dimension](plan)
        if self.records is not None:
            plan = replace(plan, records=tuple(plan.records[number] for number in self.records))
        return plan

    def command(self) -> str:
        """What replays it."""
        words = ["python -m tests.simulation.decisions", "--seeds 1", f"--first {self.seed}"]
        if self.without:
            words.append(f"--without '{','.join(self.without)}'")
        if self.records is not None:
            words.append(f"--records '{','.join(map(str, self.records))}'")
        return " ".join(words)


def shrink(seed: int, *, judge: Callable[[Plan], Verdict] = live) -> tuple[Cut, Verdict]:
    """Cut the failing world of *seed* down as far as it goes; returns what is left and what is wrong with it.

    Any violation counts as the same failure: what matters is that the smaller world breaks a promise.
    """
    cut, verdict = Cut(seed), judge(generate(seed))
    if verdict.violation is None:
        raise ValueError(f"the world of seed {seed} does not fail")
    for dimension in WITHOUT:
        smaller = replace(cut, without=(*cut.without, dimension))
        if (found := judge(smaller.plan())).violation is not None:
            cut, verdict = smaller, found
    size = len(cut.plan().records)
    cut, step = replace(cut, records=tuple(range(size))), max(size // 2, 1)
    while step:
        for smaller in _fewer(cut, step):
            found = judge(smaller.plan())
            if found.violation is not None:
                cut, verdict = smaller, found
                break
        else:
            step //= 2
    return cut, verdict


def _fewer(cut: Cut, step: int) -> Iterator[Cut]:
    """The world without each *step* records that follow each other."""
    kept = cut.records or ()
    for begin in range(0, len(kept), step):
        yield replace(cut, records=kept[:begin] + kept[begin + step :])
