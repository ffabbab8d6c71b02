"""What Linux knows of a TCP connection: how much the peer's kernel has acknowledged. Elsewhere nothing is known.

And what it does when told: acknowledge at once what the peer sent.
"""

import fcntl
import socket
import struct
import sys
import termios
from dataclasses import dataclass

_BYTES_ACKED = struct.Struct("=120xQ")
"""``tcpi_bytes_acked`` in ``struct tcp_info`` (RFC 4898 tcpEStatsAppHCThruOctetsAcked; Linux 4.1 and later)."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the stream of bytes: the end of what was handed to the kernel so far."""

    acknowledged_at_the_end: int


def unacknowledged(connection: socket.socket) -> int | None:
    """Count the bytes that were handed to the kernel and that the peer's has not acknowledged (``SIOCOUTQ``)."""
    if not sys.platform.startswith("linux"):
        return None
    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    return int(struct.unpack("=i", answer)[0])


def mark(connection: socket.socket) -> Mark | None:
    """Note the end of what the kernel has; None where it cannot be known."""
    outstanding = unacknowledged(connection)
    if outstanding is None:
        return None
    # In this order: what is acknowledged between the two lines puts the mark too far, and an empty queue ends any wait.
    return Mark(_acknowledged(connection) + outstanding)


def reached(connection: socket.socket, place: Mark | None) -> bool:
    """Whether the peer's kernel has acknowledged everything up to *place*."""
    if place is None:
        return True
    return not unacknowledged(connection) or _acknowledged(connection) >= place.acknowledged_at_the_end


def acknowledge_now(connection: socket.socket) -> None:
    """Have the kernel acknowledge what has been read, where it can be told so; it soon forgets that it was told.

    Else it waits up to 40 ms for something to send along (tcp(7), ``TCP_QUICKACK``).
    """
    if hasattr(socket, "TCP_QUICKACK"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _acknowledged(connection: socket.socket) -> int:
    information = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED.size)
    return int(_BYTES_ACKED.unpack(information.ljust(_BYTES_ACKED.size, b"\0"))[0])
