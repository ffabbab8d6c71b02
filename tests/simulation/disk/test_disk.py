"""The simulated disk bites where a real one would, and nowhere else."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from tests.simulation.disk import Disk

pytestmark = pytest.mark.usefixtures("reachable_sqlite")

Rows = dict[int, bytes]
# A journal's deletion is synced with its directory by synchronous=EXTRA alone: https://www.sqlite.org/pragma.html
SAFE = [("wal", "full"), ("delete", "extra")]


class Life:
    """A process that writes to one database, and what it was told about it."""

    def __init__(self, path: Path, mode: str, level: str = "full") -> None:
        self.path = path
        self.mode = mode
        self.level = level
        self.committed: Rows = {}
        self.tried: Rows = {}

    def run(self) -> None:
        """Live until the end or until the disk dies."""
        for _ in range(2):
            db = sqlite3.connect(self.path, isolation_level=None)
            self.db = db
            with closing(db):
                db.execute(f"PRAGMA journal_mode = {self.mode}")
                db.execute(f"PRAGMA synchronous = {self.level}")
                db.execute("PRAGMA wal_autocheckpoint = 5")
                db.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, body BLOB)")
                for n in range(3):
                    self._transaction(n)
                db.execute("BEGIN")
                db.execute("DELETE FROM t")
                db.execute("ROLLBACK")

    def _transaction(self, n: int) -> None:
        self.tried = dict(self.committed)
        self.db.execute("BEGIN IMMEDIATE")
        for key in (n, n + 7, n + 20):
            self.tried[key] = bytes([n + len(self.tried)]) * (300 + 2500 * (key % 3))
            self.db.execute("INSERT OR REPLACE INTO t VALUES (?, ?)", (key, self.tried[key]))
        self.tried.pop(n + 6, None)
        self.db.execute("DELETE FROM t WHERE n = ?", (n + 6,))
        self.db.execute("COMMIT")
        self.committed = self.tried

    def verdict(self) -> str | None:
        """What the next process finds wrong, if anything."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            try:
                check = db.execute("PRAGMA integrity_check").fetchone()[0]
                tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
                found: Rows = dict(db.execute("SELECT n, body FROM t")) if tables else {}
            except sqlite3.DatabaseError as error:
                return str(error)
        if check != "ok":
            return str(check)
        return None if found in (self.committed, self.tried) else "other rows than those committed"


def deaths(tmp_path: Path, mode: str, level: str, kind: str) -> Iterator[tuple[Life, Disk]]:
    """The same life, ended at its first operation on the disk, its second, and so on through all of them."""
    n = 0
    while True:
        n += 1
        directory = tmp_path / str(n)
        directory.mkdir()
        life = Life(directory / "a.db", mode, level)
        with Disk(directory, seed=n) as disk:
            disk.die_at(n)
            try:
                life.run()
            except sqlite3.OperationalError:
                assert disk.died
            if not disk.died:
                return
            disk.crash("power" if kind == "power" else "process", Random(n))
            yield life, disk
            assert disk.open_files() == []


@pytest.mark.parametrize(("mode", "level"), SAFE)
def test_what_was_committed_survives_a_power_cut_at_every_operation(tmp_path: Path, mode: str, level: str) -> None:
    """Of a life with checkpoints, rollbacks and a second start; what was not committed is gone, and nothing damaged."""
    ends = [life.verdict() for life, _ in deaths(tmp_path, mode, level, "power")]
    assert len(ends) > 80
    assert set(ends) == {None}


@pytest.mark.parametrize(("mode", "level", "share"), [("wal", "off", 0.2), ("delete", "full", 0.0)])
def test_the_disk_bites_who_syncs_too_little(tmp_path: Path, mode: str, level: str, share: float) -> None:
    """Without syncs the same lives lose commits, or the database; without the directory's, they take commits back."""
    ends = [life.verdict() for life, _ in deaths(tmp_path, mode, level, "power")]
    assert sum(end is not None for end in ends) > len(ends) * share


@pytest.mark.parametrize("mode", ["wal"])
def test_a_process_may_die_at_every_operation_without_syncs(tmp_path: Path, mode: str) -> None:
    """What was written is the operating system's, and it lives on."""
    ends = [life.verdict() for life, _ in deaths(tmp_path, mode, "off", "process")]
    assert len(ends) > 50
    assert set(ends) == {None}
