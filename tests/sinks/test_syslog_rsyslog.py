"""The syslog sink into real rsyslog, whose own parser judges each message."""

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from forwarder.errors import Misconfigured, Retryable
from forwarder.sinks.base import Item
from forwarder.sinks.syslog import SyslogSink
from forwarder.text import visible
from tests.peers.rsyslog import Rsyslog
from tests.sinks.contract import make_items
from tests.sinks.syslog_peers import (
    NASTY,
    Start,
    client_tls,
    make_sink,
    nasty_items,
    server_tls,
    starting,
    wait_for,
    write_tls_files,
)

pytestmark = pytest.mark.peer


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start rsyslog on a transport."""
    with starting(partial(Rsyslog, tmp_path)) as begin:
        yield begin


async def send_again_and_again(sink: SyslogSink) -> None:
    """Send as a busy worker does, without a pause."""
    for _ in range(100):
        await sink.send(make_items(5))


def assert_received(found: list[dict[str, Any]], items: list[Item]) -> None:
    """Hold what rsyslog's parsers found against what was sent."""
    for got, item in zip(found, items, strict=True):
        assert got["pri"] == "110"
        assert (got["hostname"], got["app-name"], got["procid"], got["msgid"]) == (
            "host.example",
            "persona",
            "-",
            "API",
        )
        assert got["time"] == "2026-03-01T09:15:02.331Z"
        assert orjson.loads(got["msg"]) == orjson.loads(item.body)
        data = got["data"]["persona@32473"]
        assert (data["id"], data["seq"], data["status"]) == (item.event.id, str(item.seq), "200")


@pytest.mark.parametrize("framing", ["octet-counting", "lf"])
async def test_rsyslog_reads_over_tcp_what_was_sent(start: Start, framing: str) -> None:
    rsyslog = start("tcp")
    sink = make_sink(rsyslog, framing=framing)
    items = make_items(300)
    await sink.open()
    await sink.send(items[:200])
    await sink.send(items[200:])
    assert_received(await wait_for(rsyslog, 300), items)
    await sink.close()


async def test_no_event_forges_a_line_or_a_field_in_rsyslog(start: Start) -> None:
    """Odd characters are shown, and structured data reads back as it was shown."""
    rsyslog = start("tcp")
    sink = make_sink(rsyslog)
    items = nasty_items(20)
    await sink.open()
    await sink.send(items)
    found = await wait_for(rsyslog, 20)
    assert_received(found, items)
    assert {message["data"]["persona@32473"]["user"] for message in found} == {visible(NASTY)}
    await sink.close()


async def test_rsyslog_reads_over_udp_what_was_sent(start: Start) -> None:
    rsyslog = start("udp")
    sink = make_sink(rsyslog)
    items = [*make_items(20), *nasty_items(1)]
    await sink.open()
    await sink.send(items)
    assert_received(await wait_for(rsyslog, 21), items)
    await sink.close()


async def test_the_longest_message_is_not_cut(start: Start) -> None:
    """Both sides at their default: 8192 bytes."""
    rsyslog = start("tcp")
    sink = make_sink(rsyslog)
    [item] = make_items(1, text="")
    body = orjson.dumps({"padding": ""})
    overhead = 8192 - 400
    filled = Item(1, item.event, body[:-2] + b"x" * overhead + body[-2:])
    await sink.open()
    await sink.send([filled])
    [message] = await wait_for(rsyslog, 1)
    assert message["msg"] == filled.body.decode()
    await sink.close()


@pytest.fixture
def tls_files(tmp_path: Path) -> dict[str, Path]:
    """Write certificates of the server and of two clients."""
    return write_tls_files(tmp_path)


async def test_rsyslog_reads_over_tls_what_was_sent(start: Start, tls_files: dict[str, Path]) -> None:
    rsyslog = start("tls", tls=server_tls(tls_files))
    sink = make_sink(rsyslog, **client_tls(tls_files))
    items = [*make_items(300), *nasty_items(1)]
    await sink.open()
    await sink.send(items)
    assert_received(await wait_for(rsyslog, 301), items)
    await sink.close()


async def test_rsyslog_takes_our_certificate(start: Start, tls_files: dict[str, Path]) -> None:
    rsyslog = start("tls", tls=server_tls(tls_files, "forwarder.test"))
    sink = make_sink(rsyslog, **client_tls(tls_files, "forwarder"))
    items = make_items(50)
    await sink.open()
    await sink.send(items)
    assert_received(await wait_for(rsyslog, 50), items)
    await sink.close()


@pytest.mark.parametrize("name", ["stranger", None])
async def test_a_certificate_that_rsyslog_refuses_loses_nothing(
    start: Start, tls_files: dict[str, Path], name: str | None
) -> None:
    """It refuses after our side of the handshake is done; no batch is taken for delivered in between."""
    rsyslog = start("tls", tls=server_tls(tls_files, "forwarder.test"))
    sink = make_sink(rsyslog, **client_tls(tls_files, name))
    with pytest.raises((Misconfigured, Retryable)):
        await sink.open()
    await sink.close()
    assert rsyslog.received() == []


