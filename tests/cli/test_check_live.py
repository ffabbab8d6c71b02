"""``forwarder check --live`` finds out what only Persona and the destinations can tell."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator

import pytest

from forwarder.cli.live import Trial, try_out
from forwarder.settings import load
from forwarder.simulator import SimulatedPersona, World
from tests.peers.hec import TOKEN, HecServer


@pytest.fixture
async def persona() -> AsyncIterator[SimulatedPersona]:
    async with SimulatedPersona(World(records=5)) as simulated:
        yield simulated


@pytest.fixture
async def collector() -> AsyncIterator[HecServer]:
    running = await HecServer().start()
    yield running
    await running.stop()


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def environ(persona: SimulatedPersona, collector: HecServer) -> dict[str, str]:
    return {
        "FORWARDER_PERSONA_BASE_URL": persona.url,
        "FORWARDER_PERSONA_API_KEY": persona.api_key,
        "FORWARDER_SINKS": "soc=splunk_hec",
        "FORWARDER_SOC_URL": collector.url(),
        "FORWARDER_SOC_TOKEN": TOKEN,
    }


async def check_live(variables: dict[str, str]) -> tuple[int | None, str, str]:
    clean = {name: text for name, text in os.environ.items() if not name.startswith("FORWARDER_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "forwarder", "check", "--live"),
        env=clean | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode(), err.decode()


async def test_what_works_is_said_row_by_row(persona: SimulatedPersona, collector: HecServer) -> None:
    status, out, err = await check_live(environ(persona, collector))
    assert (status, err) == (0, "")
    rows = [line.split(maxsplit=2) for line in out.splitlines()[-2:]]
    assert [row[:2] for row in rows] == [["persona", "ok"], ["soc", "ok"]]
    assert rows[0][2].startswith("a record; organization ")
    assert collector.url() in rows[1][2]


async def test_one_record_is_asked_for_and_nothing_is_sent(persona: SimulatedPersona, collector: HecServer) -> None:
    await try_out(load(environ(persona, collector)))
    assert sum(persona.stats.by_status.values()) == 1
    assert collector.events() == []


async def test_a_refused_key_and_a_refused_token_end_with_1(persona: SimulatedPersona, collector: HecServer) -> None:
    wrong = {"FORWARDER_PERSONA_API_KEY": "persona_production_wrong", "FORWARDER_SOC_TOKEN": "a-wrong-token"}
    status, out, err = await check_live(environ(persona, collector) | wrong)
    assert (status, err) == (1, "")
    rows = [line.split(maxsplit=2) for line in out.splitlines()[-2:]]
    assert [row[:2] for row in rows] == [["persona", "failed"], ["soc", "failed"]]
    assert not any(text in out for text in wrong.values())


async def test_nobody_listening_is_a_failure_of_that_row_alone(persona: SimulatedPersona, collector: HecServer) -> None:
    variables = environ(persona, collector) | {"FORWARDER_SOC_URL": f"http://127.0.0.1:{closed_port()}"}
    asked, opened = await try_out(load(variables))
    assert asked.works
    assert not opened.works
    assert opened.finding


async def test_a_sink_that_does_not_answer_is_given_up_after_its_time_out(persona: SimulatedPersona) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        variables = {
            "FORWARDER_PERSONA_BASE_URL": persona.url,
            "FORWARDER_PERSONA_API_KEY": persona.api_key,
            "FORWARDER_SINKS": "soc=splunk_hec",
            "FORWARDER_SOC_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "FORWARDER_SOC_TOKEN": TOKEN,
            "FORWARDER_SOC_TIMEOUT": "200ms",
        }
        _, opened = await asyncio.wait_for(try_out(load(variables)), 10)
    assert isinstance(opened, Trial)
    assert not opened.works
