"""Prometheus' own ``promtool``, as the judge of our metrics. Debian's package, unpacked into the cache."""

import fcntl
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.peers import CACHE, unavailable


def promtool() -> Path:
    """Find promtool on this machine or in the cache, or fetch it from Debian's archive; skip where that cannot be."""
    installed = shutil.which("promtool")
    if installed is not None:
        return Path(installed)
    folder = CACHE / "prometheus"
    program = folder / "root" / "usr" / "bin" / "promtool"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:  # two test processes fetch once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            _fetch(folder)
    return program


def _fetch(folder: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        unavailable("promtool is fetched with apt-get, which this machine does not have")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        for command in (["apt-get", "download", "prometheus"], ["dpkg", "-x", "*.deb", "root"]):
            found = [str(path) for path in Path(scratch).glob("*.deb")]
            done = subprocess.run(
                [part for word in command for part in (found if word == "*.deb" else [word])],
                cwd=scratch,
                capture_output=True,
                text=True,
                timeout=110,
                check=False,
            )
            if done.returncode != 0:
                unavailable(f"{' '.join(command)} failed: {done.stderr.strip()[-300:]}")
        # Renamed at the end: what is in the cache is whole.
        (Path(scratch) / "root").rename(folder / "root")
