r"""``leef``: Log Event Extended Format 2.0, as QRadar reads it, and ``leef1``: its version 1.0.

::

    LEEF:2.0|Persona|User Audit Log|1|POST /api/…/cases/{id}|x09|cat=API activity<TAB>devTime=…

Source: IBM, "Log Event Extended Format (LEEF) guide". Attributes are separated by tabs. There is no escaping at all: a
control character, the tab among them, is written as its number (``\u0009``), and ``|`` and ``\`` in the header as
``%7C`` and ``%5C``. A value may hold ``=``: the first one of an attribute ends its name.
"""

from forwarder.clock import format_rfc3339
from forwarder.formats.plain import (
    CATEGORY,
    PRODUCT,
    VENDOR,
    VERSION,
    action,
    address,
    full_name,
    outcome,
    reason,
    signature,
    text_of,
)
from forwarder.record import AuditEvent
from forwarder.severity import severity
from forwarder.text import cut, visible

_EVENT_ID, _NAME = 255, 255
_SEVERITIES = {4: 7, 5: 4, 6: 2}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def to_leef(event: AuditEvent) -> bytes:
    """Write *event* as one message of LEEF 2.0, UTF-8, without a line end."""
    return _message("2.0", event, "x09|")


def to_leef1(event: AuditEvent) -> bytes:
    """Write *event* as one message of LEEF 1.0, UTF-8, without a line end."""
    return _message("1.0", event, "")


def _message(version: str, event: AuditEvent, delimiter: str) -> bytes:
    # Some parsers take a backslash before the bar for an escape, though the guide knows none (Tenzir's was seen to).
    event_id = cut(signature(event).replace("|", "%7C").replace("\\", "%5C"), _EVENT_ID)
    attributes = "\t".join(f"{key}={visible(value)}" for key, value in _attributes(event) if value)
    return f"LEEF:{version}|{VENDOR}|{PRODUCT}|{VERSION}|{event_id}|{delimiter}{attributes}".encode(errors="replace")


def _attributes(event: AuditEvent) -> list[tuple[str, str]]:
    """Name the predefined attributes as IBM does, and ours as they are; what is empty is left out later."""
    found = address(event.client_ip)
    return [
        ("cat", CATEGORY),
        ("devTime", _dev_time(event.time)),
        ("devTimeFormat", "MMM dd yyyy HH:mm:ss.SSS z"),
        ("sev", str(_SEVERITIES[severity(event)])),
        ("src", "" if found is None else str(found)),
        ("usrName", cut(text_of(event.user_email), _NAME)),
        ("accountName", text_of(event.user_id)),
        ("url", text_of(event.path)),
        ("logId", event.id),
        ("requestMethod", text_of(event.method)),
        ("httpStatus", text_of(event.status)),
        ("outcome", outcome(event)),
        ("action", action(event)),
        ("reason", reason(event)),
        ("sessionId", text_of(event.session_id)),
        ("impersonator", text_of(event.impersonator_email)),
        ("userFullName", full_name(event)),
        ("clientAddress", text_of(event.client_ip) if found is None else ""),
        ("userAgent", text_of(event.user_agent)),
        ("organization", text_of(event.origin.organization_id)),
        ("environment", text_of(event.origin.environment_id)),
        ("malformed", "true" if event.malformed else ""),
        ("queryParams", text_of(event.get_params)),
        ("postParams", text_of(event.post_params)),
        ("context", text_of(event.context)),
        ("extra", text_of(event.extra)),
    ]


def _dev_time(micros: int) -> str:
    """``Mar 01 2026 09:15:02.331 UTC``, in English whatever the machine speaks."""
    year, month, rest = format_rfc3339(micros).split("-", 2)
    day, clock = rest.removesuffix("Z").split("T")
    return f"{_MONTHS[int(month) - 1]} {day} {year} {clock} UTC"
