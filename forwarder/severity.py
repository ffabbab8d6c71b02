"""How much an event matters: one table from status and impersonation to syslog's severities (RFC 5424 section 6.2.1).

The first row that fits decides. Rows that an operator writes (``404=info,impersonated=alert``) go before our own.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from forwarder.record import AuditEvent

NAMES = ("emergency", "alert", "critical", "error", "warning", "notice", "info", "debug")
"""Severities by their numbers: 0 is the worst."""

_ABBREVIATED = {"emerg": 0, "crit": 2, "err": 3, "warn": 4, "informational": 6}
_NUMBERS = {name: number for number, name in enumerate(NAMES)} | _ABBREVIATED
_DIGITS = 3
_CONDITION = re.compile(r"[1-5][0-9]{2}|[1-5]xx|impersonated|\*")


@dataclass(frozen=True, slots=True)
class Row:
    """Events that *condition* describes have this severity.

    :param condition: a status (``404``), a class of them (``5xx``), ``impersonated``, or ``*`` for every event
    """

    condition: str
    severity: int

    def fits(self, status: str, *, impersonated: bool) -> bool:
        """Whether an event with this *status*, of three digits or empty, is one of those."""
        if self.condition == "impersonated":
            return impersonated
        return self.condition == "*" or (bool(status) and status.startswith(self.condition.rstrip("x")))


@lru_cache(maxsize=64)
def parse_row(text: str) -> Row:
    """Read ``CONDITION=SEVERITY``.

    :raises ValueError: it is none; the text says what one is
    """
    condition, equals, severity = (part.strip().lower() for part in text.partition("="))
    number = _NUMBERS.get(severity, int(severity) if severity in set("01234567") else None)
    if not equals or number is None or not _CONDITION.fullmatch(condition):
        raise ValueError(f"{text!r} is no row; write 404=info, 5xx=error, impersonated=alert or *=notice")
    return Row(condition, number)


TABLE = tuple(
    map(parse_row, ("401=warning", "403=warning", "5xx=warning", "impersonated=notice", "4xx=notice", "*=info"))
)
"""What is denied or broken warns; what failed, or was done in somebody else's name, is worth a notice."""


def severity(event: AuditEvent, table: Sequence[Row] = TABLE) -> int:
    """Find the severity of *event*, 0 (emergency) to 7 (debug), in *table*, and in our own where nothing there fits."""
    status = str(event.status) if isinstance(event.status, int) else ""
    status = status if len(status) == _DIGITS else ""  # what is no status fits none but ``*``
    impersonated = bool(event.impersonator_email)
    for rows in (table, TABLE):
        for row in rows:
            if row.fits(status, impersonated=impersonated):
                return row.severity
    raise AssertionError("the last row fits every event")
