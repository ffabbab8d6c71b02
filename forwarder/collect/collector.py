"""The collector of one source: fills gaps, newest first, for ever.

It waits for its turn (poll interval, rate budget, backoff), asks for one page, and hands the answer to the journal,
which decides and stores in one transaction. It keeps nothing that a crash could lose: what it remembers between two
requests is the pace, the page size, and Persona's clock.
"""

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Final

from forwarder.clock import BEGINNING, SECOND, Clock
from forwarder.collect.budget import Budget
from forwarder.collect.health import SourceHealth
from forwarder.collect.intake import Intake, Redactor, take_in
from forwarder.collect.lookup import UserLookup
from forwarder.collect.ownership import foreign
from forwarder.collect.persona import Page, PersonaApi
from forwarder.collect.reading import Reading
from forwarder.collect.settings import PersonaSettings
from forwarder.collect.telling import Telling
from forwarder.errors import ConfigurationError, CursorLost, DiskFull, Misconfigured, Problem, Retryable, Unreadable
from forwarder.journal import RELEASE_AFTER, Collected, CursorRefused, Gap, Journal, PageRead, SourceRecord, choose
from forwarder.metrics import Metrics
from forwarder.pulse import Pulse, Stopping
from forwarder.retry import Backoff
from forwarder.variables import stem

UNAVAILABLE: Final = Backoff(first=1.0, cap=60.0)
MISCONFIGURED: Final = Backoff(first=5.0, cap=60.0)
PAUSED_SECONDS = 5.0
TEND_SECONDS = 900.0
RESUME_AT = 0.9
"""A backlog that paused collecting has to shrink to this part of its limit before it goes on."""


