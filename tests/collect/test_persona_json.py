"""JSON that strict parsers refuse and that Persona may still send."""

import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.collect.lenient import NotJson, loads

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'"\\ud83d"', "\ufffd"),
        (b'{"\\udc00":"a\\ud800b"}', {"\ufffd": "a\ufffdb"}),
        (b'["\\ud83d\\ude00","\\ud800"]', ["\U0001f600", "\ufffd"]),
        (b"[NaN,Infinity,-Infinity]", ["NaN", "Infinity", "-Infinity"]),
        (b"1e999", "1e999"),
        (b"[NaN,12345678901234567890,-9223372036854775808]", ["NaN", 12345678901234567890, -(2**63)]),
        (b"[NaN,123456789012345678901234567890]", ["NaN", 1.2345678901234568e29]),
        (b"[NaN," + b"9" * 5000 + b"]", ["NaN", "9" * 5000]),
        (b'"\xff\xfe"', "\ufffd\ufffd"),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b'"a\nb\x00"', "a\nb\x00"),
    ],
)
def test_what_strict_parsers_refuse_is_read_as_near_as_can_be(text: bytes, value: Any) -> None:
    assert loads(text) == value
    orjson.dumps(loads(text))


@pytest.mark.parametrize("text", [b"", b"<html>", b"{", b'{"a":1}}', b"'a'", b"[" * 100_000, b'{"a":' * 2000 + b"NaN"])
def test_what_is_not_json_says_so(text: bytes) -> None:
    with pytest.raises(NotJson):
        loads(text)


@pytest.mark.parametrize("wrong", [b"1", b"NaN"])
def test_nesting_that_could_not_be_written_again_is_refused_with_room_to_spare(wrong: bytes) -> None:
    assert loads(b"[" * 200 + wrong + b"]" * 200)
    with pytest.raises(NotJson, match="deep"):
        loads(b"[" * 250 + wrong + b"]" * 250)


@given(ANY_JSON)
def test_whatever_comes_out_can_be_written_and_strict_json_is_untouched(value: Any) -> None:
    """Python's own writer makes lone surrogates, NaN and huge integers; orjson could write none of them."""
    import json  # noqa: PLC0415 # the careless writer of this one test

    found = loads(json.dumps(value).encode())
    orjson.dumps([found])
    try:
        strict = orjson.dumps(value)
    except orjson.JSONEncodeError:
        return
    if not _has_non_finite(value):
        assert orjson.dumps(found) == strict


def _has_non_finite(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(_has_non_finite(item) for item in value.values())
    return isinstance(value, list) and any(_has_non_finite(item) for item in value)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(text: bytes) -> None:
    try:
        value = loads(text)
    except NotJson:
        return
    orjson.dumps(value)
