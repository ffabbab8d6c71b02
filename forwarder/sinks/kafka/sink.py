"""The sink: opens, sends batches in one of two ways, says which events are in.

After a failure the producer is thrown away, and the next open begins afresh: one failed batch poisons a producer that
counts what it sends (aiokafka's issue 1017).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

from aiokafka import errors

from forwarder.errors import Failure, Refused, Retryable
from forwarder.sinks.base import Item, Position, Sink, SinkContext, SinkSettings
from forwarder.sinks.kafka.batches import IN_FLIGHT, send_batches
from forwarder.sinks.kafka.connection import SHARE, connection_options, first_contact, hang_up, hung_up
from forwarder.sinks.kafka.failures import TokenError, failure
from forwarder.sinks.kafka.packing import Packer, TooLarge
from forwarder.sinks.kafka.probe import try_out
from forwarder.sinks.kafka.producer import Producer, TurnedAway
from forwarder.sinks.kafka.settings import KafkaSettings
from forwarder.sinks.kafka.topic import Topic, survey
from forwarder.sinks.kafka.transactions import Transactions

T = TypeVar("T")

_BATCH_BYTES = 256 << 10
"""Most bytes of one record batch before compression; with aiokafka's own 16 KiB it is half as fast."""


class KafkaSink(Sink[KafkaSettings]):
    """One topic of one Kafka cluster."""

    kind: ClassVar[str] = "kafka"
    settings_model: ClassVar[type[SinkSettings]] = KafkaSettings

    _producer: Producer | None = None
    _topic: Topic | None = None

    def __init__(self, settings: KafkaSettings, context: SinkContext) -> None:
        super().__init__(settings, context)
        once = settings.delivery == "exactly-once"
        self._transactions = Transactions(settings, context) if once else None
        self._packer = Packer(settings, context.journal_id if once else None)

    @property
    def max_in_flight(self) -> int:
        """One transaction, or several batches."""
        return 1 if self._transactions is not None or self._packer.one_by_one else IN_FLIGHT

    @property
    def promise(self) -> str:
        """Acknowledged by all in-sync replicas, and with transactions: once."""
        if self._transactions is None:
            return "stored"
        return "effectively once for read_committed readers, for the life of one journal"

    @property
    def destination(self) -> str:
        """Brokers and topic."""
        return f"kafka://{','.join(self.settings.bootstrap_servers)}/{self.settings.topic}"

    @property
    def warnings(self) -> Sequence[str]:
        """What the brokers said of the topics."""
        return () if self._topic is None else self._topic.warnings

    async def open(self) -> Position | None:
        """Connect, find the topics or create them, and learn how large records may be; take our place."""
        if self._transactions is not None:
            self._transactions.raise_if_displaced()
        return await self._bounded(self._open)

    async def probe(self) -> None:
        """Do what :meth:`open` does, except that nobody's place is taken and no topic is created or written to."""
        await self._bounded(self._try_out)

    async def rolled_back(self, known: int) -> None:
        """Find out what the topic has of what was given out after *known*."""
        producer, transactions = self._producer, self._transactions
        if producer is not None and transactions is not None:
            await self._bounded(lambda: transactions.rolled_back(producer, known, self._deadline()))

    async def send(self, batch: Sequence[Item]) -> None:
        """Return when all in-sync replicas have every event of *batch*, and it is committed."""
        producer = self._producer
        if producer is None:
            raise Retryable("the connection is closed", kind="connection")
        try:
            if self._transactions is None:
                await send_batches(producer, self._packer, batch, self._deadline())
            else:
                await self._transactions.send(producer, self._packer, batch, self._deadline())
        except TurnedAway:
            raise Retryable("an event before these is refused; they follow it", kind="refused") from None
        except TooLarge as error:
            raise Refused(str(error), at=error.at) from None
        except Failure:
            await self.close()
            raise

    async def close(self) -> None:
        """Let go of everything at once: nothing is in flight that anybody still waits for."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.abort()

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self.settings.timeout * SHARE

    async def _bounded(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do *work* of opening within our time-out; on any failure nothing is left open."""
        limit = self.settings.timeout * SHARE
        try:
            async with asyncio.timeout(limit):
                return await work()
        except TimeoutError as error:
            await self.close()
            hidden = None if self._transactions is None else self._transactions.hidden
            reason = f"the brokers did not answer within {limit:g} s"
            if hidden is not None:
                remedy = (
                    "if it does not end by itself, kafka-transactions.sh finds it (find-hanging) and ends it (abort)"
                )
                reason = f"a transaction is open for longer than {limit:g} s and hides {hidden}; {remedy}"
            raise Retryable(reason, kind="timeout") from error
        except errors.KafkaError as error:
            await self.close()
            hint = None if isinstance(error, TokenError) else hung_up(error)
            raise (
                Retryable(f"a broker answered, but {hint}", kind="connection") if hint else failure(error)
            ) from error
        except BaseException:
            await self.close()
            raise

    async def _open(self) -> Position | None:
        await self.close()
        producer, topic = await self._connect()
        self._packer.use(producer, topic)
        if self._transactions is not None:
            return await self._transactions.begin(producer, self._deadline())
        await producer.start()
        return None

    async def _try_out(self) -> None:
        producer, topic = await self._connect(dry=True)
        findings = await try_out(producer, self.settings, self._transactions)
        self._topic = replace(topic, warnings=[*topic.warnings, *findings])

    async def _connect(self, *, dry: bool = False) -> tuple[Producer, Topic]:
        """Find brokers and topics, and make a producer that knows them."""
        options = connection_options(self.settings)
        server, connection = await first_contact(self.settings, options)
        try:
            topic = self._topic = await survey(self.settings, connection, options, dry=dry)
        finally:
            await hang_up(connection)
        compression, transactions = self.settings.compression, self._transactions
        identity: dict[str, Any] = {}
        if transactions is not None:
            identity["transactional_id"] = transactions.transactional_id
            identity["transaction_timeout_ms"] = transactions.timeout_ms
        self._producer = producer = Producer(
            self.settings.topics,
            bootstrap_servers=server,
            max_batch_size=min(_BATCH_BYTES, topic.limit),
            compression_type=None if compression == "none" else compression,
            **identity,
            **options,
        )
        await producer.connect(topic.metadata)
        return producer, topic
