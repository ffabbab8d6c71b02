"""Structured logs: one JSON object a line on standard error, and the catalogue of what can be in them.

``timestamp`` (RFC 3339, UTC), ``level``, ``event`` (a dotted name of :data:`EVENTS`), then fields. Every name that the
code logs stands in the catalogue with a sentence for operators; ``docs/logs.md`` is generated from it and from the
code, and a test compares all three.

Logging never fails and never stops the daemon: what cannot be serialized is written as text, and a line that cannot be
written (standard error is gone) is lost.
"""

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any, TextIO
from urllib.parse import quote

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

EVENTS: dict[str, str] = {
    "daemon.started": "The daemon runs; fields name its sources, sinks and journal.",
    "daemon.stopping": "A stop was asked for; what is in flight is finished within the grace.",
    "daemon.stopped": "The daemon has stopped.",
    "process.failed": "A fault of the program ended the process with status 70; the traceback is in the line.",
    "secret.changed": "The file of a secret has changed; the new value is used from now on.",
    "secret.unreadable": "The file of a secret changed and cannot be read; the last good value stays in use.",
    "actor.cancelled": "A task did not finish within the grace of the stop: cancelled; what was in flight may repeat.",
    "actor.ended_daemon": "A task met what the daemon cannot go on with; `reason` says what to do. All are stopped.",
    "actor.failed": "A task failed by a fault of the program; it is run again. Report the traceback if it repeats.",
    "actor.left_behind": "A task did not end even when it was cancelled; the process leaves without it.",
    "actor.restarting": "A failed task is run again after this wait.",
    "actor.returned": "A task ended although nobody asked it to, a fault of the program; it is run again.",
    "admin.answer_failed": "A page of the admin server could not be made, by a fault of the program; others still can.",
    "admin.answer_late": "Status or metrics took too long to collect; the client got a 503.",
    "admin.listening": "Probes, metrics and status are served on this host and port.",
    "library.message": "A library of ours, or Python itself, warns or fails; `logger` and `message` are its own.",
    "sink.opened": "The destination was reached; `promise` is what it can prove.",
    "sink.batch_delivered": "The destination acknowledged a batch.",
    "sink.batch_refused": "The destination refused something in a batch; it is singled out, its neighbours go on.",
    "sink.batch_retried": "The destination is away or busy: nothing is lost, the batch is sent again. Said at the "
    "start of an outage, then rarely.",
    "sink.misconfigured": "The destination refuses us for a reason that the operator has to mend; `reason` says "
    "which. "
    "Events wait; said once.",
    "sink.healed": "An outage of the destination is over; delivery goes on.",
    "sink.dead_lettered": "The destination refused one event for good; it is kept with the reason "
    "(`forwarder dead-letters`).",
    "sink.position_taken": "The destination itself remembers events that the journal had not noted as "
    "delivered; they "
    "are not sent again.",
    "sink.ahead_of_journal": "The destination stands at an event that this journal does not hold: the journal was put "
    "back from a backup. All after `known` is delivered; what the destination finds that it has is not sent again.",
    "sink.warning": "The destination works, and `reason` says what about it ought to be otherwise; said once.",
    "sink.left_unanswered": "The stop ended sends that had no answer yet; the next run may repeat so many events.",
    "sink.journal_waits": "The journal cannot be read or written, since its disk is full or fails; delivery goes on "
    "when it can.",
    "sink.faulty": "The sink did what its contract does not allow; the traceback is in the line. Report it.",
    "source.page_collected": "A page of Persona's is in the journal; `fresh` of its records were not known yet.",
    "source.unavailable": "Persona cannot be reached or is busy: nothing is lost, the page is asked for again. "
    "Said at the start of an outage, then rarely.",
    "source.misconfigured": "Persona refuses us for a reason that the operator has to mend; `reason` says "
    "which. Asked again, slowly.",
    "source.foreign": "The key belongs to another organization than the one that this journal keeps; nothing is "
    "taken from it.",
    "source.recovered": "Persona answers again; collecting goes on where it was.",
    "source.paused": "Collecting pauses on purpose; `reason` says what it waits for. Persona keeps the log meanwhile.",
    "source.resumed": "The pause is over; collecting goes on.",
    "source.cursor_lost": "Persona no longer knows the place where a gap was being read; it is read again from "
    "its newer end.",
    "source.page_unreadable": "A page was too large or no JSON; it is asked for again with fewer records.",
    "source.record_unreadable": "One record cannot be read, and no known id lies beyond it to go on from; tried "
    "again later.",
    "source.record_without_id": "Persona sent records without an id; they cannot be told apart and were refused.",
    "gap.opened": "A stretch of the log is known not to be read yet; it is read newest first.",
    "gap.closed": "The stretch has been read, or has become part of an older one (`merged`).",
    "gap.lost": "This stretch left Persona's retention before it was read; it cannot be had any more.",
    "gap.unreadable": "This stretch was stepped over since Persona's answer for it cannot be read.",
}
"""Dotted event name to what it means, for operators."""

