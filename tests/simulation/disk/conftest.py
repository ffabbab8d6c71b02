"""A simulated disk with a small database on it; skipped where this Python does not let its SQLite be reached."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.simulation.disk import Disk, sqlite_door
from tests.simulation.disk.database import connect
from tests.simulation.disk.sqlite_abi import SqliteHidden


@pytest.fixture
def reachable_sqlite() -> None:
    """Skip the test where no disk can be put under SQLite."""
    try:
        sqlite_door.prepare()
    except SqliteHidden as hidden:
        pytest.skip(str(hidden))


@pytest.fixture
def disk(reachable_sqlite: None, tmp_path: Path) -> Iterator[Disk]:
    """A disk in charge of one directory."""
    (tmp_path / "disk").mkdir()
    with Disk(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture
def path(disk: Disk) -> Path:
    """Where the database lies."""
    return Path(disk.directories[0]) / "a.db"


@pytest.fixture
def db(path: Path) -> Iterator[sqlite3.Connection]:
    """The database, open, with one table."""
    with closing(connect(path)) as db:
        db.execute("CREATE TABLE t (x BLOB)")
        yield db
