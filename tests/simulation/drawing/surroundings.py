"""What stands between the daemon and Persona's log in some worlds: answers nobody planned for, the way, the key, users.

Each dimension is drawn from a generator of its own, so that a world keeps all else that its seed has drawn.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random

from forwarder.clock import SECOND, format_rfc3339
from tests.simulation.drawing.world import a_while
from tests.simulation.plan import Happening, Plan, Route

UNPLANNED = (
    "retry-in", "accepted", "portal", "not-api", "gateway", "proxy-auth", "unpermitted", "wordy", "gzip-parts",
    "gzip-large", "told-large", "too-large", "deep", "rate-unsaid", "rate-half", "rate-odd",
)  # fmt: skip
"""Answers of Persona's, and of whatever else may stand in the way."""

OF_LOOK_UPS = ("429", "404", "400", "stall", "slow", "retry-in", "rate-odd", "rate-odd")
"""What look-ups of users are to meet; pages meet it, too."""

ODD_IDS = (".", "..", "ual_../..", "a/b?include=c#d", "%2e%2e", "ual 42", "ual_Prüfung", "&page[after]=", "'\";--")
"""Ids of records that would lead a look-up, or the list, elsewhere if they were taken for more than ids."""

BROKEN_KEYS = ("", "persona production first", "persona_schlüssel", "\n")
"""What a key's file may hold while somebody writes it; the first and the last are no key at all."""

TLS_TROUBLES = ("untrusted", "no-tls")
PROXY_TROUBLES = ("407", "403", "502", "hang", "away", "socks", "untrusted")

BEGINNING = 1_772_439_400.0
"""When a world begins, by a clock that is right, in seconds of the Unix epoch: 2026-03-02T08:16:40Z, a Monday."""


def with_surroundings(plan: Plan) -> Plan:
    """*plan* with all dimensions that its seed has drawn, each in its own share of worlds."""
    for name, (share, dimension) in _DIMENSIONS.items():
        random = Random(f"{name} of {plan.seed}")
        if random.random() < share:
            plan = dimension(random, plan)
    return plan


def _unplanned_answers(random: Random, plan: Plan) -> Plan:
    many = random.choice((1, 1, 2))
    moments = [random.choice((0.0, random.uniform(0, plan.duration))) for _ in range(many)]
    # None lets one through: what a page that was answered well says of the rate is obeyed at the next request.
    kinds = [tuple(random.choice((*UNPLANNED, None)) for _ in range(random.randint(2, 6))) for _ in range(many)]
    return plan.having(*(Happening(at, "answers", what) for at, what in zip(moments, kinds, strict=True)))


def _look_ups(random: Random, plan: Plan) -> Plan:
    """Persona includes no user, and the look-ups of a first walk meet the fault."""
    plan = replace(plan, included="never", employees=400, history=max(plan.history, random.choice((40, 120))))
    fault = f"{random.choice(OF_LOOK_UPS)}:{random.choice((0.2, 0.5))}"
    at = random.choice((0.0, random.uniform(0, plan.duration)))
    plan = replace(plan, odd_ids=random.random() < 0.4)
    return plan.having(Happening(at, "faults", fault, a_while(random, plan)))


def _way(random: Random, plan: Plan) -> Plan:
    way: Route = random.choice(("localhost", "tls", "tls", "proxy", "proxy-password"))
    troubles: tuple[str, ...] = {"localhost": (), "tls": TLS_TROUBLES}.get(way, PROXY_TROUBLES)
    many = random.choice((0, 1, 2)) if troubles else 0
    # One after the other, since the end of one would be the end of all.
    width = plan.duration / max(many, 1)
    moments = [number * width + random.uniform(0, width / 2) for number in range(many)]
    found = [Happening(at, "way", random.choice(troubles), random.uniform(0.1, 0.4) * width) for at in moments]
    return replace(plan, way=way).having(*found)


def _broken_key(random: Random, plan: Plan) -> Plan:
    at = random.choice((0.0, random.uniform(0, plan.duration)))
    return plan.having(Happening(at, "key-broken", random.randrange(len(BROKEN_KEYS)), a_while(random, plan)))


def _start(random: Random, plan: Plan) -> Plan:
    """A date within the history or, now and then, within the world's own time."""
    ahead = random.choice((0.0, 0.0, 0.0, plan.duration / 2))
    ago = 0.0 if ahead else random.uniform(0, 1.2) * plan.history_days * 86400
    second = BEGINNING + plan.skew + random.uniform(0, ahead) - ago
    written = format_rfc3339(int(second * SECOND))
    return replace(plan, start=random.choice((written, written.replace("Z", "+00:00"))))


_DIMENSIONS: Mapping[str, tuple[float, Callable[[Random, Plan], Plan]]] = {
    "unplanned answers": (0.3, _unplanned_answers),
    "look-ups": (0.12, _look_ups),
    "way": (0.2, _way),
    "broken key": (0.08, _broken_key),
    "start": (0.08, _start),
}
"""Each with the share of worlds that it is drawn for."""
