"""The delivering half's SQL: events on their way out, cursors, dead letters, and the pruning of what all have.

Each function runs inside a transaction, or on the reader's own connection.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from forwarder.journal.rules import passed_by_all
from forwarder.record import AuditEvent, Origin, parse_event

READ_AHEAD = 200
"""Rows fetched at a time, so that a byte limit does not read far more than it takes."""


class StoredEvent(NamedTuple):  # each row is one already: a dataclass would cost four times as much to make
    """One released event. Times are microseconds since the epoch, by our clock."""

    seq: int
    source: str
    id: str
    collected_at: int
    released_at: int
    live: int
    """1 if it came by an ordinary poll, so its age says something about our latency."""
    organization_id: str | None
    environment_id: str | None
    body: bytes
    """The resource as JSON, redacted."""
    user: bytes | None
    """Its user's resource as JSON, as last seen."""

    def event(self) -> AuditEvent:
        """Read the resource with today's parser."""
        return parse_event(
            orjson.loads(self.body),
            origin=Origin(self.source, self.organization_id, self.environment_id),
            collected_at=self.collected_at,
            user=None if self.user is None else orjson.loads(self.user),
        )


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One event that one sink refused for good, whole, so that it can be shown and sent again."""

    seq: int
    source: str
    id: str
    reason: str
    at: int
    body: bytes
    user: bytes | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What one sink has still to get."""

    events: int
    oldest_released_at: int | None


def read(db: sqlite3.Connection, after: int, max_events: int, max_bytes: int) -> list[StoredEvent]:
    """Released events above *after*, in order; at least one if there is any, and then no more than the limits."""
    cursor = db.execute(
        "SELECT seq, source.name, event.id, collected, released, live, organization_id, environment_id, "
        "event.body, user.body "
        "FROM event JOIN source ON source.id = event.source "
        "LEFT JOIN user ON user.source = event.source AND user.id = event.user_id "
        "WHERE seq > ? ORDER BY seq LIMIT ?",
        (after, max_events),
    )
    found: list[StoredEvent] = []
    size = 0
    while rows := cursor.fetchmany(READ_AHEAD):
        for row in rows:
            size += len(row[8])
            if found and size > max_bytes:
                return found
            found.append(StoredEvent._make(row))
    return found


def backlog(db: sqlite3.Connection, cursor: int) -> Backlog:
    """Count what is released above *cursor*."""
    (events,) = db.execute("SELECT count(*) FROM event WHERE seq > ?", (cursor,)).fetchone()
    oldest = db.execute("SELECT released FROM event WHERE seq > ? ORDER BY seq LIMIT 1", (cursor,)).fetchone()
    return Backlog(events, None if oldest is None else oldest[0])


def register(db: sqlite3.Connection, name: str, kind: str, *, begin: int, now: int) -> int:
    """The cursor of the sink called *name*; one that the journal does not know begins at *begin*."""
    db.execute(
        "INSERT INTO sink (name, kind, cursor, registered) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET kind = excluded.kind",
        (name, kind, begin, now),
    )
    (cursor,) = db.execute("SELECT cursor FROM sink WHERE name = ?", (name,)).fetchone()
    return int(cursor)


def advance(db: sqlite3.Connection, sink: str, cursor: int, dead: Sequence[DeadLetter]) -> None:
    """Move the sink's cursor and keep its dead letters."""
    db.execute("UPDATE sink SET cursor = ? WHERE name = ? AND cursor < ?", (cursor, sink, cursor))
    db.executemany(
        "INSERT OR REPLACE INTO dead_letter VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (sink, letter.seq, letter.source, letter.id, letter.reason, letter.at, letter.body, letter.user)
            for letter in dead
        ],
    )


def remember_beyond(db: sqlite3.Connection, sink: str, seqs: Sequence[int]) -> None:
    """Note what the sink has beyond its cursor, in place of what was noted before."""
    db.execute("UPDATE sink SET beyond = ? WHERE name = ?", (orjson.dumps(seqs).decode(), sink))


def beyond(db: sqlite3.Connection, sink: str) -> list[int]:
    """What the sink had beyond its cursor at its last orderly stop; perhaps passed since."""
    (text,) = db.execute("SELECT beyond FROM sink WHERE name = ?", (sink,)).fetchone()
    return list(orjson.loads(text))


def prune(db: sqlite3.Connection) -> int:
    """Delete events that every sink on record is past; returns the bytes of their bodies."""
    # Without a sink on record that is nothing: no number is at most NULL.
    least = passed_by_all([cursor for (cursor,) in db.execute("SELECT cursor FROM sink")])
    gone = db.execute("DELETE FROM event WHERE seq <= ? RETURNING length(body)", (least,)).fetchall()
    return sum(size for (size,) in gone)
