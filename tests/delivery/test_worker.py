"""The worker under simulated time: what a destination may do, and that nothing is lost by it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import structlog

from forwarder.delivery.account import READ_EVENTS
from forwarder.errors import Failure, Misconfigured, Refused, Retryable
from forwarder.sinks.base import Item, Position, SinkSettings
from tests.delivery.conftest import Rig
from tests.delivery.scripted_sink import ScriptedSink

pytestmark = pytest.mark.looptime


class Scripted:
    """A script that answers with each of *answers* in turn, and takes everything after that."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def __call__(self, batch: Sequence[Item]) -> Any:
        return self.answers.pop(0) if self.answers else None


async def test_everything_released_is_delivered_in_order_and_the_cursor_follows(rig: Rig) -> None:
    sink = ScriptedSink()
    rig.journal.release(25)
    worker = rig.start(sink)
    await rig.until_at(25)
    assert sink.taken == list(range(1, 26))
    assert [len(send) for send in sink.sends] == [10, 10, 5]
    assert worker.health.state == "ready"
    assert rig.value("events_delivered_total") == 25
    await rig.halt()
    assert not sink.is_open
    assert worker.health.state == "stopped"
    assert rig.value("sink_state", state="stopped") == 1
    assert rig.value("sink_state", state="ready") == 0


async def test_what_is_released_later_wakes_the_worker_at_once(rig: Rig) -> None:
    """And an idle worker hardly looks."""
    sink = ScriptedSink()
    rig.start(sink)
    await asyncio.sleep(600)
    assert rig.journal.reads <= 12
    rig.journal.release(1)
    await rig.until_at(1, seconds=0.1)
    assert rig.journal.commits == [("scripted", 1)]


async def test_a_sink_goes_on_where_its_cursor_stands(rig: Rig) -> None:
    rig.journal.release(8)
    rig.journal.cursors["scripted"] = 5
    sink = ScriptedSink()
    rig.start(sink)
    await rig.until_at(8)
    assert sink.taken == [6, 7, 8]


async def test_batches_fill_up_over_several_reads(rig: Rig) -> None:
    """A read is bounded for the loop's sake; a batch is not cut there."""
    sink = ScriptedSink(settings=SinkSettings(batch_max_events=2 * READ_EVENTS))
    rig.journal.release(2 * READ_EVENTS + 1)
    rig.start(sink)
    await rig.until_at(2 * READ_EVENTS + 1)
    assert [len(send) for send in sink.sends] == [2 * READ_EVENTS, 1]


async def test_what_the_filters_leave_out_moves_the_cursor_too(rig: Rig) -> None:
    sink = ScriptedSink(settings=SinkSettings(exclude=["GET /quiet/*"]))
    rig.journal.release(3, path="/quiet/x")
    rig.journal.release(2, path="/loud")
    rig.journal.release(4, path="/quiet/x")
    rig.start(sink)
    await rig.until_at(9)
    assert sink.taken == [4, 5]
    assert rig.value("events_filtered_total") == 7
    assert rig.value("events_delivered_total") == 2


async def test_an_event_that_cannot_be_read_is_a_dead_letter_and_its_neighbours_go_on(rig: Rig) -> None:
    rig.journal.release(3)
    broken = rig.journal.events[1]
    rig.journal.events[1] = type(broken)(2, "persona", "ual_2", 0, 0, 0, None, None, b"{not json", b"{}")
    sink = ScriptedSink()
    rig.start(sink)
    await rig.until_at(3)
    assert sink.taken == [1, 3]
    (letter,) = rig.journal.dead["scripted"]
    assert (letter.seq, letter.id, letter.body, letter.user) == (2, "ual_2", b"{not json", b"{}")
    assert letter.reason == "it cannot be written as json: JSONDecodeError"
    assert rig.value("events_dead_lettered_total") == 1


