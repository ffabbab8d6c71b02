"""Instants, intervals and how a task waits."""

import asyncio
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.clock import SECOND, SystemClock, format_rfc3339, parse_http_date, parse_rfc3339, to_micros
from forwarder.pulse import BEAT_INTERVAL, Pulse, Stopping

MOMENT = to_micros(datetime(2023, 10, 3, 21, 31, 5, 163_000, tzinfo=UTC))


@pytest.mark.parametrize(
    "text",
    [
        "2023-10-03T21:31:05.163Z",
        "2023-10-03T21:31:05.163+00:00",
        "2023-10-03T21:31:05.163-00:00",
        "2023-10-03t21:31:05.163z",
        "2023-10-03 21:31:05.163Z",
        "2023-10-03T23:31:05.163+02:00",
        "2023-10-03T21:31:05.163000999Z",
    ],
)
def test_both_of_personas_spellings_and_all_of_the_rfc_are_the_same_instant(text: str) -> None:
    assert parse_rfc3339(text) == MOMENT


def test_seconds_need_no_fraction() -> None:
    assert parse_rfc3339("2023-10-03T21:31:05Z") == MOMENT - 163_000


@pytest.mark.parametrize(
    "text",
    [
        None,
        0,
        1696368665163,
        "",
        "2023-10-03",
        "2023-10-03T21:31:05.163",
        "2023-10-03T21:31:05,163Z",
        "2023-10-03T21:31Z",
        "2023-13-03T21:31:05Z",
        "2023-02-29T21:31:05Z",
        "2023-10-03T24:31:05Z",
        "2023-10-03T21:31:05+25:00",
        " 2023-10-03T21:31:05Z",
        "2023-10-03T21:31:05Z\n",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        {},
        [],
    ],
    ids=repr,
)
def test_what_is_no_instant_is_none(text: object) -> None:
    assert parse_rfc3339(text) is None


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_survives_being_written_and_read(moment: datetime) -> None:
    written = format_rfc3339(to_micros(moment))
    assert len(written) == len("2026-03-01T09:15:02.331Z")
    assert parse_rfc3339(written) == to_micros(moment) // 1000 * 1000


@given(st.text(max_size=40) | st.from_regex(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,12})?([Zz]|[+-]\d\d:\d\d)"))
def test_whatever_was_read_can_be_written(text: str) -> None:
    micros = parse_rfc3339(text)
    assert micros is None or format_rfc3339(micros).endswith("Z")


def test_microseconds_are_exact_where_a_float_would_not_be() -> None:
    assert parse_rfc3339("2262-04-11T23:47:16.854775Z") == 9_223_372_036_854_775


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2900, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 # hypothesis adds the zone
def test_the_date_header_is_read_to_the_second(moment: datetime) -> None:
    assert parse_http_date(format_datetime(moment, usegmt=True)) == to_micros(moment) // SECOND * SECOND


@pytest.mark.parametrize("text", [None, "", "yesterday", "Mon", "Tue, 99 Oct 2023 21:31:05 GMT", "0", ",,,"])
def test_a_date_header_that_is_none_is_none(text: str | None) -> None:
    assert parse_http_date(text) is None


@given(st.text(max_size=40))
def test_no_date_header_raises(text: str) -> None:
    parse_http_date(text)


async def test_the_systems_clock_counts_microseconds_and_its_intervals_are_the_loops() -> None:
    clock = SystemClock()
    assert abs(clock.now() - to_micros(datetime.now(UTC))) < 5 * SECOND
    assert clock.monotonic() == pytest.approx(asyncio.get_running_loop().time(), abs=1)


def pulse() -> tuple[Pulse, asyncio.Event]:
    stop = asyncio.Event()
    return Pulse(stop, SystemClock()), stop


@pytest.mark.looptime
async def test_a_wait_takes_its_seconds_and_says_that_it_is_not_time_to_stop() -> None:
    waiting, _ = pulse()
    started = asyncio.get_running_loop().time()
    assert await waiting.wait(3600) is False
    assert asyncio.get_running_loop().time() - started == pytest.approx(3600)


@pytest.mark.looptime
async def test_stop_ends_a_wait_at_once() -> None:
    waiting, stop = pulse()
    asyncio.get_running_loop().call_later(7, stop.set)
    started = asyncio.get_running_loop().time()
    assert await waiting.wait(3600) is True
    assert asyncio.get_running_loop().time() - started == pytest.approx(7)
    assert waiting.stopping
    assert await waiting.wait(3600) is True
    assert asyncio.get_running_loop().time() - started == pytest.approx(7)


@pytest.mark.looptime
async def test_a_wake_ends_a_wait_and_stays_set_for_its_owner_to_clear() -> None:
    waiting, _ = pulse()
    wake = asyncio.Event()
    asyncio.get_running_loop().call_later(7, wake.set)
    started = asyncio.get_running_loop().time()
    assert await waiting.wait(3600, wake) is False
    assert asyncio.get_running_loop().time() - started == pytest.approx(7)
    assert wake.is_set()
    assert await waiting.wait(3600, wake) is False
    assert asyncio.get_running_loop().time() - started == pytest.approx(7)


@pytest.mark.looptime
async def test_who_waits_long_keeps_beating() -> None:
    waiting, stop = pulse()
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(waiting.wait(3600))
    silences = []
    for _ in range(100):
        await asyncio.sleep(13)
        silences.append(loop.time() - waiting.last_beat)
    assert max(silences) <= BEAT_INTERVAL + 0.001
    stop.set()
    assert await task


@pytest.mark.looptime
@pytest.mark.parametrize("seconds", [0, -1])
async def test_a_wait_for_nothing_still_lets_others_run(seconds: float) -> None:
    waiting, _ = pulse()
    others: list[int] = []
    asyncio.get_running_loop().call_soon(others.append, 1)
    assert await waiting.wait(seconds) is False
    assert others == [1]


@pytest.mark.looptime
async def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    waiting, _ = pulse()
    task = asyncio.create_task(waiting.wait(3600, asyncio.Event()))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.looptime
async def test_work_that_a_stop_may_cut_short_is_done_or_cancelled() -> None:
    """The result where it ends first, its error too; Stopping, and the work gone, where the stop comes first."""
    stop = asyncio.Event()
    pulse = Pulse(stop, SystemClock())
    ended = []

    async def work(seconds: float) -> str:
        try:
            await asyncio.sleep(seconds)
        finally:
            ended.append(seconds)
        return "done"

    async def fail() -> str:
        raise OSError("no")

    assert await pulse.unless_stopped(work(60)) == "done"
    with pytest.raises(OSError, match="no"):
        await pulse.unless_stopped(fail())
    asyncio.get_running_loop().call_later(10, stop.set)
    with pytest.raises(Stopping):
        await pulse.unless_stopped(work(1000))
    assert ended == [60, 1000]
