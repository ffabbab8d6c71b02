"""A connection inside one event loop: two ends, each of them the transport of the process that made it.

Bytes arrive after a latency, in order. TLS is spoken over a connection as over a real one.
"""

import asyncio
import socket
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from tests.simulation.loop import Process

if TYPE_CHECKING:
    from tests.simulation.network import Network


class End(asyncio.Transport):
    """One end of a connection: the transport of whoever made it."""

    peer: "End"
    _start_tls_compatible = True

    def __init__(
        self,
        network: "Network",
        process: Process | None,
        context: Context,
        there: tuple[str, int],
        here: tuple[str, int],
    ) -> None:
        super().__init__({"peername": there, "sockname": here, "socket": Socket(here)})
        self.network = network
        self.process = process
        self.context = context
        self.there = there
        self._loop = asyncio.get_running_loop()
        self._protocol: Any = None
        self._number = network.enter(self)
        self._arrives = 0.0
        self._closing = False
        self._lost = False
        self._ended = False
        self._paused = False
        self._waiting: list[Callable[[], None]] = []

    def begin(self, protocol: Any) -> None:
        """Hand the connection to *protocol*."""
        self._protocol = protocol
        protocol.connection_made(self)

    # asyncio.Transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send *data*; it arrives after the latency."""
        if self._closing or not data:
            return
        content = bytes(data)
        self.network.listen_in(self.there, content)
        if self.network.weather.get(self.there, "clear") == "clear":
            self._send(self.peer._receive, content)

    def write_eof(self) -> None:
        """Send no more."""
        if not self._ended:
            self._ended = True
            self._send(self.peer._receive_end)

    def can_write_eof(self) -> bool:
        """As TCP."""
        return True

    def close(self) -> None:
        """Close in order: what was written arrives first."""
        if not self._closing:
            self.write_eof()
            self._closing = True
            self._loop.call_soon(self._lose, None, context=self.context)

    def abort(self) -> None:
        """Close at once; the peer sees a reset."""
        self._closing = True
        self._loop.call_soon(self._lose, None, context=self.context)
        self._reset_peer()

    def vanish(self) -> None:
        """Be gone without a word to one's own process: it is dead."""
        self._lost = self._closing = True
        self.network.leave(self._number)
        self._reset_peer()

    def is_closing(self) -> bool:
        """Whether it was closed from this end, or is lost."""
        return self._closing

    @property
    def is_left(self) -> bool:
        """Whether TLS is taking leave on it: whoever spoke on it has closed it."""
        protocol = self._protocol
        return isinstance(protocol, SSLProtocol) and protocol._app_transport.is_closing()

    def pause_reading(self) -> None:
        """Keep what arrives."""
        self._paused = True

    def resume_reading(self) -> None:
        """Hand on what was kept."""
        self._paused = False
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            self._hand_on(event)

    def is_reading(self) -> bool:
        """Whether what arrives is handed on at once."""
        return not self._paused and not self._closing

    def set_protocol(self, protocol: Any) -> None:
        """Hand on to another one from now on."""
        self._protocol = protocol

    def get_protocol(self) -> Any:
        """Whom what arrives is handed to."""
        return self._protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The network takes everything at once."""

    def get_write_buffer_size(self) -> int:
        """Nothing waits here."""
        return 0

    # Inside

    def _send(self, callback: Callable[..., None], *args: Any) -> None:
        self._arrives = max(self._arrives, self._loop.time() + self.network.latency())
        self._loop.call_at(self._arrives, callback, *args, context=self.peer.context)

    def _receive(self, data: bytes) -> None:
        self._hand_on(lambda: self._feed(data))

    def _feed(self, data: bytes) -> None:
        protocol, left = self._protocol, memoryview(data)
        if not isinstance(protocol, asyncio.BufferedProtocol):
            protocol.data_received(data)
            return
        while left and not self._lost:
            room = memoryview(protocol.get_buffer(len(left)))
            size = min(len(room), len(left))
            room[:size] = left[:size]
            left = left[size:]
            protocol.buffer_updated(size)

    def _receive_end(self) -> None:
        self._hand_on(self._end)

    def _end(self) -> None:
        if not self._protocol.eof_received():
            self.close()

    def _hand_on(self, event: Callable[[], None]) -> None:
        if self._lost:
            return
        if self._paused:
            self._waiting.append(event)
        else:
            event()

    def _force_close(self, _: BaseException) -> None:
        """What TLS does to a connection on which it is not understood."""
        self.abort()

    def _reset_peer(self) -> None:
        peer = self.peer
        if not peer._lost:
            when = self._loop.time() + self.network.latency()
            self._loop.call_at(when, peer._lose, ConnectionResetError(104, "reset"), context=peer.context)

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self.network.leave(self._number)
        self._protocol.connection_lost(error)


class Socket:
    """What aiohttp wants to know of a socket."""

    family = socket.AF_UNIX  # so that nobody sets TCP's options on it

    def __init__(self, where: tuple[str, int]) -> None:
        self._where = where

    def getsockname(self) -> tuple[str, int]:
        """Its own address."""
        return self._where

    def setsockopt(self, *_: Any) -> None:
        """Nothing to set."""
