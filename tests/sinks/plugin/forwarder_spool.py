# ruff: noqa: INP001 # a distribution of its own, whose one module is not in a package
"""``spool``: one file an event, in a directory that another program empties.

An example of a sink from outside: a settings model, a class, an entry point, nothing else.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from forwarder.errors import Misconfigured, Retryable
from forwarder.sinks.base import Item, Sink, SinkSettings


class SpoolSettings(SinkSettings):
    """Settings of a sink of kind ``spool``."""

    directory: Path = Field(description="Where the files go.")


class SpoolSink(Sink[SpoolSettings]):
    """Writes each event under a name made of its sequence number, so that sending it again changes nothing."""

    kind: ClassVar[str] = "spool"
    settings_model: ClassVar[type[SinkSettings]] = SpoolSettings

    @property
    def promise(self) -> str:
        """What an acknowledgement means."""
        return "on disk"

    @property
    def destination(self) -> str:
        """The directory."""
        return str(self.settings.directory)

    async def open(self) -> None:
        """Look whether the directory is there.

        :raises Misconfigured: it is not
        """
        if not self.settings.directory.is_dir():
            raise Misconfigured(f"{self.settings.directory} is not a directory; make it")

    async def send(self, batch: Sequence[Item]) -> None:
        """Write each event, synced, and rename it into sight.

        :raises Retryable: the disk took only some
        """
        await asyncio.to_thread(self._write, batch)

    async def close(self) -> None:
        """Nothing stays open between two sends."""

    def _write(self, batch: Sequence[Item]) -> None:
        for place, item in enumerate(batch):
            name = self.settings.directory / f"{item.seq:020d}.json"
            try:
                with name.with_suffix(".part").open("wb") as file:
                    file.write(item.body)
                    file.flush()
                    os.fsync(file.fileno())
                name.with_suffix(".part").replace(name)
            except OSError as error:
                raise Retryable(f"the spool cannot be written: {error.strerror}", accepted=place) from error
