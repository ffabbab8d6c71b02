"""An event in the envelope that Splunk wants, and envelopes in bodies that it takes. Pure.

An envelope holds only keys that Splunk knows: it answers an unknown one with HTTP 200 and throws away that object and
all that follow it (measured on Enterprise 10.4 and Cloud 10.5).
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import orjson

from forwarder.sinks.base import Item
from forwarder.sinks.splunk_hec.settings import SplunkHecSettings

KEYS = frozenset({"time", "host", "source", "sourcetype", "index", "event", "fields"})
"""Every key of an envelope that Splunk knows; no other is ever written."""

_TEXT_FORMATS = frozenset({"cef", "leef", "leef1"})


def envelope(item: Item, settings: SplunkHecSettings) -> bytes:
    """Wrap the formatted event in Splunk's envelope: JSON as it is, a line of text as a string."""
    origin = item.event.origin
    head = _head(
        settings.host or origin.organization_id, settings.source or origin.name, settings.sourcetype, settings.index
    )
    event = orjson.dumps(item.body.decode()) if settings.format in _TEXT_FORMATS else item.body
    # The id is indexed, so that `| dedup log_id` is cheap where a batch had to be sent twice.
    return b'{"time":%s,%s,"fields":{"log_id":%s},"event":%s}' % (
        epoch_seconds(item.event.time).encode(),
        head,
        orjson.dumps(item.event.id),
        event,
    )


@lru_cache(maxsize=64)
def _head(host: str | None, source: str, sourcetype: str, index: str | None) -> bytes:
    """Write what envelopes have in common, which is all but a few bytes of theirs."""
    head = {"host": host, "source": source, "sourcetype": sourcetype, "index": index}
    return orjson.dumps({key: value for key, value in head.items() if value is not None})[1:-1]


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
