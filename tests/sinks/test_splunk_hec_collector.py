"""The Splunk sink into an OpenTelemetry Collector: others' reading of Splunk's protocol, with acknowledgement.

``HEC_KILLS`` sets how often the collector is killed while the sink sends.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
import pytest_asyncio

from forwarder.errors import Retryable
from forwarder.formats import FORMATS
from forwarder.record import Origin, parse_event
from forwarder.secret import Secret
from forwarder.simulator import World
from forwarder.sinks.base import Item
from forwarder.sinks.splunk_hec import SplunkHecSink
from tests.peers.otel_collector import OtelCollector
from tests.sinks.contract import Destination, SinkContract, make_items
from tests.sinks.test_splunk_hec_urls import make_sink

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(1000)]  # it may have to be built
KILLS = int(os.environ.get("HEC_KILLS", "1"))
BATCH = 40
MakeCollector = Callable[..., OtelCollector]


class Collector(Destination):
    """The collector as the shared contract sees it."""

    secrets = ("a-token-that-it-ignores",)

    def __init__(self, peer: OtelCollector) -> None:
        self.peer = peer

    def settings(self) -> dict[str, Any]:
        return {"url": self.peer.url, "token": Secret(self.secrets[0]), "timeout": 5.0}

    async def arrived(self) -> list[bytes]:
        (ours,) = make_items(1)
        model = orjson.loads(ours.body)
        return [orjson.dumps(_ordered(one.event, model)) for one in self.peer.stored()]

    async def break_down(self) -> None:
        self.peer.kill()

    async def stall(self) -> None:
        self.peer.freeze()

    async def mend(self) -> None:
        self.peer.thaw()
        if not self.peer.running:
            self.peer.start()


def _ordered(value: Any, model: Any) -> Any:
    """Give objects, whose keys the collector sorts, the order of keys that *model* has, so that bytes can be compared.

    A key that *model* does not know comes last.
    """
    if not isinstance(value, dict) or not isinstance(model, dict):
        return value
    keys = [*(key for key in model if key in value), *(key for key in value if key not in model)]
    return {key: _ordered(value[key], model.get(key)) for key in keys}


@pytest.fixture
def make_collector(tmp_path: Path) -> Any:
    """Start collectors, and end them after the test."""
    made: list[OtelCollector] = []

    def make(**options: bool) -> OtelCollector:
        made.append(OtelCollector(tmp_path, **options))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.thaw()
        one.stop()


class TestSplunkHecIntoTheCollector(SinkContract):
    kind = "splunk_hec"

    @pytest_asyncio.fixture
    async def destination(self, make_collector: MakeCollector) -> Collector:  # type: ignore[override] # ended by that
        return Collector(make_collector())


async def test_envelopes_are_read_as_they_are_meant(make_collector: MakeCollector) -> None:
    peer = make_collector()
    sink = make_sink(peer.url, index="audit", host="h", source="s")
    await sink.open()
    await sink.send(make_items(2))
    await sink.close()
    for stored, item in zip(peer.stored(), make_items(2), strict=True):
        assert round(stored.time / 1e6) == round(item.event.time / 1e3)  # milliseconds
        assert stored.attributes == {
            "host.name": "h",
            "com.splunk.source": "s",
            "com.splunk.sourcetype": "persona:user_audit_log",
            "com.splunk.index": "audit",
            "log_id": item.event.id,
        }


@pytest.mark.parametrize("acknowledgement", [True, False])
async def test_it_finds_out_whether_there_is_acknowledgement(
    make_collector: MakeCollector, *, acknowledgement: bool
) -> None:
    peer = make_collector(acknowledgement=acknowledgement)
    sink = make_sink(peer.url)
    await sink.open()
    assert sink.promise == ("indexed" if acknowledgement else "accepted")
    await sink.send(make_items(1))
    await sink.close()
    assert len(peer.stored()) == 1


async def test_what_check_live_asks_is_answered_and_leaves_nothing(make_collector: MakeCollector) -> None:
    peer = make_collector()
    sink = make_sink(peer.url, index="audit")
    await sink.probe()
    await sink.close()
    assert peer.stored() == []


async def test_many_batches_at_once_are_acknowledged_and_arrive_once(make_collector: MakeCollector) -> None:
    """On four channels, each of which counts its ids from 1."""
    peer = make_collector(keep_alive=True)
    sink = make_sink(peer.url)
    await sink.open()
    items = make_items(400)
    await asyncio.gather(*(sink.send(items[start : start + 25]) for start in range(0, 400, 25)))
    await sink.close()
    assert sorted(one.attributes["log_id"] for one in peer.stored()) == [item.event.id for item in items]


async def test_what_a_world_makes_arrives_equal(make_collector: MakeCollector) -> None:
    peer = make_collector()
    items = _items_of_a_world(3_000)
    sink = make_sink(peer.url)
    await sink.open()
    for start in range(0, len(items), 500):
        await sink.send(items[start : start + 500])
    await sink.close()
    assert [one.event for one in peer.stored()] == [orjson.loads(item.body) for item in items]


def _items_of_a_world(count: int) -> list[Item]:
    world, origin, made = World(records=count), Origin("persona", "org_1", "env_1"), []
    for seq, (resource, _) in enumerate(world.slice(0, count), 1):
        event = parse_event(resource, origin=origin, collected_at=0)
        made.append(Item(seq, event, FORMATS["json"](event)))
    return made


@pytest.mark.parametrize("keep_alive", [False, True], ids=["closes connections", "keeps connections"])
async def test_a_kill_takes_nothing_that_was_acknowledged(make_collector: MakeCollector, *, keep_alive: bool) -> None:
    """At each kill, at full speed, all that the sink was told is indexed is in the file; in the end, everything."""
    random, peer = Random(KILLS), make_collector(keep_alive=keep_alive)
    left = [make_items(BATCH, first=first, size=200) for first in range(1, (KILLS + 1) * 4_000, BATCH)]
    ids = {item.event.id for batch in left for item in batch}
    acknowledged: set[str] = set()
    cut = 0
    for kill in range(KILLS + 1):
        sink = make_sink(peer.url)
        await sink.open()
        senders = [asyncio.ensure_future(_send_all(sink, left, acknowledged)) for _ in range(sink.max_in_flight)]
        if kill < KILLS:
            await asyncio.sleep(random.uniform(0.05, 1.0))
            peer.kill()
            held = {one.attributes["log_id"] for one in peer.stored()}
            assert acknowledged <= held, "an acknowledged event is not in the file"
            await asyncio.sleep(random.uniform(0.0, 0.3))
            peer.start()  # while the sink goes on
        failures = [one for one in await asyncio.gather(*senders) if one is not None]
        await sink.close()
        cut += bool(failures)
        assert all(failure.kind in {"connection", "ack"} for failure in failures)
    held = {one.attributes["log_id"] for one in peer.stored()}
    assert not failures
    assert held == acknowledged == ids
    assert cut == KILLS, "a kill came when there was nothing left to send"
    assert peer.torn <= KILLS
    twice = len(peer.stored()) - len(ids)
    print(
        f"{KILLS} kills: {len(ids):,} sent, {len(held):,} stored, 0 missing, {twice:,} twice, {peer.torn} torn writes"
    )


async def _send_all(sink: SplunkHecSink, left: list[list[Item]], acknowledged: set[str]) -> Retryable | None:
    """Send what is *left*, and note what is acknowledged, until a send fails."""
    while left:
        batch = left.pop()
        try:
            await sink.send(batch)
        except Retryable as failure:
            left.append(batch)
            return failure
        acknowledged.update(item.event.id for item in batch)
    return None
