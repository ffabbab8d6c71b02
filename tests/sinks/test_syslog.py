"""The syslog sink over UDP, TCP and TLS, against a receiver of ours that can misbehave."""

import asyncio
import contextlib
import re
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
from forwarder.sinks.syslog import FIRST_DOUBT, SyslogSettings, SyslogSink
from tests.peers import free_port
from tests.sinks.contract import Destination, SinkContract, make_items
from tests.sinks.syslog_grammar import Parsed, parse


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doubt a new connection for a moment only: the loopback is quick, and there are many tests."""
    monkeypatch.setattr("forwarder.sinks.syslog.FIRST_DOUBT", 0.02)


@pytest.fixture
def patient(brief: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Doubt it as long as a daemon does."""
    monkeypatch.setattr("forwarder.sinks.syslog.FIRST_DOUBT", FIRST_DOUBT)


class Receiver(Destination):
    """A TCP or TLS receiver that reads octet counting or lines, strictly."""

    def __init__(self, folder: Path, *, tls: bool = False, framing: str = "octet-counting") -> None:
        self.tls, self.framing = tls, framing
        self.port = free_port()
        self.messages: list[Parsed] = []
        self.wrong: list[bytes] = []
        self.hang_up_at_once = False
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca_file))
        self.authority.issue_cert("syslog.test").configure_cert(self.context)
        self._reading = asyncio.Event()
        self._reading.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen, with small buffers: a receiver that stalls is felt soon."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
        listener.bind(("127.0.0.1", self.port))
        context = self.context if self.tls else None
        self._server = await asyncio.start_server(self._serve, sock=listener, ssl=context, limit=64 << 10)

    async def aclose(self) -> None:
        """Cut all connections and stop listening."""
        self._reading.set()
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        while self._writers:  # noqa: ASYNC110 # a test's clean-up
            await asyncio.sleep(0.01)
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while not self.hang_up_at_once:
                await self._reading.wait()
                message = await self._read(reader)
                try:
                    self.messages.append(parse(message))
                except ValueError:
                    self.wrong.append(message)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the connection ended; whole messages were kept
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        if self.framing == "lf":
            return (await reader.readuntil(b"\n"))[:-1]
        length = await reader.readuntil(b" ")
        assert re.fullmatch(rb"[1-9][0-9]* ", length), length
        return await reader.readexactly(int(length))

    def settings(self) -> dict[str, Any]:
        scheme = "tls" if self.tls else "tcp"
        trust = {"tls_ca_file": self.ca_file, "tls_server_name": "syslog.test"} if self.tls else {}
        url = f"{scheme}://127.0.0.1:{self.port}"
        return {"url": url, "framing": self.framing, "max_message_bytes": 1 << 22, "timeout": 2.0, **trust}

    async def arrived(self) -> list[bytes]:
        # Control characters arrive as the escapes of JSON: the same value, which is written here as it was before.
        return [orjson.dumps(orjson.loads(message.text)) for message in self.messages]

    async def break_down(self) -> None:
        await self.aclose()

    async def mend(self) -> None:
        self._reading.set()
        if self._server is None:
            await self.start()

    async def stall(self) -> None:
        self._reading.clear()


class TestSyslogOverTcp(SinkContract):
    kind = "syslog"
    sockets_of_the_peer = 1

    @pytest_asyncio.fixture
    async def destination(self, tmp_path: Path) -> AsyncIterator[Receiver]:  # type: ignore[override] # a Destination
        receiver = Receiver(tmp_path)
        await receiver.start()
        yield receiver
        await receiver.aclose()
        assert receiver.wrong == []


class TestSyslogOverTcpByLines(SinkContract):
    kind = "syslog"
    sockets_of_the_peer = 1
    biggest = 50_000

    @pytest_asyncio.fixture
    async def destination(self, tmp_path: Path) -> AsyncIterator[Receiver]:  # type: ignore[override] # a Destination
        receiver = Receiver(tmp_path, framing="lf")
        await receiver.start()
        yield receiver
        await receiver.aclose()
        assert receiver.wrong == []


class TestSyslogOverTls(SinkContract):
    kind = "syslog"
    sockets_of_the_peer = 1

    @pytest_asyncio.fixture
    async def destination(self, tmp_path: Path) -> AsyncIterator[Receiver]:  # type: ignore[override] # a Destination
        receiver = Receiver(tmp_path, tls=True)
        await receiver.start()
        yield receiver
        await receiver.aclose()
        assert receiver.wrong == []


