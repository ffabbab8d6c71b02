"""What CEF and LEEF have in common: values as text, and the words for what happened."""

import ipaddress
import re
from typing import Any

import orjson

from forwarder.record import AuditEvent
from forwarder.text import visible

VENDOR, PRODUCT, VERSION = "Persona", "User Audit Log", "1"
"""Who speaks, in both headers; the version is that of our mapping."""

CATEGORY = "API activity"

_VERBS = {"GET": "read", "HEAD": "read", "POST": "created", "PUT": "updated", "PATCH": "updated", "DELETE": "deleted"}
_ACTION = re.compile(r"/\{id\}/(?:[a-z_-]*[a-rt-z]|process)$")
_REASONS = {
    400: "bad request",
    401: "not authenticated",
    403: "not allowed",
    404: "not found",
    409: "conflict",
    422: "not valid",
    429: "too many requests",
}


def text_of(value: Any) -> str:
    """Write *value* as text: a string as it is, None and empty objects as nothing, all else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None or value in ({}, []) else orjson.dumps(value, default=str).decode()


def address(value: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an IP address; None if *value* is none."""
    if not isinstance(value, str):
        return None
    try:
        return ipaddress.ip_address(value)
    except ValueError:
        return None


def signature(event: AuditEvent) -> str:
    """Name the kind of the event: method and route, the ids of objects taken out so that there are few."""
    return visible(f"{text_of(event.method) or '-'} {text_of(event.route) or '-'}")


def full_name(event: AuditEvent) -> str:
    """First and last name, as far as they are known."""
    return " ".join(filter(None, (text_of(event.user_first_name), text_of(event.user_last_name))))


def action(event: AuditEvent) -> str:
    """Say what was done to the object: ``read``, ``created``, ``updated``, ``deleted`` or ``other``.

    A POST whose route ends with a verb after the object's id (``/inquiries/{id}/approve``) changes that object; what
    ends in s (``/cases/{id}/comments``) is taken for a collection that something is created in.
    """
    method = text_of(event.method).upper()
    if method == "POST" and _ACTION.search(event.route or ""):
        return "updated"
    return _VERBS.get(method, "other")


def outcome(event: AuditEvent) -> str:
    """``success`` for 1xx to 3xx, ``failure`` for 4xx and 5xx, else nothing."""
    if not isinstance(event.status, int) or not 100 <= event.status < 600:
        return ""
    return "success" if event.status < 400 else "failure"


def reason(event: AuditEvent) -> str:
    """Say in words why a request failed, as far as its status tells."""
    if outcome(event) != "failure" or event.status is None:
        return ""
    return _REASONS.get(event.status, "client error" if event.status < 500 else "server error")
