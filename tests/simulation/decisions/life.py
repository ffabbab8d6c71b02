"""One forwarder's life in one world: it polls, reads, is told that it may not, delivers, dies, and starts again.

The decisions are the product's: the ledger, the journal's rules, the rate budget, the backoff, the window of a sink's
worker and what becomes of a batch. The order in which they are asked is that of ``collect.collector`` and
``delivery.worker``, whose waiting and talking the simulation of the whole daemon covers.
"""

from math import ceil
from random import Random

from forwarder.clock import BEGINNING, SECOND
from forwarder.collect.budget import WINDOW, Budget
from forwarder.collect.collector import (
    MISCONFIGURED,
    PAUSED_SECONDS,
    TEND_SECONDS,
    UNAVAILABLE,
)
from forwarder.collect.reading import Reading
from forwarder.delivery.window import Window
from forwarder.errors import CursorLost, Misconfigured, Retryable, Unreadable
from forwarder.journal import RELEASE_AFTER, CursorRefused, choose, complete_until
from forwarder.journal.gaps import Gap
from tests.simulation.decisions.delivering import Crash, Deliveries, Worker
from tests.simulation.decisions.journal import Journal
from tests.simulation.decisions.oracle import Oracle, Violation
from tests.simulation.decisions.persona import Answer, Persona
from tests.simulation.decisions.plan import BORN, Fate, Plan, offset

FAULTY = 400
"""So many requests of a world may fail; then no more do: where most cursors are lost, a walk would take for ever."""

TURNS = 3000
"""So many turns may a world take to go quiet."""


class Memory:
    """What a process remembers, and a crash takes away."""

    def __init__(self, plan: Plan, page_size: int, share: float, now: int) -> None:
        self.budget = Budget(share, plan.dims.unit / SECOND)
        self.reading = Reading(page_size)
        self.failures = 0
        self.server_time: tuple[int, float] | None = None
        self.next_poll = self.next_tend = now / SECOND
        self.workers: list[Worker] = []


