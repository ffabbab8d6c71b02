"""``forwarder status`` and ``forwarder dead-letters``: what the journal says, beside a daemon or without one."""

import asyncio
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner, Result

from forwarder.cli import app
from forwarder.clock import BEGINNING, SECOND, SystemClock
from forwarder.journal import CollectedRecord, DeadLetter, Journal, PageRead, Row

NOW = 1_772_356_502 * SECOND


async def fill(path: Path) -> None:
    """A journal with two events, one undelivered, one dead letter, and a sink that is configured no more."""
    journal = await Journal.open(path, clock=SystemClock())
    for sink in ("archive", "gone"):
        await journal.register_sink(sink, "file", start=None)
    source = await journal.open_poll("persona", now=NOW, lookback=1, sweep_interval=1)
    await journal.claim_source("persona", "org_1", "env_1")
    rows = [Row("ual_2", NOW - SECOND), Row("ual_1", NOW - 2 * SECOND)]
    records = [
        CollectedRecord(row, orjson.dumps({"type": "user-audit-log", "id": row.id, "attributes": {}}), None)
        for row in rows
    ]
    await journal.collect(
        "persona", source.gaps[0].id, PageRead(rows, None, NOW, NOW), records=records, start_at=BEGINNING
    )
    first = (await journal.read(0, max_events=1, max_bytes=1 << 20))[0]
    letter = DeadLetter(first.seq, "persona", first.id, "larger than 8192 bytes", NOW, first.body, None)
    await journal.commit("archive", first.seq, [letter])
    await journal.close()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "forwarder.db"
    asyncio.run(fill(path))
    return path


def call(journal: Path, *words: str) -> Result:
    return CliRunner().invoke(
        app,
        words,
        env={
            "FORWARDER_PERSONA_API_KEY": "persona_production_0123456789",
            "FORWARDER_SINKS": "archive=file",
            "FORWARDER_ARCHIVE_PATH": str(journal.parent / "out.jsonl"),
            "FORWARDER_STATE_PATH": str(journal),
        },
    )


def test_status_tells_what_is_complete_and_what_each_sink_has_to_get(journal: Path) -> None:
    """For people: completeness, backlog, dead letters, promises, and a sink that is no longer configured."""
    result = call(journal, "status")
    assert result.exit_code == 0
    assert "complete from 2026-03-01T09:15:00.000Z to 2026-03-01T09:15:02.000Z" in result.output
    assert "organization org_1" in result.output
    lines = {line.split()[0]: line for line in result.output.splitlines() if line}
    assert lines["archive"].split()[2] == "1"
    assert "on disk" in lines["archive"]
    assert "no longer configured; keeps its place" in lines["gone"]


def test_status_is_one_json_object_for_scripts(journal: Path) -> None:
    """The same, with the promises."""
    found = orjson.loads(call(journal, "status", "--json").stdout)
    assert found["sources"][0]["ids"] == 2
    assert {sink["name"]: sink["backlog_events"] for sink in found["sinks"]} == {"archive": 1, "gone": 2}
    assert found["promises"] == {"archive": "on disk"}
    assert not found["running"]


def test_a_dead_letter_is_listed_with_its_reason_and_shown_whole(journal: Path) -> None:
    """List, then show by the log's id."""
    assert "larger than 8192 bytes" in call(journal, "dead-letters", "list").output
    assert call(journal, "dead-letters", "list", "--sink", "gone").output == "no dead letters\n"
    shown = orjson.loads(call(journal, "dead-letters", "show", "ual_1").stdout)
    assert shown["resource"]["id"] == "ual_1"
    assert shown["sink"] == "archive"


def test_a_letter_that_does_not_exist_is_said_so(journal: Path) -> None:
    """Exit status 1 and where to look."""
    result = call(journal, "dead-letters", "show", "ual_9")
    assert result.exit_code == 1
    assert "dead-letters list" in result.output
