"""The whole daemon into Splunk's collector: kills on both sides, and a token that is wrong for a while.

``HEC_KILLS`` sets how often each side is killed in the slow test, ``HEC_WRONG_SECONDS`` how long the token is wrong.
"""

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Protocol

import pytest

import tests
from tests.daemon.process import DaemonProcess, caught_up, environment, simulator, until
from tests.peers import PeerProcess, accepts, free_port
from tests.peers.hec import TOKEN, HecServer

KILLS = int(os.environ.get("HEC_KILLS", "3"))
WRONG_SECONDS = float(os.environ.get("HEC_WRONG_SECONDS", "0"))
ROOT = Path(tests.__file__).parents[1]
BATCH, AWAITING = 50, 16
DELAY = 0.2
"""Seconds between the collector's answer and its index, in which a kill loses the events."""


class Killable(Protocol):
    """A collector that can be killed and started again."""

    @property
    def url(self) -> str: ...

    def start(self) -> None: ...

    def kill(self) -> None: ...

    def indexed(self) -> Counter[str]:
        """How often each id is on its disk."""
        ...


class Collector:
    """Our own collector as a process, and its disk."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.disk = folder / "indexed"
        self._log = folder / "collector.log"
        self._process: PeerProcess | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command: list[str | Path] = [sys.executable, "-m", "tests.peers.hec", str(self.port), self.disk, str(DELAY)]
        self._process = PeerProcess(command, self._log, {"PYTHONPATH": str(ROOT)})
        self._process.wait_until(lambda: accepts(self.port))

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()

    def indexed(self) -> Counter[str]:
        whole, _, _ = self.disk.read_text().rpartition("\n") if self.disk.exists() else ("", "", "")
        return Counter(whole.split())


@contextmanager
def collector(folder: Path) -> Iterator[Collector]:
    running = Collector(folder)
    running.start()
    try:
        yield running
    finally:
        running.kill()


async def killed_on_both_sides(folder: Path, splunk: Killable, *, records: int, kills: int) -> str:
    """Kill the daemon and the collector so often each while the daemon catches up; nothing may be missing.

    The same events go to a file, ``archive.jsonl`` in *folder*, too.
    """
    random, began = Random(kills), time.monotonic()
    async with simulator(folder, "--records", str(records), "--rate", "0", "--limit", "1000000") as persona:
        variables = environment(
            folder,
            persona.url,
            sinks="soc=splunk_hec,archive=file",
            archive_path=folder / "archive.jsonl",
            soc_url=splunk.url,
            soc_token=TOKEN,
            soc_batch_max_events=BATCH,
        )
        del variables["FORWARDER_FILE_PATH"]
        while_open = 0
        for side in random.sample(["ours", "its"] * kills, 2 * kills):
            with DaemonProcess(variables, folder) as daemon:
                await daemon.logged("sink.opened", 60, promise="indexed")
                await asyncio.sleep(random.uniform(0, 0.8))
                if side == "its":
                    splunk.kill()
                    await asyncio.sleep(random.uniform(0, 0.3))
                    splunk.start()
                    await asyncio.sleep(random.uniform(0, 1.5))
                while_open += 1
                daemon.kill()
        within = not caught_up(folder / "forwarder.db")
        made = await persona.made()
        with DaemonProcess(variables, folder) as daemon:
            await daemon.until(lambda: len(splunk.indexed()) >= len(made), 300)
            await daemon.until(lambda: caught_up(folder / "forwarder.db"), 60)
            assert await daemon.stop() == 0
        indexed = splunk.indexed()
        log = (folder / "daemon.log").read_text()
    duplicates = indexed.total() - len(indexed)
    assert indexed.keys() == set(made)
    assert duplicates <= while_open * 2 * AWAITING * BATCH
    assert "actor.failed" not in log
    assert "sink.faulty" not in log
    return (
        f"{len(made):,} made, {len(indexed):,} indexed, 0 missing, {duplicates:,} duplicates; {kills} kills of the "
        f"daemon alone and {kills} of the collector and then the daemon, the last {'within' if within else 'after'} "
        f"the catch-up; {time.monotonic() - began:.0f} s"
    )


@pytest.mark.timeout(110)
async def test_a_kill_on_each_side_between_send_and_acknowledgement_loses_nothing(tmp_path: Path) -> None:
    with collector(tmp_path) as splunk:
        await killed_on_both_sides(tmp_path, splunk, records=3_000, kills=1)


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_many_kills_on_both_sides_lose_nothing(tmp_path: Path) -> None:
    with collector(tmp_path) as splunk:
        print(await killed_on_both_sides(tmp_path, splunk, records=20_000, kills=KILLS))


@pytest.mark.timeout(110 + WRONG_SECONDS)
async def test_a_token_that_is_wrong_for_a_while_loses_nothing_and_needs_no_restart(tmp_path: Path) -> None:
    """Readiness says so and names the setting; the log says it once; the right token in the file heals it."""
    server = await HecServer().start()
    token = tmp_path / "token"
    token.write_text("00000000-0000-0000-0000-000000000000\n")
    async with simulator(tmp_path, "--records", "500", "--rate", "0", "--limit", "1000000") as persona:
        variables = environment(
            tmp_path, persona.url, sinks="soc=splunk_hec", soc_url=server.url(), soc_token_file=token
        )
        del variables["FORWARDER_FILE_PATH"]
        with DaemonProcess(variables, tmp_path) as daemon:
            reason = await daemon.unready("FORWARDER_SOC_TOKEN", 30)
            assert "Invalid token (code 4" in reason
            await daemon.until(lambda: caught_up(tmp_path / "forwarder.db"), 60)
            await asyncio.sleep(WRONG_SECONDS)
            assert server.indexed == []
            token.write_text(f"{TOKEN}\n")
            await until(lambda: len(server.indexed) >= 500, 90, daemon.words)
            await daemon.ready(30)
            said = daemon.events("sink.misconfigured")
            healed = daemon.events("sink.healed")
            assert await daemon.stop() == 0
        made = await persona.made()
    ids = [envelope["fields"]["log_id"] for envelope in server.indexed]
    await server.stop()
    assert sorted(ids) == sorted(made)
    assert len(said) == 1
    assert "FORWARDER_SOC_TOKEN" in said[0]["reason"]
    assert len(healed) == 1
    print(
        f"wrong for {healed[0]['seconds']:.0f} s, told {len(said)} time; {len(ids)} of {len(made)} indexed, once each"
    )
