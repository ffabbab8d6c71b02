"""What a Kafka sink can be told."""

from typing import Literal
from urllib.parse import urlsplit

from aiokafka.codec import has_gzip, has_lz4, has_snappy, has_zstd
from pydantic import Field, ValidationInfo, field_validator

from forwarder.secret import Secret
from forwarder.sinks.base import SinkSettings, TlsSettings
from forwarder.sinks.kafka import msk
from forwarder.units import CommaList, Duration

_LAST_PORT = 65535
_CODECS = {"gzip": has_gzip, "snappy": has_snappy, "lz4": has_lz4, "zstd": has_zstd}
_TOKENS = ("OAUTHBEARER", "AWS_MSK_IAM")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class KafkaSettings(SinkSettings, TlsSettings):
    """What ``FORWARDER_<NAME>_…`` says of a sink of kind ``kafka``."""

    bootstrap_servers: CommaList = Field(
        min_length=1, description="Brokers to begin with, `host:port`, by comma; the others are learned from them."
    )
    topic: str = Field("persona.user-audit-logs", description="Topic that the events go to.")
    create_topics: bool = Field(
        default=False, description="Create the topics that do not exist, with the brokers' defaults or what follows."
    )
    create_partitions: int | None = Field(None, ge=1, description="Partitions of a topic that we create for events.")
    create_replication: int | None = Field(None, ge=1, description="Replicas of a topic that we create.")
    create_retention: Duration | None = Field(
        None, gt=0, description="How long a topic that we create for events keeps them, by the time of the log."
    )
    message_key: Literal["user", "id", "none"] = Field(
        "user",
        description="Key of a record: `user` keeps each user's events in order on one partition (the event's id where "
        "it has no user), `id` spreads them evenly, `none` writes no key.",
    )
    delivery: Literal["exactly-once", "at-least-once"] = Field(
        "exactly-once",
        description="`exactly-once`: each event once for readers with `isolation.level=read_committed`, in "
        "transactions that hold our position. `at-least-once`: acknowledged by all in-sync replicas, several batches "
        "at once; what was in flight when something broke may come twice.",
    )
    transactional_id: str | None = Field(
        None,
        min_length=1,
        description="Identity of our transactions and key of our position, for `exactly-once`. Made from the journal's "
        "id and the sink's name where it is not given; the position is then kept by topic and sink name.",
    )
    checkpoint_topic: str | None = Field(
        None,
        min_length=1,
        description="Compacted topic of our position, for `exactly-once`; the topic with `.checkpoint` where it is not "
        "given.",
    )
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field(
        "none", description="How record batches are compressed."
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Whether the connection is encrypted (`SSL`) and authenticated (`SASL`)."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM"] = Field(
        "SCRAM-SHA-512",
        description="How we authenticate over SASL. `AWS_MSK_IAM` signs with the credentials that the AWS libraries "
        "find, and needs the extra `msk`.",
    )
    sasl_username: str | None = Field(None, description="Name for `PLAIN` and `SCRAM`.", validate_default=True)
    sasl_password: Secret | None = Field(None, description="Password for `PLAIN` and `SCRAM`.", validate_default=True)
    oauth_token_url: str | None = Field(
        None,
        description="Token endpoint for `OAUTHBEARER`; plain `http` is accepted only for a loopback host.",
        validate_default=True,
    )
    oauth_client_id: str | None = Field(
        None, description="Client id at the token endpoint, for `OAUTHBEARER`.", validate_default=True
    )
    oauth_client_secret: Secret | None = Field(
        None, description="Client secret, for `OAUTHBEARER`.", validate_default=True
    )
    oauth_scope: str | None = Field(None, description="Scope to ask a token for, for `OAUTHBEARER`.")
    aws_region: str | None = Field(None, description="Region of the cluster, for `AWS_MSK_IAM`.", validate_default=True)

    @property
    def checkpoints(self) -> str | None:
        """The topic of our position; None where we keep none."""
        if self.delivery == "at-least-once":
            return None
        return self.checkpoint_topic or f"{self.topic}.checkpoint"

    @property
    def topics(self) -> list[str]:
        """Every topic that we write to, that of the events first."""
        return [self.topic, *([self.checkpoints] if self.checkpoints else [])]

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

    @field_validator("transactional_id", "checkpoint_topic")
    @classmethod
    def _goes_with_exactly_once(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("delivery") == "at-least-once":
            raise ValueError("delivery at-least-once does not use it; leave it out")
        if info.field_name == "checkpoint_topic" and value is not None and value == info.data.get("topic"):
            raise ValueError("the position needs a topic of its own")
        return value

    @field_validator("sasl_mechanism")
    @classmethod
    def _signer_is_installed(cls, mechanism: str, info: ValidationInfo) -> str:
        if mechanism == "AWS_MSK_IAM":
            if info.data.get("security_protocol") != "SASL_SSL":
                raise ValueError("AWS_MSK_IAM needs security protocol SASL_SSL")
            if not msk.installed():
                raise ValueError("AWS_MSK_IAM needs a library: pip install persona-siem-forwarder[msk]")
        return mechanism

    @field_validator("sasl_username", "sasl_password")
    @classmethod
    def _goes_with_a_password(cls, value: object, info: ValidationInfo) -> object:
        protocol = str(info.data.get("security_protocol", ""))
        if protocol.startswith("SASL") and info.data.get("sasl_mechanism") in _TOKENS:
            return _unused(value, f"SASL mechanism {info.data['sasl_mechanism']} does not use it; leave it out")
        if value is None and protocol.startswith("SASL"):
            raise ValueError(f"security protocol {protocol} needs it")
        if protocol in {"PLAINTEXT", "SSL"}:
            return _unused(value, f"security protocol {protocol} does not use it; choose SASL_SSL")
        return value

    @field_validator("oauth_token_url", "oauth_client_id", "oauth_client_secret", "oauth_scope")
    @classmethod
    def _goes_with_tokens(cls, value: object, info: ValidationInfo) -> object:
        if not _logs_in_by(info, "OAUTHBEARER"):
            return _unused(value, "only SASL mechanism OAUTHBEARER uses it; leave it out")
        if value is None and info.field_name != "oauth_scope":
            raise ValueError("SASL mechanism OAUTHBEARER needs it")
        return value

    @field_validator("oauth_token_url")
    @classmethod
    def _shows_no_secret(cls, url: str | None) -> str | None:
        if url is not None:
            parts = urlsplit(url)
            if not parts.hostname or parts.username is not None or parts.scheme not in {"http", "https"}:
                raise ValueError("must be an https URL without credentials")
            if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
                raise ValueError("must be https: plain http would show the secret")
        return url

    @field_validator("aws_region")
    @classmethod
    def _goes_with_msk(cls, value: str | None, info: ValidationInfo) -> str | None:
        if not _logs_in_by(info, "AWS_MSK_IAM"):
            _unused(value, "only SASL mechanism AWS_MSK_IAM uses it; leave it out")
        elif value is None:
            raise ValueError("SASL mechanism AWS_MSK_IAM needs it")
        return value

    @field_validator("tls_server_name")
    @classmethod
    def _each_broker_has_a_name(cls, name: str | None) -> str | None:
        if name is not None:
            raise ValueError("brokers are checked by the names that they advertise; leave it out")
        return name


def _logs_in_by(info: ValidationInfo, mechanism: str) -> bool:
    protocol = str(info.data.get("security_protocol", ""))
    return protocol.startswith("SASL") and info.data.get("sasl_mechanism") == mechanism


def _unused(value: object, why: str) -> object:
    if value is not None:
        raise ValueError(why)
    return value
