"""The most memory that the daemon ever takes with a long backlog, and what the backlog makes slow."""

import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.processes import Measured, Persona, admin_url, daemon, fetch, fetch_json, persona

SCRAPE_SECONDS = 5.0
DRAIN_SECONDS = 20.0
_PATIENCE = 1800.0


@dataclass(frozen=True, slots=True)
class Backlog:
    """What one long backlog came to. Memory in MB of 1,000,000 bytes, times in seconds."""

    events: int
    collecting_seconds: float
    journal_bytes: int
    started: float
    """Peak of a daemon that has just started on an empty journal."""
    collecting: float
    """Peak after it collected the whole backlog, scraped every few seconds meanwhile."""
    anonymous: float
    """Of that, what is the process's own: the rest is shared libraries and files."""
    restarted: float
    """Peak of a new daemon that opens the journal with the backlog in it and drains it into a file."""
    start_seconds: float
    drained: int
    drain_rate: float
    metrics_seconds: float
    status_seconds: float


def measure(events: int) -> Backlog:
    """Let the real daemon collect *events* while its Splunk refuses connections; then start it anew with a file too."""
    with TemporaryDirectory(prefix="forwarder-bench-") as name, persona(Path(name), events) as source, _dead() as port:
        folder = Path(name)
        variables = {
            "FORWARDER_SINKS": "splunk_hec",
            "FORWARDER_SPLUNK_HEC_URL": f"http://127.0.0.1:{port}",
            "FORWARDER_SPLUNK_HEC_TOKEN": "00000000-0000-0000-0000-000000000000",
            "FORWARDER_PERSONA_RATE_SHARE": "1",
            "FORWARDER_STATE_MAX_BYTES": "64GiB",
        }
        began = time.monotonic()
        with daemon(folder, variables, source) as process:
            url = admin_url(process)
            started = process.memory("VmHWM")
            metrics, status = _until_collected(process, url, events)
            took = time.monotonic() - began
            collecting, anonymous = process.memory("VmHWM"), process.memory("RssAnon")
        size = sum(path.stat().st_size for path in folder.glob("forwarder.db*"))
        again = _again(folder, variables, source)
        return Backlog(events, took, size, started, collecting, anonymous, *again, metrics, status)


def _until_collected(process: Measured, url: str, events: int) -> tuple[float, float]:
    """Scrape until all is collected; returns how long the last scrape of each kind took."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        process.check()
        then = time.monotonic()
        text = fetch(f"{url}/metrics").decode()
        middle = time.monotonic()
        backlog = fetch_json(f"{url}/status")["sinks"][0]["backlog_events"]
        end = time.monotonic()
        found = re.search(r'^forwarder_events_collected_total\{source="persona"\} (\S+)', text, re.MULTILINE)
        if found and float(found[1]) == events == backlog:
            return middle - then, end - middle
        if end > deadline:
            raise RuntimeError(f"{backlog} of {events} events were collected within {_PATIENCE:.0f} s")
        time.sleep(SCRAPE_SECONDS)


def _again(folder: Path, variables: dict[str, str], source: Persona) -> tuple[float, float, int, float]:
    lines = folder / "drained.jsonl"
    more = variables | {
        "FORWARDER_SINKS": "splunk_hec,file",
        "FORWARDER_FILE_PATH": str(lines),
        "FORWARDER_FILE_START": "all",
    }
    (folder / "daemon.log").unlink()
    began = time.monotonic()
    with daemon(folder, more, source) as process:
        url = admin_url(process)
        started = time.monotonic() - began
        fetch(f"{url}/metrics")
        before, then = _lines(lines), time.monotonic()
        time.sleep(DRAIN_SECONDS)
        fetch(f"{url}/status")
        drained, took = _lines(lines), time.monotonic() - then
        return process.memory("VmHWM"), started, drained, (drained - before) / took


def _lines(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


class _dead:  # noqa: N801 # used as a function
    """A port where nobody listens, held so that nobody else takes it."""

    def __enter__(self) -> int:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        return int(self._socket.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._socket.close()
