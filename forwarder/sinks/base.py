"""The contract of a sink. One file a destination fulfils it: a settings model, a class, nothing else.

A sink is opened, sends batches, and is closed:

- :meth:`Sink.open` connects. It may return the :class:`Position` that the destination itself remembers. Where the
  journal does not hold that event (it was put back from a backup), :meth:`Sink.rolled_back` follows.
- :meth:`Sink.send` returns when the destination has acknowledged **all** of the batch, or raises

  - ``Retryable(reason, accepted=n)``: the first *n* are in, the rest must be sent again. ``unanswered=True`` where the
    destination may have taken what it did not acknowledge;
  - ``Refused(reason, at=i)``: all before *i* are in, *i* is refused for good, what follows was not taken (or the sink
    knows what of it was, and does not send that again). Without *at* none of the batch is in and the sink cannot say
    which event is at fault: the worker bisects;
  - ``Misconfigured(reason)``: nothing is wrong with the events. The worker waits, reports and probes.

- :meth:`Sink.close` releases everything. Closing twice, or without having opened, is fine. A sink may be opened again
  after it was closed; the worker does so after every failure.

:meth:`Sink.probe` is what ``check --live`` does instead of opening: it finds the same faults, writes nothing, and takes
nothing away from a daemon that runs beside it. What works but ought to be otherwise is in :attr:`Sink.warnings`.

``send`` may be called concurrently, up to :attr:`Sink.max_in_flight`. A sink waits only for its destination's answer.
It never retries, sleeps between attempts, logs, counts, filters, formats or reads the journal: the delivery worker does
these, once for all sinks. The worker also bounds each ``open`` and ``send`` by the sink's time-out and may cancel
either: a cancelled send leaves nothing behind that a later ``close`` does not release.

A sink module imports this module, the ground floor (``record``, ``severity``, ``errors``, ``text``, ``units``,
``variables``), and the library that speaks its protocol.
"""

import ssl
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from forwarder.errors import Misconfigured
from forwarder.record import AuditEvent
from forwarder.units import CommaList, Duration, Size

FormatName = Literal["json", "raw", "ecs", "ocsf", "cef", "leef", "leef1"]


class SinkSettings(BaseModel):
    """Settings that every sink has; a kind subclasses it, changes defaults and adds its own.

    Field names in lower case are the environment's ``FORWARDER_<NAME>_<SETTING>``; descriptions become the reference.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    format: FormatName = Field("json", description="How an event is written.")
    include: CommaList = Field(
        default_factory=list,
        description="Only events that match one of these are sent: `[METHOD[|METHOD…] ]path-glob`.",
    )
    exclude: CommaList = Field(
        default_factory=list,
        description="Events that match one of these are not sent; exclude wins over include.",
    )
    start: str | None = Field(
        None,
        description="Where a sink that the journal does not know yet begins: `now` (the default on an existing "
        "journal) or `all` (everything the journal still holds; the default on a new one).",
    )
    batch_max_events: int = Field(500, ge=1, le=100_000, description="Most events in one batch.")
    batch_max_bytes: Size = Field(1 << 20, ge=1024, description="Most bytes of formatted events in one batch.")
    timeout: Duration = Field(30.0, gt=0, description="Longest wait for the destination to take one batch.")


class TlsSettings(BaseModel):
    """Settings of a sink that can speak TLS; mixed into its settings model."""

    tls_ca_file: Path | None = Field(None, description="Trust anchors, PEM; the system's where it is not given.")
    tls_cert_file: Path | None = Field(None, description="Our certificate chain, PEM, for mutual TLS.")
    tls_key_file: Path | None = Field(None, description="The key of our certificate, PEM.")
    tls_server_name: str | None = Field(None, description="Name expected in the peer's certificate.")

    def forbid_tls_settings(self, why: str) -> None:
        """For a sink's validator: raise ValueError if a TLS setting is given where no TLS is spoken."""
        for field in TlsSettings.model_fields:
            if getattr(self, field) is not None:
                raise ValueError(f"{field.upper()} is given, but {why}")

    def tls_context(self) -> ssl.SSLContext:
        """Make a client context, TLS 1.2 or newer, names verified. Files are read now: call it at each connect.

        :raises Misconfigured: a file is missing or is not what it should be
        """
        try:
            context = ssl.create_default_context(cafile=self.tls_ca_file)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.tls_cert_file is not None:
                context.load_cert_chain(self.tls_cert_file, self.tls_key_file)
        except (OSError, ssl.SSLError) as error:
            raise Misconfigured(f"the TLS files cannot be used: {error}") from error
        return context


