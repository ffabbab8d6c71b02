"""``stdout``: lines on standard output, for whoever reads it (a pipe, a container's log driver, a terminal).

Nobody acknowledges anything there, so the promise is best effort. Whole lines that the kernel took count as delivered;
a line that was cut in two by a stalled or cancelled write is ended before the next one, so that a reader sees one
broken line and never two events in one.
"""

import errno
import os
import select
import time
from collections.abc import Sequence
from functools import partial
from threading import Event
from typing import ClassVar

from forwarder.errors import Refused, Retryable
from forwarder.sinks.base import Item, Sink, SinkContext, SinkSettings
from forwarder.sinks.blocking import OwnThread, in_lines

STANDARD_OUTPUT = 1
"""The descriptor, whatever has become of ``sys.stdout``."""

_PATIENCE = 0.9
"""Part of the time-out after which a stalled reader is reported, so that we still say how much it took."""

_LOOK = 0.1
"""Seconds between two looks whether a stalled write was given up."""

_MOMENT = 0.01
"""Seconds to wait where a write found less room than was announced."""


class StdoutSink(Sink[SinkSettings]):
    """Writes to the process's standard output."""

    kind: ClassVar[str] = "stdout"
    settings_model: ClassVar[type[SinkSettings]] = SinkSettings

    def __init__(self, settings: SinkSettings, context: SinkContext) -> None:
        super().__init__(settings, context)
        self._thread = OwnThread(context.name)
        self._given_up = Event()
        self._torn = False

    @property
    def promise(self) -> str:
        """What an acknowledgement means."""
        return "best effort"

    @property
    def destination(self) -> str:
        """Standard output."""
        return "standard output"

    async def open(self) -> None:
        """Look whether there is a standard output.

        :raises Retryable: it is closed
        """
        try:
            os.fstat(STANDARD_OUTPUT)
        except OSError as error:
            raise _gone(error) from error

    async def send(self, batch: Sequence[Item]) -> None:
        """Write *batch*, a line an event.

        :raises Retryable: the reader is gone, or takes nothing; what it took counts
        :raises Refused: an event holds a line break
        """
        text, broken = in_lines(batch)
        given_up = self._given_up = Event()
        try:
            await self._thread.run(partial(self._write, text, given_up))
        finally:
            given_up.set()  # a write that nobody waits for any more ends at its next look
        if broken is not None:
            raise Refused("the event holds a line break, which a stream of lines cannot keep", at=broken)

    async def close(self) -> None:
        """End what is being written; standard output itself stays open, it is not ours."""
        self._given_up.set()
        await self._thread.finish(lambda: None)

    def _write(self, text: bytes, given_up: Event) -> None:
        """Write in pieces that do not block: a descriptor that is ready takes so many bytes at once (POSIX pipes)."""
        mend = int(self._torn)  # end the broken line first; that line end is none of the batch's
        text = b"\n" * mend + text
        deadline = time.monotonic() + self.settings.timeout * _PATIENCE
        ready = select.poll()
        ready.register(STANDARD_OUTPUT, select.POLLOUT)
        done = 0
        try:
            while done < len(text):
                if ready.poll(_LOOK * 1000):
                    done += _write_some(text[done : done + select.PIPE_BUF])
                if given_up.is_set() or time.monotonic() > deadline:
                    break
        except OSError as error:
            raise _gone(error, text.count(b"\n", mend, max(done, mend))) from error
        finally:
            if done:
                self._torn = text[done - 1 : done] != b"\n"
        if done < len(text):
            lines = text.count(b"\n", mend, max(done, mend))
            reason = "whoever reads standard output takes nothing, or is slow; raise the sink's TIMEOUT"
            raise Retryable(reason, accepted=lines, kind="timeout")


def _write_some(piece: bytes) -> int:
    try:
        return os.write(STANDARD_OUTPUT, piece)
    except BlockingIOError:  # somebody who shares the pipe has made it non-blocking, and it has less room than this
        time.sleep(_MOMENT)
        return 0


def _gone(error: OSError, accepted: int = 0) -> Retryable:
    if error.errno in {errno.EPIPE, errno.EBADF}:
        reason = "standard output is closed: whoever read it has gone; restart both, or use another sink"
    else:
        reason = f"standard output cannot be written: {error.strerror}"
    return Retryable(reason, accepted=accepted, kind="connection")
