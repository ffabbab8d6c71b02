"""A proxy on the loopback before a real peer: outages that begin and end at once, without one of the peer itself."""

import asyncio
from contextlib import suppress


class Proxy:
    """Passes bytes on between *port* and *target*, unless it is told otherwise."""

    def __init__(self, port: int, target: int) -> None:
        self._port = port
        self._target = target
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", self._port)

    async def cut(self) -> None:
        """End every connection, and take none."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def stall(self) -> None:
        """Keep the connections, take new ones, and pass nothing on."""
        self._flowing.clear()

    async def mend(self) -> None:
        """End :meth:`cut` and :meth:`stall`."""
        self._flowing.set()
        if self._server is None:
            await self.start()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with suppress(asyncio.CancelledError):  # it is cut, and asyncio would complain of a cancelled callback
            await self._join(reader, writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there: asyncio.StreamWriter | None = None
        try:
            answers, there = await asyncio.open_connection("127.0.0.1", self._target)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, there))
                both.create_task(self._pump(answers, writer))
        except* OSError:
            pass  # one side is gone, and so is the other in a moment
        finally:
            for end in (writer, there):
                if end is not None:
                    end.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            data = await reader.read(1 << 16)
            await self._flowing.wait()
            if not data:
                raise ConnectionResetError
            writer.write(data)
            await writer.drain()
