"""Reading what a topic holds, as a ``read_committed`` consumer sees it, by the connections of our producer.

No consumer of aiokafka's: it would bring tasks of its own, which would have to be ended whatever the brokers do.
"""

from collections.abc import AsyncIterator, Iterable
from typing import Any

from aiokafka import errors
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, PartitionRecords
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from forwarder.sinks.kafka.failures import MayNotRead

_EARLIEST, _LATEST = -2, -1  # ListOffsets' numbers for the ends of a partition
_FETCH_BYTES = 8 << 20
_FETCH_WAIT_MS = 200
"""How long a broker may wait for something to read: what we want to read is there, unless a transaction hides it."""


class Reader:
    """Reads partitions by an ``AIOKafkaClient`` that knows their leaders.

    :ivar hidden: where a reader waits for an open transaction to end, for people; None while it does not
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.hidden: str | None = None

    def partitions(self, topic: str) -> list[int]:
        """The partitions of *topic*."""
        return sorted(self._client.cluster.partitions_for_topic(topic) or ())

    async def bounds(self, topic: str, partition: int, *, stable: bool = False) -> tuple[int, int]:
        """The first offset of a partition, and the one after all that is written, be it committed or not.

        With *stable*, the one before which no transaction is open.

        :raises KafkaError: the brokers do not say
        """
        level = READ_COMMITTED if stable else READ_UNCOMMITTED
        first = await self._offset(topic, partition, _EARLIEST, READ_UNCOMMITTED)
        return first, await self._offset(topic, partition, _LATEST, level)

    async def ask(self, topic: str, partition: int, at: int) -> None:
        """Find out whether we may read a partition that holds nothing to read.

        :raises KafkaError: we may not
        """
        await self._fetch(TopicPartition(topic, partition), at)

    async def read(self, topic: str, partition: int, start: int, stop: int) -> AsyncIterator[Any]:
        """Give every committed record from offset *start* to before *stop*.

        Waits while a transaction is open that began before *stop*, whoever's it is: what comes after it is not shown
        before it has ended, and our own last record may be among that. The caller bounds this.

        :raises KafkaError: it cannot be read
        """
        at = start
        where = TopicPartition(topic, partition)
        while at < stop:
            raw, aborted = await self._fetch(where, at)
            records = PartitionRecords(
                where,
                MemoryRecords(raw),
                aborted,
                fetch_offset=at,
                key_deserializer=None,
                value_deserializer=None,
                check_crcs=True,
                isolation_level=READ_COMMITTED,
            )
            for record in records:
                if record.offset >= stop:
                    return
                yield record
            stands = records.next_fetch_offset == at
            self.hidden = f"topic {topic}, partition {partition}, from offset {at} on" if stands else None
            at = records.next_fetch_offset

    async def _fetch(self, where: TopicPartition, at: int) -> tuple[bytes, Iterable[tuple[int, int]]]:
        wanted = [(where.topic, [(where.partition, at, _FETCH_BYTES)])]
        request = FetchRequest(_FETCH_WAIT_MS, 1, _FETCH_BYTES, READ_COMMITTED, wanted)
        answer = await self._client.send(self._leader(where), request)
        ((_, ((_, code, _, *rest),)),) = answer.topics
        _raise_for(where, code)
        # Since version 4 of the request: last stable offset, (log start,) aborted transactions, (replica,) records.
        return rest[-1], rest[2] if answer.API_VERSION >= 11 else rest[-2]

    async def _offset(self, topic: str, partition: int, which: int, level: int) -> int:
        where = TopicPartition(topic, partition)
        request = OffsetRequest(-1, level, [(topic, [(partition, which)])])
        answer = await self._client.send(self._leader(where), request)
        ((_, ((_, code, _, offset),)),) = answer.topics
        _raise_for(where, code)
        return int(offset)

    def _leader(self, where: TopicPartition) -> int:
        leader = self._client.cluster.leader_for_partition(where)
        if leader is None or leader == -1:
            raise errors.LeaderNotAvailableError(f"partition {where.partition} of {where.topic} has no leader")
        return int(leader)


def _raise_for(where: TopicPartition, code: int) -> None:
    kind = errors.for_code(code)
    if kind is errors.TopicAuthorizationFailedError:
        raise MayNotRead(where.topic)
    if kind is not errors.NoError:
        raise kind(where.topic)