MASK = "********"

SHORTEST_SECRET = 4
"""Characters below which a secret is not looked for in lines: it would be found in innocent words."""


def get_logger(**fields: Any) -> FilteringBoundLogger:
    """A logger that adds *fields* to each of its lines."""
    logger: FilteringBoundLogger = structlog.get_logger(**fields)
    return logger


def configure(
    level: str = "info",
    form: str = "json",
    stream: TextIO | None = None,
    *,
    secrets: Callable[[], Iterable[str]] | None = None,
) -> None:
    """Send all logs of the process to *stream* (standard error), as ``json`` or, for a person, as ``console``.

    What libraries, asyncio and :mod:`warnings` report from WARNING on becomes ``library.message`` lines.

    :param secrets: returns the secrets as they are now; wherever one of them, or an earlier one, would appear in a line
        it is masked. The second belt: nothing that logs should hold a secret at all.
    """
    target = sys.stderr if stream is None else stream
    numeric = logging.getLevelNamesMapping()[level.upper()]
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        structlog.processors.format_exc_info,
    ]
    if form == "console":
        processors += [
            _without_controls,
            structlog.dev.ConsoleRenderer(
                colors=target.isatty(),
                # The prettier one shows the values of local variables, secrets among them.
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ]
    else:
        processors.append(_to_json)
    output = _Output(target, None if secrets is None else _Mask(secrets))
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=lambda *_: output,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _LibraryHandler)]:
        root.removeHandler(handler)
    root.addHandler(_LibraryHandler(logging.WARNING))
    logging.captureWarnings(capture=True)


class _LibraryHandler(logging.Handler):
    """Turns records of the standard library's logging into lines of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 # a library's broken format string must not become our failure
            message = f"{record.msg} {record.args}"
        log = get_logger()
        # The level is the library's own; below WARNING nothing arrives here.
        log.log(
            record.levelno,
            "library.message",
            logger=record.name,
            message=message.strip(),
            exc_info=record.exc_info,
        )


class _Mask:
    """Masks secrets in finished lines, in each spelling that they could have there."""

    def __init__(self, current: Callable[[], Iterable[str]]) -> None:
        self._current = current
        self._known: frozenset[str] = frozenset()
        self._spellings: tuple[str, ...] = ()
        self._refreshing = False

    def __call__(self, line: str) -> str:
        self._refresh()
        for spelling in self._spellings:
            if spelling in line:
                line = line.replace(spelling, MASK)
        return line

    def _refresh(self) -> None:
        if self._refreshing:  # reading a secret from its file may log a line itself
            return
        self._refreshing = True
        try:
            known = self._known.union(self._current())
        except Exception:  # noqa: BLE001 # an unreadable secret is reported where it is used; those known still hold
            return
        finally:
            self._refreshing = False
        if known != self._known:
            self._known = known
            # The longest first: a secret may be part of another one.
            self._spellings = tuple(
                sorted({spelling for secret in known for spelling in _spellings(secret)}, key=_longest)
            )


def _longest(text: str) -> tuple[int, str]:
    return -len(text), text


def _spellings(secret: str) -> set[str]:
    """How *secret* could be written in a line: plain or in a URL, and that in JSON or as a Python literal."""
    if len(secret) < SHORTEST_SECRET:
        return set()
    plain = {secret, quote(secret), quote(secret, safe="")}
    python = {repr(text)[1:-1] for text in plain} | {repr(text + "'\"")[1:-4] for text in plain}
    json_text = {json.dumps(text, ensure_ascii=ascii_)[1:-1] for text in plain | python for ascii_ in (True, False)}
    return plain | python | json_text | {repr(text)[1:-1] for text in python}


class _Output:
    """Writes whole lines, masked; threads do not mix theirs."""

    def __init__(self, stream: TextIO, mask: _Mask | None) -> None:
        self._stream = stream
        self._mask = mask
        self._lock = threading.Lock()

    def msg(self, line: str) -> None:
        if self._mask is not None:
            line = self._mask(line)
        with self._lock:
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                # Standard error is closed or its reader is gone. There is nowhere left to say so, and delivering
                # events matters more than telling of it.
                return

    debug = info = warning = error = critical = exception = log = msg


def _to_json(_logger: WrappedLogger, _method: str, line: EventDict) -> str:
    first = {key: line.pop(key) for key in ("timestamp", "level", "event") if key in line}
    first.update(line)
    try:
        return orjson.dumps(first, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # a lone surrogate, a huge number, a circle: what orjson refuses is written as text
        return json.dumps({key: value if isinstance(value, str) else repr(value) for key, value in first.items()})


def _without_controls(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Escape control characters: text from outside must not steer the terminal or forge a line."""
    return {key: _printable(value, keep="\n" if key == "exception" else "") for key, value in line.items()}


def _printable(value: Any, keep: str) -> Any:
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(
        character if character.isprintable() or character in keep else repr(character)[1:-1] for character in value
    )
