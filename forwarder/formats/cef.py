r"""``cef``: Common Event Format, version 0, as ArcSight, Sentinel and others read it.

::

    CEF:0|Persona|User Audit Log|1|POST /api/…/cases/{id}|API request|3|rt=1772356502331 externalId=ual_1 …

Source: OpenText, "ArcSight Common Event Format (CEF) Implementation Standard". In the header ``\`` and ``|`` are
escaped; in a value ``\``, ``=`` and line ends are. Lengths are the standard's, which names no unit: they are kept in
bytes of UTF-8, before escaping. Of a control character no escape is known but those for line ends, so its number is
written (``\u001b``). A space at the end of a value is lost to every reader, and is not written.
"""

import hashlib
import ipaddress
import re

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

NAME = "API request"
"""The event's name says nothing of the event, so that a SIEM keeps one name; the signature id says which."""

_SIGNATURE, _EXTERNAL_ID, _PAYLOAD_ID, _SHORT, _LONG, _CUSTOM = 1023, 40, 128, 63, 1023, 4000
_SEVERITIES = {4: 6, 5: 4, 6: 3}
_HEADER_RESERVED = re.compile(r"[\\|]")
_VALUE_RESERVED = re.compile(r"[\\=]")


def to_cef(event: AuditEvent) -> bytes:
    """Write *event* as one CEF message, UTF-8, without a line end."""
    importance = _SEVERITIES[severity(event)]
    head = (VENDOR, PRODUCT, VERSION, cut(signature(event), _SIGNATURE), NAME, str(importance))
    header = "|".join(_HEADER_RESERVED.sub(r"\\\g<0>", part) for part in head)
    written = ((key, _value(value, longest)) for key, value, longest in _fields(event))
    extension = " ".join(f"{key}={value}" for key, value in written if value)
    return f"CEF:0|{header}|{extension}".encode(errors="replace")


def _fields(event: AuditEvent) -> list[tuple[str, str, int]]:
    """List key, value and longest length, in bytes; what is empty is left out later."""
    return [
        ("rt", str(event.time // 1000), _SHORT),
        *_identity(event.id),
        *_source(event),
        ("suser", text_of(event.user_email), _LONG),
        ("suid", text_of(event.user_id), _LONG),
        ("requestMethod", text_of(event.method), _LONG),
        ("request", text_of(event.path), _LONG),
        ("requestClientApplication", text_of(event.user_agent), _LONG),
        ("outcome", outcome(event), _SHORT),
        ("act", action(event), _SHORT),
        ("reason", reason(event), _LONG),
        *_labelled("cn1", "HTTP Status", str(event.status) if isinstance(event.status, int) else "", _SHORT),
        *_labelled("cs1", "Session ID", text_of(event.session_id)),
        *_labelled("cs2", "Query Params", text_of(event.get_params)),
        *_labelled("cs3", "Post Params", text_of(event.post_params)),
        *_labelled("cs4", "Context", text_of(event.context)),
        *_labelled("cs5", "User Full Name", full_name(event)),
        *_labelled("cs6", "Impersonator", text_of(event.impersonator_email)),
        *_labelled("flexString1", "Extra", text_of(event.extra), _LONG),
        ("app", "HTTPS", 31),
        ("cat", CATEGORY, _LONG),
        ("deviceExternalId", text_of(event.origin.environment_id or event.origin.organization_id), 255),
        ("sourceServiceName", event.origin.name, _LONG),
        ("msg", "the record is malformed" if event.malformed else "", _LONG),
    ]


def _identity(known_as: str) -> list[tuple[str, str, int]]:
    """An id that ``externalId`` does not hold goes where more fits, and its hash takes the place."""
    if len(known_as.encode(errors="replace")) <= _EXTERNAL_ID:
        return [("externalId", known_as, _EXTERNAL_ID)]
    digest = hashlib.sha256(known_as.encode(errors="replace")).hexdigest()
    return [("externalId", digest[:_EXTERNAL_ID], _EXTERNAL_ID), ("devicePayloadId", known_as, _PAYLOAD_ID)]


def _source(event: AuditEvent) -> list[tuple[str, str, int]]:
    """``src`` takes IPv4 alone in version 0; what is no address at all is kept as a host's name."""
    match address(event.client_ip):
        case ipaddress.IPv4Address() as found:
            return [("src", str(found), _SHORT)]
        case ipaddress.IPv6Address() as found:
            return _labelled("c6a2", "Source IPv6 Address", str(found), _SHORT)
    return [("shost", text_of(event.client_ip), _LONG)]


def _labelled(key: str, label: str, value: str, longest: int = _CUSTOM) -> list[tuple[str, str, int]]:
    return [(key, value, longest), (f"{key}Label", label, _LONG)] if value.strip(" ") else []


def _value(text: str, longest: int) -> str:
    kept = cut(visible(text, but="\r\n"), longest).strip(" ")
    escaped = _VALUE_RESERVED.sub(r"\\\g<0>", kept)
    return escaped.replace("\r", r"\r").replace("\n", r"\n")
