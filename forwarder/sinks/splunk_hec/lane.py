"""One connection to one collector, with its channel, and the polls for what is awaited on it.

Everything on a lane goes one after the other: a request, its answer, a poll. So an id that was given out is known here
before the next poll could take the acknowledgement of another request for its own, whatever stands behind the URL.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from forwarder.errors import Failure, Misconfigured, Retryable
from forwarder.sinks.splunk_hec.channel import Channel
from forwarder.sinks.splunk_hec.replies import Answer
from forwarder.sinks.splunk_hec.wire import ACKNOWLEDGEMENTS, EVENTS, Wire

FIRST_POLL, LATER_POLLS, LONGEST_POLL = 0.2, 1.5, 5.0
"""Seconds before the first poll, factor for each that acknowledged nothing, most seconds: so few that the connection is
kept, and one that had to be made anew tells something."""

PATIENCE = 10.0
"""Seconds that acknowledgements are still awaited after Splunk was away; an acknowledgement takes about one."""

BLIND_PATIENCE = 60.0
"""Seconds that an acknowledgement is awaited at most from whoever ends each connection with its answer: a restart
between two requests would not show."""

LONGEST_IDLE = 300.0
"""Seconds after which an unused channel is replaced: Splunk forgets one after 600 (``maxIdleTime``) and counts anew."""

HEADER = "X-Splunk-Request-Channel"

_ROLLING = "AWSALB"
"""AWS' application load balancer gives its cookies a new value at each answer; that tells nothing."""


@dataclass
class Habits:
    """What was learnt about whoever stands behind a URL; shared by its lanes, and outlives them.

    :ivar one_channel_each: a load balancer takes each request to another indexer: no two requests share a channel, so
        their ids cannot be taken for each other's
    :ivar away_at: when Splunk was last seen to be away or to have forgotten, in the event loop's seconds
    """

    one_channel_each: bool = False
    away_at: float = float("-inf")


