"""The ledger's smaller decisions, one by one."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forwarder.clock import BEGINNING
from forwarder.journal import choose
from forwarder.journal.detours import look_below
from forwarder.journal.evidence import complete_above, is_older, list_end
from forwarder.journal.gaps import CursorRefused, Gap, Hole, Outcome, PageRead, PageUnreadable, Row, SourceState
from forwarder.journal.ledger import RETENTION, step
from forwarder.journal.polls import complete_until, next_poll
from forwarder.journal.rules import DAY

HOUR = DAY // 24
GAP = Gap(id=1, floor=BEGINNING, based=False, mark=0, sweep=True, started=True, opened=900)
SOURCE = SourceState(start=BEGINNING, head=1000)


def walk(gap: Gap, pages: int) -> Gap:
    """Let *gap* read so many pages of one record each."""
    for number in range(gap.pages, gap.pages + pages):
        page = PageRead([Row(f"ual_{number}", 1000 - number)], f"ual_{number}", 1000, 999)
        gap = step(SOURCE, gap, [], page, {}, BEGINNING).gap
    return gap


@settings(deadline=None)
@given(pages=st.integers(1, 300))
def test_the_cursors_to_go_back_to_are_few_and_reach_the_top(pages: int) -> None:
    """At most one for each doubling of the distance, the nearest a page away, the farthest the top of the list."""
    gap = walk(GAP, pages)
    assert gap.back[0] == (0, None)
    assert gap.back[-1][0] == pages - 1
    assert len(gap.back) <= pages.bit_length() + 1


def test_a_lost_cursor_goes_back_page_by_page_to_the_top() -> None:
    """Each refusal goes further back; at the top there is nothing to lose."""
    gap = walk(GAP, 50)
    cursors = []
    while gap.cursor is not None:
        gap = step(SOURCE, gap, [], CursorRefused(), {}, BEGINNING).gap
        cursors.append(gap.cursor)
    assert cursors[0] == "ual_48"
    assert len(cursors) <= 7
    assert step(SOURCE, gap, [], CursorRefused(), {}, BEGINNING).gap.cursor is None


def test_where_a_lost_cursor_leads_to_the_top_the_places_below_are_forgotten() -> None:
    """A newer gap that is merged into the walk has not been there: back leads to the top alone."""
    gap = replace(walk(GAP, 5), ceil=1000)
    top = PageRead([Row("ual_new", 1500), Row("ual_0", 1000)], "ual_0", 2000, 1999)
    led = step(SOURCE, gap, [], top, {}, BEGINNING).gap
    assert (led.cursor, led.back) == ("ual_0", ())
    assert step(SOURCE, led, [], CursorRefused(), {}, BEGINNING).gap.cursor is None


def test_an_answer_that_ignores_the_cursor_is_not_progress() -> None:
    """A page that holds the cursor's own record, or leads back to it, is taken for a lost cursor."""
    gap = walk(GAP, 3)
    page = PageRead([Row("ual_2", 998)], "ual_9", 1000, 999)
    assert step(SOURCE, gap, [], page, {}, BEGINNING).gap.cursor == "ual_1"


@pytest.mark.parametrize(("based", "believed"), [(False, 5), (True, 5)])
def test_an_empty_page_is_believed_only_when_it_stays_empty(based: bool, believed: int) -> None:
    """Each time the place is read down to again; a good page there clears the doubt."""
    gap = walk(Gap(id=1, floor=0, based=based, mark=0, sweep=False, started=True, opened=900), 2)
    empty = PageRead((), None, 1000, 999, empty=True)
    for _ in range(believed - 1):
        changes = step(SOURCE, gap, [], empty, {}, BEGINNING)
        assert changes.state == "open"
        gap = walk(changes.gap, 1)
        assert gap.cursor == "ual_1"
    assert step(SOURCE, gap, [], empty, {}, BEGINNING).state == "closed"


