"""What the HTTP Event Collector's replies mean for a batch: a table, and the pure function that reads it.

Codes and texts are those of Splunk's ``inputs.conf`` and HEC reference. How much of a request is in when one of its
events is refused is what Splunk Enterprise 10.4 and Splunk Cloud 10.5 were measured to do:

- 6, 12, 13 and 15 carry ``invalid-event-number`` N, counted from 0: what is before N is indexed, N and later is not;
- 7 names the event *after* the one with the wrong index;
- Splunk Cloud answers a body that is too large with 6 and N = 0, although event 0 is good.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from forwarder.clock import parse_http_date
from forwarder.errors import Failure, Misconfigured, Refused, Retryable
from forwarder.record import Json

LONGEST_WAIT = 3600.0
"""Seconds; a longer ``Retry-After`` is cut to this, so that a broken proxy cannot stop a sink for days."""


class Means(Enum):
    """What a reply says about the request."""

    TAKEN = "taken"
    STRAINED = "strained"  # taken, but send less at once
    WAIT = "wait"  # send it again later
    MEND = "mend"  # nothing is wrong with the events, the operator has to act
    EVENT = "event"  # one event is refused for good


@dataclass(frozen=True, slots=True)
class Reply:
    """One row of the table: Splunk's HTTP status and text, its meaning, what the operator can do, and with what."""

    status: int
    text: str
    means: Means
    advice: str = ""
    setting: str = ""


_OTHER = "give the token of an HTTP Event Collector input of this Splunk"
_WANTS = "the token demands indexer acknowledgement: set auto or on, or turn it off for the token"

REPLIES: dict[int, Reply] = {
    0: Reply(200, "Success", Means.TAKEN),
    1: Reply(403, "Token disabled", Means.MEND, "enable the token in Splunk, or give another", "TOKEN"),
    2: Reply(401, "Token is required", Means.MEND, "a proxy may strip the Authorization header", "URL"),
    3: Reply(401, "Invalid authorization", Means.MEND, "a proxy may change the Authorization header", "URL"),
    4: Reply(403, "Invalid token", Means.MEND, _OTHER, "TOKEN"),
    5: Reply(400, "No data", Means.EVENT, "Splunk found no event in the request"),
    6: Reply(400, "Invalid data format", Means.EVENT, "Splunk cannot read the event"),
    7: Reply(400, "Incorrect index", Means.MEND, "create the index, or allow it for this token", "INDEX"),
    8: Reply(500, "Internal server error", Means.WAIT, "look into splunkd.log if it lasts"),
    9: Reply(503, "Server is busy", Means.WAIT, "Splunk's queues are full"),
    10: Reply(400, "Data channel is missing", Means.MEND, _WANTS, "ACK"),
    11: Reply(400, "Invalid data channel", Means.WAIT, "a proxy may change X-Splunk-Request-Channel"),
    12: Reply(400, "Event field is required", Means.EVENT, "the event is missing"),
    13: Reply(400, "Event field cannot be blank", Means.EVENT, "the event is blank"),
    14: Reply(400, "ACK is disabled", Means.MEND, "turn acknowledgement on for the token, or set auto or off", "ACK"),
    15: Reply(400, "Error in handling indexed fields", Means.EVENT, "Splunk cannot read the indexed fields"),
    16: Reply(400, "Query string authorization is not enabled", Means.MEND, "a proxy may rewrite the URL", "URL"),
    17: Reply(200, "HEC is healthy", Means.TAKEN),
    18: Reply(503, "HEC is unhealthy, queues are full", Means.WAIT, "Splunk's queues are full"),
    19: Reply(503, "HEC is unhealthy, ack service unavailable", Means.WAIT, "its acknowledgement service is down"),
    20: Reply(503, "HEC is unhealthy, queues are full, ack service unavailable", Means.WAIT, "Splunk is overloaded"),
    21: Reply(400, "Invalid token", Means.MEND, _OTHER, "TOKEN"),
    22: Reply(400, "Token disabled", Means.MEND, "enable the token in Splunk, or give another", "TOKEN"),
    23: Reply(503, "Server is shutting down", Means.WAIT, "another indexer, or the restarted one, will take it"),
    24: Reply(200, "Queue is approaching capacity", Means.STRAINED),
    25: Reply(200, "ACK is approaching capacity", Means.STRAINED),
    26: Reply(429, "Queue is at capacity", Means.WAIT, "Splunk's queues are full"),
    27: Reply(429, "ACK channel is at capacity", Means.WAIT, "acknowledgements of other senders fill the server"),
    28: Reply(400, "Data channel is missing; load balancers must be sticky", Means.MEND, _WANTS, "ACK"),
}
"""HEC code to its meaning."""

ABOUT_ACKNOWLEDGEMENT = frozenset({10, 14, 28})
"""Codes that say that the token wants acknowledgement, or does not, and we think otherwise."""

_BAD_FORMAT, _WRONG_INDEX, _INTERNAL_ERROR, _BUSY = 6, 7, 8, 9
_KINDS = {8: "error", 11: "channel", 23: "unavailable"}  # of those that are waited for; the others are "busy"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: its status, its body if that is a JSON object, and the wait that it asks for (seconds)."""

    status: int
    body: Json | None = None
    retry_after: float | None = None

    @property
    def code(self) -> int | None:
        """Splunk's own code, or None."""
        return self.number("code")

    def number(self, key: str) -> int | None:
        """Find the whole number under *key*, or None."""
        found = (self.body or {}).get(key)
        return found if isinstance(found, int) and not isinstance(found, bool) else None

    @property
    def acks(self) -> Json | None:
        """What a poll for acknowledgements was told, or None if this is no such answer."""
        found = (self.body or {}).get("acks")
        return found if self.status == 200 and isinstance(found, dict) else None


