"""Values written as operators write them mean the same when read again."""

from io import StringIO
from typing import Literal

import pytest
from dotenv.parser import parse_stream
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from forwarder.settings.written import choices, duration, quoted, size, written
from forwarder.units import CommaList, Duration, Size, parse_duration, parse_size


class Sample(BaseModel):
    plain: Duration = 90.0
    optional: Duration | None = None
    bytes: Size = 1 << 20
    many: CommaList = []
    on: bool = True
    count: int = 3600
    word: Literal["a", "b"] | None = None


@given(st.integers(0, 10**9) | st.integers(0, 10**4).map(lambda number: number * 86_400))
def test_a_duration_means_the_same_when_read_again(seconds: int) -> None:
    assert parse_duration(duration(float(seconds))) == seconds


@given(st.integers(1, 10**7))
def test_a_fraction_of_a_second_means_the_same_when_read_again(microseconds: int) -> None:
    assert parse_duration(duration(microseconds / 10**6)) == pytest.approx(microseconds / 10**6)


@given(st.integers(0, 2**50) | st.integers(0, 2**20).map(lambda number: number << 20))
def test_a_size_means_the_same_when_read_again(count: int) -> None:
    assert parse_size(size(count)) == count


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (30, "30s"), (90, "90s"), (900, "15m"), (3600, "1h"), (190 * 86_400, "190d"), (0.5, "0.5s")],
)
def test_a_duration_takes_the_largest_whole_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00\r", exclude_categories=["Cs"])))
def test_a_quoted_value_comes_back_from_an_env_file(text: str) -> None:
    (binding,) = parse_stream(StringIO(f"NAME={quoted(text)}\n", newline=""))
    assert (binding.error, binding.value) == (False, text)


def test_a_value_is_written_by_the_type_of_its_field() -> None:
    fields = Sample.model_fields
    assert written(90.0, fields["plain"]) == "90s"
    assert written(3600.0, fields["optional"]) == "1h"
    assert written(None, fields["optional"]) == ""
    assert written(1 << 20, fields["bytes"]) == "1MiB"
    assert written(["GET /a", "/b"], fields["many"]) == "GET /a,/b"
    assert written(value=True, info=fields["on"]) == "true"
    assert written(3600, fields["count"]) == "3600"


def test_choices_are_found_inside_of_an_optional_type() -> None:
    assert choices(Sample.model_fields["word"]) == ["a", "b"]
    assert choices(Sample.model_fields["count"]) == []