async def test_an_accepted_prefix_is_not_sent_again(rig: Rig) -> None:
    sink = ScriptedSink(Scripted(Retryable("busy", accepted=4, kind="busy")))
    rig.journal.release(10)
    rig.start(sink)
    await rig.until_at(10)
    assert sink.taken == list(range(1, 11))
    assert sink.sends == [list(range(1, 11)), list(range(5, 11))]
    assert ("scripted", 4) in rig.journal.commits
    assert rig.value("sink_retries_total", reason="busy") == 1
    assert rig.value("sink_possible_duplicates_total", reason="busy") == 0


async def test_the_pause_that_the_destination_asks_for_is_kept(rig: Rig) -> None:
    sink = ScriptedSink(Scripted(Retryable("busy", retry_after=120)))
    rig.journal.release(1)
    rig.start(sink)
    began = asyncio.get_running_loop().time()
    await rig.until_at(1)
    assert 120 <= asyncio.get_running_loop().time() - began < 125


async def test_the_sink_is_closed_and_opened_again_after_every_failure(rig: Rig) -> None:
    sink = ScriptedSink(Scripted(Retryable("a"), Misconfigured("b"), Refused("c", at=0)))
    rig.journal.release(3)
    rig.start(sink)
    await rig.until_at(3)
    assert sink.opens == 4
    assert sink.taken == [2, 3]


async def test_an_unanswered_send_is_counted_by_the_events_that_are_sent_again(rig: Rig) -> None:
    sink = ScriptedSink(Scripted(Retryable("reset", accepted=3, unanswered=True, kind="connection")))
    rig.journal.release(10)
    rig.start(sink)
    await rig.until_at(10)
    assert rig.value("sink_possible_duplicates_total", reason="connection") == 7


async def test_a_send_that_takes_too_long_is_an_unanswered_one(rig: Rig) -> None:
    sink = ScriptedSink(Scripted(1e6), settings=SinkSettings(timeout=30))
    rig.journal.release(2)
    worker = rig.start(sink)
    await rig.until(lambda: worker.health.state == "retrying", seconds=31)
    assert worker.health.reason is not None
    assert "30 s" in worker.health.reason
    await rig.until_at(2)
    assert rig.value("sink_possible_duplicates_total", reason="timeout") == 2
    assert sink.running == 0


async def test_an_opening_that_takes_too_long_is_tried_again(rig: Rig) -> None:
    opening = Scripted(1e6)
    sink = ScriptedSink(opening=lambda: opening(()), settings=SinkSettings(timeout=10))
    rig.journal.release(1)
    rig.start(sink)
    await rig.until_at(1)
    assert sink.opens == 2


async def test_an_event_that_the_destination_names_becomes_a_dead_letter(rig: Rig) -> None:
    sink = ScriptedSink(Scripted(Refused("no such field", at=2)))
    rig.journal.release(5)
    rig.start(sink)
    await rig.until_at(5, seconds=1)
    assert sink.taken == [1, 2, 4, 5]
    assert [(one.seq, one.reason) for one in rig.journal.dead["scripted"]] == [(3, "no such field")]


async def test_a_refusal_that_names_no_event_is_bisected(rig: Rig) -> None:
    """All good ones arrive, in order; the bad ones are singled out, without a pause."""
    bad = {3, 77, 78}

    def script(batch: Sequence[Item]) -> Failure | None:
        return Refused("something in here") if bad & {item.seq for item in batch} else None

    sink = ScriptedSink(script, settings=SinkSettings(batch_max_events=100))
    rig.journal.release(100)
    rig.start(sink)
    await rig.until_at(100, seconds=1)
    assert sink.taken == [seq for seq in range(1, 101) if seq not in bad]
    assert {one.seq for one in rig.journal.dead["scripted"]} == bad
    assert len(sink.sends) <= 1 + 2 * 3 * 7


