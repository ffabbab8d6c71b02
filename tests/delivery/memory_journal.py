"""A journal in memory with the delivering half's interface, for tests of the worker alone."""

import asyncio
from bisect import bisect_right
from collections.abc import Sequence

import orjson

from forwarder.errors import DiskFull
from forwarder.journal import Backlog, DeadLetter, StoredEvent


class MemoryJournal:
    """Holds released events, one cursor and the dead letters of each sink; keeps every commit to be looked at."""

    def __init__(self, *, interrupted: bool = False) -> None:
        self.journal_id = "memory"
        self.interrupted = interrupted
        self.events: list[StoredEvent] = []
        self.cursors: dict[str, int] = {}
        self.dead: dict[str, list[DeadLetter]] = {}
        self.taken: dict[str, list[int]] = {}
        self.commits: list[tuple[str, int]] = []
        self.reads = 0
        self.full = False
        self.unreadable = False
        self._subscribers: list[asyncio.Event] = []

    def release(
        self, count: int, *, live: bool = False, path: str = "/api/cases/case_1A", released_at: int = 0
    ) -> None:
        """Release *count* more events."""
        for seq in range(len(self.events) + 1, len(self.events) + count + 1):
            body = {
                "type": "user-audit-log",
                "id": f"ual_{seq}",
                "attributes": {"created-at": "2026-03-01T09:15:02.331Z", "method": "GET", "path": path},
            }
            stored = StoredEvent(
                seq, "persona", f"ual_{seq}", 0, released_at, int(live), "org_1", "env_1", orjson.dumps(body), None
            )
            self.events.append(stored)
        for event in self._subscribers:
            event.set()

    async def register_sink(self, name: str, kind: str, *, start: str | None) -> int:
        await asyncio.sleep(0)
        if self.full:
            raise DiskFull
        return self.cursors.setdefault(name, 0)

    async def read(self, after: int, *, max_events: int, max_bytes: int) -> list[StoredEvent]:
        await asyncio.sleep(0)
        self.reads += 1
        if self.unreadable:
            raise DiskFull
        found: list[StoredEvent] = []
        size = 0
        first = bisect_right(self.events, after, key=lambda one: one.seq)  # a search, as the real one has an index
        for stored in self.events[first : first + max_events]:
            size += len(stored.body)
            if found and size > max_bytes:
                break
            found.append(stored)
        return found

    async def commit(self, sink: str, cursor: int, dead: Sequence[DeadLetter] = ()) -> None:
        await asyncio.sleep(0)
        if self.full:
            raise DiskFull
        assert cursor > self.cursors[sink], "a commit that moves nothing costs a transaction"
        assert all(letter.seq <= cursor for letter in dead)
        self.cursors[sink] = cursor
        self.dead.setdefault(sink, []).extend(dead)
        self.commits.append((sink, cursor))

    async def remember_beyond(self, sink: str, seqs: Sequence[int]) -> None:
        await asyncio.sleep(0)
        if self.full:
            raise DiskFull
        self.taken[sink] = [*seqs]

    async def beyond(self, sink: str) -> list[int]:
        await asyncio.sleep(0)
        return self.taken.get(sink, [])

    async def backlog(self, sink: str) -> Backlog:
        left = [stored for stored in self.events if stored.seq > self.cursors[sink]]
        return Backlog(len(left), left[0].released_at if left else None)

    def subscribe(self) -> asyncio.Event:
        event = asyncio.Event()
        self._subscribers.append(event)
        return event
