"""How a sink is doing, when to try again, and which news about it deserves a line in the log."""

from dataclasses import dataclass
from random import Random

from forwarder.clock import Clock
from forwarder.errors import Failure, Misconfigured, Retryable
from forwarder.metrics import SINK_STATES, Metrics
from forwarder.retry import Backoff

RETRY = Backoff(first=1.0, factor=2.0, cap=60.0)
"""Pauses between two tries at a destination that is away."""

PROBE = Backoff(first=5.0, factor=2.0, cap=60.0)
"""Pauses between two looks whether the operator has mended a setting."""

REPEAT = 300.0
"""Seconds after which a lasting outage is logged again."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """An outage that has ended: its last reason and how many seconds it took."""

    reason: str | None
    seconds: float


class SinkHealth:
    """One sink's state; read by the probes and the status page, changed by its worker alone.

    :ivar state: one of :data:`forwarder.metrics.SINK_STATES`
    :ivar since: when it took that state, monotonic seconds
    :ivar reason: what is wrong, while something is
    :ivar failing_since: when the present outage began, monotonic seconds, or None
    """

    def __init__(self, name: str, metrics: Metrics, clock: Clock) -> None:
        self._name = name
        self._metrics = metrics
        self._clock = clock
        self._attempt = 0
        self._in_open = False
        self._told_at: float | None = None
        self._told_misconfigured = False
        self.reason: str | None = None
        self.failing_since: float | None = None
        self.since = 0.0
        self.state = ""
        self._enter("opening")

    @property
    def misconfigured(self) -> bool:
        """Whether it waits for the operator."""
        return self.state == "misconfigured"

    @property
    def failing(self) -> bool:
        """Whether an outage is going on."""
        return self.failing_since is not None

    def opening(self) -> None:
        """Note that its worker begins; an outage of a run before this one is forgotten."""
        if self.state == "stopped":
            self.failing_since = self.reason = None
            self._enter("opening")

    def opened(self, *, nothing_to_send: bool) -> Recovery | None:
        """Note that it is open. That ends an outage only if opening was what failed, or no send could tell more."""
        if self.failing and not self._in_open and not nothing_to_send:
            return None
        return self.answered()

    def answered(self) -> Recovery | None:
        """Note that the destination took or judged a batch; returns the outage that this ended, if any."""
        ended = None
        if self.failing_since is not None:
            ended = Recovery(self.reason, self._clock.monotonic() - self.failing_since)
        self._attempt = 0
        self._told_at, self._told_misconfigured = None, False
        self.failing_since = self.reason = None
        self._enter("ready")
        return ended

    def failed(self, failure: Retryable | Misconfigured, *, in_open: bool) -> bool:
        """Note a failure; returns whether it is news enough for a line in the log.

        News is the start of an outage, that it became the operator's, and every :data:`REPEAT` that it still lasts.
        That a setting is wrong is said once, not repeated.
        """
        now = self._clock.monotonic()
        self._in_open = in_open
        self._attempt = 1 if failure.accepted else self._attempt + 1  # what moves on is not getting worse
        self.reason = failure.reason
        if self.failing_since is None:
            self.failing_since = now
        if isinstance(failure, Misconfigured):
            self._enter("misconfigured")
            news = not self._told_misconfigured
            self._told_misconfigured = True
        else:
            self._enter("retrying")
            news = self._told_at is None or now - self._told_at >= REPEAT
        if news:
            self._told_at = now
        return news

    def pause(self, failure: Failure, random: Random) -> float:
        """Seconds to wait before the next try."""
        if isinstance(failure, Misconfigured):
            return PROBE.delay(self._attempt, random)
        at_least = failure.retry_after if isinstance(failure, Retryable) else None
        return RETRY.delay(self._attempt, random, at_least=at_least)

    def stopped(self) -> None:
        """Note that its worker has ended."""
        self._enter("stopped")

    def _enter(self, state: str) -> None:
        if state != self.state:
            self.since = self._clock.monotonic()
        self.state = state
        for each in SINK_STATES:
            self._metrics.sink_state.labels(self._name, each).set(each == state)
