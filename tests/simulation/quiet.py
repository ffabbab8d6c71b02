"""A quiet world, to be changed by hand: what the scripted worlds begin with."""

from tests.simulation.plan import Plan, SinkPlan
from tests.simulation.playing import Verdict, play_apart

SINK = SinkPlan(
    name="one", format="json", in_flight=1, batch=50, poison=0.0, points_out=True, remembers=False, latency=0.01
)
QUIET = Plan(
    seed=1,
    history=40,
    history_days=1.0,
    odd=0.0,
    duration=60.0,
    poll_interval=5.0,
    lookback=60.0,
    sweep_interval=30.0,
    page_size=10,
    rate_share=1.0,
    limit=1000,
    start="all",
    lost_cursor="404",
    included="by-version",
    links="relative",
    end="null",
    max_bytes=2 << 30,
    thread_delay=0.001,
    latency=0.02,
    skew=0.0,
    employees=9,
    sinks=(SINK,),
    happenings=(),
)
"""Nothing happens in it; each test says what is different in its own."""


def kept(plan: Plan) -> Verdict:
    """The verdict over *plan*, in which no promise is broken."""
    (verdict,) = play_apart([plan], jobs=1)
    assert not verdict.violations, verdict.violations
    return verdict
