"""An HTTP Event Collector of ours that behaves as Splunk was measured to, and knows which events it has indexed.

It is an oracle, not a stand-in for convenience: it indexes a request object by object and stops at the first bad one,
throws an object with an unknown key away with HTTP 200 and all that follow it, counts wrongly for a wrong index, and
answers like Splunk Cloud when a body is too large. It reads JSON with the standard library, the forwarder with another.
"""

import asyncio
import gzip
import json
import ssl
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from aiohttp import web

TOKEN = "5e1f6c1e-0f3a-4f2b-9d57-hec-secret"

_KNOWN_KEYS = {"time", "host", "source", "sourcetype", "index", "event", "fields"}
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
    15: "Error in handling indexed fields",
}


@dataclass
class Scripted:
    """One prepared answer: a reply in place of the collector's own, a reset, or silence.

    ``index`` objects are indexed before it. ``reset`` cuts the connection: ``early`` before the body is read, ``late``
    after it was indexed.
    """

    status: int = 200
    body: bytes | dict[str, Any] = b""
    headers: dict[str, str] = field(default_factory=dict)
    index: int = 0
    reset: Literal["", "early", "late"] = ""
    silent: bool = False


@dataclass
class Seen:
    """One request as it came: headers, path, and the body after decompression."""

    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


class HecServer:
    """A collector on the loopback. Attributes may be changed while it runs."""

    def __init__(self) -> None:
        self.tokens = {TOKEN: "enabled"}  # or "disabled", or "ack": it demands a channel
        self.indexes = {"main", "audit"}
        self.default_index = "main"
        self.largest_body = 838_860_800  # max_content_length: more is 413
        self.cloud_limit = 5_500_000  # more is code 6 about event 0
        self.refuse: bytes | None = None  # objects that hold this are malformed
        self.silent = False
        self.script: deque[Scripted] = deque()  # for requests with a body, one after the other
        self.empty: Scripted | None = None  # for requests without one
        self.indexed: list[dict[str, Any]] = []
        self.texts: list[str] = []  # each indexed object as it was written
        self.seen: list[Seen] = []
        self.port = 0
        self._release = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._tls: ssl.SSLContext | None = None
        self._connections: list[Any] = []

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
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined] # asyncio's Server
        return self

    async def stop(self) -> None:
        """Close every connection and stop listening."""
        self._release.set()
        for transport in self._connections:
            transport.abort()
        self._connections.clear()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def url(self, scheme: str = "http") -> str:
        """Give the URL that a sink is configured with."""
        return f"{scheme}://127.0.0.1:{self.port}"

    def events(self) -> list[Any]:
        """List the indexed events without their envelopes."""
        return [envelope["event"] for envelope in self.indexed]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        if request.transport not in self._connections:
            self._connections.append(request.transport)
        scripted = self.empty
        if request.content_length:
            scripted = self.script.popleft() if self.script else None
        if scripted is not None and scripted.reset == "early":
            request.transport.abort()
            raise asyncio.CancelledError
        raw = await request.read()
        if request.headers.get("Content-Encoding") == "deflate":
            return web.Response(status=415, text="<html>Unsupported</html>", content_type="text/html")
        compressed = request.headers.get("Content-Encoding") == "gzip"
        # aiohttp's server may have undone the compression itself.
        body = gzip.decompress(raw) if compressed and raw[:2] == b"\x1f\x8b" else raw
        connection = self._connections.index(request.transport)
        self.seen.append(Seen(request.path, dict(request.headers), body, connection))
        if self.silent or (scripted is not None and scripted.silent):
            await self._release.wait()
            request.transport.abort()
            raise asyncio.CancelledError
        if scripted is not None:
            return self._say(request, scripted, body)
        return self._collect(request, len(raw), body)

    def _say(self, request: web.Request, scripted: Scripted, body: bytes) -> web.StreamResponse:
        for text, envelope in self._objects(body)[: scripted.index]:
            self._index(text, envelope)
        if scripted.reset:
            assert request.transport is not None
            request.transport.abort()
            raise asyncio.CancelledError
        if isinstance(scripted.body, dict):
            return web.json_response(scripted.body, status=scripted.status, headers=scripted.headers)
        kind = {} if "Content-Type" in scripted.headers else {"content_type": "text/html"}
        return web.Response(body=scripted.body, status=scripted.status, headers=scripted.headers, **kind)  # type: ignore[arg-type] # one optional argument

    def _collect(self, request: web.Request, length: int, body: bytes) -> web.Response:
        refusal = self._check_place(request) or self._check_token(request)
        if refusal is not None:
            return refusal
        if length > self.largest_body:
            return web.Response(status=413, text="<html>Content too large</html>", content_type="text/html")
        if not body.strip():
            return _reply(400, 5)
        if len(body) > self.cloud_limit:
            return _reply(400, 6, number=0)
        return self._take(body)

    def _check_place(self, request: web.Request) -> web.Response | None:
        if request.path not in {"/services/collector/event", "/services/collector", "/services/collector/event/1.0"}:
            return _reply(404, 404, text="The requested URL was not found on this server.")
        if request.method != "POST":
            return _reply(405, 404, text="The requested URL was not found on this server.")
        return None

    def _check_token(self, request: web.Request) -> web.Response | None:
        given = request.headers.get("Authorization")
        if given is None:
            return _reply(401, 2)
        scheme, _, token = given.partition(" ")
        if scheme != "Splunk" or not token:
            return _reply(401, 3)
        state = self.tokens.get(token)
        if state is None:
            return _reply(403, 4)
        if state == "disabled":
            return _reply(403, 1)
        if state == "ack" and "X-Splunk-Request-Channel" not in request.headers:
            return _reply(400, 10)
        return None

    def _take(self, body: bytes) -> web.Response:
        """Index object after object, up to the first that is refused."""
        text = body.decode()
        number = position = 0
        while position < len(text):
            try:
                found, end = json.JSONDecoder().raw_decode(text, position)
            except json.JSONDecodeError:
                return _reply(400, 6, number=number)
            written, position = text[position:end], end + len(text[end:]) - len(text[end:].lstrip())
            if not isinstance(found, dict) or (self.refuse is not None and self.refuse in written.encode()):
                return _reply(400, 6, number=number)
            if not set(found) <= _KNOWN_KEYS or ("fields" in found and "event" not in found):
                break  # HTTP 200, and this object and all that follow it are gone
            code = self._refusal(found)
            if code is not None:
                return _reply(400, code, number=number + 1 if code == 7 else number)
            self._index(written, found)
            number += 1
        return _reply(200, 0)

    def _refusal(self, envelope: dict[str, Any]) -> int | None:
        if "event" not in envelope:
            return 12
        if envelope["event"] == "":
            return 13
        fields = envelope.get("fields", {})
        if not isinstance(fields, dict) or not all(isinstance(value, str | list) for value in fields.values()):
            return 15
        if envelope.get("index", self.default_index) not in self.indexes:
            return 7
        return None

    def _objects(self, body: bytes) -> list[tuple[str, dict[str, Any]]]:
        return [(line, json.loads(line)) for line in body.decode().split("\n") if line]

    def _index(self, text: str, envelope: dict[str, Any]) -> None:
        self.texts.append(text)
        self.indexed.append(envelope)


def _reply(status: int, code: int, *, number: int | None = None, text: str | None = None) -> web.Response:
    body: dict[str, Any] = {"text": _TEXTS.get(code, text) or text, "code": code}
    if number is not None:
        body["invalid-event-number"] = number
    return web.json_response(body, status=status)
