"""What happens in one world, drawn from its seed before it begins: the dimensions, the records, the faults.

A plan is data. So it can be made smaller (:mod:`tests.simulation.decisions.shrink`) and lived through again, and what
remains of it is the same as it was in the whole. Times are microseconds of the true time, which no clock in the world
shows exactly.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from random import Random

from forwarder.clock import SECOND

DAY = 86400 * SECOND
BORN = 1_750_000_000 * SECOND
"""When the forwarder of every world is first started."""


class Fate(IntEnum):
    """What becomes of one request to Persona."""

    ANSWERED = 0
    BROKEN = 1
    SERVER_ERROR = 2
    LIMITED = 3
    LIMITED_UNTIL = 4
    KEY_REFUSED = 5
    CURSOR_LOST = 6
    DISK_FULL = 7
    CRASH_BEFORE = 8
    CRASH_AFTER = 9


class Send(IntEnum):
    """What becomes of one batch on its way to a destination."""

    TAKEN = 0
    DOWN = 1
    PART = 2
    UNANSWERED = 3
    UNANSWERED_TAKEN = 4
    MISCONFIGURED = 5
    CRASH_SENT = 6
    CRASH_COMMITTED = 7


LOST_CURSOR_ANSWERS = ("refused", "empty", "page one", "repeat", "leads back")


@dataclass(frozen=True, slots=True)
class Made:
    """One record of the world; *place* orders the list (greater is newer), *at* is what its ``created-at`` claims."""

    place: int
    id: str
    made: int
    at: int | None
    visible: int
    has_id: bool = True
    unreadable_until: int = 0
    refused: bool = False
    """Each destination refuses it for good."""

    @property
    def is_late(self) -> bool:
        return self.visible > self.made


@dataclass(frozen=True, slots=True)
class Outage:
    """The forwarder is not there from *begin* to *end*; it ended gracefully or by a crash."""

    begin: int
    end: int
    graceful: bool
    page_size: int
    sinks: tuple[str, ...]
    """Configured from then on."""
    restores: bool = False
    """A copy of the journal from the last start is put back."""


@dataclass(frozen=True, slots=True)
class Dimensions:
    """What is the same for the whole life of a world."""

    unit: int
    """The poll interval, and the measure for all other times; microseconds."""
    page_size: int
    lookback: int
    sweep_interval: int
    share: float
    limit: int
    others: int
    """Requests a minute that others make out of the same limit."""
    rate_headers: bool
    reset_said: bool
    lost_answer: str | None
    """None draws one for each loss."""
    cursor_life: int | None
    empty_end: bool
    """The last page leads to one more, which is empty."""
    coarse_date: bool
    retention: int
    start: str
    dedupe_retention: int
    batch: int
    in_flight: int
    first_sinks: tuple[str, ...]
    new_sink_start: str | None
    refusal_names_event: bool
    register_crash: bool
    """The very first run dies between registering its first sink and the next."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One world."""

    seed: int
    dims: Dimensions
    records: tuple[Made, ...]
    fates: tuple[Fate, ...]
    sends: tuple[Send, ...]
    elapsed: tuple[int, ...]
    outages: tuple[Outage, ...]
    our_clock: tuple[tuple[int, int], ...]
    """Steps of our wall clock: from when on it is off, and by how much."""
    their_clock: tuple[tuple[int, int], ...]
    calm: int
    """From then on nothing fails any more, and nothing is made."""


def offset(steps: tuple[tuple[int, int], ...], now: int) -> int:
    """How far a clock is off at *now*."""
    off = 0
    for since, by in steps:
        if since > now:
            break
        off = by
    return off


