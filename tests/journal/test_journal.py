"""The journal's promises about its file, its order, and what it keeps."""

import errno
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from forwarder.clock import BEGINNING, SECOND
from forwarder.errors import DiskFull, JournalDamaged, JournalLocked, JournalUnavailable
from forwarder.journal import CollectedRecord, DeadLetter, Journal, PageRead, Row
from forwarder.journal.letters import find_dead_letters, list_dead_letters
from forwarder.journal.status import read_status
from tests.journal.inline import Inline

DAY = 86400 * SECOND
NOW = 1_800_000_000 * SECOND


class SetClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.micros = NOW

    def now(self) -> int:
        return self.micros

    def monotonic(self) -> float:
        return self.micros / SECOND


Open = Callable[..., Awaitable[Journal]]


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
async def opened(tmp_path: Path, clock: SetClock) -> AsyncIterator[Open]:
    journals: list[Journal] = []

    async def open_(name: str = "journal.db", **rest: object) -> Journal:
        journal = await Journal.open(tmp_path / name, clock=clock, **rest)  # type: ignore[arg-type] # passed on as given
        journals.append(journal)
        return journal

    yield open_
    for journal in journals:
        await journal.close()


def page(*rows: Row, end: bool = True, now: int = NOW) -> PageRead:
    return PageRead(rows, None if end or not rows else rows[-1].id, now, now, empty=not rows)


async def fill(journal: Journal, *rows: Row, end: bool = True, now: int = NOW, name: str = "persona") -> None:
    """Let one poll read *rows*."""
    source = await journal.open_poll(name, now=now, lookback=3600 * SECOND, sweep_interval=900 * SECOND)
    records = [CollectedRecord(row, orjson.dumps({"id": row.id, "attributes": {}}), None) for row in rows]
    await journal.collect(name, source.gaps[-1].id, page(*rows, end=end, now=now), records=records, start_at=BEGINNING)


async def everything(journal: Journal) -> list[str]:
    return [event.id for event in await journal.read(0, max_events=10_000, max_bytes=1 << 30)]


async def test_an_old_sqlite_is_said_so_at_the_start(
    tmp_path: Path, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at the first statement that it does not know."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(JournalUnavailable, match=r"SQLite 3\.35"):
        await Journal.open(tmp_path / "journal.db", clock=clock)


async def test_a_journal_that_cannot_be_opened_is_let_go_of(opened: Open, tmp_path: Path) -> None:
    """However far the opening came: whoever tries again has no leftovers of it in the way."""
    await (await opened()).close()
    with sqlite3.connect(tmp_path / "journal.db") as db:
        db.execute("DROP TABLE sink")
    db.close()
    made: list[sqlite3.Connection] = []

    class Noted(sqlite3.Connection):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)  # type: ignore[arg-type] # passed on as given
            made.append(self)

    with pytest.raises(sqlite3.OperationalError, match="no such table: sink"):
        await opened(factory=Noted)
    (left,) = made
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        left.execute("SELECT 1")


async def test_a_second_process_is_turned_away(opened: Open) -> None:
    """The lock is held for life: a second opener gets the error with exit status 75."""
    await opened()
    with pytest.raises(JournalLocked, match="one replica only") as failure:
        await opened()
    assert failure.value.exit_status == 75


async def test_a_directory_that_does_not_exist_is_named(tmp_path: Path, clock: SetClock) -> None:
    """A journal that cannot be made is an error that says what to set."""
    with pytest.raises(JournalUnavailable, match="FORWARDER_STATE_PATH") as failure:
        await Journal.open(tmp_path / "nowhere" / "journal.db", clock=clock)
    assert failure.value.exit_status == 73


