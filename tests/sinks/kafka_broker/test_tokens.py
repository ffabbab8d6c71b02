"""Logging in by certificates and by tokens, and what is said when these are wrong."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from forwarder.errors import Misconfigured, Retryable
from forwarder.secret import Secret
from forwarder.sinks.kafka.oauth import OAuthTokens
from tests.peers.kafka import KafkaBroker
from tests.peers.tokens import CLIENT_ID, CLIENT_SECRET
from tests.sinks.contract import bodies, make_items
from tests.sinks.kafka_broker.conftest import MakeSink

pytestmark = [pytest.mark.peer, pytest.mark.xdist_group("kafka")]


@pytest_asyncio.fixture
async def endpoint(broker: KafkaBroker) -> AsyncIterator[str]:
    """The URL of the token endpoint whose tokens the broker takes."""
    issuer = broker.tokens
    issuer.asked.clear()
    runner = web.AppRunner(issuer.application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/token"
    await runner.cleanup()
    issuer.status, issuer.audience, issuer.life, issuer.secret = 200, "kafka", 300, CLIENT_SECRET


def by_token(broker: KafkaBroker, endpoint: str, **settings: Any) -> dict[str, Any]:
    return {
        "bootstrap_servers": broker.address("tokens"),
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "OAUTHBEARER",
        "tls_ca_file": broker.folder / "ca.pem",
        "oauth_token_url": endpoint,
        "oauth_client_id": CLIENT_ID,
        "oauth_client_secret": Secret(lambda: CLIENT_SECRET),
        **settings,
    }


async def test_it_logs_in_by_client_credentials(
    broker: KafkaBroker, topic: str, make_sink: MakeSink, endpoint: str
) -> None:
    broker.allow("WRITE", topic)
    sink = make_sink(**by_token(broker, endpoint, oauth_scope="kafka write"))
    items = make_items(3)
    await sink.open()
    await sink.send(items)
    records = await asyncio.to_thread(broker.read, topic)
    assert [record.value for record in records] == bodies(items)
    assert broker.tokens.asked == ["kafka write"], "one token serves all connections"


async def test_a_token_that_the_brokers_do_not_take_is_reported_and_heals(
    broker: KafkaBroker, topic: str, make_sink: MakeSink, endpoint: str
) -> None:
    broker.allow("WRITE", topic)
    broker.tokens.audience = "somebody else"
    sink = make_sink(**by_token(broker, endpoint))
    with pytest.raises(Misconfigured, match="rejected the credentials; check OAUTH_CLIENT_ID"):
        await sink.open()
    broker.tokens.audience = "kafka"
    await sink.open()
    await sink.send(make_items(1))


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (401, Misconfigured, "check OAUTH_CLIENT_ID, OAUTH_CLIENT_SECRET"),
        (404, Misconfigured, "check OAUTH_TOKEN_URL"),
        (503, Retryable, "busy"),
        (302, Misconfigured, "check OAUTH_TOKEN_URL"),
    ],
)
async def test_what_the_token_endpoint_minds_is_said(
    broker: KafkaBroker, make_sink: MakeSink, endpoint: str, status: int, kind: type[Exception], says: str
) -> None:
    broker.tokens.status = status
    with pytest.raises(kind, match=says):
        await make_sink(**by_token(broker, endpoint)).open()


async def test_a_wrong_secret_is_not_shown_and_a_rotated_one_is_used(
    broker: KafkaBroker, topic: str, make_sink: MakeSink, endpoint: str
) -> None:
    broker.allow("WRITE", topic)
    secret = ["yesterday's-secret"]
    sink = make_sink(**by_token(broker, endpoint, oauth_client_secret=Secret(lambda: secret[0])))
    with pytest.raises(Misconfigured, match="token endpoint rejected us") as raised:
        await sink.open()
    failure: BaseException | None = raised.value
    while failure is not None:
        assert secret[0] not in repr(failure)
        failure = failure.__cause__ or failure.__context__
    secret[0] = CLIENT_SECRET
    await sink.open()


async def test_an_endpoint_that_is_not_there_is_waited_for(broker: KafkaBroker, make_sink: MakeSink) -> None:
    with pytest.raises(Retryable, match="token endpoint cannot be reached"):
        await make_sink(**by_token(broker, "http://127.0.0.1:1/token")).open()


async def test_a_token_is_kept_while_it_holds_and_not_used_after_its_end(endpoint: str, broker: KafkaBroker) -> None:
    tokens = OAuthTokens(endpoint, CLIENT_ID, Secret(CLIENT_SECRET), None, ssl.create_default_context(), 5)
    first = await tokens.token()
    assert await tokens.token() == first
    assert len(broker.tokens.asked) == 1
    broker.tokens.life = 0
    tokens = OAuthTokens(endpoint, CLIENT_ID, Secret(CLIENT_SECRET), None, ssl.create_default_context(), 5)
    await tokens.token()
    await tokens.token()
    assert len(broker.tokens.asked) == 3


async def test_a_certificate_is_enough(broker: KafkaBroker, topic: str, make_sink: MakeSink) -> None:
    broker.allow("WRITE", topic)
    files = {"tls_ca_file": broker.folder / "ca.pem", "tls_cert_file": broker.folder / "client.pem"}
    sink = make_sink(bootstrap_servers=broker.address("mutual"), security_protocol="SSL", **files)
    items = make_items(3)
    await sink.open()
    await sink.send(items)
    records = await asyncio.to_thread(broker.read, topic)
    assert [record.value for record in records] == bodies(items)


async def test_without_our_certificate_it_says_so(broker: KafkaBroker, make_sink: MakeSink) -> None:
    sink = make_sink(
        bootstrap_servers=broker.address("mutual"), security_protocol="SSL", tls_ca_file=broker.folder / "ca.pem"
    )
    with pytest.raises(Misconfigured, match="the TLS files"):
        await sink.open()


async def test_amazons_tokens_are_offered_and_a_refusal_names_the_policy(
    broker: KafkaBroker, make_sink: MakeSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker here cannot take them; that it read one shows in its answer."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    sink = make_sink(
        bootstrap_servers=broker.address("tokens"),
        security_protocol="SASL_SSL",
        sasl_mechanism="AWS_MSK_IAM",
        aws_region="eu-west-1",
        tls_ca_file=broker.folder / "ca.pem",
        timeout=20,
    )
    with pytest.raises(Misconfigured, match="rejected the credentials; check the policy of our role"):
        await sink.open()
