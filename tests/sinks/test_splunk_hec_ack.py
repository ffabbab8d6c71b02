"""Indexer acknowledgement: an event is in when Splunk says that it is indexed, and not before."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest
import pytest_asyncio

from forwarder.errors import Misconfigured, Refused, Retryable
from forwarder.sinks.splunk_hec import SplunkHecSink, lane
from tests.peers.hec import ALL, TOKEN, HecServer, Scripted
from tests.sinks.contract import REFUSED_MARK, SinkContract, bodies, make_items, until
from tests.sinks.test_splunk_hec import HecDestination, make_sink

NEVER = 3600.0
SUCCESS = {"text": "Success", "code": 0}


@pytest.fixture(autouse=True)
def _quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "FIRST_POLL", 0.01)
    monkeypatch.setattr(lane, "LONGEST_POLL", 0.05)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[HecServer]:
    """Run a collector whose token has indexer acknowledgement, and which takes a moment to index."""
    server = HecServer()
    server.tokens[TOKEN] = "ack"
    server.delay = 0.02
    yield await server.start()
    await server.stop()


class TestSplunkHecWithAcknowledgement(SinkContract):
    kind = "splunk_hec"
    sockets_of_the_peer = 1

    @pytest_asyncio.fixture
    async def destination(self, server: HecServer) -> HecDestination:  # type: ignore[override] # closed by `server`
        return HecDestination(server)


@pytest_asyncio.fixture
async def sink(server: HecServer) -> AsyncIterator[SplunkHecSink]:
    sink = make_sink(server)
    await sink.open()
    yield sink
    await sink.close()


def index_all(server: HecServer) -> None:
    """Let the collector index what it holds."""
    server.indexer.index(float("inf"))


# What the token wants


@pytest.mark.parametrize(
    ("state", "ack", "promise"),
    [
        ("ack", "auto", "indexed"),
        ("ack", "on", "indexed"),
        ("enabled", "auto", "accepted"),
        ("enabled", "off", "accepted"),
    ],
)
async def test_the_promise_is_what_the_token_allows(server: HecServer, state: str, ack: str, promise: str) -> None:
    server.tokens[TOKEN] = state
    sink = make_sink(server, ack=ack)
    await sink.open()
    assert sink.promise == promise
    await sink.send(make_items(3))
    await sink.close()
    await until(lambda: len(server.indexed) == 3)
    assert bool(server.polls()) == (ack != "off")


@pytest.mark.parametrize(("state", "ack"), [("enabled", "on"), ("ack", "off")])
async def test_a_token_that_is_otherwise_than_it_was_said_is_the_operators_to_mend(
    server: HecServer, state: str, ack: str
) -> None:
    server.tokens[TOKEN] = state
    sink = make_sink(server, ack=ack)
    with pytest.raises(Misconfigured, match="FORWARDER_SOC_ACK"):
        await sink.open()
    await sink.close()


@pytest.mark.parametrize(("before", "after"), [("enabled", "ack"), ("ack", "enabled")])
async def test_auto_follows_a_token_that_was_changed(server: HecServer, before: str, after: str) -> None:
    """The next failure, which is no fault of the operator's, lets it ask again."""
    server.tokens[TOKEN] = before
    sink = make_sink(server)
    await sink.open()
    await sink.send(make_items(1))
    server.tokens[TOKEN] = after
    with pytest.raises(Retryable):
        await sink.send(make_items(1, first=2))
    await sink.close()
    await sink.open()
    assert sink.promise == ("indexed" if after == "ack" else "accepted")
    await sink.send(make_items(1, first=2))
    await sink.close()


async def test_a_splunk_that_is_busy_when_it_is_asked_is_asked_again(server: HecServer) -> None:
    """Taking that for a no would send without a channel."""
    server.poll_script.append(Scripted(503, {"text": "Server is busy", "code": 9}))
    sink = make_sink(server)
    with pytest.raises(Retryable, match="code 9"):
        await sink.open()
    await sink.open()
    assert sink.promise == "indexed"
    await sink.close()


@pytest.mark.parametrize("ack", ["auto", "on"])
async def test_a_stand_in_for_splunk_that_knows_no_polls(server: HecServer, ack: str) -> None:
    """Without acknowledgement it is used as it is; where acknowledgement was asked for, that cannot be had."""
    server.tokens[TOKEN] = "enabled"
    server.poll_script.append(Scripted(500, b"<html>"))
    sink = make_sink(server, ack=ack)
    if ack == "on":
        with pytest.raises(Misconfigured, match="knows no indexer acknowledgement"):
            await sink.open()
    else:
        await sink.open()
        assert sink.promise == "accepted"
    await sink.close()


# Proof


