"""How the real process ends: the statuses of the contract, and a stop at the worst moments."""

import asyncio
import signal
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from forwarder.simulator import SimulatedPersona
from tests.daemon.process import DaemonProcess, Lines, Process, environment
from tests.peers import free_port
from tests.peers.hec import TOKEN, HecServer, Scripted

GRACE = 2.0


async def run_to_its_end(variables: dict[str, str], folder: Path) -> tuple[int, str]:
    with DaemonProcess(variables, folder) as daemon:
        return await daemon.ended(30), daemon.words()


async def test_wrong_usage_is_2(tmp_path: Path) -> None:
    with Process(["run", "--speed", "9"], {}, tmp_path / "log") as process:
        assert await process.ended(30) == 2
        assert "--speed" in process.words()


async def test_a_journal_in_a_directory_that_does_not_exist_is_73(persona: SimulatedPersona, tmp_path: Path) -> None:
    variables = environment(tmp_path, persona, state_path=tmp_path / "nowhere" / "forwarder.db")
    status, words = await run_to_its_end(variables, tmp_path)
    assert status == 73
    assert "FORWARDER_STATE_PATH" in words
    assert persona.stats.requests == 0


@pytest.mark.parametrize("damage", ["text", "middle"])
async def test_a_damaged_journal_is_74_and_left_as_it_is(
    persona: SimulatedPersona, tmp_path: Path, damage: str
) -> None:
    journal = tmp_path / "forwarder.db"
    variables = environment(tmp_path, persona)
    if damage == "text":
        journal.write_bytes(b"these are somebody's notes, and no journal\n" * 100)
    else:
        lines = Lines(tmp_path / "events.jsonl")
        with DaemonProcess(variables, tmp_path) as daemon:
            await daemon.until(lambda: len(lines.look()) == 300)
            assert await daemon.stop() == 0
        content = bytearray(journal.read_bytes())
        content[4096 : len(content) // 2] = b"\xa5" * (len(content) // 2 - 4096)
        journal.write_bytes(content)
    before, asked = journal.read_bytes(), persona.stats.requests
    status, words = await run_to_its_end(variables, tmp_path)
    assert status == 74
    assert "damaged" in words
    assert journal.read_bytes() == before
    assert persona.stats.requests == asked


async def test_the_database_of_another_program_is_74_and_left_as_it_is(
    persona: SimulatedPersona, tmp_path: Path
) -> None:
    journal = tmp_path / "forwarder.db"
    with closing(sqlite3.connect(journal)) as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")
        other.commit()
    before = journal.read_bytes()
    status, words = await run_to_its_end(environment(tmp_path, persona), tmp_path)
    assert status == 74
    assert "another program" in words
    assert journal.read_bytes() == before


@pytest.mark.parametrize("born", [False, True])
async def test_a_journal_that_was_only_begun_is_73_for_status_and_is_finished_by_the_daemon(
    persona: SimulatedPersona, tmp_path: Path, born: bool
) -> None:
    """What a SIGKILL in the very first moment leaves: an empty file, or one with a header and no tables."""
    journal = tmp_path / "forwarder.db"
    journal.touch()
    if born:
        with closing(sqlite3.connect(journal)) as begun:
            begun.execute("PRAGMA auto_vacuum = INCREMENTAL")
            begun.execute("PRAGMA journal_mode = WAL")
        assert journal.stat().st_size > 0
    variables = environment(tmp_path, persona)
    with Process(["dead-letters", "list"] if born else ["status"], variables, tmp_path / "command.log") as process:
        assert await process.ended(30) == 73
        assert "there is no journal" in process.words()
    lines = Lines(tmp_path / "events.jsonl")
    with DaemonProcess(variables, tmp_path) as daemon:
        await daemon.until(lambda: lines.has(list(persona.world.ids())))
        assert await daemon.stop() == 0


async def test_a_second_process_on_the_journal_is_75_and_leaves_the_first_at_work(
    persona: SimulatedPersona, tmp_path: Path
) -> None:
    lines = Lines(tmp_path / "events.jsonl")
    with DaemonProcess(environment(tmp_path, persona), tmp_path) as first:
        await first.logged("sink.opened")
        variables = environment(tmp_path, persona, file_path=tmp_path / "second.jsonl")
        with Process(["run"], variables, tmp_path / "second.log") as second:
            assert await second.ended(30) == 75
            assert "another process" in second.words()
        added = persona.world.append(5)
        await first.until(lambda: lines.has(added))
        assert await first.stop() == 0


async def test_a_wrong_configuration_is_78_with_every_problem_and_nothing_is_opened(
    persona: SimulatedPersona, tmp_path: Path
) -> None:
    variables = environment(tmp_path, persona, persona_page_size=1000, file_formt="json", state_max_bytes="much")
    status, words = await run_to_its_end(variables, tmp_path)
    assert status == 78
    for variable in ("FORWARDER_PERSONA_PAGE_SIZE", "FORWARDER_FILE_FORMT", "FORWARDER_STATE_MAX_BYTES"):
        assert variable in words
    assert [path.name for path in tmp_path.iterdir()] == ["daemon.log"]


async def test_a_taken_port_is_78(persona: SimulatedPersona, tmp_path: Path) -> None:
    port = int(persona.url.split(":")[2].split("/")[0])
    status, words = await run_to_its_end(environment(tmp_path, persona, http_port=port), tmp_path)
    assert status == 78
    assert "FORWARDER_HTTP_PORT" in words


async def ended_within_grace(daemon: DaemonProcess, number: signal.Signals) -> int:
    """Its exit status after the signal; fails if the stop takes longer than the grace and what leaving takes."""
    began = time.monotonic()
    daemon.send(number)
    status = await daemon.ended(GRACE + 10)
    # Beyond the grace there are the 3 s that a cancelled task has, which nothing here should need.
    assert time.monotonic() - began < GRACE + 3, daemon.words()
    return status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_asked_to_stop_while_idle_it_ends_with_0(
    persona: SimulatedPersona, tmp_path: Path, number: signal.Signals
) -> None:
    lines = Lines(tmp_path / "events.jsonl")
    variables = environment(tmp_path, persona, persona_poll_interval="1h")
    with DaemonProcess(variables, tmp_path) as daemon:
        await daemon.until(lambda: len(lines.look()) == 300)
        began = time.monotonic()
        assert await ended_within_grace(daemon, number) == 0
        assert time.monotonic() - began < 1.5  # nothing is in flight: there is nothing to wait for
        assert daemon.events("daemon.stopped")
        assert daemon.events("actor.cancelled") == []


async def test_asked_to_stop_in_a_catch_up_it_ends_with_0_and_goes_on_later(
    persona: SimulatedPersona, tmp_path: Path
) -> None:
    persona.behaviour.latency = 0.05
    lines = Lines(tmp_path / "events.jsonl")
    with DaemonProcess(environment(tmp_path, persona, persona_page_size=5), tmp_path) as daemon:
        await daemon.until(lambda: persona.stats.requests > 10)
        assert await ended_within_grace(daemon, signal.SIGTERM) == 0
        assert len(lines.look()) < 300
    persona.behaviour.latency = 0
    with DaemonProcess(environment(tmp_path, persona), tmp_path) as daemon:
        await daemon.until(lambda: len(lines.look()) >= 300)
        assert await daemon.stop() == 0
    assert sorted(lines.look()) == sorted(persona.world.ids())  # a graceful stop repeats nothing


async def test_asked_to_stop_while_a_sink_is_down_it_ends_with_0_and_keeps_the_events(
    persona: SimulatedPersona, tmp_path: Path
) -> None:
    port = free_port()
    down = {"sinks": "soc=splunk_hec", "soc_url": f"http://127.0.0.1:{port}", "soc_token": "t" * 20}
    variables = environment(tmp_path, persona, **down)
    del variables["FORWARDER_FILE_PATH"]
    with DaemonProcess(variables, tmp_path) as daemon:
        await daemon.logged("sink.batch_retried")
        assert await ended_within_grace(daemon, signal.SIGTERM) == 0


async def test_asked_to_stop_while_persona_stalls_it_ends_with_0(persona: SimulatedPersona, tmp_path: Path) -> None:
    persona.faults.set(["stall"])
    variables = environment(tmp_path, persona, shutdown_grace=f"{GRACE}s", persona_timeout="60s")
    with DaemonProcess(variables, tmp_path) as daemon:
        await daemon.until(lambda: persona.stats.requests > 0)
        assert await ended_within_grace(daemon, signal.SIGTERM) == 0
        assert daemon.events("daemon.stopped")


@pytest.fixture
async def silent_collector() -> AsyncIterator[HecServer]:
    """Takes a first batch and gives no answer."""
    server = await HecServer().start()
    server.script.append(Scripted(silent=True))
    yield server
    await server.stop()


def with_splunk(variables: dict[str, str], collector: HecServer, grace: str) -> dict[str, str]:
    del variables["FORWARDER_FILE_PATH"]
    return variables | {
        "FORWARDER_SINKS": "soc=splunk_hec",
        "FORWARDER_SOC_URL": collector.url(),
        "FORWARDER_SOC_TOKEN": TOKEN,
        "FORWARDER_SOC_TIMEOUT": "60s",
        "FORWARDER_SHUTDOWN_GRACE": grace,
    }


async def test_asked_to_stop_while_a_batch_has_no_answer_it_waits_no_longer_than_the_grace(
    persona: SimulatedPersona, tmp_path: Path, silent_collector: HecServer
) -> None:
    variables = with_splunk(environment(tmp_path, persona), silent_collector, f"{GRACE}s")
    with DaemonProcess(variables, tmp_path) as daemon:
        await daemon.until(lambda: not silent_collector.script)
        began = time.monotonic()
        assert await ended_within_grace(daemon, signal.SIGTERM) == 0
        assert time.monotonic() - began >= GRACE  # the answer may still have come
        assert daemon.events("sink.left_unanswered")
    with DaemonProcess(variables, tmp_path) as daemon:  # the collector answers now
        wanted = set(persona.world.ids())
        await daemon.until(lambda: wanted <= {event["id"] for event in silent_collector.events()})
        assert await daemon.stop() == 0


async def test_a_second_signal_ends_it_at_once(
    persona: SimulatedPersona, tmp_path: Path, silent_collector: HecServer
) -> None:
    variables = with_splunk(environment(tmp_path, persona), silent_collector, "60s")
    with DaemonProcess(variables, tmp_path) as daemon:
        await daemon.until(lambda: not silent_collector.script)
        daemon.send(signal.SIGTERM)
        await daemon.logged("daemon.stopping")
        await asyncio.sleep(0.5)
        assert daemon.status is None
        began = time.monotonic()
        daemon.send(signal.SIGINT)
        assert await daemon.ended(10) == 0
        assert time.monotonic() - began < 2


async def test_signals_without_end_end_it_with_0(persona: SimulatedPersona, tmp_path: Path) -> None:
    """From its first word to its last there is no moment at which a signal tears it down."""
    lines = Lines(tmp_path / "events.jsonl")
    with DaemonProcess(environment(tmp_path, persona), tmp_path) as daemon:
        await daemon.until(lambda: len(lines.look()) >= 300)
        for _ in range(1000):
            if daemon.status is not None:
                break
            daemon.send(signal.SIGTERM)
            await asyncio.sleep(0.005)
        assert await daemon.ended(10) == 0
        assert daemon.events("daemon.stopped")


async def test_a_signal_during_the_start_ends_it_with_0_and_leaves_nothing_broken(
    persona: SimulatedPersona, tmp_path: Path
) -> None:
    lines = Lines(tmp_path / "events.jsonl")
    variables = environment(tmp_path, persona)
    with DaemonProcess(variables, tmp_path) as daemon:
        await daemon.until((tmp_path / "forwarder.db.lock").exists)
        daemon.send(signal.SIGTERM)
        assert await daemon.ended(20) == 0
    with DaemonProcess(variables, tmp_path) as daemon:
        await daemon.until(lambda: lines.has(list(persona.world.ids())))
        assert await daemon.stop() == 0
