"""The simulated organization's audit log: what exists, in which order, and who can see it when."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from heapq import heappop, heappush
from random import Random

from forwarder.clock import Clock, SystemClock
from forwarder.record import Json
from forwarder.simulator.activity import STRETCH, Activity, same_instant
from forwarder.simulator.people import Employee
from forwarder.simulator.workweek import DAY, MILLISECOND, history

RETENTION = 183 * DAY
"""Persona says "up to the most recent 6 months"."""


class World:
    """A seeded audit log whose history ends now, and which grows by :meth:`append`.

    Records are numbered in the order in which they are made, from 0; id and content follow from the seed and the
    number. A million of them take 12 MB: a time and a place in the list each, contents are made when they are served.

    :param records: how many the history holds
    :param days: how long ago the history begins
    :param late: share of appended records that become visible late, at the place in the list where they belong
    :param late_by: at most so many seconds late
    :param odd: share of records that are hard to read (:class:`~forwarder.simulator.activity.Activity`)
    :param odd_ids: ids of some records by number, however odd
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        records: int = 1000,
        days: float = 30.0,
        late: float = 0.0,
        late_by: float = 30.0,
        odd: float = 0.0,
        odd_ids: Mapping[int, str] | None = None,
        employees: int = 40,
        clock: Clock | None = None,
    ) -> None:
        self.seed = seed
        self.clock = clock or SystemClock()
        self.activity = Activity(seed, employees=employees, odd=odd, odd_ids=odd_ids)
        self._late, self._late_by = late, late_by
        now = self.clock.now()
        self._times = history(records, now - int(days * DAY), now, Random(seed)) if records else array("q")
        _share_instants(self._times)
        # Numbers of the visible records, oldest first; equal times stay in the order in which they were made.
        self._visible = array("I", range(len(self._times)))
        self._hidden: list[tuple[int, int]] = []
        self._expired = 0

    @property
    def made(self) -> int:
        """How many records exist or existed, those not visible yet and those past retention included."""
        return len(self._times)

    @property
    def hidden(self) -> int:
        """How many records are not visible yet."""
        self.settle()
        return len(self._hidden)

    @property
    def expired(self) -> int:
        """How many records have left retention."""
        self.settle()
        return self._expired

    def __len__(self) -> int:
        """How many records the list shows now."""
        self.settle()
        return len(self._visible)

    def append(self, count: int = 1, *, created_ago: float = 0.0, visible_in: float | None = None) -> list[str]:
        """Make *count* records now and return their ids in order.

        *created_ago* dates them so many seconds back; *visible_in* hides them for so many seconds from now on, and
        by default the world's own share of late records decides. A late record appears where its ``created-at``
        belongs.
        """
        now = self.clock.now()
        created = now - int(created_ago * 1_000_000)
        # The log's own order never goes back, whatever the machine's clock does.
        newest = self._times[self._visible[-1]] if self._visible and not created_ago else 0
        created = max(created // MILLISECOND * MILLISECOND, newest)
        first = len(self._times)
        for index in range(first, first + count):
            self._times.append(created)
            wait = self._lateness(index) if visible_in is None else visible_in
            if wait > 0:
                heappush(self._hidden, (now + int(wait * 1_000_000), index))
            else:
                self._show(index)
        return [self.activity.ids.record(index) for index in range(first, first + count)]

    def settle(self) -> None:
        """Show what has become visible by now, and drop what is past retention."""
        now = self.clock.now()
        while self._hidden and self._hidden[0][0] <= now:
            self._show(heappop(self._hidden)[1])
        gone = bisect_left(self._visible, now - RETENTION, key=self._times.__getitem__)
        if gone:
            del self._visible[:gone]
            self._expired += gone

    def ids(self, start: int = 0, end: int | None = None) -> Iterator[str]:
        """Ids of the records made, in the order in which they were made, from number *start* to before *end*."""
        return map(self.activity.ids.record, range(start, self.made if end is None else end))

    def listed(self) -> list[str]:
        """Ids of what the list shows now, newest first."""
        self.settle()
        return [self.activity.ids.record(index) for index in reversed(self._visible)]

    def created_at(self, index: int) -> int:
        """When record number *index* was made, microseconds since the epoch."""
        return self._times[index]

    def position(self, record_id: str) -> int | None:
        """Place of a record in the list now, 0 the oldest; None if the list does not show it."""
        index = self.activity.ids.index_of(record_id)
        if index is None or index >= len(self._times):
            return None
        place = self._place(index)
        return place if place < len(self._visible) and self._visible[place] == index else None

    def slice(self, start: int, end: int) -> list[tuple[Json, Employee]]:
        """The records at places *start* to before *end*, newest first, each with its user."""
        return [
            self.activity.record(index, self._times[index]) for index in reversed(self._visible[max(start, 0) : end])
        ]

    def _place(self, index: int) -> int:
        times = self._times
        return bisect_left(self._visible, (times[index], index), key=lambda other: (times[other], other))

    def _show(self, index: int) -> None:
        visible = self._visible
        if not visible or (self._times[visible[-1]], visible[-1]) < (self._times[index], index):
            visible.append(index)
        else:
            visible.insert(self._place(index), index)

    def _lateness(self, index: int) -> float:
        if not self._late:
            return 0.0
        chance, wait = (int.from_bytes(part) / 2**32 for part in _halves(self.activity.ids.digest(b"late", index, 8)))
        return wait * self._late_by if chance < self._late else 0.0


def _halves(digest: bytes) -> tuple[bytes, bytes]:
    return digest[: len(digest) // 2], digest[len(digest) // 2 :]


def _share_instants(times: "array[int]") -> None:
    for first in range(0, len(times), STRETCH):
        if same_instant(first):
            for index in range(first, min(first + STRETCH, len(times))):
                times[index] = times[first]
