"""The way from the daemon to Persona: in plain text on this machine, over TLS, or over TLS through an HTTP proxy.

Over TLS, ``persona.example`` stands before the simulated Persona and takes its connections with a certificate of an
authority that the daemon is told to trust. The proxy opens tunnels to it, for those who bear its password where it
wants one. Both go wrong on request, and all that they do wrong is mended while the daemon runs.
"""

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from base64 import b64encode
from collections.abc import MutableMapping
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from typing import Any
from urllib.parse import quote

import trustme

from tests.simulation.network import Network
from tests.simulation.plan import Route

HOST = ("persona.example", 443)
PROXY = ("proxy.example", 3128)
USER, PASSWORD = "forwarder", "pass word/42"
CREDENTIALS = b"Basic " + b64encode(f"{USER}:{PASSWORD}".encode())
NO_TUNNEL = {"407": b"Proxy Authentication Required", "403": b"Forbidden", "502": b"Bad Gateway"}
"""Troubles of the proxy that are answers."""

_OF_PROXIES = ("https_proxy", "http_proxy", "all_proxy", "no_proxy")


class Way:
    """One world's way.

    :param plain: where the simulated Persona listens
    :ivar trouble: what is wrong with it at the moment; empty if nothing is
    :ivar broken_at: when it has closed all connections at once
    :ivar overheard: what was said to a server whose certificate is not to be trusted
    """

    def __init__(self, kind: Route, network: Network, plain: tuple[str, int], folder: Path) -> None:
        self.kind = kind
        self.trouble = ""
        self.broken_at: list[float] = []
        self._tunnels: set[asyncio.Task[None]] = set()
        self.overheard: list[bytes] = []
        self._network = network
        self._plain = plain
        self._own = copy_context()
        self._anchors = folder / "anchors.pem"
        if self.is_encrypted:
            self._renew()
            self._trust()

    @property
    def is_encrypted(self) -> bool:
        """Whether what is said on it can be read by nobody else."""
        return self.kind in {"tls", "proxy", "proxy-password"}

    @property
    def is_proxied(self) -> bool:
        """Whether the daemon itself has no other way than the proxy."""
        return self.kind.startswith("proxy")

    @property
    def persona(self) -> tuple[str, int]:
        """Where Persona is reached."""
        return HOST if self.is_encrypted else self._plain

    @property
    def first(self) -> tuple[str, int]:
        """Whom the daemon calls."""
        return PROXY if self.is_proxied else self.persona

    def variables(self) -> dict[str, str]:
        """What the operator writes for it."""
        if self.is_encrypted:
            url = f"https://{HOST[0]}/api/v1"
            return {"FORWARDER_PERSONA_BASE_URL": url, "FORWARDER_PERSONA_TLS_CA_FILE": str(self._anchors)}
        host = "localhost" if self.kind == "localhost" else self._plain[0]
        return {"FORWARDER_PERSONA_BASE_URL": f"http://{host}:{self._plain[1]}/api/v1"}

    def enter(self, environment: MutableMapping[str, str]) -> None:
        """Set the proxy of a life that begins now, and no other."""
        for name in _OF_PROXIES:
            environment.pop(name, None)
            environment.pop(name.upper(), None)
        if not self.is_proxied:
            return
        credentials = f"{quote(USER)}:{quote(PASSWORD, safe='')}@" if self.kind == "proxy-password" else ""
        scheme = "socks5" if self.trouble == "socks" else "http"
        environment["HTTPS_PROXY"] = f"{scheme}://{credentials}{PROXY[0]}:{PROXY[1]}"

    async def open(self) -> None:
        """Listen, once the simulated Persona does."""
        if self.is_encrypted:
            self._behind = self._network.protocol_factory(self._plain)
            await asyncio.get_running_loop().create_server(self._take, *HOST)
        if self.is_proxied:
            await asyncio.start_server(self._dig, *PROXY)

    def suffer(self, trouble: str) -> None:
        """Go wrong as *trouble* says, and close what is open; with an empty one, be well again."""
        was, self.trouble = self.trouble, trouble
        if trouble == "untrusted":
            self._renew()
        elif was == "untrusted":
            self._trust()  # the operator's turn: the authority stays another one
        if trouble == "away":
            self._network.weather[PROXY] = "refused"
        elif was == "away":
            self._network.weather.pop(PROXY, None)
        if trouble:
            self.broken_at.append(asyncio.get_running_loop().time())
            self._network.hang_up(self.first)

    # Inside

    def _renew(self) -> None:
        """Take a certificate of an authority that nobody knows yet."""
        self._authority = trustme.CA()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(HOST[0]).configure_cert(self._context)

    def _trust(self) -> None:
        self._authority.cert_pem.write_to_path(str(self._anchors))

    def _take(self) -> Any:
        if self.trouble == "no-tls":
            return _Babbler()
        loop = asyncio.get_running_loop()
        shaken: asyncio.Future[Any] = loop.create_future()
        # How it went, the client knows as well; unless it is dead, and runs no callback that would be its own.
        shaken.add_done_callback(lambda done: done.exception(), context=self._own)
        server = _Eavesdropper(self.overheard) if self.trouble == "untrusted" else self._behind()
        return SSLProtocol(loop, server, self._context, shaken, server_side=True)

    def _dig(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tunnel = asyncio.get_running_loop().create_task(self._tunnel(reader, writer))
        self._tunnels.add(tunnel)  # or one that waits for ever is nobody's, and ends with the next garbage
        tunnel.add_done_callback(self._tunnels.discard)

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            wanted = await reader.readuntil(b"\r\n\r\n")
            if self.trouble == "hang":
                await asyncio.Event().wait()
            allowed = self.kind == "proxy" or b"Proxy-Authorization: " + CREDENTIALS + b"\r\n" in wanted
            status = self.trouble if self.trouble in NO_TUNNEL else "" if allowed else "407"
            if not status:
                host, _, port = wanted.split(b" ")[1].decode().rpartition(":")
                try:
                    there = await asyncio.open_connection(host, int(port))
                except OSError:
                    status = "502"
            if status:
                writer.write(b"HTTP/1.1 %s %s\r\nContent-Length: 0\r\n\r\n" % (status.encode(), NO_TUNNEL[status]))
            else:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))
        writer.close()


class _Babbler(asyncio.Protocol):
    """Answers in plain text where TLS is spoken."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep whom to answer."""
        self._transport = transport

    def data_received(self, _: bytes) -> None:
        """Whatever it was."""
        assert isinstance(self._transport, asyncio.Transport)
        self._transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        self._transport.close()


class _Eavesdropper(asyncio.Protocol):
    """Keeps what it is told."""

    def __init__(self, overheard: list[bytes]) -> None:
        self._overheard = overheard

    def data_received(self, data: bytes) -> None:
        """Say nothing."""
        self._overheard.append(data)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
    except OSError:
        writer.transport.abort()
    else:
        writer.close()
