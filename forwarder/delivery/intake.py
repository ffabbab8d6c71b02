"""From what the journal keeps to what a sink sends: read it, ask the filters, format it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from forwarder.delivery.filters import parse_filter, selects
from forwarder.formats import FORMATS
from forwarder.journal import StoredEvent
from forwarder.sinks.base import Item, SinkSettings


@dataclass(frozen=True, slots=True)
class Unsendable:
    """An event that cannot be read or written in the sink's format: a dead letter with this reason."""

    seq: int
    reason: str


class Intake:
    """The filters and the format of one sink.

    :raises ValueError: a filter that cannot be read
    :raises KeyError: a format that does not exist; the settings have checked both
    """

    def __init__(self, settings: SinkSettings) -> None:
        self._include = [parse_filter(text) for text in settings.include]
        self._exclude = [parse_filter(text) for text in settings.exclude]
        self._form = settings.format
        self._format = FORMATS[settings.format]

    def take(self, stored: Sequence[StoredEvent]) -> Iterator[Item | Unsendable | None]:
        """Give for each event what is to be done with it; None is an event that the filters leave out."""
        for one in stored:
            try:
                event = one.event()
                if selects(self._include, self._exclude, event):
                    yield Item(one.seq, event, self._format(event))
                else:
                    yield None
            except Exception as error:  # noqa: BLE001 # one odd event must not hold up its neighbours, whatever it raises
                # The type alone: the text of an error may hold what the event held.
                yield Unsendable(one.seq, f"it cannot be written as {self._form}: {type(error).__name__}")
