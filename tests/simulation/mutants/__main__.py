"""``python -m tests.simulation.mutants``: plant each mutant and see how many worlds it survives."""

import argparse
import re
import secrets
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.mutants import Mutant, mutants, plant
from tests.simulation.playing import memory_folder

MOST_WORLDS = 1000
"""Some wrong changes show only where the process dies at one moment of a first walk: one world in some hundred."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one mutant: the number of worlds until it was caught, or None, and by which broken promise."""

    mutant: Mutant
    worlds: int | None
    promise: str
    seconds: float


def main() -> int:
    """Try all, or those that are named; exit status 1 if one survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="try this one; may be given again")
    parser.add_argument("--worlds", type=int, default=MOST_WORLDS, help="most worlds that a mutant may survive")
    parser.add_argument("--first", type=int, help="the first seed; a fresh one by default")
    parser.add_argument(
        "--decisions", type=int, default=0, metavar="WORLDS", help="first, so many worlds of the pure decisions alone"
    )
    parser.add_argument("--jobs", type=int, default=2, help="worlds played side by side")
    options = parser.parse_args()
    first = secrets.randbelow(10**9) if options.first is None else options.first
    print(f"worlds from seed {first}\n\n| mutant | worlds until caught | by | s |\n|---|---|---|---|", flush=True)
    survivors = 0
    for mutant in mutants():
        if options.only and mutant.name not in options.only:
            continue
        trial = _try(mutant, first, options)
        survivors += trial.worlds is None
        survived = f"{options.decisions} of decisions and {options.worlds}" if options.decisions else options.worlds
        caught = f"**survived {survived}**" if trial.worlds is None else str(trial.worlds)
        print(f"| {mutant.name} | {caught} | {trial.promise} | {trial.seconds:.0f} |", flush=True)
    print(f"\n{survivors} survived")
    return 1 if survivors else 0


def _try(mutant: Mutant, first: int, options: argparse.Namespace) -> Trial:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-", dir=memory_folder()) as name:
        plant(mutant, Path(name))
        if options.decisions:
            trial = _decide(mutant, first, options, name)
            if trial.worlds is not None or not options.worlds:
                return trial
        command = [sys.executable, "-m", "tests.simulation", "--first", str(first), "--seeds", str(options.worlds)]
        command += ["--jobs", str(options.jobs), "--fail-fast"]
        done = subprocess.run(command, cwd=name, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    if done.returncode == 0:
        return Trial(mutant, None, "", seconds)
    found = re.search(r"^seed \d+:.*\n +(.*)$", done.stdout, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{mutant.name}: nothing was played:\n{done.stdout[-500:]}{done.stderr[-1500:]}")
    played = re.search(r"^(\d+) worlds were played$", done.stdout, re.MULTILINE)
    promise = re.sub(r"ual_\w+", "…", found[1]).replace("|", "/")
    return Trial(mutant, int(played[1]) if played else None, promise[:90], seconds)


def _decide(mutant: Mutant, first: int, options: argparse.Namespace, folder: str) -> Trial:
    """Plant it where the decisions alone are simulated, a hundred times faster."""
    began = time.monotonic()
    command = [sys.executable, "-m", "tests.simulation.decisions", "--first", str(first), "--fail-fast"]
    command += ["--seeds", str(options.decisions), "--jobs", str(options.jobs)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found = re.search(r"^seed (\d+): (.*)$", done.stdout, re.MULTILINE)
    if found is None and done.returncode != 0:
        raise RuntimeError(f"{mutant.name}: nothing was lived through:\n{done.stdout[-500:]}{done.stderr[-1500:]}")
    seconds = time.monotonic() - began
    if found is None:
        return Trial(mutant, None, "", seconds)
    return Trial(mutant, int(found[1]) - first + 1, f"decisions: {found[2].split(': Made(')[0]}"[:90], seconds)


if __name__ == "__main__":
    sys.exit(main())
