"""Time, from one injectable place.

Instants are whole microseconds since the Unix epoch, UTC, everywhere inside the program: exact, ordered, and a plain
integer for SQLite. Text appears only at the doors.
"""

import asyncio
import re
import time
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Protocol

SECOND = 1_000_000
"""One second in the program's unit of time."""

BEGINNING = -(1 << 62)
"""The lower bound of "everything": before every instant that a record can bear, and within SQLite's integers."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UTC_ZONES = ("Z", "z", "+00:00", "-00:00")
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)
_DAY = 86400


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
    day, hour, minute, second, fraction, zone = match.groups()
    midnight = _midnight(day)
    if midnight is None or hour > "23" or minute > "59" or second > "59":
        return None
    clock = (int(hour) * 60 + int(minute)) * 60 + int(second)
    micros = (midnight + clock) * SECOND + int(((fraction or "") + "000000")[:6])
    return micros if zone in _UTC_ZONES else _shifted(micros, zone)


def format_rfc3339(micros: int) -> str:
    """RFC 3339 in UTC with milliseconds, as ``2026-03-01T09:15:02.331Z``."""
    seconds, rest = divmod(micros, SECOND)
    day, clock = divmod(seconds, _DAY)
    minutes, second = divmod(clock, 60)
    return f"{_day_text(day)}T{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}.{rest // 1000:03d}Z"


# The calendar is the costly part of a time, and the same few days come up again and again.
@lru_cache(maxsize=1024)
def _midnight(day: str) -> int | None:
    """Seconds since the epoch at which the UTC day begins, or None if there is no such day."""
    try:
        return (date.fromisoformat(day) - _EPOCH.date()).days * _DAY
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def _day_text(day: int) -> str:
    # Not strftime: its %Y writes the year 1 as "1", which is no RFC 3339 any more.
    return (_EPOCH.date() + timedelta(days=day)).isoformat()


def _shifted(micros: int, zone: str) -> int | None:
    """Take *zone* off; None if that leads out of the years 1 to 9999, or is no zone."""
    hours, minutes = int(zone[1:3]), int(zone[4:])
    if hours > 23 or minutes > 59:
        return None
    offset = (hours * 60 + minutes) * 60 * SECOND
    micros += offset if zone[0] == "-" else -offset
    return micros if _FIRST <= micros <= _LAST else None


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


_FIRST = to_micros(datetime.min.replace(tzinfo=UTC))
_LAST = to_micros(datetime.max.replace(tzinfo=UTC))
