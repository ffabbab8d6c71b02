"""The Kafka sink against a cluster in this process: the shared contract, and the errors that a broker can answer."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from confluent_kafka import Producer

from forwarder.errors import Misconfigured, Refused, Retryable
from forwarder.sinks.base import SinkContext
from forwarder.sinks.kafka import KafkaSettings, KafkaSink
from tests.peers.kafka_standin import PRODUCE, StandIn
from tests.sinks.contract import Destination, SinkContract, bodies, make_items

TOPIC = "audit"
AT_LEAST_ONCE = {"delivery": "at-least-once"}


class StandInDestination(Destination):
    """One topic of a cluster that does what it is told."""

    def __init__(self, cluster: StandIn) -> None:
        self.cluster = cluster

    def settings(self) -> dict[str, Any]:
        return {"bootstrap_servers": self.cluster.address, "topic": TOPIC, "timeout": 2, "delivery": "at-least-once"}

    async def arrived(self) -> list[bytes]:
        records = await asyncio.to_thread(self.cluster.read, TOPIC)
        return [record.value for record in records]

    async def break_down(self) -> None:
        await asyncio.to_thread(self.cluster.break_down)

    async def stall(self) -> None:
        await asyncio.to_thread(self.cluster.stall)

    async def mend(self) -> None:
        await asyncio.to_thread(self.cluster.mend)


@pytest.fixture
def cluster() -> Iterator[StandIn]:
    """One cluster with the topic."""
    cluster = StandIn()
    cluster.create_topic(TOPIC)
    yield cluster
    cluster.close()


class TestKafkaSink(SinkContract):
    """What every sink must do."""

    kind = "kafka"
    sockets_of_the_peer = 4

    @pytest_asyncio.fixture
    async def destination(self, cluster: StandIn) -> AsyncIterator[Destination]:  # type: ignore[override] # it needs one
        yield StandInDestination(cluster)


@pytest_asyncio.fixture
async def sink(cluster: StandIn) -> AsyncIterator[KafkaSink]:
    """An open sink whose events go one by one round the partitions."""
    settings = KafkaSettings.model_validate(
        {"bootstrap_servers": cluster.address, "topic": TOPIC, "timeout": 2, "message_key": "id"} | AT_LEAST_ONCE
    )
    sink = KafkaSink(settings, SinkContext("kafka", "journal"))
    await sink.open()
    yield sink
    await sink.close()


@pytest.mark.parametrize("code", [6, 19, 20, 56], ids=["not-leader", "too-few", "too-few-after", "storage"])
async def test_a_passing_error_is_outlived_within_one_send(cluster: StandIn, sink: KafkaSink, code: int) -> None:
    cluster.fail(PRODUCE, [code])
    items = make_items(10)
    await sink.send(items)
    arrived = [record.value for record in cluster.read(TOPIC)]
    assert sorted(arrived) == sorted(bodies(items))


async def test_a_lasting_shortage_of_replicas_is_retryable_and_says_so(cluster: StandIn, sink: KafkaSink) -> None:
    cluster.fail(PRODUCE, [19] * 1000)
    with pytest.raises(Retryable, match="NotEnoughReplicas") as raised:
        await sink.send(make_items(10))
    assert raised.value.accepted == 0
    assert raised.value.unanswered


@pytest.mark.parametrize("code", [29, 32, 44], ids=["authorization", "timestamp", "policy"])
async def test_what_the_operator_has_to_mend_is_no_refusal(cluster: StandIn, sink: KafkaSink, code: int) -> None:
    cluster.fail(PRODUCE, [code] * 100)
    with pytest.raises(Misconfigured):
        await sink.send(make_items(10))


async def test_only_the_run_of_events_that_is_in_counts_as_accepted(cluster: StandIn, sink: KafkaSink) -> None:
    """Three partitions, of which the first batch fails for good: what the others took after it will come again."""
    items = make_items(30)
    cluster.fail(PRODUCE, [44])
    with pytest.raises(Misconfigured) as raised:
        await sink.send(items)
    found = {record.value for record in cluster.read(TOPIC)}
    assert found.issuperset(bodies(items[: raised.value.accepted]))


async def test_an_event_too_large_for_a_limit_that_is_not_known_is_found_by_sending_one_by_one(
    cluster: StandIn, sink: KafkaSink
) -> None:
    """The stand-in does not tell its limits, so the first refusal of a batch names no event."""
    items = make_items(6)
    cluster.fail(PRODUCE, [10] * 3)
    with pytest.raises(Retryable) as raised:
        await sink.send(items)
    assert raised.value.accepted == 0
    cluster.succeed(PRODUCE)
    cluster.fail(PRODUCE, [0, 0, 10])
    await sink.open()
    with pytest.raises(Refused) as refused:
        await sink.send(items)
    assert refused.value.at == 2
    assert sorted(record.value for record in cluster.read(TOPIC)) == sorted(bodies(items[:2]))


async def test_a_key_goes_where_the_java_client_would_put_it(cluster: StandIn, sink: KafkaSink) -> None:
    """The judge is librdkafka, whose ``murmur2_random`` is the Java client's partitioner."""
    items = make_items(100)
    await sink.send(items)
    ours = {record.key: record.partition for record in cluster.read(TOPIC)}
    cluster.create_topic("theirs")
    producer = Producer({"bootstrap.servers": cluster.address, "partitioner": "murmur2_random", "log_level": 0})
    for item in items:
        producer.produce("theirs", b"", item.event.id.encode())
    producer.flush(10)
    del producer
    assert {record.key: record.partition for record in cluster.read("theirs")} == ours


async def test_a_closed_sink_sends_nothing(cluster: StandIn, sink: KafkaSink) -> None:
    await sink.close()
    with pytest.raises(Retryable):
        await sink.send(make_items(1))


@pytest.mark.parametrize("failing", range(5))
async def test_side_by_side_a_key_keeps_its_order_and_nothing_overtakes_what_failed(
    cluster: StandIn, sink: KafkaSink, failing: int
) -> None:
    """One key, so one partition: when a batch fails for good, all before it are in and none after it."""
    items = [replace(item, event=replace(item.event, id="same")) for item in make_items(50)]
    cluster.fail(PRODUCE, [*[0] * failing, 44])
    sends = [sink.send(items[start : start + 10]) for start in range(0, 50, 10)]
    assert sink.max_in_flight == len(sends)
    outcomes = await asyncio.gather(*sends, return_exceptions=True)
    assert [outcome is None for outcome in outcomes] == [number < failing for number in range(5)]
    assert isinstance(outcomes[failing], Misconfigured)
    later = outcomes[failing + 1 :]
    assert all(isinstance(each, Retryable) and not each.unanswered for each in later)
    assert [record.value for record in cluster.read(TOPIC)] == bodies(items[: 10 * failing])


async def test_nothing_overtakes_what_follows_an_event_that_is_refused(cluster: StandIn, sink: KafkaSink) -> None:
    items = [*make_items(5), *make_items(1, first=6, size=2_000_000), *make_items(14, first=7)]
    items = [replace(item, event=replace(item.event, id="same")) for item in items]
    first, second = await asyncio.gather(sink.send(items[:10]), sink.send(items[10:]), return_exceptions=True)
    assert isinstance(first, Refused)
    assert first.at == 5
    assert isinstance(second, Retryable)
    assert not second.unanswered
    assert [record.value for record in cluster.read(TOPIC)] == bodies(items[:5])
