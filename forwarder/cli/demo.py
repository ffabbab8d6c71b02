"""``forwarder demo``: the main job, from a simulated Persona to a file, with a kill in the middle and a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from forwarder.cli.demonstration.judge import Verdict
    from forwarder.cli.demonstration.story import Plan


def demo(
    records: Annotated[int, typer.Option(min=1000, max=1_000_000, help="Records of Persona's history.")] = 20_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same organization and faults.")] = 1,
    seconds: Annotated[float, typer.Option(min=5, help="Give up waiting after so long, and judge.")] = 45.0,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", file_okay=False, help="Keep journal, events and logs in this new directory."),
    ] = None,
) -> None:
    """Forward a simulated organization's audit log to a file, under faults, and judge what arrived.

    Starts a simulated Persona and the daemon on its defaults (SQLite, a file sink), kills the daemon with SIGKILL in
    the middle of its work, starts it again, and compares what was made with what was delivered. Exit status 0 if
    nothing is missing and no more is repeated than promised, else 1.
    """
    import asyncio
    import shutil
    import tempfile

    from rich.console import Console

    from forwarder.cli.demonstration.story import Plan
    from forwarder.cli.demonstration.view import print_verdict

    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise typer.BadParameter("the directory is not empty", param_hint="--keep")
    directory = Path(tempfile.mkdtemp(prefix="forwarder-demo-")) if keep is None else keep.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    console = Console()
    verdict = asyncio.run(_play(Plan(directory, records, seed, seconds), console))
    if verdict is not None:
        print_verdict(console, verdict)
    if verdict is not None and not verdict.faults and keep is None:
        shutil.rmtree(directory)
    else:
        print(f"journal, events and logs are in {directory}")
    if verdict is None or verdict.faults:
        raise typer.Exit(1)


async def _play(plan: Plan, console: Console) -> Verdict | None:
    import asyncio
    import signal

    from forwarder.cli.demonstration.children import ChildFailed
    from forwarder.cli.demonstration.story import Interrupted, Story
    from forwarder.cli.demonstration.view import view

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        with view(console) as show:
            return await Story(plan, show, stop).play()
    except ChildFailed as error:
        print(f"the demonstration broke off: {error}")
    except Interrupted:
        print("the demonstration was interrupted")
    return None
