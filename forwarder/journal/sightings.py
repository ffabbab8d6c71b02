"""The ids that were seen, in the order of their first sight: which are known, what lies below, what may be forgotten.

Each function runs inside a transaction that the journal opened.
"""

import sqlite3
from collections.abc import Sequence

from forwarder.journal.gaps import Row
from forwarder.journal.rules import forget_before

_AFTER_ALL = (1 << 63) - 1
"""A time that every record is older than."""


def known(db: sqlite3.Connection, source: int, ids: Sequence[str]) -> dict[str, int]:
    """The order of first sight of those *ids* that the journal has."""
    if not ids:
        return {}
    marks = ", ".join("?" * len(ids))
    return dict(
        db.execute(
            f"SELECT id, n FROM ids WHERE source = ? AND id IN ({marks})",  # noqa: S608 # question marks only
            (source, *ids),
        ).fetchall(),
    )


def nearest_older(db: sqlite3.Connection, source: int, at: int, mark: int) -> Row | None:
    """The record next below *at* of those whose order of first sight is at most *mark*."""
    found = db.execute(
        "SELECT id, at FROM ids WHERE source = ? AND at < ? AND n <= ? ORDER BY at DESC LIMIT 1",
        (source, at, mark),
    ).fetchone()
    return None if found is None else Row(*found)


def known_below(db: sqlite3.Connection, source: int, id_: str | None, at: int | None, mark: int) -> int | None:
    """The time of the nearest record that is older than *id_*, of those whose order of first sight is at most *mark*.

    *at* is the time of *id_* where the journal does not know it; without either, every record is older.
    """
    listed = db.execute("SELECT at FROM ids WHERE source = ? AND id = ?", (source, id_)).fetchone()
    below = at if listed is None else int(listed[0])
    older = nearest_older(db, source, _AFTER_ALL if below is None else below, mark)
    return None if older is None else older.at


def forget(db: sqlite3.Connection, source: int, server_time: int, retention: int, limit: int) -> int:
    """Drop up to *limit* ids past the *retention* that no event or dead letter needs; returns how many."""
    oldest = db.execute("SELECT min(collected) FROM (SELECT collected FROM event ORDER BY ord LIMIT 1)").fetchone()[0]
    before = forget_before(server_time, retention, oldest)
    changed = db.execute(
        "DELETE FROM ids WHERE source = ?1 AND id IN ("
        "  SELECT id FROM ids WHERE source = ?1 AND at < ?2 AND seen < ?2"
        "  AND NOT EXISTS (SELECT 1 FROM dead_letter WHERE dead_letter.id = ids.id)"
        "  LIMIT ?3)",
        (source, before, limit),
    )
    db.execute("UPDATE source SET known = known - ? WHERE id = ?", (changed.rowcount, source))
    return changed.rowcount
