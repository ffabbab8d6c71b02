"""The supervisor, under simulated time: hours of backoff pass in no time, and every wait is exact."""

import asyncio
import io
import itertools
import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest

from forwarder import logs
from forwarder.clock import SystemClock
from forwarder.errors import ForwarderError, JournalDamaged
from forwarder.pulse import Pulse
from forwarder.supervisor import CANCEL_GRACE, SILENCE, STEADY, Actor, Supervisor

pytestmark = pytest.mark.looptime

GRACE = 25.0


@pytest.fixture
def stop() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
def lines() -> Callable[[], list[dict[str, Any]]]:
    """Everything logged so far."""
    stream = io.StringIO()
    logs.configure("debug", "json", stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def supervise(stop: asyncio.Event, **actors: Callable[[Pulse], Awaitable[None]]) -> Supervisor:
    return Supervisor(
        [Actor(name, run) for name, run in actors.items()],
        stop=stop,
        clock=SystemClock(),
        grace=GRACE,
        random=Random(1),
    )


async def wait_for_stop(pulse: Pulse) -> None:
    while not await pulse.wait(3600):
        pass


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_run_ends_when_every_actor_has_finished_after_the_stop_signal(stop: asyncio.Event) -> None:
    finished = []

    async def slow_to_finish(pulse: Pulse) -> None:
        await wait_for_stop(pulse)
        await asyncio.sleep(4)
        finished.append("slow")

    asyncio.get_running_loop().call_later(10, stop.set)
    started = now()
    await supervise(stop, quick=wait_for_stop, slow=slow_to_finish).run()
    assert finished == ["slow"]
    assert now() - started == pytest.approx(14)


async def test_a_failing_actor_is_run_again_with_growing_waits_and_the_others_do_not_notice(
    stop: asyncio.Event,
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    starts: list[float] = []

    async def fails(pulse: Pulse) -> None:
        starts.append(now())
        if len(starts) == 6:
            stop.set()
        raise RuntimeError("wires crossed")

    other = []

    async def steady(pulse: Pulse) -> None:
        other.append(now())
        await wait_for_stop(pulse)

    await supervise(stop, fails=fails, steady=steady).run()
    waits = [after - before for before, after in itertools.pairwise(starts)]
    assert len(waits) == 5
    for wait, full in zip(waits, [1, 2, 4, 8, 16], strict=True):
        assert full / 2 <= wait <= full
    assert len(other) == 1
    failures = [line for line in lines() if line["event"] == "actor.failed"]
    assert len(failures) == 6
    assert all(line["actor"] == "fails" and "wires crossed" in line["exception"] for line in failures)


async def test_failures_are_forgotten_after_running_well_for_a_while(stop: asyncio.Event) -> None:
    starts: list[float] = []

    async def fails(pulse: Pulse) -> None:
        starts.append(now())
        if len(starts) == 6:
            await pulse.wait(STEADY)
        if len(starts) == 7:
            stop.set()
        raise RuntimeError

    await supervise(stop, fails=fails).run()
    assert 8 <= starts[5] - starts[4] <= 16
    assert starts[6] - starts[5] <= STEADY + 1


async def test_an_actor_that_returns_unasked_is_an_error_and_is_run_again(
    stop: asyncio.Event,
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    runs = []

    async def returns(pulse: Pulse) -> None:
        runs.append(now())
        if len(runs) == 3:
            await wait_for_stop(pulse)

    asyncio.get_running_loop().call_later(100, stop.set)
    await supervise(stop, returns=returns).run()
    assert len(runs) == 3
    assert [line["level"] for line in lines() if line["event"] == "actor.returned"] == ["error", "error"]


@pytest.mark.parametrize("grouped", [False, True])
async def test_a_forwarder_error_stops_everybody_and_is_raised(stop: asyncio.Event, *, grouped: bool) -> None:
    """Also where a task group of the actor wrapped it."""
    finished = []

    async def damaged(pulse: Pulse) -> None:
        await pulse.wait(5)
        error = JournalDamaged("page 3 is torn")
        raise ExceptionGroup("actor", [ExceptionGroup("inner", [error])]) if grouped else error

    async def other(pulse: Pulse) -> None:
        await wait_for_stop(pulse)
        finished.append("other")

    with pytest.raises(JournalDamaged, match="page 3 is torn"):
        await supervise(stop, damaged=damaged, other=other).run()
    assert finished == ["other"]
    assert stop.is_set()


async def test_the_first_of_several_forwarder_errors_is_raised_and_all_are_logged(
    stop: asyncio.Event,
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    async def first(pulse: Pulse) -> None:
        raise ForwarderError("one")

    async def second(pulse: Pulse) -> None:
        await wait_for_stop(pulse)
        raise ForwarderError("two")

    with pytest.raises(ForwarderError, match="one"):
        await supervise(stop, first=first, second=second).run()
    assert [line["reason"] for line in lines() if line["event"] == "actor.ended_daemon"] == ["one", "two"]


async def test_who_outlives_the_grace_is_cancelled(
    stop: asyncio.Event,
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    cancelled = []

    async def deaf(pulse: Pulse) -> None:
        try:
            await asyncio.sleep(10_000)
        except asyncio.CancelledError:
            cancelled.append(now())
            raise

    asyncio.get_running_loop().call_later(1, stop.set)
    started = now()
    supervisor = supervise(stop, deaf=deaf)
    await supervisor.run()
    assert cancelled == [pytest.approx(started + 1 + GRACE)]
    assert supervisor.unfinished == ()
    assert [line["actor"] for line in lines() if line["event"] == "actor.cancelled"] == ["deaf"]


async def test_who_ignores_the_cancellation_is_named_and_left_behind(
    stop: asyncio.Event,
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    free = asyncio.Event()

    async def stuck(pulse: Pulse) -> None:
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue

    asyncio.get_running_loop().call_later(1, stop.set)
    started = now()
    supervisor = supervise(stop, stuck=stuck, good=wait_for_stop)
    await supervisor.run()
    assert now() - started == pytest.approx(1 + GRACE + CANCEL_GRACE)
    assert supervisor.unfinished == ("stuck",)
    assert [line["actor"] for line in lines() if line["event"] == "actor.left_behind"] == ["stuck"]
    free.set()
    await asyncio.sleep(0.1)


async def test_abort_ends_the_grace_at_once(stop: asyncio.Event) -> None:
    async def deaf(pulse: Pulse) -> None:
        await asyncio.sleep(10_000)

    supervisor = supervise(stop, deaf=deaf)
    loop = asyncio.get_running_loop()
    loop.call_later(1, stop.set)
    loop.call_later(3, supervisor.abort)
    started = now()
    await supervisor.run()
    assert now() - started == pytest.approx(3)


async def test_abort_alone_stops_too(stop: asyncio.Event) -> None:
    supervisor = supervise(stop, good=wait_for_stop)
    asyncio.get_running_loop().call_later(1, supervisor.abort)
    await supervisor.run()
    assert stop.is_set()


async def test_a_failure_while_stopping_is_logged_and_not_retried(
    stop: asyncio.Event,
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    runs = []

    async def breaks_on_the_way_out(pulse: Pulse) -> None:
        runs.append(1)
        await wait_for_stop(pulse)
        raise OSError("pipe")

    asyncio.get_running_loop().call_later(1, stop.set)
    await supervise(stop, breaks=breaks_on_the_way_out).run()
    assert runs == [1]
    assert [line["event"] for line in lines()] == ["actor.failed"]


async def test_a_cancellation_that_escapes_an_actor_is_a_failure_of_it_and_not_its_end(stop: asyncio.Event) -> None:
    runs = []

    async def leaks(pulse: Pulse) -> None:
        runs.append(1)
        if len(runs) == 2:
            await wait_for_stop(pulse)
        raise asyncio.CancelledError

    asyncio.get_running_loop().call_later(100, stop.set)
    await supervise(stop, leaks=leaks).run()
    assert len(runs) == 2


async def test_cancelling_the_supervisor_cancels_the_actors(stop: asyncio.Event) -> None:
    cancelled = asyncio.Event()

    async def actor(pulse: Pulse) -> None:
        try:
            await wait_for_stop(pulse)
        finally:
            cancelled.set()

    running = asyncio.create_task(supervise(stop, actor=actor).run())
    await asyncio.sleep(1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.wait_for(cancelled.wait(), 1)


async def test_an_actor_without_a_heartbeat_is_reported_and_one_that_waits_is_not(stop: asyncio.Event) -> None:
    async def hung(pulse: Pulse) -> None:
        await stop.wait()

    async def rebuilding(pulse: Pulse) -> None:
        await stop.wait()

    supervisor = Supervisor(
        [Actor("hung", hung), Actor("waits", wait_for_stop), Actor("rebuilding", rebuilding, silence=600)],
        stop=stop,
        clock=SystemClock(),
        grace=GRACE,
        random=Random(1),
    )
    assert supervisor.alive() == []
    running = asyncio.create_task(supervisor.run())
    await asyncio.sleep(SILENCE - 1)
    assert supervisor.alive() == []
    await asyncio.sleep(2)
    assert supervisor.alive() == ["hung: no heartbeat for 121 s (its bound is 120 s)"]
    await asyncio.sleep(600)
    assert [reason.split(":")[0] for reason in supervisor.alive()] == ["hung", "rebuilding"]
    stop.set()
    await running
    assert supervisor.alive() == []


async def test_an_actor_that_waits_to_be_run_again_is_alive_and_named_as_failed(stop: asyncio.Event) -> None:
    async def fails(pulse: Pulse) -> None:
        raise ZeroDivisionError

    supervisor = supervise(stop, fails=fails)
    running = asyncio.create_task(supervisor.run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [reason for reason in supervisor.restarting() if "ZeroDivisionError" in reason] == supervisor.restarting()
    assert len(supervisor.restarting()) == 1
    await asyncio.sleep(1000)
    assert supervisor.alive() == []
    stop.set()
    await running
    assert supervisor.restarting() == []


def test_two_actors_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="names of their own: a, a"):
        Supervisor(
            [Actor("a", wait_for_stop), Actor("a", wait_for_stop)],
            stop=asyncio.Event(),
            clock=SystemClock(),
            grace=1,
            random=Random(1),
        )
