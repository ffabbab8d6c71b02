"""Asking the brokers whether they would let us, without any effect: what ``check --live`` adds to connecting.

A request that cannot succeed is answered by what is wrong with it first, and rights come before all else: an empty
batch, which no topic takes, and a transaction of a producer that does not exist.
"""

from typing import Any

from aiokafka import errors
from aiokafka.client import ConnectionGroup
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import AddPartitionsToTxnRequest
from aiokafka.structs import TopicPartition

from forwarder.errors import Misconfigured
from forwarder.sinks.kafka.producer import Producer
from forwarder.sinks.kafka.settings import KafkaSettings
from forwarder.sinks.kafka.transactions import Transactions

_NOBODY = -1
"""A producer id that no producer has."""


async def try_out(producer: Producer, settings: KafkaSettings, transactions: Transactions | None) -> list[str]:
    """Find out whether we may write, and use transactions; returns what the operator should know all the same.

    :raises Misconfigured: we may not
    :raises KafkaError: the brokers do not say
    """
    client = producer.client
    topics = [name for name in settings.topics if client.cluster.partitions_for_topic(name)]
    for topic in topics:
        await _may_write(client, topic, int(settings.timeout * 500))
    if transactions is None:
        return []
    await _may_transact(producer, transactions.transactional_id, topics)
    if settings.checkpoints not in topics:
        return []
    warning = await transactions.look(client)
    return [] if warning is None else [warning]


async def _may_write(client: Any, topic: str, timeout_ms: int) -> None:
    partition = min(client.cluster.partitions_for_topic(topic))
    leader = client.cluster.leader_for_partition(TopicPartition(topic, partition))
    if leader is None or leader == -1:
        raise errors.LeaderNotAvailableError(f"partition {partition} of {topic} has no leader")
    request = ProduceRequest(None, -1, timeout_ms, [(topic, [(partition, b"")])])
    answer = await client.send(leader, request)
    ((_, ((_, code, *_),)),) = answer.topics
    if errors.for_code(code) is errors.TopicAuthorizationFailedError:
        raise Misconfigured(f"the brokers do not let us write to topic {topic}; allow WRITE on it")


async def _may_transact(producer: Producer, transactional_id: str, topics: list[str]) -> None:
    client, coordinator = producer.client, await producer.coordinator()
    wanted = [(topic, [min(client.cluster.partitions_for_topic(topic))]) for topic in topics]
    request = AddPartitionsToTxnRequest(transactional_id, _NOBODY, 0, wanted)
    answer = await client.send(coordinator, request, group=ConnectionGroup.COORDINATION)
    found = {errors.for_code(code) for _, partitions in answer.errors for _, code in partitions}
    if errors.TransactionalIdAuthorizationFailed in found:
        raise errors.TransactionalIdAuthorizationFailed
