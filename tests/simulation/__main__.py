"""``python -m tests.simulation``: whole daemons in worlds from seeds. Exit status 1 if one broke a promise."""

import argparse
import secrets
import sys
import time
from collections import Counter

from tests.simulation.drawing import draw
from tests.simulation.playing import Verdict, play, play_apart
from tests.simulation.shrink import Cut, read_cut, shrink

TOLD_EVERY = 100
"""Worlds between two lines, where there is no terminal for a progress bar."""


def main() -> int:
    """Play the seeds that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many worlds")
    parser.add_argument("--first", type=int, help="the first seed; a fresh one by default")
    parser.add_argument("--jobs", type=int, default=2, help="worlds played side by side")
    parser.add_argument("--fail-fast", action="store_true", help="end at the first broken promise, without shrinking")
    parser.add_argument("--replay", type=int, metavar="SEED", help="play this one world, telling all that happens")
    parser.add_argument("--without", default="", help="with --replay: numbers of happenings to leave out, by comma")
    parser.add_argument("--with", default="", dest="simpler", help="with --replay: what is to be simpler, as shrunk")
    options = parser.parse_args()
    if options.replay is not None:
        try:
            cut = read_cut(options.replay, options.simpler, options.without)
        except ValueError as error:
            parser.error(str(error))
        return _replay(cut)
    first = secrets.randbelow(10**9) if options.first is None else options.first
    print(f"{options.seeds} worlds from seed {first}", flush=True)
    return _play_all(range(first, first + options.seeds), jobs=options.jobs, fail_fast=options.fail_fast)


def _play_all(seeds: range, *, jobs: int, fail_fast: bool) -> int:
    began, broken, sums = time.monotonic(), [], Counter[str]()
    for done, verdict in enumerate(play_apart(map(draw, seeds), jobs=jobs), 1):
        sums.update(verdict.figures)
        if verdict.violations:
            broken.append(verdict)
            _tell(verdict)
            if fail_fast:
                print(f"{done} worlds were played", flush=True)
                return 1
        _progress(done, len(seeds), began, len(broken))
    seconds = time.monotonic() - began
    told = ", ".join(f"{count:,} {what}" for what, count in sums.items() if what != "simulated")
    print(
        f"{len(seeds)} worlds in {seconds:.0f} s ({len(seeds) / seconds:.1f} a second): {len(broken)} broke a promise; "
        f"{told}, {sums['simulated'] / 86400:,.0f} simulated days"
    )
    for verdict in broken[:3]:
        cut = shrink(verdict.seed)
        print(f"\nseed {verdict.seed}, shrunk:")
        for happening in cut.plan().happenings:
            print(f"  {happening}")
        print(cut.command(), flush=True)
    return 1 if broken else 0


def _replay(cut: Cut) -> int:
    for number, happening in enumerate(draw(cut.seed).happenings):
        print(f"{number:4d} {happening}{'  (left out)' if number in cut.gone else ''}")
    verdict = play(cut.plan(), verbose=True)
    _tell(verdict)
    print(f"trace {verdict.trace}", flush=True)
    return 1 if verdict.violations else 0


def _tell(verdict: Verdict) -> None:
    print(f"\nseed {verdict.seed}: " + ("every promise kept" if not verdict.violations else ""))
    for violation in verdict.violations[:5]:
        print(f"  {violation}")
    if len(verdict.violations) > 5:
        print(f"  … and {len(verdict.violations) - 5} more")
    sys.stdout.flush()


def _progress(done: int, count: int, began: float, broken: int) -> None:
    if sys.stderr.isatty():
        rate = done / max(time.monotonic() - began, 1e-6)
        bar = "#" * (40 * done // count)
        print(f"\r[{bar:40}] {done}/{count}  {rate:.1f}/s  broken {broken} ", end="", file=sys.stderr, flush=True)
    elif done % TOLD_EVERY == 0:
        print(f"{done} of {count} worlds after {time.monotonic() - began:.0f} s, {broken} broke a promise", flush=True)


if __name__ == "__main__":
    from os import _exit

    status = main()
    sys.stdout.flush()
    _exit(status)
