"""Real VictoriaLogs, a log database that takes Splunk's protocol, as a second judge that knows nothing of us.

Its module comes by Go's own proxy into the cache and is built there. It checks no token, indexes what it understands,
knows no acknowledgement, and keeps what it accepted in memory for a while, as its flags here say, before it is on disk.
"""

from pathlib import Path
from typing import Any

import aiohttp
import orjson

from tests.peers import PeerProcess, accepts, free_port
from tests.peers.golang import built

VERSION = "1.52.1"
_PACKAGE = f"github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs@v{VERSION}"


def find_victorialogs() -> Path:
    """Find the program in the cache, or build it; skip where Go is missing."""

    def step(go: str, into: Path) -> tuple[list[str], dict[str, str]]:
        return [go, "install", _PACKAGE], {"GOBIN": str(into)}

    return built(f"victorialogs-{VERSION}", "VictoriaLogs", step) / "victoria-logs"


class VictoriaLogs:
    """One database in *folder*, on one loopback port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._program = find_victorialogs()
        self._process: PeerProcess | None = None

    @property
    def url(self) -> str:
        """What a sink is configured with."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None

    def start(self) -> None:
        """Start it on what it stored, and wait until it listens."""
        command: list[str | Path] = [
            self._program,
            f"-httpListenAddr=127.0.0.1:{self.port}",
            f"-storageDataPath={self._folder / 'data'}",
            "-retentionPeriod=100y",  # else it drops what is older than a week
            "-inmemoryDataFlushInterval=1s",
            "-splunk.preserveJSONKeys=event",  # keep the event as it is, not as flat fields
            "-memory.allowedBytes=128MiB",
            "-loggerLevel=ERROR",
        ]
        self._process = PeerProcess(command, self._folder / "victorialogs.log")
        self._process.wait_until(lambda: accepts(self.port))

    def stop(self) -> None:
        """End it politely: what it holds in memory is written."""
        process, self._process = self._process, None
        if process is not None:
            process.stop(30)

    async def stored(self) -> list[dict[str, Any]]:
        """List every event that it has, with its fields; in no order."""
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{self.url}/internal/force_flush") as answer:  # what is recent can be found
                answer.raise_for_status()
            async with session.post(f"{self.url}/select/logsql/query", data={"query": "*"}) as answer:
                answer.raise_for_status()
                return [orjson.loads(line) for line in (await answer.read()).splitlines()]
