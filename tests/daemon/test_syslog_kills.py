"""The whole daemon with a RELP receiver, both killed again and again while events are sent at full speed.

The receiver is rsyslog, which acknowledges what it wrote. In the end nothing that was collected is missing, and each
kill may have repeated a window, whichever side was killed.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.process import DaemonProcess, caught_up, environment, simulator
from tests.peers import free_port
from tests.peers.rsyslog import Rsyslog, Transport
from tests.sinks.syslog_peers import client_tls, server_tls, write_tls_files

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(1800)]

KILLS = int(os.environ.get("SYSLOG_KILLS", "2"))
"""Of each side."""

RECORDS = 3000 * (KILLS + 1)
WINDOW = 128


@pytest.fixture
def receiver(tmp_path: Path, transport: Transport) -> Iterator[tuple[Rsyslog, dict[str, Any]]]:
    """Start rsyslog; with the settings of our side."""
    files = write_tls_files(tmp_path) if transport == "relp+tls" else {}
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
        url = f"{rsyslog.transport}://127.0.0.1:{rsyslog.port}"
        variables = with_syslog(tmp_path, persona.url, url, trust)
        ours = await kill_both(rsyslog, variables, tmp_path)
        made = set(await persona.made())
        with DaemonProcess(variables, tmp_path) as daemon:
            await daemon.until(lambda: made <= set(rsyslog.lines()), 600)
            assert await daemon.stop() == 0
    found = Counter(rsyslog.lines())
    missing, repeated = len(made - found.keys()), found.total() - len(found)
    print(f"{rsyslog.transport}: {len(made):,} collected, {KILLS} kills of rsyslog, {ours} of ours; ", end="")
    print(f"{missing} missing, {repeated} twice (at most {(KILLS + ours) * WINDOW})")
    assert missing == 0
    assert repeated <= (KILLS + ours) * WINDOW


def with_syslog(folder: Path, persona: str, url: str, trust: dict[str, Any]) -> dict[str, str]:
    """Variables of a daemon whose one sink is a receiver of syslog."""
    settings = {f"syslog_{name}": value for name, value in trust.items()}
    variables = environment(
        folder, persona, sinks="syslog", syslog_url=url, syslog_max_message_bytes="64KiB", **settings
    )
    del variables["FORWARDER_FILE_PATH"]
    return variables


async def kill_both(rsyslog: Rsyslog, variables: dict[str, str], folder: Path) -> int:
    """Kill ours and rsyslog in turn while messages arrive; returns how often ours was killed."""
    chance, ours = random.Random(KILLS), 0
    for _ in range(KILLS):
        with DaemonProcess(variables, folder) as daemon:
            for victim in ("rsyslog", "ours"):
                before = rsyslog.size()
                await daemon.until(lambda before=before: rsyslog.size() > before, 60)  # type: ignore[misc] # a default
                await asyncio.sleep(chance.uniform(0, 0.15))
                if victim == "rsyslog":
                    rsyslog.kill()
                    await asyncio.to_thread(rsyslog.start)
            daemon.kill()
            ours += 1
    return ours
