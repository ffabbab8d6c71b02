"""The journal's file: its lock, its state of health, and the reserve that lets cursors move on a full disk."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from random import Random
from urllib.parse import quote

from forwarder.clock import SECOND, Clock
from forwarder.errors import DiskFull, JournalDamaged, JournalLocked, JournalUnavailable
from forwarder.journal.schema import APPLICATION_ID, TABLES, VERSION

RESERVE_BYTES = 4 << 20
"""Kept free beside the journal, so that cursors and dead letters can still be written when the disk is full."""

CHECK_SECONDS = 10
"""Bound on the check of a large journal at start; what it does not reach is found when it is read."""

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
            raise _damaged(path, str(error)) from error
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
        if _has_bytes(path):
            _examine(path, clock)
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
        connection = sqlite3.connect(_uri(path, "mode=ro"), uri=True, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA busy_timeout = 5000")
            _identify(connection, path)
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


def _examine(path: Path, clock: Clock) -> None:
    """Look the file over without touching it: SQLite itself may write to what it opens for writing."""
    if _has_bytes(Path(f"{path}-journal")):
        # The power failed while it was made, before it had a write-ahead log. Until SQLite has taken back what was half
        # written, the file alone says nothing.
        way = "mode=rw"
    else:
        way = "mode=ro" if _has_bytes(Path(f"{path}-wal")) else "immutable=1"
    with closing(sqlite3.connect(_uri(path, way), uri=True, isolation_level=None)) as connection:
        _identify(connection, path)
        # By the wall clock, for the other is the event loop's and this runs in the writer's thread; a step of it cuts
        # the check short, or lets it come to its own end.
        deadline = clock.now() + CHECK_SECONDS * SECOND
        connection.set_progress_handler(lambda: int(clock.now() > deadline), 100_000)
        try:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            return
        if verdict != "ok":
            raise _damaged(path, verdict)


def _has_bytes(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _identify(connection: sqlite3.Connection, path: Path) -> None:
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if tables and application != APPLICATION_ID:
        raise _damaged(path, "it is a database of another program")
    if version > VERSION:
        raise JournalUnavailable(
            f"the journal {path} was written by a newer version of this program (its tables are version {version}, "
            f"this program knows {VERSION}); run that version, or newer",
        )


def _damaged(path: Path, detail: str) -> JournalDamaged:
    return JournalDamaged(
        f"the journal {path} is damaged ({detail}) and was left as it is. Put a backup in its place, or move it away: "
        "an empty journal collects everything that Persona still keeps again, and every sink receives it again",
    )


def _uri(path: Path, query: str) -> str:
    return f"file:{quote(str(path.absolute()))}?{query}"
