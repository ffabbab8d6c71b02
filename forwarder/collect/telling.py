"""What the collector tells operators: log lines and metrics, and nothing else."""

from forwarder.clock import SECOND, format_rfc3339
from forwarder.collect.persona import Page
from forwarder.journal import Collected, Gap, Hole, SourceRecord, complete_until
from forwarder.logs import get_logger
from forwarder.metrics import Metrics


class Telling:
    """Tells of one source."""

    def __init__(self, name: str, metrics: Metrics) -> None:
        self._name = name
        self._metrics = metrics
        self._log = get_logger(source=name)

    def state(self, source: SourceRecord) -> None:
        """How far the source has come."""
        self._metrics.source_gaps.labels(self._name).set(len(source.gaps))
        if source.last_success is not None:
            self._metrics.source_last_success.labels(self._name).set(source.last_success / SECOND)
        until = complete_until(source.state, source.gaps)
        if until is not None:
            self._metrics.source_complete_until.labels(self._name).set(until / SECOND)

    def stored(self, collected: Collected, gap: Gap, page: Page | None = None) -> None:
        """An answer for *gap* (as it was before) is in the journal."""
        self.state(collected.source)
        self._metrics.events_collected.labels(self._name).inc(collected.fresh)
        self._metrics.events_duplicate.labels(self._name).inc(collected.known)
        if page is not None:
            log = self._log.info if collected.fresh else self._log.debug
            log(
                "source.page_collected",
                gap=gap.id,
                records=len(page.records),
                fresh=collected.fresh,
                request_id=page.request_id,
            )
        changes = collected.changes
        if changes.state == "open" and changes.gap.pages == 1 and gap.pages == 0:
            self._log.info("gap.opened", gap=gap.id, floor=_moment(changes.gap.floor), sweep=gap.sweep)
        elif changes.state != "open":
            log = self._log.info if gap.pages else self._log.debug
            log("gap.closed", gap=gap.id, pages=gap.pages + 1, merged=changes.state == "merged")
        for hole in changes.holes:
            self._hole(hole)

    def _hole(self, hole: Hole) -> None:
        since, until = _moment(hole.since), _moment(hole.until)
        if hole.kind == "lost":
            self._metrics.source_lost_gaps.labels(self._name).inc()
            self._log.error("gap.lost", since=since, until=until)
        else:
            self._log.error("gap.unreadable", since=since, until=until)

    def without_id(self, count: int, request_id: str | None) -> None:
        """Records were refused for they have no id."""
        self._metrics.records_without_id.labels(self._name).inc(count)
        self._log.error("source.record_without_id", count=count, request_id=request_id)

    def cursor_lost(self, gap: Gap, reason: str, request_id: str | None) -> None:
        """Persona does not know the gap's cursor any more."""
        self._log.warning("source.cursor_lost", gap=gap.id, reason=reason, request_id=request_id)

    def page_unreadable(self, gap: Gap, next_size: int, reason: str, request_id: str | None) -> None:
        """A page could not be read; a smaller one is asked for."""
        self._log.warning(
            "source.page_unreadable",
            gap=gap.id,
            next_size=next_size,
            reason=reason,
            request_id=request_id,
        )

    def record_unreadable(self, gap: Gap, reason: str, request_id: str | None) -> None:
        """A single record could not be read, and nothing known lies below it."""
        self._log.error("source.record_unreadable", gap=gap.id, reason=reason, request_id=request_id)

    def unavailable(self, reason: str, failures: int, seconds: float, request_id: str | None) -> None:
        """Persona could not be reached or was busy, the so-manieth time in a row; asked again in *seconds*."""
        self._outage("source.unavailable", reason, failures, seconds, request_id)

    def misconfigured(self, reason: str, failures: int, seconds: float, request_id: str | None) -> None:
        """Persona refuses us, and the operator has to mend it."""
        self._outage("source.misconfigured", reason, failures, seconds, request_id)

    def foreign(self, reason: str, failures: int, seconds: float, request_id: str | None) -> None:
        """The key belongs to somebody else."""
        self._outage("source.foreign", reason, failures, seconds, request_id)

    def _outage(self, event: str, reason: str, failures: int, seconds: float, request_id: str | None) -> None:
        # At its beginning, and then as often as it has doubled.
        if failures & (failures - 1) == 0:
            self._log.warning(
                event,
                reason=reason,
                failures=failures,
                retry_in=round(seconds, 1),
                request_id=request_id,
            )

    def recovered(self, failures: int) -> None:
        """An answer was good after so many failures; a single one is no outage."""
        if failures > 1:
            self._log.info("source.recovered", failures=failures)

    def paused(self, reason: str) -> None:
        """Collecting pauses on purpose."""
        self._log.warning("source.paused", reason=reason)

    def resumed(self) -> None:
        """The pause is over."""
        self._log.info("source.resumed")


def _moment(micros: int | None) -> str | None:
    return None if micros is None or micros < 0 else format_rfc3339(micros)
