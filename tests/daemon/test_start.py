"""How far back the first run reaches, and that no later run moves that."""

from pathlib import Path

import pytest

from forwarder.clock import SECOND, SystemClock, format_rfc3339
from forwarder.simulator import SimulatedPersona, World
from tests.daemon.process import DaemonProcess, Lines, caught_up, environment

DAY = 86_400 * SECOND
BLUR = 2 * SECOND
"""Persona's ``Date`` tells whole seconds, and the first answer comes a moment after the start."""


async def collected(variables: dict[str, str], folder: Path, wanted: list[str]) -> set[str]:
    """What has arrived once the first walk is over and *wanted* is there."""
    lines = Lines(folder / "events.jsonl")
    with DaemonProcess(variables, folder) as daemon:
        await daemon.until(lambda: caught_up(folder / "forwarder.db"))
        await daemon.until(lambda: lines.has(wanted))
        await daemon.ready()
        assert await daemon.stop() == 0
    assert len(lines.look()) == len(set(lines.ids))
    return set(lines.ids)


def since(world: World, moment: int) -> set[str]:
    return {made for index, made in enumerate(world.ids()) if world.created_at(index) >= moment}


@pytest.mark.parametrize("start", ["now", "10d", "moment", "all"])
async def test_exactly_what_start_asks_for_is_collected_and_a_restart_moves_nothing(tmp_path: Path, start: str) -> None:
    async with SimulatedPersona(World(records=400, days=30), limit=1_000_000) as persona:
        world, began = persona.world, SystemClock().now()
        moment = {"now": began, "10d": began - 10 * DAY, "moment": began - 5 * DAY, "all": 0}[start]
        text = format_rfc3339(moment) if start == "moment" else start
        variables = environment(tmp_path, persona, persona_start=text, persona_page_size=30)
        surely, perhaps = since(world, moment + BLUR), since(world, moment - BLUR)
        first = await collected(variables, tmp_path, sorted(surely))
        assert surely <= first <= perhaps
        assert {"now": 0, "10d": 60, "moment": 30, "all": 400}[start] <= len(surely)
        assert len(perhaps) < (401 if start == "all" else 300)

        # Made while nobody looked, and to be collected: START was fixed by the first answer and not by this start.
        missed = world.append(20)
        assert await collected(variables, tmp_path, missed) == first | set(missed)

        # Nor does another START: only a backfill reaches further back.
        variables["FORWARDER_PERSONA_START"] = "all"
        later = world.append(5)
        assert await collected(variables, tmp_path, later) == first | set(missed) | set(later)
