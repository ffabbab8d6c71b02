"""``forwarder check``: is the configuration right, and, with ``--live``, does it work out there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from forwarder.cli.context import settings_of
from forwarder.cli.table import print_table

if TYPE_CHECKING:
    from forwarder.settings import Settings


def check(
    ctx: typer.Context,
    live: Annotated[  # an option of the command line
        bool,
        typer.Option("--live", help="Also ask Persona for one record, and open and close every sink."),
    ] = False,
) -> None:
    """Validate the configuration.

    Exit status 78 if it is wrong, and 1 if --live finds that something does not work.
    """
    settings = settings_of(ctx)
    print("configuration is valid")
    _show(settings)
    if live:
        _try_out(settings)


def _show(settings: Settings) -> None:
    from forwarder.sinks.base import SinkContext

    sources = [(each.name, each.kind, each.settings.base_url, str(each.settings.start)) for each in settings.sources]
    print_table("Sources", ("source", "kind", "asks", "from"), sources)
    sinks = []
    for each in settings.sinks:
        sink = each.sink_class(each.settings, SinkContext(each.name, "check"))
        sinks.append((each.name, each.kind, each.settings.format, sink.destination, sink.promise))
    print_table("Sinks", ("sink", "kind", "format", "destination", "promise"), sinks)


def _try_out(settings: Settings) -> None:
    import asyncio

    from forwarder.cli.live import try_out

    trials = asyncio.run(try_out(settings))
    rows = [(each.name, "ok" if each.works else "failed", each.finding) for each in trials]
    print_table("Live", ("tried", "result", "finding"), rows)
    if not all(each.works for each in trials):
        raise typer.Exit(1)
