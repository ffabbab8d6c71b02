"""``file``: lines on disk, synced before an event counts as delivered.

What a crash can leave behind is a torn last line. It was never acknowledged, so the next opening cuts it off, and the
worker sends it again. Rotation is by rename, ``events.jsonl`` to ``events.jsonl.1`` and so on, and loses nothing but
what is older than ``ROTATE_KEEP`` says. A file that somebody else moves away (logrotate) is noticed before the next
batch. The file holds personal data: it is made readable for its owner alone.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from forwarder.errors import Misconfigured, Refused, Retryable
from forwarder.sinks.base import Item, Sink, SinkContext, SinkSettings
from forwarder.sinks.blocking import OwnThread, in_lines
from forwarder.units import Size

_TAIL = 64 << 10
"""Bytes read at a time while looking for the last line end."""

_OUR_LINES = (b"{", b"CEF:", b"LEEF:", b"\x00")
"""How a line of ours begins; zeros are what some file systems leave of one after a power cut."""


class FileSettings(SinkSettings):
    """Settings of a sink of kind ``file``."""

    path: Path = Field(description="The file that lines are appended to; its directory has to exist.")
    rotate_bytes: Size = Field(0, ge=0, description="Rotate before the file would grow beyond this; `0` never does.")
    rotate_keep: int = Field(
        10, ge=1, le=10_000, description="How many rotated files are kept (`.1` is the newest); older ones are deleted."
    )


class FileSink(Sink[FileSettings]):
    """Appends to one file."""

    kind: ClassVar[str] = "file"
    settings_model: ClassVar[type[SinkSettings]] = FileSettings

    def __init__(self, settings: FileSettings, context: SinkContext) -> None:
        super().__init__(settings, context)
        self._path = settings.path
        self._thread = OwnThread(context.name)
        self._file: int | None = None  # touched by the thread alone

    @property
    def promise(self) -> str:
        """What an acknowledgement means."""
        return "on disk"

    @property
    def destination(self) -> str:
        """The path."""
        return str(self._path)

    async def open(self) -> None:
        """Open the file or make it, take its lock, and cut off a torn last line.

        :raises Misconfigured: it cannot be written, is another process's, or is not a file of ours
        """
        await self._thread.run(self._open)

    async def send(self, batch: Sequence[Item]) -> None:
        """Append *batch* and sync it to the disk.

        :raises Retryable: the disk is full or failing; what was written of the batch is taken back
        :raises Refused: an event holds a line break
        """
        text, broken = in_lines(batch)
        await self._thread.run(partial(self._append, text))
        if broken is not None:
            raise Refused("the event holds a line break, which a file of lines cannot keep", at=broken)

    async def close(self) -> None:
        """Let go of the file, once what is being written is written."""
        await self._thread.finish(self._close)

    def _open(self) -> None:
        self._close()
        try:
            try:
                self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK)
            except FileNotFoundError:
                flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL
                self._file = os.open(self._path, flags, 0o600)
                os.fsync(self._file)
                self._sync_directory()
            self._take(self._file)
        except OSError as error:
            self._close()
            raise _unusable(self._path, error) from error
        except Misconfigured:
            self._close()
            raise

    def _take(self, file: int) -> None:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise Misconfigured(f"{self._path} is not a regular file; set PATH to one")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Misconfigured(f"{self._path} is being written by another sink or process; set another PATH") from None
        size = os.fstat(file).st_size
        whole = _end_of_last_line(file, size)
        if whole == size:
            return
        torn = os.pread(file, 8, whole)
        if not torn.startswith(_OUR_LINES):
            raise Misconfigured(f"{self._path} ends in something that is no event of ours; set PATH to another file")
        os.ftruncate(file, whole)
        os.fsync(file)

    def _append(self, text: bytes) -> None:
        if self._file is None or self._moved_away(self._file):
            self._open()
        file = self._file
        if file is None:  # never after _open; said for the type checker
            raise Retryable("the file is not open")
        size = os.fstat(file).st_size
        limit = self.settings.rotate_bytes
        if limit and size and size + len(text) > limit:
            file, size = self._rotate(), 0
        try:
            _write_all(file, text)
            os.fsync(file)
        except OSError as error:
            raise self._taken_back(file, size, error) from error

    def _taken_back(self, file: int, size: int, error: OSError) -> Retryable:
        kind = "disk_full" if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} else "disk"
        reason = f"{self._path} cannot be written: {error.strerror}; nothing is lost, it is tried again"
        try:
            os.ftruncate(file, size)
            os.fsync(file)
        except OSError as second:
            reason += f" (and what was written of the batch cannot be taken back: {second.strerror})"
            return Retryable(reason, unanswered=True, kind=kind)
        return Retryable(reason, kind=kind)

    def _moved_away(self, file: int) -> bool:
        try:
            there, ours = self._path.stat(), os.fstat(file)
        except OSError:
            return True
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def _rotate(self) -> int:
        """Rename every file one up, each rename atomic; a crash between two of them leaves only a free number."""
        try:
            last = 1
            while last < self.settings.rotate_keep and self._numbered(last).exists():
                last += 1
            for number in range(last, 1, -1):
                self._numbered(number - 1).replace(self._numbered(number))
            self._path.replace(self._numbered(1))
        except OSError as error:
            raise Retryable(f"{self._path} cannot be rotated: {error.strerror}", kind="disk") from error
        self._open()
        if self._file is None:  # never after _open; said for the type checker
            raise Retryable("the file is not open")
        return self._file

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _sync_directory(self) -> None:
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            with suppress(OSError):  # what was acknowledged is synced; what was not will be sent again
                os.close(file)


def _end_of_last_line(file: int, size: int) -> int:
    """Find the offset behind the last line end, or 0 if there is none."""
    end = size
    while end > 0:
        start = max(0, end - _TAIL)
        found = os.pread(file, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _write_all(file: int, text: bytes) -> None:
    rest = memoryview(text)
    while rest:
        rest = rest[os.write(file, rest) :]


def _unusable(path: Path, error: OSError) -> Misconfigured | Retryable:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE}:
        return Retryable(f"{path} cannot be opened: {error.strerror}", kind="disk")
    return Misconfigured(
        f"{path} cannot be opened: {error.strerror}; make its directory, and let this user write there"
    )
