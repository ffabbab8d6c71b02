"""Worlds written by hand, for what chance would bring too rarely: played and judged as those from seeds are."""

from dataclasses import replace
from typing import Any

import pytest

from tests.simulation.drawing.oddities import ODD
from tests.simulation.drawing.surroundings import (
    BROKEN_KEYS,
    OF_LOOK_UPS,
    PROXY_TROUBLES,
    TLS_TROUBLES,
    UNPLANNED,
)
from tests.simulation.plan import MISTAKES, Happening, Route
from tests.simulation.playing import Verdict
from tests.simulation.quiet import QUIET, SINK, kept

POLL = QUIET.poll_interval


def played(*happenings: Happening, **changes: Any) -> Verdict:
    """The verdict over the quiet world with *happenings* and *changes*, which keeps every promise.

    Records are made all the time, so that there is always something to lose.
    """
    end = max([QUIET.duration, *(one.at + one.lasts + 10 * POLL for one in happenings)])
    news = [Happening(at, "append", 3) for at in range(7, int(end), 20)]
    return kept(replace(QUIET, duration=end, **changes).having(*happenings, *news))


def test_every_mistake_in_the_configuration_ends_a_life_at_once_and_loses_nothing() -> None:
    mistakes = (Happening(30.0 * n, "restart", ("mistake", str(n)), 0.1) for n in range(1, len(MISTAKES)))
    verdict = played(*mistakes, Happening(30.0 * len(MISTAKES), "restart", ("mistake", "0"), 0.1))
    assert verdict.figures["lives"] == 1 + 2 * len(MISTAKES)
    assert verdict.ends.count(78) == len(MISTAKES)


@pytest.mark.parametrize("included", ["by-version", "never"])
def test_every_answer_that_nobody_planned_for_is_lived_through(included: str) -> None:
    """Each is given to pages and, where users have to be looked up, to look-ups, too."""
    answers = [Happening(150.0 * n, "answers", (kind,) * 3) for n, kind in enumerate(UNPLANNED)]
    verdict = played(*answers, included=included, employees=400, history=200)
    assert verdict.told["source.misconfigured"] >= 3
    assert verdict.told["source.unavailable"] >= 3
    assert verdict.told["source.page_unreadable"] >= 3


@pytest.mark.parametrize("odd", [0.0, 0.15])
def test_every_odd_answer_is_lived_through(odd: float) -> None:
    answers = [Happening(150.0 * n, "answers", (kind,) * 3) for n, kind in enumerate(ODD, 1)]
    verdict = played(*answers, history=100, odd=odd, lost_cursor="page-one")
    assert verdict.told["source.record_without_id"] >= 1
    assert verdict.told["source.foreign"] >= 1


def test_a_life_that_begins_with_the_key_of_another_organization_ends_at_once() -> None:
    verdict = played(Happening(30.0, "restart", ("nothing", ""), 5.0), Happening(33.0, "answers", ("foreign",)))
    assert verdict.figures["lives"] == 3


def test_until_the_limit_is_known_a_small_share_of_it_has_room_for_the_polls_alone() -> None:
    played(Happening(0.0, "answers", ("rate-unsaid",) * 4), rate_share=0.04)


@pytest.mark.parametrize("kind", sorted({*OF_LOOK_UPS}))
def test_look_ups_that_go_wrong_hold_nothing_up(kind: str) -> None:
    """A page in two is well, and names users whom nobody has seen."""
    played(Happening(0.0, "faults", f"{kind}:0.5", 60.0), included="never", employees=400, history=200)


def test_ids_of_any_kind_are_ids_and_nothing_else() -> None:
    """Each is a cursor, and the way to a user, in its turn."""
    played(included="never", employees=400, page_size=1, odd_ids=True)


