"""Paths, compiled: one dictionary look-up per key decides what happens to its value.

All paths are followed at once. A :class:`Node` is the set of places that the paths have reached; its steps are worked
out when a key is first met and then remembered, within a bound, since keys come from outside.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from forwarder.privacy.secretlike import is_secretlike, squash

KEEP: Final = 0
REDACT: Final = 1
"""The whole value is replaced."""
SECRET: Final = 2
"""As REDACT, by the built-in list: booleans are no secrets."""
LEAVES: Final = 3
"""Each scalar at and below is replaced."""
PSEUDONYM: Final = 4
"""Each scalar at and below gets its pseudonym."""

NO_DEFAULTS: Final = "!defaults"
"""The item of ``FORWARDER_REDACT`` that takes the built-in list away."""

FIELDS: Mapping[str, str] = {
    "user.email": "user.email-address",
    "user.first_name": "user.name-first",
    "user.last_name": "user.name-last",
    "impersonator_email": "impersonator-email-address",
    "client.ip": "ip-address",
    "client.user_agent": "user-agent",
    "request.path": "path",
    "request.method": "method",
    "request.status": "response-status",
    "request.get_params": "get-params",
    "request.post_params": "post-params",
}
"""Names of the canonical event, and the path of Persona's that each stands for."""

RELATED: Mapping[str, str] = {"user": "user.id", "user-session": "session_id"}
"""Type of a related resource, and the name of its id in the canonical event."""

_CACHED_KEYS = 4096
_CACHED_KEY_LENGTH = 200
_NESTED = re.compile(r"[.\[\]]+")


def check_path(text: str, *, pseudonymize: bool = False) -> None:
    """Check one item of ``FORWARDER_REDACT``, or with *pseudonymize* of ``FORWARDER_PSEUDONYMIZE``.

    :raises ValueError: it is not a path; the message says what to write instead
    """
    if text == NO_DEFAULTS and not pseudonymize:
        return
    if text.startswith("!"):
        raise ValueError(f"{text!r}: only {NO_DEFAULTS} begins so, and only in FORWARDER_REDACT")
    if not text or any(not part for part in text.split(".")):
        raise ValueError(f"{text!r} is not a path: write keys joined by single dots, as post-params.data.ssn")
    for part in text.split("."):
        if part not in {"*", "**"} and ("*" in part or not squash(part)):
            raise ValueError(
                f"{part!r} in {text!r} is no key: `*` stands for one whole key, `**` for any number of them"
            )
    parts = _segments(text)
    if parts[0] == "attributes" and len(parts) > 1:
        raise ValueError(f"{text!r}: paths begin inside the attributes; leave `attributes.` out")
    if parts in {("createdat",), ("id",), ("type",)}:
        raise ValueError(
            f"{text!r} cannot be hidden: records are kept and ordered by it; name the place below, as **.id"
        )
    if names_related(text, "user") and not pseudonymize:
        raise ValueError("user.id cannot be redacted, records and users are joined by it: use FORWARDER_PSEUDONYMIZE")


def names_related(path: str, kind: str) -> bool:
    """Whether *path* is the canonical name of the id of the related resource of type *kind*."""
    return _segments(path) == _segments(RELATED[kind])


@dataclass(frozen=True, slots=True)
class _Pattern:
    segments: tuple[str, ...]
    pseudonym: bool

    @property
    def below(self) -> bool:
        """Whether it ends in ``**``: scalars below, not the value as a whole."""
        return self.segments[-1] == "**"

    def spread(self, place: int) -> set[int]:
        """*place* and those that ``**`` lets one stand at for nothing; the last ``**`` is a place to stay."""
        places = {place}
        while place < len(self.segments) - 1 and self.segments[place] == "**":
            place += 1
            places.add(place)
        return places

    def follow(self, place: int, key: str) -> set[int]:
        """Where a step by *key* (squashed) leads from *place*."""
        if place >= len(self.segments):
            # Past its end, a pseudonym's path goes on to hold for everything below (one place further: inherited).
            return {len(self.segments) + 1} if self.pseudonym else set()
        segment = self.segments[place]
        if segment == "**":
            return self.spread(place)
        return self.spread(place + 1) if segment in {"*", key} else set()


