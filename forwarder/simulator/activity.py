"""What an employee does: the content of the record with a given number.

A record is made from the seed, its number and its time alone, so that a page of a world of a million records is
built when it is asked for. Most of the time colleagues work side by side; now and then a stretch of :data:`STRETCH`
records tells a story that a detection looks for (``_STORIES``).
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from forwarder.clock import SECOND, format_rfc3339
from forwarder.record import RECORD_TYPE, Json
from forwarder.simulator.identifiers import Identifiers
from forwarder.simulator.people import SUPPORT, Employee, hire

STRETCH = 32
"""Records that one story lasts for."""

_PERIOD = 40
_SESSION = 4 * 3600 * SECOND
_INTERNAL = "/api/internal/dashboard/v1"
_STATUSES = ("Open", "Pending", "Resolved")
_SEARCHES = ("Zoë Müller", "李 明", 'O\'Connor "the" Third', "jane@doe.example", "Nguyễn", "50% | a=b\\c\nsecond line")


@dataclass(frozen=True, slots=True)
class Moment:
    """What a scene is played with: the record's number, numbers drawn for it (16 bits each), and the ids."""

    index: int
    draws: tuple[int, ...]
    ids: Identifiers

    def object(self, prefix: str) -> str:
        """An object of the organization; there are more as time goes on, and recent ones are seen more often."""
        newest = self.index // 12
        return self.ids.opaque(prefix, max(0, newest - (self.draws[8] * self.draws[9] >> 24)))


Scene = tuple[str, str, Any, Any, int, Json | None]
"""Method, path, get-params, post-params, response-status, context."""


def _list_inquiries(_: Moment) -> Scene:
    return "GET", "/api/v1/inquiries", {"page": {"size": "25"}}, {}, 200, None


def _read_inquiry(moment: Moment) -> Scene:
    return "GET", f"{_INTERNAL}/inquiries/{moment.object('inq')}", {}, {}, 200, None


def _read_case(moment: Moment) -> Scene:
    return "GET", f"{_INTERNAL}/cases/{moment.object('case')}", {"include": "assignee"}, {}, 200, None


def _change_case(moment: Moment) -> Scene:
    case = moment.object("case")
    change = {"status": _STATUSES[moment.draws[10] % len(_STATUSES)], "comment": _SEARCHES[moment.draws[11] % 3]}
    body = {"data": {"type": "case", "id": case, "attributes": change}}
    return "POST", f"{_INTERNAL}/cases/{case}", {}, body, 200, None


def _create_inquiry(moment: Moment) -> Scene:
    inquiry = moment.object("inq")
    template = moment.ids.opaque("itmpl", moment.draws[10] % 5)
    body = {"data": {"attributes": {"inquiry-template-id": template, "note": "Überprüfung 確認 ✓"}}}
    return "POST", f"{_INTERNAL}/inquiries", {}, body, 201, {"inquiry-id": inquiry}


def _search(moment: Moment) -> Scene:
    wanted = _SEARCHES[moment.draws[10] % len(_SEARCHES)]
    kind = ("inquiries", "accounts", "cases")[moment.draws[11] % 3]
    return "POST", f"/api/v1/{kind}/search", {}, {"query": wanted, "page": {"size": 50}}, 200, None


def _decide(moment: Moment) -> Scene:
    verdict = ("approve", "decline")[moment.draws[10] % 2]
    return "POST", f"/api/v1/inquiries/{moment.object('inq')}/{verdict}", {}, {"meta": {"comment": "ok"}}, 200, None


def _large_write(moment: Moment) -> Scene:
    # Persona replaces large parameters by this string.
    return "POST", f"{_INTERNAL}/cases/{moment.object('case')}", {}, "[FILTERED]", 200, None


def _expire_session(moment: Moment) -> Scene:
    session = moment.ids.opaque("uses", moment.draws[10])
    body = {"data": {"id": session, "type": "user-session"}}
    return "GET", f"{_INTERNAL}/user-sessions/{session}/expire", {}, body, 200, None


def _read_audit_log(_: Moment) -> Scene:
    return "GET", "/api/v1/user-audit-logs", {"page": {"size": "100"}}, {}, 200, None


def _denied(moment: Moment) -> Scene:
    status = (401, 403)[moment.draws[10] % 2]
    return "GET", f"{_INTERNAL}/cases/{moment.object('case')}", {}, {}, status, None


def _delete(moment: Moment) -> Scene:
    return "DELETE", f"/api/v1/inquiries/{moment.object('inq')}", {}, {}, 200, None


_ORDINARY: tuple[tuple[int, Callable[[Moment], Scene]], ...] = (
    (28, _list_inquiries),
    (23, _read_inquiry),
    (20, _read_case),
    (10, _change_case),
    (6, _create_inquiry),
    (6, _search),
    (2, _decide),
    (1, _large_write),
    (1, _expire_session),
    (1, _read_audit_log),
    (1, _denied),
    (1, _delete),
)
_DAY_TO_DAY = tuple(scene for share, scene in _ORDINARY for _ in range(share))