async def test_http_200_is_no_proof(server: HecServer, sink: SplunkHecSink) -> None:
    """The send ends when the events are indexed."""
    server.delay = NEVER
    send = asyncio.ensure_future(sink.send(make_items(5)))
    await until(lambda: len(server.polls()) > 5)
    assert not send.done()
    index_all(server)
    await send
    assert len(server.indexed) == 5


async def test_several_batches_wait_side_by_side(server: HecServer, sink: SplunkHecSink) -> None:
    """Each for its own acknowledgement, in whatever order these come."""
    server.delay = NEVER
    sends = [asyncio.ensure_future(sink.send(make_items(2, first=10 * n + 1))) for n in range(8)]
    await until(lambda: len(server.indexer.queue) == 8)
    last = server.indexer.queue.pop()
    server.indexer.queue.insert(0, last)
    last.due = 0
    await until(lambda: any(send.done() for send in sends))
    assert sum(send.done() for send in sends) == 1
    index_all(server)
    await asyncio.gather(*sends)
    assert len(server.indexed) == 16
    assert sink.max_in_flight >= 8


async def test_a_channel_is_kept_while_all_goes_well_and_each_start_makes_new_ones(server: HecServer) -> None:
    sink = make_sink(server)
    channels = []
    for _ in range(2):
        await sink.open()
        for n in range(3):
            await sink.send(make_items(1, first=n + 1))
        await sink.close()
        channels.append({seen.channel for seen in server.posts()[-3:]})
    assert [len(one) for one in channels] == [1, 1]
    assert channels[0] != channels[1]


async def test_a_batch_of_several_requests_waits_for_all_of_them(server: HecServer, sink: SplunkHecSink) -> None:
    server.delay = NEVER
    send = asyncio.ensure_future(sink.send(make_items(15, size=100_000)))
    await until(lambda: len(server.indexer.queue) == 2)
    server.indexer.queue[0].due = 0
    polls = len(server.polls())
    await until(lambda: len(server.polls()) > polls + 5)
    assert not send.done()
    index_all(server)
    await send


async def test_a_send_that_was_cancelled_awaits_nothing_any_more(server: HecServer, sink: SplunkHecSink) -> None:
    server.delay = NEVER
    send = asyncio.ensure_future(sink.send(make_items(1)))
    await until(lambda: server.indexer.queue)
    send.cancel()
    await asyncio.gather(send, return_exceptions=True)
    polls = len(server.polls())
    await asyncio.sleep(0.3)
    assert len(server.polls()) <= polls + 1, "nobody waits, so nobody asks"


@pytest.mark.parametrize("code", [6, 12, 13, 15])
async def test_what_is_before_a_refused_event_is_proven_before_it_is_refused(
    server: HecServer, sink: SplunkHecSink, code: int
) -> None:
    """The reply of a refusal holds the id for what is before it."""
    server.delay = NEVER
    server.script.append(Scripted(400, {"text": "no", "code": code, "invalid-event-number": 3}, index=3))
    send = asyncio.ensure_future(sink.send(make_items(6)))
    await until(lambda: len(server.polls()) > 5)
    assert not send.done()
    index_all(server)
    with pytest.raises(Refused) as raised:
        await send
    assert raised.value.at == 3
    assert len(server.indexed) == 3


async def test_a_reply_without_an_id_proves_nothing(server: HecServer, sink: SplunkHecSink) -> None:
    server.script.append(Scripted(200, SUCCESS))
    with pytest.raises(Retryable, match="no acknowledgement id") as raised:
        await sink.send(make_items(1))
    assert raised.value.unanswered


# Losing it


async def lost(send: asyncio.Future[None]) -> Retryable:
    """Take the failure of a send whose acknowledgement is lost."""
    with pytest.raises(Retryable) as raised:
        await asyncio.wait_for(send, 30)
    assert raised.value.unanswered
    assert raised.value.accepted == 0
    return raised.value


