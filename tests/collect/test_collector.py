"""The collector's own decisions: pace, page size, pauses, look-ups, foreign keys. In simulated time.

Persona is a list in memory here, so that each exotic answer can be given on demand; the real client against real
sockets is tested beside it, and the whole daemon in ``tests/daemon``.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from forwarder.clock import SECOND, format_rfc3339
from forwarder.collect.collector import PAUSED_SECONDS, Collector
from forwarder.collect.persona import Page, PersonaApi, RateLimit
from forwarder.collect.reading import STUCK_SECONDS
from forwarder.collect.settings import PersonaSettings
from forwarder.errors import ConfigurationError, CursorLost, Failure, Misconfigured, Retryable, Unreadable
from forwarder.journal import Journal
from forwarder.journal.status import read_status
from forwarder.metrics import Metrics
from forwarder.privacy import Privacy
from forwarder.pulse import Pulse
from forwarder.record import Json
from forwarder.secret import Secret
from tests.journal.inline import Inline

pytestmark = pytest.mark.looptime

BEGAN = 1_800_000_000 * SECOND


class LoopClock:
    """The wall clock runs with the loop's."""

    def now(self) -> int:
        return BEGAN + int(asyncio.get_running_loop().time() * SECOND)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class ListedPersona(PersonaApi):
    """Serves a list in memory, newest first; fails as told."""

    def __init__(self, settings: PersonaSettings, metrics: Metrics) -> None:
        super().__init__(settings, metrics=metrics, name="persona", clock=LoopClock())
        self.listed: list[Json] = []
        self.users: dict[str, Json] = {}
        self.included = True
        self.organization = "org_1"
        self.limit = RateLimit(300, 300, 60.0)
        self.fails: list[Failure] = []
        self.unreadable: set[str] = set()
        self.asked: list[tuple[float, str | None, int]] = []
        self.looked_up: list[str] = []
        self.look_up_fails: Failure | None = None
        self.skew = 0
        """Microseconds that its clock is ahead of ours."""

    def make(self, count: int, *, user: str | None = None, first: int = 0) -> list[str]:
        """Put *count* new records on top; returns their ids."""
        ids = []
        for number in range(count):
            at = LoopClock().now() + self.skew - (count - number) * 1000
            id_ = f"ual_{first + len(self.listed)}"
            relationships = {"user": {"data": None if user is None else {"type": "user", "id": user}}}
            self.listed.insert(
                0,
                {
                    "type": "user-audit-log",
                    "id": id_,
                    "attributes": {"created-at": format_rfc3339(at), "path": "/x"},
                    "relationships": relationships,
                },
            )
            ids.append(id_)
        return ids

    async def fetch_page(self, cursor: str | None, size: int) -> Page:
        self.asked.append((LoopClock().monotonic(), cursor, size))
        if self.fails:
            raise self.fails.pop(0)
        ids = [record.get("id") for record in self.listed]
        begin = 0
        if cursor is not None:
            if cursor not in ids:
                raise CursorLost("no such cursor")
            begin = ids.index(cursor) + 1
        records = self.listed[begin : begin + size]
        self.server_time = LoopClock().now() + self.skew
        if any(record.get("id") in self.unreadable for record in records):
            raise Unreadable("the page is larger than FORWARDER_PERSONA_MAX_RESPONSE_BYTES")
        more = len(self.listed) > begin + size
        return Page(
            records=records,
            users=dict(self.users) if self.included else {},
            next=str(records[-1]["id"]) if more else None,
            server_time=self.server_time,
            request_id="req_1",
            organization_id=self.organization,
            environment_id="env_1",
            rate=self.limit,
            elapsed=0.1,
        )

    async def fetch_user(self, record_id: str) -> Json | None:
        self.looked_up.append(record_id)
        if self.look_up_fails is not None:
            raise self.look_up_fails
        record = next(record for record in self.listed if record["id"] == record_id)
        return self.users.get(record["relationships"]["user"]["data"]["id"])


