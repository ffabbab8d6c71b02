"""What happens in one world, as data that can be read, replayed and shrunk.

Which world is a seed's is decided in :mod:`~tests.simulation.drawing`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

MISTAKES: tuple[dict[str, str], ...] = (
    {"FORWARDER_PERSONA_START": "yesterday"},
    {"FORWARDER_PERSONA_BASE_URL": "https://somebody:secret@127.0.0.1/api/v1"},
    {"FORWARDER_PERSONA_BASE_URL": "http://127.0.0.1:8443/api/v1?page=1"},
    {"FORWARDER_PERSONA_BASE_URL": "127.0.0.1/api/v1"},
    {"FORWARDER_PERSONA_BASE_URL": "http://persona.example/api/v1"},
    {"FORWARDER_PERSONA_BASE_URL": "https://persona.example/api/v1", "FORWARDER_PERSONA_POLL_INTERVAL": "0.5s"},
    {"FORWARDER_PERSONA_LOOKBACK": "60s", "FORWARDER_PERSONA_SWEEP_INTERVAL": "120s"},
    {"FORWARDER_ONE_EXCLUDE": "GET"},
    {"FORWARDER_ONE_EXCLUDE": "FETCH /api/*"},
    {"FORWARDER_ONE_EXCLUDE": "GET /api /v1"},
    {"FORWARDER_ONE_EXCLUDE": "GET api/v1/cases"},
    {"FORWARDER_ONE_EXCLUDE": "GET /api/v1/cases?page=1"},
)
"""What an operator may write into the configuration of one life; it ends at once, with status 78."""

Kind = Literal[
    "append", "late", "back-dated", "answers", "faults", "persona-away", "key-revoked", "key-rotated", "our-clock",
    "their-clock", "crash", "disk-crash", "restart", "sink", "disk-full", "disk-error", "disk-busy", "included",
    "links", "inflection", "long-outage", "look", "key-broken", "way",
    "journal", "backup", "restore", "command", "disk-tight", "stop-twice",
]  # fmt: skip

Route = Literal["plain", "localhost", "tls", "proxy", "proxy-password"]
"""How the daemon reaches Persona."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happens *at* so many seconds after the world's beginning."""

    at: float
    kind: Kind
    what: Any = None
    lasts: float = 0.0

    def __str__(self) -> str:
        lasting = f" for {self.lasts:.0f} s" if self.lasts else ""
        return f"{self.at:9.1f} s  {self.kind} {'' if self.what is None else self.what}{lasting}"


@dataclass(frozen=True, slots=True)
class SinkPlan:
    """One destination of the world and how it is."""

    name: str
    format: str
    in_flight: int
    batch: int
    poison: float
    """Share of events that it refuses for good."""
    points_out: bool
    """Whether it says which event it minds."""
    remembers: bool
    """Whether it knows what it has, and tells at each opening: exactly once."""
    latency: float
    exclude: str = ""
    kind: Literal["world", "splunk_hec"] = "world"
    ack: bool = False
    """Whether a Splunk has indexer acknowledgement."""
    batch_bytes: int = 0
    """Most bytes of one batch; 0 leaves it at the default."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole world."""

    seed: int
    history: int
    history_days: float
    odd: float
    duration: float
    poll_interval: float
    lookback: float
    sweep_interval: float
    page_size: int
    rate_share: float
    limit: int
    start: str
    lost_cursor: Any
    included: Any
    links: Any
    end: Any
    max_bytes: int
    thread_delay: float
    latency: float
    skew: float
    """Seconds that Persona's clock is ahead of ours."""
    employees: int
    """Users of the organization; with many, nearly every page names one whom nobody has seen."""
    sinks: tuple[SinkPlan, ...]
    happenings: tuple[Happening, ...]
    grace: float = 25.0
    """Seconds that an orderly stop may take."""
    way: Route = "plain"
    odd_ids: bool = False

    def without(self, numbers: Sequence[int]) -> "Plan":
        """The same world, less some of its happenings."""
        gone = set(numbers)
        return replace(self, happenings=tuple(one for n, one in enumerate(self.happenings) if n not in gone))

    def having(self, *happenings: Happening) -> "Plan":
        """The same world, with these beside its own."""
        return replace(self, happenings=tuple(sorted((*self.happenings, *happenings), key=lambda one: one.at)))
