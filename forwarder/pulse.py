"""How an eternal task waits: interruptibly, and with a heartbeat that the liveness probe can see."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from forwarder.clock import Clock

T = TypeVar("T")

BEAT_INTERVAL = 5.0
"""Seconds between two heartbeats of a task that only waits."""


class Stopping(Exception):
    """Work was cut short because it is time to stop."""


class Pulse:
    """One task's heartbeat, and the stop signal that it shares with all others."""

    def __init__(self, stop: asyncio.Event, clock: Clock) -> None:
        self._stop = stop
        self._clock = clock
        self.last_beat = clock.monotonic()

    @property
    def stopping(self) -> bool:
        """Whether everybody was asked to stop."""
        return self._stop.is_set()

    def beat(self) -> None:
        """Say that this task is alive."""
        self.last_beat = self._clock.monotonic()

    async def wait(self, seconds: float, wake: asyncio.Event | None = None) -> bool:
        """Wait *seconds*, until *wake* is set, or until the stop signal; True if it is time to stop.

        Beats while it waits. Every wait of the daemon is this one.
        """
        deadline = self._clock.monotonic() + seconds
        while not self.stopping:
            self.beat()
            left = deadline - self._clock.monotonic()
            if left <= 0 or (wake is not None and wake.is_set()):
                break
            await _first_of(self._stop, wake, timeout=min(left, BEAT_INTERVAL))
        # A wait that had nothing to wait for still lets the others run.
        await asyncio.sleep(0)
        self.beat()
        return self.stopping

    async def unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """Do *work* that a stop may cut short, beating meanwhile.

        :raises Stopping: the stop signal came first; the work was cancelled, and has ended
        """
        task = asyncio.ensure_future(work)
        done = asyncio.Event()
        task.add_done_callback(lambda _: done.set())
        try:
            while not task.done():
                if await self.wait(BEAT_INTERVAL, done) and not task.done():
                    raise Stopping
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _first_of(stop: asyncio.Event, wake: asyncio.Event | None, *, timeout: float) -> None:  # noqa: ASYNC109 # the primitive under every time-out
    waiters = [asyncio.ensure_future(event.wait()) for event in (stop, wake) if event is not None]
    try:
        await asyncio.wait(waiters, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()
