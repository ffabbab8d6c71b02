"""What the brokers are asked before anything is sent: whether the topic is there, how large its records may be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import errors
from aiokafka.conn import create_conn
from aiokafka.protocol.admin import CreateTopicsRequest, DescribeConfigsRequest
from aiokafka.protocol.metadata import MetadataRequest

from forwarder.errors import Misconfigured, Retryable
from forwarder.sinks.kafka.connection import connection_options, hang_up
from forwarder.sinks.kafka.settings import KafkaSettings

_DEFAULT_LIMIT = 1_048_588
"""A broker's ``message.max.bytes`` unless it is set: 1 MiB, and 12 bytes that an old message format put around it."""

_TOPIC_RESOURCE = 2  # DescribeConfigs' number for a topic
_BROKERS_DEFAULT = -1  # as many partitions and replicas as the brokers are set to


@dataclass(frozen=True, slots=True)
class Topic:
    """What the brokers said. ``limit`` is the largest record batch in bytes; the default where we may not know it."""

    metadata: Any
    limit: int
    limit_known: bool


async def survey(settings: KafkaSettings, connection: Any) -> Topic:
    """Find the topic (create it where that is allowed) and read what bounds our records.

    :raises Misconfigured: the topic is not there, not ours to see, or not made for our records
    :raises Retryable: it is not ready
    """
    metadata, error = await _look(settings.topic, connection)
    if error is errors.UnknownTopicOrPartitionError and settings.create_topics:
        await _create(settings, metadata)
        metadata, error = await _look(settings.topic, connection)
        if error is errors.UnknownTopicOrPartitionError:
            raise Retryable(f"topic {settings.topic} was just created and is not known everywhere yet")
    _raise_for(settings.topic, error)
    configuration = await _configuration(settings.topic, connection)
    if "compact" in configuration.get("cleanup.policy", "") and settings.message_key == "none":
        raise Misconfigured(f"topic {settings.topic} is compacted, and needs keys; set MESSAGE_KEY to id")
    limit = configuration.get("max.message.bytes")
    return Topic(metadata, int(limit or _DEFAULT_LIMIT), limit_known=bool(limit))


async def _look(topic: str, connection: Any) -> tuple[Any, Any]:
    # Never by auto-creation, which a mistyped name would trigger.
    metadata = await connection.send(MetadataRequest([topic], allow_auto_topic_creation=False))
    return metadata, errors.for_code(metadata.topics[0][0])


def _raise_for(topic: str, error: Any) -> None:
    if error is errors.UnknownTopicOrPartitionError:
        raise Misconfigured(f"topic {topic} does not exist; create it, or set CREATE_TOPICS")
    if error is errors.TopicAuthorizationFailedError:
        raise Misconfigured(f"the brokers do not let us see topic {topic}; allow DESCRIBE and WRITE on it")
    if error is errors.InvalidTopicError:
        raise Misconfigured(f"{topic!r} cannot be the name of a topic; change TOPIC")
    if error is not errors.NoError:
        raise Retryable(f"topic {topic} is not ready: {error.__name__}")


async def _create(settings: KafkaSettings, metadata: Any) -> None:
    addresses = {node: (host, port) for node, host, port, *_ in metadata.brokers}
    if metadata.controller_id not in addresses:
        raise Retryable(f"topic {settings.topic} cannot be created while the cluster has no controller")
    connection = await create_conn(*addresses[metadata.controller_id], **connection_options(settings))
    wanted: tuple[Any, ...] = (settings.topic, _BROKERS_DEFAULT, _BROKERS_DEFAULT, [], [])
    try:
        request = CreateTopicsRequest([wanted], timeout=int(settings.timeout * 500), validate_only=False)
        answer = await connection.send(request)
    finally:
        await hang_up(connection)
    _, code, *text = answer.topic_errors[0]
    error = errors.for_code(code)
    if error in (errors.NoError, errors.TopicAlreadyExistsError):
        return
    reason = f"topic {settings.topic} cannot be created ({(text and text[0]) or error.__name__})"
    raise Retryable(reason) if error.retriable else Misconfigured(f"{reason}; create it, or let us")


async def _configuration(topic: str, connection: Any) -> Mapping[str, str]:
    """Read the topic's configuration: nothing where the brokers do not let us, or cannot tell."""
    request = DescribeConfigsRequest([(_TOPIC_RESOURCE, topic, ["max.message.bytes", "cleanup.policy"])])
    try:
        answer = await connection.send(request)
    except errors.IncompatibleBrokerVersion:
        return {}
    entries = [entry for _, _, _, _, found in answer.resources for entry in found]
    return {name: value for name, value, *_ in entries if value}