@pytest.mark.parametrize("where", ["header", "middle"])
async def test_a_damaged_journal_is_refused_and_left_untouched(opened: Open, tmp_path: Path, where: str) -> None:
    """Damage anywhere in the file: exit status 74, and not a byte of it changes."""
    journal = await opened()
    for start in range(0, 2000, 100):
        await fill(journal, *(Row(f"ual_{start + n}", NOW - start - n) for n in range(100)))
    await journal.close()
    path = tmp_path / "journal.db"
    content = bytearray(path.read_bytes())
    at = 0 if where == "header" else len(content) // 2
    content[at : at + 4096] = b"\xde\xad" * 2048
    path.write_bytes(content)
    with pytest.raises(JournalDamaged, match="left as it is") as failure:
        await opened()
    assert failure.value.exit_status == 74
    assert path.read_bytes() == content


async def test_what_looks_damaged_on_a_disk_that_does_not_give_the_file_is_not_called_so(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite counts a page that it did not get as damage, and need not say why."""
    journal = await opened()
    await fill(journal, *(Row(f"ual_{n}", NOW - n) for n in range(2000)))
    await journal.close()
    path = tmp_path / "journal.db"
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)
    real = Path.open

    def failing(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self == path:
            raise OSError(errno.EIO, "Input/output error")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", failing)
    with pytest.raises(JournalUnavailable, match="its disk is full or fails"):
        await opened()


async def test_the_database_of_another_program_is_refused(opened: Open, tmp_path: Path) -> None:
    """FORWARDER_STATE_PATH set to somebody else's SQLite file harms nothing."""
    other = sqlite3.connect(tmp_path / "journal.db")
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    before = (tmp_path / "journal.db").read_bytes()
    with pytest.raises(JournalDamaged, match="another program"):
        await opened()
    assert (tmp_path / "journal.db").read_bytes() == before


async def test_a_power_cut_while_the_journal_is_made_is_no_damage(opened: Open, tmp_path: Path) -> None:
    """A first page that never came down to the disk, and the rollback journal that says that there was none before."""
    (tmp_path / "journal.db").write_bytes(bytes(4096))
    # https://www.sqlite.org/fileformat2.html#the_rollback_journal: records, nonce, pages before, sector, page.
    header = bytes.fromhex("d9d505f920a163d7") + b"".join(n.to_bytes(4) for n in (0, 7, 0, 512, 4096))
    (tmp_path / "journal.db-journal").write_bytes(header.ljust(512, b"\0"))
    journal = await opened()
    await fill(journal, Row("ual_1", NOW - 1))
    assert await everything(journal) == ["ual_1"]
    assert not (tmp_path / "journal.db-journal").exists()


async def test_a_crash_is_known_at_the_next_start(opened: Open, tmp_path: Path) -> None:
    """A journal that was not closed says so; one that was does not."""
    journal = await opened()
    assert not journal.interrupted
    for suffix in ("", "-wal"):
        shutil.copy(f"{tmp_path}/journal.db{suffix}", f"{tmp_path}/copy.db{suffix}")
    await journal.close()
    assert not (await opened()).interrupted
    copy = await opened("copy.db")
    assert copy.interrupted
    assert copy.journal_id == journal.journal_id


async def test_an_id_enters_once_and_events_come_out_in_order(opened: Open) -> None:
    """Pages newest first, twice the same: each event once, oldest first, equal times in the list's order."""
    journal = await opened()
    rows = [Row("ual_c", NOW - 1), Row("ual_b", NOW - 2), Row("ual_a2", NOW - 3), Row("ual_a1", NOW - 3)]
    await fill(journal, *rows)
    await fill(journal, *rows)
    assert await everything(journal) == ["ual_a1", "ual_a2", "ual_b", "ual_c"]


async def test_a_journal_takes_time_and_chance_only_from_who_opens_it(opened: Open, tmp_path: Path) -> None:
    """So the same simulated life makes the same file, byte for byte; another seed makes another journal."""
    for name, seed in (("one", 7), ("same", 7), ("other", 8)):
        journal = await opened(f"{name}.db", random=Random(seed))
        await journal.register_sink("a", "file", start=None)
        await fill(journal, Row("ual_2", NOW - 1), Row("ual_1", NOW - 2))
        await journal.close()
    one, same, other = ((tmp_path / f"{name}.db").read_bytes() for name in ("one", "same", "other"))
    assert one == same
    assert one != other


async def test_events_of_an_open_gap_wait_for_their_place(opened: Open, clock: SetClock) -> None:
    """Held back while the walk goes on, released together, oldest first, and at the latest after ten seconds."""
    journal = await opened()
    released = journal.subscribe()
    await fill(journal, Row("ual_3", NOW - 3), end=False)
    assert await everything(journal) == []
    assert not released.is_set()
    source = await journal.source("persona")
    clock.micros += 11 * SECOND
    await journal.collect(
        "persona",
        source.gaps[0].id,
        page(Row("ual_2", NOW - 4), end=False),
        records=[CollectedRecord(Row("ual_2", NOW - 4), b"{}", None)],
        start_at=BEGINNING,
    )
    assert await everything(journal) == ["ual_2", "ual_3"]
    assert released.is_set()


@pytest.mark.parametrize("hours", [1, 0, -2], ids=["later", "at once", "with the clock put back"])
async def test_numbers_are_never_used_again_when_a_backup_is_put_back(
    opened: Open, tmp_path: Path, clock: SetClock, hours: int
) -> None:
    """A destination may remember a number that the lost file gave out: it names no other event."""
    journal = await opened()
    await fill(journal, Row("ual_1", NOW - 1))
    await journal.close()
    shutil.copy(tmp_path / "journal.db", tmp_path / "backup.db")
    journal = await opened()
    await fill(journal, *(Row(f"ual_2{n}", NOW) for n in range(100)))
    events = await journal.read(0, max_events=999, max_bytes=1 << 20)
    given = {event.seq for event in events if event.id != "ual_1"}
    await journal.close()
    clock.micros += hours * 3600 * SECOND
    restored = await opened("backup.db")
    await fill(restored, *(Row(f"ual_3{n}", NOW + 1) for n in range(100)))
    again = {event.seq for event in await restored.read(0, max_events=999, max_bytes=1 << 20)}
    assert len(again) == 101
    assert not again & given
    if hours > 0:
        assert max(again) > max(given)


async def test_a_full_disk_changes_nothing_and_heals(opened: Open, tmp_path: Path) -> None:
    """Collecting stops with DiskFull, what is stored is delivered, cursors move, and collecting goes on after."""
    journal = await opened(executors=(Inline(), Inline()))
    await journal.register_sink("a", "file", start=None)
    await fill(journal, Row("ual_1", NOW - 1))
    pages = journal._db._writing.execute("PRAGMA page_count").fetchone()[0]
    journal._db._writing.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DiskFull):
        await fill(journal, *(Row(f"ual_big{n}", NOW) for n in range(2000)))
    assert journal.disk_full
    assert not (tmp_path / "journal.db.reserve").exists()
    with pytest.raises(DiskFull):
        await journal.source("persona")
    events = await journal.read(0, max_events=9, max_bytes=1 << 20)
    assert [event.id for event in events] == ["ual_1"]
    await journal.commit("a", events[-1].seq)
    journal._db._writing.execute("PRAGMA max_page_count = 1000000")
    await journal.tend("persona", NOW)
    await fill(journal, Row("ual_2", NOW), Row("ual_1", NOW - 1))
    assert await everything(journal) == ["ual_2"]


