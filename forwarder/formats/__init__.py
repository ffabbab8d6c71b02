"""Formats: pure functions from an event to the bytes that a sink carries.

Each format is one file with one function, registered in :data:`FORMATS`. It has no settings, no clock and no state, and
takes any event that :func:`forwarder.record.parse_event` can make.
"""

from collections.abc import Callable, Mapping

from forwarder.formats.canonical import to_json
from forwarder.formats.cef import to_cef
from forwarder.formats.leef import to_leef, to_leef1
from forwarder.formats.raw import to_raw
from forwarder.record import AuditEvent

Format = Callable[[AuditEvent], bytes]

FORMATS: Mapping[str, Format] = {"json": to_json, "raw": to_raw, "cef": to_cef, "leef": to_leef, "leef1": to_leef1}

PLANNED = frozenset({"ecs", "ocsf"})
"""Formats that the contract names and this version does not have yet: asking for one is a configuration error."""
