"""From Persona's JSON:API resource to the event that formats and sinks see.

The journal keeps the resource; :class:`AuditEvent` is made from it at delivery, so a better parser heals old rows. The
facts are those of Persona's "User Audit Logs" reference: nothing in a record is required, attributes get added
without a new version, and relationships may be absent or hold ``{"data": null}``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from forwarder.clock import parse_rfc3339

Json = dict[str, Any]
"""A JSON object."""

RECORD_TYPE = "user-audit-log"

_KNOWN = frozenset(
    {
        "path",
        "method",
        "get-params",
        "post-params",
        "ip-address",
        "user-agent",
        "response-status",
        "created-at",
        "impersonator-email-address",
        "context",
    },
)

# Object ids in a path: Persona's own (case_ABC123, uses_…), UUIDs, and plain numbers. A segment such as
# "user_sessions" is a word: an id shows a digit or a capital after its underscore.
_ID_SEGMENT = re.compile(
    r"(?<![^/])(?:"
    r"[a-z][a-z0-9-]*_[A-Za-z0-9]*[A-Z0-9][A-Za-z0-9]*"
    r"|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
    r"|\d+"
    r")(?![^/])",
)
_QUERY = re.compile(r"[?#]")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an event comes from: the configured source and the Persona organization behind its key."""

    name: str
    organization_id: str | None = None
    environment_id: str | None = None


@dataclass(slots=True)  # freezing 22 fields would cost a third of the parsing; nobody changes one all the same
class AuditEvent:
    """One request that a user of the Persona dashboard made.

    Values are Persona's own, of whatever type they came in; what was absent is None (or an empty object for the four
    objects). ``occurred_at`` and ``collected_at`` are microseconds since the epoch.
    """

    id: str
    occurred_at: int | None
    collected_at: int
    origin: Origin
    user_id: str | None
    user_email: str | None
    user_first_name: str | None
    user_last_name: str | None
    session_id: str | None
    impersonator_email: str | None
    client_ip: str | None
    user_agent: str | None
    method: str | None
    path: str | None
    status: int | None
    get_params: Any
    post_params: Any
    context: Any
    extra: Json
    malformed: bool
    resource: Json
    user: Json | None

    @property
    def time(self) -> int:
        """The event's time for destinations that need one: when it happened, else when it was collected."""
        return self.collected_at if self.occurred_at is None else self.occurred_at

    @property
    def route(self) -> str | None:
        """The path with object ids replaced by ``{id}`` and without a query, a name of low cardinality."""
        return route(self.path) if isinstance(self.path, str) else None


def route(path: str) -> str:
    """Replace each object id in *path* by ``{id}`` and cut the query and fragment."""
    return _ID_SEGMENT.sub("{id}", _QUERY.split(path, maxsplit=1)[0])


def record_id(resource: Any) -> str | None:
    """The resource's id, or None where there is none to know it by."""
    found = resource.get("id") if isinstance(resource, dict) else None
    return found if isinstance(found, str) and found else None


def created_at(resource: Json) -> int | None:
    """Microseconds since the epoch of ``created-at``, or None if it is missing or unusable."""
    return parse_rfc3339(_object(resource.get("attributes")).get("created-at"))


def related_id(resource: Json, relationship: str) -> str | None:
    """The id behind a to-one relationship (``user``, ``user-session``), or None."""
    links = resource.get("relationships")
    link = links.get(relationship) if isinstance(links, dict) else None
    return record_id(link.get("data")) if isinstance(link, dict) else None


def parse_event(resource: Json, *, origin: Origin, collected_at: int, user: Json | None = None) -> AuditEvent:
    """Read a resource with its *user* resource (from ``included``, if known). Never raises on odd content."""
    attributes = _object(resource.get("attributes"))
    person = _object(_object(user).get("attributes"))
    occurred_at = created_at(resource)
    extra = {} if attributes.keys() <= _KNOWN else {key: attributes[key] for key in attributes if key not in _KNOWN}
    if occurred_at is None and "created-at" in attributes:
        extra["created-at"] = attributes["created-at"]
    return AuditEvent(
        id=record_id(resource) or "",
        occurred_at=occurred_at,
        collected_at=collected_at,
        origin=origin,
        user_id=related_id(resource, "user"),
        user_email=person.get("email-address"),
        user_first_name=person.get("name-first"),
        user_last_name=person.get("name-last"),
        session_id=related_id(resource, "user-session"),
        impersonator_email=attributes.get("impersonator-email-address"),
        client_ip=attributes.get("ip-address"),
        user_agent=attributes.get("user-agent"),
        method=attributes.get("method"),
        path=attributes.get("path"),
        status=attributes.get("response-status"),
        get_params=_or_empty(attributes.get("get-params")),
        post_params=_or_empty(attributes.get("post-params")),
        context=_or_empty(attributes.get("context")),
        extra=extra,
        malformed=occurred_at is None or resource.get("type") != RECORD_TYPE,
        resource=resource,
        user=user,
    )


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _or_empty(value: Any) -> Any:
    return {} if value is None else value
