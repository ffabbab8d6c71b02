"""Splunk's HTTP Event Collector, by its ``/event`` endpoint.

Each event travels in an envelope of its own. An envelope holds only keys that Splunk knows: it answers an unknown one
with HTTP 200 and throws away that object and all that follow it. Requests stay under :data:`MAX_BODY_BYTES`, because
Splunk Cloud answers a larger one (somewhere above 5 MB) as if its first event were malformed.

What a reply means for the batch is decided in :mod:`forwarder.sinks.splunk_hec_replies`. Indexer acknowledgement is
not spoken yet: HTTP 200 says that Splunk has accepted the events, not that they are on its disk.
"""

import gzip
import re
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, Self
from urllib.parse import urlsplit

import aiohttp
import orjson
from pydantic import Field, field_validator, model_validator

from forwarder import __version__
from forwarder.errors import Failure, Misconfigured, Refused, Retryable
from forwarder.secret import Secret
from forwarder.sinks.base import Item, Sink, SinkContext, SinkSettings, TlsSettings, tls_fault
from forwarder.sinks.splunk_hec_replies import Answer, retry_after, verdict
from forwarder.units import Duration, Size

MAX_BODY_BYTES = 1 << 20
"""Most bytes of one request before compression; an event that is larger alone travels alone."""

_EVENT_PATH = "/services/collector/event"
_LONGEST_REPLY = 64 << 10
_TEXT_FORMATS = frozenset({"cef", "leef"})


class SplunkHecSettings(TlsSettings, SinkSettings):
    """Settings of a Splunk HTTP Event Collector."""

    url: str = Field(description="Scheme, host and port, as `https://splunk.example:8088`; the path is added.")
    token: Secret = Field(description="The collector's token.")
    index: str | None = Field(None, min_length=1, description="Index; the token's default where it is not given.")
    source: str | None = Field(
        None,
        min_length=1,
        description="Splunk's `source` of every event; the name of the event's source where it is not given.",
    )
    sourcetype: str = Field("persona:user_audit_log", min_length=1, description="Splunk's `sourcetype`.")
    host: str | None = Field(
        None,
        min_length=1,
        description="Splunk's `host` of every event; the Persona organization's id where it is not given.",
    )
    ack: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Indexer acknowledgement. This version does not speak it yet: `auto` and `off` are the same, "
        "`on` is refused.",
    )
    ack_timeout: Duration = Field(
        300.0,
        gt=0,
        description="Longest wait for an indexer acknowledgement; refused until this version speaks it.",
    )
    gzip: bool = Field(default=True, description="Compress requests.")
    # Envelopes come on top of the events; with them a batch still fits one request of 1 MiB.
    batch_max_bytes: Size = Field(768 << 10, ge=1024, description="Most bytes of formatted events in one batch.")

    @field_validator("url")
    @classmethod
    def _bare_url(cls, text: str) -> str:
        parts = urlsplit(text)
        if parts.scheme not in {"https", "http"} or not parts.hostname:
            raise ValueError("write https://host:port")
        if parts.username is not None or parts.password is not None:
            raise ValueError("a user or password does not belong into the URL; the token has a setting of its own")
        if parts.path not in {"", "/"} or parts.query or parts.fragment:
            raise ValueError("give scheme, host and port only; the path is added")
        _ = parts.port  # raises ValueError itself where the port is no port
        return f"{parts.scheme}://{parts.netloc}"

    @field_validator("ack")
    @classmethod
    def _no_acknowledgement_yet(cls, value: str) -> str:
        if value == "on":
            raise ValueError("this version does not speak indexer acknowledgement yet; write auto or off")
        return value

    @model_validator(mode="after")
    def _only_what_has_an_effect(self) -> Self:
        if "ack_timeout" in self.model_fields_set:
            raise ValueError("ACK_TIMEOUT: this version does not speak indexer acknowledgement yet; remove it")
        if self.url.startswith("http:"):
            self.forbid_tls_settings("the URL is plain http")
        return self


