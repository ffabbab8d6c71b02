"""One bounded call of a sink, and its outcome in the contract's three words."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from forwarder.delivery.telling import Telling
from forwarder.errors import Failure, Misconfigured, Refused, Retryable
from forwarder.sinks.base import Sink, SinkSettings

T = TypeVar("T")


async def attempt(call: Callable[[], Awaitable[T]], seconds: float, telling: Telling, act: str) -> T:
    """Make *call* of a sink and await it for at most *seconds*.

    :raises Failure: ``Retryable``, ``Refused`` or ``Misconfigured``, whatever the sink itself raised. A time-out and a
        fault of the sink are ``Retryable`` and unanswered, since nobody knows what the destination has taken
    """
    try:
        async with asyncio.timeout(seconds) as bound:
            return await call()
    except (Retryable, Refused, Misconfigured):
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        telling.faulty(error, act)  # nobody cancelled us: something inside the sink did
        raise fault(error) from error
    except Exception as error:
        if isinstance(error, TimeoutError) and bound.expired():
            reason = f"no answer within {seconds:g} s; raise the sink's TIMEOUT if the destination is slow"
            raise Retryable(reason, unanswered=True, kind="timeout") from None
        telling.faulty(error, act)
        raise fault(error) from error


async def outcome(call: Callable[[], Awaitable[None]], seconds: float, telling: Telling) -> Failure | None:
    """Await a send as :func:`attempt` does, and return its failure instead of raising it."""
    try:
        await attempt(call, seconds, telling, "send")
    except Failure as failure:
        return failure
    return None


async def close(sink: Sink[SinkSettings], telling: Telling) -> None:
    """Close *sink*; one that cannot be closed in time, or raises, is reported and left."""
    try:
        await attempt(sink.close, sink.settings.timeout, telling, "close")
    except Failure as failure:
        if failure.__cause__ is None:  # anything but a fault that was told already
            telling.faulty(failure, "close")


def fault(error: BaseException) -> Retryable:
    """Make the failure that a fault of the sink counts as; its text names the type alone, which holds no secret."""
    return Retryable(f"the sink itself failed: {type(error).__name__}", unanswered=True, kind="fault")
