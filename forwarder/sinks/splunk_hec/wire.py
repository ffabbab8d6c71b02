"""One exchange with a collector over HTTP, and what its errors mean."""

import re
import socket
import ssl
from collections.abc import Iterator, Mapping

import aiohttp
import orjson

from forwarder import __version__
from forwarder.errors import Failure, Misconfigured, Retryable
from forwarder.sinks.base import tls_fault
from forwarder.sinks.splunk_hec.replies import Answer, retry_after
from forwarder.sinks.splunk_hec.settings import SplunkHecSettings

EVENTS = "/services/collector/event"
ACKNOWLEDGEMENTS = "/services/collector/ack"
HEALTH = "/services/collector/health"

_LONGEST_REPLY = 64 << 10
_LONGEST_CONNECT = 10.0
"""Seconds after which a collector that cannot be reached is given up, so that another may be asked in time."""

_LONGEST_IDLE = 10.0
"""Seconds; Splunk closes a connection that was idle for 12 (``busyKeepAliveIdleTimeout``), perhaps as we write."""

# OpenSSL's numbers of what only a setting of ours can mend (X509_V_ERR_…, x509_vfy.h).
_UNKNOWN_AUTHORITY = frozenset({18, 19, 20, 21})
_OTHER_NAME = frozenset({62, 64})


