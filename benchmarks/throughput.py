"""Events a second through source, journal and file sink on one core, held against the floors of the stages."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.processes import DAEMON_CORE, Measured, Persona, daemon, persona

STAGES = ("http", "parse", "insert", "write")
_STEP = 0.02
_PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Run:
    """One run. Times are microseconds an event: by the wall, and on the core."""

    events: int
    wall: float
    cpu: float
    floors: dict[str, dict[str, float]]
    bytes_an_event: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return 1e6 / self.wall

    def floor(self, kind: str) -> float:
        """Sum of the floors, microseconds an event; *kind* is ``wall`` or ``cpu``."""
        return sum(self.floors[stage][kind] for stage in STAGES)

    def ratio(self, kind: str) -> float:
        """How many times the sum of the floors the whole takes."""
        return (self.wall if kind == "wall" else self.cpu) / self.floor(kind)


def measure(records: int) -> Run:
    """Forward *records* through the real daemon, and then measure the floors on the same pages."""
    with TemporaryDirectory(prefix="forwarder-bench-") as name, persona(Path(name), records) as source:
        folder = Path(name)
        lines = folder / "events.jsonl"
        variables = {
            "FORWARDER_SINKS": "file",
            "FORWARDER_FILE_PATH": str(lines),
            "FORWARDER_PERSONA_RATE_SHARE": "1",
        }
        with daemon(folder, variables, source) as process:
            events, wall, cpu = _watch(process, lines, records)
        return Run(events, wall, cpu, _floors(source, folder, lines), lines.stat().st_size / records)


def _watch(process: Measured, lines: Path, records: int) -> tuple[int, float, float]:
    """Measure from the first batch on the disk to the last, so that starting up does not count."""
    seen, size, began = 0, 0, None
    deadline = time.monotonic() + _PATIENCE
    while seen < records:
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {seen} of {records} events came within {_PATIENCE:.0f} s")
        process.check()
        time.sleep(_STEP)
        if not lines.exists() or lines.stat().st_size == size:
            continue
        with lines.open("rb") as file:
            file.seek(size)
            new = file.read()
        seen, size = seen + new.count(b"\n"), size + len(new)
        if began is None:
            began = (seen, time.perf_counter(), process.cpu_seconds())
    if began is None:
        raise RuntimeError("nothing came")
    first, then, before = began
    wall, cpu = time.perf_counter() - then, process.cpu_seconds() - before
    events = seen - first
    return events, wall * 1e6 / events, cpu * 1e6 / events


def _floors(source: Persona, folder: Path, lines: Path) -> dict[str, dict[str, float]]:
    found = subprocess.run(
        [
            "taskset",
            "--cpu-list",
            str(DAEMON_CORE),
            sys.executable,
            "-m",
            "benchmarks.floors",
            source.url,
            source.api_key,
            str(folder),
            str(lines),
        ],
        check=True,
        stdout=subprocess.PIPE,
    )
    return dict(json.loads(found.stdout))
