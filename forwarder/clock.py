"""Time, from one injectable place.

Instants are whole microseconds since the Unix epoch, UTC, everywhere inside the program: exact, ordered, and a plain
integer for SQLite. Text appears only at the doors.
"""

import asyncio
import re
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Protocol

SECOND = 1_000_000
"""One second in the program's unit of time."""

BEGINNING = -(1 << 62)
"""The lower bound of "everything": before every instant that a record can bear, and within SQLite's integers."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)",
)


class Clock(Protocol):
    """What tells the time; a simulation brings its own."""

    def now(self) -> int:
        """Wall clock, microseconds since the Unix epoch."""

    def monotonic(self) -> float:
        """Seconds that only ever grow, for intervals and time-outs."""


class SystemClock:
    """The machine's clocks; the monotonic one is the event loop's, so that simulated time reaches it."""

    def now(self) -> int:
        """Wall clock, microseconds since the Unix epoch."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds of the running event loop's clock."""
        return asyncio.get_running_loop().time()


def parse_rfc3339(text: object) -> int | None:
    """Microseconds since the epoch from an RFC 3339 date-time, or None if *text* is not one.

    Both of Persona's spellings are taken: ``2023-10-03T21:31:05.163Z`` and ``2023-10-03T21:31:05.163+00:00``.
    Digits past the sixth are cut.
    """
    if not isinstance(text, str):
        return None
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    second = _second(day, clock, zone)
    return None if second is None else second + int(((fraction or "") + "000000")[:6])


def format_rfc3339(micros: int) -> str:
    """RFC 3339 in UTC with milliseconds, as ``2026-03-01T09:15:02.331Z``."""
    second, rest = divmod(micros, SECOND)
    return f"{_second_text(second)}.{rest // 1000:03d}Z"


# Records of one page lie close together and each time is read or written more than once: the costly part, the calendar,
# is worked out once a second.
@lru_cache(maxsize=4096)
def _second(day: str, clock: str, zone: str) -> int | None:
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}").astimezone(UTC)
    except (ValueError, OverflowError):  # the second: a zone that leads out of the years 1 to 9999
        return None
    return to_micros(moment)


@lru_cache(maxsize=4096)
def _second_text(second: int) -> str:
    # Not strftime: its %Y writes the year 1 as "1", which is no RFC 3339 any more.
    return (_EPOCH + timedelta(seconds=second)).replace(tzinfo=None).isoformat(timespec="seconds")


def parse_http_date(text: str | None) -> int | None:
    """Microseconds since the epoch from a ``Date`` header (RFC 9110 section 5.6.7), or None."""
    if not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return to_micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def to_micros(moment: datetime) -> int:
    """Microseconds since the epoch of an aware *moment*, without a float in between."""
    return (moment - _EPOCH) // timedelta(microseconds=1)
