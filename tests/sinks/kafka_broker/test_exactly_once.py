"""Transactions: what the topic shows is each event once, whatever becomes of a commit, of the journal, of us."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from confluent_kafka import Producer as TheirProducer

from forwarder.errors import Misconfigured, Retryable
from forwarder.sinks.base import Item, Position
from forwarder.sinks.kafka.producer import Producer
from forwarder.sinks.kafka.reading import Reader
from tests.peers.kafka import KafkaBroker
from tests.sinks.contract import bodies, make_items
from tests.sinks.kafka_broker.conftest import ONCE, MakeSink, new_name

pytestmark = [pytest.mark.peer, pytest.mark.xdist_group("kafka")]


async def shown(broker: KafkaBroker, topic: str, *, committed: bool = True) -> list[bytes]:
    """What a reader sees, sorted."""
    records = await asyncio.to_thread(broker.read, topic, committed=committed)
    return sorted(record.value for record in records)


def renumbered(items: Sequence[Item], first: int) -> list[Item]:
    """The same events under new numbers, as a journal gives them out that was rolled back."""
    return [Item(first + place, item.event, item.body) for place, item in enumerate(items)]


async def test_the_position_is_what_was_committed_last(make_sink: MakeSink) -> None:
    """None where nobody ever wrote it, 0 where nothing was sent yet."""
    first, second, third = make_sink(**ONCE), make_sink(**ONCE), make_sink(**ONCE)
    assert await first.open() is None
    await first.close()
    assert await second.open() == Position(0)
    await second.send(make_items(10))
    await second.send(make_items(10, first=11))
    await second.close()
    assert await third.open() == Position(20, "ual_000020")


async def test_a_record_says_under_which_number_which_journal_gave_it_out(
    broker: KafkaBroker, topic: str, make_sink: MakeSink
) -> None:
    sink = make_sink(**ONCE)
    await sink.open()
    await sink.send(make_items(1, first=7))
    (record,) = await asyncio.to_thread(broker.read, topic)
    headers = dict(record.headers)
    assert headers["ce_sequence"] == b"0000000000000000007"
    assert headers["ce_journal"] == b"journal"


async def test_what_was_not_committed_is_not_shown_and_sent_again(
    broker: KafkaBroker, topic: str, make_sink: MakeSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = make_sink(**ONCE, message_key="id")
    items = make_items(30)
    await sink.open()
    await sink.send(items[:10])

    async def never(producer: Producer, deadline: float) -> None:
        raise TimeoutError

    with monkeypatch.context() as patch:
        patch.setattr(Producer, "commit", never)
        with pytest.raises(Retryable, match="did not confirm in time"):
            await sink.send(items[10:])
    assert await sink.open() == Position(10, "ual_000010")
    assert await shown(broker, topic) == sorted(bodies(items[:10]))
    await sink.send(items[10:])
    assert await shown(broker, topic) == sorted(bodies(items))
    assert await shown(broker, topic, committed=False) == sorted(bodies(items) + bodies(items[10:]))


async def test_a_commit_whose_answer_was_lost_is_found_at_the_next_open(
    broker: KafkaBroker, topic: str, make_sink: MakeSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = make_sink(**ONCE)
    items = make_items(20)
    await sink.open()
    commit = Producer.commit

    async def unanswered(producer: Producer, deadline: float) -> None:
        await commit(producer, deadline)
        raise TimeoutError

    with monkeypatch.context() as patch:
        patch.setattr(Producer, "commit", unanswered)
        with pytest.raises(Retryable) as raised:
            await sink.send(items)
    assert raised.value.unanswered
    assert await sink.open() == Position(20, "ual_000020")
    assert await shown(broker, topic) == sorted(bodies(items))


async def test_whoever_is_fenced_says_so_and_does_not_fence_back(
    broker: KafkaBroker, topic: str, make_sink: MakeSink
) -> None:
    first, second = make_sink(**ONCE), make_sink(**ONCE)
    items = make_items(30)
    await first.open()
    await first.send(items[:10])
    assert await second.open() == Position(10, "ual_000010")
    await second.send(items[10:20])
    with pytest.raises(Retryable) as raised:
        await first.send(items[10:20])
    assert raised.value.kind == "fenced"
    for _ in range(3):
        with pytest.raises(Misconfigured, match="another process has taken our place"):
            await first.open()
    await second.send(items[20:])
    assert await shown(broker, topic) == sorted(bodies(items))


async def test_whoever_lost_its_place_while_it_was_away_finds_out_before_it_takes_it_back(make_sink: MakeSink) -> None:
    first, second = make_sink(**ONCE), make_sink(**ONCE)
    await first.open()
    await first.close()
    await second.open()
    with pytest.raises(Misconfigured, match="another process has taken our place"):
        await first.open()
    await second.send(make_items(1))


async def test_a_transaction_that_took_too_long_is_not_taken_for_another_process(
    broker: KafkaBroker, topic: str, make_sink: MakeSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a pause of the whole machine: the brokers end the transaction, and nobody has our place."""
    sink = make_sink(**ONCE | {"timeout": 20}, message_key="none")
    assert sink._transactions is not None
    sink._transactions.timeout_ms = 1000
    await sink.open()
    commit = Producer.commit

    async def late(producer: Producer, deadline: float) -> None:
        reader = Reader(producer.client)
        while await hidden(reader, f"{topic}.checkpoint"):  # noqa: ASYNC110 # only the broker knows of it
            await asyncio.sleep(0.1)
        await commit(producer, deadline)

    async def hidden(reader: Reader, topic: str) -> bool:
        return await reader.bounds(topic, 0, stable=True) != await reader.bounds(topic, 0)

    with monkeypatch.context() as patch:
        patch.setattr(Producer, "commit", late)
        with pytest.raises(Retryable) as raised:
            await sink.send(make_items(10))
    assert raised.value.kind == "fenced"
    assert await sink.open() == Position(0)
    await sink.send(make_items(10))
    assert await shown(broker, topic) == sorted(bodies(make_items(10)))


