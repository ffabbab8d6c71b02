"""An event as a record: its key, its time, its headers. Pure functions.

The headers are those of CloudEvents 1.0 in the binary mode of its Kafka protocol binding (section 3.2): a reader tells
duplicates by ``ce_source`` and ``ce_id`` together, without parsing the value.
"""

from forwarder.clock import format_rfc3339
from forwarder.record import AuditEvent

_TYPE = "com.withpersona.user-audit-log"


def key_of(event: AuditEvent, choice: str) -> bytes | None:
    """Key by ``user`` (the event's id where it has none), by ``id``, or ``none``."""
    if choice == "none":
        return None
    return ((choice == "user" and event.user_id) or event.id).encode()


def timestamp_of(event: AuditEvent) -> int:
    """Milliseconds since the epoch.

    A broker refuses a whole batch for one timestamp that lies more than an hour ahead of its clock
    (``message.timestamp.after.max.ms``) or before the epoch, so an event from the future, whose ``created-at`` is
    wrong, gets the time at which it was collected. The value and ``ce_time`` keep what Persona said.
    """
    return max(0, min(event.time, event.collected_at)) // 1000


def headers_of(event: AuditEvent) -> list[tuple[str, bytes]]:
    """CloudEvents attributes, ``content-type`` included."""
    headers = {
        "ce_specversion": "1.0",
        "ce_id": event.id,
        "ce_source": f"/persona/{event.origin.name}",
        "ce_type": _TYPE,
        "ce_time": format_rfc3339(event.time),
        "content-type": "application/json",
    }
    if event.user_id is not None:
        headers["ce_subject"] = event.user_id
    return [(name, value.encode()) for name, value in headers.items()]
