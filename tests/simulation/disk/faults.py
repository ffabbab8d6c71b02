"""What can be wrong with a disk that is alive: no room, failing operations, somebody else at work on the database."""

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.simulation.disk import sqlite_door
from tests.simulation.disk.sqlite_volume import OpenFile

CODES = {
    "open": sqlite3.SQLITE_CANTOPEN,
    "read": sqlite3.SQLITE_IOERR_READ,
    "write": sqlite3.SQLITE_IOERR_WRITE,
    "truncate": sqlite3.SQLITE_IOERR_TRUNCATE,
    "sync": sqlite3.SQLITE_IOERR_FSYNC,
    "delete": sqlite3.SQLITE_IOERR_DELETE,
    "lock": sqlite3.SQLITE_IOERR_LOCK,
}
"""What SQLite is told when the operation fails."""

_RESERVED = 2
_WRITE, _CHECKPOINT = 0, 1
SHM_UNLOCK, _SHM_EXCLUSIVE = 1, 8


class Faults:
    """A disk's faults, armed and disarmed by whoever simulates; none at first."""

    def __init__(self, directories: Sequence[Path]) -> None:
        self.directories = tuple(str(directory.resolve()) for directory in directories)
        self.full = False
        """No file can grow, whatever else shrinks: somebody else fills what becomes free."""
        self.read_only = False
        """Files belong to somebody else, who lets us read them."""
        self.on_read: Callable[[], None] | None = None
        """Called at each read, while reads are watched."""
        self.on_sleep: Callable[[int], None] | None = None
        """Told the microseconds that SQLite waits for a lock: a simulated clock may go on meanwhile."""
        self._capacity: int | None = None
        self._failing: Counter[str] = Counter()
        self._spared: Counter[str] = Counter()
        self._busy_times = 0
        self._busy_for = 0

    @property
    def room(self) -> int | None:
        """Bytes by which files may grow, those that shrink or go giving theirs back; None (as at first): no bound.

        Every file in the directories counts, the journal's reserve among them.
        """
        return None if self._capacity is None else max(0, self._capacity - self._used())

    @room.setter
    def room(self, size: int | None) -> None:
        self._capacity = None if size is None else self._used() + size

    def free_bytes(self) -> int | None:
        """What ``statvfs`` should say; None if it is left to the real one."""
        return 0 if self.full else self.room

    def fail(self, operation: str, times: int = 1, *, after: int = 0) -> None:
        """Let the next *times* operations of a kind fail, as ``SQLITE_IOERR`` and its variants; 0 disarms.

        :param operation: one of :data:`CODES`
        :param after: so many go well before that
        """
        if operation not in CODES:
            raise ValueError(f"{operation}: it is one of {', '.join(CODES)}")
        self._failing[operation], self._spared[operation] = times, after
        if operation == "read":
            sqlite_door.watch_reads(on=times > 0)

    def busy(self, times: int = 0, *, seconds: float = 0.0) -> None:
        """Let another process seem to write or checkpoint: whoever tries for its locks gets SQLITE_BUSY.

        The next *times* tries do, then all of them for so many *seconds* of SQLite's own waiting (its ``busy_timeout``,
        which takes no time here). It is in no reader's way. Without an argument it has gone.
        """
        self._busy_times, self._busy_for = times, round(seconds * 1e6)

    def slept(self, microseconds: int) -> None:
        """SQLite waited for a lock."""
        self._busy_for = max(0, self._busy_for - microseconds)
        if self.on_sleep is not None:
            self.on_sleep(microseconds)

    def _fault(self, operation: str) -> int:
        """The code with which this operation fails, once less from now on; 0 if it does not."""
        if self._failing[operation] <= 0:
            return sqlite3.SQLITE_OK
        if self._spared[operation] > 0:
            self._spared[operation] -= 1
            return sqlite3.SQLITE_OK
        self.fail(operation, self._failing[operation] - 1)
        return CODES[operation]

    @property
    def _is_bounded(self) -> bool:
        return self.full or self._capacity is not None

    def _fitting(self, size: int, wanted: int) -> int:
        """To what size a file of *size* bytes can grow, if it is to come to *wanted*."""
        if wanted <= size or not self._is_bounded:
            return wanted
        room = 0 if self.full else self.room or 0
        return min(wanted, size + room)

    def _is_taken(self) -> bool:
        if self._busy_times > 0:
            self._busy_times -= 1
            return True
        return self._busy_for > 0

    def _lock_fault(self, level: int) -> int:
        if level >= _RESERVED and self._is_taken():
            return sqlite3.SQLITE_BUSY
        return self._fault("lock")

    def _shared_memory_lock_fault(self, slot: int, flags: int) -> int:
        writes = flags & _SHM_EXCLUSIVE and slot in (_WRITE, _CHECKPOINT) and not flags & SHM_UNLOCK
        return sqlite3.SQLITE_BUSY if writes and self._is_taken() else sqlite3.SQLITE_OK

    def _shared_memory_fault(self, file: OpenFile, size: int) -> int:
        """The index of the log lies in a file as well, and grows with it."""
        path = f"{file.path}-shm"
        has = os.path.getsize(path) if os.path.exists(path) else 0  # noqa: PTH110, PTH202 # thousands a second
        return sqlite3.SQLITE_OK if self._fitting(has, size) >= size else sqlite3.SQLITE_IOERR_SHMSIZE

    def _used(self) -> int:
        return sum(os.lstat(f"{where}/{name}").st_size for where, name in self._all_files())

    def _all_files(self) -> Iterator[tuple[str, str]]:
        """Directory and name of each."""
        for directory in self.directories:
            for where, _, names in os.walk(directory):
                yield from ((where, name) for name in names)
