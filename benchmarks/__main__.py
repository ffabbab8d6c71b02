"""``python -m benchmarks``: measure, and print tables. ``--help`` says what can be left out or made smaller."""

import argparse
import platform
import sqlite3
from pathlib import Path
from statistics import median

from benchmarks import idle, memory, splunk, throughput
from benchmarks.processes import DAEMON_CORE, PERSONA_CORE
from benchmarks.throughput import STAGES, Run

NAMES = {
    "http": "HTTP alone (aiohttp, the same pages, unparsed)",
    "parse": "parsing alone (orjson)",
    "insert": "inserts alone (SQLite, a transaction a page)",
    "write": "file writes alone (fsync every 500 lines)",
}
PARTS = ("throughput", "splunk", "memory", "idle")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"what to measure: {', '.join(PARTS)}; all by default")
    parser.add_argument("--records", type=int, default=50_000, help="records of each throughput run")
    parser.add_argument("--runs", type=int, default=3, help="throughput runs")
    parser.add_argument("--backlog", type=int, default=1_000_000, help="events of the backlog")
    parser.add_argument("--idle", type=float, default=60.0, help="idle seconds, a multiple of 30")
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    parts = options.parts or PARTS
    print(f"{_processor()}, {platform.system()} {platform.release()}, Python {platform.python_version()}, ", end="")
    print(f"SQLite {sqlite3.sqlite_version}; daemon on core {DAEMON_CORE}, Persona on core {PERSONA_CORE}", flush=True)
    if "throughput" in parts:
        print(
            f"\nThroughput: source, journal and file sink, {options.records:,} records, {options.runs} runs", flush=True
        )
        _show_throughput([_told(throughput.measure(options.records)) for _ in range(options.runs)])
    if "splunk" in parts:
        print(
            f"\nSplunk: {options.records:,} events over gzip into an OpenTelemetry Collector, {options.runs} runs",
            flush=True,
        )
        _show_splunk([_told_splunk(splunk.measure(options.records)) for _ in range(options.runs)])
    if "idle" in parts:
        print(f"\nIdle for {options.idle:.0f} s, default settings", flush=True)
        _show_idle(idle.measure(options.idle))
    if "memory" in parts:
        print(f"\nBacklog of {options.backlog:,} events, the sink refuses connections", flush=True)
        _show_memory(memory.measure(options.backlog))


def _told(run: Run) -> Run:
    print(f"  {run.rate:,.0f} events/s: {run.wall:.0f} µs an event, {run.cpu:.0f} µs of them on the core", flush=True)
    return run


def _show_throughput(runs: list[Run]) -> None:
    print(f"\n  {'µs an event: median (min to max)':<48}{'by the wall':>24}{'on the core':>24}")
    for stage in STAGES:
        cells = (_spread([run.floors[stage][kind] for run in runs]) for kind in ("wall", "cpu"))
        print(f"  {NAMES[stage]:<48}" + "".join(f"{cell:>24}" for cell in cells))
    for label, values in (
        ("sum of the floors", [[run.floor(kind) for run in runs] for kind in ("wall", "cpu")]),
        ("the daemon, whole", [[run.wall for run in runs], [run.cpu for run in runs]]),
    ):
        print(f"  {label:<48}" + "".join(f"{_spread(value):>24}" for value in values))
    ratios = "".join(f"{_spread([run.ratio(kind) for run in runs], '.2f'):>24}" for kind in ("wall", "cpu"))
    print(f"  {'ratio of the whole to the floors':<48}{ratios}")
    print(f"  a line is {median(run.bytes_an_event for run in runs):.0f} bytes long")


def _show_splunk(runs: list[splunk.Run]) -> None:
    print(f"\n  {'µs an event on its core: median (min to max)':<60}")
    for label, values in (
        ("our sink, whole", [run.ours.cpu for run in runs]),
        ("  reading what is stored, and the format", [run.stages.journal for run in runs]),
        ("  envelopes", [run.stages.envelopes for run in runs]),
        ("  compressing (gzip, level 1)", [run.stages.gzip for run in runs]),
        ("  what is left: HTTP", [run.http for run in runs]),
        ("with acknowledgement, whole", [run.acknowledged.cpu for run in runs]),
        ("the Collector's exporter, whole", [run.theirs.cpu for run in runs]),
        ("  reading and parsing alone (filelog, json_parser)", [run.reading for run in runs]),
        ("  what is left: the exporter (envelopes, gzip, HTTP)", [run.exporter for run in runs]),
        ("the receiving Collector, on the other core", [run.receiving for run in runs]),
    ):
        print(f"  {label:<60}{_spread(values, '.1f'):>24}")
    for label, values in (
        ("events a second by the wall, ours to the exporter's", [run.ours.rate / run.theirs.rate for run in runs]),
        ("  with acknowledgement", [run.acknowledged.rate / run.theirs.rate for run in runs]),
        ("events a second of the core, ours to the exporter's", [run.theirs.cpu / run.ours.cpu for run in runs]),
        ("  less reading, parsing and formatting", [run.exporter / run.sink for run in runs]),
    ):
        print(f"  {label:<60}{_spread(values, '.2f'):>24}")
    print(f"  an event in its envelope is {median(run.stages.bytes_an_event for run in runs):.0f} bytes long")


def _told_splunk(run: splunk.Run) -> splunk.Run:
    print(
        f"  events/s: ours {run.ours.rate:,.0f}, with acknowledgement {run.acknowledged.rate:,.0f}, "
        f"the exporter {run.theirs.rate:,.0f}",
        flush=True,
    )
    return run


def _show_idle(found: idle.Idle) -> None:
    print(f"  requests: {found.requests} in {found.polls} polls (a sweep, every 15 minutes, takes a poll's place)")
    print(f"  on the core: {found.cpu_seconds:.3f} s; an hour would be {found.cpu_seconds_an_hour:.1f} s")
    print(f"  waking-ups: {found.switches} ({found.switches / found.seconds:.1f} a second)")
    print(f"  memory: {found.memory:.0f} MB")


def _show_memory(found: memory.Backlog) -> None:
    print(f"  collected in {found.collecting_seconds:.0f} s; the journal is {found.journal_bytes / 1e6:,.0f} MB long")
    print(f"  peak memory (VmHWM) after the start: {found.started:.0f} MB")
    print(f"  after collecting: {found.collecting:.0f} MB (RssAnon, the process's own: {found.anonymous:.0f} MB)")
    print(f"  after a new start, and draining: {found.restarted:.0f} MB")
    print(f"  a new start takes {found.start_seconds:.1f} s; draining into a file {found.drain_rate:,.0f} events/s")
    print(f"  /metrics took {found.metrics_seconds:.2f} s, /status {found.status_seconds:.2f} s")


def _spread(values: list[float], form: str = ".0f") -> str:
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
