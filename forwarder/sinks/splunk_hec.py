"""Splunk's HTTP Event Collector."""

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from forwarder.secret import Secret
from forwarder.sinks.base import SinkSettings, TlsSettings
from forwarder.units import Duration, Size


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
