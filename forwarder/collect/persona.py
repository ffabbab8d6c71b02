"""Persona's User Audit Logs over HTTP: one request at a time, every failure named.

The only file that knows how Persona is asked. It never retries, waits, logs or decides what to ask next: the collector
does. Past it every failure is one of

- ``Retryable``: the network, a time-out, a cut body, 408, 429, 5xx, an answer that is not Persona's;
- ``CursorLost``: Persona refused the cursor;
- ``Unreadable``: the page is too large, or its JSON cannot be read;
- ``Misconfigured``: the key, the URL, the trust anchors or the proxy need the operator.

The API key is revealed at each request and goes to the configured host alone: redirects are refused, links are never
followed, and over plain ``http`` (a loopback host) no proxy is used, since it would be sent the key in the clear.
"""

import ssl
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from forwarder import __version__
from forwarder.clock import Clock, parse_http_date
from forwarder.collect.answers import Answer, Page, identifier, named, rate_limit, read_page, read_user
from forwarder.collect.body import ACCEPT_ENCODING, Damaged, TooLarge, read_beginning, read_body
from forwarder.collect.budget import RateLimit
from forwarder.collect.refusals import GONE, OK, failure, record_failure
from forwarder.collect.settings import PersonaSettings
from forwarder.collect.unreached import unreached
from forwarder.errors import Misconfigured, Retryable, Unreadable
from forwarder.metrics import Metrics
from forwarder.record import Json
from forwarder.variables import stem

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Page", "PersonaApi", "RateLimit"]

_PATH = "/user-audit-logs"
_ERROR_BODY = 64 << 10
"""Most bytes that are read of a body that only explains a status."""

# The edge's security headers alone can be longer than aiohttp's 8 KiB a line.
_LONGEST_HEADER = 64 << 10


