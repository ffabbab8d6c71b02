"""The destinations of a world: they take events, know what they have, and go wrong on request."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, cast
from zlib import crc32

import orjson

from forwarder.errors import Misconfigured, Refused, Retryable
from forwarder.sinks.base import Item, Position, Sink, SinkSettings
from tests.simulation.plan import SinkPlan


@dataclass(slots=True)
class Attempt:
    """One send of one life of the daemon."""

    life: int
    number: int
    at: float
    accepted: int = 0
    """How many of its events, from the first, the sender was told are in."""


@dataclass
class Receipt:
    """One event that a destination took."""

    attempt: Attempt
    place: int
    at: float
    id: str
    body: bytes
    seq: int = 0

    @cached_property
    def content(self) -> dict[str, Any]:
        """What it says."""
        found: dict[str, Any] = orjson.loads(self.body)
        return found


@dataclass
class Destination:
    """One destination. It outlives every daemon, and is the oracle's witness."""

    plan: SinkPlan
    life: int = 0
    trouble: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    position: Position | None = None
    had: set[str] = field(default_factory=set)
    """What it took and the journal has forgotten: it is left out when it comes again."""

    def of(self, life: int) -> list[Attempt]:
        """What that life has sent."""
        return [attempt for attempt in self.attempts if attempt.life == life]

    def suffer(self, trouble: str) -> None:
        """Go wrong as *trouble* says from now on; with an empty one, be well again.

        Whoever was told nothing of a position is refused all the same: what it does not know of has arrived meanwhile.
        """
        if self.trouble != "caught up" or trouble in {"down", "hang", "misconfigured"}:  # which end its session, too
            self.trouble = trouble

    def remember(self, known: int) -> None:
        """Whatever came after number *known* may come again, under another."""
        if self.plan.remembers:
            self.had |= {receipt.id for receipt in self.receipts if receipt.seq > known}
            self.position = Position(known)

    def refuses(self, record_id: str) -> bool:
        """Whether it will never take this event."""
        return crc32(f"{self.plan.name}/{record_id}".encode()) < self.plan.poison * 2**32

    def take(self, attempt: Attempt, batch: Sequence[Item]) -> None:
        """Have these for good."""
        now = asyncio.get_running_loop().time()
        for place, item in enumerate(batch):
            id_ = str(item.event.id)
            if id_ not in self.had:
                self.receipts.append(Receipt(attempt, place, now, id_, item.body, item.seq))
        if self.plan.remembers and batch:
            self.position = Position(batch[-1].seq, str(batch[-1].event.id))

    async def receive(self, batch: Sequence[Item]) -> None:
        """Take *batch*, or do what it has been told to do instead."""
        attempt = Attempt(self.life, len(self.attempts), asyncio.get_running_loop().time())
        self.attempts.append(attempt)
        await asyncio.sleep(self.plan.latency)
        try:
            await self._judge(attempt, batch)
        except (Retryable, Misconfigured) as failure:
            attempt.accepted = 0 if self.trouble == "absurd" else failure.accepted
            raise
        except Refused as failure:
            attempt.accepted = 0 if self.trouble in {"absurd", "senseless"} else failure.at or 0
            raise
        attempt.accepted = len(batch)

    async def _judge(self, attempt: Attempt, batch: Sequence[Item]) -> None:
        match self.trouble:
            case "down":
                raise Retryable("connection refused", kind="connection")
            case "busy":
                raise Retryable("busy", retry_after=20.0, kind="busy")
            case "hang":
                await asyncio.Event().wait()
            case "taken-then-hang":
                self.take(attempt, self._sound(batch))
                await asyncio.Event().wait()
            case "taken-then-reset":
                self.take(attempt, self._sound(batch))
                raise Retryable("reset", unanswered=True, kind="connection")
            case "prefix":
                some = self._sound(batch)[: max(1, len(batch) // 3)]
                self.take(attempt, some)
                raise Retryable("busy half-way", accepted=len(some), kind="busy")
            case "misconfigured":
                raise Misconfigured("the token is wrong")
            case "faulty" | "absurd" | "senseless" | "caught up":
                raise self._fault(len(batch))
            case "slow":
                await asyncio.sleep(10.0)
        self._refuse_or_take(attempt, batch)

    def _fault(self, size: int) -> BaseException:
        """A fault of the sink's own; one that is *absurd* raises what no sink may, each in its turn."""
        if self.trouble == "senseless":
            return Refused("one of these", at=cast("int", "the first"))
        if self.trouble == "caught up":
            return Retryable("another has sent since this was opened", kind="position")
        faults = (
            ValueError("a fault of the sink's own"),
            Retryable("more than there is", accepted=size + 1),
            Refused("none of these", at=size),
            asyncio.CancelledError(),
        )
        return faults[len(self.attempts) % len(faults) if self.trouble == "absurd" else 0]

    def _refuse_or_take(self, attempt: Attempt, batch: Sequence[Item]) -> None:
        sound = self._sound(batch)
        if len(sound) == len(batch):
            self.take(attempt, batch)
            return
        if not self.plan.points_out:
            raise Refused("something in it is not right")
        self.take(attempt, sound)
        raise Refused("this one is not right", at=len(sound))

    def _sound(self, batch: Sequence[Item]) -> Sequence[Item]:
        """All before the first that it refuses."""
        for place, item in enumerate(batch):
            if self.refuses(str(item.event.id)):
                return batch[:place]
        return batch


class WorldSettings(SinkSettings):
    """Settings of a world's sink."""


class WorldSink(Sink[WorldSettings]):
    """The daemon's side of a :class:`Destination`, found by the sink's name."""

    kind = "world"
    settings_model = WorldSettings
    destinations: ClassVar[dict[str, Destination]] = {}

    @property
    def _destination(self) -> Destination:
        return self.destinations[self.context.name]

    @property
    def max_in_flight(self) -> int:
        """As its plan says."""
        return self._destination.plan.in_flight

    @property
    def promise(self) -> str:
        """Whatever it takes, it has."""
        return "stored"

    @property
    def warnings(self) -> Sequence[str]:
        """While it is absurd, that it is."""
        return ("it is absurd",) if self._destination.trouble == "absurd" else ()

    @property
    def destination(self) -> str:
        """Its name."""
        return f"world://{self.context.name}"

    async def open(self) -> Position | None:
        """Ask for its position, if it remembers one."""
        destination = self._destination
        await asyncio.sleep(destination.plan.latency)
        match destination.trouble:
            case "down":
                raise Retryable("connection refused", kind="connection")
            case "misconfigured":
                raise Misconfigured("the token is wrong")
            case "absurd" if len(destination.attempts) % 3 == 0:
                now = asyncio.get_running_loop().time()
                destination.attempts.append(Attempt(destination.life, len(destination.attempts), now))
                raise Refused("an opening has no event to refuse")
            case "stale" if destination.position is not None:
                destination.trouble = "caught up"  # what it was sent before is on its way, and not seen yet
                return None
            case "caught up":
                destination.trouble = ""
        return destination.position

    async def rolled_back(self, known: int) -> None:
        """Let it look up what it has beyond *known*."""
        self._destination.remember(known)

    async def send(self, batch: Sequence[Item]) -> None:
        """Hand *batch* over."""
        await self._destination.receive(batch)

    async def close(self) -> None:
        """Nothing is held; an absurd one cannot be closed, and a senseless one fails at that."""
        if self._destination.trouble == "absurd":
            raise Retryable("not now")
        if self._destination.trouble == "senseless":
            raise ValueError("nothing to close")
