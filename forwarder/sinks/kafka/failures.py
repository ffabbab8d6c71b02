"""What an error of the brokers means, in the words of the sink contract."""

from aiokafka import errors

from forwarder.errors import Failure, Misconfigured, Retryable

FENCED = (
    errors.ProducerFenced,
    errors.InvalidProducerEpoch,
    errors.InvalidProducerIdMapping,
    errors.InvalidTxnState,
)
"""The brokers ended our transaction: another process has its id now, or it took longer than they wait."""

TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
"""A record batch that the topic does not take for its size."""


class TokenError(errors.KafkaError):  # type: ignore[misc] # the library ships no types
    """A token to log in with could not be had. In this form it passes through aiokafka."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


class MayNotRead(errors.TopicAuthorizationFailedError):  # type: ignore[misc] # the library ships no types
    """We may not read a topic, which is its argument."""


_TOO_OLD = "these brokers cannot do what we need ({}); without transactions, set DELIVERY to at-least-once"

_MENDABLE: dict[type[errors.KafkaError], str] = {
    errors.TransactionalIdAuthorizationFailed: "the brokers do not let us use our transactional id; allow DESCRIBE and "
    "WRITE on it, or set TRANSACTIONAL_ID to one that is allowed",
    errors.InvalidTransactionTimeout: "the brokers allow no transaction as long as twice the TIMEOUT; lower that, or "
    "raise their transaction.max.timeout.ms",
    errors.IncompatibleBrokerVersion: _TOO_OLD,
    errors.UnsupportedVersionError: _TOO_OLD,
    MayNotRead: "the brokers do not let us read a topic ({}); allow READ on it",
    errors.TopicAuthorizationFailedError: "the brokers do not let us write to the topic; allow WRITE on it",
    errors.ClusterAuthorizationFailedError: "the brokers do not let us write to the topic; allow WRITE on it",
    errors.InvalidTimestampError: "the topic refuses events of that age; raise its message.timestamp.before.max.ms, or "
    "set its message.timestamp.type to LogAppendTime",
    errors.UnsupportedForMessageFormatError: "the topic refuses our records: {}",
    errors.PolicyViolationError: "the topic refuses our records: {}",
}
"""What only the operator can mend; the first that fits holds."""


def failure(error: BaseException | None, *, accepted: int = 0, unanswered: bool = False) -> Failure:
    """Say what *error* means for the events after the *accepted* ones; None is an answer that stayed away."""
    while error is not None and type(error) is errors.KafkaError and isinstance(error.__cause__, errors.KafkaError):
        error = error.__cause__  # aiokafka wraps what ended its sender
    if isinstance(error, TokenError):
        return error.failure
    for kind_of_error, reason in _MENDABLE.items():
        if isinstance(error, kind_of_error):
            return Misconfigured(reason.format(say(error)), accepted=accepted)
    reason, kind = f"the brokers cannot take it now: {'' if error is None else say(error)}", "unavailable"
    if isinstance(error, FENCED):
        reason, kind = f"the brokers have ended our transaction: {say(error)}", "fenced"
    elif error is None or isinstance(error, errors.RequestTimedOutError | errors.KafkaTimeoutError):
        reason, kind = "the brokers did not confirm in time", "timeout"
    elif isinstance(error, errors.KafkaConnectionError | errors.NodeNotReadyError):
        reason, kind = f"a broker cannot be reached any more: {say(error)}", "connection"
    return Retryable(reason, accepted=accepted, unanswered=unanswered, kind=kind)


def is_doubtful(error: BaseException | None) -> bool:
    """Whether what ended with *error* may have arrived all the same.

    aiokafka repeats by itself whatever failed for a moment, and any of its tries may have arrived.
    """
    return bool(getattr(error, "retriable", True))


def say(error: BaseException) -> str:
    """Name *error* with its text, for a reason; aiokafka's errors begin with their name."""
    if isinstance(error, errors.KafkaError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
