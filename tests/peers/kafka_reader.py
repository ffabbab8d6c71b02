"""Reading a topic with librdkafka, which is not our client."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition


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
def reader(brokers: str, *, committed: bool = True) -> Iterator[Any]:
    """Connect; everything is closed at the end, so that no socket outlives a test.

    With *committed* it sees what transactions have committed and what knows of none; without, aborted copies, too.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "nobody",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed" if committed else "read_uncommitted",
            "log_level": 0,
            "fetch.wait.max.ms": 10,
            "fetch.message.max.bytes": 50_000_000,
        }
    )
    try:
        yield consumer
    finally:
        consumer.close()


def read_topic(brokers: str, topic: str, *, committed: bool = True) -> list[Record]:
    """Read everything that *topic* holds now, partition by partition, once no transaction is open in it."""
    # To one that reads what is committed, the library gives an end before which no transaction is open.
    with reader(brokers, committed=False) as consumer:
        partitions = sorted(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
        bounds = {each: consumer.get_watermark_offsets(TopicPartition(topic, each), timeout=10) for each in partitions}
    with reader(brokers, committed=committed) as consumer:
        return [
            record
            for partition, (first, end) in bounds.items()
            if first < end
            for record in _read_partition(consumer, topic, partition, first, end)
        ]


def _read_partition(consumer: Any, topic: str, partition: int, first: int, end: int) -> Iterator[Record]:
    # Were it to look for the beginning itself, the library would wait half a second before it does.
    consumer.assign([TopicPartition(topic, partition, first)])
    deadline = time.monotonic() + 30
    while True:
        message = consumer.poll(1)
        # The last offsets may be those of markers, which nobody sees: the end is where the library says so. Before that
        # may be what was committed a moment ago: a broker answers before it has written the markers.
        error = None if message is None else message.error()
        if error is not None and error.code() == KafkaError._PARTITION_EOF and message.offset() >= end:
            return
        if message is None or error is not None:
            assert time.monotonic() < deadline, f"partition {partition} of {topic} cannot be read to its end"
            continue
        yield Record(
            partition,
            message.offset(),
            message.key(),
            message.value(),
            message.headers() or [],
            message.timestamp()[1],
        )
