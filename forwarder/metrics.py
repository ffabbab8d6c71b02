"""Every metric that the daemon exposes, in one place and one registry of its own.

Names and labels are the operator's contract: ``docs/metrics.md`` is generated from this module and compared in a test.
Label values are of low cardinality: a configured name, a status, a reason of a word.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

# The text format has no place for creation times: they would come out as a second series beside each counter.
disable_created_metrics()  # type: ignore[no-untyped-call] # the library left it without annotations

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""The media type of what :meth:`Metrics.expose` returns."""

_SEND_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LATENCY_BUCKETS = (1, 2.5, 5, 10, 20, 30, 45, 60, 90, 120, 300, 600, 1800, 3600, 21600, 86400)


@dataclass(frozen=True, slots=True)
class Described:
    """One metric as documentation shows it; *name* is that of the series, without a histogram's suffixes."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    documentation: str


class Metrics:
    """The metrics of one daemon. Two daemons in one process (a test) share nothing."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.described: list[Described] = []
        self._started_at_zero: list[Counter | Histogram] = []
        self.events_collected = self._counter("events_collected", "Events that entered the journal.", "source")
        self.events_duplicate = self._counter("events_duplicate", "Events read again and already known.", "source")
        self.source_requests = self._counter(
            "source_requests",
            "Requests to Persona by status (a code, or `error` without one).",
            "source",
            "status",
        )
        self.source_rate_limit_remaining = self._gauge(
            "source_rate_limit_remaining",
            "RateLimit-Remaining as Persona last reported it.",
            "source",
        )
        self.source_gaps = self._gauge("source_gaps", "Open gaps: stretches of the log not read yet.", "source")
        self.source_last_success = self._gauge(
            "source_last_success_timestamp_seconds",
            "When Persona last answered a poll well.",
            "source",
        )
        self.source_complete_until = self._gauge(
            "source_complete_until_timestamp_seconds",
            "Everything up to this time of Persona's was read.",
            "source",
        )
        self.source_lost_gaps = self._counter(
            "source_lost_gaps",
            "Stretches that left Persona's retention before they were read.",
            "source",
        )
        self.records_without_id = self._counter(
            "records_without_id",
            "Records refused because they have no id.",
            "source",
        )
        self.events_delivered = self._counter("events_delivered", "Events that the sink acknowledged.", "sink")
        self.events_filtered = self._counter("events_filtered", "Events that the sink's filters left out.", "sink")
        self.events_dead_lettered = self._counter(
            "events_dead_lettered",
            "Events that the sink refused for good.",
            "sink",
        )
        self.sink_backlog_events = self._gauge("sink_backlog_events", "Released events not yet delivered.", "sink")
        self.sink_lag_seconds = self._gauge(
            "sink_lag_seconds",
            "Age since release of the oldest undelivered event; 0 when there is none.",
            "sink",
        )
        self.sink_state = self._gauge("sink_state", "1 for the state that the sink is in.", "sink", "state")
        self.sink_owed_events = self._gauge(
            "sink_owed_events",
            "Events that the sink is owed and that will be read from Persona again.",
            "sink",
        )
        self.dead_letters = self._gauge("dead_letters", "Dead letters kept in the journal.", "sink")
        self.sink_possible_duplicates = self._counter(
            "sink_possible_duplicates",
            "Events sent again after a send that ended without an answer.",
            "sink",
            "reason",
        )
        self.sink_retries = self._counter("sink_retries", "Batches sent again.", "sink", "reason")
        self.sink_send_seconds = self._histogram(
            "sink_send_seconds", "One send, start to answer.", _SEND_BUCKETS, "sink"
        )
        self.delivery_latency = self._histogram(
            "delivery_latency_seconds",
            "From the log's own time to the sink's acknowledgement, live polls only.",
            _LATENCY_BUCKETS,
            "sink",
        )
        self.state_bytes = self._gauge("state_bytes", "Size of the journal by part (file, wal, backlog).", "part")
        self.build_info = self._gauge("build_info", "1, with the version as a label.", "version")
        self.build_info.labels(version).set(1)
        ProcessCollector(registry=self.registry)

    def announce(self, *, sources: Iterable[str] = (), sinks: Iterable[str] = ()) -> None:
        """Show each counter and histogram of these from the start, at 0.

        A series that appears only with its first event hides that event from ``rate()`` and ``increase()``.
        """
        for label, names in (("source", tuple(sources)), ("sink", tuple(sinks))):
            for metric in self._started_at_zero:
                if metric._labelnames == (label,):  # noqa: SLF001 # the library has no public way to ask
                    for name in names:
                        metric.labels(name)

    def expose(self) -> bytes:
        """The Prometheus text exposition format, version 0.0.4."""
        return generate_latest(self.registry)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        self.described.append(Described(f"forwarder_{name}_total", "counter", labels, documentation))
        counter = Counter(f"forwarder_{name}", documentation, labels, registry=self.registry)
        self._started_at_zero.append(counter)
        return counter

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        self.described.append(Described(f"forwarder_{name}", "gauge", labels, documentation))
        return Gauge(f"forwarder_{name}", documentation, labels, registry=self.registry)

    def _histogram(self, name: str, documentation: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        self.described.append(Described(f"forwarder_{name}", "histogram", labels, documentation))
        histogram = Histogram(f"forwarder_{name}", documentation, labels, buckets=buckets, registry=self.registry)
        self._started_at_zero.append(histogram)
        return histogram


SINK_STATES = ("opening", "ready", "retrying", "misconfigured", "stopped")
"""The values of ``forwarder_sink_state``'s label ``state``."""