async def test_an_event_stays_until_every_sink_has_it(opened: Open) -> None:
    """The slowest sink on record decides, configured or not; the backlog is counted in bytes."""
    journal = await opened()
    for sink in ("fast", "slow"):
        await journal.register_sink(sink, "file", start=None)
    await fill(journal, Row("ual_2", NOW - 1), Row("ual_1", NOW - 2))
    events = await journal.read(0, max_events=9, max_bytes=1 << 20)
    assert journal.backlog_bytes == sum(len(event.body) for event in events)
    await journal.commit("fast", events[-1].seq)
    assert len(await everything(journal)) == 2
    assert (await journal.backlog("fast")).events == 0
    assert (await journal.backlog("slow")).events == 2
    await journal.commit("slow", events[-1].seq)
    assert await everything(journal) == []
    assert journal.backlog_bytes == 0


async def test_a_sinks_life(opened: Open) -> None:
    """New on a new journal: everything. New on an old one: from now on. Gone and back: goes on where it was."""
    journal = await opened()
    await journal.register_sink("first", "file", start=None)
    await fill(journal, Row("ual_1", NOW - 5))
    (event,) = await journal.read(0, max_events=9, max_bytes=1 << 20)
    await journal.close()

    journal = await opened()
    assert await journal.register_sink("late", "file", start=None) >= event.seq
    assert await journal.register_sink("all", "file", start="all") < event.seq
    await fill(journal, Row("ual_2", NOW - 4), Row("ual_1", NOW - 5))
    await journal.close()

    journal = await opened()
    begun = await journal.register_sink("first", "file", start=None)
    assert [one.id for one in await journal.read(begun, max_events=9, max_bytes=1 << 20)] == ["ual_1", "ual_2"]


