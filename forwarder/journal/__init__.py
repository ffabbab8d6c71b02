"""The journal: ids, events, the gap ledger, users, cursors and dead letters, in one SQLite file.

``ledger`` decides what an answer changes, with ``gaps`` for its words, ``evidence`` for what a page says, ``detours``
and ``merging`` for its rarer ways; ``polls`` decides what is read next, and ``rules`` what is decided beside them.
``books`` carries a decision out, with the SQL of ``collecting`` and ``sightings``; ``delivering`` has the other
half's. ``database``, ``file`` and ``integrity`` are SQLite, ``schema`` the tables, ``journal`` the door, and
``status``, ``letters`` and ``upkeep`` what commands may do beside a daemon.
"""

from forwarder.journal.books import Collected
from forwarder.journal.collecting import CollectedRecord, SourceRecord
from forwarder.journal.delivering import Backlog, DeadLetter, StoredEvent
from forwarder.journal.gaps import CursorRefused, Gap, Hole, PageRead, Row, SourceState
from forwarder.journal.journal import Journal
from forwarder.journal.polls import choose, complete_until
from forwarder.journal.rules import RELEASE_AFTER

__all__ = [
    "RELEASE_AFTER",
    "Backlog",
    "Collected",
    "CollectedRecord",
    "CursorRefused",
    "DeadLetter",
    "Gap",
    "Hole",
    "Journal",
    "PageRead",
    "Row",
    "SourceRecord",
    "SourceState",
    "StoredEvent",
    "choose",
    "complete_until",
]
