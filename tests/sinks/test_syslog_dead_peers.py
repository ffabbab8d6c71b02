"""TCP and TLS have no acknowledgement: what is done so that a batch that died with its receiver is sent again.

Each test fails without the rule that it is about; ``test_syslog.py`` has those on a connection that is gone already.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme

from forwarder.errors import Retryable
from forwarder.sinks.base import SinkContext
from forwarder.sinks.syslog import SyslogSettings, SyslogSink, kernel
from forwarder.sinks.syslog.stream import IN_FLIGHT, Stream
from tests.sinks.contract import make_items, until

LONG = 60.0
"""A settle time that no test waits for."""


class DeafPeer:
    """Accepts one connection and reads what it is told to, by a thread of its own; the rest stays in its kernel."""

    def __init__(self, folder: Path, scheme: str, *, receive_buffer: int | None = None) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("syslog.test").configure_cert(self._context)
        self._listener = socket.socket()
        if receive_buffer is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self._scheme = scheme
        self._act = threading.Semaphore(0)
        self._reading = False
        self.ended_with = b"?"
        """What the last read gave: nothing after a TLS close_notify or a plain end."""
        trust = {"tls_ca_file": folder / "ca.pem", "tls_server_name": "syslog.test"} if scheme == "tls" else {}
        url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self.settings: dict[str, Any] = {"url": url, **trust}
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def die(self) -> None:
        """End as a killed process does: its kernel hangs up, and what it had not read is gone."""
        self._act.release()
        self._thread.join()

    def read_on(self) -> None:
        """Read everything from now on, until the other side ends."""
        self._reading = True
        self._act.release()

    def close(self) -> None:
        self._act.release()
        self._thread.join()
        self._listener.close()

    def _secured(self, accepted: socket.socket) -> socket.socket:
        return self._context.wrap_socket(accepted, server_side=True, suppress_ragged_eofs=False)

    def _serve(self) -> None:
        accepted, _ = self._listener.accept()
        wrapped = self._secured(accepted) if self._scheme == "tls" else accepted
        with wrapped:
            self._act.acquire()
            while self._reading:
                try:
                    self.ended_with = wrapped.recv(1 << 16)
                except OSError:
                    return
                if not self.ended_with:
                    return


Start = Callable[..., DeafPeer]


@pytest.fixture(params=["tcp", "tls"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Start a peer, once over TCP and once over TLS."""
    started = []

    def begin(**options: Any) -> DeafPeer:
        started.append(DeafPeer(tmp_path, request.param, **options))
        return started[-1]

    yield begin
    for peer in started:
        peer.close()


@pytest_asyncio.fixture
async def connect(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Any]]:
    """Open a sink to a peer."""
    monkeypatch.setattr("forwarder.sinks.syslog.dial.FIRST_DOUBT", 0.02)
    monkeypatch.setattr("forwarder.sinks.syslog.wire._FAREWELL", 0.2)
    sinks = []

    async def begin(peer: DeafPeer, **settings: Any) -> tuple[SyslogSink, Stream]:
        chosen = {"max_message_bytes": 1 << 20, **peer.settings, **settings}
        sink = SyslogSink(SyslogSettings.model_validate(chosen), SinkContext("soc", "journal"))
        sinks.append(sink)
        await sink.open()
        assert isinstance(sink._line, Stream)
        return sink, sink._line

    yield begin
    for sink in sinks:
        await sink.close()


def is_in_the_peers_kernel(stream: Stream) -> bool:
    """Whether all that was written is acknowledged by the peer's kernel."""
    return not stream.unsent() and kernel.unacknowledged(stream.socket) == 0


async def test_what_a_dying_peer_had_not_read_is_sent_again(start: Start, connect: Callable[..., Any]) -> None:
    """Its kernel had acknowledged every byte: only the settle time tells."""
    peer = start()
    sink, stream = await connect(peer, settle=LONG)
    send = asyncio.ensure_future(sink.send(make_items(10)))
    await until(lambda: stream.settling > 0, 20)
    assert is_in_the_peers_kernel(stream)
    assert not send.done()
    peer.die()
    with pytest.raises(Retryable) as raised:
        await send
    assert (raised.value.accepted, raised.value.unanswered) == (0, True)


async def test_a_batch_counts_once_the_connection_has_lived_on(start: Start, connect: Callable[..., Any]) -> None:
    peer = start()
    sink, _ = await connect(peer, settle=0.3)
    started = asyncio.get_running_loop().time()
    await sink.send(make_items(10))
    assert asyncio.get_running_loop().time() - started >= 0.3