async def test_the_place_of_another_journal_is_not_taken(broker: KafkaBroker, topic: str, make_sink: MakeSink) -> None:
    """It is that of a volume that was lost, or of a deployment that lives: only the operator knows."""
    ours, theirs = make_sink(**ONCE), make_sink(journal="another", **ONCE)
    await theirs.open()
    await theirs.send(make_items(3))
    with pytest.raises(Misconfigured, match=r"another journal \(another; ours is journal\).*TRANSACTIONAL_ID"):
        await ours.open()
    await theirs.send(make_items(3, first=4))  # it was not fenced
    mended = make_sink(**ONCE, transactional_id="a-name-of-its-own")
    assert await mended.open() is None
    await mended.send(make_items(3, first=7))
    assert await shown(broker, topic) == sorted(bodies(make_items(9)))


async def test_after_a_rollback_what_the_topic_has_is_left_out(
    broker: KafkaBroker, topic: str, make_sink: MakeSink
) -> None:
    """Also by the next process, after a second rollback to an earlier state, and beside what is new."""
    items = make_items(60)
    sink = make_sink(**ONCE, message_key="id")
    await sink.open()
    await sink.send(items[:20])
    await sink.send(items[20:40])
    await sink.close()
    again = make_sink(**ONCE, message_key="id")
    assert await again.open() == Position(40, items[39].event.id)
    await again.rolled_back(25)
    await again.rolled_back(25)  # told twice, as after a failure
    await again.send(renumbered(items[25:45], 1000))
    await again.close()
    third = make_sink(**ONCE, message_key="id")
    assert await third.open() == Position(1019, items[44].event.id)
    await third.send(renumbered([*items[30:40], *items[45:50]], 1020))
    await third.close()
    earlier = make_sink(**ONCE, message_key="id")
    assert await earlier.open() == Position(1034, items[49].event.id)
    await earlier.rolled_back(10)
    await earlier.send(renumbered(items[10:], 2000))
    assert await earlier.open() == Position(2049, items[59].event.id)
    assert await shown(broker, topic) == sorted(bodies(items))


async def test_events_from_before_a_rollback_move_the_position_though_nothing_is_sent(
    broker: KafkaBroker, topic: str, make_sink: MakeSink
) -> None:
    items = make_items(10)
    sink = make_sink(**ONCE)
    await sink.open()
    await sink.send(items)
    await sink.rolled_back(0)
    await sink.send(renumbered(items, 100))
    assert await sink.open() == Position(109, items[9].event.id)
    assert await shown(broker, topic, committed=False) == sorted(bodies(items))


