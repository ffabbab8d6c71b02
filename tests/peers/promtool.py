"""Prometheus' own ``promtool``, as the judge of our metrics. Debian's package, unpacked into the cache."""

import shutil
from pathlib import Path

from tests.peers.debian import unpacked


def promtool() -> Path:
    """Find promtool on this machine or in the cache, or fetch it from Debian's archive; skip where that cannot be."""
    installed = shutil.which("promtool")
    if installed is not None:
        return Path(installed)
    return unpacked("prometheus", ["prometheus"]) / "usr" / "bin" / "promtool"
