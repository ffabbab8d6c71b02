"""``python -m benchmarks.syslog``: events a second into one rsyslog, by transport, beside other senders.

Each sender runs on one core and sends the same messages to the same receiver, which has the other core; the clock
stops when the receiver has written the last of them. The ratio is that of ours to the quickest other on that transport.
"""

import argparse
import asyncio
import multiprocessing
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from forwarder.formats import FORMATS
from forwarder.journal import StoredEvent
from forwarder.sinks.base import Item
from forwarder.sinks.syslog.message import Header, write_message
from tests.peers.rsyslog import Rsyslog, RsyslogProcess
from tests.peers.syslog_ng import find_syslog_ng, libraries
from tests.sinks.syslog_peers import client_tls, make_sink, server_tls, write_tls_files
from tests.soaks.delivery import Delivery, resources

SENDER_CORE, RECEIVER_CORE = 0, 1
PATIENCE = 300.0


@dataclass(frozen=True)
class Run:
    """One run: messages that arrived, seconds by the wall, seconds of the sender's processor time."""

    arrived: int
    wall: float
    cpu: float


@dataclass(frozen=True)
class Load:
    """What everybody sends."""

    events: int
    messages: list[bytes]
    file: Path
    """The messages, a line each."""
    stored: list[StoredEvent]
    """The events, as our journal holds them."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.syslog", description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with TemporaryDirectory(prefix="forwarder-syslog-") as name:
        folder = Path(name)
        load = _load(options.events, folder)
        size = median(map(len, load.messages))
        print(f"{options.events:,} messages of {size:.0f} bytes, median of {options.runs} runs:", end=" ")
        print("events/s by the wall, and for each second of the sender's processor time", flush=True)
        for transport in ("udp", "tcp", "tls", "relp", "relp+tls"):
            runs = {
                sender: [_run(folder, transport, load, send) for _ in range(options.runs)]
                for sender, send in SENDERS.items()
                if transport in SUPPORTED[sender]
            }
            wall = {sender: median(run.arrived / run.wall for run in found) for sender, found in runs.items()}
            core = {sender: median(load.events / run.cpu for run in found) for sender, found in runs.items()}
            told = ", ".join(f"{sender} {wall[sender]:,.0f} ({core[sender]:,.0f})" for sender in runs)
            print(f"  {transport:<9}{told}; ours / best other {_ratio(wall):.2f} ({_ratio(core):.2f})", flush=True)


def _ratio(rates: dict[str, float]) -> float:
    return rates["ours"] / max(rate for sender, rate in rates.items() if sender != "ours")


def _load(events: int, folder: Path) -> Load:
    delivery = Delivery(make_sink(_Nowhere()))
    delivery.release(resources(events, seed=1))
    stored = delivery.journal.events
    header = Header(13, "host.example", "persona", "persona@32473")
    read = ((one.seq, one.event()) for one in stored)
    messages = [write_message(Item(seq, event, FORMATS["json"](event)), header) for seq, event in read]
    file = folder / "messages"
    file.write_bytes(b"".join(message + b"\n" for message in messages))
    return Load(events, messages, file, stored)


class _Nowhere:
    """A receiver that nothing is sent to."""

    transport, port = "tcp", 1

    def received(self) -> list[dict[str, Any]]:
        return []

    def said(self) -> str:
        return ""


@contextmanager
def _receiver(folder: Path, transport: Any) -> Iterator[tuple[Rsyslog, dict[str, Path]]]:
    with TemporaryDirectory(dir=folder) as name:
        files = write_tls_files(Path(name))
        # imrelp without names speaks TLS without certificates, which nobody but librelp does.
        names = ("forwarder.test",) if transport == "relp+tls" else ()
        tls = server_tls(files, *names) if "tls" in transport else None
        receiver = Rsyslog(Path(name) / "receiver", transport, tls=tls, template="mark")
        with _on(RECEIVER_CORE):
            receiver.start()
        try:
            yield receiver, files
        finally:
            receiver.stop()


def _run(folder: Path, transport: str, load: Load, send: Callable[..., None]) -> Run:
    """From the start of the sender until the receiver has written everything; UDP counts what arrived."""
    with _receiver(folder, transport) as (receiver, files), ThreadPoolExecutor(1) as watcher:
        watching = watcher.submit(_watch, receiver, load.events)
        before, began = _cpu(), time.monotonic()
        with _on(SENDER_CORE):
            send(receiver, files, load, lambda: watching.result()[0])
        arrived, ended = watching.result()
        return Run(arrived, ended - began, _cpu() - before)


def _cpu() -> float:
    """Processor seconds of every child that has ended: the senders are children, and the receiver still runs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _watch(receiver: Rsyslog, events: int) -> tuple[int, float]:
    deadline, seen, at = time.monotonic() + PATIENCE, 0, time.monotonic()
    while time.monotonic() < deadline:
        now = receiver.output.read_bytes().count(b"\n") if receiver.output.exists() else 0
        if now != seen:
            seen, at = now, time.monotonic()
        if seen >= events or (receiver.transport == "udp" and seen and time.monotonic() > at + 1):
            return seen, at
        time.sleep(0.02)
    raise SystemExit(f"{seen} of {events} arrived: {receiver.said()[-1000:]}")


