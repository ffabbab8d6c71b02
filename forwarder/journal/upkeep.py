"""What an operator does for a journal's file, beside a running daemon or without one: look it over, and copy it.

Neither disturbs the daemon: both read one snapshot, while the write-ahead log takes what is written meanwhile.
"""

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from forwarder.errors import JournalUnavailable
from forwarder.journal.file import connect_read_only, reading
from forwarder.journal.integrity import damaged, findings, uri

_DISAGREEMENTS = {
    "the number of known ids": "known != (SELECT count(*) FROM ids WHERE source = source.id)",
    "the order of first sights": "sights < (SELECT max(n) FROM ids WHERE source = source.id)",
    "the numbers of gaps": "gaps < (SELECT max(id) FROM gap WHERE source = source.id)",
    "ids and events": "EXISTS (SELECT 1 FROM event LEFT JOIN ids ON ids.source = event.source AND ids.id = event.id "
    "WHERE event.source = source.id AND ids.id IS NULL)",
}
"""What a source's account has to say twice, with the condition under which it does not say the same."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a journal that was looked over holds, and what of its account does not agree with itself."""

    journal_id: str
    ids: int
    events: int
    dead_letters: int
    disagreements: tuple[str, ...]


def check(path: Path) -> Inventory:
    """Read all of the journal at *path*: every page and index, and whether its account agrees with itself.

    :raises JournalDamaged: the file is not what it should be
    :raises JournalUnavailable: there is none, or its disk fails
    """
    with closing(connect_read_only(path)) as db, reading(path):
        db.execute("BEGIN")  # one snapshot
        _raise_if_damaged(db, path)
        (journal_id,) = db.execute("SELECT journal_id FROM meta").fetchone()
        wrong = tuple(about for about, condition in _DISAGREEMENTS.items() if _count(db, f"source WHERE {condition}"))
        return Inventory(journal_id, _count(db, "ids"), _count(db, "event"), _count(db, "dead_letter"), wrong)


def back_up(path: Path, target: Path) -> int:
    """Copy the journal at *path* to *target*, which is whole or not there at all; returns its bytes.

    :raises FileExistsError: *target* is there already
    :raises JournalDamaged: the journal's file is not what it should be; no copy was left
    :raises JournalUnavailable: there is no journal, its disk fails, or *target* cannot be written
    """
    if target.exists():
        raise FileExistsError(target)
    partial = target.with_name(target.name + ".partial")
    with closing(connect_read_only(path)) as db, reading(path):
        try:
            partial.unlink(missing_ok=True)  # what one that was killed had left
            partial.touch(mode=0o600)
            _copy(db, partial)
            with closing(sqlite3.connect(uri(partial, "immutable=1"), uri=True)) as copy:
                _raise_if_damaged(copy, path)
            partial.rename(target)
            _sync(target.parent)
        except (OSError, sqlite3.OperationalError) as error:
            raise JournalUnavailable(f"the copy {target} could not be made: {error}; {path} is as it was") from error
        finally:
            for left in (partial, Path(f"{partial}-journal")):
                left.unlink(missing_ok=True)
    return target.stat().st_size


def _copy(db: sqlite3.Connection, to: Path) -> None:
    """In one go, for a copy in steps begins anew whenever the daemon writes; SQLite syncs it at the end."""
    with closing(sqlite3.connect(to, isolation_level=None)) as copy:
        db.backup(copy)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise_if_damaged(db: sqlite3.Connection, path: Path) -> None:
    found = findings(db, "integrity_check")
    if found != "ok":
        raise damaged(path, found)


def _count(db: sqlite3.Connection, rows: str) -> int:
    (count,) = db.execute(f"SELECT count(*) FROM {rows}").fetchone()  # noqa: S608 # literals of this module
    return int(count)
