"""What Persona answers: from a request's path, parameters and headers to a status, headers and a body.

Source: Persona's reference, "User Audit Logs", "Pagination", "Rate Limiting", "Error Handling" and "Versioning". What
nobody documents is a choice in :class:`Behaviour`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Literal
from urllib.parse import quote

import orjson

from forwarder.record import Json
from forwarder.simulator.faults import STATUSES, Fault
from forwarder.simulator.people import Employee
from forwarder.simulator.rate import Rate, RateWindow, misstated
from forwarder.simulator.shape import inflected, misshapen, sparse
from forwarder.simulator.world import World

API_KEY = "persona_production_simulated"
"""The key that the simulator takes unless told otherwise."""

UNPERMITTED_KEY = "persona_production_without_permission"
"""A valid key without the permission ``user_audit_log.read``: 403."""

LIST_PATH = "/api/v1/user-audit-logs"
MAX_PAGE_SIZE = 100

_DEFAULT_PAGE_SIZE = 10
_VERSIONS = (
    "2020-05-18", "2021-02-21", "2021-07-05", "2021-08-18", "2022-09-01", "2023-01-05", "2025-10-27", "2025-12-08",
)  # fmt: skip
_NEWEST_VERSION_WITH_INCLUDED = "2023-01-05"
_INFLECTIONS = ("kebab", "snake", "camel")
# What the edge and failing servers answer bears none of Persona's own headers; nor does 401.
_WITHOUT_HEADERS = frozenset({401, 408, 500, 502, 503, 504})
_ODD_ENDS = {
    "lenient": b',"meta":{"odd":[NaN,-Infinity,1e999,9223372036854775808,1%s,"\\ud83d"]}}' % (b"0" * 400),
    "nested": b',"meta":' + b"[" * 2000 + b"]" * 2000 + b"}",
    "deep": b',"meta":' + b"[" * 250 + b"]" * 250 + b"}",
}
_PARAMETERS = re.compile(r"page\[(?:after|before|size)\]|fields\[[a-z-]+\]|include")


@dataclass(slots=True)
class Behaviour:
    """What Persona does not document; each may be changed while the simulator runs."""

    lost_cursor: Literal["400", "404", "empty", "page-one"] = "404"
    included: Literal["by-version", "always", "never"] = "by-version"
    links: Literal["relative", "absolute", "foreign"] = "relative"
    end: Literal["null", "empty"] = "null"
    """How the list ends: ``links.next`` null on the last page, or one more page without records."""
    inflection: Literal["kebab", "snake", "camel"] = "kebab"
    """The key's own setting, for requests without ``Key-Inflection``."""
    latency: float = 0.0
    """Seconds that each answer takes longer."""


@dataclass(slots=True)
class Answer:
    """One answer before anything goes wrong on its way."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class _Refusal(Exception):
    def __init__(self, status: int, details: str = "", *, title: str = "") -> None:
        super().__init__(details)
        self.status = status
        self.body = envelope(title or STATUSES[status], details)


def envelope(title: str, details: str = "") -> bytes:
    """Persona's error envelope."""
    return orjson.dumps({"errors": [{"title": title} | ({"details": details} if details else {})]})


