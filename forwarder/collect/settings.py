"""Settings of a source of kind ``persona``, and how far back its first run reaches."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from forwarder.clock import BEGINNING, SECOND, parse_rfc3339
from forwarder.secret import Secret
from forwarder.units import Duration, Size, parse_duration


@dataclass(frozen=True, slots=True)
class Start:
    """How far back the first run reaches; becomes an instant when Persona first answers, by Persona's clock.

    Exactly one of *at* (microseconds since the epoch) and *ago* (microseconds before Persona's now) is set.
    """

    text: str
    at: int | None = None
    ago: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``all``, ``now``, a duration or an RFC 3339 time.

        :raises ValueError: it is none of them
        """
        word = text.strip()
        if word == "all":
            return cls(word, at=BEGINNING)
        if word == "now":
            return cls(word, ago=0)
        moment = parse_rfc3339(word)
        if moment is not None:
            return cls(word, at=moment)
        try:
            return cls(word, ago=int(parse_duration(word) * SECOND))
        except ValueError:
            raise ValueError("write all, now, a duration as 30d, or a time as 2026-03-01T00:00:00Z") from None

    def resolve(self, server_time: int) -> int:
        """Return the first instant that is wanted, in microseconds; *server_time* is that of Persona's first answer."""
        return server_time - (self.ago or 0) if self.at is None else self.at

    def __str__(self) -> str:
        return self.text


class PersonaSettings(BaseModel):
    """Settings of a source of kind ``persona``; upper case, the fields are ``FORWARDER_<NAME>_<SETTING>``."""

    # Inputs are hidden because a key could have been pasted into the wrong variable.
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True)

    api_key: Secret = Field(description="Production API key with the permission `user_audit_log.read`.")
    base_url: str = Field(
        "https://api.withpersona.com/api/v1",
        description="Where Persona's API is; plain `http` is accepted only for a loopback host.",
    )
    version: str = Field(
        "2023-01-05",
        pattern=r"^\d{4}-\d{2}-\d{2}$",
        description="Sent as `Persona-Version`; the default is the newest version that documents users in `included`.",
    )
    poll_interval: Duration = Field(30.0, gt=0, description="Time between polls of the newest page.")
    page_size: int = Field(100, ge=1, le=100, description="Records in a page, 1 to 100.")
    start: Annotated[Start, BeforeValidator(Start.parse)] = Field(
        Start.parse("all"),
        description="How far back the first run reaches: `all`, `now`, a duration ago, or an RFC 3339 time; fixed "
        "at the first answer by Persona's clock.",
    )
    lookback: Duration = Field(
        3600.0,
        gt=0,
        description="Length of the newest stretch that is read again, to find logs that became visible late.",
    )
    sweep_interval: Duration = Field(
        900.0,
        gt=0,
        validate_default=True,
        description="How often the newest stretch is read again; shorter than the look-back.",
    )
    rate_share: float = Field(
        0.25,
        gt=0,
        le=1,
        description="Share of the organization's rate limit that this source may use, above 0 and up to 1: the "
        "limit is shared with production traffic.",
    )
    timeout: Duration = Field(30.0, gt=0, description="Longest wait for one request, connect to last byte.")
    max_response_bytes: Size = Field(
        64 << 20,
        ge=64 << 10,
        description="A larger body (decompressed) is never held in memory: the page is asked for again, smaller.",
    )
    tls_ca_file: Path | None = Field(
        None,
        description="Trust anchors, PEM; the system's where it is not given. Proxies come from `HTTPS_PROXY` "
        "and `NO_PROXY`.",
    )

    @field_validator("base_url")
    @classmethod
    def _safe_url(cls, text: str) -> str:
        """Insist on encryption: the key goes to this URL with each request."""
        parts = urlsplit(text.strip())
        if parts.username is not None or parts.password is not None:
            raise ValueError("must not contain a user name or password; the key is a setting of its own")
        if parts.query or parts.fragment:
            raise ValueError("must not contain a query or fragment")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must be a URL as https://api.withpersona.com/api/v1")
        _ = parts.port  # raises ValueError where the port is no number up to 65535
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ValueError("must be https: plain http would show the key; it is accepted only for a loopback host")
        return text.strip().rstrip("/")

    @field_validator("poll_interval")
    @classmethod
    def _polite(cls, seconds: float, info: ValidationInfo) -> float:
        """Refuse a tiny interval: one poll in each is always made, whatever the rate share says."""
        url = info.data.get("base_url")
        if seconds < 1 and url is not None and not is_loopback(urlsplit(url).hostname or ""):
            raise ValueError("must be at least 1s; less is accepted only for a loopback host")
        return seconds

    @field_validator("sweep_interval")
    @classmethod
    def _overlapping(cls, seconds: float, info: ValidationInfo) -> float:
        """Let sweeps overlap: between two that do not, a late record would never be found."""
        lookback = info.data.get("lookback")
        if lookback is not None and seconds >= lookback:
            raise ValueError("must be shorter than the setting LOOKBACK of the same source")
        return seconds


def is_loopback(host: str) -> bool:
    """Whether *host* (a name, or an address without brackets) is this machine itself."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