class DatagramReceiver(Destination, asyncio.DatagramProtocol):
    """A UDP receiver."""

    def __init__(self) -> None:
        self.port = 0
        self.messages: list[Parsed] = []
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self) -> None:
        """Listen."""
        place = ("127.0.0.1", self.port)
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=place)
        self.port = self._transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.messages.append(parse(data))

    def settings(self) -> dict[str, Any]:
        return {"url": f"udp://127.0.0.1:{self.port}", "max_message_bytes": 1 << 17, "timeout": 2.0}

    async def arrived(self) -> list[bytes]:
        return [orjson.dumps(orjson.loads(message.text)) for message in self.messages]

    async def break_down(self) -> None:
        assert self._transport is not None
        self._transport.abort()
        await asyncio.sleep(0)

    async def mend(self) -> None:
        await self.start()


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
    receiver = Receiver(tmp_path, tls=request.param == "tls")
    await receiver.start()
    yield receiver
    await receiver.aclose()


@pytest_asyncio.fixture
async def secure(tmp_path: Path) -> AsyncIterator[Receiver]:
    """Run a receiver over TLS."""
    receiver = Receiver(tmp_path, tls=True)
    await receiver.start()
    yield receiver
    await receiver.aclose()


def make_sink(destination: Destination, **settings: Any) -> SyslogSink:
    """Make a sink for *destination*."""
    chosen = {**destination.settings(), **settings}
    model = SyslogSettings.model_validate({key: value for key, value in chosen.items() if value is not None})
    return SyslogSink(model, SinkContext("soc", "journal"))


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


async def until(receiver: Receiver | DatagramReceiver, count: int) -> list[Parsed]:
    """Wait until *count* messages are in."""
    async with asyncio.timeout(10):
        while len(receiver.messages) < count:  # noqa: ASYNC110 # the receiver is real
            await asyncio.sleep(0.01)
    return receiver.messages


async def send_without_a_pause(sink: SyslogSink) -> None:
    """Send as a busy worker does."""
    for _ in range(200):
        await sink.send(make_items(5))


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


async def test_an_event_that_is_too_long_is_refused_whole_and_its_place_named(receiver: Receiver) -> None:
    """Those before it are in; nothing is cut; the reason has the sizes."""
    sink = make_sink(receiver, max_message_bytes=2048)
    items = [*make_items(3), *make_items(1, first=4, size=5000), *make_items(2, first=5)]
    await sink.open()
    with pytest.raises(Refused, match=r"needs \d{4} bytes, and MAX_MESSAGE_BYTES is 2048; the event alone") as raised:
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
        await sink.send(make_items(2, size=5000))
    assert raised.value.at == 0
    await sink.close()
    assert receiver.messages == []


async def test_the_limit_counts_the_bytes_of_the_whole_message(receiver: Receiver) -> None:
    """A message of exactly the limit goes, one byte more does not."""
    sink = make_sink(receiver)
    await sink.open()
    await sink.send(make_items(1))
    await until(receiver, 1)
    await sink.close()
    written = len(_written(receiver.messages[0]))
    exact, short = make_sink(receiver, max_message_bytes=written), make_sink(receiver, max_message_bytes=written - 1)
    await exact.open()
    await exact.send(make_items(1))
    await exact.close()
    await short.open()
    with pytest.raises(Refused):
        await short.send(make_items(1))
    await short.close()


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
    await until(receiver, 320)
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
    wire = sink._wire
    async with asyncio.timeout(5):
        await sink.close()
    assert wire is not None
    assert wire._lost.done()  # type: ignore[union-attr] # a stream


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
    assert sink._wire is not None
    assert not sink._wire._unsent()  # type: ignore[union-attr] # a stream
    await sink.close()
    await until(receiver, 20)


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
        ({"url": "relp://h:2514"}, "does not speak RELP yet"),
        ({"url": "relp+tls://h:2514"}, "does not speak RELP yet"),
        ({"rfc": "3164"}, "does not write RFC 3164 yet"),
        ({"url": "h:514"}, "write udp://host:port"),
        ({"url": "http://h:514"}, "write udp://host:port"),
        ({"url": "tcp://h:514/path"}, "scheme, host and port only"),
        ({"url": "tcp://u:p@h:514"}, "scheme, host and port only"),
        ({"url": "tcp://h:70000"}, "(?i)port"),
        ({"url": "tcp://h", "tls_ca_file": "/x"}, "TLS_CA_FILE is given, but the URL is not tls://"),
        ({"url": "udp://h", "framing": "lf"}, "UDP carries one message a datagram"),
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
        ("tcp://h", "tcp://h:514", "best effort: received by the peer's kernel"),
        ("tls://[::1]", "tls://[::1]:6514", "best effort: received by the peer's kernel"),
    ],
)
def test_a_sink_says_where_events_go_and_what_that_is_worth(url: str, destination: str, promise: str) -> None:
    sink = SyslogSink(SyslogSettings.model_validate({"url": url}), SinkContext("soc", "journal"))
    assert (sink.destination, sink.promise) == (destination, promise)
