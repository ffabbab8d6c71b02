"""An event in the envelope that Splunk wants, and envelopes in bodies that it takes. Pure.

An envelope holds only keys that Splunk knows: it answers an unknown one with HTTP 200 and throws away that object and
all that follow it (measured on Enterprise 10.4 and Cloud 10.5).
"""

from collections.abc import Iterator, Sequence

import orjson

from forwarder.sinks.base import Item
from forwarder.sinks.splunk_hec.settings import SplunkHecSettings

KEYS = frozenset({"time", "host", "source", "sourcetype", "index", "event", "fields"})
"""Every key of an envelope that Splunk knows; no other is ever written."""

_TEXT_FORMATS = frozenset({"cef", "leef"})


def envelope(item: Item, settings: SplunkHecSettings) -> bytes:
    """Wrap the formatted event in Splunk's envelope: JSON as it is, a line of text as a string."""
    head = {
        "host": settings.host or item.event.origin.organization_id,
        "source": settings.source or item.event.origin.name,
        "sourcetype": settings.sourcetype,
        "index": settings.index,
        # Indexed, so that `| dedup log_id` is cheap where a batch had to be sent twice.
        "fields": {"log_id": item.event.id},
    }
    known = orjson.dumps({key: value for key, value in head.items() if value is not None})
    event = orjson.dumps(item.body.decode()) if settings.format in _TEXT_FORMATS else item.body
    return b'{"time":%s,%s,"event":%s}' % (epoch_seconds(item.event.time).encode(), known[1:-1], event)


def epoch_seconds(micros: int) -> str:
    """Write microseconds since the epoch as decimal seconds with milliseconds, without a float in between."""
    seconds, millis = divmod(abs(micros) // 1000, 1000)
    return f"{'-' if micros < 0 else ''}{seconds}.{millis:03d}"


def requests(envelopes: Sequence[bytes], most: int) -> Iterator[list[bytes]]:
    """Divide *envelopes* in order into requests of at most *most* bytes, line ends between them included."""
    request: list[bytes] = []
    size = 0
    for one in envelopes:
        if request and size + len(one) > most:
            yield request
            request, size = [], 0
        request.append(one)
        size += len(one) + 1
    if request:
        yield request
