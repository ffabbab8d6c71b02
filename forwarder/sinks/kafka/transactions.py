"""Exactly once: each batch and our position in one transaction, and nobody else in our place.

What is read at the start, in this order: whose position it is and who wrote it, without disturbing anybody; then, after
the brokers have fenced every earlier owner of our transactional id and ended what it had begun, the position itself.
Then it is written again with us as its owner. From that on, an owner that is not us means that another process has
taken our place: it is told so once and for all, since a second try would take the place back.

A commit without an answer is never guessed about: the next start reads what became of it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from aiokafka import errors

from forwarder.errors import Misconfigured
from forwarder.sinks.base import Item, Position, SinkContext
from forwarder.sinks.kafka.checkpoint import PARTITION, Checkpoint, last_checkpoint
from forwarder.sinks.kafka.packing import Packer, TooLarge
from forwarder.sinks.kafka.producer import Parcel, Producer
from forwarder.sinks.kafka.reading import Reader
from forwarder.sinks.kafka.records import identity_of
from forwarder.sinks.kafka.rollback import Rollbacks
from forwarder.sinks.kafka.settings import KafkaSettings

_LONGEST = 900.0
"""Seconds that a transaction may last unless the brokers are told otherwise (``transaction.max.timeout.ms``)."""


class Transactions:
    """The transactions of one sink; it outlives the producers that carry them."""

    def __init__(self, settings: KafkaSettings, context: SinkContext) -> None:
        self._topic = settings.checkpoints or ""
        self._journal = context.journal_id
        self.transactional_id = settings.transactional_id or f"persona-siem-forwarder-{self._journal}-{context.name}"
        # By name, not by the journal: a new journal in the place of a lost one shall find out.
        self._key = (settings.transactional_id or f"{settings.topic}/{context.name}").encode()
        self._name = context.name
        self._owner = uuid4().hex
        self._owned = False
        self._displaced = False
        self._present = Checkpoint(self._journal, self._owner)
        self._reader: Reader | None = None
        self._had = Rollbacks(settings.topic, self._journal)
        # A batch that takes as long as it may is tried again after that, before the brokers give the transaction up.
        self.timeout_ms = int(min(settings.timeout * 2, _LONGEST) * 1000)

    @property
    def hidden(self) -> str | None:
        """Where an open transaction hid what we wanted to read, when it did not end in time."""
        return None if self._reader is None else self._reader.hidden

    def raise_if_displaced(self) -> None:
        """Stay away once another process has taken our place.

        :raises Misconfigured: it has
        """
        if self._displaced:
            raise Misconfigured(
                f"another process has taken our place (transactional id {self.transactional_id}): two run on copies of "
                "one journal. This one delivers nothing any more; end one of them, then start the other again"
            )

    async def begin(self, producer: Producer, deadline: float) -> Position | None:
        """Take our place, and return the position that the topic is known to have reached, None if nothing is.

        :raises Misconfigured: the place is another journal's, or was taken from us
        :raises KafkaError: the brokers do not let us
        """
        reader = self._reader = Reader(producer.client)
        self._check(await last_checkpoint(reader, self._topic, self._key, fenced=False))
        await producer.start()
        found = await last_checkpoint(reader, self._topic, self._key, fenced=True)
        self._check(found)
        self._present = replace(found or self._present, owner=self._owner)
        await self._had.load(reader, self._present.rollbacks)
        await self.commit(producer, [], self._present, deadline)
        self._owned = True
        return None if found is None else Position(found.seq or 0, found.last_id)

    async def send(self, producer: Producer, packer: Packer, batch: Sequence[Item], deadline: float) -> None:
        """Return when every event of *batch* is committed, together with our position.

        What the topic is known to have since before the journal was rolled back is left out. A transaction ends before
        an event that is too large.

        :raises TooLarge: all before an event are in; it was not sent, nor was what follows
        :raises Failure: as the contract of a sink says; after it the producer is of no use any more
        """
        new = [place for place, item in enumerate(batch) if not self._has(item)]
        items = [batch[place] for place in new]
        partitions = await packer.partitions(items, deadline)
        places, at = [*new, len(batch)], 0  # what lies between two new ones is in already
        while True:
            try:
                parcels, stop = packer.pack(items, partitions, at)
            except TooLarge as error:
                raise TooLarge(str(error), places[at]) from None
            last = batch[places[stop] - 1]
            position = replace(self._present, seq=last.seq, last_id=last.event.id)
            try:
                await self.commit(producer, parcels, position, deadline)
            except (errors.KafkaError, TimeoutError) as error:
                cause = error if isinstance(error, errors.KafkaError) else None
                raise packer.verdict(parcels, cause, accepted=places[at], unanswered=True) from error
            at = stop
            if at == len(items):
                return

    def _has(self, item: Item) -> bool:
        return bool(len(self._had)) and identity_of(item.event) in self._had

    async def commit(
        self, producer: Producer, parcels: Sequence[Parcel], position: Checkpoint, deadline: float
    ) -> None:
        """Send *parcels* and *position* in one transaction.

        :raises TimeoutError: no answer by *deadline* (of the loop's clock)
        :raises KafkaError: the brokers did not commit it, as far as we know
        """
        await producer.begin(deadline)
        record = producer.new_parcel(self._topic, PARTITION)
        record.batch.append(timestamp=None, key=self._key, value=position.encode(), headers=[])
        sent = [*parcels, record]
        await producer.deliver(sent, deadline)
        if not all(parcel.delivered for parcel in sent):
            raise next((parcel.error for parcel in sent if parcel.error is not None), TimeoutError())
        await producer.commit(deadline)
        self._present = position

    async def rolled_back(self, producer: Producer, known: int, deadline: float) -> None:
        """Find out what the topic has of what was given out after *known*, and keep that in our position.

        :raises KafkaError: it cannot be read, or not be kept
        """
        self._reader = Reader(producer.client)
        stretch = await self._had.find(self._reader, known, self._present.highest)
        await self.commit(producer, [], self._present.after_rollback(stretch), deadline)

    async def look(self, client: Any) -> str | None:
        """Read the position without taking the place; returns a warning if it is another journal's.

        :raises KafkaError: the brokers do not let us
        """
        found = await last_checkpoint(Reader(client), self._topic, self._key, fenced=False)
        if found is None or found.journal == self._journal:
            return None
        return f"topic {self._topic} holds the position of sink {self._name} of journal {found.journal}"

    def _check(self, found: Checkpoint | None) -> None:
        if found is None:
            return
        if found.journal != self._journal:
            raise Misconfigured(
                f"topic {self._topic} holds the position of sink {self._name} of another journal ({found.journal}; "
                f"ours is {self._journal}). If that one is lost, set TRANSACTIONAL_ID to a new name: everything that "
                "ours collects is sent. If it lives, give this sink a TRANSACTIONAL_ID or a CHECKPOINT_TOPIC of its own"
            )
        if self._owned and found.owner != self._owner:
            self._displaced = True
            self.raise_if_displaced()
