"""The largest body that a collector takes, learnt from what it refused. Pure."""

SMALLEST = 16 << 10
"""Bytes; below this no limit is believed."""

_MOST_SUSPECTS = 100


class BodyLimit:
    """Shrinks when a body was too large, so that the next ones are not refused too.

    A 413 says so plainly. Splunk Cloud says of a body that is too large that its *first event* is malformed (code 6,
    event 0), so such an answer is only a suspicion, until that event is taken in a smaller body.

    :ivar bytes: most bytes of one body
    """

    def __init__(self, most: int) -> None:
        self.bytes = most
        self._suspects: dict[int, int] = {}  # first event of a refused body (its number) -> the body's size

    def too_large(self, size: int) -> None:
        """Take it that a body of *size* bytes was too large."""
        self.bytes = min(self.bytes, max(SMALLEST, size // 2))

    def suspect(self, first: int, size: int) -> None:
        """Note that a body of *size* bytes was refused for its *first* event, which may be good."""
        if len(self._suspects) >= _MOST_SUSPECTS:
            self._suspects.clear()  # they only save requests
        self._suspects[first] = max(size, self._suspects.get(first, 0))

    def taken(self, first: int, size: int) -> None:
        """Note that a body of *size* bytes that begins with event *first* was taken."""
        refused = self._suspects.pop(first, 0)
        if refused > size:
            self.too_large(refused)
