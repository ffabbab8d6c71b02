"""When the daemon is ready, in the contract's words, each reason a sentence for the operator."""

from collections.abc import Iterator

from forwarder.collect.collector import Collector
from forwarder.delivery import DeliveryWorker

POLL_RECENT = 300.0
"""A source's last good poll is recent for so many seconds, or for three poll intervals if that is longer."""

FAILING = 300.0
"""A sink that has been failing for so many seconds is a reason not to be ready."""


def source_reasons(collector: Collector, now: float) -> Iterator[str]:
    """Why the source is not ready; *now* is monotonic, in seconds."""
    health = collector.health
    recent = max(POLL_RECENT, 3 * collector.settings.poll_interval)
    if health.paused:
        yield f"source {collector.name}: paused: {health.reason}"
    elif health.last_good is None:
        yield f"source {collector.name}: no good poll yet{_because(health.reason)}"
    elif now - health.last_good > recent:
        yield f"source {collector.name}: no good poll for {now - health.last_good:.0f} s{_because(health.reason)}"


def sink_reasons(worker: DeliveryWorker, now: float) -> Iterator[str]:
    """Why the sink is not ready; *now* is monotonic, in seconds."""
    health = worker.health
    if health.misconfigured:
        yield f"sink {worker.name}: misconfigured{_because(health.reason)}"
    elif health.failing_since is not None and now - health.failing_since >= FAILING:
        yield f"sink {worker.name}: failing for {now - health.failing_since:.0f} s{_because(health.reason)}"


def _because(reason: str | None) -> str:
    return "" if reason is None else f": {reason}"