async def test_a_wrong_setting_is_probed_slowly_said_once_and_healed(rig: Rig) -> None:
    """The log has one line when it starts and one when it ends, whatever the number of probes."""
    sink = ScriptedSink(lambda batch: Misconfigured("token refused: renew it"))
    rig.journal.release(3)
    with structlog.testing.capture_logs() as lines:
        worker = rig.start(sink)
        await asyncio.sleep(1800)
        assert worker.health.state == "misconfigured"
        assert worker.health.reason == "token refused: renew it"
        assert worker.health.failing_since is not None
        assert 30 <= sink.opens <= 70
        sink.script = lambda batch: None
        await rig.until_at(3, seconds=61)
    names = [line["event"] for line in lines if line["log_level"] != "debug"]
    assert names == ["sink.opened", "sink.misconfigured", "sink.healed"]
    assert vars(worker.health) | {"state": "ready", "reason": None, "failing_since": None} == vars(worker.health)
    assert rig.journal.dead["scripted"] == []


async def test_an_opening_that_fails_heals_without_anything_to_send(rig: Rig) -> None:
    """Readiness must not wait for the next event."""
    opening = Scripted(Misconfigured("no directory"), Retryable("refused"))
    worker = rig.start(ScriptedSink(opening=lambda: opening(())))
    await rig.until(lambda: worker.health.state == "misconfigured")
    await rig.until(lambda: worker.health.state == "retrying")
    await rig.until(lambda: worker.health.state == "ready")
    assert worker.health.reason is None


async def test_an_outage_is_logged_at_its_start_rarely_and_at_its_end(rig: Rig) -> None:
    sink = ScriptedSink(lambda batch: Retryable("connection refused", kind="connection"))
    rig.journal.release(1)
    with structlog.testing.capture_logs() as lines:
        rig.start(sink)
        await asyncio.sleep(3600)
        sink.script = lambda batch: None
        await rig.until_at(1)
    names = [line["event"] for line in lines if line["log_level"] != "debug"]
    assert names[:2] == ["sink.opened", "sink.batch_retried"]
    assert names[-1] == "sink.healed"
    assert len(names) <= 2 + 13 + 1
    assert len(sink.sends) > 50, "an outage is probed at least every minute"


async def test_a_fault_of_the_sink_is_told_with_its_traceback_and_tried_again(rig: Rig) -> None:
    """Its own text stays out of the reason: who knows what it holds."""
    sink = ScriptedSink(Scripted(KeyError("hunter2"), asyncio.CancelledError(), Retryable("x", accepted=99)))
    rig.journal.release(2)
    with structlog.testing.capture_logs() as lines:
        worker = rig.start(sink)
        await rig.until(lambda: worker.health.state == "retrying")
        assert worker.health.reason == "the sink itself failed: KeyError"
        await rig.until_at(2)
    faults = [line for line in lines if line["event"] == "sink.faulty"]
    assert [type(line["exc_info"]).__name__ for line in faults] == ["KeyError", "CancelledError", "ValueError"]
    assert sink.taken[-2:] == [1, 2]
    assert rig.value("sink_possible_duplicates_total", reason="fault") == 6


async def test_several_batches_are_on_their_way_up_to_the_sinks_limit(rig: Rig) -> None:
    sink = ScriptedSink(lambda batch: 1.0, width=4)
    rig.journal.release(100)
    rig.start(sink)
    began = asyncio.get_running_loop().time()
    await rig.until_at(100)
    assert sink.most_running == 4
    assert asyncio.get_running_loop().time() - began < 3.5
    assert sorted(sink.taken) == list(range(1, 101))


async def test_a_destination_that_groans_gets_fewer_batches_at_once_and_more_again_later(rig: Rig) -> None:
    """It took what it was sent, so nothing is sent again; only the pace changes."""
    sink = ScriptedSink(lambda batch: 1.0, width=8)
    sink.groans = True
    rig.journal.release(300)
    rig.start(sink)
    await rig.until(lambda: len(sink.taken) > 150)
    assert sink.running <= 2
    sink.groans = False
    rig.journal.release(1000)
    await rig.until(lambda: sink.running == 8)
    await rig.until_at(1300)
    assert sorted(sink.taken) == list(range(1, 1301))


