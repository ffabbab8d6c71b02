"""What a failing world is cut down to, and the command that replays it."""

import pytest

from tests.simulation.drawing import draw
from tests.simulation.plan import Plan
from tests.simulation.playing import Verdict
from tests.simulation.shrink import read_cut, shrink

SEED = next(seed for seed in range(1000) if draw(seed).history > 40 and len(draw(seed).happenings) > 12)
CULPRIT = draw(SEED).happenings[7]


def judge(plan: Plan) -> Verdict:
    """Something is lost where a culprit meets a history of seven records; without either, something else is wrong."""
    loses = CULPRIT in plan.happenings and plan.history >= 7
    return Verdict(plan.seed, ["one never got ual_abc, made at 12.5" if loses else "the key was sent elsewhere"])


def test_only_what_is_needed_to_fail_alike_is_left() -> None:
    cut = shrink(SEED, judge=judge)
    assert cut.plan().happenings == (CULPRIT,)
    assert cut.plan().history == 7
    assert cut.plan().skew == 0.0


def test_the_command_replays_what_is_left() -> None:
    cut = shrink(SEED, judge=judge)
    words = cut.command().split()
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert int(options["--replay"]) == SEED
    assert read_cut(SEED, options["--with"], options["--without"]) == cut


@pytest.mark.parametrize("words", ["histroy=7", "history=8", "history"])
def test_what_cannot_be_made_simpler_is_refused_with_what_can(words: str) -> None:
    with pytest.raises(ValueError, match=r"is none of history=0\|1\|7"):
        read_cut(SEED, words, "")
