"""When the daemon is ready, and what it says when it is not."""

from types import SimpleNamespace
from typing import Any

import pytest

from forwarder.collect.health import SourceHealth
from forwarder.readiness import sink_reasons, source_reasons


def source(health: SourceHealth, interval: float = 30.0) -> Any:
    return SimpleNamespace(name="persona", health=health, settings=SimpleNamespace(poll_interval=interval))


def sink(*, misconfigured: bool = False, failing_since: float | None = None, reason: str | None = None) -> Any:
    health = SimpleNamespace(misconfigured=misconfigured, failing_since=failing_since, reason=reason)
    return SimpleNamespace(name="soc", health=health)


@pytest.mark.parametrize(
    ("health", "interval", "reasons"),
    [
        (SourceHealth(), 30.0, ["source persona: no good poll yet"]),
        (SourceHealth(reason="refused"), 30.0, ["source persona: no good poll yet: refused"]),
        (SourceHealth(last_good=800.0), 30.0, []),
        (SourceHealth(last_good=600.0), 30.0, ["source persona: no good poll for 400 s"]),
        (SourceHealth(last_good=600.0), 200.0, []),
        (SourceHealth(last_good=999.0, paused=True, reason="full"), 30.0, ["source persona: paused: full"]),
    ],
)
def test_a_source_is_ready_while_its_last_good_poll_is_recent(
    health: SourceHealth, interval: float, reasons: list[str]
) -> None:
    """Five minutes or three poll intervals, whichever is longer; a pause on purpose is a reason of its own."""
    assert list(source_reasons(source(health, interval), 1000.0)) == reasons


def test_a_sink_is_not_ready_when_misconfigured_or_failing_for_five_minutes() -> None:
    """A short outage is not a reason."""
    assert list(sink_reasons(sink(), 1000.0)) == []
    assert list(sink_reasons(sink(failing_since=800.0), 1000.0)) == []
    assert list(sink_reasons(sink(failing_since=700.0, reason="refused"), 1000.0)) == [
        "sink soc: failing for 300 s: refused"
    ]
    assert list(sink_reasons(sink(misconfigured=True, reason="bad token"), 1000.0)) == [
        "sink soc: misconfigured: bad token"
    ]