class Wire:
    """One kept connection to one collector; for one request at a time.

    :param url: scheme, host and port
    :param prefix: what stands before the names of our settings (``FORWARDER_SOC_``)
    :ivar connections: how many connections were made so far
    :ivar losses: how many of them were made because the one before was gone without a word, perhaps by a restart
    :ivar closing: whether the last answer announced that the connection ends with it, as some proxies do each time, and
        an OpenTelemetry Collector by its default
    :raises Misconfigured: the TLS files cannot be used
    """

    def __init__(self, url: str, settings: SplunkHecSettings, prefix: str) -> None:
        self.url = url
        self._settings = settings
        self._prefix = prefix
        self._tls: ssl.SSLContext | None = None
        self._tls_files: list[int] = []
        self._context()
        connect = min(_LONGEST_CONNECT, settings.timeout)
        self.connections = self.losses = 0
        self.closing = False
        self._answered = False
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(self._connected)
        self._session = aiohttp.ClientSession(
            trace_configs=[trace],
            connector=aiohttp.TCPConnector(limit=1, keepalive_timeout=_LONGEST_IDLE),
            # A load balancer keeps us at one indexer by its cookie, also where that is known by its address alone.
            cookie_jar=aiohttp.CookieJar(unsafe=True, quote_cookie=False),
            # Splunk speaks HTTP/1.0 to clients that do not say who they are: a connection for each request.
            headers={"User-Agent": f"persona-siem-forwarder/{__version__}"},
            timeout=aiohttp.ClientTimeout(total=settings.timeout, sock_connect=connect),
        )

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post *body* and read the answer, whatever it is.

        :raises Failure: there was none; it counts nothing as accepted
        """
        return await self._exchange("POST", path, body, headers)

    async def get(self, path: str) -> Answer:
        """Get *path* and read the answer.

        :raises Failure: there was none
        """
        return await self._exchange("GET", path, None, {})

    def cookies(self) -> dict[str, str]:
        """The cookies that we hold, by name."""
        return {cookie.key: cookie.value for cookie in self._session.cookie_jar}

    async def close(self) -> None:
        """Close the connection."""
        await self._session.close()

    async def _connected(self, *_: object) -> None:
        self.losses += self.connections > 0 and not self.closing
        self.connections += 1
        self.closing = False

    async def _exchange(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        try:
            async with self._session.request(
                method,
                self.url + path,
                data=body,
                headers={"Authorization": f"Splunk {self._token()}", **headers},
                allow_redirects=False,
                ssl=self._context() or True,
                server_hostname=self._settings.tls_server_name,
            ) as response:
                answer = await _read(response)
                self.closing = _ends_with(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._translate(error) from error
        self._answered = True
        return answer

    def _context(self) -> ssl.SSLContext | None:
        """Make the TLS context, anew when its files were rotated; a new one makes a new connection."""
        if not self.url.startswith("https:"):
            return None
        files = (self._settings.tls_ca_file, self._settings.tls_cert_file, self._settings.tls_key_file)
        now = [file.stat().st_mtime_ns if file is not None and file.exists() else 0 for file in files]
        if self._tls is None or now != self._tls_files:
            self._tls, self._tls_files = self._settings.tls_context(), now
        return self._tls

    def _token(self) -> str:
        setting = f"{self._prefix}TOKEN"
        try:
            token = self._settings.token.reveal().strip()
        except OSError as error:
            raise Misconfigured(f"the token cannot be read: {error.strerror} ({setting})") from error
        if not re.fullmatch(r"[!-~]+", token):
            raise Misconfigured(f"the token is empty or holds characters that no token has ({setting})")
        return token

    def _translate(self, error: Exception) -> Failure:
        """Say what a failed request means; Splunk may have taken it unless the connection was never made."""
        for cause in _causes(error):
            fault = tls_fault(cause)
            if fault is not None:
                return Misconfigured(f"{self.url}: {fault}{self._remedy(cause)}")
        if isinstance(error, aiohttp.ClientConnectorError):
            return Retryable(f"{self.url}: {_unreached(error)}", kind="connection")
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return Retryable(f"{self.url}: no connection in time", kind="connection")
        if isinstance(error, TimeoutError):
            return Retryable(f"{self.url}: no answer in time", unanswered=True, kind="timeout")
        reason = f"{self.url}: the connection broke: {error or type(error).__name__}"
        if self._tls is not None and self._settings.tls_cert_file is None and not self._answered:
            # In TLS 1.3 a server judges our certificate after the handshake, and its words may get lost.
            reason += f"; a server that wants a certificate of ours does this: {self._prefix}TLS_CERT_FILE"
        return Retryable(reason, unanswered=True, kind="connection")

    def _remedy(self, cause: BaseException) -> str:
        code = getattr(cause, "verify_code", None)
        if code in _UNKNOWN_AUTHORITY:
            return (
                "; Splunk's own certificate is signed by an authority of its own: give that authority's certificate as "
                f"{self._prefix}TLS_CA_FILE"
            )
        if code in _OTHER_NAME:
            return f"; if another name is right, give it as {self._prefix}TLS_SERVER_NAME"
        if isinstance(cause, ssl.SSLError) and "CERTIFICATE_REQUIRED" in (getattr(cause, "reason", None) or ""):
            return f"; the server wants a certificate of ours: {self._prefix}TLS_CERT_FILE"
        return ""


def _unreached(error: aiohttp.ClientConnectorError) -> str:
    """Say why a connection was not made, in the words of somebody who has to mend it."""
    cause = error.os_error
    if isinstance(cause, socket.gaierror):
        return f"the name {error.host} cannot be resolved: {cause.strerror}"
    if isinstance(cause, ConnectionRefusedError):
        return "the connection was refused: nothing listens there"
    return f"no connection: {cause.strerror or cause}"


def _ends_with(response: aiohttp.ClientResponse) -> bool:
    """Whether the server closes the connection after this answer, as it says (RFC 9112 section 9.3)."""
    options = response.headers.get("Connection", "").lower()
    old = response.version is not None and response.version < aiohttp.HttpVersion11
    return "close" in options or (old and "keep-alive" not in options)


async def _read(response: aiohttp.ClientResponse) -> Answer:
    """Read an answer of whatever is there: perhaps a proxy's page, perhaps without an end."""
    raw = bytearray()
    async for chunk in response.content.iter_any():
        raw += chunk
        if len(raw) > _LONGEST_REPLY:
            break
    body = None
    if response.content_type != "text/html":
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            body = None  # the status alone has to say what it means
    wait = retry_after(response.headers.get("Retry-After"), response.headers.get("Date"))
    return Answer(response.status, body if isinstance(body, dict) else None, wait)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Walk *error* and what is behind it, where aiohttp keeps the TLS error that we look for."""
    while error is not None:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            yield error.certificate_error
        elif isinstance(error, aiohttp.ClientConnectorError):
            yield error.os_error
        yield error
        error = error.__cause__ or error.__context__
