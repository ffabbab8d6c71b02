"""A server on a real socket that answers byte for byte what a test wants, however wrong, and remembers its requests."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from forwarder.clock import SystemClock
from forwarder.collect.persona import PersonaApi
from forwarder.collect.settings import PersonaSettings
from forwarder.metrics import Metrics
from forwarder.secret import Secret

KEY = "persona_production_0123456789abcdef"


@dataclass(frozen=True)
class Request:
    """The head of one request, header names in lower case, and where its connection's further bytes come from."""

    method: str
    target: str
    headers: dict[str, str]
    reader: asyncio.StreamReader


Script = Callable[[asyncio.StreamWriter, Request], Awaitable[None]]


@dataclass
class Server:
    """A running server: where it is, and what it was asked."""

    port: int
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"


@contextlib.asynccontextmanager
async def serving(script: Script | bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Serve *script* (or these bytes, then close) to every request on a loopback port."""
    server = Server(0)
    running: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                request = _parse(await reader.readuntil(b"\r\n\r\n"), reader)
                server.requests.append(request)
                if isinstance(script, bytes):
                    writer.write(script)
                    await writer.drain()
                else:
                    await script(writer, request)
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            running.discard(task)
            writer.close()

    listener = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """A whole HTTP answer that closes its connection; a ``Content-Type`` is JSON unless *headers* have one."""
    lines = [f"HTTP/1.1 {status}", "Connection: close", *headers]
    names = {line.split(":")[0].lower() for line in headers}
    if "content-type" not in names:
        lines.append("Content-Type: application/json")
    if not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def page(*ids: str, following: str | None = None) -> bytes:
    """A page of the list with records of these ids."""
    link = None if following is None else f"/api/v1/user-audit-logs?page%5Bafter%5D={following}"
    records = [{"type": "user-audit-log", "id": name, "attributes": {}} for name in ids]
    return orjson.dumps({"data": records, "links": {"prev": None, "next": link}})


def persona(base_url: str, *, metrics: Metrics | None = None, key: Secret | None = None, **settings: Any) -> PersonaApi:
    """The source under test, asking *base_url*."""
    model = PersonaSettings.model_validate({"api_key": key or Secret(KEY), "base_url": base_url, **settings})
    return PersonaApi(model, metrics=metrics or Metrics("test"), name="persona", clock=SystemClock())


def _parse(head: bytes, reader: asyncio.StreamReader) -> Request:
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    return Request(method, target, {name.lower(): value for name, value in headers.items()}, reader)
