"""A Splunk among the destinations of a world: the measured collector, behind the simulated network.

The daemon talks to it by its own Splunk sink and over HTTP. What that sink was told is worked out here from the
answers alone; whoever was told that an event is in must not send it again.
"""

import asyncio
import gzip
import json
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from tests.peers.hec import ALL, TOKEN, HecServer, Scripted, Seen
from tests.peers.hec.indexer import Envelope
from tests.peers.hec.server import CHANNEL
from tests.simulation.destination import Attempt, Destination, Receipt
from tests.simulation.loop import Process
from tests.simulation.network import Network

HELD = 4.0
"""Seconds that a collector with acknowledgement keeps events in memory, where a crash loses them."""

_SCRIPTS: dict[str, Scripted] = {
    "busy": Scripted(503, {"text": "Server is busy", "code": 9}),
    "taken-then-hang": Scripted(index=ALL, silent=True),
    "taken-then-reset": Scripted(reset="late", index=ALL),
    "prefix": Scripted(503, {"text": "Server is busy", "code": 9}, index=2),
    "faulty": Scripted(502, b"<html>Bad Gateway</html>"),  # a proxy's
    "absurd": Scripted(200, b"<html>Welcome</html>"),  # a captive portal's
}


@dataclass(frozen=True, slots=True)
class Repeat:
    """An event that one process was told is in, and that came once more; *told* and *by* as numbers of lives."""

    id: str
    told: int
    told_at: float
    by: int


@dataclass
class Splunk(Destination):
    """One collector with its index. What it goes through is named as for every :class:`Destination`."""

    network: Network = field(kw_only=True)
    address: tuple[str, int] = field(kw_only=True)
    repeats: list[Repeat] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._told: dict[str, tuple[int, float]] = {}
        self._awaited: dict[tuple[str, int], list[str]] = {}
        self._crashes = 0
        self.server = _Collector(self)
        self.server.port = self.address[1]
        self.server.indexer.on_index = self._indexed
        self.server.indexer.refuse = lambda text: self.refuses(_log_id(json.loads(text)))
        self.server.delay = HELD if self.plan.ack else 0.0
        self.server.mischief = self._misbehave
        self._let_in()

    async def start(self) -> None:
        """Listen."""
        await self.server.start()

    async def stop(self) -> None:
        """Close every connection."""
        await self.server.stop()

    def suffer(self, trouble: str) -> None:
        """As the base class; ``slow`` is a crash of the collector, until the next call."""
        was, self.trouble = self.trouble, trouble
        self.network.weather.pop(self.address, None)
        self.server.silent = trouble == "hang"
        self.server.tokens.clear()
        if trouble == "down":
            self.network.weather[self.address] = "refused"
        if trouble != "misconfigured":
            self._let_in()
        if "slow" in {trouble, was}:
            asyncio.get_running_loop().create_task(self._crash() if trouble == "slow" else self._come_back())

    def asked(self, sender: Process, ids: list[str]) -> None:
        """Note what *sender* has sent."""
        self.repeats += [Repeat(id_, *self._told[id_], _life(sender)) for id_ in ids if id_ in self._told]

    def answered(self, sender: Process, ids: list[str], channel: str, answer: dict[str, Any]) -> None:
        """Note what *answer* tells *sender* to be in."""
        taken = ids[: answer.get("invalid-event-number", len(ids) if answer.get("code") == 0 else 0)]
        if "ackId" in answer and taken:
            self._awaited[channel, answer["ackId"]] = taken
            taken = []
        for ack_id, indexed in answer.get("acks", {}).items():
            if indexed:
                taken += self._awaited.pop((channel, int(ack_id)), [])
        # It may die before the answer has arrived, and so may we: a reset overtakes what is on its way.
        asyncio.get_running_loop().call_later(2 * self.plan.latency, self._hear, sender, taken, self._crashes)

    # Inside

    def _let_in(self) -> None:
        self.server.tokens[TOKEN] = "ack" if self.plan.ack else "enabled"

    async def _crash(self) -> None:
        self._awaited.clear()
        self._crashes += 1
        await self.server.crash()

    async def _come_back(self) -> None:
        if not self.server.running:
            await self.server.start()

    def _misbehave(self, seen: Seen) -> Scripted | None:
        about_events = not seen.path.endswith("/ack")
        return _SCRIPTS.get(self.trouble) if about_events or self.trouble in {"busy", "faulty", "absurd"} else None

    def _indexed(self, envelope: Envelope) -> None:
        now = asyncio.get_running_loop().time()
        attempt = Attempt(self.life, len(self.receipts), now)
        self.receipts.append(Receipt(attempt, 0, now, _log_id(envelope), orjson.dumps(envelope["event"])))

    def _hear(self, sender: Process, ids: list[str], crashes: int) -> None:
        if not sender.dead and crashes == self._crashes:
            now = asyncio.get_running_loop().time()
            self._told.update(dict.fromkeys(ids, (_life(sender), now)))


class _Collector(HecServer):
    """Tells its Splunk what it was asked, and what it has answered."""

    def __init__(self, splunk: Splunk) -> None:
        super().__init__()
        self._splunk = splunk

    async def stop_accepting(self) -> None:
        """The simulated network takes connections and makes their transports in one step."""

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.transport is None:
            return web.Response()  # who asked is gone
        sender: Process = request.transport.peer.process  # type: ignore[attr-defined] # an End of the network
        sent = _sent(await request.read())
        self._splunk.asked(sender, sent)
        reply = await super()._answer(request)
        if isinstance(reply, web.Response) and reply.content_type == "application/json":
            assert isinstance(reply.body, bytes)
            self._splunk.answered(sender, sent, request.headers.get(CHANNEL, ""), json.loads(reply.body))
        return reply


def _sent(raw: bytes) -> list[str]:
    """The events of a request's body; none where it is a poll for acknowledgements."""
    body = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    found = [json.loads(line) for line in body.splitlines()]
    return [_log_id(envelope) for envelope in found if "event" in envelope]


def _life(process: Process) -> int:
    return int(process.name.removeprefix("life "))


def _log_id(envelope: Envelope) -> str:
    return str(envelope["fields"]["log_id"])
