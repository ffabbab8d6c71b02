# ruff: noqa: SLF001 # the reason is in the class's docstring
"""aiokafka's producer, made to start and end cleanly, and to take whole record batches."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer, errors
from aiokafka.partitioner import DefaultPartitioner

from forwarder.errors import Retryable
from forwarder.sinks.kafka.connection import hang_up
from forwarder.sinks.kafka.failures import failure

_ENDING = 2.0
"""Seconds that cancelled tasks, and then closed sockets, get to be gone."""


@dataclass(slots=True)
class Parcel:
    """One record batch on its way to one partition, and the places of its events in what the sink was given."""

    partition: int
    batch: Any
    places: list[int] = field(default_factory=list)
    handed_over: bool = False
    delivered: bool = False
    error: BaseException | None = None

    @property
    def size(self) -> int:
        """Bytes on the wire, before compression."""
        return int(self.batch.size())


class Producer:
    """One producer for one topic.

    aiokafka's ``start`` asks again what we have just been told, and leaks its connection when it is cancelled
    meanwhile; its ``stop`` waits for its deliveries, for ever where the brokers are gone (its issue 1101). So both are
    done here with some of its inner parts. The tests with killed and frozen brokers fail when a release moves these.
    """

    def __init__(self, topic: str, **options: Any) -> None:
        self._topic = topic
        self._inner: Any = AIOKafkaProducer(acks="all", **options)
        self._requests: set[asyncio.Task[Any] | None] = set()
        self._send_request = self._inner._sender._send_produce_req
        self._inner._sender._send_produce_req = self._remembered

    async def start(self, metadata: Any) -> None:
        """Begin with the brokers of *metadata*, an answer that one of them has just given.

        :raises Retryable: none of them can be reached at the address that it advertises
        """
        client = self._inner.client
        client.cluster.update_metadata(metadata)
        known = client.set_topics([self._topic])
        client._sync_task = asyncio.create_task(client._md_synchronizer())
        if not await known:
            names = ", ".join(f"{broker.host}:{broker.port}" for broker in client.cluster.brokers())
            reason = f"the brokers cannot be reached where they say they are ({names})"
            raise Retryable(reason, kind="connection")
        await self._inner._sender.start()

    async def choose(self, keys: Sequence[bytes | None], deadline: float) -> list[int]:
        """Choose a partition for each key as the Java client does; all without a key go to one partition with a leader.

        :raises Retryable: the partitions are not known by *deadline* (of the loop's clock)
        """
        try:
            async with asyncio.timeout_at(deadline):
                partitions = sorted(await self._inner.partitions_for(self._topic))
        except TimeoutError as error:
            raise Retryable(f"the partitions of topic {self._topic} are not known", kind="timeout") from error
        except errors.KafkaError as error:
            raise failure(error) from error
        available = list(self._inner.client.cluster.available_partitions_for_topic(self._topic) or ())
        choose = DefaultPartitioner()
        chosen = {key: choose(key, partitions, available) for key in set(keys)}
        return [chosen[key] for key in keys]

    def new_parcel(self, partition: int) -> Parcel:
        """Make an empty record batch for *partition*."""
        return Parcel(partition, self._inner.create_batch())

    async def deliver(self, parcels: Sequence[Parcel], deadline: float) -> None:
        """Send *parcels* and note on each what became of it by *deadline* (of the loop's clock)."""
        waiting: dict[asyncio.Future[Any], Parcel] = {}
        try:
            async with asyncio.timeout_at(deadline):
                await self._hand_over(parcels, waiting)
                if waiting:
                    await asyncio.wait(waiting)
        except TimeoutError:
            pass  # what has no answer by now is seen below
        finally:
            for future, parcel in waiting.items():
                if future.done() and not future.cancelled():
                    parcel.error = future.exception()
                    parcel.delivered = parcel.error is None
                future.cancel()  # nobody looks at it any more, and it must not complain of that later

    async def _hand_over(self, parcels: Sequence[Parcel], waiting: dict[asyncio.Future[Any], Parcel]) -> None:
        for parcel in parcels:
            try:
                # Waits while an earlier batch of this partition is in line.
                future = await self._inner.send_batch(parcel.batch, self._topic, partition=parcel.partition)
            except errors.KafkaError as error:
                parcel.error = error
                return
            parcel.handed_over = True
            waiting[future] = parcel

    async def abort(self) -> None:
        """Let go of everything at once: tasks, sockets, what was not sent. Bounded whatever the brokers do."""
        self._inner._closed = True  # else it would complain that nobody stopped it
        client, sender = self._inner.client, self._inner._sender
        await _end({task for task in (client._sync_task, sender.sender_task, *self._requests) if task is not None})
        client._sync_task = None
        await _end({asyncio.create_task(hang_up(connection)) for connection in client._conns.values()}, patiently=True)

    async def _remembered(self, node: int, batches: Any) -> None:
        """Send one produce request; its task is aiokafka's, which forgets it."""
        task = asyncio.current_task()
        self._requests.add(task)
        try:
            await self._send_request(node, batches)
        finally:
            self._requests.discard(task)


async def _end(tasks: set[asyncio.Task[Any]], *, patiently: bool = False) -> None:
    if not tasks:
        return
    if patiently:
        _, tasks = await asyncio.wait(tasks, timeout=_ENDING)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_ENDING)
