"""What the HTTP Event Collector's replies mean for a batch: a table, and the pure function that reads it.

Codes and texts are those of Splunk's ``inputs.conf`` and HEC reference. How much of a request is in when one of its
events is refused is what Splunk Enterprise 10.4 and Splunk Cloud 10.5 were measured to do:

- 6, 12, 13 and 15 carry ``invalid-event-number`` N, counted from 0: what is before N is indexed, N and later is not;
- 7 names the event *after* the one with the wrong index;
- Splunk Cloud answers a body that is too large with 6 and N = 0, although event 0 is good.
"""

import re
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
    WAIT = "wait"  # send it again later
    MEND = "mend"  # nothing is wrong with the events, the operator has to act
    EVENT = "event"  # one event is refused for good


@dataclass(frozen=True, slots=True)
class Reply:
    """One row of the table: Splunk's own text, its meaning, and what the operator can do."""

    text: str
    means: Means
    advice: str = ""


REPLIES: dict[int, Reply] = {
    0: Reply("Success", Means.TAKEN),
    1: Reply("Token disabled", Means.MEND, "enable the token in Splunk"),
    2: Reply("Token is required", Means.MEND, "a proxy may strip the Authorization header"),
    3: Reply("Invalid authorization", Means.MEND, "a proxy may change the Authorization header"),
    4: Reply("Invalid token", Means.MEND, "give the token of an HTTP Event Collector input of this Splunk"),
    5: Reply("No data", Means.EVENT, "Splunk found no event in the request"),
    6: Reply("Invalid data format", Means.EVENT, "Splunk cannot read the event"),
    7: Reply("Incorrect index", Means.MEND, "create the index, or allow it for this token"),
    8: Reply("Internal server error", Means.WAIT, "look into splunkd.log if it lasts"),
    9: Reply("Server is busy", Means.WAIT, "Splunk's queues are full"),
    10: Reply(
        "Data channel is missing",
        Means.MEND,
        "the token demands indexer acknowledgement, which this version does not speak yet; turn it off for the token",
    ),
    11: Reply("Invalid data channel", Means.WAIT, "a proxy may change X-Splunk-Request-Channel"),
    12: Reply("Event field is required", Means.EVENT, "the event is missing"),
    13: Reply("Event field cannot be blank", Means.EVENT, "the event is blank"),
    14: Reply("ACK is disabled", Means.MEND, "indexer acknowledgement is off for the token"),
    15: Reply("Error in handling indexed fields", Means.EVENT, "Splunk cannot read the indexed fields"),
    16: Reply("Query string authorization is not enabled", Means.MEND, "a proxy may rewrite the URL"),
    17: Reply("HEC is healthy", Means.TAKEN),
    18: Reply("HEC is unhealthy, queues are full", Means.WAIT, "Splunk's queues are full"),
    19: Reply("HEC is unhealthy, ack service unavailable", Means.WAIT, "Splunk's acknowledgement service is down"),
    20: Reply("HEC is unhealthy, queues are full, ack service unavailable", Means.WAIT, "Splunk is overloaded"),
    21: Reply("Invalid token", Means.MEND, "give the token of an HTTP Event Collector input of this Splunk"),
    22: Reply("Token disabled", Means.MEND, "enable the token in Splunk"),
    23: Reply("Server is shutting down", Means.WAIT, "another indexer, or the restarted one, will take it"),
    24: Reply("Queue is approaching capacity", Means.TAKEN),
    25: Reply("ACK is approaching capacity", Means.TAKEN),
    26: Reply("Queue is at capacity", Means.WAIT, "Splunk's queues are full"),
    27: Reply("ACK channel is at capacity", Means.WAIT, "acknowledgements of other senders fill the server"),
    28: Reply(
        "Data channel is missing; load balancers must be sticky",
        Means.MEND,
        "the token demands indexer acknowledgement, which this version does not speak yet; turn it off for the token",
    ),
}
"""HEC code to its meaning."""

