"""Events a second into an OpenTelemetry Collector on one core, beside the Collector's own exporter for Splunk.

``python -m benchmarks splunk``. One collector on one core takes Splunk's protocol and writes what it is sent to a file.
On the other core, one after the other, send the same events to it over gzip, in batches of the same size, over four
connections: our sink, driven as the worker does, from events as the journal stores them; the sink with
acknowledgement; and a second collector, whose ``splunkhecexporter`` sends what its ``filelog`` receiver reads and
parses from a file of the same events as our format writes them. At the end all have to be in the collector's file.

Both cores' processes are started by this one, which waits; a sender is this module as a program of its own.
"""

import asyncio
import gc
import gzip
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.processes import DAEMON_CORE, PERSONA_CORE, Measured

if TYPE_CHECKING:
    from tests.peers.otel_collector import OtelCollector

BATCH = 500
_QUIET = 0.05
"""Seconds of processor time in a second below which a collector counts as having nothing to do."""


@dataclass(frozen=True, slots=True)
class Side:
    """One sender: events a second by the wall, and microseconds an event on its core."""

    rate: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Stages:
    """What our sink's processor time goes into, microseconds an event; and bytes an event in its envelope."""

    journal: float
    envelopes: float
    gzip: float
    bytes_an_event: float


@dataclass(frozen=True, slots=True)
class Run:
    """One run: our sink, with acknowledgement too, and the exporter; their reading is what comes before the exporter.

    :ivar reading: microseconds an event on the core that the other collector reads and parses for
    :ivar receiving: microseconds an event that the collector which takes all needs on its own core
    """

    ours: Side
    acknowledged: Side
    theirs: Side
    stages: Stages
    reading: float
    receiving: float

    @property
    def http(self) -> float:
        """What is left of our processor time: HTTP, and the sink's own work."""
        return self.ours.cpu - self.stages.journal - self.stages.envelopes - self.stages.gzip

    @property
    def sink(self) -> float:
        """Our processor time without reading and formatting."""
        return self.ours.cpu - self.stages.journal

    @property
    def exporter(self) -> float:
        """Theirs without reading and parsing."""
        return self.theirs.cpu - self.reading


def measure(events: int) -> Run:
    """Send *events* events in each way, and measure our stages alone on the same events."""
    from tests.peers.otel_collector import OtelCollector, relaying  # noqa: PLC0415 # the senders need none of it

    with TemporaryDirectory(prefix="bench-splunk-") as name:
        folder = Path(name)
        collector = OtelCollector(folder, keep_alive=True)
        collector.start(["taskset", "--cpu-list", str(PERSONA_CORE)])
        receiver = Measured(collector.program.process, collector.program.log)
        try:
            used = receiver.cpu_seconds()
            ours, stages = _ours(collector, "off", events, folder / "events.jsonl")
            receiving = (receiver.cpu_seconds() - used) * 1e6 / events
            acknowledged, _ = _ours(collector, "on", events, folder / "again.jsonl")
            ready, hidden = folder / "ready" / "events.jsonl", folder / "events.jsonl"
            ready.parent.mkdir()
            theirs = _theirs(relaying(ready, collector.url, batch=BATCH), hidden, ready, events, collector)
            ready.rename(hidden)
            reading = _theirs(relaying(ready, None, batch=BATCH), hidden, ready, events, None)
        finally:
            collector.stop()
    return Run(ours, acknowledged, theirs, stages, reading.cpu, receiving)


def _ours(collector: "OtelCollector", ack: str, events: int, lines: Path) -> tuple[Side, Stages]:
    """Send by our sink; it leaves the events, as the other collector is to read them, in *lines*."""
    before = len(collector.stored())
    command = ["taskset", "--cpu-list", str(DAEMON_CORE), sys.executable, "-m", "benchmarks.splunk"]
    command += [collector.url, ack, str(events), str(lines)]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    _all_are_in(collector, before, lines)
    return Side(**found["side"]), Stages(**found["stages"])


def _theirs(
    configuration: dict[str, object], hidden: Path, ready: Path, events: int, collector: "OtelCollector | None"
) -> Side:
    """Start the other collector, and once it waits, give it the events."""
    from tests.peers.otel_collector import find_otel_collector  # noqa: PLC0415 # as in `measure`

    before = 0 if collector is None else len(collector.stored())
    written, log = hidden.with_name("relaying.json"), hidden.with_name("relaying.log")
    written.write_text(json.dumps(configuration))
    command = ["taskset", "--cpu-list", str(DAEMON_CORE), find_otel_collector(), "--config", written]
    with log.open("ab") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        measured = Measured(process, log)
        try:
            used = _settled(measured)
            began = time.time()
            hidden.rename(ready)
            cpu = (_settled(measured) - used) * 1e6 / events
        finally:
            process.terminate()
    if collector is None:
        return Side(0.0, cpu)
    took = collector.file.stat().st_mtime - began
    _all_are_in(collector, before, ready)
    return Side(events / took, cpu)


