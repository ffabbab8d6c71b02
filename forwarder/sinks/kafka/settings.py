"""What a Kafka sink can be told. What this version cannot do yet is refused by name."""

from typing import Literal

from aiokafka.codec import has_gzip, has_lz4, has_snappy, has_zstd
from pydantic import Field, ValidationInfo, field_validator

from forwarder.secret import Secret
from forwarder.sinks.base import SinkSettings, TlsSettings
from forwarder.units import CommaList

_LAST_PORT = 65535
_LATER = "is not in this version yet"
_OAUTH = ("oauth_token_url", "oauth_client_id", "oauth_client_secret", "oauth_scope")
_CODECS = {"gzip": has_gzip, "snappy": has_snappy, "lz4": has_lz4, "zstd": has_zstd}


class KafkaSettings(SinkSettings, TlsSettings):
    """What ``FORWARDER_<NAME>_…`` says of a sink of kind ``kafka``."""

    bootstrap_servers: CommaList = Field(
        min_length=1, description="Brokers to begin with, `host:port`, by comma; the others are learned from them."
    )
    topic: str = Field("persona.user-audit-logs", description="Topic that the events go to.")
    create_topics: bool = Field(
        default=False, description="Create the topic, with the brokers' defaults, if it does not exist."
    )
    message_key: Literal["user", "id", "none"] = Field(
        "user",
        description="Key of a record: `user` keeps each user's events in order on one partition (the event's id where "
        "it has no user), `id` spreads them evenly, `none` writes no key.",
    )
    delivery: Literal["exactly-once", "at-least-once"] = Field(
        "at-least-once",
        description="`at-least-once`: acknowledged by all in-sync replicas. `exactly-once` is not in this version yet.",
    )
    transactional_id: str | None = Field(None, description="Identity of our transactions, for `exactly-once`.")
    checkpoint_topic: str | None = Field(None, description="Compacted topic of our position, for `exactly-once`.")
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field(
        "none", description="How record batches are compressed."
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Whether the connection is encrypted (`SSL`) and authenticated (`SASL`)."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        "SCRAM-SHA-512", description="How we authenticate over SASL; `OAUTHBEARER` is not in this version yet."
    )
    sasl_username: str | None = Field(None, description="Name for SASL.", validate_default=True)
    sasl_password: Secret | None = Field(None, description="Password for SASL.", validate_default=True)
    oauth_token_url: str | None = Field(None, description="Token endpoint, for `OAUTHBEARER`.")
    oauth_client_id: str | None = Field(None, description="Client id at the token endpoint, for `OAUTHBEARER`.")
    oauth_client_secret: Secret | None = Field(None, description="Client secret, for `OAUTHBEARER`.")
    oauth_scope: str | None = Field(None, description="Scope to ask a token for, for `OAUTHBEARER`.")

    @field_validator("bootstrap_servers")
    @classmethod
    def _host_and_port(cls, servers: list[str]) -> list[str]:
        for server in servers:
            host, colon, port = server.rpartition(":")
            if not (host and colon and port.isdecimal() and 0 < int(port) <= _LAST_PORT):
                raise ValueError(f"{server!r} is not host:port")
        return servers

    @field_validator("compression")
    @classmethod
    def _codec_is_installed(cls, name: str) -> str:
        if name != "none" and not _CODECS[name]():
            raise ValueError(f"{name} needs a library: pip install persona-siem-forwarder[kafka]")
        return name

    @field_validator("delivery")
    @classmethod
    def _no_transactions_yet(cls, delivery: str) -> str:
        if delivery == "exactly-once":
            raise ValueError(f"exactly-once {_LATER}; use at-least-once")
        return delivery

    @field_validator("sasl_mechanism")
    @classmethod
    def _no_tokens_yet(cls, mechanism: str) -> str:
        if mechanism == "OAUTHBEARER":
            raise ValueError(f"OAUTHBEARER {_LATER}; use SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN")
        return mechanism

    @field_validator("transactional_id", "checkpoint_topic", *_OAUTH)
    @classmethod
    def _belongs_to_what_comes_later(cls, value: object, info: ValidationInfo) -> object:
        if value is not None:
            feature = "OAUTHBEARER" if info.field_name in _OAUTH else "exactly-once delivery"
            raise ValueError(f"this belongs to {feature}, which {_LATER}; leave it out")
        return value

    @field_validator("sasl_username", "sasl_password")
    @classmethod
    def _goes_with_sasl(cls, value: object, info: ValidationInfo) -> object:
        protocol = str(info.data.get("security_protocol", ""))
        if value is None and protocol.startswith("SASL"):
            raise ValueError(f"security protocol {protocol} needs it")
        if value is not None and protocol in {"PLAINTEXT", "SSL"}:
            raise ValueError(f"security protocol {protocol} does not use it; choose SASL_SSL")
        return value

    @field_validator("tls_server_name")
    @classmethod
    def _each_broker_has_a_name(cls, name: str | None) -> str | None:
        if name is not None:
            raise ValueError("brokers are checked by the names that they advertise; leave it out")
        return name