_WRONG_INDEX, _BAD_FORMAT, _INTERNAL_ERROR, _BUSY = 7, 6, 8, 9


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: its status, its body if that is a JSON object, and the wait that it asks for (seconds)."""

    status: int
    body: Json | None = None
    retry_after: float | None = None

    def number(self, key: str) -> int | None:
        """Find the whole number under *key*, or None."""
        found = (self.body or {}).get(key)
        return found if isinstance(found, int) and not isinstance(found, bool) else None


def verdict(answer: Answer, *, before: int, sent: int) -> Failure | None:
    """Decide what *answer* means for a request of *sent* events; None if all of them are in.

    *before* events of the same batch are in already, by earlier requests; the failure counts from the batch's start.
    """
    code = answer.number("code")
    reply = None if code is None else REPLIES.get(code)
    if code is None or reply is None:
        return _by_status(answer, before=before, sent=sent, is_hec=code is not None)
    if reply.means is Means.TAKEN:
        return None
    reason = f"Splunk answered: {reply.text} (code {code}, HTTP {answer.status}): {reply.advice}"
    named = answer.number("invalid-event-number")
    if reply.means is Means.EVENT:
        # Cloud blames event 0 for a body that is too large: only one that was sent alone is surely at fault.
        certain = named is not None and 0 <= named < sent and not (code == _BAD_FORMAT and named == 0)
        return _refusal(reason, at=named if certain else None, before=before, sent=sent)
    if reply.means is Means.MEND:
        good = max(0, min((named or 0) - 1, sent - 1)) if code == _WRONG_INDEX else 0
        return Misconfigured(reason, accepted=before + good)
    return Retryable(
        reason,
        accepted=before,
        retry_after=answer.retry_after,
        # A busy server that names an event may have indexed what is before it; nobody has established that it did.
        unanswered=code == _INTERNAL_ERROR or (code == _BUSY and bool(named)),
        kind="error" if code == _INTERNAL_ERROR else "busy",
    )


def _refusal(reason: str, *, at: int | None, before: int, sent: int) -> Failure:
    """Refuse event *at* of the request; where that is not known, the only one, or leave the search to the worker."""
    if at is None and sent == 1:
        at = 0
    if at is not None:
        return Refused(reason, at=before + at)
    if before == 0:
        return Refused(reason)
    # "Refused without a place" says that nothing of the batch is in. So first settle what is in; the rest comes again.
    return Retryable(reason, accepted=before, kind="refused")


def _by_status(answer: Answer, *, before: int, sent: int, is_hec: bool) -> Failure | None:
    """Read an answer without a code that we know: a proxy's, a newer Splunk's, or that of something else."""
    status = answer.status
    if status == 200 and is_hec:
        return None
    advice = _MEND_BY_STATUS.get(status)
    if 300 <= status < 400:
        advice = "the URL redirects, and the token is not sent on: give the final URL"
    if advice is not None:
        return Misconfigured(f"HTTP {status}: {advice}", accepted=before)
    if status == 413:
        return _refusal("HTTP 413: the server or a proxy takes no body this large", at=None, before=before, sent=sent)
    return Retryable(
        f"HTTP {status}, not an answer of the HTTP Event Collector: {_WAIT_BY_STATUS.get(status, 'look at the proxy')}",
        accepted=before,
        retry_after=answer.retry_after,
        unanswered=status in {500, 502, 504},
        kind="busy" if status in {429, 503} else "error",
    )


_MEND_BY_STATUS = {
    401: "the server or a proxy refuses our credentials",
    403: "the server or a proxy forbids the request",
    405: "the URL is not that of an HTTP Event Collector",
    407: "a proxy demands credentials",
    415: "the server or a proxy does not take gzip; set GZIP=off",
}
_WAIT_BY_STATUS = {
    200: "a page of something else stands at this URL",
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
