"""What happens in one world: everything that its seed decides, as data that can be read, replayed and shrunk."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal

from tests.simulation import hardships, surroundings

LOST_CURSORS = ("400", "404", "empty", "page-one")

STATUSES = ("400", "401", "403", "408", "429", "500", "502", "503", "504")
"""Answers that say nothing about a cursor's life. A 404 does, and 400 with a cursor: the ledger walks again."""

ON_THE_WIRE = (
    "html", "challenge", "blank", "quota", "garbage", "cut", "reset", "stall", "slow", "redirect", "cursor-lost",
    "repeat", "too-large", "404",
)  # fmt: skip

ODD = (
    "gzip", "gzip-cut", "gzip-broken", "encoded", "nothing", "retry-at", "retry-odd", "unheard-of", "astray", "nested",
    "no-links", "no-list", "lenient", "nameless", "foreign", "shuffled",
)  # fmt: skip
"""Answers that Persona ought not to give, or might from one day on."""

MISTAKES: tuple[dict[str, str], ...] = (
    {"FORWARDER_PERSONA_START": "yesterday"},
    {"FORWARDER_PERSONA_BASE_URL": "https://somebody:secret@127.0.0.1/api/v1"},
    {"FORWARDER_PERSONA_BASE_URL": "http://127.0.0.1:8443/api/v1?page=1"},
    {"FORWARDER_PERSONA_BASE_URL": "127.0.0.1/api/v1"},
    {"FORWARDER_PERSONA_BASE_URL": "http://persona.example/api/v1"},
    {"FORWARDER_PERSONA_BASE_URL": "https://persona.example/api/v1", "FORWARDER_PERSONA_POLL_INTERVAL": "0.5s"},
    {"FORWARDER_PERSONA_LOOKBACK": "60s", "FORWARDER_PERSONA_SWEEP_INTERVAL": "120s"},
    {"FORWARDER_ONE_EXCLUDE": "GET"},
    {"FORWARDER_ONE_EXCLUDE": "FETCH /api/*"},
    {"FORWARDER_ONE_EXCLUDE": "GET /api /v1"},
    {"FORWARDER_ONE_EXCLUDE": "GET api/v1/cases"},
    {"FORWARDER_ONE_EXCLUDE": "GET /api/v1/cases?page=1"},
)
"""What an operator may write into the configuration of one life; it ends at once, with status 78."""

EXCLUDES = ("GET /api/v1/user-audit-logs", "POST */inquiries/*/decline", "POST /api/*/cases/*")
"""Filters of every shape, for some worlds."""

SINK_TROUBLES = (
    "down", "busy", "hang", "taken-then-hang", "taken-then-reset", "prefix", "misconfigured", "slow", "faulty",
)  # fmt: skip

Kind = Literal[
    "append", "late", "back-dated", "answers", "faults", "persona-away", "key-revoked", "key-rotated", "our-clock",
    "their-clock", "crash", "disk-crash", "restart", "sink", "disk-full", "disk-error", "disk-busy", "included",
    "links", "inflection", "long-outage", "look", "key-broken", "way",
    "journal", "backup", "restore", "command", "disk-tight", "stop-twice",
]  # fmt: skip


SPLUNKS = 0.3
"""Share of worlds with a Splunk."""

ODDITIES = 0.4
"""Share of worlds with something that happens rarely: an odd answer, a sink that talks nonsense, a wrong key at the
start, an outage longer than Persona keeps the log."""

_CHANGES: tuple[tuple[Kind, Any], ...] = (
    ("included", "never"),
    ("links", "absolute"),
    ("inflection", "snake"),
    ("their-clock", 90.0),
)
_DISK_TROUBLES: tuple[Kind, ...] = ("disk-full", "disk-error", "disk-busy")


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happens *at* so many seconds after the world's beginning."""

    at: float
    kind: Kind
    what: Any = None
    lasts: float = 0.0

    def __str__(self) -> str:
        lasting = f" for {self.lasts:.0f} s" if self.lasts else ""
        return f"{self.at:9.1f} s  {self.kind} {'' if self.what is None else self.what}{lasting}"


