"""SIGKILL at any moment of the daemon's life, again and again, loses nothing and repeats at most what was in flight.

The file sink has one batch in flight, so each kill may repeat one batch of at most BATCH events, and only a daemon that
had opened the sink can have had one: that is the bound. ``KILLS`` sets how many the slow test makes.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from forwarder.clock import SECOND, SystemClock, format_rfc3339
from tests.daemon.process import (
    DaemonProcess,
    Lines,
    SimulatorProcess,
    all_noted,
    caught_up,
    environment,
    simulator,
    status_of,
    until,
)

BATCH = 50
"""Most events of one batch."""

AFTER_START = 0.8
"""The longest life, in seconds, is a start and this."""

LATE_BY = 1.0
"""Some live records become visible only up to so many seconds late."""

FAULTS = ("500:0.005", "reset:0.005", "cut:0.005", "cursor-lost:0.01")
KILLS = int(os.environ.get("KILLS", "200"))


@dataclass
class Ordeal:
    """What was done to the daemon, and how it came out."""

    kills: int = 0
    """SIGKILLs."""
    sending: int = 0
    """Those at which the sink was open."""
    starting: int = 0
    """Those before the daemon had said that it runs."""
    within: int = 0
    """Those before the catch-up had ended."""
    made: list[str] = field(default_factory=list)
    delivered: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def missing(self) -> set[str]:
        return set(self.made) - self.delivered.keys()

    @property
    def duplicates(self) -> int:
        return self.delivered.total() - len(self.delivered)

    @property
    def bound(self) -> int:
        """Duplicates that the kills allow."""
        return self.sending * BATCH

    def told(self) -> str:
        return (
            f"made {len(self.made):,}, delivered {len(self.delivered):,}, missing {len(self.missing)}, "
            f"duplicates {self.duplicates} (at most {self.bound:,}: {BATCH} at each of {self.sending} kills with the "
            f"sink open), kills {self.kills} ({self.within} within the catch-up, {self.starting} of them in a start), "
            f"{self.seconds:.0f} s"
        )


async def kill_at_random(ordeal: Ordeal, variables: dict[str, str], folder: Path, *, kills: int) -> None:
    """One kill in three falls into a start, however slow the machine makes that; the others after it."""
    random = Random(kills)
    began = time.monotonic()
    with DaemonProcess(variables, folder) as daemon:
        await daemon.logged("sink.opened", 60)
    start = time.monotonic() - began
    for _ in range(kills):
        with DaemonProcess(variables, folder) as daemon:
            if random.random() < 1 / 3:
                await asyncio.sleep(random.uniform(0, start))
            else:
                await daemon.logged("sink.opened", 60)
                await asyncio.sleep(random.uniform(0, AFTER_START))
            assert daemon.status is None, daemon.words()
            daemon.kill()
            ordeal.kills += 1
            ordeal.starting += not daemon.events("daemon.started")
            ordeal.sending += bool(daemon.events("sink.opened"))
        ordeal.within += not caught_up(folder / "forwarder.db")


async def end_well(ordeal: Ordeal, variables: dict[str, str], folder: Path, persona: SimulatorProcess) -> None:
    """Let one daemon finish the work, hear what ``forwarder status`` says of it, and stop it as one should."""
    lines = Lines(folder / "events.jsonl")
    with DaemonProcess(variables, folder) as daemon:
        await daemon.until(lambda: caught_up(folder / "forwarder.db"), 180)
        await asyncio.sleep(1)  # live traffic goes on a little
        await persona.ask("POST", "live?rate=0")
        await asyncio.sleep(LATE_BY + 0.1)  # all is visible now
        ordeal.made = await persona.made()
        try:
            await until(lambda: lines.has(ordeal.made), 60, lambda: "not all was delivered")
        finally:
            ordeal.delivered = Counter(lines.look())
        check_status(await status_of(variables, folder), len(ordeal.made))
        assert await daemon.stop() == 0
        assert daemon.events("daemon.stopped")


def check_status(status: dict[str, Any], made: int) -> None:
    """``forwarder status`` calls it complete, with nothing open but perhaps a poll and a sweep of this moment."""
    [source], [sink] = status["sources"], status["sinks"]
    assert source["complete_from"] is not None
    assert source["complete_until"] is not None
    assert source["holes"] == []
    assert source["ids"] == made
    assert len(source["open_gaps"]) <= 2, source
    lately = SystemClock().now() - 30 * SECOND
    assert source["complete_until"] >= format_rfc3339(lately), source
    assert (sink["backlog_events"], sink["dead_letters"]) == (0, 0)


async def suffer(folder: Path, *, records: int, kills: int, page: int) -> Ordeal:
    ordeal, began = Ordeal(), time.monotonic()
    arguments = ["--records", records, "--rate", 10, "--limit", 1_000_000, "--latency", 0.02, "--late", 0.02]
    arguments += ["--late-by", LATE_BY, *(word for fault in FAULTS for word in ("--fault", fault))]
    async with simulator(folder, *map(str, arguments)) as persona:
        settings = {
            "persona_poll_interval": "1s",
            "persona_lookback": "10m",
            "persona_sweep_interval": "3s",
            "file_batch_max_events": BATCH,
            "file_rotate_bytes": "1GiB",
        }
        # Small pages: so slow is the catch-up that the kills fall into it.
        slow = environment(folder, persona.url, **settings, persona_page_size=page)
        await kill_at_random(ordeal, slow, folder, kills=kills)
        quick = environment(folder, persona.url, **settings)
        await end_well(ordeal, quick, folder, persona)
        failed = [line for line in (folder / "daemon.log").read_text().splitlines() if "actor.failed" in line]
        assert failed == []
    ordeal.seconds = time.monotonic() - began
    print(ordeal.told())
    return ordeal


def judge(ordeal: Ordeal, kills: int) -> None:
    assert ordeal.missing == set(), ordeal.told()
    assert ordeal.delivered.keys() <= set(ordeal.made)
    assert ordeal.duplicates <= ordeal.bound, ordeal.told()
    assert ordeal.kills == kills
    assert ordeal.within >= 0.9 * kills, ordeal.told()


@pytest.mark.timeout(60)
async def test_a_few_kills_during_a_short_catch_up_lose_nothing(tmp_path: Path) -> None:
    judge(await suffer(tmp_path, records=3_000, kills=5, page=10), 5)


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_many_kills_during_a_long_catch_up_lose_nothing(tmp_path: Path) -> None:
    judge(await suffer(tmp_path, records=50_000, kills=KILLS, page=30), KILLS)


async def test_a_daemon_that_was_killed_says_so_at_its_next_start(tmp_path: Path) -> None:
    async with simulator(tmp_path, "--records", "50", "--rate", "0") as persona:
        variables = environment(tmp_path, persona.url)
        lines = Lines(tmp_path / "events.jsonl")
        for number, crashed in ((signal.SIGKILL, False), (signal.SIGTERM, True), (signal.SIGTERM, False)):
            with DaemonProcess(variables, tmp_path) as daemon:
                assert (await daemon.logged("daemon.started"))["after_crash"] == crashed
                await daemon.until(lambda: len(lines.look()) >= 50 and all_noted(tmp_path / "forwarder.db"))
                daemon.send(number)
                await daemon.ended(20)
        assert sorted(lines.look()) == sorted(await persona.made())