class SplunkHecSink(Sink[SplunkHecSettings]):
    """Posts batches to a collector, one request after the other over one kept connection."""

    kind: ClassVar[str] = "splunk_hec"
    settings_model = SplunkHecSettings

    def __init__(self, settings: SplunkHecSettings, context: SinkContext) -> None:
        super().__init__(settings, context)
        self._session: aiohttp.ClientSession | None = None

    @property
    def promise(self) -> str:
        """What HTTP 200 proves without indexer acknowledgement."""
        return "accepted"

    @property
    def destination(self) -> str:
        """The collector's URL without its path."""
        return self.settings.url

    async def open(self) -> None:
        """Post a request without events: a good collector answers `No data`, and URL, TLS and token are right."""
        await self.close()
        secure = self.settings.url.startswith("https:")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1, ssl=self.settings.tls_context() if secure else True),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Splunk speaks HTTP/1.0 to clients that do not say who they are: a connection for each request.
            headers={"User-Agent": f"persona-siem-forwarder/{__version__}"},
            timeout=aiohttp.ClientTimeout(total=self.settings.timeout),
        )
        answer = await self._post(b"", before=0)
        failure = verdict(answer, before=0, sent=1)
        # Who minds the data has taken the token. Some stand-ins for Splunk do so without a code.
        wordless = answer.status == 400 and answer.number("code") is None  # Bad Request
        if failure is not None and not isinstance(failure, Refused) and not wordless:
            raise failure

    async def send(self, batch: Sequence[Item]) -> None:
        """Return once Splunk has accepted all of *batch*."""
        before = 0
        for envelopes in requests([envelope(item, self.settings) for item in batch]):
            answer = await self._post(b"\n".join(envelopes), before=before)
            failure = verdict(answer, before=before, sent=len(envelopes))
            if failure is not None:
                raise failure
            before += len(envelopes)

    async def close(self) -> None:
        """Close the connection.

        The worker does so after every failure, which matters after code 23: a server that shuts down keeps its
        connections alive, and behind a Service of Kubernetes we would stay with the dying pod.
        """
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _post(self, body: bytes, *, before: int) -> Answer:
        if self._session is None:
            raise Retryable("the sink is not open", accepted=before)
        headers = {"Authorization": f"Splunk {self._token()}", "Content-Type": "application/json"}
        if self.settings.gzip and body:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, compresslevel=1, mtime=0)
        try:
            async with self._session.post(
                self.settings.url + _EVENT_PATH,
                data=body,
                headers=headers,
                allow_redirects=False,
                server_hostname=self.settings.tls_server_name,
            ) as response:
                return await _read(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _translate(error, before) from error

    def _token(self) -> str:
        try:
            token = self.settings.token.reveal().strip()
        except OSError as error:
            raise Misconfigured(f"the token cannot be read: {error.strerror}") from error
        if not re.fullmatch(r"[!-~]+", token):
            raise Misconfigured("the token is empty or holds characters that no token has")
        return token


def envelope(item: Item, settings: SplunkHecSettings) -> bytes:
    """Wrap the formatted event in Splunk's envelope: JSON as it is, a line of text as a string."""
    head = {
        "host": settings.host or item.event.origin.organization_id,
        "source": settings.source or item.event.origin.name,
        "sourcetype": settings.sourcetype,
        "index": settings.index,
        # Indexed, so that `| dedup log_id` is cheap where a batch had to be sent twice.
        "fields": {"log_id": item.event.id},
    }
    known = orjson.dumps({key: value for key, value in head.items() if value is not None})
    event = orjson.dumps(item.body.decode()) if settings.format in _TEXT_FORMATS else item.body
    return b'{"time":%s,%s,"event":%s}' % (epoch_seconds(item.event.time).encode(), known[1:-1], event)


def epoch_seconds(micros: int) -> str:
    """Write microseconds since the epoch as decimal seconds with milliseconds, without a float in between."""
    seconds, millis = divmod(abs(micros) // 1000, 1000)
    return f"{'-' if micros < 0 else ''}{seconds}.{millis:03d}"


def requests(envelopes: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Divide *envelopes* in order into requests of at most :data:`MAX_BODY_BYTES`, line ends between them included."""
    request: list[bytes] = []
    size = 0
    for one in envelopes:
        if request and size + len(one) + 1 > MAX_BODY_BYTES:
            yield request
            request, size = [], 0
        request.append(one)
        size += len(one) + 1
    if request:
        yield request


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


def _translate(error: Exception, before: int) -> Failure:
    """Say what a failed request means; Splunk may have taken it unless the connection was never made."""
    for fault in map(tls_fault, _causes(error)):
        if fault is not None:
            return Misconfigured(fault, accepted=before)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return Retryable(f"no connection: {error}", accepted=before, kind="connection")
    if isinstance(error, TimeoutError):
        return Retryable("no answer in time", accepted=before, unanswered=True, kind="timeout")
    reason = f"the connection broke: {error or type(error).__name__}"
    return Retryable(reason, accepted=before, unanswered=True, kind="connection")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Walk *error* and what is behind it, where aiohttp keeps the TLS error that we look for."""
    while error is not None:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            yield error.certificate_error
        elif isinstance(error, aiohttp.ClientConnectorError):
            yield error.os_error
        yield error
        error = error.__cause__ or error.__context__
