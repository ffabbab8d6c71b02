"""The sink: writes messages, sends them over the connection in use, and changes that when it fails."""

import asyncio
import socket
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from forwarder.errors import Failure, Misconfigured, Refused, Retryable
from forwarder.sinks.base import Item, Sink, SinkContext
from forwarder.sinks.syslog.dial import Line, dial
from forwarder.sinks.syslog.failover import Failover
from forwarder.sinks.syslog.message import HOSTNAME_LENGTH, Header, header_field, write_message
from forwarder.sinks.syslog.relp import Unfinished
from forwarder.sinks.syslog.settings import SyslogSettings
from forwarder.sinks.syslog.shrinking import shrink
from forwarder.sinks.syslog.stream import IN_FLIGHT

_PROMISES = {
    "udp": "best effort",
    "tcp": "best effort: received by the peer's kernel and the connection lived on for a settle time",
    "relp": "in the receiver's queue",
}


class SyslogSink(Sink[SyslogSettings]):
    """Writes batches to one receiver, or to one of several that stand in for each other."""

    kind: ClassVar[str] = "syslog"
    settings_model = SyslogSettings

    def __init__(self, settings: SyslogSettings, context: SinkContext) -> None:
        super().__init__(settings, context)
        self._header = Header(
            facility=settings.facility,
            hostname=settings.hostname or header_field(socket.gethostname(), HOSTNAME_LENGTH),
            app_name=settings.app_name,
            structured_data_id=f"persona@{settings.private_enterprise_number}",
            rfc=settings.rfc,
            severities=settings.severities,
            byte_order_mark=settings.byte_order_mark,
            tabs=settings.format.startswith("leef"),
        )
        self._failover = Failover(len(settings.url), settings.fall_back_interval)
        self._line: Line | None = None
        self._at = 0
        self._users: Counter[Line] = Counter()
        self._look: asyncio.Task[Line | None] | None = None
        self._warnings: tuple[str, ...] = ()
        self._ahead: set[int] = set()
        """RELP: what the receiver acknowledged beyond something that it did not; it is not sent again."""

    @property
    def max_in_flight(self) -> int:
        """Batches settle side by side over TCP and TLS; RELP has one, so that a crash repeats at most a window."""
        return IN_FLIGHT if self.settings.scheme in {"tcp", "tls"} else 1

    @property
    def longest_send(self) -> float:
        """The time-out is the peer's; the settle time comes on top."""
        return self.settings.timeout + (self.settings.settle if self.settings.scheme in {"tcp", "tls"} else 0.0)

    @property
    def warnings(self) -> Sequence[str]:
        """That another receiver than the first is in use, and why."""
        return self._warnings

    @property
    def promise(self) -> str:
        """What can be known: over RELP what is acknowledged, else what can be seen without acknowledgements."""
        return _PROMISES[{"tls": "tcp", "relp+tls": "relp"}.get(self.settings.scheme, self.settings.scheme)]

    @property
    def destination(self) -> str:
        """The receiver's URL: the one in use, or all of them while none is."""
        return ", ".join(self.settings.url) if self._line is None else self.settings.url[self._at]

    async def open(self) -> None:
        """Connect to the first receiver that can be had, and see the connection live for a moment."""
        await self.close()
        self._warnings = ()
        failures: list[Failure] = []
        order = self._failover.order(self._now())
        for at in order:
            try:
                async with asyncio.timeout(self.settings.timeout / len(order) if len(order) > 1 else None):
                    self._line = await dial(self.settings, at)
            except TimeoutError:
                failures.append(Retryable(f"no answer from {self.settings.url[at]}", kind="timeout"))
            except (Retryable, Misconfigured) as failure:
                failures.append(failure)
            else:
                self._at = at
                self._failover.chosen(self._now())
                if at:
                    why = _all_of(failures).reason if failures else f"{self.settings.url[0]} failed while it was in use"
                    self._warnings = (f"{self.settings.url[at]} stands in: {why}",)
                return
        raise _all_of(failures)

    async def send(self, batch: Sequence[Item]) -> None:
        """Return once every message is as safe as the transport can know; refuse the first that is too long."""
        await self._fall_back()
        line, at = self._line, self._at
        if line is None:
            raise Retryable("the sink is not open")
        messages, too_long = self._written(batch)
        self._users[line] += 1
        try:
            if messages:
                await self._deliver(line, batch, messages)
        except BaseException as error:
            if not isinstance(error, Refused):
                self._failover.blame(at, self._now())
            raise
        finally:
            self._users[line] -= 1
            if line is not self._line and not self._users[line]:
                del self._users[line]
                await line.close()
        if too_long is not None:
            raise too_long

    async def close(self) -> None:
        """Hang up."""
        look, self._look = self._look, None
        if look is not None:
            look.cancel()
            await asyncio.gather(look, return_exceptions=True)
            if not look.cancelled() and look.exception() is None and (found := look.result()) is not None:
                await found.close()
        lines = {*self._users, *([] if self._line is None else [self._line])}
        self._line = None
        self._users.clear()
        for line in lines:
            await line.close()

    def _written(self, batch: Sequence[Item]) -> tuple[list[bytes], Refused | None]:
        """Write the messages of *batch* up to the first that is too long whatever is left out, and its refusal."""
        messages: list[bytes] = []
        longest = self.settings.max_message_bytes
        for at, item in enumerate(batch):
            message: bytes | None = write_message(item, self._header)
            if message is not None and len(message) > longest:
                needs = len(message)
                message = shrink(item, self._header, longest, self.settings.format)
                if message is None:
                    reason = f"the message needs {needs} bytes, and MAX_MESSAGE_BYTES is {longest}"
                    return messages, Refused(f"{reason}; leaving out its largest values does not make it fit", at=at)
            assert message is not None  # noqa: S101 # narrows
            messages.append(message)
        return messages, None

    async def _deliver(self, line: Line, batch: Sequence[Item], messages: Sequence[bytes]) -> None:
        """Send what the receiver does not have yet.

        :raises Retryable: with how many from the beginning are in
        :raises Refused: with the place of the first that the receiver answered with an error
        """
        todo = [place for place in range(len(messages)) if batch[place].seq not in self._ahead]
        try:
            await line.send([messages[place] for place in todo])
        except Unfinished as unfinished:
            self._ahead |= {batch[todo[place]].seq for place in unfinished.acknowledged}
            refused = {todo[place]: words for place, words in unfinished.refused.items()}
            at = next(place for place in range(len(messages)) if batch[place].seq not in self._ahead)
            self._ahead -= {item.seq for item in batch[:at]}
            if at in refused:
                raise Refused(f"the receiver answered {refused[at]}", at=at) from unfinished
            failure = unfinished.failure
            if isinstance(failure, Misconfigured):
                raise Misconfigured(failure.reason, accepted=at) from unfinished
            assert isinstance(failure, Retryable)  # noqa: S101 # what is not refused is unanswered, for a reason
            raise Retryable(
                failure.reason, accepted=at, unanswered=failure.unanswered, kind=failure.kind
            ) from unfinished
        self._ahead -= {item.seq for item in batch}

    async def _fall_back(self) -> None:
        """With another receiver in use, look at the first now and then, beside the sends; take it once it is well."""
        if self._look is None:
            if self._line is not None and self._failover.is_due(self._at, self._now()):
                self._look = asyncio.ensure_future(self._look_at_the_first())
        elif self._look.done():
            look, self._look = self._look, None
            found, old = look.result(), self._line
            if found is not None:
                self._line, self._at = found, 0
                if old is not None and not self._users[old]:
                    del self._users[old]
                    await old.close()

    async def _look_at_the_first(self) -> Line | None:
        try:
            async with asyncio.timeout(self.settings.timeout):
                return await dial(self.settings, 0)
        except (TimeoutError, Retryable, Misconfigured):
            return None  # it is not well; the one in use goes on, and the next look is due after the interval

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _all_of(failures: Sequence[Failure]) -> Failure:
    """Make one failure of those of all receivers; only if each needs the operator, waiting is of no use."""
    if len(failures) == 1:
        return failures[0]
    reasons = "; ".join(failure.reason for failure in failures)
    if all(isinstance(failure, Misconfigured) for failure in failures):
        return Misconfigured(reasons)
    return Retryable(reasons, kind="connection")
