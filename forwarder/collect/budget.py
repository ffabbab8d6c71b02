"""How many requests one source may make: a share of a rate limit that it shares with production traffic.

Pure: no clock, no waiting, no I/O. ``now`` is always monotonic seconds that the caller passes in. Whoever is about to
ask Persona anything (a page, a user look-up) does::

    seconds = budget.delay(now)     # 0: go; else wait that long and ask again
    budget.spend(now)               # at the moment of sending

and hands what the answer said to :meth:`Budget.learn` or :meth:`Budget.throttled`.

The first request of each poll interval is *guaranteed*: it needs no room in the share. So that the share still holds in
any 60 seconds, room for those is set aside, and everything else gets what is left of it. Poll intervals follow each
other without drift from the first request on: measured from one request to the next, each slow answer during a
catch-up would make all later polls later.
"""

import math
from collections import deque
from dataclasses import dataclass

WINDOW = 60.0
"""Seconds over which Persona counts requests."""

DEFAULT_LIMIT = 300
"""Requests in a window until an answer has told the limit: Persona's default for a production environment."""

LOW_WATER = 0.15
"""Below this fraction of the limit remaining, Persona advises to slow down."""

LONGEST_WAIT = 3600.0
"""Cap on what an answer can make us wait, in seconds: a reset given as an epoch must not stop us for decades."""

OLDEST_EVERY = 5
"""One request in so many goes to the oldest open gap."""

_SHORTEST_WAIT = 0.001


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What an answer's ``RateLimit-*`` headers say; *reset* is in seconds from the answer. None: not said."""

    limit: int | None
    remaining: int | None
    reset: float | None


class Budget:
    """The requests of one source.

    In any 60 seconds it grants at most the larger of one for each poll interval that they touch, and the whole part of
    *share* times the limit that was known when they were granted.
    """

    def __init__(self, share: float, poll_interval: float) -> None:
        self._share = share
        self._poll_interval = poll_interval
        self._limit = DEFAULT_LIMIT
        self._others: deque[float] = deque()
        self._anchor: float | None = None
        self._next_guaranteed = -math.inf
        self._slow_until = -math.inf
        self._closed_until = -math.inf
        self._since_oldest = 0

    @property
    def limit(self) -> int:
        """Requests in a window that Persona allows the organization, as last learned."""
        return self._limit

    def learn(self, rate: RateLimit, now: float) -> None:
        """Take over what an answer said about the limit, and slow down where little remains."""
        if rate.limit is not None and rate.limit > 0:
            self._limit = rate.limit
        if rate.remaining is None:
            return
        wait = WINDOW if rate.reset is None else min(max(rate.reset, 0.0), LONGEST_WAIT)
        low = rate.remaining < LOW_WATER * self._limit
        self._slow_until = now + wait if low else -math.inf
        if rate.remaining <= 0:
            # Not even the guaranteed request could succeed.
            self._closed_until = max(self._closed_until, now + wait)

    def throttled(self, retry_after: float | None, now: float) -> None:
        """Grant nothing for *retry_after* seconds (a whole window where the answer did not say): it was a 429."""
        wait = WINDOW if retry_after is None else min(max(retry_after, 1.0), LONGEST_WAIT)
        self._closed_until = max(self._closed_until, now + wait)

    def delay(self, now: float) -> float:
        """Seconds until a request may be made; 0 means now."""
        due = max(self._closed_until, min(self._next_guaranteed, self._next_other(now)))
        # A wait that is shorter than the clock can resolve would be asked for again and again.
        return 0.0 if due <= now else max(due - now, _SHORTEST_WAIT)

    def spend(self, now: float) -> None:
        """Record that a request is made now."""
        if now >= self._next_guaranteed:
            self._next_guaranteed = self._end_of_interval(now)
        else:
            self._others.append(now)
        self._forget(now)
        self._since_oldest += 1

    def charge(self, now: float) -> None:
        """Record a request that was made unasked, beside the one that was granted: the next ones wait for it."""
        self._others.append(now)

    def oldest_turn(self) -> bool:
        """Whether the next request belongs to the oldest open gap: true for one request in five.

        Ask once a request, when :meth:`delay` is 0: the answer uses the turn up. A turn that falls due stays due until
        it is asked for, so requests of another kind in between (user look-ups) cannot make the oldest gap starve.
        """
        if self._since_oldest < OLDEST_EVERY - 1:
            return False
        self._since_oldest = -1
        return True

    def _end_of_interval(self, now: float) -> float:
        """When the poll interval ends that *now* lies in; the first one begins with the first request."""
        self._anchor = anchor = now if self._anchor is None else self._anchor
        end = anchor + ((now - anchor) // self._poll_interval + 1) * self._poll_interval
        return end if end > now else end + self._poll_interval  # a border's last bit may fall on either side

    def _next_other(self, now: float) -> float:
        """When a request beside the guaranteed ones may be made next."""
        self._forget(now)
        share = math.floor(self._share * self._limit + 1e-9)  # 0.29 * 100 is 28.999…
        room = share - math.ceil(WINDOW / self._poll_interval) - 1  # a window's ends may lie within an interval each
        if room <= 0:
            return math.inf
        free_at = -math.inf if len(self._others) < room else self._others[-room] + WINDOW
        return max(free_at, self._slow_until)

    def _forget(self, now: float) -> None:
        while self._others and self._others[0] + WINDOW <= now:
            self._others.popleft()
