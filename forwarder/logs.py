"""Structured logs: one JSON object a line on standard error, and the catalogue of what can be in them.

``timestamp`` (RFC 3339, UTC), ``level``, ``event`` (a dotted name of :data:`EVENTS`), then fields. Every name that the
code logs stands in the catalogue with a sentence for operators; ``docs/logs.md`` is generated from it, and a
test compares both with the code.
"""

import logging
import sys
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import FilteringBoundLogger

EVENTS: dict[str, str] = {
    "daemon.started": "The daemon runs; fields name its sources, sinks and journal.",
    "daemon.stopping": "A stop was asked for; what is in flight is finished within the grace.",
    "daemon.stopped": "The daemon has stopped.",
    "process.failed": "A fault of the program ended the process with status 70; the traceback is in the line.",
    "secret.changed": "The file of a secret has changed; the new value is used from now on.",
    "secret.unreadable": "The file of a secret changed and cannot be read; the last good value stays in use.",
}
"""Dotted event name to what it means, for operators."""


def get_logger(**fields: Any) -> FilteringBoundLogger:
    """A logger that adds *fields* to each of its lines."""
    logger: FilteringBoundLogger = structlog.get_logger(**fields)
    return logger


def configure(level: str = "info", form: str = "json", stream: TextIO | None = None) -> None:
    """Send all logs of the process to *stream* (standard error), as ``json`` or, for a person, as ``console``."""
    target = sys.stderr if stream is None else stream
    numeric = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        structlog.processors.format_exc_info,
    ]
    if form == "console":
        renderer: structlog.typing.Processor = structlog.dev.ConsoleRenderer(colors=target.isatty())
    else:
        renderer = structlog.processors.JSONRenderer(serializer=_to_json)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=structlog.PrintLoggerFactory(target),
        cache_logger_on_first_use=False,
    )


def _to_json(line: dict[str, Any], **_: Any) -> str:
    first = {key: line.pop(key) for key in ("timestamp", "level", "event") if key in line}
    return orjson.dumps(first | line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
