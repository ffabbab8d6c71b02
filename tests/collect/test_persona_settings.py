"""A Persona source's settings: what is refused, and how far back the first run reaches."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from forwarder.clock import BEGINNING, SECOND
from forwarder.collect.settings import PersonaSettings, Start
from forwarder.secret import Secret

NOW = 1_772_356_502 * SECOND


def settings(**given: Any) -> PersonaSettings:
    return PersonaSettings.model_validate({"api_key": Secret("k"), **given})


def refused(**given: Any) -> tuple[str, str]:
    """The field that is named, and the whole text."""
    with pytest.raises(ValidationError) as caught:
        settings(**given)
    (problem,) = caught.value.errors()
    return str(problem["loc"][0]), str(caught.value)


def test_defaults_are_the_contracts() -> None:
    found = settings()
    assert found.base_url == "https://api.withpersona.com/api/v1"
    assert (found.version, found.page_size, found.rate_share) == ("2023-01-05", 100, 0.25)
    assert (found.poll_interval, found.lookback, found.sweep_interval, found.timeout) == (30, 3600, 900, 30)
    assert found.max_response_bytes == 64 << 20
    assert found.start.text == "all"
    assert found.tls_ca_file is None


@pytest.mark.parametrize(
    "url",
    [
        "http://api.withpersona.com/api/v1",
        "http://10.0.0.1/",
        "http://127.0.0.1.evil.test/",
        "http://localhost.evil.test/",
        "http://[::2]/",
        "ftp://127.0.0.1/",
        "api.withpersona.com",
        "https://",
        "https://user:hush@api.withpersona.com/",
        "https://hush@api.withpersona.com/",
        "https://api.withpersona.com/?a=b",
        "https://api.withpersona.com/#a",
        "https://api.withpersona.com:99999/",
    ],
)
def test_a_url_that_could_show_the_key_or_is_none_is_refused(url: str) -> None:
    field, text = refused(base_url=url)
    assert field == "base_url"
    assert "hush" not in text


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8081/api/v1", "http://localhost:1", "http://[::1]:80", "https://eu.persona.test/v1"]
)
def test_https_anywhere_and_http_on_this_machine_are_taken(url: str) -> None:
    assert settings(base_url=f" {url}/ ").base_url == url


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("page_size", "0"),
        ("page_size", "101"),
        ("rate_share", "0"),
        ("rate_share", "1.01"),
        ("rate_share", "nan"),
        ("poll_interval", "0"),
        ("poll_interval", "500ms"),
        ("timeout", "0"),
        ("version", "latest"),
        ("version", "2023-01-05\r\nX: y"),
        ("max_response_bytes", "1KiB"),
        ("start", "yesterday"),
        ("start", "2026-13-01T00:00:00Z"),
        ("sweep_interval", "1h"),
        ("sweep_interval", "2h"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_its_field(field: str, text: str) -> None:
    assert refused(**{field: text})[0] == field


def test_a_lookback_that_the_default_sweeps_do_not_cover_is_refused() -> None:
    field, text = refused(lookback="15m")
    assert field == "sweep_interval"
    assert "LOOKBACK" in text


def test_fast_polling_is_for_a_server_on_this_machine_alone() -> None:
    assert settings(base_url="http://127.0.0.1:1", poll_interval="100ms").poll_interval == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("all", BEGINNING),
        ("now", NOW),
        ("30d", NOW - 30 * 86_400 * SECOND),
        (" 5m ", NOW - 300 * SECOND),
        ("2026-03-01T00:00:00Z", 1_772_323_200 * SECOND),
        ("2026-03-01T01:00:00+01:00", 1_772_323_200 * SECOND),
    ],
)
def test_start_becomes_an_instant_by_personas_clock(text: str, instant: int) -> None:
    assert settings(start=text).start.resolve(NOW) == instant
    assert str(settings(start=text).start) == text.strip()


@given(st.integers(0, 10**6), st.integers(0, 2**53))
def test_a_duration_ago_is_exact(seconds: int, now: int) -> None:
    assert Start.parse(f"{seconds}s").resolve(now) == now - seconds * SECOND
    assert now - seconds * SECOND > BEGINNING
