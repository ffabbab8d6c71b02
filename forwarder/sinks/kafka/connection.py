# ruff: noqa: SLF001 # aiokafka offers no way to close a connection without waiting for its peer
"""How a broker is reached, and what its rejections mean.

The first contact is a connection of our own: aiokafka's start says "unable to bootstrap" whatever the reason, and wrong
credentials are another matter than a broker that is down.
"""

import asyncio
import socket
import ssl
from typing import Any

from aiokafka import errors
from aiokafka.conn import AIOKafkaConnection, OAuthAuthenticator

from forwarder.errors import Misconfigured, Retryable
from forwarder.sinks.kafka.failures import TokenError, say
from forwarder.sinks.kafka.msk import MskTokens
from forwarder.sinks.kafka.oauth import OAuthTokens
from forwarder.sinks.kafka.settings import KafkaSettings

SHARE = 0.9
"""Part of the sink's time-out after which it gives up by itself, to say why before the worker cancels it."""

_FAREWELL = 1.0
"""Seconds that a connection which ended badly gets to close."""

_CHECK = {
    "OAUTHBEARER": "OAUTH_CLIENT_ID and OAUTH_SCOPE, and what the brokers expect of a token",
    "AWS_MSK_IAM": "the policy of our role, and AWS_REGION",
}


def connection_options(settings: KafkaSettings) -> dict[str, Any]:
    """How aiokafka shall connect. Secrets and TLS files are read now: a rotated one is used from the next open on.

    :raises Misconfigured: a TLS file cannot be used
    """
    options: dict[str, Any] = {
        "client_id": "persona-siem-forwarder",
        # Half of the time-out: an answer that stays away can be tried once more, if need be at another broker.
        "request_timeout_ms": int(settings.timeout * 500),
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.endswith("SSL"):
        options["ssl_context"] = settings.tls_context()
    if settings.security_protocol.startswith("SASL"):
        options |= _login(settings)
    return options


def _login(settings: KafkaSettings) -> dict[str, Any]:
    patience = settings.timeout / 2
    if settings.aws_region is not None:
        tokens: Any = MskTokens(settings.aws_region, patience)
    elif settings.oauth_token_url and settings.oauth_client_id and settings.oauth_client_secret:
        tokens = OAuthTokens(
            settings.oauth_token_url,
            settings.oauth_client_id,
            settings.oauth_client_secret,
            settings.oauth_scope,
            settings.tls_context(),
            patience,
        )
    else:
        password = settings.sasl_password
        return {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": None if password is None else password.reveal(),
        }
    return {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": tokens}


class _Connection(AIOKafkaConnection):  # type: ignore[misc] # the library ships no types
    """Notices that a token was refused: the broker says so in a challenge, which aiokafka takes for a welcome.

    RFC 7628, section 3.2.3.
    """

    def authenticator_oauth(self) -> Any:
        return _StrictAuthenticator(sasl_oauth_token_provider=self._sasl_oauth_token_provider)


class _StrictAuthenticator(OAuthAuthenticator):  # type: ignore[misc] # the library ships no types
    async def step(self, payload: bytes | None) -> Any:
        if payload:
            raise errors.SaslAuthenticationFailed("the token was refused")
        return await super().step(payload)


async def first_contact(settings: KafkaSettings, options: dict[str, Any]) -> tuple[str, Any]:
    """Connect to the first of the configured brokers that answers; returns its ``host:port`` and the connection.

    :raises Misconfigured: it rejects us
    :raises Retryable: none answers
    """
    servers, tried = settings.bootstrap_servers, []
    for server in servers:
        host, _, port = server.rpartition(":")
        connection: Any = _Connection(host.strip("[]"), int(port), **options)
        try:
            async with asyncio.timeout(settings.timeout * SHARE / (len(servers) + 1)):
                await connection.connect()
                return server, connection
        except TokenError as error:
            await _gone(connection)
            raise error.failure from error
        except (OSError, errors.KafkaError, ValueError, AssertionError) as error:
            await _gone(connection)
            _raise_if_rejected(settings, server, error)
            tried.append(f"{server}: {_plainly(error)}")
    raise Retryable(f"no broker can be reached ({'; '.join(tried)})", kind="connection")


async def hang_up(connection: Any) -> None:
    """Close a connection without waiting for a peer that may not read any more."""
    if connection._writer is not None:
        connection._writer.transport.abort()
    closed = connection.close()
    if closed is not None:
        await closed


async def _gone(connection: Any) -> None:
    """Wait a moment for a connection that aiokafka has begun to close: TLS takes its leave of the peer first."""
    if connection._protocol is not None:
        await asyncio.wait({connection._closed_fut}, timeout=_FAREWELL)


def hung_up(error: BaseException) -> str | None:
    """A hint if *error* is all that one sees of a listener that expects another protocol."""
    if isinstance(error, errors.KafkaConnectionError | ConnectionResetError):
        return "it hung up; is SECURITY_PROTOCOL what this listener expects?"
    return None


def _plainly(error: BaseException) -> str:
    if isinstance(error, socket.gaierror):
        return "this name cannot be resolved"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there (connection refused)"
    return hung_up(error) or say(error)


def _raise_if_rejected(settings: KafkaSettings, server: str, error: BaseException) -> None:
    """Tell a broker that rejects us, which the operator has to mend, from one that is not there."""
    if isinstance(error, errors.KafkaConnectionError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = f"the certificate of {server} is not trusted ({error.verify_message}); check TLS_CA_FILE"
        raise Misconfigured(reason) from error
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        reason = f"no TLS with {server} ({error.reason or error}); check SECURITY_PROTOCOL and the TLS files"
        raise Misconfigured(reason) from error
    if isinstance(error, errors.UnsupportedSaslMechanismError | errors.IllegalSaslStateError):
        raise Misconfigured(f"{server}: {say(error)}; check SASL_MECHANISM and SECURITY_PROTOCOL") from error
    # aiokafka says by ValueError and AssertionError that the broker's side of SASL is wrong.
    if isinstance(error, errors.SaslAuthenticationFailed | ValueError | AssertionError):
        check = _CHECK.get(settings.sasl_mechanism, "SASL_USERNAME and SASL_PASSWORD")
        raise Misconfigured(f"{server} rejected the credentials; check {check}") from error
