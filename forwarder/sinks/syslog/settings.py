"""What a syslog sink can be told."""

import re
from typing import Any, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator

from forwarder.severity import Row, parse_row
from forwarder.sinks.base import SinkSettings, TlsSettings
from forwarder.sinks.syslog.message import APP_NAME_LENGTH, HOSTNAME_LENGTH, TAG_LENGTH
from forwarder.units import CommaList, Duration, Size

WINDOW = 128
"""Messages that a RELP receiver may have without having acknowledged them: librelp's own window."""

_DEFAULT_PORTS = {"udp": 514, "tcp": 514, "tls": 6514, "relp": 2514, "relp+tls": 2514}
_WITH_TLS = {"tls", "relp+tls"}
_STREAMS = {"tcp", "tls"}
_FORMS = "udp://, tcp://, tls://, relp:// or relp+tls:// host:port"


class SyslogSettings(TlsSettings, SinkSettings):
    """Settings of a syslog receiver, or of several that stand in for each other."""

    batch_max_events: int = Field(
        500,
        ge=1,
        le=100_000,
        description=f"Most events in one batch. RELP: at most {WINDOW}, its window, unless you choose otherwise.",
    )
    url: CommaList = Field(
        min_length=1,
        description="`udp://`, `tcp://`, `tls://`, `relp://` or `relp+tls://` host:port; without a port 514, for TLS "
        "6514, for RELP 2514. Several, by comma, of one scheme: when one fails the next is taken, and the first again "
        "when it is well.",
    )
    rfc: Literal["5424", "3164"] = Field(
        "5424",
        description="Header of a message. `3164` is for receivers that know nothing else, has neither structured data "
        "nor a year, and is the default where FORMAT is `leef` or `leef1`.",
    )
    framing: Literal["octet-counting", "lf"] = Field(
        "octet-counting",
        description="What separates messages on TCP and TLS (RFC 6587, section 3.4).",
    )
    facility: int = Field(13, ge=0, le=23, description="Facility; 13 is `log audit`.")
    severity: CommaList = Field(
        default_factory=list,
        description="Rows that go before our own in the table of severities: a status, a class, `impersonated` or `*`, "
        "and a name, as `404=info,5xx=error`. Ours: `401=warning,403=warning,5xx=warning,impersonated=notice,"
        "4xx=notice,*=info`.",
    )
    hostname: str | None = Field(None, description="HOSTNAME of every message; this machine's where it is not given.")
    app_name: str = Field("persona", description="APP-NAME of every message; the TAG in RFC 3164.")
    max_message_bytes: Size = Field(
        8192,
        ge=480,
        description="Longest message that the receiver takes whole. In a longer one the largest values are replaced by "
        "their size and hash; what is too long even then becomes a dead letter.",
    )
    private_enterprise_number: int = Field(
        32473,
        ge=1,
        le=4_294_967_295,
        description="Private enterprise number in the name of the structured data, `persona@32473`. The default is "
        "the one reserved for documentation (RFC 5612); put your organization's here if it has one.",
    )
    byte_order_mark: bool = Field(
        default=False,
        description="Begin the text with the byte order mark that RFC 5424 asks for; rsyslog leaves it in the text.",
    )
    settle: Duration = Field(
        1.0,
        ge=0,
        le=60,
        description="TCP and TLS: how long the connection has to live on after the peer's kernel has a batch, before "
        "the batch counts as delivered. What a receiver that dies had not read by then is sent again.",
    )
    fall_back_interval: Duration = Field(
        60.0,
        gt=0,
        description="With several URLs: how often the first is tried again while another is in use.",
    )

    @model_validator(mode="before")
    @classmethod
    def _what_fits_together(cls, given: Any) -> Any:
        """Choose the defaults that depend on other settings."""
        if not isinstance(given, dict):
            return given
        fitting: dict[str, Any] = {}
        if str(given.get("format", "")).startswith("leef"):
            fitting["rfc"] = "3164"
        if "relp" in str(given.get("url", "")).partition(":")[0]:
            fitting["batch_max_events"] = WINDOW
        return {**fitting, **given}

    @field_validator("url")
    @classmethod
    def _destination_urls(cls, texts: list[str]) -> list[str]:
        urls = [_normal(text) for text in texts]
        schemes = {urlsplit(url).scheme for url in urls}
        if len(schemes) > 1:
            raise ValueError("all have to have the same scheme: what is promised of one has to hold for each")
        if "udp" in schemes and len(urls) > 1:
            raise ValueError("UDP does not tell when nobody is there, so no other URL can step in; give one")
        if len(set(urls)) < len(urls):
            raise ValueError("the same URL stands there twice")
        return urls

    @field_validator("severity")
    @classmethod
    def _table(cls, texts: list[str]) -> list[str]:
        for text in texts:
            parse_row(text)
        return texts

    @field_validator("hostname", "app_name")
    @classmethod
    def _header_text(cls, value: str | None, info: ValidationInfo) -> str | None:
        longest = APP_NAME_LENGTH if info.field_name == "app_name" else HOSTNAME_LENGTH
        if value is not None and not re.fullmatch(rf"[!-~]{{1,{longest}}}", value):
            raise ValueError(f"1 to {longest} printable ASCII characters without spaces (RFC 5424, section 6)")
        return value

    @model_validator(mode="after")
    def _only_what_the_transport_has(self) -> Self:
        if self.scheme not in _WITH_TLS:
            self.forbid_tls_settings("the URL is not tls:// or relp+tls://")
        if self.scheme not in _STREAMS:
            for field in ("framing", "settle"):
                if field in self.model_fields_set:
                    raise ValueError(f"{field.upper()}: it belongs to tcp:// and tls:// alone; remove it")
        if self.rfc == "3164" and not re.fullmatch(rf"[A-Za-z0-9_./-]{{1,{TAG_LENGTH}}}", self.app_name):
            raise ValueError(f"APP_NAME: as a TAG of RFC 3164, 1 to {TAG_LENGTH} letters, digits and _./- alone")
        if self.rfc == "3164" and "byte_order_mark" in self.model_fields_set and self.byte_order_mark:
            raise ValueError("BYTE_ORDER_MARK: RFC 3164 has none")
        return self

    @property
    def scheme(self) -> str:
        """The transport: what stands before ``://`` in every URL."""
        return urlsplit(self.url[0]).scheme

    @property
    def has_tls(self) -> bool:
        """Whether the transport is encrypted."""
        return self.scheme in _WITH_TLS

    @property
    def severities(self) -> list[Row]:
        """The operator's rows of the table of severities."""
        return [parse_row(text) for text in self.severity]


def _normal(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"write {_FORMS}")
    if "@" in parts.netloc or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("give scheme, host and port only")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{_port(parts)}"


def _port(parts: SplitResult) -> int:
    return _DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
