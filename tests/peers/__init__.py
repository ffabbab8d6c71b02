"""Real peers over real sockets: each file fetches, starts and stops one program that is not ours.

A peer that cannot be had on this machine skips its tests with the reason; in CI (``CI=true``) that is a failure.
Downloads are cached outside the checkout (:data:`CACHE`).
"""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "persona-siem-forwarder"


def unavailable(reason: str) -> NoReturn:
    """Skip the test because its peer cannot be had here; fail it in CI, where every peer must be had."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"peer unavailable in CI: {reason}")
    pytest.skip(reason)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    """Whether something accepts TCP connections on the loopback *port*."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def listens(port: int, *, udp: bool) -> bool:
    """Whether something listens on the loopback *port*, over UDP or over TCP."""
    if not udp:
        return accepts(port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def whole_lines(file: Path) -> list[str]:
    """List the whole lines of a file that somebody writes; the last one may be on its way."""
    if not file.exists():
        return []
    whole, _, _ = file.read_text().rpartition("\n")
    return whole.split("\n") if whole else []


class Growing:
    """A file that somebody else writes, read line by line while it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def more(self) -> list[bytes]:
        """List the whole lines that are new since the last call; a file that is not there yet has none."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read)
            whole, end, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(end)
        return whole.splitlines()


class PeerProcess:
    """One program that we started; its output goes to a file that a failing start shows."""

    def __init__(self, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if env is None else {**os.environ, **env},
            )

    def wait_until(self, ready: Callable[[], bool], seconds: float = 30) -> None:
        """Wait until *ready* holds; on an early exit or after *seconds*, fail with the end of the program's log."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                tail = self.log.read_text(errors="replace")[-3000:]
                pytest.fail(f"{self.process.args!r} did not become ready:\n{tail}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL)."""
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 10) -> None:
        """End it politely, then by force."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()


class Program:
    """A peer that is one program, which a subclass starts as ``_process``."""

    _process: PeerProcess | None = None

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()

    def said(self) -> str:
        """Read its own log."""
        return "" if self._process is None else self._process.log.read_text()