class Lane:
    """Requests to one collector, one after the other; with acknowledgement, on a channel of its own.

    :ivar load: requests that wait for their turn or their answer
    """

    def __init__(self, wire: Wire, *, ack_timeout: float, habits: Habits) -> None:
        self.wire = wire
        self.load = 0
        self._ack_timeout = ack_timeout
        self._habits = habits
        self._turn = asyncio.Lock()
        self._channel = self._used = Channel()
        self._used_at = self._now()
        self._older: list[Channel] = []  # with something awaited; nothing is sent on them any more
        self._cookies: dict[str, str] = {}
        self._interval = FIRST_POLL
        self._poller: asyncio.Task[None] | None = None

    async def post(
        self, body: bytes, headers: Mapping[str, str], *, acks: bool
    ) -> tuple[Answer, asyncio.Future[None] | None]:
        """Post events; give the answer and, if it holds an ``ackId``, the proof to wait for.

        :raises Failure: there was no answer, or one that tells nothing about what it acknowledges
        """
        self.load += 1
        try:
            async with self._turn:
                if acks:
                    return await self._post_on_channel(body, headers)
                return await self.wire.post(EVENTS, body, headers), None
        finally:
            self.load -= 1

    def hurry(self) -> None:
        """Poll soon: the collector holds many acknowledgements."""
        self._interval = FIRST_POLL

    def distrust(self, reason: str) -> None:
        """Take it that the last request may have an id that we were not told.

        Where a restarted Splunk gave it, the id may equal one that is awaited, and its acknowledgement would be taken
        for that one's. So what is awaited on the same channel counts as lost.
        """
        self._give_up(self._used, reason)

    async def close(self) -> None:
        """Give up what is awaited, and close the connection."""
        poller, self._poller = self._poller, None
        if poller is not None:
            poller.cancel()
            await asyncio.gather(poller, return_exceptions=True)
        for channel in (*self._older, self._channel):
            channel.lose("the connection was closed before the acknowledgement")
        await self.wire.close()

    async def _post_on_channel(
        self, body: bytes, headers: Mapping[str, str]
    ) -> tuple[Answer, asyncio.Future[None] | None]:
        if not self._channel.awaited and self._now() - self._used_at > LONGEST_IDLE:
            self._begin_channel()
        channel, connections = self._channel, self.wire.connections
        self._used, self._used_at = channel, self._now()
        try:
            answer = await self.wire.post(EVENTS, body, {**headers, HEADER: channel.guid})
        except (Retryable, Misconfigured) as failure:
            if isinstance(failure, Retryable) and failure.unanswered:
                self.distrust(failure.reason)
            self._was_away()
            raise
        except asyncio.CancelledError:
            self.distrust("a request was given up")
            raise
        self._mind_the_cookies()
        ack_id = answer.number("ackId")
        if ack_id is None:
            return answer, None
        patience = min(self._ack_timeout, BLIND_PATIENCE) if self.wire.closing else self._ack_timeout
        proof = channel.expect(ack_id, now=self._now(), until=self._now() + patience)
        if proof is None:
            raise self._ran_backwards(channel, reconnected=self.wire.connections > connections)
        if channel is not self._channel:  # the cookie of this very answer began another one
            self._older.append(channel)
        elif self._habits.one_channel_each:
            self._begin_channel()
        if self._poller is None or self._poller.done():
            self._interval = FIRST_POLL
            self._poller = asyncio.ensure_future(self._poll_until_all_is_known())
        return answer, proof

    def _ran_backwards(self, channel: Channel, *, reconnected: bool) -> Retryable:
        """Take it that somebody else answers: what is awaited on this channel is lost, the last request's id too."""
        # Behind a connection that lived on it was no restart: a load balancer takes each request elsewhere.
        self._habits.one_channel_each = self._habits.one_channel_each or not reconnected
        why = "Splunk was restarted" if reconnected else "a load balancer without sticky sessions is in front of Splunk"
        self._habits.away_at = self._now()
        reason = f"{self.wire.url}: acknowledgement ids run backwards: {why}"
        channel.lose(reason)
        if channel is self._channel:
            self._begin_channel()
        return Retryable(reason, unanswered=True, kind="ack")

    def _begin_channel(self) -> None:
        if self._channel.awaited:
            self._older.append(self._channel)
        self._channel = Channel()

    def _was_away(self) -> None:
        """Begin a new channel: what answers next may know nothing of the old one, nor of those of other lanes."""
        self._begin_channel()
        self._habits.away_at = self._now()
        self._doubt()

    def _doubt(self) -> None:
        for channel in (*self._older, self._channel):
            if channel.since <= self._habits.away_at:
                channel.doubt(self._habits.away_at + PATIENCE)

    def _mind_the_cookies(self) -> None:
        """Begin a new channel when a load balancer moves us to another indexer, which it does with its cookie."""
        cookies = self.wire.cookies()
        changed = [name for name, value in cookies.items() if self._cookies.get(name, value) != value]
        self._cookies = cookies
        if any(not name.startswith(_ROLLING) for name in changed):
            self._was_away()

    async def _poll_until_all_is_known(self) -> None:
        rounds = 0
        try:
            while channels := [one for one in (*self._older, self._channel) if one.awaited]:
                self._older = [one for one in self._older if one.awaited]
                self._doubt()
                until = min(one.deadline for one in channels)
                await asyncio.sleep(max(0.0, min(self._interval, until - self._now())))
                rounds += 1
                heard = [await self._poll(channel) for channel in self._asked_in(rounds, channels)]
                self._interval = FIRST_POLL if any(heard) else min(self._interval * LATER_POLLS, LONGEST_POLL)
                for channel in channels:
                    if channel.deadline <= self._now():
                        self._give_up(channel, "no acknowledgement in time; Splunk may be slow to index, or forgot it")
        finally:
            for channel in (*self._older, self._channel):
                channel.lose("the polls for acknowledgements ended")

    def _asked_in(self, rounds: int, channels: Sequence[Channel]) -> Sequence[Channel]:
        """Choose which channels a round of polls asks about.

        A load balancer that is not sticky and takes turns could send the polls for a channel to the wrong indexer each
        time. So some are asked about twice, others each round: a matter of chance, which needs no generator.
        """
        if not self._habits.one_channel_each:
            return channels
        return [*channels, *(one for one in channels if hash((one.guid, rounds)) % 2)]

    async def _poll(self, channel: Channel) -> bool:
        """Ask for what is awaited on *channel*; returns whether anything was acknowledged."""
        async with self._turn:
            if not channel.awaited:
                return False
            body = orjson.dumps({"acks": channel.awaited})
            headers = {HEADER: channel.guid, "Content-Type": "application/json"}
            losses = self.wire.losses
            try:
                answer = await self.wire.post(f"{ACKNOWLEDGEMENTS}?channel={channel.guid}", body, headers)
            except Failure:
                self._was_away()
                return False
            self._mind_the_cookies()
            if self.wire.losses > losses:  # the kept one was closed between two polls, perhaps by a restart
                self._was_away()
            if answer.acks is not None:
                return channel.hear(answer.acks, self._now())
            if answer.code is None:  # a proxy's words: Splunk is away
                self._was_away()
            elif 400 <= answer.status < 500 and answer.status not in {404, 429}:
                self._give_up(channel, f"Splunk refused to tell what is acknowledged (code {answer.code})")
            return False

    def _give_up(self, channel: Channel, reason: str) -> None:
        channel.lose(reason if reason.startswith(self.wire.url) else f"{self.wire.url}: {reason}")
        if channel is self._channel:
            self._begin_channel()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