@dataclass(frozen=True, slots=True)
class SinkPlan:
    """One destination of the world and how it is."""

    name: str
    format: str
    in_flight: int
    batch: int
    poison: float
    """Share of events that it refuses for good."""
    points_out: bool
    """Whether it says which event it minds."""
    remembers: bool
    """Whether it knows what it has, and tells at each opening: exactly once."""
    latency: float
    exclude: str = ""
    kind: Literal["world", "splunk_hec"] = "world"
    ack: bool = False
    """Whether a Splunk has indexer acknowledgement."""
    batch_bytes: int = 0
    """Most bytes of one batch; 0 leaves it at the default."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole world."""

    seed: int
    history: int
    history_days: float
    odd: float
    duration: float
    poll_interval: float
    lookback: float
    sweep_interval: float
    page_size: int
    rate_share: float
    limit: int
    start: str
    lost_cursor: Any
    included: Any
    links: Any
    end: Any
    max_bytes: int
    thread_delay: float
    latency: float
    skew: float
    """Seconds that Persona's clock is ahead of ours."""
    employees: int
    """Users of the organization; with many, nearly every page names one whom nobody has seen."""
    sinks: tuple[SinkPlan, ...]
    happenings: tuple[Happening, ...]
    grace: float = 25.0
    """Seconds that an orderly stop may take."""
    way: surroundings.Way = "plain"
    odd_ids: bool = False

    def without(self, numbers: Sequence[int]) -> "Plan":
        """The same world, less some of its happenings."""
        gone = set(numbers)
        return replace(self, happenings=tuple(one for n, one in enumerate(self.happenings) if n not in gone))


def draw(seed: int) -> Plan:
    """The world of *seed*."""
    random = Random(seed)
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
    plan = replace(plan, happenings=_in_turn(_happenings(random, plan)))
    plan = _with_oddities(Random(f"oddities of {seed}"), plan)
    plan = _with_splunk(Random(f"splunk of {seed}"), plan)
    plan = hardships.added(Random(f"hardships of {seed}"), plan)
    return _with_surroundings(surroundings.draw(seed, plan), plan)


def _with_surroundings(drawn: surroundings.Drawn, plan: Plan) -> Plan:
    rare = [Happening(*row) for row in drawn.rows]
    return replace(plan, **drawn.fields, happenings=_in_turn([*plan.happenings, *rare]))


def _with_oddities(random: Random, plan: Plan) -> Plan:
    """In some worlds something rare happens; all else stays as it was drawn."""
    if random.random() >= ODDITIES:
        return plan
    many = random.choice((1, 1, 2, 4))
    rare = [random.choice(_RARE)(random, plan, random.uniform(0, plan.duration)) for _ in range(many)]
    employees = random.choice((plan.employees, 400))
    first, *others = plan.sinks
    sinks = (replace(first, exclude=random.choice((first.exclude, *EXCLUDES))), *others)
    return replace(plan, happenings=_in_turn([*plan.happenings, *rare]), employees=employees, sinks=sinks)


def _odd_answers(random: Random, _: Plan, at: float) -> Happening:
    return Happening(at, "answers", tuple(random.choice(ODD) for _ in range(random.randint(1, 6))))


def _odd_time(random: Random, plan: Plan, at: float) -> Happening:
    return Happening(at, "faults", f"{random.choice(ODD)}:{random.choice((0.1, 0.5, 1.0))}", _while(random, plan))


def _absurd_sink(random: Random, plan: Plan, at: float) -> Happening:
    return Happening(at, "sink", (random.choice(plan.sinks).name, "absurd"), _while(random, plan))


def _wrong_key_at_first(random: Random, plan: Plan, _: float) -> Happening:
    return Happening(0.0, "key-revoked", None, _while(random, plan))


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


def _with_splunk(random: Random, plan: Plan) -> Plan:
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
    return replace(plan, sinks=(*others, splunk), happenings=_in_turn([*plan.happenings, *crashes]))


def _in_turn(happenings: Iterable[Happening]) -> tuple[Happening, ...]:
    return tuple(sorted(happenings, key=lambda one: one.at))


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
        found.append(Happening(moment(), "sink", (name, random.choice(SINK_TROUBLES)), _while(random, plan)))
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
            return Happening(at, "faults", f"{kind}:{share}", _while(random, plan))
        case 5:
            return Happening(at, "persona-away", random.choice(("refused", "silent")), _while(random, plan))
        case 6:
            return Happening(at, "key-revoked", None, _while(random, plan))
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
            return Happening(at, random.choice(_DISK_TROUBLES), random.randint(1, 5), _while(random, plan))
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


def _while(random: Random, plan: Plan) -> float:
    return random.uniform(0.5, 12) * plan.poll_interval
