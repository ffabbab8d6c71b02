"""A failing world made smaller: fewer happenings, as long as it still breaks the same kind of promise."""

import re

from tests.simulation.plan import Plan
from tests.simulation.playing import play_apart

MOST_TRIES = 120


def shrink(plan: Plan) -> str:
    """Leave out what is not needed to fail, and say how to replay the rest."""
    kinds = _kinds(plan)
    gone: list[int] = []
    tries = 0
    size = max(1, len(plan.happenings) // 2)
    while size and tries < MOST_TRIES:
        left = [number for number in range(len(plan.happenings)) if number not in gone]
        for first in range(0, len(left), size):
            candidate = sorted({*gone, *left[first : first + size]})
            tries += 1
            if _kinds(plan.without(candidate)) & kinds:
                gone = candidate
            if tries >= MOST_TRIES:
                break
        size //= 2
    happenings = [f"  {one}" for number, one in enumerate(plan.happenings) if number not in gone]
    words = f"python -m tests.simulation --replay {plan.seed}"
    if gone:
        words += f" --without {','.join(map(str, gone))}"
    return "\n".join([*happenings, words])


def _kinds(plan: Plan) -> set[str]:
    """What is wrong, without the names and numbers in it."""
    return {_kind(violation) for verdict in play_apart([plan], jobs=1) for violation in verdict.violations}


def _kind(violation: str) -> str:
    return re.sub(r"ual_\w+|[\d.:TZ-]+", "#", violation)[:60]
