"""Whatever a destination answers, nothing is lost, and nothing is repeated without a reason."""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import looptime
from hypothesis import given, settings
from hypothesis import strategies as st

from forwarder.errors import Failure, Misconfigured, Refused, Retryable
from forwarder.sinks.base import Item, SinkSettings
from tests.delivery.conftest import Rig
from tests.delivery.memory_journal import MemoryJournal
from tests.delivery.scripted_sink import ScriptedSink

ANSWERS = ("in", "slow", "busy", "part", "token", "refused", "refused at")


class Moody:
    """Refuses the *poisoned* events for good, and is in a bad mood *moods* times before it takes the rest."""

    def __init__(self, moods: Sequence[str], poisoned: set[int], random: Random) -> None:
        self.moods = list(moods)
        self.poisoned = poisoned
        self.random = random

    def __call__(self, batch: Sequence[Item]) -> Failure | float | None:
        mood = self.moods.pop() if self.moods else "in"
        before = [item.seq in self.poisoned for item in batch].index(True) if self._bad(batch) else len(batch)
        match mood:
            case "busy":
                return Retryable("busy", unanswered=False)
            case "part":
                return Retryable("part", accepted=self.random.randint(0, before))
            case "token":
                return Misconfigured("token", accepted=self.random.randint(0, before))
        if self._bad(batch):
            return Refused("poisoned", at=before) if mood == "refused at" else Refused("poisoned")
        return self.random.uniform(0.1, 20) if mood == "slow" else None

    def _bad(self, batch: Sequence[Item]) -> bool:
        return any(item.seq in self.poisoned for item in batch)


def check_along_the_way(rig: Rig, sink: ScriptedSink) -> None:
    """The cursor never passes an event that is neither delivered nor dead."""
    known = set(sink.taken) | {letter.seq for letter in rig.journal.dead.get("scripted", ())}
    cursor = rig.journal.cursors.get("scripted", 0)
    assert set(range(1, cursor + 1)) <= known


async def deliver(rig: Rig, sink: ScriptedSink, count: int) -> None:
    """Run the worker until its cursor is at the end, looking all the time."""
    rig.start(sink)
    while rig.journal.cursors.get("scripted") != count:
        await asyncio.sleep(0.5)
        check_along_the_way(rig, sink)
    await rig.halt()


def in_simulated_time(make: Any) -> None:
    """Run the coroutine that *make* gives on a loop whose time costs nothing."""
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(make())


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 60),
    moods=st.lists(st.sampled_from(ANSWERS), max_size=25),
    poisoned=st.sets(st.integers(1, 60), max_size=6),
    width=st.integers(1, 4),
    batch=st.integers(1, 20),
    seed=st.integers(0, 1000),
)
def test_every_event_is_delivered_once_or_dead_in_the_end(
    count: int, moods: list[str], poisoned: set[int], width: int, batch: int, seed: int
) -> None:
    """As long as every send has an answer, no event is taken twice; with one batch at a time, order is kept."""

    async def run() -> None:
        rig = Rig(MemoryJournal())
        rig.journal.release(count)
        sink = ScriptedSink(
            Moody(moods, poisoned, Random(seed)), settings=SinkSettings(batch_max_events=batch), width=width
        )
        await deliver(rig, sink, count)
        dead = {letter.seq for letter in rig.journal.dead.get("scripted", ())}
        assert dead == {seq for seq in poisoned if seq <= count}
        assert sorted(sink.taken) == [seq for seq in range(1, count + 1) if seq not in dead]
        assert width > 1 or sink.taken == sorted(sink.taken)
        assert rig.value("events_delivered_total") == len(sink.taken)
        assert rig.value("events_dead_lettered_total") == len(dead)

    in_simulated_time(run)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 60),
    lost=st.lists(st.booleans(), max_size=12),
    crashes=st.lists(st.floats(0.01, 30), max_size=3),
    width=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_lost_answers_and_crashes_repeat_and_are_counted_but_lose_nothing(
    count: int, lost: list[bool], crashes: list[float], width: int, seed: int
) -> None:
    """Each repetition is one that the counter of possible duplicates has."""

    async def run() -> None:
        rig = Rig(MemoryJournal())
        rig.journal.release(count)
        random = Random(seed)
        answers = list(lost)
        sink = ScriptedSink(settings=SinkSettings(batch_max_events=7), width=width)

        def script(batch: Sequence[Item]) -> Failure | float:
            if answers and answers.pop():
                sink.taken += [item.seq for item in batch]  # it took all, and we never hear of it
                return Retryable("reset", unanswered=True, kind="connection")
            return random.uniform(0.1, 10)

        sink.script = script
        worker = rig.worker(sink)
        for seconds in crashes:
            task = rig.run(worker)
            await asyncio.sleep(seconds)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            check_along_the_way(rig, sink)
        rig.tasks.clear()
        rig.run(worker)
        while rig.journal.cursors.get("scripted") != count:
            await asyncio.sleep(0.5)
            check_along_the_way(rig, sink)
        await rig.halt()
        assert set(sink.taken) == set(range(1, count + 1))
        counted = sum(rig.value("sink_possible_duplicates_total", reason=why) for why in ("connection", "crash"))
        assert len(sink.taken) - count <= counted

    in_simulated_time(run)
