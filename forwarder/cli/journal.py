"""``forwarder journal``: what an operator does for the journal's file, beside a running daemon or without one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from forwarder.cli.context import settings_of

app = typer.Typer(name="journal", help="Look the journal's file over, and copy it.", no_args_is_help=True)


@app.command("check")
def check(ctx: typer.Context) -> None:
    """Read all of the journal, every page and index, and see whether its account agrees with itself.

    Exit status 74 if the file is damaged, 1 if the account does not agree. A daemon may run meanwhile.
    """
    from forwarder.journal.upkeep import check as look_over

    path = settings_of(ctx).state.path
    found = look_over(path)
    for about in found.disagreements:
        print(f"{path}: {about} do not agree; a fault of this program: report it, and put a backup back")
    if found.disagreements:
        raise typer.Exit(1)
    print(
        f"{path}: sound (journal {found.journal_id}: {found.ids:,} ids known, {found.events:,} events on their way, "
        f"{found.dead_letters:,} dead letters)"
    )


@app.command("backup")
def backup(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            allow_dash=True,
            help="Where the copy goes; it must not be there yet. `-` is standard output.",
        ),
    ],
) -> None:
    """Copy the journal to FILE, whole and looked over, while a daemon may run.

    To put a copy back, stop the daemon and let the copy take the journal's place.
    """
    path = settings_of(ctx).state.path
    if str(file) == "-":
        _to_standard_output(path)
        return
    from forwarder.journal.upkeep import back_up

    if not file.parent.is_dir():
        raise typer.BadParameter(f"there is no directory {file.parent}", param_hint="FILE")
    try:
        size = back_up(path, file)
    except FileExistsError:
        raise typer.BadParameter(f"{file} is there already; name a file that is not", param_hint="FILE") from None
    print(f"{file}: {size:,} bytes, a copy of {path}")


def _to_standard_output(path: Path) -> None:
    """By way of a file beside the journal, so that nothing is written before the copy is known to be sound."""
    from shutil import copyfileobj
    from tempfile import TemporaryDirectory

    from forwarder.journal.upkeep import back_up

    if sys.stdout.isatty():
        raise typer.BadParameter("a journal is nothing for a terminal; send it to a file", param_hint="FILE")
    with TemporaryDirectory(prefix=f"{path.name}.", dir=path.parent) as folder:
        copy = Path(folder) / path.name
        back_up(path, copy)
        with copy.open("rb") as content:
            copyfileobj(content, sys.stdout.buffer)
