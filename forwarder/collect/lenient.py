"""JSON as a server may really send it, into values that can be written as JSON again.

What a browser typed into a dashboard ends up in the log: half of a surrogate pair, bytes that are no UTF-8, a number
that no double holds. One such record must not stop the collecting of all others.
"""

import json
import math
import re
from typing import Any

import orjson

_SPARE_DEPTH = 16
"""Levels kept free for what later wraps a record: a format, a destination's envelope."""

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class NotJson(ValueError):
    """The text is not JSON, or is nested so deeply that it could not be written again."""


def loads(text: bytes) -> Any:
    """Parse *text*; what comes out can be written by ``orjson.dumps``, with room for some levels around it.

    Strict JSON takes the fast path. Where that refuses: lone surrogates and bytes that are not UTF-8 become U+FFFD;
    NaN, the infinities, and numbers out of range become their own text; raw control characters and a byte order mark
    pass.

    :raises NotJson: it is not JSON even then, or is nested too deeply
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = _loads_leniently(text)
    if not _writable(value):
        raise NotJson("it is nested too deeply")
    return value


def _writable(value: Any) -> bool:
    """Whether *value* can be written with some levels around it; costs a fraction of parsing it."""
    wrapped = value
    for _ in range(_SPARE_DEPTH):
        wrapped = [wrapped]
    try:
        orjson.dumps(wrapped)
    except orjson.JSONEncodeError:
        return False
    return True


def _loads_leniently(text: bytes) -> Any:
    try:
        decoder = json.JSONDecoder(parse_constant=str, parse_float=_float, parse_int=_int, strict=False)
        return _clean(decoder.decode(text.decode("utf-8-sig", errors="replace")))
    except RecursionError:
        raise NotJson("it is nested too deeply") from None
    except ValueError as error:
        # The parser's own text quotes nothing of the document, only where it stopped.
        raise NotJson(str(error)) from None


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return value


def _float(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _int(text: str) -> int | float | str:
    """Read an integer as the fast path does: a double where 64 bits do not hold it."""
    if len(text) < 19:  # every number of so few digits fits
        return int(text)
    number = _float(text)
    if isinstance(number, str):
        return number
    exact = int(text)
    return exact if -(2**63) <= exact < 2**64 else number
