"""The collecting half's SQL: sources, gaps, new records, users, holes, and the release of events.

Each function runs inside a transaction that the journal opened.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import orjson

from forwarder.journal.gaps import Changes, Gap, Hole, Row, SourceState
from forwarder.journal.rules import chronologically, to_the_day

_GAP_COLUMNS = tuple(field.name for field in fields(Gap))
_GAP_NAMES = ", ".join(_GAP_COLUMNS)
_PUT_GAP = f"INSERT OR REPLACE INTO gap (source, {_GAP_NAMES}) VALUES (?{', ?' * len(_GAP_COLUMNS)})"  # noqa: S608 # column names of our own dataclass


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """A source as the journal knows it, with its open gaps."""

    id: int
    name: str
    organization_id: str | None
    environment_id: str | None
    state: SourceState
    gaps: tuple[Gap, ...]
    last_success: int | None
    known: int = 0
    """How many ids of it the journal remembers."""


@dataclass(frozen=True, slots=True)
class CollectedRecord:
    """One record on its way into the journal: what the ledger needs of it, and its resource as JSON, redacted."""

    row: Row
    body: bytes
    user_id: str | None


@dataclass(frozen=True, slots=True)
class Arrival:
    """What came with one answer, beside what the ledger decides on."""

    records: Sequence[CollectedRecord]
    users: Mapping[str, bytes]
    collected: int
    server_time: int | None


def load_source(db: sqlite3.Connection, name: str) -> SourceRecord:
    """The source called *name*, entered if it is new."""
    db.execute("INSERT OR IGNORE INTO source (name) VALUES (?)", (name,))
    return read_source(db, name)


def read_source(db: sqlite3.Connection, name: str) -> SourceRecord:
    """The source called *name*, which is there."""
    row = db.execute(
        "SELECT id, organization_id, environment_id, start, head, proven, swept, complete_from, last_success, known "
        "FROM source WHERE name = ?",
        (name,),
    ).fetchone()
    return SourceRecord(
        id=row[0],
        name=name,
        organization_id=row[1],
        environment_id=row[2],
        state=SourceState(*row[3:8]),
        gaps=tuple(load_gaps(db, row[0])),
        last_success=row[8],
        known=row[9],
    )


def load_gaps(db: sqlite3.Connection, source: int) -> list[Gap]:
    """The source's open gaps, oldest first."""
    found = db.execute(f"SELECT {_GAP_NAMES} FROM gap WHERE source = ? ORDER BY id", (source,))  # noqa: S608 # as above
    return [_gap(row) for row in found]


def put_gap(db: sqlite3.Connection, source: int, gap: Gap) -> None:
    """Write an open gap."""
    values = [getattr(gap, name) for name in _GAP_COLUMNS]
    values[_GAP_COLUMNS.index("back")] = orjson.dumps(gap.back).decode()
    db.execute(_PUT_GAP, (source, *values))


def open_gap(db: sqlite3.Connection, source: int, gap: Gap) -> None:
    """Write a gap that was just opened."""
    put_gap(db, source, gap)
    db.execute("UPDATE source SET gaps = ? WHERE id = ?", (gap.id, source))


def counters(db: sqlite3.Connection, source: int) -> tuple[int, int]:
    """The highest order of sight and the highest gap id given out."""
    found: tuple[int, int] = db.execute("SELECT sights, gaps FROM source WHERE id = ?", (source,)).fetchone()
    return found


def apply(
    db: sqlite3.Connection,
    source: int,
    changes: Changes,
    arrival: Arrival,
) -> None:
    """Carry out what the ledger decided: source, gaps, ids, users and holes. Events are entered by :func:`enter`."""
    state, gap = changes.source, changes.gap
    db.execute(
        "UPDATE source SET start = ?, head = ?, proven = ?, swept = ?, complete_from = ?, last_success = ? "
        "WHERE id = ?",
        (state.start, state.head, state.proven, state.swept, state.complete_from, arrival.collected, source),
    )
    if changes.state == "open":
        put_gap(db, source, gap)
    else:
        db.execute("DELETE FROM gap WHERE source = ? AND id = ?", (source, gap.id))
    if changes.merged_into is not None:
        put_gap(db, source, changes.merged_into)
    if arrival.users:
        db.executemany(
            "INSERT INTO user VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body "
            "WHERE body <> excluded.body",
            [(source, user, body) for user, body in arrival.users.items()],
        )
    for hole in changes.holes:
        _put_hole(db, source, hole, arrival.collected)
    if changes.seen and arrival.server_time is not None:
        today = to_the_day(arrival.server_time)
        db.executemany(
            "UPDATE ids SET seen = ? WHERE source = ? AND id = ? AND seen < ?",
            [(today, source, id_, today) for id_ in changes.seen],
        )


