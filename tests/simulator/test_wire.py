"""Each fault as it arrives at the other end of a real socket."""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
from yarl import URL

from forwarder.cli.simulate import EPILOG
from forwarder.simulator import API_KEY, Fault, SimulatedPersona, World
from forwarder.simulator.faults import OTHERS, STATUSES

_WITH_RATE_HEADERS = {400, 403, 404, 429}


@pytest.fixture
async def persona() -> AsyncIterator[SimulatedPersona]:
    async with SimulatedPersona(World(records=300), oversize=3 << 20) as simulated:
        yield simulated


async def ask(persona: SimulatedPersona, *, size: int = 100, after: str | None = None) -> tuple[Any, Any, bytes]:
    """Status, headers and body, over a connection of its own: on an old one aiohttp would try again by itself."""
    params = {"page[size]": str(size)} | ({"page[after]": after} if after else {})
    headers = {"Authorization": f"Bearer {persona.api_key}"}
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
        session.get(
            persona.url + "/user-audit-logs", params=params, headers=headers, allow_redirects=False
        ) as response,
    ):
        return response.status, response.headers, await response.read()


@pytest.mark.parametrize("status", STATUSES)
async def test_a_status_comes_with_its_envelope_and_with_the_headers_that_persona_sends(
    persona: SimulatedPersona, status: int
) -> None:
    persona.faults.next(str(status))
    seen, headers, body = await ask(persona)
    assert seen == status
    assert STATUSES[status].encode() in body
    assert ("RateLimit-Reset" in headers) == ("Request-Id" in headers) == (status in _WITH_RATE_HEADERS)
    assert (await ask(persona))[0] == 200


async def test_a_limit_met_on_request_asks_for_one_second(persona: SimulatedPersona) -> None:
    persona.faults.next("429")
    _, headers, _ = await ask(persona)
    assert (headers["RateLimit-Remaining"], headers["RateLimit-Reset"]) == ("0", "1")


@pytest.mark.parametrize(("kind", "status"), [("html", 502), ("challenge", 403)])
async def test_the_edge_answers_in_html_and_without_persona_s_headers(
    persona: SimulatedPersona, kind: str, status: int
) -> None:
    persona.faults.next(kind)
    seen, headers, body = await ask(persona)
    assert (seen, headers["Content-Type"]) == (status, "text/html")
    assert body.startswith(b"<!DOCTYPE html>")
    assert "Request-Id" not in headers


async def test_blank_quota_and_garbage_are_what_they_say(persona: SimulatedPersona) -> None:
    persona.faults.next("blank", "quota", "garbage")
    assert (await ask(persona))[::2] == (500, b"")
    status, headers, body = await ask(persona)
    assert (status, b"Quota exceeded" in body, "RateLimit-Reset" in headers) == (429, True, False)
    status, _, body = await ask(persona)
    assert (status, body[-2:]) == (200, b"\x00\xff")


async def test_a_cut_body_is_shorter_than_its_announced_length(persona: SimulatedPersona) -> None:
    persona.faults.next("cut")
    with pytest.raises(aiohttp.ClientPayloadError):
        await ask(persona)
    assert (await ask(persona))[0] == 200


