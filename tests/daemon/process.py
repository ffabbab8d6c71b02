"""The daemon as an operator has it: a process with an environment, a log, an HTTP port, and signals to end it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
import orjson
import pytest

from forwarder.errors import JournalUnavailable
from forwarder.journal.status import read_status
from forwarder.simulator import SimulatedPersona
from tests.peers import Growing

LOOK = 0.02
"""Seconds between two looks at something that is waited for."""


def environment(folder: Path, persona: SimulatedPersona | str, **settings: object) -> dict[str, str]:
    """Variables of a daemon in *folder* with a file sink, quick enough for a test; *settings* are added or replace.

    A setting is named without its prefix, in lower case: ``persona_page_size=10``.
    """
    url, key = (persona, "persona_production_simulated") if isinstance(persona, str) else (persona.url, persona.api_key)
    defaults: dict[str, object] = {
        "sinks": "file",
        "file_path": folder / "events.jsonl",
        "state_path": folder / "forwarder.db",
        "http_port": 0,
        "persona_base_url": url,
        "persona_api_key": key,
        "persona_poll_interval": "200ms",
        "persona_rate_share": 1,
        "persona_timeout": "10s",
    }
    return {f"FORWARDER_{name.upper()}": str(value) for name, value in {**defaults, **settings}.items()}


class Process:
    """A running ``forwarder`` command; what it writes is appended to *log*. *inside* is put before the command."""

    def __init__(
        self, arguments: Sequence[str], variables: Mapping[str, str], log: Path, inside: Sequence[str] = ()
    ) -> None:
        clean = {name: text for name, text in os.environ.items() if not name.startswith("FORWARDER_")}
        self.log = log
        self._from = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*inside, sys.executable, "-m", "forwarder", *arguments],
                env={**clean, **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def status(self) -> int | None:
        """Its exit status, None while it runs; negative after a signal."""
        return self._process.poll()

    @property
    def pid(self) -> int:
        return self._process.pid

    def words(self) -> str:
        """What this process, and no earlier one, wrote so far; whole lines."""
        with self.log.open("rb") as log:
            log.seek(self._from)
            return log.read().rpartition(b"\n")[0].decode()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, if it still runs, and wait for its end."""
        self._process.kill()
        self._process.wait()

    async def ended(self, seconds: float) -> int:
        """Its exit status; fails if it does not end by itself within *seconds*."""
        await until(lambda: self.status is not None, seconds, lambda: f"it still runs:\n{self.words()[-3000:]}")
        return self._process.wait()

    async def stop(self, seconds: float = 20) -> int:
        """SIGTERM; its exit status."""
        self.send(signal.SIGTERM)
        return await self.ended(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class DaemonProcess(Process):
    """``forwarder run``."""

    def __init__(self, variables: Mapping[str, str], folder: Path, inside: Sequence[str] = ()) -> None:
        super().__init__(["run"], variables, folder / "daemon.log", inside)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Its log lines of this name, so far."""
        lines = [orjson.loads(line) for line in self.words().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    async def logged(self, name: str, seconds: float = 20, **fields: object) -> dict[str, Any]:
        """Wait for a line of this name with these fields, and return the first."""

        def found() -> list[dict[str, Any]]:
            return [line for line in self.events(name) if fields.items() <= line.items()]

        await self.until(lambda: bool(found()), seconds)
        return found()[0]

    async def stop(self, seconds: float = 20) -> int:
        """SIGTERM once it runs; its exit status. Before that Python itself might not know the signal yet."""
        await self.logged("daemon.started", 60)
        return await super().stop(seconds)

    async def until(self, done: Callable[[], bool], seconds: float = 20) -> None:
        """Wait until *done*; fails if that takes longer, or if the daemon ends first."""
        await until(
            lambda: done() or self.status is not None, seconds, lambda: f"it did not happen:\n{self.words()[-3000:]}"
        )
        if not done():
            pytest.fail(f"the daemon ended with {self.status}:\n{self.words()[-3000:]}", pytrace=False)

    async def ask(self, path: str) -> tuple[int, bytes]:
        """GET *path* from its HTTP port."""
        port = (await self.logged("admin.listening"))["port"]
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, await answer.read()

    async def readiness(self) -> tuple[int, list[str]]:
        """Status and reasons of ``/readyz``."""
        status, body = await self.ask("/readyz")
        return status, orjson.loads(body)["reasons"]

    async def ready(self, seconds: float = 20) -> None:
        """Wait until ``/readyz`` says 200."""
        await self.unready("", seconds)

    async def unready(self, reason: str, seconds: float = 20) -> str:
        """Wait until a reason of ``/readyz`` contains *reason*, and return it; an empty one waits for 200."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            status, reasons = await self.readiness()
            assert (status == 200) == (not reasons)
            if not reason and status == 200:
                return ""
            if reason and (found := [one for one in reasons if reason in one]):
                return found[0]
            if asyncio.get_running_loop().time() > deadline:
                pytest.fail(f"/readyz said {reasons} instead of {reason!r}:\n{self.words()[-2000:]}", pytrace=False)
            await asyncio.sleep(0.05)


async def status_of(variables: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """What ``forwarder status --json`` prints."""
    log = folder / "status.json"
    log.unlink(missing_ok=True)
    with Process(["status", "--json"], variables, log) as command:
        assert await command.ended(30) == 0, log.read_text()
    found: dict[str, Any] = orjson.loads(log.read_bytes())
    return found


def caught_up(journal: Path) -> bool:
    """Whether the walk through the history has come to its end; not so either where there is no journal yet."""
    try:
        return read_status(journal, now=0).sources[0].complete_from is not None
    except (JournalUnavailable, IndexError):
        return False


def all_noted(journal: Path) -> bool:
    """Whether every sink has what was collected, and the journal knows it: a kill now repeats nothing."""
    return all(sink.backlog_events == 0 for sink in read_status(journal, now=0).sinks)


class Lines:
    """The file that a file sink writes, read while it grows; lines that were there are never read again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ids: list[str] = []
        """The id of each whole line, in their order."""
        self._growing = Growing(path)

    def look(self) -> list[str]:
        """Read on, and return all ids so far."""
        self.ids += [orjson.loads(line)["id"] for line in self._growing.more()]
        return self.ids

    def content(self) -> list[dict[str, Any]]:
        """Every event in it, read anew."""
        return [orjson.loads(line) for line in self.path.read_bytes().splitlines()] if self.path.exists() else []

    def has(self, wanted: Sequence[str]) -> bool:
        """Whether all of *wanted* have arrived."""
        return set(wanted) <= set(self.look())


async def until(done: Callable[[], bool], seconds: float, otherwise: Callable[[], str]) -> None:
    """Wait until *done*, and fail with what *otherwise* says after *seconds*."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not done():
        if asyncio.get_running_loop().time() > deadline:
            pytest.fail(otherwise(), pytrace=False)
        await asyncio.sleep(LOOK)


class SimulatorProcess(Process):
    """``forwarder simulate`` as a process of its own."""

    url: str
    """What ``FORWARDER_PERSONA_BASE_URL`` must be."""

    async def ask(self, method: str, path: str) -> bytes:
        """Ask its controls."""
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"{self.url.removesuffix('/api/v1')}/_control/{path}") as answer,
        ):
            answer.raise_for_status()
            return await answer.read()

    async def made(self) -> list[str]:
        """Every id ever made, in order."""
        return [orjson.loads(line)["id"] for line in (await self.ask("GET", "made")).splitlines()]


@asynccontextmanager
async def simulator(folder: Path, *arguments: str) -> AsyncIterator[SimulatorProcess]:
    """Run ``forwarder simulate ARGUMENTS``."""
    with SimulatorProcess(["simulate", *arguments], {}, folder / "simulator.log") as process:
        await until(
            lambda: "FORWARDER_PERSONA_BASE_URL=" in process.words() or process.status is not None,
            30,
            lambda: f"the simulator does not start: {process.words()}",
        )
        process.url = process.words().partition("FORWARDER_PERSONA_BASE_URL=")[2].split()[0]
        yield process