def tls_fault(error: BaseException) -> str | None:
    """Say what TLS minds if only the operator can mend it (trust, names, versions, our certificate), else None.

    A connection cut in the middle of a handshake is an :class:`ssl.SSLError` too, and no fault of anybody's settings.
    """
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return None
    # Libraries derive from SSLError without its attributes.
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate is not trusted: {getattr(error, 'verify_message', error)}"
    return f"TLS failed: {(getattr(error, 'reason', None) or str(error)).replace('_', ' ').lower()}"


@dataclass(frozen=True, slots=True)
class Item:
    """One event on its way out: its sequence number in the journal, itself, and its formatted bytes."""

    seq: int
    event: AuditEvent
    body: bytes


@dataclass(frozen=True, slots=True)
class Position:
    """Where a destination stands: it has that event, and all that the same journal had given out for it before.

    Without *id* the number alone says which event that is.
    """

    seq: int
    id: str | None = None


@dataclass(frozen=True, slots=True)
class SinkContext:
    """What a sink may know of its surroundings: its configured name and the journal's identity."""

    name: str
    journal_id: str


SettingsT = TypeVar("SettingsT", bound=SinkSettings)


class Sink(ABC, Generic[SettingsT]):
    """A destination; see the module's docstring for the contract."""

    kind: ClassVar[str]
    """The word in ``FORWARDER_SINKS``."""

    settings_model: ClassVar[type[SinkSettings]]
    """What its environment variables are read into."""

    def __init__(self, settings: SettingsT, context: SinkContext) -> None:
        self.settings = settings
        self.context = context

    @property
    def max_in_flight(self) -> int:
        """How many :meth:`send` may run at once. What is found out at :meth:`open` may lower it, never raise it."""
        return 1

    @property
    def longest_send(self) -> float:
        """Seconds after which the worker gives up one :meth:`send`."""
        return self.settings.timeout

    @property
    def strained(self) -> bool:
        """Whether the destination, though it took what it was sent last, asked for less at once.

        The worker then sends fewer batches side by side, as it does after a ``Retryable`` of kind ``busy``.
        """
        return False

    @property
    @abstractmethod
    def promise(self) -> str:
        """What this destination can prove, in the contract's words (``on disk``, ``accepted``, ``best effort``)."""

    @property
    @abstractmethod
    def destination(self) -> str:
        """Where the events go, for people, without secrets (``https://splunk.example:8088``)."""

    @property
    def warnings(self) -> Sequence[str]:
        """What the last :meth:`open` or :meth:`probe` found that works but ought to be otherwise, for the operator."""
        return ()

    @abstractmethod
    async def open(self) -> Position | None:
        """Connect; return the place up to which the destination itself knows that it has all, or None."""

    async def probe(self) -> None:
        """Find out whether :meth:`open` and :meth:`send` would work, without touching what a running daemon relies on.

        A sink whose opening disturbs nobody leaves this as it is. :meth:`close` follows.
        """
        await self.open()

    async def rolled_back(self, known: int) -> None:
        """Hear that, of what was given out after sequence number *known*, the journal cannot say what arrived.

        Called after an :meth:`open` that returned an event which the journal does not hold: a state of it that was lost
        had given that out. All after *known* comes, some of it again and under new numbers; a sink that can tell what
        it has already leaves that out of what it sends from then on, and says that it was accepted. Others take it
        again. A destination that keeps its position keeps *known* from now on: the one it had means nothing any more.
        """

    @abstractmethod
    async def send(self, batch: Sequence[Item]) -> None:
        """Return once the destination has acknowledged all of *batch* (never empty), or raise as the contract says."""

    @abstractmethod
    async def close(self) -> None:
        """Release everything; never raises."""
