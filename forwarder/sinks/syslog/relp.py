"""A RELP client: syslog messages that the receiver acknowledges, one by one.

Source: "RELP - The Reliable Event Logging Protocol", ``doc/relp.md`` of librelp; its sections are named below.

::

    session = RelpSession()
    await session.connect(host, 2514)      # and start_tls, where TLS is spoken
    await session.open()
    await session.send(messages)           # returns when every one is acknowledged
    await session.close()

An acknowledgement of rsyslog means that the message is in its queue; whether that queue outlives it is its own
configuration. Nothing here retries: what a broken session left unacknowledged is in :class:`Unfinished`.
"""

import asyncio
from collections.abc import Sequence

from forwarder import __version__
from forwarder.errors import Failure, Misconfigured, Retryable
from forwarder.sinks.syslog import kernel
from forwarder.sinks.syslog.relp_frames import (
    Frame,
    FrameReader,
    NotRelp,
    Reply,
    next_transaction,
    parse_offers,
    parse_reply,
    write_offers,
)
from forwarder.sinks.syslog.wire import UNWELCOME, Wire, turns
from forwarder.text import visible

_FAREWELL = 2.0
_MOST_OUTSTANDING_BYTES = 4 << 20
_OK = 200


class Unfinished(Exception):
    """Not every message of a send was acknowledged.

    :ivar acknowledged: places of those that were
    :ivar refused: places of those that the receiver answered with an error, and its words
    :ivar failure: what ended the session, or None if the receiver's errors are all that happened
    """

    def __init__(self, acknowledged: set[int], refused: dict[int, str], failure: Failure | None) -> None:
        super().__init__(f"{len(acknowledged)} acknowledged, {len(refused)} refused")
        self.acknowledged = acknowledged
        self.refused = refused
        self.failure = failure


class RelpSession(Wire):
    """One session. Commands are numbered from 1, and each is answered under its number, in whatever order.

    :param window: most messages without an answer ("DESCRIPTION OF THE RELP PROTOCOL")
    :param transaction: the number before the first one
    """

    def __init__(self, window: int = 128, transaction: int = 0) -> None:
        super().__init__()
        self._window = window
        self._transaction = transaction
        self._reader = FrameReader()
        self._asked: set[int] = set()
        self._replies: dict[int, Reply] = {}
        self._news = asyncio.Event()
        self._opened = False
        self._over = ""

    async def open(self) -> None:
        """Agree on a session (sections "Command open" and "OFFERS").

        :raises Misconfigured: the peer speaks no RELP, or takes no syslog messages
        :raises Retryable: it hung up
        """
        offers = {"relp_version": "1", "relp_software": f"persona-siem-forwarder,{__version__}", "commands": "syslog"}
        reply = await self._ask(b"open", write_offers(offers))
        if reply.code != _OK:
            raise Misconfigured(f"the receiver opens no RELP session: {reply.code} {_shown(reply.text)}")
        accepted = parse_offers(reply.data)
        if "relp_version" not in accepted:
            raise Misconfigured("the receiver accepts no version of RELP that we speak")
        if "syslog" not in accepted.get("commands", "").split(","):
            raise Misconfigured("the receiver takes no syslog messages over RELP")
        self._opened = True

    async def send(self, messages: Sequence[bytes]) -> None:
        """Return when every one of *messages* is acknowledged; at most a window of them is outstanding at any time.

        After the receiver answered one with an error, no further one is sent, and those outstanding are waited for.

        :raises Unfinished: some were not acknowledged
        """
        places: dict[int, int] = {}  # transaction number to place, of those outstanding
        acknowledged: set[int] = set()
        refused: dict[int, str] = {}
        following, written = 0, False
        try:
            await turns()
            while True:
                self._settle(places, acknowledged, refused)
                outstanding = sum(len(messages[place]) for place in places.values())
                burst = bytearray()
                while (
                    not refused
                    and following < len(messages)
                    and len(places) < self._window
                    and (outstanding < _MOST_OUTSTANDING_BYTES or not places)
                ):
                    places[self._next()] = following
                    burst += Frame(self._transaction, b"syslog", messages[following]).encode()
                    outstanding += len(messages[following])
                    following += 1
                if not places:
                    break
                self._alive(unanswered=written)
                if burst:
                    self.transport.write(bytes(burst))
                    written = True
                await self._wait()
        except (Retryable, Misconfigured) as failure:
            raise Unfinished(acknowledged, refused, failure) from failure
        finally:
            self._asked.clear()
            self._replies.clear()
        if refused:
            raise Unfinished(acknowledged, refused, None)

    async def close(self) -> None:
        """End the session as the specification has it (section "Command close"), then hang up."""
        try:
            if self._opened and not self._over and not self.lost.done() and not self._asked:
                async with asyncio.timeout(_FAREWELL):
                    await self._ask(b"close")
        except (TimeoutError, Retryable, Misconfigured):
            pass  # the peer does not say goodbye; everything that it acknowledged is known
        finally:
            await super().close()

    def data_received(self, data: bytes) -> None:
        """Take what the peer says; hang up on one that does not speak RELP."""
        try:
            for frame in self._reader.feed(data):
                self._take(frame)
        except NotRelp as error:
            self._over = f"the receiver does not speak RELP: {error}"
            self.transport.abort()
        # librelp writes its answers one by one with Nagle's algorithm on, so the second waits until our kernel has
        # acknowledged the first: 44 ms a window, 2,700 messages a second into rsyslog instead of 52,000.
        if not self.tcp.is_closing():
            kernel.acknowledge_now(self.socket)
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits."""
        super().connection_lost(exc)
        self._news.set()

    def _take(self, frame: Frame) -> None:
        if frame.transaction == 0:  # a hint, which is never answered
            if frame.command == b"serverclose":
                self._over = "the receiver closed the session"
            return
        if frame.command != b"rsp" or frame.transaction not in self._asked:
            raise NotRelp("an answer to nothing that was asked")
        self._asked.discard(frame.transaction)
        self._replies[frame.transaction] = parse_reply(frame.data)

    def _settle(self, places: dict[int, int], acknowledged: set[int], refused: dict[int, str]) -> None:
        """Move what has been answered out of *places*."""
        for transaction, reply in self._replies.items():
            place = places.pop(transaction)
            if reply.code == _OK:
                acknowledged.add(place)
            else:
                refused[place] = f"{reply.code} {_shown(reply.text)}"
        self._replies.clear()

    async def _ask(self, command: bytes, data: bytes = b"") -> Reply:
        """Send a command that is no message, and wait for its answer."""
        number = self._next()
        self._alive(unanswered=False)
        self.transport.write(Frame(number, command, data).encode())
        while number not in self._replies:
            self._alive(unanswered=False)
            await self._wait()
        return self._replies.pop(number)

    def _next(self) -> int:
        self._transaction = next_transaction(self._transaction)
        self._asked.add(self._transaction)
        return self._transaction

    def _alive(self, *, unanswered: bool) -> None:
        if self._over and not self._opened:
            raise Misconfigured(self._over)
        if self._over:
            raise Retryable(self._over, unanswered=unanswered, kind="connection")
        self.check(unanswered=unanswered, hint="" if self._opened else UNWELCOME)

    async def _wait(self) -> None:
        await self._news.wait()
        self._news.clear()


def _shown(text: str) -> str:
    return visible(text)[:200]
