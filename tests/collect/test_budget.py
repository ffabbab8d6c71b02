"""The rate budget: pure decisions over a time that the tests make up."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.collect.budget import LONGEST_WAIT, WINDOW, Budget, RateLimit


def rush(budget: Budget, start: float, end: float) -> list[float]:
    """Send whenever it is allowed from *start* until *end*; the times of sending."""
    now, sent = start, []
    while now < end:
        wait = budget.delay(now)
        if wait == 0:
            budget.spend(now)
            sent.append(now)
        else:
            assert wait >= 0.001
        now += wait
    return sent


def most_in_a_window(sent: list[float]) -> int:
    return max((sum(start <= other < start + WINDOW for other in sent) for start in sent), default=0)


def test_before_anything_is_learned_the_share_is_of_three_hundred() -> None:
    sent = rush(Budget(0.25, 30), 0, 600)
    assert most_in_a_window(sent) in {74, 75}
    assert len(sent) == pytest.approx(750, abs=15)


def test_a_learned_limit_replaces_it() -> None:
    budget = Budget(0.5, 30)
    budget.learn(RateLimit(1000, 1000, 60), 0)
    assert most_in_a_window(rush(budget, 0, 300)) in {499, 500}


def test_a_limit_learned_smaller_lets_the_window_run_out_first() -> None:
    budget = Budget(0.25, 30)
    assert len(rush(budget, 0, 1)) == 73  # and room is kept for two more polls
    budget.learn(RateLimit(40, 40, 60), 1)
    after = rush(budget, 1, 60)
    assert after == [30]  # the poll alone
    assert most_in_a_window(rush(budget, 121, 600)) in {9, 10}


def test_one_request_in_each_poll_interval_goes_through_whatever_the_share() -> None:
    budget = Budget(0.001, 30)
    assert rush(budget, 0, 300) == [0, 30, 60, 90, 120, 150, 180, 210, 240, 270]


def test_a_poll_is_on_time_during_a_catch_up_that_uses_all_else() -> None:
    budget = Budget(0.25, 30)
    sent = rush(budget, 0, 30)
    assert len(sent) == 73
    assert budget.delay(30) == 0


def test_a_poll_that_was_late_does_not_make_the_next_ones_late() -> None:
    budget = Budget(0.001, 30)
    late = [0, 33, 61, 95, 250, 270]
    for moment in late:
        assert budget.delay(moment) == 0
        budget.spend(moment)
    assert budget.delay(271) == 29


def test_low_remaining_leaves_the_polls_alone_until_the_reset() -> None:
    budget = Budget(0.25, 10)
    budget.learn(RateLimit(300, 44, 35), 0)  # 14.7 %
    assert rush(budget, 0, 35) == [0, 10, 20, 30]
    assert len(rush(budget, 35, 36)) > 10


def test_a_later_answer_with_enough_remaining_ends_the_slow_time() -> None:
    budget = Budget(0.25, 10)
    budget.learn(RateLimit(300, 1, 50), 0)
    budget.learn(RateLimit(300, 45, 50), 1)  # 15 %
    assert len(rush(budget, 1, 2)) > 10


def test_nothing_remaining_means_nothing_until_the_reset() -> None:
    budget = Budget(0.25, 10)
    budget.learn(RateLimit(300, 0, 35), 0)
    assert budget.delay(0) == 35
    assert rush(budget, 0, 36)[0] == 35


def test_low_remaining_without_a_reset_lasts_a_window() -> None:
    budget = Budget(0.25, 600)
    budget.spend(0)
    budget.learn(RateLimit(None, 3, None), 0)
    assert budget.delay(1) == WINDOW - 1
    assert budget.delay(WINDOW) == 0


@pytest.mark.parametrize(("asked", "wait"), [(42.0, 42.0), (None, WINDOW), (0.0, 1.0), (1.8e9, LONGEST_WAIT)])
def test_after_a_429_nothing_goes_until_it_says_so(asked: float | None, wait: float) -> None:
    budget = Budget(1, 1)
    budget.throttled(asked, 100)
    assert budget.delay(100) == wait
    assert rush(budget, 100, 100 + wait + 1)[0] == 100 + wait


def test_a_second_429_never_shortens_the_wait() -> None:
    budget = Budget(1, 1)
    budget.throttled(50, 0)
    budget.throttled(5, 1)
    assert budget.delay(1) == 49


def test_every_fifth_request_is_for_the_oldest_gap() -> None:
    budget = Budget(1, 1)
    turns = []
    for now in range(20):
        turns.append(budget.oldest_turn())
        budget.spend(now)
    assert turns == [False, False, False, False, True] * 4


def test_look_ups_in_between_do_not_starve_the_oldest_gap() -> None:
    """Four look-ups after each page would take every fifth turn, if turns were counted by the request's number."""
    budget = Budget(1, 1)
    turns = []
    for page in range(10):
        turns.append(budget.oldest_turn())
        for look_up in range(5):
            budget.spend(page + look_up / 10)
    assert turns == [False] + [True] * 9


def test_a_tiny_wait_is_never_asked_for() -> None:
    budget = Budget(0.001, 30)
    budget.spend(0.1)
    assert budget.delay(30.1 - 1e-9) == 0.001


@given(
    share=st.floats(0.001, 1),
    poll_interval=st.floats(1, 900),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["send", "send", "send", "learn", "throttled"]),
            st.floats(0, 20),
            st.integers(1, 30),
            st.integers(1, 400),
            st.none() | st.floats(0, 100),
        ),
        max_size=60,
    ),
)
def test_no_window_ever_holds_more_than_the_share_or_the_polls(
    share: float, poll_interval: float, steps: list[tuple[str, float, int, int, float | None]]
) -> None:
    """Whatever is learned when, and however greedily is sent."""
    budget = Budget(share, poll_interval)
    now, sent = 0.0, list[tuple[float, int]]()
    closed_until = 0.0
    for kind, wait, burst, number, reset in steps:
        now += wait
        if kind == "learn":
            budget.learn(RateLimit(number, burst * 10, reset), now)
        elif kind == "throttled":
            budget.throttled(reset, now)
            closed_until = max(closed_until, now + (WINDOW if reset is None else reset))
        else:
            for _ in range(burst):
                if budget.delay(now) == 0:
                    assert now >= closed_until
                    budget.spend(now)
                    sent.append((now, budget.limit))
    polls = math.ceil(WINDOW / poll_interval) + 1  # the intervals that a window can touch
    for start, _ in sent:
        inside = [limit for moment, limit in sent if start <= moment < start + WINDOW]
        assert len(inside) <= max(polls, math.floor(share * max(inside) + 1e-9))


def test_a_request_made_unasked_is_paid_back() -> None:
    """What the client library repeats by itself takes the place of a later request."""
    one, other = Budget(0.25, 30), Budget(0.25, 30)
    one.charge(0)
    assert len(rush(one, 0, 1)) == len(rush(other, 0, 1)) - 1
