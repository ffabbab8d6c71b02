"""Carrying rules out on values: JSON trees without recursion, and the text inside their strings."""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import quote, unquote_plus

from forwarder.privacy.paths import KEEP, PSEUDONYM, REDACT, SECRET, Node

REDACTED: Final = "[REDACTED]"
FILTERED: Final = "[FILTERED]"
"""What Persona puts in place of large parameters; it holds nothing, and detections look for it."""
TOO_DEEP: Final = "[TOO DEEP]"

MAX_DEPTH: Final = 200
"""Containers within containers that are kept. orjson writes 254 at most, and a format adds a few of its own."""

MAX_ENCODINGS: Final = 6
"""Encodings within encodings (JSON in a form in JSON …) that are looked into; what is wrapped deeper is redacted."""

_ENCODED = quote(REDACTED, safe="")
_JSON_STARTS = ("{", "[", '"')
# The look-behind lets a match begin only where a run of key characters begins, and the possessive quantifier never
# gives any back: linear in the text, whatever it holds.
_KEY = re.compile(r"""(?<![^\s?#&;=,"'(){}<>/])([^\s?#&;=,"'(){}<>/]++)["']?\s{0,4}=>?""")
_QUOTED_KEY = re.compile(r'"((?:[^"\\]|\\.){1,200}+)"\s{0,4}(?::|=>)')
_USERINFO = re.compile(r"(://[^/?#\s:@]*:)[^/?#\s@]+(?=@)")
_TEXT_ENDS = re.compile(r"([&\r\n])")
_QUERY_ENDS = re.compile(r"([&#])")
_SEGMENT_ENDS = re.compile(r"([/;])")


_CONTAINERS = (dict, list)  # a union made in the loop costs as much as the check itself
_SHOWN = frozenset({"", REDACTED, FILTERED, _ENCODED})


class _RepeatedKeyError(ValueError):
    """A JSON object says a key twice: what a parser drops would stay in the text unseen."""


