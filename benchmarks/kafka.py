"""``python -m benchmarks.kafka``: events a second into Apache Kafka, beside Kafka's own producer and kcat.

One broker on one core, and on the other one after the other: the sink with each way of delivery, as the worker drives
it; ``kafka-producer-perf-test``, with transactions and without, and ``kcat``, all with ``acks=all``, into the same
broker. The others send the same number of bytes: their values are as long as our records with key and headers. Needs
Java, Maven and kcat.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.processes import DAEMON_CORE, PERSONA_CORE
from forwarder.formats import FORMATS
from forwarder.sinks.base import Item, SinkContext
from forwarder.sinks.kafka import KafkaSettings, KafkaSink
from forwarder.sinks.kafka.records import headers_of, key_of, place_of
from tests.peers.kafka import KafkaBroker, java
from tests.sinks.contract import make_items

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = 500
"""Events of one batch, as the settings have it."""

_PARTITIONS = 6
_VALUE_BYTES = 700
"""About what the simulated Persona's events are long."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kafka", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000, help="events of each run")
    parser.add_argument("--runs", type=int, default=3, help="runs; the median counts")
    options = parser.parse_args()
    if shutil.which("kcat") is None:
        parser.error("kcat is not installed")
    with TemporaryDirectory(prefix="bench-kafka-") as name:
        folder = Path(name)
        broker = KafkaBroker(folder)
        os.sched_setaffinity(0, {PERSONA_CORE})  # the broker inherits it
        broker.start()
        broker.warm_up()
        os.sched_setaffinity(0, {DAEMON_CORE})  # everything from here on
        try:
            _compare(broker, folder, options.events, options.runs)
        finally:
            broker.stop()


def _compare(broker: KafkaBroker, folder: Path, events: int, runs: int) -> None:
    items = _items(events)
    size = sum(map(_record_bytes, items[:1000])) // 1000
    payload = folder / "payload.txt"
    payload.write_text(("x" * (size - 1) + "\n") * events)
    contestants: dict[str, Callable[[str], float]] = {
        "ours, exactly-once": lambda topic: _ours(broker, topic, items, "exactly-once"),
        "kafka-producer-perf-test, transactions": lambda topic: _perf_test(
            broker, topic, events, size, transactions=True
        ),
        "ours, at-least-once": lambda topic: _ours(broker, topic, items, "at-least-once"),
        "kafka-producer-perf-test": lambda topic: _perf_test(broker, topic, events, size, transactions=False),
        "kcat": lambda topic: _kcat(broker, topic, payload, events),
    }
    print(f"{events:,} events of {size} bytes as records, {_PARTITIONS} partitions, {runs} runs; events a second")
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for run in range(runs):
        for number, (name, contest) in enumerate(contestants.items()):
            topic = f"bench-{run}-{number}"
            broker.create_topics(topic, partitions=_PARTITIONS)
            found[name].append(contest(topic))
    middle = {name: median(rates) for name, rates in found.items()}
    for name, rates in found.items():
        print(f"  {name:<40}{middle[name]:>10,.0f}  ({min(rates):,.0f} to {max(rates):,.0f})")
    for ours, theirs in (
        ("ours, exactly-once", "kafka-producer-perf-test, transactions"),
        ("ours, at-least-once", "kafka-producer-perf-test"),
        ("ours, at-least-once", "kcat"),
    ):
        print(f"  {ours} is {middle[ours] / middle[theirs]:.2f} times {theirs}")


def _items(events: int) -> list[Item]:
    write = FORMATS["json"]
    sample = make_items(1, text="plain")[0]
    padding = max(0, _VALUE_BYTES - len(write(sample.event)))
    return [Item(item.seq, item.event, write(item.event)) for item in make_items(events, text="plain", size=padding)]


def _record_bytes(item: Item) -> int:
    headers = [*headers_of(item.event, "json"), *place_of(item.seq, "0123456789abcdef")]
    return len(item.body) + len(key_of(item.event, "id") or b"") + sum(len(name) + len(text) for name, text in headers)


def _ours(broker: KafkaBroker, topic: str, items: list[Item], delivery: str) -> float:
    settings = {"bootstrap_servers": broker.address(), "topic": topic, "delivery": delivery, "message_key": "id"}
    sink = KafkaSink(KafkaSettings.model_validate(settings), SinkContext("kafka", "0123456789abcdef"))

    async def send() -> float:
        await sink.open()
        batches = iter([items[start : start + BATCH] for start in range(0, len(items), BATCH)])

        async def in_turn() -> None:
            for batch in batches:
                await sink.send(batch)

        began = time.perf_counter()
        await asyncio.gather(*(in_turn() for _ in range(sink.max_in_flight)))
        seconds = time.perf_counter() - began
        await sink.close()
        return seconds

    return len(items) / asyncio.run(send())


def _perf_test(broker: KafkaBroker, topic: str, events: int, size: int, *, transactions: bool) -> float:
    command = [
        *java(broker.jars), "org.apache.kafka.tools.ProducerPerformance", "--topic", topic,
        "--num-records", str(events), "--record-size", str(size), "--throughput", "-1",
        "--bootstrap-server", broker.address(),
        "--command-property", "acks=all", "--command-property", "batch.size=262144",
    ]  # fmt: skip
    if transactions:
        command += ["--transactional-id", topic, "--transaction-duration-ms", "20"]
    command.remove("-XX:TieredStopAtLevel=1")  # it shall run as fast as it can
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = re.findall(r"([\d.]+) records/sec", done.stdout)
    if done.returncode or not told:
        sys.exit(f"{done.stdout}\n{done.stderr}")
    return float(told[-1])


def _kcat(broker: KafkaBroker, topic: str, payload: Path, events: int) -> float:
    command = ["kcat", "-P", "-q", "-b", broker.address(), "-t", topic, "-X", "acks=all", "-l", str(payload)]
    began = time.perf_counter()
    subprocess.run(command, check=True)
    return events / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