def test_an_empty_page_above_a_known_record_is_not_believed_as_soon() -> None:
    """Unless that record may have left the list, or its date is wrong: so not for ever."""
    gap = walk(Gap(id=1, floor=0, based=True, mark=0, sweep=False, started=True, opened=900), 2)
    empty = PageRead((), None, 1000, 999, empty=True, older=700)
    asked = 0
    while (changes := step(SOURCE, gap, [], empty, {}, BEGINNING)).state == "open":
        gap, asked = walk(changes.gap, 1), asked + 1
    assert asked == 19
    beyond = replace(empty, server_time=701 + RETENTION)
    doubtful = replace(walk(gap, 0), doubt=gap.cursor, doubts=4)
    assert step(SOURCE, doubtful, [], beyond, {}, BEGINNING).state == "closed"


def test_an_unreadable_record_is_stepped_over_by_an_older_known_id_and_reported() -> None:
    """With none, the gap stays where it is and nothing is claimed."""
    gap = walk(GAP, 2)
    over = step(SOURCE, gap, [], PageUnreadable(1000, Row("ual_old", 500)), {}, BEGINNING)
    assert over.gap.cursor == "ual_old"
    assert [(hole.kind, hole.since, hole.until) for hole in over.holes] == [("unreadable", 500, 999)]
    stays = step(SOURCE, gap, [], PageUnreadable(1000, None), {}, BEGINNING)
    assert (stays.gap, stays.holes) == (replace(gap, stuck=True), ())


def test_an_id_that_leads_back_up_is_not_tried_again_for_the_same_record() -> None:
    """Its date was wrong: the walk comes down to the unreadable record again, and looks below that date next time."""
    gap = walk(replace(GAP, based=True, mark=9), 2)
    over = step(SOURCE, gap, [], PageUnreadable(1000, Row("ual_above", 500)), {}, BEGINNING).gap
    assert look_below(over, 1000) == 500
    down = PageRead([Row("ual_0", 1000), Row("ual_1", 999)], "ual_1", 1000, 999)
    again = step(SOURCE, over, [], down, {"ual_0": 1, "ual_1": 2}, BEGINNING).gap
    assert again.cursor == gap.cursor
    assert look_below(again, 1000) == 500
    assert look_below(gap, 1000) == 999
    assert step(SOURCE, again, [], CursorRefused(), {}, BEGINNING).gap.over_at is None


def test_where_a_record_cannot_be_read_the_list_does_not_end() -> None:
    """The doubt that an empty answer raised at the same place is gone."""
    gap = walk(replace(GAP, based=True, mark=9), 2)
    doubtful = replace(gap, doubt=gap.cursor, doubts=4)
    found = step(SOURCE, doubtful, [], PageUnreadable(1000, None), {}, BEGINNING).gap
    assert (found.doubt, found.doubts) == (None, 0)


def test_a_sweep_that_is_stuck_keeps_no_other_from_being_opened_and_one_that_meets_it_has_swept() -> None:
    """Late records above are found meanwhile, and the look-back of the next sweep does not grow."""
    source = replace(SOURCE, swept=900, proven=900)
    sweep = replace(walk(replace(GAP, based=True, floor=800, mark=9), 2), opened=950)
    stuck = step(source, sweep, [], PageUnreadable(1000, None), {}, BEGINNING).gap
    rest = {"gap_id": 2, "mark": 9, "now": 1000, "lookback": 60, "sweep_interval": 15}
    beside = next_poll(source, [sweep], **rest)
    assert beside is not None
    assert not beside.sweep
    newer = next_poll(source, [stuck], **rest)
    assert newer is not None
    assert newer.sweep
    met = step(source, newer, [stuck], PageRead([Row("ual_0", 1000), Row("ual_1", 999)], "ual_1", 1000, 990), {}, 0)
    assert (met.state, met.source.swept) == ("merged", 990)
    read = PageRead([Row("ual_x", 998)], "ual_x", 1000, 990)
    assert not step(source, stuck, [], read, {}, BEGINNING).gap.stuck


