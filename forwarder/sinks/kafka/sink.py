"""The sink: fills record batches, sends them, says which events are in.

It fills the batches itself, so it knows which events share one, which is what a broker takes or refuses whole. After a
failure the producer is thrown away, and the next open begins afresh.
"""

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from aiokafka import errors

from forwarder.errors import Refused, Retryable
from forwarder.sinks.base import Item, Sink, SinkSettings
from forwarder.sinks.kafka.connection import SHARE, connection_options, first_contact, hang_up, hung_up
from forwarder.sinks.kafka.failures import TOO_LARGE, failure, is_doubtful
from forwarder.sinks.kafka.producer import Parcel, Producer
from forwarder.sinks.kafka.records import headers_of, key_of, timestamp_of
from forwarder.sinks.kafka.settings import KafkaSettings
from forwarder.sinks.kafka.topic import Topic, survey

_BATCH_BYTES = 256 << 10
"""Most bytes of one record batch before compression; with aiokafka's own 16 KiB it is half as fast."""


class KafkaSink(Sink[KafkaSettings]):
    """One topic of one Kafka cluster."""

    kind: ClassVar[str] = "kafka"
    settings_model: ClassVar[type[SinkSettings]] = KafkaSettings

    _producer: Producer | None = None
    _topic: Topic
    _one_by_one = False
    """Whether each event is sent alone, to find out which one is too large where we may not read the limit."""

    @property
    def promise(self) -> str:
        """Acknowledged by all in-sync replicas."""
        return "stored"

    @property
    def destination(self) -> str:
        """Brokers and topic."""
        return f"kafka://{','.join(self.settings.bootstrap_servers)}/{self.settings.topic}"

    async def open(self) -> None:
        """Connect, find the topic or create it, and learn how large its records may be."""
        await self.close()
        limit = self.settings.timeout * SHARE
        try:
            async with asyncio.timeout(limit):
                await self._open()
        except TimeoutError as error:
            await self.close()
            raise Retryable(f"the brokers did not answer within {limit:g} s", kind="timeout") from error
        except errors.KafkaError as error:
            await self.close()
            hint = hung_up(error)
            raise (
                Retryable(f"a broker answered, but {hint}", kind="connection") if hint else failure(error)
            ) from error
        except BaseException:
            await self.close()
            raise

    async def send(self, batch: Sequence[Item]) -> None:
        """Return when all in-sync replicas have every event of *batch*."""
        if self._producer is None:
            raise Retryable("the connection is closed", kind="connection")
        deadline = asyncio.get_running_loop().time() + self.settings.timeout * SHARE
        keys = [key_of(item.event, self.settings.message_key) for item in batch]
        partitions = await self._producer.choose(keys, deadline)
        at = 0
        while at < len(batch):
            parcels, at, giant = self._pack(self._producer, batch, keys, partitions, at)
            await self._deliver(self._producer, parcels, deadline)
            if giant is not None:
                if self.settings.compression == "none":
                    raise Refused(self._too_large(giant), at=at)
                # Compressed it may be small enough, which only the broker can tell; alone, its refusal is exact.
                await self._deliver(self._producer, [giant], deadline)
                at += 1

    async def close(self) -> None:
        """Let go of everything at once: nothing is in flight that anybody still waits for."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.abort()

    async def _open(self) -> None:
        server, connection = await first_contact(self.settings)
        try:
            self._topic = await survey(self.settings, connection)
        finally:
            await hang_up(connection)
        if self._topic.limit_known:
            self._one_by_one = False
        self._producer = Producer(
            self.settings.topic,
            bootstrap_servers=server,
            max_batch_size=min(_BATCH_BYTES, self._topic.limit),
            compression_type=None if self.settings.compression == "none" else self.settings.compression,
            **connection_options(self.settings),
        )
        await self._producer.start(self._topic.metadata)

    def _pack(
        self, producer: Producer, batch: Sequence[Item], keys: list[bytes | None], partitions: list[int], first: int
    ) -> tuple[list[Parcel], int, Parcel | None]:
        """Fill record batches with the events from place *first* on.

        Returns them, the place after their last event, and, where the event there is too large for the topic, that
        event in a batch of its own.
        """
        parcels: list[Parcel] = []
        filling: dict[int, Parcel] = {}
        stop = first + 1 if self._one_by_one else len(batch)
        for place in range(first, stop):
            event, partition = batch[place].event, partitions[place]
            record = {
                "key": keys[place],
                "value": batch[place].body,
                "timestamp": timestamp_of(event),
                "headers": headers_of(event),
            }
            parcel = filling.get(partition)
            if parcel is None or parcel.batch.append(**record) is None:
                parcel = producer.new_parcel(partition)
                parcel.batch.append(**record)  # the first record of a batch fits whatever its size
                if parcel.size > self._topic.limit:
                    parcel.places.append(place)
                    return parcels, place, parcel
                parcels.append(parcel)
                filling[partition] = parcel
            parcel.places.append(place)
        return parcels, stop, None

    async def _deliver(self, producer: Producer, parcels: Sequence[Parcel], deadline: float) -> None:
        """Send *parcels*, which hold a run of events, all before which are in; raise if any of them is not taken."""
        await producer.deliver(parcels, deadline)
        missing = [parcel for parcel in parcels if not parcel.delivered]
        if not missing:
            return
        first = missing[0]  # parcels are in the order of their first events
        accepted = first.places[0]
        if isinstance(first.error, TOO_LARGE):
            if len(parcels) == len(first.places) == 1:
                # Nothing else is on its way, so the producer is as good as new.
                raise Refused(self._too_large(first), at=accepted) from first.error
            # The limit was lowered since we read it, or we were not allowed to: find out which event it is.
            self._one_by_one = True
        await self.close()
        unanswered = any(
            parcel.delivered or (parcel.handed_over and is_doubtful(parcel.error))
            for parcel in parcels
            if parcel.places[-1] >= accepted
        )
        raise failure(first.error, accepted=accepted, unanswered=unanswered) from first.error

    def _too_large(self, parcel: Parcel) -> str:
        size = f"{parcel.size} bytes as a record{'' if self.settings.compression == 'none' else ' before compression'}"
        limit = f"takes {self._topic.limit} (max.message.bytes)"
        if not self._topic.limit_known:
            limit = f"is taken to take {self._topic.limit}, since we may not read its max.message.bytes"
        return f"the event is {size}; topic {self.settings.topic} {limit}"
