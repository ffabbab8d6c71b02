"""Our wall clock may be wrong, or jump, by days: what is collected is decided by Persona's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from forwarder.app import Daemon
from forwarder.clock import SECOND, SystemClock
from forwarder.journal.status import read_status
from forwarder.settings import load
from forwarder.simulator import SimulatedPersona, World
from tests.daemon.process import Lines, environment, until

DAY = 86_400 * SECOND


class WrongClock(SystemClock):
    """The machine's clock, *wrong* microseconds ahead; that may change at any moment."""

    def __init__(self, wrong: int = 0) -> None:
        self.wrong = wrong

    def now(self) -> int:
        return super().now() + self.wrong


@asynccontextmanager
async def running(variables: dict[str, str], clock: WrongClock) -> AsyncIterator[Daemon]:
    daemon = Daemon(load(variables), clock=clock)
    task = asyncio.create_task(daemon.run())
    try:
        yield daemon
    finally:
        daemon.stop()
        await asyncio.wait_for(task, 20)


async def arrived(lines: Lines, wanted: list[str]) -> None:
    await until(lambda: lines.has(wanted), 30, lambda: f"{len(lines.ids)} arrived of {len(wanted)}")


def holes(folder: Path) -> int:
    return len(read_status(folder / "forwarder.db", now=0).sources[0].holes)


@pytest.mark.parametrize("days", [-400, -3, 3, 400])
async def test_a_clock_that_is_wrong_by_days_changes_nothing_in_what_is_collected(tmp_path: Path, days: int) -> None:
    """Not where START lies, not what is known already, not what counts as lost, over a restart."""
    async with SimulatedPersona(World(records=400, days=30), limit=1_000_000) as persona:
        boundary = SystemClock().now() - 10 * DAY
        variables = environment(tmp_path, persona, persona_start="10d", persona_page_size=50)
        wanted = [made for index, made in enumerate(persona.world.ids()) if persona.world.created_at(index) > boundary]
        lines = Lines(tmp_path / "events.jsonl")
        clock = WrongClock(days * DAY)
        for present in (clock, clock, WrongClock()):  # and mended
            async with running(variables, present):
                await arrived(lines, wanted)
            wanted += persona.world.append(20)
        async with running(variables, clock):
            await arrived(lines, wanted)
        # The boundary is a matter of a second: Date bears no fraction.
        assert len(lines.look()) - len(wanted) <= 2
        assert len(set(lines.ids)) == len(lines.ids)
        assert holes(tmp_path) == 0


async def test_a_clock_that_jumps_while_the_daemon_runs_changes_nothing(tmp_path: Path) -> None:
    async with SimulatedPersona(World(records=2_000), limit=1_000_000) as persona:
        persona.behaviour.latency = 0.005
        settings = {"persona_page_size": 20, "persona_lookback": "10s", "persona_sweep_interval": "1s"}
        lines, clock = Lines(tmp_path / "events.jsonl"), WrongClock()
        async with running(environment(tmp_path, persona, **settings), clock) as daemon:
            for days in (300, -300, 2, 0, -2, 0):
                asked = persona.stats.requests
                await until(lambda asked=asked: persona.stats.requests > asked + 5, 20, lambda: "no requests")  # type: ignore[misc] # bound early
                clock.wrong = days * DAY
                persona.world.append(3)
            clock.wrong = 0
            persona.world.append(3)
            wanted = list(persona.world.ids())
            await arrived(lines, wanted)
            assert daemon.workers[0].health.state == "ready"
        assert sorted(lines.look()) == sorted(wanted)
        assert holes(tmp_path) == 0
