"""What the tests of the syslog sink against real receivers share."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import trustme

from forwarder.sinks.base import Item, SinkContext
from forwarder.sinks.syslog import SyslogSettings, SyslogSink
from tests.peers.rsyslog import ServerTls
from tests.sinks.contract import make_items

NASTY = 'quote " back\\slash bracket ] element [x@1 y="z"] é漢🛰 tab\t nel\x85 ls\u2028 \n<13>1 - h a - - - forged'


class Peer(Protocol):
    """A receiver of syslog that shows what it made of the messages."""

    transport: Any
    port: int

    def received(self) -> list[dict[str, Any]]: ...

    def said(self) -> str: ...


def make_sink(peer: Peer, **settings: Any) -> SyslogSink:
    """Make a sink for *peer*."""
    chosen = {"url": f"{peer.transport}://127.0.0.1:{peer.port}", "hostname": "host.example", **settings}
    if peer.transport in {"tcp", "tls"}:
        chosen = {"settle": 0.1, **chosen}
    return SyslogSink(SyslogSettings.model_validate(chosen), SinkContext("soc", "journal"))


async def wait_for(peer: Peer, count: int, seconds: float = 30) -> list[dict[str, Any]]:
    """Wait until *count* messages were received."""
    deadline = time.monotonic() + seconds
    while len(found := peer.received()) < count and time.monotonic() < deadline:  # noqa: ASYNC110 # another process
        await asyncio.sleep(0.05)
    assert len(found) == count, peer.said()[-3000:]
    return found


def nasty_items(count: int) -> list[Item]:
    """Make events whose every field tries to break out."""
    items = make_items(count, text=NASTY)
    return [Item(item.seq, dataclasses.replace(item.event, path=NASTY, user_email=NASTY), item.body) for item in items]


def write_tls_files(folder: Path) -> dict[str, Path]:
    """Write certificates of the server `syslog.test` and of the clients `forwarder.test` and `stranger.test`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name in ("syslog", "forwarder", "stranger"):
        issued = authority.issue_cert(f"{name}.test")
        issued.private_key_pem.write_to_path(str(folder / f"{name}.key"))
        for position, part in enumerate(issued.cert_chain_pems):
            part.write_to_path(str(folder / f"{name}.pem"), append=position > 0)
    return {path.name: path for path in folder.iterdir()}


def server_tls(files: dict[str, Path], *permitted: str) -> ServerTls:
    """Describe the receiver's side."""
    return ServerTls(files["ca.pem"], files["syslog.pem"], files["syslog.key"], permitted)


def client_tls(files: dict[str, Path], name: str | None = None) -> dict[str, Any]:
    """Settings of our side, with the certificate of *name*."""
    ours = {} if name is None else {"tls_cert_file": files[f"{name}.pem"], "tls_key_file": files[f"{name}.key"]}
    return {"tls_ca_file": files["ca.pem"], "tls_server_name": "syslog.test", **ours}


Start = Callable[..., Any]
"""Starts a peer on a transport."""


@contextlib.contextmanager
def starting(make: Callable[..., Any]) -> Iterator[Start]:
    """Give what starts the peers that *make* makes; all are ended at the end."""
    started: list[Any] = []

    def begin(transport: str, **options: Any) -> Any:
        peer = make(transport, **options)
        peer.start()
        started.append(peer)
        return peer

    yield begin
    for peer in started:
        peer.stop()
