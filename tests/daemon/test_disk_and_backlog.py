"""A full backlog and a full disk pause the daemon, which says so, loses nothing, and goes on when there is room."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from forwarder.simulator import SimulatedPersona, World
from tests.daemon.process import DaemonProcess, Lines, environment, until

LIMIT = 1 << 20
"""The least that may be set; some 1,700 records."""


@pytest.fixture
async def busy_persona() -> AsyncIterator[SimulatedPersona]:
    """More than the limit holds."""
    async with SimulatedPersona(World(records=4_000), limit=1_000_000) as simulated:
        yield simulated


@pytest.mark.slow
async def test_a_full_backlog_pauses_collecting_says_so_and_goes_on_when_the_sink_heals(
    busy_persona: SimulatedPersona, tmp_path: Path
) -> None:
    persona = busy_persona
    out = tmp_path / "missing" / "events.jsonl"
    variables = environment(tmp_path, persona, file_path=out, state_max_bytes=LIMIT)
    lines = Lines(out)
    with DaemonProcess(variables, tmp_path) as daemon:
        reason = await daemon.unready("source persona: paused: ")
        assert "FORWARDER_STATE_MAX_BYTES" in reason
        assert (await daemon.ask("/livez"))[0] == 200
        asked = persona.stats.requests
        assert asked < 35
        await asyncio.sleep(1)
        assert persona.stats.requests == asked
        added = persona.world.append(10)
        out.parent.mkdir()
        await daemon.until(lambda: lines.has(list(persona.world.ids())), 60)
        await daemon.ready()
        assert daemon.events("source.resumed")
        assert added[-1] in lines.ids
        assert await daemon.stop() == 0
    assert sorted(lines.look()) == sorted(persona.world.ids())


async def test_a_full_backlog_is_still_full_after_a_crash(busy_persona: SimulatedPersona, tmp_path: Path) -> None:
    persona = busy_persona
    out = tmp_path / "missing" / "events.jsonl"
    variables = environment(tmp_path, persona, file_path=out, state_max_bytes=LIMIT)
    with DaemonProcess(variables, tmp_path) as daemon:
        await daemon.unready("source persona: paused: ")
        daemon.kill()
    asked = persona.stats.requests
    with DaemonProcess(variables, tmp_path) as daemon:
        await daemon.unready("source persona: paused: ")
        assert persona.stats.requests == asked
        assert await daemon.stop() == 0


@dataclass
class SmallDisk:
    """A file system of a few megabytes that only the processes started :attr:`inside` see."""

    where: Path
    inside: tuple[str, ...]
    """Put before a command, runs it there."""
    outside: Path
    """The same directory as this process reaches it."""

    def fill(self) -> None:
        """Leave no block free."""
        with (self.outside / "ballast").open("ab", buffering=0) as ballast:
            try:
                while ballast.write(b"\0" * 4096):
                    pass
            except OSError:
                return

    def make_room(self) -> None:
        (self.outside / "ballast").unlink()


async def append(world: World, count: int) -> None:
    """Make records of many instants."""
    for _ in range(count // 50):
        world.append(50)
        await asyncio.sleep(0.002)


@asynccontextmanager
async def small_disk(folder: Path, mebibytes: int) -> AsyncIterator[SmallDisk]:
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("nsenter") is None:
        pytest.skip("mounting a small file system needs root, unshare and nsenter")
    where = folder / "disk"
    where.mkdir()
    script = f'mount -t tmpfs -o size={mebibytes}m small "{where}" && touch "{where}/mounted" && exec sleep 600'
    log = folder / "mount.log"
    with log.open("wb") as output:
        holder = subprocess.Popen(  # noqa: ASYNC220 # it is a moment's work
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script], stdout=output, stderr=output
        )
    try:
        outside = Path(f"/proc/{holder.pid}/root{where}")
        await until(lambda: (outside / "mounted").exists() or holder.poll() is not None, 10, log.read_text)
        if holder.poll() is not None:
            pytest.skip(f"a small file system cannot be mounted here: {log.read_text()}")
        yield SmallDisk(where, ("nsenter", "--target", str(holder.pid), "--mount", f"--wd={Path.cwd()}"), outside)
    finally:
        holder.kill()
        holder.wait()


async def test_a_disk_that_fills_pauses_the_daemon_and_nothing_is_lost(tmp_path: Path) -> None:
    async with SimulatedPersona(World(records=300), limit=1_000_000) as persona, small_disk(tmp_path, 16) as disk:
        lines = Lines(tmp_path / "events.jsonl")
        variables = environment(tmp_path, persona, state_path=disk.where / "forwarder.db")
        with DaemonProcess(variables, tmp_path, inside=disk.inside) as daemon:
            await daemon.until(lambda: lines.has(list(persona.world.ids())))
            await daemon.ready()
            disk.fill()
            await append(persona.world, 2_000)  # more than the file has free pages for
            reason = await daemon.unready("the journal's disk is full")
            assert "source persona: paused: " in reason
            assert (await daemon.ask("/livez"))[0] == 200
            assert daemon.events("source.paused")
            disk.make_room()
            await daemon.until(lambda: lines.has(list(persona.world.ids())), 60)
            await daemon.ready()
            assert daemon.events("source.resumed")
            assert daemon.events("actor.failed") == []
            assert await daemon.stop() == 0
    assert sorted(lines.look()) == sorted(persona.world.ids())


@pytest.mark.slow
async def test_a_crash_and_a_start_on_a_full_disk_lose_nothing(tmp_path: Path) -> None:
    """Whether there is room enough to start is for the disk to say; if not, it is status 73, and later all is well."""
    async with SimulatedPersona(World(records=300), limit=1_000_000) as persona, small_disk(tmp_path, 16) as disk:
        lines = Lines(tmp_path / "events.jsonl")
        variables = environment(tmp_path, persona, state_path=disk.where / "forwarder.db")
        with DaemonProcess(variables, tmp_path, inside=disk.inside) as daemon:
            await daemon.until(lambda: lines.has(list(persona.world.ids())))
            disk.fill()
            await append(persona.world, 2_000)
            await daemon.unready("the journal's disk is full")
            disk.fill()
            daemon.kill()
        disk.fill()
        with DaemonProcess(variables, tmp_path, inside=disk.inside) as daemon:
            await until(lambda: daemon.status is not None or bool(daemon.events("source.paused")), 20, daemon.words)
            assert daemon.status in {None, 73}, daemon.words()
            if daemon.status is None:
                await daemon.unready("the journal's disk is full")
                assert await daemon.stop() == 0
            else:
                assert "full" in daemon.words()
        disk.make_room()
        with DaemonProcess(variables, tmp_path, inside=disk.inside) as daemon:
            await daemon.until(lambda: lines.has(list(persona.world.ids())), 60)
            await daemon.ready()
            assert await daemon.stop() == 0
    assert set(lines.look()) == set(persona.world.ids())
    assert len(lines.ids) - len(set(lines.ids)) <= 500  # one batch in flight at the kill
