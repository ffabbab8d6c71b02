"""Events a second into an HTTP Event Collector on one core of ours, and what they are spent on.

``python -m benchmarks splunk`` starts itself once on the daemon's core, where it drives the sink as the worker does,
and once on the other core as a collector that reads each request and thanks for it: never what is waited for.
"""

import asyncio
import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass

from benchmarks.processes import DAEMON_CORE, PERSONA_CORE

BATCH = 500
_THANKS = b'{"text":"Success","code":0}'
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(_THANKS), _THANKS)


@dataclass(frozen=True, slots=True)
class Run:
    """One run: microseconds of the wall an event, whole and by stage, and bytes an event."""

    events: int
    whole: float
    journal: float
    envelopes: float
    gzip: float
    http: float
    bytes_an_event: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return 1e6 / self.whole

    @property
    def floors(self) -> float:
        """Compressing and posting alone, microseconds an event."""
        return self.gzip + self.http


def measure(events: int) -> Run:
    """Send *events* events to a collector on the other core, and measure the stages alone on the same events."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.splunk", "collector"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as collector:
        os.sched_setaffinity(collector.pid, {PERSONA_CORE})
        try:
            port = int(collector.stdout.readline()) if collector.stdout else 0
            command = ["taskset", "--cpu-list", str(DAEMON_CORE), sys.executable, "-m", "benchmarks.splunk"]
            sender = [*command, "sender", str(port), str(events)]
            done = subprocess.run(sender, check=True, stdout=subprocess.PIPE)
        finally:
            collector.terminate()
    return Run(**json.loads(done.stdout))


async def _collector() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
                await reader.readexactly(length)
                writer.write(_ANSWER)
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=1 << 22)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _sender(port: int, events: int) -> None:
    import aiohttp  # noqa: PLC0415 # the collector needs none of these

    from forwarder.delivery.intake import Intake  # noqa: PLC0415 # as above
    from forwarder.journal import StoredEvent  # noqa: PLC0415 # as above
    from forwarder.secret import Secret  # noqa: PLC0415 # as above
    from forwarder.simulator import World  # noqa: PLC0415 # as above
    from forwarder.sinks.base import Item, SinkContext  # noqa: PLC0415 # as above
    from forwarder.sinks.splunk_hec import SplunkHecSettings, SplunkHecSink  # noqa: PLC0415 # as above
    from forwarder.sinks.splunk_hec.envelope import envelope  # noqa: PLC0415 # as above

    settings = SplunkHecSettings.model_validate(
        {"url": f"http://127.0.0.1:{port}", "token": Secret("t" * 36), "ack": "off", "batch_max_events": BATCH}
    )
    world = World(records=events)
    stored = [
        StoredEvent(seq, "persona", resource["id"], 0, 0, 0, "org_1", "env_1", json.dumps(resource).encode(), None)
        for seq, (resource, _) in enumerate(world.slice(0, events), 1)
    ]
    intake = Intake(settings)
    sink = SplunkHecSink(settings, SinkContext("soc", "benchmark"))
    await sink.open()

    def read(part: Sequence[StoredEvent]) -> list[Item]:
        return [item for item in intake.take(part) if isinstance(item, Item)]

    batches = [stored[start : start + BATCH] for start in range(0, events, BATCH)]
    whole = await _timed(events, lambda: _in_turns(batches, sink.max_in_flight, lambda part: sink.send(read(part))))
    await sink.close()
    took, items = time.perf_counter(), [read(part) for part in batches]
    journal = _each(took, events)
    took, bodies = time.perf_counter(), [b"\n".join(envelope(item, settings) for item in part) for part in items]
    envelopes = _each(took, events)
    took, packed = time.perf_counter(), [gzip.compress(body, compresslevel=1, mtime=0) for body in bodies]
    compressed = _each(took, events)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=4)) as session:

        async def post(body: bytes) -> None:
            async with session.post(f"http://127.0.0.1:{port}/services/collector/event", data=body) as answer:
                await answer.read()

        http = await _timed(events, lambda: _in_turns(packed, 4, post))
    size = sum(map(len, bodies)) / events
    print(json.dumps(asdict(Run(events, whole, journal, envelopes, compressed, http, size))))


async def _in_turns(parts: Sequence[object], width: int, send: Callable[[object], Awaitable[None]]) -> None:
    """Send all *parts*, at most *width* of them at once."""
    left = iter(parts)

    async def one_after_the_other() -> None:
        for part in left:
            await send(part)

    await asyncio.gather(*(one_after_the_other() for _ in range(width)))


async def _timed(events: int, act: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await act()
    return _each(began, events)


def _each(began: float, events: int) -> float:
    """Microseconds an event since *began*."""
    return (time.perf_counter() - began) * 1e6 / events


if __name__ == "__main__":
    if sys.argv[1] == "collector":
        asyncio.run(_collector())
    else:
        asyncio.run(_sender(int(sys.argv[2]), int(sys.argv[3])))
