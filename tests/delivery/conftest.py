"""A worker over a journal in memory and a scripted sink, under simulated time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING, Any, cast

import pytest
import pytest_asyncio

from forwarder.clock import SystemClock
from forwarder.delivery import DeliveryWorker
from forwarder.metrics import Metrics
from forwarder.pulse import Pulse
from forwarder.sinks.base import Sink
from tests.delivery.memory_journal import MemoryJournal

if TYPE_CHECKING:
    from forwarder.journal import Journal


class Rig:
    """Starts and stops workers on one journal, and reads their metrics."""

    def __init__(self, journal: MemoryJournal) -> None:
        self.journal = journal
        self.metrics = Metrics("test")
        self.stop = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    def worker(self, sink: Sink[Any], name: str = "scripted") -> DeliveryWorker:
        """Make a worker for *sink* that nobody runs yet."""
        return DeliveryWorker(
            name=name,
            sink=sink,
            kind=sink.kind,
            journal=cast("Journal", self.journal),
            metrics=self.metrics,
            clock=SystemClock(),
            random=Random(7),
        )

    def start(self, sink: Sink[Any], name: str = "scripted") -> DeliveryWorker:
        """Make a worker for *sink* and run it."""
        worker = self.worker(sink, name)
        self.run(worker)
        return worker

    def run(self, worker: DeliveryWorker) -> asyncio.Task[None]:
        """Run *worker* in the background."""
        task = asyncio.ensure_future(worker.run(Pulse(self.stop, SystemClock())))
        self.tasks.append(task)
        return task

    async def until(self, condition: Callable[[], object], seconds: float = 3600) -> None:
        """Let (simulated) time pass until *condition* holds, and a hundredth of that more at most."""
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 # any condition, about parts that know no event of it
                await asyncio.sleep(max(0.01, (asyncio.get_running_loop().time() - began) / 100))

    async def until_at(self, seq: int, name: str = "scripted", seconds: float = 3600) -> None:
        """Let time pass until the sink's cursor is *seq*."""
        await self.until(lambda: self.journal.cursors.get(name) == seq, seconds)

    async def halt(self) -> None:
        """Ask all to stop, and wait until they have."""
        self.stop.set()
        await asyncio.gather(*self.tasks)
        self.tasks.clear()

    def value(self, metric: str, **labels: str) -> float:
        """Read one sample of the sink's metrics; 0 where it does not exist yet."""
        found = self.metrics.registry.get_sample_value(f"forwarder_{metric}", {"sink": "scripted", **labels})
        return found or 0.0


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[Rig]:
    """One rig; what it runs is ended with the test."""
    rig = Rig(MemoryJournal())
    yield rig
    rig.stop.set()
    for task in rig.tasks:
        task.cancel()
    await asyncio.gather(*cast("list[Awaitable[None]]", rig.tasks), return_exceptions=True)


@pytest.fixture
def interrupted(rig: Rig) -> Rig:
    """The rig over a journal whose last run crashed."""
    rig.journal.interrupted = True
    return rig
