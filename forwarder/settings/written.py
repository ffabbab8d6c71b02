"""Values of settings as an operator writes them, the other way round of :mod:`forwarder.units`."""

import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from forwarder.units import parse_duration, parse_size

_SECONDS = (("d", 86_400), ("h", 3600), ("m", 60))
_BYTES = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))

_BARE = re.compile(r"[A-Za-z0-9_./:,@%+=!*~-]*")
"""What shells, Compose and env files all take without quotes; ``*`` is no glob behind a ``=``."""


def written(value: Any, info: FieldInfo) -> str:
    """Return *value* of the field *info* as text that the field takes again; None and an empty list are empty."""
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ",".join(str(item) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    parsers = {marker.func for marker in _markers(info) if isinstance(marker, BeforeValidator)}
    if parse_duration in parsers:
        return duration(value)
    return size(value) if parse_size in parsers else str(value)


def duration(seconds: float) -> str:
    """Return *seconds* in the largest unit that divides it: ``90s`` is no ``1.5m``, ``3600`` is ``1h``."""
    for unit, length in _SECONDS:
        if seconds and seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{seconds:.9f}".rstrip("0") + "s"


def size(count: int) -> str:
    """Return *count* bytes in the largest binary unit that divides it."""
    for unit, length in _BYTES:
        if count and count % length == 0:
            return f"{count // length}{unit}"
    return str(count)


def choices(info: FieldInfo) -> list[str]:
    """Return the words that the field takes, where it takes only some."""
    return [str(word) for part in _parts(info.annotation) if get_origin(part) is Literal for word in get_args(part)]


def quoted(text: str) -> str:
    """Return *text* as the value of a line of an env file, quoted only where it has to be."""
    if _BARE.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _markers(info: FieldInfo) -> Iterator[Any]:
    """Everything that annotates the field's type, also inside of an optional one."""
    yield from info.metadata
    for part in _parts(info.annotation):
        yield from getattr(part, "__metadata__", ())


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        if get_origin(annotation) is not Literal:
            yield from _parts(part)
