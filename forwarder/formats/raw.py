"""``raw``: the JSON:API resource as Persona sent it (after redaction), with its user joined under ``user``."""

import orjson

from forwarder.record import AuditEvent


def to_raw(event: AuditEvent) -> bytes:
    """Serialize the resource as received, UTF-8, without a line end; ``user`` is null where none is known."""
    return orjson.dumps(event.resource | {"user": event.user})