class Treatment:
    """Replaces values as nodes say.

    :param defaults: whether the built-in list holds; it covers the password of a URL, too
    :param pseudonym: text to pseudonym
    """

    def __init__(self, *, defaults: bool, pseudonym: Callable[[str], str]) -> None:
        self._defaults = defaults
        self._pseudonym = pseudonym

    def value(self, value: Any, node: Node, level: int = 0) -> Any:
        """Return a treated copy of the JSON value *value*, which stands at *node*, *level* encodings deep."""
        result: list[Any] = [None]
        stack: list[tuple[Any, Any, Node, int]] = [([value], result, node, 0)]
        while stack:
            source, target, here, depth = stack.pop()
            nested = isinstance(source, dict)
            named = _named_value(source, here) if nested and "value" in source else None
            items: Iterable[tuple[Any, Any]] = source.items() if nested else enumerate(source)
            for key, child in items:
                there = here.step(key) if nested else here
                if named is not None and key == "value":
                    there = named
                if nested and ("=" in key or '"' in key):
                    key = self._key(key, target, here, level)  # noqa: PLW2901 # the name that it is kept under
                if isinstance(child, _CONTAINERS):
                    target[key] = opened = _opened(child, there, depth)
                    if isinstance(opened, _CONTAINERS):
                        stack.append((child, opened, there, depth + 1))
                elif there.action != KEEP:
                    target[key] = self._hidden(child, there.action)
                else:
                    target[key] = self._text(child, there, level) if isinstance(child, str) else child
        return result[0]

    def path(self, path: str, node: Node) -> str:
        """Return the request's *path* with its query and its matrix parameters treated as parameters at *node*."""
        cut = min((place for place in map(path.find, "?#") if place >= 0), default=len(path))
        bare, query = path[:cut], path[cut:]
        if "=" in bare:
            bare = self._pairs(bare, node, 0, _SEGMENT_ENDS)
        if len(query) > 1:
            query = query[0] + _ENCODED if node.action == REDACT else self._pairs(query, node, 0, _QUERY_ENDS)
        return self._without_password(bare + query)

    def pseudonym_of(self, value: Any) -> Any:
        """Return the pseudonym of a scalar; what holds nothing stays."""
        if value is None or value in _SHOWN:
            return value
        return self._pseudonym(value if isinstance(value, str) else json.dumps(value))

    def _key(self, key: str, taken: dict[str, Any], node: Node, level: int) -> str:
        """Treat a key as text: a server that takes JSON for a form makes one key of the whole body."""
        treated = found = self._text(key, node, level)
        number = 1
        while found in taken:
            number += 1
            found = f"{treated} ({number})"
        return found

    def _hidden(self, value: Any, action: int) -> Any:
        """Return what stands in the place of a scalar that is not to be kept as it is."""
        if (
            value is None
            or (isinstance(value, str) and value in _SHOWN)
            or (action == SECRET and isinstance(value, bool))
        ):
            return value
        return self.pseudonym_of(value) if action == PSEUDONYM else REDACTED

    def _text(self, text: str, node: Node, level: int) -> str:
        structured = '"' in text or text.lstrip()[:1] in _JSON_STARTS
        if not structured and "=" not in text and "://" not in text:
            return text
        if level >= MAX_ENCODINGS:
            return REDACTED
        if structured:
            treated = self._json(text, node, level)
            if treated is not None:
                return treated
        if "=" in text:
            text = self._pairs(text, node, level, _TEXT_ENDS)
        return self._without_password(text)

    def _json(self, text: str, node: Node, level: int) -> str | None:
        """Treat JSON in a string; None if it is not JSON and shows no key that could be hidden."""
        try:
            parsed = json.loads(text, object_pairs_hook=_unrepeated)
        except (ValueError, RecursionError):
            # Cut off, or only looking like JSON: where a value stands cannot be told, so one suspect key hides it all.
            return REDACTED if any(node.could_hold(match[1]) for match in _QUOTED_KEY.finditer(text)) else None
        treated = self.value(parsed, node, level + 1)
        return text if treated == parsed else json.dumps(treated, separators=(",", ":"))

    def _pairs(self, text: str, node: Node, level: int, ends: re.Pattern[str]) -> str:
        """Treat ``key=value`` pairs; a hidden value reaches to where *ends* matches, whatever else it holds."""
        return "".join(self._pair(part, node, level) if "=" in part else part for part in ends.split(text))

    def _pair(self, part: str, node: Node, level: int) -> str:
        first: tuple[int, Node] | None = None
        for match in _KEY.finditer(part):
            there = node.step(unquote_plus(match[1]))
            if there.action != KEEP:
                value = unquote_plus(part[match.end() :])
                return part[: match.end()] + quote(str(self._hidden(value, there.action)), safe="")
            first = first or (match.end(), there)
        if first is None:
            return part
        end, there = first
        value = unquote_plus(part[end:])
        if "%" not in part and not value.startswith(_JSON_STARTS):
            return part
        treated = self._text(value, there, level + 1)
        return part if treated == value else part[:end] + quote(treated, safe="")

    def _without_password(self, text: str) -> str:
        if self._defaults and "@" in text and "://" in text:
            return _USERINFO.sub(rf"\g<1>{_ENCODED}", text)
        return text


def _opened(container: Any, node: Node, depth: int) -> Any:
    """Return what replaces *container*: a text, or an empty one of its kind and length to fill."""
    if container and node.action in {REDACT, SECRET}:
        return REDACTED
    if depth > MAX_DEPTH:
        return TOO_DEEP
    return {} if isinstance(container, dict) else [None] * len(container)


def _named_value(pair: dict[str, Any], node: Node) -> Node | None:
    """Return the node of ``value`` in ``{"name": "Authorization", "value": "Bearer …"}``, if it is hidden there."""
    for label in ("name", "key"):
        name = pair.get(label)
        if isinstance(name, str) and node.step(name).action != KEEP:
            return node.step(name)
    return None


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RepeatedKeyError
    return found
