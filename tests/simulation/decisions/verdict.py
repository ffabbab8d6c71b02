"""What came of one world."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from forwarder.clock import SECOND
from tests.simulation.decisions.life import Life
from tests.simulation.decisions.oracle import Violation
from tests.simulation.decisions.plan import Plan, generate
from tests.simulation.decisions.store import Store


@dataclass(frozen=True, slots=True)
class Verdict:
    """The *violation* found in the world of *seed*, or None, and how often what happened in it."""

    seed: int
    violation: str | None
    requests: int
    counts: Counter[str] = field(default_factory=Counter)


def run(seed: int) -> Verdict:
    """Live through the world of *seed*."""
    return live(generate(seed))


def live(plan: Plan) -> Verdict:
    """Live through *plan*; whatever the product's code raises is a violation, too."""
    life = Life(plan, Store(plan.dims.dedupe_retention))
    violation = None
    try:
        life.run()
    except Violation as found:
        violation = str(found)
    except Exception as error:  # noqa: BLE001 # a decision must never raise: this is how one that does is reported
        violation = f"{type(error).__name__}: {error}"
    for what, holds in _drawn(plan).items():
        life.oracle.counts[what] += holds
    return Verdict(plan.seed, violation, life.requests, life.oracle.counts)


def _drawn(plan: Plan) -> dict[str, bool]:
    """What the plan itself brings, for the count of what was tried."""
    records = plan.records
    return {
        "world with late records": any(made.is_late for made in records),
        "world with wrong dates": any(
            made.at is not None and abs(made.at - made.made) > 60 * SECOND for made in records
        ),
        "world with undated records": any(made.at is None for made in records),
        "world with ties": any(one.at == other.at for one, other in pairwise(records)),
        "world with an outage longer than the retention": any(
            outage.end - outage.begin > plan.dims.retention for outage in plan.outages
        ),
        "world with steps of our clock": bool(plan.our_clock),
        "world with steps of their clock": bool(plan.their_clock),
        "world that starts in the past": plan.dims.start in {"ago", "at"},
        "world that starts now": plan.dims.start == "now",
    }