@pytest.mark.parametrize("way", ["localhost", "tls", "proxy", "proxy-password"])
def test_every_trouble_of_a_way_heals_while_the_daemon_runs(way: Route) -> None:
    troubles: tuple[str, ...] = {"localhost": (), "tls": TLS_TROUBLES}.get(way, PROXY_TROUBLES)
    verdict = played(*(Happening(20.0 + 120.0 * n, "way", one, 60.0) for n, one in enumerate(troubles)), way=way)
    assert verdict.figures["lives"] == (3 if "socks" in troubles else 1)  # the environment is read at the start
    assert verdict.told.get("source.recovered", 0) >= len([one for one in troubles if one != "socks"])


def test_a_key_s_file_that_holds_no_key_is_told_and_heals() -> None:
    verdict = played(*(Happening(20.0 + 120.0 * n, "key-broken", n, 60.0) for n in range(len(BROKEN_KEYS))))
    assert verdict.told["secret.unreadable"] == BROKEN_KEYS.count("") + BROKEN_KEYS.count("\n")
    assert verdict.told["source.misconfigured"] >= 2
    assert verdict.figures["lives"] == 1


def test_a_daemon_that_has_never_had_a_key_to_ask_with_leaves_nothing_open() -> None:
    verdict = played(Happening(0.0, "key-broken", 1, 60.0), Happening(30.0, "restart", ("nothing", ""), 0.1))
    assert verdict.told["source.misconfigured"] >= 2
    assert verdict.told["daemon.stopped"] == 2


def test_a_full_backlog_pauses_collecting_until_the_sink_has_caught_up() -> None:
    verdict = played(Happening(0.0, "sink", ("one", "down"), 900.0), max_bytes=1 << 20, history=3000, page_size=100)
    assert verdict.told["source.paused"] >= 1
    assert verdict.told["source.resumed"] >= 1


def test_a_full_disk_pauses_collecting_until_there_is_room() -> None:
    verdict = played(Happening(30.0, "disk-full", 1, 120.0))
    assert verdict.told["source.paused"] >= 1
    assert verdict.told["source.resumed"] >= 1


def test_a_list_whose_top_cannot_be_read_on_a_slow_disk() -> None:
    """No gap can be read at the moment, and opening the next poll takes longer than its interval."""
    verdict = played(Happening(0.0, "faults", "nested:1", 400.0), poll_interval=2.0, history=5, thread_delay=5.0)
    assert verdict.told["source.record_unreadable"] >= 1


def test_a_slow_disk_that_fails_again_as_soon_as_it_seems_well() -> None:
    """A destination's commit fails while the collector hears that there is room: it pauses on, and says so once."""
    sinks = tuple(replace(SINK, name=name, batch=1, latency=0.0) for name in ("one", "two", "three"))
    failures = [Happening(20.0 + 15.0 * n, "disk-error", 30) for n in range(10)]
    news = [Happening(5.0 + 3.0 * n, "append", 10) for n in range(60)]
    verdict = played(*failures, *news, history=100, thread_delay=1.0, sinks=sinks)
    assert verdict.told["source.paused"] == verdict.told["source.resumed"] >= 5


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("reached", [True, False])
def test_a_position_of_a_lost_journal_hides_nothing_where_numbers_are_given_out_again(seed: int, reached: bool) -> None:
    """A backup from before a start at which our clock was behind is put back, twice, while it still is.

    Where the destination is not *reached* before the next crash, the journal has given out numbers of its own by then.
    """
    lives = [Happening(30.0, "our-clock", -7200.0), Happening(32.0, "restart", ("nothing", ""), 0.1)]
    for at in (100.0, 220.0):
        away = () if reached else (Happening(at - 1.0, "sink", ("one", "down"), 55.0),)
        crash = Happening(at + 40.0, "crash", (1, "process"), 0.1)
        lives += [*away, Happening(at, "restore", "process"), crash]
    sinks = (replace(SINK, remembers=True),)
    verdict = played(Happening(25.0, "backup"), *lives, seed=seed, sinks=sinks, history=50)
    assert verdict.told["sink.ahead_of_journal"] >= 2