@dataclass(frozen=True, slots=True)
class Request:
    """The request that an answer is about.

    :param before: events of the same batch that are in already, by earlier requests; failures count from the batch's
        start
    :param sizes: bytes of each event in the request, in its envelope
    :param prefix: what stands before the names of our settings (``FORWARDER_SOC_``), for what we tell the operator
    """

    before: int
    sizes: Sequence[int]
    prefix: str = ""

    @property
    def sent(self) -> int:
        """Events in the request."""
        return len(self.sizes)

    @property
    def bytes(self) -> int:
        """Bytes of its body before compression: the events with a line end between them."""
        return sum(self.sizes) + len(self.sizes) - 1


def suspects_size(answer: Answer, request: Request) -> bool:
    """Whether Splunk blames the first of many events, as Cloud does for a body that is too large."""
    return answer.code == _BAD_FORMAT and answer.number("invalid-event-number") == 0 and request.sent > 1


def strained(answer: Answer) -> bool:
    """Whether the collector took the request but nears a limit."""
    reply = REPLIES.get(-1 if answer.code is None else answer.code)
    return reply is not None and reply.means is Means.STRAINED


def verdict(answer: Answer, request: Request) -> Failure | None:
    """Decide what *answer* means for *request*; None if all of its events are in."""
    code, before = answer.code, request.before
    reply = None if code is None else REPLIES.get(code)
    if code is None or reply is None:
        return _by_status(answer, request)
    if reply.means in {Means.TAKEN, Means.STRAINED}:
        return None
    setting = f" ({request.prefix}{reply.setting})" if reply.setting else ""
    reason = f"Splunk answered: {reply.text} (code {code}, HTTP {answer.status}): {reply.advice}{setting}"
    named = answer.number("invalid-event-number")
    if reply.means is Means.EVENT:
        # Cloud blames event 0 for a body that is too large: only one that was sent alone is surely at fault.
        certain = named is not None and 0 <= named < request.sent and not (code == _BAD_FORMAT and named == 0)
        return _refusal(reason, request, at=named if certain else None)
    if reply.means is Means.MEND:
        good = max(0, min((named or 0) - 1, request.sent - 1)) if code == _WRONG_INDEX else 0
        return Misconfigured(reason, accepted=before + good)
    return Retryable(
        reason,
        accepted=before,
        retry_after=answer.retry_after,
        # A busy server that names an event may have indexed what is before it; nobody has established that it did.
        unanswered=code == _INTERNAL_ERROR or (code == _BUSY and bool(named)),
        kind=_KINDS.get(code, "busy"),
    )


def _refusal(reason: str, request: Request, *, at: int | None) -> Failure:
    """Refuse event *at* of the request; where that is not known, the only one, or leave the search to the worker."""
    if request.sent == 1:
        at = 0
    if at is not None:
        size = f"the event has {request.sizes[at]:,} bytes in its envelope"
        return Refused(f"{reason}; {size}", at=request.before + at)
    if request.before == 0:
        return Refused(reason)
    # "Refused without a place" says that nothing of the batch is in. So first settle what is in; the rest comes again.
    return Retryable(reason, accepted=request.before, kind="refused")


def _by_status(answer: Answer, request: Request) -> Failure | None:
    """Read an answer without a code that we know: a proxy's, a newer Splunk's, or that of something else."""
    status, before = answer.status, request.before
    if status == 200 and answer.code is not None:
        return None
    advice = _MEND_BY_STATUS.get(status)
    if 300 <= status < 400:
        advice = "the URL redirects, and the token is not sent on: give the final URL"
    if advice is not None:
        return Misconfigured(f"HTTP {status}: {advice}", accepted=before)
    if status == 413:
        return _refusal("HTTP 413: the server or a proxy takes no body this large", request, at=None)
    return Retryable(
        f"HTTP {status}, not an answer of the HTTP Event Collector: {_WAIT_BY_STATUS.get(status, 'look at the proxy')}",
        accepted=before,
        retry_after=answer.retry_after,
        # Where the answer's own words are lost, Splunk may have taken the request, or its beginning.
        unanswered=status not in _NOT_TAKEN,
        kind="busy" if status in {429, 503} else "error",
    )


_MEND_BY_STATUS = {
    401: "the server or a proxy refuses our credentials",
    403: "the server or a proxy forbids the request",
    405: "the URL is not that of an HTTP Event Collector",
    407: "a proxy demands credentials",
    415: "the server or a proxy does not take gzip; set GZIP=off",
}
_NOT_TAKEN = frozenset({404, 408, 429, 503})
_WAIT_BY_STATUS = {
    200: "its words are lost, or a page of something else stands at this URL",
    404: "the input is off, Splunk restarts, or the URL is another server's",
    408: "the server or a proxy lost patience",
    429: "a proxy limits the rate",
    502: "the proxy does not reach Splunk",
    503: "no server is ready behind this URL",
    504: "the proxy does not reach Splunk in time",
}


def retry_after(value: str | None, date: str | None) -> float | None:
    """Read ``Retry-After`` (RFC 9110 section 10.2.3) in seconds; a date is held against the answer's own ``Date``."""
    if value is None:
        return None
    if re.fullmatch(r"\d{1,9}", value.strip()):
        return min(float(value), LONGEST_WAIT)
    until, now = parse_http_date(value), parse_http_date(date)
    if until is None or now is None:
        return None
    return min(max(0.0, (until - now) / 1_000_000), LONGEST_WAIT)