class Bench:
    """One collector with its journal, its Persona and a sink that never takes anything."""

    def __init__(self, tmp_path: Path, **settings: object) -> None:
        self.path = tmp_path / "journal.db"
        self.settings = PersonaSettings(
            api_key=Secret("persona_production_x"), base_url="http://127.0.0.1/api/v1", **settings
        )
        self.metrics = Metrics("test")
        self.persona = ListedPersona(self.settings, self.metrics)
        self.privacy = Privacy((), (), None)
        self.max_bytes = 1 << 30
        self.stop = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Bench"]:
        """Collect while the body runs; a failure of the collector is the test's."""
        clock = LoopClock()
        self.journal = await Journal.open(
            self.path, clock=clock, max_bytes=self.max_bytes, executors=(Inline(), Inline())
        )
        await self.journal.register_sink("a", "file", start="all")
        self.collector = Collector(
            name="persona",
            api=self.persona,
            settings=self.settings,
            journal=self.journal,
            redactor=self.privacy,
            metrics=self.metrics,
            clock=clock,
            random=Random(1),
        )
        task = asyncio.create_task(self.collector.run(Pulse(self.stop, clock)))
        try:
            yield self
        finally:
            self.stop.set()
            await asyncio.gather(task, return_exceptions=True)
            await self.journal.close()
        if (error := task.exception()) is not None:
            raise error

    async def until(self, holds: Callable[[], bool], seconds: float = 3600) -> None:
        """Let simulated time pass until something holds."""
        for _ in range(int(seconds * 10)):
            if holds():
                return
            await asyncio.sleep(0.1)
        pytest.fail("it never came to hold")

    async def ids(self) -> list[str]:
        """What was released, in order."""
        return [event.id for event in await self.journal.read(0, max_events=100_000, max_bytes=1 << 30)]

    def count(self, name: str, **labels: str) -> float:
        """A metric's value."""
        return self.metrics.registry.get_sample_value(name, {"source": "persona"} | labels) or 0.0


async def test_everything_is_collected_once_and_in_order(tmp_path: Path) -> None:
    """History and what appears meanwhile, each id once, oldest first within what one walk found."""
    bench = Bench(tmp_path, page_size=10)
    made = bench.persona.make(95)
    async with bench.running():
        await asyncio.sleep(60)
        made += bench.persona.make(7)
        await asyncio.sleep(60)
        assert await bench.ids() == made
    assert bench.count("forwarder_events_collected_total") == 102


async def test_an_idle_source_costs_one_request_a_poll(tmp_path: Path) -> None:
    """An hour at rest: a request each 30 seconds, the sweeps' one page included."""
    bench = Bench(tmp_path)
    bench.persona.make(150)
    async with bench.running():
        await asyncio.sleep(60)
        before = len(bench.persona.asked)
        await asyncio.sleep(3600)
        # A sweep reads the last hour again, which is empty after the first one: one page, as a poll.
        assert 120 <= len(bench.persona.asked) - before <= 120 + 4


async def test_the_share_of_the_limit_is_never_exceeded(tmp_path: Path) -> None:
    """During a long catch-up, any 60 seconds hold at most a quarter of 300 requests, and nearly as many."""
    bench = Bench(tmp_path, page_size=1)
    bench.persona.make(400)
    async with bench.running():
        await asyncio.sleep(240)
    times = [at for at, _, _ in bench.persona.asked]
    busiest = max(sum(1 for other in times if at <= other < at + 60) for at in times)
    assert 70 <= busiest <= 75


async def test_fresh_events_do_not_wait_behind_a_long_history(tmp_path: Path) -> None:
    """While the first walk goes on for many minutes, what is new is read within a poll interval."""
    bench = Bench(tmp_path, page_size=2)
    bench.persona.make(1000)
    async with bench.running():
        await asyncio.sleep(120)
        assert bench.collector.source is not None
        assert any(not gap.based for gap in bench.collector.source.gaps), "the history is still under way"
        (fresh,) = bench.persona.make(1)
        await asyncio.sleep(31)
        assert fresh in await bench.ids()


