"""Which world a seed is.

Each part is drawn by a generator of its own, so that a new one leaves all others as they are.
"""

from random import Random

from tests.simulation.drawing.hardships import with_hardships
from tests.simulation.drawing.oddities import with_oddities, with_splunk
from tests.simulation.drawing.surroundings import with_surroundings
from tests.simulation.drawing.world import world
from tests.simulation.plan import Plan


def draw(seed: int) -> Plan:
    """The world of *seed*."""
    plan = world(Random(seed), seed)
    plan = with_oddities(Random(f"oddities of {seed}"), plan)
    plan = with_splunk(Random(f"splunk of {seed}"), plan)
    plan = with_hardships(Random(f"hardships of {seed}"), plan)
    return with_surroundings(plan)