class Life:
    """Lives through *plan*; :meth:`run` raises :class:`Violation` where a promise is broken."""

    def __init__(self, plan: Plan, store: Journal) -> None:
        self.plan = plan
        self.store = store
        self.oracle = Oracle(plan)
        self.persona = Persona(plan)
        self.requests = 0
        self._now = BORN
        self._calm = False
        self._random = Random(plan.seed ^ 0x5EED)
        self.deliveries = Deliveries(plan, store, self.oracle, self._random)
        self._sinks: set[str] = set()
        self._restores = any(outage.restores for outage in plan.outages)

    def run(self) -> None:
        plan = self.plan
        self._configured, self._page_size, self._share = plan.dims.first_sinks, plan.dims.page_size, plan.dims.share
        self._birth(dies=plan.dims.register_crash)
        for outage in plan.outages:
            self._live(outage.begin)
            if outage.graceful:
                self.store.release(self._wall())
                self.oracle.released()
            self._count("crash in mid-gap", any(gap.pages for gap in self.store.gaps))
            self._count("crash with events held back", bool(self.store.held))
            self._now = max(self._now, outage.end)
            if outage.restores:
                self.store.restore()
                self._sinks = set(self.store.sinks)
                self.oracle.restored(self._sinks, self.store.source.start)
                self._count("an older journal was put back")
            self._configured, self._page_size = outage.sinks, outage.page_size
            self._birth()
        self._live(plan.calm)
        self._quieten()

    # -- births and deaths ---------------------------------------------------------------------------------------

    def _birth(self, *, dies: bool = False) -> None:
        self.store.open(self._wall())
        if self._restores:
            self.store.save()
            self.oracle.saved()
        self.oracle.born(self._now, self._share)
        self._memory = Memory(self.plan, self._page_size, self._share, self._now)
        for number, name in enumerate(self._configured):
            if dies and number == 1:
                self._now += SECOND
                self._count("crash between two sinks' registering")
                self._birth()
                return
            if name not in self._sinks:
                self._sinks.add(name)
                self.oracle.registered(name, self._now)
                self._count("sink added later", len(self._sinks) > 1 and self._now > BORN)
            cursor = self.store.register_sink(name, self.plan.dims.new_sink_start)
            self._memory.workers.append(Worker(name, Window(cursor), cursor))

    def _live(self, until: int) -> None:
        while self._now < until:
            try:
                self._rest(self._turn(), until)
            except Crash:
                self._count("crash")
                self._count("crash in mid-gap", any(gap.pages for gap in self.store.gaps))
                self._count("crash with events held back", bool(self.store.held))
                self._now += 1 + int(self._random.random() ** 4 * self.plan.dims.unit)
                self._birth()

    def _quieten(self) -> None:
        """Nothing fails any more; wait until everything that will ever be visible is, and has been swept for."""
        self._calm, self.deliveries.calm, self._share = True, True, 1.0
        self.persona.calm()
        dims = self.plan.dims
        self._now = max(self._now, *(made.visible for made in self.plan.records), self.plan.calm) + 2 * SECOND
        if set(self._configured) != self._sinks:
            self._configured = tuple(sorted(self._sinks))
        self._birth()
        # Whatever clock was put back last: sweeps have to be due again.
        rest = 2 * dims.sweep_interval + 2 * max((abs(by) for _, by in self.plan.their_clock), default=0)
        end, old = self._now + rest, {gap.id for gap in self.store.gaps}
        for _ in range(TURNS):
            seconds = self._turn()
            if old:  # until it is closed, or gets stuck, a sweep keeps the next one from being opened
                old &= {gap.id for gap in self._memory.reading.ready(self.store.gaps, self._now / SECOND)}
                end = self._now + rest
            if seconds > 0 and not self._unfinished():
                if self._now >= end:
                    break
                seconds = max(seconds, dims.sweep_interval / SECOND)
            self._rest(seconds, self._now + (1 << 50))
        else:
            raise Violation("it does not become quiet")
        self._claim()
        source = self.store.source
        self.oracle.judge(self.store.holes, self.deliveries.dead, source.complete_from, len(self.store.gaps), self._now)

    def _unfinished(self) -> bool:
        if self._memory.reading.ready(self.store.gaps, self._now / SECOND) or self.store.held:
            return True
        last = self.store.last_released
        return any(worker.committed < last for worker in self._memory.workers)

    # -- collecting ----------------------------------------------------------------------------------------------

    def _turn(self) -> float:
        """What the collector does when its turn comes; returns how many seconds there is nothing to do."""
        memory, store, now = self._memory, self.store, self._now / SECOND
        if memory.server_time is not None and now >= memory.next_tend:
            memory.next_tend = now if store.tend(self._server_now()) else now + TEND_SECONDS
        if now >= memory.next_poll:
            unit = self.plan.dims.unit / SECOND
            due = memory.next_poll + unit
            memory.next_poll = due if due > now else now + unit
            store.open_poll(self._server_now(), self.plan.dims.lookback, self.plan.dims.sweep_interval)
        ready = memory.reading.ready(store.gaps, now)
        delay = memory.budget.delay(now) if ready else memory.next_poll - now
        if delay > 0:
            self._count("the budget said to wait", bool(ready))
            return min(delay, max(memory.next_poll - now, 0.0) or delay)
        gap = choose(ready, oldest=memory.budget.oldest_turn())
        if gap is None:
            return 0.0
        memory.budget.spend(now)
        self.oracle.spent(now, memory.budget.limit)
        self.oracle.chosen(gap.id, [gap.id for gap in ready])
        self._count("two gaps open", len(ready) > 1)
        self._count("three gaps open", len(ready) > 2)
        return self._request(gap)

    def _request(self, gap: Gap) -> float:
        plan, memory = self.plan, self._memory
        number = self.requests
        self.requests += 1
        fate = self._fate(number)
        elapsed = 1000 if self._calm else plan.elapsed[number % len(plan.elapsed)]
        answer = self.persona.ask(gap.cursor, memory.reading.page_size, self._now, elapsed, fate, number)
        self._now += elapsed
        if fate == Fate.CRASH_BEFORE:
            raise Crash
        match answer:
            case CursorLost():
                self._count("cursor lost")
                self.store.collect(gap.id, CursorRefused(), self._wall(), 0)
                return 0.0
            case Unreadable():
                memory.server_time = (self.persona.clock(self._now), self._now / SECOND)
                return self._shrink(gap)
            case Retryable():
                if answer.kind == "rate_limited":
                    self._count("429")
                    memory.budget.throttled(answer.retry_after, self._now / SECOND)
                    until = WINDOW if answer.retry_after is None else max(answer.retry_after, 1.0)
                    self.oracle.throttled(self._now / SECOND + until - 1e-6)
                memory.failures += 1
                return UNAVAILABLE.delay(memory.failures, self._random, at_least=answer.retry_after)
            case Misconfigured():
                memory.failures += 1
                return MISCONFIGURED.delay(memory.failures, self._random)
        assert isinstance(answer, Answer)
        if answer.rate is not None:
            memory.budget.learn(answer.rate, self._now / SECOND)
        memory.server_time = (answer.page.server_time, self._now / SECOND)
        if fate == Fate.DISK_FULL:
            self._count("disk full")
            return PAUSED_SECONDS
        self._store(gap, answer)
        if fate == Fate.CRASH_AFTER:
            raise Crash
        return 0.0

    def _fate(self, number: int) -> Fate:
        if number == FAULTY:
            self.persona.calm()
        faults = self.plan.fates if number < FAULTY and not self._calm else (Fate.ANSWERED,)
        return faults[number % len(faults)]

    def _store(self, gap: Gap, answer: Answer) -> None:
        memory, page = self._memory, answer.page
        start = self._start(page.server_time)
        changes = self.store.collect(gap.id, page, self._wall(), start)
        self.oracle.committed(gap.id, answer.shown, self._now, start)
        self._count("cursor lost", page.next is not None and page.next == gap.cursor)
        self._count("merged", changes.state == "merged")
        self._count("empty page under a cursor", page.empty and gap.cursor is not None)
        self._count("closed above the list's end", changes.state == "closed" and page.next is not None)
        memory.failures = 0
        memory.reading.went_well(gap.cursor)
        for _ in range(self.requests % 3 if changes.fresh else 0):  # users that the page names and does not include
            now = self._now / SECOND
            if memory.budget.delay(now) > 0:
                break
            memory.budget.spend(now)
            self.oracle.spent(now, memory.budget.limit)
        if self.requests % 8 == 0:
            self._claim()

    def _shrink(self, gap: Gap) -> float:
        memory = self._memory
        self._count("unreadable page")
        if memory.reading.shrink():
            return 0.0
        if not memory.reading.is_unreadable(gap.cursor):
            memory.failures += 1
            return UNAVAILABLE.delay(memory.failures, self._random)
        changes = self.store.step_over(gap.id, self._server_now(), self._wall())
        stuck = changes.gap.cursor == gap.cursor
        if stuck:
            memory.reading.rest(gap, self._now / SECOND)
        self._count("stuck at an unreadable record", stuck)
        self._count("unreadable record stepped over", not stuck)
        return 0.0

    def _start(self, server_time: int) -> int:
        match self.plan.dims.start:
            case "all":
                return BEGINNING
            case "now":
                return server_time
            case "ago":
                return server_time - 20 * self.plan.dims.unit
        return BORN - 20 * self.plan.dims.unit

    def _claim(self) -> None:
        source = self.store.source
        self.oracle.complete(source.complete_from, complete_until(source, self.store.gaps), self.store.holes, self._now)

    # -- time ----------------------------------------------------------------------------------------------------

    def _rest(self, seconds: float, until: int) -> None:
        if seconds > 0:
            self.store.release(self._wall(), 0 if seconds >= 1.0 else RELEASE_AFTER)
            if seconds >= 1.0:
                self.oracle.released()
        last = self.store.last_released
        for worker in self._memory.workers:
            if worker.committed < last:
                for _ in range(40 if self._calm else 2):
                    if not self.deliveries.deliver(worker, self._now):
                        break
        if seconds > 0:
            self._now = min(self._now + ceil(seconds * SECOND), max(until, self._now + 1))

    def _wall(self) -> int:
        return self._now + offset(self.plan.our_clock, self._now)

    def _server_now(self) -> int:
        """Persona's clock as the collector knows it: its last answer's, and the time since; ours before the first."""
        if self._memory.server_time is None:
            return self._wall()
        then, at = self._memory.server_time
        return then + int((self._now / SECOND - at) * SECOND)

    def _count(self, what: str, happened: bool = True) -> None:
        if happened:
            self.oracle.counts[what] += 1