def test_the_hole_reaches_down_to_where_the_known_id_really_lay() -> None:
    """It claimed to be of 500, and the page below it is of 300: what lies between was passed over as well."""
    gap = walk(replace(GAP, based=True, mark=9), 2)
    over = step(SOURCE, gap, [], PageUnreadable(1000, Row("ual_deep", 500)), {}, BEGINNING).gap
    below = step(SOURCE, over, [], PageRead([Row("ual_9", 300), Row("ual_8", 290)], "ual_8", 1000, 999), {}, BEGINNING)
    assert [(hole.kind, hole.since, hole.until) for hole in below.holes] == [("unreadable", 300, 500)]
    further = step(SOURCE, below.gap, [], PageRead([Row("ual_7", 200)], "ual_7", 1000, 999), {}, BEGINNING)
    assert further.holes == []


def test_a_log_that_was_empty_before_a_long_outage_may_have_lost_what_was_made_meanwhile() -> None:
    """What is older than the retention by now, and younger than the last walk, left the list unseen: say so."""
    state = SourceState(start=0, proven=DAY, swept=DAY, complete_from=0)
    gap = next_poll(state, [], gap_id=2, mark=0, now=300 * DAY, lookback=HOUR, sweep_interval=HOUR)
    assert gap is not None
    found = step(state, gap, [], PageRead([Row("ual_1", 299 * DAY)], None, 300 * DAY, 300 * DAY), {}, 0)
    assert found.holes == [Hole("lost", DAY - HOUR, 300 * DAY - RETENTION)], "some shows late"
    assert found.source.complete_from == 0
    soon = next_poll(state, [], gap_id=2, mark=0, now=100 * DAY, lookback=HOUR, sweep_interval=HOUR)
    assert soon is not None
    assert step(state, soon, [], PageRead([Row("ual_1", 99 * DAY)], None, 100 * DAY, 100 * DAY), {}, 0).holes == []


def test_a_list_that_ends_below_a_known_record_with_a_date_in_the_future_has_lost_nothing() -> None:
    """Whether its end is a null link or an empty page, asked for five times."""
    state = replace(SOURCE, proven=900, swept=900)
    gap = replace(walk(replace(GAP, based=True, mark=9, proven_then=900), 1), cursor_at=9_000, doubt="ual_0", doubts=4)
    empty = PageRead((), None, 1000, 990, empty=True)
    assert step(state, gap, [], empty, {"ual_0": 5}, BEGINNING).holes == ()
    contradicted = replace(gap, doubts=19)
    assert len(step(state, contradicted, [], replace(empty, older=5), {"ual_0": 10}, BEGINNING).holes) == 1


def test_a_young_log_that_is_all_newer_than_the_last_walk_has_lost_nothing() -> None:
    """Unless a record is known that is listed no more, or what was made since may have left the list already."""
    source = SourceState(start=0, head=1000, proven=999, swept=999, complete_from=1000)
    gap = replace(GAP, id=2, floor=939, based=True, mark=1, proven_then=999, hole_from=939)
    end = PageRead([Row("ual_1", 1000), Row("ual_0", 1000)], None, 1101, 1100)
    assert step(source, gap, [], end, {"ual_1": 1}, 0).holes == []
    assert step(source, gap, [], replace(end, older=500), {"ual_1": 1}, 0).holes == [Hole("lost", 939, 1000)]
    later = replace(end, server_time=1000 + RETENTION)
    assert step(source, gap, [], later, {"ual_1": 1}, 0).holes == [Hole("lost", 939, 1000)]


def test_a_young_log_that_ends_with_what_is_older_than_the_start_has_lost_nothing() -> None:
    """What was not to be collected is not known, and yet no sign of a loss."""
    state = SourceState(start=900, head=1000, proven=900, swept=900, complete_from=900)
    gap = replace(GAP, id=2, floor=900, based=True, sweep=False, proven_then=900)
    page = PageRead([Row("ual_3", 960), Row("ual_2", 950), Row("ual_0", 100)], None, 1000, 1000)
    assert step(state, gap, [], page, {}, BEGINNING).holes == []


