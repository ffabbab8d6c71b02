"""Persona's rate limit: so many requests in a window that begins with its first request."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

WINDOW = 60.0
"""Seconds of a window."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What the ``RateLimit-*`` headers say; *reset* is whole seconds until the window ends."""

    limit: int
    remaining: int
    reset: int
    allowed: bool = True

    def headers(self) -> dict[str, str]:
        """The three headers."""
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset),
        }


class RateWindow:
    """Counts requests in fixed windows; all keys share it, as they do at Persona."""

    def __init__(self, limit: int, window: float = WINDOW) -> None:
        self.limit = limit
        self._window = window
        self._ends = -math.inf
        self._taken = 0

    def take(self, now: float) -> Rate:
        """Count one request at *now* (monotonic seconds)."""
        if now >= self._ends:
            self._ends, self._taken = now + self._window, 0
        allowed = self._taken < self.limit
        self._taken += allowed
        return Rate(self.limit, self.limit - self._taken, math.ceil(self._ends - now), allowed)


def misstated(headers: Mapping[str, str], fault: str, now: int) -> dict[str, str]:
    """An answer's *headers* as some faults have them, at *now* (seconds since the epoch)."""
    others = {name: value for name, value in headers.items() if not name.startswith("RateLimit-")}
    match fault:
        case "rate-unsaid":
            return others
        case "rate-half":
            return others | {"RateLimit-Limit": headers["RateLimit-Limit"]}
        case "rate-odd":
            reset = str(now + int(WINDOW))
            return others | {"RateLimit-Limit": "0", "RateLimit-Remaining": "0", "RateLimit-Reset": reset}
    return dict(headers)
