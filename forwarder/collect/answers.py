"""What Persona's good answers say. Pure: headers and bytes in, a page or a user out.

Everything that Persona may add or leave out is taken as it comes; only what would make the forwarder lose a record is
insisted on. The facts are those of Persona's "List all User Audit Logs" and "Rate Limiting" pages; what is not
documented is named where it is decided.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import parse_qsl, urlsplit

from forwarder.clock import SECOND, parse_http_date
from forwarder.collect.budget import RateLimit
from forwarder.collect.lenient import NotJson, loads
from forwarder.errors import Retryable, Unreadable
from forwarder.record import Json, record_id, related_id

USER_TYPE = "user"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the list, newest record first.

    ``records`` are the resources as received; what is no object there stands as ``{"malformed": …}``, without an id.
    ``users`` maps a user's id to its resource, from ``included``. ``next`` is the cursor of the next, older page, None
    at the end of the list. ``server_time`` is Persona's clock in microseconds. ``elapsed`` is in seconds.
    """

    records: list[Json]
    users: dict[str, Json]
    next: str | None
    server_time: int
    request_id: str | None
    organization_id: str | None
    environment_id: str | None
    rate: RateLimit | None
    elapsed: float


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read: its status, its headers (case-insensitive), its body, and how long it took (seconds).

    ``received_at`` is our own clock's time, for answers without a ``Date``.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    received_at: int
    elapsed: float

    @property
    def request_id(self) -> str | None:
        """Persona's name for this request, which its support asks for."""
        return identifier(self.headers.get("Request-Id"))

    @property
    def server_time(self) -> int:
        """Microseconds of Persona's clock; of ours only where the answer has no ``Date``."""
        moment = parse_http_date(self.headers.get("Date"))
        return self.received_at if moment is None else moment

    @property
    def is_json(self) -> bool:
        """Whether the answer says that it is JSON; what comes from the edge is HTML."""
        kind = self.headers.get("Content-Type", "").split(";")[0].strip().lower()
        return kind in {"application/json", "text/json"} or kind.endswith("+json")

    @property
    def delimited(self) -> bool:
        """Whether the HTTP layer can tell a whole body from one that was cut."""
        return "Content-Length" in self.headers or "Transfer-Encoding" in self.headers


def read_page(answer: Answer) -> Page:
    """Read a 200 of the list.

    :raises Retryable: this is no page of Persona's, whichever records were asked for: something between us answered
    :raises Unreadable: it is a page, and cannot be read
    """
    document = _document(answer)
    records, links = document["data"], document.get("links")
    if not isinstance(records, list):
        _unreadable(answer, "its `data` is no list")
    if not isinstance(links, dict) or "next" not in links:
        # An absent `next` must not pass for the end of the list: the gap would be closed over unread records.
        _unreadable(answer, "it has no `links.next`")
    return Page(
        records=[item if isinstance(item, dict) else {"malformed": item} for item in records],
        users=_users(document),
        next=_next(answer, links["next"]),
        server_time=answer.server_time,
        request_id=answer.request_id,
        organization_id=identifier(answer.headers.get("Persona-Organization-Id")),
        environment_id=identifier(answer.headers.get("Persona-Environment-Id")),
        rate=rate_limit(answer.headers),
        elapsed=answer.elapsed,
    )


def read_user(answer: Answer) -> Json | None:
    """Read the user resource out of a 200 for a single record, or None if Persona has none for it.

    :raises Retryable, Unreadable: as :func:`read_page`
    """
    document = _document(answer)
    record = document["data"]
    wanted = related_id(record, USER_TYPE) if isinstance(record, dict) else None
    return _users(document).get(wanted) if wanted is not None else None


def cursor_in(link: str) -> str | None:
    """Take the cursor out of a ``links`` entry: relative or absolute, brackets encoded or not, host ignored."""
    try:
        pairs = parse_qsl(urlsplit(link).query)
    except ValueError:
        return None
    return next((value for key, value in pairs if key == "page[after]" and value), None)


def rate_limit(headers: Mapping[str, str]) -> RateLimit | None:
    """Read the ``RateLimit-*`` headers; None where there is none (401, 5xx, the edge)."""
    limit, remaining, reset = (seconds(headers.get(f"RateLimit-{part}")) for part in ("Limit", "Remaining", "Reset"))
    if limit is None and remaining is None and reset is None:
        return None
    return RateLimit(
        limit=None if limit is None else int(limit),
        remaining=None if remaining is None else int(remaining),
        reset=reset,
    )


def retry_after(answer: Answer) -> float | None:
    """Seconds that ``Retry-After`` asks for, given as seconds or as an HTTP date (RFC 9110 section 10.2.3)."""
    text = answer.headers.get("Retry-After")
    delay = seconds(text)
    if delay is not None:
        return delay
    moment = parse_http_date(text)
    return None if moment is None else max(0.0, (moment - answer.server_time) / SECOND)


def seconds(text: str | None) -> float | None:
    """Read a number of a header that cannot be negative; None where it is absent or is none."""
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def identifier(text: str | None) -> str | None:
    """Read an id from a header: short and printable, whoever wrote it, since it goes into logs and the journal."""
    cleaned = "".join(char for char in text or "" if char.isprintable() and char != " ")
    return cleaned[:128] or None


def named(answer: Answer, text: str) -> str:
    """*text* with the answer's ``Request-Id``, where it has one."""
    return text if answer.request_id is None else f"{text} (Request-Id {answer.request_id})"


def _document(answer: Answer) -> Json:
    """The object in *answer*, with a ``data`` of any kind in it."""
    if not answer.body.strip():
        raise Retryable(named(answer, "Persona answered 200 with an empty body"), kind="not_persona")
    try:
        document = loads(answer.body)
    except NotJson as error:
        if answer.is_json and answer.delimited:
            _unreadable(answer, str(error))
        raise Retryable(
            named(answer, "the answer is not JSON: a page of an edge server or proxy, or a cut one"),
            kind="not_persona",
        ) from error
    if not isinstance(document, dict) or "data" not in document:
        # Not one of the records is at fault here, so a smaller page would not help.
        raise Retryable(
            named(answer, "the answer is JSON, but not of Persona's API: it has no `data`"), kind="not_persona"
        )
    return document


def _next(answer: Answer, link: Any) -> str | None:
    """The cursor in ``links.next``.

    A link without a cursor in it is neither the end of the list (records would be lost) nor the fault of a record on
    the page (a smaller one would not help): it is asked for again, which reports and loses nothing.
    """
    if link is None:
        return None
    cursor = cursor_in(link) if isinstance(link, str) else None
    if cursor is None:
        raise Retryable(named(answer, "the page's `links.next` has no `page[after]`"), kind="not_persona")
    return cursor


def _users(document: Json) -> dict[str, Json]:
    """Users by id. ``included`` may be missing, and may hold what we do not know."""
    included = document.get("included")
    resources = included if isinstance(included, list) else []
    return {
        name: resource
        for resource in resources
        if isinstance(resource, dict)
        and resource.get("type") == USER_TYPE
        and (name := record_id(resource)) is not None
    }


def _unreadable(answer: Answer, why: str) -> NoReturn:
    raise Unreadable(named(answer, f"the page cannot be read: {why}"))
