"""Names of sources and sinks, and the variables that they own.

An instance NAME owns every variable that begins with its prefix, ``FORWARDER_<NAME>_``, whatever its kind reads today.
So two instances can meet exactly when one prefix begins with the other: when the names are one after mapping, or when
one is the other followed by ``_``. ``soc`` and ``soc-ack`` meet in ``FORWARDER_SOC_ACK_TIMEOUT``, which is the setting
ACK_TIMEOUT of the one and TIMEOUT of the other; ``soc`` and ``socks`` never meet. That no setting of the day happens to
coincide is no excuse: the next version may add it.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from forwarder.errors import Problem
from forwarder.variables import mapped, stem

RESERVED = frozenset(
    {"sources", "sinks", "state", "http", "log", "shutdown", "redact", "pseudonymize", "pseudonym", "service", "port"},
)
"""Names that settings of the whole daemon, or Kubernetes' service variables, already begin with."""

_NAME = re.compile(r"[a-z][a-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Named:
    """One entry of ``FORWARDER_SOURCES`` or ``FORWARDER_SINKS`` (*listed_in*)."""

    name: str
    kind: str
    listed_in: str

    @property
    def prefix(self) -> str:
        """What each of its variables begins with."""
        return f"{stem(self.name)}_"


def parse_entry(entry: str, listed_in: str) -> Named:
    """Read ``name`` or ``name=kind``; a bare name is its own kind."""
    name, equals, kind = (part.strip() for part in entry.partition("="))
    return Named(name, kind if equals else name, listed_in)


def problem_of(entry: Named, kinds: Sequence[str]) -> Problem | None:
    """Say what is wrong with one entry by itself, if anything; *kinds* are those that exist."""
    name = entry.name
    if _NAME.fullmatch(name) is None:
        return Problem(
            entry.listed_in,
            f"{name!r} is not a name; it starts with a letter a to z and goes on with those, digits, - and _",
        )
    taken = next((word for word in sorted(RESERVED) if _meet(word, name)), None)
    if taken is not None:
        return Problem(
            entry.listed_in,
            f"the name {name!r} is reserved: variables that begin with {stem(taken)} have a meaning already",
        )
    if entry.kind not in kinds:
        return Problem(
            entry.listed_in,
            f"{name!r} is of an unknown kind, {entry.kind!r}; write {name}=KIND with one of {', '.join(kinds)}",
        )
    return None


def collisions(entries: Iterable[Named]) -> list[Problem]:
    """Find every two entries, of both lists together, whose variables could meet."""
    return [_collision(one, other) for one, other in combinations(entries, 2) if _meet(one.name, other.name)]


def _collision(one: Named, other: Named) -> Problem:
    where = other.listed_in if one.listed_in == other.listed_in else f"{one.listed_in} and {other.listed_in}"
    meeting = max(one.prefix, other.prefix, key=len)
    return Problem(
        other.listed_in,
        f"{one.name!r} and {other.name!r} (in {where}) would both read variables that begin with {meeting}; rename one",
    )


def _meet(one: str, other: str) -> bool:
    first, second = f"{mapped(one)}_", f"{mapped(other)}_"
    return first.startswith(second) or second.startswith(first)
