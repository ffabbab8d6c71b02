"""A small database on a simulated disk, opened as the journal opens its own."""

import sqlite3
from pathlib import Path

import pytest

INSERT = "INSERT INTO t VALUES (randomblob(9000))"
"""Takes three pages."""


def connect(path: Path) -> sqlite3.Connection:
    """Open it, or make it."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    return db


def insert(db: sqlite3.Connection, value: bytes = b"x") -> None:
    """One short row, in a transaction of its own."""
    db.execute("INSERT INTO t VALUES (?)", (value,))


def count(db: sqlite3.Connection) -> int:
    """How many rows there are."""
    return int(db.execute("SELECT count(*) FROM t").fetchone()[0])


def failing(db: sqlite3.Connection, sql: str) -> int:
    """SQLite's extended code for what *sql* fails with."""
    with pytest.raises(sqlite3.OperationalError) as failure:
        db.execute(sql)
    return failure.value.sqlite_errorcode