async def test_a_killed_rsyslog_is_noticed_and_taken_up_again(start: Start, tls_files: dict[str, Path]) -> None:
    """Also over TLS, where asyncio by itself notices nothing."""
    rsyslog = start("tls", tls=server_tls(tls_files))
    sink = make_sink(rsyslog, **client_tls(tls_files))
    await sink.open()
    await sink.send(make_items(5))
    await wait_for(rsyslog, 5)
    rsyslog.kill()
    with pytest.raises(Retryable):
        await send_again_and_again(sink)
    await sink.close()
    rsyslog.start()
    items = make_items(5, first=100)
    await sink.open()
    await sink.send(items)
    found = await wait_for(rsyslog, 10)
    assert_received(found[-5:], items)
    await sink.close()


# RELP


async def test_rsyslog_reads_over_relp_what_was_sent(start: Start) -> None:
    """And acknowledged each of them: nothing is waited for afterwards."""
    rsyslog = start("relp")
    sink = make_sink(rsyslog)
    items = [*make_items(300), *nasty_items(1)]
    await sink.open()
    await sink.send(items)
    assert_received(rsyslog.received(), items)
    await sink.close()


async def test_rsyslog_takes_our_certificate_over_relp(start: Start, tls_files: dict[str, Path]) -> None:
    rsyslog = start("relp+tls", tls=server_tls(tls_files, "forwarder.test"))
    sink = make_sink(rsyslog, **client_tls(tls_files, "forwarder"))
    items = [*make_items(300), *nasty_items(1)]
    await sink.open()
    await sink.send(items)
    assert_received(rsyslog.received(), items)
    await sink.close()


@pytest.mark.parametrize("name", ["stranger", None])
async def test_a_certificate_that_rsyslog_refuses_over_relp_opens_no_session(
    start: Start, tls_files: dict[str, Path], name: str | None
) -> None:
    rsyslog = start("relp+tls", tls=server_tls(tls_files, "forwarder.test"))
    sink = make_sink(rsyslog, **client_tls(tls_files, name))
    with pytest.raises((Misconfigured, Retryable)):
        await sink.open()
    await sink.close()
    assert rsyslog.received() == []


async def test_a_killed_rsyslog_loses_nothing_that_it_acknowledged(start: Start) -> None:
    """What it had not acknowledged is sent again: every message is there, and what repeats was in the window."""
    rsyslog = start("relp")
    sink = make_sink(rsyslog)
    items = make_items(3000)
    await sink.open()
    send = asyncio.ensure_future(sink.send(items))
    while len(rsyslog.lines()) < 200:  # noqa: ASYNC110 # another process
        await asyncio.sleep(0.005)
    rsyslog.kill()
    with pytest.raises(Retryable) as raised:
        await send
    await sink.close()
    assert raised.value.accepted <= len(rsyslog.received())
    rsyslog.start()
    await sink.open()
    await sink.send(items[raised.value.accepted :])
    await sink.close()
    found = [message["data"]["persona@32473"]["seq"] for message in rsyslog.received()]
    assert set(found) == {str(item.seq) for item in items}
    assert len(found) - len(set(found)) <= 128


async def test_cef_arrives_in_rsyslog_as_it_was_written(start: Start) -> None:
    """Sentinel's agent sits behind an rsyslog."""
    rsyslog = start("tcp")
    sink = make_sink(rsyslog, format="cef")
    items = make_items(20, text=NASTY, form="cef")
    await sink.open()
    await sink.send(items)
    assert [message["msg"].encode() for message in await wait_for(rsyslog, 20)] == [item.body for item in items]
    await sink.close()


async def test_rsyslog_reads_rfc_3164_as_it_was_meant(start: Start) -> None:
    rsyslog = start("tcp")
    sink = make_sink(rsyslog, rfc="3164")
    items = make_items(5)
    await sink.open()
    await sink.send(items)
    for message, item in zip(await wait_for(rsyslog, 5), items, strict=True):
        assert (message["pri"], message["hostname"], message["app-name"]) == ("110", "host.example", "persona")
        assert orjson.loads(message["msg"]) == orjson.loads(item.body)
        assert message["time"][4:19] == "-03-01T09:15:02"  # it has no year
    await sink.close()


async def test_a_message_that_had_to_shrink_is_whole_in_rsyslog(start: Start) -> None:
    """Both sides at their default: nothing of it becomes a second message."""
    rsyslog = start("tcp")
    sink = make_sink(rsyslog)
    await sink.open()
    await sink.send(make_items(3, size=20_000))
    for message in await wait_for(rsyslog, 3):
        found = orjson.loads(message["msg"])["request"]["post_params"]
        assert found["padding"].startswith("[left out: 20000 bytes, sha256 ")
    await sink.close()
