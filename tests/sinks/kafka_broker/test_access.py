"""Logins, rights and protocols."""

import asyncio
from typing import Any

import pytest

from forwarder.errors import Failure, Misconfigured, Retryable
from forwarder.secret import Secret
from tests.peers.kafka import PASSWORD, KafkaBroker
from tests.sinks.contract import bodies, make_items
from tests.sinks.kafka_broker.conftest import ONCE, MakeSink, login, new_name

pytestmark = [pytest.mark.peer, pytest.mark.xdist_group("kafka")]


LOGINS = [
    ("login", "SASL_PLAINTEXT", "PLAIN"),
    ("login", "SASL_PLAINTEXT", "SCRAM-SHA-256"),
    ("login", "SASL_PLAINTEXT", "SCRAM-SHA-512"),
    ("tls", "SASL_SSL", "SCRAM-SHA-512"),
]


@pytest.mark.parametrize(("listener", "protocol", "mechanism"), LOGINS)
async def test_it_logs_in(
    broker: KafkaBroker, topic: str, make_sink: MakeSink, listener: str, protocol: str, mechanism: str
) -> None:
    broker.allow("WRITE", topic)
    sink = make_sink(**login(broker, listener, protocol, mechanism))
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
    sink = make_sink(**login(broker, listener, protocol, mechanism, sasl_password=Secret(wrong)))
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
    sink = make_sink(**login(broker, "login", "SASL_PLAINTEXT", "PLAIN", sasl_password=secret))
    with pytest.raises(Misconfigured):
        await sink.open()
    password[0] = PASSWORD
    await sink.open()
    await sink.send(make_items(1))


async def test_a_topic_that_we_may_not_see_or_write_is_reported(
    broker: KafkaBroker, topic: str, make_sink: MakeSink
) -> None:
    sink = make_sink(**login(broker, "login", "SASL_PLAINTEXT", "PLAIN"))
    with pytest.raises(Misconfigured, match="allow DESCRIBE and WRITE"):
        await sink.open()
    broker.allow("DESCRIBE", topic)
    await sink.open()
    with pytest.raises(Misconfigured, match="allow WRITE"):
        await sink.send(make_items(1))


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


@pytest.mark.parametrize(
    ("lacking", "says"),
    [
        ("WRITE {topic}", "do not let us see topic {topic};"),
        ("READ {topic}.checkpoint", "do not let us read a topic .*{topic}.checkpoint"),
        ("WRITE {topic}.checkpoint", "do not let us write"),
        ("WRITE id-{topic}", "transactional id; allow DESCRIBE and WRITE"),
    ],
    ids=["topic", "read", "write", "transactions"],
)
async def test_exactly_once_says_which_right_it_lacks_and_heals_when_it_is_given(
    broker: KafkaBroker, topic: str, make_sink: MakeSink, lacking: str, says: str
) -> None:
    """Opening and trying out find the same, and trying out writes nothing."""
    lacking, says = lacking.format(topic=topic), says.format(topic=topic)
    broker.allow_exactly_once(topic, but=lacking)
    settings = login(broker, "tls", "SASL_SSL", "SCRAM-SHA-512", **ONCE, transactional_id=f"id-{topic}")
    sink = make_sink(**settings)
    with pytest.raises(Misconfigured, match=says):
        await sink.probe()
    with pytest.raises(Misconfigured, match=says):
        await sink.open()
    for name in (topic, f"{topic}.checkpoint"):
        assert await asyncio.to_thread(broker.read, name, committed=False) == []
    operation, name = lacking.split(" ")
    broker.allow(operation, name, kind="TRANSACTIONAL_ID" if name.startswith("id-") else "TOPIC")
    await sink.probe()
    await sink.close()
    await sink.open()
    items = make_items(3)
    await sink.send(items)
    records = await asyncio.to_thread(broker.read, topic)
    assert [record.value for record in records] == bodies(items)


async def test_trying_out_tells_that_we_may_not_write(broker: KafkaBroker, topic: str, make_sink: MakeSink) -> None:
    broker.allow("DESCRIBE", topic)
    sink = make_sink(**login(broker, "login", "SASL_PLAINTEXT", "PLAIN"))
    with pytest.raises(Misconfigured, match=f"write to topic {topic}; allow WRITE"):
        await sink.probe()
    broker.allow("WRITE", topic)
    await sink.probe()
    await sink.close()
    assert await asyncio.to_thread(broker.read, topic) == []


async def test_trying_out_does_not_disturb_a_daemon(broker: KafkaBroker, topic: str, make_sink: MakeSink) -> None:
    """It takes nobody's place, writes nothing, and creates nothing, but says whether that could be created."""
    daemon, check = make_sink(**ONCE), make_sink(journal="check", **ONCE, create_topics=True)
    await daemon.open()
    await daemon.send(make_items(5))
    await check.probe()
    await check.close()
    assert any("of journal journal" in warning for warning in check.warnings)
    await daemon.send(make_items(5, first=6))
    missing = make_sink(**ONCE, topic=new_name(), create_topics=True)
    await missing.probe()
    assert sum("the first run creates it" in warning for warning in missing.warnings) == 2
    await missing.close()
    with pytest.raises(Misconfigured, match="does not exist"):
        await make_sink(**ONCE, topic=missing.settings.topic).open()


@pytest.mark.parametrize(
    ("servers", "says"),
    [("no-such-host.invalid:9092", "cannot be resolved"), ("127.0.0.1:1", "connection refused")],
)
async def test_a_broker_that_is_not_there_is_told_from_a_name_that_is_none(
    make_sink: MakeSink, servers: str, says: str
) -> None:
    with pytest.raises(Retryable, match=says):
        await make_sink(bootstrap_servers=servers).probe()


async def test_the_second_bootstrap_server_is_asked_where_the_first_is_gone(
    broker: KafkaBroker, make_sink: MakeSink
) -> None:
    sink = make_sink(bootstrap_servers=["127.0.0.1:1", broker.address()])
    await sink.open()
    await sink.send(make_items(1))
