"""How syslog messages leave: a TCP connection, with TLS or without, or datagrams.

asyncio hides a dead peer well. ``drain()`` returns without a turn of the event loop while nothing is paused, so that
``connection_lost`` never runs: hundreds of thousands of writes into a dead TLS connection were seen to succeed. And
after ``drain()`` of a TLS transport the bytes may still lie in the buffer of the TCP transport below. So this module
gives the loop its turns after each write, and asks both transports for what they still hold.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

from forwarder.errors import Misconfigured, Refused, Retryable
from forwarder.sinks.base import tls_fault

_SEND_BUFFER = 256 << 10
_SLICE = 64 << 10
_POLL = 0.002
_TURNS = 8  # measured: TLS needs four from the end of the stream to connection_lost; a turn costs microseconds
_FAREWELL = 2.0
_PEER_SILENCE_MS = 30_000

# A receiver's default buffer holds some ninety datagrams of a kilobyte. Without a pace a catch-up loses most of its
# events there: rsyslog on the loopback got 856 of 2,000. This is 6,400 events a second.
_BURST = 32
_PACE = 0.005


class Stream(asyncio.Protocol):
    """A TCP connection. The peer never says anything that matters."""

    _tcp: asyncio.Transport
    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def connect(cls, host: str, port: int) -> Self:
        """Connect without TLS.

        :raises OSError: nobody is there
        """
        _, stream = await asyncio.get_running_loop().create_connection(cls, host, port)
        return stream

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the connection up: small buffers, since what lies in them is lost with the peer; silent deaths found."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 # narrows asyncio's own signature
        self._tcp = self._transport = transport
        tcp: socket.socket = transport.get_extra_info("socket")
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _PEER_SILENCE_MS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember that the connection is gone, and why."""
        if not self._lost.done():
            self._lost.set_result(exc)

    async def start_tls(self, context: ssl.SSLContext, server_name: str) -> None:
        """Speak TLS from now on.

        :raises OSError: the handshake failed (:class:`ssl.SSLError` among them)
        """
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self._tcp, self, context, server_hostname=server_name, ssl_shutdown_timeout=_FAREWELL
            )
        except BaseException as error:
            self._tcp.abort()
            self.connection_lost(error if isinstance(error, Exception) else None)  # nobody else tells us
            raise
        if transport is None:
            raise ConnectionResetError("the peer hung up during the handshake")
        self._transport = transport

    async def outlive(self, seconds: float) -> None:
        """Return after *seconds* if the connection is still there.

        :raises Misconfigured: the peer refused our certificate (or the lack of one)
        :raises Retryable: it hung up
        """
        await asyncio.wait({self._lost}, timeout=seconds)
        self._check(unanswered=False, hint="; on a new connection that may mean that it refuses us or our certificate")

    async def send(self, messages: Sequence[bytes], *, framing: str) -> None:
        """Return when the kernel has all of *messages* and the connection is still there."""
        await _turns()
        self._check(unanswered=False)
        for part in slices(frames(messages, framing)):
            self._transport.write(part)
            await _turns()
            while self._unsent() and not self._lost.done():  # noqa: ASYNC110 # nothing signals both transports' buffers
                await asyncio.sleep(_POLL)
            self._check(unanswered=True)

    async def close(self) -> None:
        """Say goodbye (TLS: close_notify), and hang up on a peer that does not answer."""
        self._transport.close()
        try:
            await asyncio.wait({self._lost}, timeout=_FAREWELL)
        finally:
            self._tcp.abort()
        await _turns()

    def _unsent(self) -> int:
        above = 0 if self._transport is self._tcp else self._transport.get_write_buffer_size()
        return above + self._tcp.get_write_buffer_size()

    def _check(self, *, unanswered: bool, hint: str = "") -> None:
        if not self._lost.done() and not self._transport.is_closing():
            return
        cause = self._lost.result() if self._lost.done() else None
        fault = None if cause is None else tls_fault(cause)
        if fault is not None:
            raise Misconfigured(fault)
        reason = "the receiver hung up" if cause is None else f"the connection broke: {cause or type(cause).__name__}"
        raise Retryable(reason + hint, unanswered=unanswered, kind="connection")


class Datagrams(asyncio.DatagramProtocol):
    """A connected UDP socket: a host that nobody listens on tells so, now and then."""

    _transport: asyncio.DatagramTransport

    def __init__(self) -> None:
        self._error: Exception | None = None

    @classmethod
    async def connect(cls, host: str, port: int) -> Self:
        """Make the socket.

        :raises OSError: the host has no address
        """
        endpoint = asyncio.get_running_loop().create_datagram_endpoint(cls, remote_addr=(host, port))
        transport, datagrams = await endpoint
        datagrams._transport = transport  # noqa: SLF001 # our own, made here
        return datagrams

    def error_received(self, exc: Exception) -> None:
        """Remember what the kernel says of an earlier datagram."""
        self._error = exc

    async def send(self, messages: Sequence[bytes], *, framing: str) -> None:  # noqa: ARG002 # datagrams need none
        """Hand *messages* to the kernel, one a datagram (RFC 5426 section 3.1), no faster than receivers read."""
        self._check()
        for index, message in enumerate(messages):
            self._transport.sendto(message)
            if isinstance(self._error, OSError) and self._error.errno == errno.EMSGSIZE:
                raise Refused(f"a message of {len(message)} bytes does not fit a datagram", at=index)
            if index % _BURST == _BURST - 1:
                await asyncio.sleep(_PACE)
        await _turns()
        self._check()

    async def close(self) -> None:
        """Release the socket, once what the kernel did not take at once is out."""
        self._transport.close()
        await _turns()

    def _check(self) -> None:
        if self._error is not None:
            raise Retryable(f"datagrams are not taken: {self._error}", unanswered=True, kind="connection")


def frames(messages: Iterable[bytes], framing: str) -> Iterator[bytes]:
    """Frame *messages* as RFC 6587 has it: their length before them (3.4.1), or a line end behind (3.4.2)."""
    for message in messages:
        yield message + b"\n" if framing == "lf" else b"%d %s" % (len(message), message)


def slices(framed: Iterable[bytes]) -> Iterator[bytes]:
    """Join frames to writes of a size that is worth a system call, and never more than that in our own buffers."""
    part = bytearray()
    for frame in framed:
        part += frame
        if len(part) >= _SLICE:
            yield bytes(part)
            part.clear()
    if part:
        yield bytes(part)


async def _turns() -> None:
    """Let the loop look at the socket and read what is there, and the layers above tell each other and us."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
