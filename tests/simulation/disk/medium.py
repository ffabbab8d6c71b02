"""All files of one disk and their names: what is durable, and what a crash makes of the rest."""

import os
from random import Random
from typing import Literal, NamedTuple

from tests.simulation.disk.platter import Change, Platter, apply, lay_out, remove

Kind = Literal["process", "power"]
"""Who ends: all processes, or with them everything that was not synced."""


class _Renamed(NamedTuple):
    """A name that appeared, or went away with what was on the platter."""

    path: str
    gone: Platter | None = None


class Medium:
    """Follows what is done to the files; the files themselves are the operating system's until :meth:`crash`."""

    def __init__(self) -> None:
        self._files: dict[str, Platter] = {}
        self._names: list[_Renamed] = []

    def made(self, path: str) -> None:
        """There is a new and empty file."""
        self._files[path] = Platter()
        self._names.append(_Renamed(path))

    def found(self, path: str) -> None:
        """The file was there when it was opened, and nobody has it open: others may have put it there."""
        known = self._files.get(path)
        if known is None or not known.pending:
            self._files[path] = Platter(bytearray(_written(path)))

    def changed(self, path: str, change: Change) -> None:
        """It was written to, or truncated."""
        self._files[path].pending.append(change)

    def synced(self, path: str, *, directory: bool) -> None:
        """All that was done to the file is durable; with its *directory*, all names are."""
        self._files[path].sync()
        if directory:
            self._names.clear()

    def deleted(self, path: str, *, synced: bool) -> None:
        """The file is gone, durably if its directory was *synced*."""
        self._names.append(_Renamed(path, self._files.pop(path, Platter())))
        if synced:
            self._names.clear()

    def exchanged(self, path: str, content: bytes | None) -> None:
        """Somebody put *content* in its place, or took it away, and saw to it that this lasts."""
        self._names = [name for name in self._names if name.path != path]
        if content is None:
            self._files.pop(path, None)
        else:
            self._files[path] = Platter(bytearray(content))

    def crash(self, kind: Kind, random: Random, in_flight: tuple[str, Change | None] | None) -> None:
        """Lay out for the next process what the disk holds, in new files.

        :param in_flight: the change, or None for a deletion, in the middle of which the process died
        """
        before = dict(self._files)
        if kind == "process":
            contents = {path: bytearray(_written(path)) for path in self._files}
            if in_flight is not None and random.random() < 0.5:
                path, change = in_flight
                self._end(path, change)
                if change is None:
                    del contents[path]
                else:
                    apply(contents[path], change)
        else:
            if in_flight is not None:
                self._end(*in_flight)
            self._cut_power(random)
            contents = {path: platter.durable for path, platter in self._files.items()}
        for path in before:
            if path not in contents:
                remove(path)
        for path, content in contents.items():
            lay_out(path, content)

    def _end(self, path: str, change: Change | None) -> None:
        if change is None:
            self.deleted(path, synced=False)
        else:
            self.changed(path, change)

    def _cut_power(self, random: Random) -> None:
        durable = random.randint(0, len(self._names))
        for path, gone in reversed(self._names[durable:]):
            if gone is None:
                self._files.pop(path, None)
            else:
                self._files[path] = gone
        self._names.clear()
        self._files = {
            path: Platter(bytearray(platter.after_power_cut(random))) for path, platter in sorted(self._files.items())
        }


def _written(path: str) -> bytes:
    """What the operating system has of the file."""
    descriptor = os.open(path, os.O_RDONLY)
    with os.fdopen(descriptor, "rb") as file:
        return file.read()