class PersonaApi:
    """One source's HTTP side. Its session is opened by the first request, and by the first after a close.

    :param name: the source's configured name, for metrics and for the variables that errors name
    """

    def __init__(self, settings: PersonaSettings, *, metrics: Metrics, name: str, clock: Clock) -> None:
        self._settings = settings
        self._metrics = metrics
        self._name = name
        self._variable = stem(name)
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._sent = 0
        self.on_repeat: Callable[[], None] = lambda: None
        """Called for each request that the client repeats by itself, when a kept connection turns out to be closed."""
        self.request_id: str | None = None
        """Persona's name for the last request that it answered with one; None while it has not answered."""
        self.server_time: int | None = None
        """Persona's clock in the last answer, readable or not, in microseconds; None where it had no ``Date``."""
        self.rate: RateLimit | None = None
        """What the last answer said of the rate limit; None where it said nothing, or none came."""

    async def fetch_page(self, cursor: str | None, size: int) -> Page:
        """Ask for up to *size* records older than *cursor*, or for the newest where it is None.

        :raises Retryable, Misconfigured, CursorLost, Unreadable: as the module's docstring says
        """
        query = {"page[size]": str(size)} | ({} if cursor is None else {"page[after]": cursor})
        key = self._key()
        answer = await self._get(f"{_PATH}?{urlencode(query)}", key)
        if answer.status != OK:
            raise failure(answer, variable=self._variable, cursor=cursor, key=key)
        return read_page(answer)

    async def fetch_user(self, record_id: str) -> Json | None:
        """Return the user resource of one record, or None if Persona has none (or no longer has the record).

        :raises Retryable, Misconfigured: as :meth:`fetch_page`
        :raises Refused: Persona will not answer this for this record
        """
        if record_id in {".", ".."}:
            return None  # as part of a path these would name another resource
        key = self._key()
        answer = await self._get(f"{_PATH}/{quote(record_id, safe='')}?include=user", key)
        if answer.status in GONE:
            return None
        if answer.status != OK:
            raise record_failure(answer, variable=self._variable, key=key)
        return read_user(answer)

    async def close(self) -> None:
        """Release the connections; closing twice, or without having asked anything, is fine."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _get(self, path: str, key: str) -> Answer:
        """Ask once, connect to last byte within the time-out; an answer of any status is returned."""
        session = self._session = self._session or self._open()
        url = URL(self._settings.base_url + path, encoded=True)
        started = self._clock.monotonic()
        status, self.request_id, self.server_time, self.rate = "error", None, None, None
        self._sent = 0
        try:
            async with session.get(
                url,
                headers={"Authorization": f"Bearer {key}"},
                allow_redirects=False,
                **_proxy(url, self._variable),
            ) as response:
                status, self.request_id = str(response.status), identifier(response.headers.get("Request-Id"))
                self.server_time = parse_http_date(response.headers.get("Date"))
                body = await self._body(response)
                elapsed = self._clock.monotonic() - started
                answer = Answer(response.status, response.headers, body, self._clock.now(), elapsed)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            problem = unreached(error, variable=self._variable, seconds=self._settings.timeout)
        else:
            self._note_remaining(answer)
            return answer
        finally:
            self._metrics.source_requests.labels(self._name, status).inc()
        if isinstance(problem, Misconfigured):
            # The trust anchors are read again with the next session, so mending the file is enough.
            await self.close()
        # Out here the client's exception is no part of the chain: its repr holds the request's headers, the key too.
        raise problem

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        if response.status != OK:
            return await read_beginning(response, _ERROR_BODY)
        limit = self._settings.max_response_bytes
        headers = Answer(response.status, response.headers, b"", 0, 0.0)
        try:
            return await read_body(response, limit)
        except TooLarge:
            raise Unreadable(
                named(headers, f"the page is larger than {self._variable}_MAX_RESPONSE_BYTES ({limit} bytes)")
            ) from None
        except Damaged as error:
            raise Retryable(named(headers, f"the page arrived damaged: {error}"), kind="incomplete") from error

    async def _count(self, *_: object) -> None:
        """Count what is really sent: the rate limit does, too."""
        self._sent += 1
        if self._sent > 1:
            self.on_repeat()

    def _open(self) -> aiohttp.ClientSession:
        counting = aiohttp.TraceConfig()
        counting.on_request_headers_sent.append(self._count)
        return aiohttp.ClientSession(
            trace_configs=[counting],
            connector=aiohttp.TCPConnector(ssl=self._trust()),
            timeout=aiohttp.ClientTimeout(total=self._settings.timeout),
            headers={
                "Persona-Version": self._settings.version,
                "Key-Inflection": "kebab",
                "Accept": "application/json",
                "Accept-Encoding": ACCEPT_ENCODING,
                "User-Agent": f"persona-siem-forwarder/{__version__}",
            },
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=_LONGEST_HEADER,
            max_field_size=_LONGEST_HEADER,
        )

    def _trust(self) -> ssl.SSLContext:
        """TLS 1.2 or newer, names verified; the trust anchors are read now."""
        try:
            context = ssl.create_default_context(cafile=self._settings.tls_ca_file)
        except (OSError, ssl.SSLError) as error:
            raise Misconfigured(f"{self._variable}_TLS_CA_FILE cannot be used: {error}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def _key(self) -> str:
        """The API key as it is now; one that cannot be sent is found here, where no error would quote it."""
        key = self._settings.api_key.reveal().strip()
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise Misconfigured(
                f"{self._variable}_API_KEY is empty or holds characters that no API key has; set it again"
            )
        return key

    def _note_remaining(self, answer: Answer) -> None:
        self.rate = rate = rate_limit(answer.headers)
        if rate is not None and rate.remaining is not None:
            self._metrics.source_rate_limit_remaining.labels(self._name).set(rate.remaining)


def _proxy(url: URL, variable: str) -> dict[str, Any]:
    """Request arguments for the proxy that ``HTTPS_PROXY`` and ``NO_PROXY`` name for *url*, if they name one.

    aiohttp could find it by itself, but only together with ``~/.netrc``, whose password would take the key's place.

    :raises Misconfigured: the proxy is of a kind that cannot be used
    """
    if url.scheme != "https" or url.host is None or proxy_bypass(url.host):
        return {}
    text = getproxies().get("https")
    if not text:
        return {}
    try:
        proxy = URL(text if "//" in text else f"http://{text}")
    except ValueError:
        proxy = URL()
    if proxy.scheme not in {"http", "https"} or proxy.host is None:
        # The text is not quoted: it may hold a password.
        raise Misconfigured(f"HTTPS_PROXY must be a URL as http://proxy:3128 for {variable}_BASE_URL to be reached")
    if proxy.user is None:
        return {"proxy": proxy}
    credentials = b64encode(f"{proxy.user}:{proxy.password or ''}".encode()).decode()
    return {"proxy": proxy.with_user(None), "proxy_headers": {"Proxy-Authorization": f"Basic {credentials}"}}
