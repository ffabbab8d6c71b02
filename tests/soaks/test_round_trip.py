"""Many events through each transport into rsyslog and syslog-ng: what their parsers found is what was sent."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from forwarder.clock import format_rfc3339
from forwarder.formats import FORMATS
from forwarder.journal import StoredEvent
from forwarder.severity import severity
from forwarder.text import visible
from tests.peers.rsyslog import Rsyslog
from tests.peers.syslog_ng import SyslogNg
from tests.sinks.syslog_peers import client_tls, make_sink, server_tls, write_tls_files
from tests.soaks import EVENTS
from tests.soaks.delivery import Delivery, resources

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(1800)]

CASES = [
    *(("rsyslog", transport) for transport in ("udp", "tcp", "tls", "relp", "relp+tls")),
    *(("syslog-ng", transport) for transport in ("udp", "tcp", "tls")),
]


@pytest.fixture(params=CASES, ids="-".join)
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Start a receiver; with the settings of our side."""
    program, transport = request.param
    files = write_tls_files(tmp_path) if "tls" in transport else {}
    tls = server_tls(files, "forwarder.test") if files else None
    kind: Any = Rsyslog if program == "rsyslog" else SyslogNg
    peer = kind(tmp_path / "peer", transport, tls=tls)
    peer.start()
    yield peer, client_tls(files, "forwarder") if files else {}
    peer.stop()


async def test_what_is_parsed_back_is_what_was_sent(peer: tuple[Any, dict[str, Any]]) -> None:
    """Field by field: header, structured data, text; nothing missing, nothing twice, nothing invented."""
    receiver, settings = peer
    delivery = Delivery(make_sink(receiver, **settings))
    delivery.release(resources(EVENTS, seed=EVENTS))
    began = time.monotonic()
    async with delivery.running():
        await delivery.all_acknowledged()
    seconds = time.monotonic() - began
    found = await _lines(receiver, EVENTS)
    sent = {stored.seq: stored for stored in delivery.journal.events}
    compare = _as_rsyslog if isinstance(receiver, Rsyslog) else _as_syslog_ng
    for line in found:
        read = json.loads(line)
        seq, got = compare(read)
        assert got == _expected(sent.pop(seq))
    lost = len(sent)
    print(f"{type(receiver).__name__} {receiver.transport}: {EVENTS:,} sent in {seconds:.1f} s, ", end="")
    print(f"{len(found):,} parsed back and equal, {lost:,} missing")
    assert delivery.dead_letters == 0
    assert found
    assert lost == 0 or receiver.transport == "udp"  # which promises nothing


async def _lines(receiver: Any, count: int) -> list[str]:
    """Read what was received, once all is there or nothing more comes."""
    size, deadline = -1, time.monotonic() + 30
    while time.monotonic() < deadline:
        now = receiver.output.stat().st_size if receiver.output.exists() else 0
        if now != size:
            size, deadline = now, time.monotonic() + (30 if receiver.transport != "udp" else 5)
            text = receiver.output.read_text() if now else ""
            if text.count("\n") >= count:
                break
        await asyncio.sleep(0.2)
    return [line for line in receiver.output.read_text().split("\n") if line]


def _expected(stored: StoredEvent) -> dict[str, Any]:
    event = stored.event()
    data = {
        "id": event.id,
        "seq": str(stored.seq),
        "method": event.method,
        "path": event.path,
        "status": str(event.status),
        "ip": event.client_ip,
        "uid": event.user_id,
        "session": event.session_id,
    }
    return {
        "pri": str(13 * 8 + severity(event)),
        "host": "host.example",
        "app": "persona",
        "msgid": "API",
        "time": format_rfc3339(event.time),
        "data": data,
        "text": orjson.loads(visible(FORMATS["json"](event).decode())),
    }


def _as_rsyslog(read: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    data = read["data"]["persona@32473"]
    return int(data["seq"]), {
        "pri": read["pri"],
        "host": read["hostname"],
        "app": read["app-name"],
        "msgid": read["msgid"],
        "time": read["time"],
        "data": data,
        "text": orjson.loads(read["msg"]),
    }


def _as_syslog_ng(read: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    data = read["_SDATA"]["persona@32473"]
    return int(data["seq"]), {
        "pri": read["pri"],
        "host": read["host"],
        "app": read["program"],
        "msgid": read["msgid"],
        "time": read["isodate"].replace("+00:00", "Z"),
        "data": data,
        "text": orjson.loads(read["msg"]),
    }
