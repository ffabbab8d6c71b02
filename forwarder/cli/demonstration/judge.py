"""The judge: what the simulated Persona made, held against what lies in the file. It asks the daemon nothing."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import orjson


@dataclass(frozen=True, slots=True)
class Findings:
    """How the file compares with what was made; each number counts events."""

    made: int
    delivered: int
    """Different events that were made and lie in the file."""
    missing: tuple[str, ...]
    duplicates: int
    """Lines beyond the first of an event."""
    strangers: int
    """Events that nobody made."""
    unreadable: int
    """Lines that are no JSON object with an id."""


def compare(made: Iterable[str], lines: Iterable[bytes]) -> Findings:
    """Hold *lines*, each an event as JSON with an ``id``, against the ids that were *made*."""
    wanted = list(made)
    seen: Counter[str] = Counter()
    unreadable = 0
    for line in lines:
        event_id = id_of(line)
        if event_id is None:
            unreadable += 1
        else:
            seen[event_id] += 1
    strangers = len(seen.keys() - set(wanted))
    return Findings(
        made=len(wanted),
        delivered=len(seen) - strangers,
        missing=tuple(one for one in wanted if one not in seen),
        duplicates=seen.total() - len(seen),
        strangers=strangers,
        unreadable=unreadable,
    )


def id_of(line: bytes) -> str | None:
    """The event's id, or None if the line is not an event."""
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    found = event.get("id") if isinstance(event, dict) else None
    return found if isinstance(found, str) and found else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The findings, and what they are measured by."""

    findings: Findings
    killed_at: tuple[int, ...]
    """How many events were delivered at each SIGKILL."""
    in_flight: int
    """Events that the sink may have had in flight at a kill: one batch."""
    seconds: float
    """From the daemon's first start until everything was delivered."""
    fastest: float
    """Most events a second, over a second or more."""
    exit_status: int | None
    """Of the daemon after SIGTERM; None if it had to be killed."""

    @property
    def allowed_duplicates(self) -> int:
        """Events that may be there twice."""
        return len(self.killed_at) * self.in_flight

    @property
    def faults(self) -> list[str]:
        """Everything that should not be; empty if the promise was kept."""
        findings = self.findings
        judged = {
            f"{len(findings.missing)} events are missing, the first {findings.missing[:1]}": bool(findings.missing),
            f"{findings.duplicates} duplicates, more than {self.allowed_duplicates}": findings.duplicates
            > self.allowed_duplicates,
            f"{findings.strangers} events that nobody made": findings.strangers > 0,
            f"{findings.unreadable} lines are not events": findings.unreadable > 0,
            f"the daemon's exit status was {self.exit_status} instead of 0": self.exit_status != 0,
        }
        return [fault for fault, is_so in judged.items() if is_so]

    def rows(self) -> list[tuple[str, str]]:
        """What to print: a name and a sentence each."""
        findings = self.findings
        reason = f"at each SIGKILL, one batch of at most {self.in_flight:,} events may have been in flight"
        killed = ", ".join(f"{delivered:,} delivered" for delivered in self.killed_at)
        per_second = findings.delivered / self.seconds if self.seconds else 0.0
        return [
            ("made", f"{findings.made:,} events by the simulated Persona"),
            ("delivered", f"{findings.delivered:,} of them to the file, each on disk before it counted"),
            ("killed", f"with SIGKILL at {killed}"),
            ("missing", f"{len(findings.missing):,}"),
            ("duplicates", f"{findings.duplicates:,}; allowed are {self.allowed_duplicates:,}: {reason}"),
            ("rate", f"{per_second:,.0f} events a second over {self.seconds:.1f} s, waits and restart included"),
            ("fastest", f"{self.fastest:,.0f} events a second"),
            ("stop", f"exit status {self.exit_status} after SIGTERM"),
        ]
