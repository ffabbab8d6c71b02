"""Persona's list as one request finds it: newest first, paged by cursor, retained for a while, at times not whole."""

from bisect import bisect_left, insort
from collections import Counter, deque
from dataclasses import dataclass, replace

from forwarder.clock import SECOND
from forwarder.collect.budget import RateLimit
from forwarder.errors import CursorLost, Failure, Misconfigured, Retryable, Unreadable
from forwarder.journal.gaps import PageRead, Row
from tests.simulation.decisions.plan import LOST_CURSOR_ANSWERS, Fate, Made, Plan, offset


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back of one request that got an answer."""

    page: PageRead
    shown: tuple[Made, ...]
    rate: RateLimit | None


MOST_LIES = 4
"""So often may the same cursor be lost before it leads to a page: what looks empty five times is believed to be."""

_HEARD = {Fate.ANSWERED, Fate.CRASH_AFTER}
"""With these the answer is taken in; an answer that is not, contradicts nothing."""


WINDOW = 60.0
"""Seconds over which requests are counted."""


class Persona:
    """The list, at a time that only moves on."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._dims = plan.dims
        self._by_place = {made.place: made for made in plan.records}
        self._by_id = {made.id: made for made in plan.records}
        self._rows = {made.place: Row(made.id, made.at) for made in plan.records}
        self._pending = sorted((made.visible, made.place) for made in plan.records)[::-1]
        self._listed: list[int] = []
        self._lies: Counter[str] = Counter()
        self._given: dict[str, int] = {}
        self._life = plan.dims.cursor_life
        self._others = plan.dims.others
        self._limit = plan.dims.limit
        self._asked: deque[int] = deque()
        self.sent: list[int] = []
        """When each request came, for the oracle."""

    def clock(self, now: int) -> int:
        """Persona's clock, as a ``Date`` header shows it."""
        time = now + offset(self._plan.their_clock, now)
        return time // SECOND * SECOND if self._dims.coarse_date else time

    def ask(self, cursor: str | None, size: int, now: int, elapsed: int, fate: Fate, dice: int) -> Answer | Failure:
        """Answer a request that was sent at *now* and takes *elapsed* microseconds."""
        self._advance(now)
        rate, limited = self._count(now)
        failure = limited or _failure(fate, dice)
        if failure is not None:
            return failure
        end = len(self._listed)
        if cursor is not None:
            place = self._by_id[cursor].place
            end = bisect_left(self._listed, place)
            gone = end == len(self._listed) or self._listed[end] != place
            expired = self._life is not None and now - self._given.get(cursor, now) > self._life
            if (gone or expired or fate == Fate.CURSOR_LOST) and (gone or self._lies[cursor] < MOST_LIES):
                self._lies[cursor] += 1
                return self._lost(cursor, size, now + elapsed, elapsed, rate, dice)
        answer = self._read(end, size, now + elapsed, elapsed, rate)
        if cursor is not None and isinstance(answer, Answer) and fate in _HEARD:
            self._lies[cursor] = 0
        return answer

    def calm(self) -> None:
        """Let cursors live for ever, and leave room for as much as is asked."""
        self._life = None
        self._others = 0
        self._limit = 1000

    def _advance(self, now: int) -> None:
        while self._pending and self._pending[-1][0] <= now:
            insort(self._listed, self._pending.pop()[1])
        oldest = bisect_left(self._listed, (now - self._dims.retention + 1) * 1000)
        if oldest:
            del self._listed[:oldest]

    def _count(self, now: int) -> tuple[RateLimit | None, Retryable | None]:
        asked, limit = self._asked, self._limit
        while asked and asked[0] <= now - int(WINDOW * SECOND):
            asked.popleft()
        self.sent.append(now)
        left = limit - self._others - len(asked) - 1
        reset = (asked[0] + WINDOW * SECOND - now) / SECOND if asked else WINDOW
        if left < 0:
            return None, Retryable("429", retry_after=reset if self._dims.reset_said else None, kind="rate_limited")
        asked.append(now)
        if not self._dims.rate_headers and limit == self._dims.limit:
            return None, None
        return RateLimit(limit, left, reset if self._dims.reset_said else None), None

    def _lost(
        self, cursor: str, size: int, now: int, elapsed: int, rate: RateLimit | None, dice: int
    ) -> Answer | Failure:
        answer = self._dims.lost_answer or LOST_CURSOR_ANSWERS[dice % len(LOST_CURSOR_ANSWERS)]
        own, time = self._by_id[cursor], self.clock(now)
        end = bisect_left(self._listed, own.place + 1)
        if answer == "empty":
            return Answer(PageRead((), None, time, time - elapsed, empty=True), (), rate)
        if answer == "leads back":
            return Answer(PageRead((), cursor, time, time - elapsed, empty=False), (), rate)
        if answer == "page one":
            end = len(self._listed)
        elif answer == "refused" or end == 0 or self._listed[end - 1] != own.place:
            return CursorLost("400")
        # Page one; or the cursor's own page again, as if "after" meant "from".
        other = self._read(end, size, now, elapsed, rate)
        if isinstance(other, Answer) and ((own in other.shown and own.has_id) or other.page.next == cursor):
            return replace(other, shown=())  # nothing of it is taken: plainly, it answers another question
        return other

    def _read(self, end: int, size: int, now: int, elapsed: int, rate: RateLimit | None) -> Answer | Failure:
        """Serve the page below place *end* of the list, newest first."""
        begin = max(0, end - size)
        places = self._listed[begin:end][::-1]
        shown = tuple(self._by_place[place] for place in places)
        if any(made.unreadable_until > now for made in shown):
            return Unreadable("a record in it cannot be read")
        more = begin > 0 or (self._dims.empty_end and shown)
        last = shown[-1].id if more else None
        if last is not None:
            self._given[last] = now
        time = self.clock(now)
        rows = [self._rows[made.place] for made in shown if made.has_id]
        return Answer(PageRead(rows, last, time, time - elapsed, empty=not shown), shown, rate)


def _failure(fate: Fate, dice: int) -> Failure | None:
    match fate:
        case Fate.BROKEN:
            return Retryable("the connection broke", unanswered=True, kind="connection")
        case Fate.SERVER_ERROR:
            return Retryable("503", kind="server_error")
        case Fate.LIMITED:
            return Retryable("429", kind="rate_limited")
        case Fate.LIMITED_UNTIL:
            return Retryable("429", retry_after=float(dice % 40), kind="rate_limited")
        case Fate.KEY_REFUSED:
            return Misconfigured("401")
    return None
