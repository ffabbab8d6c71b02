"""One life of the daemon in a world: from its start to its end, asked for or not."""

import asyncio
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import structlog

from forwarder.app import Daemon
from forwarder.clock import SECOND
from forwarder.errors import ForwarderError
from forwarder.settings import load
from tests.peers.hec import TOKEN
from tests.simulation.loop import Process, SimulatedLoop, current_process
from tests.simulation.plan import Plan, SinkPlan

INTERNAL_ERROR = 70

REDACTED = "post-params.data.attributes.note"
"""What every life redacts."""


class OurClock:
    """The daemon's machine's clock; its wall time can be set, its monotonic time cannot."""

    def __init__(self, loop: SimulatedLoop, epoch: int) -> None:
        self._loop = loop
        self.epoch = epoch
        self.offset = 0.0

    def now(self) -> int:
        """Wall clock, microseconds since the Unix epoch."""
        return self.epoch + int((self._loop.time() + self.offset) * SECOND)

    def monotonic(self) -> float:
        """Simulated seconds."""
        return self._loop.time()


@dataclass
class Life:
    """A running or ended daemon.

    :ivar exit_status: as its process's; None while it runs, and after it was killed
    """

    number: int
    process: Process
    variables: Mapping[str, str]
    started: float
    ended: asyncio.Event
    daemon: Daemon | None = None
    exit_status: int | None = None
    reason: str = ""
    asked_to_stop: bool = False
    asked_at: float = 0.0
    ended_at: float = 0.0

    @property
    def crashed(self) -> bool:
        """Whether it was killed."""
        return self.process.dead

    def kill(self) -> None:
        """End it as SIGKILL does, unless it has ended by itself."""
        if not self.ended.is_set():
            self.process.kill()

    def stop(self) -> None:
        """Ask it to stop, as SIGTERM does."""
        if self.daemon is not None and not self.crashed:
            if not self.asked_to_stop:
                self.asked_at = asyncio.get_running_loop().time()
            self.asked_to_stop = True
            self.process.context().run(self.daemon.stop)


def begin(
    loop: SimulatedLoop,
    number: int,
    variables: Mapping[str, str],
    *,
    clock: OurClock,
    seed: int,
    on_death: Callable[[Life], None],
) -> Life:
    """Start the daemon, configured by *variables* as its process would be."""
    life: Life
    process = Process(f"life {number}", lambda: on_death(life))
    life = Life(number, process, dict(variables), loop.time(), asyncio.Event())
    random = Random(f"{seed}/{number}")
    context = process.context()
    context.run(loop.create_task, _main(life, clock, random), name=f"life {number}")
    return life


async def _main(life: Life, clock: OurClock, random: Random) -> None:
    """What ``forwarder run`` does, its signals and its logging set-up aside."""
    try:
        life.daemon = Daemon(load(life.variables), clock=clock, random=random)
        await life.daemon.run()
    except ForwarderError as error:
        life.exit_status, life.reason = error.exit_status, str(error)
    except Exception as error:  # noqa: BLE001 # the process's last resort, as in forwarder.cli
        life.exit_status, life.reason = INTERNAL_ERROR, repr(error)
    else:
        life.exit_status = 0
    if life.daemon is not None and life.daemon.left_behind:
        life.reason = f"left behind: {', '.join(life.daemon.left_behind)}"
    life.ended_at = asyncio.get_running_loop().time()
    life.ended.set()


def variables(
    plan: Plan,
    sinks: Sequence[SinkPlan],
    *,
    page_size: int,
    persona: tuple[str, int],
    admin: tuple[str, int],
    splunk: tuple[str, int],
    key_file: Path,
    journal: Path,
) -> dict[str, str]:
    """The environment of a life that begins now."""
    found = {
        "FORWARDER_PERSONA_API_KEY_FILE": str(key_file),
        "FORWARDER_PERSONA_BASE_URL": f"http://{persona[0]}:{persona[1]}/api/v1",
        "FORWARDER_PERSONA_POLL_INTERVAL": f"{plan.poll_interval}s",
        "FORWARDER_PERSONA_LOOKBACK": f"{plan.lookback}s",
        "FORWARDER_PERSONA_SWEEP_INTERVAL": f"{plan.sweep_interval}s",
        "FORWARDER_PERSONA_PAGE_SIZE": str(page_size),
        "FORWARDER_PERSONA_RATE_SHARE": str(plan.rate_share),
        "FORWARDER_PERSONA_START": plan.start,
        "FORWARDER_PERSONA_TIMEOUT": "10s",
        "FORWARDER_PERSONA_MAX_RESPONSE_BYTES": "128KiB",
        "FORWARDER_STATE_PATH": str(journal),
        "FORWARDER_STATE_MAX_BYTES": str(plan.max_bytes),
        "FORWARDER_HTTP_PORT": str(admin[1]),
        "FORWARDER_SHUTDOWN_GRACE": f"{plan.grace}s",
        "FORWARDER_REDACT": REDACTED,
        "FORWARDER_SINKS": ",".join(f"{sink.name}={sink.kind}" for sink in sinks),
    }
    for sink in sinks:
        prefix = f"FORWARDER_{sink.name.upper()}"
        found |= {
            f"{prefix}_FORMAT": sink.format,
            f"{prefix}_BATCH_MAX_EVENTS": str(sink.batch),
            f"{prefix}_TIMEOUT": "5s",
        }
        if sink.kind == "splunk_hec":
            found |= {f"{prefix}_URL": f"http://{splunk[0]}:{splunk[1]}", f"{prefix}_TOKEN": TOKEN}
        if sink.batch_bytes:
            found[f"{prefix}_BATCH_MAX_BYTES"] = str(sink.batch_bytes)
        if sink.exclude:
            found[f"{prefix}_EXCLUDE"] = sink.exclude
    return found


def configure_logs(write: Callable[[dict[str, Any]], None]) -> None:
    """Send the daemon's log lines to *write*; the dead say nothing."""

    def deliver(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> str:
        process = current_process()
        if process is None or not process.dead:
            write(dict(line))
        return ""

    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, deliver],
        logger_factory=lambda *_: _Nowhere(),
        cache_logger_on_first_use=False,
    )


class _Nowhere:
    """Where lines go that the processors have taken already."""

    def msg(self, _: str) -> None:
        """Nothing is left of it."""

    debug = info = warning = error = critical = exception = log = msg
