"""The collector that judges the Splunk sink does itself what Splunk was measured to do."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.peers.hec import TOKEN, HecServer


@pytest_asyncio.fixture
async def server() -> AsyncIterator[HecServer]:
    """Run a collector."""
    server = await HecServer().start()
    yield server
    await server.stop()


async def post(server: HecServer, body: bytes, **headers: str) -> tuple[int, Any]:
    """Post *body* and give the status and the answer."""
    sent = {"Authorization": f"Splunk {TOKEN}", **headers}
    async with (
        aiohttp.ClientSession() as session,
        session.post(server.url() + "/services/collector/event", data=body, headers=sent) as response,
    ):
        found = await response.json() if response.content_type == "application/json" else await response.text()
        return response.status, found


@pytest.mark.parametrize(
    ("body", "code", "number", "indexed"),
    [
        (b'{"event":1}{"event":2}\n{"event":3}', 0, None, [1, 2, 3]),
        (b'{"event":1}{"event":2,"other":0}{"event":3}', 0, None, [1]),  # HTTP 200, and two events are gone
        (b'{"event":1}{"fields":{"a":"b"}}{"event":3}', 0, None, [1, 3]),  # skipped alone
        (b'{"event":1}{"event":2}{broken', 6, 2, [1, 2]),
        (b'{"event":1}{"host":"h"}{"event":3}', 12, 1, [1]),
        (b'{"event":""}{"event":2}', 13, 0, []),
        (b'{"event":1}{"event":2,"fields":{"a":{"b":1}}}', 15, 1, [1]),
        (b'{"event":1}{"event":2,"index":"typo"}{"event":3}', 7, 2, [1]),  # names the event after the bad one
        (b"", 5, None, []),
    ],
)
async def test_a_request_is_indexed_up_to_its_first_bad_object(
    server: HecServer, body: bytes, code: int, number: int | None, indexed: list[int]
) -> None:
    status, answer = await post(server, body)
    assert status == (200 if code == 0 else 400)
    assert (answer["code"], answer.get("invalid-event-number")) == (code, number)
    assert server.events() == indexed


async def test_a_body_that_is_too_large_is_blamed_on_its_first_event(server: HecServer) -> None:
    server.cloud_limit = 20
    assert (await post(server, b'{"event":1}{"event":2}'))[1] == {
        "text": "Invalid data format",
        "code": 6,
        "invalid-event-number": 0,
    }
    server.largest_body = 10
    assert (await post(server, b'{"event":1}'))[0] == 413


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [("Basic x", 401, 3), ("Splunk ", 401, 3), ("Splunk other", 403, 4)],
)
async def test_only_its_tokens_are_taken(server: HecServer, header: str, status: int, code: int) -> None:
    found, answer = await post(server, b'{"event":1}', Authorization=header)
    assert (found, answer["code"]) == (status, code)
    assert server.indexed == []


async def test_an_encoding_that_it_does_not_know_is_refused_with_a_page(server: HecServer) -> None:
    status, page = await post(server, b"x", **{"Content-Encoding": "deflate"})
    assert status in {400, 415}
    assert not isinstance(page, dict)
