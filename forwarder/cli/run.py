"""``forwarder run``: the daemon."""

import gc
import os
import signal
from typing import TYPE_CHECKING

import typer

from forwarder.cli.context import settings_of

GC_THRESHOLD = 10_000
"""Objects made between two looks for cycles: a page of Persona's makes thousands of objects, and no cycle."""

if TYPE_CHECKING:
    from forwarder.settings import Settings


def run(ctx: typer.Context) -> None:
    """Collect and deliver until SIGTERM or SIGINT; a second signal stops at once.

    Exit status 0 when stopped as asked, 73 to 75 for a journal that cannot be used, 78 for a wrong configuration.
    """
    import asyncio

    from forwarder import logs

    settings = settings_of(ctx)
    logs.configure(settings.log.level, settings.log.format, secrets=settings.secrets)
    asyncio.run(_run(settings))


async def _run(settings: "Settings") -> None:
    import asyncio

    from forwarder.app import Daemon
    from forwarder.cli.progress import show_progress

    daemon = Daemon(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop)
    # What is loaded by now stays until the end: walking over it again and again took a tenth of the time of a catch-up.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, *gc.get_threshold()[1:])
    async with show_progress(daemon):
        await daemon.run()
    if daemon.left_behind:
        # What even a cancellation did not end would keep the process for ever; the log has named it.
        os._exit(0)
