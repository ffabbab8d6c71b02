"""The syslog sink into real syslog-ng, a second judge of each message."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from forwarder.errors import Misconfigured, Retryable
from forwarder.sinks.base import Item
from forwarder.text import visible
from tests.peers.syslog_ng import SyslogNg
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
    """Start syslog-ng on a transport."""
    with starting(partial(SyslogNg, tmp_path / "syslog-ng")) as begin:
        yield begin


def assert_received(found: list[dict[str, Any]], items: list[Item]) -> None:
    """Hold what syslog-ng's parsers found against what was sent."""
    for got, item in zip(found, items, strict=True):
        assert (got["pri"], got["host"], got["program"], got["msgid"]) == ("110", "host.example", "persona", "API")
        assert got["isodate"] == "2026-03-01T09:15:02.331+00:00"
        assert orjson.loads(got["msg"]) == orjson.loads(item.body)
        data = got["_SDATA"]["persona@32473"]
        assert (data["id"], data["seq"], data["status"]) == (item.event.id, str(item.seq), "200")


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_syslog_ng_reads_what_was_sent(start: Start, transport: str) -> None:
    """Structured data comes out as it was shown, whatever was in it."""
    peer = start(transport)
    sink = make_sink(peer)
    items = [*make_items(60), *nasty_items(3)]
    await sink.open()
    await sink.send(items)
    found = await wait_for(peer, 63)
    assert_received(found, items)
    assert {message["_SDATA"]["persona@32473"].get("user") for message in found[60:]} == {visible(NASTY)}
    await sink.close()


async def test_syslog_ng_takes_our_certificate(start: Start, tmp_path: Path) -> None:
    files = write_tls_files(tmp_path)
    peer = start("tls", tls=server_tls(files, "forwarder.test"))
    sink = make_sink(peer, **client_tls(files, "forwarder"))
    items = make_items(50)
    await sink.open()
    await sink.send(items)
    assert_received(await wait_for(peer, 50), items)
    await sink.close()
    without = make_sink(peer, **client_tls(files))
    with pytest.raises((Misconfigured, Retryable)):
        await without.open()
    await without.close()


async def test_its_network_source_reads_lines_of_rfc_3164(start: Start) -> None:
    peer = start("tcp", source="network")
    sink = make_sink(peer, rfc="3164", framing="lf")
    items = [*make_items(20), *nasty_items(2)]
    await sink.open()
    await sink.send(items)
    for message, item in zip(await wait_for(peer, 22), items, strict=True):
        assert (message["pri"], message["host"], message["program"]) == ("110", "host.example", "persona")
        assert orjson.loads(message["msg"]) == orjson.loads(item.body)
        assert message["isodate"][4:] == "-03-01T09:15:02.000+00:00"
    await sink.close()


async def test_leef_stays_separated_by_tabs(start: Start) -> None:
    peer = start("tcp", source="network")
    sink = make_sink(peer, format="leef", framing="lf")
    items = make_items(5, form="leef", text=NASTY)
    await sink.open()
    await sink.send(items)
    assert [message["msg"].encode() for message in await wait_for(peer, 5)] == [item.body for item in items]
    await sink.close()
