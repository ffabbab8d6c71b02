"""The journal's file: its lock, how it is opened, and the reserve that lets cursors move on a full disk."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

from forwarder.clock import Clock
from forwarder.errors import DiskFull, JournalLocked, JournalUnavailable
from forwarder.journal.integrity import damaged, examine, has_bytes, identify, uri
from forwarder.journal.schema import APPLICATION_ID, TABLES, VERSION

RESERVE_BYTES = 4 << 20
"""Kept free beside the journal, so that cursors and dead letters can still be written when the disk is full."""

OLDEST_SQLITE = (3, 35, 0)
"""``RETURNING`` and ``UPDATE … FROM`` came by then."""

_SETTINGS = (
    "busy_timeout = 5000",
    "auto_vacuum = INCREMENTAL",
    "journal_mode = WAL",
    "synchronous = FULL",
    "journal_size_limit = 67108864",
    "cache_size = -16384",
    "temp_store = MEMORY",
)

_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_OCCUPIED = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_PROTOCOL,  # somebody else holds the locks that a recovery of the write-ahead log needs
}


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours.

    :raises DiskFull: the transaction was rolled back for want of room, or since the disk failed
    :raises JournalDamaged: the file is not what it should be
    :raises JournalUnavailable: anything else that keeps us from it
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if primary in _FULL:
            raise DiskFull(f"{path}: {error}") from error
        if primary in _DAMAGED:
            raise damaged(path, str(error)) from error
        if primary in _OCCUPIED:
            raise JournalUnavailable(f"the journal {path} cannot be used: {error}") from error
        raise


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """As :func:`translated`, for a command that only reads and goes on with nothing else.

    :raises JournalUnavailable: its disk fails, too
    """
    try:
        with translated(path):
            yield
    except DiskFull as error:
        raise JournalUnavailable(f"the journal cannot be read, its disk is full or fails: {error}") from error


def lock(path: Path) -> int:
    """Take the journal's lock for life; returns the descriptor that holds it.

    A file of its own, since closing any descriptor of the database would drop SQLite's own locks on it.

    :raises JournalLocked: another process has it
    :raises JournalUnavailable: the lock file cannot be made
    """
    try:
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalUnavailable(
            f"the journal {path} cannot be created: {error.strerror}; "
            "FORWARDER_STATE_PATH has to name a file in a directory that exists and that this user can write",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise JournalLocked(
            f"another process owns the journal {path}; run one replica only, "
            "or give this one its own FORWARDER_STATE_PATH",
        ) from error
    return descriptor


def connect(
    path: Path,
    *,
    clock: Clock,
    random: Random,
    factory: type[sqlite3.Connection] = sqlite3.Connection,
) -> sqlite3.Connection:
    """Open the journal for reading and writing, making it if it is not there.

    What is there is looked over read-only first, so a damaged file stays as it is found. A new journal's identity is
    drawn from *random* and dated by *clock*.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise JournalUnavailable(f"the journal needs SQLite 3.35 or newer; this Python has {sqlite3.sqlite_version}")
    with translated(path):
        if has_bytes(path):
            examine(path, clock)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=factory)
        try:
            with suppress(PermissionError):  # another user's, on a volume that we share: SQLite knows what we may
                path.chmod(0o600)
            for setting in _SETTINGS:
                connection.execute(f"PRAGMA {setting}")
            if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                _create(connection, journal_id=random.randbytes(8).hex(), created=clock.now())
        except BaseException:
            connection.close()
            raise
        return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open an existing journal for reading, beside a running daemon or without one.

    :raises JournalUnavailable: there is none at *path*, or its disk fails
    """
    if not path.exists():
        raise _missing(path)
    with reading(path):
        connection = sqlite3.connect(uri(path, "mode=ro"), uri=True, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA busy_timeout = 5000")
            identify(connection, path)
            made = connection.execute("PRAGMA user_version").fetchone()[0] > 0
        except BaseException:
            connection.close()
            raise
        if made:
            return connection
        # A daemon has only just begun to make it, or died while it did.
        connection.close()
        raise _missing(path)


def _missing(path: Path) -> JournalUnavailable:
    return JournalUnavailable(f"there is no journal at {path}; FORWARDER_STATE_PATH names it, `forwarder run` makes it")


def sizes_on_disk(path: Path) -> dict[str, int]:
    """Bytes of the database's ``file`` and of its write-ahead log, ``wal``."""
    wal = Path(f"{path}-wal")
    return {"file": path.stat().st_size, "wal": wal.stat().st_size if wal.exists() else 0}


def free_bytes(directory: Path) -> int:
    """Bytes that this user can still write to the disk of *directory*; a simulated disk answers in its place."""
    space = os.statvfs(directory)
    return space.f_bavail * space.f_frsize


class Reserve:
    """A few megabytes beside the journal that are given up when the disk is full."""

    def __init__(self, path: Path) -> None:
        self._path = Path(f"{path}.reserve")

    def take(self) -> bool:
        """Set the room aside; False while the disk has none to spare."""
        if self._path.exists() and self._path.stat().st_size == RESERVE_BYTES:
            return True
        if free_bytes(self._path.parent) < 2 * RESERVE_BYTES:
            return False
        try:
            with self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
        except OSError:
            self.give_up()
            return False
        return True

    def give_up(self) -> None:
        """Give the room back to the disk."""
        self._path.unlink(missing_ok=True)


def _create(connection: sqlite3.Connection, *, journal_id: str, created: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in TABLES.split(";\n"):
        if statement.strip():
            connection.execute(statement)
    connection.execute("INSERT INTO meta VALUES (1, ?, ?, 1)", (journal_id, created))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")
