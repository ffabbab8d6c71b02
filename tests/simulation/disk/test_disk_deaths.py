"""What a dead process leaves on the simulated disk, and what it cannot do to the next one."""

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from forwarder.journal import Journal
from tests.journal.inline import Inline
from tests.journal.test_journal import SetClock
from tests.simulation.disk import Disk
from tests.simulation.disk.database import INSERT, connect, count, failing, insert

pytestmark = pytest.mark.usefixtures("reachable_sqlite")


@pytest.mark.parametrize("kind", ["process", "power"])
def test_a_dead_process_changes_nothing_however_late_it_lets_go(disk: Disk, path: Path, kind: str) -> None:
    """In the middle of a transaction it died; it writes, reads, checkpoints and closes beside the next, in vain."""
    dead, reader = connect(path), connect(path)
    dead.execute("CREATE TABLE t (x BLOB)")
    insert(dead)
    dead.execute("BEGIN IMMEDIATE")
    insert(dead)
    disk.crash("power" if kind == "power" else "process", Random(3))
    with closing(connect(path)) as living:
        insert(living)
        assert failing(dead, "COMMIT") & 0xFF == sqlite3.SQLITE_IOERR
        assert failing(reader, "PRAGMA user_version = 4") & 0xFF == sqlite3.SQLITE_IOERR
        insert(living)
        dead.close()
        insert(living)
        assert len(disk.open_files()) == 2
    reader.close()
    with closing(connect(path)) as living:
        assert count(living) == 4
        assert living.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert disk.open_files() == []


@pytest.mark.parametrize("n", range(1, 8))
def test_the_disk_may_be_laid_out_while_the_dying_process_is_still_in_its_operation(
    disk: Disk, db: sqlite3.Connection, path: Path, n: int
) -> None:
    """Whoever hears of the death may start the next process at once."""
    disk.on_death = lambda: disk.crash("process", Random(n))
    disk.die_at(n)
    assert failing(db, INSERT) & 0xFF == sqlite3.SQLITE_IOERR
    assert not disk.died
    with closing(connect(path)) as living:
        # The write of the last frame, the commit's, may have come through; the sync after it adds nothing.
        assert count(living) in ({0} if n < 6 else {0, 1})
        insert(living)
        assert failing(db, INSERT) & 0xFF == sqlite3.SQLITE_IOERR


def test_a_journal_that_a_dead_process_lets_go_of_stays_the_livings(disk: Disk, path: Path) -> None:
    """Rolling back, SQLite deletes a journal by its name; another's is there by then."""
    dead = sqlite3.connect(path, isolation_level=None)
    dead.execute("CREATE TABLE t (x BLOB)")
    dead.execute("BEGIN IMMEDIATE")
    insert(dead)
    disk.crash("process", Random(1))
    with closing(sqlite3.connect(path, isolation_level=None)) as living:
        living.execute("BEGIN IMMEDIATE")
        insert(living)
        journal = Path(f"{path}-journal")
        inode = journal.stat().st_ino
        dead.close()
        assert journal.stat().st_ino == inode
        living.execute("COMMIT")
        assert not journal.exists()
        assert count(living) == 1


async def test_the_next_process_gets_the_lock_of_a_dead_one(disk: Disk, path: Path) -> None:
    """The kernel lets go of it when a process dies, whether or not ours ever closes the descriptor."""
    first = await Journal.open(path, clock=SetClock(), executors=(Inline(), Inline()))
    disk.crash("process", Random(1))
    second = await Journal.open(path, clock=SetClock(), executors=(Inline(), Inline()))
    assert second.interrupted
    await first.close()
    await second.close()


def test_the_same_calls_leave_the_same_bytes(tmp_path: Path) -> None:
    """The salts of the log are drawn from the disk's seed, what a crash leaves from the generator that it is given."""

    def life(where: Path, seed: int) -> dict[str, bytes]:
        where.mkdir()
        with Disk(where, seed=seed) as disk, closing(connect(where / "a.db")) as db:
            db.execute("CREATE TABLE t (x BLOB)")
            db.execute("PRAGMA synchronous = OFF")
            for n in range(50):
                insert(db, bytes([n]) * 700)
            disk.crash("power", Random(seed))
            return {file.name: file.read_bytes() for file in sorted(where.iterdir())}

    first = life(tmp_path / "first", 1)
    assert first == life(tmp_path / "second", 1)
    assert first != life(tmp_path / "third", 2)
    assert "a.db-wal" in first


def test_operations_are_told_before_they_are_done_and_may_be_the_last(disk: Disk, db: sqlite3.Connection) -> None:
    told: list[tuple[str, str]] = []
    deaths: list[bool] = []

    def decide(operation: str, kind: str) -> None:
        told.append((operation, kind))
        if operation == "sync":
            disk.die()

    disk.on_operation, disk.on_death = decide, lambda: deaths.append(True)
    before = disk.operations.copy()
    assert failing(db, INSERT) & 0xFF == sqlite3.SQLITE_IOERR
    assert told[-1] == ("sync", "wal")
    assert disk.operations - before == {one: told.count(one) for one in set(told)}
    assert deaths == [True]
    assert disk.died
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        connect(Path(disk.directories[0]) / "a.db")


def test_after_the_world_the_process_has_its_own_disk_again(tmp_path: Path) -> None:
    """What was left open harms nothing, and new connections are nobody's."""
    with Disk(tmp_path) as disk:
        left = connect(tmp_path / "a.db")
        left.execute("CREATE TABLE t (x BLOB)")
    with closing(connect(tmp_path / "a.db")) as db:
        operations = disk.operations.total()
        insert(db)
        assert failing(left, INSERT) & 0xFF == sqlite3.SQLITE_IOERR
        left.close()
        insert(db)
        assert count(db) == 2
        assert disk.operations.total() == operations
    assert [file.name for file in tmp_path.iterdir()] == ["a.db"]
