"""Real nginx in front of several servers, with a cookie that keeps a client at one of them, or without.

Debian's package, unpacked into the cache (nothing is installed, no service is started), unless the machine has it.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.peers import PeerProcess, Program, accepts, free_port, unavailable
from tests.peers.debian import unpacked

_PACKAGES = ("nginx", "libpcre2-8-0", "libcrypt1", "libssl3", "zlib1g")
COOKIE = "SERVERID"


def find_nginx() -> tuple[Path, Path | None]:
    """Find nginx on this machine or in the cache, or fetch it; the program, and its libraries if they are not here."""
    installed = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if installed is not None:
        return Path(installed), None
    root = unpacked("nginx", _PACKAGES)
    for library in root.glob("usr/lib/*/libpcre2-8.so.0"):
        return root / "usr" / "sbin" / "nginx", library.parent
    return unavailable(f"no nginx below {root}")


class Nginx(Program):
    """One nginx on one loopback port, before servers on other ones."""

    def __init__(self, folder: Path, ports: Sequence[int], *, sticky: bool) -> None:
        self.port = free_port()
        self._folder = folder
        self._program, self._libraries = find_nginx()
        (folder / "nginx.conf").write_text(_configuration(folder, self.port, ports, sticky=sticky))

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it listens."""
        libraries = {} if self._libraries is None else {"LD_LIBRARY_PATH": str(self._libraries)}
        files: list[str | Path] = ["-c", self._folder / "nginx.conf", "-e", self._folder / "error.log"]
        command = [self._program, "-p", self._folder, *files]
        self._process = PeerProcess(command, self._folder / "nginx.log", libraries)
        self._process.wait_until(lambda: accepts(self.port))


def _configuration(folder: Path, port: int, ports: Sequence[int], *, sticky: bool) -> str:
    names = {f"127.0.0.1:{one}": f"indexer-{number}" for number, one in enumerate(ports, 1)}
    temporary = " ".join(f"{kind}_temp_path {folder};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return "\n".join(
        [
            "daemon off; master_process off; worker_processes 1;",
            f"pid {folder}/pid; error_log {folder}/error.log warn;",
            "events { worker_connections 256; }",
            f"http {{ access_log off; {temporary}",
            "upstream all {",
            *(f"  server {server};" for server in names),
            "}",
            # One upstream for each, which the cookie chooses; the cookie names whoever answered.
            *(f"upstream {name} {{ server {server}; }}" for server, name in names.items()),
            f"map $cookie_{COOKIE} $chosen {{ default all;",
            *(f"  {name} {name};" for name in names.values()),
            "}",
            "map $upstream_addr $answered { default none;",
            *(f'  "{server}" {name};' for server, name in names.items()),
            "}",
            f"server {{ listen 127.0.0.1:{port}; client_max_body_size 64m;",
            "  location / {",
            f"    proxy_pass http://{'$chosen' if sticky else 'all'};",
            *([f'    add_header Set-Cookie "{COOKIE}=$answered; Path=/" always;'] if sticky else []),
            "  }",
            "} }",
        ]
    )
