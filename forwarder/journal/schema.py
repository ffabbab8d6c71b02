"""The journal's tables, and what each is for.

All times are microseconds since the Unix epoch: Persona's in ``source``, ``gap``, ``ids``, ``hole`` and ``event.at``;
ours in ``collected``, ``released`` and ``dead_letter.at``.
"""

APPLICATION_ID = 0x50534657
"""``PRAGMA application_id``: the four letters PSFW."""

VERSION = 1
"""``PRAGMA user_version``: grows with each change of the tables."""

TABLES = """
-- One row: the journal's identity, whether the last run closed it, and what the lists of others rely on.
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    journal_id TEXT NOT NULL,
    created INTEGER NOT NULL,
    closed INTEGER NOT NULL          -- 1 while nobody runs; a crash leaves 0
);

CREATE TABLE source (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    organization_id TEXT,            -- fixed by the first answer: one organization per source name
    environment_id TEXT,
    start INTEGER, head INTEGER, proven INTEGER, swept INTEGER, complete_from INTEGER,   -- see ledger.SourceState
    sights INTEGER NOT NULL DEFAULT 0,     -- the highest ids.n given out
    known INTEGER NOT NULL DEFAULT 0,      -- how many ids there are: counting millions takes seconds
    gaps INTEGER NOT NULL DEFAULT 0,       -- the highest gap.id given out
    last_success INTEGER                   -- our clock, when it last answered well
);

-- The gap ledger: open gaps only. A page and the shrinking of its gap are one transaction. See ledger.Gap.
CREATE TABLE gap (
    source INTEGER NOT NULL, id INTEGER NOT NULL,
    floor INTEGER, based INTEGER NOT NULL, mark INTEGER NOT NULL, sweep INTEGER NOT NULL,
    proven_then INTEGER, hole_from INTEGER, started INTEGER NOT NULL, opened INTEGER, ceil INTEGER,
    cursor TEXT, cursor_at INTEGER, back TEXT NOT NULL, pages INTEGER NOT NULL, low_run INTEGER NOT NULL,
    pos INTEGER NOT NULL, doubt TEXT, doubts INTEGER NOT NULL,
    stuck INTEGER NOT NULL, over_at INTEGER,
    PRIMARY KEY (source, id)
) WITHOUT ROWID;

-- Every id ever read, for the retention: an id enters the journal once per source.
CREATE TABLE ids (
    source INTEGER NOT NULL, id TEXT NOT NULL,
    n INTEGER NOT NULL,              -- order of first sight
    at INTEGER NOT NULL,             -- created-at, else that of the neighbour above
    seen INTEGER NOT NULL,           -- server time of the last sight, to the day
    PRIMARY KEY (source, id)
) WITHOUT ROWID;
CREATE INDEX ids_at ON ids (source, at);

-- Users as last seen; joined to their events at delivery.
CREATE TABLE user (
    source INTEGER NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (source, id)
) WITHOUT ROWID;

-- Events not yet delivered to every sink. seq is NULL while the event is held back for its chronological place.
CREATE TABLE event (
    ord INTEGER PRIMARY KEY,
    seq INTEGER,
    source INTEGER NOT NULL, id TEXT NOT NULL, user_id TEXT,
    gap INTEGER NOT NULL, pos INTEGER NOT NULL, at INTEGER NOT NULL,
    collected INTEGER NOT NULL, released INTEGER, live INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE UNIQUE INDEX event_seq ON event (seq) WHERE seq IS NOT NULL;
CREATE INDEX event_held ON event (source, gap, at, pos) WHERE seq IS NULL;

-- Every sink ever configured and not forgotten, with the sequence number up to which it has all it should have, and the
-- numbers beyond that which it had at its last orderly stop, as JSON.
CREATE TABLE sink (
    name TEXT PRIMARY KEY, kind TEXT NOT NULL, cursor INTEGER NOT NULL, registered INTEGER NOT NULL,
    beyond TEXT NOT NULL DEFAULT '[]'
) WITHOUT ROWID;

CREATE TABLE dead_letter (
    sink TEXT NOT NULL, seq INTEGER NOT NULL, source TEXT NOT NULL, id TEXT NOT NULL,
    reason TEXT NOT NULL, at INTEGER NOT NULL, body BLOB NOT NULL, user BLOB,
    PRIMARY KEY (sink, seq)
);
CREATE INDEX dead_letter_id ON dead_letter (id);

-- Stretches that will not be read: what left Persona's retention unread, what could not be read.
CREATE TABLE hole (
    source INTEGER NOT NULL, kind TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL,
    noticed INTEGER NOT NULL,
    PRIMARY KEY (source, kind, until)
) WITHOUT ROWID;
"""
