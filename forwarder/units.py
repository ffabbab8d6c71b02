"""Durations and sizes as operators write them: ``30``, ``30s``, ``5m``, ``24h``, ``7d``; ``512KiB``, ``2GiB``."""

import re
from typing import Annotated

from pydantic import BeforeValidator

_SECONDS = {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def parse_duration(text: object) -> float:
    """Seconds from ``30``, ``30s``, ``5m``, ``24h`` or ``7d``."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)", str(text).strip())
    if match is None:
        raise ValueError("not a duration; write 30, 30s, 5m, 24h or 7d")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds == float("inf"):
        raise ValueError("too long for a duration")
    return seconds


def parse_size(text: object) -> int:
    """Bytes from ``1048576``, ``512KiB``, ``64MiB`` or ``2GiB``."""
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    match = re.fullmatch(r"(\d+)\s*(B|KiB|MiB|GiB|TiB|)", str(text).strip())
    if match is None:
        raise ValueError("not a size; write 512KiB, 64MiB or 2GiB")
    return int(match[1]) * _BYTES[match[2]]


def parse_list(text: object) -> list[str]:
    """Items of a comma list, without the spaces around them and without empty ones."""
    if isinstance(text, list | tuple):
        return [str(item) for item in text]
    return [item.strip() for item in str(text).split(",") if item.strip()]


Duration = Annotated[float, BeforeValidator(parse_duration)]
"""A pydantic field in seconds that takes a duration as operators write it."""

Size = Annotated[int, BeforeValidator(parse_size)]
"""A pydantic field in bytes that takes a size as operators write it."""

CommaList = Annotated[list[str], BeforeValidator(parse_list)]
"""A pydantic field that takes a comma list."""
