"""``json``, the canonical format: one object, bulk last.

Splunk extracts fields from the first 5,000 bytes of an event only (``limits.conf``, ``[spath] extraction_cutoff``), so
what analysts search by comes before the customer's own parameters, and ``occurred_at`` before anything that a
customer can write.
"""

from typing import Any

import orjson

from forwarder.clock import format_rfc3339
from forwarder.record import AuditEvent


def to_json(event: AuditEvent) -> bytes:
    """Serialize *event* as the canonical JSON object, UTF-8, without a line end."""
    head: dict[str, Any] = {
        "id": event.id,
        "occurred_at": None if event.occurred_at is None else format_rfc3339(event.occurred_at),
        "collected_at": format_rfc3339(event.collected_at),
    }
    if event.malformed:
        head["malformed"] = True
    return orjson.dumps(
        head
        | {
            "source": {
                "name": event.origin.name,
                "organization_id": event.origin.organization_id,
                "environment_id": event.origin.environment_id,
            },
            "user": event.user_id
            and {
                "id": event.user_id,
                "email": event.user_email,
                "first_name": event.user_first_name,
                "last_name": event.user_last_name,
            },
            "session_id": event.session_id,
            "impersonator_email": event.impersonator_email,
            "client": {"ip": event.client_ip, "user_agent": event.user_agent},
            "request": {
                "method": event.method,
                "path": event.path,
                "route": event.route,
                "status": event.status,
                "get_params": event.get_params,
                "post_params": event.post_params,
            },
            "context": event.context,
            "extra": event.extra,
        },
    )
