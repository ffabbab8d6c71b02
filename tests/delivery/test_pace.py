"""The pace halves when a destination groans and finds its way back while it does not."""

from hypothesis import given
from hypothesis import strategies as st

from forwarder.delivery.pace import Pace


def test_it_begins_at_the_limit_of_the_sink() -> None:
    assert Pace(16).limit == 16
    assert Pace(1).limit == 1


def test_it_halves_once_for_what_was_on_its_way_together() -> None:
    """Sixteen batches that were sent before the first of them met a full queue all meet it."""
    pace = Pace(16)
    for left in reversed(range(16)):
        pace.answered(strained=True, in_flight=left)
    assert pace.limit == 8
    pace.answered(strained=True, in_flight=7)
    assert pace.limit == 4


def test_it_never_stops_sending() -> None:
    pace = Pace(4)
    for _ in range(20):
        pace.answered(strained=True, in_flight=0)
    assert pace.limit == 1


def test_it_grows_by_one_batch_a_window() -> None:
    pace = Pace(8)
    pace.answered(strained=True, in_flight=0)
    assert pace.limit == 4
    for expected in (5, 6, 7, 8):
        for _ in range(expected):
            pace.answered(strained=False, in_flight=0)
        assert pace.limit == expected


def test_a_good_answer_to_what_was_on_its_way_does_not_hide_a_bad_one_after_it() -> None:
    pace = Pace(8)
    pace.answered(strained=True, in_flight=1)
    pace.answered(strained=False, in_flight=0)
    pace.answered(strained=True, in_flight=0)
    assert pace.limit == 2


@given(st.integers(1, 64), st.lists(st.tuples(st.booleans(), st.integers(0, 64))))
def test_it_stays_between_one_and_the_limit(most: int, answers: list[tuple[bool, int]]) -> None:
    pace = Pace(most)
    for strained, in_flight in answers:
        pace.answered(strained=strained, in_flight=in_flight)
        assert 1 <= pace.limit <= most
