"""The batches of one sink: those that wait, those on their way, and those acknowledged ahead of the cursor."""

import asyncio
from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from forwarder.clock import Clock
from forwarder.delivery.attempt import fault, outcome
from forwarder.delivery.batch import Batch, Cutter, Verdict, judge
from forwarder.delivery.pace import Pace
from forwarder.delivery.telling import Telling
from forwarder.delivery.window import Window
from forwarder.errors import Failure, Refused, Retryable
from forwarder.pulse import Pulse
from forwarder.sinks.base import Item, Sink

WAIT = 60.0
"""Longest wait for an answer before looking again, in seconds; an answer ends it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one send came to."""

    delivered: Sequence[Item]
    dead: Item | None
    failure: Failure | None


class Courier:
    """Sends batches side by side and takes their answers.

    Batches that have to be sent again go before new ones, in order. *wake* is set at each answer.
    """

    def __init__(self, sink: Sink[Any], telling: Telling, clock: Clock, wake: asyncio.Event) -> None:
        self._sink = sink
        self._telling = telling
        self._clock = clock
        self._wake = wake
        settings = sink.settings
        self._cutter = Cutter(settings.batch_max_events, settings.batch_max_bytes)
        self._again: list[Batch] = []
        self._sending: dict[asyncio.Task[Failure | None], tuple[Batch, float]] = {}
        self._pace = Pace(sink.max_in_flight)
        self._acknowledged: list[int] = []  # last sequence number of each batch that the cursor has not passed
        self._suspects = 0

    def begin(self, window: Window, *, may_repeat: bool) -> None:
        """Start on what *window* gets; with *may_repeat*, a run before this one may have sent the first batches."""
        self._window = window
        self._began = self._clock.now()
        self._suspects = self._sink.max_in_flight if may_repeat else 0

    @property
    def sending(self) -> bool:
        """Whether anything is on its way."""
        return bool(self._sending)

    @property
    def stocked(self) -> bool:
        """Whether a whole batch waits, so that reading on would only fill memory."""
        return self._cutter.full or bool(self._again)

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be sent."""
        return not self._again and not len(self._cutter)

    def add(self, item: Item) -> None:
        """Queue one event."""
        self._cutter.add(item)

    def trust_position(self) -> None:
        """Stop suspecting an earlier run: the destination itself says where it stands."""
        self._suspects = 0
        for batch in self._again:
            batch.doubt = None

    def drop_until(self, seq: int) -> list[Item]:
        """Take every waiting event up to *seq* out of the queues: the destination has it."""
        waiting = [*self._again]
        self._again.clear()
        known = [item for batch in waiting for item in batch.items if item.seq <= seq]
        for batch in waiting:
            batch.items = [item for item in batch.items if item.seq > seq]
            if batch.items:
                insort(self._again, batch, key=lambda one: one.first)
        return known + self._cutter.drop_until(seq)

    def launch(self, *, probing: bool) -> bool:
        """Send as many batches as the pace allows beyond the committed cursor, or one if this is only *probing*.

        Returns whether any was sent.
        """
        launched = False
        limit = 1 if probing else min(self._pace.limit, self._sink.max_in_flight)
        while len(self._sending) + len(self._acknowledged) < limit or (self._again and not self._sending):
            batch = self._next()
            if batch is None:
                break
            self._telling.sending(batch)
            send = outcome(partial(self._sink.send, batch.items), self._sink.longest_send, self._telling)
            task = asyncio.ensure_future(send)
            task.add_done_callback(lambda _: self._wake.set())
            self._sending[task] = (batch, self._clock.monotonic())
            launched = True
        return launched

    async def some_answer(self, pulse: Pulse) -> None:
        """Wait until one more send has its answer, also after the stop signal."""
        if pulse.stopping:  # whoever stops us bounds this, and cancels
            await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
        else:
            await pulse.wait(WAIT, self._wake)

    def answers(self) -> Iterator[Answer]:
        """Take the answers that have come, in the order of their batches."""
        done = [(batch, task, began) for task, (batch, began) in self._sending.items() if task.done()]
        for batch, task, began in sorted(done, key=lambda one: one[0].first):
            del self._sending[task]
            yield self._settle(batch, task.result(), self._clock.monotonic() - began)

    def committed(self, cursor: int) -> None:
        """Note that the journal has the cursor: what lies before it can no longer repeat."""
        self._acknowledged = [last for last in self._acknowledged if last > cursor]

    async def abandon(self) -> None:
        """Cancel what is on its way and wait until it has ended."""
        unanswered = sum(len(batch.items) for batch, _ in self._sending.values())
        unanswered += sum(batch.doubtful for batch in self._again)
        if unanswered:
            self._telling.left_unanswered(unanswered)
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        self._sending.clear()

    def _next(self) -> Batch | None:
        if self._again:
            return self._again.pop(0)
        items = self._cutter.take()
        if not items:
            return None
        batch = Batch(items)
        if self._suspects:
            old = sum(self._window.stored(item.seq).released_at <= self._began for item in items)
            self._suspects = self._suspects - 1 if old else 0
            batch.doubt, batch.doubtful = ("crash", old) if old else (None, 0)
        return batch

    def _settle(self, batch: Batch, failure: Failure | None, seconds: float) -> Answer:
        self._telling.answered(seconds)
        busy = isinstance(failure, Retryable) and failure.kind == "busy"
        self._pace.answered(strained=busy or self._sink.strained, in_flight=len(self._sending))
        try:
            verdict = judge(len(batch.items), failure)
        except ValueError as error:
            self._telling.faulty(error, "send")
            failure = fault(error)
            verdict = judge(len(batch.items), failure)
        delivered = batch.items[: verdict.delivered]
        if delivered:
            stored = [self._window.stored(item.seq) for item in delivered]
            self._telling.delivered(delivered, stored, seconds)
            self._acknowledged.append(delivered[-1].seq)
        if failure is not None:
            self._send_again(batch, verdict, failure)
        return Answer(delivered, None if verdict.dead is None else batch.items[verdict.dead], failure)

    def _send_again(self, batch: Batch, verdict: Verdict, failure: Failure) -> None:
        if isinstance(failure, Refused):
            self._telling.refused(batch, failure)
        unanswered = isinstance(failure, Retryable) and failure.unanswered
        again = failure.kind if isinstance(failure, Retryable) else _word(failure)
        for start, end in verdict.again:
            rest = Batch(batch.items[start:end], again=again)
            if unanswered:
                rest.doubt, rest.doubtful = again, end - start
            insort(self._again, rest, key=lambda one: one.first)


def _word(failure: Failure) -> str:
    return "refused" if isinstance(failure, Refused) else "misconfigured"
