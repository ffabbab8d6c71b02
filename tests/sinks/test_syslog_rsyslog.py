"""The syslog sink into real rsyslog, whose own parser judges each message."""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import orjson
import pytest
import trustme

from forwarder.errors import Misconfigured, Retryable
from forwarder.sinks.base import Item, SinkContext
from forwarder.sinks.syslog import SyslogSettings, SyslogSink
from forwarder.sinks.syslog_message import visible
from tests.peers.rsyslog import Rsyslog, ServerTls
from tests.sinks.contract import make_items

pytestmark = pytest.mark.peer

NASTY = 'quote " back\\slash bracket ] element [x@1 y="z"] é漢🛰 tab\t nel\x85 ls\u2028 \n<13>1 - h a - - - forged'

Start = Callable[..., Rsyslog]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start rsyslog on a transport."""
    started = []

    def begin(transport: Literal["udp", "tcp", "tls"], **options: Any) -> Rsyslog:
        rsyslog = Rsyslog(tmp_path, transport, **options)
        rsyslog.start()
        started.append(rsyslog)
        return rsyslog

    yield begin
    for rsyslog in started:
        rsyslog.stop()


def make_sink(rsyslog: Rsyslog, **settings: Any) -> SyslogSink:
    """Make a sink for *rsyslog*."""
    chosen = {"url": f"{rsyslog.transport}://127.0.0.1:{rsyslog.port}", "hostname": "host.example", **settings}
    return SyslogSink(SyslogSettings.model_validate(chosen), SinkContext("soc", "journal"))


async def wait_for(rsyslog: Rsyslog, count: int) -> list[dict[str, Any]]:
    """Wait until *count* messages were received."""
    deadline = time.monotonic() + 10
    while len(found := rsyslog.received()) < count and time.monotonic() < deadline:  # noqa: ASYNC110 # another process
        await asyncio.sleep(0.05)
    assert len(found) == count, rsyslog.said()
    return found


async def send_again_and_again(sink: SyslogSink) -> None:
    """Send as a busy worker does, without a pause."""
    for _ in range(100):
        await sink.send(make_items(5))


def nasty_items(count: int) -> list[Item]:
    """Make events whose every field tries to break out."""
    items = make_items(count, text=NASTY)
    return [Item(item.seq, dataclasses.replace(item.event, path=NASTY, user_email=NASTY), item.body) for item in items]


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
def authority() -> trustme.CA:
    """Make an authority that both sides trust."""
    return trustme.CA()


@pytest.fixture
def tls_files(authority: trustme.CA, tmp_path: Path) -> dict[str, Path]:
    """Write certificates of the server `syslog.test` and of the client `forwarder.test`."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for name in ("syslog", "forwarder", "stranger"):
        issued = authority.issue_cert(f"{name}.test")
        issued.private_key_pem.write_to_path(str(tmp_path / f"{name}.key"))
        for position, part in enumerate(issued.cert_chain_pems):
            part.write_to_path(str(tmp_path / f"{name}.pem"), append=position > 0)
    return {path.name: path for path in tmp_path.iterdir()}


def server_tls(files: dict[str, Path], *permitted: str) -> ServerTls:
    """Describe rsyslog's side."""
    return ServerTls(files["ca.pem"], files["syslog.pem"], files["syslog.key"], permitted)


def client_tls(files: dict[str, Path], name: str | None = None) -> dict[str, Any]:
    """Settings of our side, with the certificate of *name*."""
    ours = {} if name is None else {"tls_cert_file": files[f"{name}.pem"], "tls_key_file": files[f"{name}.key"]}
    return {"tls_ca_file": files["ca.pem"], "tls_server_name": "syslog.test", **ours}


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
