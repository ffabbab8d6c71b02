"""Splunk's own judge of apps, AppInspect (PyPI ``splunk-appinspect``), in an environment apart."""

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import orjson

from tests.peers import CACHE, unavailable

VERSION = "4.3.1"


def inspect(app: Path, folder: Path) -> dict[str, Any]:
    """Pack *app*, inspect it as Splunk Cloud would, and give the report."""
    packed, report = folder / f"{app.name}.tgz", folder / "report.json"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(app, app.name)
    command = [_program(), "inspect", packed, "--mode", "precert", "--included-tags", "cloud"]
    command += ["--output-file", report, "--data-format", "json"]
    done = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True, check=False)
    if not report.exists():
        raise AssertionError(f"no report: {done.stdout[-2000:]} {done.stderr[-2000:]}")
    found: dict[str, Any] = orjson.loads(report.read_bytes())
    return found


def _program() -> Path:
    """AppInspect's command, installed on first use."""
    home = CACHE / f"appinspect-{VERSION}-{sys.version_info.major}.{sys.version_info.minor}"
    program = home / "bin" / "splunk-appinspect"
    if (home / "whole").exists():
        return program
    # A virtual environment cannot be moved, so a mark says that the installation was not cut.
    shutil.rmtree(home, ignore_errors=True)
    steps = (
        [sys.executable, "-m", "venv", str(home)],
        [str(home / "bin" / "pip"), "install", "--quiet", f"splunk-appinspect=={VERSION}"],
    )
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            unavailable(f"AppInspect cannot be installed: {(done.stderr or done.stdout)[-500:]}")
    (home / "whole").touch()
    return program
