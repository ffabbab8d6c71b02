"""Keeps the eternal actors running: restarts who fails, ends what cannot go on, and stops all within a bound.

An actor is an asynchronous function of a :class:`~forwarder.pulse.Pulse` that returns once the stop signal is set and
what it had in flight is finished. What else can become of it:

- it raises a ``ForwarderError``, alone or in an exception group: everybody stops, and :meth:`Supervisor.run` raises it;
- it raises anything else, or returns although nobody asked it to: logged with the traceback and run again with backoff;
- it does not stop within the grace: cancelled; if even that does not end it, it is named and left behind;
- it shows no heartbeat: :meth:`Supervisor.alive` says so and the liveness probe fails. A loop that stands still needs
  no word: then the probe gets no answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

from forwarder.clock import Clock
from forwarder.errors import ForwarderError
from forwarder.logs import get_logger
from forwarder.pulse import Pulse
from forwarder.retry import Backoff

SILENCE = 120.0
"""Seconds without a heartbeat after which an actor counts as hung, unless it declares more."""

CANCEL_GRACE = 3.0
"""Seconds that a cancelled actor has to end."""

STEADY = 300.0
"""Seconds of running after which an actor's earlier failures are forgotten."""

RESTART = Backoff(first=1.0, factor=2.0, cap=60.0)

Reason = str
"""One sentence for operators about what is wrong."""


@dataclass(frozen=True, slots=True)
class Actor:
    """One eternal task.

    :param silence: seconds without a heartbeat that are normal for it
    """

    name: str
    run: Callable[[Pulse], Awaitable[None]]
    silence: float = SILENCE


class Supervisor:
    """Runs *actors* until *stop* is set.

    :param stop: the stop signal of the whole daemon; the supervisor sets it, too, when an actor ends the process
    :param grace: seconds that the actors have to finish what is in flight
    :param random: jitter of the backoff
    :raises ValueError: two actors have one name
    """

    def __init__(
        self,
        actors: Sequence[Actor],
        *,
        stop: asyncio.Event,
        clock: Clock,
        grace: float,
        random: Random,
    ) -> None:
        names = [actor.name for actor in actors]
        if len(set(names)) != len(names):
            raise ValueError(f"actors need names of their own: {', '.join(names)}")
        self._actors = tuple(actors)
        self._stop = stop
        self._abort = asyncio.Event()
        self._clock = clock
        self._grace = grace
        self._random = random
        self._pulses: dict[str, Pulse] = {}
        self._failures: dict[str, str] = {}
        self._log = get_logger()
        self.unfinished: tuple[str, ...] = ()
        """Actors that even a cancellation did not end; only leaving the process does."""

    async def run(self) -> None:
        """Run all until the stop signal, then stop all within the grace.

        :raises ForwarderError: an actor raised it; all others were stopped first
        """
        tasks: dict[asyncio.Task[None], str] = {}
        for actor in self._actors:
            pulse = self._pulses[actor.name] = Pulse(self._stop, self._clock)
            tasks[asyncio.create_task(self._keep(actor, pulse), name=actor.name)] = actor.name
        try:
            await self._until_stop(tasks)
            await self._until_ended(tasks)
        finally:
            # Reached with tasks still running only when this very call is cancelled.
            for task in tasks:
                task.cancel()
            self._pulses.clear()
        self._raise_first(tasks)

    def abort(self) -> None:
        """Stop at once: the grace is over now. For the second signal."""
        self._stop.set()
        self._abort.set()

    def alive(self) -> list[Reason]:
        """Name every actor whose heartbeat is overdue; empty while all is well."""
        now = self._clock.monotonic()
        silent = {
            actor: now - self._pulses[actor.name].last_beat for actor in self._actors if actor.name in self._pulses
        }
        return [
            f"{actor.name}: no heartbeat for {seconds:.0f} s (its bound is {actor.silence:.0f} s)"
            for actor, seconds in silent.items()
            if seconds > actor.silence
        ]

    def restarting(self) -> list[Reason]:
        """Name every actor that failed and waits to be run again, for the readiness probe."""
        return [f"{name}: {why}" for name, why in self._failures.items()]

    async def _keep(self, actor: Actor, pulse: Pulse) -> None:
        """Run *actor* again and again until stop. Ends early only by a ForwarderError or a cancellation."""
        attempt = 0
        while not pulse.stopping:
            started = self._clock.monotonic()
            pulse.beat()
            failure = await self._run_once(actor, pulse)
            if self._stop.is_set():
                return
            attempt = 1 if self._clock.monotonic() - started >= STEADY else attempt + 1
            delay = RESTART.delay(attempt, self._random)
            self._failures[actor.name] = f"failed and is run again in {delay:.0f} s: {failure}"
            self._log.info("actor.restarting", actor=actor.name, attempt=attempt, seconds=round(delay, 1))
            await pulse.wait(delay)
            del self._failures[actor.name]

    async def _run_once(self, actor: Actor, pulse: Pulse) -> str:
        """Run *actor* and tell how it ended (logged already)."""
        try:
            await actor.run(pulse)
        except ForwarderError:
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Nobody cancelled this task: the actor let a cancellation of something of its own escape.
            return self._failed(actor, error)
        except Exception as error:  # whatever it is, it is logged and the actor is run again
            fatal = _first_fatal(error)
            if fatal is not None:
                raise fatal from error
            return self._failed(actor, error)
        if not pulse.stopping:
            self._log.error("actor.returned", actor=actor.name)
        return "it returned without being asked to"

    def _failed(self, actor: Actor, error: BaseException) -> str:
        self._log.error("actor.failed", actor=actor.name, exc_info=error)
        return type(error).__name__

    async def _until_stop(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            # A task of an actor ends before stop only when it has to end the process.
            await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        self._stop.set()

    async def _until_ended(self, tasks: dict[asyncio.Task[None], str]) -> None:
        aborting = asyncio.create_task(self._abort.wait(), name="abort")
        deadline = self._clock.monotonic() + self._grace
        pending = set(tasks)
        try:
            while pending and not self._abort.is_set() and (left := deadline - self._clock.monotonic()) > 0:
                await asyncio.wait({*pending, aborting}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                pending = {task for task in pending if not task.done()}
        finally:
            aborting.cancel()
        if not pending:
            return
        for task in pending:
            self._log.warning("actor.cancelled", actor=tasks[task], grace=self._grace)
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_GRACE)
        self.unfinished = tuple(sorted(tasks[task] for task in pending))
        for name in self.unfinished:
            self._log.error("actor.left_behind", actor=name)

    def _raise_first(self, tasks: dict[asyncio.Task[None], str]) -> None:
        errors = [
            (name, error)
            for task, name in tasks.items()
            if task.done() and not task.cancelled() and (error := task.exception()) is not None
        ]
        for name, error in errors:
            self._log.error("actor.ended_daemon", actor=name, reason=str(error))
        if errors:
            raise errors[0][1]


def _first_fatal(error: BaseException) -> ForwarderError | None:
    """Return the ForwarderError inside an exception group, if there is one."""
    if isinstance(error, ForwarderError):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next((fatal for inner in error.exceptions if (fatal := _first_fatal(inner)) is not None), None)
    return None