async def test_a_busy_destination_gets_fewer_batches_at_once_after_the_pause(rig: Rig) -> None:
    busy = True

    def script(batch: Sequence[Item]) -> Any:
        return Retryable("busy", kind="busy") if busy else 1.0

    sink = ScriptedSink(script, width=8)
    rig.journal.release(600)
    worker = rig.start(sink)
    await rig.until(lambda: worker.health.state == "retrying")
    busy = False
    await rig.until(lambda: worker.health.state == "ready")
    widest = 0
    while len(sink.taken) < 60:
        await asyncio.sleep(0.1)
        widest = max(widest, sink.running)
    assert 2 <= widest <= 6, "it begins at half of what was too much, and grows slowly"
    await rig.until_at(600)
    assert sorted(sink.taken) == list(range(1, 601))


async def test_a_send_may_take_as_long_as_the_sink_says(rig: Rig) -> None:
    """A destination that proves late is waited for longer than one request may take."""

    class Patient(ScriptedSink):
        longest_send = 500.0

    sink = Patient(lambda batch: 400.0, settings=SinkSettings(timeout=30, batch_max_events=10))
    rig.journal.release(10)
    rig.start(sink)
    await rig.until_at(10)
    assert sink.sends == [list(range(1, 11))]


async def test_what_ought_to_be_otherwise_is_said_once_however_often_it_is_opened(rig: Rig) -> None:
    sink = ScriptedSink(Scripted(Retryable("away"), Retryable("away")))
    sink.unsafe = ("names are not verified",)
    rig.journal.release(10)
    with structlog.testing.capture_logs() as lines:
        rig.start(sink)
        await rig.until_at(10)
    assert sink.opens == 3
    said = [line for line in lines if line["event"] == "sink.warning"]
    assert [(line["log_level"], line["reason"]) for line in said] == [("warning", "names are not verified")]


async def test_the_cursor_waits_for_the_slowest_and_what_came_after_is_not_sent_again(rig: Rig) -> None:
    """No more batches than the limit are ever beyond the cursor, so a crash repeats no more."""
    first = Scripted(Retryable("busy"))

    def script(batch: Sequence[Item]) -> Any:
        return first(batch) if batch[0].seq == 1 else None

    sink = ScriptedSink(script, width=3)
    rig.journal.release(60)
    worker = rig.start(sink)
    await rig.until(lambda: worker.health.state == "retrying")
    assert rig.journal.cursors["scripted"] == 0
    assert len(sink.taken) <= 2 * 10
    await rig.until_at(60)
    assert sorted(sink.taken) == list(range(1, 61))


async def test_a_full_disk_holds_the_cursor_and_loses_nothing(rig: Rig) -> None:
    def script(batch: Sequence[Item]) -> None:
        rig.journal.full = True

    sink = ScriptedSink(script)
    rig.journal.release(20)
    rig.journal.full = True
    with structlog.testing.capture_logs() as lines:
        rig.start(sink)
        await asyncio.sleep(60)
        rig.journal.full = False
        await asyncio.sleep(600)
        assert len(sink.taken) == 10, "nothing is sent beyond a cursor that cannot be written"
        sink.script = lambda batch: None
        rig.journal.full = False
        await rig.until_at(20)
    assert sink.taken == list(range(1, 21))
    assert [line["event"] for line in lines].count("sink.journal_waits") == 2


async def test_a_disk_that_cannot_be_read_for_a_while_repeats_nothing(rig: Rig) -> None:
    """What is on its way meanwhile is answered, and noted once the disk is well."""
    sink = ScriptedSink(lambda batch: 20.0)
    rig.journal.release(20)
    rig.start(sink)
    await rig.until(lambda: sink.running == 1)
    rig.journal.unreadable = True
    rig.journal.release(10)
    await asyncio.sleep(60)
    rig.journal.unreadable = False
    await rig.until_at(30)
    assert sink.taken == list(range(1, 31))


