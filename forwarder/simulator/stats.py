"""What the simulator was asked, by the numbers."""

from collections import Counter

from forwarder.clock import SECOND

_MINUTE = 60 * SECOND
_KEPT_MINUTES = 60


class Stats:
    """Counts of requests to the API; the simulator's own controls do not count."""

    def __init__(self) -> None:
        self.requests = 0
        self.by_status: Counter[int] = Counter()
        """Status before anything went wrong on the wire."""
        self.by_fault: Counter[str] = Counter()
        self.by_minute: Counter[int] = Counter()
        self.followed_redirects = 0

    def request(self, now: int, status: int, fault: str) -> None:
        """Count one request at *now* (µs)."""
        self.requests += 1
        self.by_status[status] += 1
        if fault:
            self.by_fault[fault] += 1
        self.by_minute[now // _MINUTE] += 1
        while len(self.by_minute) > _KEPT_MINUTES:
            del self.by_minute[min(self.by_minute)]

    def as_json(self) -> dict[str, object]:
        """For ``/_control/stats``; minutes are counted from the Unix epoch."""
        return {
            "requests": self.requests,
            "by_status": {str(status): count for status, count in sorted(self.by_status.items())},
            "by_fault": dict(sorted(self.by_fault.items())),
            "by_minute": {str(minute): count for minute, count in sorted(self.by_minute.items())},
            "followed_redirects": self.followed_redirects,
        }
