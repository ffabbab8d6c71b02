"""Real rsyslog, as the judge of our messages: it writes what *its* parser made of each as a line of JSON.

Debian's packages, unpacked into the cache, unless the machine has rsyslog with its GnuTLS driver and RELP already.
"""

import json
import os
import re
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.peers import PeerProcess, Program, free_port, listens, unavailable, whole_lines
from tests.peers.debian import unpacked

Transport = Literal["udp", "tcp", "tls", "relp", "relp+tls"]

_PACKAGES = ("rsyslog", "rsyslog-gnutls", "rsyslog-relp", "librelp0", "libestr0", "libfastjson4", "liblognorm5")
_NEEDED = ("lmnsd_gtls.so", "imrelp.so", "omrelp.so")
_FIELDS = ("pri", "hostname", "app-name", "procid", "msgid", "structured-data", "msg")


@dataclass(frozen=True)
class Installation:
    """Where the program, its modules and its libraries are."""

    program: Path
    modules: Path
    libraries: Path


@dataclass(frozen=True)
class ServerTls:
    """Files of the receiver's side, and the names of the clients that it takes (none: it asks for no certificate)."""

    ca_file: Path
    cert_file: Path
    key_file: Path
    permitted: Sequence[str] = ()


def find_rsyslog() -> Installation:
    """Find rsyslog on this machine or in the cache, or fetch it from Debian's archive; skip where that cannot be."""
    installed = shutil.which("rsyslogd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if installed is not None:
        for modules in _modules(Path("/usr/lib")):
            return Installation(Path(installed), modules, modules.parent)
    root = unpacked("rsyslog-relp", _PACKAGES)
    for modules in _modules(root):
        return Installation(root / "usr" / "sbin" / "rsyslogd", modules, modules.parent)
    return unavailable(f"no rsyslog with a GnuTLS driver and RELP below {root}")


def _modules(below: Path) -> list[Path]:
    found = {driver.parent for driver in below.glob("**/rsyslog/lmnsd_gtls.so")}
    return [folder for folder in found if all((folder / name).exists() for name in _NEEDED)]


class RsyslogProcess(Program):
    """An rsyslogd with a configuration of the caller's."""

    def __init__(self, folder: Path, configuration: str) -> None:
        self.installation = find_rsyslog()
        self._folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "rsyslog.conf").write_text(configuration)

    def start(self) -> PeerProcess:
        """Start it, without waiting for anything."""
        there = self.installation
        (self._folder / "pid").unlink(missing_ok=True)  # one that was killed leaves it
        files: list[str | Path] = ["-f", self._folder / "rsyslog.conf", "-i", self._folder / "pid"]
        self._process = PeerProcess(
            [there.program, "-n", *files, "-M", there.modules],
            self._folder / "rsyslog.log",
            {"LD_LIBRARY_PATH": str(there.libraries)},
        )
        return self._process


class Rsyslog(RsyslogProcess):
    """One rsyslogd that listens on one loopback port, and writes what it received to a file at once."""

    def __init__(
        self,
        folder: Path,
        transport: Transport,
        *,
        tls: ServerTls | None = None,
        max_message_bytes: int = 8192,
        template: str = "parsed",
    ) -> None:
        self.transport = transport
        self.port = free_port(socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM)
        folder.mkdir(exist_ok=True)
        self.output = folder / "received.jsonl"
        configuration = "\n".join(
            [
                f'global(workDirectory="{folder}" maxMessageSize="{max_message_bytes}"{_tls_files(tls)})',
                'module(load="mmpstrucdata")',
                _input(transport, self.port, tls, max_message_bytes),
                _TEMPLATES,
                # Nothing is queued and each message is flushed: what is in the file was received.
                'ruleset(name="all" queue.type="direct") {',
                '  action(type="mmpstrucdata" sd_name.lowercase="off")',
                f'  action(type="omfile" file="{self.output}" template="{template}" asyncWriting="off"',
                '         flushOnTXEnd="on")',
                "}",
            ],
        )
        super().__init__(folder, configuration)

    def start(self) -> PeerProcess:
        """Start it and wait until it listens."""
        process = super().start()
        process.wait_until(lambda: listens(self.port, udp=self.transport == "udp"))
        return process

    @property
    def url(self) -> str:
        """Where it listens, as our settings have it."""
        return f"{self.transport}://127.0.0.1:{self.port}"

    def received(self) -> list[dict[str, Any]]:
        """List the messages in order of arrival, each as the fields that rsyslog's parsers found in it."""
        # Without structured data, as in RFC 3164, the last property is empty.
        return [json.loads(re.sub(r'"data":\}$', '"data":null}', line)) for line in self.lines()]

    def lines(self) -> list[str]:
        """List the whole lines of its file; the last one may be on its way."""
        return whole_lines(self.output)

    def size(self) -> int:
        """Bytes of its file so far."""
        return self.output.stat().st_size if self.output.exists() else 0


def _tls_files(tls: ServerTls | None) -> str:
    if tls is None:
        return ""
    return (
        f' defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="{tls.ca_file}"'
        f' defaultNetstreamDriverCertFile="{tls.cert_file}" defaultNetstreamDriverKeyFile="{tls.key_file}"'
    )


def _input(transport: Transport, port: int, tls: ServerTls | None, longest: int) -> str:
    where = f'address="127.0.0.1" port="{port}" ruleset="all"'
    if transport == "udp":
        return f'module(load="imudp")\ninput(type="imudp" rcvbufSize="8m" {where})'
    permitted = ",".join(f'"{name}"' for name in tls.permitted) if tls else ""
    if transport in {"relp", "relp+tls"}:
        return f'module(load="imrelp")\ninput(type="imrelp" maxDataSize="{longest}" {where}{_relp_tls(tls, permitted)})'
    driver = ""
    if tls is not None:
        named = f'streamDriver.authMode="x509/name" permittedPeer=[{permitted}]'
        who = named if permitted else 'streamDriver.authMode="anon"'
        driver = f' streamDriver.name="gtls" streamDriver.mode="1" {who}'
    return f'module(load="imtcp"{driver})\ninput(type="imtcp" {where})'


def _relp_tls(tls: ServerTls | None, permitted: str) -> str:
    if tls is None:
        return ""
    files = f'tls.caCert="{tls.ca_file}" tls.myCert="{tls.cert_file}" tls.myPrivKey="{tls.key_file}"'
    who = f' tls.authMode="name" tls.permittedPeer=[{permitted}]' if permitted else ""
    return f' tls="on" {files}{who}'


_TEMPLATES = "\n".join(
    [
        'template(name="parsed" type="list") {',
        '  constant(value="{")',
        *(f'  property(outname="{name}" name="{name}" format="jsonf") constant(value=",")' for name in _FIELDS),
        '  property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")',
        '  constant(value=",\\"data\\":") property(name="$!rfc5424-sd") constant(value="}\\n")',
        "}",
        'template(name="id" type="string" string="%$!rfc5424-sd!persona@32473!id%\\n")',
        'template(name="mark" type="string" string="%app-name% %$!rfc5424-sd!persona@32473!seq%\\n")',
    ],
)
