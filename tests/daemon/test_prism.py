"""Persona's own API description answers the whole daemon: its examples arrive in the file."""

from pathlib import Path

import pytest

from tests.daemon.process import DaemonProcess, Lines, environment, status_of
from tests.peers.prism import prism

pytestmark = pytest.mark.peer


async def test_the_description_s_examples_arrive_in_the_file(tmp_path: Path) -> None:
    lines, raw = Lines(tmp_path / "events.jsonl"), Lines(tmp_path / "raw.jsonl")
    with prism(tmp_path) as url:
        variables = environment(
            tmp_path, url, sinks="file,raw=file", raw_path=raw.path, raw_format="raw", persona_poll_interval="500ms"
        )
        with DaemonProcess(variables, tmp_path) as daemon:
            await daemon.until(lambda: len(lines.look()) >= 2 and len(raw.look()) >= 2)
            await daemon.ready()
            requests = b'forwarder_source_requests_total{source="persona",status="200"}'
            polls = 0.0
            while polls < 3:
                polls = float((await daemon.ask("/metrics"))[1].partition(requests)[2].split()[0])
            status = await status_of(variables, tmp_path)
            assert await daemon.stop() == 0
            assert daemon.events("source.misconfigured") == daemon.events("source.unavailable") == []
    # Polls that show the same again bring nothing twice.
    assert sorted(lines.look()) == sorted(raw.look()) == ["ual_ABC123ABC", "ual_ABC123XYZ"]
    for event in lines.content():
        assert event["occurred_at"] == "2023-10-03T21:31:05.163Z"
        assert event["user"]["id"] == "user_ABC123"
        assert event["user"]["email"] == "jane@doe.com"
        assert event["source"]["organization_id"].startswith("org_")
        assert "malformed" not in event
    assert status["sources"][0]["ids"] == 2
    assert status["sources"][0]["holes"] == []
