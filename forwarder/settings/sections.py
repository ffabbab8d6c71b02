"""Sections of the configuration: a pydantic model, and the prefix under which its fields are variables."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.fields import FieldInfo

from forwarder.privacy import NO_DEFAULTS, check_path
from forwarder.privacy.pseudonyms import Pseudonyms
from forwarder.secret import Secret
from forwarder.sinks.base import SinkSettings, TlsSettings
from forwarder.units import CommaList, Duration, Size
from forwarder.variables import PREFIX

SHORTEST_RETENTION = 187 * 86_400
"""Seconds; Persona returns a log for 6 months, at most 184 days, and 3 more are for clocks and late records."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True)


class InstanceLists(_Model):
    """Which sources and sinks there are."""

    sources: CommaList = Field(
        ["persona"],
        description="Sources, each `name` or `name=kind`; a bare name is its own kind. Kinds: `persona`.",
    )
    sinks: CommaList = Field(
        ["stdout"],
        description="Sinks, each `name` or `name=kind`. Kinds: `stdout`, `file`, `kafka`, `syslog`, `splunk_hec`, and "
        "any that an installed package offers under the entry point group `forwarder.sinks`.",
    )


class StateSettings(_Model):
    """The journal."""

    path: Path = Field(
        Path("forwarder.db"),
        description="The SQLite journal (in the image `/var/lib/forwarder/forwarder.db`). Its directory must be on a "
        "local disk and outlive the process.",
    )
    max_bytes: Size = Field(
        2 << 30,
        ge=1 << 20,
        description="Undelivered backlog, in the journal, at which collecting pauses until the sinks have caught up.",
    )
    dedupe_retention: Duration = Field(
        190 * 86_400.0,
        description="How long ids are remembered after they were last seen. Less than `187d` is refused, since Persona "
        "could return them again.",
    )

    @field_validator("dedupe_retention")
    @classmethod
    def _outlives_the_log(cls, seconds: float) -> float:
        if seconds < SHORTEST_RETENTION:
            raise ValueError("must be at least 187d: an id forgotten earlier could be returned by Persona again")
        return seconds


class HttpSettings(_Model):
    """Probes, metrics and status."""

    host: str = Field("127.0.0.1", description="Address to listen on (in the image `0.0.0.0`).")
    port: int = Field(8080, ge=0, le=65_535, description="Port to listen on; `0` picks a free one and logs it.")


def _log_format() -> Literal["json", "console"]:
    return "console" if sys.stderr.isatty() else "json"


class LogSettings(_Model):
    """The daemon's own log, on standard error."""

    level: Literal["debug", "info", "warning", "error", "critical"] = Field(
        "info", description="Least severity that is logged."
    )
    format: Literal["json", "console"] = Field(
        default_factory=_log_format,
        description="One JSON object a line, or lines for people.",
        json_schema_extra={"default_text": "`json`; `console` on a terminal"},
    )


class ShutdownSettings(_Model):
    """How the daemon stops."""

    grace: Duration = Field(25.0, ge=0, description="Longest that a graceful stop may take.")


class PrivacySettings(_Model):
    """What is taken out of each event before it touches the disk."""

    redact: CommaList = Field(
        default_factory=list,
        description="Parameter paths whose values become `[REDACTED]`, beside a built-in list of secret-like keys "
        "(`!defaults` takes that list away).",
    )
    pseudonymize: CommaList = Field(
        default_factory=list,
        description="Paths whose values become a keyed hash with a key id (`p1_…`), the same in each event.",
    )
    pseudonym_key: Secret | None = Field(
        None, description="Key of these hashes, at least 16 random bytes; required where fields are pseudonymized."
    )

    @field_validator("redact")
    @classmethod
    def _paths(cls, paths: list[str]) -> list[str]:
        _check_paths(path for path in paths if path != NO_DEFAULTS)
        return paths

    @field_validator("pseudonymize")
    @classmethod
    def _pseudonym_paths(cls, paths: list[str]) -> list[str]:
        _check_paths(paths, pseudonymize=True)
        return paths

    @field_validator("pseudonym_key")
    @classmethod
    def _long_enough(cls, key: Secret | None) -> Secret | None:
        if key is not None:
            Pseudonyms(key.reveal().encode())
        return key

    @model_validator(mode="after")
    def _keyed(self) -> Self:
        if self.pseudonymize and self.pseudonym_key is None:
            raise ValueError(f"PSEUDONYM_KEY: is required where {PREFIX}PSEUDONYMIZE is given")
        return self


def _check_paths(paths: Iterable[str], *, pseudonymize: bool = False) -> None:
    """Check each path.

    :raises ValueError: with what is wrong with every one that is wrong
    """
    faults = []
    for path in paths:
        try:
            check_path(path, pseudonymize=pseudonymize)
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ValueError("; ".join(faults))


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of a section: the field behind it, and whether it names the file that holds a secret."""

    name: str
    field: str
    is_secret: bool
    is_file: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A model whose field ``x`` is the variable ``<prefix>X``, and ``<prefix>X_FILE`` too where it is a secret."""

    title: str
    prefix: str
    model: type[BaseModel]

    def variable(self, field: str) -> str:
        """Return the name of the variable of *field*."""
        return f"{self.prefix}{field.upper()}"

    def fields(self) -> list[tuple[str, FieldInfo]]:
        """Return the fields with their names: first a sink's own, then those of every sink, then those of TLS."""

        def rank(item: tuple[str, FieldInfo]) -> int:
            return (item[0] in SinkSettings.model_fields) + 2 * (item[0] in TlsSettings.model_fields)

        fields = self.model.model_fields.items()
        return sorted(fields, key=rank) if issubclass(self.model, SinkSettings) else list(fields)

    def variables(self) -> Iterator[Variable]:
        """Every variable that the section reads."""
        for field, info in self.fields():
            secret = is_secret(info)
            yield Variable(self.variable(field), field, secret)
            if secret:
                yield Variable(f"{self.variable(field)}_FILE", field, secret, is_file=True)


def is_secret(info: FieldInfo) -> bool:
    """Whether the field holds a :class:`~forwarder.secret.Secret`, optional or not."""
    return Secret in _types(info.annotation)


def _types(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from _types(part)


LISTS = Section("Sources and sinks", PREFIX, InstanceLists)
STATE = Section("Journal", f"{PREFIX}STATE_", StateSettings)
HTTP = Section("Probes, metrics and status", f"{PREFIX}HTTP_", HttpSettings)
LOG = Section("Log", f"{PREFIX}LOG_", LogSettings)
SHUTDOWN = Section("Stopping", f"{PREFIX}SHUTDOWN_", ShutdownSettings)
PRIVACY = Section("Privacy", PREFIX, PrivacySettings)

OF_THE_DAEMON = (LISTS, STATE, HTTP, LOG, SHUTDOWN, PRIVACY)
"""The sections that do not depend on which sources and sinks there are."""