class Endpoint:
    """The list and the single record, over one world."""

    def __init__(self, world: World, *, api_keys: set[str], rate: RateWindow, behaviour: Behaviour) -> None:
        self.world = world
        self.api_keys = api_keys
        self.rate = rate
        self.behaviour = behaviour
        self.base = ""
        """Scheme, host and port, for absolute links."""
        self._answered = 0

    def answer(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str], now: float, fault: Fault | None = None
    ) -> Answer:
        """Answer GET *path* at *now* (monotonic seconds).

        *fault* matters where it changes the answer itself (a status, a lost or repeated cursor).
        """
        rate, kind = None, fault.kind if fault else ""
        try:
            self._authenticate(headers)
            rate = self._take(now, fault)
            self._admit(headers, rate, fault)
            content = self._content(path, query, headers, kind)
        except _Refusal as refusal:
            return Answer(refusal.status, refusal.body, self._headers(refusal.status, rate))
        named = misstated(self._headers(200, rate), kind, self.world.clock.now() // 1_000_000)
        if kind == "foreign":
            named["Persona-Organization-Id"] = self.world.activity.ids.opaque("org", 1)
        body = orjson.dumps(content)
        return Answer(200, body[:-1] + _ODD_ENDS[kind] if kind in _ODD_ENDS else body, named)

    def _authenticate(self, headers: Mapping[str, str]) -> None:
        scheme, _, key = headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not key:
            raise _Refusal(401)
        if key.startswith("persona_sandbox_"):
            raise _Refusal(403, "User audit logs are not available in Sandbox; use a production API key")
        if key not in self.api_keys and key != UNPERMITTED_KEY:
            raise _Refusal(401, title="Token is invalid")

    def _take(self, now: float, fault: Fault | None) -> Rate:
        rate = self.rate.take(now)
        if fault is not None and fault.kind == "429":
            # A limit met on request is over soon; a real one lasts until its window ends.
            return Rate(rate.limit, 0, 1, allowed=False)
        return rate

    @staticmethod
    def _admit(headers: Mapping[str, str], rate: Rate, fault: Fault | None) -> None:
        if fault is not None and fault.status is not None:
            raise _Refusal(fault.status, _details(fault.status, rate))
        if not rate.allowed:
            raise _Refusal(429, _details(429, rate))
        if fault is not None and fault.kind == "wordy":
            raise _Refusal(500, f"{headers['Authorization']} was not expected\n" + "at this place, " * 200)
        unpermitted = fault is not None and fault.kind == "unpermitted"
        if unpermitted or headers["Authorization"] == f"Bearer {UNPERMITTED_KEY}":
            raise _Refusal(403, "API key does not have the permission user_audit_log.read")

    def _content(self, path: str, query: Mapping[str, str], headers: Mapping[str, str], fault: str) -> Json:
        version = headers.get("Persona-Version", _NEWEST_VERSION_WITH_INCLUDED)
        if version not in _VERSIONS:
            raise _Refusal(400, f"Persona-Version {version} is not a valid version")
        inflection = headers.get("Key-Inflection", self.behaviour.inflection)
        if inflection not in _INFLECTIONS:
            raise _Refusal(400, f"Key-Inflection must be one of {', '.join(_INFLECTIONS)}")
        for name in query:
            if not _PARAMETERS.fullmatch(name):
                raise _Refusal(400, f"{name} is not a known parameter")
        if path == LIST_PATH:
            content = self._list(query, version, fault)
        elif path.startswith(LIST_PATH + "/"):
            content = self._single(path.removeprefix(LIST_PATH + "/"), query, version)
        else:
            raise _Refusal(404)
        return inflected(sparse(content, query), inflection)

    def _list(self, query: Mapping[str, str], version: str, fault: str) -> Json:
        if "include" in query and version > _NEWEST_VERSION_WITH_INCLUDED:
            raise _Refusal(400, "include cannot be used on lists")
        after, before = query.get("page[after]"), query.get("page[before]")
        if after is not None and before is not None:
            raise _Refusal(400, "page[after] and page[before] exclude each other")
        start, end = self._bounds(after, before, _page_size(query), lost=fault == "cursor-lost")
        records = self.world.slice(start, end)
        content: Json = {
            "data": [resource for resource, _ in records],
            "links": self._links([resource["id"] for resource, _ in records], start, end),
        }
        if fault == "repeat" and after is not None:
            content["links"]["next"] = self._link("after", after)
        if self._includes(version):
            content["included"] = _users([user for resource, user in records if _has_user(resource)])
        return misshapen(content, fault)

    def _bounds(self, after: str | None, before: str | None, size: int, *, lost: bool) -> tuple[int, int]:
        """Places in the world's list, oldest first: the page is from the first to before the second."""
        total = len(self.world)
        cursor = before if after is None else after
        if cursor is None:
            return max(total - size, 0), total
        place = None if lost else self.world.position(cursor)
        if place is None:
            match self.behaviour.lost_cursor:
                case "empty":
                    return 0, 0
                case "page-one":
                    return max(total - size, 0), total
                case status:
                    raise _Refusal(int(status), f"{cursor} is not found")
        if after is not None:
            return max(place - size, 0), place
        return place + 1, min(place + 1 + size, total)

    def _links(self, ids: list[str], start: int, end: int) -> dict[str, str | None]:
        if not ids:
            return {"prev": None, "next": None}
        more = start > 0 or self.behaviour.end == "empty"
        return {
            "prev": self._link("before", ids[0]) if end < len(self.world) else None,
            "next": self._link("after", ids[-1]) if more else None,
        }

    def _link(self, direction: str, record_id: str) -> str:
        base = {"relative": "", "absolute": self.base, "foreign": "https://elsewhere.example"}[self.behaviour.links]
        return f"{base}{LIST_PATH}?page%5B{direction}%5D={quote(record_id, safe='')}"

    def _single(self, record_id: str, query: Mapping[str, str], version: str) -> Json:
        len(self.world)  # what is visible is settled by looking
        place = self.world.position(record_id)
        if place is None:
            raise _Refusal(404)
        [(resource, user)] = self.world.slice(place, place + 1)
        content: Json = {"data": resource}
        wanted = query["include"].split(",") if "include" in query else []
        if "user" in wanted or ("include" not in query and self._includes(version)):
            content["included"] = _users([user] if _has_user(resource) else [])
        return content

    def _includes(self, version: str) -> bool:
        included = self.behaviour.included
        return included == "always" or (included == "by-version" and version <= _NEWEST_VERSION_WITH_INCLUDED)

    def _headers(self, status: int, rate: Rate | None) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Date": formatdate(self.world.clock.now() / 1_000_000, usegmt=True),
        }
        if status in _WITHOUT_HEADERS:
            return headers
        self._answered += 1
        activity = self.world.activity
        headers |= {
            "Request-Id": activity.ids.opaque("req", self._answered),
            "Persona-Organization-Id": activity.organization_id,
            "Persona-Environment-Id": activity.environment_id,
        }
        return headers | rate.headers() if rate else headers


def _details(status: int, rate: Rate) -> str:
    match status:
        case 403:
            return "IP address is not permitted access to current environment"
        case 429:
            return f"The rate limit of {rate.limit} requests a minute was reached."
        case _:
            return ""


def _page_size(query: Mapping[str, str]) -> int:
    text = query.get("page[size]", str(_DEFAULT_PAGE_SIZE))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_PAGE_SIZE:
        raise _Refusal(400, f"page[size] must be an integer from 1 to {MAX_PAGE_SIZE}")
    return int(text)


def _users(people: list[Employee]) -> list[Json]:
    return [person.resource for person in dict.fromkeys(people)]


def _has_user(resource: Json) -> bool:
    return bool(resource.get("relationships", {}).get("user", {}).get("data"))