class _Graph:
    """All nodes of one set of paths; each set of places has one node, so that memory does not grow with the input."""

    def __init__(self, patterns: tuple[_Pattern, ...], *, defaults: bool) -> None:
        self.patterns = patterns
        self.defaults = defaults
        self._nodes: dict[tuple[frozenset[tuple[int, int]], bool], Node] = {}

    def node(self, places: frozenset[tuple[int, int]], *, secretlike: bool) -> "Node":
        found = self._nodes.get((places, secretlike))
        if found is None:
            found = self._nodes[places, secretlike] = Node(self, places, secretlike=secretlike)
        return found


class Node:
    """Where the paths stand after the keys so far; :attr:`action` is what happens to the value here."""

    __slots__ = ("_graph", "_places", "_steps", "action")

    def __init__(self, graph: _Graph, places: frozenset[tuple[int, int]], *, secretlike: bool) -> None:
        self._graph = graph
        self._places = places
        self._steps: dict[str, Node] = {}
        self.action = self._decide(secretlike=secretlike)

    def step(self, key: str) -> "Node":
        """Return the node behind *key*, as it is written in the record."""
        found = self._steps.get(key)
        if found is None:
            found = self._work_out(key)
            if len(key) <= _CACHED_KEY_LENGTH:
                if len(self._steps) >= _CACHED_KEYS:
                    self._steps.clear()
                self._steps[key] = found
        return found

    def could_hold(self, key: str) -> bool:
        """Whether *key* somewhere below could be hidden: for text that is too broken to tell where it stands."""
        if self._graph.defaults and is_secretlike(key):
            return True
        name = squash(key)
        for index, place in self._places:
            pattern = self._graph.patterns[index]
            last = pattern.segments[-1]
            if last == name or (last in {"*", "**"} and place > 0):
                return True
        return False

    def _work_out(self, key: str) -> "Node":
        node = self
        parts = [part for part in _NESTED.split(key) if part] or [key]
        for number, part in enumerate(parts, start=1):
            secretlike = self._graph.defaults and (is_secretlike(part) or (number == len(parts) and is_secretlike(key)))
            node = node._follow(squash(part), secretlike=secretlike)
            if node.action in {REDACT, SECRET}:
                break
        return node

    def _follow(self, name: str, *, secretlike: bool) -> "Node":
        patterns = self._graph.patterns
        places = frozenset(
            (index, further) for index, place in self._places for further in patterns[index].follow(place, name)
        )
        return self._graph.node(places, secretlike=secretlike)

    def _decide(self, *, secretlike: bool) -> int:
        redact = leaves = pseudonym = inherited = False
        for index, place in self._places:
            pattern = self._graph.patterns[index]
            end = len(pattern.segments)
            staying = pattern.below and place == end - 1
            if pattern.pseudonym:
                pseudonym = pseudonym or place == end
                inherited = inherited or place > end or staying
            else:
                redact = redact or place == end
                leaves = leaves or staying
        if redact:
            return REDACT
        if leaves:
            return LEAVES
        if pseudonym:
            return PSEUDONYM
        if secretlike:
            return SECRET
        return PSEUDONYM if inherited else KEEP


def compile_rules(redact: Sequence[str], pseudonymize: Sequence[str], *, defaults: bool) -> Node:
    """Return the node at the record's attributes. Paths must have passed :func:`check_path`."""
    patterns = tuple(
        dict.fromkeys(
            _Pattern(segments, pseudonym)
            for paths, pseudonym in ((redact, False), (pseudonymize, True))
            for path in paths
            for segments in _meanings(path)
        ),
    )
    places = frozenset((index, place) for index, pattern in enumerate(patterns) for place in pattern.spread(0))
    return _Graph(patterns, defaults=defaults).node(places, secretlike=False)


def _segments(path: str) -> tuple[str, ...]:
    found: list[str] = []
    for part in path.split("."):
        segment = part if part in {"*", "**"} else squash(part)
        if segment != "**" or found[-1:] != ["**"]:
            found.append(segment)
    return tuple(found)


_CANONICAL = {_segments(name): _segments(path) for name, path in FIELDS.items()}


def _meanings(path: str) -> list[tuple[str, ...]]:
    segments = _segments(path)
    meanings = [segments] if len(segments) > 1 or segments == ("**",) else [("**", *segments)]
    if segments in _CANONICAL:
        meanings.append(_CANONICAL[segments])
    return meanings
