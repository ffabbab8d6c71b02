"""What an error of the brokers means, in the words of the sink contract."""

from aiokafka import errors

from forwarder.errors import Failure, Misconfigured, Retryable

TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
"""A record batch that the topic does not take for its size."""


def failure(error: BaseException | None, *, accepted: int = 0, unanswered: bool = False) -> Failure:
    """Say what *error* means for the events after the *accepted* ones; None is an answer that stayed away."""
    if isinstance(error, errors.TopicAuthorizationFailedError | errors.ClusterAuthorizationFailedError):
        return Misconfigured("the brokers do not let us write to the topic; allow WRITE on it", accepted=accepted)
    if isinstance(error, errors.InvalidTimestampError):
        remedy = "raise its message.timestamp.before.max.ms, or set its message.timestamp.type to LogAppendTime"
        return Misconfigured(f"the topic refuses events of that age; {remedy}", accepted=accepted)
    if isinstance(error, errors.UnsupportedForMessageFormatError | errors.PolicyViolationError):
        return Misconfigured(f"the topic refuses our records: {say(error)}", accepted=accepted)
    reason, kind = f"the brokers cannot take it now: {'' if error is None else say(error)}", "unavailable"
    if error is None or isinstance(error, errors.RequestTimedOutError | errors.KafkaTimeoutError):
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
