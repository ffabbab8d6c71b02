"""The one backoff policy. It decides; :meth:`forwarder.pulse.Pulse.wait` waits."""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with jitter, in seconds.

    Half of each delay is fixed and half is random: many forwarders that lost one peer together do not come back
    together, and none comes back at once.
    """

    first: float = 1.0
    factor: float = 2.0
    cap: float = 300.0

    def delay(self, attempt: int, random: Random, *, at_least: float | None = None) -> float:
        """Seconds to wait before the next try, after *attempt* failures in a row (1 is the first).

        *at_least* is what the peer asked for (``Retry-After``); it is kept even above the cap.
        """
        # The exponent is bounded so that weeks of failures do not overflow a float.
        full = min(self.cap, self.first * self.factor ** min(attempt - 1, 64))
        jittered = full * (0.5 + 0.5 * random.random())
        return max(jittered, at_least or 0.0)
