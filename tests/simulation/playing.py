"""One seed, one process: a world is played in a child, so that what its dead daemons leave in memory dies with it."""

import gc
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.simulation.plan import Plan

MOST_SECONDS = 300
"""Real seconds after which a world counts as hung."""


@dataclass
class Verdict:
    """What came of one world."""

    seed: int
    violations: list[str] = field(default_factory=list)
    trace: str = ""
    seconds: float = 0.0
    figures: dict[str, int] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    """How often the daemons logged each event."""


def play(plan: Plan, *, verbose: bool = False) -> Verdict:
    """Play *plan* in this process. It should end soon after: dead daemons stay in its memory."""
    from tests.simulation.oracle import judge  # noqa: PLC0415 # the daemon's imports take a second
    from tests.simulation.stage import Stage  # noqa: PLC0415 # as above

    began = time.perf_counter()
    folder = Path(tempfile.mkdtemp(prefix="world-", dir=memory_folder()))
    try:
        stage = Stage(plan, folder, verbose=verbose)
        stage.play()
        violations = judge(stage)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    figures = {
        "records": len(stage.chronicle.made),
        "lives": len(stage.lives),
        "requests": len(stage.chronicle.asked),
        "receipts": sum(len(one.receipts) for one in stage.destinations.values()),
        "steps": stage.loop.steps,
        "crashes": sum(life.crashed for life in stage.lives),
        "simulated": int(stage.loop.time()),
    }
    told = dict(Counter(line["event"] for _, _, line in stage.chronicle.lines))
    return Verdict(plan.seed, violations, stage.chronicle.trace, time.perf_counter() - began, figures, told)


def play_apart(plans: Iterable[Plan], *, jobs: int) -> Iterator[Verdict]:
    """Play each of *plans* in a child of its own, *jobs* at a time; verdicts as they come."""
    _get_ready()
    running: dict[int, tuple[Plan, int, float]] = {}
    waiting = iter(plans)
    more = True
    while more or running:
        while more and len(running) < jobs:
            plan = next(waiting, None)
            if plan is None:
                more = False
                break
            pid, pipe = _fork(partial(play, plan))
            running[pid] = (plan, pipe, time.monotonic())
        if running:
            yield from _collect(running)


def _get_ready() -> None:
    """Import once, here, what every child needs, and keep their garbage collectors from looking at it."""
    importlib.import_module("tests.simulation.stage")
    importlib.import_module("tests.simulation.oracle")
    gc.collect()
    gc.freeze()


def _fork(work: Callable[[], Verdict]) -> tuple[int, int]:
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        return pid, read
    os.close(read)
    try:
        signal.alarm(MOST_SECONDS)
        outcome: dict[str, Any] = asdict(work())
    except BaseException:  # noqa: BLE001 # told to the parent, whatever it is
        outcome = {"seed": -1, "violations": [f"the world itself failed:\n{traceback.format_exc()}"]}
    with os.fdopen(write, "w") as stream:
        json.dump(outcome, stream)
    sys.stdout.flush()
    os._exit(0)  # nothing of the world is torn down: its dead daemons must not run their last words


def _collect(running: dict[int, tuple[Plan, int, float]]) -> Iterator[Verdict]:
    import select  # noqa: PLC0415 # beside its use

    ready, _, _ = select.select([pipe for _, pipe, _ in running.values()], [], [], 1.0)
    for pid, (plan, pipe, _) in list(running.items()):
        if pipe not in ready:
            continue
        with os.fdopen(pipe) as stream:
            text = stream.read()
        os.waitpid(pid, 0)
        del running[pid]
        if not text:
            yield Verdict(plan.seed, [f"the world hung for {MOST_SECONDS} s, or its process died"])
            continue
        verdict = Verdict(**json.loads(text))
        verdict.seed = plan.seed
        yield verdict


def memory_folder() -> str | None:
    """A folder in memory, where there is one: a world's disk is simulated anyhow."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
