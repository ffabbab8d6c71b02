"""From a URL to an open way to its receiver."""

import asyncio
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import urlsplit

from forwarder.errors import Misconfigured, Retryable
from forwarder.sinks.base import tls_fault
from forwarder.sinks.syslog.datagrams import Datagrams
from forwarder.sinks.syslog.relp import RelpSession
from forwarder.sinks.syslog.settings import WINDOW, SyslogSettings
from forwarder.sinks.syslog.stream import Stream
from forwarder.sinks.syslog.wire import UNWELCOME, Wire

FIRST_DOUBT = 0.25
"""Seconds that a new connection has to live before it is used.

A TLS 1.3 peer refuses our certificate only after the handshake has ended on our side, and a balancer without a
receiver behind it accepts before it hangs up: what is written in that time is lost without a trace. RELP needs no
doubt, for its receiver answers.
"""


class Line(Protocol):
    """An open way to a receiver."""

    async def send(self, messages: Sequence[bytes]) -> None:
        """Return when *messages* are as safe as the transport can know."""

    async def close(self) -> None:
        """Hang up."""


async def dial(settings: SyslogSettings, at: int) -> Line:
    """Connect to the receiver with the URL at this place; whatever fails leaves nothing open.

    :raises Retryable: it is not there, or hung up
    :raises Misconfigured: it cannot be trusted, minds our certificate, or speaks something else
    """
    url = settings.url[at]
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 0
    try:
        if parts.scheme == "udp":
            return await Datagrams.connect(host, port)
        if parts.scheme in {"relp", "relp+tls"}:
            return await _session(settings, host, port)
        return await _stream(settings, host, port)
    except OSError as error:
        fault = tls_fault(error)
        if fault is not None:
            raise Misconfigured(f"{url}: {fault}") from error
        raise Retryable(f"no connection to {url}: {error or type(error).__name__}", kind="connection") from error


async def _session(settings: SyslogSettings, host: str, port: int) -> RelpSession:
    session = RelpSession(WINDOW)
    try:
        await _connect(session, settings, host, port)
        await session.open()
    except BaseException:
        await session.abort()
        raise
    return session


async def _stream(settings: SyslogSettings, host: str, port: int) -> Stream:
    stream = Stream(settings.framing, settings.settle)
    started = asyncio.get_running_loop().time()
    try:
        await _connect(stream, settings, host, port)
        handshake = asyncio.get_running_loop().time() - started
        await stream.outlive(FIRST_DOUBT + 2 * handshake, unanswered=False, hint=UNWELCOME)
    except BaseException:
        await stream.abort()
        raise
    return stream


async def _connect(wire: Wire, settings: SyslogSettings, host: str, port: int) -> None:
    context = settings.tls_context() if settings.has_tls else None
    await wire.connect(host, port)
    if context is not None:
        await wire.start_tls(context, settings.tls_server_name or host)