async def test_a_reset_connection_is_reset(persona: SimulatedPersona) -> None:
    """Seen by a plain socket: aiohttp's client asks again by itself after the first reset."""
    persona.faults.next("reset")
    url = URL(persona.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    key = persona.api_key.encode()
    writer.write(b"GET /api/v1/user-audit-logs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + key + b"\r\n\r\n")
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_a_stalled_answer_ends_for_the_client_only_by_its_own_time_out(persona: SimulatedPersona) -> None:
    persona.faults.next("stall")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ask(persona), 0.5)
    assert (await ask(persona))[0] == 200


async def test_closing_the_simulator_does_not_wait_for_a_stalled_answer() -> None:
    async with SimulatedPersona(World(records=50), faults=["stall"]) as persona:
        asking = asyncio.create_task(ask(persona))
        while not persona.stats.requests:  # noqa: ASYNC110 # another task's progress is watched from outside
            await asyncio.sleep(0.01)
        await asyncio.wait_for(persona.close(), 5)
        with pytest.raises(aiohttp.ClientError):
            await asking


async def test_a_slow_answer_arrives_whole(persona: SimulatedPersona) -> None:
    whole = (await ask(persona))[2]
    persona.faults.next("slow")
    began = asyncio.get_running_loop().time()
    assert (await ask(persona))[2] == whole
    assert asyncio.get_running_loop().time() - began > 1.5


async def test_a_redirect_leads_to_another_host_where_the_key_would_be_counted(persona: SimulatedPersona) -> None:
    persona.faults.next("redirect")
    status, headers, _ = await ask(persona)
    assert (status, headers["Location"].split("/")[2].split(":")[0]) == (302, "localhost")
    async with aiohttp.ClientSession() as session, session.get(headers["Location"].replace("localhost", "127.0.0.1")):
        pass
    assert persona.stats.followed_redirects == 1


@pytest.mark.parametrize(("kind", "told"), [("too-large", False), ("told-large", True), ("gzip-large", True)])
async def test_a_page_too_large_is_large_unless_it_has_one_record(
    persona: SimulatedPersona, kind: str, told: bool
) -> None:
    persona.faults.next(kind, kind)
    _, headers, body = await ask(persona)
    assert len(body) > 3 << 20
    assert ("Content-Length" in headers) == told
    assert len((await ask(persona, size=1))[2]) < 10_000


async def test_what_is_too_large_is_so_by_as_many_bytes_as_were_asked_for() -> None:
    async with SimulatedPersona(World(records=3), oversize=200_000) as persona:
        usual = len((await ask(persona))[2])
        persona.faults.next("too-large")
        assert len((await ask(persona))[2]) == usual + 200_000


@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [
        ("accepted", 202, b""),
        ("portal", 200, b"<h1>Log in"),
        ("not-api", 200, b'{"status"'),
        ("gateway", 403, b'{"message"'),
        ("proxy-auth", 407, b""),
        ("unpermitted", 403, b"does not have the permission"),
        ("wordy", 500, API_KEY.encode()),
        ("retry-in", 503, b""),
    ],
)
async def test_what_says_nothing_about_the_log(persona: SimulatedPersona, kind: str, status: int, text: bytes) -> None:
    persona.faults.next(kind)
    seen, headers, body = await ask(persona)
    assert (seen, text in body) == (status, True)
    assert headers.get("Retry-After") == ("7" if kind == "retry-in" else None)


async def test_a_body_that_is_compressed_in_parts_is_whole(persona: SimulatedPersona) -> None:
    whole = (await ask(persona, size=10))[2]
    persona.faults.next("gzip-parts")
    assert gzip.decompress((await raw(persona))[1]) == whole


async def test_rate_headers_can_be_absent_alone_or_odd(persona: SimulatedPersona) -> None:
    persona.faults.next("rate-unsaid", "rate-half", "rate-odd")
    seen = [(await ask(persona))[1] for _ in range(3)]
    said = [{name: text for name, text in headers.items() if name.startswith("RateLimit")} for headers in seen]
    assert said[:2] == [{}, {"RateLimit-Limit": "300"}]
    assert (said[2]["RateLimit-Limit"], said[2]["RateLimit-Remaining"]) == ("0", "0")
    assert int(said[2]["RateLimit-Reset"]) > 1_000_000_000


async def test_a_shuffled_page_has_the_same_records_and_links(persona: SimulatedPersona) -> None:
    persona.faults.next("shuffled")
    shuffled, straight = [orjson.loads((await ask(persona))[2]) for _ in range(2)]
    ids, others = ([record["id"] for record in page["data"]] for page in (shuffled, straight))
    assert ids != others
    assert sorted(ids) == sorted(others)
    assert shuffled["links"] == straight["links"]


