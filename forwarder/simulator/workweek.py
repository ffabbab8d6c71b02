"""When an organization works: busy weekday hours, quiet nights and weekends."""

from array import array
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from random import Random

from forwarder.clock import SECOND

HOUR = 3600 * SECOND
DAY = 24 * HOUR
MILLISECOND = SECOND // 1000

_SATURDAY = 5
_WEEKEND = 0.06
_BY_HOUR = (
    0.02, 0.02, 0.01, 0.01, 0.02, 0.05, 0.15, 0.45, 0.9, 1.0, 1.0, 0.9,
    0.7, 0.95, 1.0, 1.0, 0.85, 0.6, 0.3, 0.2, 0.12, 0.08, 0.05, 0.03,
)  # fmt: skip


def busyness(moment: int) -> float:
    """How busy the organization is at *moment* (microseconds since the epoch, UTC), 1 at its busiest."""
    then = datetime.fromtimestamp(moment // SECOND, UTC)
    return _BY_HOUR[then.hour] * (_WEEKEND if then.weekday() >= _SATURDAY else 1.0)


def history(count: int, start: int, end: int, random: Random) -> "array[int]":
    """*count* instants between *start* and *end*, ascending, whole milliseconds in µs, dense where work is busy."""
    edges = [start, *range((start // HOUR + 1) * HOUR, end, HOUR), end]
    spans = list(pairwise(edges))
    reached = list(accumulate(busyness(first) * (last - first) for first, last in spans))
    moments = array("q")
    for (first, last), share in zip(spans, reached, strict=True):
        wanted = round(count * share / reached[-1]) - len(moments)
        width = last - first
        moments.extend(
            sorted((first + int(random.random() * width)) // MILLISECOND * MILLISECOND for _ in range(wanted)),
        )
    return moments