async def test_batches_settle_side_by_side(start: Start, connect: Callable[..., Any]) -> None:
    """Else a catch-up would go at one batch a settle time; and their order is kept."""
    peer = start()
    sink, stream = await connect(peer, settle=LONG)
    assert sink.max_in_flight == IN_FLIGHT
    assert sink.longest_send == sink.settings.timeout + LONG
    sends = [asyncio.ensure_future(sink.send(make_items(2, first=2 * n + 1))) for n in range(IN_FLIGHT)]
    await until(lambda: stream.settling == IN_FLIGHT, 20)
    assert not any(send.done() for send in sends)
    peer.die()
    failures = await asyncio.gather(*sends, return_exceptions=True)
    assert all(isinstance(failure, Retryable) and failure.unanswered for failure in failures)


async def test_what_the_peers_kernel_has_not_acknowledged_is_not_delivered(
    start: Start, connect: Callable[..., Any]
) -> None:
    """Our own kernel takes it at once, and would be believed without a look at its queue."""
    peer = start(receive_buffer=4 << 10)
    sink, stream = await connect(peer, settle=0)
    send = asyncio.ensure_future(sink.send(make_items(1, size=150_000)))
    await until(lambda: bool(kernel.unacknowledged(stream.socket)) and not stream.unsent(), 20)
    done, _ = await asyncio.wait({send}, timeout=0.5)
    assert not done
    peer.read_on()
    async with asyncio.timeout(20):
        await send
    assert is_in_the_peers_kernel(stream)


async def test_the_end_of_a_batch_is_where_the_kernel_has_all_of_it(
    start: Start, connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under TLS the upper transport says that it holds nothing while the lower one still holds everything."""
    peer = start(receive_buffer=4 << 10)
    sink, stream = await connect(peer, settle=0)
    held: list[int] = []
    mark = kernel.mark

    def noting(connection: socket.socket) -> kernel.Mark | None:
        held.append(stream.unsent())
        return mark(connection)

    monkeypatch.setattr(kernel, "mark", noting)
    send = asyncio.ensure_future(sink.send(make_items(1, size=900_000)))
    await until(lambda: stream.unsent() > 0, 20)
    await asyncio.wait({send}, timeout=0.2)
    peer.read_on()
    async with asyncio.timeout(20):
        await send
    assert held == [0]


async def test_little_lies_in_buffers_of_ours(start: Start, connect: Callable[..., Any]) -> None:
    """What lies there is lost with the peer, or repeated: the kernel's own limit would be megabytes."""
    peer = start(receive_buffer=4 << 10)
    sink, stream = await connect(peer, settle=0)
    send = asyncio.ensure_future(sink.send(make_items(40, size=200_000)))
    seen = -1
    while (now := stream.unsent() + (kernel.unacknowledged(stream.socket) or 0)) != seen or not seen:  # it moves
        seen = now
        await asyncio.wait({send}, timeout=0.3)
    assert 0 < seen < 1 << 20
    send.cancel()
    await asyncio.gather(send, return_exceptions=True)


async def test_a_peer_that_vanishes_without_a_word_is_given_up(start: Start, connect: Callable[..., Any]) -> None:
    """Nothing is heard of a machine that lost its power: the kernel asks after it, idle or not."""
    peer = start()
    _, stream = await connect(peer)
    assert stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
    idle, interval, count = (
        stream.socket.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
        for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
    )
    assert idle + interval * count <= 60


async def test_it_says_goodbye(start: Start, connect: Callable[..., Any]) -> None:
    """With TLS a close_notify: rsyslog logs an error for each connection that ends without."""
    peer = start()
    sink, _ = await connect(peer, settle=0)
    await sink.send(make_items(1))
    peer.read_on()
    await sink.close()
    peer.close()
    assert peer.ended_with == b""


async def test_a_mark_is_reached_while_more_is_written(start: Start, connect: Callable[..., Any]) -> None:
    """A batch is not held up by those that follow it on the connection."""
    peer = start(receive_buffer=4 << 10)
    sink, stream = await connect(peer, settle=0)
    peer.read_on()
    await sink.send(make_items(1))
    place = kernel.mark(stream.socket)
    sends = [asyncio.ensure_future(sink.send(make_items(1, size=100_000))) for _ in range(5)]
    async with asyncio.timeout(20):
        while not kernel.reached(stream.socket, place):  # noqa: ASYNC110 # the kernel signals nothing
            await asyncio.sleep(0)
        await asyncio.gather(*sends)


def test_where_the_kernel_tells_nothing_its_word_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with socket.socket() as unconnected:
        assert kernel.unacknowledged(unconnected) is None
        assert kernel.mark(unconnected) is None
        assert kernel.reached(unconnected, None)