async def raw(persona: SimulatedPersona) -> tuple[Any, bytes]:
    """Headers and body as they came, compressed or not."""
    headers = {"Authorization": f"Bearer {persona.api_key}"}
    url = f"{persona.url}/user-audit-logs"
    async with aiohttp.ClientSession(auto_decompress=False) as session, session.get(url, headers=headers) as answer:
        return answer.headers, await answer.read()


async def test_bodies_may_be_compressed_cut_while_compressed_misnamed_or_missing(persona: SimulatedPersona) -> None:
    persona.faults.next("gzip", "gzip-cut", "gzip-broken", "encoded", "nothing")
    (packed, whole), (_, cut), (_, broken), (encoded, plain), (_, nothing) = [await raw(persona) for _ in range(5)]
    assert packed["Content-Encoding"] == "gzip"
    assert len(orjson.loads(gzip.decompress(whole))["data"]) == 10
    with pytest.raises(EOFError):
        gzip.decompress(cut)
    with pytest.raises(zlib.error):
        gzip.decompress(broken)
    assert (encoded["Content-Encoding"], plain[:1], nothing) == ("br", b"{", b"")


async def test_pages_may_lack_their_links_their_list_or_an_id(persona: SimulatedPersona) -> None:
    persona.faults.next("astray", "no-links", "no-list", "nameless")
    astray, no_links, no_list, nameless = [orjson.loads((await ask(persona))[2]) for _ in range(4)]
    assert "after" not in astray["links"]["next"]
    assert "links" not in no_links
    assert isinstance(no_list["data"], dict)
    assert [("id" in record) for record in nameless["data"][:2]] == [False, True]


async def test_json_may_be_more_than_strict_parsers_take(persona: SimulatedPersona) -> None:
    persona.faults.next("lenient", "nested")
    body, nested = [(await ask(persona))[2] for _ in range(2)]
    with pytest.raises(RecursionError):
        json.loads(nested)
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(body)
    assert len(json.loads(body)["data"]) == 100


async def test_refusals_may_be_odd(persona: SimulatedPersona) -> None:
    persona.faults.next("unheard-of", "retry-at", "retry-odd")
    (first, _, _), (second, at, _), (third, odd, _) = [await ask(persona) for _ in range(3)]
    assert (first, second, third) == (418, 503, 503)
    assert at["Retry-After"] == at["Date"]
    assert odd["Retry-After"] == "soon"


async def test_a_page_may_be_another_organizations(persona: SimulatedPersona) -> None:
    persona.faults.next("foreign")
    headers = [(await ask(persona))[1] for _ in range(2)]
    assert headers[0]["Persona-Organization-Id"] != headers[1]["Persona-Organization-Id"]


async def test_a_lost_or_repeated_cursor_needs_a_cursor(persona: SimulatedPersona) -> None:
    cursor = persona.world.listed()[10]
    persona.faults.next("cursor-lost", "repeat", "cursor-lost", "repeat")
    first, second = await ask(persona), await ask(persona)
    assert first[::2] == second[::2]
    assert first[0] == 200
    assert (await ask(persona, after=cursor))[0] == 404
    assert f"page%5Bafter%5D={cursor}".encode() in (await ask(persona, after=cursor))[2]
    assert dict(persona.stats.by_fault) == {"cursor-lost": 1, "repeat": 1}


async def test_faults_by_chance_are_counted(persona: SimulatedPersona) -> None:
    persona.faults.set([Fault("503", 0.5)])
    statuses = [(await ask(persona, size=1))[0] for _ in range(40)]
    assert 5 < statuses.count(503) < 35
    assert persona.stats.by_status[503] == persona.stats.by_fault["503"] == statuses.count(503)
    assert sum(persona.stats.by_minute.values()) == 40


def test_every_kind_of_fault_is_told_in_the_help() -> None:
    words = set(EPILOG.replace(",", " ").replace("(", " ").replace(")", " ").split())
    assert {*map(str, STATUSES), *(kind for kind in OTHERS if kind != "too-large"), "too-large."} <= words