@pytest.mark.parametrize("ends_empty", [False, True])
@pytest.mark.parametrize("before", [(), (Row("ual_3", 299 * DAY), Row("ual_2", 298 * DAY), Row("ual_1", 297 * DAY))])
def test_a_wrong_date_hides_no_loss_after_an_outage_longer_than_the_retention(
    before: tuple[Row, ...], *, ends_empty: bool
) -> None:
    """The last record claims to be older than the start: were it so, it would have left the list before all others."""
    state = SourceState(start=DAY, head=2 * DAY, proven=2 * DAY, swept=2 * DAY, complete_from=DAY)
    gap = next_poll(state, [], gap_id=2, mark=5, now=300 * DAY, lookback=HOUR, sweep_interval=HOUR)
    assert gap is not None
    rows = (*before, Row("ual_0", 0))
    now = 300 * DAY
    found = step(state, gap, [], PageRead(rows, "ual_0" if ends_empty else None, now, now), {}, 0)
    for _ in range(5 if ends_empty else 0):
        assert found.holes == []
        found = step(found.source, found.gap, [], PageRead((), None, now, now, empty=True), {}, 0)
        if found.state == "open":
            found = step(found.source, found.gap, [], PageRead(rows, "ual_0", now, now), {}, 0)
    assert found.state == "closed"
    until = 298 * DAY if before and not ends_empty else now - RETENTION
    assert found.holes == [Hole("lost", 2 * DAY - HOUR, until)]


def test_a_first_walk_whose_first_page_has_no_date_takes_its_head_from_a_later_one() -> None:
    """Or each poll would be a first walk, down to the end. What is dated later than the walk's beginning is wrong."""
    source, gap = SourceState(), Gap(id=1, floor=None, based=False, mark=0, sweep=True)
    pages = ([Row("ual_9", None), Row("ual_8", 99_999)], [Row("ual_7", 1001), Row("ual_6", 990), Row("ual_5", 980)])
    heads = []
    for rows in pages:
        changes = step(source, gap, [], PageRead(rows, rows[-1].id, 1002, 1000), {}, BEGINNING)
        source, gap = changes.source, changes.gap
        heads.append(source.head)
    assert heads == [None, 990]
    poll = next_poll(source, [gap], gap_id=2, mark=5, now=1010, lookback=60, sweep_interval=600)
    assert poll is not None
    assert (poll.based, poll.floor, poll.sweep) == (True, 990, False)


def test_a_young_log_that_was_empty_before_has_lost_nothing() -> None:
    """A second walk is opened while the first one that finds records is under way, and comes to the list's end, too."""
    state = SourceState(start=0, head=1000, proven=900, swept=900, complete_from=0)
    second = next_poll(state, [GAP], gap_id=2, mark=2, now=1000, lookback=60, sweep_interval=600)
    assert second is not None
    end = PageRead([Row("ual_2", 990), Row("ual_1", 980), Row("ual_0", 970)], None, 1000, 1000)
    assert step(state, second, [], end, {}, 0).holes == []


def test_a_gap_merges_into_an_older_one_where_it_meets_its_cursor() -> None:
    """The older one then goes as deep as the newer one would have."""
    older = Gap(id=1, floor=500, based=True, mark=0, sweep=False, started=True, cursor="ual_5", cursor_at=700)
    newer = Gap(id=2, floor=300, based=True, mark=9, sweep=True, started=True, opened=900)
    page = PageRead([Row("ual_6", 710), Row("ual_5", 700), Row("ual_4", 690)], "ual_4", 1000, 999)
    changes = step(SOURCE, newer, [older], page, {}, BEGINNING)
    assert changes.state == "merged"
    assert changes.merged_into is not None
    assert (changes.merged_into.id, changes.merged_into.floor, changes.merged_into.cursor) == (1, 300, "ual_5")


