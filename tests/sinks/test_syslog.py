"""The syslog sink over UDP, TCP and TLS, against a receiver of ours that can misbehave."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pydantic
import pytest
import pytest_asyncio
import trustme

from forwarder.errors import Misconfigured, Refused, Retryable
from forwarder.sinks.base import SinkContext
from forwarder.sinks.syslog import SyslogSettings, SyslogSink
from forwarder.sinks.syslog.dial import FIRST_DOUBT
from forwarder.sinks.syslog.stream import Stream
from tests.sinks.contract import SinkContract, make_items
from tests.sinks.syslog_grammar import Parsed
from tests.sinks.syslog_receiver import (
    DatagramReceiver,
    Receiver,
    listening,
    make_sink,
    send_without_a_pause,
    stubborn,
    until,
)

KERNEL = "best effort: received by the peer's kernel and the connection lived on for a settle time"


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doubt a new connection for a moment only: the loopback is quick, and there are many tests."""
    monkeypatch.setattr("forwarder.sinks.syslog.dial.FIRST_DOUBT", 0.02)


@pytest.fixture
def patient(brief: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Doubt it as long as a daemon does."""
    monkeypatch.setattr("forwarder.sinks.syslog.dial.FIRST_DOUBT", FIRST_DOUBT)


class TestSyslogOverTcp(SinkContract):
    kind = "syslog"
    sockets_of_the_peer = 1

    @pytest_asyncio.fixture
    async def destination(self, tmp_path: Path) -> AsyncIterator[Receiver]:  # type: ignore[override] # a Destination
        async with listening(Receiver(tmp_path)) as receiver:
            yield receiver
        assert receiver.wrong == []


class TestSyslogOverTcpByLines(SinkContract):
    kind = "syslog"
    sockets_of_the_peer = 1
    biggest = 50_000

    @pytest_asyncio.fixture
    async def destination(self, tmp_path: Path) -> AsyncIterator[Receiver]:  # type: ignore[override] # a Destination
        async with listening(Receiver(tmp_path, framing="lf")) as receiver:
            yield receiver
        assert receiver.wrong == []


class TestSyslogOverTls(SinkContract):
    kind = "syslog"
    sockets_of_the_peer = 1

    @pytest_asyncio.fixture
    async def destination(self, tmp_path: Path) -> AsyncIterator[Receiver]:  # type: ignore[override] # a Destination
        async with listening(Receiver(tmp_path, tls=True)) as receiver:
            yield receiver
        assert receiver.wrong == []


class TestSyslogOverUdp(SinkContract):
    kind = "syslog"
    biggest = 50_000
    notices_an_outage = False

    @pytest_asyncio.fixture
    async def destination(self) -> AsyncIterator[DatagramReceiver]:
        receiver = DatagramReceiver()
        await receiver.start()
        yield receiver
        await receiver.break_down()


@pytest_asyncio.fixture(params=["tcp", "tls"])
async def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Receiver]:
    """Run a receiver, once over TCP and once over TLS."""
    async with listening(Receiver(tmp_path, tls=request.param == "tls")) as receiver:
        yield receiver


@pytest_asyncio.fixture
async def secure(tmp_path: Path) -> AsyncIterator[Receiver]:
    """Run a receiver over TLS."""
    async with listening(Receiver(tmp_path, tls=True)) as receiver:
        yield receiver


@dataclass
class Peer:
    """A peer in a thread of its own, which hangs up when it is told to, whatever our loop does."""

    settings: dict[str, Any]
    thread: threading.Thread
    hang_up: threading.Event


@pytest.fixture(params=["tcp", "tls"])
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Peer]:
    """Run such a peer for one connection, once over TCP and once over TLS."""
    authority, hang_up = trustme.CA(), threading.Event()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("syslog.test").configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        accepted, _ = listener.accept()
        with context.wrap_socket(accepted, server_side=True) if request.param == "tls" else accepted:
            hang_up.wait()

    trust = {"tls_ca_file": tmp_path / "ca.pem", "tls_server_name": "syslog.test"} if request.param == "tls" else {}
    settings = {"url": f"{request.param}://127.0.0.1:{listener.getsockname()[1]}", **trust}
    thread = threading.Thread(target=serve)
    thread.start()
    yield Peer(settings, thread, hang_up)
    hang_up.set()
    thread.join()
    listener.close()


# What is sent


async def test_configured_names_stand_in_the_message(receiver: Receiver) -> None:
    names = {"facility": 16, "hostname": "h.example", "app_name": "audit", "private_enterprise_number": 9}
    sink = make_sink(receiver, **names)
    await sink.open()
    await sink.send(make_items(1))
    await sink.close()
    [message] = await until(receiver, 1)
    assert (message.facility, message.host, message.app) == (16, "h.example", "audit")
    assert list(message.data) == ["persona@9"]


async def test_an_event_that_nothing_makes_fit_is_refused_whole_and_its_place_named(receiver: Receiver) -> None:
    """Those before it are in; nothing is cut; the reason has the sizes."""
    sink = make_sink(receiver, max_message_bytes=2048)
    items = [*make_items(3), stubborn(4), *make_items(2, first=5)]
    await sink.open()
    with pytest.raises(Refused, match=r"needs \d{5} bytes, and MAX_MESSAGE_BYTES is 2048; leaving out") as raised:
        await sink.send(items)
    assert raised.value.at == 3
    await sink.send(items[4:])
    await sink.close()
    messages = await until(receiver, 5)
    assert [dict(message.data["persona@32473"])["seq"] for message in messages] == ["1", "2", "3", "5", "6"]


async def test_the_first_event_of_a_batch_can_be_refused(receiver: Receiver) -> None:
    sink = make_sink(receiver, max_message_bytes=2048)
    await sink.open()
    with pytest.raises(Refused) as raised:
        await sink.send([stubborn(1), stubborn(2)])
    assert raised.value.at == 0
    await sink.close()
    assert receiver.messages == []


async def test_a_message_that_is_too_long_arrives_shorter_and_says_what_was_left_out(receiver: Receiver) -> None:
    sink = make_sink(receiver, max_message_bytes=2048)
    [item] = make_items(1, size=900_000)
    await sink.open()
    await sink.send([item])
    await sink.close()
    [message] = await until(receiver, 1)
    found, sent = orjson.loads(message.text), orjson.loads(item.body)
    padding = sent["request"]["post_params"].pop("padding")
    left_out = found["request"]["post_params"].pop("padding")
    assert found == sent
    assert left_out.startswith(f"[left out: {len(padding)} bytes, sha256 ")


async def test_the_limit_counts_the_bytes_of_the_whole_message(receiver: Receiver) -> None:
    """A message of exactly the limit goes as it is, one byte more makes it shrink."""
    [item] = make_items(1, size=100)
    sink = make_sink(receiver)
    await sink.open()
    await sink.send([item])
    await until(receiver, 1)
    await sink.close()
    written = len(_written(receiver.messages[0]))
    for longest in (written, written - 1):
        sink = make_sink(receiver, max_message_bytes=longest)
        await sink.open()
        await sink.send([item])
        await sink.close()
    _, exact, short = await until(receiver, 3)
    assert b"left out" not in exact.text
    assert b"left out" in short.text
    assert len(_written(short)) < written


def _written(message: Parsed) -> bytes:
    """Write *message* again, field by field."""
    escaped = {'"': '\\"', "\\": "\\\\", "]": "\\]"}
    [(name, values)] = message.data.items()
    data = " ".join([name, *(f'{key}="{"".join(escaped.get(c, c) for c in value)}"' for key, value in values)])
    priority = message.facility * 8 + message.severity
    head = f"<{priority}>1 {message.time} {message.host} {message.app} {message.proc} {message.msgid}"
    return f"{head} [{data}] ".encode() + message.text


async def test_a_datagram_that_cannot_exist_is_refused() -> None:
    receiver = DatagramReceiver()
    await receiver.start()
    sink = make_sink(receiver)
    await sink.open()
    with pytest.raises(Refused, match="does not fit a datagram") as raised:
        await sink.send([*make_items(1), *make_items(1, first=2, size=70_000)])
    assert raised.value.at == 1
    await sink.close()
    await until(receiver, 1)
    await receiver.break_down()


async def test_datagrams_leave_at_a_pace_that_receivers_keep() -> None:
    """A receiver's buffer holds some ninety of a kilobyte: bursts of a catch-up would be lost in it."""
    receiver = DatagramReceiver()
    await receiver.start()
    sink = make_sink(receiver)
    await sink.open()
    started = asyncio.get_running_loop().time()
    await sink.send(make_items(320))
    assert asyncio.get_running_loop().time() - started >= 0.045
    await until(receiver, 32)  # what this very loop does not read in time is lost, as anywhere
    await sink.close()
    await receiver.break_down()


async def test_a_host_where_nobody_listens_tells_so_sooner_or_later() -> None:
    """Best effort: what the kernel learns of earlier datagrams is not hidden."""
    receiver = DatagramReceiver()
    await receiver.start()
    await receiver.break_down()
    sink = make_sink(receiver)
    await sink.open()
    with pytest.raises(Retryable, match="datagrams are not taken") as raised:
        await send_without_a_pause(sink)
    assert raised.value.unanswered
    await sink.close()


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6 on its loopback")
async def test_it_speaks_ipv6() -> None:
    """Over a stream and in datagrams."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(listen, "::1", 0)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("::1", 0))
        datagrams.settimeout(10)
        for url in (f"tcp://[::1]:{server.sockets[0].getsockname()[1]}", f"udp://[::1]:{datagrams.getsockname()[1]}"):
            sink = SyslogSink(SyslogSettings.model_validate({"url": url}), SinkContext("soc", "journal"))
            await sink.open()
            await sink.send(make_items(1))
            await sink.close()
        heard.append(await asyncio.to_thread(datagrams.recv, 1 << 16))
    server.close()
    await server.wait_closed()
    stream, datagram = heard
    assert stream == b"%d %s" % (len(datagram), datagram)


# What goes wrong


async def test_a_peer_that_died_is_noticed_by_a_sender_that_never_pauses(receiver: Receiver) -> None:
    """Asyncio alone accepts writes into a dead TLS connection for ever."""
    sink = make_sink(receiver)
    await sink.open()
    await sink.send(make_items(1))
    await receiver.aclose()
    with pytest.raises(Retryable) as raised:
        await send_without_a_pause(sink)
    assert raised.value.accepted == 0
    await sink.close()


async def test_a_peer_that_hung_up_between_two_batches_is_noticed_before_anything_is_written(
    receiver: Receiver,
) -> None:
    """So nothing is a possible duplicate."""
    sink = make_sink(receiver)
    await sink.open()
    await sink.send(make_items(1))
    await until(receiver, 1)
    await receiver.aclose()
    await asyncio.sleep(0.1)
    with pytest.raises(Retryable) as raised:
        await sink.send(make_items(1))
    assert (raised.value.kind, raised.value.unanswered) == ("connection", False)
    await sink.close()


async def test_a_peer_that_hung_up_while_the_loop_was_busy_is_noticed_first(peer: Peer) -> None:
    """The news waits in the kernel; a batch that is written before it is read would be taken for delivered."""
    sink = SyslogSink(SyslogSettings.model_validate(peer.settings), SinkContext("soc", "journal"))
    await sink.open()
    peer.hang_up.set()
    peer.thread.join()  # the loop stands still meanwhile, on purpose
    with pytest.raises(Retryable) as raised:
        await sink.send(make_items(1))
    assert not raised.value.unanswered
    await sink.close()


async def test_closing_does_not_wait_for_a_peer_that_reads_nothing(receiver: Receiver) -> None:
    """What it has not taken is dropped with the connection: the batch is sent again."""
    sink = make_sink(receiver)
    await sink.open()
    await receiver.stall()
    send = asyncio.ensure_future(sink.send(make_items(20, size=100_000)))
    await asyncio.wait({send}, timeout=0.2)
    send.cancel()
    await asyncio.gather(send, return_exceptions=True)
    line = sink._line
    async with asyncio.timeout(5):
        await sink.close()
    assert isinstance(line, Stream)
    assert line.lost.done()


@pytest.mark.usefixtures("patient")
async def test_a_peer_that_accepts_and_hangs_up_gets_nothing(receiver: Receiver) -> None:
    """A balancer without a receiver behind it: each connection would swallow a batch."""
    receiver.hang_up_at_once = True
    sink = make_sink(receiver)
    with pytest.raises(Retryable):
        await sink.open()
    await sink.close()


async def test_send_returns_only_when_the_kernel_has_everything(receiver: Receiver) -> None:
    """While the peer does not read, the rest is still in our buffers, and the batch is not delivered."""
    sink = make_sink(receiver)
    await sink.open()
    await receiver.stall()
    send = asyncio.ensure_future(sink.send(make_items(20, size=100_000)))
    done, _ = await asyncio.wait({send}, timeout=0.5)
    assert not done
    await receiver.mend()
    await send
    assert isinstance(sink._line, Stream)
    assert not sink._line.unsent()
    await sink.close()
    await until(receiver, 20)


async def test_batches_that_are_sent_at_once_arrive_one_after_the_other(receiver: Receiver) -> None:
    """In the order of the calls, also where each takes many writes."""
    sink = make_sink(receiver)
    await sink.open()
    await asyncio.gather(*(sink.send(make_items(10, first=10 * n + 1, size=50_000)) for n in range(4)))
    await sink.close()
    found = [int(dict(message.data["persona@32473"])["seq"]) for message in await until(receiver, 40)]
    assert found == list(range(1, 41))


async def test_a_connection_that_breaks_in_a_batch_may_have_delivered(receiver: Receiver) -> None:
    sink = make_sink(receiver)
    await sink.open()
    await receiver.stall()
    send = asyncio.ensure_future(sink.send(make_items(20, size=100_000)))
    await asyncio.wait({send}, timeout=0.2)
    await receiver.break_down()
    with pytest.raises(Retryable) as raised:
        await send
    assert (raised.value.unanswered, raised.value.accepted) == (True, 0)
    await sink.close()


async def test_sending_without_open_is_no_loss(receiver: Receiver) -> None:
    with pytest.raises(Retryable):
        await make_sink(receiver).send(make_items(1))


async def test_a_host_without_an_address_is_waited_for(tmp_path: Path) -> None:
    sink = make_sink(Receiver(tmp_path), url="tcp://host.invalid:514")
    with pytest.raises(Retryable, match=r"no connection to tcp://host\.invalid:514"):
        await sink.open()
    await sink.close()


# TLS


async def test_a_client_certificate_is_shown_where_it_is_demanded(secure: Receiver, tmp_path: Path) -> None:
    secure.authority.configure_trust(secure.context)
    secure.context.verify_mode = ssl.CERT_REQUIRED
    ours = tmp_path / "ours.pem"
    secure.authority.issue_cert("forwarder.test").private_key_and_cert_chain_pem.write_to_path(str(ours))
    sink = make_sink(secure, tls_cert_file=ours)
    await sink.open()
    await sink.send(make_items(3))
    await sink.close()
    await until(secure, 3)


@pytest.fixture
def demanding(tmp_path: Path) -> Iterator[tuple[ssl.SSLContext, int]]:
    """Run a TLS server that demands a certificate and, unlike asyncio's, says so before it hangs up."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    authority.issue_cert("syslog.test").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        accepted, _ = listener.accept()
        with accepted, contextlib.suppress(ssl.SSLError):
            context.wrap_socket(accepted, server_side=True).close()

    thread = threading.Thread(target=serve)
    thread.start()
    yield context, listener.getsockname()[1]
    thread.join()
    listener.close()


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_certificate_that_is_demanded_and_missing_is_the_operators_to_mend(
    demanding: tuple[ssl.SSLContext, int], tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """In TLS 1.3 the refusal comes after our side of the handshake: open waits for it."""
    context, port = demanding
    context.minimum_version = context.maximum_version = version
    url = f"tls://127.0.0.1:{port}"
    settings = {"url": url, "tls_ca_file": tmp_path / "ca.pem", "tls_server_name": "syslog.test"}
    sink = SyslogSink(SyslogSettings.model_validate(settings), SinkContext("soc", "journal"))
    with pytest.raises(Misconfigured, match="TLS failed"):
        await sink.open()
    await sink.close()


@pytest.mark.usefixtures("patient")
async def test_a_peer_that_hangs_up_after_the_handshake_is_reported_with_a_hint(secure: Receiver) -> None:
    """Not every peer says that it minds our certificate."""
    secure.authority.configure_trust(secure.context)
    secure.context.verify_mode = ssl.CERT_REQUIRED
    sink = make_sink(secure)
    with pytest.raises(Retryable, match="refuses us or our certificate"):
        await sink.open()
    await sink.close()


@pytest.mark.parametrize("wrong", [{"tls_ca_file": None}, {"tls_server_name": "other.test"}, {"tls_server_name": None}])
async def test_a_peer_that_is_not_who_it_should_be_gets_nothing(secure: Receiver, wrong: dict[str, Any]) -> None:
    """Another authority, another name, and the URL's own host where no name is given."""
    sink = make_sink(secure, **wrong)
    with pytest.raises(Misconfigured, match="certificate is not trusted"):
        await sink.open()
    await sink.close()
    assert secure.messages == []


async def test_a_peer_without_tls_is_the_operators_to_mend(tmp_path: Path) -> None:
    """It answers the handshake with something else."""

    async def chat(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 welcome, this is plain text\r\n" * 10)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(chat, "127.0.0.1", 0)
    destination = Receiver(tmp_path, tls=True)
    sink = make_sink(destination, url=f"tls://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    with pytest.raises(Misconfigured, match="TLS failed"):
        await sink.open()
    await sink.close()
    server.close()
    await server.wait_closed()


async def test_old_versions_of_tls_are_not_spoken(secure: Receiver) -> None:
    context = make_sink(secure).settings.tls_context()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


async def test_certificates_are_read_again_when_it_connects_again(secure: Receiver, tmp_path: Path) -> None:
    """A rotated authority needs no restart."""
    trust = tmp_path / "trust.pem"
    trustme.CA().cert_pem.write_to_path(str(trust))
    sink = make_sink(secure, tls_ca_file=trust)
    with pytest.raises(Misconfigured):
        await sink.open()
    trust.write_bytes(secure.ca_file.read_bytes())
    await sink.open()
    await sink.close()


async def test_a_missing_certificate_file_is_the_operators_to_mend(secure: Receiver, tmp_path: Path) -> None:
    sink = make_sink(secure, tls_cert_file=tmp_path / "none.pem")
    with pytest.raises(Misconfigured, match="TLS files"):
        await sink.open()
    await sink.close()


# Settings


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"url": "h:514"}, "write udp://, tcp://"),
        ({"url": "http://h:514"}, "write udp://, tcp://"),
        ({"url": ""}, "at least 1 item"),
        ({"url": "tcp://a,tls://b"}, "the same scheme"),
        ({"url": "udp://a,udp://b"}, "UDP does not tell"),
        ({"url": "tcp://a,tcp://a:514"}, "stands there twice"),
        ({"url": "relp://h", "framing": "lf"}, "FRAMING: it belongs to tcp:// and tls://"),
        ({"url": "udp://h", "settle": "2s"}, "SETTLE: it belongs to tcp:// and tls://"),
        ({"settle": "2m"}, "less than or equal to 60"),
        ({"severity": "404=loud"}, "'404=loud' is no row"),
        ({"rfc": "3164", "app_name": "a:b"}, "APP_NAME: as a TAG"),
        ({"rfc": "3164", "app_name": "a" * 33}, "APP_NAME: as a TAG"),
        ({"format": "leef", "app_name": "a:b"}, "APP_NAME: as a TAG"),
        ({"rfc": "3164", "byte_order_mark": True}, "RFC 3164 has none"),
        ({"url": "tcp://h:514/path"}, "scheme, host and port only"),
        ({"url": "tcp://u:p@h:514"}, "scheme, host and port only"),
        ({"url": "tcp://h:70000"}, "(?i)port"),
        ({"url": "tcp://h", "tls_ca_file": "/x"}, "TLS_CA_FILE is given, but the URL is not tls://"),
        ({"url": "udp://h", "framing": "lf"}, "FRAMING: it belongs to tcp:// and tls://"),
        ({"facility": 24}, "less than or equal to 23"),
        ({"app_name": "two words"}, "1 to 48 printable ASCII"),
        ({"app_name": "a" * 49}, "1 to 48 printable ASCII"),
        ({"app_name": ""}, "1 to 48 printable ASCII"),
        ({"hostname": "höst"}, "1 to 255 printable ASCII"),
        ({"hostname": "h\n"}, "1 to 255 printable ASCII"),
        ({"max_message_bytes": "479"}, "greater than or equal to 480"),
        ({"private_enterprise_number": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_words(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=says):
        SyslogSettings.model_validate({"url": "tcp://h:514", **settings})


@pytest.mark.parametrize(
    ("url", "destination", "promise"),
    [
        ("udp://h", "udp://h:514", "best effort"),
        ("tcp://h", "tcp://h:514", KERNEL),
        ("tls://[::1]", "tls://[::1]:6514", KERNEL),
        ("tls://a,tls://b:1", "tls://a:6514, tls://b:1", KERNEL),
        ("relp://h", "relp://h:2514", "in the receiver's queue"),
        ("relp+tls://h:20514", "relp+tls://h:20514", "in the receiver's queue"),
    ],
)
def test_a_sink_says_where_events_go_and_what_that_is_worth(url: str, destination: str, promise: str) -> None:
    sink = SyslogSink(SyslogSettings.model_validate({"url": url}), SinkContext("soc", "journal"))
    assert (sink.destination, sink.promise) == (destination, promise)


@pytest.mark.parametrize(
    ("given", "rfc", "batch"),
    [
        ({"url": "tcp://h"}, "5424", 500),
        ({"url": "relp+tls://h"}, "5424", 128),
        ({"url": "relp://h", "batch_max_events": "1000"}, "5424", 1000),
        ({"url": "tcp://h", "format": "leef"}, "3164", 500),
        ({"url": "tcp://h", "format": "leef1", "rfc": "5424"}, "5424", 500),
        ({"url": "tcp://h", "format": "cef"}, "5424", 500),
    ],
)
def test_defaults_fit_the_transport_and_the_format(given: dict[str, Any], rfc: str, batch: int) -> None:
    """A crash repeats at most RELP's window; IBM documents RFC 3164 before LEEF. What is given is kept."""
    settings = SyslogSettings.model_validate(given)
    assert (settings.rfc, settings.batch_max_events) == (rfc, batch)
