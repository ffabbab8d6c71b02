"""The HTTP around the indexer: tokens, channels, sizes, replies, and faults on request."""

import asyncio
import gzip
import json
import ssl
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

from aiohttp import web

from tests.peers.hec.indexer import Envelope, Indexer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TOKEN = "5e1f6c1e-0f3a-4f2b-9d57-hec-secret"
ALL = 1_000_000
CHANNEL = "X-Splunk-Request-Channel"

_EVENTS = {"/services/collector/event", "/services/collector", "/services/collector/event/1.0"}
_ACK = {"/services/collector/ack", "/services/collector/ack/1.0"}
_HEALTH = {"/services/collector/health", "/services/collector/health/1.0"}
_TEXTS = {
    0: "Success",
    1: "Token disabled",
    2: "Token is required",
    3: "Invalid authorization",
    4: "Invalid token",
    5: "No data",
    6: "Invalid data format",
    7: "Incorrect index",
    10: "Data channel is missing",
    12: "Event field is required",
    13: "Event field cannot be blank",
    14: "ACK is disabled",
    15: "Error in handling indexed fields",
    17: "HEC is healthy",
    18: "HEC is unhealthy, queues are full",
}


@dataclass
class Scripted:
    """One prepared answer: a reply in place of the collector's own, a reset, or silence.

    ``index`` objects are accepted before it, as far as they are good. ``reset`` cuts the connection: ``early`` before
    the body is read, ``middle`` after a part of it, ``late`` after its objects were accepted, ``cut`` in the middle of
    the reply. ``silent`` never answers; with ``index`` it does so after it has accepted these.
    """

    status: int = 200
    body: bytes | dict[str, Any] = b""
    headers: dict[str, str] = field(default_factory=dict)
    index: int = 0
    reset: Literal["", "early", "middle", "late", "cut"] = ""
    silent: bool = False


@dataclass
class Seen:
    """One request as it came: headers, path, and the body after decompression."""

    path: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def channel(self) -> str | None:
        """The channel that it named."""
        return self.headers.get(CHANNEL)


