"""A line for people who watch a long catch-up on a terminal: how far, how fast, how much longer."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from forwarder.clock import SECOND, format_rfc3339

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from forwarder.app import Daemon
    from forwarder.collect.collector import Collector

EVERY_SECONDS = 1.0
LONG_PAGES = 3
"""A gap that takes more pages than this is a catch-up worth telling of."""

RETENTION = 184 * 86400 * SECOND


@asynccontextmanager
async def show_progress(daemon: Daemon) -> AsyncIterator[None]:
    """While the body runs, keep one line on standard error up to date, if that is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    task = asyncio.create_task(_show(daemon), name="progress")
    try:
        yield
    finally:
        task.cancel()


async def _show(daemon: Daemon) -> None:
    began = time.monotonic()
    shown = False
    while True:
        lines = [line for one in daemon.collectors if (line := progress_line(one, time.monotonic() - began))]
        if lines or shown:
            # Carriage return and erase-to-end: the line is written over itself, logs scroll above it.
            print("\r\x1b[K" + " | ".join(lines), end="", file=sys.stderr, flush=True)
        shown = bool(lines)
        await asyncio.sleep(EVERY_SECONDS)


def progress_line(collector: Collector, seconds: float) -> str | None:
    """Tell of the source's oldest open gap, if it is long: *seconds* is how long it has been watched."""
    source = collector.source
    gap = source.gaps[0] if source is not None and source.gaps else None
    if gap is None or gap.pages <= LONG_PAGES or gap.ceil is None or gap.cursor_at is None:
        return None
    floor = max(gap.floor or 0, gap.ceil - RETENTION)
    done = min(1.0, (gap.ceil - gap.cursor_at) / max(1, gap.ceil - floor))
    left = f", at most {_human(seconds / done - seconds)} left" if done > 0 else ""
    return (
        f"{collector.name}: catching up, {gap.pos} events, {gap.pos / max(seconds, 1.0):.0f}/s, "
        f"back to {format_rfc3339(gap.cursor_at)[:16]} ({done:.0%}){left}"
    )


def _human(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {int(seconds % 60)} s"
