"""At least once: each record batch for itself, several sends side by side, each key's events in their order."""

from collections.abc import Sequence

from forwarder.sinks.base import Item
from forwarder.sinks.kafka.failures import is_doubtful
from forwarder.sinks.kafka.packing import Packer, TooLarge
from forwarder.sinks.kafka.producer import Parcel, Producer

IN_FLIGHT = 5
"""Batches that are sent side by side."""


async def send_batches(producer: Producer, packer: Packer, items: Sequence[Item], deadline: float) -> None:
    """Return when all in-sync replicas have every event of *items*.

    :raises TurnedAway: an event before these is being refused
    :raises TooLarge: all before an event are in; it was not sent, nor was what follows
    :raises Failure: as the contract of a sink says; after it the producer is of no use any more
    """
    partitions = await packer.partitions(items, deadline)
    at = 0
    while at < len(items):
        try:
            parcels, stop = packer.pack(items, partitions, at)
        except TooLarge:
            producer.go_on()
            raise
        # Where an event is going to be refused, what follows it comes again: no other send may overtake that.
        await producer.deliver(parcels, deadline, last=stop < len(items) and not packer.one_by_one)
        _judge(packer, parcels)
        at = stop


def _judge(packer: Packer, parcels: Sequence[Parcel]) -> None:
    """Raise if any of *parcels*, which hold a run of events, all before which are in, was not taken."""
    missing = [parcel for parcel in parcels if not parcel.delivered]
    if not missing:
        return
    accepted = missing[0].places[0]  # parcels are in the order of their first events
    error = next((parcel.error for parcel in missing if parcel.error is not None), None)
    unanswered = any(
        parcel.delivered or (parcel.handed_over and is_doubtful(parcel.error))
        for parcel in parcels
        if parcel.places[-1] >= accepted
    )
    raise packer.verdict(parcels, error, accepted=accepted, unanswered=unanswered) from error
