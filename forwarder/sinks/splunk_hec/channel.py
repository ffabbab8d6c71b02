"""A channel of Splunk's and the acknowledgements that are awaited on it.

Splunk keeps acknowledgement ids in its memory, by channel, and counts them from 0 in each. After a restart, or at
another indexer behind a load balancer, the same numbers come again for other requests. So an acknowledgement is known
by channel *and* id; requests and polls of one channel go one after the other, and each new id has to be greater than
the last. One that is not shows that whoever answers is not who answered before. Nothing that is awaited on that channel
can be believed any more, and a new channel begins.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from forwarder.errors import Retryable


class Channel:
    """One channel. Times are the event loop's seconds.

    :ivar guid: the channel's name, made up by us
    :ivar since: from when on something has been awaited without a sign that Splunk still knows of this channel
    """

    def __init__(self) -> None:
        self.guid = str(uuid4())
        self._last = -1
        self._awaited: dict[int, tuple[asyncio.Future[None], float]] = {}
        self._patience = float("inf")
        self.since = float("inf")

    @property
    def awaited(self) -> Sequence[int]:
        """The ids without an acknowledgement, oldest first."""
        return list(self._awaited)

    @property
    def deadline(self) -> float:
        """When the first of what is awaited is given up."""
        return min(self._patience, min((until for _, until in self._awaited.values()), default=float("inf")))

    def expect(self, ack_id: int, *, now: float, until: float) -> asyncio.Future[None] | None:
        """Await the acknowledgement *ack_id* until that time; None if this id runs backwards, so that nothing is known.

        The future fails with ``Retryable`` once it is lost.
        """
        if ack_id <= self._last:
            return None
        self._last = ack_id
        if not self._awaited:
            self._patience, self.since = float("inf"), now
        proof: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._awaited[ack_id] = proof, until
        proof.add_done_callback(lambda _: self._awaited.pop(ack_id, None))  # also where whoever waited was cancelled
        return proof

    def hear(self, acks: Mapping[str, Any], now: float) -> bool:
        """Take the answer to a poll; returns whether it acknowledged anything.

        Splunk says ``true`` once and forgets the id. It says ``false`` of what it does not know.
        """
        heard = [ack_id for ack_id in self._awaited if acks.get(str(ack_id)) is True]
        if heard:
            self._patience, self.since = float("inf"), now  # whoever was in doubt has not forgotten this channel
        for ack_id in heard:
            proof, _ = self._awaited.pop(ack_id)
            if not proof.done():
                proof.set_result(None)
        return bool(heard)

    def doubt(self, until: float) -> None:
        """Await what is awaited no longer than *until*: Splunk was away, and may have forgotten."""
        self._patience = min(self._patience, until)

    def lose(self, reason: str) -> None:
        """Give up everything that is awaited: it may be indexed or not, and has to be sent again."""
        lost, self._awaited = self._awaited, {}
        for proof, _ in lost.values():
            if not proof.done():
                proof.set_exception(Retryable(reason, unanswered=True, kind="ack"))
                proof.exception()  # marks it as seen: whoever waited for it may be gone
