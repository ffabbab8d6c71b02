"""A broker that is killed or frozen, and an open that is cancelled."""

import asyncio
import time

import pytest

from forwarder.errors import Retryable
from tests.peers.kafka import KafkaBroker
from tests.sinks.contract import bodies, make_items
from tests.sinks.kafka_broker.conftest import MakeSink, login

pytestmark = [pytest.mark.peer, pytest.mark.xdist_group("kafka")]


async def test_a_killed_broker_fails_the_send_in_time_and_the_sink_heals_after_a_restart(
    broker: KafkaBroker, topic: str, make_sink: MakeSink
) -> None:
    sink = make_sink(message_key="id")
    items = make_items(100)
    await sink.open()
    await sink.send(items[:50])
    broker.kill()
    begun = time.monotonic()
    with pytest.raises(Retryable) as raised:
        await sink.send(items[50:])
    assert time.monotonic() - begun < 4
    assert raised.value.accepted == 0
    assert raised.value.unanswered
    begun = time.monotonic()
    with pytest.raises(Retryable, match="no broker can be reached"):
        await sink.open()
    await sink.close()
    assert time.monotonic() - begun < 1
    await asyncio.to_thread(broker.start)
    await sink.open()
    await sink.send(items[50:])
    records = await asyncio.to_thread(broker.read, topic)
    assert sorted(record.value for record in records) == sorted(bodies(items))


@pytest.mark.parametrize("listener", ["plain", "tls"])
async def test_a_frozen_broker_fails_open_and_send_in_time_and_close_does_not_wait_for_it(
    broker: KafkaBroker, topic: str, make_sink: MakeSink, listener: str
) -> None:
    broker.allow("WRITE", topic)
    settings = {} if listener == "plain" else login(broker, "tls", "SASL_SSL", "SCRAM-SHA-256")
    sink, late = make_sink(timeout=2, **settings), make_sink(timeout=2, **settings)
    await sink.open()
    broker.freeze()
    for failing in (sink.send(make_items(500, size=10_000)), late.open()):
        begun = time.monotonic()
        with pytest.raises(Retryable) as raised:
            await failing
        assert time.monotonic() - begun < 2
        assert raised.value.kind in {"timeout", "connection"}
    begun = time.monotonic()
    await sink.close()
    await late.close()
    assert time.monotonic() - begun < 0.5
    await asyncio.to_thread(broker.thaw)
    await sink.open()
    await sink.send(make_items(1))


async def test_an_open_that_is_cancelled_leaves_nothing(broker: KafkaBroker, make_sink: MakeSink) -> None:
    """At every one of its steps; the fixtures around each test look for tasks and sockets."""
    begun = time.monotonic()
    sink = make_sink()
    await sink.open()
    await sink.close()
    whole = time.monotonic() - begun
    for step in range(20):
        opening = asyncio.ensure_future(make_sink().open())
        await asyncio.sleep(whole * step / 20)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
