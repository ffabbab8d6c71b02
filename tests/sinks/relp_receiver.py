"""A RELP receiver of ours that is strict, and can misbehave; written from the specification, apart from the client."""

import asyncio
import re
import socket
from pathlib import Path
from typing import Any

from tests.sinks.syslog_grammar import parse
from tests.sinks.syslog_receiver import Listener

OFFERS = b"200 OK\nrelp_version=1\nrelp_software=ours,1,\ncommands=syslog"


class RelpReceiver(Listener):
    """Takes messages, acknowledges them in order, and refuses those that hold a mark."""

    def __init__(self, folder: Path, *, tls: bool = False) -> None:
        super().__init__(folder, "relp.test", tls=tls)
        self.transactions: list[int] = []
        self.closed_well = 0
        """Sessions that ended with `close`."""
        self.most_waiting = 0
        """Most messages that waited for an acknowledgement at once, while it stalled."""
        self.offers = OFFERS
        self.window_to_break: int | None = None
        """End the session after so many more messages were taken, without acknowledging the last `silent` of them."""
        self.silent = 0
        self.gathers_answers = False
        """Leave Nagle's algorithm on, as librelp does: an answer waits until the one before was acknowledged."""
        self._mark: bytes | None = None

    async def start(self) -> None:
        """Listen."""
        context = self.context if self.tls else None
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=context)

    async def say(self, words: bytes) -> None:
        """Send *words* to whoever is connected."""
        for writer in self._writers:
            writer.write(words)
            await writer.drain()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        if self.gathers_answers:
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        try:
            number, command, data = await self._frame(reader)
            assert (number, command) == (1, b"open")
            assert b"relp_version=1" in data.split(b"\n")
            assert b"commands=syslog" in data.split(b"\n")
            writer.write(b"1 rsp %d %s\n" % (len(self.offers), self.offers))
            await self._messages(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the session ended without a word
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _messages(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting: list[tuple[int, bytes]] = []
        while True:
            number, command, data = await self._frame(reader)
            if command == b"close":
                self.closed_well += 1
                writer.write(b"%d rsp 0\n0 serverclose 0\n" % number)
                await writer.drain()
                return
            assert command == b"syslog"
            self.transactions.append(number)
            refused = self._mark is not None and self._mark in data
            if not refused:
                self.messages.append(parse(data))
            waiting.append((number, b"500 not this one" if refused else b"200 OK"))
            if self.window_to_break is not None:
                self.window_to_break -= 1
                if self.window_to_break <= 0:
                    self._answer(writer, waiting[: len(waiting) - self.silent])
                    writer.write(b"0 serverclose 0\n")
                    await reader.read()  # to hang up now would take the answers back: TCP drops what is not read yet
                    return
                continue
            self.most_waiting = max(self.most_waiting, len(waiting))
            if self._going.is_set():
                self._answer(writer, waiting)
                waiting.clear()

    @staticmethod
    def _answer(writer: asyncio.StreamWriter, answers: list[tuple[int, bytes]]) -> None:
        for number, words in answers:
            writer.write(b"%d rsp %d %s\n" % (number, len(words), words))

    @staticmethod
    async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
        header = await reader.readuntil(b" ") + await reader.readuntil(b" ")
        while header[-1:] not in (b" ", b"\n") or header.count(b" ") + header.count(b"\n") < 3:
            header += await reader.readexactly(1)
        found = re.fullmatch(rb"([1-9][0-9]{0,8}) ([a-z]{1,32}) (0|[1-9][0-9]{0,8})([ \n])", header)
        assert found is not None, header
        length = int(found[3])
        assert (length > 0) == (found[4] == b" ")
        data = await reader.readexactly(length)
        if length:
            assert await reader.readexactly(1) == b"\n"
        return int(found[1]), found[2], data

    def settings(self) -> dict[str, Any]:
        scheme = "relp+tls" if self.tls else "relp"
        return {
            "url": f"{scheme}://127.0.0.1:{self.port}",
            "max_message_bytes": 1 << 22,
            "timeout": 2.0,
            **self.trust(),
        }

    async def mend(self) -> None:
        self._mark = None
        await super().mend()

    async def refuse(self, mark: bytes) -> None:
        self._mark = mark
