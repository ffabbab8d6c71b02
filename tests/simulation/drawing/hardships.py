"""What an operator goes through in some worlds: trouble with the journal's file, backups put back, a tight disk.

Beside that, destinations and settings that bring out what happens rarely.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from tests.simulation.plan import Happening, Plan

SHARE = 0.3
"""Share of worlds with one of these."""

TROUBLES = (
    "locked", "garbled", "rotten", "foreign", "newer", "unmounted", "read-only", "bad-sector", "old-sqlite",
)  # fmt: skip

ENDS = ("stop", "stop", "process", "power")
"""How the daemon ends before somebody has to do with its file."""

INDEX_OF_THE_LOG = 32 << 10
"""Bytes that a start needs on the disk for SQLite's index of the write-ahead log, before it writes anything."""


def with_hardships(random: Random, plan: Plan) -> Plan:
    """*plan*, in some worlds with a hardship more."""
    if random.random() >= SHARE:
        return plan
    harder = random.choice(_HARDSHIPS)(random, plan)
    return harder.having(*(Happening(random.uniform(0, plan.duration), "command") for _ in range(2)))


def _unusable_journal(random: Random, plan: Plan) -> Plan:
    """Something is wrong with the file, is put right by the operator, and a command looks at it meanwhile."""
    at, lasts = random.uniform(0.1, 0.9) * plan.duration, random.choice((1.0, 30.0, 200.0))
    trouble = Happening(at, "journal", (random.choice(TROUBLES), random.choice(ENDS)), lasts)
    return plan.having(trouble, Happening(at + random.uniform(0, 1) * lasts, "command"))


def _spoilt_event(random: Random, plan: Plan) -> Plan:
    """An event that waits for a destination is spoilt where it lies."""
    at, name = random.uniform(0.1, 0.9) * plan.duration, random.choice(plan.sinks).name
    held_up = Happening(at - 0.05 * plan.duration, "sink", (name, "down"), 0.06 * plan.duration)
    news = Happening(at - 0.04 * plan.duration, "append", 5)
    return plan.having(held_up, news, Happening(at, "journal", ("flipped", random.choice(ENDS)), 0.0))


def _restored_journal(random: Random, plan: Plan) -> Plan:
    """A copy is put in the journal's place once more was delivered, to some who remember and some who do not."""
    copied, back = sorted(random.uniform(0.02, 0.9) * plan.duration for _ in range(2))
    sinks = tuple(
        replace(one, remembers=True, in_flight=1) if one.kind == "world" and random.random() < 0.5 else one
        for one in plan.sinks
    )
    sink, trouble = random.choice(sinks), random.choice(("stale", "down", "taken-then-reset"))
    if trouble == "stale" and sink.exclude:
        trouble = "down"  # what is left out would take the cursor past a position that is not told yet: no sink does so
    return replace(plan, sinks=sinks).having(
        Happening(copied, "backup"),
        Happening(random.uniform(copied, back), "append", 30),
        Happening(back, "restore", random.choice(ENDS)),
        Happening(back, "sink", (sink.name, trouble), random.uniform(1, 4) * plan.poll_interval),
    )


def _start_on_a_tight_disk(random: Random, plan: Plan) -> Plan:
    """The daemon starts, and perhaps stops and starts again, where there is room for next to nothing."""
    at, lasts = random.uniform(0.1, 0.8) * plan.duration, random.choice((8.0, 40.0, 120.0))
    room = INDEX_OF_THE_LOG + random.choice((0, 512, 8 << 10, 40 << 10))
    found = [Happening(at, "restart", ("nothing", ""), 3.0), Happening(at + 1.0, "disk-tight", room, lasts)]
    if random.random() < 0.5:
        found.append(Happening(at + random.uniform(4.0, lasts), "restart", ("nothing", ""), 0.1))
    return plan.having(*found)


def _full_disk_behind_a_backlog(random: Random, plan: Plan) -> Plan:
    """What was held up is delivered while no place of it can be written down; and a stop may come meanwhile."""
    at, lasts = random.uniform(0.1, 0.8) * plan.duration, random.choice((8.0, 40.0, 120.0))
    name, trouble = random.choice(plan.sinks).name, random.choice(("down", "taken-then-reset"))
    found = [
        Happening(at - 0.05 * plan.duration, "sink", (name, trouble), 0.06 * plan.duration),
        Happening(at - 0.04 * plan.duration, "append", 30),
        Happening(at, "disk-full", 1, lasts),
    ]
    if random.random() < 0.5:
        found.append(Happening(at + random.uniform(0.0, lasts), "restart", ("nothing", ""), 0.1))
    return plan.having(*found)


def _small_batches(random: Random, plan: Plan) -> Plan:
    """A batch holds fewer bytes than a page of events has."""
    sinks = tuple(replace(one, batch_bytes=random.choice((1024, 3000, 8000))) for one in plan.sinks)
    return replace(plan, sinks=sinks).having(Happening(random.uniform(0, 1) * plan.duration, "append", 30))


def _poisonous_events(random: Random, plan: Plan) -> Plan:
    """A destination refuses most of what it is sent, many at once."""
    first, *others = plan.sinks
    burst = Happening(random.uniform(0, 1) * plan.duration, "append", 60)
    return replace(plan, sinks=(replace(first, poison=0.8), *others)).having(burst)


def _impatient_operator(random: Random, plan: Plan) -> Plan:
    """A stop comes while a send has no answer, and is given a second; or is asked for again at once."""
    at, name = random.uniform(0.1, 0.9) * plan.duration, random.choice(plan.sinks).name
    stop = random.choice(
        (Happening(at + 2.0, "restart", ("nothing", ""), 0.1), Happening(at + 2.0, "stop-twice", None, 0.1))
    )
    held_up = Happening(at - 0.03 * plan.duration, "sink", (name, "hang"), 0.03 * plan.duration + 4.0)
    return replace(plan, grace=random.choice((1.0, 3.0))).having(held_up, Happening(at, "append", 5), stop)


def _senseless_sink(random: Random, plan: Plan) -> Plan:
    """A sink raises what no sink may, in its sends and when it is closed."""
    name = random.choice(plan.sinks).name
    lasts = random.uniform(2, 8) * plan.poll_interval
    return plan.having(Happening(random.uniform(0, 0.9) * plan.duration, "sink", (name, "senseless"), lasts))


_HARDSHIPS: tuple[Callable[[Random, Plan], Plan], ...] = (
    *(_unusable_journal, _unusable_journal, _unusable_journal),
    *(_restored_journal, _restored_journal),
    *(_start_on_a_tight_disk, _start_on_a_tight_disk),
    *(_full_disk_behind_a_backlog, _full_disk_behind_a_backlog),
    *(_spoilt_event, _small_batches, _poisonous_events, _impatient_operator, _senseless_sink),
)
