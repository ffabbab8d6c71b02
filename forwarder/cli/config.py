"""``forwarder config``: the effective configuration, or the reference of all there is."""

from typing import Annotated

import typer

from forwarder.cli.context import settings_of


def config(
    ctx: typer.Context,
    reference: Annotated[
        bool,
        typer.Option("--reference", help="Print the reference of every variable instead, as Markdown."),
    ] = False,
) -> None:
    """Print the effective configuration, secrets masked.

    Each line can be pasted into an env file. A line that starts with # shows a default.
    """
    if reference:
        from forwarder.settings.reference import reference_text
        from forwarder.sinks import sink_kinds

        print(reference_text(sink_kinds()), end="")
        return
    from forwarder.settings.effective import effective_text

    print(effective_text(settings_of(ctx)), end="")
