"""The simulator's own controls."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import orjson
import pytest

from forwarder.simulator import SimulatedPersona, World


@pytest.fixture
async def persona() -> AsyncIterator[SimulatedPersona]:
    async with SimulatedPersona(World(records=20)) as simulated:
        yield simulated


@pytest.fixture
async def session(persona: SimulatedPersona) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(persona.control_url + "/") as opened:
        yield opened


async def test_records_can_be_appended_and_are_listed_in_the_order_made(
    persona: SimulatedPersona, session: aiohttp.ClientSession
) -> None:
    appended = (await (await session.post("append?n=3&created_ago=3600")).json())["appended"]
    hidden = (await (await session.post("append?visible_in=60")).json())["appended"]
    lines = [orjson.loads(line) for line in (await (await session.get("made")).read()).splitlines()]
    assert [line["id"] for line in lines] == [*persona.world.ids()]
    assert [line["id"] for line in lines[20:]] == appended + hidden
    assert lines[20]["created_at"] < lines[23]["created_at"]
    tail = await (await session.get("made?from=23")).read()
    assert orjson.loads(tail)["id"] == hidden[0]
    summary = await (await session.get("made?summary=1")).json()
    assert summary == {"made": 24, "visible": 23, "hidden": 1, "expired": 0}


@pytest.mark.parametrize("path", ["append?n=-1", "append?n=many", "append?n=1e12", "live?rate=-1", "faults?fault=418"])
async def test_what_makes_no_sense_is_a_bad_request(session: aiohttp.ClientSession, path: str) -> None:
    assert (await session.post(path)).status == 400


async def test_faults_are_replaced_and_requests_counted(
    persona: SimulatedPersona, session: aiohttp.ClientSession
) -> None:
    answer = await (await session.post("faults?fault=503&fault=cut:0.5")).json()
    assert answer == {"faults": ["503:1.0", "cut:0.5"]}
    assert (await session.get("/api/v1/user-audit-logs")).status == 401
    key = {"Authorization": f"Bearer {persona.api_key}"}
    assert (await session.get("/api/v1/user-audit-logs", headers=key)).status == 503
    await session.post("faults")
    assert (await session.get("/api/v1/user-audit-logs", headers=key)).status == 200
    stats = await (await session.get("stats")).json()
    assert stats["by_status"] == {"200": 1, "401": 1, "503": 1}
    assert stats["requests"] == sum(stats["by_minute"].values()) == 3


async def test_records_are_made_at_the_rate_asked_for(
    persona: SimulatedPersona, session: aiohttp.ClientSession
) -> None:
    await session.post("live?rate=200")
    began = asyncio.get_running_loop().time()
    while persona.world.made < 120:  # noqa: ASYNC110 # another task's progress is watched from outside
        await asyncio.sleep(0.02)
    assert asyncio.get_running_loop().time() - began > 0.3
    await session.post("live?rate=0")
    made = persona.world.made
    await asyncio.sleep(0.25)
    assert persona.world.made == made


async def test_it_listens_on_loopback_only(persona: SimulatedPersona) -> None:
    assert persona.url.startswith("http://127.0.0.1:")
    assert persona._runner is not None
    assert [address[0] for address in persona._runner.addresses] == ["127.0.0.1"]