async def test_a_rollback_is_found_however_far_back_it_reaches(
    broker: KafkaBroker, topic: str, make_sink: MakeSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several steps back, between records that are not ours."""
    monkeypatch.setattr("forwarder.sinks.kafka.rollback._STEP", 7)
    items = make_items(60)
    sink = make_sink(**ONCE, message_key="none")
    await sink.open()
    theirs = TheirProducer({"bootstrap.servers": broker.address(), "log_level": 0})
    for start in range(0, 60, 10):
        await sink.send(items[start : start + 10])
        for partition in range(3):
            theirs.produce(topic, b"theirs", partition=partition)
        theirs.flush(20)
    del theirs
    await sink.rolled_back(15)
    await sink.send(renumbered(items[15:], 100))
    assert await shown(broker, topic) == sorted([*bodies(items), *[b"theirs"] * 18])


async def test_the_position_is_found_behind_many_of_others(
    broker: KafkaBroker, topic: str, make_sink: MakeSink
) -> None:
    sink = make_sink(**ONCE)
    await sink.open()
    await sink.send(make_items(5))
    await sink.close()
    theirs = TheirProducer({"bootstrap.servers": broker.address(), "log_level": 0})
    for number in range(2500):
        theirs.produce(f"{topic}.checkpoint", b"{}", f"key-{number}", partition=0)
    theirs.flush(20)
    del theirs
    assert await sink.open() == Position(5, "ual_000005")


async def test_the_position_is_waited_for_while_anothers_transaction_hides_it(
    broker: KafkaBroker, topic: str, make_sink: MakeSink
) -> None:
    sink = make_sink(**ONCE)
    await sink.open()
    theirs = TheirProducer({"bootstrap.servers": broker.address(), "transactional.id": new_name(), "log_level": 0})
    await asyncio.to_thread(theirs.init_transactions, 20)
    theirs.begin_transaction()
    theirs.produce(f"{topic}.checkpoint", b"{}", "theirs", partition=0)
    await asyncio.to_thread(theirs.flush, 20)
    await sink.send(make_items(5))
    opening = asyncio.ensure_future(make_sink(**ONCE).open())
    await asyncio.sleep(0.5)
    await asyncio.to_thread(theirs.abort_transaction, 20)
    del theirs
    assert await opening == Position(5, "ual_000005")


async def test_a_transaction_that_does_not_end_is_named(broker: KafkaBroker, topic: str, make_sink: MakeSink) -> None:
    sink = make_sink(**ONCE)
    theirs = TheirProducer({"bootstrap.servers": broker.address(), "transactional.id": new_name(), "log_level": 0})
    await asyncio.to_thread(theirs.init_transactions, 20)
    theirs.begin_transaction()
    theirs.produce(f"{topic}.checkpoint", b"{}", "theirs", partition=0)
    await asyncio.to_thread(theirs.flush, 20)
    impatient = make_sink(**ONCE | {"timeout": 6})
    with pytest.raises(Retryable, match=r"checkpoint, partition 0, from offset 0 on; .*find-hanging"):
        await impatient.open()
    await asyncio.to_thread(theirs.abort_transaction, 20)
    del theirs
    await sink.open()


async def test_a_record_under_our_key_that_is_none_of_ours_is_reported(
    broker: KafkaBroker, topic: str, make_sink: MakeSink
) -> None:
    theirs = TheirProducer({"bootstrap.servers": broker.address(), "log_level": 0})
    theirs.produce(f"{topic}.checkpoint", b"what?", f"{topic}/kafka", partition=0)
    theirs.flush(20)
    del theirs
    with pytest.raises(Misconfigured, match="CHECKPOINT_TOPIC"):
        await make_sink(**ONCE).open()


async def test_a_position_that_would_be_deleted_is_not_relied_on(
    broker: KafkaBroker, topic: str, make_sink: MakeSink
) -> None:
    broker.configure_topic(f"{topic}.checkpoint", cleanup_policy="delete")
    with pytest.raises(Misconfigured, match=r"cleanup\.policy to compact"):
        await make_sink(**ONCE).open()


async def test_the_topics_are_created_as_they_are_wanted(broker: KafkaBroker, make_sink: MakeSink) -> None:
    name = new_name()
    wanted: dict[str, Any] = {"create_partitions": 5, "create_replication": 1, "create_retention": 86_400 * 200}
    sink = make_sink(**ONCE, topic=name, checkpoint_topic=f"{name}-positions", create_topics=True, **wanted)
    await until_open(sink.open)
    await sink.send(make_items(3))
    assert await shown(broker, name) == sorted(bodies(make_items(3)))
    events = await asyncio.to_thread(broker.describe_topic, name)
    assert (events["partitions"], events["retention.ms"]) == (5, "17280000000")
    positions = await asyncio.to_thread(broker.describe_topic, f"{name}-positions")
    assert (positions["partitions"], positions["cleanup.policy"]) == (1, "compact")


async def until_open(call: Callable[[], Any]) -> None:
    """Open as the worker does: what was just created is not everywhere at once."""
    for _ in range(100):
        try:
            await call()
        except Retryable:
            await asyncio.sleep(0.2)
        else:
            return
    pytest.fail("it does not open")
