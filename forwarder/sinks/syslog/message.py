"""An event as one syslog message: pure functions.

RFC 5424, the default::

    <110>1 2026-03-01T09:15:02.331Z host persona - API [persona@32473 id="ual_1" seq="42" …] {"id":"ual_1",…}

RFC 3164, for receivers that know nothing else; it has no structured data, so no sequence number either::

    <110>Mar  1 09:15:02 host persona: {"id":"ual_1",…}

By default no byte order mark precedes the text, although RFC 5424 section 6.4 asks for one: rsyslog leaves it in the
message, where it breaks every parser of JSON and CEF.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from forwarder.clock import format_rfc3339
from forwarder.severity import Row, severity
from forwarder.sinks.base import Item
from forwarder.text import visible

HOSTNAME_LENGTH, APP_NAME_LENGTH, TAG_LENGTH = 255, 48, 32
"""Longest header fields, in characters (RFC 5424 section 6, RFC 3164 section 4.1.3)."""

MESSAGE_ID = "API"

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNPRINTABLE = re.compile(r"[^!-~]")
_RESERVED = re.compile(r'["\\\]]')


@dataclass(frozen=True, slots=True)
class Header:
    """What all messages of a sink share."""

    facility: int
    hostname: str
    app_name: str
    structured_data_id: str
    rfc: str = "5424"
    severities: Sequence[Row] = field(default=())
    byte_order_mark: bool = False
    tabs: bool = False
    """Whether a tab stays a tab: it separates the attributes of LEEF, which writes none within a value."""


def write_message(item: Item, header: Header) -> bytes:
    """Write one event as a message without framing. No control character is in it, whatever the event holds.

    In JSON a control character stands only inside a string, where its escape means the same: the text stays equal.
    """
    return compose(item, header, parameters(item), item.body.decode(errors="replace"))


def parameters(item: Item) -> dict[str, Any]:
    """What of an event stands in the structured data."""
    event = item.event
    return {
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


def compose(item: Item, header: Header, data: Mapping[str, Any], text: str) -> bytes:
    """Put a message together from *data*, the values of its structured data, and its *text*."""
    text = visible(text, but="\t" if header.tabs else "")
    priority = header.facility * 8 + severity(item.event, header.severities)
    when = format_rfc3339(item.event.time)
    if header.rfc == "3164":
        line = f"<{priority}>{_rfc3164_time(when)} {header.hostname} {header.app_name}: {text}"
        return line.encode(errors="replace")
    mark = "\ufeff" if header.byte_order_mark else ""
    head = f"<{priority}>1 {when} {header.hostname} {header.app_name} - {MESSAGE_ID}"
    return f"{head} {structured_data(header.structured_data_id, data)} {mark}{text}".encode(errors="replace")


def structured_data(name: str, values: Mapping[str, Any]) -> str:
    """Write one SD-ELEMENT (RFC 5424 section 6.3); what is None is left out."""
    written = [f'{key}="{escaped(value)}"' for key, value in values.items() if value is not None]
    return f"[{' '.join([name, *written])}]"


def escaped(value: Any) -> str:
    """Write a PARAM-VALUE (RFC 5424 section 6.3.3); what is no text is written as JSON."""
    text = visible(value if isinstance(value, str) else orjson.dumps(value).decode())
    return _RESERVED.sub(r"\\\g<0>", text) if _RESERVED.search(text) else text  # to search costs a seventh


def header_field(text: str, longest: int) -> str:
    """Make *text* fit for a header: printable ASCII without spaces, not too long, ``-`` where nothing is left."""
    return _UNPRINTABLE.sub("_", text)[:longest] or "-"


def _rfc3164_time(when: str) -> str:
    """``Mmm dd hh:mm:ss`` of an RFC 3339 time, the day padded with a space, in UTC (RFC 3164 section 4.1.2)."""
    return f"{_MONTHS[int(when[5:7]) - 1]} {int(when[8:10]):2d} {when[11:19]}"
