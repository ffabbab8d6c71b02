"""The status as a small page for people: any JSON object, as tables. Everything in it is escaped."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; }
table { border-collapse: collapse; margin: .3rem 0; }
th, td { border-bottom: 1px solid #8884; padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top; }
th { font-weight: 600; white-space: nowrap; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.nothing { opacity: .5; }
"""

REFRESH_SECONDS = 15

_MAX_DEPTH = 12


def render(status: Mapping[str, Any]) -> str:
    """Return the whole HTML page for *status*."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>persona-siem-forwarder</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        "<h1>persona-siem-forwarder</h1>\n"
        '<p><a href="/readyz">readiness</a> · <a href="/livez">liveness</a> · '
        '<a href="/metrics">metrics</a> · <a href="/status">this page as JSON</a></p>\n'
        f"{_value(status, 0)}\n</body>\n</html>\n"
    )


def _value(value: Any, depth: int) -> str:
    if value is None or value in ("", [], {}, ()):
        return '<span class="nothing">none</span>'
    if depth < _MAX_DEPTH and isinstance(value, Mapping):
        rows = (f"<tr><th>{_label(key)}</th>{_cell(item, depth)}</tr>" for key, item in value.items())
        return f"<table>{''.join(rows)}</table>"
    if depth < _MAX_DEPTH and isinstance(value, list | tuple):
        return _rows(value, depth)
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else escape(str(value))


def _rows(items: Sequence[Any], depth: int) -> str:
    """Return a table with a column for each key where all items are objects, else one row for each item."""
    if not all(isinstance(item, Mapping) for item in items):
        return f"<table>{''.join(f'<tr>{_cell(item, depth)}</tr>' for item in items)}</table>"
    columns = list(dict.fromkeys(key for item in items for key in item))
    head = "".join(f"<th>{_label(column)}</th>" for column in columns)
    body = (f"<tr>{''.join(_cell(item.get(column), depth) for column in columns)}</tr>" for item in items)
    return f"<table><tr>{head}</tr>{''.join(body)}</table>"


def _cell(value: Any, depth: int) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    attribute = ' class="number"' if number else ""
    return f"<td{attribute}>{_value(value, depth + 1)}</td>"


def _label(key: Any) -> str:
    return escape(str(key).replace("_", " "))
