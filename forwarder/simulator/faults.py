"""Faults on request: which there are, how one writes them, and which request meets which."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

STATUSES = {
    400: "Bad Request",
    401: "Must be authenticated to access this endpoint",
    403: "Forbidden",
    404: "Record not found",
    408: "Request Timeout",
    429: "Rate limit exceeded",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
"""Status to the title in its error envelope."""

OTHERS = {
    "html": "502 with a page of HTML, as from the edge",
    "challenge": "403 with a page of HTML, as an edge that wants to see a browser",
    "blank": "500 without a body",
    "quota": "429 with the title Quota exceeded and no rate headers",
    "garbage": "200 whose body is not JSON",
    "cut": "the connection is closed in the middle of the body",
    "reset": "the connection is reset before the answer",
    "stall": "half of the body, then silence for as long as the client waits",
    "slow": "the body in small pieces over two seconds",
    "redirect": "302 to another host",
    "cursor-lost": "the cursor of the request is not known any more (how that shows: --lost-cursor)",
    "repeat": "links.next names the cursor of the request again",
    "shuffled": "the records of the page stand in another order; its links are as they should be",
    "gzip": "the body is compressed",
    "gzip-cut": "the body is compressed, and its stream ends before its end",
    "gzip-broken": "the body is compressed, and damaged in the middle",
    "gzip-parts": "the body is compressed in two parts, one after the other",
    "gzip-large": "a page of more than one record, compressed, unpacks to more than a client should hold",
    "encoded": "the body bears an encoding that nobody asked for",
    "nothing": "200 without a body",
    "retry-at": "503 that says by a date when to come back",
    "retry-in": "503 that says when to come back: in seven seconds",
    "retry-odd": "503 whose Retry-After is neither a number nor a date",
    "unheard-of": "418, which nobody has documented",
    "accepted": "202 without a body",
    "portal": "200 with a page of HTML, as a network that wants a log-in",
    "not-api": "200 with JSON that is none of the API's",
    "gateway": "403 with JSON that is none of the API's, as from a gateway before it",
    "proxy-auth": "407, as a proxy that wants credentials",
    "unpermitted": "403: the key may not read the log",
    "wordy": "500 with very long details, which repeat the key",
    "astray": "links.next leads to no cursor",
    "nested": "JSON that is nested too deeply",
    "deep": "JSON that is nested less deeply, and still too deeply to be written again by some",
    "rate-unsaid": "no rate headers",
    "rate-half": "of the rate headers only the limit",
    "rate-odd": "rate headers with the limit 0, nothing left, and the reset as a time since 1970",
    "no-links": "a page without its links",
    "no-list": "a page whose data is no list",
    "lenient": "JSON that strict parsers refuse: NaN, half of a surrogate pair, a number beyond all doubles",
    "nameless": "the first record of the page has no id",
    "foreign": "the headers of another organization",
    "told-large": "a page of more than one record is larger than a client should hold, and says so beforehand",
    "too-large": "a page of more than one record is larger than a client should hold",
}
"""Kinds beside the statuses, with what the client sees."""


class UnknownFault(ValueError):
    """There is no such fault, or its probability is none."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault and the share of requests that meet it."""

    kind: str
    probability: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in OTHERS and self.status is None:
            raise UnknownFault(f"no fault {self.kind!r}; `forwarder simulate --help` names them all")
        if not 0 <= self.probability <= 1:
            raise UnknownFault(f"the probability of {self.kind} is {self.probability}; it must be from 0 to 1")

    @property
    def status(self) -> int | None:
        """The status if the fault is a plain one."""
        return int(self.kind) if self.kind.isascii() and self.kind.isdigit() and int(self.kind) in STATUSES else None

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Read ``KIND:PROBABILITY``, or ``KIND`` alone for every request. Raises :class:`UnknownFault`."""
        kind, colon, probability = text.partition(":")
        try:
            return cls(kind, float(probability) if colon else 1.0)
        except UnknownFault:
            raise
        except ValueError:
            raise UnknownFault(f"{text!r}: after the colon stands a probability, as in 429:0.05") from None


class Faults:
    """Decides which request meets which fault: the same ones for the same seed and the same order of requests."""

    def __init__(self, faults: Iterable[Fault | str] = (), *, seed: int = 1) -> None:
        self._random = Random(seed)
        self.upcoming: deque[Fault | None] = deque()
        """What the next requests meet before chance decides again; None lets one through."""
        self.set(faults)

    def set(self, faults: Iterable[Fault | str]) -> None:
        """Replace the faults from the next request on."""
        self.active = tuple(fault if isinstance(fault, Fault) else Fault.parse(fault) for fault in faults)

    def next(self, *kinds: str | None) -> None:
        """Let the next requests, one each, meet *kinds*; None lets one through."""
        self.upcoming.extend(Fault(kind) if kind else None for kind in kinds)

    def draw(self) -> Fault | None:
        """What the present request meets."""
        if self.upcoming:
            return self.upcoming.popleft()
        # One number for each, hit or not, so that a fault added later leaves the pattern of the others as it was.
        hits = [fault for fault in self.active if self._random.random() < fault.probability]
        return hits[0] if hits else None