class Collector:
    """Collects one source; :meth:`run` is the eternal task."""

    def __init__(
        self,
        *,
        name: str,
        api: PersonaApi,
        settings: PersonaSettings,
        journal: Journal,
        redactor: Redactor,
        metrics: Metrics,
        clock: Clock,
        random: Random,
    ) -> None:
        self.name = name
        self.settings = settings
        self.health = SourceHealth()
        self.source: SourceRecord | None = None
        self._api = api
        self._journal = journal
        self._redactor = redactor
        self._clock = clock
        self._random = random
        self._telling = Telling(name, metrics)
        self._budget = Budget(settings.rate_share, settings.poll_interval)
        self._lookup = UserLookup(api, self._budget, clock)
        api.on_repeat = lambda: self._budget.charge(clock.monotonic())
        self._reading = Reading(settings.page_size)
        self._answered = False
        self._server_time: tuple[int, float] | None = None
        self._next_poll = self._next_tend = clock.monotonic()

    async def run(self, pulse: Pulse) -> None:
        """Collect until the stop signal."""
        try:
            self.source = await self._entered(pulse)
            self._telling.state(self.source)
            while not pulse.stopping:
                seconds = await self._turn(self.source, pulse)
                await self._rest(pulse, seconds)
        except Stopping:
            await self._rest(pulse, 0.0)
        finally:
            await self._api.close()

    async def _entered(self, pulse: Pulse) -> SourceRecord:
        """The source as the journal has it; on a full disk, once there is room for it.

        :raises Stopping: the stop came before that
        """
        while True:
            try:
                await self._tend()
                return await self._journal.source(self.name)
            except DiskFull as error:
                self._pause_for_room(error)
            if await pulse.wait(PAUSED_SECONDS):
                raise Stopping

    async def _turn(self, source: SourceRecord, pulse: Pulse) -> float:
        """Do what is due; returns how many seconds there is nothing to do.

        :raises Stopping: the stop came while Persona was asked; nothing of that answer is kept, and nothing is lost
        """
        try:
            await self._tend()
            if self._paused():
                return PAUSED_SECONDS
            now = self._clock.monotonic()
            if now >= self._next_poll:
                source = self.source = await self._open_poll(now)
                now = self._clock.monotonic()  # a slow disk took its time, and the budget counts from the request
            ready = self._reading.ready(source.gaps, now)
            delay = self._budget.delay(now) if ready else self._next_poll - now
            if delay > 0:
                return min(delay, max(self._next_poll - now, 0.0) or delay)
            gap = choose(ready, oldest=self._budget.oldest_turn())
            if gap is None:
                return 0.0
            self._budget.spend(now)
            return await self._request(source, gap, pulse)
        except DiskFull as error:
            self._pause_for_room(error)
            return PAUSED_SECONDS

    async def _request(self, source: SourceRecord, gap: Gap, pulse: Pulse) -> float:
        """Ask for the gap's next page and store the answer; returns the seconds to wait after a failure."""
        try:
            page = await pulse.unless_stopped(self._api.fetch_page(gap.cursor, self._reading.page_size))
        except CursorLost as error:
            self._telling.cursor_lost(gap, error.reason, self._api.request_id)
            self._took(await self._journal.collect(self.name, gap.id, CursorRefused(), start_at=0), gap)
            return 0.0
        except Unreadable as error:
            return await self._shrink(gap, error)
        except Retryable as error:
            if error.kind == "rate_limited":
                self._budget.throttled(error.retry_after, self._clock.monotonic())
            return self._failed(self._telling.unavailable, error.reason, UNAVAILABLE, error.retry_after)
        except Misconfigured as error:
            return self._failed(self._telling.misconfigured, error.reason, MISCONFIGURED)
        if page.rate is not None:
            self._budget.learn(page.rate, self._clock.monotonic())
        self._server_time = (page.server_time, self._clock.monotonic())
        if not await self._is_ours(source, page):
            return self._failed(self._telling.foreign, str(self.health.reason), MISCONFIGURED)
        await self._store(gap, page, pulse)
        return 0.0

    async def _store(self, gap: Gap, page: Page, pulse: Pulse) -> None:
        intake = take_in(page.records, page.users, self._redactor)
        if intake.without_id:
            self._telling.without_id(intake.without_id, page.request_id)
        users = dict(intake.users) | await pulse.unless_stopped(self._missing_users(intake))
        outcome = PageRead(
            rows=[record.row for record in intake.records],
            next=page.next,
            server_time=page.server_time,
            asked=page.server_time - int(page.elapsed * SECOND),
            empty=not page.records,
        )
        collected = await self._journal.collect(
            self.name,
            gap.id,
            outcome,
            records=intake.records,
            users=users,
            start_at=self.settings.start.resolve(page.server_time),
        )
        self._telling.recovered(self.health.recovered(self._clock.monotonic()))
        self._reading.went_well(gap.cursor)
        self._took(collected, gap, page)

    async def _missing_users(self, intake: Intake) -> dict[str, bytes]:
        unknown = await self._journal.unknown_users(self.name, list(intake.missing_users))
        found = await self._lookup.find({user: intake.missing_users[user] for user in unknown})
        return dict(take_in((), found, self._redactor).users)

    async def _shrink(self, gap: Gap, error: Unreadable) -> float:
        """Ask for less; for a single record that cannot be read, step over it by way of a known id."""
        if self._reading.shrink():
            self._telling.page_unreadable(gap, self._reading.page_size, error.reason, self._api.request_id)
            return self._failed(self._telling.unavailable, error.reason, UNAVAILABLE) if self.health.failures else 0.0
        if not self._reading.is_unreadable(gap.cursor):
            return self._failed(self._telling.unavailable, error.reason, UNAVAILABLE)
        if self._api.server_time is not None:  # what cannot be read may be the first answer of all
            self._server_time = (self._api.server_time, self._clock.monotonic())
        collected = await self._journal.step_over(self.name, gap.id, self._server_now())
        if collected.changes.gap.cursor == gap.cursor:
            self._reading.rest(gap, self._clock.monotonic())
            self._telling.record_unreadable(gap, error.reason, self._api.request_id)
        self._took(collected, gap)
        return 0.0

    async def _is_ours(self, source: SourceRecord, page: Page) -> bool:
        """Whether the key belongs to the organization whose log this journal keeps under this name."""
        problem = foreign(source, page)
        if problem is None:
            if source.organization_id is None:
                self.source = await self._journal.claim_source(self.name, page.organization_id, page.environment_id)
            self._answered = True
            return True
        if not self._answered:
            raise ConfigurationError([Problem(f"{stem(self.name)}_API_KEY", problem)])
        self.health.reason = problem
        return False

    async def _open_poll(self, now: float) -> SourceRecord:
        due = self._next_poll + self.settings.poll_interval
        # On a grid, so that slow answers do not make polls drift; after an outage, a new one.
        self._next_poll = due if due > now else now + self.settings.poll_interval
        return await self._journal.open_poll(
            self.name,
            now=self._server_now(),
            lookback=int(self.settings.lookback * SECOND),
            sweep_interval=int(self.settings.sweep_interval * SECOND),
        )

    async def _tend(self) -> None:
        """Keep house now and then; while the disk is full, look for room at every turn.

        Ids are forgotten by Persona's clock alone: ours, once a year ahead, would have all of them delivered again.
        """
        now = self._clock.monotonic()
        answered = self._server_time is not None
        if (answered and now >= self._next_tend) or self._journal.disk_full:
            more = await self._journal.tend(self.name, self._server_now() if answered else BEGINNING)
            self._next_tend = now if more else now + TEND_SECONDS

    async def _rest(self, pulse: Pulse, seconds: float) -> None:
        """Wait; where nothing will come meanwhile, nothing is held back for its place, and nothing for long."""
        if (seconds > 0 or pulse.stopping) and not self._journal.disk_full:
            # A gap that cannot be read on at the moment holds back what it has, however short the waits are.
            older_than = 0 if seconds >= 1.0 or pulse.stopping else RELEASE_AFTER
            with suppress(DiskFull):  # it stays held, in the journal, and the next turn tells of the disk
                await self._journal.release(self.name, older_than=older_than)
        if seconds > 0:
            await pulse.wait(seconds)
        pulse.beat()

    def _paused(self) -> bool:
        limit = self._journal.max_bytes * (RESUME_AT if self.health.paused else 1.0)
        if self._journal.disk_full:
            self._pause("the journal's disk is full; make room or enlarge the volume")
        elif self._journal.backlog_bytes >= limit:
            self._pause(
                f"the undelivered backlog has reached {self._journal.max_bytes} bytes (FORWARDER_STATE_MAX_BYTES); "
                "collecting goes on when the sink furthest behind (`forwarder status`) has caught up",
            )
        elif self.health.resume():
            self._telling.resumed()
        return self.health.paused

    def _pause_for_room(self, error: DiskFull) -> None:
        self._pause(f"the journal's disk is full; make room or enlarge the volume ({error})")

    def _pause(self, reason: str) -> None:
        if self.health.pause(reason):
            self._telling.paused(reason)

    def _failed(
        self,
        tell: Callable[[str, int, float, str | None], None],
        reason: str,
        backoff: Backoff,
        retry_after: float | None = None,
    ) -> float:
        failures = self.health.failed(reason)
        seconds = backoff.delay(failures, self._random, at_least=retry_after)
        tell(reason, failures, seconds, self._api.request_id)
        return seconds

    def _took(self, collected: Collected, gap: Gap, page: Page | None = None) -> None:
        self.source = collected.source
        self._telling.stored(collected, gap, page)

    def _server_now(self) -> int:
        """Persona's clock, as well as it is known: its last answer's, and the time since."""
        if self._server_time is None:
            return self._clock.now()
        then, at = self._server_time
        return then + int((self._clock.monotonic() - at) * SECOND)