def _settled(measured: Measured) -> float:
    """Wait until a process has nothing to do; returns its processor seconds so far."""
    used, before = measured.cpu_seconds(), -1.0
    while used - before > _QUIET:
        time.sleep(1.0)
        measured.check()
        used, before = measured.cpu_seconds(), used
    return used


def _all_are_in(collector: "OtelCollector", before: int, lines: Path) -> None:
    """Raise RuntimeError unless exactly the events of *lines* have come into the collector's file, and as they are."""
    found = sorted(((one.event, one.attributes) for one in collector.stored()[before:]), key=lambda one: one[0]["id"])
    events = sorted((json.loads(line) for line in lines.read_bytes().splitlines()), key=lambda event: str(event["id"]))
    common = {"host.name": "org_1", "com.splunk.source": "persona", "com.splunk.sourcetype": "persona:user_audit_log"}
    if found != [(event, {**common, "log_id": event["id"]}) for event in events]:
        raise RuntimeError(f"{len(events)} events were sent, and {len(found)} are in the file, or not as they were")


async def _send(url: str, ack: str, events: int, lines: Path) -> None:
    """Be the sender: measure the sink, then the stages on the same events, and print both."""
    from forwarder.cli.run import GC_THRESHOLD  # noqa: PLC0415 # the starting process needs none of these
    from forwarder.delivery.intake import Intake  # noqa: PLC0415 # as above
    from forwarder.journal import StoredEvent  # noqa: PLC0415 # as above
    from forwarder.secret import Secret  # noqa: PLC0415 # as above
    from forwarder.simulator import World  # noqa: PLC0415 # as above
    from forwarder.sinks.base import Item, SinkContext  # noqa: PLC0415 # as above
    from forwarder.sinks.splunk_hec import SplunkHecSettings, SplunkHecSink  # noqa: PLC0415 # as above
    from forwarder.sinks.splunk_hec.envelope import envelope  # noqa: PLC0415 # as above

    settings = SplunkHecSettings.model_validate(
        {"url": url, "token": Secret("t" * 36), "ack": ack, "batch_max_events": BATCH}
    )
    world = World(records=events)
    stored = [
        StoredEvent(seq, "persona", resource["id"], 0, 0, 0, "org_1", "env_1", json.dumps(resource).encode(), None)
        for seq, (resource, _) in enumerate(world.slice(0, events), 1)
    ]
    gc.freeze()  # as the daemon does, which does not hold all events either
    gc.set_threshold(GC_THRESHOLD, *gc.get_threshold()[1:])
    intake = Intake(settings)
    sink = SplunkHecSink(settings, SinkContext("soc", "benchmark"))
    await sink.open()

    def read(part: Sequence[StoredEvent]) -> list[Item]:
        return [item for item in intake.take(part) if isinstance(item, Item)]

    batches = [stored[start : start + BATCH] for start in range(0, events, BATCH)]
    began, used = time.perf_counter(), time.process_time()
    await _in_turns(batches, sink.max_in_flight, lambda part: sink.send(read(part)))
    side = Side(events / (time.perf_counter() - began), (time.process_time() - used) * 1e6 / events)
    await sink.close()
    formatted, spent, size = bytearray(), [0.0, 0.0, 0.0], 0
    for part in batches:  # batch by batch, as the sink meets them, so that the same is still in the processor's caches
        marks, items = [time.process_time()], read(part)
        marks.append(time.process_time())
        body = b"\n".join([envelope(item, settings) for item in items])
        marks.append(time.process_time())
        gzip.compress(body, compresslevel=1, mtime=0)
        marks.append(time.process_time())
        spent = [so_far + end - start for so_far, (start, end) in zip(spent, pairwise(marks), strict=True)]
        size += len(body)
        formatted += b"".join(item.body + b"\n" for item in items)
    await asyncio.to_thread(lines.write_bytes, formatted)
    stages = Stages(*(one * 1e6 / events for one in spent), size / events)
    print(json.dumps({"side": asdict(side), "stages": asdict(stages)}))


async def _in_turns(parts: Sequence[object], width: int, send: Callable[[object], Awaitable[None]]) -> None:
    """Send all *parts*, at most *width* of them at once."""
    left = iter(parts)

    async def one_after_the_other() -> None:
        for part in left:
            await send(part)

    await asyncio.gather(*(one_after_the_other() for _ in range(width)))


if __name__ == "__main__":
    asyncio.run(_send(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])))
