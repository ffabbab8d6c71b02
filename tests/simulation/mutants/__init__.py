"""Wrong changes to the daemon, a patch each, by which the simulation shows that it would find them.

A mutant that survives is a hole in the oracle: mend the oracle. ``python -m tests.simulation.mutants`` applies each to
a copy of the sources, plays fresh worlds until one breaks a promise, and prints how many it took.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Mutant:
    """One wrong change; *wrong* says what is wrong with it."""

    name: str
    wrong: str
    patch: Path


def mutants() -> list[Mutant]:
    """All of them, by name."""
    return [
        Mutant(path.stem, path.read_text().partition("\n")[0].removeprefix("# "), path)
        for path in sorted(FOLDER.glob("*.patch"))
    ]


def plant(mutant: Mutant, folder: Path) -> None:
    """Copy the sources into *folder* and apply the patch there.

    :raises subprocess.CalledProcessError: the patch does not apply any more
    """
    for name in ("forwarder", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.patch"))
    # Outside of any repository of its own, whatever surrounds the folder.
    command = ["git", "apply", "-p1", str(mutant.patch)]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
