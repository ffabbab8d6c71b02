"""A network inside one event loop: connections that can be refused, stalled, cut, and listened in on.

Bytes arrive after a latency, in order. Each connection has two ends, and each end belongs to the process that made it;
when that dies, its peer sees a reset. Nothing leaves the machine. TLS is spoken over a connection as over a real one.
"""

import asyncio
import itertools
import socket
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Literal

from tests.simulation.loop import Process, current_process

Weather = Literal["clear", "refused", "silent"]
"""How a host can be reached: as usual; not at all, and at once; or never with an answer."""


class Network:
    """The hosts that listen, and every connection between them.

    :ivar weather: how each ``(host, port)`` can be reached at the moment; clear unless it is named
    :ivar listen_in: called with the address and the bytes of whatever is sent
    :ivar dialled: every address that a process has tried to reach; what the world itself reaches is none's
    """

    def __init__(self) -> None:
        self.weather: dict[tuple[str, int], Weather] = {}
        self.listen_in: Callable[[tuple[str, int], bytes], None] = lambda _, __: None
        self.latency: Callable[[], float] = lambda: 0.0005
        self.dialled: set[tuple[str, int]] = set()
        self._listening: dict[tuple[str, int], _Server] = {}
        self._ports = itertools.count(20_000)
        self._dials: dict[int, tuple[str, int]] = {}
        self._ends: dict[int, End] = {}
        self._numbers = itertools.count()

    # What the loop asks for

    def resolve(self, host: Any, port: Any) -> list[Any]:
        """Take any name for an address."""
        text = host.decode() if isinstance(host, bytes) else host
        text = "127.0.0.1" if text == "localhost" else text
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, int(port or 0)))]

    async def dial(self, sock: socket.socket, address: Any) -> None:
        """Find out whether *address* answers; remember whom *sock* would be connected to."""
        where = (str(address[0]), int(address[1]))
        await self._reach(where)
        self._dials[sock.fileno()] = where

    async def connect(
        self, protocol_factory: Callable[[], Any], host: Any, port: Any, sock: socket.socket | None
    ) -> tuple["End", Any]:
        """Make a connection's two ends."""
        if sock is not None:
            where = self._dials.pop(sock.fileno())
            sock.close()
        else:
            where = (str(host), int(port))
            await self._reach(where)
        server = self._listening.get(where)
        if server is None:
            raise ConnectionRefusedError(111, f"nobody listens at {where[0]}:{where[1]}")
        here = ("127.0.0.1", next(self._ports))
        mine = End(self, current_process(), copy_context(), where, here)
        theirs = End(self, server.process, server.context, here, where)
        mine.peer, theirs.peer = theirs, mine
        protocol = protocol_factory()
        mine.begin(protocol)
        theirs.context.run(theirs.begin, server.protocol_factory())
        return mine, protocol

    def listen(self, protocol_factory: Callable[[], Any], host: Any, port: Any) -> "_Server":
        """Take connections at *host*, *port*; port 0 is a free one."""
        where = (host if isinstance(host, str) else "127.0.0.1", port or next(self._ports))
        if where in self._listening:
            raise OSError(98, "Address already in use")
        server = self._listening[where] = _Server(self, protocol_factory, where, current_process(), copy_context())
        return server

    # What the world does

    def protocol_factory(self, where: tuple[str, int]) -> Callable[[], Any]:
        """What takes a connection to *where*."""
        return self._listening[where].protocol_factory

    def hang_up(self, where: tuple[str, int]) -> None:
        """Reset every connection to *where*, for both ends."""
        for end in [end for end in self._ends.values() if end.there == where]:
            end.peer.abort()

    def drop(self, process: Process) -> None:
        """Let go of all that *process* had open, as the kernel does for the dead: peers see a reset."""
        for end in [end for end in self._ends.values() if end.process is process]:
            end.vanish()
        for where in [where for where, server in self._listening.items() if server.process is process]:
            del self._listening[where]

    def open_ends(self, process: Process) -> int:
        """How many connections *process* holds, its listening ones included, those left out that it has closed."""
        listening = sum(server.process is process for server in self._listening.values())
        return listening + sum(end.process is process and not end.is_left for end in self._ends.values())

    # Inside

    async def _reach(self, where: tuple[str, int]) -> None:
        if current_process() is not None:
            self.dialled.add(where)
        weather = self.weather.get(where, "clear")
        if weather == "silent":
            await asyncio.Event().wait()
        await asyncio.sleep(self.latency())
        if weather == "refused" or where not in self._listening:
            raise ConnectionRefusedError(111, f"Connect call failed {where}")

    def _enter(self, end: "End") -> int:
        number = next(self._numbers)
        self._ends[number] = end
        return number

    def _leave(self, number: int) -> None:
        self._ends.pop(number, None)

    def _close(self, server: "_Server") -> None:
        if self._listening.get(server.where) is server:
            del self._listening[server.where]


class End(asyncio.Transport):
    """One end of a connection: the transport of whoever made it."""

    peer: "End"
    _start_tls_compatible = True

    def __init__(
        self,
        network: Network,
        process: Process | None,
        context: Context,
        there: tuple[str, int],
        here: tuple[str, int],
    ) -> None:
        super().__init__({"peername": there, "sockname": here, "socket": _Socket(here)})
        self.network = network
        self.process = process
        self.context = context
        self.there = there
        self._loop = asyncio.get_running_loop()
        self._protocol: Any = None
        self._number = network._enter(self)
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
        self.network._leave(self._number)
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
        self.network._leave(self._number)
        self._protocol.connection_lost(error)


class _Server(asyncio.AbstractServer):
    def __init__(
        self,
        network: Network,
        protocol_factory: Callable[[], Any],
        where: tuple[str, int],
        process: Process | None,
        context: Context,
    ) -> None:
        self.network = network
        self.protocol_factory = protocol_factory
        self.where = where
        self.process = process
        self.context = context
        self.sockets = [_Socket(where)]

    def close(self) -> None:
        self.network._close(self)

    async def wait_closed(self) -> None:
        return

    def is_serving(self) -> bool:
        return True

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    async def start_serving(self) -> None:
        """It serves from the beginning."""

    async def serve_forever(self) -> None:
        await asyncio.Event().wait()


class _Socket:
    """What aiohttp wants to know of a socket."""

    family = socket.AF_UNIX  # so that nobody sets TCP's options on it

    def __init__(self, where: tuple[str, int]) -> None:
        self._where = where

    def getsockname(self) -> tuple[str, int]:
        return self._where

    def setsockopt(self, *_: Any) -> None:
        """Nothing to set."""