async def test_ids_are_forgotten_only_after_the_retention_since_last_sight(opened: Open, clock: SetClock) -> None:
    """What was seen again stays; what an undelivered event needs stays."""
    journal = await opened(retention=190 * 86400.0)
    await journal.register_sink("a", "file", start=None)
    await fill(journal, Row("ual_old", NOW - 2), Row("ual_again", NOW - 3))
    seq = (await journal.read(0, max_events=9, max_bytes=1 << 20))[-1].seq
    later = NOW + 100 * DAY
    await fill(journal, Row("ual_again", NOW - 3), now=later)
    assert not await journal.tend("persona", NOW + 193 * DAY)
    assert read_status(journal.path, now=NOW).sources[0].ids == 2, "an undelivered event still needs them"
    await journal.commit("a", seq)
    await journal.tend("persona", NOW + 193 * DAY)
    assert read_status(journal.path, now=NOW).sources[0].ids == 1
    await fill(journal, Row("ual_again", NOW - 3), now=NOW + 193 * DAY)
    assert await everything(journal) == []


async def test_dead_letters_are_kept_whole_and_can_be_read_beside_the_daemon(opened: Open) -> None:
    """A refused event is kept with its reason, per sink, for whoever asks."""
    journal = await opened()
    await journal.register_sink("a", "file", start=None)
    await fill(journal, Row("ual_1", NOW - 1))
    (event,) = await journal.read(0, max_events=9, max_bytes=1 << 20)
    letter = DeadLetter(event.seq, "persona", event.id, "too large", NOW, event.body, None)
    await journal.commit("a", event.seq, [letter])
    (filed,) = list_dead_letters(journal.path)
    assert (filed.sink, filed.letter) == ("a", letter)
    assert find_dead_letters(journal.path, "ual_1") == [filed]
    assert list_dead_letters(journal.path, "b") == []
    assert read_status(journal.path, now=NOW).sinks[0].dead_letters == 1


async def test_status_says_what_is_open_and_what_is_complete(opened: Open) -> None:
    """No claim of completeness while the first walk is under way; then from where the list ended."""
    journal = await opened()
    await fill(journal, Row("ual_2", NOW - DAY), end=False)
    (source,) = read_status(journal.path, now=NOW).sources
    assert source.complete_until is None
    assert len(source.open_gaps) == 1
    gap = (await journal.source("persona")).gaps[0]
    await journal.collect(
        "persona",
        gap.id,
        page(Row("ual_1", NOW - 2 * DAY)),
        records=[CollectedRecord(Row("ual_1", NOW - 2 * DAY), b"{}", None)],
        start_at=BEGINNING,
    )
    status = read_status(journal.path, now=NOW)
    (source,) = status.sources
    assert source.open_gaps == ()
    assert source.complete_from == "2027-01-13T08:00:00.000Z"
    assert source.complete_until == "2027-01-15T08:00:00.000Z"
    assert status.to_json()["sources"][0]["ids"] == 2


async def test_there_is_no_status_of_no_journal(tmp_path: Path) -> None:
    """Commands that only read never make a journal."""
    with pytest.raises(JournalUnavailable, match="forwarder run"):
        read_status(tmp_path / "journal.db", now=NOW)
    assert list(tmp_path.iterdir()) == []
