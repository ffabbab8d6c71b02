"""Everything that this program raises on purpose.

::

    ForwarderError                  ends the process, with an exit status of its own
      ConfigurationError    78      every problem of a configuration at once
      JournalUnavailable    73      the journal cannot be created or opened for writing
      JournalDamaged        74      the journal's file is damaged; it was left as it is
      JournalLocked         75      another process owns the journal

    DiskFull                        the journal's disk is full: pause, keep everything, go on when there is room

    Failure                         what a peer did to us; the caller decides what to do next
      Retryable                     nothing is wrong with what we sent: wait, send again
      Refused                       the peer will never take this
        CursorLost                    ... this cursor of Persona's list: walk again from an earlier one
        Unreadable                    ... this page cannot be read: ask for a smaller one
      Misconfigured                 nothing is wrong with the events: report, wait for the operator, probe

No message of any of them holds a secret.
"""

from collections.abc import Iterable
from dataclasses import dataclass


class ForwarderError(Exception):
    """Ends the process with :attr:`exit_status`; its text tells the operator what to do."""

    exit_status = 70


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong with the configuration: the variable's full name and what to do about it."""

    variable: str
    message: str

    def __str__(self) -> str:
        return f"{self.variable}: {self.message}"


class ConfigurationError(ForwarderError):
    """All the problems of a configuration, found before anything was opened."""

    exit_status = 78

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class JournalUnavailable(ForwarderError):
    """The journal cannot be created or opened for writing."""

    exit_status = 73


class JournalDamaged(ForwarderError):
    """The journal's file is damaged, or is not a journal of ours. It was left untouched."""

    exit_status = 74


class JournalLocked(ForwarderError):
    """Another process owns the journal."""

    exit_status = 75


class DiskFull(Exception):
    """A transaction was rolled back because the journal's disk is full."""


class Failure(Exception):
    """What a peer did to a request of ours."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Retryable(Failure):
    """Nothing is wrong with what was sent: wait and send again.

    :param accepted: the first *accepted* events of the batch are in; only the rest must be sent again
    :param retry_after: seconds that the peer asked us to wait
    :param unanswered: the peer may have taken what it did not acknowledge (a time-out, a reset): sending again may
        repeat it, and the repetition is counted as possible duplicates
    :param kind: a word of low cardinality for the metrics (``timeout``, ``busy``, ``connection``)
    """

    def __init__(
        self,
        reason: str,
        *,
        accepted: int = 0,
        retry_after: float | None = None,
        unanswered: bool = False,
        kind: str = "unavailable",
    ) -> None:
        super().__init__(reason)
        self.accepted = accepted
        self.retry_after = retry_after
        self.unanswered = unanswered
        self.kind = kind


class Refused(Failure):
    """The peer will never take event *at* of the batch.

    All before *at* are in; what follows was not taken. Without *at* the peer took none and cannot say which event it
    minds.
    """

    def __init__(self, reason: str, *, at: int | None = None) -> None:
        super().__init__(reason)
        self.at = at


class CursorLost(Refused):
    """Persona does not know this cursor (any more)."""


class Unreadable(Refused):
    """The page arrived, but is too large or is not the JSON that it should be."""


class Misconfigured(Failure):
    """Nothing is wrong with the events; the operator has to mend something (credentials, topic, index, trust).

    :param accepted: as for :class:`Retryable`
    """

    def __init__(self, reason: str, *, accepted: int = 0) -> None:
        super().__init__(reason)
        self.accepted = accepted
