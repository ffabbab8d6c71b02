"""Persona's own API description, served and enforced by Prism (github.com/stoplightio/prism, npm).

Prism answers with the description's examples, and with 400 or 401 where a request breaks the description. It is
installed once into the cache. The description itself is not part of this repository: :data:`OPENAPI_VARIABLE` names it.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers import CACHE, PeerProcess, accepts, free_port, unavailable

VERSION = "5.14.2"
"""The last release that runs on Node.js 18 and 20."""

OPENAPI_VARIABLE = "PERSONA_OPENAPI_FILE"
"""Environment variable with the path of Persona's OpenAPI description."""

_BESIDE = Path(__file__).resolve().parents[2].parent / "shared" / "reference" / "persona-openapi.json"


@contextmanager
def prism(folder: Path) -> Iterator[str]:
    """Run Prism with its log in *folder*; the base URL to ask."""
    description = _description()
    program = _program()
    port = free_port()
    peer = PeerProcess(
        [program, "mock", "--errors", "--host", "127.0.0.1", "--port", str(port), description], folder / "prism.log"
    )
    try:
        peer.wait_until(lambda: accepts(port), seconds=60)
        yield f"http://127.0.0.1:{port}"
    finally:
        peer.stop()


def _description() -> Path:
    path = Path(os.environ.get(OPENAPI_VARIABLE) or _BESIDE)
    if not path.is_file():
        unavailable(f"{OPENAPI_VARIABLE} does not name Persona's OpenAPI description")
    return path


def _program() -> Path:
    """Prism's command, installed on first use."""
    home = CACHE / f"prism-{VERSION}"
    program = home / "node_modules" / ".bin" / "prism"
    if program.exists():
        return program
    npm = shutil.which("npm")
    if npm is None:
        unavailable("npm is not installed")
    # Into a place of its own first: an installation that was cut must not pass for a whole one.
    unfinished = CACHE / f"prism-{VERSION}.{os.getpid()}"
    unfinished.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--no-fund", "--no-audit", "--ignore-scripts", f"@stoplight/prism-cli@{VERSION}"]
    result = subprocess.run(command, cwd=unfinished, capture_output=True, text=True, timeout=110, check=False)
    if result.returncode != 0:
        shutil.rmtree(unfinished, ignore_errors=True)
        unavailable(f"npm could not install Prism: {result.stderr[-500:]}")
    try:
        unfinished.rename(home)
    except OSError:  # another test process was first
        shutil.rmtree(unfinished, ignore_errors=True)
    return program
