"""The whole daemon with Kafka: an outage in the middle, a stop during it, and what ``check --live`` says.

``KAFKA_OUTAGE`` sets for how many seconds the brokers are away; the acceptance page says 60.
"""

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from forwarder.simulator import SimulatedPersona, World
from tests.daemon.process import DaemonProcess, Lines, Process, environment
from tests.peers.kafka import KafkaBroker
from tests.peers.proxy import Proxy
from tests.sinks.kafka_broker.conftest import new_name

pytestmark = [pytest.mark.peer, pytest.mark.xdist_group("kafka")]

OUTAGE = float(os.environ.get("KAFKA_OUTAGE", "1"))
GRACE = 10


def variables(folder: Path, persona: SimulatedPersona, servers: str, topic: str, **settings: Any) -> dict[str, str]:
    """A daemon with a file and a topic, which gives up on a batch after four seconds."""
    kafka = {
        "sinks": "file,kafka",
        "kafka_bootstrap_servers": servers,
        "kafka_topic": topic,
        "kafka_timeout": "4s",
        "kafka_batch_max_events": 20,
        "shutdown_grace": f"{GRACE}s",
    }
    return environment(folder, persona, **{**kafka, **settings})


async def until_shown(broker: KafkaBroker, topic: str, ids: list[str]) -> None:
    """Wait until the topic shows *ids*, and each of them once."""
    deadline = asyncio.get_running_loop().time() + 60
    while True:
        records = await asyncio.to_thread(broker.read, topic)
        shown = Counter(orjson.loads(record.value)["id"] for record in records)
        assert shown.total() == len(shown), "an event is shown twice"
        if shown.keys() >= set(ids):
            return
        assert asyncio.get_running_loop().time() < deadline, f"{len(shown)} of {len(ids)} are shown"
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("how", ["gone", "hanging"])
@pytest.mark.timeout(300)
async def test_while_the_brokers_are_away_others_go_on_and_a_stop_is_clean(
    broker: KafkaBroker, topic: str, proxy: Proxy, tmp_path: Path, how: str
) -> None:
    async with SimulatedPersona(World(records=200), limit=1_000_000, live_rate=20) as persona:
        settings = variables(tmp_path, persona, broker.address("proxy"), topic)
        lines = Lines(tmp_path / "events.jsonl")
        with DaemonProcess(settings, tmp_path) as daemon:
            await daemon.until(lambda: len(lines.look()) >= 200)
            await until_shown(broker, topic, [line["id"] for line in lines.content()[:200]])
            if how == "gone":
                await proxy.cut()
            else:
                proxy.stall()
            await daemon.logged("sink.batch_retried", 60, sink="kafka")
            await asyncio.sleep(OUTAGE)
            before = len(lines.look())
            await daemon.until(lambda: len(lines.look()) >= before + 20)
            daemon.send(signal.SIGTERM)
            assert await daemon.ended(GRACE + 20) == 0
            assert daemon.events("daemon.stopped")
            for name in ("actor.cancelled", "actor.left_behind", "actor.failed", "library.message"):
                assert not daemon.events(name), daemon.words()
        await proxy.mend()
        with DaemonProcess(settings, tmp_path) as daemon:
            await daemon.until(lambda: len(lines.look()) >= before + 20)
            await until_shown(broker, topic, [line["id"] for line in lines.content()])
            assert await daemon.stop(GRACE + 20) == 0


async def check_live(settings: dict[str, str], folder: Path) -> tuple[int, str]:
    """The exit status, and the row about Kafka."""
    log = folder / "check.txt"
    log.unlink(missing_ok=True)
    with Process(["check", "--live"], settings, log) as command:
        status = await command.ended(60)
        [row] = [
            line for line in command.words().splitlines() if line.startswith("kafka ") and line.split()[1] != "kafka"
        ]
        return status, row


async def test_check_live_says_what_is_wrong_and_what_ought_to_be_otherwise(
    broker: KafkaBroker, topic: str, tmp_path: Path
) -> None:
    broker.configure_topic(topic, retention_ms=str(7 * 86_400_000))
    async with SimulatedPersona(World(records=5)) as persona:
        patient = {"kafka_timeout": "30s"}
        good = variables(tmp_path, persona, broker.address(), topic, **patient)
        status, row = await check_live(good, tmp_path)
        assert (status, row.split()[1]) == (0, "ok")
        assert "by the time of the log" in row
        assert "has one replica" in row
        missing = variables(tmp_path, persona, broker.address(), new_name(), **patient)
        status, row = await check_live(missing, tmp_path)
        assert (status, row.split()[1]) == (1, "failed")
        assert "does not exist" in row
    for name in (topic, f"{topic}.checkpoint"):
        assert await asyncio.to_thread(broker.read, name, committed=False) == []
