"""An event as one RFC 5424 message: pure functions.

::

    <110>1 2026-03-01T09:15:02.331Z host persona - API [persona@32473 id="ual_1" …] {"id":"ual_1",…}

No byte-order mark precedes the text, although RFC 5424 section 6.4 asks for one: rsyslog leaves it in the message,
where it breaks every JSON parser.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from forwarder.clock import format_rfc3339
from forwarder.sinks.base import Item

HOSTNAME_LENGTH, APP_NAME_LENGTH = 255, 48
"""Longest header fields, in characters (RFC 5424 section 6)."""

MESSAGE_ID = "API"

# C0, DEL, C1, and the two separators of Unicode that viewers take for line ends: what could forge a line.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_UNPRINTABLE = re.compile(r"[^!-~]")
_RESERVED = re.compile(r'["\\\]]')


@dataclass(frozen=True, slots=True)
class Header:
    """What all messages of a sink share."""

    facility: int
    hostname: str
    app_name: str
    structured_data_id: str


def write_message(item: Item, header: Header) -> bytes:
    """Write one event as a message without framing. No control character is in it, whatever the event holds.

    In JSON a control character stands only inside a string, where its escape means the same: the text stays equal.
    """
    event = item.event
    data = {
        "id": event.id,
        "seq": item.seq,
        "method": event.method,
        "path": event.path,
        "status": event.status,
        "ip": event.client_ip,
        "uid": event.user_id,
        "user": event.user_email,
        "session": event.session_id,
    }
    priority = header.facility * 8 + severity(event.status)
    head = f"<{priority}>1 {format_rfc3339(event.time)} {header.hostname} {header.app_name} - {MESSAGE_ID}"
    text = visible(item.body.decode(errors="replace"))
    return f"{head} {structured_data(header.structured_data_id, data)} {text}".encode(errors="replace")


def severity(status: Any) -> int:
    """Map an HTTP status: 401, 403 and 5xx to 4 (warning), other 4xx to 5 (notice), all else to 6 (informational)."""
    if not isinstance(status, int):
        return 6
    if status in {401, 403} or 500 <= status < 600:
        return 4
    return 5 if 400 <= status < 500 else 6


def structured_data(name: str, values: Mapping[str, Any]) -> str:
    """Write one SD-ELEMENT (RFC 5424 section 6.3); what is None is left out, what is no text is written as JSON."""
    parts = [name]
    for key, value in values.items():
        if value is not None:
            text = value if isinstance(value, str) else orjson.dumps(value).decode()
            escaped = _RESERVED.sub(r"\\\g<0>", visible(text))
            parts.append(f'{key}="{escaped}"')
    return f"[{' '.join(parts)}]"


def visible(text: str) -> str:
    """Write each control character as the escape that JSON has for it."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def header_field(text: str, longest: int) -> str:
    """Make *text* fit for a header: printable ASCII without spaces, not too long, ``-`` where nothing is left."""
    return _UNPRINTABLE.sub("_", text)[:longest] or "-"
