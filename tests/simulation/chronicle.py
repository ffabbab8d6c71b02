"""What a world remembers of itself: every request, claim and log line, and a hash over all that happened."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from forwarder.clock import format_rfc3339, parse_rfc3339
from forwarder.simulator.stats import Stats


@dataclass(slots=True)
class Made:
    """One record of the world; times are the loop's, *created* is Persona's in microseconds."""

    index: int
    made: float
    visible: float
    created: int
    back_dated: bool = False

    @property
    def is_late(self) -> bool:
        """Whether the list showed it only when newer ones had been there already."""
        return self.back_dated or self.visible > self.made

    @property
    def at(self) -> str:
        """When it was made, by Persona's clock (RFC 3339)."""
        return format_rfc3339(self.created)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that Persona got; *now* is its clock's, in microseconds."""

    at: float
    now: int
    life: int
    status: int
    fault: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What ``/status`` said at a moment; *now* is our clock's, in microseconds."""

    at: float
    now: int
    complete_from: str | None
    complete_until: str | None

    def reaches(self, moment: int) -> bool:
        """Whether it claims everything up to *moment*, microseconds by Persona's clock."""
        return (parse_rfc3339(self.complete_until) or 0) >= moment


class Chronicle:
    """Takes notes.

    :param time: the loop's
    :param life: number of the daemon's present life
    :param folder: left out of the trace, since it is another one each time
    :param verbose: also print each line
    """

    def __init__(self, time: Callable[[], float], life: Callable[[], int], *, folder: str, verbose: bool) -> None:
        self.made: dict[str, Made] = {}
        self.asked: list[Asked] = []
        self.claims: list[Claim] = []
        self.lines: list[tuple[float, int, dict[str, Any]]] = []
        self.leaks: list[str] = []
        self.troubles: list[str] = []
        self._time = time
        self._life = life
        self._folder = folder
        self._verbose = verbose
        self._hash = hashlib.sha256()

    @property
    def trace(self) -> str:
        """The hash over everything."""
        return self._hash.hexdigest()

    def note(self, what: str, detail: str) -> None:
        """Add one line to the trace."""
        line = f"{self._time():.6f} {what} {detail}".replace(self._folder, "")
        self._hash.update(line.encode())
        if self._verbose:
            print(line)

    def request(self, now: int, status: int, fault: str) -> None:
        """Persona was asked, and answered *status* before anything went wrong on the wire."""
        self.asked.append(Asked(self._time(), now, self._life(), status, fault))
        self.note("asked", f"{status} {fault}")

    def has_told(self, event: str) -> bool:
        """Whether a daemon has logged that event."""
        return any(line["event"] == event for _, _, line in self.lines)

    def first_stored(self) -> int | None:
        """When Persona gave the first answer that a daemon has stored, by Persona's clock."""
        signs = {"source.page_collected", "gap.closed"}
        told = next((at for at, _, line in self.lines if line["event"] in signs), None)
        return None if told is None else max(one.now for one in self.asked if one.status == 200 and one.at <= told)

    def line(self, line: dict[str, Any]) -> None:
        """The daemon logged *line*."""
        self.lines.append((self._time(), self._life(), line))
        self.note("log", " ".join(f"{key}={_plain(value)}" for key, value in line.items()))


class Requests(Stats):
    """Persona's own count of what it was asked, with a word for the chronicle."""

    def __init__(self, note: Callable[[int, int, str], None]) -> None:
        super().__init__()
        self._note = note

    def request(self, now: int, status: int, fault: str) -> None:
        """As the base class."""
        super().request(now, status, fault)
        self._note(now, status, fault)


def _plain(value: Any) -> Any:
    return repr(value) if isinstance(value, BaseException) else value
