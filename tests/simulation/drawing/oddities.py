"""What happens rarely: odd answers, a sink that talks nonsense, a wrong key at the start, a Splunk that crashes."""

from dataclasses import replace
from random import Random

from tests.simulation.drawing.world import a_while
from tests.simulation.plan import MISTAKES, Happening, Plan

ODD = (
    "gzip", "gzip-cut", "gzip-broken", "encoded", "nothing", "retry-at", "retry-odd", "unheard-of", "astray", "nested",
    "no-links", "no-list", "lenient", "nameless", "foreign", "shuffled",
)  # fmt: skip
"""Answers that Persona ought not to give, or might from one day on."""

EXCLUDES = ("GET /api/v1/user-audit-logs", "POST */inquiries/*/decline", "POST /api/*/cases/*")
"""Filters of every shape, for some worlds."""

SPLUNKS = 0.3
"""Share of worlds with a Splunk."""

ODDITIES = 0.4
"""Share of worlds with something that happens rarely: an odd answer, a sink that talks nonsense, a wrong key at the
start, an outage longer than Persona keeps the log."""


def with_oddities(random: Random, plan: Plan) -> Plan:
    """In some worlds something rare happens; all else stays as it was drawn."""
    if random.random() >= ODDITIES:
        return plan
    many = random.choice((1, 1, 2, 4))
    rare = [random.choice(_RARE)(random, plan, random.uniform(0, plan.duration)) for _ in range(many)]
    employees = random.choice((plan.employees, 400))
    first, *others = plan.sinks
    sinks = (replace(first, exclude=random.choice((first.exclude, *EXCLUDES))), *others)
    return replace(plan, employees=employees, sinks=sinks).having(*rare)


def _odd_answers(random: Random, _: Plan, at: float) -> Happening:
    return Happening(at, "answers", tuple(random.choice(ODD) for _ in range(random.randint(1, 6))))


def _odd_time(random: Random, plan: Plan, at: float) -> Happening:
    return Happening(at, "faults", f"{random.choice(ODD)}:{random.choice((0.1, 0.5, 1.0))}", a_while(random, plan))


def _absurd_sink(random: Random, plan: Plan, at: float) -> Happening:
    return Happening(at, "sink", (random.choice(plan.sinks).name, "absurd"), a_while(random, plan))


def _wrong_key_at_first(random: Random, plan: Plan, _: float) -> Happening:
    return Happening(0.0, "key-revoked", None, a_while(random, plan))


def _mistake(random: Random, _: Plan, at: float) -> Happening:
    return Happening(at, "restart", ("mistake", str(random.randrange(len(MISTAKES)))), 0.1)


def _outage_beyond_retention(_: Random, __: Plan, at: float) -> Happening:
    return Happening(at, "long-outage", None, 86400.0 * 200)


def _death_in_the_first_walk(random: Random, _: Plan, __: float) -> Happening:
    """No sweep repeats the first walk."""
    operations = (random.randint(1, 60), random.choice(("process", "power")))
    return Happening(random.choice((0.05, 0.2, 0.5)), "disk-crash", operations, 0.1)


_RARE = (
    *(_odd_answers, _odd_answers, _odd_answers),
    *(_odd_time, _odd_time, _odd_time),
    *(_absurd_sink, _absurd_sink),
    *(_death_in_the_first_walk, _death_in_the_first_walk, _death_in_the_first_walk),
    _wrong_key_at_first,
    _mistake,
    _outage_beyond_retention,
)


def with_splunk(random: Random, plan: Plan) -> Plan:
    """Of some worlds the last destination is a Splunk, which may crash on what it has just accepted."""
    if random.random() >= SPLUNKS:
        return plan
    *others, last = plan.sinks
    splunk = replace(
        last, kind="splunk_hec", ack=random.random() < 0.5, in_flight=16, remembers=False, latency=plan.latency
    )
    news = [one.at for one in plan.happenings if one.kind == "append"]
    crashes = [
        Happening(random.choice(news) + random.uniform(0, 2) * plan.poll_interval, "sink", (splunk.name, "slow"), 5.0)
        for _ in range(random.choice((0, 1, 3)))
    ]
    return replace(plan, sinks=(*others, splunk)).having(*crashes)
