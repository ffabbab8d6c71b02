"""Which of several receivers is next: pure."""


class Failover:
    """The order of *count* receivers, the first of which is preferred. Times are seconds of any one clock.

    A receiver that failed while it was in use is tried after the others for one *interval*: it may take connections
    and nothing else, and would be chosen for ever. Once per *interval* the first is looked at again.
    """

    def __init__(self, count: int, interval: float) -> None:
        self._count = count
        self._interval = interval
        self._blamed_until = [0.0] * count
        self._look_at = 0.0

    def order(self, now: float) -> list[int]:
        """The receivers in the order in which they are to be tried."""
        return sorted(range(self._count), key=lambda one: (self._blamed_until[one] > now, one))

    def blame(self, one: int, now: float) -> None:
        """Note that receiver *one* failed while it was in use."""
        self._blamed_until[one] = now + self._interval

    def chosen(self, now: float) -> None:
        """Note that a receiver was chosen: the first is not looked at before the interval is over."""
        self._look_at = now + self._interval

    def is_due(self, one: int, now: float) -> bool:
        """Whether, with receiver *one* in use, the first is to be looked at again; if so, not before one interval."""
        if one == 0 or now < self._look_at:
            return False
        self.chosen(now)
        return True
