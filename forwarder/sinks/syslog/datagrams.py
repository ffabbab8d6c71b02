"""Messages over UDP, one a datagram (RFC 5426). Nothing is known of their fate."""

import asyncio
import errno
from collections.abc import Sequence
from typing import Self

from forwarder.errors import Refused, Retryable
from forwarder.sinks.syslog.wire import turns

# A receiver's default buffer holds some ninety datagrams of a kilobyte. Without a pace a catch-up loses most of its
# events there: rsyslog on the loopback got 856 of 2,000. This is 6,400 events a second.
_BURST = 32
_PACE = 0.005


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

    async def send(self, messages: Sequence[bytes]) -> None:
        """Hand *messages* to the kernel, one a datagram (RFC 5426 section 3.1), no faster than receivers read.

        :raises Refused: a message does not fit a datagram
        :raises Retryable: the kernel learned that an earlier one was not taken
        """
        self._check()
        for index, message in enumerate(messages):
            self._transport.sendto(message)
            if isinstance(self._error, OSError) and self._error.errno == errno.EMSGSIZE:
                raise Refused(f"a message of {len(message)} bytes does not fit a datagram", at=index)
            if index % _BURST == _BURST - 1:
                await asyncio.sleep(_PACE)
        await turns()
        self._check()

    async def close(self) -> None:
        """Release the socket, once what the kernel did not take at once is out."""
        self._transport.close()
        await turns()

    def _check(self) -> None:
        if self._error is not None:
            raise Retryable(f"datagrams are not taken: {self._error}", unanswered=True, kind="connection")
