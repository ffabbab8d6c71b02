"""``python -m tests.simulation.decisions``: many worlds, or one again; exit status 1 where a promise was broken."""

import argparse
import secrets
import sys
import time

from tests.simulation.decisions.campaign import Tally, campaign
from tests.simulation.decisions.plan import WITHOUT
from tests.simulation.decisions.shrink import Cut, shrink
from tests.simulation.decisions.verdict import live

FAILURES = 5
"""So many failing worlds are enough."""

TOLD_EVERY = 60.0
"""Seconds between two lines, where there is no terminal for a progress bar."""


def main() -> int:
    """Do as the command line says."""
    given = _arguments()
    first = secrets.randbelow(1 << 48) if given.first is None else given.first
    if given.without or given.records is not None:
        return _replay(Cut(first, given.without, given.records))
    began = time.monotonic()
    print(f"first seed {first}", flush=True)

    told, told_of = began, list[int]()

    def progress(tally: Tally) -> bool:
        nonlocal told
        now = time.monotonic()
        spent = now - began
        if sys.stderr.isatty():
            done = tally.worlds * 40 // given.seeds
            rate = tally.worlds / spent
            print(
                f"\r[{'#' * done}{'.' * (40 - done)}] {tally.worlds:,} of {given.seeds:,}, {rate:,.0f} a second",
                end="",
                file=sys.stderr,
                flush=True,
            )
        elif now - told >= TOLD_EVERY:
            told = now
            print(
                f"{tally.worlds:,} of {given.seeds:,} worlds after {spent:,.0f} s, {len(tally.failed)} broke a promise",
                flush=True,
            )
        for verdict in tally.failed[len(told_of) :]:
            told_of.append(verdict.seed)
            print(f"seed {verdict.seed}: {verdict.violation}", flush=True)
        limit = 1 if given.fail_fast else FAILURES
        return len(tally.failed) < limit and (given.minutes is None or spent < given.minutes * 60)

    tally = campaign(first, given.seeds, jobs=given.jobs, progress=progress)
    _report(tally, time.monotonic() - began, shrinks=not given.fail_fast)
    return 1 if tally.failed else 0


def _report(tally: Tally, seconds: float, *, shrinks: bool) -> None:
    if sys.stderr.isatty():
        print(file=sys.stderr)
    for what, worlds in sorted(tally.seen.items(), key=lambda one: -one[1]):
        print(f"{worlds:10,}  {what}")
    for verdict in sorted(tally.failed, key=lambda one: one.seed)[:FAILURES]:
        print(f"seed {verdict.seed}: {verdict.violation}")
        if shrinks:
            cut, smaller = shrink(verdict.seed)
            print(f"  smaller: {smaller.violation}\n  {cut.command()}")
    print(
        f"{tally.worlds:,} worlds, {tally.requests:,} requests, {len(tally.failed)} with a violation; "
        f"{seconds:,.0f} s, {tally.worlds / seconds:,.0f} worlds a second"
    )


def _replay(cut: Cut) -> int:
    verdict = live(cut.plan())
    print(f"{cut.command()}\n{verdict.violation or 'no violation'}")
    return 0 if verdict.violation is None else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.decisions", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many worlds")
    parser.add_argument("--first", type=int, help="the first seed; a random one by default")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--minutes", type=float, help="begin no further worlds after so long")
    parser.add_argument("--fail-fast", action="store_true", help="end at the first violation, and do not shrink it")
    parser.add_argument("--without", type=_dimensions, default=(), help=f"take dimensions out: {', '.join(WITHOUT)}")
    parser.add_argument("--records", type=_numbers, help="keep only the records of these numbers")
    return parser.parse_args()


def _dimensions(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - WITHOUT.keys():
        raise argparse.ArgumentTypeError(f"no such dimension: {', '.join(sorted(unknown))}")
    return names


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(",") if number)


if __name__ == "__main__":
    sys.exit(main())