async def test_a_stop_ends_the_wait_for_a_disk_that_cannot_be_read(rig: Rig) -> None:
    """And notes what was delivered."""
    sink = ScriptedSink(lambda batch: 1.0)
    rig.journal.release(15)
    rig.start(sink)
    await rig.until(lambda: sink.running == 1)
    rig.journal.unreadable = True
    await asyncio.sleep(2)
    await rig.halt()
    assert rig.journal.cursors["scripted"] == len(sink.taken) > 0


async def test_a_stop_ends_the_wait_for_room_on_the_disk(rig: Rig) -> None:
    rig.journal.full = True
    rig.start(ScriptedSink())
    await asyncio.sleep(1)
    async with asyncio.timeout(0.1):
        await rig.halt()


async def test_a_stop_finishes_what_is_on_its_way_and_begins_nothing(rig: Rig) -> None:
    sink = ScriptedSink(lambda batch: 20.0)
    rig.journal.release(30)
    rig.start(sink)
    await rig.until(lambda: sink.running == 1)
    await rig.halt()
    assert sink.taken == list(range(1, 11))
    assert rig.journal.cursors["scripted"] == 10
    assert not sink.is_open


@pytest.mark.parametrize("failure", [Retryable("down"), Misconfigured("token")])
async def test_a_stop_ends_a_pause_at_once(rig: Rig, failure: Failure) -> None:
    rig.journal.release(1)
    worker = rig.start(ScriptedSink(lambda batch: failure))
    await rig.until(lambda: worker.health.failing)
    await asyncio.sleep(300)
    async with asyncio.timeout(0.1):
        await rig.halt()


async def test_a_stop_ends_an_opening_at_once(rig: Rig) -> None:
    sink = ScriptedSink(opening=lambda: 1e6)
    rig.start(sink)
    await rig.until(lambda: sink.opens == 1)
    async with asyncio.timeout(0.1):
        await rig.halt()
    assert sink.closes


async def test_a_cancelled_worker_cancels_its_sends_closes_and_says_what_may_repeat(rig: Rig) -> None:
    sink = ScriptedSink(lambda batch: 1e6, settings=SinkSettings(timeout=1e7, batch_max_events=10), width=2)
    rig.journal.release(20)
    worker = rig.worker(sink)
    task = rig.run(worker)
    await rig.until(lambda: sink.running == 2)
    with structlog.testing.capture_logs() as lines:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert sink.running == 0
    assert not sink.is_open
    assert [(line["event"], line["events"]) for line in lines if "events" in line] == [("sink.left_unanswered", 20)]
    rig.tasks.clear()
    sink.script = lambda batch: None
    rig.run(worker)
    await rig.until_at(20)
    assert rig.value("sink_possible_duplicates_total", reason="crash") == 20


async def test_after_a_crash_the_first_batches_count_as_possible_duplicates(interrupted: Rig) -> None:
    """As many as may have been on their way, and only of what had been released by then."""
    sink = ScriptedSink(width=2)
    interrupted.journal.release(40)
    interrupted.start(sink)
    await interrupted.until_at(40)
    assert interrupted.value("sink_possible_duplicates_total", reason="crash") == 20


async def test_after_a_crash_new_events_are_no_duplicates(interrupted: Rig) -> None:
    interrupted.start(ScriptedSink())
    await asyncio.sleep(1)
    interrupted.journal.release(10, released_at=2**62)
    await interrupted.until_at(10)
    assert interrupted.value("sink_possible_duplicates_total", reason="crash") == 0


