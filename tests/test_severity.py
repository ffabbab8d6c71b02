"""The table from status and impersonation to a severity."""

import dataclasses
from typing import Any

import pytest

from forwarder.record import AuditEvent
from forwarder.severity import NAMES, TABLE, parse_row, severity
from tests.sinks.contract import make_items


def event(status: Any, impersonator: str | None = None) -> AuditEvent:
    return dataclasses.replace(make_items(1)[0].event, status=status, impersonator_email=impersonator)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *[(code, "info") for code in (100, 200, 204, 302, 399)],
        *[(code, "notice") for code in (400, 402, 404, 429, 499)],
        *[(code, "warning") for code in (401, 403, 500, 503, 599)],
        *[(code, "info") for code in (None, "403", 600, 0, -1, -403, 4030, [500])],
    ],
)
def test_severity_follows_the_status(status: Any, expected: str) -> None:
    """A status that is none is no reason to alarm or to fail."""
    assert NAMES[severity(event(status))] == expected


def test_what_is_done_in_somebody_elses_name_is_worth_a_notice() -> None:
    assert NAMES[severity(event(200, "staff@example.com"))] == "notice"
    assert NAMES[severity(event(403, "staff@example.com"))] == "warning"


def test_an_operators_rows_go_first_and_ours_stay_behind() -> None:
    table = [parse_row("404=info"), parse_row("Impersonated = alert"), parse_row("5xx=2")]
    found = [severity(one, table) for one in (event(404), event(200, "a@b"), event(502), event(401), event(200))]
    assert [NAMES[number] for number in found] == ["info", "alert", "critical", "warning", "info"]
    assert severity(event(None), [parse_row("*=debug")]) == 7


@pytest.mark.parametrize("text", ["", "404", "404=", "=info", "404=loud", "404=8", "6xx=info", "4x4=info", "*=-1"])
def test_what_is_no_row_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no row"):
        parse_row(text)


def test_the_last_row_fits_everything() -> None:
    assert TABLE[-1].condition == "*"
