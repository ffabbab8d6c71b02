"""Whatever an answer holds, reading it gives a result or one of the failures that the collector knows."""

import json
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from forwarder.collect.answers import Answer, Page, cursor_in, read_page, read_user
from forwarder.collect.refusals import failure, record_failure
from forwarder.errors import Failure, Refused, Retryable, Unreadable
from tests.collect.scripted import KEY

SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5)
ANYTHING = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
RESOURCE = ANYTHING | st.fixed_dictionaries(
    {}, optional={"type": st.just("user") | ANYTHING, "id": ANYTHING, "attributes": ANYTHING, "relationships": ANYTHING}
)
LINKS = ANYTHING | st.fixed_dictionaries(
    {}, optional={"prev": ANYTHING, "next": ANYTHING | st.just("?page[after]=ual_1"), "first": ANYTHING}
)
DOCUMENT = ANYTHING | st.fixed_dictionaries(
    {},
    optional={
        "data": RESOURCE | st.lists(RESOURCE, max_size=3),
        "links": LINKS,
        "included": st.lists(RESOURCE, max_size=3) | ANYTHING,
        "errors": st.lists(st.fixed_dictionaries({}, optional={"title": ANYTHING, "details": ANYTHING})) | ANYTHING,
    },
)
TEXT = st.sampled_from(
    [
        "0",
        "-1",
        "42",
        "1e400",
        "nan",
        "300, 300;w=60",
        "Sun, 01 Mar 2026 09:15:02 GMT",
        "Mon, 99 Foo 99999 25:61:61 GMT",
    ]
) | st.text(max_size=20)
NAMES = [
    "Date",
    "Content-Type",
    "Retry-After",
    "Request-Id",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
]
HEADERS = st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, TEXT))
STATUS = st.integers(100, 999) | st.sampled_from([301, 400, 401, 403, 404, 408, 429, 503])


def answer(status: int, headers: dict[str, str], document: Any) -> Answer:
    return Answer(status, CIMultiDict(headers), json.dumps(document).encode(), 0, 0.0)


@given(HEADERS, DOCUMENT)
def test_a_page_is_read_or_refused(headers: dict[str, str], document: Any) -> None:
    try:
        page = read_page(answer(200, headers, document))
    except (Retryable, Unreadable):
        return
    assert isinstance(page, Page)
    assert all(isinstance(record, dict) for record in page.records)
    assert page.next != ""
    orjson.dumps([page.records, page.users])


@given(HEADERS, DOCUMENT)
def test_a_user_is_read_or_refused(headers: dict[str, str], document: Any) -> None:
    try:
        user = read_user(answer(200, headers, document))
    except (Retryable, Unreadable):
        return
    assert user is None or user["type"] == "user"


@given(STATUS, HEADERS, DOCUMENT, st.none() | st.just("ual_1"))
def test_every_other_status_is_a_failure_with_one_short_line(
    status: int, headers: dict[str, str], document: Any, cursor: str | None
) -> None:
    given_answer = answer(status, headers, document)
    for problem in (
        failure(given_answer, variable="FORWARDER_X", cursor=cursor, key=KEY),
        record_failure(given_answer, variable="FORWARDER_X", key=KEY),
    ):
        assert isinstance(problem, Failure)
        assert problem.reason.isprintable()
        assert len(problem.reason) < 1000
        assert not isinstance(problem, Retryable) or problem.retry_after is None or problem.retry_after >= 0
    assert cursor is not None or not isinstance(
        failure(given_answer, variable="FORWARDER_X", cursor=None, key=KEY), Refused
    )


@given(st.text())
def test_any_link_gives_a_cursor_or_none(link: str) -> None:
    assert cursor_in(link) != ""
