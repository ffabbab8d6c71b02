"""The Kafka sink against real Apache Kafka: the shared contract, limits, access rules, logins, outages."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Any, ClassVar

import pytest
import pytest_asyncio

from forwarder.errors import Failure, Misconfigured, Refused, Retryable
from forwarder.secret import Secret
from forwarder.sinks.base import Item, SinkContext
from forwarder.sinks.kafka import KafkaSettings, KafkaSink
from tests.peers.kafka import PASSWORD, USER, KafkaBroker
from tests.sinks.contract import Destination, SinkContract, bodies, make_items

pytestmark = [pytest.mark.peer, pytest.mark.xdist_group("kafka")]

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def session_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """One broker for all tests; each has topics of its own."""
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def broker(session_broker: KafkaBroker) -> Iterator[KafkaBroker]:
    """The broker; what a test broke is mended after it."""
    yield session_broker
    session_broker.thaw()
    if not session_broker.is_running:
        session_broker.start()


@pytest.fixture
def topic(broker: KafkaBroker) -> str:
    """A new topic of three partitions."""
    name = f"audit-{next(_numbers)}"
    broker.create_topic(name)
    return name


MakeSink = Callable[..., KafkaSink]


@pytest_asyncio.fixture
async def make_sink(broker: KafkaBroker, topic: str) -> AsyncIterator[MakeSink]:
    """Make sinks for the topic; they are closed at the end."""
    made: list[KafkaSink] = []

    def make(**settings: Any) -> KafkaSink:
        known = {"bootstrap_servers": broker.address(), "topic": topic, "timeout": 4}
        made.append(KafkaSink(KafkaSettings.model_validate(known | settings), SinkContext("kafka", "journal")))
        return made[-1]

    yield make
    for sink in made:
        await sink.close()


class BrokerDestination(Destination):
    """One topic of the real broker."""

    def __init__(self, broker: KafkaBroker, topic: str) -> None:
        self.broker, self.topic = broker, topic

    def settings(self) -> dict[str, Any]:
        return {"bootstrap_servers": self.broker.address(), "topic": self.topic, "timeout": 4}

    async def arrived(self) -> list[bytes]:
        records = await asyncio.to_thread(self.broker.read, self.topic)
        return [record.value for record in records]

    async def break_down(self) -> None:
        self.broker.kill()

    async def stall(self) -> None:
        self.broker.freeze()

    async def mend(self) -> None:
        await asyncio.to_thread(self.broker.thaw)
        if not self.broker.is_running:
            await asyncio.to_thread(self.broker.start)


class TestKafkaSink(SinkContract):
    """What every sink must do."""

    kind: ClassVar[str] = "kafka"

    @pytest_asyncio.fixture
    async def destination(self, broker: KafkaBroker, topic: str) -> AsyncIterator[Destination]:  # type: ignore[override] # it needs them
        yield BrokerDestination(broker, topic)


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


async def test_one_event_of_3_mb_among_1000_is_refused_and_999_arrive_once(
    broker: KafkaBroker, topic: str, make_sink: MakeSink
) -> None:
    sink = make_sink(message_key="id")
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


async def test_an_event_that_compression_makes_small_enough_is_not_refused(
    broker: KafkaBroker, topic: str, make_sink: MakeSink
) -> None:
    sink = make_sink(compression="zstd")
    items = [*make_items(3), *make_items(1, first=4, size=3_000_000), *make_items(3, first=5)]
    await sink.open()
    await sink.send(items)
    records = await asyncio.to_thread(broker.read, topic)
    assert [record.value for record in records] == bodies(items)


async def test_an_event_that_compression_cannot_make_small_enough_is_refused_alone(
    broker: KafkaBroker, topic: str, make_sink: MakeSink
) -> None:
    sink = make_sink(compression="zstd")
    noise = Random(1).randbytes(1_500_000).hex()
    items = [*make_items(3), *make_items(1, first=4, text=noise), *make_items(3, first=5)]
    await sink.open()
    with pytest.raises(Refused, match=r"before compression; .* takes 1048588") as refused:
        await sink.send(items)
    assert refused.value.at == 3
    await sink.send(items[4:])
    records = await asyncio.to_thread(broker.read, topic)
    assert [record.value for record in records] == bodies(items[:3] + items[4:])


async def test_a_limit_that_was_lowered_meanwhile_is_read_again(
    broker: KafkaBroker, topic: str, make_sink: MakeSink
) -> None:
    sink = make_sink()
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
    name = f"absent-{next(_numbers)}"
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
    name = f"absent-{next(_numbers)}"
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
    name = f"compacted-{next(_numbers)}"
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


LOGINS = [
    ("login", "SASL_PLAINTEXT", "PLAIN"),
    ("login", "SASL_PLAINTEXT", "SCRAM-SHA-256"),
    ("login", "SASL_PLAINTEXT", "SCRAM-SHA-512"),
    ("tls", "SASL_SSL", "SCRAM-SHA-512"),
]


def _login(broker: KafkaBroker, listener: str, protocol: str, mechanism: str, **settings: Any) -> dict[str, Any]:
    files = {"tls_ca_file": broker.folder / "ca.pem", "tls_cert_file": broker.folder / "client.pem"}
    return {
        "bootstrap_servers": broker.address(listener),
        "security_protocol": protocol,
        "sasl_mechanism": mechanism,
        "sasl_username": USER,
        "sasl_password": Secret(PASSWORD),
        **(files if listener == "tls" else {}),
        **settings,
    }


@pytest.mark.parametrize(("listener", "protocol", "mechanism"), LOGINS)
async def test_it_logs_in(
    broker: KafkaBroker, topic: str, make_sink: MakeSink, listener: str, protocol: str, mechanism: str
) -> None:
    broker.allow("WRITE", topic)
    sink = make_sink(**_login(broker, listener, protocol, mechanism))
    items = make_items(3)
    await sink.open()
    await sink.send(items)
    records = await asyncio.to_thread(broker.read, topic)
    assert [record.value for record in records] == bodies(items)


@pytest.mark.parametrize(("listener", "protocol", "mechanism"), LOGINS)
async def test_a_wrong_password_is_reported_and_not_shown(
    broker: KafkaBroker, make_sink: MakeSink, listener: str, protocol: str, mechanism: str
) -> None:
    wrong = "a-wrong-secret"
    sink = make_sink(**_login(broker, listener, protocol, mechanism, sasl_password=Secret(wrong)))
    with pytest.raises(Misconfigured, match="SASL_PASSWORD") as raised:
        await sink.open()
    failure: BaseException | None = raised.value
    while failure is not None:
        assert wrong not in repr(failure)
        failure = failure.__cause__ or failure.__context__


async def test_a_rotated_password_is_used_from_the_next_open_on(
    broker: KafkaBroker, topic: str, make_sink: MakeSink
) -> None:
    broker.allow("WRITE", topic)
    password = ["yesterday's"]
    secret = Secret(lambda: password[0])
    sink = make_sink(**_login(broker, "login", "SASL_PLAINTEXT", "PLAIN", sasl_password=secret))
    with pytest.raises(Misconfigured):
        await sink.open()
    password[0] = PASSWORD
    await sink.open()
    await sink.send(make_items(1))


async def test_a_topic_that_we_may_not_see_or_write_is_reported(
    broker: KafkaBroker, topic: str, make_sink: MakeSink
) -> None:
    sink = make_sink(**_login(broker, "login", "SASL_PLAINTEXT", "PLAIN"))
    with pytest.raises(Misconfigured, match="allow DESCRIBE and WRITE"):
        await sink.open()
    broker.allow("DESCRIBE", topic)
    await sink.open()
    with pytest.raises(Misconfigured, match="allow WRITE"):
        await sink.send(make_items(1))


async def test_without_the_right_to_read_the_limit_a_large_event_is_still_found(
    broker: KafkaBroker, topic: str, make_sink: MakeSink
) -> None:
    broker.allow("WRITE", topic)
    broker.configure_topic(topic, max_message_bytes="50000")
    sink = make_sink(**_login(broker, "login", "SASL_PLAINTEXT", "PLAIN"))
    items = [*make_items(3), *make_items(1, first=4, size=60_000), *make_items(3, first=5)]
    await sink.open()
    with pytest.raises(Retryable):
        await sink.send(items)
    await sink.open()
    with pytest.raises(Refused, match="may not read") as refused:
        await sink.send(items)
    assert refused.value.at == 3
    await sink.send(items[4:])
    records = await asyncio.to_thread(broker.read, topic)
    assert [record.value for record in records] == bodies(items[:3] + items[4:])


@pytest.mark.parametrize(
    ("listener", "settings", "says"),
    [
        ("tls", {"security_protocol": "PLAINTEXT"}, "SECURITY_PROTOCOL"),
        ("login", {"security_protocol": "PLAINTEXT"}, "SECURITY_PROTOCOL"),
        ("plain", {"security_protocol": "SSL"}, "SECURITY_PROTOCOL"),
        ("tls", {"security_protocol": "SSL"}, "TLS_CA_FILE"),
    ],
)
async def test_the_wrong_protocol_says_what_to_look_at(
    broker: KafkaBroker, make_sink: MakeSink, listener: str, settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(Failure, match=says):
        await make_sink(bootstrap_servers=broker.address(listener), **settings).open()


async def test_the_second_bootstrap_server_is_asked_where_the_first_is_gone(
    broker: KafkaBroker, make_sink: MakeSink
) -> None:
    sink = make_sink(bootstrap_servers=["127.0.0.1:1", broker.address()])
    await sink.open()
    await sink.send(make_items(1))


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
    settings = {} if listener == "plain" else _login(broker, "tls", "SASL_SSL", "SCRAM-SHA-256")
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
