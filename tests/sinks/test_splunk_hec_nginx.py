"""Two collectors behind a real load balancer, with a cookie that keeps each connection at one of them, and without."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from forwarder.delivery import health
from forwarder.retry import Backoff
from forwarder.secret import Secret
from forwarder.sinks.base import SinkContext
from forwarder.sinks.splunk_hec import SplunkHecSettings, SplunkHecSink, lane, rota
from tests.delivery.conftest import Rig
from tests.delivery.memory_journal import MemoryJournal
from tests.peers.hec import TOKEN, HecServer
from tests.peers.nginx import Nginx

pytestmark = pytest.mark.peer
EVENTS = 400


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = Backoff(first=0.01, factor=2.0, cap=0.1)
    monkeypatch.setattr(health, "RETRY", quick)
    monkeypatch.setattr(lane, "FIRST_POLL", 0.01)
    monkeypatch.setattr(lane, "LONGEST_POLL", 0.05)
    monkeypatch.setattr(lane, "PATIENCE", 1.0)
    monkeypatch.setattr(rota, "LEFT_OUT", 0.05)


@pytest_asyncio.fixture
async def pair() -> AsyncIterator[list[HecServer]]:
    """Run two collectors with acknowledgement, which take a moment to index."""
    servers = [await HecServer().start(), await HecServer().start()]
    for server in servers:
        server.tokens[TOKEN] = "ack"
        server.delay = 0.02
    yield servers
    for server in servers:
        await server.stop()


@pytest.fixture
def behind(tmp_path: Path, pair: list[HecServer]) -> Iterator[Callable[[str], str]]:
    """Start nginx before both, and give its URL."""
    running: list[Nginx] = []

    def start(kind: str) -> str:
        running.append(Nginx(tmp_path, [server.port for server in pair], sticky=kind == "sticky"))
        running[-1].start()
        return running[-1].url

    yield start
    for one in running:
        one.stop()


async def delivered(
    url: str, pair: list[HecServer], between: Callable[[], object] = lambda: None, *, ack_timeout: str = "30s"
) -> tuple[int, float]:
    """Deliver through the worker until all is acknowledged; how many were indexed twice, and how many may have been."""
    journal = MemoryJournal()
    journal.release(EVENTS)
    settings = {"url": url, "token": Secret(TOKEN), "timeout": "5s", "ack_timeout": ack_timeout, "batch_max_events": 10}
    rig = Rig(journal)
    rig.start(SplunkHecSink(SplunkHecSettings.model_validate(settings), SinkContext("scripted", "memory")))
    async with asyncio.timeout(90):
        while journal.cursors.get("scripted") != EVENTS:
            await asyncio.sleep(0.01)
            between()
    await rig.halt()
    counted = sum(rig.value("sink_possible_duplicates_total", reason=word) for word in ("ack", "connection", "error"))
    indexed = Counter(envelope["fields"]["log_id"] for server in pair for envelope in server.indexed)
    assert indexed.keys() == {f"ual_{seq}" for seq in range(1, EVENTS + 1)}
    return indexed.total() - len(indexed), counted


async def test_behind_a_sticky_balancer_everything_is_indexed_once(
    pair: list[HecServer], behind: Callable[[str], str]
) -> None:
    duplicates, counted = await delivered(behind("sticky"), pair)
    assert (duplicates, counted) == (0, 0)
    for server in pair:
        given = {seen.channel for seen in server.posts()}
        asked = {seen.channel for seen in server.polls()}
        assert given <= asked, "whoever took the events is asked about them"


async def test_behind_a_balancer_that_is_not_sticky_nothing_is_lost(
    pair: list[HecServer], behind: Callable[[str], str]
) -> None:
    """Ids of two indexers meet on one channel; that is noticed, and from then on each request has its own."""
    duplicates, counted = await delivered(behind("in turn"), pair, ack_timeout="3s")
    assert all(server.indexed for server in pair)
    assert duplicates <= counted <= EVENTS / 2


async def test_an_indexer_that_dies_behind_a_sticky_balancer_costs_what_it_had_not_indexed(
    pair: list[HecServer], behind: Callable[[str], str]
) -> None:
    """The balancer answers for it, and moves us with its cookie."""
    url = behind("sticky")
    crashes: list[asyncio.Task[None]] = []

    def crash_once() -> None:
        if not crashes and len(pair[0].posts()) > 3:
            crashes.append(asyncio.ensure_future(pair[0].restart()))

    duplicates, counted = await delivered(url, pair, crash_once, ack_timeout="3s")
    await asyncio.gather(*crashes)
    assert crashes
    assert duplicates <= counted
