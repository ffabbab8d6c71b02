"""Syslog: RFC 5424 messages over UDP (RFC 5426), TCP (RFC 6587) and TLS (RFC 5425)."""

import re
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator

from forwarder.sinks.base import SinkSettings, TlsSettings
from forwarder.units import Size

_HOSTNAME_LENGTH, _APP_NAME_LENGTH = 255, 48
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
        le=65_536,
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
        longest = _APP_NAME_LENGTH if info.field_name == "app_name" else _HOSTNAME_LENGTH
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
