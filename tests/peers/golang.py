"""Programs that Go builds from modules: its own proxy brings them into the cache, where each is built once."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.peers import CACHE, unavailable

Step = Callable[[str, Path], tuple[Sequence[str], Mapping[str, str]]]
"""From the path of ``go`` and the folder to build into: the command, and the environment that it needs."""


def built(name: str, what: str, step: Step) -> Path:
    """Give the folder *name* of the cache, into which *step* builds *what* the first time; skip where Go is missing."""
    home = CACHE / name
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / f"{name}.lock").open("w") as lock:  # two test processes build once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            _build(home, what, step)
    return home


def _build(home: Path, what: str, step: Step) -> None:
    go = shutil.which("go", path=f"{os.environ.get('PATH', '')}:/usr/local/go/bin")
    if go is None:
        unavailable(f"{what} is built with Go, and this machine has none")
    partial = home.with_name(f"{home.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    command, needed = step(go, partial)
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", **needed}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        unavailable(f"{what} cannot be built: {done.stderr.strip()[-500:]}")
    partial.rename(home)  # at the end: what is in the cache is whole
