"""How large an event may be, and which topics will do."""

import asyncio
from random import Random
from typing import Any

import pytest

from forwarder.errors import Misconfigured, Refused, Retryable
from tests.peers.kafka import KafkaBroker
from tests.sinks.contract import bodies, make_items
from tests.sinks.kafka_broker.conftest import BOTH, MakeSink, login, new_name

pytestmark = [pytest.mark.peer, pytest.mark.xdist_group("kafka")]


@BOTH
async def test_one_event_of_3_mb_among_1000_is_refused_and_999_arrive_once(
    broker: KafkaBroker, topic: str, make_sink: MakeSink, delivery: dict[str, Any]
) -> None:
    sink = make_sink(message_key="id", **delivery)
    items = [*make_items(400), *make_items(1, first=401, size=3_000_000), *make_items(599, first=402)]
    await sink.open()
    with pytest.raises(Refused, match=r"is 30\d{5} bytes as a record; .* takes 1048588") as refused:
        await sink.send(items[:500])
    assert refused.value.at == 400
    await sink.send(items[401:900])
    await sink.send(items[900:])
    records = await asyncio.to_thread(broker.read, topic)
    assert sorted(record.value for record in records) == sorted(body for body in bodies(items) if len(body) < 10_000)


async def test_a_topic_that_takes_3_mb_gets_them(broker: KafkaBroker, topic: str, make_sink: MakeSink) -> None:
    broker.configure_topic(topic, max_message_bytes="4000000")
    sink = make_sink()
    items = [*make_items(3), *make_items(1, first=4, size=3_000_000), *make_items(3, first=5)]
    await sink.open()
    await sink.send(items)
    records = await asyncio.to_thread(broker.read, topic)
    assert [record.value for record in records] == bodies(items)


@BOTH
async def test_an_event_that_compression_makes_small_enough_is_not_refused(
    broker: KafkaBroker, topic: str, make_sink: MakeSink, delivery: dict[str, Any]
) -> None:
    sink = make_sink(compression="zstd", **delivery)
    items = [*make_items(3), *make_items(1, first=4, size=3_000_000), *make_items(3, first=5)]
    await sink.open()
    await sink.send(items)
    records = await asyncio.to_thread(broker.read, topic)
    assert [record.value for record in records] == bodies(items)


@BOTH
async def test_an_event_that_compression_cannot_make_small_enough_is_refused_alone(
    broker: KafkaBroker, topic: str, make_sink: MakeSink, delivery: dict[str, Any]
) -> None:
    sink = make_sink(compression="zstd", **delivery)
    noise = Random(1).randbytes(1_500_000).hex()
    items = [*make_items(3), *make_items(1, first=4, text=noise), *make_items(3, first=5)]
    await sink.open()
    with pytest.raises(Refused, match=r"compressed; .* takes 1048588") as refused:
        await sink.send(items)
    assert refused.value.at == 3
    await sink.send(items[4:])
    records = await asyncio.to_thread(broker.read, topic)
    assert [record.value for record in records] == bodies(items[:3] + items[4:])


@BOTH
async def test_a_limit_that_was_lowered_meanwhile_is_read_again(
    broker: KafkaBroker, topic: str, make_sink: MakeSink, delivery: dict[str, Any]
) -> None:
    sink = make_sink(**delivery)
    items = [*make_items(3), *make_items(1, first=4, size=60_000), *make_items(3, first=5)]
    await sink.open()
    broker.configure_topic(topic, max_message_bytes="50000")
    with pytest.raises(Retryable) as raised:
        await sink.send(items)
    assert raised.value.accepted == 0
    await sink.open()
    with pytest.raises(Refused, match="takes 50000") as refused:
        await sink.send(items)
    assert refused.value.at == 3
    await sink.send(items[4:])
    records = await asyncio.to_thread(broker.read, topic)
    assert [record.value for record in records] == bodies(items[:3] + items[4:])


async def test_a_missing_topic_is_reported_until_it_is_there(broker: KafkaBroker, make_sink: MakeSink) -> None:
    name = new_name()
    sink = make_sink(topic=name)
    with pytest.raises(Misconfigured, match="does not exist"):
        await sink.open()
    broker.create_topic(name)
    await sink.open()
    await sink.send(make_items(1))


async def test_a_topic_that_is_deleted_meanwhile_is_reported(
    broker: KafkaBroker, topic: str, make_sink: MakeSink
) -> None:
    sink = make_sink(timeout=2)
    await sink.open()
    await sink.send(make_items(1))
    broker.delete_topic(topic)
    with pytest.raises(Retryable):
        await sink.send(make_items(1))
    with pytest.raises(Misconfigured, match="does not exist"):
        await sink.open()


async def test_a_missing_topic_is_created_where_that_is_asked_for(broker: KafkaBroker, make_sink: MakeSink) -> None:
    name = new_name()
    sink = make_sink(topic=name, create_topics=True)
    items = make_items(5)
    for _ in range(20):
        try:
            await sink.open()
            await sink.send(items)
            break
        except Retryable:
            await asyncio.sleep(0.2)
    records = await asyncio.to_thread(broker.read, name)
    assert [record.value for record in records] == bodies(items)


async def test_a_compacted_topic_and_events_without_keys_do_not_go_together(
    broker: KafkaBroker, make_sink: MakeSink
) -> None:
    name = new_name()
    broker.create_topic(name, cleanup_policy="compact")
    with pytest.raises(Misconfigured, match="needs keys"):
        await make_sink(topic=name, message_key="none").open()
    await make_sink(topic=name, message_key="id").open()


async def test_events_older_than_the_topic_takes_wait_for_the_operator(
    broker: KafkaBroker, topic: str, make_sink: MakeSink
) -> None:
    broker.configure_topic(topic, message_timestamp_before_max_ms="60000")
    sink = make_sink()
    await sink.open()
    with pytest.raises(Misconfigured, match=r"message\.timestamp\.before\.max\.ms"):
        await sink.send(make_items(1))


async def test_without_the_right_to_read_the_limit_a_large_event_is_still_found(
    broker: KafkaBroker, topic: str, make_sink: MakeSink
) -> None:
    broker.allow("WRITE", topic)
    broker.configure_topic(topic, max_message_bytes="50000")
    sink = make_sink(**login(broker, "login", "SASL_PLAINTEXT", "PLAIN"))
    items = [*make_items(3), *make_items(1, first=4, size=60_000), *make_items(3, first=5)]
    await sink.open()
    with pytest.raises(Retryable):
        await sink.send(items)
    await sink.open()
    with pytest.raises(Refused, match="may not read") as refused:
        await sink.send(items)
    assert refused.value.at == 3
    await sink.open()
    await sink.send(items[4:])
    records = await asyncio.to_thread(broker.read, topic)
    assert [record.value for record in records] == bodies(items[:3] + items[4:])
