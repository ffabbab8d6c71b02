"""Transactions against a broker that needs no Java: the shared contract, and what is once. The proof is elsewhere."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, ClassVar

import pytest
import pytest_asyncio

from forwarder.errors import Misconfigured, Retryable
from forwarder.sinks.base import Item, Position, SinkContext
from forwarder.sinks.kafka import KafkaSettings, KafkaSink
from forwarder.sinks.kafka.producer import Producer
from tests.peers.noida import Noida
from tests.sinks.contract import Destination, SinkContract, bodies, make_items

pytestmark = pytest.mark.xdist_group("noida")

_numbers = itertools.count(1)


class NoidaDestination(Destination):
    """One topic."""

    def __init__(self, noida: Noida, topic: str) -> None:
        self.noida, self.topic = noida, topic

    def settings(self) -> dict[str, Any]:
        return {"bootstrap_servers": self.noida.address, "topic": self.topic, "timeout": 5}

    async def arrived(self) -> list[bytes]:
        records = await asyncio.to_thread(self.noida.read, self.topic)
        return [record.value for record in records]

    async def break_down(self) -> None:
        await asyncio.to_thread(self.noida.stop)

    async def stall(self) -> None:
        self.noida.freeze()

    async def mend(self) -> None:
        if self.noida.is_running:
            self.noida.thaw()
        else:
            await asyncio.to_thread(self.noida.start)


@pytest.fixture(scope="module")
def module_noida(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Noida]:
    """One broker for all tests of this file; each has topics of its own."""
    noida = Noida(tmp_path_factory.mktemp("noida"))
    noida.start()
    yield noida
    noida.stop()


@pytest.fixture
def noida(module_noida: Noida) -> Iterator[Noida]:
    """The broker; what a test broke is mended after it."""
    yield module_noida
    if module_noida.is_running:
        module_noida.thaw()
    else:
        module_noida.start()


@pytest.fixture
def topic(noida: Noida) -> str:
    """A new topic."""
    name = f"audit-{next(_numbers)}"
    noida.create_topics(name)
    return name


class TestKafkaTransactions(SinkContract):
    """What every sink must do."""

    kind: ClassVar[str] = "kafka"

    @pytest_asyncio.fixture
    async def destination(self, noida: Noida, topic: str) -> AsyncIterator[Destination]:  # type: ignore[override] # it needs them
        yield NoidaDestination(noida, topic)


MakeSink = Callable[[], KafkaSink]


@pytest_asyncio.fixture
async def make_sink(noida: Noida, topic: str) -> AsyncIterator[MakeSink]:
    """Make sinks for the topic; they are closed at the end."""
    made: list[KafkaSink] = []

    def make() -> KafkaSink:
        settings = {"bootstrap_servers": noida.address, "topic": topic, "timeout": 20, "message_key": "id"}
        made.append(KafkaSink(KafkaSettings.model_validate(settings), SinkContext("kafka", "journal")))
        return made[-1]

    yield make
    for sink in made:
        await sink.close()


async def shown(noida: Noida, topic: str, *, committed: bool = True) -> list[bytes]:
    records = await asyncio.to_thread(noida.read, topic, committed=committed)
    return sorted(record.value for record in records)


async def test_a_batch_that_was_not_committed_is_sent_again_and_shown_once(
    noida: Noida, topic: str, make_sink: MakeSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink, items = make_sink(), make_items(30)
    await sink.open()
    await sink.send(items[:10])

    async def never(producer: Producer, deadline: float) -> None:
        raise TimeoutError

    with monkeypatch.context() as patch:
        patch.setattr(Producer, "commit", never)
        with pytest.raises(Retryable):
            await sink.send(items[10:])
    assert await sink.open() == Position(10, items[9].event.id)
    await sink.send(items[10:])
    assert await shown(noida, topic) == sorted(bodies(items))
    assert len(await shown(noida, topic, committed=False)) == 50


async def test_whoever_is_fenced_does_not_fence_back(noida: Noida, topic: str, make_sink: MakeSink) -> None:
    first, second, items = make_sink(), make_sink(), make_items(20)
    await first.open()
    await first.send(items[:10])
    assert await second.open() == Position(10, items[9].event.id)
    with pytest.raises(Retryable):
        await first.send(items[10:])
    with pytest.raises(Misconfigured, match="another process has taken our place"):
        await first.open()
    await second.send(items[10:])
    assert await shown(noida, topic) == sorted(bodies(items))


async def test_after_a_rollback_what_the_topic_has_is_left_out(noida: Noida, topic: str, make_sink: MakeSink) -> None:
    items = make_items(30)
    sink = make_sink()
    await sink.open()
    await sink.send(items[:20])
    await sink.rolled_back(5)
    await sink.close()
    later = make_sink()
    assert await later.open() == Position(5)  # not where the lost journal stood: ours will give out such a number, too
    await later.send([Item(100 + place, item.event, item.body) for place, item in enumerate(items[5:])])
    assert await shown(noida, topic) == sorted(bodies(items))
