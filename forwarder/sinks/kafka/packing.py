"""Filling record batches with events, and finding those that are too large for the topic before anything is sent.

We fill the batches ourselves, so we know which events share one, which is what a broker takes or refuses whole.
"""

from collections.abc import Sequence
from typing import Any

from forwarder.errors import Failure, Refused
from forwarder.sinks.base import Item
from forwarder.sinks.kafka.failures import TOO_LARGE, failure
from forwarder.sinks.kafka.producer import Parcel, Producer
from forwarder.sinks.kafka.records import headers_of, key_of, place_of, timestamp_of
from forwarder.sinks.kafka.settings import KafkaSettings
from forwarder.sinks.kafka.topic import Topic


class TooLarge(Exception):
    """The event at place *at* fits no batch. Nothing of it was sent, so the producer is as good as before.

    The text says how large it is and what bounds it.
    """

    def __init__(self, why: str, at: int) -> None:
        super().__init__(why)
        self.at = at


class Packer:
    """Packs the events of one sink.

    :ivar one_by_one: whether each event goes alone, to find out which one is too large where we may not read the limit
    :ivar topic: what the brokers said of the topic when they were asked last
    """

    topic: Topic
    _producer: Producer

    def __init__(self, settings: KafkaSettings, journal: str | None) -> None:
        """Pack as *settings* say; with a *journal*, each record says under which number that gave it out."""
        self.one_by_one = False
        self._settings = settings
        self._journal = journal
        self._compressed = settings.compression != "none"

    def use(self, producer: Producer, topic: Topic) -> None:
        """Pack for *producer* and *topic* from now on."""
        self._producer, self.topic = producer, topic
        if topic.limit_known:
            self.one_by_one = False

    async def partitions(self, items: Sequence[Item], deadline: float) -> list[int]:
        """Choose a partition for each event.

        :raises Retryable: they are not known by *deadline*
        """
        if not items:
            return []
        keys = [key_of(item.event, self._settings.message_key) for item in items]
        return await self._producer.choose(self.topic.name, keys, deadline)

    def pack(self, items: Sequence[Item], partitions: Sequence[int], first: int) -> tuple[list[Parcel], int]:
        """Fill batches with the events from place *first* on, in the order of their first events.

        Returns them, and the place after their last event: that of the next one that is too large, or the end.

        :raises TooLarge: that is the first one
        """
        parcels: list[Parcel] = []
        filling: dict[int, Parcel] = {}
        stop = min(first + 1, len(items)) if self.one_by_one else len(items)
        for place in range(first, stop):
            record, partition = self._record(items[place]), partitions[place]
            parcel = filling.get(partition)
            if parcel is None or parcel.batch.append(**record) is None:
                parcel = self._producer.new_parcel(self.topic.name, partition)
                parcel.batch.append(**record)  # the first record of a batch fits whatever its size
                if parcel.size > self.topic.limit and (why := self._excess(parcel.size, record)):
                    if place == first:
                        raise TooLarge(why, place)
                    return parcels, place
                parcels.append(parcel)
                filling[partition] = parcel
            parcel.places.append(place)
        return parcels, stop

    def verdict(
        self, parcels: Sequence[Parcel], error: BaseException | None, *, accepted: int, unanswered: bool
    ) -> Failure:
        """Say what *error* means, with which *parcels* were not taken; None is an answer that stayed away.

        One that is for the size refuses the event if it was alone. Else the limit was lowered since we read it, or we
        may not read it: from now on events go one by one.
        """
        if isinstance(error, TOO_LARGE) and parcels:
            if len(parcels) == len(parcels[0].places) == 1:
                return Refused(self._explain(parcels[0].size), at=accepted)
            self.one_by_one = True
        return failure(error, accepted=accepted, unanswered=unanswered)

    def _record(self, item: Item) -> dict[str, Any]:
        headers = headers_of(item.event, self._settings.format)
        if self._journal is not None:
            headers += place_of(item.seq, self._journal)
        return {
            "key": key_of(item.event, self._settings.message_key),
            "value": item.body,
            "timestamp": timestamp_of(item.event),
            "headers": headers,
        }

    def _excess(self, plain: int, record: dict[str, Any]) -> str | None:
        """Say what is too large about *record*, or None if compression makes it small enough."""
        if not self._compressed:
            return self._explain(plain)
        size = self._producer.finished_size(**record)
        return self._explain(size) if size > self.topic.limit else None

    def _explain(self, size: int) -> str:
        form = f"{size} bytes as a record{', compressed' if self._compressed else ''}"
        limit = f"takes {self.topic.limit} (max.message.bytes)"
        if not self.topic.limit_known:
            limit = f"is taken to take {self.topic.limit}, since we may not read its max.message.bytes"
        return f"the event is {form}; topic {self.topic.name} {limit}"
