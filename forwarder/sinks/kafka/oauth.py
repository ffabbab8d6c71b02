"""Logging in by OAUTHBEARER (RFC 7628): tokens by client credentials (RFC 6749, 4.4), renewed before they end."""

import asyncio
import ssl
from base64 import b64encode
from typing import Any

import aiohttp
import orjson
from aiokafka.abc import AbstractTokenProvider

from forwarder.errors import Failure, Misconfigured, Retryable
from forwarder.secret import Secret
from forwarder.sinks.base import tls_fault
from forwarder.sinks.kafka.failures import TokenError

_EARLY = 0.8
"""Part of a token's life after which the next connection gets a new one."""

_LIFE = 60.0
"""Seconds that a token is taken to live where its endpoint does not say."""

_MOST = 1 << 20
"""Most bytes of an answer that are read."""


class OAuthTokens(AbstractTokenProvider):  # type: ignore[misc] # the library ships no types
    """Tokens of one token endpoint, kept while they hold. The secret is read each time that a token is fetched."""

    def __init__(
        self, url: str, client_id: str, secret: Secret, scope: str | None, context: ssl.SSLContext, timeout: float
    ) -> None:
        self._url = url
        self._client_id = client_id
        self._secret = secret
        self._form = {"grant_type": "client_credentials", **({"scope": scope} if scope else {})}
        self._context = context
        self._timeout = timeout
        self._token = ""
        self._until = 0.0
        self._lock = asyncio.Lock()  # several connections are made at once; one fetch serves them

    async def token(self) -> str:
        """Give the present token, or fetch one.

        :raises TokenError: there is none to be had
        """
        async with self._lock:
            if asyncio.get_running_loop().time() >= self._until:
                try:
                    await self._fetch()
                except Failure as failure:
                    raise TokenError(failure) from None
            return self._token

    async def _fetch(self) -> None:
        began = asyncio.get_running_loop().time()
        answer = await self._ask()
        token = answer.get("access_token")
        if not isinstance(token, str) or not token or not token.isprintable():
            raise Misconfigured("the token endpoint answered without an access_token; check OAUTH_TOKEN_URL")
        life = answer.get("expires_in")
        seconds = float(life) if isinstance(life, int | float | str) and str(life).isdecimal() else _LIFE
        self._token, self._until = token, began + seconds * _EARLY

    async def _ask(self) -> dict[str, Any]:
        # As Kafka's own clients send them: not encoded as a form first, which RFC 6749, section 2.3.1, asks for.
        login = b64encode(f"{self._client_id}:{self._secret.reveal()}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Accept": "application/json"}
        timeout = aiohttp.ClientTimeout(total=self._timeout)
        connector = aiohttp.TCPConnector(ssl=self._context, force_close=True)
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector, timeout=timeout, trust_env=self._url.startswith("https")
                ) as session,
                session.post(self._url, data=self._form, headers=headers, allow_redirects=False) as answer,
            ):
                self._judge(answer.status)
                body = b""
                while len(body) < _MOST and (part := await answer.content.read(_MOST)):
                    body += part
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            cause = error.__cause__ or error
            if (fault := tls_fault(cause)) is not None:
                raise Misconfigured(f"the token endpoint: {fault}; check TLS_CA_FILE") from None
            raise Retryable(
                f"the token endpoint cannot be reached: {type(cause).__name__}", kind="connection"
            ) from None
        return _json(body)

    def _judge(self, status: int) -> None:
        if status in {400, 401, 403}:
            remedy = "check OAUTH_CLIENT_ID, OAUTH_CLIENT_SECRET and OAUTH_SCOPE"
            raise Misconfigured(f"the token endpoint rejected us (HTTP {status}); {remedy}")
        if status in {429, *range(500, 600)}:
            raise Retryable(f"the token endpoint is busy (HTTP {status})")
        if status != 200:
            raise Misconfigured(f"the token endpoint answered HTTP {status}; check OAUTH_TOKEN_URL")


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise Misconfigured("the token endpoint answered no JSON object; check OAUTH_TOKEN_URL")
    return found
