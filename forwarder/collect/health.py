"""How a source is, for the probes: when it last went well, and why it does not collect now."""

from dataclasses import dataclass


@dataclass(slots=True)
class SourceHealth:
    """Kept by the collector, read by the probes. Times are of the monotonic clock, in seconds."""

    last_good: float | None = None
    reason: str | None = None
    """Why it does not collect at the moment, for people; None while it does."""
    paused: bool = False
    """The pause is deliberate: a full backlog, a full disk."""
    failures: int = 0
    """So often in a row Persona gave no page that could be stored."""

    def failed(self, reason: str) -> int:
        """Persona gave no page; returns how often that happened in a row."""
        self.failures += 1
        self.reason = reason
        return self.failures

    def recovered(self, now: float) -> int:
        """A page was stored; returns how often it had failed before."""
        failures, self.failures = self.failures, 0
        self.reason, self.last_good = None, now
        return failures

    def pause(self, reason: str) -> bool:
        """Pause for *reason*; returns whether that is news."""
        news = not self.paused
        self.paused, self.reason = True, reason
        return news

    def resume(self) -> bool:
        """Collect, as far as a pause is concerned; returns whether there was one."""
        was_paused = self.paused
        if was_paused:
            self.paused, self.reason = False, None
        return was_paused