async def test_a_page_that_is_too_large_is_asked_for_smaller(tmp_path: Path) -> None:
    """The one record that cannot be read is stepped over and reported; all others arrive."""
    bench = Bench(tmp_path)
    first = bench.persona.make(150)
    async with bench.running():
        await asyncio.sleep(60)
        later = bench.persona.make(120)
        bench.persona.unreadable = {later[60]}
        await asyncio.sleep(120)
        # Above the bad record all is read; below it only what the known ids lead to, and the stretch is told.
        assert set(later[61:]) <= set(await bench.ids())
        assert set(first) <= set(await bench.ids())
        assert 1 in {size for _, _, size in bench.persona.asked}
        bench.persona.unreadable = set()
        await asyncio.sleep(1900)
        assert set(await bench.ids()) == {*first, *later}, "a sweep finds it when it can be read again"


async def test_what_cannot_be_read_tells_the_time_as_well_as_a_page(tmp_path: Path) -> None:
    """Where it is the first that a start is answered with, a clock of ours that is ahead claims nothing."""
    bench = Bench(tmp_path)
    bench.persona.skew = -30 * 86400 * SECOND
    made = bench.persona.make(5)
    async with bench.running():
        await asyncio.sleep(60)
    persona = bench.persona
    late = persona.make(1)
    persona.unreadable = set(late)
    bench = Bench(tmp_path)
    bench.persona = persona
    async with bench.running():
        await asyncio.sleep(100)
        (source,) = read_status(bench.path, now=0).sources
        assert source.complete_until is not None
        assert source.complete_until <= format_rfc3339(LoopClock().now() + persona.skew)
        assert set(await bench.ids()) == set(made)
        persona.unreadable = set()
        await asyncio.sleep(1900)
        assert set(await bench.ids()) == {*made, *late}, "sweeps go on by Persona's clock"


async def test_a_bad_moment_at_a_single_record_leaves_no_hole(tmp_path: Path) -> None:
    """It is tried again, with pauses, before it is passed over."""
    bench = Bench(tmp_path)
    made = bench.persona.make(50)
    async with bench.running():
        await asyncio.sleep(60)
        made += bench.persona.make(20)
        bench.persona.unreadable = {made[60]}
        await bench.until(lambda: bench.collector.health.reason is not None)
        bench.persona.unreadable = set()
        await asyncio.sleep(60)
        assert set(await bench.ids()) == set(made)
        (source,) = read_status(bench.path, now=0).sources
        assert source.holes == ()


async def test_an_unreadable_record_with_nothing_known_below_is_tried_again_and_again(tmp_path: Path) -> None:
    """The walk waits at it, newer records go on arriving, and when it can be read the walk goes on."""
    bench = Bench(tmp_path)
    made = bench.persona.make(30)
    bench.persona.unreadable = {made[10]}
    async with bench.running():
        await asyncio.sleep(100)
        assert set(made[11:]) <= set(await bench.ids())
        made += bench.persona.make(1)
        await asyncio.sleep(31)
        assert made[-1] in await bench.ids()
        (late,) = bench.persona.make(1)
        bench.persona.listed.insert(3, bench.persona.listed.pop(0))
        await asyncio.sleep(1000)
        assert late in await bench.ids(), "sweeps go on meanwhile"
        made.append(late)
        bench.persona.unreadable = set()
        await asyncio.sleep(STUCK_SECONDS + 60)
        assert set(await bench.ids()) == set(made)


async def test_records_without_an_id_are_refused_loudly(tmp_path: Path) -> None:
    """Counted, and their neighbours are collected."""
    bench = Bench(tmp_path)
    made = bench.persona.make(3)
    bench.persona.listed[1].pop("id")
    async with bench.running():
        await asyncio.sleep(5)
        assert await bench.ids() == [made[0], made[2]]
        assert bench.count("forwarder_records_without_id_total") >= 1


async def test_a_user_who_is_not_included_is_looked_up_once(tmp_path: Path) -> None:
    """Once for a user, not for a record; then it is known, and joined to every event."""
    bench = Bench(tmp_path)
    bench.persona.included = False
    bench.persona.users = {"user_1": {"type": "user", "id": "user_1", "attributes": {"email-address": "a@example.com"}}}
    bench.persona.make(20, user="user_1")
    async with bench.running():
        await asyncio.sleep(40)
        bench.persona.make(20, user="user_1")
        await asyncio.sleep(40)
        events = await bench.journal.read(0, max_events=100, max_bytes=1 << 30)
        assert [event.event().user_email for event in events] == ["a@example.com"] * 40
    assert len(bench.persona.looked_up) == 1


