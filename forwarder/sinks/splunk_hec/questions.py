"""What is asked of a collector before anything is sent. Nothing of it is indexed."""

from uuid import uuid4

import orjson

from forwarder.errors import Failure, Misconfigured, Refused, Retryable
from forwarder.sinks.splunk_hec.lane import HEADER
from forwarder.sinks.splunk_hec.replies import REPLIES, Answer, Means, Request, verdict
from forwarder.sinks.splunk_hec.settings import SplunkHecSettings
from forwarder.sinks.splunk_hec.wire import ACKNOWLEDGEMENTS, EVENTS, HEALTH, Wire

_JSON = {"Content-Type": "application/json"}
_WANTS_CHANNEL = frozenset({10, 28})
_ACK_DISABLED, _NO_DATA, _NO_EVENT = 14, 5, 12


async def speaks_acknowledgement(wire: Wire, settings: SplunkHecSettings, prefix: str) -> bool:
    """Ask whether URL, TLS and token are right, and whether events are to be sent with acknowledgement.

    An empty request is refused as ``No data`` by a good collector, and tells what it minds about the token. One whose
    token has acknowledgement answers a poll; another says that it is disabled.

    :raises Failure: it cannot be used as it is, or not now
    """
    request = Request(before=0, sizes=[0], prefix=prefix)
    channel = {HEADER: str(uuid4())}
    answer = await wire.post(EVENTS, b"", {**_JSON, **(channel if settings.ack == "on" else {})})
    wanted = answer.code in _WANTS_CHANNEL and settings.ack != "off"
    failure = verdict(answer, request)
    # Who minds the data has taken the token. Some stand-ins for Splunk do so without a code.
    wordless = answer.status == 400 and answer.code is None  # Bad Request
    if failure is not None and not isinstance(failure, Refused) and not wordless and not wanted:
        raise failure
    if settings.ack == "off":
        return False
    poll = await wire.post(
        f"{ACKNOWLEDGEMENTS}?channel={channel[HEADER]}", orjson.dumps({"acks": [0]}), _JSON | channel
    )
    if poll.acks is not None:
        return True
    refusal = _refusal(poll, request)
    if wanted or settings.ack == "on" or isinstance(refusal, Retryable):
        raise refusal
    return False


async def check(wire: Wire, settings: SplunkHecSettings, prefix: str) -> None:
    """Ask for the collector's health, and whether it takes our index, as far as that shows without an event.

    An object with ``fields`` and without ``event`` is skipped with HTTP 200 (measured on Enterprise 10.4 and Cloud
    10.5); what is refused about it are its index and our token alone.

    :raises Failure: it is not healthy, or minds the index
    """
    request = Request(before=0, sizes=[0], prefix=prefix)
    health = await wire.get(HEALTH)
    if health.code in REPLIES:  # stand-ins for Splunk have other words or none, and the opening asks them enough
        _raise_unless_fine(health, request)
    if settings.index is not None:
        skipped = orjson.dumps({"index": settings.index, "fields": {"log_id": "check"}})
        _raise_unless_fine(await wire.post(EVENTS, skipped, {**_JSON, HEADER: str(uuid4())}), request)


def _raise_unless_fine(answer: Answer, request: Request) -> None:
    failure = verdict(answer, request)
    if isinstance(failure, Misconfigured) or (answer.code in REPLIES and isinstance(failure, Retryable)):
        raise failure


def _refusal(poll: Answer, request: Request) -> Failure:
    """Say why a poll was not answered: Splunk is not ready, or has no acknowledgement for us."""
    reply = REPLIES.get(-1 if poll.code is None else poll.code)
    if reply is not None and reply.means in {Means.WAIT, Means.MEND}:
        failure = verdict(poll, request)
        if failure is not None:
            return failure
    return Misconfigured(
        f"the collector knows no indexer acknowledgement (HTTP {poll.status}): set auto or off ({request.prefix}ACK)"
    )
