"""The ledger's words: what is remembered of a source and of a gap, what an answer can be, and what it changes.

All times are Persona's, in whole microseconds: ``created-at`` of records, and "server time", the ``Date`` of an answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class SourceState:
    """What is remembered of one source between any two requests."""

    start: int | None = None
    """Lower bound of what is collected; None until the first answer fixes it."""
    head: int | None = None
    """Newest trusted ``created-at`` at the top of a walk; None before the first page that has one."""
    proven: int | None = None
    """Server time at which the last closed walk from the top was opened."""
    swept: int | None = None
    """The same for the last closed sweep."""
    complete_from: int | None = None
    """How far down the first walk came: to the start, or to where the list ended; None while it is under way."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of the log that is known not to be read yet, and how far the walk down through it has come."""

    id: int
    floor: int | None
    """Down to this ``created-at``; None means the source's start, not fixed yet."""
    based: bool
    """Everything below the floor was read, or belongs to another open gap, when this gap was opened."""
    mark: int
    """The highest order of sight (``ids.n``) when it was opened: what is above was not known then."""
    sweep: bool
    proven_then: int | None = None
    """Up to this time all that was visible was read, or belongs to another open gap: a list that ends above it has lost
    something."""
    hole_from: int | None = None
    started: bool = False
    opened: int | None = None
    """Server time at which its first page was asked for."""
    ceil: int | None = None
    cursor: str | None = None
    """``page[after]`` of the next request; None is the top of the list."""
    cursor_at: int | None = None
    """``created-at`` of the deepest record read."""
    back: tuple[tuple[int, str | None], ...] = ()
    """Earlier cursors, each with the number of the page that it led to, oldest first."""
    pages: int = 0
    low_run: int = 0
    pos: int = 0
    """Records stored so far: their order within the gap, newest first."""
    doubt: str | None = None
    """The cursor under which the list seemed to end."""
    doubts: int = 0
    stuck: bool = False
    """It stands at a record that cannot be read, and no known id leads past it."""
    over_at: int | None = None
    """``created-at`` of the known record that led past an unreadable one; None if there was none, or the walk went
    back since."""


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a page, as much of it as the ledger needs."""

    id: str
    at: int | None
    """``created-at``; None if it is missing or unusable."""


@dataclass(frozen=True, slots=True)
class PageRead:
    """Outcome of a request: a page came. *rows* are its records that have an id."""

    rows: Sequence[Row]
    next: str | None
    server_time: int
    asked: int
    """Server time at which it was asked for, or earlier."""
    empty: bool = False
    """The answer's ``data`` was empty (a page of records without ids is not)."""
    older: int | None = None
    """``created-at`` of the nearest record known below :func:`~forwarder.journal.ledger.seeming_end`, if any is."""


@dataclass(frozen=True, slots=True)
class CursorRefused:
    """Outcome of a request: the gap's cursor is not known (any more)."""


@dataclass(frozen=True, slots=True)
class PageUnreadable:
    """Outcome of a request for a single record: even alone it cannot be read.

    *older* is the nearest older id that was known before the walk, below :func:`~forwarder.journal.detours.look_below`.
    """

    server_time: int
    older: Row | None


Outcome = PageRead | CursorRefused | PageUnreadable


@dataclass(frozen=True, slots=True)
class Hole:
    """A stretch that was not and will not be read; both bounds in microseconds."""

    kind: Literal["lost", "unreadable"]
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Fresh:
    """A record to store: its place in the page's rows, its time for ordering, its position within the gap."""

    index: int
    at: int
    pos: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What one answer changes; carried out in one transaction."""

    source: SourceState
    gap: Gap
    state: Literal["open", "closed", "merged"] = "open"
    merged_into: Gap | None = None
    fresh: Sequence[Fresh] = ()
    seen: Sequence[str] = ()
    holes: Sequence[Hole] = field(default=())


def earliest(*times: int | None) -> int | None:
    """The earliest of the *times* that are known, or None."""
    return min((at for at in times if at is not None), default=None)


def latest(*times: int | None) -> int | None:
    """The latest of the *times* that are known, or None."""
    return max((at for at in times if at is not None), default=None)
