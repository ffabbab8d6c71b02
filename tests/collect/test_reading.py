"""How much is asked for at once, and when a record is passed over."""

from forwarder.collect.reading import STUCK_SECONDS, UNREADABLE_BELIEVED, Reading
from forwarder.journal import Gap

GAP = Gap(id=1, floor=None, based=True, mark=0, sweep=False)


def test_a_page_that_cannot_be_read_is_asked_for_smaller_down_to_one_record_and_grows_again() -> None:
    reading, sizes = Reading(50), []
    while reading.shrink():
        sizes.append(reading.page_size)
    assert sizes == [12, 3, 1]
    for _ in range(7):
        reading.went_well("ual_1")
        sizes.append(reading.page_size)
    assert sizes[3:] == [2, 4, 8, 16, 32, 50, 50]


def test_a_single_record_has_to_fail_more_than_once_and_in_a_row() -> None:
    """Each record by itself; one that could be read meanwhile begins anew."""
    reading = Reading(1)
    assert [reading.is_unreadable("ual_1") for _ in range(UNREADABLE_BELIEVED)] == [False, False, True]
    assert not reading.is_unreadable(None)
    reading.went_well("ual_1")
    assert not reading.is_unreadable("ual_1")


def test_a_gap_that_nothing_leads_past_rests_and_then_is_tried_again() -> None:
    reading, other = Reading(1), Gap(id=2, floor=None, based=True, mark=0, sweep=False)
    reading.rest(GAP, now=100.0)
    assert reading.ready([GAP, other], 100.0 + STUCK_SECONDS - 1) == [other]
    assert reading.ready([GAP, other], 100.0 + STUCK_SECONDS) == [GAP, other]