async def test_a_splunk_that_lost_its_queue_gets_the_events_again(
    server: HecServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut between the reply and the index: HTTP 200 alone would have lost them."""
    monkeypatch.setattr(lane, "PATIENCE", 0.2)
    sink = make_sink(server)
    await sink.open()
    server.delay = NEVER
    sends = [asyncio.ensure_future(sink.send(make_items(2, first=10 * n + 1))) for n in range(3)]
    await until(lambda: len(server.indexer.queue) == 3)
    await server.restart()
    for send in sends:
        assert (await lost(send)).kind == "ack"
    await sink.close()
    assert server.indexed == []
    server.delay = 0.02
    await sink.open()
    for n in range(3):
        await sink.send(make_items(2, first=10 * n + 1))
    await sink.close()
    assert len(server.indexed) == 6


async def test_a_collector_that_closes_each_connection_as_announced_has_not_been_away(
    server: HecServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take longer to index than a sink in doubt would wait; nothing is sent twice, and the channel is kept."""
    monkeypatch.setattr(lane, "PATIENCE", 0.1)
    server.closes, server.delay = True, 0.6
    sink = make_sink(server)
    await sink.open()
    for first in (1, 2):
        await sink.send(make_items(1, first=first))
    await sink.close()
    assert len({seen.connection for seen in server.seen}) == len(server.seen) > 10
    assert len(server.indexed) == 2
    assert len({seen.channel for seen in server.posts()}) == 1


async def test_a_restart_that_no_connection_shows_is_waited_out_for_a_minute_at_most(
    server: HecServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "BLIND_PATIENCE", 0.3)
    server.closes, server.delay = True, NEVER
    sink = make_sink(server)
    await sink.open()
    send = asyncio.ensure_future(sink.send(make_items(1)))
    await until(server.polls)
    server.indexer.crash()
    failure = await lost(send)
    await sink.close()
    assert "no acknowledgement in time" in failure.reason


async def test_ids_that_run_backwards_end_the_channel_at_once(server: HecServer, sink: SplunkHecSink) -> None:
    """Somebody else answers, who counts from 0 again: an old 0 must not be taken for the new one."""
    server.delay = NEVER
    first = asyncio.ensure_future(sink.send(make_items(2)))
    await until(lambda: server.indexer.queue)
    server.indexer.crash()
    for other in sink._lanes[0][1:]:
        other.load = 100  # so that the next request takes the same connection
    second = asyncio.ensure_future(sink.send(make_items(2, first=3)))
    for failure in (await lost(first), await lost(second)):
        assert "run backwards" in failure.reason
    server.delay = 0.02
    await sink.send(make_items(4))
    assert len({seen.channel for seen in server.posts()}) == 2
    assert len(server.indexed) == 4


async def test_behind_a_balancer_that_is_not_sticky_each_request_has_a_channel_of_its_own(
    server: HecServer, sink: SplunkHecSink
) -> None:
    """Ids that ran backwards on a connection that lived on: no restart did that. It is remembered over a reopening."""
    await sink.send(make_items(1))
    server.indexer.crash()
    for other in sink._lanes[0][1:]:
        other.load = 100  # so that the next request takes the same connection
    with pytest.raises(Retryable, match="without sticky sessions"):
        await sink.send(make_items(1, first=2))
    await sink.close()
    await sink.open()
    for first in (2, 3, 4):
        await sink.send(make_items(1, first=first))
    assert len({seen.channel for seen in server.posts()[2:]}) == 3


@pytest.mark.parametrize(
    "fault",
    [
        Scripted(reset="late", index=ALL),
        Scripted(reset="cut", index=ALL),
        Scripted(200, b"<html>", index=ALL),
        Scripted(502, b"<html>", index=ALL),
    ],
)
async def test_an_id_that_was_given_and_not_told_is_not_taken_for_an_old_one(
    server: HecServer, sink: SplunkHecSink, fault: Scripted
) -> None:
    """Splunk loses what it held, and gives its first id again, to a request whose answer is lost."""
    server.delay = NEVER
    first = asyncio.ensure_future(sink.send(make_items(2)))
    await until(lambda: server.indexer.queue)
    for other in sink._lanes[0][1:]:
        other.load = 100  # so that the next request takes the same connection, and channel
    server.indexer.crash()
    server.script.append(fault)
    second = asyncio.ensure_future(sink.send(make_items(2, first=3)))
    await lost(second)
    index_all(server)
    await lost(first)
    assert [envelope["fields"]["log_id"] for envelope in server.indexed] == ["ual_000003", "ual_000004"]


async def test_a_channel_that_splunk_may_have_forgotten_is_not_used_again(
    server: HecServer, sink: SplunkHecSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It forgets an idle one and counts from 0 again, which would look like another Splunk."""
    await sink.send(make_items(1))
    await sink.send(make_items(1, first=2))
    server.indexer.channels.clear()
    monkeypatch.setattr(lane, "LONGEST_IDLE", 0.0)
    await sink.send(make_items(1, first=3))
    channels = [seen.channel for seen in server.posts()]
    assert channels[0] == channels[1] != channels[2]
    assert len(server.indexed) == 3


async def test_a_refused_poll_ends_the_channel(server: HecServer, sink: SplunkHecSink) -> None:
    server.delay = NEVER
    server.poll_script.append(Scripted(400, {"text": "Invalid data channel", "code": 11}))
    assert "refused to tell" in (await lost(asyncio.ensure_future(sink.send(make_items(1))))).reason
    server.delay = 0.02
    await sink.send(make_items(1))
    before, after = (seen.channel for seen in server.posts())
    assert before != after


@pytest.mark.parametrize(
    "answer",
    [
        Scripted(503, {"text": "Server is busy", "code": 9}),
        Scripted(404, {"text": "The requested URL was not found on this server.", "code": 404}),
        Scripted(502, b"<html>"),
        Scripted(200, b'{"acks":', headers={"Content-Type": "application/json"}),
        Scripted(reset="early"),
    ],
)
async def test_a_poll_without_an_answer_is_asked_again(
    server: HecServer, sink: SplunkHecSink, answer: Scripted
) -> None:
    """What is awaited is not taken for delivered, nor for lost."""
    server.poll_script.extend([answer, answer])
    await sink.send(make_items(1))
    assert len(server.posts()) == 1
    assert len(server.indexed) == 1


async def test_an_acknowledgement_that_was_told_and_lost_is_sent_again_soon(
    server: HecServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Splunk says true once; after a broken connection the whole time-out is not waited for."""
    monkeypatch.setattr(lane, "PATIENCE", 0.2)
    sink = make_sink(server)
    await sink.open()
    server.delay = NEVER
    send = asyncio.ensure_future(sink.send(make_items(1)))
    await until(lambda: server.indexer.queue)
    server.poll_script.append(Scripted(reset="early"))
    for channel in server.indexer.channels.values():  # the answer that said so was lost
        channel.indexed.clear()
    assert (await lost(send)).kind == "ack"
    await sink.close()


async def test_the_time_out_ends_the_wait(server: HecServer) -> None:
    sink = make_sink(server, ack_timeout="200ms")
    await sink.open()
    server.delay = NEVER
    assert "in time" in (await lost(asyncio.ensure_future(sink.send(make_items(1))))).reason
    again = asyncio.ensure_future(sink.send(make_items(1)))
    await until(lambda: len(server.posts()) == 2)
    before, after = (seen.channel for seen in server.posts())
    assert before != after
    assert sink.longest_send == pytest.approx(5.2)
    await sink.close()
    await lost(again)


async def test_of_several_requests_those_before_the_lost_one_are_in(server: HecServer, sink: SplunkHecSink) -> None:
    server.delay = NEVER
    send = asyncio.ensure_future(sink.send(make_items(15, size=100_000)))
    await until(lambda: len(server.indexer.queue) == 2)
    server.indexer.queue[0].due = 0
    await until(lambda: len(server.indexed) == 10 and orjson.loads(server.polls()[-1].body) == {"acks": [1]})
    server.poll_script.append(Scripted(400, {"text": "Invalid data channel", "code": 11}))
    with pytest.raises(Retryable) as raised:
        await send
    assert raised.value.accepted == 10


# Behind a load balancer


async def test_a_cookie_sticks(server: HecServer, sink: SplunkHecSink) -> None:
    server.cookie = "AWSELB=one"
    for n in range(3):
        await sink.send(make_items(1, first=n + 1))
    assert [seen.headers.get("Cookie") for seen in server.posts()] == [None, "AWSELB=one", "AWSELB=one"]
    assert len({seen.channel for seen in server.posts()}) == 1


@pytest.mark.parametrize(("name", "channels"), [("AWSELB", 2), ("SERVERID", 2), ("AWSALB", 1)])
async def test_another_indexer_gets_another_channel(
    server: HecServer, sink: SplunkHecSink, name: str, channels: int
) -> None:
    """Which one answers shows in its cookie; that of AWS' newer balancer changes with each answer and shows nothing."""
    server.cookie = f"{name}=one"
    await sink.send(make_items(1))
    await sink.send(make_items(1, first=2))
    server.cookie = f"{name}=two"
    await sink.send(make_items(1, first=3))  # its answer, or the poll's, brings the new cookie
    await sink.send(make_items(1, first=4))
    assert len({seen.channel for seen in server.posts()}) == channels
    assert len(server.indexed) == 4


# Nearing its limits


@pytest.mark.parametrize("code", [24, 25])
async def test_a_splunk_near_its_limits_says_so_in_passing(server: HecServer, sink: SplunkHecSink, code: int) -> None:
    """It took the events; the worker sends less at once until it no longer says so."""
    server.script.append(Scripted(200, {"text": "approaching capacity", "code": code}, index=ALL))
    said = []
    for first in (1, 3):
        await sink.send(make_items(2, first=first))
        said.append(sink.strained)
    assert said == [True, False]
    assert server.events() == [orjson.loads(body) for body in bodies(make_items(4))]


async def test_a_refused_event_is_a_dead_letter_and_its_neighbours_are_indexed(
    server: HecServer, sink: SplunkHecSink
) -> None:
    server.indexer.refuse = lambda text: REFUSED_MARK in text
    items = [*make_items(2), *make_items(1, first=3, text=REFUSED_MARK), *make_items(2, first=4)]
    with pytest.raises(Refused) as raised:
        await sink.send(items)
    assert raised.value.at == 2
    await sink.send(items[3:])
    assert server.events() == [orjson.loads(body) for body in bodies([*items[:2], *items[3:]])]
