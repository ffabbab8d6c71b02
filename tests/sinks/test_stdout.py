"""The standard output sink, on a real pipe, a file, and a process of its own."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from forwarder.errors import Refused, Retryable
from forwarder.sinks import stdout as module
from forwarder.sinks.base import Item, SinkContext, SinkSettings
from forwarder.sinks.stdout import STANDARD_OUTPUT, StdoutSink
from tests.sinks.contract import Destination, SinkContract, bodies, make_items


class Reader(Destination):
    """Stands in for whoever reads our standard output, with a pipe in its place.

    The sink is told the pipe's descriptor: pytest puts its own in the place of the real one before each test's call.
    The tests below and their programs use the real one.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._found = b""
        self._writes: list[int] = []
        self._connect()

    def settings(self) -> dict[str, Any]:
        return {"timeout": 2}

    async def arrived(self) -> list[bytes]:
        return self._found[: self._found.rfind(b"\n") + 1].splitlines()

    async def break_down(self) -> None:
        self._disconnect()

    async def mend(self) -> None:
        self._disconnect()
        self._connect()

    async def stall(self) -> None:
        asyncio.get_running_loop().remove_reader(self._end)

    def _connect(self) -> None:
        self._end, write = os.pipe()
        self._writes.append(write)
        self._monkeypatch.setattr(module, "STANDARD_OUTPUT", write)
        os.set_blocking(self._end, False)
        asyncio.get_running_loop().add_reader(self._end, self._read)
        self._reading = True

    def _disconnect(self) -> None:
        if self._reading:
            asyncio.get_running_loop().remove_reader(self._end)
            os.close(self._end)
            self._reading = False

    def _read(self) -> None:
        try:
            self._found += os.read(self._end, 1 << 20)
        except BlockingIOError:
            return

    def restore(self) -> None:
        """Close what is open."""
        self._disconnect()
        for write in self._writes:
            os.close(write)


class TestStdoutSink(SinkContract):
    kind = "stdout"

    @pytest_asyncio.fixture
    async def destination(  # type: ignore[override] # it patches
        self, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[Destination]:
        reader = Reader(monkeypatch)
        yield reader
        reader.restore()


def make(timeout: float = 2) -> StdoutSink:
    return StdoutSink(SinkSettings(timeout=timeout), SinkContext("stdout", "journal"))


@contextmanager
def output_to(descriptor: int) -> Iterator[None]:
    """Let standard output be *descriptor* for a while."""
    kept = os.dup(STANDARD_OUTPUT)
    os.dup2(descriptor, STANDARD_OUTPUT)
    try:
        yield
    finally:
        os.dup2(kept, STANDARD_OUTPUT)
        os.close(kept)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe that nobody reads yet."""
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


async def test_a_reader_that_takes_nothing_gets_the_rest_later_and_the_loop_goes_on(pipe: tuple[int, int]) -> None:
    """What the pipe took counts; the line that was cut is ended before the next one."""
    items = make_items(200, size=900)
    sink = make(timeout=0.5)
    with output_to(pipe[1]):
        await sink.open()
        send, turns = asyncio.ensure_future(sink.send(items)), 0
        while not send.done():
            await asyncio.sleep(0.01)
            turns += 1
        assert turns > 20, "the loop stood still"
        with pytest.raises(Retryable) as raised:
            await send
        accepted = raised.value.accepted
        assert 0 < accepted < len(items)
        assert not raised.value.unanswered
        await sink.close()
        os.set_blocking(pipe[0], False)
        found = os.read(pipe[0], 1 << 20)
        await sink.send(items[accepted : accepted + 20])
        await sink.close()
        found += os.read(pipe[0], 1 << 20)
    lines = found.splitlines()
    whole = [line for line in lines if line in set(bodies(items))]
    assert whole == bodies(items[: accepted + 20])
    assert len(lines) - len(whole) == 1, "one broken line shows where the write was cut"


async def test_a_reader_that_has_gone_is_waited_for() -> None:
    """The process is not ended by it, and the text says what to do."""
    read, write = os.pipe()
    os.close(read)
    with output_to(write):
        sink = make()
        await sink.open()
        with pytest.raises(Retryable, match="standard output is closed") as raised:
            await sink.send(make_items(2))
        await sink.close()
    os.close(write)
    assert raised.value.accepted == 0


async def test_a_closed_standard_output_is_reported_at_opening() -> None:
    kept = os.dup(STANDARD_OUTPUT)
    os.close(STANDARD_OUTPUT)
    try:
        with pytest.raises(Retryable, match="standard output is closed"):
            await make().open()
    finally:
        os.dup2(kept, STANDARD_OUTPUT)
        os.close(kept)


async def test_a_pipe_that_others_made_non_blocking_still_works(pipe: tuple[int, int]) -> None:
    """A terminal or another program that shares the pipe may have done so."""
    os.set_blocking(pipe[1], False)
    items, found = make_items(200, size=900), b""
    sink = make()
    with output_to(pipe[1]):
        await sink.open()
        send = asyncio.ensure_future(sink.send(items))
        expected = sum(len(body) + 1 for body in bodies(items))
        while len(found) < expected:
            found += await asyncio.to_thread(os.read, pipe[0], 10_000)
        await send
        await sink.close()
    assert found.splitlines() == bodies(items)


async def test_standard_output_may_be_a_file_and_a_full_one_says_so(tmp_path: Path) -> None:
    sink = make()
    full = os.open("/dev/full", os.O_WRONLY)
    with output_to(full):
        await sink.open()
        with pytest.raises(Retryable, match="No space left"):
            await sink.send(make_items(1))
        await sink.close()
    os.close(full)
    items = make_items(20)
    file = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    with output_to(file):
        await sink.open()
        await sink.send(items)
        await sink.close()
    os.close(file)
    assert (tmp_path / "out").read_bytes().splitlines() == bodies(items)


async def test_an_event_with_a_line_break_is_refused_alone(pipe: tuple[int, int]) -> None:
    items = make_items(3)
    items[1] = Item(2, items[1].event, b'{"a":\n1}')
    sink = make()
    with output_to(pipe[1]):
        await sink.open()
        with pytest.raises(Refused) as raised:
            await sink.send(items)
        await sink.close()
    assert raised.value.at == 1
    assert os.read(pipe[0], 1 << 20) == items[0].body + b"\n"


PROGRAM = """
import asyncio
from forwarder.sinks.base import SinkContext, SinkSettings
from forwarder.sinks.stdout import StdoutSink
from tests.sinks.contract import make_items

async def main():
    sink = StdoutSink(SinkSettings(timeout=1), SinkContext("stdout", "j"))
    await sink.open()
    try:
        async with asyncio.timeout(0.3):
            await sink.send(make_items(500, size=900))
    except TimeoutError:
        pass
    await sink.close()

asyncio.run(main())
"""


def test_a_stalled_reader_does_not_hold_up_the_end_of_the_process() -> None:
    """The pipe is full and nobody reads: the write is given up, and the process ends."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert process.stdout is not None
    assert process.wait(30) == 0
    assert len(process.stdout.read()) < 500 * 900, "it was given up half-way"
    process.stdout.close()
