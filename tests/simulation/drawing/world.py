"""The world itself: its log and its limits, its destinations, and what goes on and goes wrong in any of them."""

import math
from random import Random
from typing import Any

from tests.simulation.plan import Happening, Kind, Plan, SinkPlan

LOST_CURSORS = ("400", "404", "empty", "page-one")

STATUSES = ("400", "401", "403", "408", "429", "500", "502", "503", "504")
"""Answers that say nothing about a cursor's life. A 404 does, and 400 with a cursor: the ledger walks again."""

ON_THE_WIRE = (
    "html", "challenge", "blank", "quota", "garbage", "cut", "reset", "stall", "slow", "redirect", "cursor-lost",
    "repeat", "too-large", "404",
)  # fmt: skip

SINK_TROUBLES = (
    "down", "busy", "hang", "taken-then-hang", "taken-then-reset", "prefix", "misconfigured", "slow", "faulty",
)  # fmt: skip

_CHANGES: tuple[tuple[Kind, Any], ...] = (
    ("included", "never"),
    ("links", "absolute"),
    ("inflection", "snake"),
    ("their-clock", 90.0),
)
_DISK_TROUBLES: tuple[Kind, ...] = ("disk-full", "disk-error", "disk-busy")


def world(random: Random, seed: int) -> Plan:
    """Draw a world, whose name is *seed*."""
    poll = random.choice((2.0, 5.0, 10.0, 30.0, 30.0, 60.0))
    duration = poll * random.randint(12, 60)
    sweep = poll * random.choice((2, 4, 6))
    lookback = sweep * random.choice((2, 3))
    page_size = random.choice((2, 5, 10, 25, 100))
    # Room for twice the polls at rest: with less, nothing older would ever be read.
    needed = 2 * 60 / poll * (math.ceil(11 / page_size) + 1) + 5
    limit = random.choice([limit for limit in (60, 300, 300, 1000) if limit >= needed] or [2000])
    share = random.choice([share for share in (0.05, 0.25, 0.25, 0.5, 1.0) if share * limit >= needed])
    plan = Plan(
        seed=seed,
        history=random.choice((0, 0, 1, 7, 40, 120, 250)),
        history_days=random.choice((0.01, 1.0, 30.0, 170.0)),
        odd=random.choice((0.0, 0.0, 0.02, 0.15)),
        duration=duration,
        poll_interval=poll,
        lookback=lookback,
        sweep_interval=sweep,
        page_size=page_size,
        rate_share=share,
        limit=limit,
        start=random.choice(("all", "all", "all", "now", "1h", "20d")),
        lost_cursor=random.choice(LOST_CURSORS),
        included=random.choice(("by-version", "by-version", "always", "never")),
        links=random.choice(("relative", "relative", "absolute", "foreign")),
        end=random.choice(("null", "null", "empty")),
        max_bytes=random.choice((2 << 30, 2 << 30, 1 << 20)),
        thread_delay=random.choice((0.0, 0.001, 0.05)),
        latency=random.choice((0.0005, 0.02, 0.1)),
        skew=random.choice((0.0, 0.0, -3.0, 400.0, -86400.0)),
        employees=9,
        sinks=tuple(_sink(random, name) for name in ("one", "two", "three")[: random.choice((1, 2, 2, 3))]),
        happenings=(),
    )
    return plan.having(*_happenings(random, plan))


def a_while(random: Random, plan: Plan) -> float:
    """Draw seconds that something lasts."""
    return random.uniform(0.5, 12) * plan.poll_interval


def _sink(random: Random, name: str) -> SinkPlan:
    remembers = random.random() < 0.25
    return SinkPlan(
        name=name,
        format=random.choice(("json", "json", "raw")),
        in_flight=1 if remembers else random.choice((1, 1, 2, 4)),
        batch=random.choice((1, 3, 10, 50)),
        poison=random.choice((0.0, 0.0, 0.03)),
        points_out=random.random() < 0.6,
        remembers=remembers,
        latency=random.choice((0.0, 0.01, 0.5)),
        exclude=random.choice(("", "", "", "GET /api/v1/*")),
    )


def _happenings(random: Random, plan: Plan) -> list[Happening]:
    end = plan.duration

    def moment() -> float:
        return random.uniform(0, end)

    found = [Happening(moment(), "append", random.choice((1, 1, 2, 5, 30))) for _ in range(random.randint(3, 30))]
    room = plan.lookback - plan.sweep_interval
    slow: tuple[Kind, ...] = ("late", "back-dated")
    for kind in slow:
        many = random.choice((0, 0, 2, 6))
        found += [Happening(moment(), kind, random.uniform(0.1, 0.5) * room) for _ in range(many)]
    found += [_trouble(random, plan, moment()) for _ in range(random.choice((0, 1, 2, 4)))]
    found += [_disaster(random, plan, moment()) for _ in range(random.choice((0, 1, 1, 2, 3)))]
    for _ in range(random.choice((0, 1, 2))):
        name = random.choice(plan.sinks).name
        found.append(Happening(moment(), "sink", (name, random.choice(SINK_TROUBLES)), a_while(random, plan)))
    found += [Happening(moment(), "look") for _ in range(3)]
    return found


def _trouble(random: Random, plan: Plan, at: float) -> Happening:
    """Something of Persona's."""
    match random.randint(0, 8):
        case 0 | 1 | 2:
            kinds = tuple(random.choice((*STATUSES, *ON_THE_WIRE)) for _ in range(random.randint(1, 6)))
            return Happening(at, "answers", kinds)
        case 3 | 4:
            kind = random.choice((*STATUSES, *ON_THE_WIRE))
            # A cursor that is lost again and again and shows as an empty page cannot be told from the list's end.
            share = 0.1 if kind == "cursor-lost" else random.choice((0.1, 0.5, 1.0))
            return Happening(at, "faults", f"{kind}:{share}", a_while(random, plan))
        case 5:
            return Happening(at, "persona-away", random.choice(("refused", "silent")), a_while(random, plan))
        case 6:
            return Happening(at, "key-revoked", None, a_while(random, plan))
        case 7:
            return Happening(at, "key-rotated")
        case _:
            return Happening(at, *random.choice(_CHANGES))


def _disaster(random: Random, plan: Plan, at: float) -> Happening:
    """Something of ours."""
    match random.randint(0, 9):
        case 0 | 1 | 2:
            after = (random.randint(1, 4000), random.choice(("process", "power")))
            return Happening(at, "crash", after, random.choice((0.1, 5.0, plan.lookback)))
        case 3 | 4:
            after = (random.randint(1, 60), random.choice(("process", "power")))
            return Happening(at, "disk-crash", after, random.choice((0.1, 5.0)))
        case 5 | 6:
            return Happening(at, "restart", _change(random, plan), random.choice((0.1, 60.0)))
        case 7:
            return Happening(at, random.choice(_DISK_TROUBLES), random.randint(1, 5), a_while(random, plan))
        case 8:
            return Happening(at, "our-clock", random.choice((-7200.0, -30.0, 45.0, 86400.0)))
        case _:
            return Happening(at, "long-outage", None, random.choice((3600.0, 86400.0 * 20, 86400.0 * 150)))


def _change(random: Random, plan: Plan) -> tuple[str, str]:
    """What a restart changes in the configuration: nothing, a sink that goes or comes back, its format, a page size."""
    name = random.choice(plan.sinks).name
    return random.choice(
        (("nothing", ""), ("remove", name), ("remove", name), ("format", name), ("exclude", name), ("page", "7"))
    )
