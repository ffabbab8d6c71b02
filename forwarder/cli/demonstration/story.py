"""The story: catch up under faults, die in the middle, come back, keep up with live traffic, stop when asked.

::

    start --catch up--> SIGKILL --Persona goes on--> start again --caught up--> live traffic --> SIGTERM --> judge
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from forwarder.cli.demonstration.children import Child, start_simulator
from forwarder.cli.demonstration.judge import Verdict, compare, id_of
from forwarder.clock import SystemClock
from forwarder.pulse import Pulse

# Each but a lost cursor costs the daemon about a second of waiting, as it should.
FAULTS = ("429:0.01", "500:0.01", "reset:0.02", "cut:0.01", "cursor-lost:0.02", "html:0.005")
BATCH = 500
"""Events in the file sink's batch, of which one is in flight at a time."""

_LOOK = 0.2
_LIVE_RATE = 40
_LIVE_SECONDS = 4.0
_MADE_WHILE_DOWN = 150
_KILL_AT = 0.4
_STOP_SECONDS = 15.0


class Interrupted(Exception):
    """Somebody pressed Ctrl-C, or the demonstration was asked to stop."""


class TimeIsUp(Exception):
    """The plan's seconds are over: what is delivered by now is judged."""


@dataclass(slots=True)
class Progress:
    """How the story stands, for the view."""

    phase: str = "starting"
    made: int = 0
    delivered: int = 0
    seconds: float = 0.0
    fastest: float = 0.0
    """Most events a second, over a second or more."""
    requests: int = 0
    faults: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be played. The story gives up waiting after *seconds*, and is judged as it stands."""

    directory: Path
    records: int = 20_000
    seed: int = 1
    seconds: float = 45.0
    faults: tuple[str, ...] = FAULTS


class Story:
    """Plays a :class:`Plan` once."""

    def __init__(self, plan: Plan, show: Callable[[Progress], None], stop: asyncio.Event) -> None:
        self._plan = plan
        self._show = show
        self._pulse = Pulse(stop, SystemClock())
        self._file = Delivered(plan.directory / "events.jsonl")
        self._progress = Progress()
        self._children: list[Child] = []
        self._began = time.monotonic()
        self._mark = (0.0, 0)

    async def play(self) -> Verdict:
        """Play it, and judge. Raises :class:`Interrupted`, or ChildFailed if a process ends by itself."""
        try:
            simulator, variables = await start_simulator(self._simulator_arguments(), self._path("simulator.log"))
            self._children.append(simulator)
            base = variables["FORWARDER_PERSONA_BASE_URL"].removesuffix("/api/v1")
            async with aiohttp.ClientSession(f"{base}/_control/") as self._control:
                return await self._act(variables)
        finally:
            for child in self._children:
                await child.kill()

    async def _act(self, variables: dict[str, str]) -> Verdict:
        self._began = time.monotonic()
        environment = self._environment(variables)
        daemon = await self._start_daemon(environment)
        killed_at: list[int] = []
        try:
            await self._until("catching up, with faults", self._delivered(self._plan.records * _KILL_AT))
            await daemon.kill()
            self._children.remove(daemon)
            killed_at.append(self._file.count())
            self._tell("killed with SIGKILL; Persona's log goes on")
            await self._ask("POST", f"append?n={_MADE_WHILE_DOWN}")
            daemon = await self._start_daemon(environment)
            await self._keep_up()
        except TimeIsUp:
            self._tell("the time is up")
        seconds = time.monotonic() - self._began
        self._tell("asked to stop with SIGTERM")
        status = await daemon.stop(_STOP_SECONDS)
        made = [orjson.loads(line)["id"] for line in (await self._ask("GET", "made")).splitlines()]
        findings = compare(made, self._file.lines())
        return Verdict(findings, tuple(killed_at), BATCH, seconds, self._progress.fastest, status)

    async def _keep_up(self) -> None:
        await self._until("started again: catching up", self._delivered(self._plan.records))
        live_until = time.monotonic() + _LIVE_SECONDS
        await self._until("keeping up with live traffic", lambda: time.monotonic() >= live_until)
        await self._ask("POST", "live?rate=0")
        await self._until("waiting for what Persona shows late", self._everything_delivered)

    def _delivered(self, count: float) -> Callable[[], bool]:
        return lambda: self._progress.delivered >= count

    async def _start_daemon(self, environment: dict[str, str]) -> Child:
        daemon = await Child.start("daemon", ["run"], environment, self._path("daemon.log"))
        self._children.append(daemon)
        return daemon

    async def _until(self, phase: str, done: Callable[[], bool]) -> None:
        """Watch until *done*. Raises :class:`TimeIsUp`, :class:`Interrupted` or ChildFailed if that comes first."""
        self._tell(phase)
        while time.monotonic() - self._began < self._plan.seconds:
            await self._look()
            if done():
                return
            for child in self._children:
                child.check()
            if await self._pulse.wait(_LOOK):
                raise Interrupted
        raise TimeIsUp

    async def _look(self) -> None:
        progress = self._progress
        summary = orjson.loads(await self._ask("GET", "made?summary=1"))
        stats = orjson.loads(await self._ask("GET", "stats"))
        progress.made, self._hidden = summary["made"], summary["hidden"]
        progress.requests, progress.faults = stats["requests"], stats["by_fault"]
        self._tell(progress.phase)

    def _tell(self, phase: str) -> None:
        progress = self._progress
        progress.phase, progress.seconds = phase, time.monotonic() - self._began
        progress.delivered = self._file.count()
        then, before = self._mark
        if progress.seconds - then >= 1:
            progress.fastest = max(progress.fastest, (progress.delivered - before) / (progress.seconds - then))
            self._mark = (progress.seconds, progress.delivered)
        self._show(progress)

    def _everything_delivered(self) -> bool:
        return self._hidden == 0 and self._progress.delivered >= self._progress.made

    async def _ask(self, method: str, path: str) -> bytes:
        async with self._control.request(method, path) as response:
            response.raise_for_status()
            return await response.read()

    def _path(self, name: str) -> Path:
        return self._plan.directory / name

    def _simulator_arguments(self) -> list[str]:
        plan = self._plan
        options: dict[str, Any] = {
            "seed": plan.seed, "records": plan.records, "rate": _LIVE_RATE, "limit": 60_000,
            "late": 0.05, "late-by": 3, "odd": 0.002,
        }  # fmt: skip
        named = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        return named + [text for fault in plan.faults for text in ("--fault", fault)]

    def _environment(self, variables: dict[str, str]) -> dict[str, str]:
        return variables | {
            "FORWARDER_SOURCES": "persona",
            "FORWARDER_SINKS": "file",
            "FORWARDER_FILE_PATH": str(self._file.path),
            "FORWARDER_FILE_ROTATE_BYTES": "1GiB",
            "FORWARDER_FILE_BATCH_MAX_EVENTS": str(BATCH),
            "FORWARDER_STATE_PATH": str(self._path("forwarder.db")),
            "FORWARDER_HTTP_PORT": "0",
            "FORWARDER_PERSONA_POLL_INTERVAL": "1s",
            # Late records are at most 3 s late here, and live traffic is read again often.
            "FORWARDER_PERSONA_LOOKBACK": "15s",
            "FORWARDER_PERSONA_SWEEP_INTERVAL": "2s",
            "FORWARDER_PERSONA_RATE_SHARE": "1",
            "FORWARDER_PERSONA_TIMEOUT": "10s",
        }


class Delivered:
    """The file that the daemon's sink writes, counted while it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0
        self._ids: set[str | None] = set()

    def count(self) -> int:
        """How many different events are in it so far."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._read)
                whole, end, _ = file.read().rpartition(b"\n")
            self._ids.update(map(id_of, whole.splitlines()))
            self._ids.discard(None)  # the judge counts those
            self._read += len(whole) + len(end)
        return len(self._ids)

    def lines(self) -> Iterator[bytes]:
        """Everything in it, read anew."""
        if self.path.exists():
            with self.path.open("rb") as file:
                yield from file
