"""What every sink must do, whatever it talks to. Each sink's test class inherits :class:`SinkContract`.

A test class names the sink's ``kind`` and gives one asynchronous fixture, ``destination``, that starts a real
:class:`Destination` on the loopback and takes it down at the end::

    class TestMySink(SinkContract):
        kind = "mykind"

        @pytest_asyncio.fixture
        async def destination(self, tmp_path: Path) -> AsyncIterator[Destination]:
            server = MyServer(...)
            yield server
            await server.aclose()

What a destination cannot show (a stall, a refused event) it says by leaving the method as it is; those tests then
skip with the reason.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, ClassVar

import pydantic
import pytest
import pytest_asyncio
import structlog

from forwarder.errors import Failure, Misconfigured, Refused, Retryable
from forwarder.formats import FORMATS
from forwarder.record import Json, Origin, parse_event
from forwarder.sinks import sink_class
from forwarder.sinks.base import Item, Sink, SinkContext
from tests.conftest import open_sockets

JOURNAL_ID = "journal-0123456789abcdef"
ODD = 'quote " back\\slash tab\t line\nfeed nul\x00 nel\x85 ls\u2028 é 漢字 🛰 \u202e]]> <13> {{}} %s'
REFUSED_MARK = "REFUSE-THIS-ONE"


class Destination(ABC):
    """One real destination that a test can break, and whose contents it can read."""

    secrets: Sequence[str] = ()
    """What :meth:`settings` holds that nobody must ever see."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Give the sink's settings (field name to value) that reach this destination, with a short ``timeout``."""

    @abstractmethod
    async def arrived(self) -> list[bytes]:
        """List the formatted bytes of every event that arrived so far, in the destination's order, without framing."""

    @abstractmethod
    async def break_down(self) -> None:
        """Make it unreachable, as an outage does: what is connected is cut off."""

    @abstractmethod
    async def mend(self) -> None:
        """End what :meth:`break_down`, :meth:`stall` or :meth:`refuse` began; the sink's settings stay valid."""

    async def stall(self) -> None:
        """Stop answering without closing anything."""
        pytest.skip("this destination cannot stall")

    async def refuse(self, mark: bytes) -> None:
        """Refuse each event that holds *mark*, for good."""
        pytest.skip("this destination refuses no events")


def make_items(count: int, *, first: int = 1, size: int = 0, text: str = ODD, form: str = "json") -> list[Item]:
    """*count* events with consecutive sequence numbers, of at least *size* bytes each, holding *text*."""
    made = []
    for seq in range(first, first + count):
        resource: Json = {
            "type": "user-audit-log",
            "id": f"ual_{seq:06d}",
            "attributes": {
                "created-at": "2026-03-01T09:15:02.331Z",
                "method": "POST",
                "path": f"/api/internal/dashboard/v1/cases/case_{seq:06d}A",
                "response-status": 200,
                "ip-address": "203.0.113.7",
                "user-agent": "Mozilla/5.0",
                "post-params": {"note": text, "padding": "x" * size},
            },
            "relationships": {"user": {"data": {"type": "user", "id": "user_1"}}},
        }
        event = parse_event(resource, origin=Origin("persona", "org_1", "env_1"), collected_at=1_772_356_503_000_000)
        made.append(Item(seq, event, FORMATS[form](event)))
    return made


async def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until *condition* holds, about a peer that knows no event of it; fails after *seconds*."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 # as the docstring says
            await asyncio.sleep(0.005)


def bodies(items: Sequence[Item]) -> list[bytes]:
    """List what the destination has to show of *items*."""
    return [item.body for item in items]