# The stretch within each period of _PERIOD stretches; every 1,280 records tell each story.
_STORIES: dict[int, Callable[[Moment], Scene]] = {
    4: _read_case,  # impersonated
    11: _denied,
    18: _delete,
    25: _read_inquiry,  # many distinct objects in minutes
    32: _read_audit_log,
}
_IMPERSONATED = 4
_ONE_INSTANT = (1, 14, 28)


def same_instant(index: int) -> bool:
    """Whether the record belongs to a stretch whose records all bear one ``created-at`` (somebody's bulk action)."""
    return index // STRETCH % _PERIOD in _ONE_INSTANT


class Activity:
    """The organization at work: from a record's number and time to the resource that Persona shows.

    :param odd: share of records that are hard to read, as the documentation allows or as has been seen: a wrong or
        missing ``created-at``, an empty relationship, an attribute that nobody knows yet, text where an object stood
    :param odd_ids: as of :class:`~forwarder.simulator.identifiers.Identifiers`
    """

    def __init__(
        self, seed: int, *, employees: int = 40, odd: float = 0.0, odd_ids: Mapping[int, str] | None = None
    ) -> None:
        self.ids = Identifiers(seed, odd_ids)
        self.employees = hire(employees, seed, self.ids)
        self.organization_id = self.ids.opaque("org", 0)
        self.environment_id = self.ids.opaque("env", 0)
        self._odd = odd
        # The newest pages are asked for again and again. Nobody changes what is returned.
        self.record = lru_cache(maxsize=4096)(self._make)
        """The resource with a number, made at a time (µs), and whose it is."""

    def _make(self, index: int, created_at: int) -> tuple[Json, Employee]:
        draws = struct.unpack("<16H", self.ids.digest(b"activity", index))
        moment = Moment(index, draws, self.ids)
        stretch, place = divmod(index, STRETCH)
        story = _STORIES.get(stretch % _PERIOD) if draws[0] % 4 else None
        # Somebody's story is one person's; day to day a few are on shift, and each does a few things in a row.
        who = stretch if story else (index // 3) * 7 + draws[1] % 5
        employee = self.employees[who % len(self.employees)]
        scene = story or _DAY_TO_DAY[draws[2] % len(_DAY_TO_DAY)]
        impersonated = story is not None and stretch % _PERIOD == _IMPERSONATED
        resource = self._resource(moment, created_at, employee, scene(moment), impersonated=impersonated)
        if self._odd and draws[3] < self._odd * 65536:
            _make_odd(resource, draws[4] + place)
        return resource, employee

    def _resource(
        self, moment: Moment, created_at: int, employee: Employee, scene: Scene, *, impersonated: bool
    ) -> Json:
        method, path, get_params, post_params, status, context = scene
        session = self.ids.opaque("uses", created_at // _SESSION * len(self.employees) + employee.number)
        # Nine in ten from the usual place; some from home, and so one session shows several addresses.
        address = employee.addresses[(0, 0, 0, 0, 0, 0, 0, 0, 1, 2)[moment.draws[5] % 10]]
        attributes: Json = {
            "path": path,
            "method": method,
            "get-params": get_params,
            "post-params": post_params,
            "ip-address": None if moment.draws[6] % 500 == 0 else address,
            "user-agent": None if moment.draws[7] % 500 == 0 else employee.user_agent,
            "response-status": status,
            "created-at": format_rfc3339(created_at),
            "impersonator-email-address": SUPPORT if impersonated else None,
        }
        if context is not None:
            attributes["context"] = context
        return {
            "type": RECORD_TYPE,
            "id": self.ids.record(moment.index),
            "attributes": attributes,
            "relationships": {
                "user": {"data": {"type": "user", "id": employee.id}},
                "user-session": {"data": {"type": "user-session", "id": session}},
            },
        }


def _make_odd(resource: Json, which: int) -> None:
    attributes, relationships = resource["attributes"], resource["relationships"]
    match which % 8:
        case 0:
            del attributes["created-at"]
        case 1:
            attributes["created-at"] = "yesterday"
        case 2:
            attributes["created-at"] = "2099-12-31T23:59:59.999Z"
        case 3:
            attributes["created-at"] = "2001-01-01T00:00:00.000+00:00"
        case 4:
            relationships["user"] = {"data": None}
        case 5:
            del resource["relationships"]
        case 6:
            attributes["risk-signals"] = {"score": 0.93, "labels": ["new-device", "新"]}
        case _:
            attributes["get-params"] = "page[size]=25&filter=%5B%22a%22%5D"
