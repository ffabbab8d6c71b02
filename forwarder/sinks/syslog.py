"""Syslog: RFC 5424 messages over UDP (RFC 5426), TCP (RFC 6587) and TLS (RFC 5425).

Syslog has no acknowledgement. What is promised is what can be known: over TCP and TLS ``send`` returns when every byte
has left this process for the kernel and the connection is still there. A batch whose connection breaks is sent again.

How a message is written is in :mod:`forwarder.sinks.syslog_message`, how it leaves in
:mod:`forwarder.sinks.syslog_transport`.
"""

import asyncio
import re
import socket
from collections.abc import Sequence
from typing import ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator

from forwarder.errors import Misconfigured, Refused, Retryable
from forwarder.sinks.base import Item, Sink, SinkContext, SinkSettings, TlsSettings, tls_fault
from forwarder.sinks.syslog_message import APP_NAME_LENGTH, HOSTNAME_LENGTH, Header, header_field, write_message
from forwarder.sinks.syslog_transport import Datagrams, Stream
from forwarder.units import Size

FIRST_DOUBT = 0.25
"""Seconds that a new connection has to live before it is used.

A TLS 1.3 peer refuses our certificate only after the handshake has ended on our side, and a balancer without a
receiver behind it accepts before it hangs up: what is written in that time is lost without a trace.
"""

_DEFAULT_PORTS = {"udp": 514, "tcp": 514, "tls": 6514}


class SyslogSettings(TlsSettings, SinkSettings):
    """Settings of a syslog receiver."""

    url: str = Field(
        description="`udp://`, `tcp://` or `tls://` host:port; without a port 514, for TLS 6514. "
        "`relp://` and `relp+tls://` are refused: this version does not speak RELP yet.",
    )
    rfc: Literal["5424", "3164"] = Field(
        "5424",
        description="Header of a message. `3164` is refused: this version does not write it yet.",
    )
    framing: Literal["octet-counting", "lf"] = Field(
        "octet-counting",
        description="What separates messages on TCP and TLS (RFC 6587, section 3.4).",
    )
    facility: int = Field(13, ge=0, le=23, description="Facility; 13 is `log audit`.")
    hostname: str | None = Field(None, description="HOSTNAME of every message; this machine's where it is not given.")
    app_name: str = Field("persona", description="APP-NAME of every message.")
    max_message_bytes: Size = Field(
        8192,
        ge=480,
        description="Longest message that the receiver takes whole; an event that needs more becomes a dead letter.",
    )
    private_enterprise_number: int = Field(
        32473,
        ge=1,
        le=4_294_967_295,
        description="Private enterprise number in the name of the structured data, `persona@32473`. The default is "
        "the one reserved for documentation (RFC 5612); put your organization's here if it has one.",
    )

    @field_validator("url")
    @classmethod
    def _destination_url(cls, text: str) -> str:
        parts = urlsplit(text)
        if parts.scheme in {"relp", "relp+tls"}:
            raise ValueError("this version does not speak RELP yet; write udp://, tcp:// or tls://")
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise ValueError("write udp://host:port, tcp://host:port or tls://host:port")
        if "@" in parts.netloc or parts.path not in {"", "/"} or parts.query or parts.fragment:
            raise ValueError("give scheme, host and port only")
        port = _DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return f"{parts.scheme}://{host}:{port}"

    @field_validator("rfc")
    @classmethod
    def _only_5424_yet(cls, value: str) -> str:
        if value == "3164":
            raise ValueError("this version does not write RFC 3164 yet; write 5424")
        return value

    @field_validator("hostname", "app_name")
    @classmethod
    def _header_text(cls, value: str | None, info: ValidationInfo) -> str | None:
        longest = APP_NAME_LENGTH if info.field_name == "app_name" else HOSTNAME_LENGTH
        if value is not None and not re.fullmatch(rf"[!-~]{{1,{longest}}}", value):
            raise ValueError(f"1 to {longest} printable ASCII characters without spaces (RFC 5424, section 6)")
        return value

    @model_validator(mode="after")
    def _only_what_the_transport_has(self) -> Self:
        if not self.url.startswith("tls:"):
            self.forbid_tls_settings("the URL is not tls://")
        if self.url.startswith("udp:") and "framing" in self.model_fields_set:
            raise ValueError("FRAMING: UDP carries one message a datagram and has no framing; remove it")
        return self


class SyslogSink(Sink[SyslogSettings]):
    """Writes batches to one receiver."""

    kind: ClassVar[str] = "syslog"
    settings_model = SyslogSettings

    def __init__(self, settings: SyslogSettings, context: SinkContext) -> None:
        super().__init__(settings, context)
        parts = urlsplit(settings.url)
        self._scheme, self._host, self._port = parts.scheme, parts.hostname or "", parts.port or 0
        self._header = Header(
            facility=settings.facility,
            hostname=settings.hostname or header_field(socket.gethostname(), HOSTNAME_LENGTH),
            app_name=settings.app_name,
            structured_data_id=f"persona@{settings.private_enterprise_number}",
        )
        self._wire: Stream | Datagrams | None = None

    @property
    def promise(self) -> str:
        """What can be known without acknowledgements."""
        return "best effort" if self._scheme == "udp" else "best effort: received by the peer's kernel"

    @property
    def destination(self) -> str:
        """The receiver's URL."""
        return self.settings.url

    async def open(self) -> None:
        """Connect, and see the connection live for a moment."""
        await self.close()
        try:
            if self._scheme == "udp":
                self._wire = await Datagrams.connect(self._host, self._port)
            else:
                await self._connect()
        except OSError as error:
            fault = tls_fault(error)
            if fault is not None:
                raise Misconfigured(fault) from error
            reason = f"no connection to {self.destination}: {error or type(error).__name__}"
            raise Retryable(reason, kind="connection") from error

    async def _connect(self) -> None:
        context = self.settings.tls_context() if self._scheme == "tls" else None
        self._wire = stream = await Stream.connect(self._host, self._port)
        started = asyncio.get_running_loop().time()
        if context is not None:
            await stream.start_tls(context, self.settings.tls_server_name or self._host)
        handshake = asyncio.get_running_loop().time() - started
        await stream.outlive(FIRST_DOUBT + 2 * handshake)

    async def send(self, batch: Sequence[Item]) -> None:
        """Return once every message has left for the peer; refuse the first that is too long for it."""
        if self._wire is None:
            raise Retryable("the sink is not open")
        messages = [write_message(item, self._header) for item in batch]
        longest = self.settings.max_message_bytes
        at = next((index for index, message in enumerate(messages) if len(message) > longest), None)
        if messages[:at]:
            await self._wire.send(messages[:at], framing=self.settings.framing)
        if at is not None:
            needs = f"the message needs {len(messages[at])} bytes, and MAX_MESSAGE_BYTES is {longest}"
            raise Refused(f"{needs}; the event alone has {len(batch[at].body)}", at=at)

    async def close(self) -> None:
        """Hang up."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()
