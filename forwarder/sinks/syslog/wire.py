"""A connection to a receiver: TCP, with TLS or without.

asyncio hides a dead peer well. ``drain()`` returns without a turn of the event loop while nothing is paused, so that
``connection_lost`` never runs: hundreds of thousands of writes into a dead TLS connection were seen to succeed. And
after ``drain()`` of a TLS transport the bytes may still lie in the buffer of the TCP transport below. So here the
loop gets its turns after each write, both transports are asked for what they still hold, and the connection is looked
at before anything is written.
"""

import asyncio
import socket
import ssl
from typing import Self

from forwarder.errors import Misconfigured, Retryable
from forwarder.sinks.base import tls_fault

_SEND_BUFFER = 256 << 10
_POLL = 0.002
_TURNS = 8  # measured: TLS needs four from the end of the stream to connection_lost; a turn costs microseconds
_FAREWELL = 2.0
_PEER_SILENCE_MS = 30_000
_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))

UNWELCOME = "; on a new connection that may mean that it refuses us or our certificate"


class Wire(asyncio.Protocol):
    """One connection, over which a subclass speaks its protocol."""

    tcp: asyncio.Transport
    transport: asyncio.Transport

    def __init__(self) -> None:
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    async def connect(self, host: str, port: int) -> Self:
        """Connect without TLS.

        :raises OSError: nobody is there
        """
        await asyncio.get_running_loop().create_connection(lambda: self, host, port)
        return self

    @property
    def socket(self) -> socket.socket:
        """The kernel's side of the connection."""
        found: socket.socket = self.tcp.get_extra_info("socket")
        return found

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the connection up: small buffers, since what lies in them is lost with the peer; silent deaths found."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 # narrows asyncio's own signature
        self.tcp = self.transport = transport
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (*_KEEPALIVE, ("TCP_USER_TIMEOUT", _PEER_SILENCE_MS)):
            if hasattr(socket, name):
                self.socket.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember that the connection is gone, and why."""
        if not self.lost.done():
            self.lost.set_result(exc)

    async def start_tls(self, context: ssl.SSLContext, server_name: str) -> None:
        """Speak TLS from now on.

        :raises OSError: the handshake failed (:class:`ssl.SSLError` among them)
        """
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self.tcp, self, context, server_hostname=server_name, ssl_shutdown_timeout=_FAREWELL
            )
        except BaseException as error:
            self.tcp.abort()
            self.connection_lost(error if isinstance(error, Exception) else None)  # nobody else tells us
            raise
        if transport is None:
            raise ConnectionResetError("the peer hung up during the handshake")
        self.transport = transport

    async def outlive(self, seconds: float, *, unanswered: bool, hint: str = "") -> None:
        """Return after *seconds* if the connection is still there.

        :raises Misconfigured: the peer refused our certificate (or the lack of one)
        :raises Retryable: it hung up
        """
        await asyncio.wait({self.lost}, timeout=seconds)
        await turns()  # the loop may have been busy all the while, and not have looked
        self.check(unanswered=unanswered, hint=hint)

    async def flush(self) -> None:
        """Return when the kernel has all that was written, or the connection is lost."""
        await turns()
        while self.unsent() and not self.lost.done():  # noqa: ASYNC110 # nothing signals both transports' buffers
            await asyncio.sleep(_POLL)

    def unsent(self) -> int:
        """Count the bytes that neither transport has handed to the kernel."""
        above = 0 if self.transport is self.tcp else self.transport.get_write_buffer_size()
        return above + self.tcp.get_write_buffer_size()

    def check(self, *, unanswered: bool, hint: str = "") -> None:
        """Raise if the connection is gone, or about to be.

        :raises Misconfigured: the peer minds our side of TLS
        :raises Retryable: it hung up, or the connection broke
        """
        if not self.lost.done() and not self.transport.is_closing():
            return
        cause = self.lost.result() if self.lost.done() else None
        fault = None if cause is None else tls_fault(cause)
        if fault is not None:
            raise Misconfigured(fault)
        reason = "the receiver hung up" if cause is None else f"the connection broke: {cause or type(cause).__name__}"
        raise Retryable(reason + hint, unanswered=unanswered, kind="connection")

    async def close(self) -> None:
        """Say goodbye (TLS: close_notify), and hang up on a peer that does not answer."""
        self.transport.close()
        try:
            await asyncio.wait({self.lost}, timeout=_FAREWELL)
        finally:
            self.tcp.abort()
        await turns()

    async def abort(self) -> None:
        """Release a connection that did not come about, without a word; one that was never made is fine."""
        if hasattr(self, "tcp"):
            self.tcp.abort()
            await turns()


async def turns() -> None:
    """Let the loop look at the socket and read what is there, and the layers above tell each other and us."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
