"""Which of several collectors gets the next request, and which are left out for a while. Pure."""

from collections.abc import Sequence

LEFT_OUT = 30.0
"""Seconds for which a collector that failed gets nothing while another one is there."""


class Rota:
    """Takes *count* collectors in turn. Times are seconds of any clock that does not jump."""

    def __init__(self, count: int) -> None:
        self._until = [float("-inf")] * count
        self._next = 0

    def order(self, now: float) -> Sequence[int]:
        """Say whom to ask, best first: those that work in turn, then those that failed, the longest ago first."""
        count = len(self._until)
        turn = [(self._next + step) % count for step in range(count)]
        self._next = (self._next + 1) % count
        well = [one for one in turn if self._until[one] <= now]
        ill = [one for one in turn if self._until[one] > now]
        return [*well, *sorted(ill, key=self._until.__getitem__)]

    def well(self, now: float) -> Sequence[int]:
        """Those that are not left out."""
        return [one for one, until in enumerate(self._until) if until <= now]

    def failed(self, which: int, now: float) -> None:
        """Leave *which* out for a while."""
        self._until[which] = now + LEFT_OUT

    def worked(self, which: int) -> None:
        """Take *which* in again."""
        self._until[which] = float("-inf")