def test_what_an_older_gap_has_counted_below_its_floor_does_not_count_for_a_lower_one() -> None:
    """Nine records between the floors, and one with a wrong date: no proof that the lower one was reached."""
    older = replace(GAP, floor=500, based=True, started=True, cursor="ual_5", cursor_at=400, low_run=9)
    page = PageRead([Row("ual_6", 710), Row("ual_5", 700), Row("ual_4", 690)], "ual_4", 1000, 999)
    for floor, counted in ((300, 0), (500, 9), (600, 9)):
        newer = Gap(id=2, floor=floor, based=True, mark=9, sweep=True, started=True, opened=900)
        merged = step(SOURCE, newer, [older], page, {}, BEGINNING).merged_into
        assert merged is not None
        assert merged.low_run == counted


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(PageRead([], "ual_5", 1000, 990), id="its page's only record has no id"),
        pytest.param(PageRead([Row("ual_6", 710)], "ual_5", 1000, 990), id="its page's last record has no id"),
        pytest.param(PageUnreadable(1000, Row("ual_5", 700)), id="a known id led past an unreadable record"),
    ],
)
def test_a_gap_that_comes_to_stand_where_an_older_one_does_is_one_with_it(answer: Outcome) -> None:
    """Were it to stay, one more would come to stand there at each poll for as long as none gets any further."""
    older = replace(GAP, floor=500, based=True, started=True, cursor="ual_5", cursor_at=700, stuck=True)
    newer = replace(GAP, id=2, floor=300, based=True, mark=9, started=True, opened=990, cursor="ual_7", cursor_at=720)
    changes = step(SOURCE, newer, [older], answer, {"ual_6": 3}, BEGINNING)
    assert changes.state == "merged"
    assert changes.merged_into == replace(older, floor=300)


def test_gaps_that_are_back_at_the_top_are_one() -> None:
    """Whether it cannot be read any more, or is empty and not believed yet. One that never began is not there."""
    older = replace(GAP, based=True, started=True, opened=900)
    newer = replace(GAP, id=2, based=True, sweep=True, started=True, opened=990)
    empty = PageRead((), None, 1000, 990, empty=True, older=999)
    for answer in (PageUnreadable(1000, None), CursorRefused(), empty):
        changes = step(SOURCE, newer, [older], answer, {}, BEGINNING)
        assert (changes.state, changes.merged_into, changes.source.swept) == ("merged", older, 990)
    unbegun = replace(older, started=False)
    assert step(SOURCE, newer, [unbegun], empty, {}, BEGINNING).state == "open"
    first = replace(newer, started=False)
    assert step(SOURCE, first, [older], PageUnreadable(1000, None), {}, BEGINNING).state == "open"
    assert step(SOURCE, older, [newer], empty, {}, BEGINNING).state == "open"


def test_gaps_that_are_back_at_the_top_of_a_list_that_was_emptied_have_lost_what_neither_had_read() -> None:
    """The older one had read from 500 down to 300, the newer one from 900 to 700: between 700 and 500 nobody did."""
    older = replace(GAP, based=True, started=True, ceil=500, cursor_at=300, proven_then=200, doubt="", doubts=4)
    newer = replace(GAP, id=2, based=True, started=True, opened=990, cursor="ual_7", cursor_at=700, proven_then=510)
    joined = step(SOURCE, newer, [older], CursorRefused(), {}, BEGINNING).merged_into
    assert joined is not None
    empty = PageRead((), None, RETENTION + 900, RETENTION + 890, empty=True)
    assert step(SOURCE, joined, [], empty, {}, BEGINNING).holes == [Hole("lost", 200, 700)]
    unread = replace(newer, cursor=None, cursor_at=None)
    joined = step(SOURCE, unread, [older], empty, {}, BEGINNING).merged_into
    assert joined is not None
    assert joined.cursor_at is None


def test_a_gap_that_lands_at_an_older_one_tells_the_hole_down_to_where_that_one_stands() -> None:
    """The id that led there claims to be of 700; the older gap has read around it, and knows better."""
    older = replace(GAP, based=True, started=True, cursor="ual_5", cursor_at=400)
    newer = replace(GAP, id=2, based=True, mark=9, started=True, opened=990, cursor="ual_7", cursor_at=720)
    changes = step(SOURCE, newer, [older], PageUnreadable(1000, Row("ual_5", 700)), {}, BEGINNING)
    assert changes.holes == [Hole("unreadable", 700, 720), Hole("unreadable", 400, 700)]


def test_no_poll_is_opened_while_one_waits_for_its_first_page() -> None:
    """Otherwise an outage would pile gaps up."""
    waiting = Gap(id=1, floor=0, based=True, mark=0, sweep=False)
    rest = {"gap_id": 2, "mark": 0, "now": 2000, "lookback": 60, "sweep_interval": 15}
    assert next_poll(SOURCE, [waiting], **rest) is None
    assert next_poll(SOURCE, [GAP], **rest) is not None


