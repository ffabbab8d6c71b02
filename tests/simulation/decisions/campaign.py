"""Many worlds on several cores, and what came of them together."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.simulation.decisions.verdict import Verdict, run

CHUNK = 200
"""Worlds in one piece of work."""


@dataclass(slots=True)
class Tally:
    """What came of some worlds."""

    worlds: int = 0
    requests: int = 0
    failed: list[Verdict] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    """In how many worlds each thing happened at least once."""

    def add(self, verdict: Verdict) -> None:
        """Count one world."""
        self.worlds += 1
        self.requests += verdict.requests
        self.seen.update(what for what, times in verdict.counts.items() if times)
        if verdict.violation is not None:
            self.failed.append(verdict)

    def join(self, other: "Tally") -> None:
        """Add what came of others."""
        self.worlds += other.worlds
        self.requests += other.requests
        self.seen.update(other.seen)
        self.failed += other.failed


def campaign(
    first: int,
    worlds: int,
    *,
    jobs: int = 1,
    progress: Callable[[Tally], bool] = lambda _: True,
) -> Tally:
    """Live through *worlds* worlds from seed *first* on; *progress* is called now and then, and ends it with False."""
    tally = Tally()
    for part in _parts(first, worlds, jobs):
        tally.join(part)
        if not progress(tally):
            break
    return tally


def _parts(first: int, worlds: int, jobs: int) -> Iterator[Tally]:
    pieces = [range(begin, min(begin + CHUNK, first + worlds)) for begin in range(first, first + worlds, CHUNK)]
    if jobs == 1:
        yield from map(_live_through, pieces)
        return
    with ProcessPoolExecutor(jobs) as pool:
        try:
            yield from pool.map(_live_through, pieces)
        finally:
            pool.shutdown(cancel_futures=True)


def _live_through(seeds: range) -> Tally:
    tally = Tally()
    for seed in seeds:
        tally.add(run(seed))
    return tally
