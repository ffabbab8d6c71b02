"""``forwarder run``: the daemon."""

import os
import signal
from typing import TYPE_CHECKING

import typer

from forwarder.cli.context import settings_of

if TYPE_CHECKING:
    from forwarder.settings import Settings


def run(ctx: typer.Context) -> None:
    """Collect and deliver until SIGTERM or SIGINT; a second signal stops at once.

    Exit status 0 when stopped as asked, 73 to 75 for a journal that cannot be used, 78 for a wrong configuration.
    """
    import asyncio  # noqa: PLC0415 # heavy

    from forwarder import logs  # noqa: PLC0415 # heavy

    settings = settings_of(ctx)
    logs.configure(settings.log.level, settings.log.format, secrets=settings.secrets)
    asyncio.run(_run(settings))


async def _run(settings: "Settings") -> None:
    import asyncio  # noqa: PLC0415 # heavy

    from forwarder.app import Daemon  # noqa: PLC0415 # heavy
    from forwarder.cli.progress import show_progress  # noqa: PLC0415 # heavy

    daemon = Daemon(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop)
    async with show_progress(daemon):
        await daemon.run()
    if daemon.left_behind:
        # What even a cancellation did not end would keep the process for ever; the log has named it.
        os._exit(0)