@contextmanager
def _on(core: int) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core} if core in before else before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _ours(receiver: Rsyslog, files: dict[str, Path], load: Load, _arrived: Callable[[], int]) -> None:
    """Send with the real worker and sink, default settings, from a journal in memory."""
    settings: dict[str, Any] = client_tls(files, "forwarder") if "tls" in receiver.transport else {}
    if receiver.transport in {"tcp", "tls"}:
        settings["settle"] = "1s"

    async def deliver() -> None:
        delivery = Delivery(make_sink(receiver, **settings))
        delivery.journal.events = load.stored
        async with delivery.running():
            await delivery.all_acknowledged(PATIENCE)

    # As the others, a process of its own, whose processor time can be told.
    child = multiprocessing.get_context("fork").Process(target=lambda: asyncio.run(deliver()))
    child.start()
    child.join()
    if child.exitcode != 0:
        raise SystemExit(f"ours ended with {child.exitcode}")


def _logger(receiver: Rsyslog, _files: dict[str, Path], load: Load, _arrived: Callable[[], int]) -> None:
    """``logger`` of util-linux: its own header, our text."""
    how = ["--udp"] if receiver.transport == "udp" else ["--tcp", "--octet-count"]
    target = ["--server", "127.0.0.1", "--port", str(receiver.port), "--size", "8192", "--rfc5424=notime,notq,nohost"]
    subprocess.run(["logger", *how, *target, "--file", str(load.file)], check=True)


def _loggen(receiver: Rsyslog, _files: dict[str, Path], load: Load, _arrived: Callable[[], int]) -> None:
    """``loggen`` of syslog-ng, which reads whole messages from a file."""
    root = find_syslog_ng()
    how = {"udp": ["--inet", "--dgram"], "tcp": ["--inet", "--stream"], "tls": ["--use-ssl"]}[receiver.transport]
    rate = ["--rate", "1000000", "--number", str(load.events), "--interval", "60", "--dont-parse", "--quiet"]
    command = [
        str(root / "usr/bin/loggen"),
        *how,
        *rate,
        "--read-file",
        str(load.file),
        "127.0.0.1",
        str(receiver.port),
    ]
    subprocess.run(command, check=True, env={**os.environ, **libraries(root)}, capture_output=True)


def _omfwd(receiver: Rsyslog, files: dict[str, Path], load: Load, arrived: Callable[[], int]) -> None:
    """Rsyslog: ``imfile`` reads the messages, ``omfwd`` or ``omrelp`` sends them as they are."""
    folder = receiver.output.parent / "sender"
    where = f'target="127.0.0.1" port="{receiver.port}"'
    ca_file = files["ca.pem"]
    driver = f' defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="{ca_file}"'
    secure = driver if receiver.transport == "tls" else ""
    action = {
        "udp": f'type="omfwd" {where} protocol="udp"',
        "tcp": f'type="omfwd" {where} protocol="tcp" TCP_Framing="octet-counted"',
        "tls": f'type="omfwd" {where} protocol="tcp" TCP_Framing="octet-counted" StreamDriver="gtls"'
        ' StreamDriverMode="1" StreamDriverAuthMode="anon"',
        "relp": f'type="omrelp" {where}',
        "relp+tls": f'type="omrelp" {where} tls="on" tls.caCert="{ca_file}" tls.myCert="{files["forwarder.pem"]}"'
        f' tls.myPrivKey="{files["forwarder.key"]}" tls.authMode="name" tls.permittedPeer=["syslog.test"]',
    }[receiver.transport]
    sender = RsyslogProcess(
        folder,
        "\n".join(
            [
                f'global(workDirectory="{folder}" maxMessageSize="8192"{secure})',
                'module(load="imfile" mode="inotify")',
                'module(load="omrelp")' if "relp" in receiver.transport else "",
                'template(name="asis" type="string" string="%msg%")',
                f'input(type="imfile" file="{load.file}" tag="x" ruleset="send")',
                f'ruleset(name="send") {{ action({action} template="asis" action.resumeRetryCount="-1") }}',
            ]
        ),
    )
    sender.start()
    arrived()
    sender.stop()


SENDERS: dict[str, Callable[..., None]] = {"ours": _ours, "logger": _logger, "loggen": _loggen, "rsyslog": _omfwd}
SUPPORTED = {
    "ours": {"udp", "tcp", "tls", "relp", "relp+tls"},
    "logger": {"udp", "tcp"},
    "loggen": {"udp", "tcp", "tls"},
    "rsyslog": {"udp", "tcp", "tls", "relp", "relp+tls"},
}

if __name__ == "__main__":
    main()
