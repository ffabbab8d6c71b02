"""Which events a sink wants: ``[METHOD[|METHOD…] ]path-glob``, as ``GET /api/internal/*`` or ``POST|DELETE */cases/*``.

- ``*`` stands for any run of characters, slashes included; everything else stands for itself, in its own case. The
  whole path has to match, so a glob begins with ``/`` or ``*``.
- A path is compared without its query and fragment, so a glob with ``?`` or ``#`` could never match and is refused.
- Methods are compared in upper case; without one, any method matches.
- An event without a path is matched by ``*`` alone, and one without a method by a filter that names none: a filter
  never claims what it cannot see. So ``exclude=GET *`` keeps it, and ``include=GET *`` leaves it out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from forwarder.record import AuditEvent

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
"""The methods of RFC 9110 section 9 and RFC 5789; a filter with another word is taken for a mistake."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One parsed filter. ``methods`` is empty where any will do."""

    text: str
    methods: frozenset[str]
    everything: bool
    matches_path: Callable[[str], bool]

    def matches(self, method: str | None, path: str | None) -> bool:
        """Whether it takes a request of *method* (upper case) to *path* (bare), each None where it is not known."""
        if self.methods and method not in self.methods:
            return False
        return self.everything or (path is not None and self.matches_path(path))


def parse_filter(text: str) -> Filter:
    """Read one filter.

    :raises ValueError: with what is wrong and how to write it
    """
    words = text.split()
    if not 1 <= len(words) <= 2:  # methods and a path
        raise ValueError(f"{text!r} is not a filter; write `/path/*` or `GET|POST /path/*`")
    methods = frozenset(words[0].upper().split("|")) if len(words) > 1 else frozenset[str]()
    unknown = sorted(methods - METHODS)
    if unknown:
        raise ValueError(f"{text!r}: {unknown[0] or 'nothing'!r} is not an HTTP method; write `GET|POST /path/*`")
    glob = words[-1]
    if glob.upper() in METHODS:
        raise ValueError(f"{text!r} names no path; write `{glob.upper()} *`")
    if not glob.startswith(("/", "*")):
        raise ValueError(f"{text!r}: a path begins with `/` or `*`; write `/{glob}` or `*{glob}`")
    if "?" in glob or "#" in glob:
        raise ValueError(f"{text!r}: paths are compared without their query; cut the glob before `?` or `#`")
    return Filter(text=text, methods=methods, everything=not glob.strip("*"), matches_path=_compile(glob))


def selects(include: Sequence[Filter], exclude: Sequence[Filter], event: AuditEvent) -> bool:
    """Whether a sink with these filters gets *event*: exclude wins, and an empty include takes everything."""
    if not include and not exclude:
        return True
    method, path = _upper(event.method), _bare(event.path)
    if any(one.matches(method, path) for one in exclude):
        return False
    return not include or any(one.matches(method, path) for one in include)


def _upper(method: Any) -> str | None:
    return method.upper() if isinstance(method, str) else None


def _bare(path: Any) -> str | None:
    return path.partition("?")[0].partition("#")[0] if isinstance(path, str) else None


def _compile(glob: str) -> Callable[[str], bool]:
    """Match by searching the pieces between stars in turn.

    A regular expression with several ``.*`` takes time in a power of the path's length, and others choose the paths.
    """
    first, *rest = glob.split("*")
    if not rest:
        return lambda path: path == first
    *middle, last = rest
    pieces = [piece for piece in middle if piece]

    def matches(path: str) -> bool:
        at, end = len(first), len(path) - len(last)
        if end < at or not path.startswith(first) or not path.endswith(last):
            return False
        for piece in pieces:
            found = path.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True

    return matches
