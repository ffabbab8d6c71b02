"""A sink that does what a test tells it, and keeps what it took."""

import asyncio
from collections.abc import Callable, Sequence

from forwarder.errors import Failure, Misconfigured, Refused, Retryable
from forwarder.sinks.base import Item, Position, Sink, SinkContext, SinkSettings

Script = Callable[[Sequence[Item]], Failure | BaseException | float | None]
"""What a send does: None takes all, a number takes all after so many seconds, an exception is raised.

What the exception says was accepted is taken.
"""


class ScriptedSink(Sink[SinkSettings]):
    """Asks *script* before each send, *opening* before each open, *rollback* when it hears of one."""

    kind = "scripted"
    settings_model = SinkSettings

    def __init__(
        self,
        script: Script = lambda batch: None,
        *,
        settings: SinkSettings | None = None,
        opening: Callable[[], BaseException | float | Position | None] = lambda: None,
        rollback: Callable[[], BaseException | None] = lambda: None,
        width: int = 1,
    ) -> None:
        super().__init__(settings or SinkSettings(batch_max_events=10), SinkContext("scripted", "memory"))
        self.script = script
        self.opening = opening
        self.rollback = rollback
        self.rollbacks: list[int] = []
        self.width = width
        self.groans = False
        self.unsafe: tuple[str, ...] = ()
        self.taken: list[int] = []
        self.sends: list[list[int]] = []
        self.opens = 0
        self.closes = 0
        self.is_open = False
        self.running = 0
        self.most_running = 0

    @property
    def max_in_flight(self) -> int:
        return self.width

    @property
    def strained(self) -> bool:
        return self.groans

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.unsafe

    @property
    def promise(self) -> str:
        return "remembered"

    @property
    def destination(self) -> str:
        return "this test"

    async def rolled_back(self, known: int) -> None:
        assert self.is_open
        self.rollbacks.append(known)
        found = self.rollback()
        if found is not None:
            raise found

    async def open(self) -> Position | None:
        assert not self.is_open, "the worker closes before it opens again"
        self.opens += 1
        found = self.opening()
        if isinstance(found, BaseException):
            raise found
        if isinstance(found, float):
            await asyncio.sleep(found)
            found = None
        self.is_open = True
        return found

    async def send(self, batch: Sequence[Item]) -> None:
        assert self.is_open, "the worker opens before it sends"
        assert batch, "a batch is never empty"
        self.sends.append([item.seq for item in batch])
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        try:
            await self._send(batch)
        finally:
            self.running -= 1

    async def _send(self, batch: Sequence[Item]) -> None:
        found = self.script(batch)
        await asyncio.sleep(found if isinstance(found, float) else 0)
        seqs = [item.seq for item in batch]
        match found:
            case Retryable(accepted=count) | Misconfigured(accepted=count) | Refused(at=int(count)):
                self.taken += seqs[:count]
            case BaseException():
                pass
            case _:
                self.taken += seqs
        if isinstance(found, BaseException):
            raise found

    async def close(self) -> None:
        self.closes += 1
        self.is_open = False
