"""Times at the doors: RFC 3339 in and out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.clock import format_rfc3339, parse_rfc3339


@given(st.datetimes())
def test_any_time_that_is_read_can_be_written_and_read_again(moment: object) -> None:
    """To the millisecond, from the year 1 to the year 9999."""
    written = f"{str(moment).replace(' ', 'T')}Z"
    micros = parse_rfc3339(written)
    assert micros is not None
    assert parse_rfc3339(format_rfc3339(micros)) == micros // 1000 * 1000
    assert format_rfc3339(micros)[:19] == written[:19]


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_zone_that_leads_out_of_the_calendar_is_no_time(text: str) -> None:
    """It would be read here, and could be written nowhere."""
    assert parse_rfc3339(text) is None
