"""One sink's worker: read, filter, format, send, commit; and again after every failure.

The worker is the only one who waits, retries, counts and logs for a sink. It decides by pure parts:
:mod:`~forwarder.delivery.batch` (what goes together, what becomes of a batch), :mod:`~forwarder.delivery.window` (how
far the cursor may move), :mod:`~forwarder.delivery.pace` (how much at once), :mod:`~forwarder.delivery.health` (how
long to pause, what is news).

At most ``max_in_flight`` batches are sent beyond the cursor that the journal has, so a crash repeats at most these. All
state is made in :meth:`DeliveryWorker.run`: a worker that failed can be run again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from typing import Any, TypeVar

from forwarder.clock import Clock
from forwarder.delivery.account import Account
from forwarder.delivery.attempt import attempt, close, fault
from forwarder.delivery.batch import worse
from forwarder.delivery.courier import Courier
from forwarder.delivery.health import SinkHealth
from forwarder.delivery.intake import Intake, Unsendable
from forwarder.delivery.telling import Telling
from forwarder.errors import Failure, Misconfigured, Refused, Retryable
from forwarder.journal import DeadLetter, Journal, StoredEvent
from forwarder.metrics import Metrics
from forwarder.pulse import Pulse, Stopping
from forwarder.sinks.base import Item, Position, Sink

T = TypeVar("T")

IDLE = 60.0
"""Longest wait for something to do, in seconds; a release or an answer ends it at once."""


class DeliveryWorker:
    """Delivers what the journal releases to one sink, for ever.

    :ivar name: the sink's configured name
    :ivar health: how it is doing, for the probes and the status page
    :raises ValueError: one of the sink's filters cannot be read
    """

    def __init__(
        self,
        *,
        name: str,
        sink: Sink[Any],
        kind: str,
        journal: Journal,
        metrics: Metrics,
        clock: Clock,
        random: Random,
    ) -> None:
        self.name = name
        self.health = SinkHealth(name, metrics, clock)
        self._sink = sink
        self._clock = clock
        self._random = random
        self._intake = Intake(sink.settings)
        self._telling = Telling(name, metrics, clock)
        self._account = Account(name, kind, sink.settings, journal, self._telling)
        self._opened_before = False
        self._in_open = False
        self._interrupted = journal.interrupted
        self._wake = journal.subscribe()

    @property
    def promise(self) -> str:
        """What the destination can prove, in the contract's words."""
        return str(self._sink.promise)

    @property
    def destination(self) -> str:
        """Where the events go, for people, without secrets."""
        return str(self._sink.destination)

    async def run(self, pulse: Pulse) -> None:
        """Deliver until the stop signal; then finish what is in flight, and close the sink.

        :raises ForwarderError: the journal cannot be used any more
        """
        self.health.opening()
        self._courier = Courier(self._sink, self._telling, self._clock, self._wake)
        try:
            self._window = await self._account.open(pulse)
        except Stopping:
            return
        self._courier.begin(self._window, may_repeat=self._interrupted)
        self._interrupted = True  # until this run ends well
        try:
            while not pulse.stopping:
                failure = await self._session(pulse)
                await close(self._sink, self._telling)
                if failure is not None:
                    await self._recover(failure, pulse)
            self._interrupted = self._account.is_behind(self._window)
            await self._account.remember(self._window)
        except asyncio.CancelledError:
            # The grace is over, or there was none: what was taken beyond a batch that hangs is known all the same, and
            # so is what was answered at this very moment.
            self._take_answers()
            await self._account.remember(self._window)
            raise
        finally:
            await self._courier.abandon()
            await close(self._sink, self._telling)
            self.health.stopped()

    async def _session(self, pulse: Pulse) -> Failure | None:
        """Open the sink and deliver until it fails or all stop; returns what failed."""
        try:
            await self._reconcile(await self._opening(self._sink.open, "open", pulse), pulse)
        except Stopping:
            return None
        except (Retryable, Misconfigured) as failure:
            self._in_open = True
            return failure
        self._in_open = False
        self._telling.opened(self.destination, self.promise, first=not self._opened_before)
        self._telling.warned(self._sink.warnings)
        self._opened_before = True
        self._telling.healed(self.health.opened(nothing_to_send=self._courier.idle))
        return await self._deliver(pulse)

    async def _opening(self, call: Callable[[], Awaitable[T]], act: str, pulse: Pulse) -> T:
        """Make a *call* of the sink that belongs to opening it.

        :raises Failure: it failed
        :raises Stopping: a stop cut that short
        """
        try:
            return await pulse.unless_stopped(attempt(call, self._sink.settings.timeout, self._telling, act))
        except Refused as failure:  # an opening has no event to refuse
            self._telling.faulty(failure, act)
            raise fault(failure) from failure

    async def _reconcile(self, position: Position | None, pulse: Pulse) -> None:
        """Take the position that the destination itself remembers as proof, if it is one of this journal's.

        It is, if the journal holds that very event. If not, a state of the journal that was lost had given that out,
        and no number says any more what of ours the destination has: the sink hears of it, and is sent all.

        :raises Failure: the sink could not take the news in
        :raises Stopping: a stop cut that short
        """
        if position is None:
            return
        self._courier.trust_position()
        if await self._commit(pulse):
            return
        cursor = self._window.cursor
        if position.seq <= cursor:
            return
        if await self._account.holds(position, pulse):
            await self._pass_over(position.seq, pulse)
            return
        self._telling.ahead_of_journal(position.seq, cursor)
        await self._opening(partial(self._sink.rolled_back, cursor), "rolled_back", pulse)

    async def _pass_over(self, position: int, pulse: Pulse) -> None:
        """Take all up to *position* for delivered.

        :raises Stopping: all stop, and the journal could not be read
        """
        known = [item.seq for item in self._courier.drop_until(position)]
        self._window.settle(known)
        events = len(known)
        while self._window.last_read < position and (read := await self._read(pulse)):
            known = [one.seq for one in read if one.seq <= position]
            self._window.settle(known)
            events += len(known)
            self._sort(read)
            pulse.beat()
            if await self._commit(pulse):
                break
        self._telling.position_taken(position, events)
        await self._commit(pulse)

    async def _deliver(self, pulse: Pulse) -> Failure | None:
        """Keep the sink busy until a send fails or all stop."""
        courier = self._courier
        failure: Failure | None = None
        while True:
            self._wake.clear()
            failure = worse(failure, self._take_answers())
            stop = await self._commit(pulse)
            if stop or pulse.stopping or failure is not None:
                if not courier.sending:
                    return failure
                await courier.some_answer(pulse)
                continue
            pulse.beat()
            try:
                filled = await self._fill(pulse)
            except Stopping:
                continue
            if filled and not courier.stocked:
                continue  # a batch that is not full goes out only once there is nothing to fill it with
            if not courier.launch(probing=self.health.failing):
                await pulse.wait(IDLE, self._wake)

    async def _fill(self, pulse: Pulse) -> bool:
        """Read one stretch ahead of the sends, if there is room; returns whether there was anything.

        :raises Stopping: all stop, and the journal could not be read
        """
        if self._courier.stocked or not (read := await self._read(pulse)):
            return False
        self._sort(read)
        return True

    async def _read(self, pulse: Pulse) -> list[StoredEvent]:
        read = await self._account.read(self._window, pulse)
        for one in read:
            self._window.add(one)
        return read

    def _sort(self, read: list[StoredEvent]) -> None:
        read = [one for one in read if not self._window.is_settled(one.seq)]
        left_out = []
        for stored, found in zip(read, self._intake.take(read), strict=True):
            if isinstance(found, Item):
                self._courier.add(found)
            elif isinstance(found, Unsendable):
                self._bury(found.seq, found.reason)
            else:
                left_out.append(stored.seq)
        self._window.settle(left_out)
        self._telling.filtered(len(left_out))

    def _take_answers(self) -> Failure | None:
        """Settle what has been answered; returns the failure after which the sink has to be opened again."""
        worst: Failure | None = None
        for answer in self._courier.answers():
            self._window.settle(item.seq for item in answer.delivered)
            if answer.dead is not None and answer.failure is not None:
                self._bury(answer.dead.seq, answer.failure.reason)
            if answer.failure is None or isinstance(answer.failure, Refused):
                self._telling.healed(self.health.answered())
            worst = worse(worst, answer.failure)
        return worst

    async def _recover(self, failure: Failure, pulse: Pulse) -> None:
        """Pause as the failure asks; a refusal is an answer, and asks for none."""
        if not isinstance(failure, Retryable | Misconfigured):
            return
        news = self.health.failed(failure, in_open=self._in_open)
        pause = self.health.pause(failure, self._random)
        self._telling.failed(failure, pause, news=news)
        await pulse.wait(pause)

    def _bury(self, seq: int, reason: str) -> None:
        stored = self._window.stored(seq)
        letter = DeadLetter(seq, stored.source, stored.id, reason, self._clock.now(), stored.body, stored.user)
        self._window.bury(letter)
        self._telling.dead_lettered(letter)

    async def _commit(self, pulse: Pulse) -> bool:
        """Write the cursor down if it moved; waits for the disk. Returns True if a stop ended that wait."""
        try:
            cursor = await self._account.commit(self._window, pulse)
        except Stopping:
            return True
        if cursor is not None:
            self._courier.committed(cursor)
        return False
