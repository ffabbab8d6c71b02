"""Receivers of ours that can misbehave, and what the tests of the syslog sink share."""

import asyncio
import contextlib
import dataclasses
import re
import socket
import ssl
from abc import abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeVar

import orjson
import trustme

from forwarder.sinks.base import Item, SinkContext
from forwarder.sinks.syslog import SyslogSettings, SyslogSink
from tests.peers import free_port
from tests.sinks.contract import Destination, make_items
from tests.sinks.syslog_grammar import Parsed, parse


class Listener(Destination):
    """A receiver that takes connections, with TLS or without; a subclass speaks its protocol in :meth:`_serve`.

    :param name: in its certificate
    """

    def __init__(self, folder: Path, name: str, *, tls: bool) -> None:
        self.tls = tls
        self.port = free_port()
        self.messages: list[Parsed] = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca_file))
        self.authority.issue_cert(name).configure_cert(self.context)
        self._name = name
        self._going = asyncio.Event()
        """Not set while it stalls."""
        self._going.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @abstractmethod
    async def start(self) -> None:
        """Listen."""

    async def aclose(self) -> None:
        """Cut all connections and stop listening."""
        self._going.set()
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        while self._writers:  # noqa: ASYNC110 # a test's clean-up
            await asyncio.sleep(0.01)
        self._server = None

    def trust(self) -> dict[str, Any]:
        """Settings that trust it."""
        return {"tls_ca_file": self.ca_file, "tls_server_name": self._name} if self.tls else {}

    async def arrived(self) -> list[bytes]:
        # Control characters arrive as the escapes of JSON: the same value, which is written here as it was before.
        return [orjson.dumps(orjson.loads(message.text)) for message in self.messages]

    async def break_down(self) -> None:
        await self.aclose()

    async def mend(self) -> None:
        self._going.set()
        if self._server is None:
            await self.start()

    async def stall(self) -> None:
        self._going.clear()


ListenerT = TypeVar("ListenerT", bound=Listener)


@contextlib.asynccontextmanager
async def listening(listener: ListenerT) -> AsyncIterator[ListenerT]:
    """Let *listener* listen while the body runs."""
    await listener.start()
    yield listener
    await listener.aclose()


class Receiver(Listener):
    """A TCP or TLS receiver that reads octet counting or lines, strictly."""

    def __init__(self, folder: Path, *, tls: bool = False, framing: str = "octet-counting") -> None:
        super().__init__(folder, "syslog.test", tls=tls)
        self.framing = framing
        self.wrong: list[bytes] = []
        self.hang_up_at_once = False

    async def start(self) -> None:
        """Listen, with small buffers: a receiver that stalls is felt soon."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
        listener.bind(("127.0.0.1", self.port))
        context = self.context if self.tls else None
        self._server = await asyncio.start_server(self._serve, sock=listener, ssl=context, limit=64 << 10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while not self.hang_up_at_once:
                await self._going.wait()
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
        return {
            "url": f"{scheme}://127.0.0.1:{self.port}",
            "framing": self.framing,
            "max_message_bytes": 1 << 22,
            "timeout": 2.0,
            "settle": 0.05,
            **self.trust(),
        }


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


def make_sink(destination: Destination, **settings: Any) -> SyslogSink:
    """Make a sink for *destination*."""
    chosen = {**destination.settings(), **settings}
    model = SyslogSettings.model_validate({key: value for key, value in chosen.items() if value is not None})
    return SyslogSink(model, SinkContext("soc", "journal"))


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


def stubborn(seq: int, *, size: int = 5000) -> Item:
    """Make an event that no shrinking makes fit: its id alone is too long."""
    [item] = make_items(1, first=seq)
    known_as = "ual_" + "x" * size
    body = orjson.dumps({**orjson.loads(item.body), "id": known_as})
    return Item(seq, dataclasses.replace(item.event, id=known_as), body)
