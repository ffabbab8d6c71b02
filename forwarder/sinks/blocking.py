"""For sinks whose destination is written with blocking calls: a thread of the sink's own, and lines.

The loop's shared threads would do until one destination hangs; a few of those, and nobody could resolve a name.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from forwarder.sinks.base import Item

T = TypeVar("T")


class OwnThread:
    """Runs blocking calls of one sink, one after the other, beside the loop."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._executor: ThreadPoolExecutor | None = None

    async def run(self, call: Callable[[], T]) -> T:
        """Run *call* and return what it returns.

        Whoever cancels this no longer waits, but the call itself goes on to its end, and the next one waits for it.
        """
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"sink-{self._name}")
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    async def finish(self, last: Callable[[], None]) -> None:
        """Run *last*, which raises nothing, after everything that was begun; then let the thread go. Twice is fine.

        If this is cancelled because a call hangs, the thread stays, and the next call waits for it as ever.
        """
        if self._executor is None:
            return
        await self.run(last)
        self._executor.shutdown(wait=False)
        self._executor = None


def in_lines(batch: Sequence[Item]) -> tuple[bytes, int | None]:
    """Write each event as a line, up to the first that holds a line break itself; also return that one's place."""
    broken = next((at for at, item in enumerate(batch) if b"\n" in item.body), None)
    text = b"".join(item.body + b"\n" for item in batch[:broken])
    return text, broken
