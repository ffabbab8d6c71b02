"""The composition root: settings in, a running daemon out. Nothing here decides; it wires.

::

    Journal, Privacy, Metrics
       |-- one Collector a source     |
       |-- one DeliveryWorker a sink  |-- actors of one Supervisor
       '-- Admin                      |
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random, SystemRandom

from forwarder import __version__
from forwarder.admin import Admin
from forwarder.clock import Clock, SystemClock
from forwarder.collect.collector import Collector
from forwarder.collect.persona import PersonaApi
from forwarder.delivery import DeliveryWorker
from forwarder.errors import DiskFull
from forwarder.journal import Journal
from forwarder.journal.status import Status, read_status
from forwarder.logs import get_logger
from forwarder.metrics import Metrics
from forwarder.privacy import Privacy
from forwarder.readiness import sink_reasons, source_reasons
from forwarder.settings import Settings, SinkInstance, SourceInstance
from forwarder.sinks.base import SinkContext
from forwarder.supervisor import Actor, Supervisor

SEND_SLACK = 60.0
"""Seconds that a heartbeat may be older than the longest send that the settings allow."""


class Daemon:
    """One running forwarder. Everything that it needs from outside comes in here."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics(__version__)
        self.collectors: tuple[Collector, ...] = ()
        self.workers: tuple[DeliveryWorker, ...] = ()
        self._clock = clock or SystemClock()
        self._random = random or SystemRandom()
        self._stop = asyncio.Event()
        self._supervisor: Supervisor | None = None
        self._log = get_logger()

    async def run(self, started: Callable[[], None] | None = None) -> None:
        """Run until :meth:`stop`. *started* is called once everything runs.

        :raises ForwarderError: what ends the process, with its exit status
        """
        state = self.settings.state
        journal = await Journal.open(
            state.path,
            clock=self._clock,
            random=self._random,
            max_bytes=state.max_bytes,
            retention=state.dedupe_retention,
        )
        try:
            await self._register_sinks(journal)
            self._supervisor = self._assemble(journal)
            self._log.info(
                "daemon.started",
                version=__version__,
                journal=str(state.path),
                journal_id=journal.journal_id,
                after_crash=journal.interrupted,
                sources=[source.name for source in self.settings.sources],
                sinks=[sink.name for sink in self.settings.sinks],
            )
            if started is not None:
                started()
            await self._supervisor.run()
        finally:
            await journal.close()
        self._log.info("daemon.stopped")

    @property
    def left_behind(self) -> tuple[str, ...]:
        """Tasks that did not end even when they were cancelled."""
        return self._supervisor.unfinished if self._supervisor else ()

    def stop(self) -> None:
        """Stop gracefully; asked a second time, at once."""
        if self._stop.is_set() and self._supervisor is not None:
            self._supervisor.abort()
            return
        self._log.info("daemon.stopping", grace=self.settings.shutdown_grace)
        self._stop.set()

    async def _register_sinks(self, journal: Journal) -> None:
        """Let the journal know every sink before the first event: it drops what all sinks on record have."""
        for sink in self.settings.sinks:
            with suppress(DiskFull):  # nothing is collected either; the sink's worker tries again
                await journal.register_sink(sink.name, sink.kind, start=sink.settings.start)

    def _assemble(self, journal: Journal) -> Supervisor:
        settings = self.settings
        self.metrics.announce(
            sources=(source.name for source in settings.sources),
            sinks=(sink.name for sink in settings.sinks),
        )
        self.collectors = tuple(self._collector(source, journal) for source in settings.sources)
        self.workers = tuple(self._worker(sink, journal) for sink in settings.sinks)
        admin = Admin(
            settings.http.host,
            settings.http.port,
            liveness=lambda: self._supervisor.alive() if self._supervisor else [],
            readiness=self._unready,
            status=lambda: self._status(journal),
            metrics=lambda: self._exposition(journal),
        )
        actors = [
            *(
                Actor(f"source:{one.name}", one.run, silence=one.settings.timeout + SEND_SLACK)
                for one in self.collectors
            ),
            *(
                Actor(f"sink:{sink.name}", worker.run, silence=sink.settings.timeout + SEND_SLACK)
                for sink, worker in zip(settings.sinks, self.workers, strict=True)
            ),
            Actor("admin", admin.run),
        ]
        return Supervisor(
            actors,
            stop=self._stop,
            clock=self._clock,
            grace=settings.shutdown_grace,
            random=self._random,
        )

    def _collector(self, source: SourceInstance, journal: Journal) -> Collector:
        settings = self.settings
        key = settings.pseudonym_key
        return Collector(
            name=source.name,
            api=PersonaApi(source.settings, metrics=self.metrics, name=source.name, clock=self._clock),
            settings=source.settings,
            journal=journal,
            redactor=Privacy(settings.redact, settings.pseudonymize, None if key is None else key.reveal().encode()),
            metrics=self.metrics,
            clock=self._clock,
            random=self._random,
        )

    def _worker(self, sink: SinkInstance, journal: Journal) -> DeliveryWorker:
        return DeliveryWorker(
            name=sink.name,
            sink=sink.sink_class(sink.settings, SinkContext(sink.name, journal.journal_id)),
            kind=sink.kind,
            journal=journal,
            metrics=self.metrics,
            clock=self._clock,
            random=self._random,
        )

    def _unready(self) -> Sequence[str]:
        now = self._clock.monotonic()
        return [
            *(reason for one in self.collectors for reason in source_reasons(one, now)),
            *(reason for one in self.workers for reason in sink_reasons(one, now)),
            *(self._supervisor.restarting() if self._supervisor else ()),
        ]

    async def _account(self, journal: Journal) -> Status:
        now = self._clock.now()
        return await asyncio.to_thread(read_status, journal.path, now=now, backlog_bytes=journal.backlog_bytes)

    async def _status(self, journal: Journal) -> dict[str, object]:
        status = await self._account(journal)
        promises = {worker.name: worker.promise for worker in self.workers}
        return status.to_json() | {"version": __version__, "unready": list(self._unready()), "promises": promises}

    async def _exposition(self, journal: Journal) -> bytes:
        """Bring up to date what is read rather than counted, and expose all."""
        status = await self._account(journal)
        for part, size in status.bytes.items():
            self.metrics.state_bytes.labels(part).set(size)
        for sink in status.sinks:
            self.metrics.sink_backlog_events.labels(sink.name).set(sink.backlog_events)
            self.metrics.sink_lag_seconds.labels(sink.name).set(sink.lag_seconds)
            self.metrics.dead_letters.labels(sink.name).set(sink.dead_letters)
        return self.metrics.expose()
