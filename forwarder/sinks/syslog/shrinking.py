"""A message that is longer than its receiver takes, made shorter without being cut: pure.

Whole values are replaced by a marker that says how long they were and what they hash to, so that what is left is
still JSON, CEF or LEEF, and can be held against Persona's own record. In this order, the longest first, and no more of
them than it takes:

1. values among the request's parameters, the context, and attributes that are new;
2. values of the structured data, whose originals stand in the text;
3. any other long value (a path of megabytes), but the event's id;
4. whole objects of parameters, where it is their number that is too much;
5. any other object or list, the innermost first: one that stands where a text belongs may be of any size.
"""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import orjson

from forwarder.sinks.base import Item
from forwarder.sinks.syslog.message import Header, compose, escaped, parameters
from forwarder.text import visible

_WORTH_IT = 64
"""Bytes from which on a marker is shorter than what it replaces."""

_LONG = 128
"""Bytes from which on a value that identifies something is given up."""

_KEPT = frozenset({"id", "seq", "externalId", "logId", "rt", "devTime", "devTimeFormat"})
_BAGS = frozenset(
    {
        *("get_params", "post_params", "context", "extra"),  # json
        *("get-params", "post-params"),  # raw
        *(
            "query",
            "content",
            "original",
            "unmapped",
            "data",
            "args",
            "query_string",
            "raw_data",
            "labels",
        ),  # ecs, ocsf
        *("cs2", "cs3", "cs4", "flexString1"),  # cef
        *("queryParams", "postParams"),  # leef
    }
)
_TEXTS = {"cef": 0, "leef": 6, "leef1": 5}
"""Formats that are no JSON; for LEEF with the number of fields in its header."""

_PAIR = re.compile(r"(?:^| )([A-Za-z0-9_]+)=")
_CEF_HEADER = re.compile(r"(?:(?:[^|\\]|\\.)*\|){7}")


def shrink(item: Item, header: Header, longest: int, form: str) -> bytes | None:
    """Write *item*, whose body has the format *form*, in at most *longest* bytes; None if that cannot be."""
    body = _Json(item.body) if form not in _TEXTS else _Pairs(item.body, form)
    data = parameters(item)
    message = compose(item, header, data, body.text())
    excess = len(message) - longest
    in_data = _shrink_data(data) if header.rfc == "5424" else iter(())
    for stage in (
        body.values(_WORTH_IT, in_bags=True),
        in_data,
        body.values(_LONG, in_bags=False),
        body.bags(),
        body.rest(),
    ):
        for saved in stage:
            excess -= saved
            if excess > 0:
                continue
            message = compose(item, header, data, body.text())
            excess = len(message) - longest
            if excess <= 0:
                return message
    return None


def marker(value: Any) -> str:
    """What stands for a value that is left out: its size in bytes, and the first half of its SHA-256."""
    content = value.encode(errors="replace") if isinstance(value, str) else orjson.dumps(value)
    return f"[left out: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()[:32]}]"


def _shrink_data(data: dict[str, Any]) -> Iterator[int]:
    sizes = {key: len(escaped(value).encode()) for key, value in data.items() if value is not None and key not in _KEPT}
    for key in sorted((key for key, size in sizes.items() if size > _LONG), key=sizes.__getitem__, reverse=True):
        data[key] = marker(data[key])
        yield sizes[key] - len(escaped(data[key]).encode())


class _Body(ABC):
    """The text of a message as something whose values can be replaced. Each step yields the bytes that it saved."""

    @abstractmethod
    def text(self) -> str:
        """Write it."""

    @abstractmethod
    def values(self, longer_than: int, *, in_bags: bool) -> Iterator[int]:
        """Replace values longer than so many bytes, the longest first, among the parameters or elsewhere."""

    def bags(self) -> Iterator[int]:
        """Replace whole objects of parameters, the longest first."""
        return iter(())

    def rest(self) -> Iterator[int]:
        """Replace any other object or list that is long, the innermost first."""
        return iter(())


class _Json(_Body):
    def __init__(self, body: bytes) -> None:
        self._tree: Any = orjson.loads(body)

    def text(self) -> str:
        return orjson.dumps(self._tree).decode()

    def values(self, longer_than: int, *, in_bags: bool) -> Iterator[int]:
        leaves = [(_size(holder[key]), holder, key) for holder, key, inside in _leaves(self._tree) if inside == in_bags]
        leaves = [leaf for leaf in leaves if leaf[0] > longer_than]
        yield from map(_replace, sorted(leaves, key=_first, reverse=True))

    def bags(self) -> Iterator[int]:
        found = [(_size(holder[key]), holder, key) for holder, key in _bags(self._tree)]
        yield from map(_replace, sorted((bag for bag in found if bag[0] > _WORTH_IT), key=_first, reverse=True))

    def rest(self) -> Iterator[int]:
        for holder, key in _containers(self._tree):
            size = _size(holder[key])
            if size > _LONG:
                yield _replace((size, holder, key))


class _Pairs(_Body):
    """CEF and LEEF: a header, and keys with values."""

    def __init__(self, body: bytes, form: str) -> None:
        text = body.decode(errors="replace")
        self._separator = " " if form == "cef" else "\t"
        if form == "cef":
            header = _CEF_HEADER.match(text)
            self._head = header[0] if header else ""
            _, *parts = _PAIR.split(text[len(self._head) :])
            self._pairs = dict(zip(parts[::2], parts[1::2], strict=True))
        else:
            *fields, attributes = text.split("|", _TEXTS[form])
            self._head = "|".join([*fields, ""])
            self._pairs = dict(part.partition("=")[::2] for part in attributes.split("\t"))

    def text(self) -> str:
        return self._head + self._separator.join(f"{key}={value}" for key, value in self._pairs.items())

    def values(self, longer_than: int, *, in_bags: bool) -> Iterator[int]:
        sizes = {
            key: len(value.encode())
            for key, value in self._pairs.items()
            if (key in _BAGS) == in_bags and key not in _KEPT
        }
        for key in sorted((key for key in sizes if sizes[key] > longer_than), key=sizes.__getitem__, reverse=True):
            self._pairs[key] = marker(self._pairs[key])
            yield sizes[key] - len(self._pairs[key].encode())


_Found = tuple[int, Any, Any]


def _leaves(tree: Any, *, inside: bool = False) -> Iterator[tuple[Any, Any, bool]]:
    """Walk over every value that is no container: its container, its key there, whether it is among parameters."""
    for key, value in _entries(tree):
        within = inside or key in _BAGS
        if isinstance(value, dict | list):
            yield from _leaves(value, inside=within)
        elif isinstance(value, str) and key not in _KEPT:
            yield tree, key, within


def _bags(tree: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in _entries(tree):
        if isinstance(value, dict | list):
            if key in _BAGS:
                yield tree, key
            else:
                yield from _bags(value)


def _containers(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Walk over every object and list, the innermost first."""
    for key, value in _entries(tree):
        if isinstance(value, dict | list):
            yield from _containers(value)
            yield tree, key


def _entries(tree: Any) -> list[tuple[Any, Any]]:
    return list(tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ())


def _first(found: _Found) -> int:
    return found[0]


def _replace(found: _Found) -> int:
    size, holder, key = found
    holder[key] = marker(holder[key])
    return size - _size(holder[key])


def _size(value: Any) -> int:
    return len(visible(orjson.dumps(value).decode()).encode())
