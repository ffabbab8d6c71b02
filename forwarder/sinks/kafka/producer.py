# ruff: noqa: SLF001 # the reason is in the class's docstring
"""aiokafka's producer, made to start and end cleanly, and to take whole record batches."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from aiokafka import AIOKafkaProducer, errors
from aiokafka.client import CoordinationType
from aiokafka.partitioner import DefaultPartitioner

from forwarder.errors import Retryable
from forwarder.sinks.kafka.connection import hang_up
from forwarder.sinks.kafka.failures import failure

_ENDING = 2.0
"""Seconds that cancelled tasks, and then closed sockets, get to be gone."""


@dataclass(slots=True)
class Parcel:
    """One record batch on its way to one partition, and the places of its events in what the sink was given."""

    topic: str
    partition: int
    batch: Any
    places: list[int] = field(default_factory=list)
    handed_over: bool = False
    delivered: bool = False
    error: BaseException | None = None

    @property
    def size(self) -> int:
        """Bytes on the wire, before compression unless it is finished."""
        return int(self.batch.size())


class TurnedAway(Exception):
    """What was to be sent has to wait for what comes before it and was not sent yet."""


class Producer:
    """One producer, with transactions where it is given a ``transactional_id``.

    aiokafka's ``start`` asks again what we have just been told, and leaks its connection when it is cancelled
    meanwhile; its ``stop`` waits for its deliveries, for ever where the brokers are gone (its issue 1101). So both are
    done here with some of its inner parts. The tests with killed and frozen brokers fail when a release moves these.
    """

    def __init__(self, topics: Sequence[str], **options: Any) -> None:
        self._topics = topics
        self._inner: Any = AIOKafkaProducer(acks="all", **options)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._turns: dict[tuple[str, int], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._broken = self._shut = False
        self._remember_tasks()

    @property
    def client(self) -> Any:
        """The client, to ask the brokers by."""
        return self._inner.client

    async def connect(self, metadata: Any) -> None:
        """Begin with the brokers of *metadata*, an answer that one of them has just given.

        :raises Retryable: none of them can be reached at the address that it advertises
        """
        client = self.client
        client.cluster.update_metadata(metadata)
        known = client.set_topics(self._topics)
        client._sync_task = asyncio.create_task(client._md_synchronizer())
        if not await known:
            names = ", ".join(f"{broker.host}:{broker.port}" for broker in client.cluster.brokers())
            reason = f"the brokers cannot be reached where they say they are ({names})"
            raise Retryable(reason, kind="connection")

    async def start(self) -> None:
        """Make ready to send. With transactions that ends whatever an earlier owner of the id has begun.

        May wait for ever; the caller bounds it.

        :raises KafkaError: the brokers do not let us
        """
        await self._inner._sender.start()

    async def coordinator(self) -> int:
        """Find the node that coordinates our transactions, without beginning anything.

        May wait for ever, as for a cluster that has had no transaction yet; the caller bounds it.

        :raises KafkaError: the brokers do not let us know
        """
        sender, transactions = self._inner._sender, self._inner._txn_manager
        return int(await sender._find_coordinator(CoordinationType.TRANSACTION, transactions.transactional_id))

    async def choose(self, topic: str, keys: Sequence[bytes | None], deadline: float) -> list[int]:
        """Choose a partition for each key as the Java client does; all without a key go to one partition with a leader.

        :raises Retryable: the partitions are not known by *deadline* (of the loop's clock)
        """
        try:
            async with asyncio.timeout_at(deadline):
                partitions = sorted(await self._inner.partitions_for(topic))
        except TimeoutError as error:
            raise Retryable(f"the partitions of topic {topic} are not known", kind="timeout") from error
        except errors.KafkaError as error:
            raise failure(error) from error
        available = list(self.client.cluster.available_partitions_for_topic(topic) or ())
        choose = DefaultPartitioner()
        chosen = {key: choose(key, partitions, available) for key in set(keys)}
        return [chosen[key] for key in keys]

    def new_parcel(self, topic: str, partition: int) -> Parcel:
        """Make an empty record batch for a partition."""
        return Parcel(topic, partition, self._inner.create_batch())

    def finished_size(self, **record: Any) -> int:
        """Bytes on the wire, after compression, of a batch that holds *record* alone."""
        batch = self._inner.create_batch()
        batch.append(**record)
        return len(batch._build())

    async def deliver(self, parcels: Sequence[Parcel], deadline: float, *, last: bool = False) -> None:
        """Send *parcels* and note on each what became of it by *deadline* (of the loop's clock).

        Parcels of one partition go one after the other, in the order in which this was called, and none goes after one
        that failed: what comes again then comes before what follows it. After *last* ones nothing else is taken.

        :raises TurnedAway: others were the last ones
        """
        if self._shut:
            raise TurnedAway
        if not parcels:
            return
        self._shut = last
        tasks = [asyncio.create_task(self._deliver(parcel)) for parcel in parcels]
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.gather(*tasks)
        except TimeoutError:
            self._broken = True  # what has no answer by now is seen on its parcel
        finally:
            for task in tasks:
                task.cancel()

    def go_on(self) -> None:
        """Send again what comes after the last ones."""
        self._shut = False

    async def _deliver(self, parcel: Parcel) -> None:
        async with self._turns[parcel.topic, parcel.partition]:
            if self._broken:
                return
            future: asyncio.Future[Any] | None = None
            try:
                future = await self._inner.send_batch(parcel.batch, parcel.topic, partition=parcel.partition)
                parcel.handed_over = True
                await future
                parcel.delivered = True
            except (errors.KafkaError, AssertionError) as error:
                # aiokafka asserts that the partition still exists, and that a transaction is open.
                self._broken, parcel.error = True, error
            finally:
                if future is not None:
                    future.cancel()  # nobody looks at it any more, and it must not complain of that later

    async def begin(self, deadline: float) -> None:
        """Begin a transaction.

        :raises KafkaError: it cannot be begun
        """
        async with asyncio.timeout_at(deadline):
            with _assertions_translated():
                await self._inner.begin_transaction()

    async def commit(self, deadline: float) -> None:
        """Commit the transaction.

        :raises TimeoutError: no answer by *deadline* (of the loop's clock): it may have been committed, or not
        :raises KafkaError: it was not, or it may have been
        """
        async with asyncio.timeout_at(deadline):
            with _assertions_translated():
                await self._inner.commit_transaction()

    async def abort(self) -> None:
        """Let go of everything at once: tasks, sockets, what was not sent. Bounded whatever the brokers do."""
        self._broken = True
        self._inner._closed = True  # else it would complain that nobody stopped it
        client, sender = self.client, self._inner._sender
        await _end({task for task in (client._sync_task, sender.sender_task, *self._tasks) if task is not None})
        client._sync_task = None
        _fail(self._inner._message_accumulator)
        _hear_out(self._inner._txn_manager)
        await _end({asyncio.create_task(hang_up(connection)) for connection in client._conns.values()}, patiently=True)

    def _remember_tasks(self) -> None:
        """Keep the tasks in which aiokafka sends; it forgets them, and only waits for them when it is cancelled."""
        sender = self._inner._sender
        send, transact = sender._send_produce_req, sender._maybe_do_transactional_request

        async def remembered(node: int, batches: Any) -> None:
            self._remember(asyncio.current_task())
            await send(node, batches)

        def also_remembered() -> asyncio.Task[Any] | None:
            task: asyncio.Task[Any] | None = transact()
            self._remember(task)
            return task

        sender._send_produce_req = remembered
        sender._maybe_do_transactional_request = also_remembered

    def _remember(self, task: asyncio.Task[Any] | None) -> None:
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _end(tasks: set[asyncio.Task[Any]], *, patiently: bool = False) -> None:
    if not tasks:
        return
    if patiently:
        _, tasks = await asyncio.wait(tasks, timeout=_ENDING)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_ENDING)


@contextmanager
def _assertions_translated() -> Iterator[None]:
    """Translate what aiokafka asserts: a transaction is not in the state that it should be in after a fatal error."""
    try:
        yield
    except AssertionError as error:
        raise errors.InvalidTxnState(str(error)) from error


def _fail(accumulator: Any) -> None:
    """Let whoever still waits for an answer learn that there will be none."""
    for batch in [*chain.from_iterable(accumulator._batches.values()), *accumulator._pending_batches]:
        batch.failure(errors.KafkaConnectionError("the connection was given up"))
        for waiter in (batch.future, batch._drain_waiter):
            if waiter.done() and not waiter.cancelled():
                waiter.exception()  # else asyncio complains that nobody heard of it


def _hear_out(transactions: Any) -> None:
    """Take note of how a transaction failed, since asyncio complains of a failure that nobody heard of."""
    waiter = None if transactions is None else transactions._transaction_waiter
    if waiter is not None and waiter.done() and not waiter.cancelled():
        waiter.exception()
