"""Tables: drawn on a terminal, aligned plain columns anywhere else, so that scripts and logs can take them."""

import sys
from collections.abc import Sequence


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print *rows* under *columns* on standard output."""
    if sys.stdout.isatty():
        _draw(title, columns, rows)
        return
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    for row in ([column.upper() for column in columns], *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _draw(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        # Text, not markup: a name or an error with square brackets is shown as it is.
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
