"""The shared contract, and what other readers see of a record."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import pytest_asyncio

from forwarder.sinks.base import Item
from tests.peers.kafka import KafkaBroker
from tests.peers.proxy import Proxy
from tests.sinks.contract import Destination, SinkContract, bodies, make_items
from tests.sinks.kafka_broker.conftest import MakeSink

pytestmark = [pytest.mark.peer, pytest.mark.xdist_group("kafka")]


class BehindTheProxy(Destination):
    """One topic of the real broker, reached through a proxy that breaks down."""

    def __init__(self, broker: KafkaBroker, topic: str, proxy: Proxy, delivery: str) -> None:
        self.broker, self.topic, self.proxy, self.delivery = broker, topic, proxy, delivery

    def settings(self) -> dict[str, Any]:
        address = self.broker.address("proxy")
        return {"bootstrap_servers": address, "topic": self.topic, "timeout": 8, "delivery": self.delivery}

    async def arrived(self) -> list[bytes]:
        records = await asyncio.to_thread(self.broker.read, self.topic)
        return [record.value for record in records]

    async def break_down(self) -> None:
        await self.proxy.cut()

    async def stall(self) -> None:
        self.proxy.stall()

    async def mend(self) -> None:
        await self.proxy.mend()


class TestKafkaAtLeastOnce(SinkContract):
    """What every sink must do."""

    kind: ClassVar[str] = "kafka"
    sockets_of_the_peer: ClassVar[int] = 8

    @pytest_asyncio.fixture
    async def destination(self, broker: KafkaBroker, topic: str, proxy: Proxy) -> AsyncIterator[Destination]:  # type: ignore[override] # it needs them
        yield BehindTheProxy(broker, topic, proxy, "at-least-once")


class TestKafkaExactlyOnce(SinkContract):
    """The same with transactions."""

    kind: ClassVar[str] = "kafka"
    sockets_of_the_peer: ClassVar[int] = 8

    @pytest_asyncio.fixture
    async def destination(self, broker: KafkaBroker, topic: str, proxy: Proxy) -> AsyncIterator[Destination]:  # type: ignore[override] # it needs them
        yield BehindTheProxy(broker, topic, proxy, "exactly-once")


async def test_kafkas_own_consumer_sees_keys_headers_times_and_values(
    broker: KafkaBroker, topic: str, make_sink: MakeSink
) -> None:
    sink = make_sink()
    items = make_items(1, text="plain")
    await sink.open()
    await sink.send(items)
    printed = await asyncio.to_thread(broker.read_with_java, topic, 1)
    when, _, _, headers, key, value = printed.strip().split("\t")
    assert when == "CreateTime:1772356502331"
    assert key == "user_1"
    assert value.encode() == items[0].body
    assert dict(pair.split(":", 1) for pair in headers.split(",")) == {
        "ce_specversion": "1.0",
        "ce_id": "ual_000001",
        "ce_source": "/persona/persona",
        "ce_type": "com.withpersona.user-audit-log",
        "ce_time": "2026-03-01T09:15:02.331Z",
        "ce_subject": "user_1",
        "content-type": "application/json",
    }


@pytest.mark.parametrize("choice", ["user", "id", "none"])
async def test_the_key_decides_where_an_event_goes(
    broker: KafkaBroker, topic: str, make_sink: MakeSink, choice: str
) -> None:
    sink = make_sink(message_key=choice)
    items = make_items(60)
    await sink.open()
    await sink.send(items)
    records = await asyncio.to_thread(broker.read, topic)
    assert {record.key for record in records} == {
        "user": {b"user_1"},
        "id": {item.event.id.encode() for item in items},
        "none": {None},
    }[choice]
    used = {record.partition for record in records}
    assert used == {0, 1, 2} if choice == "id" else len(used) == 1


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_every_compression_arrives(broker: KafkaBroker, topic: str, make_sink: MakeSink, codec: str) -> None:
    sink = make_sink(compression=codec)
    items = make_items(300)
    await sink.open()
    await sink.send(items)
    records = await asyncio.to_thread(broker.read, topic)
    assert [record.value for record in records] == bodies(items)


async def test_an_event_from_the_future_does_not_block_its_neighbours(
    broker: KafkaBroker, topic: str, make_sink: MakeSink
) -> None:
    """A broker refuses a batch for a timestamp more than an hour ahead; ``ce_time`` keeps what Persona said."""
    event = replace(make_items(1)[0].event, occurred_at=4_102_444_800_000_000)
    sink = make_sink()
    await sink.open()
    await sink.send([*make_items(1), Item(2, event, b"{}")])
    records = await asyncio.to_thread(broker.read, topic)
    assert [record.timestamp for record in records] == [1_772_356_502_331, 1_772_356_503_000]
    assert dict(records[1].headers)["ce_time"] == b"2100-01-01T00:00:00.000Z"
