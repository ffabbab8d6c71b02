"""The journal: ids, events, the gap ledger, users, cursors and dead letters, in one SQLite file.

``ledger`` decides on ``gaps``, ``collecting`` and ``delivering`` hold the SQL, ``file`` the file, ``journal`` the door.
"""

from forwarder.journal.collecting import CollectedRecord, SourceRecord
from forwarder.journal.delivering import Backlog, DeadLetter, StoredEvent
from forwarder.journal.gaps import CursorRefused, Gap, Hole, PageRead, Row, SourceState
from forwarder.journal.journal import Collected, Journal
from forwarder.journal.ledger import choose, complete_until

__all__ = [
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
