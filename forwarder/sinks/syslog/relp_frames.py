"""RELP's frames: pure. Source: "RELP - The Reliable Event Logging Protocol", ``doc/relp.md`` of librelp.

::

    TXNR SP COMMAND SP DATALEN [SP DATA] LF        (section "RELP FRAME")

Numbers have at most 9 digits, a command at most 32 letters; without data there is no space before the line feed. The
data of a reply, ``rsp``, is a code of three digits, a text for people, and data of the command's own.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

LAST_TRANSACTION = 999_999_999
"""Transaction numbers begin at 1; after this one comes 1 again, since 0 is that of hints."""

_LONGEST_HEADER = 9 + 1 + 32 + 1 + 9
_LONGEST_REPLY = 128 << 10
_HEADER = re.compile(rb"(\d{1,9}) ([A-Za-z]{1,32}) (\d{1,9})([ \n])")
_REPLY = re.compile(rb"(\d{3})(?: ([^\n]*))?(?:\n(.*))?", re.DOTALL)


class NotRelp(ValueError):
    """What the peer said is no RELP; the specification's answer is to hang up (section "ERROR HANDLING")."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame."""

    transaction: int
    command: bytes
    data: bytes = b""

    def encode(self) -> bytes:
        """Write it."""
        space = b" " if self.data else b""
        return b"%d %s %d%s%s\n" % (self.transaction, self.command, len(self.data), space, self.data)


@dataclass(frozen=True, slots=True)
class Reply:
    """The data of an ``rsp`` frame: 200 is well, every other code is an error (section "RELP FRAME")."""

    code: int
    text: str
    data: bytes


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, received: bytes) -> Iterator[Frame]:
        """Take more bytes, and give every frame that is whole.

        :raises NotRelp: no frame begins like this, or it is longer than any reply has reason to be
        """
        self._buffer += received
        while (header := self._header()) is not None:
            length = int(header[3])
            if length > _LONGEST_REPLY:
                raise NotRelp(f"a frame of {length} bytes")
            # Without data the line feed follows the header, which some peers write with a space in between.
            begin = header.end() if header[4] == b" " else header.end() - 1
            end = begin + length
            if length and header[4] == b"\n":
                raise NotRelp("a frame that ends before its data")
            if len(self._buffer) <= end:
                return
            if self._buffer[end] != ord("\n"):
                raise NotRelp("a frame that does not end where it should")
            frame = Frame(int(header[1]), bytes(header[2]), bytes(self._buffer[begin:end]))
            del self._buffer[: end + 1]
            yield frame

    def _header(self) -> re.Match[bytes] | None:
        header = _HEADER.match(self._buffer)
        if header is None and self._buffer and not _may_become_a_header(bytes(self._buffer[: _LONGEST_HEADER + 1])):
            raise NotRelp("no frame begins like this")
        return header


def next_transaction(number: int) -> int:
    """The transaction number after *number* (section "RELP FRAME": 1 follows 999,999,999)."""
    return number % LAST_TRANSACTION + 1


def parse_reply(data: bytes) -> Reply:
    """Read the data of an ``rsp`` frame (section "Command rsp").

    :raises NotRelp: it is none
    """
    found = _REPLY.fullmatch(data)
    if found is None:
        raise NotRelp("a reply without a code")
    return Reply(int(found[1]), (found[2] or b"").decode("ascii", errors="replace"), found[3] or b"")


def write_offers(offers: dict[str, str]) -> bytes:
    """Write the data of ``open``, one offer a line (section "OFFERS")."""
    return b"\n".join(f"{name}={value}".encode("ascii") for name, value in offers.items())


def parse_offers(data: bytes) -> dict[str, str]:
    """Read what the server offers back: the name of each feature and its values, as they stand."""
    lines = data.decode("ascii", errors="replace").split("\n")
    return {name: value for name, _, value in (line.partition("=") for line in lines) if name}


def _may_become_a_header(begin: bytes) -> bool:
    """Whether *begin*, too short for a header, is the beginning of one."""
    number, space, rest = begin.partition(b" ")
    if not re.fullmatch(rb"\d{1,9}", number):
        return False
    command, second_space, length = rest.partition(b" ")
    if not space or (not second_space and not command):
        return True
    if not re.fullmatch(rb"[A-Za-z]{1,32}", command):
        return False
    return not second_space or re.fullmatch(rb"\d{0,9}", length) is not None
