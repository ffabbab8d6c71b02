"""Probes, metrics and status over HTTP, for whoever runs the daemon. Read only; it shows no secret.

==============  =====================================================================================================
``/livez``      200 while every heartbeat is recent, else 503; ``{"status": "ok" | "unready", "reasons": [...]}``
``/readyz``     200 while events come in and go out, else 503; the same object
``/metrics``    Prometheus text, version 0.0.4
``/status``     what ``forwarder status --json`` prints
``/``           the same as a page for people
==============  =====================================================================================================

GET and HEAD only; all other methods get 405, all other paths 404. A slow or greedy client cannot keep a probe out: a
connection lives for a minute at most, and where too many are open the oldest one is dropped.
"""

import asyncio
import errno
import hashlib
import socket
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from forwarder.admin.page import STYLE, render
from forwarder.errors import ConfigurationError, Problem
from forwarder.logs import get_logger
from forwarder.metrics import CONTENT_TYPE
from forwarder.pulse import Pulse

CONNECTION_SECONDS = 60.0
"""Longest life of a connection, keep-alive included."""

MAX_CONNECTIONS = 64
"""Connections at once; one more drops the oldest."""

ANSWER_SECONDS = 10.0
"""Longest that status or metrics may take to be collected."""

_STYLE_HASH = b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Server": "persona-siem-forwarder",
    "X-Content-Type-Options": "nosniff",
}

Handler = Callable[[], Awaitable[web.Response]]


class Admin:
    """The HTTP server; :meth:`run` is an actor.

    :param port: 0 picks a free one; :attr:`port` and the log line ``admin.listening`` tell which
    :param liveness: what is wrong with the process, as sentences; empty while it lives
    :param readiness: why the daemon does not do its job, as sentences; empty while it does
    :param status: what ``/status`` shows, as JSON can hold it
    :param metrics: the text that ``/metrics`` shows
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        liveness: Callable[[], Sequence[str]],
        readiness: Callable[[], Sequence[str]],
        status: Callable[[], Awaitable[dict[str, Any]]],
        metrics: Callable[[], Awaitable[bytes]],
    ) -> None:
        self._host = host
        self._wanted_port = port
        self._status = status
        self._metrics = metrics
        self._collecting = asyncio.Lock()
        self._log = get_logger()
        self._routes: dict[str, Handler] = {
            "/livez": lambda: _probe(liveness()),
            "/readyz": lambda: _probe(readiness()),
            "/metrics": self._show_metrics,
            "/status": self._show_status,
            "/": self._show_page,
        }
        self.port: int | None = None
        """The port that it listens on, once it does."""

    async def run(self, pulse: Pulse) -> None:
        """Serve until the stop signal.

        :raises ConfigurationError: the host or the port cannot be listened on
        """
        server = _BoundedServer(self._answer, access_log=None, keepalive_timeout=15.0)
        runner = web.ServerRunner(server, shutdown_timeout=2.0)
        await runner.setup()
        try:
            await self._listen(runner)
            while not await pulse.wait(60):
                pass
        finally:
            await runner.cleanup()
            self.port = None

    async def _listen(self, runner: web.ServerRunner) -> None:
        try:
            await web.TCPSite(runner, self._host, self._wanted_port).start()
        except (OSError, UnicodeError) as error:  # the latter for a name that cannot be one
            raise ConfigurationError([_listen_problem(self._host, self._wanted_port, error)]) from error
        # With port 0 a host of several addresses has a port for each; the first is the one to tell.
        address = runner.addresses[0]
        self.port = address[1]
        self._log.info("admin.listening", host=address[0], port=self.port)

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if request.method not in {"GET", "HEAD"}:
            response = _text(HTTPStatus.METHOD_NOT_ALLOWED)
            response.headers["Allow"] = "GET, HEAD"
        elif request.path not in self._routes:
            response = _text(HTTPStatus.NOT_FOUND)
        else:
            response = await self._guarded(request.path)
        response.headers.update(_HEADERS)
        return response

    async def _guarded(self, path: str) -> web.Response:
        """Answer *path*; what fails while answering is logged and told as a 5xx without details."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._routes[path]()
        except TimeoutError:
            self._log.warning("admin.answer_late", path=path, seconds=ANSWER_SECONDS)
            return _text(HTTPStatus.SERVICE_UNAVAILABLE)
        except Exception:  # noqa: BLE001 # a fault in one page must not hide the others
            self._log.exception("admin.answer_failed", path=path)
            return _text(HTTPStatus.INTERNAL_SERVER_ERROR)

    async def _show_metrics(self) -> web.Response:
        # One at a time: impatient scrapers queue instead of piling reads up in the journal.
        async with self._collecting:
            body = await self._metrics()
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def _show_status(self) -> web.Response:
        async with self._collecting:
            status = await self._status()
        return _json(HTTPStatus.OK, status)

    async def _show_page(self) -> web.Response:
        async with self._collecting:
            status = await self._status()
        return web.Response(text=render(status), content_type="text/html", charset="utf-8")


class _BoundedServer(web.Server):
    """Bounds the number and the life of connections: the server's own time-outs begin only after the first request."""

    def __init__(self, handler: Any, **options: Any) -> None:
        super().__init__(handler, **options)
        self._deadlines: dict[Any, tuple[asyncio.Transport, asyncio.TimerHandle]] = {}

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self._deadlines) >= MAX_CONNECTIONS:
            oldest, timer = self._deadlines.pop(next(iter(self._deadlines)))
            timer.cancel()
            oldest.abort()
        timer = asyncio.get_running_loop().call_later(CONNECTION_SECONDS, transport.abort)
        self._deadlines[handler] = (transport, timer)

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        if handler in self._deadlines:
            self._deadlines.pop(handler)[1].cancel()


async def _probe(reasons: Sequence[str]) -> web.Response:
    status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    return _json(status, {"status": "unready" if reasons else "ok", "reasons": list(reasons)})


def _json(status: HTTPStatus, content: dict[str, Any]) -> web.Response:
    body = orjson.dumps(content, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    return web.Response(body=body, status=status, content_type="application/json")


def _text(status: HTTPStatus) -> web.Response:
    return web.Response(text=f"{status.value} {status.phrase}\n", status=status)


def _listen_problem(host: str, port: int, error: OSError | UnicodeError) -> Problem:
    if isinstance(error, socket.gaierror | UnicodeError) or error.errno == errno.EADDRNOTAVAIL:
        return Problem("FORWARDER_HTTP_HOST", f"{host} is no address of this machine")
    if error.errno == errno.EADDRINUSE:
        advice = "is in use by another program; stop that one, choose another port, or 0 for any free one"
    elif error.errno == errno.EACCES:
        advice = "may not be listened on by this user; choose one above 1023"
    else:
        advice = f"cannot be listened on: {error.strerror}"
    return Problem("FORWARDER_HTTP_PORT", f"port {port} of {host} {advice}")