async def test_a_position_that_the_destination_remembers_is_taken(interrupted: Rig) -> None:
    """It is proof: nothing up to there is sent again, and nothing counts as a possible duplicate."""
    interrupted.journal.release(30)
    sink = ScriptedSink(opening=lambda: Position(17))
    interrupted.start(sink)
    await interrupted.until_at(30)
    assert sink.taken == list(range(18, 31))
    assert interrupted.value("sink_possible_duplicates_total", reason="crash") == 0
    assert interrupted.value("events_delivered_total") == 30


async def test_a_position_behind_the_cursor_changes_nothing(rig: Rig) -> None:
    rig.journal.release(30)
    rig.journal.cursors["scripted"] = 20
    sink = ScriptedSink(opening=lambda: Position(17))
    rig.start(sink)
    await rig.until_at(30)
    assert sink.taken == list(range(21, 31))


async def test_a_position_beyond_the_journal_is_told_and_hides_nothing_that_comes(rig: Rig) -> None:
    """A journal from a backup: what it releases from now on is new."""
    rig.journal.release(5)
    sink = ScriptedSink(opening=lambda: Position(1000))
    with structlog.testing.capture_logs() as lines:
        rig.start(sink)
        await rig.until_at(5)
        rig.journal.release(3)
        await rig.until_at(8)
    assert sink.taken == list(range(1, 9))
    assert [line["position"] for line in lines if line["event"] == "sink.ahead_of_journal"] == [1000]
    assert sink.rollbacks == [0]


async def test_a_position_that_the_journal_no_longer_knows_is_a_rollback(rig: Rig) -> None:
    """A journal from a backup that has gone on since: its new numbers are greater than what was given out before."""
    rig.journal.release(20)
    del rig.journal.events[5:15]
    rig.journal.cursors["scripted"] = 3
    sink = ScriptedSink(opening=lambda: Position(12))
    with structlog.testing.capture_logs() as lines:
        rig.start(sink)
        await rig.until_at(20)
    assert sink.taken == [4, 5, *range(16, 21)]
    assert sink.rollbacks == [3]
    assert [line["known"] for line in lines if line["event"] == "sink.ahead_of_journal"] == [3]


async def test_a_position_at_another_event_of_the_same_number_is_a_rollback(rig: Rig) -> None:
    """Our clock was put back, too, and the numbers of the lost journal were given out again."""
    rig.journal.release(20)
    sink = ScriptedSink(opening=lambda: Position(12, "ual_of_the_lost_journal"))
    rig.start(sink)
    await rig.until_at(20)
    assert sink.rollbacks == [0]
    assert sink.taken == list(range(1, 21))


async def test_a_position_that_the_journal_gave_out_is_taken_however_long_the_way_to_it(rig: Rig) -> None:
    """In stretches, each written down; what lies beyond it in the last one is sent."""
    rig.journal.release(1300)
    sink = ScriptedSink(opening=lambda: Position(1234, "ual_1234"), settings=SinkSettings(batch_max_events=500))
    with structlog.testing.capture_logs() as lines:
        rig.start(sink)
        await rig.until_at(1300)
    assert sink.taken == list(range(1235, 1301))
    assert rig.journal.commits[:3] == [("scripted", 500), ("scripted", 1000), ("scripted", 1234)]
    assert [line["events"] for line in lines if line["event"] == "sink.position_taken"] == [1234]


async def test_nothing_moves_past_a_rollback_that_the_sink_could_not_take_in(rig: Rig) -> None:
    """Not even the cursor over events that the filters leave out: the position would look known from then on."""
    rig.journal.release(5)
    rig.journal.release(15, path="/left/out")
    rig.journal.release(1)
    del rig.journal.events[5:10]
    cursors: list[int] = []

    def fail_twice() -> BaseException | None:
        cursors.append(rig.journal.cursors["scripted"])
        return Retryable("not now") if len(cursors) < 3 else None

    settings = SinkSettings(batch_max_events=10, exclude=["/left/out"])
    sink = ScriptedSink(opening=lambda: Position(7), rollback=fail_twice, settings=settings)
    rig.start(sink)
    await rig.until_at(21)
    assert cursors == [0, 0, 0]
    assert sink.rollbacks == [0, 0, 0]
    assert sink.taken == [1, 2, 3, 4, 5, 21]


