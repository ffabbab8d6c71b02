"""What of one file would outlive a power cut: the bytes that were synced, and by chance some of those that were not."""

import os
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

SECTOR = 512
"""Bytes that are on the platter as a whole or not at all."""


class Write(NamedTuple):
    """Bytes put at an offset, growing the file if they reach past its end."""

    offset: int
    data: bytes


class Truncate(NamedTuple):
    """The file cut, or grown with zeros, to a size."""

    size: int


Change = Write | Truncate


@dataclass(slots=True)
class Platter:
    """One file: what is durable of it, and in order what was done to it since."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)

    def sync(self) -> None:
        """All that was done is durable."""
        for change in self.pending:
            apply(self.durable, change)
        self.pending.clear()

    def after_power_cut(self, random: Random) -> bytes:
        """The durable bytes with each change since kept, lost, or torn between sectors.

        How likely each is to be kept is drawn for the whole file first: nearly all kept and nearly all lost are the
        cases in which one change makes the difference.
        """
        content = bytearray(self.durable)
        kept = random.choice((0.1, 0.5, 0.9))
        for change in self.pending:
            chance = random.random()
            if chance < kept:
                apply(content, change)
            elif isinstance(change, Write) and chance < (1 + kept) / 2:
                _tear(content, change, random)
            elif isinstance(change, Write) and random.random() < 0.5:
                # The size came down to the platter, and the bytes did not.
                _reach(content, change.offset + len(change.data))
        return bytes(content)


def apply(content: bytearray, change: Change) -> None:
    """Do *change* to *content*."""
    if isinstance(change, Truncate):
        del content[change.size :]
        _reach(content, change.size)
    else:
        _reach(content, change.offset)
        content[change.offset : change.offset + len(change.data)] = change.data


def _tear(content: bytearray, write: Write, random: Random) -> None:
    """Let a part of the sectors have the new bytes; bytes beside the write keep theirs.

    SQLite takes that for granted: SQLITE_IOCAP_POWERSAFE_OVERWRITE, which its VFS for Unix claims of every disk.
    """
    at, end = write.offset, write.offset + len(write.data)
    while at < end:
        until = min(end, at - at % SECTOR + SECTOR)
        if random.random() < 0.5:
            apply(content, Write(at, write.data[at - write.offset : until - write.offset]))
        at = until


def _reach(content: bytearray, size: int) -> None:
    if len(content) < size:
        content.extend(bytes(size - len(content)))


def lay_out(path: str, content: bytes | bytearray) -> None:
    """Write *content* as a new file of the same name and rights: nothing that has the old one open can reach it."""
    mode = os.stat(path).st_mode & 0o777 if os.path.exists(path) else 0o600  # noqa: PTH110, PTH116 # thousands a second
    remove(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def remove(path: str) -> None:
    """Take the name away. What is open under it stays, and with it the number of its inode stays taken."""
    if os.path.exists(path):  # noqa: PTH110 # as above
        os.unlink(path)  # noqa: PTH108 # as above
