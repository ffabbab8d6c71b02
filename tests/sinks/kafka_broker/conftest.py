"""The broker, its topics, and sinks that reach them."""

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from forwarder.secret import Secret
from forwarder.sinks.base import SinkContext
from forwarder.sinks.kafka import KafkaSettings, KafkaSink
from tests.peers.kafka import PASSWORD, USER, KafkaBroker
from tests.peers.proxy import Proxy

MakeSink = Callable[..., KafkaSink]
"""Makes a sink from settings that differ from the usual ones."""

ONCE = {"delivery": "exactly-once", "timeout": 20}
"""Settings of a sink that sends transactions."""

BOTH = pytest.mark.parametrize("delivery", [{}, ONCE], ids=["at-least-once", "exactly-once"])
"""Runs a test in both ways of delivery."""

_numbers = itertools.count(1)


def new_name() -> str:
    """Name a topic that does not exist."""
    return f"audit-{next(_numbers)}"


def login(broker: KafkaBroker, listener: str, protocol: str, mechanism: str, **settings: Any) -> dict[str, Any]:
    """Settings that log :data:`USER` in at *listener*, with a certificate where it asks for one."""
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


@pytest.fixture(scope="session")
def session_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """One broker for all tests; each has topics of its own."""
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"))
    broker.start()
    broker.warm_up()
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
    """A new topic of three partitions, and that of the positions in it."""
    name = new_name()
    broker.create_topics(name)
    return name


@pytest_asyncio.fixture
async def make_sink(broker: KafkaBroker, topic: str) -> AsyncIterator[MakeSink]:
    """Make sinks for the topic, of one journal unless another is named; they are closed at the end."""
    made: list[KafkaSink] = []

    def make(journal: str = "journal", **settings: Any) -> KafkaSink:
        known = {"bootstrap_servers": broker.address(), "topic": topic, "timeout": 4, "delivery": "at-least-once"}
        made.append(KafkaSink(KafkaSettings.model_validate(known | settings), SinkContext("kafka", journal)))
        return made[-1]

    yield make
    for sink in made:
        await sink.close()


@pytest_asyncio.fixture
async def proxy(broker: KafkaBroker) -> AsyncIterator[Proxy]:
    """The proxy before the broker."""
    proxy = broker.proxy()
    await proxy.start()
    yield proxy
    await proxy.mend()
    await proxy.cut()
