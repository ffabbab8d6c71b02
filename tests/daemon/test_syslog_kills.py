"""The whole daemon with a receiver of syslog, both killed again and again while events are sent.

The receiver is rsyslog, which writes what it takes at once. Over RELP, with a backlog at full speed, nothing that was
collected is missing in the end, and each kill may have repeated a window, whichever side was killed. Over TCP and TLS,
which have no acknowledgement, the same holds at the rate of an audit log; what repeats is what had not settled.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forwarder.journal.status import SinkStatus, read_status
from tests.daemon.process import DaemonProcess, SimulatorProcess, caught_up, environment, simulator
from tests.peers import free_port
from tests.peers.rsyslog import Rsyslog, Transport
from tests.sinks.syslog_peers import client_tls, server_tls, write_tls_files

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(1800)]

KILLS = int(os.environ.get("SYSLOG_KILLS", "2"))
"""Of each side."""

RECORDS = 3000 * (KILLS + 1)
WINDOW = 128
RATE = 100
"""Events a second of a busy audit log."""


@pytest.fixture
def receiver(tmp_path: Path, transport: Transport) -> Iterator[tuple[Rsyslog, dict[str, Any]]]:
    """Start rsyslog; with the settings of our side."""
    files = write_tls_files(tmp_path) if "tls" in transport else {}
    tls = server_tls(files, "forwarder.test") if files else None
    receiver = Rsyslog(tmp_path / "receiver", transport, tls=tls, template="id", max_message_bytes=1 << 16)
    receiver.start()
    yield receiver, client_tls(files, "forwarder") if files else {}
    receiver.stop()


@pytest.mark.parametrize("transport", ["relp", "relp+tls"])
async def test_neither_side_loses_anything_when_either_is_killed(
    receiver: tuple[Rsyslog, dict[str, Any]], tmp_path: Path
) -> None:
    rsyslog, trust = receiver
    async with simulator(tmp_path, "--records", str(RECORDS), "--rate", "0", "--limit", "1000000") as persona:
        nobody = f"{rsyslog.transport}://127.0.0.1:{free_port()}"
        variables = with_syslog(tmp_path, persona.url, nobody, trust)
        with DaemonProcess(variables, tmp_path) as daemon:  # a backlog to send at full speed
            await daemon.until(lambda: caught_up(tmp_path / "forwarder.db"), 600)
            assert await daemon.stop() == 0
        variables = with_syslog(tmp_path, persona.url, rsyslog.url, trust)
        await kill_both(rsyslog, variables, tmp_path, within=0.15)
        await end_well(rsyslog, persona, variables, tmp_path, most=2 * KILLS * WINDOW)


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_without_acknowledgements_neither_loses_anything_at_the_rate_of_an_audit_log(
    receiver: tuple[Rsyslog, dict[str, Any]], tmp_path: Path
) -> None:
    """The default settle time finds out what rsyslog had not read when it was killed."""
    rsyslog, trust = receiver
    async with simulator(tmp_path, "--records", "1000", "--rate", str(RATE), "--limit", "1000000") as persona:
        variables = with_syslog(tmp_path, persona.url, rsyslog.url, trust)
        doubtful = await kill_both(rsyslog, variables, tmp_path, within=3)
        await persona.ask("POST", "live?rate=0")
        await end_well(rsyslog, persona, variables, tmp_path, most=doubtful)


async def end_well(
    rsyslog: Rsyslog, persona: SimulatorProcess, variables: dict[str, str], folder: Path, *, most: int
) -> None:
    """Let one daemon finish the work; then nothing is missing, and at *most* so many events came again."""
    made = set(await persona.made())
    with DaemonProcess(variables, folder) as daemon:
        await daemon.until(lambda: delivered(folder, len(made)), 600)
        assert await daemon.stop() == 0
    for _ in range(30):  # over TCP nobody tells when rsyslog has read everything
        if made <= (found := Counter(rsyslog.lines())).keys():
            break
        await asyncio.sleep(1)
    missing, repeated = len(made - found.keys()), found.total() - len(found)
    print(f"{rsyslog.transport}: {len(made):,} collected, {KILLS} kills of rsyslog, {KILLS} of ours; ", end="")
    print(f"{missing} missing, {repeated:,} twice (at most {most:,})")
    assert missing == 0
    assert repeated <= most


def delivered(folder: Path, made: int) -> bool:
    """Whether the journal knows so many ids, and the sink vouches for each."""
    known = read_status(folder / "forwarder.db", now=0, backlog_bytes=0).sources[0].ids
    return known == made and sink_of(folder).backlog_events == 0


def with_syslog(folder: Path, persona: str, url: str, trust: dict[str, Any]) -> dict[str, str]:
    """Variables of a daemon whose one sink is a receiver of syslog."""
    settings = {f"syslog_{name}": value for name, value in trust.items()}
    variables = environment(
        folder, persona, sinks="syslog", syslog_url=url, syslog_max_message_bytes="64KiB", **settings
    )
    del variables["FORWARDER_FILE_PATH"]
    return variables


async def kill_both(rsyslog: Rsyslog, variables: dict[str, str], folder: Path, *, within: float) -> int:
    """Kill rsyslog and ours in turn, each *within* so many seconds of a message's arrival.

    Returns how many events the sink did not vouch for at the kills, all taken together: these may come again.
    """
    chance, doubtful = random.Random(KILLS), 0
    for _ in range(KILLS):
        with DaemonProcess(variables, folder) as daemon:
            for victim in (rsyslog, daemon):
                before = rsyslog.size()
                await daemon.until(lambda before=before: rsyslog.size() > before, 60)  # type: ignore[misc] # a default
                await asyncio.sleep(chance.uniform(0, within))
                victim.kill()
                doubtful += sink_of(folder).backlog_events
                if victim is rsyslog:
                    await asyncio.to_thread(rsyslog.start)
    return doubtful


def sink_of(folder: Path) -> SinkStatus:
    """What the journal says of the sink."""
    return read_status(folder / "forwarder.db", now=0, backlog_bytes=0).sinks[0]
