"""Whether a file is a journal of ours, and sound: it is looked over before SQLite may write to it."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from forwarder.clock import SECOND, Clock
from forwarder.errors import DiskFull, JournalDamaged, JournalUnavailable
from forwarder.journal.schema import APPLICATION_ID, VERSION

CHECK_SECONDS = 10
"""Bound on the check of a large journal at start; what it does not reach is found when it is read."""

_FINDINGS = 10
"""So many may be wrong before the check of a file ends."""

_ERROR_CODE = re.compile(r"error code\D*(\d+)")


def examine(path: Path, clock: Clock) -> None:
    """Look the file over without touching it: SQLite itself may write to what it opens for writing.

    :raises DiskFull: the disk fails; nothing is said of the file
    :raises JournalDamaged: the file is not what it should be
    :raises JournalUnavailable: a newer version of this program has written it
    """
    found = _look_over(path, clock)
    if found in {None, "ok"}:
        return
    # SQLite counts a page that the disk does not give as damage, and does not always say why. Damage that is there is
    # there when it is looked for again, with nothing kept in memory.
    codes = {int(code) & 0xFF for code in _ERROR_CODE.findall(found)}
    if sqlite3.SQLITE_IOERR in codes or not _is_readable(path) or _look_over(path, clock) == "ok":
        raise DiskFull(f"{path}: the disk does not give what was written to it ({found})")
    raise damaged(path, found)


def _look_over(path: Path, clock: Clock) -> str | None:
    """What SQLite finds wrong with the file, or ``ok``; None if it had not come to the end in time."""
    if has_bytes(Path(f"{path}-journal")):
        # The power failed while it was made, before it had a write-ahead log. Until SQLite has taken back what was half
        # written, the file alone says nothing.
        way = "mode=rw"
    else:
        way = "mode=ro" if has_bytes(Path(f"{path}-wal")) else "immutable=1"
    with closing(sqlite3.connect(uri(path, way), uri=True, isolation_level=None)) as connection:
        identify(connection, path)
        # By the wall clock, for the other is the event loop's and this runs in the writer's thread; a step of it cuts
        # the check short, or lets it come to its own end.
        deadline = clock.now() + CHECK_SECONDS * SECOND
        connection.set_progress_handler(lambda: int(clock.now() > deadline), 100_000)
        try:
            return findings(connection, "quick_check")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            return None


def findings(connection: sqlite3.Connection, pragma: str) -> str:
    """What SQLite's *pragma* (``quick_check``, or ``integrity_check`` with the indexes) finds wrong, or ``ok``."""
    found = connection.execute(f"PRAGMA {pragma}({_FINDINGS})").fetchall()
    return " ".join(" ".join(text for (text,) in found).split())


def _is_readable(path: Path) -> bool:
    """Whether the disk gives the file, whatever is in it."""
    try:
        with path.open("rb") as file:
            while file.read(1 << 20):
                pass
    except OSError:
        return False
    return True


def identify(connection: sqlite3.Connection, path: Path) -> None:
    """See whose database it is.

    :raises JournalDamaged: another program's
    :raises JournalUnavailable: a newer version's of this one
    """
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if tables and application != APPLICATION_ID:
        raise damaged(path, "it is a database of another program")
    if version > VERSION:
        raise JournalUnavailable(
            f"the journal {path} was written by a newer version of this program (its tables are version {version}, "
            f"this program knows {VERSION}); run that version, or newer",
        )


def damaged(path: Path, detail: str) -> JournalDamaged:
    """Make the error that says what can be done about a damaged file."""
    return JournalDamaged(
        f"the journal {path} is damaged ({detail}) and was left as it is. Put a backup in its place, or move it away: "
        "an empty journal collects everything that Persona still keeps again, and every sink receives it again",
    )


def has_bytes(path: Path) -> bool:
    """Whether there is anything in the file, if there is one."""
    return path.exists() and path.stat().st_size > 0


def uri(path: Path, query: str) -> str:
    """Name the file as SQLite wants it where *query* says how to open it (https://www.sqlite.org/uri.html)."""
    return f"file:{quote(str(path.absolute()))}?{query}"
