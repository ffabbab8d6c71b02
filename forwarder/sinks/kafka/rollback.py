"""What the topic holds that the journal does not know of, after it was put back from a backup.

The journal collects those events again and gives them out under new numbers; what tells that they are in already is the
topic itself, whose records bear the numbers that they were given out under. Within a partition these grow, so the
records in question are the last ones: they are read from the end back.
"""

from collections.abc import Iterable

from forwarder.sinks.kafka.checkpoint import Stretch
from forwarder.sinks.kafka.reading import Reader
from forwarder.sinks.kafka.records import read_place

_STEP = 2_000
"""Offsets that are read first; each step back doubles it."""


class Rollbacks:
    """The identities of such events. What was read stays, so that a search which was cut short is not begun anew."""

    def __init__(self, topic: str, journal: str) -> None:
        self._topic = topic
        self._journal = journal
        self._known: dict[tuple[int, int], set[bytes]] = {}
        self._read: dict[tuple[int, int, int], int] = {}
        self._search: _Search | None = None

    def __contains__(self, identity: bytes) -> bool:
        return any(identity in known for known in self._known.values())

    def __len__(self) -> int:
        return sum(map(len, self._known.values()))

    async def find(self, reader: Reader, after: int, until: int) -> Stretch:
        """Search the topic for what was given out after *after*, up to *until*.

        :raises KafkaError: it cannot be read
        """
        search = self._search
        if search is None or (search.after, search.until) != (after, until):
            search = self._search = _Search(after, until)
        for partition in reader.partitions(self._topic):
            if partition not in search.done:
                await self._search_back(reader, partition, search)
                search.done.add(partition)
        self._search = None
        self._known[after, until] = search.known
        self._read |= {(after, until, partition): stop for partition, (_, stop) in search.spans.items()}
        return Stretch(after, until, search.spans)

    async def load(self, reader: Reader, stretches: Iterable[Stretch]) -> None:
        """Read again what earlier processes had found.

        :raises KafkaError: it cannot be read
        """
        wanted = {(one.after, one.until): one for one in stretches}
        for gone in self._known.keys() - wanted.keys():
            del self._known[gone]
            self._read = {read: at for read, at in self._read.items() if read[:2] != gone}
        for place, stretch in wanted.items():
            known = self._known.setdefault(place, set())
            for partition, (start, stop) in stretch.spans.items():
                first, _ = await reader.bounds(self._topic, partition)
                begin = max(first, start, self._read.get((*place, partition), 0))
                async for record in reader.read(self._topic, partition, begin, stop):
                    seq, identity = read_place(record.headers, self._journal) or (0, b"")
                    if stretch.after < seq <= stretch.until:
                        known.add(identity)
                    self._read[(*place, partition)] = record.offset + 1

    async def _search_back(self, reader: Reader, partition: int, search: "_Search") -> None:
        first, end = await reader.bounds(self._topic, partition)
        step, stop = search.reached.get(partition, (_STEP, end))
        while stop > first:
            start, older = max(first, stop - step), False
            async for record in reader.read(self._topic, partition, start, stop):
                seq, identity = read_place(record.headers, self._journal) or (None, b"")
                if seq is not None and seq <= search.after:
                    older = True
                elif seq is not None and seq <= search.until:
                    search.add(partition, record.offset, identity)
            step, stop = search.reached[partition] = step * 2, start
            if older:
                return


class _Search:
    def __init__(self, after: int, until: int) -> None:
        self.after = after
        self.until = until
        self.known: set[bytes] = set()
        self.spans: dict[int, tuple[int, int]] = {}
        self.reached: dict[int, tuple[int, int]] = {}  # the next step, and before which offset it ends
        self.done: set[int] = set()

    def add(self, partition: int, offset: int, identity: bytes) -> None:
        self.known.add(identity)
        first, stop = self.spans.get(partition, (offset, offset + 1))
        self.spans[partition] = (min(first, offset), max(stop, offset + 1))
