"""The catalogues of log events and metrics, generated: ``python -m tests.catalogue --write``.

``docs/logs.md`` comes from ``forwarder.logs.EVENTS`` and from the calls that the code makes; ``docs/metrics.md`` from
the metrics that one daemon registers. Tests compare both pages with what this module would write now.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from forwarder import logs
from forwarder.metrics import Metrics

ROOT = Path(__file__).parent.parent
LOGS_PAGE = ROOT / "docs" / "logs.md"
METRICS_PAGE = ROOT / "docs" / "metrics.md"

_METHODS = {
    "debug": "debug",
    "info": "info",
    "warning": "warning",
    "error": "error",
    "exception": "error",
    "critical": "critical",
    "log": "as reported",
}
_LEVELS = ["critical", "error", "warning", "as reported", "info", "debug"]
_EVENT = re.compile(r"[a-z][a-z_]*(\.[a-z][a-z_]*)+")


@dataclass
class Logged:
    """What the code logs under one name: where, how urgent, with which fields."""

    places: list[str] = field(default_factory=list)
    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)


def logged_events(folder: Path = ROOT / "forwarder") -> dict[str, Logged]:
    """Every event that a file below *folder* logs, by name."""
    found: dict[str, Logged] = {}
    for path in sorted(folder.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        bound = _bound_fields(tree)
        for call, levels, names in _log_calls(tree):
            for name in names:
                logged = found.setdefault(name, Logged())
                logged.places.append(f"{path.relative_to(folder.parent)}:{call.lineno}")
                logged.levels |= levels
                logged.fields |= bound | {keyword.arg for keyword in call.keywords if keyword.arg is not None}
                logged.fields -= {"exc_info", "stack_info"}
    return found


def unreadable_calls(folder: Path = ROOT / "forwarder") -> list[str]:
    """Places that log under a name that is no literal: the catalogue could not know it."""
    return [
        f"{path.relative_to(folder.parent)}:{call.lineno}"
        for path in sorted(folder.rglob("*.py"))
        for call, _, names in _log_calls(ast.parse(path.read_text(encoding="utf-8")))
        if not names
    ]


def _log_calls(tree: ast.AST) -> Iterator[tuple[ast.Call, set[str], list[str]]]:
    """Each call of a logger, its levels, and the names that it can log; none where they cannot be told."""
    nodes = list(ast.walk(tree))
    given = [
        node for node in nodes if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute | ast.IfExp)
    ]
    for call in nodes:
        if not isinstance(call, ast.Call):
            continue
        methods = _methods(call.func, given)
        if methods:
            position = 1 if methods == {"log"} else 0
            argument = call.args[position] if len(call.args) > position else call
            names = list(_names(argument)) or list(_names_passed(tree, call, argument))
            yield call, {_METHODS[method] for method in methods}, names


def _methods(called: ast.expr, given: list[ast.Assign]) -> set[str]:
    """The methods of a logger that *called* can be: one, a choice of two, or a name given to them on a line before."""
    if isinstance(called, ast.Attribute):
        return {called.attr} if called.attr in _METHODS and _is_logger(called.value) else set()
    if isinstance(called, ast.IfExp):
        return _methods(called.body, given) | _methods(called.orelse, given)
    if isinstance(called, ast.Name):
        named = [
            statement
            for statement in given
            if statement.lineno < called.lineno
            and any(isinstance(target, ast.Name) and target.id == called.id for target in statement.targets)
        ]
        return _methods(max(named, key=lambda statement: statement.lineno).value, given) if named else set()
    return set()


def _names_passed(tree: ast.AST, call: ast.Call, argument: ast.expr) -> Iterator[str]:
    """Where *call* logs under a parameter of its function: the literals that the file calls that function with."""
    if not isinstance(argument, ast.Name):
        return
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) or call not in ast.walk(function):
            continue
        parameters = [parameter.arg for parameter in function.args.args if parameter.arg != "self"]
        if argument.id not in parameters:
            continue
        place = parameters.index(argument.id)
        for caller in ast.walk(tree):
            if isinstance(caller, ast.Call) and len(caller.args) > place and _called(caller) == function.name:
                yield from _names(caller.args[place])


def _called(call: ast.Call) -> str | None:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else None


def _is_logger(receiver: ast.expr) -> bool:
    """Whether *receiver* is ``log``, ``self._log``, ``get_logger(…)`` or one of them with ``.bind(…)``."""
    if isinstance(receiver, ast.Call):
        return _is_logger(receiver.func)
    if isinstance(receiver, ast.Attribute):
        return (receiver.attr == "bind" and _is_logger(receiver.value)) or _is_logger_name(receiver.attr)
    return isinstance(receiver, ast.Name) and _is_logger_name(receiver.id)


def _is_logger_name(name: str) -> bool:
    return name.lstrip("_").casefold() in {"log", "logger", "get_logger"}


def _names(argument: ast.expr) -> Iterator[str]:
    """The event names that *argument* can be: a literal, or a choice between literals."""
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        yield argument.value
    elif isinstance(argument, ast.IfExp):
        yield from _names(argument.body)
        yield from _names(argument.orelse)


def _bound_fields(tree: ast.AST) -> set[str]:
    """Names of the fields that the file's loggers carry on each line."""
    return {
        keyword.arg
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and (
            (isinstance(call.func, ast.Name) and call.func.id == "get_logger")
            or (isinstance(call.func, ast.Attribute) and call.func.attr in {"get_logger", "bind"})
        )
        for keyword in call.keywords
        if keyword.arg is not None
    }


