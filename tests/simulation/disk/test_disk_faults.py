"""What a living process meets on the simulated disk, through ``sqlite3`` as the journal uses it."""

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from forwarder.errors import DiskFull, JournalUnavailable
from forwarder.journal import Journal
from forwarder.journal.file import RESERVE_BYTES
from tests.journal.inline import Inline
from tests.journal.test_journal import NOW, SetClock, everything, fill
from tests.simulation.disk import Disk
from tests.simulation.disk.database import INSERT, connect, count, failing, insert
from tests.simulation.disk.test_journal_on_disk import PAGES


async def opened(path: Path) -> Journal:
    """Open the journal, all of its work done where it is asked for."""
    return await Journal.open(path, clock=SetClock(), random=Random(1), executors=(Inline(), Inline()))


def test_on_a_full_disk_nothing_grows_and_the_rest_goes_on(disk: Disk, db: sqlite3.Connection) -> None:
    """SQLITE_FULL for what would extend a file; frames of the log that may be written over again still can."""
    insert(db)
    db.execute("PRAGMA wal_checkpoint").fetchall()
    disk.full = True
    insert(db)  # from the log's beginning
    assert failing(db, INSERT) == sqlite3.SQLITE_FULL
    assert count(db) == 2
    disk.full = False
    db.execute(INSERT)
    assert count(db) == 3


def test_room_is_counted_in_bytes_and_comes_back_with_what_is_deleted(
    disk: Disk, db: sqlite3.Connection, path: Path
) -> None:
    """Whatever lies on the disk takes of it, and a write that does not fit leaves what did."""
    ballast = path.parent / "ballast"
    ballast.write_bytes(bytes(50_000))
    disk.room = 20_000
    assert disk.room == disk.free_bytes() == 20_000
    db.execute(INSERT)
    left = disk.room
    assert 0 < left < 11_000
    assert failing(db, INSERT) == sqlite3.SQLITE_FULL
    assert disk.room == 0
    ballast.unlink()
    db.execute(INSERT)
    disk.room = None
    assert disk.free_bytes() is None


async def test_the_journal_finds_the_disk_full_and_its_reserve_carries_it_over(disk: Disk, path: Path) -> None:
    """No page is taken in, what is there is delivered and its cursor moves; with room the reserve comes back."""
    journal = await opened(path)
    reserve = Path(f"{path}.reserve")
    await journal.register_sink("a", "file", start=None)
    await fill(journal, *PAGES[0])
    assert reserve.stat().st_size == RESERVE_BYTES
    disk.room = 0
    with pytest.raises(DiskFull):
        await fill(journal, *PAGES[1])
    assert journal.disk_full
    assert disk.room == RESERVE_BYTES
    events = await journal.read(0, max_events=9, max_bytes=1 << 20)
    await journal.commit("a", events[-1].seq)
    with pytest.raises(DiskFull):
        await journal.tend("persona", NOW)
    disk.room = 3 * RESERVE_BYTES
    await journal.tend("persona", NOW)
    await fill(journal, *PAGES[1])
    assert sorted(await everything(journal)) == sorted(row.id for row in PAGES[1])
    assert reserve.stat().st_size == RESERVE_BYTES
    await journal.close()


@pytest.mark.parametrize("times", [1, 1 << 30], ids=["once", "for good"])
async def test_a_disk_that_fails_while_the_journal_is_opened_is_not_taken_for_damage(
    disk: Disk, path: Path, times: int
) -> None:
    """Whichever read fails: status 73, for "move it away" would be bad advice; once the disk is well, so is all."""
    journal = await opened(path)
    for page in PAGES:
        await fill(journal, *page)
    held = await everything(journal)
    await journal.close()
    told: list[str] = []
    for after in range(30):
        disk.fail("read", times, after=after)
        try:
            await (await opened(path)).close()
        except JournalUnavailable as error:
            told.append(str(error))
        disk.fail("read", 0)
        journal = await opened(path)
        assert await everything(journal) == held, after
        await journal.close()
    assert len(told) > 20
    assert all("its disk is full or fails" in text for text in told)


@pytest.mark.parametrize(
    ("operation", "sql", "code"),
    [
        ("write", INSERT, sqlite3.SQLITE_IOERR_WRITE),
        ("sync", INSERT, sqlite3.SQLITE_IOERR_FSYNC),
        ("read", "SELECT count(*) FROM t", sqlite3.SQLITE_IOERR_READ),
    ],
)
def test_an_operation_fails_as_often_as_it_should(
    disk: Disk, db: sqlite3.Connection, operation: str, sql: str, code: int
) -> None:
    """With the variant of SQLITE_IOERR that is its own; the transaction is undone, and the next one is well."""
    insert(db)
    db.execute("PRAGMA wal_checkpoint").fetchall()
    db.execute("PRAGMA shrink_memory")
    disk.fail(operation)
    assert failing(db, sql) == code
    db.execute(sql)
    assert count(db) == (1 if operation == "read" else 2)


def test_only_what_there_is_can_fail(disk: Disk) -> None:
    with pytest.raises(ValueError, match="it is one of open, read, write"):
        disk.fail("raed")


def test_a_busy_database_is_waited_for_and_given_up_without_taking_time(disk: Disk, db: sqlite3.Connection) -> None:
    """SQLite waits as long as busy_timeout says, in time of its own; readers go on."""
    slept: list[int] = []
    disk.on_sleep = slept.append
    db.execute("PRAGMA busy_timeout = 5000")
    disk.busy(seconds=2)
    insert(db)
    assert 2_000_000 <= sum(slept) < 2_200_000
    disk.busy(times=1000)
    slept.clear()
    assert failing(db, "BEGIN IMMEDIATE") & 0xFF == sqlite3.SQLITE_BUSY
    assert 4_900_000 <= sum(slept) <= 5_000_000
    assert count(db) == 1
    disk.busy()
    insert(db)
    assert count(db) == 2


def test_a_marker_that_was_ever_written_is_seen(disk: Disk, db: sqlite3.Connection) -> None:
    disk.watch(b"hunter2")
    disk.watch(b"never")
    insert(db, b"a password: hunter2")
    db.execute("DELETE FROM t")
    assert disk.seen == {b"hunter2"}


def test_files_elsewhere_and_in_memory_are_nobodys_business(disk: Disk, tmp_path: Path) -> None:
    """They are neither counted nor crashed."""
    disk.full = True
    with closing(connect(tmp_path / "other.db")) as other, closing(sqlite3.connect(":memory:")) as memory:
        for db in (other, memory):
            db.execute("CREATE TABLE t (x BLOB)")
            insert(db)
        disk.crash("power", Random(1))
        insert(other)
        assert count(other) == 2
    assert not disk.operations


def test_an_error_in_a_callback_is_raised_once_sqlite_is_left(disk: Disk, db: sqlite3.Connection) -> None:
    """C cannot carry it, and would take its call for a success."""

    def mistaken(operation: str, kind: str) -> None:
        raise LookupError(f"{operation} {kind}")

    disk.on_operation = mistaken
    assert failing(db, INSERT) & 0xFF == sqlite3.SQLITE_IOERR
    disk.on_operation = None
    with pytest.raises(LookupError, match="write wal"):
        disk.check()
    insert(db)


def test_two_disks_are_not_in_charge_at_once(disk: Disk, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="in charge"):
        Disk(tmp_path).install()
    assert disk.open_files() == []
