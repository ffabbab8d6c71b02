"""``forwarder run``: the daemon."""

import gc
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from forwarder.cli.context import settings_of

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from forwarder.settings import Settings

GC_THRESHOLD = 10_000
"""Objects made between two looks for cycles: a page of Persona's makes thousands of objects, and no cycle."""


def run(ctx: typer.Context) -> None:
    """Collect and deliver until SIGTERM or SIGINT; a second signal stops at once.

    Exit status 0 when stopped as asked, 73 to 75 for a journal that cannot be used, 78 for a wrong configuration.
    """
    signals = _StopSignals()
    import asyncio

    from forwarder import logs

    settings = settings_of(ctx)
    logs.configure(settings.log.level, settings.log.format, secrets=settings.secrets)
    asyncio.run(_run(settings, signals))
    signals.ignore()


class _StopSignals:
    """SIGTERM and SIGINT from the command's first moment to its last: asked to stop in any of them, its status is 0.

    The loop's own handlers would come after a second of imports, and go before the process does.
    """

    def __init__(self) -> None:
        self._loop: AbstractEventLoop | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._received)

    def lead_to(self, stop: Callable[[], None], loop: "AbstractEventLoop") -> None:
        """Call *stop* in *loop* for each signal from now on."""
        self._stop, self._loop = stop, loop

    def ignore(self) -> None:
        """All is closed: one more signal must not tear down the interpreter as it leaves."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)

    def _received(self, *_: object) -> None:
        if self._loop is None:
            raise SystemExit(0)  # nothing is open yet
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop)


async def _run(settings: "Settings", signals: _StopSignals) -> None:
    import asyncio

    from forwarder.app import Daemon
    from forwarder.cli.progress import show_progress

    daemon = Daemon(settings)
    signals.lead_to(daemon.stop, asyncio.get_running_loop())
    # What is loaded by now stays until the end: walking over it again and again took a tenth of the time of a catch-up.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, *gc.get_threshold()[1:])
    async with show_progress(daemon):
        await daemon.run()
    if daemon.left_behind:
        # What even a cancellation did not end would keep the process for ever; the log has named it.
        os._exit(0)
