"""A long history holds up nothing that is new, and every event comes in order and with its user."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from forwarder.simulator import SimulatedPersona, World
from forwarder.simulator.endpoint import LIST_PATH, Answer
from forwarder.simulator.faults import Fault
from tests.daemon.process import DaemonProcess, Lines, caught_up, environment

POLL = 0.5


class Asked:
    """Stands at a simulated Persona's door: counts what is asked for, and can refuse single records."""

    def __init__(self, persona: SimulatedPersona) -> None:
        self.pages = 0
        self.single: list[str] = []
        self.refuse_single = False
        self._answer = persona._endpoint.answer
        persona._endpoint.answer = self.answer  # type: ignore[assignment,method-assign] # on this one instance

    def answer(self, path: str, query: Mapping[str, str], *rest: Any) -> Answer:
        if path == LIST_PATH:
            self.pages += 1
            return self._answer(path, query, *rest)
        assert query == {"include": "user"}
        self.single.append(path)
        return Answer(500, b"") if self.refuse_single else self._answer(path, query, *rest)


async def test_a_fresh_event_does_not_wait_behind_a_long_history(tmp_path: Path) -> None:
    async with SimulatedPersona(World(records=5_000), limit=1_000_000) as persona:
        persona.behaviour.latency = 0.05
        variables = environment(tmp_path, persona, persona_page_size=10, persona_poll_interval=f"{POLL}s")
        lines = Lines(tmp_path / "events.jsonl")
        with DaemonProcess(variables, tmp_path) as daemon:
            await daemon.until(lambda: persona.stats.requests > 10)
            waits = []
            for _ in range(3):
                began = time.monotonic()
                [added] = persona.world.append(1)
                await daemon.until(lambda added=added: lines.has([added]), 10)  # type: ignore[misc] # bound early
                waits.append(time.monotonic() - began)
            assert max(waits) < 4 * POLL, waits
            status = (await daemon.ask("/status"))[1]
            assert b'"complete_from": null' in status, "the history was over before the fresh events came"
            assert len(lines.look()) < 2_500


async def test_the_oldest_gap_goes_on_although_every_poll_finds_something(tmp_path: Path) -> None:
    """Persona is busier than one page a poll: the newest gap alone would take every request."""
    async with SimulatedPersona(World(records=150), limit=1_000_000, live_rate=150) as persona:
        persona.behaviour.latency = 0.02
        variables = environment(tmp_path, persona, persona_page_size=10)
        with DaemonProcess(variables, tmp_path) as daemon:
            await daemon.until(lambda: caught_up(tmp_path / "forwarder.db"), 40)


@pytest.mark.parametrize("page_size", [7, 100])
async def test_events_come_in_the_order_in_which_they_happened(
    persona: SimulatedPersona, tmp_path: Path, page_size: int
) -> None:
    lines = Lines(tmp_path / "events.jsonl")
    variables = environment(tmp_path, persona, persona_page_size=page_size, persona_poll_interval="1s")
    with DaemonProcess(variables, tmp_path) as daemon:
        await daemon.until(lambda: len(lines.look()) >= 300)
        persona.world.append(40)  # all of one instant, over several pages of one poll
        await daemon.until(lambda: len(lines.look()) >= 340)
        assert await daemon.stop() == 0
    assert lines.ids == list(persona.world.ids())
    times = [event["occurred_at"] for event in lines.content()]
    assert times == sorted(times)


async def test_users_come_from_the_pages_and_are_remembered_when_later_pages_do_not_show_them(
    persona: SimulatedPersona, tmp_path: Path
) -> None:
    lines, asked = Lines(tmp_path / "events.jsonl"), Asked(persona)
    with DaemonProcess(environment(tmp_path, persona), tmp_path) as daemon:
        await daemon.until(lambda: len(lines.look()) >= 300)
        assert await daemon.stop() == 0
    known = {event["user"]["id"]: event["user"] for event in lines.content()}
    assert len(known) > 10
    assert all("@" in user["email"] for user in known.values())
    persona.behaviour.included = "never"
    persona.world.append(60)
    with DaemonProcess(environment(tmp_path, persona), tmp_path) as daemon:
        await daemon.until(lambda: len(lines.look()) >= 360)
        assert await daemon.stop() == 0
    for event in lines.content()[300:]:
        assert event["user"] == known[event["user"]["id"]]
    assert asked.single == []


async def test_a_user_whom_no_page_shows_is_asked_for_once(persona: SimulatedPersona, tmp_path: Path) -> None:
    persona.behaviour.included = "never"
    lines, asked = Lines(tmp_path / "events.jsonl"), Asked(persona)
    with DaemonProcess(environment(tmp_path, persona, persona_page_size=20), tmp_path) as daemon:
        await daemon.until(lambda: len(lines.look()) >= 300)
        persona.world.append(50)
        await daemon.until(lambda: len(lines.look()) >= 350)
        assert await daemon.stop() == 0
    users = {event["user"]["id"] for event in lines.content()}
    assert all("@" in event["user"]["email"] for event in lines.content())
    assert len(asked.single) == len(users)


async def test_a_look_up_that_fails_holds_no_page_up_and_is_not_repeated(
    persona: SimulatedPersona, tmp_path: Path
) -> None:
    persona.behaviour.included = "never"
    lines, asked = Lines(tmp_path / "events.jsonl"), Asked(persona)
    asked.refuse_single = True
    with DaemonProcess(environment(tmp_path, persona, persona_page_size=20), tmp_path) as daemon:
        await daemon.until(lambda: len(lines.look()) >= 300, 15)
        await daemon.ready()
        assert await daemon.stop() == 0
    users = {event["user"]["id"] for event in lines.content()}
    assert {event["user"]["email"] for event in lines.content()} == {None}
    assert len(asked.single) == len(users)


@pytest.mark.slow
async def test_look_ups_that_stall_do_not_hold_up_one_page_after_the_other(
    persona: SimulatedPersona, tmp_path: Path
) -> None:
    """15 pages with new users in most of them: the first may wait its 5 s, the others go on without."""
    persona.behaviour.included = "never"
    stalled = []

    def met(request: web.Request, _: Fault | None) -> str:
        if request.path == LIST_PATH:
            return ""
        stalled.append(request.path)
        return "stall"

    persona._met = met  # type: ignore[assignment,method-assign] # on this one instance
    lines = Lines(tmp_path / "events.jsonl")
    with DaemonProcess(environment(tmp_path, persona, persona_page_size=20), tmp_path) as daemon:
        await daemon.logged("source.page_collected", fresh=20)
        await daemon.until(lambda: len(lines.look()) >= 300, 8)
        assert await daemon.stop() == 0
    assert len(stalled) == 1
