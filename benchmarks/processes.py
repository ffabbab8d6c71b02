"""Starting the processes that are measured, each on a core of its own, and reading what the kernel counted of them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

DAEMON_CORE, PERSONA_CORE = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
"""Cores of the daemon and of the simulated Persona; one and the same where the machine has only one."""

_START_SECONDS = 60.0
_STOP_SECONDS = 60.0


class Measured:
    """A running process and its counters."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self.log = log

    def cpu_seconds(self) -> float:
        """What all its threads have used; from ``schedstat``, which counts nanoseconds where ``stat`` counts 10 ms."""
        paths = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(path.read_text().split()[0]) for path in paths) / 1e9

    def memory(self, field: str) -> float:
        """A field of ``/proc/PID/status`` (``VmHWM``, ``VmRSS``, ``RssAnon``) in MB of 1,000,000 bytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii", errors="replace")
        found = re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)
        return int(found[1]) * 1024 / 1e6 if found else 0.0

    def switches(self) -> int:
        """How often its threads went to sleep by themselves so far: each is a waking-up to come."""
        paths = Path(f"/proc/{self.process.pid}/task").glob("*/status")
        found = (re.search(r"^voluntary_ctxt_switches:\s+(\d+)", path.read_text(), re.MULTILINE) for path in paths)
        return sum(int(match[1]) for match in found if match)

    def check(self) -> None:
        """Raise RuntimeError with the end of its log if it ended."""
        if self.process.poll() is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-5:])
            raise RuntimeError(f"it ended with exit status {self.process.returncode}:\n{tail}")


@dataclass(frozen=True, slots=True)
class Persona:
    """A running simulated Persona."""

    measured: Measured
    url: str
    api_key: str

    def stats(self) -> dict[str, Any]:
        """Return what it counted, as its ``/_control/stats`` says."""
        return dict(fetch_json(self.url.removesuffix("/api/v1") + "/_control/stats"))


@contextmanager
def persona(folder: Path, records: int, *arguments: str) -> Iterator[Persona]:
    """Run ``forwarder simulate`` on its own core with a rate limit that nobody meets."""
    command = ("simulate", "--records", str(records), "--rate", "0", "--limit", "1000000000", *arguments)
    with _running(command, {}, PERSONA_CORE, folder / "persona.log", talks=True) as measured:
        line = measured.process.stdout.readline().decode() if measured.process.stdout else ""
        measured.check()
        variables = dict(re.findall(r"(FORWARDER_\w+)=(\S+)", line))
        yield Persona(measured, variables["FORWARDER_PERSONA_BASE_URL"], variables["FORWARDER_PERSONA_API_KEY"])


@contextmanager
def daemon(folder: Path, variables: Mapping[str, str], source: Persona) -> Iterator[Measured]:
    """Run ``forwarder run`` on its own core, with its journal in *folder*."""
    environment = {
        "FORWARDER_PERSONA_BASE_URL": source.url,
        "FORWARDER_PERSONA_API_KEY": source.api_key,
        "FORWARDER_STATE_PATH": str(folder / "forwarder.db"),
        "FORWARDER_HTTP_PORT": "0",
        "FORWARDER_LOG_FORMAT": "json",
        **variables,
    }
    with _running(("run",), environment, DAEMON_CORE, folder / "daemon.log") as measured:
        yield measured
        measured.check()


def admin_url(measured: Measured) -> str:
    """Return where the daemon's probes and metrics are: it logs the port that it picked."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        measured.check()
        for line in measured.log.read_text().splitlines():
            found = json.loads(line)
            if found["event"] == "admin.listening":
                return f"http://{found['host']}:{found['port']}"
        time.sleep(0.05)
    raise RuntimeError("the daemon did not say where its probes are")


def fetch_json(url: str) -> Any:
    """GET *url* on this machine and parse what comes."""
    return json.loads(fetch(url))


def fetch(url: str) -> bytes:
    """GET *url* on this machine."""
    with urlopen(url, timeout=_START_SECONDS) as answer:  # noqa: S310 # our own processes on 127.0.0.1
        return bytes(answer.read())


@contextmanager
def _running(
    command: Sequence[str], variables: Mapping[str, str], core: int, log: Path, *, talks: bool = False
) -> Iterator[Measured]:
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "forwarder", *command],
            env={"PATH": os.environ.get("PATH", ""), "HOME": os.environ.get("HOME", ""), **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if talks else sink,
            stderr=sink,
        )
    # At once, while it is still importing: threads inherit it.
    os.sched_setaffinity(process.pid, {core})
    try:
        yield Measured(process, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
