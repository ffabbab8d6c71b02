"""What one sees of the story: a live picture on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from forwarder.cli.demonstration.judge import Verdict
from forwarder.cli.demonstration.story import Progress

_LINE_EVERY = 2.0


@contextmanager
def view(console: Console) -> Iterator[Callable[[Progress], None]]:
    """Give what is called with each new :class:`Progress`."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    # Control characters of the picture are taken back when it is left.
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        yield lambda progress: live.update(picture(progress))


def picture(progress: Progress) -> Group:
    """Draw *progress* for a terminal."""
    numbers = Table.grid(padding=(0, 2))
    numbers.add_row("", ProgressBar(total=max(progress.made, 1), completed=progress.delivered, width=50))
    numbers.add_row("delivered", f"{progress.delivered:,} of {progress.made:,}")
    numbers.add_row("events a second", f"{_rate(progress):,.0f}, at most {progress.fastest:,.0f}")
    numbers.add_row("requests to Persona", f"{progress.requests:,}")
    numbers.add_row("faults so far", _faults(progress))
    return Group(Text(f"{progress.seconds:5.1f} s  {progress.phase}", style="bold"), numbers)


def print_verdict(console: Console, verdict: Verdict) -> None:
    """Print the verdict, plainly."""
    for name, sentence in verdict.rows():
        _print(console, f"{name:<12}{sentence}")
    for fault in verdict.faults:
        _print(console, f"FAULT       {fault}")
    _print(console, "VERDICT     " + ("NOT as promised" if verdict.faults else "nothing was lost"))


class _Lines:
    """A line at each change of phase, and now and then between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase = ""
        self._next = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.phase == self._phase and now < self._next:
            return
        self._phase, self._next = progress.phase, now + _LINE_EVERY
        _print(
            self._console,
            f"{progress.seconds:5.1f} s  {progress.phase}: {progress.delivered:,} of {progress.made:,} delivered, "
            f"{progress.requests:,} requests, faults: {_faults(progress)}",
        )


def _print(console: Console, text: str) -> None:
    # As it stands: no folding that a terminal or a grep would trip over, no markup.
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _rate(progress: Progress) -> float:
    return progress.delivered / progress.seconds if progress.seconds else 0.0


def _faults(progress: Progress) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in progress.faults.items()) or "none"
