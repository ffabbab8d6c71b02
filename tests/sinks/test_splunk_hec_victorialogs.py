"""The Splunk sink into a real log database that takes Splunk's protocol and was written by others."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
import pytest_asyncio

from forwarder.secret import Secret
from tests.daemon.process import DaemonProcess, environment, simulator
from tests.peers.victorialogs import VictoriaLogs
from tests.sinks.contract import Destination, SinkContract, make_items
from tests.sinks.test_splunk_hec_urls import make_sink

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(1000)]  # it may have to be built
BATCH, RECORDS = 50, 5_000


class Database(Destination):
    """The database as the shared contract sees it."""

    secrets = ("a-token-that-it-ignores",)

    def __init__(self, peer: VictoriaLogs) -> None:
        self.peer = peer

    def settings(self) -> dict[str, Any]:
        return {"url": self.peer.url, "token": Secret(self.secrets[0]), "timeout": 5.0}

    async def arrived(self) -> list[bytes]:
        return [orjson.dumps(orjson.loads(row["_msg"])) for row in await self.peer.stored()]

    async def break_down(self) -> None:
        self.peer.stop()

    async def mend(self) -> None:
        if not self.peer.running:
            self.peer.start()


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """Run an empty database."""
    peer = VictoriaLogs(tmp_path)
    peer.start()
    yield Database(peer)
    peer.stop()


class TestSplunkHecIntoVictoriaLogs(SinkContract):
    kind = "splunk_hec"
    keeps_order = False
    biggest = 200_000  # it drops longer lines, with HTTP 200

    @pytest_asyncio.fixture
    async def destination(self, database: Database) -> Database:  # type: ignore[override] # ended by `database`
        return database


async def test_envelopes_are_read_as_they_are_meant(database: Database) -> None:
    sink = make_sink(database.peer.url, index="audit", host="h")
    await sink.open()
    await sink.send(make_items(2))
    await sink.close()
    rows = sorted(await database.peer.stored(), key=lambda row: str(row["fields.log_id"]))
    for row, item in zip(rows, make_items(2), strict=True):
        assert row["_time"].startswith("2026-03-01T09:15:02.331")
        assert (row["fields.log_id"], row["index"], row["host"]) == (item.event.id, "audit", "h")
        assert row["sourcetype"] == "persona:user_audit_log"


def at_least(count: int) -> Callable[[list[dict[str, Any]]], bool]:
    return lambda rows: len(rows) >= count


async def holds(peer: VictoriaLogs, enough: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """Wait until the database holds what is waited for, and give it all."""
    deadline = time.monotonic() + 120
    while not enough(rows := await peer.stored()):
        assert time.monotonic() < deadline, f"it holds {len(rows)} events"
        await asyncio.sleep(0.05)
    return rows


@pytest.fixture
def own_database(tmp_path: Path) -> Iterator[VictoriaLogs]:
    """A database of the test's own, which it may restart."""
    peer = VictoriaLogs(tmp_path)
    peer.start()
    yield peer
    peer.stop()


async def test_kills_of_the_daemon_and_restarts_of_the_database_lose_nothing(
    tmp_path: Path, own_database: VictoriaLogs
) -> None:
    """It has no acknowledgement, so it is ended politely; the daemon is not."""
    random, kills, peer = Random(7), 6, own_database
    async with simulator(tmp_path, "--records", str(RECORDS), "--rate", "0", "--limit", "1000000") as persona:
        variables = environment(
            tmp_path,
            persona.url,
            sinks="soc=splunk_hec",
            soc_url=peer.url,
            soc_token="any",
            soc_batch_max_events=BATCH,
            persona_page_size=20,
        )
        del variables["FORWARDER_FILE_PATH"]
        for number in range(kills):
            with DaemonProcess(variables, tmp_path) as daemon:
                await daemon.logged("sink.opened", 60)
                if number % 2:
                    peer.stop()
                    peer.start()
                await holds(peer, at_least(min(len(await peer.stored()) + random.randrange(1, 400), RECORDS)))
                daemon.kill()
        made = await persona.made()
        with DaemonProcess(variables, tmp_path) as daemon:
            rows = await holds(peer, lambda rows: set(made) <= {row["fields.log_id"] for row in rows})
            assert await daemon.stop() == 0
    found = Counter(row["fields.log_id"] for row in rows)
    assert found.keys() == set(made)
    print(f"{len(made):,} made, {len(found):,} stored, 0 missing, {found.total() - len(found)} twice; {kills} kills")