def generate(seed: int) -> Plan:
    """Draw a world."""
    random = Random(seed)
    dims = _dimensions(random)
    unit, life = dims.unit, random.randint(8, 28)
    calm = BORN + life * unit
    their_clock = _clock(random, calm, max(unit // 2, SECOND)) if random.random() < 0.15 else ()
    retained = dims.retention < 400 * DAY
    outages = _outages(random, dims, calm, long=retained)
    calm += sum(outage.end - outage.begin for outage in outages)
    return Plan(
        seed=seed,
        dims=dims,
        records=_records(random, dims, calm, their_clock, wrong=not retained),
        fates=_fates(random),
        sends=_sends(random),
        elapsed=_elapsed(random, unit),
        outages=outages,
        our_clock=_clock(random, calm, random.choice((60 * SECOND, 10 * DAY, 500 * DAY)))
        if random.random() < 0.3
        else (),
        their_clock=their_clock,
        calm=calm,
    )


def _dimensions(random: Random) -> Dimensions:
    unit = random.choice((1, 1, 30, 30, 30, 300, 300, 3600, 3600, 86400, 5 * 86400)) * SECOND
    lookback = random.randint(6, 24)
    limit, share = random.choice(((300, 0.25), (300, 0.25), (1000, 1.0), (60, 0.5), (10, 0.3), (300, 0.01)))
    # Hardly more than a request for each poll: small pages, or an end that is read five times, would take hours there.
    tight = share * limit < 20 + 60 * SECOND // unit
    # A world as long as the retention has to have one: ids are remembered no longer than it makes sense.
    retained = unit >= DAY or random.random() < 0.1
    return Dimensions(
        unit=unit,
        page_size=20 if tight else random.choice((2, 3, 3, 5, 5, 8, 20)),
        lookback=lookback * unit,
        sweep_interval=random.randint(1, max(1, lookback // 3)) * unit,
        share=share,
        limit=limit,
        others=random.choice((0, 0, limit // 2, limit * 9 // 10)),
        rate_headers=random.random() < 0.8,
        reset_said=random.random() < 0.7,
        lost_answer=random.choice((*LOST_CURSOR_ANSWERS, None)),
        cursor_life=random.choice((None, None, None, 2 * unit, 8 * unit)),
        empty_end=not tight and random.random() < 0.3,
        coarse_date=random.random() < 0.7,
        retention=(181 + random.randint(0, 3)) * DAY if retained else 10_000 * DAY,
        start=random.choice(("all", "all", "all", "now", "ago", "at")),
        dedupe_retention=random.choice((187, 190)) * DAY,
        batch=random.choice((1, 3, 10)),
        in_flight=random.choice((1, 1, 3)),
        first_sinks=random.choice((("a",), ("a",), ("a", "b"))),
        new_sink_start=random.choice((None, "all", "now")),
        refusal_names_event=random.random() < 0.5,
        register_crash=random.random() < 0.03,
    )


def _clock(random: Random, until: int, most: int) -> tuple[tuple[int, int], ...]:
    moments = sorted(random.randint(BORN, until) for _ in range(random.randint(1, 3)))
    return tuple((moment, random.randint(-most, most)) for moment in moments)


def _outages(random: Random, dims: Dimensions, calm: int, *, long: bool) -> tuple[Outage, ...]:
    outages: list[Outage] = []
    now, size = BORN, dims.page_size
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        now += random.randint(1, max(2, (calm - BORN) // 3))
        lasts = int(random.choice((0.01, 1, 5, 30)) * random.random() * dims.unit) + 1
        if long and random.random() < 0.5:
            lasts = int(random.choice((0.5, 1, 2)) * random.random() * 200 * DAY)
        if random.random() < 0.3:
            size = max(2, random.choice((size, size // 2, size * 2)))
        sinks = random.choice((dims.first_sinks, dims.first_sinks, ("a",), ("a", "b"), ("b",), ("a", "b", "c")))
        outages.append(Outage(now, now + lasts, random.random() < 0.4, size, sinks, random.random() < 0.04))
        now += lasts
    return tuple(outages)


def _records(
    random: Random,
    dims: Dimensions,
    calm: int,
    their_clock: tuple[tuple[int, int], ...],
    *,
    wrong: bool,
) -> tuple[Made, ...]:
    late = random.choice((0.0, 0.0, 0.05, 0.3))
    undated = random.choice((0.0, 0.0, 0.04)) if wrong else 0.0
    misdated = random.choice((0.0, 0.0, 0.02)) if wrong else 0.0
    tied = random.choice((0.0, 0.1, 0.6))
    nameless = random.choice((0.0, 0.0, 0.03))
    unreadable = random.choice((0.0, 0.0, 0.0, 0.0, 0.02))
    forever = random.random() < 0.3
    refused = random.choice((0.0, 0.0, 0.03, 0.2))
    # What two readings of a clock by whole seconds, and a clock that is put back, can hide of a record's lateness.
    slack = 3 * SECOND + 2 * max((abs(by) for _, by in their_clock), default=0)
    latest = max(1, dims.lookback - slack)
    if random.random() < 0.6:
        latest = max(1, min(latest, dims.lookback - dims.sweep_interval - slack))
    made: list[Made] = []
    for moment in _moments(random, dims, calm, tied):
        claimed: int | None = (moment + offset(their_clock, moment)) // 1000 * 1000
        if undated and random.random() < undated:
            claimed = None
        elif misdated and random.random() < misdated:
            claimed = moment + random.choice((-1, 1)) * int(random.random() ** 3 * 200 * dims.unit)
        made.append(
            Made(
                place=moment * 1000 + len(made),
                id=f"ual_{len(made)}",
                made=moment,
                at=claimed,
                visible=moment + (random.randint(1, latest) if late and random.random() < late else 0),
                has_id=not (nameless and random.random() < nameless),
                unreadable_until=(1 << 62 if forever else calm) if unreadable and random.random() < unreadable else 0,
                refused=bool(refused and random.random() < refused),
            )
        )
    return tuple(made)


def _moments(random: Random, dims: Dimensions, calm: int, tied: float) -> list[int]:
    """When records are made: a history before the forwarder's first start, then single ones and bursts."""
    most = dims.page_size + 12
    moments = [BORN - random.randint(1, 40 * dims.unit) for _ in range(random.choice((0, 3, most, 2 * most)))]
    for _ in range(random.randint(0, 5)):
        moment = random.randint(BORN - dims.unit, calm)
        spread = random.choice((1, SECOND, dims.unit))
        moments += [moment + random.randint(0, spread) for _ in range(random.choice((1, 1, 3, most)))]
    moments.sort()
    for index in range(1, len(moments)):
        if random.random() < tied:
            moments[index] = moments[index - 1]
    return [moment for moment in moments if moment <= calm]


def _fates(random: Random) -> tuple[Fate, ...]:
    bad = random.choice((0.0, 0.05, 0.3))
    lost = random.choice((0.0, 0.03, 0.2))
    crash = random.choice((0.0, 0.02, 0.1))
    full = random.choice((0.0, 0.0, 0.05))
    fates = []
    for _ in range(61):
        dice = random.random()
        if dice < bad:
            fates.append(Fate(random.randint(Fate.BROKEN, Fate.KEY_REFUSED)))
        elif dice < bad + lost:
            fates.append(Fate.CURSOR_LOST)
        elif dice < bad + lost + crash:
            fates.append(random.choice((Fate.CRASH_BEFORE, Fate.CRASH_AFTER)))
        else:
            fates.append(Fate.DISK_FULL if dice > 1 - full else Fate.ANSWERED)
    return tuple(fates)


def _sends(random: Random) -> tuple[Send, ...]:
    bad = random.choice((0.0, 0.0, 0.1, 0.5))
    return tuple(
        Send(random.randint(Send.DOWN, Send.CRASH_COMMITTED)) if random.random() < bad else Send.TAKEN
        for _ in range(31)
    )


def _elapsed(random: Random, unit: int) -> tuple[int, ...]:
    slow = random.choice((0.02, 0.02, 0.2, 3.0))
    return tuple(int(min(slow * SECOND, unit) * random.random()) + 1000 for _ in range(17))


WITHOUT: dict[str, Callable[[Plan], Plan]] = {
    "late": lambda plan: _each(plan, lambda one: replace(one, visible=one.made)),
    "wrong dates": lambda plan: _each(plan, lambda one: replace(one, at=_right(plan, one))),
    "nameless": lambda plan: _each(plan, lambda one: replace(one, has_id=True)),
    "unreadable": lambda plan: _each(plan, lambda one: replace(one, unreadable_until=0)),
    "refused": lambda plan: _each(plan, lambda one: replace(one, refused=False)),
    "request faults": lambda plan: replace(plan, fates=(Fate.ANSWERED,)),
    "crashes": lambda plan: replace(plan, fates=tuple(_harmless(fate) for fate in plan.fates)),
    "lost cursors": lambda plan: replace(
        plan,
        fates=tuple(Fate.ANSWERED if fate == Fate.CURSOR_LOST else fate for fate in plan.fates),
        dims=replace(plan.dims, cursor_life=None),
    ),
    "send faults": lambda plan: replace(plan, sends=(Send.TAKEN,)),
    "outages": lambda plan: replace(plan, outages=()),
    "restores": lambda plan: replace(plan, outages=tuple(replace(one, restores=False) for one in plan.outages)),
    "our clock": lambda plan: replace(plan, our_clock=()),
    "others": lambda plan: replace(plan, dims=replace(plan.dims, others=0)),
    "empty end": lambda plan: replace(plan, dims=replace(plan.dims, empty_end=False)),
    "coarse date": lambda plan: replace(plan, dims=replace(plan.dims, coarse_date=False)),
    "start": lambda plan: replace(plan, dims=replace(plan.dims, start="all")),
    "in flight": lambda plan: replace(plan, dims=replace(plan.dims, in_flight=1)),
    "slow answers": lambda plan: replace(plan, elapsed=(1000,)),
    "register crash": lambda plan: replace(plan, dims=replace(plan.dims, register_crash=False)),
}
"""How each dimension is taken out of a plan, the rest staying as it is."""


def _each(plan: Plan, change: Callable[[Made], Made]) -> Plan:
    return replace(plan, records=tuple(change(one) for one in plan.records))


def _right(plan: Plan, one: Made) -> int:
    return (one.made + offset(plan.their_clock, one.made)) // 1000 * 1000


def _harmless(fate: Fate) -> Fate:
    return Fate.ANSWERED if fate in {Fate.CRASH_BEFORE, Fate.CRASH_AFTER} else fate
