"""The line for people who watch a long catch-up."""

from types import SimpleNamespace
from typing import Any

from forwarder.cli.progress import progress_line
from forwarder.clock import BEGINNING, SECOND
from forwarder.journal import Gap, SourceRecord, SourceState

NOW = 1_772_356_502 * SECOND
DAY = 86400 * SECOND


def collector(**gap: Any) -> Any:
    """What the line looks at of a collector whose oldest gap is like this."""
    base = {"id": 1, "floor": BEGINNING, "based": False, "mark": 0, "sweep": True, "started": True, "ceil": NOW}
    source = SourceRecord(1, "persona", None, None, SourceState(), (Gap(**(base | gap)),), None)
    return SimpleNamespace(name="persona", source=source)


def test_a_long_walk_is_told_with_its_rate_and_the_time_left() -> None:
    """46 days of at most 184 in ten minutes: three times that is left at most."""
    line = progress_line(collector(pages=60, pos=6000, cursor_at=NOW - 46 * DAY), 600.0)
    assert line == "persona: catching up, 6000 events, 10/s, back to 2026-01-14T09:15 (25%), at most 30 min 0 s left"


def test_an_ordinary_poll_is_not_worth_a_line() -> None:
    """Nothing is shown for a page or two, nor before the first answer."""
    assert progress_line(collector(pages=2, cursor_at=NOW - DAY), 5.0) is None
    assert progress_line(collector(pages=60, ceil=None), 5.0) is None
    assert progress_line(collector(pages=60, pos=1, cursor_at=NOW), 5.0) is not None
