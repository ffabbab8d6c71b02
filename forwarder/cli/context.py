"""What a command knows of its invocation: the environment, and the settings that it asks for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import typer

    from forwarder.settings import Settings


class Invocation:
    """One run of the command line. Nothing is read before a command asks for it."""

    def __init__(self, env_file: Path | None) -> None:
        self._env_file = env_file

    @cached_property
    def environ(self) -> Mapping[str, str]:
        """The environment together with ``--env-file``."""
        from forwarder.settings import read_environment

        return read_environment(self._env_file)

    @cached_property
    def settings(self) -> Settings:
        """The validated configuration."""
        from forwarder.settings import load

        return load(self.environ)


def invocation_of(ctx: typer.Context) -> Invocation:
    """The invocation behind a command's context."""
    invocation = ctx.find_object(Invocation)
    if invocation is None:
        raise LookupError("the command was called without the options of `forwarder`")
    return invocation


def settings_of(ctx: typer.Context) -> Settings:
    """The validated configuration of this invocation, read at the first call.

    :raises ConfigurationError: with every problem
    """
    return invocation_of(ctx).settings
