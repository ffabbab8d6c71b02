"""What the daemon costs while nothing happens: requests, and seconds on its core, at default settings."""

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.processes import daemon, persona

SETTLE_SECONDS = 33.0
"""The first poll interval is for catching up; the first poll after it is still not counted."""


@dataclass(frozen=True, slots=True)
class Idle:
    """One idle stretch."""

    seconds: float
    polls: int
    requests: int
    cpu_seconds: float
    switches: int
    memory: float

    @property
    def cpu_seconds_an_hour(self) -> float:
        """Extrapolated from the stretch."""
        return self.cpu_seconds * 3600 / self.seconds


def measure(seconds: float, records: int = 1_000) -> Idle:
    """Let the daemon collect *records*, and then watch it for *seconds* (a multiple of 30) while nothing is new."""
    with TemporaryDirectory(prefix="forwarder-bench-") as name, persona(Path(name), records) as source:
        folder = Path(name)
        variables = {"FORWARDER_SINKS": "file", "FORWARDER_FILE_PATH": str(folder / "events.jsonl")}
        with daemon(folder, variables, source) as process:
            time.sleep(SETTLE_SECONDS)
            requests, cpu, switches = source.stats()["requests"], process.cpu_seconds(), process.switches()
            time.sleep(seconds)
            used, later = process.cpu_seconds() - cpu, source.stats()["requests"]
            return Idle(
                seconds=seconds,
                polls=int(seconds // 30),
                requests=later - requests,
                cpu_seconds=used,
                switches=process.switches() - switches,
                memory=process.memory("VmRSS"),
            )
