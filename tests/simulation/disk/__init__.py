"""A disk under the real SQLite that loses power, fills up, fails and is busy when a simulation says so.

Only SQLite's own files in the given directories are managed: databases, write-ahead logs, rollback journals. All others
are the operating system's and survive whatever happens. The model:

- What is written is not durable; what is synced is. After a power cut each unsynced change is kept, lost, or torn.
- Names are durable in order. That a file was made, or deleted without a sync of its directory, may be undone by a power
  cut, the last first. Where SQLite syncs the directory (with the first sync of a log or journal, and with some
  deletions) all names before are durable.
- ``-shm`` files are gone after a crash of either kind. They are never synced, so power takes them; and when all
  processes died, the first that comes takes the file's content for nothing and builds it anew from the log.
- A sync that fails makes nothing durable, and may be tried again. (Linux may forget what it could not write and call
  the next sync good. Nobody who writes through the page cache can know, so that is left out.)

The process that dies is ours, so its connections live on as shadows: whatever they write, sync, truncate, lock, map or
delete fails with SQLITE_IOERR and changes nothing. What the disk holds then lies in new files, and a shadow's open file
keeps its inode's number taken, so that no shadow meets the next process in SQLite's table of locks, which goes by
inode. ``*.lock`` files are made anew too: the kernel would have let go of the locks of a dead process.

All goes in the order of the calls: the same calls with the same generator leave the same bytes. One thread at a time:
journals are opened with ``executors=(Inline(), Inline())``.
"""

import errno
import os
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self
from unittest.mock import patch

from forwarder.journal import file as journal_file
from tests.simulation.disk import sqlite_door
from tests.simulation.disk.faults import CODES, SHM_UNLOCK, Faults
from tests.simulation.disk.medium import Kind, Medium
from tests.simulation.disk.platter import Change, Truncate, Write, lay_out, remove
from tests.simulation.disk.sqlite_volume import OpenFile

_READABLE, _WRITABLE = 0x1, 0x2 | 0x4
"""SQLITE_OPEN_READONLY; SQLITE_OPEN_READWRITE and SQLITE_OPEN_CREATE."""


