"""The real worker and the real sink over a journal in memory, so that a soak measures nothing but the delivery."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

import orjson
import structlog

from forwarder.clock import format_rfc3339
from forwarder.journal import StoredEvent
from forwarder.record import Json
from forwarder.sinks.syslog import SyslogSink
from tests.delivery.conftest import Rig
from tests.delivery.memory_journal import MemoryJournal
from tests.sinks.contract import ODD

METHODS = ("GET", "GET", "GET", "POST", "PATCH", "DELETE")
STATUSES = (200, 200, 200, 200, 302, 401, 403, 404, 422, 500)


class Delivery:
    """Releases events, and delivers them to *sink* until it is left."""

    def __init__(self, sink: SyslogSink) -> None:
        self.journal = MemoryJournal()
        self._rig = Rig(self.journal)
        self._sink = sink

    @property
    def acknowledged(self) -> int:
        """The last sequence number that the sink vouches for; all before it are in, too."""
        return self.journal.cursors.get("soak", 0)

    @property
    def made(self) -> int:
        """How many events were released."""
        return len(self.journal.events)

    def release(self, resources: Sequence[Json]) -> None:
        """Release more events."""
        for resource in resources:
            seq = self.made + 1
            body = orjson.dumps(resource)
            self.journal.events.append(
                StoredEvent(seq, "persona", resource["id"], 1_772_356_503_000_000, 0, 0, "org_1", "env_1", body, None)
            )
        self.journal.release(0)

    async def all_acknowledged(self, seconds: float = 600) -> None:
        """Wait until the sink vouches for everything that was released."""
        async with asyncio.timeout(seconds):
            while self.acknowledged < self.made:  # noqa: ASYNC110 # the receiver is another process
                await asyncio.sleep(0.02)

    @property
    def dead_letters(self) -> int:
        """How many events were refused."""
        return len(self.journal.dead.get("soak", []))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the worker meanwhile."""
        worker = self._rig.start(self._sink, "soak")
        try:
            with structlog.testing.capture_logs():  # a line a batch is too much to read
                yield
        finally:
            self._rig.stop.set()
            for task in self._rig.tasks:
                if worker.health.failing:
                    task.cancel()
            await asyncio.gather(*self._rig.tasks, return_exceptions=True)


def resources(count: int, seed: int, *, first: int = 1) -> list[Json]:
    """Make records of many kinds, with a date and a status that differ, some with odd text in them."""
    random = Random(seed)
    return [_resource(number, random) for number in range(first, first + count)]


def _resource(number: int, random: Random) -> Json:
    when = 1_767_225_600_000 + random.randrange(20_000_000_000)
    note = ODD if random.random() < 0.1 else "x" * random.randrange(400)
    user = random.randrange(500)
    return {
        "type": "user-audit-log",
        "id": f"ual_{number:08d}",
        "attributes": {
            "created-at": format_rfc3339(when * 1000),
            "method": random.choice(METHODS),
            "path": f"/api/internal/dashboard/v1/cases/case_{random.randrange(10**6)}A",
            "response-status": random.choice(STATUSES),
            "ip-address": f"203.0.113.{random.randrange(256)}" if random.random() < 0.7 else f"2001:db8::{user:x}",
            "user-agent": "Mozilla/5.0 (X11; Linux x86_64)",
            "get-params": {"page": str(user)} if random.random() < 0.3 else {},
            "post-params": {"note": note},
            "impersonator-email-address": "staff@example.com" if random.random() < 0.02 else None,
        },
        "relationships": {
            "user": {"data": {"type": "user", "id": f"user_{user}"}},
            "user-session": {"data": {"type": "user-session", "id": f"uses_{user}"}},
        },
    }