async def test_a_refused_rollback_is_a_fault_of_the_sink(rig: Rig) -> None:
    rig.journal.release(5)
    refusal = Scripted(Refused("what?"), None)
    sink = ScriptedSink(opening=lambda: Position(7), rollback=lambda: refusal(()))
    with structlog.testing.capture_logs() as lines:
        rig.start(sink)
        await rig.until(lambda: len(sink.rollbacks) == 2)
    assert [line["act"] for line in lines if line["event"] == "sink.faulty"] == ["rolled_back"]


async def test_a_position_within_what_is_known_is_no_rollback(rig: Rig) -> None:
    rig.journal.release(30)
    rig.journal.cursors["scripted"] = 10
    sink = ScriptedSink(opening=lambda: Position(25, "ual_25"))
    rig.start(sink)
    await rig.until_at(30)
    assert sink.rollbacks == []
    assert sink.taken == list(range(26, 31))


async def test_a_position_after_an_unanswered_send_spares_the_repetition(rig: Rig) -> None:
    """The transaction had gone through after all."""
    position = Scripted(None, Position(6))
    sink = ScriptedSink(
        Scripted(Retryable("no answer", unanswered=True)),
        opening=lambda: position(()),
    )
    rig.journal.release(20)
    rig.start(sink)
    await rig.until_at(20)
    assert sink.taken == list(range(7, 21))
    assert rig.value("sink_possible_duplicates_total", reason="unavailable") == 0
    assert rig.value("events_delivered_total") == 20


async def test_one_sink_never_waits_for_another(rig: Rig) -> None:
    rig.journal.release(50)
    dead, hung, slow = (
        ScriptedSink(lambda batch: Retryable("down")),
        ScriptedSink(lambda batch: 1e6, settings=SinkSettings(timeout=1e6)),
        ScriptedSink(),
    )
    for name, sink in (("dead", dead), ("hung", hung), ("well", slow)):
        rig.start(sink, name)
    await rig.until_at(50, "well", seconds=1)
    assert rig.journal.cursors == {"dead": 0, "hung": 0, "well": 50}


async def test_latency_is_measured_for_live_events_alone(rig: Rig) -> None:
    rig.journal.release(3)
    rig.journal.release(2, live=True)
    rig.start(ScriptedSink())
    await rig.until_at(5)
    assert rig.value("delivery_latency_seconds_count") == 2
    assert rig.value("sink_send_seconds_count") == 1


async def test_many_dead_letters_do_not_flood_the_log(rig: Rig) -> None:
    """All are kept and counted; some are named, and how many were not."""
    sink = ScriptedSink(lambda batch: Refused("bad", at=0), settings=SinkSettings(batch_max_events=500))
    rig.journal.release(500)
    with structlog.testing.capture_logs() as lines:
        rig.start(sink)
        await rig.until_at(500)
        await asyncio.sleep(120)
        rig.journal.release(1)
        await rig.until_at(501)
    named = [line for line in lines if line["event"] == "sink.dead_lettered"]
    assert len(named) == 21
    assert named[-1]["unsaid"] == 480
    assert len(rig.journal.dead["scripted"]) == 501


async def test_a_sink_that_cannot_be_closed_is_reported_and_left(rig: Rig) -> None:
    class Stuck(ScriptedSink):
        async def close(self) -> None:
            await super().close()
            await asyncio.sleep(1e6)

    rig.journal.release(2)
    with structlog.testing.capture_logs() as lines:
        rig.start(Stuck(Scripted(Retryable("down")), settings=SinkSettings(timeout=5)))
        await rig.until_at(2)
        await rig.halt()
    assert [line["act"] for line in lines if line["event"] == "sink.faulty"] == ["close"] * 3
