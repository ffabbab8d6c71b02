"""Our position, as a record in a compacted topic: written in the transaction of the events that it speaks of.

Group offsets would expire, so the record is one of our own. All positions are in partition 0, whatever else the topic
has: by key, they would move when partitions are added.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from forwarder.errors import Misconfigured
from forwarder.sinks.kafka.reading import Reader

PARTITION = 0

_STEP = 1_000
"""Offsets that are read first, from the end back: ours is nearly always there. Each step back is 10 times longer."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What lost states of the journal had given out after *after*, up to *until*, and where the topic holds it.

    :param spans: partition to first offset and the one after the last
    """

    after: int
    until: int
    spans: dict[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a sink stands.

    :param journal: id of the journal whose numbers these are
    :param owner: the process that wrote it; another one there means that it has taken our place
    :param seq: the last sequence number that is in, None before the first
    :param last_id: the id of that event, by which a journal knows it for one of its own; None after a rollback
    :param rollbacks: what was given out by states of the journal that it no longer knows of
    """

    journal: str
    owner: str
    seq: int | None = None
    last_id: str | None = None
    rollbacks: tuple[Stretch, ...] = field(default=())

    def encode(self) -> bytes:
        """Write it as the record's value."""
        stretches = [
            {
                "after": one.after,
                "until": one.until,
                "spans": {str(partition): span for partition, span in one.spans.items()},
            }
            for one in self.rollbacks
        ]
        return orjson.dumps(
            {
                "version": 1,
                "journal": self.journal,
                "owner": self.owner,
                "sequence": self.seq,
                "id": self.last_id,
                "rollbacks": stretches,
            }
        )

    @property
    def highest(self) -> int:
        """The greatest sequence number that a record of this journal can bear."""
        return max(self.seq or 0, *(one.until for one in self.rollbacks), 0)

    def after_rollback(self, stretch: Stretch) -> "Checkpoint":
        """Go back to where *stretch* begins, and add it; what it holds of earlier ones is not kept twice.

        The old position would be taken for a place in the journal that has taken the lost one's, once that has given
        out as many numbers.
        """
        kept = tuple(one for one in self.rollbacks if one.after < stretch.after)
        return replace(self, seq=stretch.after, last_id=None, rollbacks=(*kept, stretch))


def decode(value: bytes | None, topic: str) -> Checkpoint:
    """Read what :meth:`Checkpoint.encode` wrote.

    :raises Misconfigured: somebody else wrote it
    """
    try:
        found: Any = orjson.loads(value or b"")
        if found["version"] != 1:
            raise Misconfigured(f"topic {topic} holds a position that a newer version of this program wrote")
        stretches = tuple(
            Stretch(
                int(one["after"]),
                int(one["until"]),
                {int(partition): (int(first), int(stop)) for partition, (first, stop) in one["spans"].items()},
            )
            for one in found["rollbacks"]
        )
        return Checkpoint(str(found["journal"]), str(found["owner"]), found["sequence"], found["id"], stretches)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"topic {topic} holds a record under our key that is no position of ours; change CHECKPOINT_TOPIC"
        raise Misconfigured(reason) from error


async def last_checkpoint(reader: Reader, topic: str, key: bytes, *, fenced: bool) -> Checkpoint | None:
    """Find the last committed position under *key*.

    Once the writers of this key are *fenced*, nothing of theirs is open, and the last one is found even if somebody
    else's transaction hides it for a while. Before that, what is open may be theirs, and is not waited for.

    :raises KafkaError: it cannot be read
    :raises Misconfigured: it is none of ours
    """
    first, end = await reader.bounds(topic, PARTITION, stable=not fenced)
    if first == end:
        await reader.ask(topic, PARTITION, first)
    step, stop = _STEP, end
    while True:
        start = max(first, stop - step)
        found = None
        async for record in reader.read(topic, PARTITION, start, stop):
            if record.key == key:
                found = record
        if found is not None:
            return decode(found.value, topic)
        if start == first:
            return None
        stop, step = start, step * 10
