"""What the journal can say of itself, read only, beside a running daemon or without one."""

import sqlite3
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from forwarder.clock import BEGINNING, format_rfc3339
from forwarder.journal import collecting, delivering
from forwarder.journal.file import connect_read_only, reading, sizes_on_disk
from forwarder.journal.polls import complete_until


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a source's log; times as RFC 3339, None where it has no bound."""

    kind: str
    since: str | None
    until: str | None
    read_down_to: str | None = None


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """What is collected of one source, what is open, what is lost."""

    name: str
    organization_id: str | None
    environment_id: str | None
    complete_from: str | None
    complete_until: str | None
    last_success: str | None
    ids: int
    open_gaps: tuple[Stretch, ...]
    holes: tuple[Stretch, ...]


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """What one sink has still to get."""

    name: str
    kind: str
    cursor: int
    backlog_events: int
    lag_seconds: float
    dead_letters: int


@dataclass(frozen=True, slots=True)
class Status:
    """The journal's whole account."""

    journal: str
    journal_id: str
    running: bool
    bytes: dict[str, int]
    sources: tuple[SourceStatus, ...]
    sinks: tuple[SinkStatus, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``/status`` and ``forwarder status --json``."""
        return asdict(self)


def read_status(path: Path, *, now: int, backlog_bytes: int | None = None) -> Status:
    """Read the account of the journal at *path*; *now* is the wall clock in microseconds.

    *backlog_bytes* is what a running daemon knows already; without it every event's size is read, a second or two for
    a million of them.

    :raises JournalUnavailable: there is none, or its disk fails
    """
    with closing(connect_read_only(path)) as db, reading(path):
        db.execute("BEGIN")  # one snapshot
        journal_id, closed = db.execute("SELECT journal_id, closed FROM meta").fetchone()
        if backlog_bytes is None:
            (backlog_bytes,) = db.execute("SELECT coalesce(sum(length(body)), 0) FROM event").fetchone()
        return Status(
            journal=str(path),
            journal_id=journal_id,
            running=not closed,
            bytes={**sizes_on_disk(path), "backlog": backlog_bytes},
            sources=tuple(
                _source(db, name) for (name,) in db.execute("SELECT name FROM source ORDER BY name").fetchall()
            ),
            sinks=tuple(
                _sink(db, row, now)
                for row in db.execute("SELECT name, kind, cursor FROM sink ORDER BY name").fetchall()
            ),
        )


def _source(db: sqlite3.Connection, name: str) -> SourceStatus:
    source = collecting.read_source(db, name)
    holes = db.execute("SELECT kind, since, until FROM hole WHERE source = ? ORDER BY since", (source.id,)).fetchall()
    return SourceStatus(
        name=name,
        organization_id=source.organization_id,
        environment_id=source.environment_id,
        complete_from=_moment(source.state.complete_from),
        complete_until=_moment(complete_until(source.state, source.gaps)),
        last_success=_moment(source.last_success),
        ids=source.known,
        open_gaps=tuple(
            Stretch(
                "first walk" if not gap.based else "sweep" if gap.sweep else "poll",
                _moment(gap.floor),
                _moment(gap.ceil),
                _moment(gap.cursor_at),
            )
            for gap in source.gaps
        ),
        holes=tuple(Stretch(kind, _moment(since), _moment(until)) for kind, since, until in holes),
    )


def _sink(db: sqlite3.Connection, row: tuple[Any, ...], now: int) -> SinkStatus:
    name, kind, cursor = row
    backlog = delivering.backlog(db, cursor)
    (letters,) = db.execute("SELECT count(*) FROM dead_letter WHERE sink = ?", (name,)).fetchone()
    released = backlog.oldest_released_at
    return SinkStatus(
        name=name,
        kind=kind,
        cursor=cursor,
        backlog_events=backlog.events,
        lag_seconds=0.0 if released is None else max(0, now - released) / 1e6,
        dead_letters=letters,
    )


def _moment(micros: int | None) -> str | None:
    if micros is None:
        return None
    return "beginning" if micros <= BEGINNING else format_rfc3339(micros)
