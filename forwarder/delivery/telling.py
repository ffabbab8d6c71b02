"""What a worker tells about its sink: the metrics, and lines in the log that an outage cannot turn into a flood."""

from collections.abc import Sequence

from forwarder.clock import SECOND, Clock
from forwarder.delivery.batch import Batch
from forwarder.delivery.health import Recovery
from forwarder.errors import DiskFull, Failure, Misconfigured, Retryable
from forwarder.journal import DeadLetter, StoredEvent
from forwarder.logs import get_logger
from forwarder.metrics import Metrics
from forwarder.sinks.base import Item

DEAD_LETTER_LINES = 20
"""Dead letters that are logged one by one in each :data:`DEAD_LETTER_PERIOD`; all are counted and kept."""

DEAD_LETTER_PERIOD = 60.0
"""Seconds."""


class Telling:
    """Metrics and logs of the sink called *name*."""

    def __init__(self, name: str, metrics: Metrics, clock: Clock) -> None:
        self._name = name
        self._metrics = metrics
        self._clock = clock
        self._log = get_logger(sink=name)
        self._delivered = metrics.events_delivered.labels(name)
        self._filtered = metrics.events_filtered.labels(name)
        self._dead_lettered = metrics.events_dead_lettered.labels(name)
        self._send_seconds = metrics.sink_send_seconds.labels(name)
        self._latency = metrics.delivery_latency.labels(name)
        self._period_began = float("-inf")
        self._lines = 0
        self._unsaid = 0
        self._warned: set[str] = set()

    def opened(self, destination: str, promise: str, *, first: bool) -> None:
        """Say that the sink is open: for operators the first time, for debugging later."""
        (self._log.info if first else self._log.debug)("sink.opened", destination=destination, promise=promise)

    def warned(self, warnings: Sequence[str]) -> None:
        """Say each thing once that works but ought to be otherwise."""
        for reason in warnings:
            if reason not in self._warned:
                self._log.warning("sink.warning", reason=reason)
        self._warned = {*self._warned, *warnings}

    def position_taken(self, position: int, events: int) -> None:
        """Say that the destination itself remembered so many *events* more than the journal had noted."""
        if events:
            self._log.info("sink.position_taken", position=position, events=events)
        self._delivered.inc(events)

    def ahead_of_journal(self, position: int, known: int) -> None:
        """Say that the destination stands at an event that the journal, whose cursor is *known*, does not hold."""
        self._log.warning("sink.ahead_of_journal", position=position, known=known)

    def filtered(self, events: int) -> None:
        """Count events that the filters left out."""
        self._filtered.inc(events)

    def sending(self, batch: Batch) -> None:
        """Count a batch that is sent again, and what of it may be there already."""
        if batch.again is not None:
            self._metrics.sink_retries.labels(self._name, batch.again).inc()
        if batch.doubt is not None:
            self._metrics.sink_possible_duplicates.labels(self._name, batch.doubt).inc(batch.doubtful)

    def answered(self, seconds: float) -> None:
        """Note how long a send took, whatever its answer."""
        self._send_seconds.observe(seconds)

    def delivered(self, items: Sequence[Item], stored: Sequence[StoredEvent], seconds: float) -> None:
        """Count acknowledged events, and how old those are that a poll found while they were new."""
        self._delivered.inc(len(items))
        now = self._clock.now()
        for item, one in zip(items, stored, strict=True):
            if one.live:
                self._latency.observe(max(0, now - item.event.time) / SECOND)
        self._log.debug("sink.batch_delivered", events=len(items), last=items[-1].seq, seconds=round(seconds, 3))

    def refused(self, batch: Batch, failure: Failure) -> None:
        """Say that the destination refused something in a batch and that it is being singled out."""
        self._log.debug("sink.batch_refused", events=len(batch.items), reason=failure.reason)

    def dead_lettered(self, letter: DeadLetter) -> None:
        """Count a dead letter and, unless there are many, name it."""
        self._dead_lettered.inc()
        now = self._clock.monotonic()
        if now - self._period_began >= DEAD_LETTER_PERIOD:
            self._period_began, self._lines = now, 0
        if self._lines >= DEAD_LETTER_LINES:
            self._unsaid += 1
            return
        self._lines += 1
        extra = {"unsaid": self._unsaid} if self._unsaid else {}
        self._unsaid = 0
        self._log.error("sink.dead_lettered", id=letter.id, seq=letter.seq, reason=letter.reason, **extra)

    def failed(self, failure: Retryable | Misconfigured, pause: float, *, news: bool) -> None:
        """Say what is wrong where it is news; for debugging otherwise."""
        if isinstance(failure, Misconfigured):
            tell = self._log.error if news else self._log.debug
            tell("sink.misconfigured", reason=failure.reason, next_try=round(pause, 1))
            return
        tell = self._log.warning if news else self._log.debug
        tell("sink.batch_retried", reason=failure.reason, kind=failure.kind, next_try=round(pause, 1))

    def healed(self, recovery: Recovery | None) -> None:
        """Say that an outage is over."""
        if recovery is not None:
            self._log.info("sink.healed", reason=recovery.reason, seconds=round(recovery.seconds, 1))

    def faulty(self, error: BaseException, act: str) -> None:
        """Say that the sink raised what its contract does not allow, with the traceback."""
        self._log.error("sink.faulty", act=act, exc_info=error)

    def disk_full(self, error: DiskFull) -> None:
        """Say that the sink waits for the journal's disk."""
        reason = f"the journal's disk is full or fails ({error}); make room or mend it, and delivery goes on"
        self._log.error("sink.journal_waits", reason=reason)

    def left_unanswered(self, events: int) -> None:
        """Say how many events were sent and not answered when the worker ended: the next run may repeat them."""
        self._log.warning("sink.left_unanswered", events=events)