def logs_page() -> str:
    """``docs/logs.md``, generated."""
    logged = logged_events()
    rows = [
        (
            f"`{name}`",
            ", ".join(sorted(logged[name].levels, key=_LEVELS.index)) if name in logged else "",
            ", ".join(f"`{name}`" for name in sorted(logged[name].fields)) if name in logged else "",
            meaning,
        )
        for name, meaning in sorted(logs.EVENTS.items())
    ]
    return (
        "# Log events\n\n"
        "Generated from the code by `python -m tests.catalogue --write`; a test compares. One JSON object a line on\n"
        "standard error: `timestamp` (RFC 3339, UTC), `level`, `event` (a name from this table), then the fields.\n"
        "A line about a fault has the traceback in `exception`. Names and fields are kept from version to version, so\n"
        "that alerts can be written over them.\n\n" + _table(("event", "level", "fields", "meaning"), rows)
    )


def metrics_page() -> str:
    """``docs/metrics.md``, generated."""
    rows = [
        (
            f"`{metric.name}`",
            metric.kind,
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.documentation,
        )
        for metric in Metrics("0").described
    ]
    return (
        "# Metrics\n\n"
        "Generated from the code by `python -m tests.catalogue --write`; a test compares. Served at `/metrics` in the\n"
        "Prometheus text format. Names and labels are kept from version to version. A histogram has the series\n"
        "`…_bucket`, `…_sum` and `…_count`. Counters start at 0 when the daemon starts.\n\n"
        + _table(("metric", "type", "labels", "meaning"), rows)
        + "\nBeside these, the usual `process_…` metrics of the process itself (CPU, memory, open files).\n"
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


def is_event_name(name: str) -> bool:
    """Whether *name* is a dotted name in lower case."""
    return _EVENT.fullmatch(name) is not None


def main(arguments: list[str]) -> int:
    """Write the pages with ``--write``; without it, say whether they are current."""
    stale = [
        (path, page)
        for path, page in ((LOGS_PAGE, logs_page()), (METRICS_PAGE, metrics_page()))
        if not path.exists() or path.read_text(encoding="utf-8") != page
    ]
    for path, page in stale:
        if "--write" in arguments:
            path.parent.mkdir(exist_ok=True)
            path.write_text(page, encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(ROOT)}: {'written' if '--write' in arguments else 'stale'}\n")
    return 1 if stale and "--write" not in arguments else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
