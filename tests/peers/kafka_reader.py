"""Reading a topic with librdkafka, which is not our client."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, TopicPartition


@dataclass(frozen=True)
class Record:
    """What a reader found."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]
    timestamp: int


@contextmanager
def reader(brokers: str) -> Iterator[Any]:
    """Connect; everything is closed at the end, so that no socket outlives a test."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "nobody",
            "enable.auto.commit": False,
            "log_level": 0,
            "fetch.wait.max.ms": 10,
            "fetch.message.max.bytes": 50_000_000,
        }
    )
    try:
        yield consumer
    finally:
        consumer.close()


def read_topic(brokers: str, topic: str) -> list[Record]:
    """Read everything that *topic* holds now, partition by partition."""
    with reader(brokers) as consumer:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        return [record for partition in sorted(partitions) for record in _read_partition(consumer, topic, partition)]


def _read_partition(consumer: Any, topic: str, partition: int) -> Iterator[Record]:
    _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
    if not end:
        return
    consumer.assign([TopicPartition(topic, partition, 0)])
    deadline = time.monotonic() + 20
    offset = -1
    while offset < end - 1:
        message = consumer.poll(1)
        if message is None or message.error() is not None:
            assert time.monotonic() < deadline, f"partition {partition} of {topic} cannot be read to its end"
            continue
        offset = message.offset()
        yield Record(partition, offset, message.key(), message.value(), message.headers() or [], message.timestamp()[1])
