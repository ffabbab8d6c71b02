"""What the judge knows: the world's own knowledge of its records, and what the daemon's output says of them."""

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from forwarder.clock import parse_rfc3339
from forwarder.journal.letters import list_dead_letters
from forwarder.journal.status import SourceStatus, read_status
from forwarder.simulator.world import RETENTION
from tests.simulation.chronicle import Made

if TYPE_CHECKING:
    from tests.simulation.stage import Stage

UNREADABLE = {"garbage", "too-large", "nested", "deep", "no-links", "no-list", "astray"}
"""Answers that no reader can make anything of."""


class Evidence:
    """One world, after its end."""

    def __init__(self, stage: "Stage") -> None:
        self.stage = stage
        self.plan = stage.plan
        self.chronicle = stage.chronicle
        self.source: SourceStatus = read_status(stage.state / "forwarder.db", now=stage.clock.now()).sources[0]
        self.letters: dict[str, set[str]] = defaultdict(set)
        for filed in list_dead_letters(stage.state / "forwarder.db"):
            self.letters[filed.sink].add(filed.letter.id)
        self.kinds = {happening.kind for happening in self.plan.happenings}
        self.answers = {word for one in self.plan.happenings for word in _words(one.what)}
        self.first_stored = stage.chronicle.first_stored()
        self.resources = {id_: self._resource(made) for id_, made in stage.chronicle.made.items()}

    @property
    def dates_may_be_wrong(self) -> bool:
        """Whether a record may claim another time than the list's order does."""
        return bool(self.plan.odd or self.kinds & {"back-dated", "their-clock"})

    def has_expired(self, made: Made) -> bool:
        """Whether the record has left the list."""
        return made.created < self.stage.persona_clock.now() - RETENTION

    def claims_its_own_time(self, id_: str, made: Made) -> bool:
        """Whether the date that the record shows is the one at which it was made."""
        return bool(parse_rfc3339(self.resources[id_]["attributes"].get("created-at")) == made.created)

    def _resource(self, made: Made) -> dict[str, Any]:
        """The record as it was made, less what was to be redacted."""
        resource = self.stage.world.activity.record(made.index, made.created)[0]
        given = resource["attributes"]["post-params"]
        noted = given.get("data", {}).get("attributes", {}) if isinstance(given, dict) else {}
        if "note" in noted:
            noted["note"] = "[REDACTED]"
        return resource


def _words(what: Any) -> Iterator[str]:
    for part in what if isinstance(what, tuple) else (what,):
        if isinstance(part, str):
            yield part.partition(":")[0]
