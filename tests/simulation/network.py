"""A network inside one event loop: connections that can be refused, stalled, cut, and listened in on.

Each connection has two ends, and each end belongs to the process that made it; when that dies, its peer sees a reset.
Nothing leaves the machine.
"""

import asyncio
import itertools
import socket
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Literal

from tests.simulation.connection import End, Socket
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
    ) -> tuple[End, Any]:
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

    # What its connections ask for

    def enter(self, end: End) -> int:
        """Know *end* until it leaves; returns its number."""
        number = next(self._numbers)
        self._ends[number] = end
        return number

    def leave(self, number: int) -> None:
        """Forget an end. Twice is fine."""
        self._ends.pop(number, None)

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

    def _close(self, server: "_Server") -> None:
        if self._listening.get(server.where) is server:
            del self._listening[server.where]


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
        self.sockets = [Socket(where)]

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
