"""Dead letters, read only: what sinks refused for good."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from forwarder.journal.delivering import DeadLetter
from forwarder.journal.file import connect_read_only, reading


@dataclass(frozen=True, slots=True)
class FiledLetter:
    """A dead letter and the sink that refused it."""

    sink: str
    letter: DeadLetter


def list_dead_letters(path: Path, sink: str | None = None, *, limit: int = 1000) -> list[FiledLetter]:
    """The newest *limit* dead letters, newest first, of all sinks or of one.

    :raises JournalUnavailable: there is no journal at *path*
    """
    return list(_select(path, "WHERE ?1 IS NULL OR sink = ?1 ORDER BY seq DESC LIMIT ?2", sink, limit))


def find_dead_letters(path: Path, event_id: str) -> list[FiledLetter]:
    """The dead letters of one event, by its log id, of every sink that refused it."""
    return list(_select(path, "WHERE id = ?1 ORDER BY sink", event_id))


def _select(path: Path, condition: str, *values: object) -> Iterator[FiledLetter]:
    columns = "sink, seq, source, id, reason, at, body, user"
    with closing(connect_read_only(path)) as db, reading(path):
        for sink, *rest in db.execute(f"SELECT {columns} FROM dead_letter {condition}", values):  # noqa: S608 # literals of this module
            yield FiledLetter(sink, DeadLetter(*rest))
