"""Real rsyslog, as the judge of our messages: it writes what *its* parser made of each as a line of JSON.

Debian's packages, unpacked into the cache (nothing is installed, no service is started), unless the machine has
rsyslog with its GnuTLS driver already.
"""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.peers import CACHE, PeerProcess, accepts, free_port, unavailable

_PACKAGES = ("rsyslog", "rsyslog-gnutls", "libestr0", "libfastjson4", "liblognorm5")
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
        for drivers in Path("/usr/lib").glob("**/rsyslog/lmnsd_gtls.so"):
            return Installation(Path(installed), drivers.parent, drivers.parent.parent)
    root = CACHE / "rsyslog" / "root"
    root.parent.mkdir(parents=True, exist_ok=True)
    with (root.parent / "lock").open("w") as lock:  # two test processes fetch once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            _fetch(root)
    for drivers in root.glob("usr/lib/**/lmnsd_gtls.so"):
        return Installation(root / "usr" / "sbin" / "rsyslogd", drivers.parent, drivers.parent.parent)
    return unavailable(f"no rsyslog with a GnuTLS driver below {root}")


def _fetch(root: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        unavailable("rsyslog is fetched with apt-get and dpkg, and this machine has none")
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        download = ["apt-get", "download", "-q", *_PACKAGES]
        done = subprocess.run(download, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=False)
            done = subprocess.run(download, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            unavailable(f"rsyslog cannot be fetched: {done.stderr.strip()[-300:]}")
        for package in Path(folder).glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), f"{folder}/unpacked"], check=True)
        Path(folder, "unpacked").rename(root)


class Rsyslog:
    """One rsyslogd that listens on one loopback port."""

    def __init__(
        self,
        folder: Path,
        transport: Literal["udp", "tcp", "tls"],
        *,
        tls: ServerTls | None = None,
        max_message_bytes: int = 8192,
    ) -> None:
        self.installation = find_rsyslog()
        self.transport = transport
        self.port = free_port(socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM)
        self.output = folder / "received.jsonl"
        self._folder = folder
        self._process: PeerProcess | None = None
        (folder / "rsyslog.conf").write_text(
            "\n".join(
                [
                    f'global(workDirectory="{folder}" maxMessageSize="{max_message_bytes}"{_tls_files(tls)})',
                    'module(load="mmpstrucdata")',
                    _input(transport, self.port, tls),
                    _TEMPLATE,
                    # Nothing is queued and each message is flushed: what is in the file was received.
                    'ruleset(name="all" queue.type="direct") {',
                    '  action(type="mmpstrucdata" sd_name.lowercase="off")',
                    f'  action(type="omfile" file="{self.output}" template="parsed" asyncWriting="off"',
                    '         flushOnTXEnd="on")',
                    "}",
                ],
            ),
        )

    def start(self) -> None:
        """Start it and wait until it listens."""
        there = self.installation
        files: list[str | Path] = ["-f", self._folder / "rsyslog.conf", "-i", self._folder / "pid"]
        self._process = PeerProcess(
            [there.program, "-n", *files, "-M", there.modules],
            self._folder / "rsyslog.log",
            {"LD_LIBRARY_PATH": str(there.libraries)},
        )
        self._process.wait_until(self._listens)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()

    def received(self) -> list[dict[str, Any]]:
        """List the messages in order of arrival, each as the fields that rsyslog's parsers found in it."""
        if not self.output.exists():
            return []
        whole, _, _ = self.output.read_text().rpartition("\n")  # the last line may be on its way
        return [json.loads(line) for line in whole.splitlines()]

    def said(self) -> str:
        """Read its own log."""
        return (self._folder / "rsyslog.log").read_text()

    def _listens(self) -> bool:
        if self.transport != "udp":
            return accepts(self.port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError:
                return True
        return False


def _tls_files(tls: ServerTls | None) -> str:
    if tls is None:
        return ""
    return (
        f' defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="{tls.ca_file}"'
        f' defaultNetstreamDriverCertFile="{tls.cert_file}" defaultNetstreamDriverKeyFile="{tls.key_file}"'
    )


def _input(transport: str, port: int, tls: ServerTls | None) -> str:
    if transport == "udp":
        return f'module(load="imudp")\ninput(type="imudp" address="127.0.0.1" port="{port}" ruleset="all")'
    driver = ""
    if tls is not None:
        permitted = ",".join(f'"{name}"' for name in tls.permitted)
        named = f'streamDriver.authMode="x509/name" permittedPeer=[{permitted}]'
        who = named if permitted else 'streamDriver.authMode="anon"'
        driver = f' streamDriver.name="gtls" streamDriver.mode="1" {who}'
    return f'module(load="imtcp"{driver})\ninput(type="imtcp" address="127.0.0.1" port="{port}" ruleset="all")'


_TEMPLATE = "\n".join(
    [
        'template(name="parsed" type="list") {',
        '  constant(value="{")',
        *(f'  property(outname="{name}" name="{name}" format="jsonf") constant(value=",")' for name in _FIELDS),
        '  property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")',
        '  constant(value=",\\"data\\":") property(name="$!rfc5424-sd") constant(value="}\\n")',
        "}",
    ],
)
