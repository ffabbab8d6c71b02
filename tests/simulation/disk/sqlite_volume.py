"""What stands between SQLite's door and a simulated disk: a file that SQLite has open, and who decides about it."""

import ctypes
from collections.abc import Callable
from typing import Any, Protocol


class OpenFile:
    """One file that SQLite has open; its methods are the operating system's and answer SQLite's codes."""

    def __init__(
        self, volume: "Volume", address: int, path: str, kind: str, *, new: bool, real: dict[str, Any]
    ) -> None:
        self.volume = volume
        self.path = path
        self.kind = kind
        """``db``, ``wal`` or ``journal``."""
        self.syncs_directory = new and kind != "db"
        """Whether its next sync is its directory's, too: so SQLite's VFS does it for logs and journals it may make."""
        self.generation = 0
        """The volume's own note of when it was opened."""
        self._address = address
        self._real = real

    def size(self) -> int:
        """How many bytes the operating system has of it."""
        size = ctypes.c_int64()
        self.call("xFileSize", ctypes.addressof(size))
        return size.value

    def write(self, data: bytes, offset: int) -> int:
        """Hand *data* to the operating system."""
        return self.call("xWrite", ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p), len(data), offset)

    def call(self, method: str, *arguments: Any) -> int:
        """Do what SQLite asked for, as it asked."""
        return int(self._real[method](self._address, *arguments))


class Volume(Protocol):
    """Who decides what becomes of the files that it manages. Answers are SQLite's codes, 0 if all is well."""

    def manages(self, path: str) -> bool:
        """Whether it wants to know of what happens to the file."""

    def may_open(self, path: str) -> int:
        """Whether a file can be opened at all now."""

    def granted(self, flags: int) -> int:
        """With which of the rights that it asks for (SQLITE_OPEN flags) a file is opened."""

    def opened(self, file: OpenFile, *, created: bool) -> None:
        """SQLite has it open."""

    def closed(self, file: OpenFile) -> None:
        """SQLite has let go of it."""

    def may_read(self, file: OpenFile) -> int:
        """Asked before each read; reads are only shown if the door was told to."""

    def write(self, file: OpenFile, data: bytes, offset: int) -> int:
        """Write, or not."""

    def truncate(self, file: OpenFile, size: int) -> int:
        """Truncate, or not."""

    def sync(self, file: OpenFile) -> int:
        """What was written lasts from now on. Nothing is really synced."""

    def may_lock(self, file: OpenFile, level: int) -> int:
        """Asked before a lock is raised to *level*, 1 (shared) to 4 (exclusive)."""

    def may_map(self, file: OpenFile, size: int) -> int:
        """Asked before the ``-shm`` file behind *file* may have to grow to *size* bytes."""

    def may_lock_shared_memory(self, file: OpenFile, slot: int, flags: int) -> int:
        """Asked before a lock of the write-ahead log changes."""

    def delete(self, path: str, *, synced: bool, real: Callable[[], int]) -> int:
        """Delete, or not; *synced* if the directory is synced with it."""

    def slept(self, microseconds: int) -> None:
        """SQLite believes to have waited."""

    def randomness(self, size: int) -> bytes:
        """What SQLite seeds its generator with."""

    def failed(self, error: BaseException) -> None:
        """An error of the volume's own: it cannot go through C."""