async def test_what_was_read_above_an_unreadable_record_is_released_however_often_is_polled(tmp_path: Path) -> None:
    """No wait between two polls is long enough to release everything; what was held for ten seconds goes."""
    bench = Bench(tmp_path, page_size=20, poll_interval=0.5, rate_share=1.0)
    made = bench.persona.make(30)
    bench.persona.unreadable = {made[10]}
    async with bench.running():
        await asyncio.sleep(30)
        assert set(await bench.ids()) == set(made[11:])


async def test_a_pseudonymous_user_is_looked_up_once_too(tmp_path: Path) -> None:
    """What the journal knows a user by is the pseudonym."""
    bench = Bench(tmp_path)
    bench.privacy = Privacy((), ("user.id",), b"0123456789abcdef")
    bench.persona.included = False
    bench.persona.users = {"user_1": {"type": "user", "id": "user_1", "attributes": {"email-address": "a@example.com"}}}
    bench.persona.make(5, user="user_1")
    async with bench.running():
        await asyncio.sleep(40)
        bench.persona.make(5, user="user_1")
        await asyncio.sleep(40)
        events = await bench.journal.read(0, max_events=100, max_bytes=1 << 30)
        assert {event.event().user_email for event in events} == {"a@example.com"}
        assert all(str(event.event().user_id).startswith("p1_") for event in events)
    assert len(bench.persona.looked_up) == 1
    assert b"user_1" not in bench.path.read_bytes()


async def test_a_failed_look_up_never_holds_a_page_up(tmp_path: Path) -> None:
    """The events go without the name, and the user is not asked for again at every page."""
    bench = Bench(tmp_path)
    bench.persona.included = False
    bench.persona.look_up_fails = Retryable("Persona answered 500")
    made = bench.persona.make(5, user="user_1")
    async with bench.running():
        await asyncio.sleep(40)
        made += bench.persona.make(5, user="user_1")
        await asyncio.sleep(40)
        assert await bench.ids() == made
    assert len(bench.persona.looked_up) == 1


async def test_look_ups_end_where_an_answer_says_that_nothing_is_left_of_the_rate_limit(tmp_path: Path) -> None:
    """The answer to a look-up counts as much as a page does; the others wait for a page that names their users."""
    bench = Bench(tmp_path)
    bench.persona.included = False
    bench.persona.rate = RateLimit(300, 0, 50.0)
    for number in range(5):
        bench.persona.make(1, user=f"user_{number}")
    async with bench.running():
        began = LoopClock().monotonic()
        await asyncio.sleep(70)
    assert len(bench.persona.looked_up) == 2  # one for each page
    assert [at - began >= 50 for at, _, _ in bench.persona.asked] == [False, True]


@pytest.mark.parametrize("kind", ["server_error", "rate_limited"])
async def test_whoever_asks_a_look_up_to_come_back_later_is_not_asked_before(tmp_path: Path, kind: str) -> None:
    bench = Bench(tmp_path)
    bench.persona.included = False
    bench.persona.look_up_fails = Retryable("Persona answered 503", retry_after=50.0, kind=kind)
    for number in range(5):
        bench.persona.make(1, user=f"user_{number}")
    async with bench.running():
        began = LoopClock().monotonic()
        await asyncio.sleep(49)
        assert len(bench.persona.looked_up) == 1
        await asyncio.sleep(30)
    assert [at - began >= 50 for at, _, _ in bench.persona.asked] == [False, True]