def test_a_sweep_reaches_back_from_the_last_one_not_from_now() -> None:
    """However long we were down, what became visible late meanwhile is found."""
    source = SourceState(start=0, head=1000, proven=1000, swept=900)
    gap = next_poll(source, [], gap_id=2, mark=0, now=5000, lookback=60, sweep_interval=15)
    assert gap is not None
    assert (gap.sweep, gap.floor) == (True, 840)


def test_sweeps_do_not_wait_for_the_first_walk() -> None:
    """It may take hours, or stand at a record that cannot be read; late records are looked for meanwhile."""
    rest = {"gap_id": 2, "mark": 0, "lookback": 60, "sweep_interval": 15}
    early = next_poll(SOURCE, [GAP], now=910, **rest)
    assert early is not None
    assert (early.sweep, early.floor) == (False, 1000)
    due = next_poll(SOURCE, [GAP], now=915, **rest)
    assert due is not None
    assert (due.sweep, due.floor) == (True, 840)
    under_way = Gap(id=2, floor=840, based=True, mark=0, sweep=True, started=True, opened=915)
    one_at_a_time = next_poll(SOURCE, [GAP, under_way], now=990, **rest)
    assert one_at_a_time is not None
    assert not one_at_a_time.sweep


def test_the_newest_gap_comes_first_and_the_oldest_in_its_turn() -> None:
    """Fresh events never wait behind a long history, and it cannot starve."""
    gaps = [Gap(id=number, floor=0, based=True, mark=0, sweep=False) for number in (1, 2, 3)]
    newest, oldest = choose(gaps, oldest=False), choose(gaps, oldest=True)
    assert newest is not None
    assert oldest is not None
    assert (newest.id, oldest.id) == (3, 1)
    assert choose([], oldest=True) is None


def test_an_undated_record_is_older_than_the_start_only_if_those_above_it_are() -> None:
    """One of them may bear a wrong date, so one that contradicts is enough, and a single one proves nothing."""
    rows = [Row("a", 100), Row("b", -5), Row("c", None), Row("d", 98)]
    assert not is_older(rows, 2, -5, 100)
    assert is_older(rows, 2, -5, 101)
    assert not is_older(rows, 2, 101, 101), "the record on the page before contradicts"
    assert is_older(rows, 1, 101, 50), "a date of its own decides alone"
    assert is_older([Row("b", -5), Row("c", None)], 1, 40, 50)
    border = [Row("b", None), Row("c", 30), Row("d", 20), Row("e", 10)]
    assert not is_older(border, 0, 40, 50), "a single one above is no proof, however many are below"


def test_a_few_wrong_dates_do_not_say_where_the_list_ends() -> None:
    """What may be lost is judged by the second lowest of the last ten, what is claimed complete by their median."""
    rows = [Row(str(at), at) for at in (9, 8, 7, 6, -100)]
    assert (list_end(rows, None), complete_above(rows, None)) == (6, 7)
    assert (list_end([Row("a", 1000)], 50), complete_above([Row("a", 1000)], 50)) == (50, 50)
    assert (list_end([Row("a", None)], None), complete_above([Row("a", None)], None)) == (None, None)


def test_completeness_is_claimed_only_as_far_as_every_open_gap_knew_it() -> None:
    """While the first walk is under way nothing is; then what was read before the oldest open gap was opened."""
    state = SourceState(start=0, head=100, proven=90)
    assert complete_until(state, []) == 90
    assert complete_until(state, [GAP]) is None
    poll = Gap(id=2, floor=60, based=True, mark=0, sweep=False, started=True, proven_then=70)
    assert complete_until(state, [poll]) == 70
    assert complete_until(SourceState(start=0, head=100), [poll]) is None


def test_a_sweep_under_way_takes_back_no_claim() -> None:
    """Its floor is far below what polls have read since: the look-back is read again, not for the first time."""
    state = SourceState(start=0, head=100, proven=90)
    sweep = Gap(id=2, floor=10, based=True, mark=0, sweep=True, started=True, proven_then=90)
    assert complete_until(state, [sweep]) == 90
    assert complete_until(state, [replace(sweep, started=False, proven_then=50)]) == 90, "nothing is on its way yet"
