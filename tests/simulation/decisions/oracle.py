"""The judge: it made every record, takes every delivery, and reads nothing of ours but what we report to operators.

What it may use of the forwarder is what an operator sees: holes, dead letters, what is called complete, that gaps are
open. What it knows of the run is which answers reached a transaction that was committed, and when processes died.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from forwarder.clock import BEGINNING
from forwarder.journal.gaps import Hole
from tests.simulation.decisions.plan import DAY, Made, Plan, offset

# What is promised stands here in figures of its own: taken from the product's constants, it would move with them.

WINDOW = 60.0
"""Seconds in which the share of the rate limit must not be exceeded."""

OLDEST_EVERY = 5
"""One page request in so many goes to the oldest gap."""

HELD_TOGETHER = 9_000_000
"""What one gap reads within so many microseconds is released together, unless it is released earlier by a rest."""


LONGEST = 400 * DAY
"""Where the retention is longer, nothing ever leaves the list."""


class Violation(Exception):
    """Something that was promised does not hold."""


class Oracle:
    """One world's judge."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.counts: Counter[str] = Counter()
        self.start: int | None = None
        """The lower bound of what is due, fixed by the first answer that was committed."""
        self._records = {made.id: made for made in plan.records}
        self._first_seen: dict[str, int] = {}
        """When each record first was in a page that was committed."""
        self._saved: dict[str, int] = {}
        self._groups: dict[tuple[int, int], list[str]] = defaultdict(list)
        self._held_since: dict[int, tuple[int, int]] = {}
        self._pages = 0
        self._registered: dict[str, int] = {}
        self._ids: dict[int, str] = {}
        self._seqs: dict[str, int] = {}
        self._taken: dict[str, dict[int, str]] = defaultdict(dict)
        self._got: dict[str, set[str]] = defaultdict(set)
        self._first_got: dict[str, int] = {}
        self._explained: dict[str, set[int]] = defaultdict(set)
        self._committed: dict[str, int] = defaultdict(int)
        self._last_first: dict[str, int] = defaultdict(int)
        self._share = plan.dims.share
        self._spent: list[tuple[float, int]] = []
        self._closed_until = 0.0
        self._passed_over = 0
        self._restored = False
        self._misdated = any(made.at not in {None, self._shown_time(made)} for made in plan.records)
        self._first_walk_ended: int | None = None

    # -- what happens --------------------------------------------------------------------------------------------

    def born(self, now: int, share: float) -> None:
        """A process starts; whatever was on its way when the last one ended may come again."""
        for sink, taken in self._taken.items():
            beyond = {seq for seq in taken if seq > self._committed[sink]}
            self.counts["sent and not committed at an end"] += bool(beyond)
            self._explained[sink] |= beyond
        self._check_budget()
        self._spent, self._closed_until, self._passed_over = [], 0.0, 0
        self._share = share

    def saved(self) -> None:
        """A copy of the journal is made."""
        self._saved = dict(self._first_seen)

    def restored(self, sinks: set[str], start: int | None) -> None:
        """An older copy of the journal was put back: what it does not know gets new numbers, and is sent again."""
        self._restored = True
        self._first_seen = self._saved
        self._first_walk_ended = None
        self._registered = {sink: since for sink, since in self._registered.items() if sink in sinks}
        self.start = start
        self._seqs.clear()
        self._committed.clear()
        self._last_first.clear()

    def registered(self, sink: str, now: int) -> None:
        self._registered[sink] = now

    def released(self) -> None:
        """Whatever is held back is released: what comes later is ordered apart from it."""
        self._held_since.clear()

    def spent(self, now: float, limit: int) -> None:
        """A request was made, of a *limit* that was known then."""
        if now < self._closed_until:
            raise Violation(f"a request {self._closed_until - now:.3f} s before Persona would have one again")
        self._spent.append((now, limit))

    def throttled(self, until: float) -> None:
        self._closed_until = max(self._closed_until, until)

    def chosen(self, gap: int, ready: Iterable[int]) -> None:
        """Of the gaps that could be read on, one was."""
        self._passed_over = 0 if gap == min(ready) else self._passed_over + 1
        if self._passed_over >= OLDEST_EVERY:
            raise Violation("the oldest gap was passed over five times in a row")

    def committed(self, gap: int, shown: Sequence[Made], now: int, start: int) -> None:
        """A page was committed for a gap; *start* is what the source's setting comes to with this answer."""
        if self.start is None:
            self.start = start
        self._pages += 1
        since, group = self._held_since.setdefault(gap, (now, self._pages))
        if now - since >= HELD_TOGETHER or self.plan.our_clock:
            group = self._pages  # perhaps released in between: a page on its own is not
        for made in shown:
            if made.has_id and made.id not in self._first_seen:
                self._first_seen[made.id] = now
                if made.at is not None:
                    self._groups[gap, group].append(made.id)

    def taken(self, sink: str, batch: Sequence[tuple[int, str]], now: int) -> None:
        """A destination took events: their numbers and ids."""
        taken = self._taken[sink]
        for seq, id_ in batch:
            made = self._records.get(id_)
            if made is None or not made.has_id:
                raise Violation(f"{sink} got {id_}, which was never made")
            if self._ids.setdefault(seq, id_) != id_ and not (self._restored and self.plan.our_clock):
                raise Violation(f"number {seq} was given to {self._ids[seq]} and to {id_}")
            if self._seqs.setdefault(id_, seq) != seq:
                raise Violation(f"{id_} entered the journal twice: as {self._seqs[id_]} and {seq}")
            if seq in taken:
                self.counts["delivered again"] += 1
                if seq not in self._explained[sink] and not self._restored:
                    raise Violation(f"{sink} got {id_} twice without a crash or an unanswered send")
            elif self.plan.dims.in_flight == 1 and seq < self._last_first[sink]:
                raise Violation(f"{sink} got {id_} after what has a greater number")
            self._last_first[sink] = max(self._last_first[sink], seq)
            taken[seq] = id_
            self._got[sink].add(id_)
            self._first_got.setdefault(id_, now)

    def unanswered(self, sink: str, seqs: Iterable[int]) -> None:
        self._explained[sink].update(seqs)

    def cursor(self, sink: str, seq: int) -> None:
        self._committed[sink] = max(self._committed[sink], seq)

    def complete(self, since: int | None, until: int | None, holes: Sequence[Hole], now: int) -> None:
        """The status calls the stretch from *since* to *until* complete, holes aside."""
        if since is not None and self._first_walk_ended is None:
            self._first_walk_ended = now
        if since is None or until is None or self.plan.their_clock:
            return
        gone = (now - self.plan.dims.retention) * 1000
        for made in self.plan.records:
            if made.made > until:
                break
            claimed = since < self._shown_time(made) and made.has_id and not made.is_late and self._due(made)
            # What falls out this minute is not claimed by a status that is a poll old.
            claimed = claimed and made.place > gone
            if claimed and made.id not in self._first_seen and not self._reported(holes, self._shown_time(made)):
                raise Violation(f"complete from {since} to {until} is claimed, and {made} was not read")

    # -- the verdict ---------------------------------------------------------------------------------------------

    def judge(
        self, holes: Sequence[Hole], dead: set[tuple[str, str]], complete_from: int | None, gaps: int, now: int
    ) -> None:
        """All is quiet: what was promised has to be true."""
        self._check_budget()
        unreadable = [made.place for made in self.plan.records if made.unreadable_until > now]
        if gaps > 1 and not unreadable:
            raise Violation(f"{gaps} gaps stay open")
        self._check_holes(holes)
        for made in self.plan.records:
            if made.visible > now or not made.has_id:
                continue
            if made.unreadable_until > now:
                continue
            if not self._due(made) or self._excused(made, holes, unreadable, complete_from, gaps, now):
                continue
            for sink, since in self._registered.items():
                self._check_arrival(made, sink, since, dead)
        self._check_order()

    def _check_arrival(self, made: Made, sink: str, since: int, dead: set[tuple[str, str]]) -> None:
        seen = self._first_seen.get(made.id)
        if seen is None:
            raise Violation(f"lost: {made} was never collected")
        wanted = seen > since
        if not wanted and self.plan.dims.new_sink_start == "all":
            wanted = self._first_got.get(made.id, 1 << 62) > since and not made.refused
        if not wanted or made.id in self._got[sink]:
            return
        if (sink, made.id) not in dead or not made.refused:
            raise Violation(f"lost: {made} was collected and never delivered to {sink}")

    def _excused(
        self,
        made: Made,
        holes: Sequence[Hole],
        unreadable: list[int],
        complete_from: int | None,
        gaps: int,
        now: int,
    ) -> bool:
        """Whether it need not have been collected, since it is reported, or out of everybody's reach."""
        if made.id in self._first_seen:
            return False
        time = self._shown_time(made)
        gone = made.made <= now - self.plan.dims.retention
        self.counts["fell out of retention"] += gone
        reported = self._reported([hole for hole in holes if gone or hole.kind == "unreadable"], time)
        # Behind what cannot be read for good, and said to be open.
        walled_off = bool(unreadable) and gaps > 0 and made.place < max(unreadable)
        if reported or walled_off or not gone:
            return reported or walled_off
        if complete_from is not None and time <= complete_from and self._first_walk_ended is not None:
            before_us = made.made <= self._first_walk_ended - self.plan.dims.retention
            return before_us or made.is_late
        # Accepted and documented: late, at the very edge of the retention.
        return made.is_late or made.unreadable_until > 0

    def _check_holes(self, holes: Sequence[Hole]) -> None:
        for hole in holes:
            self.counts[f"hole: {hole.kind}"] += 1
            if hole.kind == "lost" and self.plan.dims.retention > LONGEST:
                self.counts["hole that is none"] += 1
                if self._dates_in_order():
                    raise Violation(f"{hole} is reported, and nothing leaves the list")
            if hole.kind == "unreadable" and not any(made.unreadable_until for made in self.plan.records):
                raise Violation(f"{hole} is reported, and everything could be read")

    def _dates_in_order(self) -> bool:
        """Whether the list is in the order of its dates; else, what is dated below its end may be listed above it."""
        dates = [made.at for made in self.plan.records]
        return None not in dates and dates == sorted(date for date in dates if date is not None)

    def _check_order(self) -> None:
        """What one walk found before anything of it was released is released in chronological order."""
        if self._restored:
            return
        for group in self._groups.values():
            found = sorted(
                (self._records[id_].at or 0, self._records[id_].place, self._seqs[id_])
                for id_ in group
                if id_ in self._seqs
            )
            for before, after in pairwise(found):
                if before[2] > after[2] and before[0] != after[0]:
                    raise Violation(f"out of order: {before} was released after {after}")

    def _check_budget(self) -> None:
        """In any 60 seconds at most the share, or the polls that they touch."""
        dims = self.plan.dims
        polls = -(-WINDOW * 1_000_000 // dims.unit) + 1
        first = 0
        for last, (moment, _) in enumerate(self._spent):
            while self._spent[first][0] <= moment - WINDOW:
                first += 1
            most = max(limit for _, limit in self._spent[first : last + 1])
            if last + 1 - first > max(polls, int(self._share * most + 1e-9)):
                raise Violation(f"{last + 1 - first} requests in 60 s, of a share of {self._share} of {most}")

    def _reported(self, holes: Sequence[Hole], time: int) -> bool:
        """Whether a hole covers *time*, as well as a clock that was put back lets anybody tell."""
        unsure = 2 * max((abs(by) for _, by in self.plan.their_clock), default=0)
        # Not claimed: the bounds of what was passed over are dates of records, and some of them are wrong here.
        misled = 400 * self.plan.dims.unit if self._misdated else 0
        return any(
            hole.since - unsure - misled <= time <= hole.until + unsure + misled
            for hole in holes
            if not misled or hole.kind == "unreadable" or hole.since <= time <= hole.until
        )

    def _shown_time(self, made: Made) -> int:
        """What its ``created-at`` should be: whole milliseconds of Persona's clock."""
        return (made.made + offset(self.plan.their_clock, made.made)) // 1000 * 1000

    def _due(self, made: Made) -> bool:
        if self.start is None or self.start <= BEGINNING:
            return True
        time = self._shown_time(made)
        # Clocks that were put back leave times that claim to be younger than they are.
        start = self.start + 2 * max((abs(by) for _, by in self.plan.their_clock), default=0)
        return min(time, time if made.at is None else made.at) >= start
