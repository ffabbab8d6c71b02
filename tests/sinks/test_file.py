"""The file sink on a real disk: contract, crashes, full disks, rotation."""

import asyncio
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from forwarder.errors import Misconfigured, Refused, Retryable
from forwarder.sinks.base import Item, SinkContext
from forwarder.sinks.file import FileSettings, FileSink
from tests.sinks.contract import Destination, SinkContract, bodies, make_items


class Directory(Destination):
    """A file in a directory that can be taken away."""

    def __init__(self, root: Path) -> None:
        self._directory = root / "siem"
        self._away = root / "away"
        self._directory.mkdir()
        self.path = self._directory / "events.jsonl"

    def settings(self) -> dict[str, Any]:
        return {"path": str(self.path), "timeout": 5}

    async def arrived(self) -> list[bytes]:
        return self.path.read_bytes().splitlines() if self.path.exists() else []

    async def break_down(self) -> None:
        self._directory.rename(self._away)

    async def mend(self) -> None:
        if self._away.exists():
            self._away.rename(self._directory)

    async def refuse(self, mark: bytes) -> None:
        pytest.skip("a file refuses nothing but line breaks; see below")


class TestFileSink(SinkContract):
    kind = "file"

    @pytest_asyncio.fixture
    async def destination(self, tmp_path: Path) -> AsyncIterator[Destination]:  # type: ignore[override] # its place
        yield Directory(tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def make(path: Path, **more: Any) -> FileSink:
    return FileSink(FileSettings(path=path, **more), SinkContext("archive", "journal"))


@pytest_asyncio.fixture
async def sink(path: Path) -> AsyncIterator[FileSink]:
    sink = make(path)
    await sink.open()
    yield sink
    await sink.close()


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let no file grow beyond *size* bytes: the kernel writes what fits and refuses the rest, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_the_file_is_for_its_owner_alone(sink: FileSink, path: Path) -> None:
    """It holds personal data."""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_lines_are_synced_before_send_returns(
    sink: FileSink, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is acknowledged was given to the disk after it was written."""
    synced: list[bytes] = []
    real = os.fsync

    def watching(descriptor: int) -> None:
        real(descriptor)
        synced.append(path.read_bytes())

    monkeypatch.setattr(os, "fsync", watching)
    items = make_items(3)
    await sink.send(items)
    assert synced[-1].splitlines() == bodies(items)


@pytest.mark.parametrize("torn", [b'{"id":"ual_', b"{", b"\0\0\0\0", b"CEF:0|Per", b'{"a":"' + b"x" * 200_000])
async def test_a_torn_last_line_is_cut_off_at_opening(path: Path, torn: bytes) -> None:
    """It was never acknowledged, so the worker sends it again."""
    path.write_bytes(b'{"id":1}\n{"id":2}\n' + torn)
    sink = make(path)
    await sink.open()
    assert path.read_bytes() == b'{"id":1}\n{"id":2}\n'
    await sink.close()


async def test_a_torn_first_line_leaves_an_empty_file(path: Path) -> None:
    path.write_bytes(b'{"id":"ual_1')
    sink = make(path)
    await sink.open()
    assert path.read_bytes() == b""
    await sink.close()


async def test_a_file_that_is_not_ours_is_not_cut(path: Path) -> None:
    """A mistyped path must not cost an operator a file."""
    path.write_bytes(b"root:x:0:0:root\ntop secret without a line end")
    sink = make(path)
    with pytest.raises(Misconfigured, match="no event of ours"):
        await sink.open()
    await sink.close()
    assert path.read_bytes() == b"root:x:0:0:root\ntop secret without a line end"


async def test_a_full_disk_takes_nothing_of_the_batch_and_nothing_twice(sink: FileSink, path: Path) -> None:
    """What the kernel took before it was full is taken back."""
    first, rest = make_items(2), make_items(50, first=3)
    await sink.send(first)
    with room_for(path.stat().st_size + 1500), pytest.raises(Retryable) as raised:
        await sink.send(rest)
    assert (raised.value.accepted, raised.value.unanswered, raised.value.kind) == (0, False, "disk_full")
    assert path.read_bytes().splitlines() == bodies(first)
    await sink.close()
    await sink.open()
    await sink.send(rest)
    assert path.read_bytes().splitlines() == bodies([*first, *rest])


async def test_a_failed_sync_is_no_acknowledgement(sink: FileSink, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After it nobody knows what the disk has: all of the batch is taken back."""
    real, failures = os.fsync, [OSError(5, "Input/output error")]

    def failing(descriptor: int) -> None:
        if failures:
            raise failures.pop()
        real(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(Retryable, match="Input/output error") as raised:
        await sink.send(make_items(3))
    assert not raised.value.unanswered
    assert path.read_bytes() == b""


async def test_a_batch_that_cannot_be_taken_back_is_unanswered(sink: FileSink, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    monkeypatch.setattr(os, "ftruncate", failing)
    with pytest.raises(Retryable, match="cannot be taken back") as raised:
        await sink.send(make_items(3))
    assert raised.value.unanswered


@pytest.mark.parametrize("name", ["missing/events.jsonl", "file/events.jsonl", "directory", "fifo"])
async def test_a_path_that_cannot_be_written_is_for_the_operator(tmp_path: Path, name: str) -> None:
    """The text says what to do."""
    (tmp_path / "file").write_text("")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    sink = make(tmp_path / name)
    with pytest.raises(Misconfigured, match=r"make its directory|set PATH to one"):
        await sink.open()
    await sink.close()


async def test_a_directory_without_permission_is_for_the_operator(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(Misconfigured, match="let this user write there"):
        await make(path).open()


async def test_two_sinks_do_not_share_a_file(sink: FileSink, path: Path) -> None:
    """One would cut off what the other is writing."""
    other = make(path)
    with pytest.raises(Misconfigured, match="another sink or process"):
        await other.open()
    await other.close()


async def test_a_file_that_was_moved_away_is_made_anew(sink: FileSink, path: Path, tmp_path: Path) -> None:
    """As an external logrotate does, and also when it puts an empty one in its place."""
    items = make_items(3)
    await sink.send(items[:1])
    path.rename(tmp_path / "moved.1")
    await sink.send(items[1:2])
    path.rename(tmp_path / "moved.2")
    path.touch()
    await sink.send(items[2:])
    found = [(tmp_path / name).read_bytes() for name in ("moved.1", "moved.2", "events.jsonl")]
    assert found == [item.body + b"\n" for item in items]


async def test_a_file_that_was_truncated_by_others_goes_on_at_its_new_end(sink: FileSink, path: Path) -> None:
    """As logrotate's copytruncate does."""
    items = make_items(2)
    await sink.send(items[:1])
    os.truncate(path, 0)
    await sink.send(items[1:])
    assert path.read_bytes() == items[1].body + b"\n"


async def test_rotation_keeps_the_newest_files_and_every_line_whole(path: Path) -> None:
    items = make_items(12)
    line = len(items[0].body) + 1
    sink = make(path, rotate_bytes=2 * line + 10, rotate_keep=3)
    await sink.open()
    for item in items:
        await sink.send([item])
    await sink.close()
    files = [path.with_name(f"events.jsonl.{number}") for number in (3, 2, 1)] + [path]
    assert [file.read_bytes().splitlines() for file in files] == [bodies(items[n : n + 2]) for n in (4, 6, 8, 10)]
    assert sorted(path.parent.iterdir()) == sorted(files)
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)


async def test_a_batch_larger_than_the_limit_goes_into_a_file_of_its_own(path: Path) -> None:
    items = make_items(3)
    sink = make(path, rotate_bytes=10)
    await sink.open()
    await sink.send(items)
    await sink.close()
    assert path.read_bytes().splitlines() == bodies(items)
    assert not path.with_name("events.jsonl.1").exists()


@pytest.mark.parametrize("renames", [0, 1, 2])
async def test_a_crash_between_two_renames_of_a_rotation_loses_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    items = make_items(4)
    sink = make(path, rotate_bytes=10, rotate_keep=5)
    await sink.open()
    for item in items[:3]:
        await sink.send([item])
    real, left = Path.replace, [None] * renames

    def crashing(self: Path, target: Path) -> Path:
        if not left:
            raise OSError(5, "the power went")
        left.pop()
        return real(self, target)

    monkeypatch.setattr(Path, "replace", crashing)
    with pytest.raises(Retryable, match="cannot be rotated"):
        await sink.send(items[3:])
    await sink.close()
    monkeypatch.undo()
    await sink.open()
    await sink.send(items[3:])
    await sink.close()
    lines = [line for file in path.parent.iterdir() for line in file.read_bytes().splitlines()]
    assert sorted(lines) == sorted(bodies(items))


async def test_an_event_with_a_line_break_is_refused_alone(sink: FileSink, path: Path) -> None:
    """A format that writes one has a fault; it must not make two events of one."""
    items = make_items(3)
    items[1] = Item(2, items[1].event, b'{"a":\n1}')
    with pytest.raises(Refused) as raised:
        await sink.send(items)
    assert raised.value.at == 1
    assert path.read_bytes() == items[0].body + b"\n"


async def test_a_cancelled_send_is_waited_for_by_what_comes_next(
    sink: FileSink, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync cannot be interrupted; the file is never touched by two at once."""
    real, begun = os.fsync, asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(descriptor: int) -> None:
        loop.call_soon_threadsafe(begun.set)
        os.sched_yield()
        real(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    items = make_items(2)
    send = asyncio.ensure_future(sink.send(items[:1]))
    await begun.wait()
    send.cancel()
    await asyncio.gather(send, return_exceptions=True)
    await sink.close()
    await sink.open()
    await sink.send(items[1:])
    assert path.read_bytes().splitlines() == bodies(items)


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["well", "full", "torn", "moved"])), max_size=12),
    limit=st.sampled_from([0, 2000, 5000]),
)
def test_whatever_happens_each_acknowledged_event_is_there_once(
    tmp_path_factory: pytest.TempPathFactory, steps: Sequence[tuple[int, str]], limit: int
) -> None:
    """Full disks, torn lines and files moved away between sends, with rotation and without."""
    directory = tmp_path_factory.mktemp("disk")
    path = directory / "events.jsonl"

    async def run() -> list[bytes]:
        sink, acknowledged, seq = make(path, rotate_bytes=limit, rotate_keep=10_000), [], 1
        await sink.open()
        for number, (count, what) in enumerate(steps):
            items = make_items(count, first=seq)
            seq += count
            if what == "full":
                size = path.stat().st_size if path.exists() else 0
                with room_for(size + 700):
                    try:
                        await sink.send(items)
                    except Retryable:
                        items = []
            elif what == "moved":
                path.rename(directory / f"moved.{number}")
                await sink.send(items)
            else:
                await sink.send(items)
            acknowledged += bodies(items)
            if what == "torn":
                await sink.close()
                with path.open("ab") as file:
                    file.write(b'{"torn')
                await sink.open()
        await sink.close()
        return acknowledged

    acknowledged = asyncio.run(run())
    lines = [line for file in directory.iterdir() for line in file.read_bytes().splitlines()]
    assert sorted(lines) == sorted(acknowledged)


WRITER = """
import asyncio, sys
from pathlib import Path
from forwarder.sinks.base import SinkContext
from forwarder.sinks.file import FileSettings, FileSink
from tests.sinks.contract import make_items

async def main():
    settings = FileSettings(path=Path(sys.argv[1]), rotate_bytes=200_000, rotate_keep=10_000)
    sink = FileSink(settings, SinkContext("a", "j"))
    await sink.open()
    seq = int(sys.argv[2])
    while True:
        await sink.send(make_items(20, first=seq, size=500))
        seq += 20
        print(seq, flush=True)

asyncio.run(main())
"""


def test_a_killed_process_loses_nothing_that_was_acknowledged(path: Path) -> None:
    """SIGKILL at any moment, rotation included: every acknowledged line is there once, whole."""
    seq = 1
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(seq)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        assert process.stdout is not None
        for _ in range(30):
            seq = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
        process.stdout.close()
        process.wait()
        seq = int(rest[-1]) if rest else seq
        sink = make(path)
        asyncio.run(_open_and_close(sink))
        lines = [line for file in path.parent.iterdir() for line in file.read_bytes().splitlines()]
        expected = set(bodies(make_items(seq - 1, size=500)))
        assert expected <= set(lines)
        extra = len(lines) - len(expected)
        assert 0 <= extra <= 20, "at most the batch in flight"
        seq = len(set(lines)) + 1


async def _open_and_close(sink: FileSink) -> None:
    await sink.open()
    await sink.close()