class SinkContract:
    """The tests. Class attributes say what a kind of destination is able to do."""

    kind: ClassVar[str]
    """The word in ``FORWARDER_SINKS``."""

    biggest: ClassVar[int] = 900_000
    """Bytes of padding that one event may have at this destination (a datagram holds less)."""

    notices_an_outage: ClassVar[bool] = True
    """Whether a broken destination shows at all (for a datagram it does not)."""

    keeps_order: ClassVar[bool] = True
    """Whether the destination shows the events of one batch in their order."""

    takes_more_after_a_refusal: ClassVar[bool] = False
    """Whether the destination may have taken what follows a refused event; the sink then sends none of it twice."""

    patience: ClassVar[float] = 10.0
    """Seconds in which an event that was acknowledged has to show up at the destination."""

    @pytest_asyncio.fixture
    async def destination(self) -> AsyncIterator[Destination]:
        """Start a destination; each test class has its own."""
        pytest.fail("the test class of a sink brings its destination")
        yield  # type: ignore[unreachable] # makes this a generator, as those of the subclasses are

    @pytest.fixture
    def make_sink(self, destination: Destination) -> Callable[[], Sink[Any]]:
        """Make a sink that reaches the destination."""

        def make() -> Sink[Any]:
            model = sink_class(self.kind).settings_model.model_validate(destination.settings())
            return sink_class(self.kind)(model, SinkContext(name=self.kind, journal_id=JOURNAL_ID))

        return make

    @pytest_asyncio.fixture
    async def sink(self, make_sink: Callable[[], Sink[Any]]) -> AsyncIterator[Sink[Any]]:
        """One sink, closed at the end."""
        sink = make_sink()
        yield sink
        await sink.close()

    async def has_arrived(self, destination: Destination, expected: Sequence[bytes]) -> None:
        """Wait until *expected*, and nothing else, has arrived."""
        found = await self.showing(destination, lambda found: len(found) >= len(expected))
        if self.keeps_order:
            assert found == list(expected)
        else:
            assert sorted(found) == sorted(expected)

    async def showing(self, destination: Destination, enough: Callable[[list[bytes]], bool]) -> list[bytes]:
        """Read the destination until *enough* holds of what it shows, or patience ends."""
        deadline = time.monotonic() + self.patience
        while True:
            found = await destination.arrived()
            if enough(found) or time.monotonic() > deadline:
                return found
            await asyncio.sleep(0.02)

    # What it says of itself

    def test_its_class_names_its_kind_and_its_settings(self) -> None:
        """The configured word, the class and its settings model belong together."""
        assert sink_class(self.kind).kind == self.kind
        for name, field in sink_class(self.kind).settings_model.model_fields.items():
            assert field.description, f"setting {name} has no description for the reference"

    async def test_it_says_what_it_promises_and_where_events_go(
        self, sink: Sink[Any], destination: Destination
    ) -> None:
        """Both are for people, and hold no secret."""
        assert sink.promise
        assert sink.destination
        assert sink.max_in_flight >= 1
        _holds_no_secret(
            destination, sink.promise, sink.destination, repr(sink), repr(sink.settings), str(sink.settings)
        )

    async def test_a_setting_that_it_does_not_know_is_refused(self, destination: Destination) -> None:
        """A mistyped variable is an error, never ignored."""
        with pytest.raises(pydantic.ValidationError):
            sink_class(self.kind).settings_model.model_validate({**destination.settings(), "no_such_setting": "1"})

    # Delivering

    async def test_a_batch_arrives_in_order_and_unchanged(self, sink: Sink[Any], destination: Destination) -> None:
        """Odd characters included."""
        items = make_items(20)
        await sink.open()
        await sink.send(items)
        await self.has_arrived(destination, bodies(items))

    async def test_batches_arrive_one_after_the_other(self, sink: Sink[Any], destination: Destination) -> None:
        items = make_items(9)
        await sink.open()
        for start in range(0, 9, 3):
            await sink.send(items[start : start + 3])
        await self.has_arrived(destination, bodies(items))

    async def test_opening_alone_delivers_nothing(self, sink: Sink[Any], destination: Destination) -> None:
        await sink.open()
        await sink.close()
        assert await destination.arrived() == []

    async def test_a_big_event_arrives(self, sink: Sink[Any], destination: Destination) -> None:
        """A page of parameters is one event, too."""
        items = make_items(1, size=self.biggest)
        await sink.open()
        await sink.send(items)
        await self.has_arrived(destination, bodies(items))

    async def test_sends_may_run_at_once_up_to_its_limit(self, sink: Sink[Any], destination: Destination) -> None:
        """Whatever order the batches take, each event arrives once."""
        width = min(sink.max_in_flight, 8)
        items = make_items(5 * width)
        await sink.open()
        await asyncio.gather(*(sink.send(items[5 * n : 5 * n + 5]) for n in range(width)))
        found = await self.showing(destination, lambda found: len(found) >= len(items))
        assert sorted(found) == sorted(bodies(items))

    # Its life

    async def test_closing_twice_or_without_opening_is_fine(self, sink: Sink[Any]) -> None:
        await sink.close()
        await sink.close()
        await sink.open()
        await sink.close()
        await sink.close()

    async def test_it_can_be_opened_again_after_it_was_closed(self, sink: Sink[Any], destination: Destination) -> None:
        items = make_items(4)
        await sink.open()
        await sink.send(items[:2])
        await sink.close()
        await sink.open()
        await sink.send(items[2:])
        await self.has_arrived(destination, bodies(items))

    async def test_a_closed_sink_holds_no_socket_and_no_task(
        self, make_sink: Callable[[], Sink[Any]], destination: Destination
    ) -> None:
        """Close releases everything."""
        await destination.arrived()  # what the reader itself keeps open is open before the comparison
        tasks, sockets = asyncio.all_tasks(), open_sockets()
        sink = make_sink()
        await sink.open()
        await sink.send(make_items(1))
        await sink.close()
        await _settled(lambda: asyncio.all_tasks() <= tasks, self.patience)
        await _settled(lambda: len(open_sockets()) <= len(sockets) + self.sockets_of_the_peer, self.patience)

    sockets_of_the_peer: ClassVar[int] = 0
    """Sockets that an in-process destination may keep of a connection that the sink has closed."""

    # Failures

    async def test_a_destination_that_is_down_at_the_start_is_waited_for(
        self, sink: Sink[Any], destination: Destination
    ) -> None:
        """Retryable or Misconfigured within the time-out; once it is up, the same sink delivers."""
        if not self.notices_an_outage:
            pytest.skip("this kind of destination does not show an outage")
        await destination.break_down()
        failure = await _fails(sink, make_items(1), opened=False)
        assert isinstance(failure, Retryable | Misconfigured)
        await sink.close()
        await destination.mend()
        items = make_items(2, first=10)
        await sink.open()
        await sink.send(items)
        await self.has_arrived(destination, bodies(items))

    async def test_an_outage_is_noticed_and_outlived(self, sink: Sink[Any], destination: Destination) -> None:
        """A destination that goes away while the sink is open fails a send; after it is back, the sink delivers."""
        if not self.notices_an_outage:
            pytest.skip("this kind of destination does not show an outage")
        await sink.open()
        await sink.send(make_items(1))
        await destination.break_down()
        failure = await _fails(sink, make_items(1, first=2), opened=True)
        assert isinstance(failure, Retryable | Misconfigured)
        await sink.close()
        await destination.mend()
        items = make_items(2, first=100)
        await sink.open()
        await sink.send(items)
        found = await self.showing(destination, lambda found: set(bodies(items)) <= set(found))
        assert [body for body in found if body in bodies(items)] == bodies(items)

    async def test_a_cancelled_send_leaves_nothing_that_close_does_not_release(
        self, make_sink: Callable[[], Sink[Any]], destination: Destination
    ) -> None:
        """The worker cancels a send that takes too long; then it closes, and opens again."""
        await destination.arrived()
        tasks, sockets = asyncio.all_tasks(), open_sockets()
        sink = make_sink()
        await sink.open()
        send = asyncio.ensure_future(sink.send(make_items(50)))
        await asyncio.sleep(0)
        send.cancel()
        await asyncio.gather(send, return_exceptions=True)
        await sink.close()
        await _settled(lambda: asyncio.all_tasks() <= tasks, self.patience)
        await _settled(lambda: len(open_sockets()) <= len(sockets) + self.sockets_of_the_peer, self.patience)
        last = make_items(1, first=1000)
        await sink.open()
        await sink.send(last)
        await sink.close()
        found = await self.showing(destination, lambda found: last[0].body in found)
        assert found.count(last[0].body) == 1

    async def test_a_destination_that_stalls_can_be_given_up(self, sink: Sink[Any], destination: Destination) -> None:
        """The send either ends by itself within its time-out or is cancelled then; close returns all the same."""
        await sink.open()
        await destination.stall()
        try:
            async with asyncio.timeout(sink.settings.timeout):
                await sink.send(make_items(20, size=100_000))
        except (TimeoutError, Retryable):
            pass  # the first is the worker's own bound, which it takes for an unanswered send
        else:
            pytest.fail("a send to a stalled destination was acknowledged")
        async with asyncio.timeout(sink.settings.timeout + 5):
            await sink.close()
        await destination.mend()

    async def test_a_refused_event_is_named_exactly(self, sink: Sink[Any], destination: Destination) -> None:
        """All before it are in, it is not, what follows was not taken; or none is in and the sink cannot say."""
        await destination.refuse(REFUSED_MARK.encode())
        items = [*make_items(2), *make_items(1, first=3, text=REFUSED_MARK), *make_items(2, first=4)]
        await sink.open()
        with pytest.raises(Refused) as raised:
            await sink.send(items)
        assert raised.value.at in (None, 2)
        if not self.takes_more_after_a_refusal:
            await self.has_arrived(destination, bodies(items[: raised.value.at or 0]))
        await sink.close()
        await sink.open()
        await sink.send(items[3:])
        await self.has_arrived(destination, bodies([*items[: raised.value.at or 0], *items[3:]]))

    async def test_no_failure_shows_a_secret(self, sink: Sink[Any], destination: Destination) -> None:
        """Neither its text, nor what caused it, nor a log line."""
        if not self.notices_an_outage:
            pytest.skip("this kind of destination does not show an outage")
        await destination.break_down()
        with structlog.testing.capture_logs() as lines:
            failure: BaseException | None = await _fails(sink, make_items(1), opened=False)
        assert not lines, "a sink does not log; the worker does"
        while failure is not None:
            _holds_no_secret(destination, str(failure), repr(failure), repr(failure.__dict__))
            failure = failure.__cause__ or failure.__context__


async def _fails(sink: Sink[Any], items: Sequence[Item], *, opened: bool) -> Failure:
    """Open and send until a failure shows, within the time-out and a moment.

    A protocol without acknowledgements may take a batch or two before it sees that its peer is gone.
    """
    try:
        async with asyncio.timeout(sink.settings.timeout + 5):
            if not opened:
                await sink.open()
            while True:
                await sink.send(items)
                await asyncio.sleep(0.05)
    except Failure as failure:
        return failure
    except TimeoutError:
        pytest.fail("the outage did not show within the time-out")


async def _settled(condition: Callable[[], bool], patience: float) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "a task or a socket outlives the sink's close"
        await asyncio.sleep(0.02)


def _holds_no_secret(destination: Destination, *texts: str) -> None:
    for text in texts:
        for secret in destination.secrets:
            assert secret not in text, "a secret shows"
