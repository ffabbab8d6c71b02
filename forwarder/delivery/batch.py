"""Cutting events into batches, and what becomes of a batch after the destination answered. Pure."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from forwarder.errors import Failure, Misconfigured, Refused, Retryable
from forwarder.sinks.base import Item


@dataclass(slots=True)
class Batch:
    """What goes to a sink in one send.

    :param again: why it is sent again (a word for the metrics), or None the first time
    :param doubt: why the destination may have some of it already, or None
    :param doubtful: how many of its events that concerns
    """

    items: Sequence[Item]
    again: str | None = None
    doubt: str | None = None
    doubtful: int = 0

    @property
    def first(self) -> int:
        """The sequence number of its first event; batches do not overlap, so it orders them."""
        return self.items[0].seq


class Cutter:
    """Takes events one by one and cuts them into lists of at most *max_events* and *max_bytes*.

    A single event larger than *max_bytes* goes alone.
    """

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._whole: deque[list[Item]] = deque()
        self._part: list[Item] = []
        self._bytes = 0

    def __len__(self) -> int:
        return sum(map(len, self._whole)) + len(self._part)

    @property
    def full(self) -> bool:
        """Whether a batch is ready that no further event could join."""
        return bool(self._whole) or len(self._part) >= self._max_events or self._bytes >= self._max_bytes

    def add(self, item: Item) -> None:
        """Append one event."""
        size = len(item.body)
        if self._part and (len(self._part) >= self._max_events or self._bytes + size > self._max_bytes):
            self._whole.append(self._part)
            self._part, self._bytes = [], 0
        self._part.append(item)
        self._bytes += size

    def take(self) -> list[Item]:
        """Remove and return the next batch, which may be one that is not full; empty if there is nothing."""
        if self._whole:
            return self._whole.popleft()
        taken, self._part, self._bytes = self._part, [], 0
        return taken

    def drop_until(self, seq: int) -> list[Item]:
        """Remove and return every event up to and including *seq*."""
        everything = [item for batch in (*self._whole, self._part) for item in batch]
        self._whole.clear()
        self._part, self._bytes = [], 0
        for item in everything:
            if item.seq > seq:
                self.add(item)
        return [item for item in everything if item.seq <= seq]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the events of a batch, by their places in it.

    :param delivered: the first so many are in
    :param dead: the place of one that is refused for good
    :param again: stretches ``(from, to)`` that are to be sent next, in order, each as a batch of its own
    """

    delivered: int
    dead: int | None = None
    again: tuple[tuple[int, int], ...] = field(default=())


def judge(size: int, failure: Failure | None) -> Verdict:
    """Decide about a batch of *size* events whose send ended with *failure*, or well with None.

    A refusal that names no event halves the batch, so that k bad ones among n are found in about k·log2(n) sends and
    everything good beside them is delivered.

    :raises ValueError: the failure names a place that the batch does not have; that is a fault of the sink
    """
    match failure:
        case None:
            return Verdict(size)
        case Retryable(accepted=accepted) | Misconfigured(accepted=accepted):
            if not 0 <= accepted <= size:
                raise ValueError(f"it says that {accepted} of {size} events were accepted")
            return Verdict(accepted, None, _stretch(accepted, size))
        case Refused(at=None):
            if size == 1:
                return Verdict(0, 0)
            middle = size // 2
            return Verdict(0, None, ((0, middle), (middle, size)))
        case Refused(at=int(at)):
            if not 0 <= at < size:
                raise ValueError(f"it says that event {at} of {size} was refused")
            return Verdict(at, at, _stretch(at + 1, size))
    raise ValueError(f"{type(failure).__name__} is none of the failures that a sink may raise")


def worse(one: Failure | None, other: Failure | None) -> Failure | None:
    """Choose the failure that matters more: the operator's, then one to wait out, then a refusal, then none."""
    ranks = (Misconfigured, Retryable, Refused)
    for kind in ranks:
        for failure in (one, other):
            if isinstance(failure, kind):
                return failure
    return None


def _stretch(start: int, end: int) -> tuple[tuple[int, int], ...]:
    return ((start, end),) if start < end else ()
