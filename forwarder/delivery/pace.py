"""How many batches a destination gets at once: fewer when it groans, more again while it does not. Pure."""

GENTLER = 0.5
"""What is left of the batches in flight after the destination was busy."""


class Pace:
    """Additive increase, multiplicative decrease of batches in flight, as TCP finds its window (RFC 5681, section 3).

    It begins at *most*, halves when the destination says that it is busy or near its limit, and grows by one batch for
    each whole window of batches that went well. Answers to what was on its way when it halved are about the old pace
    and do not halve it again.

    :param most: the sink's own limit, which is never exceeded
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._window = float(most)
        self._stale = 0

    @property
    def limit(self) -> int:
        """How many batches may be in flight now; at least one."""
        return max(1, int(self._window))

    def answered(self, *, strained: bool, in_flight: int) -> None:
        """Take one answer: whether the destination was *strained* by it, and how many batches are on their way."""
        old, self._stale = self._stale > 0, max(0, self._stale - 1)
        if strained and not old:
            self._window = max(1.0, self._window * GENTLER)
            self._stale = in_flight
        elif not strained:
            self._window = min(float(self._most), self._window + 1 / self._window)
