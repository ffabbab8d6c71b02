"""Logins, rights and protocols."""

import asyncio
from typing import Any

import pytest

from forwarder.errors import Failure, Misconfigured
from forwarder.secret import Secret
from tests.peers.kafka import PASSWORD, KafkaBroker
from tests.sinks.contract import bodies, make_items
from tests.sinks.kafka_broker.conftest import MakeSink, login

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


async def test_the_second_bootstrap_server_is_asked_where_the_first_is_gone(
    broker: KafkaBroker, make_sink: MakeSink
) -> None:
    sink = make_sink(bootstrap_servers=["127.0.0.1:1", broker.address()])
    await sink.open()
    await sink.send(make_items(1))