class Disk(Faults):
    """One disk; a context manager, since it takes the place of the process's own.

    :param directories: where it manages files; they exist
    :param seed: of SQLite's own generator (the salts in its log)
    """

    def __init__(self, *directories: Path, seed: int = 0) -> None:
        super().__init__(directories)
        self.died = False
        """Whether the process died and :meth:`crash` has not been called since."""
        self.on_operation: Callable[[str, str], None] | None = None
        """Called before each operation (``write``, ``truncate``, ``sync``, ``delete``) with the kind of file (``db``,
        ``wal``, ``journal``); it may call :meth:`die` or :meth:`crash`."""
        self.on_death: Callable[[], None] | None = None
        """Called when the process dies; it may call :meth:`crash`. The operation it died in fails right after."""
        self.operations: Counter[tuple[str, str]] = Counter()
        """How many of each operation and kind of file there were."""
        self.seen: set[bytes] = set()
        """Markers that were written; see :meth:`watch`."""
        self._markers: set[bytes] = set()
        self._random = Random(seed)
        self._generation = 0
        self._medium = Medium()
        self._open: set[OpenFile] = set()
        self._dies_in: int | None = None
        self._in_flight: tuple[str, Change | None] | None = None
        self._left_by_shadow: str | None = None
        self._errors: list[BaseException] = []
        self._statvfs = patch.object(journal_file, "free_bytes", self._free_bytes(journal_file.free_bytes))
        self._chmod = patch.object(Path, "chmod", self._change_mode(Path.chmod))

    # -- for the simulation --------------------------------------------------------------------------------------------

    def install(self) -> None:
        """Take the place of the process's own disk for what is opened from now on.

        :raises SqliteHidden: this Python's SQLite cannot be reached
        """
        sqlite_door.enter(self)
        self._statvfs.start()
        self._chmod.start()

    def uninstall(self) -> None:
        """Give the place back; what is still open is a shadow from now on.

        :raises BaseException: what went wrong in a callback, as :meth:`check`
        """
        self._generation += 1
        self._statvfs.stop()
        self._chmod.stop()
        sqlite_door.leave(self)
        self.check()

    def __enter__(self) -> Self:
        self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.uninstall()

    def check(self) -> None:
        """Raise the first error of a callback: it could not go through SQLite, which was told SQLITE_IOERR instead."""
        if self._errors:
            raise self._errors.pop(0)

    def die_at(self, n: int | None) -> None:
        """Let the process die in the middle of its *n*-th operation from now (1 is the next); None: not any more."""
        self._dies_in = n

    def die(self) -> None:
        """The process dies: from now on nothing reaches the disk until :meth:`crash`."""
        self.died = True
        self._dies_in = None
        if self.on_death is not None:
            self.on_death()

    def crash(self, kind: Kind, random: Random) -> None:
        """Let all processes end at once, by themselves or with the power, and lay out what the disk holds for the next.

        :param kind: after ``process`` all that was written is there (and still not durable); after ``power`` what was
            synced, and of the rest what *random* draws
        """
        self._medium.crash(kind, random, self._in_flight)
        for where, name in self._all_files():
            if name.endswith(("-shm", ".lock")):
                remove(f"{where}/{name}")
        self._generation += 1
        self.died, self._dies_in, self._in_flight = False, None, None
        sqlite_door.forget_randomness()

    def exchange(self, path: Path, content: bytes | None) -> None:
        """Put another file in the place of one that nobody has open, or take it away; either lasts."""
        remove(str(path))
        if content is not None:
            lay_out(str(path), content)
        self._medium.exchanged(str(path), content)

    def watch(self, marker: bytes) -> None:
        """Add *marker* to :attr:`seen` once one write contains it.

        A value may be split over two pages, and so over two writes: take a marker that the value repeats.
        """
        self._markers.add(marker)

    def open_files(self) -> list[str]:
        """Paths that living connections have open, each as often as it is."""
        return sorted(file.path for file in self._open if not self._is_shadow(file))

    # -- for SQLite ----------------------------------------------------------------------------------------------------

    def manages(self, path: str) -> bool:
        """Whether it lies in one of the directories."""
        return any(path.startswith(f"{directory}/") for directory in self.directories)

    def may_open(self, path: str) -> int:
        """Nothing is opened between death and crash."""
        return sqlite3.SQLITE_CANTOPEN if self.died else self._fault("open")

    def granted(self, flags: int) -> int:
        """All that it asks for; where files are for reading, that, as SQLite itself goes on after an EACCES."""
        return flags & ~_WRITABLE | _READABLE if self.read_only else flags

    def opened(self, file: OpenFile, *, created: bool) -> None:
        """Note it, and what the disk has of it."""
        file.generation = self._generation
        if created:
            self._medium.made(file.path)
        elif file.path not in self.open_files():
            self._medium.found(file.path)
        self._open.add(file)

    def closed(self, file: OpenFile) -> None:
        """Forget it. What a shadow closes it may delete next, by a name that is another file's now."""
        self._open.discard(file)
        self._left_by_shadow = file.path if self._is_shadow(file) else None

    def may_read(self, file: OpenFile) -> int:
        """Shadows may read what they have."""
        if self.on_read is not None:
            self.on_read()
        return self._fault("read")

    def write(self, file: OpenFile, data: bytes, offset: int) -> int:
        """Write what fits."""
        self.seen.update(marker for marker in self._markers if marker in data)
        if code := self._begin("write", file, Write(offset, data)):
            return code
        end = offset + len(data)
        fits = self._fitting(file.size(), end) if self._is_bounded else end
        data = data[: max(0, fits - offset)]
        if data:
            if code := file.write(data, offset):
                return code
            self._medium.changed(file.path, Write(offset, data))
        return sqlite3.SQLITE_OK if fits == end else sqlite3.SQLITE_FULL

    def truncate(self, file: OpenFile, size: int) -> int:
        """Cut it."""
        code = self._begin("truncate", file, Truncate(size)) or file.call("xTruncate", size)
        if not code:
            self._medium.changed(file.path, Truncate(size))
        return code

    def sync(self, file: OpenFile) -> int:
        """Make durable what was written to it."""
        if code := self._begin("sync", file):
            return code
        self._medium.synced(file.path, directory=file.syncs_directory)
        file.syncs_directory = False
        return sqlite3.SQLITE_OK

    def may_lock(self, file: OpenFile, level: int) -> int:
        """Shadows lock nothing: who has no lock neither rolls back, nor checkpoints, nor deletes."""
        return CODES["lock"] if self._is_shadow(file) else self._lock_fault(level)

    def may_map(self, file: OpenFile, size: int) -> int:
        """A shadow would map the living's file, by its name."""
        return sqlite3.SQLITE_IOERR_SHMMAP if self._is_shadow(file) else self._shared_memory_fault(file, size)

    def may_lock_shared_memory(self, file: OpenFile, slot: int, flags: int) -> int:
        """Shadows only unlock."""
        if self._is_shadow(file):
            return sqlite3.SQLITE_OK if flags & SHM_UNLOCK else sqlite3.SQLITE_IOERR_SHMLOCK
        return self._shared_memory_lock_fault(slot, flags)

    def delete(self, path: str, *, synced: bool, real: Callable[[], int]) -> int:
        """Take a name away."""
        shadow, self._left_by_shadow = path == self._left_by_shadow, None
        if shadow or self.died:
            return CODES["delete"]
        kind = "wal" if path.endswith("-wal") else "journal"
        exists = os.path.exists(path)  # noqa: PTH110 # thousands a second
        code = self._operate("delete", kind, (path, None) if exists else None) or real()
        if not code:
            self._medium.deleted(path, synced=synced)
        return code

    def randomness(self, size: int) -> bytes:
        """What the seed says."""
        return self._random.randbytes(size)

    def failed(self, error: BaseException) -> None:
        """Keep it for :meth:`check`."""
        self._errors.append(error)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _is_shadow(self, file: OpenFile) -> bool:
        return self.died or file.generation != self._generation

    def _begin(self, operation: str, file: OpenFile, change: Change | None = None) -> int:
        """Count an operation on a file, which may be the last, or fail; the code if it does not come about."""
        if self._is_shadow(file):
            return CODES[operation]
        return self._operate(operation, file.kind, None if change is None else (file.path, change))

    def _operate(self, operation: str, kind: str, in_flight: tuple[str, Change | None] | None) -> int:
        self.operations[operation, kind] += 1
        generation, self._in_flight = self._generation, in_flight
        if self.on_operation is not None:
            self.on_operation(operation, kind)
        if self._dies_in is not None:
            self._dies_in -= 1
            if self._dies_in <= 0:
                self.die()
        if self.died or self._generation != generation:
            return CODES[operation]
        self._in_flight = None
        return self._fault(operation)

    def _change_mode(self, real: Callable[[Path, int], None]) -> Callable[[Path, int], None]:
        def chmod(path: Path, mode: int) -> None:
            if self.read_only and self.manages(str(path)):
                raise PermissionError(errno.EPERM, "Operation not permitted", str(path))
            real(path, mode)

        return chmod

    def _free_bytes(self, real: Callable[[Path], int]) -> Callable[[Path], int]:
        def free_bytes(directory: Path) -> int:
            free = self.free_bytes() if self.manages(f"{directory.resolve()}/") else None
            return real(directory) if free is None else free

        return free_bytes
