"""Real syslog-ng, as a second judge: its ``syslog()`` and ``network()`` sources write what they parsed as JSON.

Debian's package conflicts with rsyslog, so it is never installed: it is unpacked into the cache, ``loggen`` with it.
"""

import json
import os
import socket
from pathlib import Path
from typing import Any, Literal

from tests.peers import PeerProcess, Program, free_port, listens, unavailable, whole_lines
from tests.peers.debian import unpacked
from tests.peers.rsyslog import ServerTls

Source = Literal["syslog", "network"]
"""``syslog()`` takes RFC 5424 with octet counting, ``network()`` lines of RFC 3164."""

_PACKAGES = (
    *("syslog-ng-core", "libivykis0", "libnet1", "libjson-c5", "libpcre3", "libwrap0", "libnsl2", "libtirpc3"),
    # What those need in turn, and a bare machine may not have.
    *("libglib2.0-0", "libcap2", "libssl3", "libgssapi-krb5-2", "libkrb5-3", "libk5crypto3", "libkrb5support0"),
    *("libkeyutils1", "libcom-err2"),
)
_MACROS = ("PRI", "HOST", "PROGRAM", "PID", "MSGID", "MSG", "ISODATE")


class SyslogNg(Program):
    """One syslog-ng that listens on one loopback port."""

    def __init__(
        self,
        folder: Path,
        transport: Literal["udp", "tcp", "tls"],
        *,
        source: Source = "syslog",
        tls: ServerTls | None = None,
        max_message_bytes: int = 65536,
    ) -> None:
        self.root = find_syslog_ng()
        self.transport = transport
        self.port = free_port(socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM)
        folder.mkdir(exist_ok=True)
        self.output = folder / "received.jsonl"
        self._folder = folder
        pairs = "--key .SDATA.* " + " ".join(f"{name.lower()}=${{{name}}}" for name in _MACROS)
        (folder / "syslog-ng.conf").write_text(
            "\n".join(
                [
                    "@version: 3.38",
                    "options { keep-hostname(yes); chain-hostnames(no); use-dns(no); dns-cache(no); stats-freq(0);",
                    f'  log-msg-size({max_message_bytes}); flush-lines(1); frac-digits(3); time-zone("UTC");',
                    '  recv-time-zone("UTC"); };',
                    f'source in {{ {source}(ip("127.0.0.1") port({self.port}) transport("{transport}")',
                    f"  so-rcvbuf(8388608) log-iw-size(10000){_tls(tls)}); }};",
                    f'destination out {{ file("{self.output}" template("$(format-json {pairs})\\n")); }};',
                    "log { source(in); destination(out); };",
                ]
            )
        )

    def start(self) -> None:
        """Start it and wait until it listens."""
        files = {"cfgfile": "syslog-ng.conf", "persist-file": "persist", "pidfile": "pid", "control": "ctl"}
        modules = self.root / "usr" / "lib" / "syslog-ng" / "3.38"
        self._process = PeerProcess(
            [
                *(self.root / "usr" / "sbin" / "syslog-ng", "--foreground", "--no-caps", f"--module-path={modules}"),
                *(f"--{option}={self._folder / name}" for option, name in files.items()),
            ],
            self._folder / "syslog-ng.log",
            libraries(self.root),
        )
        self._process.wait_until(lambda: listens(self.port, udp=self.transport == "udp"))

    def received(self) -> list[dict[str, Any]]:
        """List the messages in order of arrival, each as the fields that syslog-ng found in it."""
        return [json.loads(line) for line in whole_lines(self.output)]


def find_syslog_ng() -> Path:
    """Give the directory that syslog-ng is unpacked in; skip where it cannot be had."""
    root = unpacked("syslog-ng-3", _PACKAGES)
    if not (root / "usr" / "sbin" / "syslog-ng").exists():
        unavailable(f"no syslog-ng below {root}")
    return root


def libraries(root: Path) -> dict[str, str]:
    """Environment in which the unpacked programs find their libraries."""
    folders = [root / "usr" / "lib" / "syslog-ng", *(root / "usr" / "lib").glob("*-linux-gnu")]
    path = os.pathsep.join(map(str, [*folders, *(root / "lib").glob("*-linux-gnu")]))
    return {"LD_LIBRARY_PATH": path, "SYSLOGNG_PREFIX": str(root / "usr")}


def _tls(tls: ServerTls | None) -> str:
    if tls is None:
        return ""
    verify = "required-trusted" if tls.permitted else "optional-untrusted"
    files = f'key-file("{tls.key_file}") cert-file("{tls.cert_file}") ca-file("{tls.ca_file}")'
    return f" tls({files} peer-verify({verify}))"
