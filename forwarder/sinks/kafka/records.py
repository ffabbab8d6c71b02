"""An event as a record: its key, its time, its headers. Pure functions.

The headers are those of CloudEvents 1.0 in the binary mode of its Kafka protocol binding (section 3.2): a reader tells
duplicates by ``ce_source`` and ``ce_id`` together, without parsing the value. With exactly-once they also say when an
event was given out: ``ce_sequence`` (CloudEvents' extension "sequence": as text, it sorts) within ``ce_journal``.
"""

from collections.abc import Iterable

from forwarder.clock import format_rfc3339
from forwarder.record import AuditEvent

_DIGITS = 19
"""Of the largest sequence number that a journal can have, 2**63 - 1."""

_TEXT = ("cef", "leef")

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


def headers_of(event: AuditEvent, form: str) -> list[tuple[str, bytes]]:
    """CloudEvents attributes, ``content-type`` included, of an event that is written in the format *form*."""
    headers = {
        "ce_specversion": "1.0",
        "ce_id": event.id,
        "ce_source": f"/persona/{event.origin.name}",
        "ce_type": _TYPE,
        "ce_time": format_rfc3339(event.time),
        "content-type": "text/plain; charset=utf-8" if form in _TEXT else "application/json",
    }
    if event.user_id is not None:
        headers["ce_subject"] = event.user_id
    return [(name, value.encode()) for name, value in headers.items()]


def place_of(seq: int, journal: str) -> list[tuple[str, bytes]]:
    """Headers that say under which number *journal* gave an event out."""
    return [("ce_sequence", b"%0*d" % (_DIGITS, seq)), ("ce_journal", journal.encode())]


def identity_of(event: AuditEvent) -> bytes:
    """What tells an event from all others; :func:`read_place` finds it in its headers."""
    return f"/persona/{event.origin.name} {event.id}".encode()


def read_place(headers: Iterable[tuple[str, bytes]], journal: str) -> tuple[int, bytes] | None:
    """Read sequence number and identity out of a record's *headers*; None where *journal* did not give it out."""
    known = dict(headers)
    if known.get("ce_journal") != journal.encode() or not known.get("ce_sequence", b"").isdigit():
        return None
    return int(known["ce_sequence"]), known.get("ce_source", b"") + b" " + known.get("ce_id", b"")
