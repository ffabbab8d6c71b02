"""One sink's account in the journal: its cursor, what the sink has beyond that, and what comes next.

While the journal's disk is full or fails, the account waits and tries again; the worker hears of it only by a stop.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from forwarder.delivery.telling import Telling
from forwarder.delivery.window import Window
from forwarder.errors import DiskFull
from forwarder.journal import Journal, StoredEvent
from forwarder.pulse import Pulse, Stopping
from forwarder.sinks.base import Position, SinkSettings

T = TypeVar("T")

DISK_PAUSE = 5.0
"""Seconds between two tries to read or write the journal on a disk that is full or fails."""

READ_EVENTS = 500
READ_BYTES = 1 << 20
"""Most that is read and formatted in one go (some 20 ms of work), so that the loop stays free for others."""


class Account:
    """The account of the sink *name* of that *kind*."""

    def __init__(self, name: str, kind: str, settings: SinkSettings, journal: Journal, telling: Telling) -> None:
        self._name = name
        self._kind = kind
        self._settings = settings
        self._journal = journal
        self._telling = telling
        self._committed = 0
        self._beyond: list[int] = []

    async def open(self, pulse: Pulse) -> Window:
        """Register the sink if it is new, and return where it stands.

        :raises Stopping: all stop before the disk could be written
        """
        self._committed, self._beyond = await self._with_disk(self._register, pulse)
        return Window(self._committed, self._beyond)

    async def read(self, window: Window, pulse: Pulse) -> list[StoredEvent]:
        """What comes after the last that *window* has, a stretch of it.

        :raises Stopping: all stop before the disk could be read
        """
        read = partial(
            self._journal.read,
            window.last_read,
            max_events=min(self._settings.batch_max_events, READ_EVENTS),
            max_bytes=min(self._settings.batch_max_bytes, READ_BYTES),
        )
        return await self._with_disk(read, pulse)

    async def holds(self, position: Position, pulse: Pulse) -> bool:
        """Whether the journal holds the very event at *position*, which it does if that is its own and not passed yet.

        :raises Stopping: all stop before the disk could be read
        """
        read = partial(self._journal.read, position.seq - 1, max_events=1, max_bytes=READ_BYTES)
        found = await self._with_disk(read, pulse)
        return any(one.seq == position.seq and position.id in {one.id, None} for one in found)

    async def commit(self, window: Window, pulse: Pulse) -> int | None:
        """Write the cursor down if *window* lets it move; returns where it stands then.

        :raises Stopping: all stop before the disk could be written
        """
        cursor = window.advance()
        if cursor <= self._committed:
            return None
        dead = window.dead_up_to(cursor)
        await self._with_disk(partial(self._journal.commit, self._name, cursor, dead), pulse)
        window.forget_dead(dead)
        self._committed = cursor
        return cursor

    def is_behind(self, window: Window) -> bool:
        """Whether the journal does not know how far *window* has come."""
        return window.cursor > self._committed

    async def remember(self, window: Window) -> None:
        """Note what the sink has beyond the cursor, in place of what was noted before."""
        beyond = window.beyond()
        if beyond == self._beyond:
            return
        try:
            await self._journal.remember_beyond(self._name, beyond)
        except DiskFull as error:
            self._telling.disk_full(error)  # it will be sent again

    async def _register(self) -> tuple[int, list[int]]:
        cursor = await self._journal.register_sink(self._name, self._kind, start=self._settings.start)
        return cursor, await self._journal.beyond(self._name)

    async def _with_disk(self, call: Callable[[], Awaitable[T]], pulse: Pulse) -> T:
        told = False
        while True:
            try:
                return await call()
            except DiskFull as error:
                if not told:
                    self._telling.disk_full(error)
                told = True
            if await pulse.wait(DISK_PAUSE):
                raise Stopping
