"""Several receivers stand in for each other, and the first is taken again when it is well."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from forwarder.errors import Misconfigured, Retryable
from forwarder.sinks.base import SinkContext
from forwarder.sinks.syslog import SyslogSettings, SyslogSink
from forwarder.sinks.syslog.failover import Failover
from tests.sinks.contract import make_items
from tests.sinks.relp_receiver import RelpReceiver
from tests.sinks.syslog_receiver import Receiver, until

# Deciding


def test_the_first_is_preferred_and_one_that_failed_in_use_comes_last_for_a_while() -> None:
    """One that takes connections and nothing else would be chosen for ever."""
    failover = Failover(3, interval=60)
    assert failover.order(0) == [0, 1, 2]
    failover.blame(0, 10)
    assert failover.order(10) == [1, 2, 0]
    failover.blame(1, 30)
    assert failover.order(30) == [2, 0, 1]
    assert failover.order(70) == [0, 2, 1]
    assert failover.order(90) == [0, 1, 2]


def test_the_first_is_looked_at_once_an_interval_while_another_is_in_use() -> None:
    failover = Failover(2, interval=60)
    failover.chosen(100)
    assert [failover.is_due(1, now) for now in (100, 159, 160, 161, 219, 220)] == [
        False,
        False,
        True,
        False,
        False,
        True,
    ]
    assert not failover.is_due(0, 1000)


# Doing


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forwarder.sinks.syslog.dial.FIRST_DOUBT", 0.02)


@pytest_asyncio.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Receiver, Receiver]]:
    """Run two receivers."""
    first = Receiver(tmp_path)
    await first.start()
    second = Receiver(tmp_path)  # once the port of the first is taken
    await second.start()
    yield first, second
    await first.aclose()
    await second.aclose()


def make_sink(*receivers: Receiver | RelpReceiver, **settings: Any) -> SyslogSink:
    """Make a sink for all of them, in their order."""
    chosen = {**receivers[0].settings(), "fall_back_interval": 0.05, **settings}
    chosen["url"] = ",".join(one.settings()["url"] for one in receivers)
    return SyslogSink(SyslogSettings.model_validate(chosen), SinkContext("soc", "journal"))


async def send_until(sink: SyslogSink, receiver: Receiver | RelpReceiver) -> None:
    """Send one event after the other until one arrives at *receiver*."""
    async with asyncio.timeout(20):
        while not receiver.messages:
            await sink.send(make_items(1))
            await asyncio.sleep(0.02)


async def test_the_next_is_taken_when_the_first_is_away_and_status_says_which(pair: tuple[Receiver, Receiver]) -> None:
    first, second = pair
    await first.break_down()
    sink = make_sink(*pair)
    assert sink.destination == f"tcp://127.0.0.1:{first.port}, tcp://127.0.0.1:{second.port}"
    await sink.open()
    assert sink.destination == f"tcp://127.0.0.1:{second.port}"
    [warning] = sink.warnings
    assert warning.startswith(f"{sink.destination} stands in: no connection to tcp://127.0.0.1:{first.port}")
    await sink.send(make_items(3))
    await sink.close()
    await until(second, 3)


async def test_a_first_that_is_well_again_is_taken_again_without_a_failure(pair: tuple[Receiver, Receiver]) -> None:
    """No send fails for it, nothing repeats, and the other connection ends."""
    first, second = pair
    await first.break_down()
    sink = make_sink(*pair)
    await sink.open()
    await sink.send(make_items(1))
    await until(second, 1)
    await first.mend()
    await send_until(sink, first)
    assert sink.destination == f"tcp://127.0.0.1:{first.port}"
    async with asyncio.timeout(10):
        while second._writers:  # noqa: ASYNC110 # the receiver is real
            await asyncio.sleep(0.01)
    await sink.close()


async def test_a_first_that_stays_away_disturbs_nobody(pair: tuple[Receiver, Receiver]) -> None:
    first, second = pair
    await first.break_down()
    sink = make_sink(*pair, fall_back_interval=0.01)
    await sink.open()
    for seq in range(1, 21):
        await sink.send(make_items(1, first=seq))
        await asyncio.sleep(0.01)
    await sink.close()
    assert len(await until(second, 20)) == 20


async def test_a_first_that_fails_in_use_is_not_chosen_at_once_again(pair: tuple[Receiver, Receiver]) -> None:
    """It still takes connections."""
    first, second = pair
    sink = make_sink(*pair, fall_back_interval=60)
    await sink.open()
    await first.stall()
    send = asyncio.ensure_future(sink.send(make_items(20, size=100_000)))
    await asyncio.wait({send}, timeout=0.2)
    send.cancel()  # as the worker does when it takes too long
    await asyncio.gather(send, return_exceptions=True)
    await sink.close()
    await sink.open()
    assert sink.destination == f"tcp://127.0.0.1:{second.port}"
    assert sink.warnings == (f"{sink.destination} stands in: tcp://127.0.0.1:{first.port} failed while it was in use",)
    await sink.send(make_items(2))
    await sink.close()
    await until(second, 2)


async def test_a_first_that_never_answers_leaves_time_for_the_next(tmp_path: Path) -> None:
    """A session of RELP waits for the receiver's word; half of the time-out is the other's."""

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    second = RelpReceiver(tmp_path)
    await second.start()
    urls = f"relp://127.0.0.1:{server.sockets[0].getsockname()[1]},relp://127.0.0.1:{second.port}"
    settings = {**second.settings(), "url": urls, "timeout": 2}
    sink = SyslogSink(SyslogSettings.model_validate(settings), SinkContext("soc", "journal"))
    await sink.open()
    await sink.send(make_items(2))
    await sink.close()
    assert len(second.messages) == 2
    await second.aclose()
    server.close()
    await server.wait_closed()


async def test_nobody_there_names_everybody(pair: tuple[Receiver, Receiver]) -> None:
    for one in pair:
        await one.break_down()
    sink = make_sink(*pair)
    with pytest.raises(Retryable) as raised:
        await sink.open()
    assert all(str(one.port) in raised.value.reason for one in pair)
    await sink.close()


async def test_it_is_the_operators_business_only_if_no_receiver_is_well_configured(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = Receiver(tmp_path / "a", tls=True)
    await first.start()
    second = Receiver(tmp_path / "b", tls=True)
    sink = make_sink(first, second, tls_ca_file=second.ca_file)
    with pytest.raises(Retryable, match="certificate is not trusted"):
        await sink.open()
    await second.start()
    await sink.open()
    assert sink.destination.endswith(str(second.port))
    await sink.close()
    neither = make_sink(first, second, tls_server_name="other.test")
    with pytest.raises(Misconfigured):
        await neither.open()
    await neither.close()
    await first.aclose()
    await second.aclose()


async def test_closing_ends_a_look_at_the_first(
    pair: tuple[Receiver, Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = pair
    await first.break_down()
    sink = make_sink(*pair, fall_back_interval=0.001)
    await sink.open()
    await first.mend()
    monkeypatch.setattr("forwarder.sinks.syslog.dial.FIRST_DOUBT", 30)
    await asyncio.sleep(0.01)
    await sink.send(make_items(1))
    assert sink._look is not None
    async with asyncio.timeout(10):
        await sink.close()
    assert sink._look is None