class HecServer:
    """A collector on the loopback. Attributes may be changed while it runs."""

    def __init__(self, indexer: Indexer | None = None) -> None:
        self.indexer = indexer or Indexer()
        self.tokens = {TOKEN: "enabled"}  # or "disabled", or "ack": it has indexer acknowledgement
        self.largest_body = 838_860_800  # max_content_length (limits.conf.spec), of what is sent: more is 413
        self.cloud_limit = 5_500_000  # more is code 6 about event 0 (measured: between 5.24 and 6.0 million on Cloud)
        self.delay = 0.0  # seconds between the reply and the index; until then a crash loses the events
        self.silent = False
        self.closes = False  # each connection after its answer, saying so, as some proxies and stand-ins for Splunk do
        self.healthy = True
        self.cookie: str | None = None  # name=value, set with each reply, as a load balancer does
        self.script: deque[Scripted] = deque()  # for requests with events, one after the other
        self.poll_script: deque[Scripted] = deque()  # for polls
        self.empty: Scripted | None = None  # for requests without a body
        self.health: Scripted | None = None  # for questions about its health
        self.mischief: Callable[[Seen], Scripted | None] = lambda seen: None  # for any request, after the scripts
        self.seen: list[Seen] = []
        self.port = 0
        self._release = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._tls: ssl.SSLContext | None = None
        self._connections: list[Any] = []
        self._listening: Sequence[Any] = ()

    async def start(self, *, tls: ssl.SSLContext | None = None) -> Self:
        """Listen, on the port of an earlier life if there was one."""
        self._tls = tls or self._tls
        self._release.clear()
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._tls, reuse_address=True)
        await site.start()
        assert site._server is not None
        self._listening = site._server.sockets  # type: ignore[attr-defined] # asyncio's Server
        self.port = self._listening[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Close every connection and stop listening; the queue is written to disk, as in an orderly shutdown."""
        self.indexer.index(float("inf"))
        await self._end()

    async def crash(self) -> None:
        """End as a power cut does: queue, channels and acknowledgements are gone, what is indexed stays."""
        self.indexer.crash()
        await self._end()

    async def restart(self) -> None:
        """Crash and come back on the same port."""
        await self.crash()
        await self.start()

    @property
    def running(self) -> bool:
        """Whether it listens."""
        return self._runner is not None

    @property
    def indexed(self) -> list[Envelope]:
        """Every envelope on its disk, in the order of indexing."""
        self.indexer.index(asyncio.get_running_loop().time())
        return self.indexer.indexed

    @property
    def texts(self) -> list[str]:
        """Each indexed object as it was written."""
        self.indexer.index(asyncio.get_running_loop().time())
        return self.indexer.texts

    def url(self, scheme: str = "http") -> str:
        """Give the URL that a sink is configured with."""
        return f"{scheme}://127.0.0.1:{self.port}"

    def events(self) -> list[Any]:
        """List the indexed events without their envelopes."""
        return [envelope["event"] for envelope in self.indexed]

    def posts(self) -> list[Seen]:
        """List the requests that held events."""
        return [seen for seen in self.seen if seen.path in _EVENTS and seen.body]

    def polls(self) -> list[Seen]:
        """List the polls for acknowledgements."""
        return [seen for seen in self.seen if seen.path in _ACK]

    async def stop_accepting(self) -> None:
        """Take no new connection; those that were taken get their transports.

        asyncio forgets the socket of a connection that it accepted just before its server is closed.
        """
        loop = asyncio.get_running_loop()
        for sock in self._listening:
            loop.remove_reader(sock.fileno())
        for _ in range(3):
            await asyncio.sleep(0)

    async def _end(self) -> None:
        self._release.set()
        if self._runner is not None:
            await self.stop_accepting()
        for transport in self._connections:
            if not transport.is_closing():  # Python 3.11.2 cannot abort a TLS transport that has ended
                transport.abort()
        self._connections.clear()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        if request.transport not in self._connections:
            self._connections.append(request.transport)
        connection = self._connections.index(request.transport)
        seen = Seen(request.path, dict(request.headers), b"", connection)
        scripted = self._scripted(request, seen)
        if scripted is not None and scripted.reset in {"early", "middle"}:
            if scripted.reset == "middle":
                await request.content.readany()
            return self._cut(request)
        raw = await request.read()
        if request.headers.get("Content-Encoding") == "deflate":  # measured: an HTML page
            return web.Response(status=415, text="<html>Unsupported</html>", content_type="text/html")
        compressed = request.headers.get("Content-Encoding") == "gzip"
        # aiohttp's server may have undone the compression itself.
        seen.body = gzip.decompress(raw) if compressed and raw[:2] == b"\x1f\x8b" else raw
        self.seen.append(seen)
        if self.silent or (scripted is not None and scripted.silent and not scripted.index):
            await self._release.wait()
            return self._cut(request)
        self.indexer.index(asyncio.get_running_loop().time())
        if scripted is not None:
            return await self._say(request, scripted, seen)
        reply = await self._reply(request, int(request.headers.get("Content-Length", 0)), seen)
        if self.cookie is not None:
            name, _, value = self.cookie.partition("=")
            reply.set_cookie(name, value)
        if self.closes:
            reply.force_close()
        return reply

    def _scripted(self, request: web.Request, seen: Seen) -> Scripted | None:
        if request.path in _ACK:
            return self.poll_script.popleft() if self.poll_script else self.mischief(seen)
        if request.path in _EVENTS and not request.content_length:
            return self.empty
        if request.path in _EVENTS:
            return self.script.popleft() if self.script else self.mischief(seen)
        return self.health

    def _cut(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None:  # else its sender has gone first
            request.transport.abort()
        raise asyncio.CancelledError

    async def _say(self, request: web.Request, scripted: Scripted, seen: Seen) -> web.StreamResponse:
        outcome = self.indexer.read(seen.body) if request.path in _EVENTS else None
        if outcome is not None and outcome.code and isinstance(scripted.body, dict) and scripted.status == 200:
            return self._collect(0, seen)  # it would be a lie to say that all is taken
        taken = [] if outcome is None else outcome.accepted[: scripted.index]
        ack_id = self._accept(taken, seen) if taken else None
        if scripted.silent:
            await self._release.wait()
            return self._cut(request)
        if scripted.reset == "late":
            if request.path in _ACK:
                self._poll(request, seen)  # told once, and nobody heard it
            return self._cut(request)
        if scripted.reset == "cut":
            reply = web.StreamResponse(
                status=200, headers={"Content-Length": "100", "Content-Type": "application/json"}
            )
            await reply.prepare(request)
            await reply.write(b'{"text":"Succ')
            return self._cut(request)
        if isinstance(scripted.body, dict):
            known = {} if ack_id is None else {"ackId": ack_id}
            return web.json_response({**scripted.body, **known}, status=scripted.status, headers=scripted.headers)
        kind = {} if "Content-Type" in scripted.headers else {"content_type": "text/html"}
        return web.Response(body=scripted.body, status=scripted.status, headers=scripted.headers, **kind)  # type: ignore[arg-type] # one optional argument

    async def _reply(self, request: web.Request, length: int, seen: Seen) -> web.Response:
        if request.path in _HEALTH and request.method == "GET":  # no token needed (measured)
            return _reply(200, 17) if self.healthy else _reply(503, 18)
        if request.path not in _EVENTS | _ACK:
            return _reply(404, 404, text="The requested URL was not found on this server.")
        if request.method != "POST":
            return _reply(405, 404, text="The requested URL was not found on this server.")
        refusal = self._check_token(request)
        if refusal is not None:
            return refusal
        return self._poll(request, seen) if request.path in _ACK else self._collect(length, seen)

    def _check_token(self, request: web.Request) -> web.Response | None:
        given = request.headers.get("Authorization")
        if given is None:
            return _reply(401, 2)
        scheme, _, token = given.partition(" ")
        if scheme != "Splunk" or not token:
            return _reply(401, 3)
        state = self.tokens.get(token)
        if state is None or state == "disabled":
            return _reply(403, 4 if state is None else 1)
        if request.path in _ACK and state != "ack":
            return _reply(400, 14)
        # Measured: a token with acknowledgement takes nothing without a channel.
        nameless = CHANNEL not in request.headers and "channel" not in request.query
        return _reply(400, 10) if state == "ack" and nameless else None

    def _poll(self, request: web.Request, seen: Seen) -> web.Response:
        channel = request.query.get("channel") or seen.headers[CHANNEL]
        ids = json.loads(seen.body)["acks"]
        return web.json_response({"acks": self.indexer.acknowledge(channel, ids)})

    def _collect(self, length: int, seen: Seen) -> web.Response:
        if length > self.largest_body:
            return web.Response(status=413, text="<html>Content too large</html>", content_type="text/html")
        if not seen.body.strip():
            return _reply(400, 5)
        if len(seen.body) > self.cloud_limit:
            return _reply(400, 6, number=0)
        outcome = self.indexer.read(seen.body)
        ack_id = self._accept(outcome.accepted, seen) if outcome.accepted else None
        return _reply(200 if outcome.code == 0 else 400, outcome.code, number=outcome.number, ack_id=ack_id)

    def _accept(self, objects: list[tuple[str, Envelope]], seen: Seen) -> int | None:
        _, _, token = seen.headers.get("Authorization", "").partition(" ")
        now = asyncio.get_running_loop().time()
        ack_id = self.indexer.accept(
            objects, seen.channel if self.tokens.get(token) == "ack" else None, now + self.delay
        )
        if not self.delay:
            self.indexer.index(now)
        return ack_id


def _reply(
    status: int, code: int, *, number: int | None = None, text: str | None = None, ack_id: int | None = None
) -> web.Response:
    body: dict[str, Any] = {"text": _TEXTS.get(code, text) or text, "code": code}
    if number is not None:
        body["invalid-event-number"] = number
    if ack_id is not None:
        body["ackId"] = ack_id
    return web.json_response(body, status=status)
