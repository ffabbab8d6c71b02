"""How much is asked for at once, and what becomes of what cannot be read. Pure: no clock, no waiting, no I/O.

A page that cannot be read is asked for again with fewer records, in the end one by one. A single record has to fail
more than once before it is passed over; where nothing leads past it, its gap rests before it is tried again.
``now`` is always monotonic seconds that the caller passes in.
"""

from collections import Counter
from collections.abc import Sequence

from forwarder.journal import Gap

STUCK_SECONDS = 300.0
"""A gap that stands at a record that cannot be read, with no known id below, is tried again so often."""

UNREADABLE_BELIEVED = 3
"""So often must a single record fail to be read, with pauses in between, before it is passed over: a proxy's bad moment
must not leave a hole."""


class Reading:
    """The reading of one source, *most* records at once where all goes well."""

    def __init__(self, most: int) -> None:
        self.page_size = self._most = most
        self._failed: Counter[str | None] = Counter()
        self._rests: dict[int, float] = {}

    def went_well(self, cursor: str | None) -> None:
        """The page below *cursor* was read: ask for more next time."""
        self._failed.pop(cursor, None)
        self.page_size = min(self._most, self.page_size * 2)

    def shrink(self) -> bool:
        """Ask for less next time; False where it is a single record already."""
        if self.page_size == 1:
            return False
        self.page_size = max(1, self.page_size // 4)
        return True

    def is_unreadable(self, cursor: str | None) -> bool:
        """The single record below *cursor* could not be read once more: whether that is to be believed now.

        Whichever gap asked: several may stand at it, or at others, and be read in turns.
        """
        self._failed[cursor] += 1
        return self._failed[cursor] >= UNREADABLE_BELIEVED

    def rest(self, gap: Gap, now: float) -> None:
        """Nothing leads past the record at which *gap* stands: leave it alone for a while."""
        self._rests[gap.id] = now + STUCK_SECONDS

    def ready(self, gaps: Sequence[Gap], now: float) -> list[Gap]:
        """Those of *gaps* that may be read on."""
        return [gap for gap in gaps if self._rests.get(gap.id, now) <= now]
