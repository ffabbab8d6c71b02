"""What the brokers are asked before anything is sent: whether our topics are there, and what they do with records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import errors
from aiokafka.conn import create_conn
from aiokafka.protocol.admin import CreateTopicsRequest, DescribeConfigsRequest
from aiokafka.protocol.metadata import MetadataRequest

from forwarder.errors import Misconfigured, Retryable
from forwarder.sinks.kafka.connection import hang_up
from forwarder.sinks.kafka.settings import KafkaSettings

_DEFAULT_LIMIT = 1_048_588
"""A broker's ``message.max.bytes`` unless it is set: 1 MiB, and 12 bytes that an old message format put around it."""

_TOPIC_RESOURCE = 2  # DescribeConfigs' number for a topic
_BROKERS_DEFAULT = -1  # as many partitions and replicas as the brokers are set to

_LOG_DAYS = 187
"""Days for which Persona keeps its log, and a walk through it finds events."""

_DAY_MS = 86_400_000

_CHECKPOINT_CONFIG = [
    ("cleanup.policy", "compact"),
    # Compaction leaves the present segment alone, and we read it whenever we open.
    ("segment.bytes", str(16 << 20)),
    ("segment.ms", str(_DAY_MS)),
]

_ASKED = (
    "cleanup.policy",
    "max.message.bytes",
    "message.timestamp.before.max.ms",
    "message.timestamp.type",
    "min.insync.replicas",
    "retention.ms",
    "unclean.leader.election.enable",
)


@dataclass(frozen=True, slots=True)
class Topic:
    """What the brokers said of the events' topic, and of the brokers themselves.

    :param metadata: their answer, about all our topics
    :param limit: the largest record batch in bytes; the default where we may not know it
    :param warnings: what works but ought to be otherwise
    """

    name: str
    metadata: Any
    limit: int
    limit_known: bool
    warnings: Sequence[str] = ()


async def survey(settings: KafkaSettings, connection: Any, options: dict[str, Any], *, dry: bool = False) -> Topic:
    """Find our topics (create them where that is allowed) and read what bounds our records.

    With *dry*, topics that would be created are not: the brokers are asked whether they would be.

    :raises Misconfigured: a topic is not there, not ours to see, or not made for our records
    :raises Retryable: one is not ready
    """
    metadata, found = await _look(settings.topics, connection)
    missing = [name for name in settings.topics if found[name] is errors.UnknownTopicOrPartitionError]
    if missing and settings.create_topics:
        await _create(settings, missing, metadata, options, dry=dry)
        if dry:
            warnings = [f"topic {name} does not exist yet; the first run creates it" for name in missing]
            return Topic(settings.topic, metadata, _DEFAULT_LIMIT, limit_known=False, warnings=warnings)
        metadata, found = await _look(settings.topics, connection)
        for name in missing:
            if found[name] is errors.UnknownTopicOrPartitionError:
                raise Retryable(f"topic {name} was just created and is not known everywhere yet")
    for name in settings.topics:
        _raise_for(name, found[name], rights="DESCRIBE, READ" if name == settings.checkpoints else "DESCRIBE")
    configured = await _configuration(settings.topics, connection)
    events = configured.get(settings.topic, {})
    if "compact" in events.get("cleanup.policy", "") and settings.message_key == "none":
        raise Misconfigured(f"topic {settings.topic} is compacted, and needs keys; set MESSAGE_KEY to id")
    if settings.checkpoints and configured.get(settings.checkpoints, {}).get("cleanup.policy", "compact") != "compact":
        reason = f"topic {settings.checkpoints} holds our position and would delete it"
        raise Misconfigured(f"{reason}; set its cleanup.policy to compact")
    warnings = [*_warn_of_age(settings.topic, events), *_warn_of_copies(metadata, configured)]
    limit = events.get("max.message.bytes")
    return Topic(settings.topic, metadata, int(limit or _DEFAULT_LIMIT), bool(limit), warnings)


async def _look(topics: Sequence[str], connection: Any) -> tuple[Any, dict[str, Any]]:
    # Never by auto-creation, which a mistyped name would trigger.
    metadata = await connection.send(MetadataRequest(list(topics), allow_auto_topic_creation=False))
    return metadata, {name: errors.for_code(code) for code, name, *_ in metadata.topics}


