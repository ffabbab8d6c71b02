"""The judge of a world: it made every record and took every delivery, and reads nothing of the daemon's but its words.

What it holds the daemon to is the operator's contract (sections 2 to 6). Of the product's own output it takes what an
operator would: the account of ``forwarder status``, the dead letters, the log, and the exit statuses.
"""

from typing import TYPE_CHECKING

from tests.simulation.oracle import account, deliveries, ends, hardships, manners
from tests.simulation.oracle.evidence import Evidence

if TYPE_CHECKING:
    from tests.simulation.stage import Stage


def judge(stage: "Stage") -> list[str]:
    """Every promise that was broken, a sentence each; empty if none was."""
    if stage.chronicle.troubles:
        return [*stage.chronicle.troubles, *stage.chronicle.leaks]
    evidence = Evidence(stage)
    return [
        *stage.chronicle.leaks,
        *deliveries.violations(evidence),
        *account.violations(evidence),
        *manners.violations(evidence),
        *ends.violations(evidence),
        *hardships.violations(stage),
    ]