def enter(
    db: sqlite3.Connection,
    source: int,
    changes: Changes,
    arrival: Arrival,
    first_seq: int | None,
) -> None:
    """Enter the new records: into ``ids`` for good, and as events, held back or, given *first_seq*, released."""
    if not changes.fresh:
        return
    (sights,) = db.execute("SELECT sights FROM source WHERE id = ?", (source,)).fetchone()
    seen = to_the_day(arrival.server_time or arrival.collected)
    records, gap = arrival.records, changes.gap
    db.executemany(
        "INSERT INTO ids VALUES (?, ?, ?, ?, ?)",
        [
            (source, records[new.index].row.id, sights + nth, new.at, seen)
            for nth, new in enumerate(changes.fresh, start=1)
        ],
    )
    fresh = len(changes.fresh)
    db.execute("UPDATE source SET sights = sights + ?, known = known + ? WHERE id = ?", (fresh, fresh, source))
    chronological = sorted(changes.fresh, key=chronologically)
    released = None if first_seq is None else arrival.collected
    live = gap.based and not gap.sweep
    db.executemany(
        "INSERT INTO event (seq, source, id, user_id, gap, pos, at, collected, released, live, body) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                None if first_seq is None else first_seq + nth,
                source,
                records[new.index].row.id,
                records[new.index].user_id,
                gap.id,
                new.pos,
                new.at,
                arrival.collected,
                released,
                live,
                records[new.index].body,
            )
            for nth, new in enumerate(chronological)
        ],
    )


def release(db: sqlite3.Connection, source: int, gap: int, first_seq: int, now: int) -> int:
    """Give the gap's held events their sequence numbers, oldest first; returns how many."""
    changed = db.execute(
        "UPDATE event SET seq = ? + place.nth, released = ? FROM ("
        "  SELECT ord, row_number() OVER (ORDER BY at, pos DESC) - 1 AS nth"
        "  FROM event WHERE seq IS NULL AND source = ? AND gap = ?"
        ") AS place WHERE event.ord = place.ord",
        (first_seq, now, source, gap),
    )
    return changed.rowcount


def claim(db: sqlite3.Connection, source: int, organization: str | None, environment: str | None) -> None:
    """Remember the organization and environment behind the source's key."""
    db.execute(
        "UPDATE source SET organization_id = coalesce(organization_id, ?), "
        "environment_id = coalesce(environment_id, ?) WHERE id = ?",
        (organization, environment, source),
    )


def unknown_users(db: sqlite3.Connection, source: int, users: Sequence[str]) -> list[str]:
    """Those of *users* that the journal has never seen."""
    marks = ", ".join("?" * len(users))
    known = {
        user
        for (user,) in db.execute(
            f"SELECT id FROM user WHERE source = ? AND id IN ({marks})",  # noqa: S608 # question marks only
            (source, *users),
        )
    }
    return [user for user in users if user not in known]


def _gap(row: tuple[object, ...]) -> Gap:
    values = dict(zip(_GAP_COLUMNS, row, strict=True))
    for flag in ("based", "sweep", "started", "stuck"):
        values[flag] = bool(values[flag])
    values["back"] = tuple((pages, cursor) for pages, cursor in orjson.loads(str(values["back"])))
    return Gap(**values)  # type: ignore[arg-type] # the columns are the fields, of the types that the table declares


def _put_hole(db: sqlite3.Connection, source: int, hole: Hole, now: int) -> None:
    """Enter a hole, or widen the one of its kind that it touches."""
    touching = db.execute(
        "SELECT min(since), max(until), count(*) FROM hole WHERE source = ? AND kind = ? AND until >= ? AND since <= ?",
        (source, hole.kind, hole.since, hole.until),
    ).fetchone()
    since, until = hole.since, hole.until
    if touching[2]:
        since, until = min(since, touching[0]), max(until, touching[1])
        db.execute(
            "DELETE FROM hole WHERE source = ? AND kind = ? AND until >= ? AND since <= ?",
            (source, hole.kind, hole.since, hole.until),
        )
    db.execute("INSERT INTO hole VALUES (?, ?, ?, ?, ?)", (source, hole.kind, since, until, now))
