"""The worker over the real journal: to a file, over a crash, with dead letters, and to several sinks at once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, cast

import orjson
import pytest_asyncio

from forwarder.clock import BEGINNING, SECOND, SystemClock
from forwarder.delivery import DeliveryWorker
from forwarder.errors import Failure, Refused, Retryable
from forwarder.journal import CollectedRecord, Journal, PageRead, Row
from forwarder.journal.letters import list_dead_letters
from forwarder.metrics import Metrics
from forwarder.pulse import Pulse
from forwarder.record import Json
from forwarder.sinks.base import Item, Sink, SinkContext, SinkSettings
from forwarder.sinks.file import FileSettings, FileSink
from tests.delivery.scripted_sink import ScriptedSink


class Daemon:
    """A journal with workers; may be crashed and started again."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "forwarder.db"
        self.stop = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []
        self.metrics = Metrics("test")
        self.journal = cast("Journal", None)

    async def open(self) -> None:
        """Open the journal."""
        self.journal = await Journal.open(self.path, clock=SystemClock())

    def start(self, name: str, sink: Sink[Any]) -> DeliveryWorker:
        """Run a worker for *sink*."""
        worker = DeliveryWorker(
            name=name,
            sink=sink,
            kind=sink.kind,
            journal=self.journal,
            metrics=self.metrics,
            clock=SystemClock(),
            random=Random(3),
        )
        self.tasks.append(asyncio.ensure_future(worker.run(Pulse(self.stop, SystemClock()))))
        return worker

    async def collect(self, first: int, count: int) -> None:
        """Let one poll find *count* records, the newest first, as Persona lists them."""
        now = SystemClock().now()
        source = await self.journal.open_poll("persona", now=now, lookback=SECOND, sweep_interval=SECOND)
        rows = [Row(f"ual_{n:06d}", now - 60 * SECOND + n) for n in range(first + count - 1, first - 1, -1)]
        records = [CollectedRecord(row, orjson.dumps(resource(row.id)), None) for row in rows]
        page = PageRead(rows, None, now, now)
        await self.journal.collect("persona", source.gaps[-1].id, page, records=records, start_at=BEGINNING)

    async def until_empty(self, name: str) -> None:
        """Wait until the sink has everything."""
        async with asyncio.timeout(30):
            while (await self.journal.backlog(name)).events:  # noqa: ASYNC110 # the journal is asked, as status does
                await asyncio.sleep(0.01)

    async def halt(self) -> None:
        """Stop as asked."""
        self.stop.set()
        await asyncio.gather(*self.tasks)
        await self.journal.close()

    async def cancel(self) -> None:
        """End the workers in the middle of what they do."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()


def resource(name: str) -> Json:
    return {
        "type": "user-audit-log",
        "id": name,
        "attributes": {"created-at": "2026-03-01T09:15:02.331Z", "method": "GET", "path": f"/cases/{name}"},
    }


def ids(path: Path) -> list[str]:
    return [orjson.loads(line)["id"] for line in path.read_bytes().splitlines()]


@pytest_asyncio.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    daemon = Daemon(tmp_path)
    await daemon.open()
    yield daemon
    await daemon.cancel()
    await daemon.journal.close()


def file_sink(path: Path) -> FileSink:
    return FileSink(FileSettings(path=path, batch_max_events=50), SinkContext("archive", "j"))


async def test_everything_arrives_once_in_chronological_order_and_leaves_the_journal(
    daemon: Daemon, tmp_path: Path
) -> None:
    daemon.start("archive", file_sink(tmp_path / "out"))
    await daemon.collect(0, 400)
    await daemon.until_empty("archive")
    await daemon.collect(400, 30)
    await daemon.until_empty("archive")
    await daemon.halt()
    assert ids(tmp_path / "out") == [f"ual_{n:06d}" for n in range(430)]


async def test_a_worker_cut_off_anywhere_loses_nothing_and_repeats_at_most_one_batch_each_time(
    daemon: Daemon, tmp_path: Path
) -> None:
    random, rounds = Random(11), 15
    await daemon.journal.register_sink("archive", "file", start=None)
    await daemon.collect(0, 4000)
    for _ in range(rounds):
        daemon.start("archive", file_sink(tmp_path / "out"))
        await asyncio.sleep(random.uniform(0.005, 0.05))
        await daemon.cancel()
    daemon.start("archive", file_sink(tmp_path / "out"))
    await daemon.until_empty("archive")
    await daemon.halt()
    found = ids(tmp_path / "out")
    assert set(found) == {f"ual_{n:06d}" for n in range(4000)}
    assert len(found) - 4000 <= rounds * 50


async def test_dead_letters_are_kept_whole_with_their_reason(daemon: Daemon) -> None:
    def script(batch: Sequence[Item]) -> Failure | None:
        bad = [at for at, item in enumerate(batch) if item.event.id.endswith("7")]
        return Refused("no sevens here") if bad else None

    sink = ScriptedSink(script, settings=SinkSettings(batch_max_events=100))
    daemon.start("scripted", sink)
    await daemon.collect(0, 100)
    await daemon.until_empty("scripted")
    await daemon.halt()
    letters = [filed.letter for filed in reversed(list_dead_letters(daemon.path, sink="scripted"))]
    assert [letter.id for letter in letters] == [f"ual_{n:06d}" for n in range(7, 100, 10)]
    assert {letter.reason for letter in letters} == {"no sevens here"}
    assert orjson.loads(letters[0].body) == resource("ual_000007")
    assert len(sink.taken) == 90


async def test_a_sink_that_is_added_begins_now_and_one_that_comes_back_goes_on(daemon: Daemon, tmp_path: Path) -> None:
    """On an existing journal; what the absent one has still to get is kept for it."""
    daemon.start("first", file_sink(tmp_path / "first"))
    await daemon.collect(0, 10)
    await daemon.until_empty("first")
    await daemon.cancel()
    await daemon.journal.close()
    await daemon.open()
    daemon.start("second", file_sink(tmp_path / "second"))
    async with asyncio.timeout(10):
        while not (tmp_path / "second").exists():  # noqa: ASYNC110 # the file is the sink's own sign of life
            await asyncio.sleep(0.01)
    await daemon.collect(10, 10)
    await daemon.until_empty("second")
    assert ids(tmp_path / "second") == [f"ual_{n:06d}" for n in range(10, 20)]
    daemon.start("first", file_sink(tmp_path / "first"))
    await daemon.until_empty("first")
    await daemon.halt()
    assert ids(tmp_path / "first") == [f"ual_{n:06d}" for n in range(20)]


async def test_an_orderly_stop_remembers_what_was_taken_beyond_the_cursor(daemon: Daemon) -> None:
    """The first batch fails, and of the second an event is refused: what was taken before that is not sent again."""

    def script(batch: Sequence[Item]) -> Failure | None:
        if batch[0].event.id == "ual_000000":
            return Retryable("busy")
        bad = [at for at, item in enumerate(batch) if item.event.id == "ual_000015"]
        return Refused("not this one", at=bad[0]) if bad else None

    before, after = ScriptedSink(script, width=2), ScriptedSink()
    daemon.start("scripted", before)
    await daemon.collect(0, 20)
    async with asyncio.timeout(10):
        while before.opens < 2:  # noqa: ASYNC110 # the sink is asked, as its destination would be
            await asyncio.sleep(0.01)
    await daemon.halt()

    daemon.stop.clear()
    daemon.tasks.clear()
    await daemon.open()
    daemon.start("scripted", after)
    await daemon.until_empty("scripted")
    await daemon.halt()
    assert len(before.taken) == 5
    assert sorted([*before.taken, *after.taken]) == [*range(after.taken[0], after.taken[0] + 20)]


async def test_a_stop_that_cannot_wait_remembers_what_was_answered_at_that_very_moment(daemon: Daemon) -> None:
    """The answer is there, and the worker is cancelled before it has looked at it."""

    class Cancelling(ScriptedSink):
        async def send(self, batch: Sequence[Item]) -> None:
            await super().send(batch)
            daemon.tasks[0].cancel()

    before, after = Cancelling(), ScriptedSink()
    daemon.start("scripted", before)
    await daemon.collect(0, 10)
    await asyncio.gather(*daemon.tasks, return_exceptions=True)
    await daemon.journal.close()
    assert len(before.taken) == 10

    daemon.tasks.clear()
    await daemon.open()
    daemon.start("scripted", after)
    await daemon.collect(10, 1)
    await daemon.until_empty("scripted")
    await daemon.halt()
    assert len(after.taken) == 1


async def test_a_stop_that_cannot_wait_remembers_what_was_taken_beyond_a_batch_that_hangs(daemon: Daemon) -> None:
    """Whether its grace is over or a second signal came: the worker is cancelled."""
    before = ScriptedSink(lambda batch: 60.0 if batch[0].event.id == "ual_000000" else None, width=2)
    after = ScriptedSink()
    daemon.start("scripted", before)
    await daemon.collect(0, 20)
    async with asyncio.timeout(10):
        while not before.taken:  # noqa: ASYNC110 # the sink is asked, as its destination would be
            await asyncio.sleep(0.01)
    daemon.stop.set()
    await asyncio.sleep(0.05)
    await daemon.cancel()
    await daemon.journal.close()

    daemon.stop.clear()
    await daemon.open()
    daemon.start("scripted", after)
    await daemon.until_empty("scripted")
    await daemon.halt()
    assert len(before.taken) == len(after.taken) == 10
