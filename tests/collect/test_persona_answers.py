"""Persona's answers, good and exotic, without a socket."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import pytest

from forwarder.clock import SECOND, SystemClock
from forwarder.collect.persona import PersonaApi, RateLimit
from forwarder.errors import CursorLost, Failure, Misconfigured, Refused, Retryable, Unreadable
from forwarder.metrics import Metrics
from forwarder.secret import Secret
from tests.aioresponses_bridge import Replies
from tests.collect.scripted import KEY, page, persona

BASE = "https://persona.test/api/v1"
TOP = f"{BASE}/user-audit-logs?page%5Bsize%5D=100"
BELOW = f"{TOP}&page%5Bafter%5D=ual_9"
HTML = "<!doctype html><title>Attention Required!</title>"
RATE = {"RateLimit-Limit": "300", "RateLimit-Remaining": "299", "RateLimit-Reset": "42"}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("test")


@pytest.fixture
async def api(metrics: Metrics) -> AsyncIterator[PersonaApi]:
    source = persona(BASE, metrics=metrics)
    yield source
    await source.close()


@pytest.fixture
def replies() -> Iterator[Replies]:
    with Replies() as running:
        yield running


def errors(title: str, details: str | None = None) -> bytes:
    error = {"title": title} | ({} if details is None else {"details": details})
    return orjson.dumps({"errors": [error]})


async def failing(api: PersonaApi, cursor: str | None = None) -> Failure:
    with pytest.raises(Failure) as caught:
        await api.fetch_page(cursor, 100)
    assert KEY not in repr(caught.value)
    assert KEY not in str(caught.value)
    return caught.value


def whole(body: bytes) -> dict[str, str]:
    return {"Content-Length": str(len(body))}


class TestPage:
    async def test_has_all_that_the_collector_needs(self, api: PersonaApi, replies: Replies, metrics: Metrics) -> None:
        user = {"type": "user", "id": "user_1", "attributes": {"email-address": "jane@doe.com"}}
        record = {"type": "user-audit-log", "id": "ual_2", "attributes": {"path": "/x"}}
        body = {
            "data": [record],
            "links": {"prev": None, "next": "/api/v1/user-audit-logs?page%5Bafter%5D=ual_2"},
            "included": [user, {"type": "inquiry", "id": "inq_1"}, {"type": "user"}, None],
        }
        headers = {
            **RATE,
            "Date": "Sun, 01 Mar 2026 09:15:02 GMT",
            "Request-Id": "req_1",
            "Persona-Organization-Id": "org_1",
            "persona-environment-id": "env_1",
        }
        replies.get(TOP, payload=body, headers=headers)
        found = await api.fetch_page(None, 100)
        assert found.records == [record]
        assert found.users == {"user_1": user}
        assert found.next == "ual_2"
        assert found.server_time == 1_772_356_502 * SECOND
        assert (found.request_id, found.organization_id, found.environment_id) == ("req_1", "org_1", "env_1")
        assert found.rate == RateLimit(300, 299, 42.0)
        assert 0 <= found.elapsed < 5
        text = metrics.expose().decode()
        assert 'forwarder_source_requests_total{source="persona",status="200"} 1.0' in text
        assert 'forwarder_source_rate_limit_remaining{source="persona"} 299.0' in text

    async def test_without_optional_parts_takes_our_clock_and_knows_nothing_else(
        self, api: PersonaApi, replies: Replies
    ) -> None:
        before = SystemClock().now()
        replies.get(TOP, body=page("ual_1"))
        found = await api.fetch_page(None, 100)
        assert found.next is None
        assert found.users == {}
        assert found.rate is None
        assert found.request_id is None
        assert before <= found.server_time <= SystemClock().now()

    async def test_sends_what_persona_documents_and_the_key_as_it_is_at_that_moment(self, replies: Replies) -> None:
        keys = iter(["persona_production_old", "persona_production_new\n"])
        source = persona(BASE, key=Secret(lambda: next(keys)))
        replies.get(TOP, body=page("ual_1"), repeat=2)
        await source.fetch_page(None, 100)
        await source.fetch_page(None, 100)
        await source.close()
        first, second = (call.kwargs["headers"] for calls in replies.requests.values() for call in calls)
        assert first["Authorization"] == "Bearer persona_production_old"
        assert second["Authorization"] == "Bearer persona_production_new"
        assert first["Persona-Version"] == "2023-01-05"
        assert first["Key-Inflection"] == "kebab"
        assert first["Accept"] == "application/json"
        assert first["User-Agent"].startswith("persona-siem-forwarder/")

    async def test_an_item_that_is_no_object_is_kept_for_the_collector_to_count(
        self, api: PersonaApi, replies: Replies
    ) -> None:
        replies.get(TOP, payload={"data": [7, {"id": "ual_1"}], "links": {"prev": None, "next": None}})
        assert (await api.fetch_page(None, 100)).records == [{"malformed": 7}, {"id": "ual_1"}]

    @pytest.mark.parametrize(
        "link",
        [
            "/api/v1/user-audit-logs?page%5Bafter%5D=ual_1",
            "/api/v1/user-audit-logs?page[after]=ual_1",
            "/api/v1/user-audit-logs?page%5Bsize%5D=10&page%5Bafter%5D=ual_1&page%5Bbefore%5D=ual_8",
            "https://api.withpersona.com/api/v1/user-audit-logs?page%5Bafter%5D=ual_1",
            "https://evil.test/steal?page[after]=ual_1",
            "?page[after]=ual_1",
        ],
    )
    async def test_only_the_cursor_is_taken_out_of_a_link(self, link: str, api: PersonaApi, replies: Replies) -> None:
        replies.get(TOP, payload={"data": [], "links": {"prev": None, "next": link}})
        assert (await api.fetch_page(None, 100)).next == "ual_1"

    async def test_a_cursor_travels_encoded(self, api: PersonaApi, replies: Replies) -> None:
        replies.get(f"{TOP}&page%5Bafter%5D=a%26b%3D%C3%A9%2F%2B", body=page("ual_1"))
        assert (await api.fetch_page("a&b=é/+", 100)).records[0]["id"] == "ual_1"

    @pytest.mark.parametrize("link", ["/api/v1/user-audit-logs", "?page[after]=", "http://[", 7])
    async def test_a_link_without_a_cursor_is_not_taken_for_the_end(
        self, link: object, api: PersonaApi, replies: Replies
    ) -> None:
        replies.get(TOP, payload={"data": [{"id": "ual_1"}], "links": {"prev": None, "next": link}})
        assert isinstance(await failing(api), Retryable)


class TestWrongShape:
    @pytest.mark.parametrize(
        "document",
        [
            {"data": {}, "links": {"next": None}},
            {"data": None, "links": {"next": None}},
            {"data": []},
            {"data": [], "links": None},
            {"data": [], "links": {"prev": None}},
        ],
    )
    async def test_of_a_page_is_unreadable(self, document: dict[str, Any], api: PersonaApi, replies: Replies) -> None:
        replies.get(TOP, payload=document, headers={"Request-Id": "req_7"})
        problem = await failing(api)
        assert isinstance(problem, Unreadable)
        assert "Request-Id req_7" in problem.reason

    @pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b'{"status":"maintenance"}'])
    async def test_of_something_else_is_not_the_fault_of_a_record(
        self, body: bytes, api: PersonaApi, replies: Replies
    ) -> None:
        replies.get(TOP, body=body, headers=whole(body))
        assert isinstance(await failing(api), Retryable)

    @pytest.mark.parametrize("body", [b'{"data": [', b'{"data": [] "links"}', b"[" * 5000, page("ual_1") + b"}"])
    async def test_whole_json_that_does_not_parse_is_unreadable(
        self, body: bytes, api: PersonaApi, replies: Replies
    ) -> None:
        replies.get(TOP, body=body, headers=whole(body))
        assert isinstance(await failing(api), Unreadable)

    async def test_json_that_may_have_been_cut_is_asked_for_again(self, api: PersonaApi, replies: Replies) -> None:
        replies.get(TOP, body=page("ual_1")[:-5])
        assert isinstance(await failing(api), Retryable)

    @pytest.mark.parametrize("body", [b"", b" \n", HTML.encode()])
    async def test_an_empty_or_html_200_comes_from_the_edge(
        self, body: bytes, api: PersonaApi, replies: Replies
    ) -> None:
        replies.get(TOP, body=body, content_type="text/html", headers=whole(body))
        problem = await failing(api)
        assert isinstance(problem, Retryable)
        assert problem.kind == "not_persona"

    async def test_too_deep_nesting_is_unreadable(self, api: PersonaApi, replies: Replies) -> None:
        deep = b"[" * 250 + b"]" * 250
        body = b'{"data":[{"id":"ual_1","attributes":{"get-params":%s}}],"links":{"next":null}}' % deep
        replies.get(TOP, body=body, headers=whole(body))
        assert isinstance(await failing(api), Unreadable)


class TestStatus:
    @pytest.mark.parametrize("status", [400, 404, 410, 422])
    async def test_that_refuses_a_cursor_means_that_it_is_lost(
        self, status: int, api: PersonaApi, replies: Replies
    ) -> None:
        replies.get(BELOW, status=status, body=errors("Record not found"), headers={"Request-Id": "req_1"})
        problem = await failing(api, "ual_9")
        assert isinstance(problem, CursorLost)
        assert "Record not found" in problem.reason
        assert "req_1" in problem.reason

    async def test_400_at_the_top_is_a_fault_to_report_with_personas_words(
        self, api: PersonaApi, replies: Replies
    ) -> None:
        details = f"page.size\nis {'very ' * 200}wrong for {KEY}"
        replies.get(TOP, status=400, body=errors("Bad Request", details), headers={"Request-Id": "req_1"})
        problem = await failing(api)
        assert isinstance(problem, Misconfigured)
        assert "Bad Request: page.size is very" in problem.reason
        assert "(Request-Id req_1)" not in problem.reason.split(";")[0]
        assert "req_1" in problem.reason
        assert len(problem.reason) < 700

    @pytest.mark.parametrize(
        ("status", "body", "advice"),
        [
            (401, errors("Must be authenticated to access this endpoint"), "FORWARDER_PERSONA_API_KEY"),
            (401, errors(f"Token {KEY} is invalid"), "********"),
            (403, errors("Forbidden"), "user_audit_log.read"),
            (403, errors("Forbidden", "IP address is not permitted access to current environment"), "allowlist"),
            (403, HTML.encode(), "before Persona's API was reached"),
            (401, b"", "before Persona's API was reached"),
            (404, b"", "FORWARDER_PERSONA_BASE_URL"),
            (407, b"", "HTTPS_PROXY"),
            (405, b"", "FORWARDER_PERSONA_VERSION"),
            (302, b"", "redirect"),
            (308, b"", "redirect"),
            (304, b"", "redirect"),
        ],
    )
    async def test_that_only_the_operator_can_mend_says_what_to_do(
        self, status: int, body: bytes, advice: str, api: PersonaApi, replies: Replies
    ) -> None:
        replies.get(TOP, status=status, body=body, headers={"Location": "https://evil.test/"})
        problem = await failing(api)
        assert isinstance(problem, Misconfigured)
        assert advice in problem.reason
        assert "evil" not in problem.reason
        assert len(replies.requests) == 1

    @pytest.mark.parametrize(
        ("status", "headers", "kind", "wait"),
        [
            (429, RATE, "rate_limited", 42.0),
            (429, {"Retry-After": "7"}, "rate_limited", 7.0),
            (429, {**RATE, "Retry-After": "90"}, "rate_limited", 90.0),
            (429, {}, "rate_limited", None),
            (429, {"RateLimit-Reset": "soon", "Retry-After": "later"}, "rate_limited", None),
            (503, {"Retry-After": "120"}, "server_error", 120.0),
            (
                503,
                {"Date": "Sun, 01 Mar 2026 09:15:02 GMT", "Retry-After": "Sun, 01 Mar 2026 09:15:32 GMT"},
                "server_error",
                30.0,
            ),
            (408, {}, "server_error", None),
            (500, {}, "server_error", None),
            (502, {}, "server_error", None),
            (599, {}, "server_error", None),
            (204, {}, "not_persona", None),
        ],
    )
    async def test_that_passes_is_to_be_retried(
        self, status: int, headers: dict[str, str], kind: str, wait: float | None, api: PersonaApi, replies: Replies
    ) -> None:
        for cursor, url in ((None, TOP), ("ual_9", BELOW)):
            replies.get(url, status=status, headers=headers, body=HTML, content_type="text/html")
            problem = await failing(api, cursor)
            assert isinstance(problem, Retryable)
            assert (problem.kind, problem.retry_after) == (kind, wait)

    async def test_is_counted(self, api: PersonaApi, replies: Replies, metrics: Metrics) -> None:
        replies.get(TOP, status=429, headers=RATE)
        await failing(api)
        await failing(api)  # nothing answers the second time
        text = metrics.expose().decode()
        assert 'forwarder_source_requests_total{source="persona",status="429"} 1.0' in text
        assert 'forwarder_source_requests_total{source="persona",status="error"} 1.0' in text


class TestUser:
    URL = f"{BASE}/user-audit-logs/ual%2F1?include=user"

    def answer(self, *included: object, user: object = "user_1") -> dict[str, Any]:
        record = {"id": "ual/1", "relationships": {"user": {"data": user and {"type": "user", "id": user}}}}
        return {"data": record, "included": list(included)}

    async def test_is_the_one_that_the_record_names(self, api: PersonaApi, replies: Replies) -> None:
        jane = {"type": "user", "id": "user_1", "attributes": {}}
        replies.get(self.URL, payload=self.answer({"type": "user", "id": "user_2"}, jane))
        assert await api.fetch_user("ual/1") == jane

    async def test_is_none_where_persona_has_none(self, api: PersonaApi, replies: Replies) -> None:
        replies.get(self.URL, payload=self.answer())
        assert await api.fetch_user("ual/1") is None
        replies.get(self.URL, payload=self.answer({"type": "user", "id": "user_2"}, user=None))
        assert await api.fetch_user("ual/1") is None
        replies.get(self.URL, status=404, body=errors("Record not found"))
        assert await api.fetch_user("ual/1") is None

    async def test_is_refused_for_this_record_alone(self, api: PersonaApi, replies: Replies) -> None:
        replies.get(self.URL, status=400, body=errors("Bad Request"))
        with pytest.raises(Refused, match=r"the record with 400.*Bad Request") as caught:
            await api.fetch_user("ual/1")
        assert not isinstance(caught.value, CursorLost)

    async def test_never_leaves_the_resource_by_a_strange_id(self, api: PersonaApi, replies: Replies) -> None:
        assert await api.fetch_user("..") is None
        assert not replies.requests

    async def test_failures_are_those_of_a_page(self, api: PersonaApi, replies: Replies) -> None:
        replies.get(self.URL, status=401, body=errors("Token is invalid"))
        with pytest.raises(Misconfigured, match="API_KEY"):
            await api.fetch_user("ual/1")


class TestKey:
    @pytest.mark.parametrize("key", ["", "  \n", "two words", "line\r\nX-Header: 1", "schlüssel", "nul\0"])
    async def test_that_cannot_be_sent_is_reported_without_it(self, key: str, replies: Replies) -> None:
        source = persona(BASE, key=Secret(key))
        with pytest.raises(Misconfigured, match="FORWARDER_PERSONA_API_KEY") as caught:
            await source.fetch_page(None, 100)
        assert not key.strip() or key not in caught.value.reason
        assert not replies.requests


async def test_closing_is_idempotent_and_asking_afterwards_opens_again(api: PersonaApi, replies: Replies) -> None:
    await api.close()
    replies.get(TOP, body=page("ual_1"), repeat=True)
    await api.fetch_page(None, 100)
    await api.close()
    await api.close()
    assert (await api.fetch_page(None, 100)).records
