"""What a Splunk sink can be told."""

import ssl
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from forwarder.secret import Secret
from forwarder.sinks.base import SinkSettings, TlsSettings
from forwarder.units import CommaList, Duration, Size

LARGEST_BODY = 5 << 20
"""Splunk Cloud was measured to take bodies of 5.24 million bytes and none of 6 million."""


class SplunkHecSettings(TlsSettings, SinkSettings):
    """Settings of a Splunk HTTP Event Collector."""

    url: CommaList = Field(
        min_length=1,
        description="Scheme, host and port, as `https://splunk.example:8088`; the path is added. Several, by comma, "
        "share the load; one that fails is left out for half a minute.",
    )
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
        description="Indexer acknowledgement: with it, an event counts as delivered when Splunk says that it is "
        "indexed. `auto` asks Splunk whether the token has it.",
    )
    ack_timeout: Duration = Field(
        300.0,
        gt=0,
        description="Longest wait for an indexer acknowledgement; then the batch is sent again, and counted as "
        "possible duplicates.",
    )
    gzip: bool = Field(default=True, description="Compress requests.")
    max_body_bytes: Size = Field(
        1 << 20,
        ge=1024,
        le=LARGEST_BODY,
        description="Most bytes of one request, before compression; an event that is larger alone travels alone.",
    )
    tls_insecure_skip_verify: bool = Field(
        default=False,
        description="Trust any certificate: whoever is on the way can read the events and the token. Said as a warning "
        "at each start; TLS_CA_FILE is the right setting for a certificate of your own.",
    )
    # Envelopes come on top of the events; with them a batch still fits one request of 1 MiB.
    batch_max_bytes: Size = Field(768 << 10, ge=1024, description="Most bytes of formatted events in one batch.")

    @field_validator("url")
    @classmethod
    def _bare_urls(cls, urls: list[str]) -> list[str]:
        bare = [_bare_url(text) for text in urls]
        if len(set(bare)) < len(bare):
            raise ValueError("a URL is given twice")
        return bare

    @model_validator(mode="after")
    def _only_what_has_an_effect(self) -> Self:
        if self.ack == "off" and "ack_timeout" in self.model_fields_set:
            raise ValueError("ACK_TIMEOUT has no effect without acknowledgement; remove it, or set ACK=auto")
        if all(url.startswith("http:") for url in self.url):
            self.forbid_tls_settings("the URL is plain http")
            if self.tls_insecure_skip_verify:
                raise ValueError("TLS_INSECURE_SKIP_VERIFY is given, but the URL is plain http")
        if self.tls_insecure_skip_verify and (self.tls_ca_file or self.tls_server_name):
            raise ValueError(
                "TLS_INSECURE_SKIP_VERIFY trusts anybody, so TLS_CA_FILE and TLS_SERVER_NAME have no effect"
            )
        return self

    def tls_context(self) -> ssl.SSLContext:
        """Make a client context as the settings say.

        :raises Misconfigured: a file is missing or is not what it should be
        """
        context = super().tls_context()
        if self.tls_insecure_skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _bare_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ValueError("write https://host:port")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a user or password does not belong into the URL; the token has a setting of its own")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("give scheme, host and port only; the path is added")
    _ = parts.port  # raises ValueError itself where the port is no port
    return f"{parts.scheme}://{parts.netloc}"