async def test_a_full_backlog_pauses_collecting_until_the_sinks_caught_up(tmp_path: Path) -> None:
    """Nothing is lost and nothing piles up: Persona keeps the log meanwhile."""
    bench = Bench(tmp_path, page_size=10)
    bench.max_bytes = 3000
    made = bench.persona.make(200)
    async with bench.running():
        await bench.until(lambda: bench.collector.health.paused)
        asked = len(bench.persona.asked)
        await asyncio.sleep(600)
        assert len(bench.persona.asked) == asked
        assert "FORWARDER_STATE_MAX_BYTES" in str(bench.collector.health.reason)
        delivered: list[str] = []
        cursor = 0
        while len(delivered) < 200:
            for event in await bench.journal.read(cursor, max_events=100, max_bytes=1 << 20):
                delivered.append(event.id)
                cursor = event.seq
            await bench.journal.commit("a", cursor)
            await asyncio.sleep(PAUSED_SECONDS)
        assert sorted(delivered) == sorted(made)


async def test_a_key_of_another_organization_is_a_configuration_error_at_the_start(tmp_path: Path) -> None:
    """Nothing is read until it is named apart."""
    bench = Bench(tmp_path)
    made = bench.persona.make(3)
    async with bench.running():
        await asyncio.sleep(5)
    again = Bench(tmp_path)
    again.persona.make(3, first=100)
    again.persona.organization = "org_2"
    with pytest.raises(ConfigurationError, match=r"FORWARDER_PERSONA_API_KEY.*org_2") as failure:
        async with again.running():
            await asyncio.sleep(5)
    assert failure.value.exit_status == 78
    third = Bench(tmp_path)
    third.persona.listed = bench.persona.listed
    async with third.running():
        await asyncio.sleep(5)
        assert await third.ids() == made


async def test_a_key_that_changes_hands_while_we_run_takes_nothing(tmp_path: Path) -> None:
    """A rotated key of another organization pauses the source with the reason; the right one heals it."""
    bench = Bench(tmp_path)
    made = bench.persona.make(3)
    async with bench.running():
        await asyncio.sleep(5)
        bench.persona.organization = "org_2"
        made += bench.persona.make(2)
        await asyncio.sleep(120)
        assert await bench.ids() == made[:3]
        assert "org_2" in str(bench.collector.health.reason)
        bench.persona.organization = "org_1"
        await asyncio.sleep(120)
        assert await bench.ids() == made
        assert bench.collector.health.reason is None


async def test_refused_credentials_are_probed_slowly_and_heal(tmp_path: Path) -> None:
    """At most a request each half minute or so while the key is refused, and no restart when it works again."""
    bench = Bench(tmp_path)
    made = bench.persona.make(3)
    bench.persona.fails = [Misconfigured("Persona refuses the key")] * 20
    async with bench.running():
        await asyncio.sleep(300)
        assert await bench.ids() == []
        assert bench.collector.health.reason == "Persona refuses the key"
        assert len(bench.persona.asked) <= 20
        bench.persona.fails = []
        await asyncio.sleep(61)
        assert await bench.ids() == made


async def test_a_429_is_waited_out(tmp_path: Path) -> None:
    """Nothing is asked before the reset that Persona named."""
    bench = Bench(tmp_path)
    made = bench.persona.make(3)
    bench.persona.fails = [Retryable("rate limit", retry_after=42.0, kind="rate_limited")]
    async with bench.running():
        await asyncio.sleep(41)
        assert len(bench.persona.asked) == 1
        await asyncio.sleep(30)
        assert await bench.ids() == made


async def test_a_crash_in_the_middle_of_a_walk_is_continued(tmp_path: Path) -> None:
    """A second collector on the same journal goes on from the stored cursor, not from the top."""
    bench = Bench(tmp_path, page_size=2)
    bench.persona.limit = RateLimit(60, 60, 60.0)
    made = bench.persona.make(60)
    async with bench.running():
        await bench.until(lambda: len(bench.persona.asked) > 10)
    assert len(bench.persona.asked) < 20
    again = Bench(tmp_path, page_size=2)
    again.persona.listed = bench.persona.listed
    async with again.running():
        await asyncio.sleep(120)
        assert sorted(await again.ids()) == sorted(made)
    # Its polls see the first pages again, as polls do; what lies deeper was read once.
    deep = {cursor for _, cursor, _ in bench.persona.asked[7:]}
    assert len(deep) > 2
    assert not deep & {cursor for _, cursor, _ in again.persona.asked}
