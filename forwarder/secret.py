"""Secrets: they can be used, and cannot be shown."""

from collections.abc import Callable


class Secret:
    """A secret setting. ``str``, ``repr``, formatting and pickling never show it; :meth:`reveal` does.

    One that lives in a file is read again whenever the file changes, so a rotated Kubernetes secret needs no restart:
    callers reveal it each time that they connect or send, and keep no copy.
    """

    __slots__ = ("_read",)

    def __init__(self, value: str | Callable[[], str]) -> None:
        self._read: Callable[[], str] = value if callable(value) else lambda: value

    def reveal(self) -> str:
        """The secret as it is now."""
        return self._read()

    def __str__(self) -> str:
        return "********"

    def __repr__(self) -> str:
        return "Secret('********')"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not serialized")
