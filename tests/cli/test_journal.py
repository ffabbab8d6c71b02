"""``forwarder journal``: the file looked over, and copied, beside a daemon that writes or without one."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from forwarder.cli import app
from forwarder.clock import BEGINNING, SECOND, SystemClock
from forwarder.journal import CollectedRecord, Journal, PageRead, Row
from forwarder.journal.status import read_status
from forwarder.journal.upkeep import back_up, check

NOW = 1_772_356_502 * SECOND
GAP = "source, id, based, mark, sweep, started, back, pages, low_run, pos, doubts, stuck"


async def collect(journal: Journal, first: int, count: int) -> None:
    """Let one poll find *count* records."""
    source = await journal.open_poll("persona", now=NOW, lookback=SECOND, sweep_interval=SECOND)
    rows = [Row(f"ual_{n:06d}", NOW + n) for n in range(first + count - 1, first - 1, -1)]
    records = [CollectedRecord(row, b'{"id":"%b","attributes":{}}' % row.id.encode(), None) for row in rows]
    page = PageRead(rows, None, NOW, NOW)
    await journal.collect("persona", source.gaps[-1].id, page, records=records, start_at=BEGINNING)


async def make(path: Path, count: int) -> None:
    journal = await Journal.open(path, clock=SystemClock())
    await journal.register_sink("archive", "file", start=None)
    await collect(journal, 0, count)
    await journal.close()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "forwarder.db"
    asyncio.run(make(path, 500))
    return path


def variables(journal: Path) -> dict[str, str]:
    return {"FORWARDER_PERSONA_API_KEY": "key", "FORWARDER_STATE_PATH": str(journal)}


def call(journal: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ("journal", *words), env=variables(journal))


def run(journal: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, for what becomes of an error: Python with *words*."""
    return subprocess.run(
        [sys.executable, *words], env=os.environ | variables(journal), capture_output=True, text=True, check=False
    )


def test_a_sound_journal_is_said_to_be_with_what_it_holds(journal: Path) -> None:
    result = call(journal, "check")
    assert result.exit_code == 0
    assert "sound" in result.output
    assert "500 ids known, 500 events on their way, 0 dead letters" in result.output


def test_a_damaged_journal_ends_with_74_and_leaves_no_copy(journal: Path, tmp_path: Path) -> None:
    content = bytearray(journal.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\x5a" * 4096
    journal.write_bytes(content)
    for words in (["check"], ["backup", str(tmp_path / "copy.db")]):
        done = run(journal, "-m", "forwarder", "journal", *words)
        assert done.returncode == 74, done
        assert "is damaged" in done.stderr
    assert not [file for file in tmp_path.iterdir() if "copy" in file.name]


@pytest.mark.parametrize(
    ("statement", "about"),
    [
        ("UPDATE source SET known = known + 1", "the number of known ids"),
        ("UPDATE source SET sights = 1", "the order of first sights"),
        (f"INSERT INTO gap ({GAP}) VALUES (1, 99, 1, 0, 0, 0, '[]', 0, 0, 0, 0, 0)", "the numbers of gaps"),
        ("DELETE FROM ids WHERE n = 7; UPDATE source SET known = known - 1", "ids and events"),
    ],
)
def test_an_account_that_does_not_agree_with_itself_is_a_failed_check(
    journal: Path, statement: str, about: str
) -> None:
    with closing(sqlite3.connect(journal, isolation_level=None)) as db:
        db.executescript(statement)
    result = call(journal, "check")
    assert result.exit_code == 1
    assert about in result.output
    assert len(result.output.splitlines()) == 1


def test_a_copy_is_the_journal_and_nobody_else_may_read_it(journal: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    (tmp_path / "copy.db.partial").write_text("what one that was killed had left")
    assert call(journal, "backup", str(copy)).exit_code == 0
    assert copy.stat().st_mode & 0o777 == 0o600
    assert check(copy) == check(journal)
    assert not list(tmp_path.glob("*.partial*"))


def test_a_copy_never_takes_the_place_of_a_file(journal: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("precious")
    result = call(journal, "backup", str(copy))
    assert result.exit_code == 2
    assert "is there already" in " ".join(result.output.replace("│", " ").split())
    assert copy.read_text() == "precious"
    assert call(journal, "backup", str(tmp_path / "nowhere" / "copy.db")).exit_code == 2


def test_without_a_journal_there_is_no_copy_and_no_new_journal(tmp_path: Path) -> None:
    """73, as for every command that reads it."""
    for words in (["check"], ["backup", str(tmp_path / "copy.db")]):
        assert getattr(call(tmp_path / "none.db", *words).exception, "exit_status", None) == 73
    assert list(tmp_path.iterdir()) == []


def test_a_copy_goes_to_standard_output_where_nothing_else_can_take_it(journal: Path, tmp_path: Path) -> None:
    """As out of a container that has neither tar nor cat."""
    copy = tmp_path / "copy.db"
    with copy.open("wb") as file:
        subprocess.run(
            [sys.executable, "-m", "forwarder", "journal", "backup", "-"],
            env=os.environ | variables(journal),
            stdout=file,
            check=True,
        )
    assert check(copy) == check(journal)
    assert {file.name.partition("-")[0] for file in tmp_path.iterdir()} == {
        "forwarder.db", "forwarder.db.lock", "forwarder.db.reserve", "copy.db",
    }  # fmt: skip


def test_a_copy_for_which_there_is_no_room_is_said_so_and_leaves_nothing(journal: Path, tmp_path: Path) -> None:
    """The limit of a file's size stands for the disk."""
    program = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40960, 40960))\n"
        "from forwarder.cli import main\n"
        "main()\n"
    )
    done = run(journal, "-c", program, "journal", "backup", str(tmp_path / "copy.db"))
    assert done.returncode == 73, done
    assert "the copy" in done.stderr
    assert "could not be made" in done.stderr
    assert not [file for file in tmp_path.iterdir() if "copy" in file.name]


async def test_a_copy_beside_a_daemon_that_writes_is_of_one_moment(tmp_path: Path) -> None:
    """Nothing is half in it, and the daemon is not held up: it goes on committing while the copy is made."""
    path, copies = tmp_path / "forwarder.db", [tmp_path / f"copy-{n}.db" for n in range(3)]
    journal = await Journal.open(path, clock=SystemClock())
    await journal.register_sink("archive", "file", start=None)
    await collect(journal, 0, 3000)
    written = 3000
    for copy in copies:
        making = asyncio.ensure_future(asyncio.to_thread(back_up, path, copy))
        before = written
        while not making.done():
            await collect(journal, written, 20)
            written += 20
        await making
        assert written > before
        found = check(copy)
        assert found.disagreements == ()
        assert before <= found.ids <= written
        assert (found.ids - 3000) % 20 == 0
        assert read_status(copy, now=NOW).running
    await journal.close()
    restored = await Journal.open(copies[-1], clock=SystemClock())
    assert len(await restored.read(0, max_events=100_000, max_bytes=1 << 30)) == check(copies[-1]).events
    await restored.close()