def _raise_for(topic: str, error: Any, *, rights: str) -> None:
    if error is errors.UnknownTopicOrPartitionError:
        raise Misconfigured(f"topic {topic} does not exist; create it, or set CREATE_TOPICS")
    if error is errors.TopicAuthorizationFailedError:
        raise Misconfigured(f"the brokers do not let us see topic {topic}; allow {rights} and WRITE on it")
    if error is errors.InvalidTopicError:
        raise Misconfigured(f"{topic!r} cannot be the name of a topic; change TOPIC")
    if error is not errors.NoError:
        raise Retryable(f"topic {topic} is not ready: {error.__name__}")


async def _create(
    settings: KafkaSettings, topics: Sequence[str], metadata: Any, options: dict[str, Any], *, dry: bool
) -> None:
    names = ", ".join(topics)
    addresses = {node: (host, port) for node, host, port, *_ in metadata.brokers}
    if metadata.controller_id not in addresses:
        raise Retryable(f"topic {names} cannot be created while the cluster has no controller")
    replicas = settings.create_replication or _BROKERS_DEFAULT
    wanted: list[tuple[Any, ...]] = []
    for name in topics:
        if name == settings.checkpoints:
            wanted.append((name, 1, replicas, [], _CHECKPOINT_CONFIG))
        else:
            retention = settings.create_retention
            config = [] if retention is None else [("retention.ms", str(int(retention * 1000)))]
            wanted.append((name, settings.create_partitions or _BROKERS_DEFAULT, replicas, [], config))
    connection = await create_conn(*addresses[metadata.controller_id], **options)
    try:
        request = CreateTopicsRequest(wanted, timeout=int(settings.timeout * 500), validate_only=dry)
        answer = await connection.send(request)
    finally:
        await hang_up(connection)
    for name, code, *text in answer.topic_errors:
        error = errors.for_code(code)
        if error not in (errors.NoError, errors.TopicAlreadyExistsError):
            reason = f"topic {name} cannot be created ({(text and text[0]) or error.__name__})"
            raise Retryable(reason) if error.retriable else Misconfigured(f"{reason}; create it, or let us")


async def _configuration(topics: Sequence[str], connection: Any) -> Mapping[str, Mapping[str, str]]:
    """Read the topics' configuration: nothing where the brokers do not let us, or cannot tell."""
    request = DescribeConfigsRequest([(_TOPIC_RESOURCE, topic, list(_ASKED)) for topic in topics])
    try:
        answer = await connection.send(request)
    except errors.IncompatibleBrokerVersion:
        return {}
    return {topic: {key: value for key, value, *_ in found if value} for _, _, _, topic, found in answer.resources}


def _warn_of_age(topic: str, config: Mapping[str, str]) -> list[str]:
    """Say what the topic does to events of half a year ago, which a first run brings."""
    warnings = []
    if config.get("message.timestamp.type", "LogAppendTime") == "CreateTime":
        kept = int(config.get("retention.ms", "-1"))
        if "delete" in config.get("cleanup.policy", "") and 0 <= kept < _LOG_DAYS * _DAY_MS:
            warnings.append(
                f"topic {topic} keeps records for {kept / _DAY_MS:.3g} days by the time of the log, so older events of "
                f"a first run or a backfill are soon deleted; raise its retention.ms to {_LOG_DAYS} days, or set its "
                "message.timestamp.type to LogAppendTime"
            )
        taken = int(config.get("message.timestamp.before.max.ms", str(2**62)))
        if taken < _LOG_DAYS * _DAY_MS:
            warnings.append(
                f"topic {topic} refuses events older than {taken / _DAY_MS:.3g} days; raise its "
                "message.timestamp.before.max.ms, or set its message.timestamp.type to LogAppendTime"
            )
    return warnings


def _warn_of_copies(metadata: Any, configured: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Say where "acknowledged by all in-sync replicas" may mean one copy."""
    warnings = []
    for _, topic, _, partitions in metadata.topics:
        replicas = min((len(each[3]) for each in partitions), default=0)
        config = configured.get(topic, {})
        if replicas == 1:
            warnings.append(f"topic {topic} has one replica: what a broker loses is lost; give it three")
        elif config.get("min.insync.replicas") == "1":
            warnings.append(
                f"topic {topic} is acknowledged by a single replica while the others are away; set its "
                "min.insync.replicas to 2"
            )
        if config.get("unclean.leader.election.enable") == "true":
            warnings.append(
                f"topic {topic} may elect a leader that lacks acknowledged records; set its "
                "unclean.leader.election.enable to false"
            )
    return warnings
