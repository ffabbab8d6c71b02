"""What becomes of the objects of a request: accepted, indexed, acknowledged, or lost in a crash. No I/O, no clock."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

KNOWN_KEYS = {"time", "host", "source", "sourcetype", "index", "event", "fields"}

Envelope = dict[str, Any]


@dataclass
class Channel:
    """Acknowledgements of one channel, in memory: counted from 0, known until they were told once (measured)."""

    next_id: int = 0
    indexed: set[int] = field(default_factory=set)


@dataclass
class Accepted:
    """A request's objects in Splunk's queue: answered with HTTP 200, not on its disk yet."""

    objects: list[tuple[str, Envelope]]
    channel: str | None
    ack_id: int | None
    due: float


@dataclass
class Outcome:
    """What a body came to: the code, the number that the reply names, and how many objects were accepted."""

    code: int
    number: int | None
    accepted: list[tuple[str, Envelope]]


class Indexer:
    """One indexer. ``indexed`` is its disk and outlives a crash; all else is memory."""

    def __init__(self) -> None:
        self.indexes = {"main", "audit"}
        self.default_index = "main"
        self.refuse: Callable[[str], bool] = lambda text: False
        """Whether this object, as it was written, is malformed to Splunk."""
        self.marks: dict[str, int] = {}
        """Objects that hold the mark are refused with the code, at their place."""
        self.largest_event = 5_000_000
        """``maxEventSize`` (inputs.conf.spec): a larger event is an error of its object."""
        self.on_index: Callable[[Envelope], None] = lambda envelope: None
        self.indexed: list[Envelope] = []
        self.texts: list[str] = []
        self.queue: list[Accepted] = []
        self.channels: dict[str, Channel] = {}

    def read(self, body: bytes) -> Outcome:
        """Go through the objects of a body up to the first bad one. What is before it counts (measured)."""
        accepted: list[tuple[str, Envelope]] = []
        for number, (text, found) in enumerate(_objects(body)):
            if not isinstance(found, dict) or self.refuse(text) or len(text.encode()) > self.largest_event:
                return Outcome(6, number, accepted)
            # Measured: HTTP 200, and an object with an unknown key and all that follow it are gone; if it is the only
            # one, code 5. One with `fields` and no `event` is skipped alone, and its index is looked at.
            if not set(found) <= KNOWN_KEYS:
                return Outcome(0, None, accepted) if accepted else Outcome(5, None, accepted)
            marked = next((code for mark, code in self.marks.items() if mark in text), None)
            if marked is not None:
                return Outcome(marked, number, accepted)
            skipped = "fields" in found and "event" not in found
            code = self._fault(found, skipped=skipped)
            if code is not None:
                return Outcome(code, number + 1 if code == 7 else number, accepted)  # 7 names the next one (measured)
            if not skipped:
                accepted.append((text, found))
        return Outcome(0, None, accepted)

    def accept(self, objects: list[tuple[str, Envelope]], channel: str | None, due: float) -> int | None:
        """Queue *objects* until *due*; with a channel, give the id under which that will be acknowledged."""
        ack_id = None
        if channel is not None:
            known = self.channels.setdefault(channel, Channel())
            ack_id, known.next_id = known.next_id, known.next_id + 1
        self.queue.append(Accepted(objects, channel, ack_id, due))
        return ack_id

    def index(self, now: float) -> None:
        """Write to disk what is due, and know its acknowledgements."""
        for one in [one for one in self.queue if one.due <= now]:
            self.queue.remove(one)
            for text, envelope in one.objects:
                self.texts.append(text)
                self.indexed.append(envelope)
                self.on_index(envelope)
            if one.channel is not None and one.ack_id is not None:
                self.channels[one.channel].indexed.add(one.ack_id)

    def acknowledge(self, channel: str, ids: list[int]) -> dict[str, bool]:
        """Tell what is indexed: ``true`` once, ``false`` of what is unknown, on whatever channel (measured)."""
        known = self.channels.get(channel, Channel())
        told = {str(one): one in known.indexed for one in ids}
        known.indexed.difference_update(ids)
        return told

    def crash(self) -> None:
        """Lose what is memory: the queue, and every channel, so that ids begin at 0 again."""
        self.queue.clear()
        self.channels.clear()

    def _fault(self, envelope: Envelope, *, skipped: bool) -> int | None:
        if "event" not in envelope and not skipped:
            return 12
        if envelope.get("event") == "":
            return 13
        fields = envelope.get("fields", {})
        if not isinstance(fields, dict) or not all(isinstance(value, str | list) for value in fields.values()):
            return 15
        if envelope.get("index", self.default_index) not in self.indexes:
            return 7
        return None


def _objects(body: bytes) -> Iterator[tuple[str, Any]]:
    """Give each object of a body as it was written and as it is; the last is None where the rest cannot be read."""
    text = body.decode()
    position = len(text) - len(text.lstrip())
    while position < len(text):
        try:
            found, end = json.JSONDecoder().raw_decode(text, position)
        except json.JSONDecodeError:
            yield text[position:], None
            return
        yield text[position:end], found
        position = end + len(text[end:]) - len(text[end:].lstrip())
