"""The endpoint over a real socket: what Persona documents, and each choice of what it does not."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import aiohttp
import pytest
from yarl import URL

from forwarder.clock import SECOND, parse_http_date
from forwarder.record import Json
from forwarder.simulator import UNPERMITTED_KEY, SimulatedPersona, World

PATH = "/user-audit-logs"


class Client:
    """Asks as a forwarder would, a new connection each time."""

    def __init__(self, persona: SimulatedPersona, session: aiohttp.ClientSession) -> None:
        self.persona = persona
        self.session = session
        self.headers = {"Authorization": f"Bearer {persona.api_key}", "Key-Inflection": "kebab"}

    async def get(self, path: str = PATH, *, headers: dict[str, str] | None = None, **query: Any) -> "Reply":
        params = {
            name.replace("page_", "page[") + ("]" if "page_" in name else ""): str(v) for name, v in query.items()
        }
        wanted = self.headers if headers is None else headers
        url = self.persona.url + path
        async with self.session.get(url, params=params, headers=wanted, allow_redirects=False) as response:
            return Reply(response.status, dict(response.headers), await response.read(), await response.json())

    async def walk(self, size: int) -> list[Json]:
        """Every record, by following ``links.next``."""
        found: list[Json] = []
        cursor: dict[str, Any] = {}
        while True:
            page = (await self.get(page_size=size, **cursor)).json
            found += page["data"]
            if page["links"]["next"] is None:
                return found
            cursor = {"page_after": cursor_of(page["links"]["next"])}


class Reply:
    def __init__(self, status: int, headers: dict[str, str], body: bytes, json: Any) -> None:
        self.status, self.headers, self.body, self.json = status, headers, body, json

    @property
    def title(self) -> str:
        return cast("str", self.json["errors"][0]["title"])

    @property
    def ids(self) -> list[str]:
        return [one["id"] for one in self.json["data"]]


def cursor_of(link: str) -> str:
    return link.rpartition("=")[2]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    connector = aiohttp.TCPConnector(force_close=True)
    async with SimulatedPersona(World(records=250)) as persona, aiohttp.ClientSession(connector=connector) as session:
        yield Client(persona, session)


@pytest.mark.parametrize("size", [100, 7, 50])
@pytest.mark.parametrize("end", ["null", "empty"])
async def test_a_walk_covers_each_record_once_newest_first(client: Client, size: int, end: Any) -> None:
    client.persona.behaviour.end = end
    assert [one["id"] for one in await client.walk(size)] == client.persona.world.listed()


async def test_a_walk_crosses_page_borders_among_equal_times(client: Client) -> None:
    client.persona.world.append(30)
    found = await client.walk(7)
    assert [one["id"] for one in found] == client.persona.world.listed()
    assert len({one["attributes"]["created-at"] for one in found[:30]}) == 1


async def test_the_page_size_is_ten_unless_asked_for(client: Client) -> None:
    assert len((await client.get()).ids) == 10


@pytest.mark.parametrize("size", ["0", "101", "-1", "ten", "1.5", "", "²"])
async def test_another_page_size_than_1_to_100_is_a_bad_request(client: Client, size: str) -> None:
    reply = await client.get(page_size=size)
    assert (reply.status, reply.title) == (400, "Bad Request")
    assert "page[size]" in reply.json["errors"][0]["details"]


async def test_links_are_relative_encoded_and_without_a_size(client: Client) -> None:
    links = (await client.get(page_size=5)).json["links"]
    assert links["prev"] is None
    assert links["next"].startswith("/api/v1/user-audit-logs?page%5Bafter%5D=ual_")
    assert "size" not in links["next"]


async def test_brackets_need_not_be_encoded(client: Client) -> None:
    url = f"{client.persona.url}{PATH}?page[size]=3"
    async with client.session.get(URL(url, encoded=True), headers=client.headers) as response:
        assert len((await response.json())["data"]) == 3


async def test_before_leads_back_to_the_newer_page(client: Client) -> None:
    listed = client.persona.world.listed()
    second = await client.get(page_size=5, page_after=listed[4])
    assert second.ids == listed[5:10]
    first = await client.get(page_size=5, page_before=cursor_of(second.json["links"]["prev"]))
    assert first.ids == listed[:5]


async def test_included_holds_the_users_of_the_page_and_no_others(client: Client) -> None:
    page = (await client.get(page_size=100)).json
    wanted = {one["relationships"]["user"]["data"]["id"] for one in page["data"]}
    assert [one["id"] for one in page["included"]] == list(dict.fromkeys(one["id"] for one in page["included"]))
    assert {one["id"] for one in page["included"]} == wanted
    assert all(set(one["attributes"]) == {"email-address", "name-first", "name-last"} for one in page["included"])


async def test_versions_after_2023_include_no_users_in_the_list_but_singly(client: Client) -> None:
    headers = client.headers | {"Persona-Version": "2025-12-08"}
    page = await client.get(headers=headers)
    assert "included" not in page.json
    assert (await client.get(headers=headers, include="user")).status == 400
    single = await client.get(f"{PATH}/{page.ids[0]}", headers=headers)
    assert "included" not in single.json
    single = await client.get(f"{PATH}/{page.ids[0]}", headers=headers, include="user")
    assert single.json["data"] == page.json["data"][0]
    assert single.json["included"][0]["id"] == single.json["data"]["relationships"]["user"]["data"]["id"]


async def test_a_record_that_the_list_does_not_show_is_not_found_singly(client: Client) -> None:
    [hidden] = client.persona.world.append(visible_in=60)
    for record_id in (hidden, "ual_ABC123"):
        reply = await client.get(f"{PATH}/{record_id}", include="user")
        assert (reply.status, reply.title) == (404, "Record not found")


async def test_an_unknown_version_inflection_parameter_or_path_is_refused(client: Client) -> None:
    assert (await client.get(headers=client.headers | {"Persona-Version": "2024-01-01"})).status == 400
    assert (await client.get(headers=client.headers | {"Key-Inflection": "shout"})).status == 400
    assert (await client.get(filter="x")).status == 400
    assert (await client.get("/inquiries")).status == 404


@pytest.mark.parametrize(
    ("inflection", "key", "session"), [("snake", "created_at", "user_session"), ("camel", "createdAt", "userSession")]
)
async def test_the_key_inflection_is_followed(client: Client, inflection: str, key: str, session: str) -> None:
    page = (await client.get(headers=client.headers | {"Key-Inflection": inflection})).json
    assert key in page["data"][0]["attributes"]
    assert session in page["data"][0]["relationships"]
    assert page["data"][0]["type"] == "user-audit-log"
    without = {"Authorization": client.headers["Authorization"]}
    client.persona.behaviour.inflection = cast("Any", inflection)
    assert (await client.get(headers=without)).json["data"][0]["attributes"] == page["data"][0]["attributes"]


async def test_sparse_fields_leave_only_what_was_asked_for(client: Client) -> None:
    page = (await client.get(PATH + "?fields[user-audit-log]=path,method")).json
    assert {tuple(one["attributes"]) for one in page["data"]} == {("path", "method")}


@pytest.mark.parametrize(
    ("authorization", "status", "title"),
    [
        (None, 401, "Must be authenticated to access this endpoint"),
        ("Basic abc", 401, "Must be authenticated to access this endpoint"),
        ("Bearer persona_production_other", 401, "Token is invalid"),
        ("Bearer persona_sandbox_abc", 403, "Forbidden"),
        (f"Bearer {UNPERMITTED_KEY}", 403, "Forbidden"),
    ],
)
async def test_keys_that_may_not_read_the_log_are_refused(
    client: Client, authorization: str | None, status: int, title: str
) -> None:
    reply = await client.get(headers={"Authorization": authorization} if authorization else {})
    assert (reply.status, reply.title) == (status, title)
    assert ("Request-Id" in reply.headers) == (status == 403)
    assert status == 403 or not [name for name in reply.headers if name.startswith("RateLimit")]


async def test_keys_can_be_exchanged_while_it_runs(client: Client) -> None:
    client.persona.api_keys.clear()
    assert (await client.get()).status == 401
    client.persona.api_keys.add("persona_production_next")
    assert (await client.get(headers={"Authorization": "Bearer persona_production_next"})).status == 200


async def test_headers_name_request_organization_environment_and_persona_s_time(client: Client) -> None:
    first, second = await client.get(), await client.get()
    assert first.headers["Request-Id"] != second.headers["Request-Id"]
    assert first.headers["Persona-Organization-Id"].startswith("org_")
    assert first.headers["Persona-Environment-Id"].startswith("env_")
    assert abs((parse_http_date(first.headers["Date"]) or 0) - client.persona.world.clock.now()) < 5 * SECOND


async def test_the_rate_limit_counts_down_refuses_and_begins_anew() -> None:
    async with (
        SimulatedPersona(World(records=5), limit=3, window=1.0) as persona,
        aiohttp.ClientSession() as session,
    ):
        client = Client(persona, session)
        replies = [await client.get() for _ in range(4)]
        assert [reply.status for reply in replies] == [200, 200, 200, 429]
        assert [reply.headers["RateLimit-Remaining"] for reply in replies] == ["2", "1", "0", "0"]
        assert {reply.headers["RateLimit-Limit"] for reply in replies} == {"3"}
        assert {reply.headers["RateLimit-Reset"] for reply in replies} == {"1"}
        assert replies[3].title == "Rate limit exceeded"
        for _ in range(60):
            if (await client.get()).status == 200:
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("the window never ends")


async def test_a_record_that_became_visible_late_shows_on_the_page_of_its_date(client: Client) -> None:
    listed = client.persona.world.listed()
    [late] = client.persona.world.append(created_ago=24 * 3600, visible_in=0)
    found = [one["id"] for one in await client.walk(20)]
    assert late in found[1:]
    assert [one for one in found if one != late] == listed


@pytest.mark.parametrize(("mode", "status"), [("400", 400), ("404", 404), ("empty", 200), ("page-one", 200)])
async def test_an_unknown_cursor_is_answered_as_chosen(client: Client, mode: Any, status: int) -> None:
    client.persona.behaviour.lost_cursor = mode
    reply = await client.get(page_after="ual_UNKNOWN", page_size=5)
    assert reply.status == status
    if status == 200:
        assert reply.ids == (client.persona.world.listed()[:5] if mode == "page-one" else [])
    if mode == "empty":
        assert reply.json["links"] == {"prev": None, "next": None}


@pytest.mark.parametrize(
    ("links", "start"), [("absolute", "http://127.0.0.1:"), ("foreign", "https://elsewhere.example/")]
)
async def test_links_can_be_absolute_or_foreign(client: Client, links: Any, start: str) -> None:
    client.persona.behaviour.links = links
    assert (await client.get()).json["links"]["next"].startswith(start)


async def test_an_empty_log_is_an_empty_page() -> None:
    async with SimulatedPersona(World(records=0)) as persona, aiohttp.ClientSession() as session:
        page = (await Client(persona, session).get()).json
        assert page == {"data": [], "links": {"prev": None, "next": None}, "included": []}
