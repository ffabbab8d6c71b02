"""Debian's packages, unpacked into the cache: nothing is installed, no service is started."""

import fcntl
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.peers import CACHE, unavailable


def unpacked(name: str, packages: Sequence[str]) -> Path:
    """Give the directory under which *packages* are unpacked, fetched from Debian's archive the first time.

    :param name: of the directory in the cache; another list of packages needs another name
    """
    root = CACHE / name / "root"
    root.parent.mkdir(parents=True, exist_ok=True)
    with (root.parent / "lock").open("w") as lock:  # two test processes fetch once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            _fetch(name, packages, root)
    return root


def _fetch(name: str, packages: Sequence[str], root: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        unavailable(f"{name} is fetched with apt-get and dpkg, and this machine has none")
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        download = ["apt-get", "download", "-q", *packages]
        done = subprocess.run(download, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=False)
            done = subprocess.run(download, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            unavailable(f"{name} cannot be fetched: {done.stderr.strip()[-300:]}")
        for package in Path(folder).glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), f"{folder}/unpacked"], check=True)
        Path(folder, "unpacked").rename(root)  # at the end: what is in the cache is whole
