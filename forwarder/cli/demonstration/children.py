"""The processes of the demonstration, each in an environment of its own: the operator's settings stay out."""

import asyncio
import re
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import forwarder

# What is run is the package that is running now, wherever it was started from.
_CODE = str(Path(forwarder.__file__).parents[1])
_START_SECONDS = 20.0


class ChildFailed(Exception):
    """A process ended, or never began, when it should have been running; the text holds the end of its log."""


@dataclass(slots=True)
class Child:
    """One running ``forwarder`` command."""

    name: str
    process: Process
    log: Path

    @classmethod
    async def start(
        cls, name: str, arguments: Sequence[str], variables: Mapping[str, str], log: Path, *, talks: bool = False
    ) -> "Child":
        """Start ``forwarder ARGUMENTS``; what it writes is appended to *log*, but what it *talks* about is read."""
        with log.open("ab") as sink:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "forwarder",
                *arguments,
                env={"PYTHONPATH": _CODE, "PYTHONUTF8": "1", **variables},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if talks else sink,
                stderr=sink,
            )
        return cls(name, process, log)

    def check(self) -> None:
        """Raise :class:`ChildFailed` if it has ended."""
        if self.process.returncode is not None:
            raise ChildFailed(
                f"the {self.name} ended with exit status {self.process.returncode}; its last words:\n"
                f"{self.last_words()}"
            )

    def last_words(self, lines: int = 5) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    async def kill(self) -> None:
        """SIGKILL: no chance to finish anything."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def stop(self, seconds: float) -> int | None:
        """SIGTERM; its exit status, or None if it did not end within *seconds* and was killed."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.process.wait(), seconds)
        except TimeoutError:
            await self.kill()
            return None


async def start_simulator(arguments: Sequence[str], log: Path) -> tuple[Child, dict[str, str]]:
    """Start the simulated Persona; also returns the variables that point a forwarder at it."""
    child = await Child.start("simulated Persona", ["simulate", *arguments], {}, log, talks=True)
    try:
        line = await asyncio.wait_for(_first_line(child.process), _START_SECONDS)
        variables = dict(re.findall(r"(FORWARDER_\w+)=(\S+)", line))
        if not variables:
            await child.process.wait()
            child.check()
    except BaseException:
        await child.kill()
        raise
    return child, variables


async def _first_line(process: Process) -> str:
    return (await process.stdout.readline()).decode() if process.stdout is not None else ""
