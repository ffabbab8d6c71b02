"""What was read and is not settled yet, and how far the cursor may move. Pure."""

from collections.abc import Iterable
from itertools import takewhile

from forwarder.journal import DeadLetter, StoredEvent


class Window:
    """Events between the cursor and the last one that was read.

    An event is *settled* once it was acknowledged, left out by the filters, or became a dead letter. The cursor stands
    before the first event that is not settled: what was acknowledged beyond it is remembered here, and at a stop in the
    journal, so only a crash sends it again.

    :param beyond: numbers above *cursor* that were settled in an earlier life
    """

    def __init__(self, cursor: int, beyond: Iterable[int] = ()) -> None:
        self.cursor = cursor
        self.last_read = cursor
        self._open: dict[int, StoredEvent] = {}  # in the order of their numbers, as they were read
        self._settled: set[int] = {seq for seq in beyond if seq > cursor}
        self._dead: dict[int, DeadLetter] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, stored: StoredEvent) -> None:
        """Note an event that was just read; their numbers grow."""
        self._open[stored.seq] = stored
        self.last_read = stored.seq

    def stored(self, seq: int) -> StoredEvent:
        """The event with this number, which the cursor has not passed."""
        return self._open[seq]

    def is_settled(self, seq: int) -> bool:
        """Whether nothing is left to do about this event beyond the cursor."""
        return seq in self._settled

    def beyond(self) -> list[int]:
        """What is settled beyond the cursor, less the dead letters, which are in no journal yet."""
        return sorted(self._settled - self._dead.keys())

    def settle(self, seqs: Iterable[int]) -> None:
        """Note that nothing is left to do about these."""
        self._settled.update(seqs)

    def bury(self, letter: DeadLetter) -> None:
        """Note an event as a dead letter; it goes into the journal together with the cursor that passes it."""
        self._dead[letter.seq] = letter
        self._settled.add(letter.seq)

    def advance(self) -> int:
        """Move the cursor over everything that is settled, and return it."""
        # In one walk: looking for the first of a dict whose beginning was deleted takes longer with each deletion.
        passed = list(takewhile(self._settled.__contains__, self._open))
        for seq in passed:
            del self._open[seq]
            self.cursor = seq
        self._settled.difference_update(passed)
        return self.cursor

    def dead_up_to(self, cursor: int) -> list[DeadLetter]:
        """The dead letters that a commit of *cursor* has to carry."""
        return [letter for seq, letter in sorted(self._dead.items()) if seq <= cursor]

    def forget_dead(self, letters: Iterable[DeadLetter]) -> None:
        """Let go of dead letters that are in the journal now."""
        for letter in letters:
            del self._dead[letter.seq]
