"""Messages over TCP and TLS, which have no acknowledgement (RFC 6587, RFC 5425).

What can be known is: the peer's kernel has acknowledged every byte, and the connection lived on for a while. A
receiver that dies leaves what it had not read in its kernel, which then resets the connection: so whatever lay there
is told to us within the settle time, and the batch is sent again. Left at risk is what the receiver had read and not
yet handled when it died, longer ago than the settle time.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence

from forwarder.sinks.syslog import kernel
from forwarder.sinks.syslog.wire import Wire, turns

IN_FLIGHT = 16
"""Batches that may wait for their settle time at once; what they hold is what a crash repeats."""

_SLICE = 64 << 10
_FIRST_LOOK, _LAST_LOOK = 0.001, 0.05


class Stream(Wire):
    """A connection to a receiver that never says anything that matters."""

    def __init__(self, framing: str, settle: float) -> None:
        super().__init__()
        self._framing = framing
        self._settle = settle
        self._turn = asyncio.Lock()
        self.settling = 0
        """Batches that the peer's kernel has, and that wait for the settle time."""

    async def send(self, messages: Sequence[bytes]) -> None:
        """Return when the peer's kernel has all of *messages* and the connection has lived on for the settle time.

        Batches go out one after the other, in the order of the calls, and settle side by side.

        :raises Retryable: the connection broke; ``unanswered`` where something had been written
        """
        async with self._turn:
            await turns()
            self.check(unanswered=False)
            for part in slices(frames(messages, self._framing)):
                self.transport.write(part)
                await self.flush()
                self.check(unanswered=True)
            end = kernel.mark(self.socket)
        look = _FIRST_LOOK
        while not kernel.reached(self.socket, end):
            await self.outlive(look, unanswered=True)
            look = min(2 * look, _LAST_LOOK)
        self.settling += 1
        try:
            await self.outlive(self._settle, unanswered=True)
        finally:
            self.settling -= 1


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
