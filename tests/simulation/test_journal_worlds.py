"""Worlds made by hand: what random ones meet too seldom of the journal's troubles, judged by the same oracle."""

from dataclasses import replace
from typing import Any

import pytest

from tests.simulation.plan import Happening, Kind, Plan
from tests.simulation.quiet import QUIET, SINK, kept
from tests.simulation.storage.troubles import TROUBLES

ONE = replace(SINK, batch=10)


def at(moment: float, kind: Kind, what: Any = None, lasts: float = 0.0) -> Happening:
    """Short for a happening."""
    return Happening(moment, kind, what, lasts)


def world(*happenings: Happening, duration: float = 60.0, **changes: Any) -> Plan:
    """A quiet world of two sinks, with what is to happen in it."""
    quiet = replace(
        QUIET,
        seed=0,
        history=20,
        duration=duration,
        poll_interval=2.0,
        lookback=24.0,
        sweep_interval=8.0,
        sinks=(ONE, replace(ONE, name="two", remembers=True, latency=0.5)),
    )
    news = [at(moment, "append", 2) for moment in (5.0, 0.4 * duration, 0.6 * duration, 0.8 * duration)]
    return replace(quiet, **changes).having(*happenings, *news)


@pytest.mark.parametrize("end", ["stop", "power"])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_journal_that_cannot_be_used_ends_each_start_as_promised_until_it_is_put_right(
    trouble: str, end: str
) -> None:
    """The file is left as it is, nothing is lost, and nothing is told twice beyond what was in flight."""
    verdict = kept(world(at(20.0, "journal", (trouble, end), 15.0), at(26.0, "command")))
    statuses, _ = TROUBLES[trouble]
    first, *hindered, last = verdict.ends
    assert (first, last) == (0 if end == "stop" else None, 0)
    assert hindered
    assert set(hindered) <= statuses


@pytest.mark.parametrize("kind", ["process", "power"])
def test_a_command_finds_no_journal_or_a_whole_one_wherever_the_first_start_was_cut(kind: str) -> None:
    """Half made it is none: status 73."""
    commands = [at(moment, "command") for moment in (0.01, 1.0, 3.0, 8.0)]
    for n in range(1, 30, 2):
        verdict = kept(world(at(0.0, "disk-crash", (n, kind), 5.0), *commands, duration=20.0, history=3))
        assert verdict.ends[0] is None


def test_an_event_that_was_spoilt_on_the_disk_becomes_a_dead_letter_and_its_neighbours_go_on() -> None:
    verdict = kept(
        world(
            at(18.0, "sink", ("one", "down"), 12.0),
            at(19.0, "append", 5),
            at(24.0, "journal", ("flipped", "stop")),
            at(50.0, "command"),
        )
    )
    assert verdict.told["sink.dead_lettered"] == 1


def test_a_journal_that_rots_beneath_a_daemon_ends_it_and_is_put_back() -> None:
    """The transaction that came to it is undone, the status is 74, and what was lost is collected again."""
    rot = (at(20.0, "restart", ("nothing", ""), 0.1), at(25.5, "journal", ("rotten-beneath", "alive"), 20.0))
    verdict = kept(
        world(
            *rot, at(25.6, "append", 30), at(30.0, "command"), duration=80.0, history=2500, page_size=100, sinks=(ONE,)
        )
    )
    assert verdict.ends[:3] == [0, 74, 74]


def large(*happenings: Happening) -> Plan:
    """A world whose journal is larger than what SQLite keeps in memory, for one sink is away at first."""
    return world(
        at(1.0, "sink", ("one", "down"), 60.0),
        *happenings,
        duration=90.0,
        history=3000,
        page_size=100,
    )


def test_a_disk_that_fails_after_the_look_over_a_large_journal_ends_the_start() -> None:
    verdict = kept(large(at(50.0, "journal", ("worn-out", "stop"), 15.0), at(50.0, "our-clock", 1.0)))
    assert set(verdict.ends) == {0, 73}


def test_a_look_over_a_large_journal_is_cut_short_by_a_clock_that_is_put_forward() -> None:
    """The start goes on: what the look did not reach is found when it is read."""
    verdict = kept(large(at(50.0, "journal", ("checked-slowly", "stop")), at(50.0, "our-clock", 1.0)))
    assert verdict.ends == [0, 0]


def test_a_place_that_was_not_seen_at_first_is_taken_for_all_that_waits() -> None:
    """A journal from a backup, and a destination that tells only the second time how far it is."""
    verdict = kept(
        world(
            at(10.0, "sink", ("two", "down"), 14.0),
            at(11.0, "append", 60),
            at(20.0, "backup"),
            at(45.0, "restore", "stop"),
            at(45.0, "sink", ("two", "stale"), 20.0),
            at(47.0, "command"),
        )
    )
    assert verdict.told["sink.ahead_of_journal"] >= 1


def test_a_stop_while_a_place_cannot_be_written_down_repeats_nothing() -> None:
    """The destination knows what it has: sent without an answer, on a disk that was full before the next opening."""
    kept(
        world(
            at(20.0, "append", 5),
            at(20.1, "sink", ("two", "taken-then-reset"), 5.0),
            at(21.0, "disk-full", 1, 20.0),
            at(30.0, "restart", ("nothing", ""), 0.1),
        )
    )


def test_a_stop_right_after_a_start_that_cannot_write_down_what_was_taken_before_repeats_nothing() -> None:
    kept(
        world(
            at(20.0, "append", 5),
            at(20.5, "sink", ("two", "taken-then-hang"), 3.3),
            at(23.9, "crash", (1, "process"), 0.1),
            at(24.35, "disk-full", 1, 20.0),
            at(27.0, "restart", ("nothing", ""), 0.1),
        )
    )
