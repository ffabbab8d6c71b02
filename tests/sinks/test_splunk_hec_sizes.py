"""How much goes into one request, and what is learnt from one that was too large."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio

from forwarder.errors import Failure, Refused
from forwarder.sinks.base import Item
from forwarder.sinks.splunk_hec import SplunkHecSink
from forwarder.sinks.splunk_hec.envelope import KEYS
from forwarder.sinks.splunk_hec.sizes import SMALLEST, BodyLimit
from tests.peers.hec import HecServer
from tests.sinks.contract import REFUSED_MARK, bodies, make_items
from tests.sinks.test_splunk_hec import make_sink as make_any_sink


@pytest_asyncio.fixture
async def server() -> AsyncIterator[HecServer]:
    """Run a collector."""
    server = await HecServer().start()
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def sink(server: HecServer) -> AsyncIterator[SplunkHecSink]:
    sink = make_sink(server)
    await sink.open()
    yield sink
    await sink.close()


def make_sink(server: HecServer, **settings: Any) -> SplunkHecSink:
    return make_any_sink(server, **{"timeout": 20.0, "gzip": False, **settings})


async def deliver(sink: SplunkHecSink, items: list[Item]) -> list[tuple[Item, str]]:
    """Deliver as the worker does: halve where the sink cannot say, leave out what is refused, and give that."""
    try:
        await sink.send(items)
    except Refused as refused:
        if refused.at is None and len(items) > 1:
            half = len(items) // 2
            return [*await deliver(sink, items[:half]), *await deliver(sink, items[half:])]
        at = refused.at or 0
        rest = items[at + 1 :]
        return [(items[at], refused.reason), *(await deliver(sink, rest) if rest else [])]
    except Failure as failure:
        accepted = getattr(failure, "accepted", 0)
        return await deliver(sink, items[accepted:])
    return []


async def test_a_body_that_was_too_large_is_not_tried_again(server: HecServer, sink: SplunkHecSink) -> None:
    """A proxy's limit, with 413: the next bodies are half as large, without another refusal."""
    server.largest_body = 300_000
    items = make_items(40, size=20_000)
    assert await deliver(sink, items[:20]) == []
    posts = len(server.posts())
    assert await deliver(sink, items[20:]) == []
    assert len(server.indexed) == 40
    assert all(len(seen.body) <= 300_000 for seen in server.posts()[posts:])


async def test_the_limit_of_cloud_is_learnt_though_it_blames_an_event(server: HecServer, sink: SplunkHecSink) -> None:
    """It is believed once the event that was blamed is taken in a smaller body."""
    server.cloud_limit = 300_000
    items = make_items(40, size=20_000)
    assert await deliver(sink, items[:20]) == []
    posts = len(server.posts())
    assert await deliver(sink, items[20:]) == []
    assert server.events() == [orjson.loads(body) for body in bodies(items)]
    assert all(len(seen.body) <= 300_000 for seen in server.posts()[posts:])


async def test_a_first_event_that_is_really_bad_lowers_no_limit(server: HecServer, sink: SplunkHecSink) -> None:
    server.indexer.refuse = lambda text: REFUSED_MARK in text
    items = [*make_items(1, text=REFUSED_MARK), *make_items(20, first=2, size=20_000)]
    [(dead, reason)] = await deliver(sink, items)
    assert dead is items[0]
    assert "code 6" in reason
    assert len(server.indexed) == 20
    posts = len(server.posts())
    await sink.send(make_items(20, first=100, size=20_000))
    assert len(server.posts()) == posts + 1


@pytest.mark.parametrize("limit", ["413", "event"])
async def test_an_event_that_splunk_takes_not_even_alone_is_refused_with_its_size(
    server: HecServer, sink: SplunkHecSink, limit: str
) -> None:
    """Its neighbours go on."""
    items = [*make_items(2), *make_items(1, first=3, size=400_000), *make_items(2, first=4)]
    if limit == "413":
        server.largest_body = 300_000
    else:
        server.indexer.largest_event = 300_000
    [(dead, reason)] = await deliver(sink, items)
    assert dead is items[2]
    assert "the event has 40" in reason
    assert len(server.indexed) == 4


async def test_an_event_above_our_own_limit_is_sent_alone(server: HecServer) -> None:
    sink = make_sink(server, max_body_bytes="64KiB")
    await sink.open()
    items = [*make_items(2), *make_items(1, first=3, size=100_000), *make_items(2, first=4)]
    await sink.send(items)
    await sink.close()
    assert [seen.body.count(b"\n") + 1 for seen in server.posts()] == [2, 1, 2]
    assert server.events() == [orjson.loads(body) for body in bodies(items)]


async def test_no_envelope_holds_a_key_that_splunk_does_not_know(server: HecServer) -> None:
    sink = make_sink(server, index="audit", source="s", host="h")
    await sink.open()
    await sink.send(make_items(3))
    await sink.close()
    assert all(set(envelope) == KEYS for envelope in server.indexed)


def test_a_limit_never_grows_and_never_falls_below_what_is_plausible() -> None:
    limit = BodyLimit(1 << 20)
    limit.too_large(400_000)
    assert limit.bytes == 200_000
    limit.too_large(1_000_000)
    assert limit.bytes == 200_000
    for _ in range(20):
        limit.too_large(limit.bytes)
    assert limit.bytes == SMALLEST


def test_a_suspicion_is_proven_by_a_smaller_body_alone() -> None:
    limit = BodyLimit(1 << 20)
    limit.suspect(7, 500_000)
    limit.taken(8, 1000)
    limit.taken(7, 500_000)
    assert limit.bytes == 1 << 20
    limit.suspect(7, 500_000)
    limit.suspect(7, 250_000)  # its half was refused, too
    limit.taken(7, 125_000)
    assert limit.bytes == 250_000


def test_suspicions_do_not_pile_up() -> None:
    limit = BodyLimit(1 << 20)
    for first in range(100_000):
        limit.suspect(first, 500_000)
    assert len(limit._suspects) <= 100
