"""The whole daemon into an OpenTelemetry Collector, with acknowledgement: kills on both sides lose nothing.

``HEC_KILLS`` sets how often each side is killed.
"""

import os
from pathlib import Path

import pytest

from tests.daemon.process import Lines
from tests.daemon.test_splunk import killed_on_both_sides
from tests.peers.otel_collector import OtelCollector

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(2000)]  # it may have to be built
KILLS = int(os.environ.get("HEC_KILLS", "1"))


@pytest.mark.parametrize("keep_alive", [False, True], ids=["closes connections", "keeps connections"])
async def test_kills_on_both_sides_lose_nothing_and_change_nothing(tmp_path: Path, *, keep_alive: bool) -> None:
    """Each event is in the collector's file as it is in our own."""
    peer = OtelCollector(tmp_path, keep_alive=keep_alive)
    peer.start()
    try:
        print(await killed_on_both_sides(tmp_path, peer, records=10_000 * KILLS, kills=KILLS))
    finally:
        peer.stop()
    ours = {line["id"]: line for line in Lines(tmp_path / "archive.jsonl").content()}
    for one in peer.stored():
        assert one.event == ours[one.attributes["log_id"]]
    assert peer.torn <= KILLS
